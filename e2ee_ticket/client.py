"""Talking to a relay over HTTP (spec/relay.md).

Nothing of aiohttp escapes: whatever goes wrong between here and the relay is a `RelayError` whose
message is one short sentence without an id, a token or a permit. An answer is told by its problem
`type`, where there is one; an answer that no relay gives (a login page of the network, an error
page of a proxy) is told as such and never taken for the relay's word about a ticket.
"""

import asyncio
import contextlib
import email.utils
import io
import json
import random
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from e2ee_ticket.errors import (
    AbsentError,
    BusyError,
    ConfigError,
    FullError,
    GoneError,
    LengthError,
    PermitError,
    RefusedError,
    RelayError,
    SupersededError,
    TakenError,
    TicketError,
    TokenError,
    UnpairedError,
    UnreachableError,
)
from e2ee_ticket.patience import Patience
from e2ee_ticket.protocol.channel import HELLO_SIZE
from e2ee_ticket.protocol.envelope import MAX_SIZE, SIZES, seal, unseal
from e2ee_ticket.protocol.link import Link, is_origin
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket

STATES = frozenset({"stored", "opened", "received", "revoked", "expired"})
REASONS = frozenset({"received", "revoked", "expired"})

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
RETRY_AFTER_DEFAULT_SECONDS = 5.0
RETRY_AFTER_MAX_SECONDS = 3600.0
SEND_ATTEMPTS = 5
SECRET_ATTEMPTS = 3

_TYPE_PREFIX = "urn:e2ee-ticket:"
_ANSWER_MAX_SIZE = 64 * 1024
_AT_ONCE_SIZE = 512 * 1024
_SLOWEST_BYTES_PER_SECOND = 16 * 1024
_HELLOS_MAX = 4
_PERMIT = re.compile(r"[!-~]+")
_LOCATION = re.compile(r"https?://[A-Za-z0-9.:\[\]-]{1,100}")

_BROKEN = "the connection to the relay broke"
_FOREIGN = "something else than a relay answers at its address; does the network want a login?"

_T = TypeVar("_T")
_RANDOM = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class TicketState:
    """What the relay says of a ticket, and in how many seconds it expires."""

    state: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class RelayInfo:
    """What a relay says of itself (R120); `date` is its clock's, None where it tells none."""

    version: int
    mode: str
    max_envelope: int
    ttl_default: int
    ttl_max: int
    date: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Hellos:
    """The hellos that wait on a channel, oldest first, and the name of this set."""

    etag: str | None
    hellos: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    """A relay's answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    problem: Mapping[str, Any] | None

    @property
    def kind(self) -> str | None:
        """The problem's type without its prefix, where it is one of ours."""
        kind = (self.problem or {}).get("type")
        if isinstance(kind, str) and kind.startswith(_TYPE_PREFIX):
            return kind.removeprefix(_TYPE_PREFIX)
        return None


async def retrying(
    call: Callable[[], Awaitable[_T]],
    *,
    attempts: int | None = None,
    report: Callable[[TicketError, float], None] | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    jitter: Callable[[], float] = _RANDOM.random,
) -> _T:
    """Call until it succeeds, fails for good, or has failed `attempts` times.

    Between two calls it waits 1 s, doubling up to 30 s, the later half of it by chance, so that
    the tills of a street do not come back together; and never shorter than the relay asked for.
    An error is known only by its `retryable`. `report` is told each error and the wait it costs.
    """
    failures = 0
    while True:
        try:
            return await call()
        except TicketError as error:
            failures += 1
            if not error.retryable or failures == attempts:
                raise
            wait = min(FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 10), LONGEST_WAIT_SECONDS)
            wait = max(wait * (1 + jitter()) / 2, getattr(error, "retry_after", 0.0))
            if report is not None:
                report(error, wait)
        await sleep(wait)


class RelayClient:
    """One relay, as a till or an `open` command sees it; to be used with `async with`."""

    def __init__(
        self,
        relay: str,
        *,
        permit: str | None = None,
        timeout: float = 15.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        patience: Patience | None = None,
    ) -> None:
        """Name the relay by its origin; `timeout` is how many seconds of silence are too many.

        Raises:
            ConfigError: not an origin, or a permit that cannot be one.
        """
        self.relay = relay.removesuffix("/")
        if not is_origin(self.relay):
            raise ConfigError(
                "a relay's address is https://host or https://host:port, in lower case;"
                " http:// is for a relay on this computer only"
            )
        if permit is not None and _PERMIT.fullmatch(permit) is None:
            raise ConfigError("the permit holds characters that no permit has; copy it again")
        self._permit = permit
        self._timeout = timeout
        self._sleep = sleep
        self._patience = patience or Patience()
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"RelayClient({self.relay!r})"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            auto_decompress=False,  # an envelope does not compress; a bomb does
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            skip_auto_headers=("User-Agent",),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def info(self) -> RelayInfo:
        """Ask the relay about itself."""
        answer = await self._call("GET", "/v1/info", accept=(200,))
        members = _members(answer)
        mode = members.get("mode")
        if mode not in ("open", "closed"):
            raise UnreachableError(_FOREIGN)
        names = ("version", "max_envelope", "ttl_default", "ttl_max")
        version, max_envelope, ttl_default, ttl_max = (_count(members, name) for name in names)
        date = _date(answer.headers.get("Date", ""))
        return RelayInfo(version, mode, max_envelope, ttl_default, ttl_max, date)

    async def try_permit(self) -> None:
        """Find out whether this till may upload, and upload nothing.

        An envelope of one byte is refused for its length, and the permit is looked at first (R30).

        Raises:
            PermitError: the relay wants a permit, or another one.
            RelayError: it could not be found out.
        """
        nowhere = "0" * 32
        await self._call(
            "PUT",
            f"/v1/t/{nowhere}",
            accept=(),
            excuse=("bad-length",),
            headers=self._permission(),
            body=b"\0",
        )

    async def put(
        self,
        id: str,  # noqa: A002 - the specification's word
        envelope: bytes,
        *,
        ttl: int | None = None,
    ) -> TicketState:
        """Upload an envelope; the same bytes again are no error (R39)."""
        headers = self._permission()
        if ttl is not None:
            headers["Ticket-TTL"] = str(ttl)
        answer = await self._call(
            "PUT", f"/v1/t/{id}", accept=(200, 201), headers=headers, body=envelope
        )
        return _state(answer)

    async def get(self, id: str) -> bytes:  # noqa: A002 - the specification's word
        """Download an envelope.

        Raises:
            LengthError: longer than any envelope (T20).
            RelayError: no envelope, or not the whole of it.
        """
        answer = await self._call("GET", f"/v1/t/{id}", accept=(200,), limit=MAX_SIZE)
        if not answer.headers.get("Content-Type", "").startswith("application/octet-stream"):
            raise UnreachableError(_FOREIGN)
        # R52: with a Content-Length, aiohttp tells a part from the whole; without one, only the
        # length itself does.
        if "Content-Length" not in answer.headers and len(answer.body) not in SIZES:
            raise UnreachableError(_BROKEN)
        return answer.body

    async def mark(self, id: str, token: bytes, state: str) -> None:  # noqa: A002 - idem
        """Say that a ticket was `opened` or `received`, or is `revoked`."""
        body = token + state.encode("ascii")
        await self._call("POST", f"/v1/t/{id}/state", accept=(204,), body=body)

    async def state(
        self,
        id: str,  # noqa: A002 - the specification's word
        token: bytes,
        *,
        since: str | None = None,
        wait: int = 0,
    ) -> TicketState:
        """Ask for a ticket's state; with `since`, wait up to `wait` seconds for another one."""
        wait = self._patience.limit(wait)
        query = f"?since={since}&wait={wait}" if since else f"?wait={wait}"
        with self._waiting(wait):
            answer = await self._call(
                "GET", f"/v1/t/{id}/state{query}", accept=(200,), headers=_bearer(token), wait=wait
            )
        return _state(answer)

    async def send(
        self,
        ticket: Ticket,
        *,
        page: str | None = None,
        report: Callable[[TicketError, float], None] | None = None,
    ) -> Link:
        """Seal and upload a ticket, and return its link, which alone can open it.

        An upload that might succeed later is repeated a few times; `report` is told of each wait.
        The page's origin is the relay's unless `page` says otherwise.
        """
        for attempt in range(SECRET_ATTEMPTS):
            made = Link(page or self.relay, Secret.generate())
            sealed = seal(ticket, made.secret)
            upload = _Upload(self, made.secret.id, sealed)
            try:
                await retrying(upload, attempts=SEND_ATTEMPTS, report=report, sleep=self._sleep)
            except TakenError:
                if attempt + 1 == SECRET_ATTEMPTS:
                    raise
            else:
                return made
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    async def fetch(self, link: Link) -> Ticket:
        """Download and open the ticket of a link; nothing is changed at the relay (R53).

        Raises:
            ProtocolError: what came is not this link's ticket.
            RelayError: nothing came.
        """
        return unseal(await self.get(link.secret.id), link.secret)

    async def register(self, cid: str, registration: bytes) -> None:
        """Make a channel known to the relay; the same again is no error (R83)."""
        await self._call(
            "PUT",
            f"/v1/c/{cid}",
            accept=(200, 201),
            headers=self._permission(),
            body=registration,
        )

    async def unpair(self, cid: str, token: bytes) -> None:
        """End a channel for good; one that was ended before is no error."""
        await self._call(
            "DELETE",
            f"/v1/c/{cid}",
            accept=(204,),
            excuse=("channel-gone",),
            headers=_bearer(token),
        )

    async def hellos(
        self, cid: str, token: bytes, *, held: str | None = None, wait: int = 25
    ) -> Hellos | None:
        """Ask which hellos wait; None if they are still those `held`, after `wait` seconds."""
        headers = _bearer(token)
        if held is not None:
            headers["If-None-Match"] = held
        wait = self._patience.limit(wait)
        with self._waiting(wait):
            answer = await self._call(
                "GET",
                f"/v1/c/{cid}/hello?wait={wait}",
                accept=(200, 304) if held is not None else (200,),
                headers=headers,
                wait=wait,
            )
        if answer.status == 304:
            return None
        count, rest = divmod(len(answer.body), HELLO_SIZE)
        if rest or count > _HELLOS_MAX:
            raise UnreachableError(_FOREIGN)
        hellos = tuple(
            answer.body[i : i + HELLO_SIZE] for i in range(0, len(answer.body), HELLO_SIZE)
        )
        return Hellos(answer.headers.get("ETag"), hellos)

    async def answer(self, cid: str, token: bytes, hid: str, sealed: bytes) -> bool:
        """Answer a hello; tell whether the display got it, be it now or before (R111)."""
        answer = await self._call(
            "PUT",
            f"/v1/c/{cid}/hello/{hid}",
            accept=(204,),
            excuse=("answered", "hello-gone"),
            headers=_bearer(token),
            body=sealed,
        )
        return answer.kind != "hello-gone"

    @contextlib.contextmanager
    def _waiting(self, wait: int) -> Iterator[None]:
        """Learn from a question that breaks off while it waits for so many seconds at most."""
        began = self._patience.monotonic()
        try:
            yield
        except RelayError as error:
            if error.retryable:
                age = self._patience.monotonic() - began
                # aiohttp asks once more by itself where a connection ends without an answer.
                self._patience.cut(age / 2 if age > wait else age)
            raise

    def _permission(self) -> dict[str, str]:
        return {} if self._permit is None else {"Authorization": f"Bearer {self._permit}"}

    async def _call(
        self,
        method: str,
        path: str,
        *,
        accept: Collection[int],
        excuse: Collection[str] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        wait: int = 0,
        limit: int = _ANSWER_MAX_SIZE,
    ) -> _Answer:
        """Ask, and return an answer of an accepted status or an excused problem type.

        Raises:
            RelayError: anything else.
        """
        if self._session is None:
            message = "a RelayClient is used inside `async with`"
            raise RuntimeError(message)
        silence = self._timeout + wait
        timeout = aiohttp.ClientTimeout(
            total=silence + max(len(body or b""), limit) / _SLOWEST_BYTES_PER_SECOND,
            sock_connect=self._timeout,
            sock_read=silence,
        )
        try:
            async with self._session.request(
                method,
                self.relay + path,
                allow_redirects=False,
                data=_payload(body),
                headers=headers,
                timeout=timeout,
            ) as response:
                answer = await _read(response, limit)
        except TimeoutError as error:
            raise UnreachableError("the relay does not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(_sentence(error)) from _without_address(error)
        if answer.status in accept or answer.kind in excuse:
            return answer
        raise _refusal(answer, permit_sent=self._permit is not None)


class _Upload:
    """One upload, to be called as often as it takes."""

    def __init__(self, client: RelayClient, id: str, sealed: bytes) -> None:  # noqa: A002 - idem
        self._client, self._id, self._sealed = client, id, sealed

    async def __call__(self) -> TicketState:
        return await self._client.put(self._id, self._sealed)


def _bearer(token: bytes) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.hex()}"}


def _payload(body: bytes | None) -> io.BytesIO | bytes | None:
    """Let aiohttp send a large body piece by piece; it warns of one that it would send at once."""
    return io.BytesIO(body) if body is not None and len(body) > _AT_ONCE_SIZE else body


async def _read(response: aiohttp.ClientResponse, limit: int) -> _Answer:
    """Read an answer of at most `limit` bytes.

    Raises:
        LengthError, UnreachableError: longer; where an envelope is asked for, it is T20's.
    """
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > limit:
            if limit == MAX_SIZE and response.status == 200:
                raise LengthError("longer than any envelope")
            raise UnreachableError(_FOREIGN)
    problem = None
    if response.content_type == "application/problem+json":
        problem = _parse(bytes(body))
    return _Answer(response.status, response.headers, bytes(body), problem)


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _members(answer: _Answer) -> dict[str, Any]:
    members = _parse(answer.body)
    if members is None:
        raise UnreachableError(_FOREIGN)
    return members


def _count(members: Mapping[str, Any], name: str) -> int:
    value = members.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnreachableError(_FOREIGN)
    return value


def _state(answer: _Answer) -> TicketState:
    members = _members(answer)
    state = members.get("state")
    if state not in STATES:
        raise UnreachableError(_FOREIGN)
    return TicketState(state, _count(members, "expires_in"))


def _sentence(error: Exception) -> str:
    """Say what failed between here and the relay."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            "the relay's certificate is not valid:"
            " a wrong address, a login page of the network, or a wrong clock here"
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return "no TLS connection to the relay: is its address right?"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the relay's name is not found: no network, or a wrong address"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "nothing answers at the relay's address: no network, or the relay is down"
    if isinstance(error, aiohttp.ClientResponseError):
        return _FOREIGN
    return _BROKEN


def _without_address(error: Exception) -> Exception | None:
    """Keep the cause, except where it would show the whole request, id included."""
    return None if isinstance(error, aiohttp.ClientResponseError) else error


def _date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _retry_after(headers: Mapping[str, str]) -> float:
    text = headers.get("Retry-After", "")
    if re.fullmatch(r"[0-9]{1,9}", text) is None:  # absent, or a date: no clock here to trust
        return RETRY_AFTER_DEFAULT_SECONDS
    return min(float(text), RETRY_AFTER_MAX_SECONDS)


def _reason(answer: _Answer) -> str:
    reason = (answer.problem or {}).get("reason")
    return reason if reason in REASONS else "expired"


def _refusal(answer: _Answer, *, permit_sent: bool) -> RelayError:
    """Turn an answer that is not a success into its error."""
    wait = _retry_after(answer.headers)
    kind = answer.kind
    if kind is None:
        return _foreign_refusal(answer, wait)
    if kind == "permit":
        if permit_sent:
            return PermitError("the relay does not take this permit: it is wrong, or was revoked")
        return PermitError("the relay takes tickets only with a permit, and none is set")
    simple: dict[str, Callable[[], RelayError]] = {
        "token": lambda: TokenError("the relay knows another token for this name"),
        "absent": lambda: AbsentError("the relay has never seen this ticket"),
        "channel-absent": lambda: AbsentError("the relay does not know this channel"),
        "taken": lambda: TakenError("other bytes are stored under this name"),
        "superseded": lambda: SupersededError("a newer till has taken over this channel"),
        "gone": lambda: GoneError(f"the ticket is gone: {_reason(answer)}", _reason(answer)),
        "channel-gone": lambda: UnpairedError("the channel was unpaired"),
        "too-often": lambda: BusyError("too many requests for this relay", wait),
        "overloaded": lambda: BusyError("the relay has too much to do", wait),
        "full": lambda: FullError("the relay has no room for another envelope"),
        "internal": lambda: UnreachableError("the relay failed inside"),
    }
    if kind in simple:
        return simple[kind]()
    if answer.status >= 500:
        return UnreachableError(f"the relay failed ({answer.status} {_plain(kind)})")
    return RefusedError(f"the relay refuses our request ({answer.status} {_plain(kind)})")


def _foreign_refusal(answer: _Answer, wait: float) -> RelayError:
    """Judge by the status alone what a proxy, a login page or another web server says."""
    status = answer.status
    if status in (429, 503):
        return BusyError(f"what stands before the relay asks to wait ({status})", wait)
    if status == 507:
        return FullError("the relay has no room for another envelope")
    if status == 413:
        return RefusedError("what stands before the relay takes no envelope of this length (413)")
    if 300 <= status < 400 and status != 304:
        location = _LOCATION.match(answer.headers.get("Location", ""))
        where = f" to {location[0]}" if location else ""
        return UnreachableError(
            f"the relay's address leads on{where}: a login page of the network, or a moved relay"
        )
    if status < 400 or status == 511:
        return UnreachableError(_FOREIGN)
    if status >= 500:
        return UnreachableError(f"what stands before the relay cannot reach it ({status})")
    return RefusedError(f"no relay answers at this address, but something else ({status})")


def _plain(kind: str) -> str:
    return re.sub(r"[^a-z-]", "", kind)[:40]
