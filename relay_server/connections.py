"""The relay's connections: how many, until when, and what becomes of what comes in on them.

Whatever goes wrong on a connection looks like any refusal (spec/relay.md, R1, R2, R4), and an
upload that there is no room for is refused here, before it costs anything (R14).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web

from relay_server.clock import Clock, Timer
from relay_server.config import Config
from relay_server.crowd import HEAD_MAX_SIZE, UNKNOWN, Crowd, Request, measure
from relay_server.errors import BadRequestError, InternalError, OverloadedError
from relay_server.headers import JOIN_MAX_SIZE, Answer, Dates, Head, problem, refusal_bytes
from relay_server.logs import log_fault
from relay_server.metrics import Metrics
from relay_server.relay import ENVELOPE_MAX_SIZE

_REFUSED_MAX = HEAD_MAX_SIZE + ENVELOPE_MAX_SIZE


class Owner(Protocol):
    """What a connection asks of the relay that it belongs to."""

    config: Config
    crowd: Crowd

    def plain_answer(self, head: Head, body: bytes, *, close: bool = False) -> Answer:
        """Return an answer that aiohttp can send."""

    def refuse_upload(self, size: int, *, close: bool) -> tuple[bytes, bool]:
        """Return the answer to an upload of so many bytes, and whether it is the last one."""


class Connection(web.RequestHandler):
    """One connection.

    It knows where each request ends for as long as nobody can doubt it (`crowd.measure`), for two
    reasons: whole uploads are counted, and one that begins while there are too many is thrown away.
    """

    __slots__ = ("_begun", "_counted", "_left", "_open", "_owner", "_refused", "_request")

    def __init__(
        self,
        owner: Owner,
        connections: "Connections | None",
        server: web.Server,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=owner.config.idle_seconds,
            lingering_time=owner.config.linger_seconds,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's way to have none
            auto_decompress=False,
        )
        self._owner = owner
        self._open = connections
        self._begun = connections is None
        """aiohttp has a request that is not answered yet; an operator's connection is all its."""
        self._request = UNKNOWN
        self._left = 0
        """Bytes of it that have not come yet; below 0 nobody knows, and never will."""
        self._counted = False
        """It is one of the crowd."""
        self._refused = False
        """It is thrown away."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if self._open is not None:
            self._open.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let it go."""
        if self._open is not None:
            self._open.discard(self)
        self._leave_crowd()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Let aiohttp have what comes, but for uploads that there is no room for (R14)."""
        if data:
            if not self._begun and not self._refused:
                self._begin(measure(data))
            self._left -= len(data)
            if self._refused:
                if self._left <= 0:
                    self._refuse()
                return
            if self._left == 0 and self._request.is_upload:
                self._counted = True
                self._owner.crowd.enter()
        super().data_received(data)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        """Read on; aiohttp says so after each body, even where nothing was paused."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def answered(self, request: web.BaseRequest) -> None:
        """Note that a request has its answer."""
        self._leave_crowd()
        if self._left == 0 and request.content.is_eof():
            self._begun = False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the signature is aiohttp's
    ) -> web.StreamResponse:
        """Answer what is no request, or what made the relay stumble."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has already begun")
        if status < 500:
            return self._owner.plain_answer(*problem(BadRequestError()), close=True)
        log_fault(exc)
        return self._owner.plain_answer(*problem(InternalError()), close=True)

    def log_exception(self, *_: object, **kw: object) -> None:
        """Say that something failed, but not to whom: aiohttp would name the address."""
        exception = kw.get("exc_info")
        if isinstance(exception, BaseException) and not isinstance(
            exception, web.RequestPayloadError
        ):
            log_fault(exception)

    def log_debug(self, *_: object, **__: object) -> None:
        """Say nothing."""

    def _begin(self, request: Request) -> None:
        self._request, self._left = request, request.size
        is_small = request.size <= _REFUSED_MAX
        self._refused = request.is_upload and is_small and self._owner.crowd.is_full
        self._begun = not self._refused

    def _leave_crowd(self) -> None:
        if self._counted:
            self._counted = False
            self._owner.crowd.leave()

    def _refuse(self) -> None:
        """Answer a refused upload, of which everything has come."""
        self._refused = False
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        # It has brought a whole request: from now on it may be idle for as long as any other.
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._open is not None:
            self._open.begin(self)
        # Who sends the next request before this one is answered is sent away to learn patience.
        answer, is_last = self._owner.refuse_upload(self._request.size, close=self._left < 0)
        transport.write(answer)
        if is_last:
            transport.close()
        elif transport.get_write_buffer_size() > JOIN_MAX_SIZE:
            transport.abort()  # it asks, and does not read the answers


class Server(web.Server):
    """aiohttp's low-level server with our own connections."""

    def __init__(
        self,
        owner: Owner,
        answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        connections: "Connections | None",
    ) -> None:
        # R92: a handler is cancelled when its caller is gone.
        super().__init__(answer, handler_cancellation=True)
        self._owner = owner
        self._open = connections

    def __call__(self) -> web.RequestHandler:
        """Return what handles a new connection."""
        loop = asyncio.get_running_loop()
        return Connection(self._owner, self._open, self, loop)


class Connections:
    """All connections, and those among them that have not brought a whole request yet."""

    def __init__(self, config: Config, clock: Clock, metrics: Metrics, dates: Dates) -> None:
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._dates = dates
        self._all: set[object] = set()
        self._fresh: dict[object, float] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._all)

    def add(self, protocol: Connection) -> None:
        """Count a connection; above the limit it is told so, and closed."""
        transport = protocol.transport
        if len(self._all) >= self._config.connections_max and transport is not None:
            self._metrics.connections_refused += 1
            transport.write(refusal_bytes(OverloadedError(), self._dates, close=True))
            transport.close()
            return
        self._metrics.connections += 1
        self._all.add(protocol)
        self._fresh[protocol] = self._clock.monotonic() + self._config.head_seconds
        if self._timer is None:
            self._timer = self._clock.call_later(self._config.head_seconds, self._close_late)

    def begin(self, protocol: object) -> None:
        """Note that a connection has brought a request; from now on it is aiohttp that counts."""
        self._fresh.pop(protocol, None)

    def discard(self, protocol: Connection) -> None:
        """Count a connection no more."""
        self._all.discard(protocol)
        self._fresh.pop(protocol, None)

    def _close_late(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        # In the order in which they came, so the first that is in time ends the search.
        while self._fresh:
            protocol, until = next(iter(self._fresh.items()))
            if until > now:
                self._timer = self._clock.call_later(until - now, self._close_late)
                return
            del self._fresh[protocol]
            if isinstance(protocol, Connection) and protocol.transport is not None:
                protocol.transport.abort()
