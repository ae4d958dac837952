"""Restoring, compacting, waiting for a store, and fitting into little memory."""

import asyncio
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import relay_fakes
import relays
import stage
from relays import RelayProgram, make_envelope, run_command

from relay_server.config import GIB, KIB, MIB, Config
from relay_server.errors import StartError
from relay_server.machine import find_memory_limit, fit
from relay_server.settings import parse_service_file
from relay_server.store.beside import Beside
from relay_server.store.redis.nodes import Nodes
from relay_server.store.redis.url import parse
from relay_server.store.sqlite import INCREMENTAL
from relay_server.stores import open_any_store, open_store

REDIS = shutil.which("redis-server") or "redis-server"
FAR = 4_000_000_000
NOBODY = 65534


@pytest.fixture
def db(tmp_path):
    return tmp_path / "relay.sqlite"


def start(db, *arguments):
    return RelayProgram("--listen", "127.0.0.1:0", "--db", str(db), *arguments)


def refusal(done):
    assert done.returncode == 1
    return done.stderr.splitlines()[0].removeprefix("relay-server: ")


def put(db, numbers):
    connection = sqlite3.connect(db)
    for number in numbers:
        row = (number.to_bytes(16), bytes(32), FAR, make_envelope())
        connection.execute("INSERT INTO tickets VALUES (?, 0, ?, ?, ?)", row)
    connection.commit()
    connection.close()


def ids(db):
    connection = sqlite3.connect(db)
    found = [int.from_bytes(row[0]) for row in connection.execute("SELECT id FROM tickets")]
    whole = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    assert whole == "ok"
    return sorted(found)


@pytest.fixture
def backup(db, tmp_path):
    """A backup of a relay with a permit and 40 tickets, which is gone since."""
    kept = tmp_path / "backup.sqlite"
    run_command("permit", "add", "--new", "bakery", "--db", str(db))
    put(db, range(40))
    assert run_command("backup", str(kept), "--db", str(db)).returncode == 0
    return kept


# Restore


def test_a_backup_is_brought_back_on_a_new_machine(backup, tmp_path):
    new = tmp_path / "new" / "relay.sqlite"
    new.parent.mkdir()

    done = run_command("restore", str(backup), "--db", str(new))

    assert done.returncode == 0, done.stderr
    assert "40 tickets, 0 tombstones, 0 displays, 1 permits" in done.stderr
    with start(new) as relay:
        assert relay.origin
        listed = run_command("permit", "list", "--db", str(new)).stdout
        relay.stop()
    assert listed.endswith("bakery\n")
    assert ids(new) == list(range(40))
    assert new.stat().st_mode & 0o077 == 0


def test_a_backup_takes_the_place_of_what_a_killed_relay_left(backup, db):
    with start(db) as relay:
        put(db, range(100, 140))
        relay.process.kill()
        relay.process.wait()
    wal = db.with_name("relay.sqlite-wal")
    left = wal.exists() and wal.stat().st_size
    done = run_command("restore", str(backup), "--db", str(db))

    assert done.returncode == 0, done.stderr
    assert not wal.exists()
    with start(db) as relay:
        assert relay.origin
        relay.stop()
    assert ids(db) == list(range(40))
    # What was there is not lost either, and its log is still its own.
    assert left
    assert ids(db.with_name("relay.sqlite.before-restore")) == [*range(40), *range(100, 140)]


def test_a_log_that_is_left_without_its_database_goes(backup, db):
    db.unlink()
    db.with_name("relay.sqlite-wal").write_bytes(b"of another")

    assert run_command("restore", str(backup), "--db", str(db)).returncode == 0

    assert ids(db) == list(range(40))


def test_what_cannot_be_restored_changes_nothing(backup, db, tmp_path):
    damaged, other, live = (tmp_path / name for name in ("damaged", "other", "live"))
    content = bytearray(backup.read_bytes())
    content[100_000:300_000] = bytes(200_000)
    damaged.write_bytes(content)
    other.write_text("no database at all, whatever it is" * 100)
    shutil.copy(backup, live)
    live.with_name("live-wal").write_bytes(b"a log")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    told = [
        refusal(run_command("restore", str(file), "--db", str(db)))
        for file in (damaged, other, live, tmp_path / "none")
    ]
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert "damaged" in told[0]
    assert "is not a database" in told[1]
    assert "has a write-ahead log beside it" in told[2]
    assert told[3].startswith("cannot read")
    after.pop("relay.sqlite.lock", None)
    before.pop("relay.sqlite.lock", None)
    assert after == before


def test_nothing_is_restored_under_a_running_relay(backup, db):
    with start(db) as relay:
        said = refusal(run_command("restore", str(backup), "--db", str(db)))
        relay.stop()

    assert said == f"a relay is running on {db}"


def test_what_root_restores_belongs_to_the_directory_s_owner(backup):
    # Whoever it is must be able to go there, and to a folder of pytest's only its user can.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)

        done = run_command("restore", str(backup), "--db", str(folder / "relay.sqlite"))

        assert done.returncode == 0, done.stderr
        assert {file.stat().st_uid for file in folder.iterdir()} == {folder.stat().st_uid}


# Compact


@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_is_mostly_empty_is_made_small_beside_a_running_relay(db, old):
    with start(db, "--open") as relay:
        if old:
            connection = sqlite3.connect(db, isolation_level=None)
            connection.execute("PRAGMA auto_vacuum = 0")
            connection.execute("VACUUM")
            connection.close()
        put(db, range(300))
        connection = sqlite3.connect(db, isolation_level=None)
        connection.execute("DELETE FROM tickets WHERE id > ?", ((9).to_bytes(16),))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        before = db.stat().st_size
        stats = run_command("stats", "--db", str(db)).stdout
        done = run_command("compact", "--db", str(db))
        after = db.stat().st_size
        relay.stop()

    assert done.returncode == 0, done.stderr
    assert "free" in stats
    assert ("written anew" in done.stderr) is old
    assert before > 4 * MIB
    assert after < MIB
    assert ids(db) == list(range(10))


async def test_a_relay_gives_back_what_it_does_not_need_in_small_steps(db):
    clock = relay_fakes.Clock()
    store = open_store(Config(), db, clock)
    now = int(clock.wall())
    connection = store._writer
    assert connection.execute("PRAGMA auto_vacuum").fetchone()[0] == INCREMENTAL
    for number in range(30):
        envelope = make_envelope(size=4 * MIB)
        await store.keep(number.to_bytes(16), envelope, bytes(32), expiry=now + 60, now=now)
    await store.sweep(now=now)
    before = db.stat().st_size
    sizes = []
    for _ in range(20):
        await store.sweep(now=now + 61)
        store._unclean = True
        sizes.append(db.stat().st_size)
    await store.close()

    steps = [a - b for a, b in itertools.pairwise(sizes)]
    assert before > 100 * MIB
    assert sizes[-1] < before - 30 * MIB
    assert max(steps) <= 5 * MIB


# Memory


@pytest.mark.parametrize("limit", [128 * MIB, 200 * MIB, 512 * MIB, 2 * GIB, None])
def test_what_a_relay_may_hold_fits_into_the_memory_that_there_is(limit):
    config = fit(Config(), limit)

    held = (
        config.reading_max_bytes
        + config.unread_max_bytes
        + config.queue_max_bytes
        + config.early_max_bytes
        + config.cache_max_bytes
        + config.connections_max * 40 * KIB
    )
    assert min(config.reading_max_bytes, config.queue_max_bytes) > 4 * MIB
    if limit is not None:
        assert held <= limit
    else:
        assert config == Config()


def test_the_least_of_all_groups_limits_counts(tmp_path):
    inner = tmp_path / "system.slice" / "relay.service"
    inner.mkdir(parents=True)
    (tmp_path / "system.slice" / "memory.max").write_text("209715200\n")
    (inner / "memory.max").write_text("max\n")
    cgroup = tmp_path / "cgroup"
    cgroup.write_text("0::/system.slice/relay.service\n")

    assert find_memory_limit(cgroup, tmp_path) == 200 * MIB


def test_a_cache_of_its_own_size_can_be_asked_for():
    assert fit(Config(), 200 * MIB, cache=7 * MIB).cache_max_bytes == 7 * MIB


# A store that comes later, and what is none


def test_a_relay_waits_for_its_redis_and_stops_when_it_is_told_to(tmp_path):
    port = stage.free_port()
    environment = os.environ | {"RELAY_STORE": f"redis://127.0.0.1:{port}/0?fsync=no"}
    command = [sys.executable, "-m", "relay_server", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True) as relay:
        said = [relay.stderr.readline()]
        while "waiting for the store" not in said[-1]:
            said.append(relay.stderr.readline())
        with subprocess.Popen(
            [REDIS, "--port", str(port), "--save", "", "--dir", tmp_path],
            stdout=subprocess.DEVNULL,
        ) as redis:
            while "listening on" not in said[-1]:
                said.append(relay.stderr.readline())
            relay.terminate()
            status = relay.wait(30)
            redis.terminate()
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True) as again:
        while "waiting for the store" not in again.stderr.readline():
            pass
        again.terminate()
        stopped = again.wait(30)

    assert f"cannot reach the Redis redis://127.0.0.1:{port}" in "".join(said)
    assert (status, stopped) == (0, 0)


async def test_a_sentinel_and_a_replica_are_told(tmp_path):
    ports = [stage.free_port(), stage.free_port()]
    (tmp_path / "sentinel.conf").write_text("")
    programs = [
        [REDIS, str(tmp_path / "sentinel.conf"), "--sentinel", "--port", str(ports[0])],
        [REDIS, "--port", str(ports[1]), "--save", "", "--dir", str(tmp_path),
         "--replicaof", "127.0.0.1", "1"],
    ]  # fmt: skip
    running = [
        await asyncio.create_subprocess_exec(*words, stdout=subprocess.DEVNULL)
        for words in programs
    ]
    try:
        said = []
        for port in ports:
            stage.wait_for(lambda port=port: stage.listens(port), "redis")
            with pytest.raises(StartError) as refused:
                await open_any_store(
                    Config(), f"redis://127.0.0.1:{port}/0?fsync=no", relay_fakes.Clock()
                )
            said.append((str(refused.value), refused.value.hint))
    finally:
        for program in running:
            program.terminate()
            await program.wait()

    assert "is a Sentinel, which keeps nothing" in said[0][0]
    assert "is a replica and takes no writes" in said[1][0]
    assert said[1][1] == "name its master: 127.0.0.1:1"


async def test_what_does_not_answer_is_no_redis():
    nodes = Nodes(parse(f"redis://127.0.0.1:{stage.free_port()}/0"))

    with pytest.raises(StartError, match="cannot reach the Redis"):
        await nodes.open()
    await nodes.close()


# Commands beside a service


def test_a_command_works_on_the_store_that_the_service_s_file_names(db, tmp_path):
    service = tmp_path / "relay-server.env"
    service.write_text(f'# the service\nRELAY_OPERATOR=Example Cooperative\nRELAY_DB="{db}"\n')
    environment = {"RELAY_ENV_FILE": str(service), "RELAY_DB": str(tmp_path / "other.sqlite")}

    made = run_command("permit", "add", "--new", "a", environment=environment)

    assert made.returncode == 0, made.stderr
    assert db.exists()
    assert not (tmp_path / "other.sqlite").exists()


def test_a_service_s_file_is_read_as_systemd_reads_it():
    text = "# RELAY_DB=no\n; x=y\nRELAY_DB = /a b \nRELAY_STORE='redis://x'\nodd\nRELAY_LOG=\n"

    assert parse_service_file(text) == {
        "RELAY_DB": "/a b", "RELAY_STORE": "redis://x", "RELAY_LOG": "",
    }  # fmt: skip


def test_a_reader_who_has_seen_enough_is_no_fault(db):
    run_command("permit", "add", "--new", "a", "--db", str(db))
    command = [sys.executable, "-m", "relay_server", "check", "--db", str(db)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as check:
        check.stdout.close()
        said = check.stderr.read()
        check.wait(30)

    assert said == b""


def test_what_is_written_is_compared_with_what_runs(db, tmp_path):
    service = tmp_path / "relay-server.env"
    runs = {"RELAY_OPERATOR": "Example Cooperative", "RELAY_DB": str(db)}
    service.write_text("RELAY_OPERATOR=Example Cooperative\n")
    beside = {"RELAY_ENV_FILE": str(service), "RELAY_DB": str(db)}
    with RelayProgram("--listen", "127.0.0.1:0", environment=runs) as relay:
        stage.wait_for(lambda: Beside(db).read_about(), "what the relay says of itself")
        same = run_command("check", environment=beside).stdout
        service.write_text("RELAY_OPERATOR=Another\nRELAY_OPEN=yes\n")
        other = run_command("check", environment=beside).stdout
        relay.stop()

    assert "ok    settings: what is written is what runs" in same
    assert "warn  settings: RELAY_OPEN, RELAY_OPERATOR as written is not what runs" in other
    assert "connections: the relay that runs takes" in same


# Permits for many


def test_permits_are_made_for_a_whole_list_or_for_nobody(db, tmp_path):
    names = tmp_path / "shops.txt"
    names.write_text("\ufeffBakery\n# closed: Butcher\n\nÉpicerie\t600\t200MiB\n")
    add = ("permit", "add", "--new", "--db", str(db), "--from", str(names))

    made = run_command(*add, "--uploads-per-hour", "50")
    again = run_command(*add)
    listed = run_command("permit", "list", "--db", str(db)).stdout
    names.write_text("Florist\nCafé\tmany\n")
    wrong = run_command(*add)
    names.write_text("Florist\nFlorist\n")
    double = run_command(*add)

    rows = [line.split("\t") for line in made.stdout.splitlines()]
    assert [(name, len(permit)) for name, permit in rows] == [("Bakery", 43), ("Épicerie", 43)]
    assert "50 uploads/h  Bakery" in listed
    assert "600 uploads/h, 200 MiB/h  Épicerie" in listed
    assert refusal(again).endswith("already: 'Bakery', 'Épicerie'; none was made")
    assert refusal(wrong).startswith(f"line 2 of {names}: ")
    assert refusal(double).endswith("names 'Florist' twice")
    assert "Florist" not in run_command("permit", "list", "--db", str(db)).stdout


def test_what_a_shop_gets_names_its_relay(db):
    add = ("permit", "add", "--new", "--db", str(db))
    done = run_command(*add, "--relay", "https://tickets.example.org/", "Bakery")

    assert done.stdout.startswith("https://tickets.example.org ")
    assert run_command(*add).returncode == 2
    assert run_command(*add, "a", "--relay", "tickets").returncode == 2


# The quiet log


async def test_a_quiet_log_counts_each_minute(db, caplog):
    caplog.set_level("INFO")
    clock = relay_fakes.Clock()
    config = Config(open=True)
    store = open_store(config, db, clock)
    async with relays.serve(config, store, clock, access_log="minute") as relay:
        for _ in range(30):
            await relay.call.get()
        before = len(caplog.records)
        for _ in range(4):
            passes = relay.app.sweeper.passes
            clock.advance(20)
            await relay_fakes.until(lambda passes=passes: relay.app.sweeper.passes > passes)
        await relay_fakes.until(lambda: "answered" in caplog.text)
    await store.close()

    assert before <= 1
    assert caplog.text.count("answered: 30 GET /v1/t/{id} 404") == 1
