"""Tickets over HTTP: every check of spec/relay.md, in its order."""

import asyncio
import dataclasses
import threading

import pytest
import relay_fakes
import relays
from relays import KIB, TICKET_ID, TOKEN, bearer, make_envelope

from relay_server.config import DAY, HOUR, MIB, Config
from relay_server.stores import open_store

SIZES = [n * KIB for n in (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)]
SIZES += [MIB, 3 * MIB // 2, 2 * MIB, 3 * MIB, 4 * MIB]
PATH = f"/v1/t/{TICKET_ID}"


# Uploading


@pytest.mark.rule("R10", "R30")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer " + "A" * 43},
        {"Authorization": "Bearer " + "A" * 44},
        {"Authorization": "Basic " + "A" * 43},
        {"Authorization": "é"},
    ],
)
async def test_an_upload_without_a_valid_permit_is_refused_whatever_else_is_wrong(call, headers):
    headers = headers | {"Ticket-TTL": "never"}

    answer = await call("PUT", PATH, b"no envelope", headers)

    assert (answer.status, answer.code) == (401, "permit")
    assert (await call.get()).status == 404


@pytest.mark.rule("R31")
async def test_an_upload_without_a_length_is_refused(call):
    async def pieces():
        yield make_envelope()

    answer = await call("PUT", PATH, pieces(), bearer(call.permit) | {"Ticket-TTL": "never"})

    assert (answer.status, answer.code) == (411, "length-required")


@pytest.mark.rule("R32")
async def test_an_upload_of_more_than_4_mib_is_refused(call):
    answer = await call("PUT", PATH, bytes(4 * MIB + 1), bearer(call.permit) | {"Ticket-TTL": "x"})

    assert (answer.status, answer.code) == (413, "too-large")


@pytest.mark.rule("R33")
@pytest.mark.parametrize("size", [0, 1, 16 * KIB - 1, 16 * KIB + 1, 20 * KIB, 4 * MIB - 1])
async def test_an_upload_of_another_length_is_refused_before_its_ttl_is_looked_at(call, size):
    answer = await call("PUT", PATH, bytes(size), bearer(call.permit) | {"Ticket-TTL": "never"})

    assert (answer.status, answer.code) == (400, "bad-length")


@pytest.mark.rule("R33", "R41", "R52")
@pytest.mark.parametrize("size", SIZES)
async def test_each_of_the_17_lengths_is_stored_and_comes_back_byte_for_byte(call, size):
    envelope = make_envelope(size=size, fill=b"0123456789abcdef!")

    stored = await call.put(envelope)
    fetched = await call.get()

    assert (stored.status, stored.json) == (201, {"state": "stored", "expires_in": 259_200})
    assert fetched.status == 200
    assert fetched.body == envelope
    assert fetched.headers["Content-Length"] == str(size)
    assert fetched.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.rule("R34")
@pytest.mark.parametrize(
    "ttl",
    ["", "59", "604801", "-60", "+60", "060", "60.0", "1e3", "sixty", "0x60", "٦٠", "9" * 3000],
)
async def test_an_upload_with_a_bad_ttl_is_refused_before_its_body_is_looked_at(call, ttl):
    headers = bearer(call.permit) | {"Ticket-TTL": ttl}

    answer = await call("PUT", PATH, bytes(16 * KIB), headers)

    assert (answer.status, answer.code) == (400, "bad-ttl")


@pytest.mark.rule("R34", "R41")
@pytest.mark.parametrize("ttl", [60, 259_200, 604_800])
async def test_a_ticket_lives_as_long_as_it_asked_for(call, clock, ttl):
    answer = await call.put(ttl=ttl)
    clock.advance(ttl - 1)
    before = await call.get()
    clock.advance(1)
    after = await call.get()

    assert answer.json == {"state": "stored", "expires_in": ttl}
    assert before.status == 200
    assert (after.status, after.code, after.json["reason"]) == (410, "gone", "expired")


@pytest.mark.rule("R12", "R35")
async def test_an_address_that_uploads_too_often_is_told_when_to_come_back(sqlite_store, clock):
    config = open_config(address_uploads_burst=2, address_uploads_per_hour=60)
    async with relays.serve(config, sqlite_store, clock) as relay:
        first = await relay.call.put(ticket_id="1" * 32)
        second = await relay.call.put(ticket_id="2" * 32)
        # R35 comes before R36: no magic, and yet 429.
        third = await relay.call.put(bytes(16 * KIB), ticket_id="3" * 32)
        clock.advance(60)
        fourth = await relay.call.put(ticket_id="3" * 32)

    assert [first.status, second.status, third.status, fourth.status] == [201, 201, 429, 201]
    assert third.code == "too-often"
    assert third.headers["Retry-After"] == "60"


@pytest.mark.rule("R12")
async def test_an_address_that_uploads_too_much_is_told_when_to_come_back(sqlite_store, clock):
    config = open_config(address_bytes_burst=32 * KIB, address_bytes_per_hour=HOUR * KIB)
    async with relays.serve(config, sqlite_store, clock) as relay:
        first = await relay.call.put(make_envelope(size=32 * KIB), ticket_id="1" * 32)
        second = await relay.call.put(ticket_id="2" * 32)

    assert [first.status, second.status] == [201, 429]
    assert second.headers["Retry-After"] == "16"


@pytest.mark.rule("R12")
async def test_an_address_that_registers_too_often_is_told_when_to_come_back(sqlite_store, clock):
    config = open_config(address_registrations_burst=1)
    async with relays.serve(config, sqlite_store, clock) as relay:
        first = await relay.call.register(cid="1" * 32)
        second = await relay.call.register(cid="2" * 32)

    assert [first.status, second.status] == [201, 429]
    assert int(second.headers["Retry-After"]) > 0


@pytest.mark.rule("R36")
async def test_what_does_not_begin_with_the_magic_is_refused_even_where_something_is(call):
    await call.put()

    answer = await call.put(b"tkt/v2\r\n" + bytes(16 * KIB - 8))

    assert (answer.status, answer.code) == (400, "bad-magic")


@pytest.mark.rule("R37")
@pytest.mark.parametrize("reason", ["received", "revoked", "expired"])
async def test_an_upload_to_a_tombstone_is_told_its_reason(call, clock, reason):
    await call.put()
    if reason != "expired":
        assert (await call.post(reason)).status == 204
    if reason != "revoked":
        clock.advance(4 * DAY)

    again = await call.put()

    assert (again.status, again.code, again.json["reason"]) == (410, "gone", reason)


@pytest.mark.rule("R38")
async def test_other_bytes_under_one_id_are_refused_and_change_nothing(call):
    await call.put()

    answer = await call.put(make_envelope(fill=b"\x01"))

    assert (answer.status, answer.code) == (409, "taken")
    assert (await call.get()).body == make_envelope()


@pytest.mark.rule("R39")
async def test_the_same_bytes_again_are_welcome_and_change_nothing(call, clock):
    await call.put(ttl=3600)
    await call.post("opened")
    clock.advance(100)

    answer = await call.put(ttl=604_800)

    assert (answer.status, answer.json) == (200, {"state": "opened", "expires_in": 3500})


@pytest.mark.rule("R40")
async def test_a_relay_without_room_says_so_and_still_gives_what_it_has(tmp_path, clock, config):
    config = dataclasses.replace(config, stored_max_bytes=200 * KIB)
    store = relays_open(config, tmp_path, clock)
    async with relays.serve(config, store, clock) as relay:
        call = relay.call
        answers = [await call.put(ticket_id=f"{n:032x}") for n in range(20)]
        stored = [n for n, answer in enumerate(answers) if answer.status == 201]
        refused = next(n for n, answer in enumerate(answers) if answer.status != 201)
        fetched = [(await call.get(ticket_id=f"{n:032x}")).body for n in stored]
        again = await call.put(ticket_id=f"{stored[0]:032x}")
        other = await call.put(make_envelope(fill=b"o"), ticket_id=f"{stored[0]:032x}")
        unseen = await call.get(ticket_id=f"{refused:032x}")
        revoked = await call.post("revoked", ticket_id=f"{stored[0]:032x}")
        await store.sweep(now=int(clock.wall()))
        room = await call.put(ticket_id=f"{refused:032x}")
    await store.close()

    assert (answers[refused].status, answers[refused].code) == (507, "full")
    assert fetched == [make_envelope()] * len(stored)
    # Checks 8 to 10 come before check 11.
    assert [again.status, other.status, unseen.status] == [200, 409, 404]
    assert [revoked.status, room.status] == [204, 201]


@pytest.mark.rule("R40")
async def test_a_disk_that_is_full_refuses_uploads_and_serves_downloads(relay, call):
    await call.put()
    writer = relay.store._writer
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")

    refused = await call.put(make_envelope(size=MIB), ticket_id="1" * 32)
    fetched = await call.get()
    writer.execute("PRAGMA max_page_count = 4294967294")
    room = await call.put(make_envelope(size=MIB), ticket_id="1" * 32)

    assert (refused.status, refused.code) == (507, "full")
    assert fetched.body == make_envelope()
    assert room.status == 201


@pytest.mark.rule("R42")
async def test_of_two_uploads_at_once_exactly_one_is_stored(sqlite_store, clock, config):
    store = relay_fakes.StallingStore(sqlite_store, "keep")
    async with relays.serve(config, store, clock) as relay:
        envelopes = [make_envelope(fill=bytes([n])) for n in range(8)]
        uploads = [asyncio.ensure_future(relay.call.put(envelope)) for envelope in envelopes]
        for _ in uploads:
            await store.stalled.acquire()  # every check but the write has been made
        store.go.set()
        statuses = [(await upload).status for upload in uploads]
        stored = (await relay.call.get()).body

    assert sorted(statuses) == [201] + [409] * 7
    assert stored == envelopes[statuses.index(201)]


@pytest.mark.rule("R42")
async def test_of_two_equal_uploads_at_once_one_is_stored_and_the_other_welcome(
    sqlite_store, clock, config
):
    store = relay_fakes.StallingStore(sqlite_store, "keep")
    async with relays.serve(config, store, clock) as relay:
        uploads = [asyncio.ensure_future(relay.call.put()) for _ in range(4)]
        for _ in uploads:
            await store.stalled.acquire()
        store.go.set()
        statuses = [(await upload).status for upload in uploads]

    assert sorted(statuses) == [200, 200, 200, 201]


@pytest.mark.rule("R14")
async def test_an_upload_that_is_cut_off_is_not_stored(relay, call):
    head = f"PUT {PATH} HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer {call.permit}\r\n"
    _, writer = await asyncio.open_connection(call.host, call.port)
    writer.write(f"{head}Content-Length: {16 * KIB}\r\n\r\n".encode() + make_envelope()[:-1])
    await relay_fakes.until(lambda: relay.app.services.arriving)

    writer.close()
    await writer.wait_closed()
    await relay_fakes.until(lambda: not relay.app.busy)

    assert not relay.app.services.arriving
    assert (await call.get()).status == 404


@pytest.mark.rule("R14")
async def test_an_upload_that_takes_too_long_is_refused(relay, call, clock, config):
    head = f"PUT {PATH} HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer {call.permit}\r\n"
    reader, writer = await asyncio.open_connection(call.host, call.port)
    writer.write(f"{head}Content-Length: {16 * KIB}\r\n\r\ntkt".encode())
    await relay_fakes.until(lambda: relay.app.services.arriving)

    clock.advance(config.body_seconds)
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert line == b"HTTP/1.1 400 Bad Request\r\n"
    assert (await call.get()).status == 404


@pytest.mark.rule("R14")
async def test_a_relay_with_too_much_to_do_says_when_to_come_back(sqlite_store, clock, config):
    config = dataclasses.replace(config, reading_max_bytes=72 * KIB)
    store = relay_fakes.StallingStore(sqlite_store, "keep")
    async with relays.serve(config, store, clock) as relay:
        first = asyncio.ensure_future(relay.call.put(make_envelope(size=32 * KIB)))
        await store.stalled.acquire()
        second = await relay.call.put(make_envelope(size=48 * KIB), ticket_id="1" * 32)
        store.go.set()
        statuses = (await first).status, second.status
        third = await relay.call.put(ticket_id="1" * 32)

    assert statuses == (201, 503)
    assert (second.code, second.headers["Retry-After"]) == ("overloaded", "1")
    assert third.status == 201


async def test_an_upload_whose_caller_has_left_is_stored_all_the_same(relay, call):
    store = relay.store
    busy = BusyWriter(store)
    await relay_fakes.until(busy.begun.is_set)
    upload = asyncio.ensure_future(call.put())
    await relay_fakes.until(lambda: store._queued_bytes)

    upload.cancel()
    await asyncio.gather(upload, return_exceptions=True)
    await relay_fakes.until(lambda: not relay.app.busy)
    busy.end.set()
    await busy.done
    await relay_fakes.until(lambda: not store._queued_bytes)

    assert (await call.get()).body == make_envelope()


async def test_a_caller_may_ask_for_leave_to_send_the_body(call):
    head = (
        f"PUT {PATH} HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer {call.permit}\r\n"
        f"Content-Length: {16 * KIB}\r\nExpect: 100-continue\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(call.host, call.port)
    writer.write(head.encode())
    leave = await reader.readuntil(b"\r\n\r\n")
    writer.write(make_envelope())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert leave == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert line == b"HTTP/1.1 201 Created\r\n"


async def test_a_refused_caller_that_asked_for_leave_gets_none_and_the_connection_ends(call):
    head = (
        f"PUT {PATH} HTTP/1.1\r\nHost: r\r\nContent-Length: 16384\r\nExpect: 100-continue\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(call.host, call.port)
    writer.write(head.encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nConnection: close\r\n" in answer


# Fetching


@pytest.mark.rule("R50")
async def test_a_ticket_that_was_never_seen_is_absent(call):
    answer = await call.get()

    assert (answer.status, answer.code) == (404, "absent")


@pytest.mark.rule("R51", "R69")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "expired"),
        (["opened"], "expired"),
        (["received"], "received"),
        (["opened", "received"], "received"),
        (["revoked"], "revoked"),
        (["opened", "revoked"], "revoked"),
        (["received", "revoked"], "revoked"),
    ],
)
async def test_a_ticket_that_has_been_tells_why(call, clock, words, reason):
    await call.put()
    for word in words:
        assert (await call.post(word)).status == 204
    if "revoked" not in words:
        clock.advance(4 * DAY)

    answer = await call.get()

    assert (answer.status, answer.code, answer.json["reason"]) == (410, "gone", reason)


@pytest.mark.rule("R53")
async def test_fetching_any_number_of_times_changes_nothing(call):
    await call.put()

    heads = [await call("HEAD", PATH) for _ in range(3)]
    bodies = {(await call.get()).body for _ in range(3)}
    state = await call.state()

    assert bodies == {make_envelope()}
    assert {(head.status, head.headers["Content-Length"], head.body) for head in heads} == {
        (200, str(16 * KIB), b"")
    }
    assert state.json == {"state": "stored", "expires_in": 259_200}


# Changing the state


@pytest.mark.rule("R60")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        TOKEN,
        TOKEN + b"stored",
        TOKEN + b"expired",
        TOKEN + b"Opened",
        TOKEN + b"opened ",
        TOKEN[1:] + b"opened",
        TOKEN + b"opened" + b"x" * 26,
    ],
)
async def test_a_state_of_another_form_is_refused_before_the_ticket_is_looked_for(call, body):
    answer = await call("POST", PATH + "/state", body)

    assert (answer.status, answer.code) == (400, "bad-request")


@pytest.mark.rule("R60")
async def test_a_state_without_a_length_or_longer_than_64_bytes_is_refused(call):
    async def pieces():
        yield TOKEN + b"opened"

    without = await call("POST", PATH + "/state", pieces())
    longer = await call("POST", PATH + "/state", TOKEN + b"x" * 33)

    assert (without.status, without.code) == (411, "length-required")
    assert (longer.status, longer.code) == (413, "too-large")


@pytest.mark.rule("R61")
async def test_a_state_for_a_ticket_that_was_never_seen_is_absent(call):
    answer = await call.post("opened")

    assert (answer.status, answer.code) == (404, "absent")


@pytest.mark.rule("R62")
async def test_a_state_with_another_token_is_refused_even_for_a_tombstone(call):
    await call.put()
    living = await call.post("revoked", token=b"x" * 32)
    await call.post("revoked")
    gone = await call.post("revoked", token=b"x" * 32)

    assert (living.status, living.code) == (403, "token")
    assert (gone.status, gone.code) == (403, "token")


@pytest.mark.rule("R63")
async def test_a_state_for_a_ticket_that_has_been_tells_why(call, clock):
    await call.put(ttl=60)
    clock.advance(60)
    expired = await call.post("opened")
    await call.put(ticket_id="1" * 32)
    await call.post("revoked", ticket_id="1" * 32)
    revoked = await call.post("revoked", ticket_id="1" * 32)

    assert (expired.status, expired.code, expired.json["reason"]) == (410, "gone", "expired")
    assert (revoked.status, revoked.code, revoked.json["reason"]) == (410, "gone", "revoked")


@pytest.mark.rule("R64", "R65")
@pytest.mark.parametrize(
    ("words", "state", "expires_in"),
    [
        (["opened"], "opened", 86_400),
        (["opened", "opened"], "opened", 86_400),
        (["received"], "received", 900),
        (["received", "opened"], "received", 900),
        (["opened", "received", "opened", "received"], "received", 900),
    ],
)
async def test_states_only_go_up(call, words, state, expires_in):
    await call.put()

    statuses = {(await call.post(word)).status for word in words}

    assert statuses == {204}
    assert (await call.state()).json == {"state": state, "expires_in": expires_in}


@pytest.mark.rule("R66", "R67")
@pytest.mark.parametrize(
    ("word", "ttl", "left"),
    [
        ("opened", 604_800, 86_400),
        ("opened", 3_600, 3_600),
        ("received", 604_800, 900),
        ("received", 60, 60),
    ],
)
async def test_the_first_opened_or_received_makes_the_rest_of_life_shorter_never_longer(
    call, clock, word, ttl, left
):
    await call.put(ttl=ttl)

    await call.post(word)
    at_once = (await call.state()).json["expires_in"]
    clock.advance(10)
    await call.post(word)
    later = (await call.state()).json["expires_in"]

    assert (at_once, later) == (left, left - 10)


@pytest.mark.rule("R68", "R22")
async def test_a_revoked_ticket_is_gone_at_once_and_so_are_its_bytes(relay, call, tmp_path):
    canary = b"CANARY-OF-THE-ENVELOPE"
    await call.put(make_envelope(fill=canary))

    answer = await call.post("revoked")
    fetched = await call.get()
    await relay.store.sweep(now=int(relay.clock.wall()))

    assert (answer.status, fetched.status, fetched.json["reason"]) == (204, 410, "revoked")
    for path in tmp_path.iterdir():
        assert canary not in path.read_bytes()


@pytest.mark.rule("R22")
async def test_an_expired_envelope_leaves_the_files_within_a_minute(tmp_path, clock, config):
    config = dataclasses.replace(config, sweep_seconds=type(config)().sweep_seconds)
    canary = b"CANARY-OF-THE-ENVELOPE"
    store = relays_open(config, tmp_path, clock)
    async with relays.serve(config, store, clock) as relay:
        await relay_fakes.until(lambda: clock.planned)
        await relay.call.put(make_envelope(fill=canary), ttl=60)
        assert any(canary in path.read_bytes() for path in tmp_path.iterdir())
        clock.advance(60)
        for _ in range(60 // config.sweep_seconds):
            clock.advance(config.sweep_seconds)
            await relay.call.get()

        await relay_fakes.until(
            lambda: not any(canary in path.read_bytes() for path in tmp_path.iterdir())
        )
    await store.close()


@pytest.mark.rule("R21")
async def test_an_expired_ticket_is_not_served_though_no_sweeper_has_come_by(relay, call, clock):
    await call.put(ttl=60)
    await call.get()
    clock.advance(60)

    from_memory = await call.get()
    relay.store._recent.forget(bytes.fromhex(TICKET_ID))
    from_disk = await call.get()

    assert (from_memory.status, from_disk.status) == (410, 410)


@pytest.mark.rule("R21")
async def test_a_ticket_that_was_opened_ends_earlier_from_memory_too(call, clock):
    await call.put(ttl=604_800)
    await call.get()
    await call.post("received")
    clock.advance(899)
    before = await call.get()
    clock.advance(1)
    after = await call.get()

    assert (before.status, after.status) == (200, 410)


@pytest.mark.rule("R20")
async def test_a_tombstone_ends_8_days_after_the_expiry(relay, call, clock):
    await call.put(ttl=60)
    clock.advance(60 + 8 * DAY - 1)
    await relay.store.sweep(now=int(clock.wall()))
    before = await call.get()
    clock.advance(1)
    unswept = await call.get()
    await relay.store.sweep(now=int(clock.wall()))
    swept = await call.get()
    again = await call.put()

    assert (before.status, before.json["reason"]) == (410, "expired")
    assert [unswept.status, swept.status, again.status] == [404, 404, 201]


async def test_an_upload_after_the_end_of_a_tombstone_needs_no_sweeper(call, clock):
    await call.put(ttl=60)
    clock.advance(60 + 8 * DAY)

    again = await call.put(make_envelope(fill=b"n"))

    assert again.status == 201
    assert (await call.get()).body == make_envelope(fill=b"n")


# Asking for the state


@pytest.mark.rule("R70")
@pytest.mark.parametrize(
    "headers", [{}, bearer("t" * 64), bearer(TOKEN.hex()[:-1]), bearer("AB" * 32), bearer(b"")]
)
async def test_asking_for_a_state_without_a_token_is_refused_first_of_all(call, headers):
    answer = await call("GET", PATH + "/state?since=never&wait=never", headers=headers)

    assert (answer.status, answer.code) == (401, "authorization")


@pytest.mark.rule("R7", "R70")
@pytest.mark.parametrize(
    "query",
    [
        "since=",
        "since=open",
        "wait=",
        "wait=26",
        "wait=01",
        "wait=-1",
        "wait=1.0",
        "wait=٣",
        "wait=1&wait=2",
    ],
)
async def test_a_since_or_wait_of_another_form_is_refused(call, query):
    answer = await call("GET", f"{PATH}/state?{query}", headers=bearer(TOKEN))

    assert (answer.status, answer.code) == (400, "bad-request")


@pytest.mark.rule("R71", "R72")
async def test_asking_for_the_state_of_another_ticket_is_refused(call):
    absent = await call.state(wait=25, since="stored")
    await call.put()
    other = await call.state(token=b"x" * 32, wait=25, since="stored")

    assert (absent.status, absent.code) == (404, "absent")
    assert (other.status, other.code) == (403, "token")


@pytest.mark.rule("R73")
async def test_the_state_comes_at_once_without_a_since_or_a_wait_or_when_it_differs(call):
    await call.put()

    answers = [
        await call.state(),
        await call.state(wait=25),
        await call.state(since="stored"),
        await call.state(since="stored", wait=0),
        await call.state(since="opened", wait=25),
        await call.state(since="expired", wait=25),
    ]

    assert [answer.json for answer in answers] == [{"state": "stored", "expires_in": 259_200}] * 6


@pytest.mark.rule("R7", "R73")
async def test_a_waiting_till_hears_of_a_change_and_of_the_end_of_its_wait(relay, call, clock):
    await call.put()
    waiting = call.start("GET", PATH + "/state?since=stored&wait=25", headers=bearer(TOKEN))
    await watching(relay, 1)

    await call.post("opened")
    changed = await waiting
    waiting = call.start("GET", PATH + "/state?since=opened&wait=25", headers=bearer(TOKEN))
    await watching(relay, 1)
    clock.advance(24.9)
    await call("GET", "/v1/info")
    still = not waiting.done()
    clock.advance(0.1)
    over = await waiting

    assert changed.json == {"state": "opened", "expires_in": 86_400}
    assert still
    assert over.json == {"state": "opened", "expires_in": 86_400 - 25}
    assert (relay.waiting.requests, relay.waiting._watches) == (0, {})


@pytest.mark.rule("R73")
async def test_a_waiting_till_hears_of_a_revocation_and_of_the_expiry(relay, call, clock):
    await call.put()
    await call.put(ticket_id="1" * 32, ttl=60)
    clock.advance(50)
    revoked = call.start("GET", PATH + "/state?since=stored&wait=25", headers=bearer(TOKEN))
    path = f"/v1/t/{'1' * 32}/state?since=stored&wait=25"
    expired = call.start("GET", path, headers=bearer(TOKEN))
    await watching(relay, 2)

    await call.post("revoked")
    clock.advance(10)

    assert (await revoked).json == {"state": "revoked", "expires_in": 0}
    assert (await expired).json == {"state": "expired", "expires_in": 0}


async def test_a_change_between_looking_and_waiting_is_not_lost(sqlite_store, clock, config):
    store = relay_fakes.StallingStore(sqlite_store, "find")
    async with relays.serve(config, store, clock) as relay:
        await relay.call.put()
        waiting = relay.call.start(
            "GET", PATH + "/state?since=stored&wait=25", headers=bearer(TOKEN)
        )
        await store.stalled.acquire()
        now = int(clock.wall())
        ticket_id = bytes.fromhex(TICKET_ID)
        state = (await sqlite_store.find(ticket_id, now=now)).state
        await sqlite_store.change(ticket_id, type(state).OPENED, expiry=now + 60, now=now)
        store.go.set()

        assert (await waiting).json == {"state": "opened", "expires_in": 60}


async def test_a_till_that_leaves_while_it_waits_leaves_nothing_behind(relay, call):
    await call.put()
    waiting = call.start("GET", PATH + "/state?since=stored&wait=25", headers=bearer(TOKEN))
    await watching(relay, 1)

    waiting.cancel()
    await relay_fakes.until(lambda: relay.waiting.requests == 0)

    assert relay.waiting._watches == {}


# Clocks


async def test_a_clock_that_was_a_year_ahead_does_not_prolong_any_life(relay, call, clock):
    now = clock.wall()
    clock.set_wall(now + 365 * DAY)
    await call.put(ttl=604_800)
    clock.set_wall(now)

    await relay.store.sweep(now=int(now))
    state = await call.state()

    assert state.json["expires_in"] <= 604_800


async def test_a_clock_that_is_set_does_not_end_a_wait(relay, call, clock):
    await call.put()
    waiting = call.start("GET", PATH + "/state?since=stored&wait=25", headers=bearer(TOKEN))
    await watching(relay, 1)

    clock.set_wall(clock.wall() - 365 * DAY)
    clock.advance(24)
    await call("GET", "/v1/info")
    still = not waiting.done()
    clock.advance(1)

    assert still
    assert (await waiting).status == 200


async def test_what_was_swept_does_not_come_back_when_the_clock_is_set_back(relay, call, clock):
    now = clock.wall()
    await call.put()
    clock.set_wall(now + 4 * DAY)
    await relay.store.sweep(now=int(clock.wall()))
    clock.set_wall(now)

    answer = await call.get()

    assert (answer.status, answer.json["reason"]) == (410, "expired")


def open_config(**limits):
    return Config(open=True, sweep_seconds=10**9, **limits)


def relays_open(config, tmp_path, clock):
    return open_store(config, tmp_path / "relay.sqlite", clock)


async def watching(relay, count):
    """Wait until so many tills have looked and now wait."""
    await relay_fakes.until(
        lambda: (
            count
            == sum(
                watch._future is not None
                for watches in relay.waiting._watches.values()
                for watch in watches
            )
        )
    )


class BusyWriter:
    """Something that keeps the writer's thread from the next batch."""

    def __init__(self, store):
        self.begun = threading.Event()
        self.end = threading.Event()
        self.done = asyncio.ensure_future(store._write(self._wait))

    def _wait(self, _connection):
        self.begun.set()
        self.end.wait()
