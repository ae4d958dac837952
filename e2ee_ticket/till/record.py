"""One sale: all that is known of it, and what follows from that.

What the console says of a sale is worked out of its record and of nothing else. What must outlive
the process is in the outbox: when and whence it was accepted, its tickets, where its code was shown
from when until when, its open reasons, how it ended.
"""

from dataclasses import dataclass, field
from typing import Final

from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.till.outbox import Open, Showing
from e2ee_ticket.till.pipeline import Delivery
from e2ee_ticket.till.reasons import HOLDS, WORDINGS, Reason, say
from e2ee_ticket.till.states import ENDED, OVER, SHOWABLE, DeliveryState, Outcome, SaleState

_HAD_OR_REVOKED: Final = (SaleState.RECEIVED, SaleState.REVOKED, SaleState.OPENED)
_BEST: Final = (
    DeliveryState.STORED,
    DeliveryState.SEALED,
    DeliveryState.ACCEPTED,
    DeliveryState.EXPIRED,
    DeliveryState.FAILED,
)
"""Of several tickets of one sale, the one that is furthest counts."""
_ORDER: Final = {reason: place for place, reason in enumerate(Reason)}
HERE: Final = ""
"""The place of a code that is shown on the till's own screen."""


@dataclass(slots=True, eq=False)
class Record:
    """A receipt and what became of it.

    Attributes:
        facts: the ticket without its receipt; None where nothing is known any more.
        ticket: the ticket with its receipt, as long as this process has it in memory.
        ours: this program drew the receipt.
        since: when it was accepted, by the clock that never jumps; None in an earlier process.
        deliveries: every ticket that was made of it, the newest last.
        kept: the outbox still has the receipt.
        copied: the customer gets a copy on paper in any case.
        here: the code should be shown on the till's own screen.
        drawn: and has been drawn there.
        showings: every time that its code could be seen; the last may be on now.
        seen_at: since when it is on now, by the clock that never jumps; None where it is not.
        scannable: it was on for long enough to be scanned.
        reasons: the open reasons.
        outcome: how it ended, or None.
        reached: `opened` or `received`, what the customer did; the relay forgets it in time.
    """

    number: int
    till: str
    source: str
    at: float
    facts: Ticket | None = field(repr=False)
    ticket: Ticket | None = field(default=None, repr=False)
    paper: bytes | None = field(default=None, repr=False)
    ours: bool = False
    since: float | None = None
    deliveries: list[Delivery] = field(default_factory=list, repr=False)
    kept: bool = True
    copied: bool = False
    here: bool = False
    drawn: bool = False
    showings: list[Showing] = field(default_factory=list)
    seen_at: float | None = None
    scannable: bool = False
    reasons: dict[Reason, Open] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    outcome: str | None = None
    reached: str | None = None
    revoking: bool = False
    expires_at: float | None = None
    saved_reasons: dict[Reason, Open] = field(default_factory=dict, repr=False)
    saved_showings: list[Showing] = field(default_factory=list, repr=False)
    """What the outbox has of both."""

    @property
    def delivery(self) -> Delivery | None:
        """The newest ticket."""
        return self.deliveries[-1] if self.deliveries else None

    @property
    def state(self) -> SaleState:
        """The state of the sale."""
        states: set[str] = {delivery.state for delivery in self.deliveries}
        states |= {self.reached} if self.reached else set()
        if self.outcome in ENDED and self.outcome != Outcome.RECEIVED:
            return SaleState(self.outcome)
        for state in _HAD_OR_REVOKED:
            if state in states or state == self.outcome:
                return state
        best = next((state for state in _BEST if state in states), None)
        if best is None or (best in SHOWABLE and self.is_held):
            return SaleState.HELD
        return SaleState.SEALED if best == DeliveryState.ACCEPTED else SaleState(best)

    @property
    def is_held(self) -> bool:
        """Whether no customer has or had the chance to scan its code, as far as is known."""
        if self.visible or self.copied:
            return False
        return not self.scannable or not HOLDS.isdisjoint(self.reasons)

    @property
    def over(self) -> bool:
        """Whether nothing more can happen to it."""
        return self.outcome in ENDED or (
            bool(self.deliveries) and all(each.state in OVER for each in self.deliveries)
        )

    @property
    def showable(self) -> bool:
        """Whether the newest ticket's code can be shown as it is."""
        delivery = self.delivery
        return (
            delivery is not None
            and delivery.link is not None
            and delivery.state in SHOWABLE
            and self.outcome is None
            and not self.revoking
        )

    @property
    def on_screen(self) -> bool:
        """Whether a display is to show one of its codes now."""
        return any(delivery.on_screen for delivery in self.deliveries)

    @property
    def visible(self) -> bool:
        """Whether its code is to be seen now, on a display or on the till's own screen."""
        return self.on_screen or (self.here and self.showable)

    @property
    def lingers(self) -> bool:
        """Whether a display may still show one of its codes, prolonged by a customer."""
        return any(delivery.lingers for delivery in self.deliveries)

    @property
    def seen(self) -> bool:
        """Whether a display has confirmed its code, or the till's own screen has drawn it."""
        return bool(self.showings)

    @property
    def shown(self) -> bool | None:
        """Whether a display confirmed it; None where there is none. Of what is on, whether now."""
        if self.on_screen:
            return any(each.confirmed for each in self.deliveries)
        if any(showing.place != HERE for showing in self.showings):
            return True
        return False if any(each.shown is not None for each in self.deliveries) else None

    @property
    def worst(self) -> list[Open]:
        """The open reasons, the most urgent first."""
        return sorted(self.reasons.values(), key=lambda each: _ORDER[each.reason])

    @property
    def warning(self) -> str | None:
        """What the cashier must know first."""
        return next((say(each.reason, each.detail) for each in self.worst), None)

    @property
    def hint(self) -> str | None:
        """What is to be done about it."""
        return next((each.hint or WORDINGS[each.reason].hint for each in self.worst), None)

    @property
    def also(self) -> tuple[str, ...]:
        """What the cashier must know beside it."""
        return tuple(say(each.reason, each.detail) for each in self.worst[1:])

    def end(self, *reasons: Reason) -> None:
        """End these reasons, where they are open."""
        for reason in reasons:
            self.reasons.pop(reason, None)

    def drop_content(self) -> None:
        """Forget the receipt and the codes; the facts stay for the list of sales."""
        self.ticket = self.paper = None
        for delivery in self.deliveries:
            delivery.forget()
