"""Stand-ins for the relay: a clock that stands still, a store that stalls, a bare connection."""

import asyncio
import heapq
import itertools


class FakeTimer:
    """A call that `Clock.advance` makes, unless it was called off."""

    def __init__(self, callback, args):
        self.callback = callback
        self.args = args
        self.cancelled = False

    def cancel(self):
        self.cancelled = True


class Clock:
    """A clock that stands still until it is told to move; the wall's hands can be moved alone."""

    def __init__(self, wall=1_800_000_000.0):
        self._wall = wall
        self._monotonic = 1_000.0
        self._timers = []
        self._order = itertools.count()

    def wall(self):
        return self._wall

    def certain(self):
        return self._wall

    def monotonic(self):
        return self._monotonic

    def call_later(self, seconds, callback, *args):
        timer = FakeTimer(callback, args)
        heapq.heappush(self._timers, (self._monotonic + seconds, next(self._order), timer))
        return timer

    @property
    def planned(self):
        """How many calls are still to be made."""
        return sum(not timer.cancelled for _, _, timer in self._timers)

    def set_wall(self, wall):
        """Somebody sets the clock: time does not pass, and nothing that waits ends."""
        self._wall = wall

    def advance(self, seconds):
        """Let time pass, and make every call that falls due on its own moment."""
        end = self._monotonic + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            self._move(due - self._monotonic)
            if not timer.cancelled:
                timer.callback(*timer.args)
        self._move(end - self._monotonic)

    def _move(self, seconds):
        self._monotonic += seconds
        self._wall += seconds


class StallingStore:
    """A store that stops before the calls it is told to stop at, until it is let go."""

    def __init__(self, store, *names):
        self._store = store
        self._names = names
        self.go = asyncio.Event()
        self.stalled = asyncio.Semaphore(0)

    def __getattr__(self, name):
        real = getattr(self._store, name)
        if name not in self._names:
            return real

        async def stall(*args, **kwargs):
            self.stalled.release()
            await self.go.wait()
            return await real(*args, **kwargs)

        return stall


class Line(asyncio.Transport):
    """A connection whose other end we are."""

    def __init__(self, protocol, address="192.0.2.1"):
        super().__init__({"peername": (address, 4711)})
        self.protocol = protocol
        self.written = b""
        self.closed = False
        """The relay has hung up, or we have left."""
        self.lost = False
        self.reads = True
        self.unread = 0
        """Bytes that the other end has not read: a transport is not lost before they are."""
        self._high = 64 * 1024
        self._paused = False

    def write(self, data):
        self.written += data
        if not self.reads:
            self.unread += len(data)
            if self.unread > self._high and not self._paused:
                self._paused = True
                self.protocol.pause_writing()

    def read_on(self):
        """Read what is there, and what comes."""
        self.reads, self.unread = True, 0
        if self._paused:
            self._paused = False
            self.protocol.resume_writing()

    def close(self):
        self.closed = True
        if not self.unread:
            self.abort()

    def abort(self):
        self.closed = True
        if not self.lost:
            self.lost = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    leave = abort

    def write_eof(self):
        pass

    def is_closing(self):
        return self.closed

    def get_write_buffer_size(self):
        return self.unread

    def set_write_buffer_limits(self, high=None, low=None):
        self._high, self._low = high, low

    def pause_reading(self):
        pass

    resume_reading = pause_reading


async def until(condition):
    """Let the event loop turn until something is so; the test's own timeout ends it otherwise."""
    while not condition():  # noqa: ASYNC110 - what is looked at has no event
        await asyncio.sleep(0)
