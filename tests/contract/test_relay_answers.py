"""What every answer looks like, how a relay stops, what it logs, and its pages."""

import asyncio
import dataclasses
import gzip
import hashlib
import logging
from pathlib import Path

import pytest
import relay_fakes
import relays
from relays import (
    CID,
    KIB,
    READ_TOKEN,
    TICKET_ID,
    TOKEN,
    WRITE_TOKEN,
    bearer,
    hid,
    make_envelope,
    make_hello,
)

from relay_server.config import Config
from relay_server.errors import StartError
from relay_server.headers import PROBLEMS
from relay_server.pages import Pages

TICKET = f"/v1/t/{TICKET_ID}"
CHANNEL = f"/v1/c/{CID}"
HELLO = f"{CHANNEL}/hello/{hid(make_hello())}"
METHODS = {
    TICKET: "GET, HEAD, OPTIONS, PUT",
    TICKET + "/state": "GET, OPTIONS, POST",
    CHANNEL: "DELETE, OPTIONS, PUT",
    CHANNEL + "/hello": "GET, OPTIONS, POST",
    HELLO: "OPTIONS, PUT",
    "/v1/info": "GET, HEAD, OPTIONS",
}
COMMON = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
    "Cache-Control": "no-store, no-transform",
    "X-Content-Type-Options": "nosniff",
}


def has_common(answer):
    return {name: answer.headers.get(name) for name in COMMON} == COMMON


def parse(raw):
    """Return status and headers of a raw answer, and its body."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return relays.Answer(int(lines[0].split()[1]), headers, body)


# The same for all


@pytest.mark.rule("R1")
async def test_every_kind_of_answer_has_the_common_headers(channel):
    call = channel
    permit = bearer(call.permit)
    waiting = asyncio.ensure_future(call.hello())
    answers = [
        await call.put(),
        await call.put(),
        await call.get(),
        await call("HEAD", TICKET),
        await call.state(),
        await call.post("opened"),
        await call.put(make_envelope(fill=b"x")),
        await call("PUT", TICKET, b"", permit),
        await call.register(),
        await call.poll(),
        await call.poll(etag=(await call.poll()).headers["ETag"], wait=0),
        await call.seal(),
        await waiting,
        await call("GET", "/v1/info"),
        await call("OPTIONS", TICKET),
        await call("PATCH", TICKET),
        await call("GET", "/nowhere"),
        await call("HEAD", "/nowhere"),
        await call.unpair(),
    ]

    assert len({answer.status for answer in answers}) >= 8
    assert [answer.status for answer in answers if not has_common(answer)] == []
    assert all("Date" in answer.headers for answer in answers)


@pytest.mark.rule("R2")
def test_every_type_of_refusal_in_the_specification_is_known_with_its_status():
    text = Path("spec/relay.md").read_text("utf-8")
    table = text.partition("| type (")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip(" `") for cell in row.split("|")[1:3]] for row in table]

    assert {code: int(status) for code, status in rows} == {
        code: status for code, (status, _) in PROBLEMS.items()
    }


@pytest.mark.rule("R1", "R2", "R5")
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/favicon.ico",
        "/v1",
        "/v1/",
        "/v1/info/",
        "/v1//info",
        "/v2/info",
        "/v1/t/",
        "/v1/t/" + TICKET_ID[:-1],
        "/v1/t/" + TICKET_ID.upper().replace("0", "A"),
        "/v1/t/" + TICKET_ID + "0",
        "/v1/t/" + TICKET_ID + "/",
        "/v1/t/" + TICKET_ID + "/hello",
        "/v1/c/" + CID + "/state",
        "/v1/c/" + CID + "/hello/",
        "/v1/c/" + CID + "/hello/" + "0" * 31,
        "/v1/x/" + TICKET_ID,
        "/v1/t/" + "%30" * 32,
        "/v1/t/" + "%D9%A0" * 32,
    ],
)
async def test_any_other_path_is_unknown(call, path):
    for method in ("GET", "PUT", "PURGE", "OPTIONS"):
        answer = await call(method, path)

        assert (answer.status, answer.code) == (404, "unknown-path")
        assert has_common(answer)


@pytest.mark.rule("R5")
@pytest.mark.parametrize(("path", "methods"), METHODS.items())
async def test_any_other_method_is_refused_with_those_there_are(call, path, methods):
    for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "PURGE"} - set(
        methods.split(", ")
    ):
        answer = await call(method, path)

        assert answer.status == 405
        assert method == "HEAD" or answer.code == "method"
        assert answer.headers["Allow"] == methods


@pytest.mark.rule("R9")
@pytest.mark.parametrize(("path", "methods"), METHODS.items())
async def test_a_preflight_is_answered(call, path, methods):
    answer = await call("OPTIONS", path)

    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Methods"] == methods
    assert answer.headers["Access-Control-Allow-Headers"] == (
        "Authorization, Content-Type, If-None-Match, Ticket-TTL"
    )


@pytest.mark.rule("R1", "R2")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v1/info HTTP/1.1\r\nHost: r\r\nBad Header: x\r\n\r\n",
        b"GET /v1/info HTTP/1.1\r\nHost: r\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET /v1/info?" + b"x" * 9000 + b" HTTP/1.1\r\nHost: r\r\n\r\n",
        b"PUT " + TICKET.encode() + b" HTTP/1.1\r\nHost: r\r\nContent-Length: x\r\n\r\n",
        b"PUT " + TICKET.encode() + b" HTTP/1.1\r\nHost: r\r\nContent-Length: -1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: r\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: r\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_like_everything_else(call, caplog, request_bytes):
    answer = parse(await call.raw(request_bytes))

    assert (answer.status, answer.code) == (400, "bad-request")
    assert has_common(answer)
    assert answer.headers["Connection"] == "close"
    assert caplog.records == []


@pytest.mark.parametrize(
    "line", ["OPTIONS * HTTP/1.1", "CONNECT r:80 HTTP/1.1", "GET nowhere HTTP/1.1"]
)
async def test_a_request_for_no_path_is_refused(call, line):
    answer = parse(await call.raw(f"{line}\r\nHost: r\r\nConnection: close\r\n\r\n".encode()))

    assert answer.status in (400, 404)
    assert answer.code in ("bad-request", "unknown-path")
    assert has_common(answer)


async def test_a_whole_address_in_the_request_line_is_understood(call):
    line = "GET http://elsewhere/v1/info?x=1 HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n"
    answer = parse(await call.raw(line.encode()))

    assert (answer.status, answer.json["version"]) == (200, 1)


async def test_an_old_caller_gets_its_answer_and_the_connection_ends(call):
    answer = parse(await call.raw(b"GET /v1/info HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))

    assert (answer.status, answer.headers["Connection"]) == (200, "close")


@pytest.mark.rule("R3")
@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain", "multipart/x", "ä/!"])
async def test_the_content_type_of_a_request_is_ignored(call, kind):
    headers = bearer(call.permit) | {"Content-Type": kind}

    answer = await call("PUT", TICKET, make_envelope(), headers)

    assert answer.status == 201
    assert (await call.get()).body == make_envelope()


async def test_a_body_is_taken_as_it_is_whatever_coding_it_claims(call):
    headers = bearer(call.permit) | {"Content-Encoding": "gzip"}

    answer = await call("PUT", TICKET, make_envelope(), headers, compress=None)

    assert (answer.status, (await call.get()).body) == (201, make_envelope())


@pytest.mark.rule("R1", "R2")
async def test_a_fault_of_the_relay_itself_is_refused_like_everything_else_and_tells_nothing(
    sqlite_store, clock, config, caplog
):
    class BrokenStore(relay_fakes.StallingStore):
        async def fetch(self, ticket_id, *, now):
            raise ZeroDivisionError(f"{ticket_id.hex()} at {now}")

    async with relays.serve(config, BrokenStore(sqlite_store), clock) as relay:
        answer = await relay.call.get()

    assert (answer.status, answer.code) == (500, "internal")
    assert has_common(answer)
    assert "ZeroDivisionError in test_relay_answers.py" in caplog.text
    assert TICKET_ID not in caplog.text + answer.body.decode()


@pytest.mark.rule("R6", "R10")
async def test_only_hashes_of_tokens_and_permits_are_in_the_files(relay, channel, tmp_path):
    await channel.put()
    await channel.post("opened")
    await channel.state()
    hello = make_hello(7)
    waiting = asyncio.ensure_future(channel.hello(hello))
    await relay_fakes.until(lambda: relay.waiting.requests == 1)
    await channel.seal(hello, sealed=b"SEALED--" * 64)
    await waiting

    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    for secret in (
        channel.permit.encode(),
        TOKEN,
        TOKEN.hex().encode(),
        READ_TOKEN,
        WRITE_TOKEN,
        WRITE_TOKEN.hex().encode(),
        hello,
        b"SEALED--",
        b"127.0.0.1",
    ):
        assert secret not in written


@pytest.mark.rule("R6", "R11")
async def test_a_permit_is_valid_until_it_is_revoked(relay, call):
    before = await call.put()
    await relay.store.revoke_permit("the tests")
    after = await call.put(ticket_id="1" * 32)

    assert [before.status, after.status] == [201, 401]


@pytest.mark.rule("R120")
@pytest.mark.parametrize(("is_open", "mode"), [(False, "closed"), (True, "open")])
async def test_a_relay_says_what_it_is(sqlite_store, clock, is_open, mode):
    config = Config(open=is_open, sweep_seconds=10**9)
    async with relays.serve(config, sqlite_store, clock) as relay:
        answer = await relay.call("GET", "/v1/info")

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == {
        "version": 1,
        "mode": mode,
        "max_envelope": 4_194_304,
        "ttl_default": 259_200,
        "ttl_max": 604_800,
    }


async def test_an_open_relay_asks_for_no_permit(sqlite_store, clock):
    config = Config(open=True, sweep_seconds=10**9)
    async with relays.serve(config, sqlite_store, clock) as relay:
        answers = [await relay.call.put(), await relay.call.register()]

    assert [answer.status for answer in answers] == [201, 201]


async def test_many_requests_follow_one_another_on_one_connection(call):
    await call.put(make_envelope(size=64 * KIB))
    request = f"GET {TICKET} HTTP/1.1\r\nHost: r\r\n\r\n".encode()
    last = f"GET {TICKET} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n".encode()

    answers = await call.raw(request * 9 + last)

    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 10
    assert len(answers) > 10 * 64 * KIB


async def test_a_caller_that_reads_too_slowly_is_cut_off(sqlite_store, clock, config):
    config = dataclasses.replace(config, answer_seconds=0)
    async with relays.serve(config, sqlite_store, clock) as relay:
        await relay.call.put(make_envelope(size=4096 * KIB))
        reader, writer = await asyncio.open_connection(relay.call.host, relay.call.port, limit=1024)
        writer.write(f"GET {TICKET} HTTP/1.1\r\nHost: r\r\n\r\n".encode())
        await relay_fakes.until(lambda: relay.app.busy == 0)
        received = len(await reader.read())
        writer.close()
        await writer.wait_closed()

    assert received < 4096 * KIB


# Stopping


@pytest.mark.rule("R7", "R8")
async def test_a_relay_that_stops_answers_everybody_who_waits(sqlite_store, clock, config):
    async with relays.serve(config, sqlite_store, clock) as relay:
        call = relay.call
        await call.put()
        await call.register()
        hello = asyncio.ensure_future(call.hello())
        await relay_fakes.until(lambda: relay.waiting.requests == 1)
        etag = (await call.poll()).headers["ETag"]
        poll = asyncio.ensure_future(call.poll(etag=etag))
        state = asyncio.ensure_future(call.state(since="stored", wait=25))
        await relay_fakes.until(lambda: relay.waiting.requests == 3)

        relay.app.services.stopping = True
        relay.store.stop_waiting()
        answers = [await hello, await poll, await state]

    # The till is told 304, or the empty set when it wakes up after the hello has ended.
    assert answers[0].status == 204
    assert answers[1].status in (200, 304)
    assert answers[1].body == b""
    assert answers[2].status == 200
    assert answers[2].json["state"] == "stored"
    assert {answer.headers["Connection"] for answer in answers} == {"close"}
    assert relay.waiting.requests == 0


@pytest.mark.rule("R8", "R14", "R17")
async def test_a_relay_that_stops_finishes_what_it_has_begun_and_begins_nothing(
    sqlite_store, clock, config
):
    store = relay_fakes.StallingStore(sqlite_store, "keep")
    serving = relays.serve(config, store, clock)
    relay = await serving.__aenter__()
    call = relay.call
    begun = asyncio.ensure_future(call.put())
    await store.stalled.acquire()
    # An upload whose body never comes whole is told that it was not stored.
    reader, writer = await asyncio.open_connection(call.host, call.port)
    writer.write(
        f"PUT /v1/t/{'1' * 32} HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer {call.permit}\r\n"
        f"Content-Length: 16384\r\n\r\ntkt".encode()
    )
    await relay_fakes.until(lambda: relay.app.services.arriving)
    _, idle = await asyncio.open_connection(call.host, call.port)

    relay.app.services.stopping = True
    refused = await call.get()
    stopping = asyncio.ensure_future(serving.__aexit__(None, None, None))
    await asyncio.sleep(0)
    store.go.set()
    finished = await begun
    cut = await reader.readline()
    await stopping
    for one in (writer, idle):
        one.close()
        await one.wait_closed()
    now = int(clock.wall())

    assert (refused.status, refused.code) == (503, "overloaded")
    assert refused.headers["Retry-After"] == "1"
    assert finished.status == 201
    assert cut == b"HTTP/1.1 503 Service Unavailable\r\n"
    assert await sqlite_store.fetch(bytes.fromhex(TICKET_ID), now=now) == make_envelope()


# The log


@pytest.mark.rule("R4")
async def test_the_log_has_templates_and_nothing_that_points_to_anybody(
    sqlite_store, clock, config, caplog
):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "asyncio")
    async with relays.serve(config, sqlite_store, clock, access_log=True) as relay:
        call = relay.call
        await call.register()
        hello = asyncio.ensure_future(call.hello())
        await relay_fakes.until(lambda: relay.waiting.requests == 1)
        await call.poll()
        await call.seal()
        await hello
        await call.put()
        await call.get()
        await call.state()
        await call.post("revoked")
        await call.get()
        await call("GET", f"/lost/{TICKET_ID}", headers={"User-Agent": "CANARY/1.0"})
        await call("PURGE", "/v1/info")
        await call.raw(b"GARBAGE " + TICKET_ID.encode() + b"\r\n\r\n")
        await call.unpair()
        permit = call.permit
    lines = [record.getMessage() for record in caplog.records]

    assert lines == [
        "PUT /v1/c/{cid} 201 0KiB 0ms",
        "GET /v1/c/{cid}/hello 200 1KiB 0ms",
        "PUT /v1/c/{cid}/hello/{hid} 204 0KiB 0ms",
        "POST /v1/c/{cid}/hello 200 1KiB 0ms",
        "PUT /v1/t/{id} 201 1KiB 0ms",
        "GET /v1/t/{id} 200 16KiB 0ms",
        "GET /v1/t/{id}/state 200 1KiB 0ms",
        "POST /v1/t/{id}/state 204 0KiB 0ms",
        "GET /v1/t/{id} 410 1KiB 0ms",
        "GET * 404 1KiB 0ms",
        "OTHER /v1/info 405 1KiB 0ms",
        "DELETE /v1/c/{cid} 204 0KiB 0ms",
    ]
    for canary in (TICKET_ID, CID, permit, TOKEN.hex(), WRITE_TOKEN.hex(), "127.0.0.1", "CANARY"):
        assert canary not in caplog.text


@pytest.mark.rule("R4")
async def test_without_being_asked_a_relay_logs_no_request(call, caplog):
    caplog.set_level(logging.INFO)

    await call.put()
    await call.get()
    await call("GET", "/nowhere")

    assert caplog.records == []


# Pages


@pytest.fixture
def pages(tmp_path):
    directory = tmp_path / "pages"
    directory.mkdir()
    for name in ("ticket", "display", "selftest"):
        (directory / f"{name}.html").write_text(f"<!doctype html><title>{name}</title>" + "x" * 999)
    return directory


@pytest.fixture
async def page_call(sqlite_store, clock, config, pages):
    async with relays.serve(config, sqlite_store, clock, pages=Pages(pages)) as relay:
        yield relay.call


@pytest.mark.rule("R121")
@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/", 200, "ticket"),
        ("/?utm_source=x", 200, "ticket"),
        ("/d", 200, "display"),
        ("/selftest.html", 200, "selftest"),
        ("/0123401234", 404, "ticket"),
        ("/d/", 404, "ticket"),
        ("/v1x", 404, "ticket"),
        ("/../etc/passwd", 404, "ticket"),
    ],
)
async def test_a_relay_with_pages_serves_them(page_call, pages, path, status, name):
    answer = await page_call("GET", path)
    head = await page_call("HEAD", path)

    assert (answer.status, answer.body) == (status, (pages / f"{name}.html").read_bytes())
    assert (head.status, head.body) == (status, b"")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.rule("R122")
async def test_a_page_says_how_it_is_to_be_treated(page_call):
    answer = await page_call("GET", "/")

    assert {
        name: answer.headers[name]
        for name in (
            "Cache-Control",
            "Referrer-Policy",
            "X-Content-Type-Options",
            "X-Frame-Options",
            "Cross-Origin-Opener-Policy",
            "Cross-Origin-Resource-Policy",
        )
    } == {
        "Cache-Control": "no-cache",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    assert "geolocation=()" in answer.headers["Permissions-Policy"]
    assert answer.headers["ETag"].startswith('"')


@pytest.mark.rule("R122")
async def test_a_page_that_has_not_changed_is_not_sent_again(page_call):
    etag = (await page_call("GET", "/")).headers["ETag"]

    answer = await page_call("GET", "/", headers={"If-None-Match": f'"x", {etag}'})

    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", etag)


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("GZIP", True),
        ("identity", False),
        ("gzip;q=0", False),
    ],
)
async def test_a_page_is_compressed_for_whom_can_read_it(page_call, pages, accepted, zipped):
    request = (
        f"GET / HTTP/1.1\r\nHost: r\r\nAccept-Encoding: {accepted}\r\nConnection: close\r\n\r\n"
    )
    answer = parse(await page_call.raw(request.encode()))
    body = gzip.decompress(answer.body) if zipped else answer.body

    assert (answer.headers.get("Content-Encoding") == "gzip") == zipped
    assert body == (pages / "ticket.html").read_bytes()


async def test_the_two_codings_of_a_page_have_different_etags(pages):
    page = Pages(pages).find("/")[2]

    assert page.form("gzip").etag != page.form("").etag


@pytest.mark.parametrize("accepted", ["br", "gzip, deflate, br", "br;q=0.5"])
async def test_a_page_is_sent_in_brotli_where_the_build_has_made_it(tmp_path, pages, accepted):
    for file in pages.glob("*.html"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    digest = hashlib.sha256((pages / "ticket.html").read_bytes()).hexdigest()
    (tmp_path / f"ticket.{digest[:16]}.br").write_bytes(b"small")
    (tmp_path / f"display.{digest[:16]}.br").write_bytes(b"another page's")
    served = Pages(tmp_path)

    form = served.find("/")[2].form(accepted)

    assert form.body == b"small"
    assert b"Content-Encoding: br\r\n" in form.headers
    assert form.etag != served.find("/")[2].form("gzip").etag
    assert served.find("/")[2].form("gzip, br;q=0").body != b"small"
    assert served.find("/d")[2].form("br") == served.find("/d")[2].plain


async def test_a_page_cannot_be_posted_to_and_the_interface_is_still_there(page_call):
    posted = await page_call("POST", "/", b"x")
    info = await page_call("GET", "/v1/info")
    unknown = await page_call("GET", "/v1")

    assert (posted.status, posted.headers["Allow"]) == (405, "GET, HEAD")
    assert info.status == 200
    assert (unknown.status, unknown.code) == (404, "unknown-path")


def test_missing_pages_are_told_at_the_start(pages):
    (pages / "display.html").unlink()

    with pytest.raises(StartError, match=r"display\.html"):
        Pages(pages)
