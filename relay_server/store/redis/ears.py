"""What relays tell each other: who waits here hears what is done there.

Each name that somebody waits for has a channel of its own (sharded publish and subscribe), so that
a relay hears of what it waits for and of nothing else. Whoever listens looks once more after it has
begun to, and again whenever the connection was lost meanwhile: no wake-up is lost for good.
"""

import asyncio
import math
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from relay_server.errors import OverloadedError
from relay_server.store.redis.nodes import RETRY_SECONDS, Nodes, connection_to
from relay_server.store.redis.url import Address, RedisUrl

LOOK = b"?"
"""What a listener hears when it may have missed something."""
PING_SECONDS = 1.0
SILENCE_SECONDS = 3.0
"""A connection that has been silent for so long, though asked, is given up."""
LINGER_SECONDS = 5.0
"""For so long a name is listened to after the last who waited: polls follow each other closely."""
AGAIN_SECONDS = 0.2
AGAIN_MAX_SECONDS = 2.0
"""So much apart, and at random, are the attempts of each name while a server is away."""

Hear = Callable[[bytes], None]


class _Name:
    """A name that is listened to."""

    __slots__ = ("ear", "heard", "hears", "idle_since", "missed", "refused")

    def __init__(self) -> None:
        self.hears: set[Hear] = set()
        self.heard: asyncio.Future[None] | None = None
        self.ear: _Ear | None = None
        self.idle_since = 0.0
        self.missed = False
        self.refused = False


class _Ear:
    """The connection on which we hear one server."""

    def __init__(self, ears: "Ears", address: Address, connection: AbstractConnection) -> None:
        self.address = address
        self.alive = True
        self._ears = ears
        self._connection = connection
        self._asked: deque[tuple[bytes, bytes]] = deque()
        self._outbox: list[bytes] = []
        self._due = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        self._tasks = [
            loop.create_task(self._read()),
            loop.create_task(self._write()),
            loop.create_task(self._ping()),
        ]

    def ask(self, word: bytes, name: bytes = b"") -> None:
        """Send SSUBSCRIBE, SUNSUBSCRIBE or PING."""
        self._asked.append((word, name))
        words = (word, name) if name else (word,)
        self._outbox.extend(self._connection.pack_command(*words))
        self._due.set()

    async def close(self) -> None:
        """End it."""
        self.alive = False
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        with suppress(Exception):
            await self._connection.disconnect(nowait=True)

    async def _write(self) -> None:
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                batch, self._outbox = self._outbox, []
                await self._connection.send_packed_command(batch, check_health=False)
        except (RedisError, OSError):
            await self._lose()

    async def _ping(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self.ask(b"PING")
            await asyncio.sleep(PING_SECONDS)
            if loop.time() - self._last > SILENCE_SECONDS:
                await self._lose()
                return

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    reply = await self._connection.read_response(
                        timeout=math.inf, disconnect_on_error=False
                    )
                except ResponseError:
                    # The slot has moved, or the server is no master any more.
                    _, name = self._asked.popleft()
                    self._ears.refused(self, name)
                    continue
                self._last = loop.time()
                if not isinstance(reply, list) or reply[0] == b"pong":
                    self._asked.popleft()
                elif reply[0] == b"smessage":
                    self._ears.heard(reply[1], reply[2])
                else:
                    self._confirm(reply[0], reply[1])
        except (RedisError, OSError, IndexError):
            await self._lose()

    def _confirm(self, kind: bytes, name: bytes) -> None:
        ours = bool(self._asked) and self._asked[0] == (kind.upper(), name)
        if ours:
            self._asked.popleft()
        if kind == b"ssubscribe":
            self._ears.confirmed(self, name)
        elif not ours:  # the slot moves to another server
            self._ears.refused(self, name)

    async def _lose(self) -> None:
        await self.close()
        self._ears.lost(self)


class Ears:
    """All that this relay listens to."""

    def __init__(self, url: RedisUrl, nodes: Nodes) -> None:
        self._url = url
        self._nodes = nodes
        self._names: dict[bytes, _Name] = {}
        self._ears: dict[Address, _Ear] = {}
        self._opening: dict[Address, asyncio.Lock] = {}
        self._refuse_until: dict[Address, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tidying: asyncio.Task[None] | None = None
        self._closed = False
        nodes.on_moved = self._moved

    @property
    def pending(self) -> int:
        """How many names are asked for and not yet heard."""
        return sum(
            name.heard is not None and not name.heard.done() for name in self._names.values()
        )

    @property
    def names(self) -> int:
        """How many names somebody waits for."""
        return sum(bool(name.hears) for name in self._names.values())

    @asynccontextmanager
    async def listening(self, name: bytes, hear: Hear) -> AsyncIterator[None]:
        """Call ``hear`` with everything said to a name, until the block ends.

        Raises:
            OverloadedError: Redis is not there.
        """
        entry = self._names.get(name)
        if entry is None:
            entry = self._names[name] = _Name()
        entry.hears.add(hear)
        if self._tidying is None:
            self._tidying = asyncio.create_task(self._tidy())
        try:
            if entry.ear is None:
                if entry.heard is None:
                    entry.heard = asyncio.get_running_loop().create_future()
                    self._spawn(name, entry)
                try:
                    async with asyncio.timeout(self._url.timeout_ms / 1000):
                        await asyncio.shield(entry.heard)
                except TimeoutError:
                    raise OverloadedError(RETRY_SECONDS) from None
            yield
        finally:
            entry.hears.discard(hear)
            entry.idle_since = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """Listen to nothing any more."""
        self._closed = True
        tasks = [*self._tasks, *([self._tidying] if self._tidying else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for ear in list(self._ears.values()):
            await ear.close()
        self._ears.clear()

    # What the connections report

    def heard(self, name: bytes, message: bytes) -> None:
        """Pass on what was said."""
        entry = self._names.get(name)
        if entry is not None:
            for hear in tuple(entry.hears):
                hear(message)

    def confirmed(self, ear: _Ear, name: bytes) -> None:
        """Note that a name is listened to from now on."""
        entry = self._names.get(name)
        if entry is None:
            ear.ask(b"SUNSUBSCRIBE", name)
            return
        entry.ear = ear
        if entry.heard is not None:
            if not entry.heard.done():
                entry.heard.set_result(None)
            entry.heard = None
        if entry.missed:
            entry.missed = False
            self.heard(name, LOOK)

    def refused(self, ear: _Ear, name: bytes) -> None:
        """Listen to a name elsewhere, if anybody still waits for it."""
        entry = self._names.get(name)
        if entry is None or entry.ear not in (ear, None):
            return
        entry.ear = None
        entry.refused = True
        self._nodes.refresh_soon()
        self._again(name, entry)

    def lost(self, ear: _Ear) -> None:
        """Listen again to everything that was heard on a connection."""
        if self._ears.get(ear.address) is ear:
            del self._ears[ear.address]
        self._nodes.refresh_soon()
        for name, entry in list(self._names.items()):
            if entry.ear is ear:
                entry.ear = None
                self._again(name, entry)

    def _moved(self) -> None:
        for name, entry in list(self._names.items()):
            if entry.ear is not None and entry.ear.address != self._nodes.owner(name):
                entry.ear.ask(b"SUNSUBSCRIBE", name)
                entry.ear = None
                self._again(name, entry)

    # Listening

    def _again(self, name: bytes, entry: _Name) -> None:
        if not entry.hears:
            del self._names[name]
            return
        entry.missed = True
        if entry.heard is None and not self._closed:
            entry.heard = asyncio.get_running_loop().create_future()
            self._spawn(name, entry)

    def _spawn(self, name: bytes, entry: _Name) -> None:
        task = asyncio.create_task(self._listen(name, entry))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, name: bytes, entry: _Name) -> None:
        """Ask the server that has a name to be told, until it says yes."""
        pause = AGAIN_SECONDS
        while self._names.get(name) is entry and entry.hears:
            ear = await self._open(self._nodes.owner(name))
            if ear is not None:
                entry.refused = False
                ear.ask(b"SSUBSCRIBE", name)
                if await self._is_heard(entry, ear):
                    return
            self._nodes.refresh_soon()
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause = min(2 * pause, AGAIN_MAX_SECONDS)
        if self._names.get(name) is entry:
            del self._names[name]

    async def _is_heard(self, entry: _Name, ear: _Ear) -> bool:
        while True:
            heard = entry.heard
            if heard is None:
                return True
            if entry.refused or not ear.alive:
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_SECONDS):
                    await asyncio.shield(heard)

    async def _open(self, address: Address) -> _Ear | None:
        ear = self._ears.get(address)
        if ear is not None and ear.alive:
            return ear
        async with self._opening.setdefault(address, asyncio.Lock()):
            ear = self._ears.get(address)
            if ear is not None and ear.alive:
                return ear
            loop = asyncio.get_running_loop()
            if loop.time() < self._refuse_until.get(address, 0.0):
                return None  # another has just tried
            connection = connection_to(self._url, address)
            try:
                async with asyncio.timeout(self._url.timeout_ms / 1000):
                    await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
            except (RedisError, OSError, TimeoutError):
                with suppress(Exception):
                    await connection.disconnect(nowait=True)
                self._refuse_until[address] = loop.time() + AGAIN_SECONDS
                return None
            ear = self._ears[address] = _Ear(self, address, connection)
            return ear

    async def _tidy(self) -> None:
        """Stop to listen to what nobody has waited for lately."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LINGER_SECONDS / 2)
            before = loop.time() - LINGER_SECONDS
            for name, entry in list(self._names.items()):
                if entry.hears or entry.heard is not None or entry.idle_since > before:
                    continue
                del self._names[name]
                if entry.ear is not None:
                    entry.ear.ask(b"SUNSUBSCRIBE", name)
