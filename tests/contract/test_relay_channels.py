"""Display channels over HTTP: every check of spec/relay.md, in its order."""

import asyncio
import dataclasses

import pytest
import relay_fakes
import relays
from relays import (
    CID,
    READ_TOKEN,
    WRITE_TOKEN,
    bearer,
    hid,
    make_hello,
    make_registration,
)

from relay_server.config import DAY

PATH = f"/v1/c/{CID}"
SEALED = bytes(range(256)) * 2


async def live(relay, count):
    """Wait until so many hellos and polls wait."""
    await relay_fakes.until(lambda: relay.waiting.requests == count)


# Registration


@pytest.mark.rule("R80")
async def test_a_registration_is_checked_in_the_order_of_the_specification(call):
    async def pieces():
        yield make_registration()

    permit = bearer(call.permit)
    answers = [
        await call("PUT", PATH, bytes(73)),
        await call("PUT", PATH, pieces(), permit),
        await call("PUT", PATH, bytes(73), permit),
        await call("PUT", PATH, make_registration()[:-1], permit),
        await call("PUT", PATH, b"", permit),
        await call("PUT", PATH, b"dsp/v2\r\n" + bytes(64), permit),
    ]

    assert [(answer.status, answer.code) for answer in answers] == [
        (401, "permit"),
        (411, "length-required"),
        (413, "too-large"),
        (400, "bad-request"),
        (400, "bad-request"),
        (400, "bad-request"),
    ]


@pytest.mark.rule("R82", "R83")
async def test_a_channel_is_registered_once_and_its_hashes_stay(call):
    answers = [
        await call.register(),
        await call.register(),
        await call.register(make_registration(read_token=b"x" * 32)),
        await call.register(make_registration(write_token=b"x" * 32)),
        await call.poll(wait=0),
    ]

    assert [answer.status for answer in answers] == [201, 200, 409, 409, 200]
    assert answers[2].code == "taken"


@pytest.mark.rule("R83")
async def test_of_two_registrations_at_once_exactly_one_is_made(sqlite_store, clock, config):
    store = relay_fakes.StallingStore(sqlite_store, "register")
    async with relays.serve(config, store, clock) as relay:
        registrations = [make_registration(read_token=bytes([n]) * 32) for n in range(4)]
        calls = [asyncio.ensure_future(relay.call.register(item)) for item in registrations]
        for _ in calls:
            await store.stalled.acquire()
        store.go.set()
        statuses = [(await call).status for call in calls]

    assert sorted(statuses) == [201, 409, 409, 409]


@pytest.mark.rule("R84")
@pytest.mark.parametrize("who", ["nobody", "display", "till"])
async def test_a_channel_that_nobody_polls_for_90_days_is_deleted(relay, channel, clock, who):
    clock.advance(50 * DAY)
    if who == "till":
        await channel.poll(wait=0)
    elif who == "display":
        hello = channel.start("POST", PATH + "/hello", READ_TOKEN + make_hello())
        await live(relay, 1)
        hello.cancel()
        await live(relay, 0)
    clock.advance(41 * DAY)

    await relay.store.sweep(now=int(clock.wall()))
    answer = await channel.poll(wait=0)

    assert answer.status == (404 if who == "nobody" else 200)
    # Without a tombstone: it may be registered again.
    assert (await channel.register()).status == (201 if who == "nobody" else 200)


# Unpairing


@pytest.mark.rule("R85")
async def test_unpairing_is_checked_in_the_order_of_the_specification(call):
    without = await call("DELETE", PATH)
    absent = await call.unpair()
    await call.register()
    other = await call.unpair(token=READ_TOKEN)
    done = await call.unpair()
    gone = await call.unpair(token=b"x" * 32)

    assert (without.status, without.code) == (401, "authorization")
    assert (absent.status, absent.code) == (404, "channel-absent")
    assert (other.status, other.code) == (403, "token")
    assert (done.status, done.body) == (204, b"")
    assert (gone.status, gone.code) == (410, "channel-gone")


@pytest.mark.rule("R81", "R86")
async def test_an_unpaired_channel_is_gone_for_good_and_for_everybody(relay, channel, clock):
    await channel.unpair()
    clock.advance(400 * DAY)
    await relay.store.sweep(now=int(clock.wall()))

    answers = [
        await channel.register(),
        await channel.hello(),
        await channel.poll(),
        await channel.seal(),
        await channel.unpair(),
    ]

    assert {(answer.status, answer.code) for answer in answers} == {(410, "channel-gone")}


@pytest.mark.rule("R86")
async def test_everybody_who_waits_is_told_that_the_channel_was_unpaired(relay, channel):
    hellos = [channel.start("POST", PATH + "/hello", READ_TOKEN + make_hello(n)) for n in range(3)]
    await live(relay, 3)
    etag = (await channel.poll(wait=0)).headers["ETag"]
    poll = asyncio.ensure_future(channel.poll(etag=etag))
    await live(relay, 4)

    await channel.unpair()
    answers = [await waiting for waiting in [*hellos, poll]]

    assert {(answer.status, answer.code) for answer in answers} == {(410, "channel-gone")}
    assert relay.waiting.requests == 0


@pytest.mark.rule("R86")
@pytest.mark.parametrize("name", ["offer", "poll"])
async def test_who_was_let_in_just_before_the_unpairing_is_told_too(
    sqlite_store, clock, config, name
):
    store = relay_fakes.StallingStore(sqlite_store, name)
    async with relays.serve(config, store, clock) as relay:
        await relay.call.register()
        act = relay.call.hello if name == "offer" else relay.call.poll
        late = asyncio.ensure_future(act())
        await store.stalled.acquire()
        await relay.call.unpair()
        store.go.set()

        assert (await late).code == "channel-gone"


# Hello


@pytest.mark.rule("R90")
async def test_a_hello_is_checked_in_the_order_of_the_specification(call, relay):
    async def pieces():
        yield READ_TOKEN + make_hello()

    path = PATH + "/hello"
    without = await call("POST", path, pieces())
    longer = await call("POST", path, bytes(113))
    shorter = await call("POST", path, bytes(111))
    absent = await call.hello()
    await call.register()
    other = await call.hello(token=WRITE_TOKEN)
    await call.unpair()
    gone = await call.hello(token=WRITE_TOKEN)

    assert (without.status, without.code) == (411, "length-required")
    assert (longer.status, longer.code) == (413, "too-large")
    assert (shorter.status, shorter.code) == (400, "bad-request")
    assert (absent.status, absent.code) == (404, "channel-absent")
    assert (other.status, other.code) == (403, "token")
    assert (gone.status, gone.code) == (410, "channel-gone")
    assert relay.waiting.requests == 0


@pytest.mark.rule("R90")
async def test_a_channel_with_too_many_hellos_is_told_when_to_come_back(
    sqlite_store, clock, config
):
    config = dataclasses.replace(config, channel_hellos_burst=1, channel_hellos_per_minute=60)
    async with relays.serve(config, sqlite_store, clock) as relay:
        await relay.call.register()
        first = asyncio.ensure_future(relay.call.hello())
        await live(relay, 1)
        refused = await relay.call.hello(make_hello(1))
        await relay.call.seal(sealed=SEALED)
        answered = await first

    assert (refused.status, refused.code) == (429, "too-often")
    assert refused.headers["Retry-After"] == "1"
    assert answered.status == 200


@pytest.mark.rule("R91", "R113")
async def test_a_hello_gets_the_sealed_that_the_till_puts(relay, channel):
    waiting = asyncio.ensure_future(channel.hello())
    await live(relay, 1)

    put = await channel.seal(sealed=SEALED)
    answer = await waiting

    assert (put.status, put.body) == (204, b"")
    assert (answer.status, answer.body) == (200, SEALED)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert relay.waiting.requests == 0


@pytest.mark.rule("R91")
async def test_a_hello_that_nobody_answers_ends_after_25_seconds(relay, channel, clock):
    waiting = asyncio.ensure_future(channel.hello())
    await live(relay, 1)

    clock.advance(24.9)
    await channel("GET", "/v1/info")
    still = not waiting.done()
    clock.advance(0.1)
    answer = await waiting

    assert still
    assert (answer.status, answer.body) == (204, b"")
    assert (relay.waiting.requests, relay.waiting.lines) == (0, 0)


@pytest.mark.rule("R92", "R103")
async def test_a_display_that_leaves_takes_its_hello_with_it_at_once(relay, channel):
    _, writer = await asyncio.open_connection(channel.host, channel.port)
    head = f"POST {PATH}/hello HTTP/1.1\r\nHost: r\r\nContent-Length: 112\r\n\r\n".encode()
    writer.write(head + READ_TOKEN + make_hello())
    await live(relay, 1)
    poll = asyncio.ensure_future(channel.poll(etag=(await channel.poll(wait=0)).headers["ETag"]))
    await live(relay, 2)

    writer.close()
    await writer.wait_closed()
    answer = await poll

    assert (answer.status, answer.body) == (200, b"")
    assert (await channel.seal()).code == "hello-gone"
    assert (relay.waiting.requests, relay.waiting.lines) == (0, 0)


@pytest.mark.rule("R93", "R101")
async def test_a_fifth_hello_evicts_the_oldest(relay, channel):
    waiting = []
    for number in range(5):
        waiting.append(asyncio.ensure_future(channel.hello(make_hello(number))))
        await relay_fakes.until(
            lambda number=number: hid(make_hello(number)) in live_names(relay, CID)
        )

    evicted = await waiting[0]
    polled = await channel.poll(wait=0)

    assert evicted.status == 204
    assert polled.body == b"".join(make_hello(number) for number in range(1, 5))
    assert [one.done() for one in waiting[1:]] == [False] * 4
    await end(waiting)


@pytest.mark.rule("R94")
async def test_the_same_hello_again_takes_the_place_of_the_older_request(relay, channel):
    older = asyncio.ensure_future(channel.hello())
    await live(relay, 1)
    etag = (await channel.poll(wait=0)).headers["ETag"]
    newer = asyncio.ensure_future(channel.hello())

    replaced = await older
    same = await channel.poll(etag=etag, wait=0)
    await channel.seal(sealed=SEALED)
    answered = await newer

    assert (replaced.status, same.status, answered.body) == (204, 304, SEALED)


@pytest.mark.rule("R95", "R114")
async def test_a_hello_that_had_its_answer_never_gets_another(relay, channel, clock):
    waiting = asyncio.ensure_future(channel.hello())
    await live(relay, 1)
    await channel.seal(sealed=SEALED)
    await waiting
    clock.advance(59)

    again = await channel.hello()
    polled = await channel.poll(wait=0)
    sealed = await channel.seal(sealed=b"2" * 512)

    assert (again.status, polled.body) == (204, b"")
    assert (sealed.status, sealed.code) == (409, "answered")


# Poll


@pytest.mark.rule("R100")
async def test_a_poll_is_checked_in_the_order_of_the_specification(call):
    path = PATH + "/hello"
    without = await call("GET", path + "?wait=never")
    bad = [
        await call("GET", path + "?wait=" + wait, headers=bearer(WRITE_TOKEN))
        for wait in ("", "26", "00", "-1", "1.5", "x")
    ]
    absent = await call.poll()
    await call.register()
    other = await call.poll(token=READ_TOKEN)
    await call.unpair()
    gone = await call.poll(token=READ_TOKEN)

    assert (without.status, without.code) == (401, "authorization")
    assert {(answer.status, answer.code) for answer in bad} == {(400, "bad-request")}
    assert (absent.status, absent.code) == (404, "channel-absent")
    assert (other.status, other.code) == (403, "token")
    assert (gone.status, gone.code) == (410, "channel-gone")


@pytest.mark.rule("R101")
async def test_a_poll_that_holds_nothing_is_answered_at_once(relay, channel):
    empty = await channel.poll()
    waiting = [asyncio.ensure_future(channel.hello(make_hello(n))) for n in range(2)]
    await live(relay, 2)
    two = await channel.poll()

    assert (empty.status, empty.body) == (200, b"")
    assert two.status == 200
    assert len(two.body) == 160
    assert len({empty.headers["ETag"], two.headers["ETag"]}) == 2
    assert not two.headers["ETag"].startswith("W/")
    await end(waiting)


@pytest.mark.rule("R7", "R101")
async def test_a_poll_that_holds_the_set_waits_until_the_set_changes(relay, channel):
    etag = (await channel.poll()).headers["ETag"]
    poll = asyncio.ensure_future(channel.poll(etag=etag))
    await live(relay, 1)

    hello = asyncio.ensure_future(channel.hello())
    came = await poll
    poll = asyncio.ensure_future(channel.poll(etag=came.headers["ETag"]))
    await live(relay, 2)
    await channel.seal(sealed=SEALED)
    went = await poll
    await hello

    assert (came.status, came.body) == (200, make_hello())
    assert (went.status, went.body, went.headers["ETag"]) == (200, b"", etag)


@pytest.mark.rule("R7", "R101")
async def test_a_poll_of_a_set_that_stays_is_answered_304_after_its_wait(relay, channel, clock):
    etag = (await channel.poll()).headers["ETag"]
    default = asyncio.ensure_future(channel.poll(etag=etag))
    await live(relay, 1)
    clock.advance(25)
    answers = [await default, await channel.poll(etag=etag, wait=0)]
    short = asyncio.ensure_future(channel.poll(etag=f'"other", {etag}', wait=3))
    await live(relay, 1)
    clock.advance(3)
    answers.append(await short)

    assert [answer.status for answer in answers] == [304] * 3
    assert {answer.headers["ETag"] for answer in answers} == {etag}
    assert (relay.waiting.requests, relay.waiting.lines) == (0, 0)


@pytest.mark.rule("R102")
async def test_a_newer_poll_ends_the_older(relay, channel):
    etag = (await channel.poll()).headers["ETag"]
    older = asyncio.ensure_future(channel.poll(etag=etag))
    await live(relay, 1)

    newer = asyncio.ensure_future(channel.poll(etag=etag))
    superseded = await older
    hello = asyncio.ensure_future(channel.hello())
    answered = await newer

    assert (superseded.status, superseded.code) == (409, "superseded")
    assert answered.body == make_hello()
    await end([hello])


async def test_a_poll_whose_till_leaves_does_not_stand_in_the_way_of_the_next(relay, channel):
    etag = (await channel.poll()).headers["ETag"]
    poll = asyncio.ensure_future(channel.poll(etag=etag))
    await live(relay, 1)

    poll.cancel()
    await live(relay, 0)

    assert relay.waiting.lines == 0


async def test_hellos_of_one_channel_are_not_seen_on_another(relay, channel):
    other = "1" * 32
    await channel.register(cid=other)
    waiting = asyncio.ensure_future(channel.hello())
    await live(relay, 1)

    polled = await channel.poll(cid=other)
    sealed = await channel.seal(cid=other)

    assert polled.body == b""
    assert sealed.code == "hello-gone"
    await end([waiting])


# Sealed


@pytest.mark.rule("R110")
async def test_a_sealed_is_checked_in_the_order_of_the_specification(call):
    async def pieces():
        yield SEALED

    path = f"{PATH}/hello/{hid(make_hello())}"
    token = bearer(WRITE_TOKEN)
    without = await call("PUT", path, bytes(513))
    no_length = await call("PUT", path, pieces(), token)
    longer = await call("PUT", path, bytes(513), token)
    shorter = await call("PUT", path, bytes(511), token)
    absent = await call.seal()
    await call.register()
    other = await call.seal(token=READ_TOKEN)
    await call.unpair()
    gone = await call.seal(token=READ_TOKEN)

    assert (without.status, without.code) == (401, "authorization")
    assert (no_length.status, no_length.code) == (411, "length-required")
    assert (longer.status, longer.code) == (413, "too-large")
    assert (shorter.status, shorter.code) == (400, "bad-request")
    assert (absent.status, absent.code) == (404, "channel-absent")
    assert (other.status, other.code) == (403, "token")
    assert (gone.status, gone.code) == (410, "channel-gone")


@pytest.mark.rule("R111", "R112")
async def test_a_sealed_for_a_hello_that_was_answered_or_is_not_live_is_refused(
    relay, channel, clock
):
    never = await channel.seal()
    waiting = asyncio.ensure_future(channel.hello())
    await live(relay, 1)
    first = await channel.seal(sealed=SEALED)
    second = await channel.seal(sealed=SEALED)
    await waiting
    clock.advance(60)
    later = await channel.seal(sealed=SEALED)

    assert [never.status, first.status, second.status, later.status] == [404, 204, 409, 404]
    assert [never.code, second.code, later.code] == ["hello-gone", "answered", "hello-gone"]
    assert relay.waiting.lines == 0


@pytest.mark.rule("R114")
async def test_of_many_sealed_at_once_the_display_gets_exactly_one(relay, channel):
    waiting = asyncio.ensure_future(channel.hello())
    await live(relay, 1)
    sealed = [bytes([n]) * 512 for n in range(6)]

    puts = await asyncio.gather(*(channel.seal(sealed=one) for one in sealed))
    statuses = [put.status for put in puts]

    assert sorted(statuses) == [204] + [409] * 5
    assert (await waiting).body == sealed[statuses.index(204)]


def live_names(relay, cid):
    line = relay.waiting._lines.get(bytes.fromhex(cid))
    return () if line is None else {name.hex() for name in line.live}


async def end(waiting):
    """Hang up."""
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
