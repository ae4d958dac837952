"""What a relay refuses so that it can go on working, and what it says of itself."""

import asyncio
import contextlib
import dataclasses
import hashlib
import json
from datetime import UTC, datetime

import aiohttp
import pytest
import relay_fakes
import relays
from relays import KIB, TICKET_ID, bearer, make_envelope

from relay_server import permits
from relay_server.config import Config
from relay_server.proxies import Trust, parse_networks
from relay_server.welcome import About

ABOUT = About("ACME <&> Sons", "abuse@relay.example", "https://relay.example/t", "", selftest=False)


async def add_permit(relay, **limits):
    permit = permits.generate()
    await relay.store.add_permit("limited", permits.digest(permit), today=0, **limits)
    return permit


async def put(call, permit, number, *, size=16 * KIB):
    path = f"/v1/t/{number:032x}"
    return await call("PUT", path, make_envelope(size=size), bearer(permit))


# Permits


@pytest.mark.rule("R16", "R36")
async def test_a_permit_has_its_own_uploads_and_other_permits_theirs(relay, call, clock):
    permit = await add_permit(relay, uploads_per_hour=60)
    first = [await put(call, permit, number) for number in range(61)]
    other = await put(call, call.permit, 100)
    clock.advance(60)
    later = [await put(call, permit, number) for number in (200, 201)]

    assert [answer.status for answer in first] == [201] * 60 + [429]
    assert (first[-1].code, first[-1].headers["Retry-After"]) == ("too-often", "60")
    assert other.status == 201
    assert [answer.status for answer in later] == [201, 429]


@pytest.mark.rule("R16")
async def test_a_permit_has_its_own_volume(relay, call):
    permit = await add_permit(relay, bytes_per_hour=4096 * KIB)
    large = await put(call, permit, 1, size=3072 * KIB)
    larger = await put(call, permit, 2, size=2048 * KIB)
    small = await put(call, permit, 3, size=1024 * KIB)
    registered = await call("PUT", "/v1/c/" + "1" * 32, relays.make_registration(), bearer(permit))

    assert [answer.status for answer in (large, larger, small, registered)] == [201, 429, 201, 429]
    assert int(larger.headers["Retry-After"]) == 900


# Addresses


@pytest.mark.rule("R12", "R13")
@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["203.0.113.9", "203.0.113.9"], [201, 429]),
        (["203.0.113.9", "203.0.113.8"], [201, 201]),
        (["2001:db8::1", "2001:db8::2"], [201, 429]),
        (["2001:db8::1", "2001:db8:0:1::1"], [201, 201]),
        (["1.1.1.1, 203.0.113.9", "2.2.2.2, 203.0.113.9"], [201, 429]),
    ],
)
async def test_callers_behind_a_trusted_proxy_are_told_apart_by_it_alone(
    sqlite_store, clock, named, expected
):
    config = Config(open=True, address_uploads_burst=1, sweep_seconds=10**9)
    trust = Trust(parse_networks("127.0.0.1"))
    async with relays.serve(config, sqlite_store, clock, trust=trust) as relay:
        answers = [
            await relay.call(
                "PUT", f"/v1/t/{number:032x}", make_envelope(), {"X-Forwarded-For": text}
            )
            for number, text in enumerate(named)
        ]

    assert [answer.status for answer in answers] == expected


@pytest.mark.rule("R13")
async def test_without_a_trusted_proxy_a_caller_cannot_choose_its_address(sqlite_store, clock):
    config = Config(open=True, address_uploads_burst=1, sweep_seconds=10**9)
    async with relays.serve(config, sqlite_store, clock) as relay:
        answers = [
            await relay.call(
                "PUT",
                f"/v1/t/{number:032x}",
                make_envelope(),
                {"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": f"for=203.0.113.{number}"},
            )
            for number in range(2)
        ]

    assert [answer.status for answer in answers] == [201, 429]


@pytest.mark.rule("R12", "R14")
async def test_an_address_may_not_wait_too_often_at_once(sqlite_store, clock):
    config = Config(open=True, address_waiting_max=2, sweep_seconds=10**9)
    async with relays.serve(config, sqlite_store, clock) as relay:
        call = relay.call
        await call.put()
        waiting = [asyncio.ensure_future(call.state(since="stored", wait=25)) for _ in range(2)]
        await relay_fakes.until(lambda: relay.waiting.requests == 2)
        refused = await call.state(since="stored", wait=25)
        clock.advance(25)
        await asyncio.gather(*waiting)
        later = await call.state()

    assert (refused.status, refused.code) == (503, "overloaded")
    assert "Retry-After" in refused.headers
    assert later.status == 200


# More work than the relay can do


@pytest.mark.rule("R14")
async def test_uploads_above_what_the_disk_can_take_are_refused_at_once_and_the_others_kept(
    sqlite_store, clock, config
):
    config = dataclasses.replace(config, uploads_max=5)  # of which one permit gets four
    store = relay_fakes.StallingStore(sqlite_store, "keep")
    async with relays.serve(config, store, clock) as relay:
        call = relay.call
        taken = [asyncio.ensure_future(put(call, call.permit, number)) for number in range(4)]
        for _ in taken:
            await store.stalled.acquire()
        # While the disk is busy: three times as many, refused without waiting; the rest goes on.
        refused = await asyncio.gather(*(put(call, call.permit, n) for n in range(4, 12)))
        busy = not any(one.done() for one in taken)
        fetched = await call.get()
        info = await call("GET", "/v1/info")
        store.go.set()
        kept = await asyncio.gather(*taken)
        again = await put(call, call.permit, 4)

    assert busy
    assert {(answer.status, answer.code) for answer in refused} == {(503, "overloaded")}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert (fetched.status, info.status) == (404, 200)
    assert [answer.status for answer in kept] == [201] * 4
    assert again.status == 201


@pytest.mark.rule("R40")
async def test_a_really_full_database_refuses_uploads_with_507_and_serves_every_ticket(relay, call):
    pages = relay.store._writer.execute("PRAGMA page_count").fetchone()[0]
    relay.store._writer.execute(f"PRAGMA max_page_count = {pages + 200}")
    kept = []
    answer = await put(call, call.permit, 0)
    while answer.status == 201:
        kept.append(len(kept))
        answer = await put(call, call.permit, len(kept))
    served = [await call.get(ticket_id=f"{number:032x}") for number in kept]
    relay.store._recent.clear()
    from_disk = [await call.get(ticket_id=f"{number:032x}") for number in kept]
    revoked = await call.post("revoked", ticket_id=f"{0:032x}")
    again = await put(call, call.permit, 999)

    assert len(kept) > 10
    assert (answer.status, answer.code) == (507, "full")
    assert {one.status for one in served + from_disk} == {200}
    assert {one.body for one in from_disk} == {make_envelope()}
    assert (revoked.status, again.status) == (204, 201)


# Connections


@pytest.mark.rule("R15")
@pytest.mark.parametrize(
    "part", [b"", b"GET /v1/in", b"GET /v1/info HTTP/1.1\r\nHost: r\r\nX-Slow: "]
)
async def test_a_connection_that_never_brings_a_whole_request_is_closed(relay, call, clock, part):
    reader, writer = await asyncio.open_connection(call.host, call.port)
    writer.write(part)
    await relay_fakes.until(lambda: len(relay.app.connections._fresh))
    clock.advance(19)
    still = len(relay.app.connections._fresh)
    clock.advance(2)
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    answer = await call("GET", "/v1/info")

    assert (still, len(relay.app.connections._fresh)) == (1, 0)
    assert answer.status == 200


@pytest.mark.rule("R15")
async def test_a_connection_that_waits_for_its_answer_is_left_alone(relay, channel, clock):
    waiting = asyncio.ensure_future(channel.hello())
    await relay_fakes.until(lambda: relay.waiting.requests == 1)
    clock.advance(24)
    sealed = await channel.seal()

    assert (sealed.status, (await waiting).status) == (204, 200)


@pytest.mark.rule("R15")
async def test_a_connection_too_many_is_told_so(sqlite_store, clock, config):
    config = dataclasses.replace(config, connections_max=3)
    async with relays.serve(config, sqlite_store, clock) as relay:
        call = relay.call
        await call.register()
        hellos = [asyncio.ensure_future(call.hello(relays.make_hello(n))) for n in range(3)]
        await relay_fakes.until(lambda: relay.waiting.requests == 3)
        refused = await call.raw(b"")
        clock.advance(25)
        told = [answer.status for answer in await asyncio.gather(*hellos)]
        later = await call("GET", "/v1/info")

    head, _, body = refused.partition(b"\r\n\r\n")
    assert told == [204] * 3
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Retry-After: 1" in head
    assert json.loads(body)["type"] == "urn:e2ee-ticket:overloaded"
    assert later.status == 200


@pytest.mark.rule("R15")
async def test_of_too_many_connections_the_one_that_is_idle_for_longest_gives_way(
    sqlite_store, clock, config
):
    config = dataclasses.replace(config, connections_max=3)
    async with relays.serve(config, sqlite_store, clock) as relay:
        call = relay.call
        lines = [await asyncio.open_connection(call.host, call.port) for _ in range(3)]
        await relay_fakes.until(lambda: len(relay.app.connections) == 3)
        # The first has brought a request since: it is the second that is idle for longest.
        lines[0][1].write(b"GET /v1/info HTTP/1.1\r\nHost: r\r\n\r\n")
        first = await lines[0][0].readline()
        served = await call("GET", "/v1/info")
        with contextlib.suppress(ConnectionError):
            assert await lines[1][0].read() == b""
        lines[2][1].write(b"GET /v1/info HTTP/1.1\r\nHost: r\r\n\r\n")
        third = await lines[2][0].readline()
        for _, writer in lines:
            writer.close()

    assert served.status == 200
    assert first == third == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.rule("R31")
@pytest.mark.parametrize("size", [1, 5000])
async def test_a_chunked_upload_is_refused_before_it_is_read(call, size):
    chunk = b"%x\r\n%s\r\n" % (size, b"x" * size)
    answer = await call.raw(
        f"PUT /v1/t/{TICKET_ID} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n"
        f"Authorization: Bearer {call.permit}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + chunk * 3
        + b"0\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 411 ")


# Health, figures, and the page of the relay itself


@pytest.mark.rule("R123")
async def test_health_is_what_the_store_really_does(sqlite_store, clock, config):
    async with relays.serve(config, sqlite_store, clock) as relay:
        well = await relay.call("GET", "/healthz")
        sqlite_store._writer.execute("PRAGMA query_only = ON")
        fresh = await relay.call("GET", "/healthz")
        clock.advance(5)
        ill = await relay.call("GET", "/healthz")
        fetched = await relay.call.get()
        sqlite_store._writer.execute("PRAGMA query_only = OFF")
        clock.advance(5)
        healed = await relay.call("HEAD", "/healthz")
        wrong = await relay.call("POST", "/healthz")

    assert [one.status for one in (well, fresh, ill, healed)] == [200, 200, 503, 200]
    assert fetched.status == 404
    assert wrong.status == 405


async def test_the_operators_listener_has_counts_and_nothing_that_points_to_anybody(
    sqlite_store, clock, config
):
    async with (
        relays.serve(config, sqlite_store, clock) as relay,
        relay.app.serve_operator("127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession() as session,
    ):
        call = relay.call
        await call.put()
        await call.get()
        await call.state()
        await call.post("opened")
        await call.register()
        await call("PURGE", f"/lost/{TICKET_ID}")
        async with session.get(f"http://{host}:{port}/metrics") as answer:
            kind, text = answer.headers["Content-Type"], await answer.text()
        async with session.get(f"http://{host}:{port}/healthz") as answer:
            health = answer.status
        async with session.get(f"http://{host}:{port}/v1/info") as answer:
            other = answer.status
        public = await call("GET", "/metrics")

    lines = text.splitlines()
    assert kind.startswith("text/plain; version=0.0.4")
    assert 'relay_requests_total{method="PUT",route="/v1/t/{id}",status="201"} 1' in lines
    assert 'relay_requests_total{method="OTHER",route="*",status="404"} 1' in lines
    assert 'relay_request_seconds_count{method="GET",route="/v1/t/{id}"} 1' in lines
    assert 'relay_received_bytes_total{method="PUT",route="/v1/t/{id}"} 16384' in lines
    assert all(line.startswith(("relay_", "# ")) for line in lines)
    names = (TICKET_ID, relays.CID, relays.TOKEN.hex(), call.permit, "127.0.0.1", "the tests")
    assert not any(name in text for name in names)
    assert (health, other, public.status) == (200, 404, 404)


@pytest.mark.rule("R124")
async def test_a_visitor_learns_what_this_is_and_who_runs_it(sqlite_store, clock, config):
    async with relays.serve(config, sqlite_store, clock, about=ABOUT) as relay:
        root = await relay.call("GET", "/")
        about = await relay.call("HEAD", "/about")
        german = await relay.call("GET", "/", headers={"Accept-Language": "de-CH"})
        italian = await relay.call("GET", "/about?lang=it")
        info = await relay.call("GET", "/v1/info")
        lost = await relay.call("GET", "/favicon.ico")

    text = root.body.decode()
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert (root.status, about.status, lost.status) == (200, 200, 404)
    for part in ("ACME &lt;&amp;&gt; Sons", 'href="mailto:abuse@relay.example"', "72 h", "7 days"):
        assert part in text
    assert [text.count("<html lang=en"), german.body.count(b"<html lang=de")] == [1, 1]
    assert italian.body.count(b"<html lang=it") == 1
    assert "Accept-Language" in root.headers.getall("Vary")
    assert not any(word in text for word in ("<script", "src=", "@import", "url("))
    policy = root.headers["Content-Security-Policy"]
    digest = hashlib.sha256(style.encode()).digest()
    assert f"'sha256-{relays.base64(digest)}'" in policy
    assert info.json["operator"] == "ACME <&> Sons"
    assert info.json["contact"] == "mailto:abuse@relay.example"
    assert "source" not in info.json


@pytest.mark.rule("R126")
@pytest.mark.parametrize("paged", [True, False])
async def test_whoever_finds_a_hole_learns_whom_to_tell(
    sqlite_store, clock, config, tmp_path, paged
):
    from relay_server.pages import Pages

    for name in ("ticket", "display", "selftest"):
        (tmp_path / f"{name}.html").write_text(name)
    path, pages = "/.well-known/security.txt", Pages(tmp_path) if paged else None
    async with relays.serve(config, sqlite_store, clock, about=ABOUT, pages=pages) as relay:
        told = await relay.call("GET", path)
        head = await relay.call("HEAD", path)
        posted = await relay.call("POST", path)

    fields = dict(line.split(": ", 1) for line in told.body.decode().splitlines() if line[0] != "#")
    assert (told.status, head.status, posted.status) == (200, 200, 405)
    assert told.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert fields == {
        "Contact": "mailto:abuse@relay.example",
        "Expires": datetime.fromtimestamp(
            clock.wall() // 86_400 * 86_400 + 30 * 86_400, UTC
        ).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


@pytest.mark.rule("R126")
@pytest.mark.parametrize("contact", ["", "http://relay.example/contact"])
async def test_without_a_contact_that_is_safe_to_write_to_there_is_none(
    sqlite_store, clock, config, contact
):
    about = About(operator="ACME", contact=contact)
    async with relays.serve(config, sqlite_store, clock, about=about) as relay:
        told = await relay.call("GET", "/.well-known/security.txt")

    assert told.status == 404


@pytest.mark.rule("R121", "R124")
async def test_a_relay_with_pages_keeps_its_own_page_beside_them(
    sqlite_store, clock, config, tmp_path
):
    from relay_server.pages import Pages

    for name in ("ticket", "display", "selftest"):
        (tmp_path / f"{name}.html").write_text(name)
    pages = Pages(tmp_path)
    async with relays.serve(config, sqlite_store, clock, about=ABOUT, pages=pages) as relay:
        root = await relay.call("GET", "/")
        about = await relay.call("GET", "/about")

    assert root.body == b"ticket"
    assert b"ACME" in about.body


@pytest.mark.rule("R8")
async def test_a_relay_that_drains_still_answers_who_has_connected_before(
    sqlite_store, clock, config
):
    config = dataclasses.replace(config, drain_seconds=0.2)
    serving = relays.serve(config, sqlite_store, clock)
    relay = await serving.__aenter__()
    call = relay.call
    await call.put()
    waiting = asyncio.ensure_future(call.state(since="stored", wait=25))
    reader, writer = await asyncio.open_connection(call.host, call.port)
    await relay_fakes.until(lambda: relay.waiting.requests == 1 and len(relay.app.connections) >= 2)

    stopping = asyncio.ensure_future(serving.__aexit__(None, None, None))
    await relay_fakes.until(lambda: relay.app.services.draining)
    writer.write(f"GET /v1/t/{TICKET_ID} HTTP/1.1\r\nHost: r\r\n\r\n".encode())
    late = await reader.read()
    waited = await waiting
    await stopping
    writer.close()

    assert late.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in late
    assert (waited.status, waited.headers["Connection"]) == (200, "close")
