"""What the console shows and does: the agent, seen from the shop floor.

`Floor` is the whole of it. The agent is one, a test's fake another; the console knows no more.
Every method may be called at any time; what cannot be done is a TicketError with a sentence for
the cashier. Nothing here holds a secret but the two links, which are shown and never kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from e2ee_ticket.protocol.channel import PairingLink
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.till.config import Config, TillConfig
from e2ee_ticket.till.lan import LanPairingLink
from e2ee_ticket.till.states import SaleState


@dataclass(frozen=True, slots=True)
class Sale:
    """One receipt, as the cashier sees it.

    Attributes:
        number: counts this computer's receipts; the name of the sale in every call.
        till: where it was sold. `source`: where it came from; empty for one that was sent by hand.
        at: when it was accepted, in seconds since 1970.
        title: the shop; total: the amount as written; receipt: the number on it. None where not
            known, or let go (after a restart nothing is known of what was let go).
        state: states.py says what each means.
        shown: whether a display confirmed it, and where it is on one now, whether of this time;
            None where there is none.
        seen: whether its code could be scanned anywhere yet, on a display or on the till's screen.
        on_screen: whether the code is on a display now.
        here: whether the code should be shown on the till's own screen: there is no display, or
            it does not confirm, or the cashier asked for it. `show_here` gives the link.
        warning: what the cashier must know first; hint: what to do about it. None where all is
            well. also: what the cashier must know beside it.
        remarks: what was found inside the PDF, short sentences.
        actions: what can be done now, of `show`, `here`, `revoke`, `paper`, `dismiss`.
        expires_at: until when the relay keeps it, as far as known.
    """

    number: int
    till: str
    source: str
    at: float
    title: str | None
    total: str | None
    receipt: str | None
    state: SaleState
    shown: bool | None
    seen: bool
    on_screen: bool
    here: bool
    warning: str | None
    hint: str | None
    also: tuple[str, ...]
    remarks: tuple[str, ...]
    actions: frozenset[str]
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A receipt that was not accepted, and that nobody has seen to.

    Attributes:
        name: names it in `refusals_seen`.
        at: when it came first, in seconds since 1970. till, source: whence.
        total, receipt: the amount and the number on it, as far as known.
        why: what its source was told.
    """

    name: str
    at: float
    till: str
    source: str
    total: str | None
    receipt: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong: where (relay, page, a display's or source's name), and since when.

    What has happened and is over is told until somebody has seen it: `seen` names it then in
    `Floor.troubles_seen`. It is None for what is so now, which ends by itself.
    """

    place: str
    text: str
    hint: str | None
    since: float
    seen: str | None = None


@dataclass(frozen=True, slots=True)
class DisplayState:
    """A paired display: whether it is there, what it shows (idle, live, ticket, thanks)."""

    name: str
    tills: tuple[str, ...]
    connected: bool
    present: str
    trouble: Trouble | None


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source: its kind, its till, when it last delivered, what keeps it from working."""

    name: str
    kind: str
    till: str
    last_at: float | None
    can_look_up: bool
    trouble: Trouble | None


@dataclass(frozen=True, slots=True)
class RelayState:
    """The relay: its mode is open, closed, or None while unknown; `away_since` is when it went."""

    origin: str
    mode: str | None
    away_since: float | None
    permit: bool


@dataclass(frozen=True, slots=True)
class PageState:
    """The ticket page: `ok`, `changed`, `unreachable` or `unknown`, and when that was found."""

    origin: str
    state: str
    checked_at: float | None


class Floor(Protocol):
    """What goes on in the shop, and what can be done about it."""

    config: Config

    @property
    def tills(self) -> Sequence[TillConfig]:
        """The counters."""
        ...

    def sales(self, till: str | None = None, limit: int | None = 50) -> Sequence[Sale]:
        """Return the latest sales, newest first; without a limit all that are remembered.

        A sale that waits for the cashier is remembered until it has ended.
        """
        ...

    def sale(self, number: int) -> Sale:
        """Return one sale.

        Raises:
            TicketError: there is none of this number.
        """
        ...

    async def show(self, number: int) -> None:
        """Show it again on the display: the same code where it still can be, else a new ticket."""
        ...

    async def show_here(self, number: int) -> Link:
        """Return the link for the till's own screen; while it is on, call it again every time."""
        ...

    async def hide_here(self, number: int) -> None:
        """End showing it on the till's own screen."""
        ...

    async def revoke(self, number: int) -> None:
        """Take it back: nobody can open it any more, once the relay has been told."""
        ...

    async def paper(self, number: int) -> bytes | None:
        """Hand it over on paper: None when the till's printer prints, else the PDF to print."""
        ...

    async def paper_all(self, numbers: Sequence[int]) -> None:
        """Print sales on their tills' printers, one after the other; it goes on by itself.

        Where a printer stops, the rest go on waiting, and say why.
        """
        ...

    async def dismiss(self, number: int) -> None:
        """Let it go: the cashier knows that it was not delivered."""
        ...

    async def look_up(self, source: str, number: str, till: str | None = None) -> None:
        """Make a ticket of an invoice that is chosen by its number."""
        ...

    def refused(self, till: str | None = None) -> Sequence[Refusal]:
        """Return what was not accepted and nobody has seen to, newest first."""
        ...

    async def refusals_seen(self, names: Sequence[str]) -> None:
        """Somebody has seen to what was not accepted: it is not listed any more."""
        ...

    async def troubles_seen(self, names: Sequence[str]) -> None:
        """Somebody has seen what happened: it is not told any more."""
        ...

    def troubles(self) -> Sequence[Trouble]:
        """Say all that is wrong now, the worst first."""
        ...

    def displays(self) -> Sequence[DisplayState]:
        """Return every paired display."""
        ...

    async def pair(self, name: str) -> PairingLink:
        """Pair a display; the link is shown once."""
        ...

    async def unpair(self, name: str, *, forget: bool = False) -> None:
        """Unpair a display; `forget` does so here, even where the relay cannot be told."""
        ...

    async def test_display(self, name: str) -> bool:
        """Show a few lines on a display for some seconds; tell whether it confirms within 5 s."""
        ...

    def sources(self) -> Sequence[SourceState]:
        """Return every source."""
        ...

    def relay(self) -> RelayState:
        """Say how the relay is."""
        ...

    def page(self) -> PageState:
        """Say what the audit of the ticket page found."""
        ...

    async def changed(self, since: int, seconds: float) -> int:
        """Wait until anything of this differs from what it was at `since`; return the new count."""
        ...

    def change_config(self, changes: dict[str, object]) -> None:
        """Write keys of the configuration (None removes one), and take them up.

        Raises:
            ConfigError: a value that cannot be; nothing is changed then.
        """
        ...

    async def short_address(self, display: str) -> str | None:
        """Return a short address for pairing a tablet, two minutes, one use; None without [lan]."""
        ...

    async def lan_link(self, display: str) -> LanPairingLink | None:
        """Return the link that pairs a tablet with the page on the shop's network: for a QR code.

        None without [lan].
        """
        ...

    def lan_addresses(self) -> Sequence[str]:
        """Return where tablets open the display page on the shop's network; none without [lan]."""
        ...
