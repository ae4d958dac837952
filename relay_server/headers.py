"""The bytes of every answer before its body (spec/relay.md, Every request and answer).

What does not change is built once: the head of a download costs one formatting and one write.
"""

import json
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import NamedTuple

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from relay_server.clock import Clock
from relay_server.errors import (
    GoneError,
    MethodError,
    OverloadedError,
    RefusalError,
    TooOftenError,
)

# R1
COMMON = (
    b"Access-Control-Allow-Origin: *\r\n"
    b"Access-Control-Expose-Headers: Retry-After\r\n"
    b"Cache-Control: no-store, no-transform\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
)
BYTES = COMMON + b"Content-Type: application/octet-stream\r\n"
JSON = COMMON + b"Content-Type: application/json\r\n"
PROBLEM = COMMON + b"Content-Type: application/problem+json\r\n"

JOIN_MAX_SIZE = 16 * 1024
"""Up to this size, copying head and body together is cheaper than writing them apart."""

_PHRASES = {
    200: "OK",
    201: "Created",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}
_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {phrase}\r\n".encode() for status, phrase in _PHRASES.items()
}
_WITHOUT_BODY = frozenset({204, 304})

PROBLEMS = {
    "unknown-path": (404, "There is nothing at this path"),
    "method": (405, "This path does not have this method"),
    "bad-request": (400, "The request is not of the form asked for"),
    "bad-length": (400, "The length is not one of an envelope"),
    "bad-magic": (400, "The body is not an envelope of this version"),
    "bad-ttl": (400, "Ticket-TTL is not an integer from 60 to 604800"),
    "permit": (401, "A valid permit is needed"),
    "authorization": (401, "A token is needed"),
    "token": (403, "The token is not the one of this ticket or channel"),
    "absent": (404, "No such ticket was seen"),
    "channel-absent": (404, "No such channel is registered"),
    "hello-gone": (404, "This hello is not waiting any more"),
    "taken": (409, "Other bytes are there"),
    "answered": (409, "This hello has had its answer"),
    "superseded": (409, "A newer poll of this channel has come"),
    "gone": (410, "The ticket has been"),
    "channel-gone": (410, "The channel was unpaired"),
    "length-required": (411, "Content-Length is needed"),
    "too-large": (413, "The body is longer than any that this path takes"),
    "too-often": (429, "Above a limit"),
    "internal": (500, "The relay made a mistake"),
    "overloaded": (503, "The relay has too much to do, or is stopping"),
    "full": (507, "There is no room for another envelope"),
}
"""The specification's table: status and title of each type (R2)."""


class Head(NamedTuple):
    """Status and headers of an answer, but for date, length and connection."""

    status: int
    headers: bytes


class Dates:
    """The Date header, made once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = -1
        self._line = b""

    def line(self) -> bytes:
        """Return the header's line."""
        second = int(self._clock.wall())
        if second != self._second:
            self._second = second
            self._line = b"Date: " + formatdate(second, usegmt=True).encode() + b"\r\n"
        return self._line


class Answer(web.StreamResponse):
    """An answer of which every byte is already known."""

    # aiohttp's own constructor makes a dictionary of headers that nobody would read.
    def __init__(  # pylint: disable=super-init-not-called
        self,
        head: Head,
        body: bytes,
        *,
        dates: Dates,
        sent: Callable[[web.BaseRequest, int], Awaitable[None]],
        close: bool = False,
    ) -> None:
        """Make an answer; `sent` is told its size once it is written, and waits for its reader."""
        self._head = head
        self._content = body
        self._dates = dates
        self._sent = sent
        self._stays = not close
        self._to: web.BaseRequest | None = None

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self._head.status

    @property
    def keep_alive(self) -> bool:
        """Whether the connection goes on behind it."""
        return self._stays

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Note whom this is for; everything is written at once by `write_eof`."""
        self._to = request
        self._stays = self._stays and request.keep_alive and request.version >= (1, 1)
        return None

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 - aiohttp's signature
        """Write everything, and wait while the caller has too much unread."""
        request = self._to
        transport = None if request is None else request.transport
        if request is None or transport is None or transport.is_closing():
            raise ConnectionResetError("the caller is gone")
        status, headers = self._head
        lines = [_STATUS_LINES[status], headers, self._dates.line()]
        body = self._content
        if status not in _WITHOUT_BODY:
            lines.append(b"Content-Length: %d\r\n" % len(body))
        lines.append(b"\r\n" if self._stays else b"Connection: close\r\n\r\n")
        if request.method == "HEAD" or not body:
            transport.write(b"".join(lines))
        elif len(body) <= JOIN_MAX_SIZE:
            lines.append(body)
            transport.write(b"".join(lines))
        else:
            transport.writelines((b"".join(lines), body))
        await self._sent(request, len(body))


def problem(refusal: RefusalError) -> tuple[Head, bytes]:
    """Return head and body of a refusal (R2)."""
    if isinstance(refusal, GoneError):
        return _HEADS["gone"], _GONE[refusal.reason]
    head = _HEADS[refusal.code]
    if isinstance(refusal, TooOftenError | OverloadedError):
        head = Head(head.status, head.headers + b"Retry-After: %d\r\n" % refusal.retry_after)
    elif isinstance(refusal, MethodError):
        head = Head(head.status, head.headers + b"Allow: " + refusal.allow.encode() + b"\r\n")
    return head, _BODIES[refusal.code]


def refusal_bytes(refusal: RefusalError, dates: Dates, *, close: bool) -> bytes:
    """Return a whole answer, for a caller whom aiohttp does not know."""
    head, body = problem(refusal)
    length = b"Content-Length: %d\r\n" % len(body)
    end = b"Connection: close\r\n\r\n" if close else b"\r\n"
    return b"".join((_STATUS_LINES[head.status], head.headers, dates.line(), length, end, body))


def _problem_body(code: str, **members: str) -> bytes:
    status, title = PROBLEMS[code]
    problem = {"type": f"urn:e2ee-ticket:{code}", "title": title, "status": status, **members}
    return json.dumps(problem).encode()


_BODIES = {code: _problem_body(code) for code in PROBLEMS}
_GONE = {
    reason: _problem_body("gone", reason=reason) for reason in ("received", "revoked", "expired")
}
_CHALLENGE = b"WWW-Authenticate: Bearer\r\n"
_HEADS = {
    code: Head(status, PROBLEM + (_CHALLENGE if status == 401 else b""))
    for code, (status, _) in PROBLEMS.items()
}
