"""The display page on the shop's network, for tablets without today's TLS (spec/security.md).

Over plain HTTP it serves the display page and the two requests that this page makes, and passes
them on to the relay: the hello, of this till's own displays only, and the question what the relay
is. A tablet is brought here and paired by a short address. Everybody in the shop's network can
call, so whatever is read, kept or waited for has a limit.
"""

import asyncio
import hmac
import json
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

import aiohttp
from aiohttp import web

from e2ee_ticket.errors import ConfigError, TicketError
from e2ee_ticket.protocol.channel import HELLO_SIZE, SEALED_SIZE, PairingLink
from e2ee_ticket.sources import Finding
from e2ee_ticket.sources.connections import is_loopback
from e2ee_ticket.sources.http_server import HttpServer
from e2ee_ticket.sources.listening import join, try_listening
from e2ee_ticket.till import lan_pages
from e2ee_ticket.till.clock import Clock
from e2ee_ticket.till.config import LanConfig
from e2ee_ticket.till.displays import Pairing
from e2ee_ticket.till.lan_server import HEAD_LINE_MAX_SIZE, Limits
from e2ee_ticket.till.network import (
    ANY,
    addresses,
    is_addressed,
    split_host,
    split_listen,
)
from e2ee_ticket.till.short_address import LENGTH, ShortAddresses

RISK: Final = lan_pages.risk("en")
"""What the owner must know before [lan] is switched on."""

_HELLO_BODY_SIZE: Final = 32 + HELLO_SIZE
_ANSWER_MAX_SIZE: Final = 4096
_UPSTREAM_SECONDS: Final = 35.0
_CONNECT_SECONDS: Final = 10.0
_INFO_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 0.2
_PROBE_MAX_SIZE: Final = 1 << 20

_HELLO: Final = re.compile(r"/v1/c/([0-9a-f]{32})/hello", re.ASCII)
_SHORT: Final = re.compile(rf"/p/([0-9A-Za-z]{{{LENGTH}}})/?", re.ASCII | re.IGNORECASE)
_COUNT: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_PRIVATE: Final[dict[str, str]] = {
    "Cache-Control": "no-store, no-transform",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
_LOOKS_AHEAD: Final = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
_SOME_PAGE: Final = "https://t.example"  # digits have no page
_TAKEN_HINT: Final = (
    "another program may use this port: set another one, such as"
    ' listen = "0.0.0.0:8424", in the section [lan]'
)

logger = logging.getLogger(__name__)


class LanPairingLink(PairingLink):
    """A pairing link to the copy on the shop's network, where http is allowed (T5)."""

    __slots__ = ()

    def __post_init__(self) -> None:
        pass


class _Reply(NamedTuple):
    """What the relay said, as it is passed on."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class LanDisplay:
    """The LAN display's server: `async with` serves, `run` serves until cancelled.

    The short addresses are valid as long as this object lives, and while it serves.
    """

    def __init__(
        self,
        config: LanConfig,
        *,
        relay: str,
        page: str,
        pairings: Callable[[], Sequence[Pairing]],
        clock: Clock,
        lang: str | None = None,
        limits: Limits | None = None,
        report: Callable[[Finding | None], None] = lambda _: None,
    ) -> None:
        """Read the display page.

        Raises:
            ConfigError: `page` is no origin, or this installation has no display page, or the
                host is none.
        """
        self.config = config
        self.waiting = 0
        """How many hellos wait at the relay."""
        self.served_at: Sequence[tuple[str, int]] = ()
        """Where it listens now: address and port."""
        self._relay = relay
        self._page = lan_pages.display_page(page)
        self._pairings = pairings
        self._clock = clock
        self._lang = lang
        self._report = report
        self._host, self._port = split_listen(config.listen)
        named = None if config.host is None else split_host(config.host)
        if config.host is not None and named is None:
            raise ConfigError("host of [lan] must be a name or an address, such as 192.168.1.10")
        self._names = () if named is None else (named[0],)
        self._short = ShortAddresses(clock)
        self._tokens: dict[str, bytes] = {}
        self._read_at: float | None = None
        self._info: tuple[float, _Reply] | None = None
        self._asking = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None
        self.limits = limits or Limits()

    # Serving

    async def __aenter__(self) -> Self:
        """Begin to serve.

        Raises:
            ConfigError: it cannot listen there.
        """
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.limits.waiting + 4),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            skip_auto_headers=("User-Agent",),
            auto_decompress=False,
            trust_env=False,
        )
        self._runner = web.ServerRunner(
            # R92: when a tablet is gone, its hello at the relay is cancelled, too.
            HttpServer(self.answer, self.limits, line_max_size=HEAD_LINE_MAX_SIZE, cancels=True),
            shutdown_timeout=_STOP_SECONDS,
        )
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._close()
            raise ConfigError(
                f"the display page cannot be served at {self.config.listen}: {_why(error)}"
            ) from error
        self.served_at = [(str(host), int(port)) for host, port, *_ in self._runner.addresses]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        self.served_at = ()
        runner, self._runner = self._runner, None
        session, self._session = self._session, None
        if runner is not None:
            await runner.cleanup()
        if session is not None:
            await session.close()

    async def run(self) -> None:
        """Serve until cancelled; where it cannot listen, say so and try again by itself."""
        while True:
            try:
                async with self:
                    self._report(None)
                    await asyncio.Event().wait()
            except ConfigError as error:
                self._report(Finding(ok=False, text=str(error), hint=_TAKEN_HINT))
            await self._clock.sleep(_AGAIN_SECONDS)

    # What the console shows

    def origins(self) -> Sequence[str]:
        """Return how tablets can call this computer, the best address first."""
        port = self.served_at[0][1] if self.served_at else self._port
        if self.config.host is not None:
            named = split_host(self.config.host)
            has_port = named is not None and named[1] is not None
            return (f"http://{self.config.host}" + ("" if has_port else f":{port}"),)
        return tuple(f"http://{join(host, port)}" for host in addresses(self._host))

    def link(self, display: Pairing) -> LanPairingLink:
        """Return the pairing link for a tablet that opens this copy: for a QR code, or digits."""
        return LanPairingLink(self.origins()[0], display.secret)

    def new_short_address(self, display: Pairing) -> str:
        """Return an address that pairs one tablet; it is valid for two minutes (RISK)."""
        self._remember(display)
        return f"{self.origins()[0]}/p/{self._short.new(display)}"

    async def check(self) -> Sequence[Finding]:
        """Test whether tablets can come here, as far as that can be seen from here."""
        listening = await self._check_listening()
        if not listening.ok:
            return (listening,)
        goal = f"{self.origins()[0]}/d"
        if self.config.host is None and is_loopback(addresses(self._host)[0]):
            local = is_loopback(self._host) or self._host == "localhost"
            why = (
                'set listen = "0.0.0.0:8423" in the section [lan]'
                if local
                else "connect it to the shop's network, then check again"
            )
            return (listening, Finding(ok=False, text="only this computer can open it", hint=why))
        return (
            listening,
            Finding(ok=True, text=f"tablets open {goal}"),
            Finding(
                ok=True,
                text="whether this computer's firewall lets tablets in cannot be seen from here",
                hint=f"open {goal} on a tablet; if nothing comes, {_firewall(self._port)}",
            ),
        )

    async def _check_listening(self) -> Finding:
        served = Finding(ok=True, text=f"the display page is served at {self.config.listen}")
        if self._runner is not None:
            return served
        error = await try_listening(self._host, self._port)
        if error is None:
            return Finding(ok=True, text=f"the display page can be served at {self.config.listen}")
        if await self._is_served():
            return served
        text = f"the display page cannot be served at {self.config.listen}: {_why(error)}"
        return Finding(ok=False, text=text, hint=_TAKEN_HINT)

    async def _is_served(self) -> bool:
        """Tell whether what listens there already serves this very page: the agent does."""
        host = addresses(self._host)[0] if self._host in ANY else self._host
        timeout = aiohttp.ClientTimeout(total=5)
        with suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.get(
                    f"http://{join(host, self._port)}/d",
                    headers={"Accept-Encoding": "identity"},
                    allow_redirects=False,
                ) as answer,
            ):
                return await _read(answer, _PROBE_MAX_SIZE) == self._page.plain
        return False

    # Answering

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if not self._is_addressed(request):
            return self._plain(lan_pages.stranger(), 421)
        path = request.raw_path.partition("?")[0]
        if hello := _HELLO.fullmatch(path):
            return await self._hello(request, hello[1])
        if path.startswith("/v1/"):
            if path != "/v1/info":
                return _problem(404, "unknown-path", "There is nothing at this path")
            if request.method != "GET":
                return _problem(405, "method", "The method is GET", Allow="GET")
            return _passed_on(await self._ask_info())
        if request.method not in ("GET", "HEAD"):
            return self._plain(lan_pages.nothing(self._lang), 405, Allow="GET, HEAD")
        if path == "/d":
            return self._display_page(request)
        if path == "/":
            return web.Response(status=302, headers=_PRIVATE | {"Location": "/d"})
        if short := _SHORT.fullmatch(path):
            return self._pair(request, short[1])
        return self._plain(lan_pages.nothing(self._lang), 404)

    def _is_addressed(self, request: web.BaseRequest) -> bool:
        """Tell whether the Host is this computer's."""
        transport = request.transport
        local = None if transport is None else transport.get_extra_info("sockname")
        if not local:
            return False
        return is_addressed(request.headers.get("Host", ""), str(local[0]), self._names)

    def _display_page(self, request: web.BaseRequest) -> web.Response:
        zipped = _takes_gzip(request.headers.get("Accept-Encoding", ""))
        etag = self._page.etag[:-1] + '-gzip"' if zipped else self._page.etag
        headers = lan_pages.HEADERS | {
            "Cache-Control": "no-cache",
            "ETag": etag,
            "Vary": "Accept-Encoding",
        }
        known = [item.strip() for item in request.headers.get("If-None-Match", "").split(",")]
        if etag in known:
            return web.Response(status=304, headers=headers)
        if zipped:
            headers |= {"Content-Encoding": "gzip"}
        return web.Response(body=self._page.zipped if zipped else self._page.plain, headers=headers)

    def _pair(self, request: web.BaseRequest, code: str) -> web.Response:
        """Give the pairing link's digits to whoever has the short address; once."""
        # A browser that guesses what its user is typing must not use the address up.
        ahead = any(request.headers.get(name) for name in _LOOKS_AHEAD)
        if request.method != "GET" or ahead:
            return self._plain(lan_pages.nothing(self._lang), 503)
        address = request.remote or ""
        if seconds := self._short.must_wait(address):
            return self._plain(
                lan_pages.wait(self._lang), 429, **{"Retry-After": str(int(seconds) + 1)}
            )
        display = self._short.take(code, address)
        if display is None:
            return self._plain(lan_pages.over(self._lang), 404)
        digits = PairingLink(_SOME_PAGE, display.secret).digits()
        return self._plain(lan_pages.pairing(digits, self._lang), 200)

    async def _hello(self, request: web.BaseRequest, cid: str) -> web.Response:
        """Pass a hello of one of this till's displays on to the relay (R90 to R95)."""
        if request.method != "POST":
            return _problem(405, "method", "The method is POST", Allow="POST")
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() != f"http://{request.headers['Host'].lower()}":
            return _problem(403, "token", "Another site's page may not ask this")
        size = request.headers.get("Content-Length")
        if size is None:
            return _problem(411, "length-required", "Content-Length is needed")
        if size != str(_HELLO_BODY_SIZE):
            return _problem(400, "bad-request", "A hello has another length")
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                body = await request.content.readexactly(_HELLO_BODY_SIZE)
        except (TimeoutError, asyncio.IncompleteReadError):
            return _problem(400, "bad-request", "The hello did not arrive whole")
        token = self._token(cid)
        if token is None:
            return _problem(404, "channel-absent", "No display of this till")
        if not hmac.compare_digest(token, body[:32]):
            return _problem(403, "token", "The token is not the one of this channel")
        if self.waiting >= self.limits.waiting:
            return _problem(503, "overloaded", "Too many displays", **{"Retry-After": "5"})
        self.waiting += 1
        try:
            return _passed_on(await self._ask("POST", f"/v1/c/{cid}/hello", body))
        finally:
            self.waiting -= 1

    def _token(self, cid: str) -> bytes | None:
        """Return what a display of this till proves itself with.

        One that was unpaired while this runs stays known, so that the relay can tell it.
        """
        now = self._clock.monotonic()
        if cid not in self._tokens and (self._read_at is None or now >= self._read_at + 1):
            self._read_at = now
            try:
                for pairing in self._pairings():
                    self._remember(pairing)
            except TicketError as error:
                logger.warning("the paired displays cannot be read: %s", error)
        return self._tokens.get(cid)

    def _remember(self, pairing: Pairing) -> None:
        self._tokens[pairing.secret.cid] = pairing.secret.read_token()

    # Asking the relay

    async def _ask_info(self) -> _Reply:
        """Ask the relay what it is, at most once in some seconds, for however many tablets."""
        async with self._asking:
            now = self._clock.monotonic()
            if self._info is None or now >= self._info[0]:
                reply = await self._ask("GET", "/v1/info")
                self._info = (self._clock.monotonic() + _INFO_SECONDS, reply)
            return self._info[1]

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> _Reply:
        """Ask the relay; what is not a relay's answer is told as 502."""
        if self._session is None:
            return _AWAY
        timeout = aiohttp.ClientTimeout(total=_UPSTREAM_SECONDS, sock_connect=_CONNECT_SECONDS)
        headers = {} if body is None else {"Content-Type": "application/octet-stream"}
        try:
            async with self._session.request(
                method,
                self._relay + path,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=timeout,
            ) as answer:
                data = await _read(answer, _ANSWER_MAX_SIZE)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return _AWAY
        # Nothing else goes on: a login page of some network must not become a page of this origin.
        kind = answer.content_type
        expected = {
            200: kind == "application/json" if body is None else len(data) == SEALED_SIZE,
            204: not data,
        }
        known = answer.status >= 400 and kind == "application/problem+json"
        if not expected.get(answer.status, known):
            return _AWAY
        passed = {} if answer.status == 204 else {"Content-Type": kind}
        if answer.status == 200 and body is not None:
            passed = {"Content-Type": "application/octet-stream"}
        wait = answer.headers.get("Retry-After", "")
        if _COUNT.fullmatch(wait):
            passed["Retry-After"] = wait
        return _Reply(answer.status, data, passed)

    # Answers

    def _plain(self, page: tuple[str, str], status: int, **headers: str) -> web.Response:
        text, policy = page
        return web.Response(
            status=status,
            body=text.encode(),
            headers=lan_pages.HEADERS
            | {"Cache-Control": "no-store", "Content-Security-Policy": policy}
            | headers,
        )


# Answers


def _problem(status: int, kind: str, title: str, **headers: str) -> web.Response:
    body = json.dumps({"type": f"urn:e2ee-ticket:{kind}", "title": title, "status": status})
    return web.Response(
        status=status,
        body=body.encode(),
        headers=_PRIVATE | {"Content-Type": "application/problem+json"} | headers,
    )


_AWAY: Final = _Reply(
    502,
    b'{"type": "about:blank", "title": "The till cannot reach the relay", "status": 502}',
    {"Content-Type": "application/problem+json"},
)


def _passed_on(reply: _Reply) -> web.Response:
    return web.Response(
        status=reply.status, body=reply.body or None, headers=_PRIVATE | dict(reply.headers)
    )


async def _read(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read an answer.

    Raises:
        ValueError: longer than the limit.
    """
    data = bytearray()
    async for chunk in answer.content.iter_chunked(limit):
        data += chunk
        if len(data) > limit:
            raise ValueError("longer than any answer")
    return bytes(data)


def _takes_gzip(accept_encoding: str) -> bool:
    for item in accept_encoding.lower().split(","):
        coding, _, weight = item.partition(";")
        if coding.strip() == "gzip":
            return re.fullmatch(r"q=0(?:\.0*)?", weight.replace(" ", "")) is None
    return False


def _firewall(port: int) -> str:
    if sys.platform == "win32":
        return "allow this program on private networks in Windows' firewall settings"
    if sys.platform == "darwin":
        return "allow incoming connections for Python in the firewall's settings"
    return f"allow TCP port {port} for the shop's network, such as with: sudo ufw allow {port}/tcp"


def _why(error: OSError) -> str:
    """Say why it cannot listen there; asyncio's own sentence is a long one."""
    if isinstance(error, socket.gaierror) or error.errno is None:
        return "there is no such name or address"
    return os.strerror(error.errno).lower()
