"""Port 9100 of a real agent that is killed or stopped: what was acknowledged is kept."""

import signal
import socket
import subprocess

import pytest
import stage

from e2ee_ticket.till.outbox import FILE_NAME, Outbox

CUT = b"\x1dV\x00"


class Counter:
    """An agent whose one source is a printer; no relay is there."""

    def __init__(self, folder):
        self.till = stage.Till(folder / "till", f"http://127.0.0.1:{stage.free_port()}")
        self.port = stage.free_port()
        self.log = folder / "agent.log"
        (self.till.folder / "config.toml").write_text(
            f"""
            [[source]]
            kind = "printer"
            listen = "127.0.0.1:{self.port}"
            idle_seconds = 0.5
            [console]
            listen = "127.0.0.1:{stage.free_port()}"
            """,
            encoding="utf-8",
        )
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [stage.BIN / "e2ee-ticket", "agent"],
                env=self.till.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        stage.wait_for(lambda: stage.listens(self.port), "the printer's start")

    def print(self, data):
        """Print, and return the connection."""
        line = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        line.sendall(data)
        return line

    def kept(self):
        """How many receipts there are."""
        with Outbox(self.till.folder / FILE_NAME, lambda: 0.0) as outbox:
            return len(outbox.accepted())

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def counter(tmp_path):
    made = Counter(tmp_path)
    yield made
    made.end()


def ends_in_order(line):
    """Whether the printer closes a connection rather than to reset it."""
    try:
        line.shutdown(socket.SHUT_WR)
        return line.recv(1) == b""
    except ConnectionError:
        return False
    finally:
        line.close()


def test_a_kill_right_after_the_close_loses_nothing_that_was_acknowledged(counter):
    for number in range(1, 5):
        counter.start()
        line = counter.print(b"receipt %d\n" % number + CUT)
        assert ends_in_order(line)
        counter.process.kill()
        counter.process.wait()

        assert counter.kept() == number


def test_a_kill_right_after_the_answer_loses_nothing_that_was_acknowledged(counter):
    counter.start()
    with counter.print(b"receipt\n" + CUT + b"\x10\x04\x01") as line:
        assert line.recv(1) == b"\x12"
        counter.process.kill()
        counter.process.wait()

    assert counter.kept() == 1


def test_a_stop_with_forty_jobs_keeps_what_it_acknowledges(counter):
    counter.start()
    lines = [
        counter.print(b"".join(b"%d of %d\n" % (job, line) + CUT for job in range(5)))
        for line in range(8)
    ]
    stage.wait_for(lambda: counter.kept() > 0, "the first receipt")

    counter.process.send_signal(signal.SIGTERM)
    in_order = sum(map(ends_in_order, lines))
    assert counter.process.wait(60) == 0

    lost = 40 - counter.kept()
    assert counter.kept() >= 5 * in_order
    assert lost == 0 or in_order < len(lines)
