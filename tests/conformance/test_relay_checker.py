"""The relay's half of the conformance kit passes our relay, and finds one that errs."""

import http.client
import json
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import stage

FOLDER = Path(__file__).parent
TEXT = (FOLDER.parents[1] / "spec" / "relay.md").read_text(encoding="utf-8")


def start(origin, *arguments):
    return subprocess.Popen(
        [sys.executable, FOLDER / "check_relay.py", origin, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=110)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A closed relay with pages, and an open one without."""
    closed = stage.Relay(tmp_path_factory.mktemp("closed"))
    closed.leave = closed.folder / "permit"
    closed.leave.write_text(closed.permit() + "\n")
    opened = stage.Relay(tmp_path_factory.mktemp("open"), "--open", pages=False)
    yield {"closed": closed.start(), "open": opened.start()}
    closed.stop()
    opened.stop()


@pytest.fixture(scope="module")
def results(running):
    """Both at once: most of the time is spent waiting for what takes 25 s."""
    closed = running["closed"]
    processes = {
        "closed": start(closed.origin, "--permit-file", closed.leave),
        "open": start(running["open"].origin),
    }
    return {mode: finish(process) for mode, process in processes.items()}


@pytest.mark.parametrize("mode", ["closed", "open"])
def test_our_relay_passes(results, mode):
    code, out, err = results[mode]

    assert code == 0, out + err
    assert " 0 failed" in out


@pytest.mark.parametrize("mode", ["closed", "open"])
def test_every_rule_of_the_text_is_told_once(results, mode):
    _, out, _ = results[mode]
    told = re.findall(r"(?m)^(R[0-9]+) +(passed|not checked here: .+)", out)

    assert [rule for rule, _ in told] == re.findall(r"`\[(R[0-9]+)\]`", TEXT)
    assert "does not know" not in out


def test_what_a_mode_or_missing_pages_hide_is_told(results):
    assert "R30   not checked here: this relay is open" in results["open"][1]
    assert "R121  not checked here: this relay serves no pages" in results["open"][1]
    assert "R121  passed" in results["closed"][1]
    assert "R30   passed" in results["closed"][1]


def test_a_closed_relay_asks_for_a_permit(running):
    code, _, err = finish(start(running["closed"].origin))

    assert code == 1
    assert err == "this relay is closed: give a permit with --permit-file\n"


def test_a_relay_that_is_not_there_is_told_in_a_sentence():
    code, _, err = finish(start(f"http://127.0.0.1:{stage.free_port()}"))

    assert code == 1
    assert err.startswith("no relay answers at ")


@contextmanager
def wrong_relay(port, change):
    """Our relay behind something that changes its answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            length = self.headers.get("Content-Length")
            body = None if length is None else self.rfile.read(int(length))
            headers = {
                name: text
                for name, text in self.headers.items()
                if name not in {"Host", "Content-Length"}
            }
            connection.request(self.command, self.path, body, headers)
            got = connection.getresponse()
            status, headers, body = change(self, got.status, dict(got.getheaders()), got.read())
            connection.close()
            self.send_response_only(status)
            headers.pop("Content-Length", None)
            for name, text in headers.items():
                self.send_header(name, text)
            if status not in {204, 304}:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward  # noqa: N815 - http.server's

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def forgets_a_header(_, status, headers, body):
    if status == 410:
        del headers["Cache-Control"]
    return status, headers, body


def takes_what_is_gone_for_absent(_, status, headers, body):
    if status == 410:
        problem = {"type": "urn:e2ee-ticket:absent", "title": "x", "status": 404}
        return 404, headers, json.dumps(problem).encode()
    return status, headers, body


def takes_every_upload(handler, status, headers, body):
    if handler.command == "PUT" and status == 409:
        return 201, headers | {"Content-Type": "application/json"}, b'{"state": "stored"}'
    return status, headers, body


def lies_about_its_type(_, status, headers, body):
    if status == 404:
        return status, headers | {"Content-Type": "application/json"}, body
    return status, headers, body


@pytest.mark.parametrize(
    ("change", "only", "line"),
    [
        (forgets_a_header, "R51", r"R1    FAILED  GET /v1/t/… \(410\): Cache-Control is None"),
        (takes_what_is_gone_for_absent, "R51",
         r"R51   FAILED  GET /v1/t/…: expected 410 gone \(revoked\), got 404 absent"),
        (takes_every_upload, "R38", "R38   FAILED  PUT /v1/t/…: expected 409 taken, got 201"),
        (takes_every_upload, "R42", "R42   FAILED  two uploads at once: expected"),
        (takes_every_upload, "R114", "R114  FAILED  two answers at once: got"),
        (lies_about_its_type, "R50", r"R2    FAILED  GET /v1/t/… \(404\): not a problem"),
    ],
)  # fmt: skip
def test_a_relay_that_errs_is_found(running, change, only, line):
    with wrong_relay(running["open"].port, change) as origin:
        code, out, err = finish(start(origin, "--only", only))

    assert code == 1, out + err
    assert re.search("(?m)^" + line, out), out
