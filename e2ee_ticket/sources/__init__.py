"""Where receipts come from: one contract for every source.

A source waits for receipts in its own way, and hands each to an `Intake` as an `Arrival`. Once
`accept` has returned, the receipt is durable and the source may let it go: move the file aside,
answer 200, go on to the next. It does neither before, and where `accept` raises it keeps the
receipt, or says to whoever sent it that it was not taken.

A source knows nothing of relays, displays and outboxes. It reads no clock but the one it is given,
runs until it is cancelled, tries again by itself for ever, and tells its troubles to `report`.
"""

import importlib
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.protocol.ticket import Ticket

KINDS: Final[Mapping[str, str]] = {
    "takepos": "takepos:TakePos",
    "dolibarr": "dolibarr:Dolibarr",
    "folder": "folder:Folder",
    "printer": "printer:Printer",
    "ipp": "ipp:Ipp",
}
"""The kinds of sources, by the configuration's word; each is a class of a module of its own."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One receipt, as a source delivers it.

    Attributes:
        ticket: the receipt, a PDF, with the facts known of it; without a preview.
        till: the till it belongs to, by the configuration's name; None is the source's only one.
        ours: this program drew the PDF, so that there is nothing to look for in it.
        key: what the source calls this receipt, at most 200 characters; of one source the same key
            is accepted once. None where nothing can come twice.
        cursor: where the source goes on after a restart; kept with the receipt in one step.
        paper: the bytes that a receipt printer would have got, so that paper can still be had.
        late: it may have been sold a while ago, and its customer may have left: to be kept for the
            cashier, and not shown to whoever stands there now.
        remarks: what the cashier is told beside the sale, such as that a picture could not be
            drawn: short sentences, as in a `Finding`, with nothing of the receipt's content.
        began: when it had come, in seconds since 1970, where it waited since; None is now.
    """

    ticket: Ticket = field(repr=False)
    till: str | None = None
    ours: bool = False
    key: str | None = None
    cursor: str | None = None
    paper: bytes | None = field(default=None, repr=False)
    late: bool = False
    remarks: tuple[str, ...] = ()
    began: float | None = None


class Intake(Protocol):
    """Who takes receipts from a source."""

    async def accept(self, arrival: Arrival) -> bool:
        """Keep a receipt; once this returns, a power cut does not lose it.

        Returns False where a receipt of this key was accepted before; nothing happens then.

        Raises:
            ReceiptError: this is no receipt, and never will be: say so to whoever sent it.
            OutboxError: this computer cannot keep it: keep it, and try again later.
        """
        ...

    async def cursor(self) -> str | None:
        """Return the latest cursor that was kept for this source."""
        ...

    async def keep_cursor(self, cursor: str) -> None:
        """Keep a cursor without a receipt."""
        ...

    def live(self, lines: Sequence[str], till: str | None = None) -> None:
        """Show a sale that is not paid yet: the last lines of it, or none when it was left."""
        ...

    def drawer(self, till: str | None = None) -> None:
        """Open the cash drawer, where a printer that has one is configured."""
        ...

    def report(self, trouble: "Finding | None") -> None:
        """Tell what keeps this source from working, or None when it works (again)."""
        ...

    def refuse(self, told: "Finding") -> None:
        """Tell the cashier of what was sent here and not taken; later receipts do not end this."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check: what was tried, whether it is well, and if not what to do.

    `text` is a short sentence without capital and full stop, and holds no secret and no content of
    a receipt; so does `hint`, which is None where there is nothing to do. `later` says of what is
    not well that it may be well by itself: a network or a server is away.
    """

    ok: bool
    text: str
    hint: str | None = None
    later: bool = False


@dataclass(frozen=True, slots=True)
class Shop:
    """What every source may need to know of the shop.

    Attributes:
        name: how a receipt is titled where its source does not say; at most 200 characters.
        lang: the language of receipts that are drawn here, BCP 47.
        now: the wall clock, in seconds since 1970.
    """

    name: str | None = None
    lang: str = "en"
    now: Callable[[], float] = time.time


class Source(Protocol):
    """One place where receipts come from.

    Its class takes `(name, shop)` by position and its own settings by keyword, with the names and
    types that the configuration has; a setting that cannot be is a ConfigError which names it.
    """

    name: str
    """The configuration's name for it."""
    tills: Sequence[str]
    """The tills that its arrivals name; empty where they name none."""

    async def run(self, intake: Intake) -> None:
        """Deliver receipts until cancelled.

        Raises:
            SourceError: it cannot even begin, such as a port in use; it is tried again later.
        """
        ...

    async def check(self) -> Sequence[Finding]:
        """Test the settings against the real thing, whether or not it is running already."""
        ...


class LookUp(Protocol):
    """A source that can be asked for one receipt, by the number on it."""

    async def look_up(self, number: str, intake: Intake, till: str | None = None) -> None:
        """Find a receipt and hand it to the intake as a new one.

        Raises:
            SourceError: there is none of this number, or the source does not answer.
        """
        ...


def make_source(kind: str, name: str, shop: Shop, settings: Mapping[str, Any]) -> Source:
    """Make a source from its settings.

    Raises:
        ConfigError: an unknown kind, an unknown or missing setting, a value that cannot be.
    """
    if kind not in KINDS:
        raise ConfigError(f"source {name}: kind must be one of {', '.join(KINDS)}")
    module, _, class_name = KINDS[kind].partition(":")
    made = getattr(importlib.import_module(f"{__name__}.{module}"), class_name)
    parameters = list(inspect.signature(made).parameters.values())[2:]
    known = {parameter.name for parameter in parameters}
    for setting in settings:
        if setting not in known:
            raise ConfigError(
                f"source {name}: {setting} is no setting of {kind};"
                f" known are {', '.join(sorted(known))}"
            )
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.name not in settings:
            raise ConfigError(f"source {name}: {parameter.name} is missing")
    try:
        source: Source = made(name, shop, **settings)
    except ConfigError as error:
        raise ConfigError(f"source {name}: {error}") from error
    return source
