"""The commands beside a running relay, and its restart, as an operator meets them."""

import asyncio
import dataclasses
import http.client
import json
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
import relay_fakes
import relays
import stage
from relays import RelayProgram, bearer, make_envelope, run_command

from relay_server.config import Config
from relay_server.errors import StartError
from relay_server.store.sqlite import SCHEMA_VERSION
from relay_server.stores import open_store

DATA = Path(__file__).resolve().parents[2] / "data"
ID = "a" * 32
NOW = 1_800_000_000


@pytest.fixture
def db(tmp_path):
    return str(tmp_path / "relay.sqlite")


@pytest.fixture
def clock():
    return relay_fakes.Clock()


def ask(address, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def start(db, *arguments):
    return RelayProgram("--listen", "127.0.0.1:0", "--db", db, "--open", *arguments)


def run(*arguments):
    done = run_command(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(done, status=1):
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (status, "")
    assert 1 <= len(lines) <= 2
    return lines[0].removeprefix("relay-server: ")


# Beside a running relay


@pytest.mark.rule("R125")
def test_an_operator_counts_copies_and_forgets_while_the_relay_runs(db, tmp_path):
    full, bare = tmp_path / "full.sqlite", tmp_path / "bare.sqlite"
    with start(db) as relay:
        for name in "abc":
            status, _ = ask(relay.address, "PUT", f"/v1/t/{name * 32}", make_envelope())
            assert status == 201
        ask(relay.address, "POST", f"/v1/t/{'b' * 32}/state", relays.TOKEN + b"opened")
        ask(relay.address, "POST", f"/v1/t/{'c' * 32}/state", relays.TOKEN + b"revoked")
        run("permit", "add", "kept", "--db", db, "--uploads-per-hour", "60")
        counts = json.loads(run("stats", "--json", "--db", db))
        shown = run("stats", "--db", db)
        run("backup", str(full), "--db", db)
        run("backup", "--no-envelopes", str(bare), "--db", db)
        again = refused(run_command("backup", str(full), "--db", db))
        checked = run("check", "--db", db, "--url", relay.origin, "--wait", "2")
        before, _ = ask(relay.address, "GET", f"/v1/t/{ID}")
        run("forget", ID, "--db", db)
        stage.wait_for(lambda: ask(relay.address, "GET", f"/v1/t/{ID}")[0] == 410, "forgetting")
        reason = json.loads(ask(relay.address, "GET", f"/v1/t/{ID}")[1])["reason"]
        other, _ = ask(relay.address, "GET", f"/v1/t/{'b' * 32}")
        relay.stop()

    assert (counts["stored"], counts["opened"], counts["tombstones"]) == (1, 1, 1)
    assert (counts["envelope_bytes"], counts["permits"]) == (2 * 16_384, 1)
    assert re.search(r"^tickets +2: 1 stored, 1 opened, 0 saved; 32 KiB$", shown, re.MULTILINE)
    assert (before, reason, other) == (200, "revoked", 200)
    assert again.endswith("is there already")
    assert "ok    database:" in checked
    assert "a relay runs on it" in checked
    assert "ok    front: a relay of version 1, open" in checked
    assert "ok    front: lets 4 MiB through" in checked
    for copy, tickets in ((full, 3), (bare, 1)):
        found = sqlite3.connect(copy)
        assert found.execute("SELECT count(*) FROM tickets").fetchone() == (tickets,)
        assert found.execute("SELECT name FROM permits").fetchall() == [("kept",)]
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found.close()
        assert copy.stat().st_mode & 0o077 == 0
    assert b"tkt/v1" in full.read_bytes()
    assert b"tkt/v1" not in bare.read_bytes()


def test_a_copy_is_a_database_that_a_relay_starts_on(db, tmp_path):
    copy = str(tmp_path / "copy.sqlite")
    with start(db) as relay:
        ask(relay.address, "PUT", f"/v1/t/{ID}", make_envelope())
        run("backup", copy, "--db", db)
    with start(copy) as relay:
        found = ask(relay.address, "GET", f"/v1/t/{ID}")

    assert found == (200, make_envelope())


def test_forgetting_what_is_not_there_is_told_and_a_link_is_not_repeated(db):
    run("permit", "add", "--new", "a", "--db", db)
    link = "https://relay.example/#" + "1" * 85

    unknown = refused(run_command("forget", ID, "--db", db))
    misused = run_command("forget", link, "--db", db)

    assert unknown == "no such ticket was seen"
    assert refused(misused, 2) == "that is not the id of a ticket"
    assert "1" * 20 not in misused.stderr


def test_a_check_says_what_is_wrong_and_fails(db, tmp_path):
    run("permit", "add", "--new", "a", "--db", db)
    pages = tmp_path / "pages"
    pages.mkdir()
    for name in ("ticket", "display", "selftest"):
        (pages / f"{name}.html").write_text(name)
    (pages / "SHA256SUMS").write_text("0" * 64 + "  ticket.html\n")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    with Path(db).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)

    done = run_command("check", "--db", db, "--pages", str(pages), "--url", url, "--wait", "2")

    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert any(line.startswith("FAIL  database: ") for line in lines)
    assert any(line.startswith("FAIL  page ticket.html: ") for line in lines)
    assert any(line.startswith("FAIL  front: ") for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ["stats", "--db", "no/such/file"],
        ["backup", "copy", "--db", "no/such/file"],
        ["forget", ID, "--db", "no/such/file"],
    ],
)
def test_a_database_that_is_not_there_is_told(arguments):
    assert refused(run_command(*arguments)) == "there is no database no/such/file"


@pytest.mark.parametrize(
    "arguments",
    [
        ["backup"],
        ["forget"],
        ["check", "--url", "tickets.example.org"],
        ["check", "--url", "https://tickets.example.org/path"],
        ["permit", "add", "a", "--uploads-per-hour", "0"],
        ["permit", "add", "a", "--bytes-per-hour", "much"],
        ["permit", "add", "a", "--bytes-per-hour", "1MiB"],
        ["--metrics", "9464"],
        ["--trust-proxy", "localhost"],
        ["--trust-proxy", "10.0.0.1/8"],
        ["--proxy-header", "X-Real-IP"],
        ["--log", "xml"],
        ["--contact", "call us"],
        ["--contact", "javascript:alert(1)"],
        ["--terms", "javascript:alert(1)"],
        ["--source", "here"],
        ["--stored-max", "large"],
        ["--connections-max", "-1"],
    ],
)
def test_a_wrong_flag_is_told_in_one_line(arguments, capsys):
    from relay_server.cli import main

    status = main(arguments)
    said = capsys.readouterr()

    assert (status, said.out) == (2, "")
    assert re.fullmatch(r"relay-server: .+\n(hint: .+\n)?", said.err)


def test_a_port_for_metrics_that_is_taken_is_told(db):
    with socket.create_server(("127.0.0.1", 0)) as other:
        where = f"127.0.0.1:{other.getsockname()[1]}"
        done = run_command("--listen", "127.0.0.1:0", "--db", db, "--metrics", where)

    assert f"cannot listen on {where}: another program does" in done.stderr
    assert done.returncode == 1


# Starting again


def sessions(address, stop, results):
    """Fetch on a connection of its own each time, until told to stop."""
    while not stop.is_set():
        try:
            results.append(ask(address, "GET", f"/v1/t/{ID}")[0])
        except (OSError, http.client.HTTPException) as error:
            results.append(repr(error))


def test_a_relay_that_starts_again_refuses_nobody(db):
    with start(db) as relay:
        pid = relay.process.pid
        ask(relay.address, "PUT", f"/v1/t/{ID}", make_envelope())
        display = http.client.HTTPConnection(*relay.address, timeout=30)
        display.request(
            "GET", f"/v1/t/{ID}/state?since=stored&wait=25", headers=bearer(relays.TOKEN)
        )
        stop, results = threading.Event(), []
        callers = [
            threading.Thread(target=sessions, args=(relay.address, stop, results)) for _ in range(4)
        ]
        for caller in callers:
            caller.start()
        for turn in range(1, 3):
            stage.wait_for(lambda: len(results) > 20, "some fetches")
            results.clear()
            relay.process.send_signal(signal.SIGHUP)
            stage.wait_for(
                lambda n=turn: sum("listening on" in line for line in relay.lines) > n,
                "the next relay",
            )
        stage.wait_for(lambda: len(results) > 20, "some fetches")
        stop.set()
        for caller in callers:
            caller.join()
        waited = display.getresponse()
        state = json.loads(waited.read())["state"]
        display.close()
        alive = relay.process.poll() is None and relay.process.pid == pid
        status = relay.stop()

    said = "".join(relay.lines)
    assert set(results) == {200}
    assert (waited.status, state, alive, status) == (200, "stored", True, 0)
    assert said.count("starting again") == 2


def test_a_socket_that_the_system_holds_is_used(db, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as held:
        host, port = held.getsockname()
        # What systemd does: the socket is descriptor 3, and LISTEN_PID the program's own.
        script = f'exec 3<&{held.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
        log = (tmp_path / "log").open("wb")
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", stage.BIN / "relay-server", "--db", db, "--open"],
            pass_fds=[held.fileno()],
            stderr=log,
        )
        # Nobody accepts yet, and nobody is refused: the request waits for the relay.
        status, _ = ask((host, port), "PUT", f"/v1/t/{ID}", make_envelope())
        process.terminate()
        code = process.wait(20)
        log.close()

    assert (status, code) == (201, 0)
    assert f"listening on http://127.0.0.1:{port}" in (tmp_path / "log").read_text()


def test_more_connections_than_the_system_allows_do_not_stop_the_relay(db):
    prefix = ("sh", "-c", 'ulimit -n 80; exec "$@"', "sh")
    with RelayProgram("--listen", "127.0.0.1:0", "--db", db, "--open", prefix=prefix) as relay:
        lines = [socket.create_connection(relay.address, 10) for _ in range(200)]
        for line in lines:
            line.close()

        def answered():
            try:
                return ask(relay.address, "GET", "/v1/info")[0] == 200
            except (OSError, http.client.HTTPException):
                return False

        stage.wait_for(answered, "an answer after the crowd has left")
        stored, _ = ask(relay.address, "PUT", f"/v1/t/{ID}", make_envelope())
        status = relay.stop()

    assert (stored, status) == (201, 0)


def test_the_log_is_json_for_those_who_collect_it(db):
    with start(db, "--log", "json", "--access-log") as relay:
        ask(relay.address, "PUT", f"/v1/t/{ID}", make_envelope())
        ask(relay.address, "GET", f"/{ID}", headers={"User-Agent": "CANARY"})
        relay.stop()

    records = [json.loads(line) for line in relay.lines]
    requests = [record for record in records if "route" in record]
    assert {record["level"] for record in records} == {"info"}
    assert [set(record) for record in requests] == [
        {"time", "level", "method", "route", "status", "kib", "ms"}
    ] * 2
    assert [(r["method"], r["route"], r["status"]) for r in requests] == [
        ("PUT", "/v1/t/{id}", 201), ("GET", "*", 404)
    ]  # fmt: skip
    text = "".join(relay.lines)
    assert ID not in text
    assert "CANARY" not in text


# Databases of other ages


def make_old(path):
    old = sqlite3.connect(path)
    old.executescript((DATA / "relay_schema_1.sql").read_text("utf-8"))
    old.execute("PRAGMA application_id = 0x65327472")
    old.execute("PRAGMA user_version = 1")
    envelope = make_envelope()
    rows = [(b"1" * 16, 0, envelope[8:40], bytes(32), NOW + 100, envelope),
            (b"2" * 16, 3, bytes(32), bytes(32), NOW + 100, None)]  # fmt: skip
    old.executemany("INSERT INTO tickets VALUES (?, ?, ?, ?, ?, ?)", rows)
    old.execute("INSERT INTO channels VALUES (?, ?, ?, ?)", (b"c" * 16, b"r" * 32, b"w" * 32, 20))
    old.execute("INSERT INTO permits VALUES (?, ?, ?)", ("old", b"p" * 32, 20_000))
    old.commit()
    old.close()


async def test_a_database_of_an_older_relay_is_brought_up_to_date_and_loses_nothing(
    tmp_path, clock
):
    path = tmp_path / "relay.sqlite"
    make_old(path)

    store = open_store(Config(), path, clock)
    found = (
        await store.fetch(b"1" * 16, now=NOW),
        (await store.find(b"2" * 16, now=NOW)).word,
        (await store.find_channel(b"c" * 16)).read_hash,
        await store.list_permits(),
    )
    await store.close()

    assert found == (make_envelope(), "revoked", b"r" * 32, [("old", 20_000, None, None)])


async def test_an_updated_database_is_the_same_as_a_new_one(tmp_path, clock):
    make_old(tmp_path / "old.sqlite")
    shapes = []
    for name in ("old.sqlite", "new.sqlite"):
        store = open_store(Config(), tmp_path / name, clock)
        await store.close()
        file = sqlite3.connect(tmp_path / name)
        tables = [row[0] for row in file.execute("SELECT name FROM sqlite_schema ORDER BY name")]
        columns = {
            table: [row[1:] for row in file.execute(f"PRAGMA table_info({table})")]
            for table in tables
        }
        shapes.append((columns, file.execute("PRAGMA user_version").fetchone()[0]))
        file.close()

    assert shapes[0] == shapes[1]
    assert shapes[1][1] == SCHEMA_VERSION


async def test_a_command_does_not_update_a_database_that_an_older_relay_may_be_using(
    tmp_path, clock
):
    path = tmp_path / "relay.sqlite"
    make_old(path)

    with pytest.raises(StartError, match="was written by an older relay") as caught:
        open_store(Config(), path, clock, exclusive=False)

    assert "start the relay once" in caught.value.hint


async def test_an_update_that_fails_leaves_the_database_as_it_was(tmp_path, clock):
    path = tmp_path / "relay.sqlite"
    make_old(path)
    file = sqlite3.connect(path)
    file.execute("ALTER TABLE permits ADD COLUMN uploads_per_hour INTEGER")
    file.commit()
    file.close()
    before = path.read_bytes()

    with pytest.raises(StartError):
        open_store(Config(), path, clock)

    file = sqlite3.connect(path)
    columns = [row[1] for row in file.execute("PRAGMA table_info(tickets)")]
    assert file.execute("PRAGMA user_version").fetchone() == (1,)
    file.close()
    assert "digest" in columns
    assert before


def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    (closed / "relay.sqlite").mkdir()

    line = refused(run_command("--listen", "127.0.0.1:0", "--db", str(closed / "relay.sqlite")))

    assert line.startswith("cannot open the database ")


# What the disk really has


async def test_a_deleted_envelope_is_in_no_file_after_the_sweep_while_the_relay_goes_on(
    tmp_path, clock
):
    from relay_server.store import State

    config = dataclasses.replace(Config(), sweep_seconds=10**9)
    store = open_store(config, tmp_path / "relay.sqlite", clock)
    canary = b"CANARY-OF-A-DELETED-ENVELOPE"

    def envelope(fill):
        return make_envelope(fill=fill, size=64 * 1024)

    for number in range(20):
        fill = canary if number % 2 else b"LIVING"
        await store.keep(
            number.to_bytes(16), envelope(fill), bytes(32), expiry=NOW + 60 + number, now=NOW
        )
    for number in range(1, 20, 4):
        await store.change(number.to_bytes(16), State.REVOKED, expiry=NOW, now=NOW)
    clock.set_wall(NOW + 100)
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    await store.keep(b"n" * 16, envelope(b"LIVING"), bytes(32), expiry=NOW + 999, now=NOW + 100)

    await store.sweep(now=NOW + 100)

    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    living = await store.fetch(b"n" * 16, now=NOW + 100)
    in_memory = store.gauges().recent_bytes
    await store.close()
    assert canary in held
    assert {name for name, data in files.items() if canary in data} == set()
    assert b"LIVING" in files["relay.sqlite"]
    assert (living, in_memory) == (envelope(b"LIVING"), 64 * 1024)


def test_the_schema_keeps_what_the_specification_says_and_nothing_else():
    root = Path(__file__).resolve().parents[3]
    schema = (root / "relay_server/store/schema.sql").read_text("utf-8")
    text = (root / "spec/security.md").read_text("utf-8")
    tables = sqlite3.connect(":memory:")
    tables.executescript(schema)
    kept = {
        (table, row[1])
        for (table,) in tables.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        for row in tables.execute(f"PRAGMA table_info({table})")
    }
    tables.close()
    words = {
        ("tickets", "id"): "| a ticket | id,",
        ("tickets", "envelope"): " envelope,",
        ("tickets", "token_hash"): " th,",
        ("tickets", "state"): " state,",
        ("tickets", "expiry"): " time of expiry |",
        ("channels", "cid"): "| a channel | cid,",
        ("channels", "read_hash"): "SHA-256 of rtok",
        ("channels", "write_hash"): "and of wtok",
        ("channels", "polled_day"): "when it was last polled, to the day",
        ("permits", "name"): "| a permit | its name,",
        ("permits", "hash"): "SHA-256 of it,",
        ("permits", "added_day"): "when it was given,",
        ("permits", "uploads_per_hour"): "its limits",
        ("permits", "bytes_per_hour"): "its limits",
    }
    section = text.partition("## What the relay keeps")[2].partition("\n## ")[0]

    assert kept == words.keys()
    assert [column for column, part in words.items() if part not in section] == []


def test_a_front_whose_certificate_is_not_trusted_is_told(db, tmp_path):
    run("permit", "add", "--new", "a", "--db", db)
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    openssl = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost"],
        capture_output=True, check=False,
    )  # fmt: skip
    if openssl.returncode:
        stage.missing("openssl", "apt-get install -y openssl")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def talk():
        async def answer(_, writer):
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        url = f"https://localhost:{port}"
        done = await asyncio.to_thread(
            run_command, "check", "--db", db, "--url", url, "--wait", "2"
        )
        server.close()
        await server.wait_closed()
        return done

    done = asyncio.run(talk())

    assert done.returncode == 1
    assert "FAIL  front: the certificate is not trusted" in done.stdout
