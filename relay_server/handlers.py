"""The requests of spec/relay.md, each: read it, call the rule, say what came of it.

Nothing here knows how an answer looks on the wire; `headers.py` and `app.py` do.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qsl

from aiohttp import StreamReader, web

from relay_server.channels import OFFER_SIZE, REGISTRATION_SIZE, SEALED_SIZE, Channels
from relay_server.clock import Clock
from relay_server.config import Config
from relay_server.crowd import Crowd
from relay_server.errors import (
    AuthorizationError,
    BadRequestError,
    FullError,
    LengthRequiredError,
    MethodError,
    OverloadedError,
    TooLargeError,
    TooOftenError,
    UnknownPathError,
)
from relay_server.limits import AddressLimits, Holding, Shares, network
from relay_server.permits import Allowance, Permits
from relay_server.proxies import Trust
from relay_server.relay import (
    ENVELOPE_MAX_SIZE,
    STATE_BODY_MAX_SIZE,
    WORDS,
    Relay,
    Status,
)

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_TOKEN = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WAIT = re.compile(r"0|[1-9][0-9]?")
_ID_SIZE = 32
_MAX_FIELDS = 16


class Reply(NamedTuple):
    """What a handler has to say."""

    status: int
    body: bytes = b""
    json: bool = False
    headers: bytes = b""


@dataclass(slots=True)
class Services:
    """Everything a handler may use."""

    relay: Relay
    channels: Channels
    permits: Permits | None
    addresses: AddressLimits | None
    reading: Shares
    crowd: Crowd
    trust: Trust
    config: Config
    clock: Clock
    about: Mapping[str, str] = field(default_factory=dict)
    """Who runs this relay, for programs (R120)."""
    draining: bool = False
    """Every answer ends its connection."""
    stopping: bool = False
    arriving: set[asyncio.Timeout] = field(default_factory=set)
    """Bodies that are being read, to be cut off when the relay stops."""


Handler = Callable[[Services, web.BaseRequest, tuple[bytes, ...]], Awaitable[Reply]]


class Route(NamedTuple):
    """A path of the interface, with its methods."""

    template: str
    methods: Mapping[str, Handler]


class Match(NamedTuple):
    """What a request asks for."""

    route: Route
    names: tuple[bytes, ...]


# Tickets


async def put_ticket(
    services: Services, request: web.BaseRequest, names: tuple[bytes, ...]
) -> Reply:
    """Take an envelope (R30 to R42)."""
    uploader = await _uploader(services, request)
    size = _length(request, ENVELOPE_MAX_SIZE)
    services.relay.check_size(size)
    ttl = services.relay.parse_ttl(request.headers.get("Ticket-TTL"))
    uploader.check(size)
    services.crowd.check()  # R14: before its body is waited for
    with services.reading.hold(uploader.owner) as held:
        try:
            envelope = await _read(services, request, size, held)
            uploader.check(size)  # others of the same caller have come meanwhile
        except (BadRequestError, TooOftenError, asyncio.CancelledError):
            uploader.count(0, request.content.total_bytes)  # R12: what has come of it
            raise
        held.settle()
        with services.crowd.enter(uploader.owner):
            uploader.count(1, size)
            try:
                created, status = await services.relay.upload(names[0], envelope, ttl)
            except (FullError, OverloadedError):
                uploader.count(-1, -size)
                raise
    return _status_reply(201 if created else 200, status)


async def get_ticket(services: Services, _: web.BaseRequest, names: tuple[bytes, ...]) -> Reply:
    """Give an envelope (R50 to R53)."""
    return Reply(200, await services.relay.fetch(names[0]))


async def post_state(
    services: Services, request: web.BaseRequest, names: tuple[bytes, ...]
) -> Reply:
    """Raise a ticket's state (R60 to R69)."""
    body = await _read(services, request, _length(request, STATE_BODY_MAX_SIZE))
    await services.relay.change(names[0], body)
    return Reply(204)


async def get_state(
    services: Services, request: web.BaseRequest, names: tuple[bytes, ...]
) -> Reply:
    """Tell the till how far its ticket has come (R70 to R73)."""
    token = _token(request)
    query = _query(request)
    since = query.get("since")
    if since is not None and since not in WORDS:
        raise BadRequestError
    wait = _wait(services, query, default=0)
    with _waits(services, request):
        return _status_reply(200, await services.relay.status(names[0], token, since, wait))


# Channels


async def put_channel(
    services: Services, request: web.BaseRequest, names: tuple[bytes, ...]
) -> Reply:
    """Register a channel (R80 to R84)."""
    allowance = await _check_permit(services, request)
    body = await _read(services, request, _length(request, REGISTRATION_SIZE))
    read_hash, write_hash = services.channels.parse_registration(body)
    if allowance is not None:
        allowance.check(len(body))
        allowance.count(1, len(body))
    if services.addresses is not None:
        services.addresses.check_registration(_address(services, request))
    created = await services.channels.register(names[0], read_hash, write_hash)
    return Reply(201 if created else 200)


async def delete_channel(
    services: Services, request: web.BaseRequest, names: tuple[bytes, ...]
) -> Reply:
    """Unpair (R85, R86)."""
    await services.channels.unpair(names[0], _token(request))
    return Reply(204)


async def post_hello(
    services: Services, request: web.BaseRequest, names: tuple[bytes, ...]
) -> Reply:
    """Let a display wait for its answer (R90 to R95)."""
    body = await _read(services, request, _length(request, OFFER_SIZE))
    with _waits(services, request):
        sealed = await services.channels.offer(names[0], body)
    return Reply(204) if sealed is None else Reply(200, sealed)


async def get_hellos(
    services: Services, request: web.BaseRequest, names: tuple[bytes, ...]
) -> Reply:
    """Give the till the live hellos, when they are not those it holds (R100 to R103)."""
    token = _token(request)
    wait = _wait(services, _query(request), default=services.config.wait_max_seconds)
    known = _etags(request)
    with _waits(services, request):
        found = await services.channels.poll(names[0], token, known, wait)
    etag = b'ETag: "%s"\r\n' % found.name.encode()
    if found.name in known:
        return Reply(304, headers=etag)
    return Reply(200, b"".join(found.hellos), headers=etag)


async def put_sealed(
    services: Services, request: web.BaseRequest, names: tuple[bytes, ...]
) -> Reply:
    """Give a hello its answer (R110 to R114)."""
    token = _token(request)
    sealed = await _read(services, request, _length(request, SEALED_SIZE))
    await services.channels.answer(names[0], names[1], token, sealed)
    return Reply(204)


# About the relay


async def get_info(services: Services, _: web.BaseRequest, __: tuple[bytes, ...]) -> Reply:
    """Say what this relay is (R120)."""
    config = services.config
    info = {
        "version": 1,
        "mode": "open" if config.open else "closed",
        "max_envelope": ENVELOPE_MAX_SIZE,
        "ttl_default": config.ttl_default_seconds,
        "ttl_max": config.ttl_max_seconds,
        **services.about,
    }
    return Reply(200, json.dumps(info).encode(), json=True)


# Which request is which

TICKET = Route("/v1/t/{id}", {"GET": get_ticket, "HEAD": get_ticket, "PUT": put_ticket})
TICKET_STATE = Route("/v1/t/{id}/state", {"GET": get_state, "POST": post_state})
CHANNEL = Route("/v1/c/{cid}", {"DELETE": delete_channel, "PUT": put_channel})
HELLOS = Route("/v1/c/{cid}/hello", {"GET": get_hellos, "POST": post_hello})
HELLO = Route("/v1/c/{cid}/hello/{hid}", {"PUT": put_sealed})
INFO = Route("/v1/info", {"GET": get_info, "HEAD": get_info})
ROUTES = (TICKET, TICKET_STATE, CHANNEL, HELLOS, HELLO, INFO)

_BY_FORM = {
    ("t", ""): TICKET,
    ("t", "/state"): TICKET_STATE,
    ("c", ""): CHANNEL,
    ("c", "/hello"): HELLOS,
}


def find_route(path: str) -> Match:
    """Return the route of a path under /v1.

    Raises:
        UnknownPathError: there is none (R5).
    """
    kind, name, rest = path[4:5], path[6 : 6 + _ID_SIZE], path[6 + _ID_SIZE :]
    if path[:4] == "/v1/" and path[5:6] == "/" and _ID.fullmatch(name):
        route = _BY_FORM.get((kind, rest))
        if route is not None:
            return Match(route, (bytes.fromhex(name),))
        if kind == "c" and rest[:7] == "/hello/" and _ID.fullmatch(rest[7:]):
            return Match(HELLO, (bytes.fromhex(name), bytes.fromhex(rest[7:])))
    if path == INFO.template:
        return Match(INFO, ())
    raise UnknownPathError


def find_handler(route: Route, method: str) -> Handler:
    """Return what answers a method on a route.

    Raises:
        MethodError: the route does not have it (R5).
    """
    handler = route.methods.get(method)
    if handler is None:
        raise MethodError(allow(route))
    return handler


def allow(route: Route) -> str:
    """Return the methods of a route as a header lists them."""
    return ", ".join(sorted({*route.methods, "OPTIONS"}))


# Reading a request


@dataclass(slots=True, frozen=True)
class _Uploader:
    """Whose an upload is, and what they may still do: a permit's, or an address's."""

    owner: bytes
    check: Callable[[int], None]
    count: Callable[[int, int], None]


async def _uploader(services: Services, request: web.BaseRequest) -> _Uploader:
    allowance = await _check_permit(services, request)
    if allowance is not None:
        return _Uploader(allowance.name, allowance.check, allowance.count)
    address, limits = _address(services, request), services.addresses
    if limits is None:
        return _Uploader(network(address), _allow, _allow)
    return _Uploader(
        network(address),
        partial(limits.check_upload, address),
        partial(limits.count_upload, address),
    )


def _allow(*_: int) -> None:
    pass


async def _check_permit(services: Services, request: web.BaseRequest) -> Allowance | None:
    return None if services.permits is None else await services.permits.check(_bearer(request))


def _bearer(request: web.BaseRequest) -> str:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else ""


def _token(request: web.BaseRequest) -> bytes:
    token = _bearer(request)
    if _TOKEN.fullmatch(token) is None:
        raise AuthorizationError
    return bytes.fromhex(token)


def _query(request: web.BaseRequest) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            request.rel_url.raw_query_string, keep_blank_values=True, max_num_fields=_MAX_FIELDS
        )
    except ValueError as error:
        raise BadRequestError from error
    query = dict(pairs)
    if len(query) != len(pairs):
        raise BadRequestError
    return query


def _wait(services: Services, query: Mapping[str, str], *, default: int) -> int:
    text = query.get("wait")
    if text is None:
        return default
    if _WAIT.fullmatch(text) is None or int(text) > services.config.wait_max_seconds:
        raise BadRequestError
    return int(text)


def _etags(request: web.BaseRequest) -> frozenset[str]:
    """Return the names that If-None-Match lists."""
    listed = request.headers.get("If-None-Match", "").split(",")
    return frozenset(item.strip().removeprefix("W/").strip('"') for item in listed)


def _length(request: web.BaseRequest, most: int) -> int:
    text = request.headers.get("Content-Length")
    if text is None:
        raise LengthRequiredError
    size = int(text)  # the parser of requests has refused what is no number
    if size > most:
        raise TooLargeError
    return size


async def _read(
    services: Services, request: web.BaseRequest, size: int, held: Holding | None = None
) -> bytes:
    """Read a body of exactly this size; one that is cut off is never used."""
    content = request.content
    if (
        request.headers.get("Expect", "").lower() == "100-continue"
        and request.transport is not None
    ):
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if content.is_eof() and content.total_bytes == size:
        if held is not None:
            held.grow(size)
        return await content.read()
    parts, came = [], 0
    try:
        async with asyncio.timeout(None) as limit, _Pace(services, content, limit):
            if held is not None:
                held.cut = lambda: limit.reschedule(asyncio.get_running_loop().time())
            while came < size:
                part = await content.readany()
                if not part:
                    raise BadRequestError
                parts.append(part)
                came += len(part)
                if held is not None:
                    held.grow(came)
    except TimeoutError as error:
        given_up = services.stopping or (held is not None and held.is_cut)
        raise (OverloadedError() if given_up else BadRequestError()) from error
    return b"".join(parts)


class _Pace:
    """Ends the reading of a body that arrives too slowly, or not at all (R14)."""

    def __init__(self, services: Services, content: StreamReader, limit: asyncio.Timeout) -> None:
        self._services = services
        self._content = content
        self._limit = limit
        self._came = 0
        self._end = services.clock.monotonic() + services.config.body_seconds

    async def __aenter__(self) -> None:
        self._services.arriving.add(self._limit)
        self._wait()

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()
        self._services.arriving.discard(self._limit)

    def _wait(self) -> None:
        left = self._end - self._services.clock.monotonic()
        seconds = min(left, self._services.config.body_pace_seconds)
        self._timer = self._services.clock.call_later(seconds, self._look)

    def _look(self) -> None:
        came = self._content.total_bytes
        enough = came - self._came >= self._services.config.body_pace_bytes
        if enough and self._services.clock.monotonic() < self._end:
            self._came = came
            self._wait()
        else:
            self._limit.reschedule(asyncio.get_running_loop().time())


def _address(services: Services, request: web.BaseRequest) -> str:
    return services.trust.caller(request.remote or "", request.headers)


def _waits(services: Services, request: web.BaseRequest) -> AbstractContextManager[None]:
    if services.addresses is None:
        return nullcontext()
    return services.addresses.wait(_address(services, request))


def _status_reply(code: int, status: Status) -> Reply:
    body = b'{"state": "%s", "expires_in": %d}' % (status.word.encode(), status.expires_in)
    return Reply(code, body, json=True)
