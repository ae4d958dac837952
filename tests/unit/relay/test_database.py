"""A database that is gone, damaged, in a wrong place, or somebody else's too: each is said."""

import os
import shutil
import sqlite3

import pytest
import relay_fakes
import relays
from relays import RelayProgram, make_envelope, run_command

from relay_server.clock import HOUR
from relay_server.config import Config
from relay_server.errors import StartError
from relay_server.store import place
from relay_server.store.beside import Beside
from relay_server.store.sqlite import start_error
from relay_server.stores import open_store

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 22 0:37 / /srv/share rw,relatime shared:2 - nfs4 10.0.0.1:/x rw,vers=4.2
41 40 254:1 / /srv/share/disk\\040one rw shared:3 - xfs /dev/vdb rw
"""


@pytest.fixture
def db(tmp_path):
    return tmp_path / "relay.sqlite"


@pytest.fixture
def clock():
    return relay_fakes.Clock()


def start(db, *arguments):
    return RelayProgram("--listen", "127.0.0.1:0", "--db", str(db), "--open", *arguments)


def refusal(done):
    assert done.returncode == 1
    said, hint = done.stderr.splitlines()[-2:]
    return said.removeprefix("relay-server: "), hint.removeprefix("hint: ")


def serve(db):
    return run_command("--listen", "127.0.0.1:0", "--db", str(db), "--open")


# Gone


@pytest.mark.parametrize(("left", "word"), [(None, "gone"), (b"", "empty")])
def test_a_database_that_was_here_and_is_not_is_no_new_relay(db, left, word):
    with start(db) as relay:
        relay.stop()
    db.unlink()
    if left is not None:
        db.write_bytes(left)

    said, hint = refusal(serve(db))
    made = run_command("permit", "add", "--new", "a", "--db", str(db))

    assert f"is {word}, and a relay ran on it until 20" in said
    assert hint.startswith("relay-server restore FILE")
    assert made.returncode == 1
    Beside(db).known.unlink()
    with start(db) as relay:
        assert relay.origin


def test_a_permit_is_not_made_where_no_relay_would_know_it(db):
    done = run_command("permit", "add", "a", "--db", str(db))

    said, hint = refusal(done)
    assert said == f"there is no database {db}"
    assert "start the relay once" in hint
    assert not db.exists()
    assert run_command("permit", "add", "--new", "a", "--db", str(db)).returncode == 0


# Two on one file


@pytest.mark.parametrize("by", [os.symlink, os.link])
def test_a_second_relay_under_another_name_is_told(db, tmp_path, by):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "relay.sqlite"
    with start(db):
        by(db, other)
        said, _ = refusal(serve(other))
        first = run_command("stats", "--db", str(db))

    assert f"another relay is running on {db}" in said or "2 names (hard links)" in said
    assert first.returncode == 0


def test_a_second_relay_is_told_though_somebody_removed_the_lock(db):
    with start(db):
        db.with_name("relay.sqlite.lock").unlink()
        said, _ = refusal(serve(db))
        checked = run_command("check", "--db", str(db)).stdout

    assert said == f"another relay is running on {db}"
    assert "a relay runs on it" in checked


# Damaged


def fill(db, count=40):
    with start(db) as relay:
        connection = sqlite3.connect(db)
        for number in range(count):
            row = (number.to_bytes(16), bytes(32), 4_000_000_000, make_envelope())
            connection.execute("INSERT INTO tickets VALUES (?, 0, ?, ?, ?)", row)
        connection.commit()
        connection.close()
        relay.stop()


def test_a_damaged_database_is_told_at_the_start(db):
    fill(db)
    content = bytearray(db.read_bytes())
    content[200_000:400_000] = bytes(200_000)
    db.write_bytes(content)

    said, hint = refusal(serve(db))

    assert said.startswith(f"{db} is not a database, or is damaged: ")
    assert hint.startswith("relay-server restore FILE")


def test_a_backup_laid_over_what_a_kill_left_is_told(db, tmp_path):
    backup = tmp_path / "backup.sqlite"
    fill(db)
    assert run_command("backup", str(backup), "--db", str(db)).returncode == 0
    with start(db) as relay:
        connection = sqlite3.connect(db)
        connection.execute("DELETE FROM tickets WHERE rowid % 2")
        for number in range(100, 140):
            row = (number.to_bytes(16), bytes(32), 4_000_000_000, make_envelope())
            connection.execute("INSERT INTO tickets VALUES (?, 0, ?, ?, ?)", row)
        connection.commit()
        relay.process.kill()
        relay.process.wait()
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        wal = db.with_name("relay.sqlite-wal")
        left = wal.read_bytes()
        connection.close()
    shutil.copy(backup, db)
    wal.write_bytes(left)

    said, _ = refusal(serve(db))

    assert left
    assert "is damaged" in said


async def test_damage_that_comes_while_a_relay_runs_is_found_and_said(db, clock, caplog):
    config = Config(open=True)
    store = open_store(config, db, clock)
    async with relays.serve(config, store, clock) as relay:
        for number in range(100):
            await relay.call.put(ticket_id=f"{number:032x}")
        before = (await relay.call("GET", "/healthz")).status
        damage(db)
        clock.advance(86_400)
        await relay_fakes.until(lambda: store.fault)
        clock.advance(HOUR)
        await relay_fakes.until(lambda: "the database is damaged" in caplog.text)
        health = await relay.call("GET", "/healthz")
    await store.close()

    assert before == 200
    assert (health.status, health.json["status"]) == (503, "the store is damaged")


def damage(db):
    """Let the index of ids miss half of the rows, as a write that never reached the disk would."""
    connection = sqlite3.connect(db)
    connection.execute("PRAGMA writable_schema = ON")
    root = connection.execute(
        "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_tickets_1'"
    ).fetchone()[0]
    connection.close()
    connection = sqlite3.connect(db)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with db.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\x0a" + bytes(4095))


# A wrong place


def test_the_file_system_of_a_path_is_that_of_its_longest_mount_point(tmp_path):
    root = tmp_path.resolve()
    mounts = MOUNTS.replace("/srv", str(root))

    found = [
        place.find_file_system(root / name, mounts)
        for name in ("here", "share/relay.sqlite", "share/disk one/relay.sqlite", "shared")
    ]

    assert found == ["ext4", "nfs4", "xfs", "ext4"]
    assert [place.is_network(name) for name in ("ext4", "nfs4", "cifs", "fuse.sshfs", "xfs")] == [
        False, True, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "file_system", "said"),
    [
        ("EWOULDBLOCK", "nfs4", "another relay is running on .* perhaps on another machine"),
        ("EWOULDBLOCK", "ext4", "another relay is running on .*sqlite$"),
        ("ENOLCK", "nfs4", "on nfs4 cannot be locked"),
        ("EOPNOTSUPP", "", "cannot be locked"),
    ],
)
def test_why_a_file_cannot_be_locked_is_said(db, code, file_system, said):
    number = getattr(__import__("errno"), code)

    with pytest.raises(StartError, match=said):
        raise place.lock_error(db, OSError(number, os.strerror(number)), file_system)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (sqlite3.SQLITE_IOERR_SHMMAP, "cannot share memory"),
        (sqlite3.SQLITE_IOERR_LOCK, "cannot share memory between programs, or locks"),
        (sqlite3.SQLITE_IOERR_WRITE, "the disk of .* fails"),
    ],
)
def test_why_a_disk_is_none_for_a_database_is_said(db, code, said):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code

    with pytest.raises(StartError, match=said):
        raise start_error(db, error)


# What an operator must know though nobody asks


async def test_a_full_disk_and_refused_connections_are_logged_once_and_when_they_end(
    db, clock, caplog
):
    caplog.set_level("INFO")
    config = Config(open=True, stored_max_bytes=3 * 2**20)
    store = open_store(config, db, clock)
    async with relays.serve(config, store, clock) as relay:

        async def sweep():
            passes = relay.app.sweeper.passes
            clock.advance(20)
            await relay_fakes.until(lambda: relay.app.sweeper.passes > passes + 0)
            clock.advance(0)
            await relay.call("GET", "/v1/info")

        relay.app.metrics.connections_refused += 7
        await sweep()
        await sweep()
        await relay_fakes.until(lambda: "no connection is refused any more" in caplog.text)
    await store.close()

    assert caplog.text.count("no room: uploads are refused (507)") == 1
    assert caplog.text.count("connections run out: 7 were refused") == 1
