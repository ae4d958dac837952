"""The states of a sale, of a delivery and of an outbox's entry, and what may follow what.

A *delivery* is one ticket made of a receipt, as the process that seals it has it; an *entry* is
the same ticket as the outbox keeps it, which begins sealed. An *outcome* is how a receipt ended,
and NULL in the outbox before. A *sale* is what the cashier sees of a receipt and all its tickets;
its state is worked out of those (record.py) and written nowhere.

`TRANSITIONS` is the only table of what may follow what. Whatever is not in it does not happen: an
answer that comes late changes nothing (`may`). The outbox's SQL takes its lists from here, and a
test compares the CHECKs of outbox_schema.sql with these classes.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class DeliveryState(StrEnum):
    """How far a ticket has come."""

    ACCEPTED = "accepted"  # not sealed yet
    SEALED = "sealed"  # on its way to the relay
    STORED = "stored"  # the relay has it
    OPENED = "opened"  # a phone has opened it
    RECEIVED = "received"  # the customer says that it is saved, or has shared it
    REVOKED = "revoked"  # taken back
    EXPIRED = "expired"  # the relay kept it for its time, and nobody came
    FAILED = "failed"  # the relay refused it for good, or has lost it


class EntryState(StrEnum):
    """How far a ticket has come, as the outbox has it."""

    SEALED = "sealed"
    STORED = "stored"
    OPENED = "opened"
    RECEIVED = "received"
    REVOKED = "revoked"
    EXPIRED = "expired"
    FAILED = "failed"


class Outcome(StrEnum):
    """How a receipt ended."""

    OPENED = "opened"
    RECEIVED = "received"
    REVOKED = "revoked"
    EXPIRED = "expired"
    FAILED = "failed"
    PAPER = "paper"  # handed over on paper
    REPORTED = "reported"  # the cashier was told that it was not delivered, and let it go


class SaleState(StrEnum):
    """What the cashier sees of a sale."""

    HELD = "held"  # no customer can have its code: the reasons say why; the cashier decides
    SEALED = "sealed"  # on its way to the relay; the code is shown already
    STORED = "stored"  # the relay has it, and its code is or was shown
    OPENED = "opened"  # the customer sees it
    RECEIVED = "received"  # the customer says that it is saved, or has shared it
    EXPIRED = "expired"  # over, and nobody came for it
    REVOKED = "revoked"  # taken back
    FAILED = "failed"  # the relay refused it for good
    PAPER = "paper"  # handed over on paper
    REPORTED = "reported"  # the cashier was told that it was not delivered, and let it go


_SETTLED = ("opened", "received", "revoked", "expired")

_TICKET: Final[Mapping[str, tuple[str, ...]]] = {
    "sealed": ("stored", *_SETTLED, "failed"),
    "stored": (*_SETTLED, "failed"),
    "opened": ("received", "revoked", "expired"),
    # What the relay refused or lost may turn out to be there (R130, R131).
    "failed": ("stored", *_SETTLED),
}

_SALE: Final[Mapping[str, tuple[str, ...]]] = {
    "held": ("sealed", "stored", *_SETTLED, "failed", "paper", "reported"),
    "sealed": ("held", "stored", *_SETTLED, "failed", "paper", "reported"),
    "stored": ("held", "sealed", *_SETTLED, "failed", "paper", "reported"),
    "opened": ("received", "revoked"),
    "revoked": ("received",),  # an earlier ticket of it was saved meanwhile
    "failed": ("held", "sealed", "stored", *_SETTLED, "paper", "reported"),
    # One ticket's time may be over while the receipt is still here, to be shown as another.
    "expired": ("held", "sealed", "stored", "opened", "received", "paper", "reported"),
}

Before = DeliveryState | EntryState | SaleState | Outcome | None
"""A state; None is a receipt that has not ended."""


def _table() -> dict[type[StrEnum], dict[StrEnum | None, frozenset[StrEnum]]]:
    def follow(kind: type[StrEnum], names: Mapping[str, tuple[str, ...]]) -> dict[
        StrEnum | None, frozenset[StrEnum]
    ]:  # fmt: skip
        return {
            state: frozenset(kind(name) for name in names.get(state.value, ())) for state in kind
        }

    return {
        DeliveryState: follow(
            DeliveryState, {"accepted": ("sealed", "revoked", "failed"), **_TICKET}
        ),
        EntryState: follow(EntryState, _TICKET),
        SaleState: follow(SaleState, _SALE),
        Outcome: {None: frozenset(Outcome), **follow(Outcome, {"opened": ("received",)})},
    }


TRANSITIONS: Final = _table()
"""For each kind of state: what may follow each. What is followed by nothing is final."""


def may(before: Before, after: DeliveryState | EntryState | SaleState | Outcome) -> bool:
    """Whether one state may follow another; each may follow itself."""
    return before == after or after in TRANSITIONS[type(after)][before]


def before(after: EntryState | Outcome) -> frozenset[str]:
    """Name the states that this one may follow, itself among them; not that there was none."""
    table = TRANSITIONS[type(after)]
    return frozenset(
        state.value
        for state, followers in table.items()
        if state is not None and (after in followers or state == after)
    )


OVER: Final = frozenset(
    {
        DeliveryState.RECEIVED,
        DeliveryState.REVOKED,
        DeliveryState.EXPIRED,
        DeliveryState.FAILED,
    }
)
"""States of a ticket after which nothing is done for it by itself."""

LET_GO: Final = frozenset(
    {
        DeliveryState.OPENED,
        DeliveryState.RECEIVED,
        DeliveryState.REVOKED,
        DeliveryState.EXPIRED,
    }
)
"""States of a ticket in which its receipt is no longer needed."""

OPENED: Final = frozenset({DeliveryState.OPENED, DeliveryState.RECEIVED})
"""States of a ticket that a customer has."""

SHOWABLE: Final = frozenset({DeliveryState.ACCEPTED, DeliveryState.SEALED, DeliveryState.STORED})
"""States of a ticket whose code still opens something, or soon will."""

ENDED: Final = frozenset(outcome for outcome in Outcome if not TRANSITIONS[Outcome][outcome])
"""Outcomes that no other replaces; what was opened may still be saved."""

CODELESS: Final = frozenset(set(SaleState) - {SaleState.HELD, SaleState.SEALED, SaleState.STORED})
"""States of a sale whose code is not to be shown any more."""
