"""Callers that want to stop a relay: what they hold is bounded, and everybody else is served."""

import asyncio
import dataclasses
import re
import socket
from contextlib import suppress

import pytest
import relay_fakes
import relays
import uvloop
from relays import KIB, bearer, make_envelope

from relay_server import permits
from relay_server.connections import Server
from relay_server.proxies import Trust, parse_networks
from relay_server.stores import open_store

MIB = 1024 * KIB


def connect(relay, address="192.0.2.1"):
    """Return the end of a new connection that a caller has."""
    app = relay.app
    line = relay_fakes.Line(Server(app, app.answer, app.connections)(), address)
    line.protocol.connection_made(line)
    return line


def head(number, size, permit, *lines):
    lines = [f"PUT /v1/t/{number:032x} HTTP/1.1", "Host: r", f"Content-Length: {size}", *lines]
    return "\r\n".join([*lines, f"Authorization: Bearer {permit}", "", ""]).encode()


def statuses(line):
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", line.written)]


async def turn():
    """Let everything happen that can."""
    for _ in range(50):
        await asyncio.sleep(0)


async def another_permit(relay):
    permit = permits.generate()
    await relay.store.add_permit("another shop", permits.digest(permit), today=0)
    return permit


# Bodies


@pytest.mark.rule("R14")
async def test_bodies_that_were_only_announced_take_no_room(relay):
    permit = relay.call.permit
    lines = [connect(relay) for _ in range(200)]
    for number, line in enumerate(lines):
        line.protocol.data_received(head(number, 4 * MIB, permit) + b"t")
    await relay_fakes.until(lambda: len(relay.app.services.reading) == 200)
    held = relay.app.services.reading.total
    answer = await relay.call.put()
    for line in lines:
        line.leave()
    await relay_fakes.until(lambda: not len(relay.app.services.reading))

    assert answer.status == 201
    assert held == 200 * 16 * KIB


@pytest.mark.rule("R14")
async def test_what_one_shop_sends_takes_no_room_from_another(sqlite_store, clock, config):
    config = dataclasses.replace(config, reading_max_bytes=256 * KIB)
    async with relays.serve(config, sqlite_store, clock) as relay:
        other = await another_permit(relay)
        lines = [connect(relay) for _ in range(20)]
        for number, line in enumerate(lines):
            line.protocol.data_received(head(number, 64 * KIB, relay.call.permit))
            line.protocol.data_received(make_envelope(size=64 * KIB)[:-1])
        await turn()
        held = relay.app.services.reading.total
        taken = [
            await relay.call("PUT", f"/v1/t/{900 + n:032x}", make_envelope(), bearer(other))
            for n in range(5)
        ]
        told = [statuses(line) for line in lines]
        for line in lines:
            line.leave()

    assert held <= 256 * KIB
    assert [answer.status for answer in taken] == [201] * 5
    # The oldest gave way, first to the shop's own and then to the other's.
    assert told[:17] == [[503]] * 17
    assert told[17:] == [[]] * 3


@pytest.mark.rule("R14", "R12")
async def test_what_one_address_sends_takes_no_room_from_another(sqlite_store, clock, config):
    config = dataclasses.replace(config, open=True, reading_max_bytes=256 * KIB)
    trust = Trust(parse_networks("192.0.2.1,127.0.0.1"))
    async with relays.serve(config, sqlite_store, clock, trust=trust) as relay:
        lines = [connect(relay) for _ in range(20)]
        for number, line in enumerate(lines):
            source = "X-Forwarded-For: 203.0.113.9"
            line.protocol.data_received(head(number, 64 * KIB, "", source))
            line.protocol.data_received(make_envelope(size=64 * KIB)[:-1])
        await turn()
        answer = await relay.call(
            "PUT", f"/v1/t/{900:032x}", make_envelope(), {"X-Forwarded-For": "203.0.113.8"}
        )
        for line in lines:
            line.leave()

    assert answer.status == 201


@pytest.mark.rule("R14")
@pytest.mark.parametrize(("part", "status"), [(10 * KIB, 201), (10 * KIB - 1, 400)])
async def test_a_body_has_a_least_rate(relay, clock, part, status):
    line = connect(relay)
    line.protocol.data_received(head(1, 32 * KIB, relay.call.permit))
    await relay_fakes.until(lambda: clock.planned > 2)
    rest = make_envelope(size=32 * KIB)
    for _ in range(3):
        line.protocol.data_received(rest[:part])
        rest = rest[part:]
        await turn()
        clock.advance(10)
        await turn()
    line.protocol.data_received(rest)
    await relay_fakes.until(lambda: line.written)

    assert statuses(line) == [status]
    line.leave()


@pytest.mark.rule("R14")
async def test_of_the_places_for_whole_uploads_one_shop_gets_three_quarters(
    sqlite_store, clock, config
):
    config = dataclasses.replace(config, uploads_max=8)
    store = relay_fakes.StallingStore(sqlite_store, "keep")
    async with relays.serve(config, store, clock) as relay:
        other = await another_permit(relay)
        first = [asyncio.ensure_future(relay.call.put(ticket_id=f"{n:032x}")) for n in range(6)]
        for _ in first:
            await store.stalled.acquire()
        refused = await relay.call.put(ticket_id="a" * 32)
        second = asyncio.ensure_future(
            relay.call("PUT", f"/v1/t/{'b' * 32}", make_envelope(), bearer(other))
        )
        await store.stalled.acquire()
        store.go.set()
        taken = [answer.status for answer in await asyncio.gather(*first, second)]

    assert refused.status == 503
    assert taken == [201] * 7


# Answers that nobody reads


async def stop_reading(line, path=b"/v1/info"):
    """Ask for something, and read nothing of it."""
    line.reads = False
    line.protocol.data_received(b"GET %s HTTP/1.1\r\nHost: r\r\n\r\n" % path)
    await relay_fakes.until(lambda: line.written)


@pytest.mark.rule("R14")
async def test_who_does_not_read_its_answer_holds_no_place_for_uploads(relay):
    lines = [connect(relay) for _ in range(300)]
    for number, line in enumerate(lines):
        await stop_reading(line)
        line.protocol.data_received(head(number, 16 * KIB, "none") + make_envelope())
    await turn()
    places = len(relay.app.crowd)
    answer = await relay.call.put()
    for line in lines:
        line.leave()

    assert places == 0
    assert answer.status == 201


@pytest.mark.rule("R14")
async def test_of_answers_that_are_not_read_the_oldest_of_whom_has_the_most_is_cut_off(
    sqlite_store, clock, config
):
    config = dataclasses.replace(config, unread_max_bytes=100 * KIB)
    async with relays.serve(config, sqlite_store, clock) as relay:
        await relay.call.put(make_envelope(size=48 * KIB))
        lines = [connect(relay) for _ in range(5)]
        for line in lines:
            await stop_reading(line, b"/v1/t/" + relays.TICKET_ID.encode())
            await turn()
        closed = [line.closed for line in lines]
        for line in lines:
            line.leave()

    assert closed == [True, True, True, False, False]


@pytest.mark.rule("R14")
async def test_who_reads_on_after_a_while_is_served_on(relay):
    line = connect(relay)
    await stop_reading(line)
    line.read_on()
    await turn()
    line.protocol.data_received(b"GET /v1/info HTTP/1.1\r\nHost: r\r\n\r\n")
    await relay_fakes.until(lambda: len(statuses(line)) == 2)
    line.protocol.data_received(head(1, 16 * KIB, relay.call.permit) + make_envelope())
    await relay_fakes.until(lambda: len(statuses(line)) == 3)

    assert statuses(line) == [200, 200, 201]
    line.leave()


@pytest.mark.rule("R14")
@pytest.mark.parametrize("end", [b"", b"Connection: close\r\n"])
async def test_a_small_answer_that_nobody_reads_does_not_keep_its_connection(
    sqlite_store, clock, config, end
):
    config = dataclasses.replace(config, answer_seconds=0.01)
    async with relays.serve(config, sqlite_store, clock) as relay:
        line = connect(relay)
        line.reads = False
        line.protocol.data_received(b"GET /v1/info HTTP/1.1\r\nHost: r\r\n" + end + b"\r\n")
        await relay_fakes.until(lambda: line.lost)
        await turn()
        left = relay.app.connections._all

    assert statuses(line) == [200]
    assert line.protocol not in left


@pytest.mark.rule("R15")
async def test_where_nobody_is_idle_whoever_has_left_its_answer_unread_for_longest_gives_way(
    sqlite_store, clock, config
):
    config = dataclasses.replace(config, connections_max=3)
    async with relays.serve(config, sqlite_store, clock) as relay:
        lines = [connect(relay) for _ in range(3)]
        for line in lines:
            await stop_reading(line)
        newest = connect(relay)
        newest.protocol.data_received(b"GET /v1/info HTTP/1.1\r\nHost: r\r\n\r\n")
        await relay_fakes.until(lambda: newest.written)
        lost = [line.lost for line in lines]
        for line in [*lines, newest]:
            line.leave()

    assert lost == [True, False, False]
    assert statuses(newest) == [200]


@pytest.mark.rule("R15")
async def test_a_refused_connection_whose_answer_is_not_read_is_cut_off(
    sqlite_store, clock, config
):
    config = dataclasses.replace(config, connections_max=0)
    async with relays.serve(config, sqlite_store, clock) as relay:
        protocol = Server(relay.app, relay.app.answer, relay.app.connections)()
        line = relay_fakes.Line(protocol)
        line.reads = False
        protocol.connection_made(line)
        before = line.closed, line.lost
        clock.advance(config.linger_seconds)
        after = line.lost
        await turn()

    assert statuses(line) == [503]
    assert (before, after) == ((True, False), True)


@pytest.mark.rule("R15")
async def test_a_refused_connection_that_ends_leaves_no_timer(sqlite_store, clock, config):
    config = dataclasses.replace(config, connections_max=0)
    async with relays.serve(config, sqlite_store, clock) as relay:
        planned = clock.planned
        for _ in range(100):
            connect(relay)
        await turn()

        assert clock.planned == planned


# Places for uploads, and what counts for the hour


@pytest.mark.rule("R14")
async def test_uploads_without_a_permit_take_no_places(relay):
    lines = [connect(relay) for _ in range(300)]
    for number, line in enumerate(lines):
        line.protocol.data_received(head(number, 16 * KIB, "none") + make_envelope())
    honest = connect(relay)
    honest.protocol.data_received(head(900, 16 * KIB, relay.call.permit) + make_envelope())
    await relay_fakes.until(lambda: honest.written)
    for line in [*lines, honest]:
        line.leave()

    assert statuses(honest) == [201]


def hourly(config, **more):
    return dataclasses.replace(
        config, open=True, address_bytes_burst=100 * KIB, address_bytes_per_hour=1, **more
    )


@pytest.mark.rule("R12")
async def test_a_body_that_was_announced_and_did_not_come_counts_for_no_hour(
    sqlite_store, clock, config
):
    async with relays.serve(hourly(config), sqlite_store, clock) as relay:
        for number in range(20):
            line = connect(relay, "127.0.0.1")
            line.protocol.data_received(head(number, 64 * KIB, "") + b"t")
            await turn()
            line.leave()
            await turn()
        answer = await relay.call.put(make_envelope(size=64 * KIB))

    assert answer.status == 201


@pytest.mark.rule("R12")
async def test_what_has_come_of_a_body_counts_though_its_end_has_not(sqlite_store, clock, config):
    async with relays.serve(hourly(config), sqlite_store, clock) as relay:
        for number in range(2):
            line = connect(relay, "127.0.0.1")
            line.protocol.data_received(head(number, 64 * KIB, ""))
            line.protocol.data_received(make_envelope(size=64 * KIB)[: 40 * KIB])
            await turn()
            line.leave()
            await turn()
        answer = await relay.call.put(make_envelope(size=64 * KIB))

    assert (answer.status, answer.code) == (429, "too-often")


@pytest.mark.rule("R12", "R14")
async def test_an_upload_that_the_relay_has_no_room_for_counts_for_no_hour(
    sqlite_store, clock, config
):
    config = hourly(config, uploads_max=1, address_uploads_burst=3)
    store = relay_fakes.StallingStore(sqlite_store, "keep")
    async with relays.serve(config, store, clock) as relay:
        first = asyncio.ensure_future(relay.call.put(make_envelope(size=32 * KIB)))
        await store.stalled.acquire()
        chunked = {"Connection": "keep-alive"}  # to the library, for the door refuses others
        refused = [
            await relay.call("PUT", f"/v1/t/{number:032x}", make_envelope(size=32 * KIB), chunked)
            for number in range(4)
        ]
        store.go.set()
        kept = await first
        answer = await relay.call.put(make_envelope(size=64 * KIB), ticket_id="a" * 32)

    assert [one.status for one in refused] == [503] * 4
    assert (kept.status, answer.status) == (201, 201)


@pytest.mark.rule("R12", "R41")
async def test_of_uploads_of_one_address_at_the_same_time_no_more_are_taken_than_of_one_by_one(
    sqlite_store, clock, config
):
    config = dataclasses.replace(hourly(config), address_bytes_per_hour=3600 * KIB)
    async with relays.serve(config, sqlite_store, clock) as relay:
        lines = [connect(relay, "127.0.0.1") for _ in range(8)]
        for number, line in enumerate(lines):
            line.protocol.data_received(head(number, 32 * KIB, ""))
        await turn()
        for line in lines:
            line.protocol.data_received(make_envelope(size=32 * KIB))
        await relay_fakes.until(lambda: all(line.written for line in lines))
        told = sorted(statuses(line)[0] for line in lines)
        for line in lines:
            line.leave()
        clock.advance(40)  # 4 KiB were left; what was refused has come all the same
        later = await relay.call.put(ticket_id="a" * 32)

    assert told == [201] * 3 + [429] * 5
    assert later.status == 429


# Heads, and what comes ahead of an answer


@pytest.mark.rule("R15", "R18")
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["X: " + "y" * 4000], 200),
        (["X: " + "y" * 4200], 400),
        ([f"X-{n}: y" for n in range(60)], 200),
        ([f"X-{n}: y" for n in range(70)], 400),
        ([f"X-{n}: {'y' * 3000}" for n in range(5)], 200),
        ([f"X-{n}: {'y' * 3000}" for n in range(6)], 400),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
async def test_a_head_has_limits_and_whoever_is_above_them_is_told(relay, lines, status, whole):
    data = "\r\n".join(["GET /v1/info HTTP/1.1", "Host: r", *lines, "", ""]).encode()
    line = connect(relay)
    for part in [data] if whole else [data[i : i + 100] for i in range(0, len(data), 100)]:
        line.protocol.data_received(part)
    await relay_fakes.until(lambda: line.written)

    assert statuses(line) == [status]
    line.leave()


@pytest.mark.rule("R15")
async def test_a_head_without_an_end_is_refused_on_a_real_line_too(call):
    many = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 4000) for n in range(200))

    answer = await call.raw(b"GET /v1/info HTTP/1.1\r\nHost: r\r\n" + many)
    after = await call("GET", "/v1/info")

    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nConnection: close\r\n" in answer
    assert after.status == 200


@pytest.mark.rule("R15")
async def test_who_does_not_leave_after_that_is_cut_off(relay, clock):
    line = connect(relay)
    line.protocol.data_received(b"GET / HTTP/1.1\r\nX: " + b"y" * 17_000)
    before = line.closed
    for _ in range(100):
        line.protocol.data_received(b"y" * 64 * KIB)
    clock.advance(5)

    assert (statuses(line), before, line.closed) == ([400], False, True)


@pytest.mark.rule("R15")
async def test_the_second_head_on_a_connection_has_limits_too(relay):
    line = connect(relay)
    line.protocol.data_received(b"GET /v1/info HTTP/1.1\r\nHost: r\r\n\r\n")
    await relay_fakes.until(lambda: line.written)
    await turn()
    for _ in range(6):
        line.protocol.data_received(b"GET / HTTP/1.1\r\nX: " + b"y" * 3000)

    assert statuses(line) == [200, 400]
    line.leave()


@pytest.mark.rule("R15")
async def test_the_rest_of_a_refused_body_is_no_head(relay):
    line = connect(relay)
    line.protocol.data_received(head(1, 256 * KIB, "none"))
    await relay_fakes.until(lambda: line.written)
    for _ in range(16):
        await turn()
        line.protocol.data_received(b"x" * 16 * KIB)
    await turn()
    line.protocol.data_received(head(2, 16 * KIB, relay.call.permit) + make_envelope())
    await relay_fakes.until(lambda: len(statuses(line)) == 2)

    assert statuses(line) == [401, 201]
    line.leave()


@pytest.mark.rule("R15")
@pytest.mark.parametrize("opening", [b"", b"Content-Length: 10000000\r\n"])
async def test_who_sends_much_ahead_of_its_answer_is_cut_off(relay, opening):
    await relay.call.put()
    path = b"/v1/t/" + relays.TICKET_ID.encode() + b"/state?since=stored&wait=25"
    till = b"Authorization: Bearer " + relays.TOKEN.hex().encode() + b"\r\n"
    line = connect(relay)
    line.protocol.data_received(
        b"GET " + path + b" HTTP/1.1\r\nHost: r\r\n" + till + opening + b"\r\n"
    )
    await relay_fakes.until(lambda: relay.waiting.requests == 1)
    line.protocol.data_received(b"z" * 60 * KIB)
    before = line.closed
    line.protocol.data_received(b"z" * 5 * KIB)

    assert (before, line.closed) == (False, True)


@pytest.mark.rule("R15")
@pytest.mark.parametrize("kind", ["heads", "ahead"])
async def test_heads_and_what_comes_ahead_are_bounded_for_all_together(
    sqlite_store, clock, config, kind
):
    config = dataclasses.replace(config, early_max_bytes=100 * KIB)
    async with relays.serve(config, sqlite_store, clock) as relay:
        await relay.call.put()
        honest = connect(relay, "203.0.113.8")
        honest.protocol.data_received(b"GET /v1/info HTTP/1.1\r\n")
        lines = [connect(relay, f"203.0.113.{10 + n % 4}") for n in range(20)]
        for line in lines:
            if kind == "ahead":
                path = f"/v1/t/{relays.TICKET_ID}/state?since=stored&wait=25"
                till = f"Authorization: Bearer {relays.TOKEN.hex()}\r\n"
                line.protocol.data_received(
                    f"GET {path} HTTP/1.1\r\nHost: r\r\n{till}\r\n".encode()
                )
                await turn()
            line.protocol.data_received(b"GET / HTTP/1.1\r\nX: " + b"y" * 3000)
            for _ in range(2):
                line.protocol.data_received(b"\r\nX: " + b"y" * 3000)
        held = relay.app.connections.early_bytes
        lost = [line.lost for line in lines]
        honest.protocol.data_received(b"Host: r\r\n\r\n")
        await relay_fakes.until(lambda: honest.written)
        for line in [*lines, honest]:
            line.leave()
        await turn()
        left = relay.app.connections.early_bytes

    assert held <= 100 * KIB
    assert 8 <= sum(lost) < 20
    assert statuses(honest) == [200]
    assert left == 0


@pytest.mark.rule("R15")
async def test_empty_lines_before_a_request_do_not_hide_where_its_head_ends(relay):
    """A parser passes over them; counted as an end, they left what came behind without a limit."""
    line = connect(relay)
    line.protocol.data_received(b"\r\n\r\n\r\nGET / HTTP/1.1\r\n")
    for number in range(60):
        line.protocol.data_received(b"X-%d: " % number + b"y" * 3000 + b"\r\n")
    await relay_fakes.until(lambda: line.written)

    assert statuses(line) == [400]
    line.leave()


# On the loop that an installed relay runs on, whose transports are another kind


@pytest.mark.rule("R14")
def test_on_uvloop_an_upload_too_many_is_refused_at_the_door_and_its_connection_goes_on(
    tmp_path, clock, config
):
    async def come():
        store = open_store(config, tmp_path / "relay.sqlite", clock)
        none = dataclasses.replace(config, open=True, uploads_max=0)
        async with relays.serve(none, store, clock) as relay:
            reader, writer = await asyncio.open_connection(relay.call.host, relay.call.port)
            told = []
            for _ in range(2):
                writer.write(head(1, 16 * KIB, "") + make_envelope())
                told.append(await reader.readuntil(b'"status": 503}'))
            writer.close()
            await writer.wait_closed()
        await store.close()
        return told

    told = uvloop.run(come())

    assert [each[9:12] for each in told] == [b"503"] * 2
    assert b"Connection: close" not in told[1]


@pytest.mark.rule("R14", "R15")
def test_on_uvloop_whoever_does_not_read_is_cut_off_however_little_is_left(tmp_path, clock, config):
    async def come():
        store = open_store(config, tmp_path / "relay.sqlite", clock)
        short = dataclasses.replace(config, open=True, answer_seconds=0.05)
        async with relays.serve(short, store, clock) as relay:
            await relay.call.put(make_envelope(size=48 * KIB))
            line = socket.socket()
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.settimeout(0)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(line, (relay.call.host, relay.call.port))
            await relay_fakes.until(lambda: len(relay.app.connections) == 2)
            ask = f"GET /v1/t/{relays.TICKET_ID} HTTP/1.1\r\nHost: r\r\n\r\n".encode()
            # Until the system's own buffers are full, and a piece of an answer is left.
            while len(relay.app.connections) == 2:
                with suppress(OSError):
                    line.send(ask)
                await asyncio.sleep(0)
            left = len(relay.app.connections)
            line.close()
        await store.close()
        return left

    # The client that uploaded is still there.
    assert uvloop.run(come()) == 1


@pytest.mark.rule("R15")
def test_on_uvloop_a_head_too_long_and_a_connection_too_many_are_told(tmp_path, clock, config):
    async def come():
        store = open_store(config, tmp_path / "relay.sqlite", clock)
        few = dataclasses.replace(config, open=True, connections_max=1)
        async with relays.serve(few, store, clock) as relay:
            reader, writer = await asyncio.open_connection(relay.call.host, relay.call.port)
            writer.write(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 4000)
            long = await reader.readuntil(b'"status": 400}')
            _, other = await asyncio.open_connection(relay.call.host, relay.call.port)
            # The first gives way: it brings nothing any more.
            end = await reader.read()
            for each in (writer, other):
                each.close()
        await store.close()
        return long, end

    long, end = uvloop.run(come())

    assert long.startswith(b"HTTP/1.1 400 ")
    assert end == b""
