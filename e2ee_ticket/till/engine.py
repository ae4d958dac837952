"""What all tills of one agent share, and how much of it goes on at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from e2ee_ticket.errors import TicketError
from e2ee_ticket.pdf.look import look
from e2ee_ticket.pdf.seen import UNREAD, Seen, see
from e2ee_ticket.till.audit import Verdict
from e2ee_ticket.till.clock import Clock
from e2ee_ticket.till.outbox import Outbox
from e2ee_ticket.till.pipeline import Till
from e2ee_ticket.till.presence import Presence
from e2ee_ticket.till.record import Record

log = logging.getLogger(__name__)

UPLOADS_AT_ONCE: Final = 16
LOOKS_AT_ONCE: Final = 2

Looker = Callable[[Record, bytes], Awaitable[Seen | None]]
"""What looks inside a receipt, reads its text and draws its picture."""


class Gate:
    """At most so many at once; of those who wait, the latest comes first: its customer is here."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif turn.done() and not turn.cancelled():
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


@dataclass(frozen=True, slots=True)
class Engine:
    """What all tills of one agent share."""

    till: Till
    outbox: Outbox
    clock: Clock
    presence: Presence
    page: Callable[[], Verdict]
    changed: Callable[[], None]
    trouble: Callable[[TicketError], None]
    uploads: Gate
    looks: Gate
    looker: Looker


def make_looker(looks: Gate, changed: Callable[[], None]) -> Looker:
    """Return what looks inside a receipt, reads and draws it, a few at a time."""

    async def looker(record: Record, receipt: bytes) -> Seen | None:
        async with looks:
            if record.ours:
                return await see(receipt)
            found: list[str] = []

            async def draw() -> bytes | None:
                findings, picture = await look(receipt)
                found.extend(findings.remarks())
                return picture

            seen = await see(receipt, draw)
        if seen.unread is not None and seen.picture is not None:
            found.append(UNREAD)
            log.info("till %s: sale %d has no text: %s", record.till, record.number, seen.unread)
        record.remarks = tuple(dict.fromkeys((*record.remarks, *found)))
        for remark in found:
            log.info("till %s: sale %d: %s", record.till, record.number, remark)
        if found:
            changed()
        return seen

    return looker
