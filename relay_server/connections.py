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
from relay_server.limits import Shares, network
from relay_server.logs import log_fault
from relay_server.metrics import Metrics
from relay_server.proxies import Trust
from relay_server.relay import ENVELOPE_MAX_SIZE

_REFUSED_MAX = HEAD_MAX_SIZE + ENVELOPE_MAX_SIZE
_WITH_BODY = frozenset({"POST", "PUT"})
_END = b"\r\n\r\n"


class Owner(Protocol):
    """What a connection asks of the relay that it belongs to."""

    config: Config
    crowd: Crowd

    def plain_answer(self, head: Head, body: bytes, *, close: bool = False) -> Answer:
        """Return an answer that aiohttp can send."""

    def refuse_upload(self, size: int, *, close: bool) -> tuple[bytes, bool]:
        """Return the answer to an upload of so many bytes, and whether it is the last one."""

    def refuse_head(self, size: int) -> bytes:
        """Return the answer to a head that is too long; it is the last one."""


class Arriving:
    """The head of a request while it arrives: how long it is, and whether it has ended."""

    __slots__ = ("_last", "is_whole", "size")

    def __init__(self) -> None:
        self.size = 0
        self.is_whole = False
        self._last = b""

    def add(self, data: bytes) -> int:
        """Take more of it; return how long it is so far."""
        joined = self._last + data
        end = joined.find(_END)
        self.is_whole = end >= 0
        self.size += (end + len(_END) if self.is_whole else len(joined)) - len(self._last)
        self._last = joined[1 - len(_END) :]
        return self.size


class Connection(web.RequestHandler):
    """One connection.

    It knows where each request ends for as long as nobody can doubt it (`crowd.measure`), for two
    reasons: whole uploads are counted, and one that begins while there are too many is thrown away.
    """

    __slots__ = (
        "_ahead",
        "_begun",
        "_head",
        "_is_answered",
        "_is_deaf",
        "_left",
        "_open",
        "_owner",
        "_refused",
        "_request",
        "_under_way",
    )

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
            max_line_size=owner.config.line_max_bytes,
            max_field_size=owner.config.line_max_bytes,
            max_headers=owner.config.fields_max,
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
        self._refused = False
        """It is thrown away."""
        self._head: Arriving | None = Arriving()
        """The head that is arriving; None behind its end."""
        self._under_way: web.BaseRequest | None = None
        """The request whose answer is not made, or not read enough of."""
        self._is_deaf = False
        """Nothing that comes is looked at any more."""
        self._is_answered = False
        self._ahead = 0
        """Bytes behind it, which wait for its answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if self._open is not None:
            self._open.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let it go."""
        if self._open is not None:
            self._open.discard(self)
        self._owner.crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Let aiohttp have what comes, but for uploads that there is no room for (R14)."""
        if self._is_deaf:
            return
        if data:
            if not self._begun and not self._refused:
                self._begin(measure(data))
            self._left -= len(data)
            if self._refused:
                if self._left <= 0:
                    self._refuse()
                return
            if not self._has_room(data):
                return
            if self._left == 0 and self._request.is_upload:
                self._owner.crowd.enter(self)
        super().data_received(data)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        """Read on; aiohttp says so after each body, even where nothing was paused."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def begun(self, request: web.BaseRequest) -> None:
        """Note that a request has its handler."""
        self._under_way = request
        self._is_answered = False
        self._head = None
        self._ahead = 0

    def answered(self) -> None:
        """Note that a request has its answer, which its caller has not read yet."""
        self._owner.crowd.leave(self)

    def rest(self, request: web.BaseRequest) -> None:
        """Note that an answer has gone out; what comes behind its request is another one."""
        self._is_answered = True
        self._go_on()
        if self._left == 0 and request.content.is_eof():
            self._begun = False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the signature is aiohttp's
    ) -> web.StreamResponse:
        """Answer what is no request, or what made the relay stumble; it is no upload any more."""
        self._owner.crowd.leave(self)
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
        if request.size >= 0:
            self._head = None

    def _go_on(self) -> None:
        """Expect another request, if one has its answer and its whole body has come."""
        request = self._under_way
        if self._is_answered and request is not None and request.content.is_eof():
            self._is_answered, self._under_way = False, None
            if not self._ahead:
                self._head = Arriving()

    def _has_room(self, data: bytes) -> bool:
        """Tell whether what comes may be kept; else the connection has ended (R15)."""
        transport = self.transport
        if self._open is None or transport is None or transport.is_closing():
            return True
        self._go_on()
        if self._head is not None:
            if self._head.add(data) <= self._owner.config.head_max_bytes:
                self._head = None if self._head.is_whole else self._head
                return True
            self._refuse_head(transport, self._head.size)
            return False
        if self._ahead or self._expects_nothing():
            self._ahead += len(data)
            if self._ahead > self._owner.config.ahead_max_bytes:
                transport.abort()
                return False
        return True

    def _refuse_head(self, transport: asyncio.Transport, size: int) -> None:
        """Answer a head that is too long, and throw away what else comes until its caller leaves.

        Closed at once, the connection would be reset, and the answer lost on its way.
        """
        self._is_deaf = True
        transport.write(self._owner.refuse_head(size))
        transport.write_eof()
        if self._open is not None:
            self._open.close_later(transport)

    def _expects_nothing(self) -> bool:
        request = self._under_way
        return request is not None and (
            request.method not in _WITH_BODY or request.content.is_eof()
        )

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

    def __init__(
        self, config: Config, clock: Clock, metrics: Metrics, dates: Dates, trust: Trust
    ) -> None:
        self._config = config
        self._trust = trust
        self._unread = Shares(config.unread_max_bytes)
        self._clock = clock
        self._metrics = metrics
        self._dates = dates
        self._all: set[object] = set()
        self._fresh: dict[object, float] = {}
        self._idle: dict[Connection, None] = {}
        """Those without a request, the longest idle first."""
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._all)

    def add(self, protocol: Connection) -> None:
        """Count a connection; above the limit the one that is idle for longest gives way to it.

        Where none is idle, the new one is told so, and closed.
        """
        if len(self._all) >= self._config.connections_max and protocol.transport is not None:
            self._metrics.connections_refused += 1
            idle = next(iter(self._idle), None)
            if idle is None:
                refusal = refusal_bytes(OverloadedError(), self._dates, close=True)
                protocol.transport.write(refusal)
                protocol.transport.close()
                return
            self.discard(idle)
            if idle.transport is not None:
                idle.transport.abort()
        self._metrics.connections += 1
        self._all.add(protocol)
        self._idle[protocol] = None
        self._fresh[protocol] = self._clock.monotonic() + self._config.head_seconds
        if self._timer is None:
            self._timer = self._clock.call_later(self._config.head_seconds, self._close_late)

    def begin(self, protocol: object) -> None:
        """Note that a connection has brought a request; from now on it is aiohttp that counts."""
        self._fresh.pop(protocol, None)
        if isinstance(protocol, Connection):
            self._idle.pop(protocol, None)

    async def sent(self, request: web.BaseRequest, size: int) -> None:
        """Wait until a caller has read most of its answer, of which this is the body's size.

        Raises:
            ConnectionResetError: it reads too slowly, or holds the most of all when there is no
                room for more (R14).
        """
        transport, protocol = request.transport, request.protocol
        if transport is not None and transport.get_write_buffer_size() > JOIN_MAX_SIZE:
            owner = network(self._trust.caller(request.remote or "", request.headers))
            try:
                with self._unread.hold(owner, transport.abort) as held:
                    held.grow(size)
                    async with asyncio.timeout(self._config.answer_seconds):
                        await request.writer.drain()
            except (TimeoutError, OverloadedError):
                transport.abort()
                raise ConnectionResetError("the caller reads too slowly") from None
        if isinstance(protocol, Connection):
            protocol.rest(request)
            if protocol in self._all:
                self._idle[protocol] = None

    def discard(self, protocol: Connection) -> None:
        """Count a connection no more."""
        self._all.discard(protocol)
        self._idle.pop(protocol, None)
        self._fresh.pop(protocol, None)

    def close_later(self, transport: asyncio.Transport) -> None:
        """Cut a connection off whose caller does not leave after its last answer."""
        self._clock.call_later(self._config.linger_seconds, transport.abort)

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
