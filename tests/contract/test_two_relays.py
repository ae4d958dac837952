"""Any number of relays on one Redis are one relay to tills, displays and phones."""

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis_servers
import relays
import stage
from relays import CID, READ_TOKEN, TICKET_ID, TOKEN, make_envelope, make_hello

import relay_server.store.redis
from relay_server import permits
from relay_server.clock import SystemClock
from relay_server.config import Config
from relay_server.errors import StartError
from relay_server.store.redis import url as redis_url

KEYS = Path(relay_server.store.redis.__file__).with_name("keys.md")
CONFIG = Config(open=True)


@pytest.fixture(params=["redis_single", "redis_cluster"])
def servers(request):
    servers = request.getfixturevalue(request.param)
    servers.flush()
    return servers


@pytest.fixture
async def two(servers):
    """Two relays, a and b, which know nothing of each other but their Redis."""
    async with AsyncExitStack() as stack:
        calls = []
        for _ in range(2):
            store = await redis_servers.open_store(servers, CONFIG, SystemClock())
            stack.push_async_callback(store.close)
            relay = await stack.enter_async_context(relays.serve(CONFIG, store, SystemClock()))
            calls.append(relay)
        yield SimpleNamespace(
            a=calls[0].call, b=calls[1].call, stores=[relay.store for relay in calls]
        )


async def test_what_is_put_at_one_is_fetched_at_the_other_and_gone_at_both(two):
    envelope = make_envelope(size=64 * 1024, fill=b"env")
    put = await two.a.put(envelope)
    got = await two.b.get()
    again = await two.b.put(envelope)
    other = await two.b.put(make_envelope(fill=b"other"))
    await two.b.post("revoked")
    gone = await two.a.get()

    assert (put.status, got.status, again.status, other.status) == (201, 200, 200, 409)
    assert got.body == envelope
    assert (gone.status, gone.json["reason"]) == (410, "revoked")


@pytest.mark.rule("R42")
async def test_of_uploads_at_both_under_one_id_one_is_stored(two):
    answers = await asyncio.gather(
        *(
            (two.a, two.b)[number % 2].put(make_envelope(fill=bytes([number])))
            for number in range(10)
        )
    )

    assert sorted(answer.status for answer in answers) == [201] + [409] * 9


async def test_a_till_that_waits_at_one_hears_what_is_posted_at_the_other(two):
    await two.a.put()
    waiting = two.a.start(
        "GET",
        f"/v1/t/{TICKET_ID}/state",
        headers=relays.bearer(TOKEN),
        params={"since": "stored", "wait": "25"},
    )
    await until_heard(two, 1)

    await two.b.post("opened")

    assert (await asyncio.wait_for(waiting, 5)).json["state"] == "opened"


async def test_a_display_that_waits_at_one_gets_what_a_till_puts_at_the_other(two):
    await two.a.register()
    nothing = await two.b.poll(wait=0)
    poll = asyncio.ensure_future(two.b.poll(etag=nothing.headers["ETag"], wait=25))
    await until_heard(two, 1)

    hello = asyncio.ensure_future(two.a.hello())
    found = await asyncio.wait_for(poll, 5)
    sealed = [(await two.b.seal()).status for _ in range(2)]
    answer = await asyncio.wait_for(hello, 5)

    assert found.body == make_hello()
    assert sealed == [204, 409]
    assert (answer.status, answer.body) == (200, b"s" * 512)


@pytest.mark.rule("R93", "R94")
async def test_the_fifth_hello_and_a_repeated_one_end_an_older_at_the_other(two):
    await two.a.register()
    hellos = []
    for number in range(4):
        hellos.append(asyncio.ensure_future(two.a.hello(make_hello(number))))
        await until_live(two, number + 1)
    repeated = asyncio.ensure_future(two.b.hello(make_hello(3)))
    third = await asyncio.wait_for(hellos[3], 5)
    fifth = asyncio.ensure_future(two.b.hello(make_hello(4)))
    first = await asyncio.wait_for(hellos[0], 5)
    live = await two.a.poll(wait=0)
    await two.b.unpair()
    ends = await asyncio.gather(*hellos[1:3], repeated, fifth)

    assert (first.status, third.status) == (204, 204)
    assert live.body == b"".join(make_hello(number) for number in (1, 2, 3, 4))
    assert [end.status for end in ends] == [410] * 4


@pytest.mark.rule("R92")
async def test_a_display_that_hangs_up_at_one_is_not_live_at_the_other(two):
    await two.a.register()
    hello = asyncio.ensure_future(two.a.hello())
    await until_live(two, 1)

    hello.cancel()
    await asyncio.gather(hello, return_exceptions=True)
    await until_live(two, 0)

    assert (await two.b.seal()).code == "hello-gone"


@pytest.mark.rule("R102")
async def test_a_newer_poll_at_one_ends_the_older_at_the_other(two):
    await two.a.register()
    nothing = await two.a.poll(wait=0)
    older = asyncio.ensure_future(two.a.poll(etag=nothing.headers["ETag"], wait=25))
    await until_heard(two, 1)

    await two.b.poll(wait=0)

    assert (await asyncio.wait_for(older, 5)).code == "superseded"


@pytest.mark.rule("R11")
async def test_a_permit_that_is_revoked_at_one_is_refused_at_the_other(two):
    a, b = two.stores
    digest = permits.digest(permits.generate())
    await a.add_permit("till", digest, today=1)
    before = await b.find_permit(digest)
    await a.revoke_permit("till")

    assert (before.name, await b.find_permit(digest)) == ("till", None)


async def test_a_wake_up_is_not_lost_with_its_connection(two, servers):
    await two.a.put()
    await two.a.register()
    nothing = await two.a.poll(wait=0)
    state = asyncio.ensure_future(two.a.state(since="stored", wait=25))
    poll = asyncio.ensure_future(two.a.poll(etag=nothing.headers["ETag"], wait=25))
    await until_heard(two, 2)
    # Deaf, and nobody says so, as behind a cable that was cut.
    for ear in two.stores[0]._ears._ears.values():
        ear._tasks[0].cancel()
    await two.b.post("opened")
    hello = asyncio.ensure_future(two.b.hello())
    await patiently(lambda: any(key.startswith(b"live:") for key, *_ in look(servers)))

    assert (await asyncio.wait_for(state, 10)).json["state"] == "opened"
    assert (await asyncio.wait_for(poll, 10)).body == make_hello()
    await two.b.unpair()
    await hello


async def test_a_hello_waits_on_when_its_relay_was_deaf_for_a_moment(two, servers):
    await two.a.register()
    hello = asyncio.ensure_future(two.a.hello())
    await until_live(two, 1)
    await until_heard(two, 1)

    hear_nothing(servers)
    await until_heard(two, 1)
    sealed = await two.b.seal()

    assert sealed.status == 204
    assert (await asyncio.wait_for(hello, 5)).status == 200


# What is kept


async def test_nothing_is_kept_but_what_the_list_says(two, servers):
    """A whole sale, looked at while somebody waits and when all is over."""
    rows = read_list()
    await two.stores[0].add_permit("Boulangerie Martin", b"p" * 32, today=1, uploads_per_hour=9)
    await two.a.register()
    await two.a.put()
    await two.stores[0].probe()
    nothing = await two.b.poll(wait=0)
    poll = asyncio.ensure_future(two.b.poll(etag=nothing.headers["ETag"], wait=25))
    hello = asyncio.ensure_future(two.a.hello())
    await poll
    waiting = look(servers)
    await two.b.seal()
    await hello
    await two.b.post("opened")
    await two.b.post("received")
    await two.b.put(ticket_id="00" * 16)
    await two.a.post("revoked", ticket_id="00" * 16)
    after = look(servers)
    await two.a.unpair()
    over = look(servers)

    met = {check(rows, *entry) for entry in [*waiting, *after, *over]}
    assert met == set(rows)
    assert not any(key.startswith(b"live:") for key, *_ in after)
    assert all(text in {b"", None} for key, _, _, text in after if key.startswith(b"a:"))
    assert not any(key.startswith((b"live:", b"poll:")) for key, *_ in over)
    kept = b"".join(b"%b %b" % (field or b"", text or b"") for *_, field, text in after + over)
    assert TOKEN not in kept
    assert READ_TOKEN not in kept


async def test_what_only_waits_reaches_neither_disk_nor_replica(two, servers):
    await two.a.register()
    hello, sealed = b"HELLOCANARY" * 7 + b"end", b"SEALEDCANARY" * 42 + b"the end."
    waiting = asyncio.ensure_future(two.a.hello(hello))
    await until_live(two, 1)
    await two.b.seal(hello, sealed=sealed)
    answer = await waiting
    await two.a.put(make_envelope(fill=b"ENVELOPECANARY"))

    def disk():
        return b"".join(
            path.read_bytes()
            for server in getattr(servers, "servers", [servers])
            for path in server.folder.rglob("appendonly.aof.*")
        )

    assert answer.body == sealed
    # The search finds what is there; a server that is syncing writes it a moment later.
    await asyncio.to_thread(
        stage.wait_for, lambda: b"ENVELOPECANARY" in disk(), "the envelope's way to the disk"
    )
    kept = disk()
    assert b"CANARYHELLO" not in kept
    assert b"CANARYSEALED" not in kept
    for server in getattr(servers, "servers", [servers]):
        if server.info()["role"] == "slave":
            assert not [key for key in server.call("KEYS", "*") if key.startswith(b"live:")]


async def test_everything_ends_even_if_no_relay_comes_back(two, servers):
    await two.a.put(ttl=60)
    await two.a.register()
    lives = {
        key: server.call("TTL", key)
        for server in redis_servers.masters(servers)
        for key in server.call("KEYS", "*")
    }

    days = {key: life / 86_400 for key, life in lives.items()}
    for key, day in days.items():
        if key.startswith(b"e:"):
            assert 0 < lives[key] <= 60
        elif key.startswith((b"t:", b"due:", b"ended:")):
            assert 0 < day <= 17
        elif key.startswith((b"c:", b"idle:")):
            assert 90 < day <= 91


# The start


@pytest.mark.rule("R64", "R65")
async def test_a_repeated_state_is_not_confirmed_before_the_first_is_durable(redis_single):
    """A Redis without a replica never has what wait=1 asks for, however often it is asked."""
    redis_single.flush()
    url = redis_single.url + "?wait=1&wait_ms=20"
    words = ("opened", "opened", "received", "received", "opened", "revoked")
    async with AsyncExitStack() as stack:
        calls = []
        for servers in (redis_single, SimpleNamespace(url=url)):
            store = await redis_servers.open_store(servers, CONFIG, SystemClock())
            stack.push_async_callback(store.close)
            relay = await stack.enter_async_context(relays.serve(CONFIG, store, SystemClock()))
            calls.append(relay.call)
        content, strict = calls
        await content.put()
        answers = [await strict.post(word) for word in words]
        after = [await content.post("revoked"), await content.get()]

    assert [answer.status for answer in answers] == [503] * 6
    assert [(answer.status, answer.json["reason"]) for answer in after] == [(410, "revoked")] * 2


def test_who_limits_a_permit_on_a_redis_is_told_that_each_relay_counts_for_itself(redis_single):
    redis_single.flush()
    url = redis_single.url
    limited = relays.run_command("permit", "add", "a", "--store", url, "--uploads-per-hour", "5")
    plain = relays.run_command("permit", "add", "b", "--store", url)
    listed = relays.run_command("permit", "list", "--store", url)

    assert "each relay on this Redis counts its limits for itself" in limited.stderr
    assert plain.stderr == ""
    assert [len(done.stdout.strip()) for done in (limited, plain)] == [43, 43]
    assert "5 uploads/h  a" in listed.stdout


async def test_a_redis_that_would_throw_tickets_away_is_refused(redis_single):
    redis_single.flush()
    redis_single.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(StartError, match="throws tickets away when it is full") as caught:
            await redis_servers.open_store(redis_single, CONFIG, SystemClock())
    finally:
        redis_single.call("CONFIG", "SET", "maxmemory-policy", "noeviction")

    assert "noeviction" in caught.value.hint


async def test_a_redis_that_keeps_less_than_asked_for_is_refused(redis_cluster):
    asked = SimpleNamespace(url=redis_cluster.url.replace("everysec", "always"))

    with pytest.raises(StartError, match="may lose tickets that were answered") as caught:
        await redis_servers.open_store(asked, CONFIG, SystemClock())

    assert "?fsync=everysec" in caught.value.hint


async def test_a_redis_with_something_else_in_it_is_refused(redis_single):
    redis_single.flush()
    redis_single.call("SET", "somebody", "else's")
    with pytest.raises(StartError, match="holds something else"):
        await redis_servers.open_store(redis_single, CONFIG, SystemClock())
    redis_single.flush()
    redis_single.call("SET", "{relay}:about", "9")
    with pytest.raises(StartError, match="written by a newer relay"):
        await redis_servers.open_store(redis_single, CONFIG, SystemClock())
    redis_single.flush()


async def test_a_redis_that_is_not_there_is_told_without_its_password(redis_single):
    nowhere = SimpleNamespace(url="redis://user:canary-password@127.0.0.1:1")
    closed = SimpleNamespace(url=redis_single.url.replace("//", "//user:canary-password@"))

    for servers, reason in ((nowhere, "connection refused"), (closed, "wrong user or password")):
        with pytest.raises(StartError, match=f"cannot reach the Redis .*{reason}") as caught:
            await redis_servers.open_store(servers, CONFIG, SystemClock())
        assert "canary" not in str(caught.value) + caught.value.hint


async def test_the_rights_that_the_manual_gives_are_enough(redis_single, tmp_path):
    manual = Path(__file__).parents[2].joinpath("deploy/redis.md").read_text(encoding="utf-8")
    words = re.search("(?m)^(ACL SETUSER relay .*)$", manual)[1].replace("PASSWORD", "pass")
    secret = tmp_path / "password"
    secret.write_text("pass")
    redis_single.flush()
    redis_single.call(*words.split())
    url = redis_single.url.replace("//", "//relay@") + f"?password_file={secret}"
    try:
        store = await redis_servers.open_store(SimpleNamespace(url=url), CONFIG, SystemClock())
        async with relays.serve(CONFIG, store, SystemClock()) as relay:
            await relay.call.register()
            hello = asyncio.ensure_future(relay.call.hello())
            while (await relay.call.poll(wait=0)).body == b"":
                pass
            statuses = [
                (await relay.call.put()).status,
                (await relay.call.post("revoked")).status,
                (await relay.call.seal()).status,
                (await hello).status,
                (await relay.call.unpair()).status,
            ]
            await store.probe()
        await store.close()
    finally:
        redis_single.call("ACL", "DELUSER", "relay")

    assert statuses == [201, 204, 204, 200, 204]


@pytest.mark.rule("R40")
async def test_a_full_redis_takes_nothing_and_gives_and_deletes_everything(redis_single):
    redis_single.flush()
    store = await redis_servers.open_store(redis_single, CONFIG, SystemClock())
    async with relays.serve(CONFIG, store, SystemClock()) as relay:
        await relay.call.put()
        used = int(redis_single.info()["used_memory"])
        redis_single.call("CONFIG", "SET", "maxmemory", used // 2)
        try:
            full = await relay.call.put(ticket_id="11" * 16)
            channel = await relay.call.register()
            got = await relay.call.get()
            opened = await relay.call.post("opened")
            revoked = await relay.call.post("revoked")
            gone = await relay.call.get()
        finally:
            redis_single.call("CONFIG", "SET", "maxmemory", "512mb")
        again = await relay.call.put(ticket_id="11" * 16)
    await store.close()

    assert (full.code, channel.code) == ("full", "full")
    assert (got.status, opened.status, revoked.status, gone.status) == (200, 204, 204, 410)
    assert again.status == 201


async def test_clocks_that_differ_are_told(redis_single, clock):
    redis_single.flush()
    with pytest.raises(StartError, match="clocks of this machine and of the Redis"):
        await redis_servers.open_store(redis_single, CONFIG, clock, check_clock=True)


@pytest.mark.parametrize(
    "text",
    [
        "redis://",
        "redis://host:port",
        "redis://host/x",
        "redis://host?wait=x",
        "redis://host?wait=11",
        "redis://host?fsync=often",
        "redis://host?unknown=1",
        "redis://host?password_file=/nowhere/at/all",
        "http://host",
    ],
)
def test_an_address_that_says_nothing_is_refused_in_a_sentence(text):
    with pytest.raises(StartError) as caught:
        redis_url.parse(text)

    assert caught.value.hint


def test_an_address_is_read_whole(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("pass word\n")
    url = redis_url.parse(
        f"rediss://relay@one,[::1]:7000/2?password_file={secret}&wait=1&wait_ms=50&fsync=everysec"
    )

    assert url.seeds == (("one", 6379), ("::1", 7000))
    assert (url.tls, url.username, url.password, url.number) == (True, "relay", "pass word", 2)
    assert (url.wait, url.wait_ms, url.fsync, url.timeout_ms) == (1, 50, "everysec", 2_000)
    assert str(url) == "rediss://one:6379,[::1]:7000"
    assert "pass" not in repr(url)


# Helpers


async def until_heard(two, count):
    """Wait until so many names are listened to at the first relay or the second."""
    await patiently(
        lambda: (
            sum(store._ears.names for store in two.stores) >= count
            and not any(store.busy for store in two.stores)
        )
    )


async def until_live(two, count):
    store = two.stores[0]
    for _ in range(500):
        found = await store.poll(bytes.fromhex(CID), (), wait_seconds=0)
        if len(found.hellos) == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never {count} hellos")


async def patiently(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be")


def hear_nothing(servers):
    """Cut every connection on which a relay listens."""
    for server in getattr(servers, "servers", [servers]):
        server.call("CLIENT", "KILL", "TYPE", "pubsub")


def read_list():
    """Return the rows of keys.md: pattern of the key, type, field, least and most bytes."""
    rows, key, kind = [], None, None
    for line in KEYS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|") or line.startswith(("| key", "|---")):
            continue
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        key, kind = cells[0] or key, cells[1] or kind
        pattern = re.escape(key)
        for name, form in (("SHELF", r"\{[0-3][0-9a-f]{2}\}"), ("HID", "[0-9a-f]{32}"),
                           ("CID", "[0-9a-f]{32}"), ("ID", "[0-9a-f]{32}")):  # fmt: skip
            pattern = pattern.replace(name, form)
        least, most = re.split("[^0-9]", cells[3] + " ")[:2]
        rows.append((pattern, kind, cells[2], int(least), int(most or least)))
    assert len(rows) == 21
    return rows


def look(servers):
    """Return everything there is: key, type, field, value."""
    entries = []
    for server in redis_servers.masters(servers):
        for key in server.call("KEYS", "*"):
            kind = server.call("TYPE", key).decode()
            if kind == "hash":
                flat = server.call("HGETALL", key)
                pairs = zip(flat[::2], flat[1::2], strict=True)
                entries += [(key, kind, field, text) for field, text in pairs]
            elif kind == "zset":
                entries += [(key, kind, it, it) for it in server.call("ZRANGE", key, 0, -1)]
            else:
                entries.append((key, kind, None, server.call("GET", key)))
    return entries


def check(rows, key, kind, field, text):
    for row in rows:
        pattern, its_kind, its_field, least, most = row
        if not re.fullmatch(pattern, key.decode()) or kind != its_kind:
            continue
        if its_field in {"ID", "CID", "HID"}:
            right = re.fullmatch("[0-9a-f]{32}", field.decode())
        elif its_field == "any":
            right = True
        else:
            right = (field or b"").decode() == its_field
        if right:
            assert least <= len(text) <= most, (key, field, len(text))
            return row
    raise AssertionError(f"{key} {field} is not in the list")


def test_the_list_names_the_same_as_the_schema():
    schema = KEYS.parents[1].joinpath("schema.sql").read_text(encoding="utf-8")
    columns = set(re.findall(r"(?m)^    ([a-z_]+) +(?:BLOB|INTEGER|TEXT)", schema))
    ours = {field for _, _, field, _, _ in read_list()}

    assert columns <= ours | {
        # What is a key here, or stands in a permit's one field.
        "id", "cid", "envelope", "name", "hash", "added_day", "uploads_per_hour", "bytes_per_hour",
    }  # fmt: skip
