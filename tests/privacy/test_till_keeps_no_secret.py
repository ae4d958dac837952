"""A till forgets the secret: whatever happens, S and the link are in no file, list or log of it."""

import socket
import sqlite3
from contextlib import closing

import pytest
import stage
from privacy import canaries, traces

from e2ee_ticket import Link, Secret

pytestmark = pytest.mark.rule("T3")


def the_secret(link):
    needles = traces.Needles()
    needles.data("S", link.secret.reveal())
    needles.data("the ticket's key", link.secret.key())
    needles.data("the ticket's nonce key", link.secret.nonce_key())
    needles.digits("the link", link.digits())
    return needles


def the_id(link):
    needles = traces.Needles()
    needles.data("the id", bytes.fromhex(link.secret.id))
    return needles


def the_receipt():
    needles = traces.Needles()
    for name, text in canaries.TEXTS.items():
        needles.text(name, text)
    return needles


class Register:
    """A till with folders of its own; the receipt lies outside of them, as the shop's program's."""

    def __init__(self, folder, relay, permit=None):
        self.till = stage.Till(folder / "till", relay, permit=permit)
        self.till.environment["TMPDIR"] = str(self.till.folder / "tmp")
        (self.till.folder / "tmp").mkdir()
        self.receipt = folder / canaries.NAME
        self.receipt.write_bytes(canaries.receipt())
        self.process = None

    def send(self, *arguments):
        """Begin to send with all the talk there is; return the link when it has been shown."""
        self.process = self.till.popen(
            "--debug", "send", "--link", "--debug", "--title", canaries.TITLE,
            "--total", canaries.TOTAL, "--number", canaries.NUMBER, *arguments, str(self.receipt),
        )  # fmt: skip
        return Link.parse(self.process.stdout.readline())

    def end(self):
        stdout, stderr = self.process.communicate(timeout=30)
        return {"stdout after the link": stdout.encode(), "stderr": stderr.encode()}

    @property
    def files(self):
        return traces.files_in(self.till.folder)


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    running = stage.Relay(tmp_path_factory.mktemp("relay"), pages=False)
    running.leave = running.permit()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def register(tmp_path, relay):
    return Register(tmp_path, relay.origin, relay.leave)


@pytest.fixture
def nobody():
    """A relay's address at which nobody answers: a connection is taken, and that is all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def cut_off(tmp_path, nobody):
    return Register(tmp_path, f"http://127.0.0.1:{nobody.getsockname()[1]}")


def read_until(connection, wanted):
    data = b""
    while wanted not in data:
        more = connection.recv(65536)
        assert more
        data += more


def test_while_a_sale_runs_the_secret_is_in_its_memory_alone(register, relay):
    link = register.send("--wait")
    stage.wait_for(lambda: relay.state(link) == "stored", "the upload")

    assert traces.find_in(traces.processes(), the_secret(link)) == {}
    assert traces.find_in(register.files, the_secret(link)) == {}

    relay.mark(link, "received")
    told = register.end()
    assert register.process.returncode == 0
    assert traces.find_in(told, the_secret(link)) == {}


def test_after_a_sale_neither_secret_nor_receipt_is_left(register, relay):
    link = register.send("--wait")
    stage.wait_for(lambda: relay.state(link) == "stored", "the upload")
    kept = register.files
    relay.mark(link, "received")
    register.end()

    assert traces.find_in(kept, the_receipt())  # until the customer has it
    assert traces.find_in(register.files, the_secret(link)) == {}
    assert traces.find_in(register.files, the_receipt()) == {}
    assert traces.find_in(register.files, the_id(link)).keys() == {"outbox.sqlite"}


def test_an_outbox_that_waits_for_the_relay_holds_no_secret(cut_off):
    link = cut_off.send("--timeout", "2")
    told = cut_off.end()

    assert cut_off.process.returncode == 75
    assert traces.find_in(cut_off.files, the_id(link))
    assert traces.find_in(cut_off.files | told, the_secret(link)) == {}


def test_a_till_that_is_killed_in_the_middle_leaves_no_secret(cut_off, nobody, relay):
    link = cut_off.send()
    connection, _ = nobody.accept()
    with connection:
        read_until(connection, b"tkt/v1\r\n")
        cut_off.process.kill()
        told = cut_off.end()
    files = cut_off.files

    assert {"outbox.sqlite", "outbox.sqlite-wal"} <= files.keys()
    assert traces.find_in(files, the_id(link))
    assert traces.find_in(files | told, the_secret(link)) == {}

    # A minute later the next process finishes it, and has no secret to do it with.
    with closing(sqlite3.connect(cut_off.till.folder / "outbox.sqlite")) as outbox, outbox:
        outbox.execute("UPDATE tickets SET claimed_until = 0")
    cut_off.till.environment |= {
        "E2EE_TICKET_RELAY": relay.origin,
        "E2EE_TICKET_PERMIT": relay.leave,
    }
    done = cut_off.till.run("--debug", "outbox", "flush")
    assert relay.state(link) == "stored"
    assert traces.find_in(cut_off.files, the_secret(link)) == {}
    assert the_secret(link).find((done.stdout + done.stderr).encode()) == []


def test_a_sale_that_fails_prints_no_secret(cut_off, tmp_path):
    """--debug shows tracebacks; a traceback shows no secret."""
    (cut_off.till.folder / "outbox.sqlite").write_bytes(b"this is no database" * 100)
    link = cut_off.send("--timeout", "1", "--svg", str(tmp_path / "no such folder" / "code.svg"))
    told = cut_off.end()

    assert cut_off.process.returncode != 0
    assert told["stderr"]
    assert traces.find_in(cut_off.files | told, the_secret(link)) == {}


@pytest.mark.parametrize("write", ["{link}", "x{link}", "{digits}", "--title={digits}"])
def test_a_link_on_the_command_line_is_refused_and_not_repeated(register, write):
    link = Link("https://receipts.example", Secret.generate())

    done = register.till.run(
        "open", write.format(link=link.reveal(), digits=link.digits()), check=False
    )

    assert done.returncode == 2
    assert the_secret(link).find((done.stdout + done.stderr).encode()) == []


@pytest.mark.browser
def test_a_till_with_a_display_writes_down_the_pairing_and_not_the_ticket(whole_sale):
    files = traces.files_in(whole_sale.till.folder)
    pairing = traces.Needles()
    pairing.data("P", whole_sale.pairing.secret.reveal())

    assert traces.find_in(files, the_secret(whole_sale.link)) == {}
    assert traces.find_in(files, pairing).keys() == {"displays.json"}
    assert (whole_sale.till.folder / "displays.json").stat().st_mode & 0o077 == 0


def test_the_search_sees_what_a_process_shows(register, relay):
    """The control: the same searches find what is known to be there."""
    link = register.send("--wait")
    title = traces.Needles()
    title.text("the title", canaries.TEXTS["the title"])
    permit = traces.Needles()
    permit.text("the permit", relay.leave)

    seen = traces.processes()

    assert f"{register.process.pid} cmdline" in traces.find_in(seen, title)
    assert f"{register.process.pid} environ" in traces.find_in(seen, permit)
    stage.wait_for(lambda: relay.state(link) == "stored", "the upload")
    relay.mark(link, "received")
    register.end()
