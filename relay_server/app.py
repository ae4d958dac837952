"""The relay as one thing that starts and stops (spec/relay.md, Every request and answer).

Requests come in through aiohttp's low-level server, because every answer, those to what is no HTTP
at all included, must look as the specification says (R1, R2): there is no router and no middleware
between a request and its handler.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from relay_server.access_log import log_request
from relay_server.channels import Channels
from relay_server.clock import Clock
from relay_server.config import DAY, HOUR, MINUTE, Config
from relay_server.errors import (
    BadRequestError,
    InternalError,
    MethodError,
    OverloadedError,
    RefusalError,
)
from relay_server.handlers import Match, Reply, Services, allow, find_handler, find_route
from relay_server.headers import BYTES, COMMON, JSON, Answer, Dates, Head, problem
from relay_server.limits import AddressLimits, Buckets, Budget, ChannelLimits
from relay_server.pages import Pages
from relay_server.permits import Permits
from relay_server.relay import Relay
from relay_server.store import Store, StoreLimits
from relay_server.store.sqlite import SqliteStore
from relay_server.sweeper import Sweeper

UNKNOWN_TEMPLATE = "*"
BACKLOG = 1024

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
        self, config: Config, store: Store, clock: Clock, *, pages: Pages | None, access_log: bool
    ) -> None:
        self.config = config
        self.services = _services(config, store, clock)
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
    async def serve(self, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
        """Serve until the block ends, then stop in good order (R8); gives host and port."""
        server = _Server(self)
        runner = web.ServerRunner(server, shutdown_timeout=self.config.stop_seconds / 2)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port, backlog=BACKLOG)
            await site.start()
            self.sweeper.start()
            try:
                yield runner.addresses[0][:2]
            finally:
                await site.stop()
                await self._stop()
        finally:
            await runner.cleanup()
            await self.sweeper.stop()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        start = self._clock.monotonic() if self._access_log else 0.0
        template = UNKNOWN_TEMPLATE
        self._busy += 1
        self._idle.clear()
        try:
            path = request.raw_path.partition("?")[0]
            if path[:1] != "/":
                path = request.rel_url.raw_path
            if self._pages is not None and path[:4] not in ("/v1", "/v1/"):
                template, reply_head, body = self._page(self._pages, request, path)
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
        if self._access_log:
            # R4: the template, never the path.
            elapsed = self._clock.monotonic() - start
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
            close=close or self.services.stopping,
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

    def _page(self, pages: Pages, request: web.BaseRequest, path: str) -> tuple[str, Head, bytes]:
        if request.method not in ("GET", "HEAD"):
            raise MethodError("GET, HEAD")
        status, template, page = pages.find(path)
        form = page.form(request.headers.get("Accept-Encoding", ""))
        known = [item.strip() for item in request.headers.get("If-None-Match", "").split(",")]
        if status == 200 and form.etag in known:
            return template, Head(304, form.headers), b""
        return template, Head(status, form.headers), form.body

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

    __slots__ = ("_app",)

    def __init__(self, app: App, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=app.config.idle_seconds,
            lingering_time=app.config.linger_seconds,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's way to have none
            auto_decompress=False,
        )
        self._app = app

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

    def __init__(self, app: App) -> None:
        # R92: a handler is cancelled when its caller is gone.
        super().__init__(app.answer, handler_cancellation=True)
        self._app = app

    def __call__(self) -> web.RequestHandler:
        """Return what handles a new connection."""
        return _Protocol(self._app, self, asyncio.get_running_loop())


def create_app(
    config: Config,
    store: Store,
    clock: Clock,
    *,
    pages: Pages | None = None,
    access_log: bool = False,
) -> App:
    """Put a relay together; the store stays its owner's to close."""
    return App(config, store, clock, pages=pages, access_log=access_log)


def open_store(config: Config, path: Path, clock: Clock, *, exclusive: bool = True) -> SqliteStore:
    """Open the store of a relay with these limits.

    Raises:
        StartError: the file cannot be used.
    """
    return SqliteStore(path, clock=clock, limits=store_limits(config), exclusive=exclusive)


def store_limits(config: Config) -> StoreLimits:
    """Return the limits that are the store's."""
    return StoreLimits(
        tombstone_seconds=config.tombstone_seconds,
        ttl_max_seconds=config.ttl_max_seconds,
        channel_idle_days=config.channel_idle_seconds // DAY,
        hellos_live_max=config.hellos_live_max,
        answered_seconds=config.answered_seconds,
        waiting_max_requests=config.waiting_max_requests,
        watches_per_ticket_max=config.watches_per_ticket_max,
        stored_max_bytes=config.stored_max_bytes,
        disk_reserve_bytes=config.disk_reserve_bytes,
        tickets_max=config.tickets_max,
        channels_max=config.channels_max,
        cache_max_bytes=config.cache_max_bytes,
        queue_max_bytes=config.queue_max_bytes,
    )


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


def _services(config: Config, store: Store, clock: Clock) -> Services:
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
        config=config,
        clock=clock,
    )
