"""`relay-server check --url`: what a proxy spoils is found, and its setting is named."""

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from relays import RelayProgram, run_command

HOP = {"connection", "keep-alive", "transfer-encoding", "server", "date"}

HIDDEN = {"no etag": ("etag",), "hides": ("cache-control",)}
ADDED = {"own cors": [("Access-Control-Allow-Origin", "*")]}


@pytest.fixture
def relay(tmp_path):
    with RelayProgram(
        "--listen", "127.0.0.1:0", "--db", str(tmp_path / "relay.sqlite"), "--pages"
    ) as relay:
        yield relay


class Proxy(BaseHTTPRequestHandler):
    """A front that passes everything on, but for what it spoils."""

    protocol_version = "HTTP/1.1"
    upstream = None
    fault = ""

    def handle_one(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        lines = {name: text for name, text in self.headers.items() if name.lower() not in HOP}
        if self.fault == "no authorization":
            lines.pop("Authorization", None)
        chunked = self.fault == "chunked" and self.command == "PUT"
        if chunked:
            lines.pop("Content-Length", None)
        waits = "wait=" in self.path or self.path.endswith("/hello")
        connection = http.client.HTTPConnection(*self.upstream, timeout=20)
        try:
            connection.request(
                self.command, self.path, iter([body]) if chunked else body or None, lines,
                encode_chunked=chunked,
            )  # fmt: skip
            if self.fault == "impatient" and waits:
                connection.sock.settimeout(0.3)
            answer = connection.getresponse()
            self.pass_on(answer.status, answer.getheaders(), answer.read())
        except TimeoutError:
            self.pass_on(504, [("Content-Type", "text/html")], b"<h1>504</h1>")
        finally:
            connection.close()

    def pass_on(self, status, lines, body):
        large = int(self.headers.get("Content-Length") or 0) > 2**20
        if (self.fault == "own pages" and status in (404, 410)) or (
            self.fault == "small" and large
        ):
            status = 413 if large else status
            lines, body = [("Content-Type", "text/html")], b"<h1>Not here</h1>"
        if self.fault == "rewrites" and body.startswith(b"<!doctype"):
            body += b"<script src=//cdn.example></script>"
        hidden = HOP | {"content-length", *HIDDEN.get(self.fault, ())}
        self.send_response_only(status)
        for name, text in [*lines, *ADDED.get(self.fault, ())]:
            if name.lower() not in hidden:
                weak = self.fault == "weak etag" and name.lower() == "etag"
                self.send_header(name, f"W/{text}" if weak else text)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_OPTIONS = do_HEAD = handle_one  # noqa: N815

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def front(relay, fault):
    handler = type("Spoiling", (Proxy,), {"upstream": relay.address, "fault": fault})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def check(relay, tmp_path, fault):
    with front(relay, fault) as url:
        return run_command(
            "check", "--db", str(tmp_path / "relay.sqlite"), "--url", url, "--pages", "--wait", "2"
        )


def test_a_good_front_is_found_good_and_nothing_is_left_behind(relay, tmp_path):
    done = check(relay, tmp_path, "")
    permits = run_command("permit", "list", "--db", str(tmp_path / "relay.sqlite"))
    stats = run_command("stats", "--db", str(tmp_path / "relay.sqlite")).stdout

    assert done.returncode == 0, done.stdout
    for line in (
        "ok    front: lets 4 MiB through",
        "ok    front: a ticket was uploaded in",
        "ok    front: an envelope comes back byte for byte",
        "ok    front: a till's wait lasts 2.",
        "ok    front: 404 and 410 are the relay's own",
        "ok    front: a display got its answer after 0.",
        "ok    front: a display's wait lasts 1.",
    ):
        assert line in done.stdout
    assert permits.stdout == ""
    assert "tickets     0:" in stats
    assert "channels    0, and 0 unpaired" in stats


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("chunked", "takes the length away from uploads, 411 (nginx: proxy_request_buffering on"),
        ("own cors", "sends Access-Control-Allow-Origin 2 times: browsers refuse the answer"),
        ("hides", "takes Cache-Control away (nginx: proxy_hide_header"),
        ("own pages", "for the relay's 404 comes another page, 404 (nginx: proxy_intercept"),
        ("impatient", "a till's wait of 2 s ends after 0.3 s with 504 (nginx: proxy_read_timeout"),
        ("no etag", "takes ETag away: tills then ask without a pause"),
        ("weak etag", "weakens ETag, as compression does (nginx: gzip off"),
        ("no authorization", "an upload with a valid permit is answered 401 (it takes Authoriz"),
        ("small", "4 MiB are answered 413 (nginx: client_max_body_size 5m"),
        ("rewrites", "with another page: tills show no code (no injected scripts"),
    ],
)
def test_what_a_front_spoils_is_found_and_its_setting_named(relay, tmp_path, fault, said):
    done = check(relay, tmp_path, fault)

    assert done.returncode == 1
    assert f"FAIL  front: {said}" in done.stdout.replace("front: / is answered 200, ", "front: ")
