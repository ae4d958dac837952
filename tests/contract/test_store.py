"""What every store must do (relay_server/store/__init__.py), whichever it is."""

import asyncio
import dataclasses
import hashlib

import pytest
from memory_store import MemoryStore

from relay_server.config import DAY
from relay_server.errors import (
    ChannelGoneError,
    FullError,
    OverloadedError,
    SupersededError,
)
from relay_server.store import Answered, Kept, Permit, State
from relay_server.stores import open_store, store_limits

ID = bytes(range(16))
CID = bytes(range(16, 32))
TOKEN_HASH = b"h" * 32
ENVELOPE = b"e" * 16_384
HELLO = b"1" * 80
NOW = 1_800_000_000
TODAY = NOW // DAY


def hid(hello):
    return hashlib.sha256(hello).digest()[:16]


def keep(store, envelope=ENVELOPE, *, ticket_id=ID, expiry=NOW + 100, now=NOW):
    return store.keep(ticket_id, envelope, TOKEN_HASH, expiry=expiry, now=now)


async def outcomes(calls):
    return [outcome[0] for outcome in await asyncio.gather(*calls)]


async def start(store, waits):
    """Begin to wait, and let it come as far as it can without anybody's help."""
    task = asyncio.ensure_future(waits)
    await settle(store)
    return task


async def settle(store):
    """Let everything happen that needs nobody's help."""
    for _ in range(5):
        await asyncio.sleep(0)
        while getattr(store, "busy", False):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)


async def test_an_envelope_is_kept_and_found_byte_for_byte(store):
    kept, record = await keep(store)

    assert kept is Kept.STORED
    assert record == (State.STORED, TOKEN_HASH, NOW + 100, False)
    assert await store.fetch(ID, now=NOW) == ENVELOPE
    assert await store.find(ID, now=NOW) == record
    assert await store.fetch(b"?" * 16, now=NOW) is None
    assert await store.find(b"?" * 16, now=NOW) is None


@pytest.mark.rule("R42")
async def test_of_many_at_once_one_is_kept(store):
    different = await outcomes(keep(store, bytes([n]) * 16_384) for n in range(10))
    equal = await outcomes(keep(store, ticket_id=b"2" * 16) for _ in range(10))

    assert sorted(different, key=str) == [Kept.OTHER] * 9 + [Kept.STORED]
    assert sorted(equal, key=str) == [Kept.SAME] * 9 + [Kept.STORED]


async def test_a_large_batch_is_kept_whole(store):
    ids = [n.to_bytes(16) for n in range(300)]

    kept = await outcomes(
        keep(store, ticket_id + ENVELOPE, ticket_id=ticket_id) for ticket_id in ids
    )

    assert kept == [Kept.STORED] * 300
    for ticket_id in ids:
        assert await store.fetch(ticket_id, now=NOW) == ticket_id + ENVELOPE


@pytest.mark.parametrize("state", [State.OPENED, State.RECEIVED])
async def test_a_state_goes_up_once_and_shortens_life(store, state):
    await keep(store)

    first = await store.change(ID, state, expiry=NOW + 50, now=NOW)
    again = await store.change(ID, state, expiry=NOW + 10, now=NOW)
    lower = await store.change(ID, State.STORED, expiry=NOW + 10, now=NOW)

    record = (state, TOKEN_HASH, NOW + 50, False)
    assert (first, again, lower) == ((True, record), (False, record), (False, record))


async def test_a_state_never_prolongs_life(store):
    await keep(store)

    _, record = await store.change(ID, State.OPENED, expiry=NOW + 1_000, now=NOW)

    assert record.expiry == NOW + 100


async def test_of_many_changes_at_once_each_state_is_reached_once(store):
    await keep(store)

    changed = await outcomes(
        store.change(ID, State.OPENED, expiry=NOW + 50, now=NOW) for _ in range(5)
    )

    assert sorted(changed) == [False] * 4 + [True]


async def test_a_revoked_ticket_is_a_tombstone_at_once(store):
    await keep(store)
    await store.fetch(ID, now=NOW)

    changed, record = await store.change(ID, State.REVOKED, expiry=NOW + 100, now=NOW)

    assert (changed, record.gone, record.word) == (True, True, "revoked")
    assert await store.fetch(ID, now=NOW) == record
    assert (await keep(store))[0] is Kept.GONE
    assert await store.change(ID, State.REVOKED, expiry=NOW, now=NOW) == (False, record)


async def test_a_fetch_that_began_before_a_revocation_does_not_bring_it_back(sqlite_store):
    store = sqlite_store
    await keep(store)
    store._recent.forget(ID)
    real = store._read
    begun = asyncio.Event()
    go = asyncio.Event()

    async def read(statement, key):
        row = await real(statement, key)
        begun.set()
        await go.wait()
        return row

    store._read = read
    fetching = asyncio.ensure_future(store.fetch(ID, now=NOW))
    await begun.wait()
    await store.change(ID, State.REVOKED, expiry=NOW, now=NOW)
    go.set()
    await fetching
    store._read = real

    assert (await store.fetch(ID, now=NOW)).word == "revoked"


async def test_nothing_can_be_done_to_a_ticket_that_is_over(store):
    await keep(store)

    changed, record = await store.change(ID, State.OPENED, expiry=NOW + 900, now=NOW + 100)

    assert (changed, record.gone, record.word) == (False, True, "expired")
    assert (await store.fetch(ID, now=NOW + 100)).word == "expired"


async def test_a_change_of_a_ticket_never_seen_changes_nothing(store):
    assert await store.change(ID, State.OPENED, expiry=NOW, now=NOW) == (False, None)


async def test_a_tombstone_ends_with_its_time(store):
    await keep(store)
    end = NOW + 100 + 8 * DAY

    before = await store.find(ID, now=end - 1)
    after = await store.find(ID, now=end)
    changed = await store.change(ID, State.OPENED, expiry=end, now=end)
    kept, _ = await keep(store, expiry=end + 100, now=end)

    assert (before.word, after, changed, kept) == ("expired", None, (False, None), Kept.STORED)


async def test_sweeping_keeps_what_lives_and_forgets_what_is_over(store):
    for number in range(200):
        await keep(store, ticket_id=number.to_bytes(16), expiry=NOW + 60 + number)

    await store.sweep(now=NOW + 160)
    # Even for a clock that is set back: what was deleted does not come back.
    gone = [(await store.find(number.to_bytes(16), now=NOW)).gone for number in range(200)]

    assert gone == [number <= 100 for number in range(200)]
    assert await store.fetch((150).to_bytes(16), now=NOW) == ENVELOPE


async def test_an_envelope_larger_than_the_room_is_refused(tmp_path, clock, config):
    config = dataclasses.replace(config, stored_max_bytes=100_000)
    stores = [
        open_store(config, tmp_path / "small.sqlite", clock),
        MemoryStore(clock=clock, limits=store_limits(config)),
    ]
    for store in stores:
        await keep(store)
        with pytest.raises(FullError):
            await keep(store, bytes(90_000), ticket_id=b"2" * 16)
        assert await store.fetch(ID, now=NOW) == ENVELOPE
        await store.close()


async def test_a_disk_with_less_than_the_reserve_takes_no_upload(tmp_path, clock, config):
    config = dataclasses.replace(config, disk_reserve_bytes=2**62)
    store = open_store(config, tmp_path / "relay.sqlite", clock)

    with pytest.raises(FullError):
        await keep(store)
    with pytest.raises(FullError):
        await store.register(CID, b"r" * 32, b"w" * 32, today=TODAY)

    await store.close()


async def test_one_write_that_fails_does_not_take_its_batch_with_it(sqlite_store):
    store = sqlite_store
    await keep(store)

    def fail(connection):
        connection.execute("UPDATE tickets SET state = 1")
        connection.execute("NO SUCH STATEMENT")

    failing = asyncio.ensure_future(store._write(fail))
    others = [keep(store, ticket_id=bytes([n]) * 16) for n in range(5)]
    results = await asyncio.gather(failing, *others, return_exceptions=True)

    assert isinstance(results[0], Exception)
    assert [result[0] for result in results[1:]] == [Kept.STORED] * 5
    assert (await store.find(ID, now=NOW)).state is State.STORED


async def test_more_than_may_wait_for_the_disk_is_refused(tmp_path, clock, config):
    config = dataclasses.replace(config, queue_max_bytes=20_000)
    store = open_store(config, tmp_path / "relay.sqlite", clock)

    results = await asyncio.gather(
        keep(store), keep(store, ticket_id=b"2" * 16), return_exceptions=True
    )
    later = await keep(store, ticket_id=b"2" * 16)
    await store.close()

    assert results[0][0] is Kept.STORED
    assert isinstance(results[1], OverloadedError)
    assert later[0] is Kept.STORED


async def test_the_memory_of_recent_envelopes_is_bounded(tmp_path, clock, config):
    config = dataclasses.replace(config, cache_max_bytes=40_000)
    store = open_store(config, tmp_path / "relay.sqlite", clock)
    for number in range(5):
        await keep(store, ticket_id=number.to_bytes(16))
    held = store._recent._bytes
    fetched = [await store.fetch(number.to_bytes(16), now=NOW) for number in range(5)]
    await store.close()

    assert held <= 40_000
    assert store._recent._bytes <= 40_000
    assert fetched == [ENVELOPE] * 5


async def test_everything_is_there_after_a_restart(tmp_path, clock, config):
    path = tmp_path / "relay.sqlite"
    store = open_store(config, path, clock)
    await keep(store)
    await keep(store, ticket_id=b"2" * 16)
    await store.change(b"2" * 16, State.REVOKED, expiry=NOW, now=NOW)
    await store.register(CID, b"r" * 32, b"w" * 32, today=TODAY)
    await store.add_permit("name", b"p" * 32, today=TODAY)
    await store.close()

    store = open_store(config, path, clock)
    found = (
        await store.fetch(ID, now=NOW),
        (await store.find(b"2" * 16, now=NOW)).word,
        await store.find_channel(CID),
        await store.find_permit(b"p" * 32),
    )
    await store.close()

    assert found == (
        ENVELOPE,
        "revoked",
        (b"r" * 32, b"w" * 32, TODAY, False),
        Permit("name", TODAY),
    )


# Watching


async def test_a_watcher_hears_of_each_change(store, clock):
    await keep(store)
    async with store.watch(ID) as watch:
        waiting = await start(store, watch.wait(10))
        await store.change(ID, State.OPENED, expiry=NOW + 100, now=NOW)
        first = await waiting
        await store.change(ID, State.RECEIVED, expiry=NOW + 100, now=NOW)
        second = await watch.wait(10)
        waiting = await start(store, watch.wait(10))
        clock.advance(10)
        third = await waiting

    assert (first, second, third, watch.stopped) == (True, True, False, False)
    assert store._waiting.requests == 0


async def test_a_watcher_does_not_hear_of_other_tickets(store, clock):
    await keep(store)
    await keep(store, ticket_id=b"2" * 16)
    async with store.watch(ID) as watch:
        waiting = await start(store, watch.wait(10))
        await store.change(b"2" * 16, State.OPENED, expiry=NOW, now=NOW)
        clock.advance(10)

        assert await waiting is False


async def test_more_waiting_than_allowed_is_refused(tmp_path, clock, config):
    config = dataclasses.replace(config, waiting_max_requests=1)
    store = open_store(config, tmp_path / "relay.sqlite", clock)
    async with store.watch(ID):
        with pytest.raises(OverloadedError):
            async with store.watch(ID):
                pass
        with pytest.raises(OverloadedError):
            await store.offer(CID, HELLO, wait_seconds=25)
        with pytest.raises(OverloadedError):
            await store.poll(CID, (), wait_seconds=25)
    lines = store._waiting.lines
    polled = await store.poll(CID, (), wait_seconds=25)
    await store.close()

    assert (lines, polled.hellos, store._waiting.requests) == (0, (), 0)


# Channels


async def test_a_channel_is_registered_found_and_unpaired(store):
    first = await store.register(CID, b"r" * 32, b"w" * 32, today=TODAY)
    same = await store.register(CID, b"r" * 32, b"w" * 32, today=TODAY + 1)
    other = await store.register(CID, b"r" * 32, b"x" * 32, today=TODAY)
    found = await store.find_channel(CID)
    unpaired = [await store.unpair(CID), await store.unpair(CID), await store.unpair(b"?" * 16)]
    gone = await store.register(CID, b"r" * 32, b"w" * 32, today=TODAY)

    assert (first, same, other, gone) == (Kept.STORED, Kept.SAME, Kept.OTHER, Kept.GONE)
    assert found == (b"r" * 32, b"w" * 32, TODAY, False)
    assert unpaired == [True, False, False]
    assert (await store.find_channel(CID)).gone
    assert await store.find_channel(b"?" * 16) is None


async def test_a_poll_moves_the_end_of_a_channel_but_not_that_of_a_tombstone(store):
    await store.register(CID, b"r" * 32, b"w" * 32, today=TODAY)
    await store.touch(CID, today=TODAY + 5)
    await store.touch(b"?" * 16, today=TODAY)
    await settle(store)
    await store.sweep(now=NOW + 91 * DAY)
    kept = await store.find_channel(CID)
    await store.unpair(CID)
    await store.touch(CID, today=TODAY)
    await store.sweep(now=NOW + 1_000 * DAY)

    assert kept.polled_day == TODAY + 5
    assert (await store.find_channel(CID)).gone


async def test_a_hello_is_answered_by_whoever_holds_its_name(store):
    waiting = await start(store, store.offer(CID, HELLO, wait_seconds=25))
    found = await store.poll(CID, (), wait_seconds=25)

    answered = [await store.answer(CID, hid(HELLO), b"sealed") for _ in range(2)]

    assert found.hellos == (HELLO,)
    assert answered == [Answered.DELIVERED, Answered.BEFORE]
    assert await waiting == b"sealed"
    assert await store.answer(CID, hid(b"?" * 80), b"sealed") is Answered.GONE
    assert await store.answer(b"?" * 16, hid(HELLO), b"sealed") is Answered.GONE


async def test_a_set_has_the_same_name_whenever_it_is_the_same(store):
    empty = await store.poll(CID, (), wait_seconds=0)
    waiting = [
        await start(store, store.offer(CID, bytes([n]) * 80, wait_seconds=25)) for n in (2, 1)
    ]
    both = await store.poll(CID, (), wait_seconds=0)
    again = await store.poll(CID, (), wait_seconds=0)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    after = await store.poll(CID, (both.name,), wait_seconds=25)

    assert both == again
    assert both.hellos == (b"\x02" * 80, b"\x01" * 80)
    assert after == empty


async def test_a_change_while_a_poll_wakes_up_is_not_lost(store):
    empty = await store.poll(CID, (), wait_seconds=0)
    poll = await start(store, store.poll(CID, (empty.name,), wait_seconds=25))

    # The hello may come and go before the poll has had its turn; then it waits on.
    waiting = asyncio.ensure_future(store.offer(CID, HELLO, wait_seconds=25))
    await asyncio.sleep(0)
    waiting.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    still = not poll.done()
    second = await start(store, store.offer(CID, HELLO, wait_seconds=25))

    assert still or poll.result().hellos == (HELLO,)
    assert (await poll).hellos == (HELLO,)
    second.cancel()
    await asyncio.gather(waiting, second, return_exceptions=True)


async def test_a_poll_is_superseded_even_in_the_turn_in_which_it_wakes_up(store):
    empty = await store.poll(CID, (), wait_seconds=0)
    older = await start(store, store.poll(CID, (empty.name,), wait_seconds=25))
    waiting = asyncio.ensure_future(store.offer(CID, HELLO, wait_seconds=25))
    newer = asyncio.ensure_future(store.poll(CID, (empty.name,), wait_seconds=25))

    results = await asyncio.gather(older, newer, return_exceptions=True)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert isinstance(results[0], SupersededError)
    assert results[1].hellos == (HELLO,)
    assert store._waiting.requests == 0


async def test_a_poll_whose_time_is_over_in_the_turn_of_a_change_ends(sqlite_store, clock):
    store = sqlite_store
    empty = await store.poll(CID, (), wait_seconds=0)
    poll = await start(store, store.poll(CID, (empty.name,), wait_seconds=25))
    line = store._waiting._lines[CID]

    store._waiting._wake(line)
    clock.advance(25)

    assert await poll == empty


async def test_an_unpaired_channel_ends_all_waiting(store, clock):
    await store.register(CID, b"r" * 32, b"w" * 32, today=TODAY)
    offer = await start(store, store.offer(CID, HELLO, wait_seconds=25))
    found = await store.poll(CID, (), wait_seconds=0)
    poll = await start(store, store.poll(CID, (found.name,), wait_seconds=25))

    await store.unpair(CID)
    results = await asyncio.gather(offer, poll, return_exceptions=True)
    with pytest.raises(ChannelGoneError):
        await store.offer(CID, HELLO, wait_seconds=25)
    with pytest.raises(ChannelGoneError):
        await store.poll(CID, (), wait_seconds=25)
    clock.advance(60)

    assert {type(result) for result in results} == {ChannelGoneError}
    assert (store._waiting.requests, store._waiting.lines) == (0, 0)


@pytest.mark.rule("R8")
async def test_a_store_that_stops_lets_nobody_wait(store):
    await keep(store)
    empty = await store.poll(CID, (), wait_seconds=0)
    offer = await start(store, store.offer(b"2" * 16, HELLO, wait_seconds=25))
    poll = await start(store, store.poll(CID, (empty.name,), wait_seconds=25))
    async with store.watch(ID) as watch:
        waiting = await start(store, watch.wait(25))

        store.stop_waiting()
        now = await offer, await poll, await waiting, watch.stopped
        later = (
            await store.offer(CID, HELLO, wait_seconds=25),
            await store.poll(CID, (empty.name,), wait_seconds=25),
            await watch.wait(25),
        )

    assert now == (None, empty, False, True)
    assert later == (None, empty, False)


# Permits


async def test_permits_are_added_listed_and_revoked(store):
    added = [
        await store.add_permit("b", b"1" * 32, today=TODAY),
        await store.add_permit(
            "a", b"2" * 32, today=TODAY + 1, uploads_per_hour=60, bytes_per_hour=2**20
        ),
        await store.add_permit("a", b"3" * 32, today=TODAY),
    ]
    listed = await store.list_permits()
    known = [await store.find_permit(bytes([byte]) * 32) for byte in b"123"]
    revoked = [await store.revoke_permit("a"), await store.revoke_permit("a")]

    assert added == [True, True, False]
    assert listed == [Permit("a", TODAY + 1, 60, 2**20), Permit("b", TODAY)]
    assert known == [Permit("b", TODAY), Permit("a", TODAY + 1, 60, 2**20), None]
    assert revoked == [True, False]
    assert await store.find_permit(b"2" * 32) is None


# Room and health


async def test_no_more_tickets_or_channels_than_allowed_are_kept(tmp_path, clock, config):
    config = dataclasses.replace(config, tickets_max=2, channels_max=1)
    stores = [
        open_store(config, tmp_path / "small.sqlite", clock),
        MemoryStore(clock=clock, limits=store_limits(config)),
    ]
    for store in stores:
        for number in range(2):
            await keep(store, ticket_id=number.to_bytes(16))
        with pytest.raises(FullError):
            await keep(store)
        await store.register(CID, b"r" * 32, b"w" * 32, today=TODAY)
        with pytest.raises(FullError):
            await store.register(b"?" * 16, b"r" * 32, b"w" * 32, today=TODAY)
        same, _ = await keep(store, ticket_id=(1).to_bytes(16))
        await store.sweep(now=NOW + 100 + 8 * DAY)
        kept, _ = await keep(store, expiry=NOW + 9 * DAY, now=NOW + 100 + 8 * DAY)

        assert (same, kept) == (Kept.SAME, Kept.STORED)
        await store.close()


async def test_a_store_that_works_shows_it_and_what_it_holds(store):
    before = store.gauges()
    await keep(store)

    await store.probe()
    after = store.gauges()

    assert after.stored_bytes > before.stored_bytes or after.room_bytes < before.room_bytes
    assert (after.waiting_requests, after.queued_bytes) == (0, 0)


async def test_a_probe_really_writes(sqlite_store, tmp_path):
    log = tmp_path / "relay.sqlite-wal"
    before = log.stat().st_size

    for _ in range(3):
        await sqlite_store.probe()

    assert log.stat().st_size >= before + 3 * 4096


async def test_a_store_that_cannot_be_written_shows_it(sqlite_store):
    sqlite_store._writer.execute("PRAGMA query_only = ON")
    with pytest.raises(Exception, match="readonly"):
        await sqlite_store.probe()
    sqlite_store._writer.execute("PRAGMA query_only = OFF")

    await sqlite_store.probe()


async def test_more_than_a_few_watches_of_one_ticket_are_refused(tmp_path, clock, config):
    config = dataclasses.replace(config, watches_per_ticket_max=1)
    store = open_store(config, tmp_path / "relay.sqlite", clock)
    async with store.watch(ID), store.watch(b"2" * 16):
        with pytest.raises(OverloadedError):
            async with store.watch(ID):
                pass
    async with store.watch(ID):
        pass
    await store.close()

    assert store._waiting.requests == 0


async def test_what_another_process_forgets_is_forgotten_here_too(tmp_path, clock, config):
    store = open_store(config, tmp_path / "relay.sqlite", clock)
    beside = open_store(config, tmp_path / "relay.sqlite", clock, exclusive=False)
    await keep(store)
    assert await store.fetch(ID, now=NOW) == ENVELOPE
    async with store.watch(ID) as watch:
        changed = await start(store, watch.wait(25))

        await beside.change(ID, State.REVOKED, expiry=NOW + 100, now=NOW)

        assert await changed
    found = await store.fetch(ID, now=NOW)
    await beside.close()
    await store.close()

    assert found.word == "revoked"
