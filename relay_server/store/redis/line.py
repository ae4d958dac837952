"""One connection to a Redis, over which many commands are under way at once.

redis-py connects, encrypts, logs in and parses. What its clients do not do is done here: commands
that come in the same turn of the event loop leave in one write, and a batch of writes is followed
by one ``WAIT`` for all of them, on the connection that wrote, which is the only one it counts for.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

BACKOFF_SECONDS = 0.25
"""Whoever asks this soon after a connection could not be made is refused at once."""

Word = bytes | str | int


class LostError(Exception):
    """The connection is lost, or could not be made: nobody knows what became of the command."""


class UnacknowledgedError(Exception):
    """It is written, but fewer replicas than asked for have said in time that they have it."""


class _Sent:
    """A command that waits for its reply; ``None`` as its future marks a WAIT."""

    __slots__ = ("future", "since")

    def __init__(self, future: asyncio.Future[Any] | None, since: float) -> None:
        self.future = future
        self.since = since


class Line:
    """A connection that is made when it is needed, and made again after it was lost."""

    def __init__(
        self,
        make: Callable[[], AbstractConnection],
        *,
        timeout: float,
        wait: int = 0,
        wait_ms: int = 0,
    ) -> None:
        self._make = make
        self._timeout = timeout
        self._wait = wait
        self._wait_ms = wait_ms
        self._connection: AbstractConnection | None = None
        self._connecting = asyncio.Lock()
        self._refuse_until = 0.0
        self._outbox: list[bytes] = []
        self._due = asyncio.Event()
        self._sent: deque[_Sent] = deque()
        self._held: list[tuple[asyncio.Future[Any], Any]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    @property
    def pending(self) -> int:
        """How many commands are under way."""
        return len(self._sent) + len(self._held) + self._connecting.locked()

    async def call(self, *words: Word) -> Any:  # noqa: ANN401 - whatever Redis says
        """Return the reply of a command.

        Raises:
            LostError: the connection is lost.
            UnacknowledgedError: written here, but not on enough replicas.
            ResponseError: Redis refuses it.
        """
        await self.ready()
        return await self.send(*words)

    async def ready(self) -> None:
        """Connect, unless that is done.

        Raises:
            LostError: it cannot be done.
        """
        if self._connection is None:
            async with self._connecting:
                await self._connect()

    async def _connect(self) -> None:
        if self._connection is not None:
            return  # another has done it meanwhile
        loop = asyncio.get_running_loop()
        if self._closed or loop.time() < self._refuse_until:
            raise LostError("not connected")
        connection = self._make()
        try:
            async with asyncio.timeout(self._timeout):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
        except (RedisError, OSError, TimeoutError) as error:
            self._refuse_until = loop.time() + BACKOFF_SECONDS
            with suppress(Exception):
                await connection.disconnect(nowait=True)
            raise LostError(str(error) or type(error).__name__) from error
        self._connection = connection
        self._tasks = [
            loop.create_task(self._write(connection)),
            loop.create_task(self._read(connection)),
            loop.create_task(self._watch()),
        ]

    def send(self, *words: Word) -> asyncio.Future[Any]:
        """Send a command on a line that is ready; returns where its reply will be."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self._connection is None:
            future.set_exception(LostError("not connected"))
            return future
        self._outbox.extend(self._connection.pack_command(*words))
        self._sent.append(_Sent(future, loop.time()))
        self._due.set()
        return future

    async def close(self) -> None:
        """End the connection and everything under way."""
        self._closed = True
        await self._lose(LostError("closed"))

    async def _write(self, connection: AbstractConnection) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                if self._wait:
                    wait = connection.pack_command("WAIT", self._wait, self._wait_ms)
                    self._outbox.extend(wait)
                    self._sent.append(_Sent(None, loop.time()))
                batch, self._outbox = self._outbox, []
                await connection.send_packed_command(batch, check_health=False)
        except (RedisError, OSError) as error:
            await self._lose(error)

    async def _read(self, connection: AbstractConnection) -> None:
        try:
            while True:
                try:
                    reply = await connection.read_response(
                        timeout=math.inf, disconnect_on_error=False
                    )
                except ResponseError as error:
                    reply = error
                self._answer(self._sent.popleft().future, reply)
        except (RedisError, OSError, IndexError) as error:
            await self._lose(error)

    def _answer(self, future: asyncio.Future[Any] | None, reply: Any) -> None:  # noqa: ANN401
        if future is not None:
            if self._wait:
                self._held.append((future, reply))
            else:
                _settle(future, reply)
            return
        held, self._held = self._held, []
        enough = isinstance(reply, int) and reply >= self._wait
        for waiting, its_reply in held:
            refused = isinstance(its_reply, Exception)
            _settle(waiting, its_reply if enough or refused else UnacknowledgedError())

    async def _watch(self) -> None:
        """Give a connection up that has not answered for too long: a cut cable says nothing."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._timeout / 4)
            if self._sent and loop.time() - self._sent[0].since > self._timeout + self._grace:
                await self._lose(LostError("no answer in time"))

    @property
    def _grace(self) -> float:
        return self._wait_ms / 1000 if self._wait else 0.0

    async def _lose(self, error: BaseException) -> None:
        connection, self._connection = self._connection, None
        sent, self._sent = self._sent, deque()
        held, self._held = self._held, []
        self._outbox = []
        for future in [item.future for item in sent] + [future for future, _ in held]:
            if future is not None:
                _settle(future, LostError(str(error) or type(error).__name__))
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()
        if connection is not None:
            with suppress(Exception):
                await connection.disconnect(nowait=True)
        if asyncio.current_task() in tasks:
            raise asyncio.CancelledError  # this connection's tasks end with it


def _settle(future: asyncio.Future[Any], reply: Any) -> None:  # noqa: ANN401
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
        future.exception()  # whoever asked may be gone, and that is no fault
    else:
        future.set_result(reply)
