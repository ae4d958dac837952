"""One sale, as the agent remembers it while it runs."""

from dataclasses import dataclass, field
from typing import Final

from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.till.outbox import ENDED, OVER
from e2ee_ticket.till.pipeline import SHOWABLE, Delivery

_ORDER: Final = (
    "received",
    "revoked",
    "opened",
    "stored",
    "sealed",
    "accepted",
    "expired",
    "failed",
)


@dataclass(slots=True, eq=False)
class Record:
    """A receipt and what became of it.

    Attributes:
        facts: the ticket without its receipt; None where nothing is known any more.
        ticket: the ticket with its receipt, as long as this process has it in memory.
        ours: this program drew the receipt.
        deliveries: every ticket that was made of it, the newest last.
        kept: the outbox still has the receipt.
        copied: the customer gets a copy on paper in any case.
        held: no code is shown; the warning says why.
        here: the code should be shown on the till's own screen.
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
    deliveries: list[Delivery] = field(default_factory=list, repr=False)
    kept: bool = True
    copied: bool = False
    held: bool = False
    here: bool = False
    warning: str | None = None
    hint: str | None = None
    remarks: tuple[str, ...] = ()
    outcome: str | None = None
    reached: str | None = None
    revoking: bool = False
    expires_at: float | None = None

    @property
    def delivery(self) -> Delivery | None:
        """The newest ticket."""
        return self.deliveries[-1] if self.deliveries else None

    @property
    def state(self) -> str:
        """The state of the sale, one of floor.STATES."""
        states = {delivery.state for delivery in self.deliveries}
        states |= {self.reached} if self.reached else set()
        if self.outcome in ENDED and self.outcome != "received":
            return str(self.outcome)
        for state in _ORDER[:3]:
            if state in states or state == self.outcome:
                return state
        if self.held or not states:
            return "held"
        best = min(states, key=_ORDER.index)
        return "sealed" if best == "accepted" else best

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
    def lingers(self) -> bool:
        """Whether a display may still show one of its codes, prolonged by a customer."""
        return any(delivery.lingers for delivery in self.deliveries)

    @property
    def shown(self) -> bool | None:
        """Whether a display confirmed it; None where there is none."""
        told = [each.shown for each in self.deliveries if each.shown is not None]
        return any(told) if told else None

    def warn(self, warning: str | None, hint: str | None = None) -> None:
        """Set what the cashier must know."""
        self.warning, self.hint = warning, hint

    def drop_content(self) -> None:
        """Forget the receipt and the codes; the facts stay for the list of sales."""
        self.ticket = self.paper = None
        for delivery in self.deliveries:
            delivery.forget()
