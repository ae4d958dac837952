"""The real command against a real relay; bad input gets one line and a hint.

Each command runs as a process at least once (`run_apart`), the rest of them in this one.
"""

import contextlib
import json
import os
import re
import socketserver
import subprocess
import sys
import threading
import time

import pytest
import stage
from near import NearTill

from e2ee_ticket.protocol.link import Link

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
COMMANDS = [
    [],
    ["send"],
    ["open"],
    ["inspect"],
    ["display"],
    ["display", "add"],
    ["display", "list"],
    ["display", "test"],
    ["display", "remove"],
    ["outbox"],
    ["outbox", "list"],
    ["outbox", "flush"],
    ["revoke"],
    ["agent"],
    ["console"],
    ["setup"],
    ["check"],
    ["page"],
    ["page", "verify"],
    ["config"],
    ["config", "export"],
    ["config", "import"],
    ["config", "permit"],
    ["service"],
    ["service", "install"],
    ["service", "remove"],
    ["service", "status"],
    ["uninstall"],
]


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    relay = stage.Relay(tmp_path_factory.mktemp("relay"), "--open").start()
    yield relay
    relay.stop()


@pytest.fixture
def till(relay, tmp_path):
    till = NearTill(tmp_path / "till", relay.origin)
    (till.folder / "receipt.pdf").write_bytes(PDF)
    return till


def refused(done, code, message, hint=None):
    """One line that says what is wrong, perhaps one that says what to do; never a traceback."""
    assert done.returncode == code, done.stderr
    lines = done.stderr.splitlines()
    assert all(line.startswith(("e2ee-ticket: ", "hint: ")) for line in lines), done.stderr
    assert message in done.stderr, done.stderr
    if hint is not None:
        assert any(hint in line for line in lines if line.startswith("hint: ")), done.stderr
    assert "Traceback" not in done.stderr


def last_line(done):
    return done.stdout.splitlines()[-1]


# Help


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(till, command):
    done = till.run(*command, "--help")

    assert "example:" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert done.stderr == ""


def test_no_command_at_all_is_misuse(till):
    refused(till.run_apart(check=False), 2, "required: COMMAND", "--help")


def test_an_unknown_option_is_misuse(till):
    refused(till.run_apart("send", "--prety", "receipt.pdf", check=False), 2, "--prety", "--help")


def test_it_says_its_version(till):
    assert till.run_apart("--version").stdout.startswith("e2ee-ticket 0.")


def test_it_runs_as_a_module(till):
    done = subprocess.run(
        [sys.executable, "-m", "e2ee_ticket", "--version"],
        env=till.environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.startswith("e2ee-ticket 0.")


# A sale


def test_a_receipt_travels_from_till_to_phone_byte_for_byte(till):
    link = till.run_apart("send", "--link", "receipt.pdf").stdout.strip()
    done = till.run_apart("open", "-o", "out.pdf", stdin=link)

    assert (till.folder / "out.pdf").read_bytes() == PDF
    assert done.stdout == "out.pdf\n"


@pytest.mark.rule("T4")
def test_link_prints_the_link_alone(till):
    out = till.run("send", "--link", "receipt.pdf").stdout

    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/#[0-9]{85}\n", out)


def test_json_prints_one_object_per_event(till):
    out = till.run("send", "--json", "receipt.pdf").stdout
    events = [json.loads(line) for line in out.splitlines()]

    assert [event["state"] for event in events] == ["sealed", "stored"]
    assert set(events[0]) == {"id", "state", "shown", "expires_in"}
    assert events[1]["expires_in"] == 259_200
    assert events[1]["shown"] is None


def test_without_options_the_code_is_the_result(till):
    done = till.run("send", "--total", "54,64 €", "receipt.pdf")

    assert "▀" in done.stdout
    assert last_line(done) == "54,64 €"
    assert "uploaded; the relay keeps it for 3 days" in done.stderr


def test_the_secret_is_nowhere_but_on_the_screen(till):
    link = Link.parse(till.run("send", "--link", "receipt.pdf").stdout)
    done = till.run("send", "--json", "receipt.pdf")

    kept = b"".join(path.read_bytes() for path in till.folder.iterdir() if path.is_file())
    for form in (link.secret.reveal(), link.secret.reveal().hex().encode(), link.digits().encode()):
        assert form not in kept
    assert not re.search(r"[0-9]{20}", done.stdout.replace(json.loads(last_line(done))["id"], ""))


def test_a_receipt_comes_from_stdin_too(till):
    done = subprocess.run(
        [stage.BIN / "e2ee-ticket", "send", "--link", "-"],
        env=till.environment, input=PDF, check=True, capture_output=True,
    )  # fmt: skip
    till.run("open", "-o", "out.pdf", stdin=done.stdout.decode())

    assert (till.folder / "out.pdf").read_bytes() == PDF


def test_what_is_said_of_the_receipt_arrives_with_it(till):
    link = till.run("send", "--link", "--title", "Shop", "--total", "5 €", "receipt.pdf").stdout
    done = till.run("open", stdin=link)

    assert "e2ee-ticket: Shop\n" in done.stderr
    assert "e2ee-ticket: 5 €\n" in done.stderr


def test_the_code_is_drawn_into_files_for_their_owner_alone(till):
    till.run("send", "--svg", "code.svg", "--png", "code.png", "receipt.pdf")

    assert b"<svg" in (till.folder / "code.svg").read_bytes()
    assert (till.folder / "code.png").read_bytes().startswith(b"\x89PNG")
    if sys.platform != "win32":
        assert (till.folder / "code.png").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name != "posix", reason="there are no such rights on Windows")
def test_a_code_is_not_drawn_into_a_file_that_others_have_open(till):
    (till.folder / "code.svg").touch(mode=0o666)
    (till.folder / "code.svg").chmod(0o666)
    (till.folder / "elsewhere").write_bytes(b"kept")
    (till.folder / "code.png").symlink_to(till.folder / "elsewhere")
    with (till.folder / "code.svg").open("rb") as others:
        till.run("send", "--svg", "code.svg", "--png", "code.png", "receipt.pdf")

        assert others.read() == b""
    for name in ("code.svg", "code.png"):
        assert (till.folder / name).stat().st_mode & 0o777 == 0o600
    assert (till.folder / "elsewhere").read_bytes() == b"kept"


def test_waiting_ends_when_the_customer_has_saved_it(till):
    sale = stage.Sale(till, "--link", "--wait=received", "receipt.pdf")
    link = stage.wait_for(lambda: read_line(sale), "the link")
    sale.wait_for_state("stored")
    till.run("open", stdin=link)

    code, _ = sale.end()

    assert code == 0
    assert [event["state"] for event in sale.events] == ["sealed", "stored", "opened", "received"]


def read_line(sale):
    """The link comes before the events."""
    with contextlib.suppress(TypeError, BlockingIOError):
        sale._text += sale.process.stdout.read() or ""
    if "\n" not in sale._text:
        return None
    line, _, sale._text = sale._text.partition("\n")
    return line


def test_waiting_for_opened_ends_at_opened(till):
    sale = stage.Sale(till, "--wait=opened", "--svg", "code.svg", "receipt.pdf")
    ticket_id = sale.wait_for_state("stored")["id"]
    till.run("revoke", ticket_id)

    code, _ = sale.end()

    assert code == 1
    assert sale.events[-1]["state"] == "revoked"


def test_waiting_can_have_an_end(till):
    done = till.run("send", "--wait", "--timeout", "1", "receipt.pdf", check=False)

    refused(done, 75, "stopped waiting: the ticket is stored")


def test_ctrl_c_stops_cleanly(till):
    sale = stage.Sale(till, "--wait=received", "receipt.pdf")
    sale.wait_for_state("stored")
    sale.process.send_signal(2)

    code, told = sale.end()

    assert code == 130
    assert "its link keeps working" in told
    assert "Traceback" not in told


def test_two_sales_at_once_do_not_disturb_each_other(till):
    sales = [stage.Sale(till, "receipt.pdf") for _ in range(3)]

    assert [sale.end()[0] for sale in sales] == [0, 0, 0]


def test_open_never_overwrites(till):
    link = till.run("send", "--link", "receipt.pdf").stdout
    done = till.run("open", stdin=link)
    assert done.stdout == "receipt (2).pdf\n"

    refused(
        till.run("open", "-o", "receipt.pdf", stdin=link, check=False),
        1,
        "receipt.pdf exists already",
        "-o",
    )


def test_open_can_be_silent_towards_the_relay(till):
    out = till.run("send", "--link", "--json", "receipt.pdf").stdout.splitlines()
    till.run("open", "--no-ack", "-o", "out.pdf", stdin=out[0])
    listed = till.run("send", "--json", "--wait=opened", "--timeout", "1", "receipt.pdf",
                      check=False)  # fmt: skip

    assert listed.returncode == 75


def test_open_writes_to_a_pipe(till):
    link = till.run("send", "--link", "receipt.pdf").stdout
    done = till.run_apart("open", "-o", "-", stdin=link)

    assert done.stdout.encode() == PDF


# Bad input


def test_not_a_pdf(till):
    (till.folder / "x.pdf").write_bytes(b"<html>")
    refused(till.run_apart("send", "x.pdf", check=False), 1, "not a PDF", "PDF")


def test_empty(till):
    (till.folder / "x.pdf").write_bytes(b"")
    refused(till.run("send", "x.pdf", check=False), 1, "empty", "PDF")


@pytest.mark.rule("T15")
def test_too_large(till):
    (till.folder / "x.pdf").write_bytes(PDF + bytes(4 * 1024 * 1024))
    refused(till.run("send", "x.pdf", check=False), 1, "too large", "4 MiB")


def test_as_large_as_fits(till):
    (till.folder / "x.pdf").write_bytes(PDF + bytes(range(256)) * 15_500)
    assert till.run("send", "--json", "x.pdf").returncode == 0


def test_unreadable(till):
    refused(till.run("send", "x.pdf", check=False), 1, "x.pdf cannot be read: no such file")
    refused(till.run("send", ".", check=False), 1, "cannot be read")


@pytest.mark.rule("T13")
def test_texts_too_long(till):
    done = till.run("send", "--total", "x" * 65, "receipt.pdf", check=False)
    refused(done, 1, "the total is longer than 64 characters")
    assert done.stdout == ""


def test_an_encrypted_pdf_is_delivered_and_told(till):
    import pikepdf

    with pikepdf.new() as pdf:
        pdf.add_blank_page()
        pdf.save(till.folder / "x.pdf", encryption=pikepdf.Encryption(user="u", owner="o"))
    done = till.run("send", "--json", "x.pdf")

    assert "encrypted" in done.stderr


def test_no_relay(till):
    del till.environment["E2EE_TICKET_RELAY"]
    refused(till.run("send", "receipt.pdf", check=False), 2, "no relay", "E2EE_TICKET_RELAY")


def test_a_plain_http_relay_elsewhere(till):
    till.environment["E2EE_TICKET_RELAY"] = "http://relay.example"
    refused(till.run("send", "receipt.pdf", check=False), 2, "must be https://")


def test_an_unknown_key(till):
    (till.folder / "config.toml").write_text('relais = "x"')
    refused(till.run("display", "list", check=False), 2, "did you mean relay?")


@pytest.fixture(scope="module")
def closed_relay(tmp_path_factory):
    relay = stage.Relay(tmp_path_factory.mktemp("closed")).start()
    yield relay
    relay.stop()


def test_no_permit_and_later_one(till, closed_relay):
    till.environment["E2EE_TICKET_RELAY"] = closed_relay.origin
    done = till.run("send", "--json", "receipt.pdf", check=False)
    refused(done, 1, "only with a permit", "E2EE_TICKET_PERMIT")
    assert "kept in the outbox" in done.stderr

    till.environment["E2EE_TICKET_PERMIT"] = closed_relay.permit()

    assert "is uploaded now" in till.run_apart("outbox", "flush").stderr
    assert till.run_apart("outbox", "list").stdout.split()[-1] == "stored"


def test_a_wrong_permit(till, closed_relay):
    till.environment["E2EE_TICKET_RELAY"] = closed_relay.origin
    till.environment["E2EE_TICKET_PERMIT"] = "w" * 43
    done = till.run("send", "--json", "receipt.pdf", check=False)

    refused(done, 1, "does not take this permit", "E2EE_TICKET_PERMIT")
    assert "w" * 43 not in done.stderr


def test_a_relay_that_is_away_and_comes_back(till, tmp_path):
    relay = stage.Relay(tmp_path / "relay", "--open")
    till.environment["E2EE_TICKET_RELAY"] = relay.origin
    done = till.run("send", "--json", "--timeout", "2", "receipt.pdf", check=False)
    refused(done, 75, "relay is away, next try in 1 s", "outbox flush")
    assert "not uploaded yet" in till.run("outbox", "list").stdout
    relay.start()
    try:
        told = till.run("send", "--json", "receipt.pdf").stderr

        assert "of the outbox is uploaded now" in told
        assert "not uploaded" not in till.run("outbox", "list").stdout
    finally:
        relay.stop()


def test_ctrl_c_while_the_relay_is_away_keeps_the_ticket(till):
    till.environment["E2EE_TICKET_RELAY"] = f"http://127.0.0.1:{stage.free_port()}"
    sale = stage.Sale(till, "receipt.pdf")
    sale.wait_for_state("sealed")
    sale.process.send_signal(2)

    code, told = sale.end()

    assert code == 130
    assert "kept in the outbox" in told
    assert "not uploaded yet" in till.run("outbox", "list").stdout


@contextlib.contextmanager
def answering(reply):
    """Something at the relay's address that is no relay, or is one in trouble."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            data = b""
            while b"\r\n\r\n" not in data:
                data += self.request.recv(65536)
            head, _, body = data.partition(b"\r\n\r\n")
            found = re.search(rb"(?i)content-length: *([0-9]+)", head)
            while found and len(body) < int(found[1]):
                body += self.request.recv(65536)
            self.request.sendall(reply)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def problem(status, kind):
    body = json.dumps({"type": f"urn:e2ee-ticket:{kind}", "title": kind, "status": status}).encode()
    return (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body


def test_a_full_relay(till):
    with answering(problem(507, "full")) as origin:
        till.environment["E2EE_TICKET_RELAY"] = origin
        done = till.run("send", "--json", "--timeout", "1", "receipt.pdf", check=False)

    refused(done, 75, "no room for another envelope, next try in", "outbox flush")


def test_a_truncated_response(till):
    cut = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 16384\r\n"
    link = till.run("send", "--link", "receipt.pdf").stdout
    with answering(cut + b"\r\ntkt/v1\r\nhalf") as origin:
        till.environment["E2EE_TICKET_RELAY"] = origin
        done = till.run("open", "-o", "out.pdf", stdin=link, check=False)

    refused(done, 75, "the connection to the relay broke", "network")
    assert not (till.folder / "out.pdf").exists()


@pytest.mark.rule("T20")
def test_a_wrong_length_envelope(till):
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 9\r\n"
    link = till.run("send", "--link", "receipt.pdf").stdout
    with answering(reply + b"Connection: close\r\n\r\ntkt/v1\r\n!") as origin:
        till.environment["E2EE_TICKET_RELAY"] = origin
        done = till.run("open", stdin=link, check=False)

    refused(done, 1, "not a length that an envelope has", "paper")


@pytest.mark.rule("T9")
@pytest.mark.parametrize("damage", ["short", "digit", "group", "letters", "empty"])
def test_a_damaged_link_is_told_as_damaged_and_asks_no_relay(till, damage):
    link = till.run("send", "--link", "receipt.pdf").stdout.strip()
    digit = "0" if link[-6] != "0" else "1"
    text = {
        "short": link[:-1],
        "digit": link[:-6] + digit + link[-5:],
        "group": link[:-85] + "99999" + link[-80:],
        "letters": "hello",
        "empty": "",
    }[damage]
    till.environment["E2EE_TICKET_RELAY"] = "http://127.0.0.1:1"  # nothing answers there
    done = till.run("open", stdin=text, check=False)

    refused(done, 1, "", "scan or copy the whole link again")
    assert "damaged" in done.stderr or "whole link" in done.stderr or "85 digits" in done.stderr


@pytest.mark.rule("T7")
def test_a_group_above_65535_is_damage(till):
    done = till.run("open", stdin="https://a.example/#" + "65536" * 17, check=False)

    refused(done, 1, "the digits of the link are damaged")


def test_a_pairing_link_is_not_a_tickets(till):
    link = till.run("display", "add", "--link", "--no-wait", "T").stdout
    refused(till.run("open", stdin=link, check=False), 1, "not a whole link", "whole link")


def test_a_link_on_the_command_line_is_refused_and_not_repeated(till):
    link = till.run("send", "--link", "receipt.pdf").stdout.strip()
    done = till.run("open", link, check=False)

    refused(done, 2, "can be read by everybody", "stdin")
    assert link[-20:] not in done.stderr


def test_a_revoked_ticket(till):
    out = till.run("send", "--link", "--json", "receipt.pdf").stdout.splitlines()
    ticket_id = json.loads(out[-1])["id"]
    assert "is revoked" in till.run_apart("revoke", ticket_id[:8]).stderr

    refused(till.run("open", stdin=out[0], check=False), 1, "gone: revoked", "paper")


def test_revoking_what_is_not_ours(till):
    refused(till.run("revoke", "0" * 32, check=False), 1, "no ticket", "outbox list")
    refused(till.run("revoke", "xyz", check=False), 2, "32 hex digits")


def test_a_state_directory_that_cannot_be_used_does_not_stop_the_sale(till):
    till.environment["E2EE_TICKET_STATE"] = str(till.folder / "receipt.pdf" / "no")
    done = till.run("send", "--json", "receipt.pdf")

    assert json.loads(last_line(done))["state"] == "stored"
    assert "nothing is kept if the upload fails" in done.stderr


def test_a_full_disk_does_not_stop_the_sale(till):
    """A file size limit stands in for the disk."""
    if sys.platform == "win32":
        pytest.skip("no file size limits")
    till.run("send", "--json", "receipt.pdf")
    (till.folder / "big.pdf").write_bytes(PDF + os.urandom(1_500_000))
    done = subprocess.run(
        ["sh", "-c", f"ulimit -f 1000; exec '{stage.BIN / 'e2ee-ticket'}' send --json big.pdf"],
        env=till.environment, cwd=till.folder, check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert json.loads(last_line(done))["state"] == "stored", done.stderr
    assert "the ticket is not in the outbox" in done.stderr
    assert done.returncode == 0


def test_a_clock_a_year_off_changes_nothing_for_a_sale(till):
    """Nothing on the wire is an absolute time; only the time written on the receipt is wrong."""
    year = 365 * 24 * 3600
    (till.folder / "sitecustomize.py").write_text(
        f"import time\nreal = time.time\ntime.time = lambda: real() + {year}\n"
    )
    honest = dict(till.environment)
    till.environment["PYTHONPATH"] = str(till.folder)
    link = till.run_apart("send", "--link", "receipt.pdf").stdout
    till.environment = honest

    till.run("open", "-o", "out.pdf", stdin=link)
    assert till.run("outbox", "list").stdout.count("stored") == 1


def test_a_faulty_program_says_so_in_one_line(till):
    (till.folder / "displays.json").write_text("{")
    refused(till.run("display", "list", check=False), 2, "displays.json is damaged")


def test_debug_shows_the_traceback(till):
    (till.folder / "displays.json").write_text("{")
    assert "Traceback" in till.run_apart("--debug", "display", "list", check=False).stderr


# Displays


def test_pairing_shows_address_and_digits_in_groups_of_five(till, relay):
    out = till.run_apart("display", "add", "--no-wait", "Till 1").stdout

    assert f"{relay.origin}/d" in out
    groups = re.findall(r"(?<![0-9:])[0-9]{5}(?![0-9/])", out)
    assert len(groups) == 17
    assert till.run_apart("display", "list").stdout == "Till 1\n"


@pytest.mark.rule("C3")
def test_the_pairing_link_alone(till, relay):
    out = till.run("display", "add", "--no-wait", "--link", "Till 1").stdout

    assert re.fullmatch(re.escape(relay.origin) + r"/d#[0-9]{85}\n", out)


def test_a_display_is_removed(till):
    till.run("display", "add", "--no-wait", "Till 1")
    till.run_apart("display", "remove", "till 1")

    assert till.run("display", "list").stdout == ""


def test_a_display_is_not_removed_while_the_relay_cannot_be_told(till):
    till.run("display", "add", "--no-wait", "Till 1")
    till.environment["E2EE_TICKET_RELAY"] = "http://127.0.0.1:1"
    refused(till.run("display", "remove", "Till 1", check=False), 75, "stays paired", "--forget")

    till.run("display", "remove", "--forget", "Till 1")

    assert till.run("display", "list").stdout == ""


def test_a_display_that_is_not_there_does_not_pass_the_test(till):
    till.run("display", "add", "--no-wait", "Till 1")

    refused(
        till.run_apart("display", "test", "--timeout", "1", "Till 1", check=False),
        1,
        "does not show the test",
        "tablet",
    )


@pytest.mark.rule("C37")
def test_a_code_that_the_display_does_not_show_is_drawn_here(till):
    till.run("display", "add", "--no-wait", "Till 1")
    begin = time.monotonic()
    done = till.run("send", "--display", "Till 1", "receipt.pdf", check=False)

    refused(done, 1, "does not show it: the code is shown here instead", "tablet")
    assert "▀" in done.stdout
    assert "uploaded" in done.stderr
    assert time.monotonic() - begin < 10


def test_an_unknown_display_does_not_stop_the_sale(till):
    done = till.run("send", "--display", "No such", "receipt.pdf", check=False)

    refused(done, 1, "no display is paired")
    assert "▀" in done.stdout
    assert "uploaded" in done.stderr


def test_a_display_that_the_agent_drives_is_not_taken_from_it(till):
    from e2ee_ticket.till.lock import lock

    till.run("display", "add", "Till 1", "--no-wait")
    with lock(till.folder):
        sent = till.run("send", "--display", "Till 1", "receipt.pdf", check=False)
        tested = till.run("display", "test", "Till 1", check=False)
        added = till.run("display", "add", "Till 2")

    assert "the agent runs and drives the displays" in sent.stderr
    assert "the code is shown here instead" in sent.stderr
    refused(tested, 2, "the agent runs and drives the displays")
    assert "the agent drives it from now on" in added.stderr


def test_an_unpaired_display_does_not_stop_the_sale(till):
    till.run("display", "add", "--no-wait", "Till 1")
    kept = (till.folder / "displays.json").read_text()
    till.run("display", "remove", "Till 1")
    (till.folder / "displays.json").write_text(kept)  # another till removed it
    done = till.run("send", "--display", "Till 1", "receipt.pdf", check=False)

    refused(done, 1, "Till 1: the display was unpaired", "display add")
    assert "▀" in done.stdout
    assert "uploaded" in done.stderr


# Inspecting


def test_inspect_shows_what_anyone_sees_of_an_envelope(till):
    from e2ee_ticket import Secret, Ticket, seal

    secret = Secret.generate()
    (till.folder / "envelope.bin").write_bytes(seal(Ticket(receipt=PDF), secret))

    seen = json.loads(till.run("inspect", "--json", "envelope.bin").stdout)

    assert seen["length"] == 16384
    assert seen["version"] == 1
    assert seen["token_hash"] == secret.token_hash().hex()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"tkt/v1\r\n" + bytes(100), "not a length"),
        (b"tkt/v2\r\n" + bytes(16376), "version"),
        (b"nothing", "neither an envelope nor a PDF"),
        (b"", "neither an envelope nor a PDF"),
    ],
)
def test_inspect_says_what_is_wrong(till, data, message):
    (till.folder / "x").write_bytes(data)

    refused(till.run("inspect", "x", check=False), 1, message)


def test_inspect_looks_into_a_pdf(till):
    data = (stage.Path(__file__).parents[2] / "data" / "dolibarr_sponge_invoice.pdf").read_bytes()
    (till.folder / "x.pdf").write_bytes(data)
    seen = json.loads(till.run_apart("inspect", "--json", "x.pdf").stdout)

    assert seen["kind"] == "receipt"
    assert seen["pages"] >= 1


# At a terminal


def at_a_terminal(till, *arguments, typed=""):
    """Run the command on a terminal of its own; return what stands there, and the exit code."""
    pty = pytest.importorskip("pty")
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(till.folder)
        command = stage.BIN / "e2ee-ticket"
        os.execve(command, [command, *arguments], till.environment)  # noqa: S606 - our own
    seen = b""
    if typed:
        while b"link" not in seen:
            seen += os.read(terminal, 4096)
        os.write(terminal, typed.encode() + b"\n")
    with contextlib.suppress(OSError):  # a terminal whose program has ended
        while data := os.read(terminal, 4096):
            seen += data
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return seen.decode(), os.waitstatus_to_exitcode(status)


def test_a_terminal_asks_for_the_link_and_does_not_show_it(till):
    link = till.run("send", "--link", "receipt.pdf").stdout.strip()

    seen, code = at_a_terminal(till, "open", "-o", "out.pdf", typed=link)

    assert code == 0, seen
    assert link[-20:] not in seen
    assert (till.folder / "out.pdf").read_bytes() == PDF


def test_a_pdf_is_not_written_to_a_terminal(till):
    seen, code = at_a_terminal(till, "open", "-o", "-")

    assert code == 2
    assert "a PDF is not written to a terminal" in seen


def test_a_terminal_is_no_file_to_send(till):
    seen, code = at_a_terminal(till, "send", "-")

    assert code == 1
    assert "stdin is this terminal" in seen


def test_with_link_the_code_is_drawn_where_somebody_looks(till):
    seen, code = at_a_terminal(till, "send", "--json", "receipt.pdf")

    assert code == 0
    assert "▀" in seen
