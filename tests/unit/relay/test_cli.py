"""The command, as an operator meets it."""

import http.client
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import relays
from relays import RelayProgram, bearer, make_envelope, run_command

from relay_server.cli import MisuseError, parse_settings
from relay_server.store.sqlite import SCHEMA_VERSION

ROOT = Path(__file__).resolve().parents[3]
TICKET = "/v1/t/" + "a" * 32


@pytest.fixture
def db(tmp_path):
    return str(tmp_path / "relay.sqlite")


def put(address, permit, path=TICKET):
    connection = http.client.HTTPConnection(*address, timeout=30)
    connection.request("PUT", path, make_envelope(), bearer(permit))
    status = connection.getresponse().status
    connection.close()
    return status


def refused(done, status):
    """Show that a command failed with one line and a hint at most, and return the line."""
    lines = done.stderr.splitlines()
    assert done.returncode == status
    assert done.stdout == ""
    assert 1 <= len(lines) <= 2
    assert lines[0].startswith("relay-server: ")
    assert all(line.startswith("hint: ") for line in lines[1:])
    return lines[0]


# Permits


@pytest.mark.rule("R11")
def test_a_permit_is_valid_on_a_running_relay_until_it_is_revoked(db):
    with RelayProgram("--listen", "127.0.0.1:0", "--db", db) as relay:
        before = put(relay.address, "A" * 43)
        added = run_command("permit", "add", "Épicerie du Marché", "--db", db)
        permit = added.stdout.strip()
        valid = put(relay.address, permit)
        listed = run_command("permit", "list", "--db", db)
        revoked = run_command("permit", "revoke", "Épicerie du Marché", "--db", db)
        after = put(relay.address, permit, "/v1/t/" + "b" * 32)

    assert (before, valid, after) == (401, 201, 401)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", added.stdout)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d  Épicerie du Marché\n", listed.stdout)
    assert (revoked.returncode, revoked.stdout) == (0, "")
    assert run_command("permit", "list", "--db", db).stdout == ""


@pytest.mark.rule("R6")
def test_of_a_permit_only_its_hash_is_kept(db, tmp_path):
    permit = run_command("permit", "add", "--new", "a", "--db", db).stdout.strip()

    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert permit
    assert permit.encode() not in written


def test_a_name_that_is_taken_or_unknown_is_told(db):
    run_command("permit", "add", "--new", "a", "--db", db)

    taken = refused(run_command("permit", "add", "--new", "a", "--db", db), 1)
    unknown = refused(run_command("permit", "revoke", "b", "--db", db), 1)

    assert taken == "relay-server: there is a permit 'a' already"
    assert unknown == "relay-server: there is no permit 'b'"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["permit"], 2),
        (["permit", "give", "a"], 2),
        (["permit", "add"], 2),
        (["permit", "add", "  "], 2),
        (["permit", "add", "a\nb"], 2),
        (["permit", "add", "a" * 101], 2),
        (["permit", "list", "--db", "no/such/file"], 1),
        (["permit", "revoke", "a", "--db", "no/such/file"], 1),
        (["permit", "add", "a", "--db", "no/such/directory/file"], 1),
    ],
)
def test_a_misused_permit_command_is_told_in_one_line(arguments, status, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    refused(run_command(*arguments, environment={"PYTHONPATH": str(ROOT)}), status)


# Start


def test_a_relay_says_where_it_listens_and_what_its_limits_are(db):
    with RelayProgram("--listen", "127.0.0.1:0", "--db", db) as relay:
        status = relay.stop()

    said = "".join(relay.lines)
    assert status == 0
    assert "relay-server: closed: takes tickets from tills with a permit\n" in said
    assert f"relay-server: database {db}, at most 256 GiB" in said
    assert re.search(
        r"^relay-server: listening on http://127\.0\.0\.1:[1-9]\d*$", said, re.MULTILINE
    )


def test_every_flag_is_a_variable_too(db, tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    for name in ("ticket", "display", "selftest"):
        (pages / f"{name}.html").write_text(name)
    environment = {
        "RELAY_LISTEN": "127.0.0.1:0",
        "RELAY_DB": db,
        "RELAY_OPEN": "1",
        "RELAY_PAGES": str(pages),
        "RELAY_ACCESS_LOG": "yes",
    }

    with RelayProgram(environment=environment) as relay:
        stored = put(relay.address, "")
        connection = http.client.HTTPConnection(*relay.address)
        connection.request("GET", "/d")
        page = connection.getresponse().read()
        connection.close()
        relay.stop()

    said = "".join(relay.lines)
    assert (stored, page) == (201, b"display")
    assert "relay-server: open: takes tickets from anybody" in said
    assert f"relay-server: pages from {pages}\n" in said
    assert re.search(r"^relay-server: PUT /v1/t/\{id\} 201 1KiB \d+ms$", said, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--listen", "8080"],
        ["--listen", "127.0.0.1:99999"],
        ["--listen", "::1:8080"],
        ["--listen"],
        ["--flag"],
        ["serve"],
        ["--op"],
        ["--store", "postgres://localhost"],
        ["--store", "sqlite://relay.sqlite"],
        ["--store", "sqlite:///"],
        ["--store", "http://[/"],
        ["--store", "sqlite:///a", "--db", "b"],
    ],
)
def test_a_wrong_flag_is_told_in_one_line(arguments, capsys, monkeypatch):
    from relay_server.cli import main

    monkeypatch.delenv("RELAY_DB", raising=False)

    status = main(arguments)
    said = capsys.readouterr()

    assert (status, said.out) == (2, "")
    assert re.fullmatch(r"relay-server: .+\n(hint: .+\n)?", said.err)


def test_a_store_that_is_not_supported_says_what_is():
    with pytest.raises(MisuseError, match="no store is known by 'postgres'") as caught:
        parse_settings(["--store", "postgres://localhost:6379/0"], {})

    assert caught.value.hint == "supported: sqlite:///absolute/path and redis://host:port"


def test_settings_come_from_flags_then_from_the_environment():
    nothing = parse_settings([], {})
    environment = {
        "RELAY_LISTEN": "[::1]:80",
        "RELAY_STORE": "sqlite:///var/a%20b",
        "RELAY_OPEN": "no",
    }
    some = parse_settings(["--open"], environment)
    flags = parse_settings(["--listen", "h:1", "--db", "c", "--pages", "p"], environment)

    assert (nothing.host, nothing.port, str(nothing.store)) == ("127.0.0.1", 8080, "relay.sqlite")
    assert (nothing.open, nothing.pages, nothing.access_log) == (False, None, "")
    assert (some.host, some.port, str(some.store), some.open) == ("::1", 80, "/var/a b", True)
    assert (flags.host, flags.port, str(flags.store), str(flags.pages)) == ("h", 1, "c", "p")


def test_a_variable_that_is_neither_yes_nor_no_is_told():
    with pytest.raises(MisuseError, match="RELAY_OPEN is neither yes nor no"):
        parse_settings([], {"RELAY_OPEN": "perhaps"})


def test_a_port_in_use_is_told(db):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        line = refused(run_command("--listen", f"127.0.0.1:{port}", "--db", db), 1)

    assert line == f"relay-server: cannot listen on 127.0.0.1:{port}: another program does"


def test_an_address_of_another_machine_is_told(db):
    line = refused(run_command("--listen", "192.0.2.1:8080", "--db", db), 1)

    assert line.startswith("relay-server: cannot listen on 192.0.2.1:8080: ")


def test_a_directory_that_is_not_there_or_in_the_way_is_told(tmp_path):
    absent = refused(
        run_command("--listen", "127.0.0.1:0", "--db", str(tmp_path / "no" / "relay.sqlite")), 1
    )
    directory = refused(run_command("--listen", "127.0.0.1:0", "--db", str(tmp_path)), 1)

    assert absent.endswith("relay.sqlite: No such file or directory")
    assert directory.endswith(": Is a directory")


def test_a_file_that_is_no_database_is_told(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, not tickets\n" * 100)

    line = refused(run_command("--listen", "127.0.0.1:0", "--db", str(path)), 1)

    assert line == f"relay-server: {path} is not a database, or is damaged"
    assert path.read_text().startswith("these are notes")


def test_a_database_of_somebody_else_is_told_and_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text TEXT)")
    other.commit()
    other.close()

    line = refused(run_command("--listen", "127.0.0.1:0", "--db", str(path)), 1)

    other = sqlite3.connect(path)
    tables = other.execute("SELECT name FROM sqlite_schema").fetchall()
    other.close()
    assert line == f"relay-server: {path} is a database, but not a relay's"
    assert tables == [("notes",)]


def test_a_database_of_a_newer_relay_is_told(db):
    run_command("permit", "add", "--new", "a", "--db", db)
    newer = sqlite3.connect(db)
    newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()

    line = refused(run_command("--listen", "127.0.0.1:0", "--db", db), 1)

    assert line.startswith(f"relay-server: {db} was written by a newer relay")


def test_a_second_relay_on_one_file_is_told(db):
    with RelayProgram("--listen", "127.0.0.1:0", "--db", db):
        line = refused(run_command("--listen", "127.0.0.1:0", "--db", db), 1)

    assert line == f"relay-server: another relay is running on {db}"


def test_missing_pages_are_told(tmp_path, db):
    line = refused(run_command("--listen", "127.0.0.1:0", "--db", db, "--pages", str(tmp_path)), 1)

    assert line.startswith("relay-server: cannot read the page ")


def test_debug_shows_where_it_failed(tmp_path):
    done = run_command("--debug", "--db", str(tmp_path / "no" / "relay.sqlite"))

    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_help_names_every_flag():
    done = run_command("--help")

    assert done.returncode == 0
    for flag in ("--listen", "--db", "--open", "--pages", "--store", "--access-log", "permit"):
        assert flag in done.stdout


# Stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.rule("R8")
def test_a_relay_that_is_told_to_stop_answers_who_waits_and_exits_0(db, number):
    with RelayProgram("--listen", "127.0.0.1:0", "--db", db, "--open") as relay:
        put(relay.address, "")
        connection = http.client.HTTPConnection(*relay.address, timeout=30)
        path = TICKET + "/state?since=stored&wait=25"
        connection.request("GET", path, headers=bearer(relays.TOKEN))
        # An answer on another connection shows that the relay has read the first.
        put(relay.address, "")
        status = relay.stop(number)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()

    assert status == 0
    assert answer.status in (200, 503)
    assert answer.status == 503 or b'"stored"' in body


def test_the_relay_loads_nothing_that_could_decrypt():
    code = (
        "import sys, relay_server.app, relay_server.cli;"
        "print([m for m in sys.modules if m.split('.')[0] in ('nacl', 'e2ee_ticket')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
