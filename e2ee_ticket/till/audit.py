"""Looking at the ticket page as a phone would (spec/security.md: whoever serves the page).

A customer's phone runs whatever the page's host serves, and the page has the key. So the till
fetches the page at moments that nobody can foresee, and compares it with the pages of its own
release; where they differ, no code is shown. A host that tells this computer from the phones can
still deceive it: the audit finds a changed page, not a changed page made for one customer alone.

The release's hash of a page is taken with `<meta name="relay">` and `<meta name="page">` empty.
What a page has in them must be the till's own relay and page.
"""

import asyncio
import contextlib
import hashlib
import random
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp

from e2ee_ticket import __version__
from e2ee_ticket.errors import ConfigError
from e2ee_ticket.protocol.link import is_origin
from e2ee_ticket.till.clock import Clock, SystemClock, within
from e2ee_ticket.till.released import page_file

PAGES: Final[Mapping[str, str]] = {"/": "ticket.html", "/d": "display.html"}
MAX_SIZE: Final = 1024 * 1024
TIMEOUT_SECONDS: Final = 20.0
REDIRECTS_MAX: Final = 3
MEAN_SECONDS: Final = 20 * 60.0
LONGEST_SECONDS: Final = 2 * 3600.0
AGAIN_FIRST_SECONDS: Final = 2.0
AGAIN_LONGEST_SECONDS: Final = 15.0
"""While no code may be shown: sales wait for a good result."""
BESIDE_SECONDS: Final = 30.0
"""With sales going on, the page is looked at so often."""
WHOLE_SHARE: Final = 0.25
"""How many of the looks beside sales fetch the page, whatever its host says of it."""
STANDS_SECONDS: Final = 3600.0

_META: Final = re.compile(rb'(<meta name="(relay|page)" content=")([^"<>]*)(">)')
# An error page that runs no script cannot read the link; one that does is a changed page.
_CONNECT: Final = b"connect-src 'self' %s; img-src"
_ACTIVE: Final = re.compile(
    rb"<script|<iframe|javascript:|http-equiv|\son[a-z]+\s*=", re.IGNORECASE
)
_CHARSET: Final = re.compile(r"text/html(\s*;\s*charset=\"?utf-8\"?)?\s*", re.IGNORECASE)
_ACCEPT: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
_PHONES: Final = (
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15"
        " (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36"
        " (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36"
    ),
    "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
)
_LANGUAGES: Final = (
    "fr-FR,fr;q=0.9", "de-DE,de;q=0.9", "it-IT,it;q=0.9", "en-GB,en;q=0.9", "es-ES,es;q=0.9",
)  # fmt: skip
_RANDOM: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an audit found.

    Attributes:
        state: `ok`, `changed`, `unreachable`, or `unknown` before the first.
        text: a short sentence without capital and full stop.
        hint: what to do about it; None where there is nothing to do.
        hashes: by path, the SHA-256 of what was served, its two attributes empty.
    """

    state: str
    text: str
    hint: str | None = None
    hashes: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a code may be shown."""
        return self.state == "ok"


UNKNOWN: Final = Verdict("unknown", "the receipt page has not been looked at yet")


@dataclass(frozen=True, slots=True)
class _Fetched:
    """What a phone would get."""

    status: int
    body: bytes
    kind: str
    refresh: bool
    etag: str


class _ChangedError(Exception):
    """What is served is not what was released; `digest` is its sum."""

    def __init__(self, message: str, digest: str | None = None) -> None:
        super().__init__(message)
        self.digest = digest


class _UnreachableError(Exception):
    """Nothing is served that can be judged."""


def released() -> dict[str, str]:
    """Return the SHA-256 of this release's pages, by path.

    Raises:
        ConfigError: this installation has no pages to compare with.
    """
    try:
        lines = page_file("SHA256SUMS").read_text(encoding="ascii").splitlines()
    except OSError:
        raise ConfigError(
            "this installation lacks the released pages, so that none can be compared;"
            " install it again, or name your page's sum: page_hashes"
        ) from None
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    return {path: sums[name] for path, name in PAGES.items()}


def blanked(body: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    """Empty a page's two attributes; return the page, and what was in them.

    A page that names its relay lets its policy name that relay, too, where the released page's says
    "https:", which allows more; for the sum it says so again.
    """
    found = [
        (match[2].decode("ascii"), match[3].decode("utf-8", "replace"))
        for match in _META.finditer(body)
    ]
    relay = dict(found).get("relay", "").encode()
    if relay:
        body = body.replace(_CONNECT % relay, _CONNECT % b"https:", 1)
    return _META.sub(rb"\1\4", body), found


async def audit(
    page: str,
    relay: str | None,
    own_hashes: Collection[str] = (),
    *,
    seconds: float = TIMEOUT_SECONDS,
    known: dict[str, tuple[str, str]] | None = None,
) -> Verdict:
    """Fetch the ticket page and the display page of an origin, and compare them.

    `relay` is the origin that they must name, None where any will do; `own_hashes` are the sums of
    pages of the shop's own, whole or with the two attributes empty. `known` has the ETag and the
    sum of pages that were right before: they are asked for as a phone does that was here before,
    which costs no page where the host says that nothing has changed. It is brought up to date.

    Raises:
        ConfigError: not an origin, or this installation has no pages to compare with.
    """
    page = page.removesuffix("/")
    if not is_origin(page):
        raise ConfigError("a page's address is https://host or https://host:port, in lower case")
    right = released()
    hashes: list[tuple[str, str]] = []
    path = "/"
    try:
        async with asyncio.timeout(seconds), _session() as session:
            headers = _as_a_phone()
            for path, wanted in right.items():
                etag, digest = (known or {}).get(path, ("", ""))
                conditions = {"If-None-Match": etag} if etag else {}
                fetched = await _fetch(session, page + path, headers | conditions)
                if not (etag and fetched.status == 304):
                    digest = _judge(
                        fetched, path, page=page, relay=relay, wanted=wanted, own_hashes=own_hashes
                    )
                hashes.append((path, digest))
                if known is not None and fetched.status == 200:
                    known[path] = (fetched.etag, digest)
    except _ChangedError as error:
        if error.digest is not None:
            hashes.append((path, error.digest))
        return Verdict("changed", str(error), _CHANGED_HINT, tuple(hashes))
    except (_UnreachableError, TimeoutError) as error:
        text = str(error) or "the receipt page does not answer in time"
        return Verdict("unreachable", text, _UNREACHABLE_HINT, tuple(hashes))
    if dict(hashes) == right:
        return Verdict("ok", f"the pages are those of release {__version__}", None, tuple(hashes))
    return Verdict("ok", "the pages are those that page_hashes names", None, tuple(hashes))


_CHANGED_HINT: Final = (
    "show no code until the page's host has put this right; paper works."
    " A newer release of the pages needs a newer e2ee-ticket here"
)
_UNREACHABLE_HINT: Final = (
    "customers' phones cannot open receipts either, if it is not this network"
)


class PageWatch:
    """The audit of one page for as long as the agent runs."""

    def __init__(
        self,
        page: str,
        relay: str,
        own_hashes: Collection[str] = (),
        *,
        clock: Clock | None = None,
        changed: Callable[[Verdict], None] = lambda _: None,
        look: Callable[..., Awaitable[Verdict]] = audit,
        expovariate: Callable[[float], float] = _RANDOM.expovariate,
        chance: Callable[[], float] = _RANDOM.random,
    ) -> None:
        """Name the page; `changed` is told each verdict that is another than the one before."""
        self.verdict = UNKNOWN
        self.checked_at: float | None = None
        self._page, self._relay, self._own_hashes = page, relay, tuple(own_hashes)
        self._clock = clock or SystemClock()
        self.changed = changed
        self._look, self._expovariate, self._chance = look, expovariate, chance
        self._good_at: float | None = None
        self._looked_at = 0.0
        self._known: dict[str, tuple[str, str]] = {}
        self._sold = asyncio.Event()
        self._again = AGAIN_FIRST_SECONDS

    @property
    def state(self) -> str:
        """What the last look found: `ok`, `changed`, `unreachable` or `unknown`."""
        return self.verdict.state

    def may_show(self) -> Verdict:
        """Say whether a code may be shown now: a good result outlives an unreachable page."""
        if self.state == "unreachable" and self._good_at is not None:
            age = self._clock.monotonic() - self._good_at
            if age < STANDS_SECONDS:
                minutes = max(1, round(age / 60))
                return Verdict("ok", f"the page was as released {minutes} min ago")
        return self.verdict

    def sold(self) -> None:
        """A code is on its way to a phone: look within half a minute, unless that was just done."""
        self._sold.set()

    async def check(self, *, cheaply: bool = False) -> Verdict:
        """Look now; `cheaply` asks the host only whether what was right has changed."""
        before = self.verdict
        known = {"known": self._known} if cheaply else {}
        self._looked_at = self._clock.monotonic()
        try:
            self.verdict = await self._look(self._page, self._relay, self._own_hashes, **known)
        except ConfigError as error:
            text, _, advice = str(error).partition("; ")
            self.verdict = Verdict("unknown", text, advice or None)
        self.checked_at = self._clock.now()
        if self.verdict.ok:
            self._good_at = self._clock.monotonic()
            self._again = AGAIN_FIRST_SECONDS
        elif self.state == "changed":
            self._good_at = None
            self._known.clear()
        if self.verdict != before:
            self.changed(self.verdict)
        return self.verdict

    async def run(self) -> None:
        """Look at once, then beside sales and at moments that nobody can foresee, until cancelled.

        While no code may be shown for what the last look found, or did not, it looks often.
        """
        whole = True
        while True:
            await self.check(cheaply=not whole)
            # A host may say of another page that nothing has changed: often enough it is not asked.
            whole = not await self._pause() or self._chance() < WHOLE_SHARE

    async def _pause(self) -> bool:
        """Wait for the next look; tell whether it is a sale's."""
        if not self.verdict.ok:
            wait, self._again = self._again, min(self._again * 2, AGAIN_LONGEST_SECONDS)
            await self._clock.sleep(wait)
            return False
        # Without memory: however long the last look is ago, the next is as near as ever.
        wait = min(self._expovariate(1 / MEAN_SECONDS), LONGEST_SECONDS)
        end = self._clock.monotonic() + wait
        try:
            await within(wait, self._sold.wait(), self._clock)
        except TimeoutError:
            return False
        self._sold.clear()
        at = min(end, self._looked_at + BESIDE_SECONDS)
        await self._clock.sleep(max(at - self._clock.monotonic(), 0.0))
        return at < end


def _as_a_phone() -> dict[str, str]:
    return {
        "Accept": _ACCEPT,
        "Accept-Encoding": "gzip, deflate",
        "Accept-Language": _RANDOM.choice(_LANGUAGES),
        "Sec-Fetch-Dest": "document",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Site": "none",
        "Upgrade-Insecure-Requests": "1",
        "User-Agent": _RANDOM.choice(_PHONES),
    }


@contextlib.asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        auto_decompress=False,  # bounded here
        connector=aiohttp.TCPConnector(force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    ) as session:
        yield session


async def _fetch(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> _Fetched:
    """Fetch as a phone does: redirects, errors, compression, and no more than a page's size.

    Raises:
        _ChangedError: it leads to another origin, or is far too long.
        _UnreachableError: no answer.
    """
    origin = _origin(url)
    try:
        for _ in range(REDIRECTS_MAX + 1):
            async with session.get(url, headers=headers, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if 300 <= response.status < 400 and location is not None:
                    url = urljoin(url, location)
                    if _origin(url) != origin:
                        # A browser takes what stands behind the # along.
                        raise _ChangedError("the page leads to another address")
                    continue
                body = await _read(response)
                kind = response.headers.get("Content-Type", "")
                refresh = "Refresh" in response.headers
                etag = response.headers.get("ETag", "")
                return _Fetched(response.status, body, kind, refresh, etag)
    except aiohttp.ClientConnectorCertificateError:
        raise _UnreachableError(
            "the page's certificate is not valid, or this computer's clock is wrong"
        ) from None
    except aiohttp.ClientConnectorError:
        raise _UnreachableError("nothing answers at the page's address") from None
    except (aiohttp.ClientError, ValueError, OSError):
        raise _UnreachableError("the page's host breaks off") from None
    raise _UnreachableError("the page leads round in a circle")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read and decompress, never more than a page may have.

    Raises:
        _ChangedError: longer.
        _UnreachableError: not compressed as it says.
    """
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in _CODINGS:
        raise _UnreachableError("the page's host sends it in a coding that was not asked for")
    wbits = _CODINGS[coding]
    reader = zlib.decompressobj(wbits) if wbits else None
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        try:
            body += reader.decompress(chunk, MAX_SIZE + 1) if reader else chunk
        except zlib.error:
            raise _UnreachableError("the page arrives damaged") from None
        if len(body) > MAX_SIZE:
            raise _ChangedError("the page is far longer than the released one")
    if reader is not None and not reader.eof:
        raise _UnreachableError("the page arrives in part only")
    if reader is not None and reader.unused_data:
        raise _ChangedError("the page has something behind its end")  # which browsers may read
    return bytes(body)


_CODINGS: Final[Mapping[str, int]] = {
    "identity": 0,
    "gzip": 16 + zlib.MAX_WBITS,
    "x-gzip": 16 + zlib.MAX_WBITS,
    "deflate": zlib.MAX_WBITS,
}


def _judge(
    fetched: _Fetched,
    path: str,
    *,
    page: str,
    relay: str | None,
    wanted: str,
    own_hashes: Collection[str],
) -> str:
    """Compare what was fetched; return its sum with the two attributes empty.

    Raises:
        _ChangedError: it is another page, or one for another relay.
        _UnreachableError: it is an error page that does no harm.
    """
    empty, attributes = blanked(fetched.body)
    digest = hashlib.sha256(empty).hexdigest()
    what = "ticket page" if path == "/" else "display page"
    whole = hashlib.sha256(fetched.body).hexdigest() in own_hashes  # attributes and all
    if digest != wanted and digest not in own_hashes and not whole:
        if fetched.status >= 400 and _ACTIVE.search(fetched.body) is None:
            raise _UnreachableError(f"the page's host answers {fetched.status}")
        raise _ChangedError(f"the {what} is not the released one", digest)
    if fetched.status != 200 or fetched.refresh or _CHARSET.fullmatch(fetched.kind) is None:
        raise _ChangedError(f"the {what} is served in a way that changes it")
    for name, value in () if whole else attributes:
        if name == "page" and value not in ("", page):
            raise _ChangedError(f"the {what} names another page than this till's")
        if name == "relay" and relay is not None and value != relay:
            if value:
                raise _ChangedError(f"the {what} asks another relay than this till's")
            if relay != page:
                raise _ChangedError(f"the {what} names no relay, and this till's is elsewhere")
    return digest
