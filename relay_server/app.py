"""The relay as one thing that starts and stops (spec/relay.md, Every request and answer).

Requests come in through aiohttp's low-level server, because every answer, those to what is no HTTP
at all included, must look as the specification says (R1, R2): there is no router and no middleware
between a request and its handler.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from relay_server.channels import Channels
from relay_server.clock import Clock, GuardedClock, say_doubt
from relay_server.config import BACKLOG, HOUR, KIB, MINUTE, Config
from relay_server.connections import Connection, Connections, Server
from relay_server.crowd import Crowd, overloaded
from relay_server.errors import (
    BadRequestError,
    MethodError,
    OverloadedError,
    RefusalError,
    UnknownPathError,
)
from relay_server.handlers import TICKET, Match, Reply, Services, allow, find_handler, find_route
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
from relay_server.limits import AddressLimits, Buckets, ChannelLimits, Shares
from relay_server.logs import MinuteLog, log_request
from relay_server.metrics import CONTENT_TYPE, Metrics
from relay_server.notices import Notices
from relay_server.pages import Page, Pages
from relay_server.permits import Permits
from relay_server.proxies import Trust
from relay_server.relay import Relay
from relay_server.store import Store
from relay_server.store.beside import Beside
from relay_server.sweeper import Sweeper
from relay_server.welcome import SECURITY_PATH, About, Welcome, security_txt

UNKNOWN_TEMPLATE = "*"
BODY_LEAST = 16 * KIB
"""What a body counts for even where less of it has come: about what its connection costs."""
HEALTH = "/healthz"
ABOUT = "/about"

_TEXT = (
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
)
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
        access_log: str | bool,
        about: About | None,
        trust: Trust,
        beside: Beside | None,
    ) -> None:
        # However it was given, it is compared with itself while the relay runs (R23).
        clock = clock if isinstance(clock, GuardedClock) else GuardedClock(clock)
        self.config = config
        self.services = _services(config, store, clock, trust)
        self._about = about
        if about is not None:
            self.services.about = about.members()
        self._welcome = None if about is None else Welcome(about, config)
        self.metrics = Metrics()
        self.health = Health(store, clock)
        self.crowd = self.services.crowd
        self._store = store
        self._pages = pages
        self._access_log = access_log is True or access_log == "each"
        self._minutes = MinuteLog() if access_log == "minute" else None
        self._clock = clock
        self._dates = Dates(clock)
        self.connections = Connections(config, clock, self.metrics, self._dates, trust)
        self.sweeper = Sweeper(
            store=store,
            clock=clock,
            sweep_seconds=config.sweep_seconds,
            beside=beside,
            look=self._look,
        )
        self._turns_away = not trust.networks
        """Behind a proxy it is the proxy's to say no to many at once, and its connections' to go
        on: what it sends is read."""
        self._notices = Notices(store, self.metrics, clock)
        self._said = clock.monotonic()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def busy(self) -> int:
        """How many requests are being handled."""
        return self._busy

    @property
    def is_crowded(self) -> bool:
        """Whether an upload that begins now is to be refused unread (R14)."""
        return self._turns_away and self.crowd.is_full

    @asynccontextmanager
    async def serve(
        self, host: str, port: int, *, listener: socket.socket | None = None
    ) -> AsyncIterator[tuple[str, int]]:
        """Serve until the block ends, then stop in good order (R8); gives host and port.

        A listener that is given is used instead, and left open.
        """
        server = Server(self, self.answer, self.connections)
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
        runner = web.ServerRunner(Server(self, self._answer_operator, None))
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            yield runner.addresses[0][:2]
        finally:
            await runner.cleanup()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        start = self._clock.monotonic()
        protocol = request.protocol
        if isinstance(protocol, Connection):
            self.connections.begin(protocol)
            protocol.begun(request)
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
        self._note(
            request.method,
            template,
            reply_head.status,
            seconds=self._clock.monotonic() - start,
            sent=len(body),
            received=request.content.total_bytes,
        )
        # Whoever waits for "100 Continue" may send the body or not: nobody can tell what is next.
        close = "Expect" in request.headers and not request.content.is_eof()
        return self.plain_answer(reply_head, body, close=close)

    def plain_answer(self, head: Head, body: bytes, *, close: bool = False) -> Answer:
        """Return an answer that aiohttp can send."""
        return Answer(
            head,
            body,
            dates=self._dates,
            sent=self.connections.sent,
            close=close or self._is_ending,
        )

    def refuse_upload(self, size: int, *, close: bool) -> tuple[bytes, bool]:
        """Return the answer to an upload of so many bytes, and whether it is the last one (R14)."""
        is_last = close or self._is_ending
        answer = refusal_bytes(overloaded(), self._dates, close=is_last)
        sent = len(answer.partition(b"\r\n\r\n")[2])
        self._note("PUT", TICKET.template, 503, seconds=0, sent=sent, received=size)
        return answer, is_last

    def refuse_head(self, size: int) -> bytes:
        """Return the answer to a head that is too long; it is the last one (R15)."""
        answer = refusal_bytes(BadRequestError(), self._dates, close=True)
        sent = len(answer.partition(b"\r\n\r\n")[2])
        self._note(UNKNOWN_TEMPLATE, UNKNOWN_TEMPLATE, 400, seconds=0, sent=sent, received=size)
        return answer

    def _look(self) -> None:
        """Say what is to be said some times a minute."""
        self._notices.look()
        now = self._clock.monotonic()
        if self._minutes is not None and now - self._said >= MINUTE:
            self._said = now
            self._minutes.say()

    @property
    def _is_ending(self) -> bool:
        return self.services.draining or self.services.stopping

    def _note(
        self, method: str, template: str, status: int, *, seconds: float, sent: int, received: int
    ) -> None:
        """Count an answer, and log it: by its template, never by its path (R4)."""
        self.metrics.count(method, template, status, seconds=seconds, sent=sent, received=received)
        if self._access_log:
            log_request(method, template, status, sent, seconds)
        if self._minutes is not None:
            self._minutes.note(method, template, status)

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
        if path == SECURITY_PATH and (text := self._security_txt()) is not None:  # R126
            if request.method not in ("GET", "HEAD"):
                raise MethodError("GET, HEAD")
            return SECURITY_PATH, Head(200, _TEXT), text
        if self._pages is not None:
            return self._page(request, *self._pages.find(path))
        return None

    def _security_txt(self) -> bytes | None:
        return None if self._about is None else security_txt(self._about, self._clock.wall())

    async def _say_health(self) -> tuple[Head, bytes]:
        if self._store.fault:
            return Head(503, JSON + b"Retry-After: 60\r\n"), b'{"status": "the store is damaged"}'
        if await self.health.check():
            said = {"status": "ok"}
            if self._clock.doubt:
                said["clock"] = say_doubt(self._clock.doubt)
            return Head(200, JSON), json.dumps(said).encode()
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
            clock_doubt=self._clock.doubt,
            damaged=bool(self._store.fault),
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


def create_app(
    config: Config,
    store: Store,
    clock: Clock,
    *,
    pages: Pages | None = None,
    access_log: str | bool = False,
    about: About | None = None,
    trust: Trust = Trust(),  # noqa: B008 - a value that nobody can change
    beside: Beside | None = None,
) -> App:
    """Put a relay together; the store stays its owner's to close."""
    return App(
        config,
        store,
        clock,
        pages=pages,
        access_log=access_log,
        about=about,
        trust=trust,
        beside=beside,
    )


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
        reading=Shares(config.reading_max_bytes, least=BODY_LEAST),
        crowd=Crowd(config.uploads_max),
        trust=trust,
        config=config,
        clock=clock,
    )
