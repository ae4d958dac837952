"""Why the cashier must know of a sale: its open reasons, a set, each with its own end.

A reason is opened when something happens and ends when what it says is no longer so; no reason
replaces another. They are kept in the outbox, so that a restart forgets none. What the console
says first is the open reason that stands first here; it names the others below.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """What the cashier must know of a sale, the most urgent first."""

    UNREVOKED = "unrevoked"
    REVOKING = "revoking"
    UNPRINTED = "unprinted"
    UNFIT = "unfit"
    FAILED = "failed"
    GONE = "gone"
    PAGE = "page"
    RELAY = "relay"
    AWAY = "away"
    SLOW = "slow"
    MISSED = "missed"
    INTERRUPTED = "interrupted"
    UNCONFIRMED = "unconfirmed"
    TAKEN = "taken"
    LATE = "late"
    OVERTAKEN = "overtaken"
    REPLACED = "replaced"
    RESTARTED = "restarted"
    UNSEEN = "unseen"
    BRIEF = "brief"


@dataclass(frozen=True, slots=True)
class Wording:
    """What is said of a reason, in English; `{}` is the detail. The detail's hint comes first."""

    text: str
    hint: str | None = None


NO_PAPER_YET: Final = "the sale is done; hand out paper, or show it when this is put right"
NO_ROOM: Final = "make room or repair it; until then, hand out paper"
NO_CODE: Final = "hand out paper, or show it again"
_ASK: Final = "if the customer has no receipt: show it again, or hand out paper"

WORDINGS: Final[Mapping[Reason, Wording]] = {
    Reason.UNREVOKED: Wording("not taken back yet: {}", "it is tried again by itself"),
    Reason.REVOKING: Wording("taken back as soon as the relay has confirmed it"),
    Reason.FAILED: Wording("the ticket cannot be opened: {}", NO_CODE),
    Reason.GONE: Wording("the relay has refused or lost the ticket", NO_CODE),
    Reason.PAGE: Wording("no code is shown: {}", NO_PAPER_YET),
    Reason.RELAY: Wording("no code is shown: {}", NO_PAPER_YET),
    Reason.AWAY: Wording(
        "the relay is away: the code does not work yet",
        "hand out paper; the upload goes on by itself",
    ),
    Reason.MISSED: Wording("no code was shown: {}", _ASK),
    Reason.INTERRUPTED: Wording("the relay went away before this code could be scanned", _ASK),
    Reason.UNCONFIRMED: Wording(
        "{} does not confirm that it shows the code",
        "show this screen to the customer; is the tablet awake and online?",
    ),
    Reason.TAKEN: Wording(
        "{} was taken by another sale before it showed this code",
        "show this screen to the customer, or show it again",
    ),
    Reason.LATE: Wording(
        "this sale reached this program late, so that its code was not shown",
        "if the customer is still here: show it, or hand out paper",
    ),
    Reason.OVERTAKEN: Wording("the next sale came before this one's code could be shown", NO_CODE),
    Reason.REPLACED: Wording("the next sale came before this one's code could be scanned", _ASK),
    Reason.RESTARTED: Wording("the till was restarted before this receipt was delivered", _ASK),
    Reason.UNSEEN: Wording("no display has confirmed this code", _ASK),
    Reason.BRIEF: Wording("this code was shown for a few seconds only", _ASK),
    Reason.SLOW: Wording(
        "the relay has not taken this receipt yet: the code does not work before it has",
        "wait a moment, or hand out paper; the upload goes on by itself",
    ),
    Reason.UNPRINTED: Wording("not printed: {}"),
    Reason.UNFIT: Wording("{}", "print it on another printer, from this computer"),
}

HOLDS: Final = frozenset(
    {
        Reason.FAILED,
        Reason.PAGE,
        Reason.RELAY,
        Reason.AWAY,
        Reason.MISSED,
        Reason.INTERRUPTED,
        Reason.LATE,
        Reason.OVERTAKEN,
        Reason.REPLACED,
        Reason.RESTARTED,
        Reason.UNSEEN,
        Reason.BRIEF,
    }
)
"""As long as one of these is open and its code is nowhere, a sale waits for the cashier."""

UNTIL_SHOWN: Final = (
    HOLDS | {Reason.GONE, Reason.UNCONFIRMED, Reason.TAKEN, Reason.UNPRINTED}
) - {Reason.AWAY}  # fmt: skip
"""These end when its code is shown again."""

UNTIL_CONFIRMED: Final = frozenset({Reason.UNCONFIRMED, Reason.TAKEN})
"""These end when a display confirms its code, or when it is not on the till's screen any more."""

UNTIL_STORED: Final = frozenset({Reason.SLOW, Reason.AWAY, Reason.FAILED, Reason.GONE})
"""These end when the relay has it."""

PAST: Final[Mapping[Reason, Reason]] = {
    Reason.RELAY: Reason.MISSED,
    Reason.PAGE: Reason.MISSED,
}
"""What is said instead of what is so now, once it is no longer so."""


def say(reason: Reason, detail: str | None) -> str:
    """Say what the cashier must know."""
    return WORDINGS[reason].text.format(detail or "")
