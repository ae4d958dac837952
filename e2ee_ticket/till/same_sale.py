"""Recognising a sale of Dolibarr's that comes again: over its other source, or printed once more.

TakePOS prints a sale, and the REST API tells of it, too; "Print" in TakePOS' history prints it
again. Dolibarr numbers its invoices once and for good, so the number says that it is the same. What
other programs print is never taken for the same: their numbers begin anew, or are ours to guess.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.sources import Arrival
from e2ee_ticket.sources.takepos_trap import UNPRINTED_MAX
from e2ee_ticket.till.record import Record

SAME_SECONDS: Final = 86_400.0
"""For so long a sale of the same number is the same; a receipt is kept no longer."""
DOLIBARR_KINDS: Final = frozenset({"takepos", "dolibarr"})


class SameSale:
    """What is known of the sales of one Dolibarr at each till."""

    def __init__(self) -> None:
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._unprinted: defaultdict[str, int] = defaultdict(int)

    def turn(self, till: str) -> asyncio.Lock:
        """Return what lets one sale of a till be looked for and kept at a time."""
        return self._turns[till]

    def note(self, kind: str, till: str, *, fresh: bool) -> bool:
        """Note that a sale came; tell whether TakePOS has stopped to print them.

        `fresh` says that it was not known, and was sold now.
        """
        if kind == "takepos":
            self._unprinted[till] = 0
        elif fresh:
            self._unprinted[till] += 1
        return self._unprinted[till] > UNPRINTED_MAX


def find(
    records: Iterable[Record], kinds: dict[str, str], arrival: Arrival, till: str, now: float
) -> Record | None:
    """Return the sale that this arrival tells of again; None where it is another.

    `kinds` is the kind of each source by its name. A total that differs makes it another sale.
    """
    number = arrival.ticket.number
    if number is None or (arrival.key or "").count("/"):  # looked up by hand: as a new one
        return None
    for record in sorted(records, key=lambda record: -record.number):
        if (
            record.till == till
            and kinds.get(record.source) in DOLIBARR_KINDS
            and record.facts is not None
            and record.facts.number == number
            and 0 <= now - record.at < SAME_SECONDS
            and _same_total(record.facts, arrival.ticket)
        ):
            return record
    return None


def _same_total(one: Ticket, other: Ticket) -> bool:
    """Compare totals by their digits: one source writes a sign, the other may not."""
    if one.total is None or other.total is None:
        return True
    return _digits(one.total) == _digits(other.total)


def _digits(total: str) -> tuple[str, bool]:
    digits = "".join(each for each in total if each.isdigit()).lstrip("0")
    return digits, "-" in total or "\u2212" in total
