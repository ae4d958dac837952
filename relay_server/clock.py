"""The times the relay knows, as one thing that is passed in.

Expiry is a matter of the wall clock, and of the relay's alone; how long a request waits is a matter
of the monotonic one, so that nobody waits for a year because somebody set the clock.

A wall clock may be wrong: a battery is empty, a virtual machine slept, somebody mistyped a date. By
`GuardedClock` such a clock may make the relay say "expired", but never destroy: what is destroyed
is destroyed by the earliest time that it can be.
"""

import asyncio
import ctypes
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

JUMP_SECONDS = 60
"""How far the wall clock may leave the monotonic one before it is doubted."""
REBOOT_SECONDS = 3_600
"""How long a machine may have been off before its clock is doubted."""
PROOF_SECONDS = 600
"""How long the kernel must call its clock synchronized before that proves it right."""
DAY = 86_400
HOUR = 3_600


class Timer(Protocol):
    """Something that was planned and can be called off."""

    def cancel(self) -> None:
        """Call it off."""


class Clock(Protocol):
    """What the relay asks about time."""

    def wall(self) -> float:
        """Return seconds since 1970: what is over and what is not."""

    def certain(self) -> float:
        """Return seconds since 1970, the earliest that it can be: what may be destroyed."""

    def monotonic(self) -> float:
        """Return seconds since some moment."""

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> Timer:
        """Plan a call in the running event loop."""


class SystemClock:
    """The machine's clocks, taken at their word."""

    def wall(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def certain(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> Timer:
        """Plan a call in the running event loop."""
        return asyncio.get_running_loop().call_later(seconds, callback, *args)


class Seen(NamedTuple):
    """The newest time that a relay has seen, as it is kept beside its data."""

    wall: float
    uptime: float
    """Seconds since the machine was started, at that time; 0 where that is not known."""
    boot: str = ""
    """Which start of the machine it was; empty where that is not known."""


class Machine:
    """What the machine says of its time beside the two clocks."""

    def uptime(self) -> float:
        """Return seconds since the machine was started, sleep included, or 0 if unknown."""
        try:
            return float(Path("/proc/uptime").read_text("ascii").split()[0])
        except (OSError, ValueError, IndexError):
            pass
        boottime = getattr(time, "CLOCK_BOOTTIME", None)
        return 0.0 if boottime is None else time.clock_gettime(boottime)

    def boot(self) -> str:
        """Return which start of the machine this is, or nothing if unknown."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        except OSError:
            return ""

    def is_synchronized(self) -> bool:
        """Tell whether the kernel says that a time service keeps this very clock right."""
        if sys.platform != "linux":
            return False
        try:
            timex = _Timex()
            state = int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)))
        except (OSError, AttributeError):
            return False
        # What is asked must be what the kernel has: not the time of a library in between.
        same = abs(int(timex.seconds) - time.time()) < JUMP_SECONDS
        return 0 <= state < _TIME_ERROR and same


class GuardedClock:
    """A clock that is compared with itself, and with what a relay saw before it was started.

    ``wall()`` is what tickets are judged by: the wall clock, but for one that was set back, which
    gives way to what the monotonic clock has counted since. ``certain()`` and ``latest()`` are the
    earliest and the latest that it can be; they differ only while the clock is doubted.
    """

    def __init__(
        self, clock: Clock, *, seen: Seen | None = None, machine: Machine | None = None
    ) -> None:
        self._clock = clock
        self._machine = machine
        self._slack = float(JUMP_SECONDS)
        self._proven_since: float | None = None
        self.doubt = 0
        """By how many seconds the wall clock is ahead of what it should be, or behind if below 0;
        0 while it is believed. As of the last ``look``."""
        self._anchor_wall, self._anchor = clock.wall(), clock.monotonic()
        if seen is not None:
            self._begin(seen)
        self.look()

    def wall(self) -> float:
        """Return seconds since 1970: what is over and what is not."""
        wall, expected = self._clock.wall(), self._expected()
        return expected if wall < expected - JUMP_SECONDS else wall

    def certain(self) -> float:
        """Return seconds since 1970, the earliest that it can be."""
        wall, expected = self._clock.wall(), self._expected()
        return wall if self._agree(wall, expected) else min(wall, expected)

    def latest(self) -> float:
        """Return seconds since 1970, the latest that it can be."""
        wall, expected = self._clock.wall(), self._expected()
        return wall if self._agree(wall, expected) else max(wall, expected)

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return self._clock.monotonic()

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> Timer:
        """Plan a call in the running event loop."""
        return self._clock.call_later(seconds, callback, *args)

    def wall_of_machine(self) -> float:
        """Return what the wall clock says, believed or not."""
        return self._clock.wall()

    def look(self) -> None:
        """Compare the clocks; to be called some times a minute."""
        wall, expected = self._clock.wall(), self._expected()
        if self._agree(wall, expected) or self._is_proven():
            self._believe(wall)
        else:
            self.doubt = round(wall - expected)

    def accept(self) -> None:
        """Believe the wall clock as it is now, for the operator says so."""
        self._believe(self._clock.wall())

    def seen(self) -> Seen:
        """Return what to keep beside the data: never a time that is doubted."""
        if self._machine is None:
            return Seen(self._expected(), 0.0)
        return Seen(self._expected(), self._machine.uptime(), self._machine.boot())

    def _begin(self, seen: Seen) -> None:
        wall = self._anchor_wall
        uptime, boot = (
            (0.0, "") if self._machine is None else (self._machine.uptime(), self._machine.boot())
        )
        since = uptime - seen.uptime
        known = bool(seen.uptime) and since >= 0
        # The machine ran on without the relay if it says so, or if its clocks tell the same.
        same = known and abs((wall - seen.wall) - since) <= JUMP_SECONDS
        if known and (same or (boot and boot == seen.boot)):
            self._anchor_wall = seen.wall + since
        else:
            self._anchor_wall = seen.wall
            self._slack = REBOOT_SECONDS

    def _expected(self) -> float:
        return self._anchor_wall + self._clock.monotonic() - self._anchor

    def _agree(self, wall: float, expected: float) -> bool:
        return -JUMP_SECONDS <= wall - expected <= self._slack

    def _believe(self, wall: float) -> None:
        self._anchor_wall, self._anchor = wall, self._clock.monotonic()
        self._slack = JUMP_SECONDS
        self._proven_since = None
        self.doubt = 0

    def _is_proven(self) -> bool:
        if self._machine is None or not self._machine.is_synchronized():
            self._proven_since = None
            return False
        now = self._clock.monotonic()
        if self._proven_since is None:
            self._proven_since = now
        return now - self._proven_since >= PROOF_SECONDS


def say_doubt(seconds: int) -> str:
    """Say by how much a clock is ahead or behind, in words."""
    size = abs(seconds)
    if size >= 2 * DAY:
        amount = f"{size // DAY} days"
    elif size >= 2 * HOUR:
        amount = f"{size // HOUR} hours"
    else:
        amount = f"{size} seconds"
    return f"{amount} {'ahead of' if seconds > 0 else 'behind'} what it should be"


_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2); with ``modes`` 0 it is asked and nothing is set."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("microseconds", ctypes.c_long),
        ("rest", ctypes.c_long * 32),
    )
