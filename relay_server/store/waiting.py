"""Those who wait in this process: tills for a ticket's state or for hellos, displays for an answer.

Nothing here is ever written anywhere: a hello lives no longer than the request that brought it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from enum import Enum

from relay_server.clock import Clock
from relay_server.errors import ChannelGoneError, OverloadedError, SupersededError
from relay_server.store import Answered, HelloSet

HID_SIZE = 16


class _End(Enum):
    """Why a wait ended, if not with an answer."""

    OVER = "time is over"
    CHANGED = "look again"
    SUPERSEDED = "a newer poll has come"
    GONE = "unpaired"


class _Live:
    """A live hello and the request that waits with it."""

    __slots__ = ("future", "hello")

    def __init__(self, hello: bytes, future: asyncio.Future[bytes | _End]) -> None:
        self.hello = hello
        self.future = future


class _Poll:
    """The newest poll of a channel; its future changes each time it is woken."""

    __slots__ = ("future", "over")

    def __init__(self) -> None:
        self.future: asyncio.Future[_End] | None = None
        self.over = False

    def expire(self) -> None:
        # A flag, because the future may have been woken by a change in this same turn of the loop.
        self.over = True
        self.end(_End.OVER)

    def end(self, why: _End) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(why)


class _Line:
    """All that happens on a channel at the moment; exists only while something does."""

    __slots__ = ("answered", "gone", "live", "poll")

    def __init__(self) -> None:
        self.live: dict[bytes, _Live] = {}
        self.poll: _Poll | None = None
        self.answered: set[bytes] = set()
        self.gone = False

    @property
    def idle(self) -> bool:
        return not (self.live or self.poll or self.answered or self.gone)


class _Watch:
    """A till that waits for its ticket."""

    __slots__ = ("_changed", "_clock", "_future", "stopped")

    def __init__(self, clock: Clock, *, stopped: bool) -> None:
        self._clock = clock
        self.stopped = stopped
        self._changed = False
        self._future: asyncio.Future[bool] | None = None

    def notify(self, *, stopped: bool = False) -> None:
        self.stopped = self.stopped or stopped
        self._changed = True
        if self._future is not None and not self._future.done():
            self._future.set_result(True)

    async def wait(self, wait_seconds: float) -> bool:
        """Return True when it may have changed since the last call, False when time is over."""
        if not self._changed and not self.stopped and wait_seconds > 0:
            self._future = asyncio.get_running_loop().create_future()
            timer = self._clock.call_later(wait_seconds, self._over)
            try:
                await self._future
            finally:
                timer.cancel()
                self._future = None
        changed, self._changed = self._changed, False
        return changed and not self.stopped

    def _over(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(False)


def hello_id(hello: bytes) -> bytes:
    """Return the name of a hello: ``SHA-256(hello)[0:16]``."""
    return hashlib.sha256(hello).digest()[:HID_SIZE]


def set_name(hellos: tuple[bytes, ...]) -> str:
    """Return the name of a set of hellos, the base of its strong ETag (R101)."""
    return hashlib.sha256(b"".join(hellos)).hexdigest()[:32]


class Waiting:
    """The waiting half of a store that lives in one process."""

    def __init__(
        self,
        clock: Clock,
        *,
        hellos_live_max: int,
        answered_seconds: float,
        requests_max: int,
        watches_per_ticket_max: int,
    ) -> None:
        self._clock = clock
        self._hellos_live_max = hellos_live_max
        self._answered_seconds = answered_seconds
        self._requests_max = requests_max
        self._watches_per_ticket_max = watches_per_ticket_max
        self._requests = 0
        self._watches: dict[bytes, set[_Watch]] = {}
        self._lines: dict[bytes, _Line] = {}
        self._stopped = False

    @property
    def requests(self) -> int:
        """How many requests wait."""
        return self._requests

    @property
    def lines(self) -> int:
        """On how many channels something happens."""
        return len(self._lines)

    # Tickets

    @asynccontextmanager
    async def watch(self, ticket_id: bytes) -> AsyncIterator[_Watch]:
        """Notice every change of a ticket from now on, until the block ends."""
        if len(self._watches.get(ticket_id, ())) >= self._watches_per_ticket_max:
            raise OverloadedError
        self._count()
        watch = _Watch(self._clock, stopped=self._stopped)
        watches = self._watches.setdefault(ticket_id, set())
        watches.add(watch)
        try:
            yield watch
        finally:
            self._requests -= 1
            watches.discard(watch)
            if not watches:
                self._watches.pop(ticket_id, None)

    def ticket_changed(self, ticket_id: bytes) -> None:
        """Wake those who watch a ticket."""
        for watch in self._watches.get(ticket_id, ()):
            watch.notify()

    def all_changed(self) -> None:
        """Wake everybody who watches any ticket."""
        for watches in self._watches.values():
            for watch in watches:
                watch.notify()

    # Channels

    async def offer(self, cid: bytes, hello: bytes, *, wait_seconds: float) -> bytes | None:
        """Let a hello be live until it is answered or its time is over."""
        line = self._line(cid)
        hid = hello_id(hello)
        # R95: an answered hello does not come back to life.
        if self._stopped or hid in line.answered:
            self._drop(cid, line)
            return None
        self._count()
        live = _Live(hello, asyncio.get_running_loop().create_future())
        older = line.live.get(hid)
        if older is None and len(line.live) >= self._hellos_live_max:
            # R93: the oldest is the first, for a dictionary keeps its order.
            evicted = line.live.pop(next(iter(line.live)))
            _end(evicted, _End.OVER)
        line.live[hid] = live
        if older is None:
            self._wake(line)
        else:
            # R94: the set is the same, and so is the hello's age; only the request changes.
            _end(older, _End.OVER)
        timer = self._clock.call_later(wait_seconds, _end, live, _End.OVER)
        try:
            sealed = await live.future
        finally:
            timer.cancel()
            self._requests -= 1
            # R92: whatever ended the request, its hello goes with it.
            if line.live.get(hid) is live:
                del line.live[hid]
                self._wake(line)
            self._drop(cid, line)
        if sealed is _End.GONE:
            raise ChannelGoneError
        return sealed if isinstance(sealed, bytes) else None

    async def poll(self, cid: bytes, known: Collection[str], *, wait_seconds: float) -> HelloSet:
        """Return the set of live hellos once its name is not known, or when time is over."""
        line = self._line(cid)
        poll = _Poll()
        # R102: the newer ends the older.
        if line.poll is not None:
            line.poll.end(_End.SUPERSEDED)
        line.poll = poll
        try:
            self._count()
        except OverloadedError:
            line.poll = None
            self._drop(cid, line)
            raise
        timer = self._clock.call_later(wait_seconds, poll.expire)
        try:
            while True:
                hellos = tuple(live.hello for live in line.live.values())
                name = set_name(hellos)
                if name not in known or poll.over or self._stopped or wait_seconds <= 0:
                    return HelloSet(name, hellos)
                poll.future = asyncio.get_running_loop().create_future()
                await poll.future
                if line.gone:
                    raise ChannelGoneError
                if line.poll is not poll:
                    raise SupersededError
        finally:
            timer.cancel()
            self._requests -= 1
            if line.poll is poll:
                line.poll = None
            self._drop(cid, line)

    def answer(self, cid: bytes, hid: bytes, sealed: bytes) -> Answered:
        """Give a live hello its one answer."""
        line = self._lines.get(cid)
        if line is None:
            return Answered.GONE
        if hid in line.answered:
            return Answered.BEFORE
        live = line.live.get(hid)
        if live is None or live.future.done():
            return Answered.GONE
        del line.live[hid]
        live.future.set_result(sealed)
        line.answered.add(hid)
        self._clock.call_later(self._answered_seconds, self._forget_answer, cid, line, hid)
        self._wake(line)
        return Answered.DELIVERED

    def channel_gone(self, cid: bytes) -> None:
        """End everything that waits on a channel (R86)."""
        line = self._lines.setdefault(cid, _Line())
        # Whoever has looked the channel up just before, and waits just after, is told as well.
        line.gone = True
        self._clock.call_later(self._answered_seconds, self._forget_gone, cid, line)
        for live in list(line.live.values()):
            _end(live, _End.GONE)
        line.live.clear()
        if line.poll is not None:
            line.poll.end(_End.GONE)

    def stop(self) -> None:
        """Answer everybody who waits, now and from now on, as if the time were over (R8)."""
        self._stopped = True
        for watches in self._watches.values():
            for watch in watches:
                watch.notify(stopped=True)
        for line in self._lines.values():
            for live in line.live.values():
                _end(live, _End.OVER)
            if line.poll is not None:
                line.poll.end(_End.OVER)

    def _count(self) -> None:
        if self._requests >= self._requests_max:
            raise OverloadedError
        self._requests += 1

    def _line(self, cid: bytes) -> _Line:
        line = self._lines.get(cid)
        if line is None:
            line = self._lines[cid] = _Line()
        elif line.gone:
            raise ChannelGoneError
        return line

    def _drop(self, cid: bytes, line: _Line) -> None:
        if line.idle and self._lines.get(cid) is line:
            del self._lines[cid]

    def _wake(self, line: _Line) -> None:
        if line.poll is not None:
            line.poll.end(_End.CHANGED)

    def _forget_answer(self, cid: bytes, line: _Line, hid: bytes) -> None:
        line.answered.discard(hid)
        self._drop(cid, line)

    def _forget_gone(self, cid: bytes, line: _Line) -> None:
        line.gone = False
        self._drop(cid, line)


def _end(live: _Live, why: _End) -> None:
    if not live.future.done():
        live.future.set_result(why)
