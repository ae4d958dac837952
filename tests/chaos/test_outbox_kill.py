"""kill -9 at random moments: whatever was kept is there, and whatever is there is whole."""

import random
import subprocess
import sys

import pytest

from e2ee_ticket.protocol.envelope import unseal
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.till.outbox import Outbox

WRITER = """
import os, sys, time
from pathlib import Path
from e2ee_ticket.protocol.envelope import seal
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.till.outbox import Outbox

outbox = Outbox(Path(sys.argv[1]), time.time)
while True:
    secret = Secret.generate()
    ticket = Ticket(receipt=b"%PDF-" + os.urandom(30_000), number=secret.id)
    number = outbox.accept(ticket, "till")
    print("accepted", number, flush=True)
    outbox.keep(number, secret, seal(ticket, secret), None)
    print("kept", secret.reveal().hex(), flush=True)
    if number % 3 == 0:
        outbox.note(secret.id, "stored")
    if number % 5 == 0:
        outbox.note(secret.id, "opened")
        print("opened", secret.id, flush=True)
    outbox.sweep()
"""


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
        pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(0)]),
    ],
)
def test_a_killed_till_has_everything_that_it_said_it_kept(tmp_path, kills):
    path = tmp_path / "outbox.sqlite"
    draw = random.Random(20261121)
    kept, accepted, opened = [], 0, set()

    for _ in range(kills):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
        )
        for _ in range(draw.randrange(1, 60)):
            kind, value = writer.stdout.readline().split()
            kept += [Secret(bytes.fromhex(value))] if kind == "kept" else []
            accepted = max(accepted, int(value)) if kind == "accepted" else accepted
            opened |= {value} if kind == "opened" else set()
        writer.kill()  # somewhere in what follows the last line it could write
        writer.stdout.close()
        writer.wait()

        with Outbox(path, lambda: 1_800_000_000.0) as outbox:
            assert outbox._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            states = {entry.id: entry.state for entry in outbox.entries()}
            for secret in kept:
                assert secret.id in states
                envelope = outbox.envelope(secret.id)
                if secret.id in opened:
                    assert envelope is None
                elif envelope is not None:
                    assert unseal(envelope, secret).number == secret.id
                else:
                    assert states[secret.id] == "opened"
            (numbers,) = outbox._connection.execute("SELECT max(receipt_number) FROM receipts")
            assert numbers[0] >= accepted

    assert len(kept) > kills
