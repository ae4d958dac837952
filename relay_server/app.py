"""The relay as one thing that starts and stops (spec/relay.md, Every request and answer).

Requests come in through aiohttp's low-level server, because every answer, those to what is no HTTP
at all included, must look as the specification says (R1, R2): there is no router and no middleware
between a request and its handler.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from relay_server.channels import Channels
from relay_server.clock import Clock, Timer
from relay_server.config import BACKLOG, HOUR, MINUTE, Config
from relay_server.errors import (
    BadRequestError,
    InternalError,
    MethodError,
    OverloadedError,
    RefusalError,
    UnknownPathError,
)
from relay_server.handlers import Match, Reply, Services, allow, find_handler, find_route
from relay_server.headers import (
    BYTES,
    COMMON,
    JSON,
    Answer,
    Dates,
    Head,
    problem,
    refusal_bytes,
)
from relay_server.health import Health
from relay_server.limits import AddressLimits, Buckets, Budget, ChannelLimits
from relay_server.logs import log_request
from relay_server.metrics import CONTENT_TYPE, Metrics
from relay_server.pages import Page, Pages
from relay_server.permits import Permits
from relay_server.proxies import Trust
from relay_server.relay import Relay
from relay_server.store import Store
from relay_server.sweeper import Sweeper
from relay_server.welcome import About, Welcome

UNKNOWN_TEMPLATE = "*"
HEALTH = "/healthz"
ABOUT = "/about"

logger = logging.getLogger("relay_server")

# R9
_PREFLIGHT = (
    COMMON
    + b"Access-Control-Allow-Headers: Authorization, Content-Type, If-None-Match, Ticket-TTL\r\n"
    b"Access-Control-Max-Age: 86400\r\n"
)


class App:
    """A relay: its services, its sweeper, and the server that calls them."""

    def __init__(
        self,
        config: Config,
        store: Store,
        clock: Clock,
        *,
        pages: Pages | None,
        access_log: bool,
        about: About | None,
        trust: Trust,
    ) -> None:
        self.config = config
        self.services = _services(config, store, clock, trust)
        if about is not None:
            self.services.about = about.members()
        self._welcome = None if about is None else Welcome(about, config)
        self.metrics = Metrics()
        self.health = Health(store, clock)
        self.connections = _Connections(config, clock, self.metrics)
        self._store = store
        self._pages = pages
        self._access_log = access_log
        self._clock = clock
        self._dates = Dates(clock)
        self.sweeper = Sweeper(store=store, clock=clock, sweep_seconds=config.sweep_seconds)
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def busy(self) -> int:
        """How many requests are being handled."""
        return self._busy

    @asynccontextmanager
    async def serve(
        self, host: str, port: int, *, listener: socket.socket | None = None
    ) -> AsyncIterator[tuple[str, int]]:
        """Serve until the block ends, then stop in good order (R8); gives host and port.

        A listener that is given is used instead, and left open.
        """
        server = _Server(self, self.answer, self.connections)
        runner = web.ServerRunner(server, shutdown_timeout=self.config.stop_seconds / 2)
        await runner.setup()
        try:
            site: web.BaseSite
            if listener is None:
                site = web.TCPSite(runner, host, port, backlog=BACKLOG)
            else:
                site = web.SockSite(runner, listener.dup(), backlog=BACKLOG)
            await site.start()
            self.sweeper.start()
            try:
                yield runner.addresses[0][:2]
            finally:
                await site.stop()
                await self._drain()
                await self._stop()
        finally:
            await runner.cleanup()
            await self.sweeper.stop()

    @asynccontextmanager
    async def serve_operator(self, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
        """Serve metrics and health to the relay's operator until the block ends."""
        runner = web.ServerRunner(_Server(self, self._answer_operator, None))
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            yield runner.addresses[0][:2]
        finally:
            await runner.cleanup()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        start = self._clock.monotonic()
        self.connections.begin(request.protocol)
        template = UNKNOWN_TEMPLATE
        self._busy += 1
        self._idle.clear()
        try:
            path = request.raw_path.partition("?")[0]
            if path[:1] != "/":
                path = request.rel_url.raw_path
            if path[:4] not in ("/v1", "/v1/") and (found := await self._outside(request, path)):
                template, reply_head, body = found
            else:
                match = find_route(path)
                template = match.route.template
                reply_head, body = await self._reply(request, match)
        except RefusalError as refusal:
            reply_head, body = problem(refusal)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()
        elapsed = self._clock.monotonic() - start
        # R4: the template, never the path.
        self.metrics.count(
            request.method,
            template,
            reply_head.status,
            seconds=elapsed,
            sent=len(body),
            received=request.content.total_bytes,
        )
        if self._access_log:
            log_request(request.method, template, reply_head.status, len(body), elapsed)
        # Whoever waits for "100 Continue" may send the body or not: nobody can tell what is next.
        close = "Expect" in request.headers and not request.content.is_eof()
        return self.plain_answer(reply_head, body, close=close)

    def plain_answer(self, head: Head, body: bytes, *, close: bool = False) -> Answer:
        """Return an answer that aiohttp can send."""
        return Answer(
            head,
            body,
            dates=self._dates,
            answer_seconds=self.config.answer_seconds,
            close=close or self.services.draining or self.services.stopping,
        )

    async def _reply(self, request: web.BaseRequest, match: Match) -> tuple[Head, bytes]:
        if request.method == "OPTIONS":  # R9
            methods = b"Access-Control-Allow-Methods: " + allow(match.route).encode() + b"\r\n"
            return Head(204, _PREFLIGHT + methods), b""
        handler = find_handler(match.route, request.method)
        if self.services.stopping:  # R14
            raise OverloadedError
        reply: Reply = await handler(self.services, request, match.names)
        if reply.json:
            head = JSON
        elif reply.body or reply.status == 200:
            head = BYTES
        else:
            head = COMMON
        return Head(reply.status, head + reply.headers), reply.body

    async def _outside(self, request: web.BaseRequest, path: str) -> tuple[str, Head, bytes] | None:
        """Answer a request outside the interface, or return None when there is nothing."""
        welcomed = path == ABOUT or (path == "/" and self._pages is None)
        if path == HEALTH:  # R123
            if request.method not in ("GET", "HEAD"):
                raise MethodError("GET, HEAD")
            return HEALTH, *await self._say_health()
        if welcomed and self._welcome is not None:  # R124
            query = request.raw_path.partition("?")[2]
            page = self._welcome.choose(query, request.headers.get("Accept-Language", ""))
            return self._page(request, 200, path, page)
        if self._pages is not None:
            return self._page(request, *self._pages.find(path))
        return None

    async def _say_health(self) -> tuple[Head, bytes]:
        if await self.health.check():
            return Head(200, JSON), b'{"status": "ok"}'
        return Head(503, JSON + b"Retry-After: 5\r\n"), b'{"status": "the store does not work"}'

    async def _answer_operator(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == HEALTH:
            return self.plain_answer(*await self._say_health())
        if request.path != "/metrics":
            return self.plain_answer(*problem(UnknownPathError()))
        body = self.metrics.render(
            gauges=self._store.gauges(),
            busy=self._busy,
            open_connections=len(self.connections),
            sweeps=self.sweeper.passes,
        )
        return self.plain_answer(
            Head(200, COMMON + b"Content-Type: " + CONTENT_TYPE + b"\r\n"), body
        )

    def _page(
        self, request: web.BaseRequest, status: int, template: str, page: Page
    ) -> tuple[str, Head, bytes]:
        if request.method not in ("GET", "HEAD"):
            raise MethodError("GET, HEAD")
        form = page.form(request.headers.get("Accept-Encoding", ""))
        known = [item.strip() for item in request.headers.get("If-None-Match", "").split(",")]
        if status == 200 and form.etag in known:
            return template, Head(304, form.headers), b""
        return template, Head(status, form.headers), form.body

    async def _drain(self) -> None:
        """Answer those who wait, and whoever has connected just before the listener was closed."""
        self.services.draining = True
        if self.config.drain_seconds:
            self._store.stop_waiting()
            await asyncio.sleep(self.config.drain_seconds)

    async def _stop(self) -> None:
        """Answer those who wait, and let those who upload finish (R8)."""
        self.services.stopping = True
        self._store.stop_waiting()
        try:
            async with asyncio.timeout(self.config.stop_seconds):
                await self._idle.wait()
        except TimeoutError:
            # Bodies that are still arriving will not be stored, and are told so.
            now = asyncio.get_running_loop().time()
            for limit in list(self.services.arriving):
                limit.reschedule(now)


class _Protocol(web.RequestHandler):
    """One connection; what goes wrong on it looks like any refusal (R1, R2, R4)."""

    __slots__ = ("_app", "_open")

    def __init__(
        self,
        app: App,
        connections: "_Connections | None",
        server: web.Server,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=app.config.idle_seconds,
            lingering_time=app.config.linger_seconds,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's way to have none
            auto_decompress=False,
        )
        self._app = app
        self._open = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if self._open is not None:
            self._open.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let it go."""
        if self._open is not None:
            self._open.discard(self)
        super().connection_lost(exc)

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
            return self._app.plain_answer(*problem(BadRequestError()), close=True)
        log_fault(exc)
        return self._app.plain_answer(*problem(InternalError()), close=True)

    def log_exception(self, *_: object, **kw: object) -> None:
        """Say that something failed, but not to whom: aiohttp would name the address."""
        exception = kw.get("exc_info")
        if isinstance(exception, BaseException) and not isinstance(
            exception, web.RequestPayloadError
        ):
            log_fault(exception)

    def log_debug(self, *_: object, **__: object) -> None:
        """Say nothing."""


class _Server(web.Server):
    """aiohttp's low-level server with our own connections."""

    def __init__(
        self,
        app: App,
        answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        connections: "_Connections | None",
    ) -> None:
        # R92: a handler is cancelled when its caller is gone.
        super().__init__(answer, handler_cancellation=True)
        self._app = app
        self._open = connections

    def __call__(self) -> web.RequestHandler:
        """Return what handles a new connection."""
        loop = asyncio.get_running_loop()
        return _Protocol(self._app, self._open, self, loop)


class _Connections:
    """All connections, and those among them that have not brought a whole request yet."""

    def __init__(self, config: Config, clock: Clock, metrics: Metrics) -> None:
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._all: set[object] = set()
        self._fresh: dict[object, float] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._all)

    def add(self, protocol: _Protocol) -> None:
        """Count a connection; above the limit it is told so, and closed."""
        transport = protocol.transport
        if len(self._all) >= self._config.connections_max and transport is not None:
            self._metrics.connections_refused += 1
            transport.write(refusal_bytes(OverloadedError()))
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

    def discard(self, protocol: _Protocol) -> None:
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
            if isinstance(protocol, _Protocol) and protocol.transport is not None:
                protocol.transport.abort()


def create_app(
    config: Config,
    store: Store,
    clock: Clock,
    *,
    pages: Pages | None = None,
    access_log: bool = False,
    about: About | None = None,
    trust: Trust = Trust(),  # noqa: B008 - a value that nobody can change
) -> App:
    """Put a relay together; the store stays its owner's to close."""
    return App(config, store, clock, pages=pages, access_log=access_log, about=about, trust=trust)


def log_fault(error: BaseException | None) -> None:
    """Log where the relay failed, but not with what: a message may hold what no log may (R4)."""
    place = "?"
    traceback = None if error is None else error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{Path(code.co_filename).name}:{traceback.tb_lineno} {code.co_name}"
        traceback = traceback.tb_next
    debug = logger.isEnabledFor(logging.DEBUG)
    logger.error("%s in %s", type(error).__name__, place, exc_info=error if debug else None)


def _services(config: Config, store: Store, clock: Clock, trust: Trust) -> Services:
    def buckets(count: int, seconds: int, burst: int) -> Buckets:
        return Buckets(
            per_second=count / seconds,
            burst=burst,
            max_entries=config.limited_max_entries,
            clock=clock,
        )

    addresses = AddressLimits(
        uploads=buckets(config.address_uploads_per_hour, HOUR, config.address_uploads_burst),
        volume=buckets(config.address_bytes_per_hour, HOUR, config.address_bytes_burst),
        registrations=buckets(
            config.address_registrations_per_hour, HOUR, config.address_registrations_burst
        ),
        waiting_max=config.address_waiting_max,
        clock=clock,
    )
    hellos = ChannelLimits(
        buckets(config.channel_hellos_per_minute, MINUTE, config.channel_hellos_burst)
    )
    return Services(
        relay=Relay(store=store, config=config, clock=clock),
        channels=Channels(store=store, config=config, clock=clock, limits=hellos),
        permits=None if config.open else Permits(store.find_permit, clock),
        addresses=addresses if config.open else None,
        reading=Budget(config.reading_max_bytes),
        uploading=Budget(config.uploads_max),
        trust=trust,
        config=config,
        clock=clock,
    )
