import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from e2ee_ticket.client import Hellos, RelayClient, RelayInfo, TicketState, retrying
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
    WrongKeyError,
)
from e2ee_ticket.protocol.envelope import MAX_SIZE, SIZES, seal
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket

ID = "0123456789abcdef" * 2
HID = "fedcba9876543210" * 2
TOKEN = bytes(range(32))
PERMIT = "canary-permit-" + "x" * 29
TICKET = Ticket(receipt=b"%PDF-1.7\n%%EOF\n", title="Au Petit Marché")
HTML = "<html><body>Welcome to the free wifi</body></html>"


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class PlayedRelay:
    """Gives the next answer of its list to whatever is asked, the last one for ever."""

    answers: list[web.Response] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    origin: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(
            Request(request.method, request.path_qs, dict(request.headers), body),
        )
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        fresh = web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        if answer.status == 304:
            fresh.headers.pop("Content-Type", None)
        return fresh


@pytest.fixture
async def relay() -> AsyncIterator[PlayedRelay]:
    played = PlayedRelay()
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", played.handle)
    async with TestServer(app) as server:
        played.origin = f"http://127.0.0.1:{server.port}"
        yield played


def problem(status: int, kind: str, **more: object) -> web.Response:
    headers = {"Content-Type": "application/problem+json"}
    if "retry_after" in more:
        headers["Retry-After"] = str(more.pop("retry_after"))
    members = {"type": f"urn:e2ee-ticket:{kind}", "title": kind, "status": status, **more}
    return web.Response(status=status, headers=headers, body=json.dumps(members))


def ok(members: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(members), headers={"Content-Type": "application/json"}
    )


def data(body: bytes, **headers: str) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": "application/octet-stream", **headers})


def page(status: int, **headers: str) -> web.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(status=status, body=HTML, headers={"Content-Type": "text/html", **headers})


STORED = ok({"state": "stored", "expires_in": 259200}, 201)


@contextlib.asynccontextmanager
async def raw_server(answer: bytes, *, hang: bool = False) -> AsyncIterator[str]:
    """Answer every request with these bytes, then cut the connection, or hang."""
    hanging = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            if hang:
                await hanging.wait()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        hanging.set()


async def no_sleep(_seconds: float) -> None:
    return


# What is asked


async def test_an_upload_names_its_ticket_its_life_and_its_permit(relay: PlayedRelay):
    relay.answers = [STORED]

    async with RelayClient(relay.origin + "/", permit=PERMIT) as client:
        state = await client.put(ID, b"envelope", ttl=3600)

    assert state == TicketState("stored", 259200)
    (request,) = relay.requests
    assert (request.method, request.path, request.body) == ("PUT", f"/v1/t/{ID}", b"envelope")
    assert request.headers["Ticket-TTL"] == "3600"
    assert request.headers["Authorization"] == f"Bearer {PERMIT}"


@pytest.mark.parametrize("size", [SIZES[0], SIZES[-1]])
async def test_an_envelope_is_uploaded_as_it_is(relay: PlayedRelay, size: int):
    envelope = bytes(range(256)) * (size // 256)
    relay.answers = [STORED]

    async with RelayClient(relay.origin) as client:
        await client.put(ID, envelope)

    assert relay.requests[0].body == envelope
    assert relay.requests[0].headers["Content-Length"] == str(size)


async def test_an_upload_without_ttl_or_permit_sends_neither(relay: PlayedRelay):
    relay.answers = [STORED]

    async with RelayClient(relay.origin) as client:
        await client.put(ID, b"envelope")

    assert not {"Ticket-TTL", "Authorization", "Cookie", "User-Agent"} & set(
        relay.requests[0].headers
    )


async def test_a_permit_is_sent_with_uploads_and_registrations_only(relay: PlayedRelay):
    relay.answers = [
        data(bytes(SIZES[0])),
        web.Response(status=204),
        ok({"state": "opened", "expires_in": 5}),
        web.Response(status=201),
        data(b"", ETag='"1"'),
    ]

    async with RelayClient(relay.origin, permit=PERMIT) as client:
        await client.get(ID)
        await client.mark(ID, TOKEN, "opened")
        await client.state(ID, TOKEN)
        await client.register(ID, b"registration")
        await client.hellos(ID, TOKEN)

    with_permit = [request.path for request in relay.requests if PERMIT in str(request.headers)]
    assert with_permit == [f"/v1/c/{ID}"]


async def test_a_download_gives_the_exact_bytes(relay: PlayedRelay):
    envelope = bytes(range(256)) * 64
    relay.answers = [data(envelope)]

    async with RelayClient(relay.origin) as client:
        assert await client.get(ID) == envelope

    assert relay.requests[0].headers["Accept-Encoding"] == "identity"


async def test_a_mark_is_the_token_and_the_state(relay: PlayedRelay):
    relay.answers = [web.Response(status=204)]

    async with RelayClient(relay.origin) as client:
        await client.mark(ID, TOKEN, "revoked")

    (request,) = relay.requests
    assert (request.method, request.path) == ("POST", f"/v1/t/{ID}/state")
    assert request.body == TOKEN + b"revoked"


async def test_a_state_is_asked_with_token_since_and_wait(relay: PlayedRelay):
    relay.answers = [ok({"state": "opened", "expires_in": 86400})]

    async with RelayClient(relay.origin) as client:
        at_once = await client.state(ID, TOKEN)
        waited = await client.state(ID, TOKEN, since="stored", wait=20)

    assert at_once == waited == TicketState("opened", 86400)
    assert [request.path for request in relay.requests] == [
        f"/v1/t/{ID}/state?wait=0",
        f"/v1/t/{ID}/state?since=stored&wait=20",
    ]
    assert relay.requests[0].headers["Authorization"] == f"Bearer {TOKEN.hex()}"


async def test_info_is_read(relay: PlayedRelay):
    told = {"version": 1, "mode": "open", "max_envelope": 1, "ttl_default": 2, "ttl_max": 3}
    relay.answers = [ok(told)]

    async with RelayClient(relay.origin) as client:
        assert await client.info() == RelayInfo(1, "open", 1, 2, 3)

    assert relay.requests[0].path == "/v1/info"


@pytest.mark.parametrize(
    ("header", "date"),
    [
        ("Sat, 01 Jan 2000 00:00:10 GMT", 946_684_810.0),
        ("yesterday", None),
        ("Sat, 99 Jan 2000 00:00:10 GMT", None),
    ],
)
async def test_the_relays_clock_is_read_where_it_tells_one(
    relay: PlayedRelay, header: str, date: float | None
):
    answer = ok({"version": 1, "mode": "open", "max_envelope": 1, "ttl_default": 2, "ttl_max": 3})
    answer.headers["Date"] = header
    relay.answers = [answer]

    async with RelayClient(relay.origin) as client:
        assert (await client.info()).date == date


async def test_a_permit_is_tried_without_uploading_anything(relay: PlayedRelay):
    relay.answers = [problem(400, "bad-length")]

    async with RelayClient(relay.origin, permit=PERMIT) as client:
        await client.try_permit()

    (request,) = relay.requests
    assert (request.method, len(request.body)) == ("PUT", 1)
    assert request.headers["Authorization"] == f"Bearer {PERMIT}"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(401, "permit"), PermitError),
        (web.Response(status=200, body=b"welcome to our wifi"), UnreachableError),
        (web.Response(status=502), UnreachableError),
    ],
    ids=["refused", "a-login-page", "no-relay"],
)
async def test_a_permit_that_was_not_tried_is_not_called_good(
    relay: PlayedRelay, answer: web.Response, error: type[Exception]
):
    relay.answers = [answer]

    async with RelayClient(relay.origin, permit=PERMIT) as client:
        with pytest.raises(error):
            await client.try_permit()


@pytest.mark.parametrize("status", [200, 201])
async def test_a_channel_is_registered(relay: PlayedRelay, status: int):
    relay.answers = [web.Response(status=status)]

    async with RelayClient(relay.origin, permit=PERMIT) as client:
        await client.register(ID, b"registration")

    (request,) = relay.requests
    assert (request.method, request.path, request.body) == ("PUT", f"/v1/c/{ID}", b"registration")


@pytest.mark.parametrize("answer", [web.Response(status=204), problem(410, "channel-gone")])
async def test_a_channel_is_unpaired_now_or_was_before(relay: PlayedRelay, answer: web.Response):
    relay.answers = [answer]

    async with RelayClient(relay.origin) as client:
        await client.unpair(ID, TOKEN)

    assert relay.requests[0].method == "DELETE"


async def test_hellos_are_cut_apart_and_the_set_is_named(relay: PlayedRelay):
    first, second = b"a" * 80, b"b" * 80
    relay.answers = [data(first + second, ETag='"7"'), data(b""), web.Response(status=304)]

    async with RelayClient(relay.origin) as client:
        two = await client.hellos(ID, TOKEN)
        none = await client.hellos(ID, TOKEN, held='"7"', wait=3)
        same = await client.hellos(ID, TOKEN, held='"7"')

    assert two == Hellos('"7"', (first, second))
    assert none == Hellos(None, ())
    assert same is None
    assert relay.requests[1].path == f"/v1/c/{ID}/hello?wait=3"
    assert relay.requests[1].headers["If-None-Match"] == '"7"'
    assert "If-None-Match" not in relay.requests[0].headers


@pytest.mark.parametrize("size", [1, 79, 81, 5 * 80])
async def test_hellos_of_another_length_are_not_a_relays(relay: PlayedRelay, size: int):
    relay.answers = [data(bytes(size))]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(UnreachableError):
            await client.hellos(ID, TOKEN)


@pytest.mark.parametrize(
    ("answer", "delivered"),
    [
        (web.Response(status=204), True),
        (problem(409, "answered"), True),
        (problem(404, "hello-gone"), False),
    ],
)
@pytest.mark.rule("R111")
async def test_an_answer_tells_whether_it_was_delivered(
    relay: PlayedRelay, answer: web.Response, *, delivered: bool
):
    relay.answers = [answer]

    async with RelayClient(relay.origin) as client:
        assert await client.answer(ID, TOKEN, HID, b"sealed") is delivered

    (request,) = relay.requests
    assert (request.method, request.path) == ("PUT", f"/v1/c/{ID}/hello/{HID}")
    assert request.body == b"sealed"


# What is refused


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(401, "permit"), PermitError),
        (problem(401, "authorization"), RefusedError),
        (problem(403, "token"), TokenError),
        (problem(404, "absent"), AbsentError),
        (problem(404, "channel-absent"), AbsentError),
        (problem(404, "unknown-path"), RefusedError),
        (problem(405, "method"), RefusedError),
        (problem(400, "bad-length"), RefusedError),
        (problem(409, "taken"), TakenError),
        (problem(409, "superseded"), SupersededError),
        (problem(410, "gone", reason="revoked"), GoneError),
        (problem(410, "channel-gone"), UnpairedError),
        (problem(411, "length-required"), RefusedError),
        (problem(413, "too-large"), RefusedError),
        (problem(429, "too-often", retry_after=7), BusyError),
        (problem(500, "internal"), UnreachableError),
        (problem(503, "overloaded", retry_after=7), BusyError),
        (problem(507, "full"), FullError),
        (problem(418, "of-a-later-version"), RefusedError),
        (problem(599, "of-a-later-version"), UnreachableError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
async def test_a_refusal_is_known_by_its_type(
    relay: PlayedRelay, answer: web.Response, error: type[RelayError]
):
    relay.answers = [answer]

    async with RelayClient(relay.origin, permit=PERMIT) as client:
        with pytest.raises(error) as caught:
            await client.put(ID, b"envelope")

    assert type(caught.value) is error
    assert_is_a_sentence(caught.value)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (page(200), UnreachableError),
        (page(302, Location="https://login.wifi.example/x?y"), UnreachableError),
        (page(307, Location="/elsewhere"), UnreachableError),
        (page(304), UnreachableError),
        (page(401), RefusedError),
        (page(403), RefusedError),
        (page(404), RefusedError),
        (page(410), RefusedError),
        (page(413), RefusedError),
        (page(429), BusyError),
        (page(500), UnreachableError),
        (page(502), UnreachableError),
        (page(503), BusyError),
        (page(507), FullError),
        (page(511), UnreachableError),
        (ok({"type": "urn:e2ee-ticket:absent"}, 404), RefusedError),
        (ok(["not", "an", "object"], 201), UnreachableError),
        (ok({"state": "burnt", "expires_in": 1}), UnreachableError),
        (ok({"state": "stored", "expires_in": "soon"}), UnreachableError),
        (ok({"state": "stored", "expires_in": True}), UnreachableError),
        (ok({"state": "stored"}), UnreachableError),
        (web.Response(status=201, body=b"\xff{"), UnreachableError),
        (web.Response(status=201, body=b"[" * 60_000), UnreachableError),
        (web.Response(status=201, body=b" " * 70_000), UnreachableError),
        (web.Response(status=200), UnreachableError),
    ],
)
async def test_what_no_relay_answers_is_never_taken_for_its_word(
    relay: PlayedRelay, answer: web.Response, error: type[RelayError]
):
    relay.answers = [answer]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(error) as caught:
            await client.put(ID, b"envelope")

    assert type(caught.value) is error
    assert len(relay.requests) == 1
    assert_is_a_sentence(caught.value)


@pytest.mark.parametrize("body", [b"not json", b"[1]", b'{"type": 7}', b'{"type": "about:blank"}'])
async def test_a_problem_of_another_kind_is_judged_by_its_status(relay: PlayedRelay, body: bytes):
    relay.answers = [
        web.Response(status=404, body=body, headers={"Content-Type": "application/problem+json"})
    ]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(RefusedError):
            await client.get(ID)


def assert_is_a_sentence(error: BaseException) -> None:
    text = str(error)
    assert text
    assert "\n" not in text
    assert not text.endswith(".")
    assert ID not in text
    assert PERMIT not in text
    assert TOKEN.hex() not in text
    assert "html" not in text


async def test_a_redirection_is_told_with_its_origin_and_not_followed(relay: PlayedRelay):
    relay.answers = [page(302, Location="https://login.wifi.example/?from=" + ID)]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(UnreachableError, match=r"to https://login\.wifi\.example:"):
            await client.get(ID)

    assert len(relay.requests) == 1


async def test_no_permit_and_a_wrong_permit_are_told_apart(relay: PlayedRelay):
    relay.answers = [problem(401, "permit")]

    async with RelayClient(relay.origin) as without, RelayClient(relay.origin, permit="x") as wrong:
        with pytest.raises(PermitError, match="none is set"):
            await without.put(ID, b"")
        with pytest.raises(PermitError, match="wrong, or was revoked"):
            await wrong.register(ID, b"")


@pytest.mark.parametrize("reason", ["received", "revoked", "expired"])
async def test_a_ticket_that_has_been_says_why(relay: PlayedRelay, reason: str):
    relay.answers = [problem(410, "gone", reason=reason)]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(GoneError) as caught:
            await client.get(ID)

    assert caught.value.reason == reason


async def test_an_unknown_reason_counts_as_expired(relay: PlayedRelay):
    relay.answers = [problem(410, "gone", reason="<b>")]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(GoneError) as caught:
            await client.get(ID)

    assert caught.value.reason == "expired"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("999999", 3600.0), ("Fri, 21 Nov 2025 00:00:00 GMT", 5.0), ("-1", 5.0)],
)
async def test_the_wait_that_a_relay_asks_for_is_kept_within_reason(
    relay: PlayedRelay, header: str, seconds: float
):
    relay.answers = [problem(429, "too-often", retry_after=header)]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(BusyError) as caught:
            await client.put(ID, b"")

    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("mode", ["ajar", 1, None])
async def test_info_of_another_form_is_not_a_relays(relay: PlayedRelay, mode: object):
    relay.answers = [
        ok({"version": 1, "mode": mode, "max_envelope": 1, "ttl_default": 2, "ttl_max": 3})
    ]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(UnreachableError):
            await client.info()


# Downloads that are not what they seem


async def test_a_page_in_place_of_an_envelope_is_not_one(relay: PlayedRelay):
    relay.answers = [page(200)]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(UnreachableError, match="login"):
            await client.get(ID)


@pytest.mark.rule("T20")
async def test_a_download_longer_than_any_envelope_is_stopped(relay: PlayedRelay):
    relay.answers = [data(bytes(MAX_SIZE + 1))]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(LengthError):
            await client.get(ID)


async def test_a_long_refusal_is_stopped_as_well(relay: PlayedRelay):
    relay.answers = [web.Response(status=404, body=bytes(MAX_SIZE + 1))]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(UnreachableError):
            await client.get(ID)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"


@pytest.mark.rule("R52")
@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 16384\r\n\r\n" + bytes(16000),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n" + bytes(16) + b"\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Connection: close\r\n\r\n" + bytes(16000),
        HEAD + b"Content-Length: nonsense\r\n\r\n",
        HEAD,
        b"",
        b"\x16\x03\x01 not http at all\r\n\r\n",
        b"HTTP/1.1 999999 what\r\n\r\n",
    ],
)
async def test_half_an_answer_is_no_answer(answer: bytes):
    async with raw_server(answer) as origin, RelayClient(origin) as client:
        with pytest.raises(UnreachableError) as caught:
            await client.get(ID)

    assert_is_a_sentence(caught.value)
    assert ID not in repr(caught.value.__cause__)


async def test_an_envelope_without_a_content_length_is_known_by_its_length():
    answer = HEAD + b"Connection: close\r\n\r\n" + bytes(SIZES[0])
    async with raw_server(answer) as origin, RelayClient(origin) as client:
        assert await client.get(ID) == bytes(SIZES[0])


async def test_a_compressed_bomb_is_not_unpacked():
    answer = (
        HEAD
        + b"Content-Encoding: gzip\r\nContent-Length: 16384\r\n\r\n"
        + b"\x1f\x8b"
        + bytes(16382)
    )
    async with raw_server(answer) as origin, RelayClient(origin) as client:
        assert len(await client.get(ID)) == 16384


# A network that fails


async def test_nobody_listening_is_unreachable():
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()

    async with RelayClient(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(UnreachableError, match="nothing answers"):
            await client.info()


async def test_an_unknown_name_is_unreachable():
    async with RelayClient("https://relay.invalid") as client:
        with pytest.raises(UnreachableError, match="name is not found"):
            await client.info()


async def test_silence_is_unreachable():
    async with raw_server(HEAD, hang=True) as origin, RelayClient(origin, timeout=0.05) as client:
        with pytest.raises(UnreachableError, match="in time"):
            await client.get(ID)


async def test_a_server_without_tls_is_told_as_such(relay: PlayedRelay):
    origin = relay.origin.replace("http://", "https://")

    async with RelayClient(origin) as client:
        with pytest.raises(UnreachableError, match="TLS"):
            await client.info()


async def test_a_certificate_that_nobody_vouches_for_is_told_as_such(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "1", "-subj", "/CN=localhost"),
        *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
    ]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = TestServer(web.Application(), scheme="https")
    await server.start_server(ssl=context)
    try:
        async with RelayClient(f"https://127.0.0.1:{server.port}") as client:
            with pytest.raises(UnreachableError, match=r"certificate .* wrong clock"):
                await client.info()
    finally:
        await server.close()


async def test_a_proxy_named_in_the_environment_is_not_asked(
    relay: PlayedRelay, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    relay.answers = [STORED]

    async with RelayClient(relay.origin) as client:
        await client.put(ID, b"envelope")

    assert len(relay.requests) == 1


# Sending and fetching


async def test_a_ticket_is_sent_and_fetched(relay: PlayedRelay):
    relay.answers = [STORED]
    async with RelayClient(relay.origin) as client:
        link = await client.send(TICKET)

        (upload,) = relay.requests
        relay.answers = [data(upload.body)]
        fetched = await client.fetch(Link.parse(link.reveal()))

    assert fetched == TICKET
    assert link.page == relay.origin
    assert upload.path == f"/v1/t/{link.secret.id}"


async def test_the_link_names_the_page(relay: PlayedRelay):
    relay.answers = [STORED]
    async with RelayClient(relay.origin) as client:
        link = await client.send(TICKET, page="https://receipts.example")

    assert link.page == "https://receipts.example"


async def test_an_upload_is_repeated_with_the_same_bytes(relay: PlayedRelay):
    relay.answers = [problem(503, "overloaded", retry_after=40), page(502), STORED]
    waits: list[tuple[type, float]] = []

    async with RelayClient(relay.origin, sleep=no_sleep) as client:
        await client.send(TICKET, report=lambda error, wait: waits.append((type(error), wait)))

    assert len({(request.path, request.body) for request in relay.requests}) == 1
    assert waits[0] == (BusyError, 40.0)
    assert waits[1][0] is UnreachableError
    assert 1.0 <= waits[1][1] <= 2.0


async def test_an_upload_is_given_up_in_the_end(relay: PlayedRelay):
    relay.answers = [problem(507, "full")]

    async with RelayClient(relay.origin, sleep=no_sleep) as client:
        with pytest.raises(FullError):
            await client.send(TICKET)

    assert len(relay.requests) == 5


@pytest.mark.rule("T17")
async def test_a_taken_id_gets_a_new_secret(relay: PlayedRelay):
    relay.answers = [problem(409, "taken"), STORED]

    async with RelayClient(relay.origin) as client:
        link = await client.send(TICKET)

    first, second = relay.requests
    assert first.path != second.path
    assert second.path.endswith(link.secret.id)


async def test_a_relay_that_calls_everything_taken_is_given_up(relay: PlayedRelay):
    relay.answers = [problem(409, "taken")]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(TakenError):
            await client.send(TICKET)

    assert len(relay.requests) == 3


@pytest.mark.rule("T22")
async def test_another_secrets_envelope_is_not_opened(relay: PlayedRelay):
    relay.answers = [data(seal(TICKET, Secret.generate()))]

    async with RelayClient(relay.origin) as client:
        with pytest.raises(WrongKeyError):
            await client.fetch(Link(relay.origin, Secret.generate()))


# Being made


@pytest.mark.parametrize(
    "relay",
    [
        "relay.example",
        "http://relay.example",
        "https://Relay.example",
        "https://relay.example/x",
        "",
    ],
)
def test_an_address_that_is_not_an_origin_is_refused(relay: str):
    with pytest.raises(ConfigError, match="https://host"):
        RelayClient(relay)


@pytest.mark.parametrize("permit", ["", "two words", "a\nb", "é"])
def test_a_permit_that_would_break_a_header_is_refused(permit: str):
    with pytest.raises(ConfigError, match="copy it again") as caught:
        RelayClient("https://relay.example", permit=permit)

    assert not permit or permit not in str(caught.value)


def test_a_client_does_not_show_its_permit():
    client = RelayClient("https://relay.example", permit=PERMIT)

    assert repr(client) == "RelayClient('https://relay.example')"
    assert PERMIT not in str(client)


async def test_a_client_is_used_inside_async_with():
    client = RelayClient("https://relay.example")

    with pytest.raises(RuntimeError, match="async with"):
        await client.info()
    await client.__aexit__(None, None, None)


# Retrying


class Flaky:
    """Fails with each of its errors in turn, then returns how often it was called."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


async def test_waits_double_up_to_thirty_seconds():
    flaky = Flaky(*(UnreachableError("away") for _ in range(8)))
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    assert await retrying(flaky, sleep=sleep, jitter=lambda: 1.0) == 9
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


async def test_chance_takes_up_to_half_of_a_wait():
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    await retrying(Flaky(UnreachableError("away")), sleep=sleep, jitter=lambda: 0.0)
    await retrying(Flaky(UnreachableError("away")), sleep=sleep)

    assert waits[0] == 0.5
    assert 0.5 <= waits[1] <= 1.0


async def test_a_wait_is_never_shorter_than_asked_for():
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    await retrying(Flaky(BusyError("busy", 12.5)), sleep=sleep)

    assert waits == [12.5]


async def test_what_cannot_succeed_later_is_not_repeated():
    flaky = Flaky(PermitError("no"))

    with pytest.raises(PermitError):
        await retrying(flaky, sleep=no_sleep)

    assert flaky.calls == 1


async def test_attempts_are_counted():
    flaky = Flaky(*(FullError("full") for _ in range(9)))

    with pytest.raises(FullError):
        await retrying(flaky, attempts=3, sleep=no_sleep)

    assert flaky.calls == 3


async def test_each_wait_is_reported_before_it_begins():
    events: list[object] = []

    async def sleep(_seconds: float) -> None:
        events.append("sleep")

    def report(error: TicketError, wait: float) -> None:
        events.append((str(error), wait))

    await retrying(Flaky(UnreachableError("away")), report=report, sleep=sleep, jitter=lambda: 1.0)

    assert events == [("away", 1.0), "sleep"]


async def test_what_is_not_ours_passes_through():
    with pytest.raises(aiohttp.InvalidURL):
        await retrying(Flaky(aiohttp.InvalidURL("x")), sleep=no_sleep)
