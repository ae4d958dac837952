"""What the relay has said 201 to is on the disk, whenever it is killed."""

import hashlib
import http.client
import os
import re
import shutil
import sqlite3
import threading

import pytest
from relays import KIB, RelayProgram, bearer, make_envelope, run_command

TILLS = 4
SIZES = [16 * KIB, 64 * KIB, 256 * KIB]


class Till(threading.Thread):
    """Uploads one ticket after the other until the relay is gone."""

    def __init__(self, address, permit, name, acknowledged):
        super().__init__(daemon=True)
        self.address = address
        self.permit = permit
        self.prefix = name
        self.acknowledged = acknowledged
        self.begun = []

    def run(self):
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            for number in range(1_000_000):
                ticket_id = f"{self.prefix}{number:08x}"
                envelope = envelope_of(ticket_id)
                self.begun.append(ticket_id)
                connection.request("PUT", f"/v1/t/{ticket_id}", envelope, bearer(self.permit))
                response = connection.getresponse()
                response.read()
                assert response.status == 201
                self.acknowledged.append(ticket_id)
        except (OSError, http.client.HTTPException):
            pass  # the relay was killed
        finally:
            connection.close()


def envelope_of(ticket_id):
    """Return the one envelope that belongs to an id, so that a torn one shows."""
    fill = hashlib.sha256(ticket_id.encode()).digest()
    return make_envelope(size=SIZES[fill[0] % len(SIZES)], fill=fill)


def fetch(connection, ticket_id):
    connection.request("GET", f"/v1/t/{ticket_id}")
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
        pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(0)]),
    ],
)
@pytest.mark.rule("R41")
def test_no_kill_loses_an_acknowledged_ticket_or_tears_an_envelope(tmp_path, kills):
    db = str(tmp_path / "relay.sqlite")
    permit = run_command("permit", "add", "--new", "tills", "--db", db).stdout.strip()
    acknowledged, begun = [], []

    for turn in range(kills):
        with RelayProgram("--listen", "127.0.0.1:0", "--db", db) as relay:
            before = len(acknowledged)
            tills = [
                Till(relay.address, permit, f"{turn:012x}{till:012x}", acknowledged)
                for till in range(TILLS)
            ]
            for till in tills:
                till.start()
            # Never at the same moment; and a thousand kills need not fill a disk.
            while len(acknowledged) < before + 5 + 3 * (turn % 20):
                tills[0].join(0.001)
            relay.process.kill()
            for till in tills:
                till.join()
                begun += till.begun

    with RelayProgram("--listen", "127.0.0.1:0", "--db", db) as relay:
        connection = http.client.HTTPConnection(*relay.address)
        lost = [
            ticket_id
            for ticket_id in acknowledged
            if fetch(connection, ticket_id) != (200, envelope_of(ticket_id))
        ]
        others = {
            fetch(connection, ticket_id) == (200, envelope_of(ticket_id))
            or fetch(connection, ticket_id)[0] == 404
            for ticket_id in set(begun) - set(acknowledged)
        }
        connection.close()

    assert len(acknowledged) > kills * 5
    assert lost == []
    assert others <= {True}
    check = sqlite3.connect(db)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


@pytest.mark.rule("R41", "R64")
def test_the_log_is_synced_before_the_answer_leaves(tmp_path):
    strace = shutil.which("strace")
    if strace is None:
        reason = "strace is not here; install it: apt-get install -y strace"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    db = str(tmp_path / "relay.sqlite")
    trace = tmp_path / "trace"
    permit = run_command("permit", "add", "--new", "tills", "--db", db).stdout.strip()
    ticket_id = "a" * 32
    calls = "fsync,fdatasync,write,writev,sendto,sendmsg,pwrite64"
    prefix = (strace, "-D", "-f", "-y", "-s", "24", "-e", f"trace={calls}", "-o", str(trace))
    with RelayProgram("--listen", "127.0.0.1:0", "--db", db, prefix=prefix) as relay:
        connection = http.client.HTTPConnection(*relay.address, timeout=60)
        connection.request("PUT", f"/v1/t/{ticket_id}", make_envelope(), bearer(permit))
        stored = connection.getresponse()
        stored.read()
        connection.request("POST", f"/v1/t/{ticket_id}/state", b"t" * 32 + b"opened")
        opened = connection.getresponse()
        opened.read()
        connection.close()
        relay.stop()
    lines = trace.read_text(errors="replace").splitlines()

    assert (stored.status, opened.status) == (201, 204)
    steps = "".join(step_of(line) for line in lines)
    # w: the log is written; s: it is synced; A: 201 leaves; B: 204 leaves.
    assert re.search(r"w+s[^w]*A", steps), steps
    assert re.search(r"A.*w+s[^w]*B", steps), steps
    assert not re.search(r"w[^s]*[AB]", steps), steps


def step_of(line):
    """Return what a traced call is to this test, as one letter."""
    if "HTTP/1.1 201" in line:
        return "A"
    if "HTTP/1.1 204" in line:
        return "B"
    if "relay.sqlite-wal>" not in line:
        return ""
    if re.search(r"\bpwrite64\(|\bwrite\(", line):
        return "w"
    # A sync that another thread interrupts in the trace counts when it has ended; its end names no
    # file, so only whole lines are taken, and strace joins those of the writer's thread.
    return "s" if re.search(r"\bf(data)?sync\(.*= 0$", line) else ""
