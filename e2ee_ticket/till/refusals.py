"""Receipts that were not accepted: the cashier alone can still give those customers theirs.

A source is told why, but not every till tells its cashier: TakePOS takes no notice of an answer.
So each stays on the console, counted, with what is known of it, until somebody says that it was
seen, or until it comes again and is accepted. They outlive the process where the outbox takes
them; what it does not take now, it takes when it can.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final

from e2ee_ticket.errors import OutboxError, TicketError
from e2ee_ticket.sources import Arrival, Finding
from e2ee_ticket.till.clock import Clock
from e2ee_ticket.till.floor import Trouble
from e2ee_ticket.till.outbox import Outbox, Refused
from e2ee_ticket.till.pipeline import facts_of

log = logging.getLogger(__name__)

_FIRST_MAX: Final = 1_000
_TOLD: Final = "told:"
_DAMAGED_MAX: Final = 200
TOLD_MAX: Final = 50
"""So many different sentences of sources are told at once; the latest."""
TOLD_AGAIN_SECONDS: Final = 60.0
"""How long the same sentence is not written down again: whoever calls may call often."""


class Refusals:
    """What was not accepted and is still to be seen to."""

    def __init__(self, outbox: Outbox, clock: Clock, changed: Callable[[], None]) -> None:
        self._outbox, self._clock, self._changed = outbox, clock, changed
        self._all: dict[str, Refused] = {}
        self._unsaved: dict[str, Refused] = {}
        self._unsaid: set[str] = set()
        self._first: dict[str, float] = {}

    def restore(self) -> None:
        """Take up what earlier processes refused.

        Raises:
            OutboxError: it cannot be read.
        """
        self._all = {refused.digest: refused for refused in self._outbox.refused()} | self._all

    def all(self) -> Sequence[Refused]:
        """Return the receipts, oldest first."""
        found = [each for each in self._all.values() if not each.digest.startswith(_TOLD)]
        return sorted(found, key=lambda refused: refused.at)

    def tell(self, source: str, told: Finding) -> None:
        """Note what a source did not take, where no receipt of it can be named."""
        what = f"{source}\0{told.text}".encode("utf-8", "replace")
        digest = _TOLD + hashlib.sha256(what).hexdigest()
        now = self._clock.now()
        known = self._all.get(digest)
        if known is None:
            log.warning("source %s: %s", source, told.text)
        elif 0 <= now - known.at < TOLD_AGAIN_SECONDS:
            return
        why = json.dumps([told.text, told.hint])
        self._all[digest] = self._unsaved[digest] = Refused(digest, now, "", source, None, why)
        self._unsaid.discard(digest)
        self.end([each.seen for each in self.told()[:-TOLD_MAX] if each.seen])
        self.save()
        self._changed()

    def told(self) -> Sequence[Trouble]:
        """Return what sources did not take and nobody has seen, oldest first."""
        found = []
        for each in self._all.values():
            if each.digest.startswith(_TOLD):
                text, hint = _said(each.why)
                found.append(Trouble(each.source, text, hint, each.at, seen=each.digest))
        return sorted(found, key=lambda trouble: trouble.since)

    def first_at(self, digest: str) -> float:
        """Say when a receipt came first, by the clock that never jumps; now where it is new."""
        return self._first.get(digest, self._clock.monotonic())

    def add(self, arrival: Arrival, till: str, source: str, digest: str, why: TicketError) -> None:
        """Note that a receipt was not accepted; however often it comes, it is one."""
        known = self._all.get(digest)
        at = self._clock.now() if known is None else known.at
        refused = Refused(digest, at, till, source, facts_of(arrival.ticket), str(why))
        self._first.setdefault(digest, self._clock.monotonic())
        while len(self._first) > _FIRST_MAX:
            del self._first[next(iter(self._first))]
        if known is not None and known.why == refused.why:
            return
        log.warning("source %s: a receipt was not accepted: %s", source, why)
        self._all[digest] = self._unsaved[digest] = refused
        self._unsaid.discard(digest)
        self.save()
        self._changed()

    def end(self, digests: Collection[str]) -> None:
        """Forget refusals: somebody has seen to them, or the receipts were accepted later."""
        known = [digest for digest in digests if self._all.pop(digest, None) is not None]
        for digest in known:
            if self._unsaved.pop(digest, None) is None:
                self._unsaid.add(digest)
        if known:
            self.save()
            self._changed()

    def accepted(self, digest: str) -> None:
        """A receipt was accepted."""
        self._first.pop(digest, None)
        self.end([digest])

    def save(self) -> None:
        """Keep what the outbox did not take before; what it does not take now, later."""
        try:
            for digest, refused in list(self._unsaved.items()):
                self._outbox.refuse(refused)
                del self._unsaved[digest]
            if self._unsaid:
                self._outbox.refusals_seen(self._unsaid)
                self._unsaid.clear()
        except OutboxError:
            return


def _said(why: str) -> tuple[str, str | None]:
    """Return a sentence and its hint; what damage has made of them is shown as it is."""
    try:
        text, hint = json.loads(why)
    except (ValueError, TypeError, RecursionError):
        text, hint = why[:_DAMAGED_MAX], None
    return str(text), None if hint is None else str(hint)


def digest_of(arrival: Arrival, till: str, source: str) -> str:
    """Name a receipt by its source, its till and what it is: the same whenever it comes again."""
    what = arrival.key.encode("utf-8", "replace") if arrival.key else arrival.ticket.receipt
    named = b"\0".join([source.encode("utf-8", "replace"), till.encode("utf-8", "replace"), what])
    return hashlib.sha256(named).hexdigest()
