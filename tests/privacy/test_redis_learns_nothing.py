"""With its store in Redis a relay learns no more, and Redis no more than the relay keeps.

Its append-only file before and after it was rewritten, its dump, its memory, and every byte on the
line between it and the relay are searched for what `test_relay_learns_nothing.py` searches for.
"""

from contextlib import ExitStack

import pytest
import redis_servers
import stage
from privacy import canaries, traces
from privacy.conftest import play
from privacy.sought import (
    careless,
    hashes,
    leaks,
    names,
    what_nobody_may_have,
    what_only_travels,
)
from privacy.wire import Wire

pytestmark = pytest.mark.browser


def written_by(redis):
    """Return everything that a Redis has on its disk: what it appended, then the whole anew."""
    before = {f"before, {name}": data for name, data in traces.files_in(redis.folder).items()}
    redis.call("BGREWRITEAOF")
    stage.wait_for(
        lambda: (
            redis.info()["aof_rewrite_in_progress"] == redis.info()["aof_rewrite_scheduled"] == "0"
        ),
        "the rewriting of the append-only file",
    )
    redis.call("SAVE")
    return before | traces.files_in(redis.folder)


def start_redis(stack):
    redis = stack.enter_context(redis_servers.single())
    # A dump says the same compressed, but nobody could search it.
    redis.call("CONFIG", "SET", "rdbcompression", "no")
    return redis


@pytest.fixture(scope="module")
def sale(chromium, tmp_path_factory):
    """A whole sale at a relay that keeps everything in a Redis, with a tap on that line, too."""
    folder = tmp_path_factory.mktemp("sale")
    operator = f"127.0.0.1:{stage.free_port()}"
    with ExitStack() as stack:
        redis = start_redis(stack)
        line = stack.enter_context(Wire(redis.port))
        relay = stage.Relay(folder / "relay", "--access-log", "--debug", "--metrics", operator)
        relay.store = ["--store", line.origin.replace("http:", "redis:")]
        beside = {"redis": redis.process}
        sale = stack.enter_context(play(chromium, folder, relay, operator, beside))
        sale.redis_disk = written_by(redis)
        sale.redis_line = {"relay to Redis": line.sent, "Redis to relay": line.received}
        yield sale


def memory_of_redis(sale):
    return {name: data for name, data in sale.memory.items() if name.startswith("redis ")}


def everywhere(sale):
    """Return all that Redis ever had."""
    return sale.redis_disk | sale.redis_line | memory_of_redis(sale)


def test_redis_has_nothing_on_its_disk_in_its_memory_or_on_its_line(sale):
    kinds = {name.rpartition(".")[2] for name in sale.redis_disk}

    assert {"aof", "rdb", "manifest", "log"} <= kinds
    assert sum(map(len, memory_of_redis(sale).values())) > 2**22
    assert traces.find_in(everywhere(sale), what_nobody_may_have(sale)) == {}


def test_the_relay_has_nothing_either(sale):
    assert sale.disk.keys() == {"relay.log"}
    assert traces.find_in(sale.disk | sale.memory | sale.wire, what_nobody_may_have(sale)) == {}


@pytest.mark.rule("R6")
def test_tokens_and_permits_never_leave_the_relay(sale):
    assert traces.find_in(everywhere(sale), what_only_travels(sale)) == {}


@pytest.mark.rule("R4")
def test_the_logs_name_nobody(sale):
    logs = {name: data for name, data in (sale.redis_disk | sale.disk).items() if "log" in name}

    assert len(logs) >= 2
    for needles in (names, hashes, what_only_travels):
        assert traces.find_in(logs, needles(sale)) == {}


# The search can fail


def test_the_search_finds_what_redis_is_known_to_have(sale):
    there = {"the ticket's id, in hex", "the channel's id, in hex"}
    kept = {
        "the ticket's token hash, as it is",
        "the display's token hash, as it is",
        "the till's token hash, as it is",
        "the permit's hash, as it is",
    }
    aof = b"".join(data for name, data in sale.redis_disk.items() if name.endswith(".incr.aof"))
    dump = sale.redis_disk["dump.rdb"]

    for data in (aof, dump, sale.redis_line["relay to Redis"]):
        assert there <= set(names(sale).find(data))
        assert kept - {"the permit's hash, as it is"} <= set(hashes(sale).find(data))
    remembered = traces.find_in(memory_of_redis(sale), names(sale))
    assert len({name.split(", ")[1] for name in remembered}) == 3


def test_a_careless_relay_would_be_found_in_redis(sale):
    """Everything that must not be there is put there, and found on disk and in memory."""
    needles = what_nobody_may_have(sale)
    records = [record for leak in leaks(sale) for record in careless(leak).values()]
    with ExitStack() as stack:
        redis = start_redis(stack)
        for number, record in enumerate(records):
            redis.call("SET", f"leak-{number}", record)
        disk = written_by(redis)
        memory = b"".join(traces.memory_of(redis.process.pid).values())
    appended = disk["before, appendonlydir/appendonly.aof.1.incr.aof"]
    spellings = set(needles.find(b"\n".join(records)))

    assert len({spelling.split(",")[0] for spelling in spellings}) > len(canaries.TEXTS)
    assert spellings - set(needles.find(appended)) == set()
    assert spellings - set(needles.find(disk["dump.rdb"])) == set()
    assert [record for record in records if record not in memory] == []
