"""The open connections of one listener: how many, how many from one address, and until when.

Every listener of the till uses this, because each can be called by whoever is in the shop's network
or runs programs on the till's computer. A connection that does nothing gives way to a new one, and
first one of the address that has the most of them: who opens many only pushes out their own.
"""

import asyncio
import contextlib
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from e2ee_ticket.sources import Finding

TOO_MANY: Final = Finding(
    ok=False,
    text="so many connections are open that one was refused",
    hint="see which device or program in the shop's network opens them",
)

_NOBODY: Final = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one listener carries.

    Attributes:
        connections: at once.
        connections_per_address: of them from one address; programs on this computer may have all.
        idle_seconds: how long a connection may be without a whole request; None is for ever, or
            until another needs its place.
        busy_seconds: how long one request may take, answer included; None is for ever.
    """

    connections: int = 128
    connections_per_address: int = 12
    idle_seconds: float | None = 30.0
    busy_seconds: float | None = 60.0


@dataclass(eq=False, slots=True)
class Connection:
    """One connection that was let in."""

    transport: asyncio.BaseTransport
    address: str
    busy: bool = False
    leaving: bool = False
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)


class Connections:
    """All open connections of one listener.

    `refused` is called whenever a connection is closed at once because there is no place for it.
    """

    def __init__(self, limits: Limits, refused: Callable[[], None] = lambda: None) -> None:
        self.limits = limits
        self.refused = refused
        # The one that has been idle for longest comes first.
        self._open: dict[Connection, None] = {}

    def __len__(self) -> int:
        """Count the connections, without those that are being closed."""
        return sum(not connection.leaving for connection in self._open)

    def enter(self, transport: asyncio.BaseTransport) -> Connection | None:
        """Let a new connection in; None is for one that was closed, as there is no place for it."""
        address = _address(transport)
        if not self._make_room(address):
            _abort(transport)
            self.refused()
            return None
        connection = Connection(transport, address)
        self._open[connection] = None
        self._end_in(connection, self.limits.idle_seconds)
        return connection

    def leave(self, connection: Connection) -> None:
        """Count a connection that has ended, and what served it with it."""
        if connection.timer is not None:
            connection.timer.cancel()
        self._open.pop(connection, None)

    def begin(self, connection: Connection) -> None:
        """A connection has a request: it gives way to none, and has its time."""
        connection.busy = True
        self._end_in(connection, self.limits.busy_seconds)

    def rest(self, connection: Connection) -> None:
        """A connection has its answer: it may give way to another."""
        connection.busy = False
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None
        self._end_in(connection, self.limits.idle_seconds)

    @contextlib.contextmanager
    def busy(self, connection: Connection) -> Iterator[None]:
        """Give a request its time, and then the connection its time without one."""
        self.begin(connection)
        try:
            yield
        finally:
            self.rest(connection)

    def _make_room(self, address: str) -> bool:
        here = Counter(each.address for each in self._open if not each.leaving)
        share = self.limits.connections
        if not is_loopback(address):
            share = min(share, self.limits.connections_per_address)
        if here[address] >= share:
            return self._close_idle(address)
        if here.total() < self.limits.connections:
            return True
        here[address] += 1  # the newcomer's, so that one of many does not push out one of few
        return any(self._close_idle(most) for most, _ in here.most_common())

    def _close_idle(self, address: str) -> bool:
        for connection in self._open:
            if connection.address == address and not (connection.busy or connection.leaving):
                connection.leaving = True
                _abort(connection.transport)
                return True
        return False

    def _end_in(self, connection: Connection, seconds: float | None) -> None:
        if connection.timer is not None:
            connection.timer.cancel()
            connection.timer = None
        if seconds is not None and connection in self._open and not connection.leaving:
            loop = asyncio.get_running_loop()
            connection.timer = loop.call_later(seconds, _abort, connection.transport)


class Bodies:
    """How many requests may bring their bodies at once: each is held in memory.

    From one address comes but a part of them, so that a slow or hostile device keeps only itself
    waiting; programs on this computer may have all.
    """

    def __init__(self, count: int, per_address: int) -> None:
        self._all = asyncio.Semaphore(count)
        self._per_address = per_address
        self._of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def one_of(self, address: str) -> AsyncIterator[None]:
        """Wait for a place, and have it until the end of the block."""
        if is_loopback(address):
            async with self._all:
                yield
            return
        share = self._of.setdefault(neighbourhood(address), asyncio.Semaphore(self._per_address))
        async with share, self._all:
            yield


def neighbourhood(address: str) -> str:
    """Return what one caller cannot change at will: the address, or the /64 of an IPv6 one."""
    try:
        parsed = parse_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and not parsed.is_loopback:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def parse_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read an IP address; an IPv4 one that came through an IPv6 socket is an IPv4 one.

    Raises:
        ValueError: it is none.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def is_loopback(address: str) -> bool:
    """Tell whether an address leads to this computer alone; a name does not."""
    try:
        return parse_address(address).is_loopback
    except ValueError:
        return False


def _address(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername") or (_NOBODY,)
    return neighbourhood(str(peer[0]))


def _abort(transport: asyncio.BaseTransport) -> None:
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
    else:
        transport.close()
