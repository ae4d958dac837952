"""The relay's connections: how many, until when, and what becomes of what comes in on them.

Whatever goes wrong on a connection looks like any refusal (spec/relay.md, R1, R2, R4), and an
upload that there is no room for is refused here, before it costs anything (R14).

Of aiohttp nothing is used but what it names in public: its request handler and its hooks. A test
lists them by name (`tests/unit/relay/test_aiohttp.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

from aiohttp import web

from relay_server.clock import Clock, Timer
from relay_server.config import Config
from relay_server.crowd import HEAD_MAX_SIZE, measure
from relay_server.errors import BadRequestError, InternalError, OverloadedError
from relay_server.headers import Answer, Dates, Head, problem, refusal_bytes
from relay_server.limits import Holding, Shares, network
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

    @property
    def is_crowded(self) -> bool:
        """Whether an upload that begins now is to be refused unread."""

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
        begun = data if self._last else data.lstrip(b"\r\n")  # a parser passes over empty lines
        self.size += len(data) - len(begun)
        joined = self._last + begun
        end = joined.find(_END)
        self.is_whole = end >= 0
        self.size += (end + len(_END) if self.is_whole else len(joined)) - len(self._last)
        self._last = joined[1 - len(_END) :]
        return self.size


class Connection(web.RequestHandler):
    """One connection: what has come on it that no handler has yet, and what is still unread."""

    __slots__ = (
        "_ahead",
        "_arriving",
        "_early",
        "_ending",
        "_is_answered",
        "_is_deaf",
        "_of",
        "_open",
        "_rested",
        "_thrown",
        "_thrown_size",
        "_under_way",
        "line",
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
        self._of = owner
        self._open = connections
        """None on the operator's listener, where nobody is counted."""
        self.line: asyncio.Transport | None = None
        """The transport until it is lost; aiohttp forgets its own when it begins to close."""
        self._arriving: Arriving | None = Arriving()
        """The head that is arriving; None behind its end."""
        self._under_way: web.BaseRequest | None = None
        """The request whose answer is not made, or not read."""
        self._is_answered = False
        self._ahead = 0
        """Bytes behind it, which wait for its answer."""
        self._early: Holding | None = None
        """What has come early, counted together with that of all others."""
        self._thrown = 0
        """Bytes of a refused upload that have not come yet."""
        self._thrown_size = 0
        self._rested = 0.0
        """When it was taken, or the library has had its last request's answer out."""
        self._is_deaf = False
        """Nothing that comes is looked at any more."""
        self._ending: Timer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        # What uvloop gives is a transport in all but its class.
        self.line = cast("asyncio.Transport", transport)
        # An answer is out when nothing of it is left here: whoever does not read is known.
        self.line.set_write_buffer_limits(high=0)
        if self._open is not None:
            self._rested = self._open.now()
            self._open.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let it go."""
        self.line = None
        if self._ending is not None:
            self._ending.cancel()
        self._keep_no_early()
        if self._open is not None:
            self._open.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Let aiohttp have what comes, but for uploads that there is no room for (R14)."""
        if self._is_deaf:
            return
        if self._thrown:
            self._throw_away(data)
            return
        if data and self._open is not None:
            self._go_on()
            size = measure(data) if self._of.is_crowded and self._begins_here() else 0
            if 0 < size <= _REFUSED_MAX:
                self._thrown = self._thrown_size = size
                self._throw_away(data)
                return
            if not self._has_room(data):
                return
        super().data_received(data)

    def begun(self, request: web.BaseRequest) -> None:
        """Note that a request has its handler."""
        self._under_way = request
        self._is_answered = False
        self._arriving = None
        if self._early is not None and not self._ahead:
            self._keep_no_early()
        self._ahead = 0

    def rest(self, request: web.BaseRequest) -> None:
        """Note that an answer has gone out; what comes behind its request is another one."""
        self._is_answered = self._under_way is request
        self._go_on()
        if self._open is not None:
            self._rested = self._open.now()
            self._open.rest(self)

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
            return self._of.plain_answer(*problem(BadRequestError()), close=True)
        log_fault(exc)
        return self._of.plain_answer(*problem(InternalError()), close=True)

    def log_exception(self, *_: object, **kw: object) -> None:
        """Say that something failed, but not to whom: aiohttp would name the address."""
        exception = kw.get("exc_info")
        if isinstance(exception, BaseException) and not isinstance(
            exception, web.RequestPayloadError
        ):
            log_fault(exception)

    def log_debug(self, *_: object, **__: object) -> None:
        """Say nothing."""

    def hang_up(self, answer: bytes = b"") -> None:
        """Write a last answer, and close; whoever does not read it in time is cut off."""
        line = self.line
        if line is None or line.is_closing():
            return
        self._is_deaf = True
        if answer:
            line.write(answer)
        line.close()
        self._end_later(line)

    def _end_later(self, line: asyncio.Transport) -> None:
        if self._open is not None and self._ending is None:
            self._ending = self._open.call_after_linger(line.abort)

    def _begins_here(self) -> bool:
        return self._arriving is not None and not self._arriving.size

    def _go_on(self) -> None:
        """Expect another request, if one has its answer and its whole body has come."""
        request = self._under_way
        if self._is_answered and request is not None and request.content.is_eof():
            self._is_answered, self._under_way = False, None
            if not self._ahead:
                self._keep_no_early()
                self._arriving = Arriving()

    def _has_room(self, data: bytes) -> bool:
        """Tell whether what comes may be kept; else the connection has ended (R15)."""
        line = self.line
        if line is None or line.is_closing():
            return True
        config = self._of.config
        if self._arriving is not None:
            size = self._arriving.add(data)
            if size > config.head_max_bytes:
                self._refuse_head(line, size)
                return False
            if self._arriving.is_whole:
                self._keep_no_early()
                self._arriving = None
                return True
            return self._keep_early(line, size)
        if self._ahead or self._expects_nothing():
            self._ahead += len(data)
            if self._ahead > config.ahead_max_bytes:
                line.abort()
                return False
            return self._keep_early(line, self._ahead)
        return True

    def _keep_early(self, line: asyncio.Transport, size: int) -> bool:
        """Count what waits here, and tell whether there is room for it."""
        if self._open is None:
            return True
        if self._early is None:
            self._early = self._open.hold_early(line)
        try:
            self._early.grow(size)
        except OverloadedError:
            line.abort()
            return False
        return True

    def _keep_no_early(self) -> None:
        if self._early is not None:
            self._early.end()
            self._early = None

    def _refuse_head(self, line: asyncio.Transport, size: int) -> None:
        """Answer a head that is too long, and throw away what else comes until its caller leaves.

        Closed at once, the connection would be reset, and the answer lost on its way.
        """
        self._is_deaf = True
        self._keep_no_early()
        line.write(self._of.refuse_head(size))
        line.write_eof()
        self._end_later(line)

    def _expects_nothing(self) -> bool:
        request = self._under_way
        return request is not None and (
            request.method not in _WITH_BODY or request.content.is_eof()
        )

    def _throw_away(self, data: bytes) -> None:
        """Let go what comes of a refused upload, and answer it when all of it has come."""
        self._thrown -= len(data)
        line, connections = self.line, self._open
        if self._thrown > 0 or line is None or line.is_closing() or connections is None:
            return
        # Who sends the next request before this one is answered is sent away to learn patience;
        # and aiohttp, which knows of none of these, closes what has rested for long.
        is_late = connections.now() - self._rested > self._of.config.idle_seconds / 2
        is_last = self._thrown < 0 or is_late
        self._thrown = 0
        connections.begin(self)
        connections.rest(self)
        answer, is_last = self._of.refuse_upload(self._thrown_size, close=is_last)
        if is_last:
            self.hang_up(answer)
            return
        line.write(answer)
        if line.get_write_buffer_size():
            line.abort()  # it asks, and does not read the answers


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
        self._early = Shares(config.early_max_bytes)
        self._clock = clock
        self._metrics = metrics
        self._dates = dates
        self._all: set[Connection] = set()
        self._fresh: dict[Connection, float] = {}
        self._idle: dict[Connection, None] = {}
        """Those without a request, the longest idle first."""
        self._stuck: dict[Connection, None] = {}
        """Those whose caller does not read, the longest first."""
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._all)

    @property
    def early_bytes(self) -> int:
        """What has come of heads that have not ended, and ahead of answers."""
        return self._early.total

    def now(self) -> float:
        """Return the time by which connections are timed."""
        return self._clock.monotonic()

    def add(self, protocol: Connection) -> None:
        """Count a connection; above the limit the one that is idle for longest gives way to it.

        Where none is idle it is one whose answer is not read; where all are read, the new one is
        told so, and closed.
        """
        if len(self._all) >= self._config.connections_max:
            self._metrics.connections_refused += 1
            found = next(iter(self._idle), None) or next(iter(self._stuck), None)
            if found is None:
                protocol.hang_up(refusal_bytes(OverloadedError(), self._dates, close=True))
                return
            line = found.line
            self.discard(found)
            if line is not None:
                line.abort()
        self._metrics.connections += 1
        self._all.add(protocol)
        self._idle[protocol] = None
        self._fresh[protocol] = self.now() + self._config.head_seconds
        if self._timer is None:
            self._timer = self._clock.call_later(self._config.head_seconds, self._close_late)

    def begin(self, protocol: Connection) -> None:
        """Note that a connection has brought a request; from now on it is aiohttp that counts."""
        self._fresh.pop(protocol, None)
        self._idle.pop(protocol, None)

    def rest(self, protocol: Connection) -> None:
        """Note that a connection has nothing to wait for."""
        if protocol in self._all:
            self._idle[protocol] = None

    async def sent(self, request: web.BaseRequest, size: int) -> None:
        """Wait until a caller has read its answer, of which this is the body's size.

        It is read when the system has all of it; until then all of it is kept here.

        Raises:
            ConnectionResetError: it reads too slowly, or holds the most of all when there is no
                room for more (R14).
        """
        transport, protocol = request.transport, request.protocol
        if not isinstance(protocol, Connection):
            return
        unread = 0 if transport is None else transport.get_write_buffer_size()
        if transport is not None and unread:
            owner = network(self._trust.caller(request.remote or "", request.headers))
            if protocol in self._all:
                self._stuck[protocol] = None
            try:
                with self._unread.hold(owner, transport.abort) as held:
                    held.grow(max(size, unread))
                    async with asyncio.timeout(self._config.answer_seconds):
                        await request.writer.drain()
            except (TimeoutError, OverloadedError):
                transport.abort()
                raise ConnectionResetError("the caller reads too slowly") from None
            finally:
                self._stuck.pop(protocol, None)
        protocol.rest(request)

    def hold_early(self, line: asyncio.Transport) -> Holding:
        """Begin to count what comes early on a line."""
        peer = line.get_extra_info("peername")
        owner = network(str(peer[0])) if isinstance(peer, tuple) else b""
        held = self._early.hold(owner, line.abort)
        self._early.begin(held)
        return held

    def discard(self, protocol: Connection) -> None:
        """Count a connection no more."""
        self._all.discard(protocol)
        self._idle.pop(protocol, None)
        self._stuck.pop(protocol, None)
        self._fresh.pop(protocol, None)

    def call_after_linger(self, callback: Callable[[], None]) -> Timer:
        """Plan what is done to a connection whose caller does not leave after its last answer."""
        return self._clock.call_later(self._config.linger_seconds, callback)

    def _close_late(self) -> None:
        self._timer = None
        now = self.now()
        # In the order in which they came, so the first that is in time ends the search.
        while self._fresh:
            protocol, until = next(iter(self._fresh.items()))
            if until > now:
                self._timer = self._clock.call_later(until - now, self._close_late)
                return
            del self._fresh[protocol]
            if protocol.line is not None:
                protocol.line.abort()
