"""The files of deploy/relay, with the programs they are for: a sale through each proxy over TLS."""

import contextlib
import http.client
import ipaddress
import json
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
import relays
import stage
import yaml
from relays import bearer, make_envelope, run_command

DEPLOY = Path(__file__).resolve().parents[3] / "deploy" / "relay"
PATH = "/v1/t/" + "a" * 32
SPOOFED = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
R1 = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
    "Cache-Control": "no-store, no-transform",
    "X-Content-Type-Options": "nosniff",
}


def program(name, package):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    return path or stage.missing(name, f"apt-get install -y --no-install-recommends {package}")


class Front:
    """A proxy with a certificate that only the tests trust."""

    def __init__(self, process, port, authority, log):
        self.process = process
        self.port = port
        self.authority = authority
        self.log = log
        self.context = ssl.create_default_context(cafile=authority)

    def send(self, data):
        """Send bytes as another address does; return the open line."""
        line = socket.create_connection(
            ("127.0.0.1", self.port), 30, source_address=("127.0.0.9", 0)
        )
        line = self.context.wrap_socket(line, server_hostname="localhost")
        line.sendall(data)
        return line

    def ask(self, method, path, body=None, headers=None, source="127.0.0.1"):
        line = http.client.HTTPSConnection(
            "localhost", self.port, timeout=30, context=self.context, source_address=(source, 0)
        )
        try:
            line.request(method, path, body, headers or {})
            answer = line.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            line.close()


def start(arguments, port, authority, log, environment=None):
    with log.open("ab") as out:
        process = subprocess.Popen(
            arguments, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment
        )

    def answers():
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError, ssl.SSLError, http.client.HTTPException):
            return Front(process, port, authority, log).ask("GET", "/v1/info")[0]
        return None

    with stage.ended_on_failure(process):
        stage.wait_for(answers, "the proxy's start", 40)
    return Front(process, port, authority, log)


def nginx(folder, relay_port):
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        capture_output=True, check=True,
    )  # fmt: skip
    port = stage.free_port()
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("    listen [::]:443 ssl http2;\n", ""),
        ("127.0.0.1:8080", f"127.0.0.1:{relay_port}"),
        ("/etc/ssl/tickets.example.org.pem", str(certificate)),
        ("/etc/ssl/tickets.example.org.key", str(key)),
        ("/var/log/nginx/relay.log", f"{folder}/front.log"),
    ):
        assert old in text
        text = text.replace(old, new)
    places = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi",
                                                          "uwsgi", "scgi")
    )  # fmt: skip
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/front.log; "
        f"events {{}} http {{ {places} {text} }}"
    )
    (folder / "front.log").touch()
    arguments = [program("nginx", "nginx-light"), "-c", folder / "nginx.conf", "-p", folder]
    return start(arguments, port, certificate, folder / "front.log")


def caddy(folder, *relay_ports):
    path = program("caddy", "caddy")
    port, plain = stage.free_port(), stage.free_port()
    text = (DEPLOY / "Caddyfile").read_text("utf-8")
    options = f"{{\n\tskip_install_trust\n\thttp_port {plain}\n\thttps_port {port}\n"
    assert "\n{\n" in text
    (folder / "Caddyfile").write_text(text.replace("\n{\n", "\n" + options, 1))
    environment = {
        "RELAY_HOST": "localhost",
        "RELAY_UPSTREAM": " ".join(f"127.0.0.1:{each}" for each in relay_ports),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "HOME": str(folder),
        "PATH": "/usr/bin:/bin",
    }
    authority = folder / "caddy/pki/authorities/local/root.crt"
    log = folder / "front.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [path, "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"],
            stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment,
        )  # fmt: skip

    def answers():
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return (
                authority.exists()
                and Front(process, port, authority, log).ask("GET", "/v1/info")[0]
            )
        return None

    with stage.ended_on_failure(process):
        stage.wait_for(answers, "the proxy's start", 40)
    return Front(process, port, authority, log)


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def front(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("front")
    relay = stage.Relay(
        folder / "relay", "--open", "--trust-proxy", "127.0.0.1/32,::1", "--access-log"
    )
    relay.start()
    made = None
    try:
        made = request.param(folder, relay.port)
        made.relay = relay
        made.folder = folder
        yield made
    finally:
        relay.stop()
        if made is not None:
            made.process.terminate()
            made.process.wait(20)


def test_a_check_finds_nothing_wrong_with_a_relay_behind_it(front):
    done = run_command(
        "check", "--db", str(front.relay.database), "--url", f"https://localhost:{front.port}",
        "--pages", "--wait", "2", environment={"SSL_CERT_FILE": str(front.authority)},
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout
    assert "ok    front: HTTP/2" in done.stdout
    assert "ok    front: lets 4 MiB through" in done.stdout
    assert "ok    front: / is the page of this release" in done.stdout


@pytest.mark.rule("R1")
def test_a_sale_goes_through_it_and_headers_stay_as_they_are(front):
    largest = make_envelope(size=4096 * 1024, fill=b"x")
    stored = front.ask("PUT", PATH, largest, SPOOFED)
    fetched = front.ask("GET", PATH)
    opened = front.ask("POST", PATH + "/state", relays.TOKEN + b"opened")
    told = front.ask("GET", PATH + "/state?since=stored&wait=25", headers=bearer(relays.TOKEN))
    gone = front.ask("GET", "/v1/t/" + "b" * 32)

    assert [one[0] for one in (stored, fetched, opened, told, gone)] == [201, 200, 204, 200, 404]
    assert fetched[2] == largest
    assert json.loads(told[2])["state"] == "opened"
    for _, headers, _ in (stored, fetched, opened, told, gone):
        assert {name: headers.get_all(name) for name in R1} == {
            name: [text] for name, text in R1.items()
        }


@pytest.mark.rule("R1", "R2")
def test_what_it_refuses_itself_looks_like_the_relay_s_own(front):
    # It need not read such a body, so none is sent.
    status, headers, body = front.ask("PUT", PATH, None, {"Content-Length": "6000000"})

    assert status == 413
    assert json.loads(body)["type"] == "urn:e2ee-ticket:too-large"
    assert {name: headers.get_all(name) for name in R1} == {
        name: [text] for name, text in R1.items()
    }


def test_it_writes_nothing_down_that_the_relay_does_not(front):
    path = "/v1/t/" + "c0ffee" * 5 + "00"
    front.ask("GET", path, headers={"User-Agent": "CANARY-AGENT"})
    front.ask("GET", f"/{'9' * 85}")

    for file in (front.log, front.relay.log):
        text = file.read_text()
        assert "c0ffee" not in text
        assert "CANARY" not in text
        assert "9" * 20 not in text


@pytest.mark.rule("R14")
def test_uploads_that_another_address_only_announced_stop_nobody(front):
    """64 of them, 9 kB in all, stopped every upload for a minute."""
    announced = (
        f"PUT /v1/t/{'d' * 31}%x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4194304\r\n\r\nt"
    )
    lines = []
    try:
        lines += [front.send((announced % (n % 16)).encode()) for n in range(100)]
        status, _, _ = front.ask("PUT", "/v1/t/" + "e" * 32, make_envelope())
        kept = list(front.folder.rglob("client_body/*"))
    finally:
        for line in lines:
            line.close()

    assert status == 201
    assert kept == []


@pytest.mark.rule("R14")
def test_a_body_goes_on_as_it_comes_to_where_it_is_counted_and_has_a_least_rate(front):
    """A proxy that keeps bodies until they are whole has no bound for all, and no least rate."""
    before = front.relay.log.read_text().count("PUT /v1/t/{id} 400")
    line = front.send(
        f"PUT {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000001\r\n\r\n".encode()
        + make_envelope(size=8192)
    )
    try:
        # The relay has seen the length, and said no to it; the rest never comes.
        told = stage.wait_for(
            lambda: front.relay.log.read_text().count("PUT /v1/t/{id} 400") > before,
            "the relay's answer",
            20,
        )
    finally:
        line.close()

    assert told
    assert list(front.folder.rglob("client_body/*")) == []


@pytest.mark.rule("R1", "R2", "R15")
def test_a_head_that_is_too_long_is_refused_in_the_relays_words(front):
    status, headers, body = front.ask(
        "GET", PATH, headers={f"X-{number}": "y" * 3900 for number in range(8)}
    )

    assert status in {400, 431}
    if status == 400:
        assert json.loads(body)["type"] == "urn:e2ee-ticket:bad-request"
        assert {name: headers.get_all(name) for name in R1} == {
            name: [text] for name, text in R1.items()
        }


@pytest.mark.rule("R14")
def test_nginx_takes_64_uploads_at_once_from_one_address_and_says_so_to_more(tmp_path):
    relay = stage.Relay(tmp_path / "relay", "--open", pages=False)
    relay.start()
    front = nginx(tmp_path, relay.port)
    announced = f"PUT {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16384\r\n\r\nt".encode()
    lines = []
    try:
        lines += [front.send(announced) for _ in range(64)]
        lines.append(front.send(announced))
        refused = lines[-1].recv(4096)
        other, _, _ = front.ask("PUT", PATH, make_envelope())
    finally:
        for line in lines:
            line.close()
        relay.stop()
        front.process.terminate()
        front.process.wait(20)

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"urn:e2ee-ticket:overloaded" in refused
    assert other == 201


@pytest.mark.rule("R1", "R2", "R14")
def test_while_the_relay_is_away_it_says_so_in_the_relays_words(front):
    front.relay.stop()
    try:
        status, headers, body = front.ask("GET", PATH)
    finally:
        front.relay.start()
    back = stage.wait_for(lambda: front.ask("GET", "/v1/info")[0] == 200, "the relay's return")

    assert (status, json.loads(body)["type"]) == (503, "urn:e2ee-ticket:overloaded")
    assert headers["Retry-After"]
    assert headers["Content-Type"].startswith("application/problem+json")
    assert {name: headers.get_all(name) for name in R1} == {
        name: [text] for name, text in R1.items()
    }
    assert back


@pytest.mark.rule("R14")
def test_caddy_leaves_out_one_of_two_relays_that_is_away(tmp_path):
    """It cannot try an upload a second time."""
    relay = stage.Relay(tmp_path / "relay", "--open")
    relay.start()
    front = None
    try:
        front = caddy(tmp_path, relay.port, stage.free_port())
        kept = stage.wait_for(
            lambda: all(
                front.ask("PUT", f"/v1/t/{number:032x}", make_envelope())[0] in {200, 201}
                for number in range(16)
            ),
            "16 uploads one after another",
            20,
        )
    finally:
        relay.stop()
        if front is not None:
            front.process.terminate()
            front.process.wait(20)

    assert kept


# Units and containers


def test_systemd_takes_the_units_and_finds_them_safe(tmp_path):
    analyze = program("systemd-analyze", "systemd")
    for name in ("relay-server.service", "relay-server.socket"):
        text = (DEPLOY / name).read_text("utf-8")
        here = text.replace("/opt/relay-server/bin/relay-server", str(stage.BIN / "relay-server"))
        (tmp_path / name).write_text(here)
    units = [tmp_path / "relay-server.service", tmp_path / "relay-server.socket"]

    verified = subprocess.run(
        [analyze, "verify", *units], capture_output=True, text=True, check=False
    )
    safe = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=15", units[0]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    ours = [line for line in verified.stderr.splitlines() if "relay-server" in line]
    assert (verified.returncode, ours) == (0, [])
    assert safe.returncode == 0, safe.stdout


def test_the_containers_are_read_only_and_without_rights():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    file = (DEPLOY / "Containerfile").read_text("utf-8")

    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["all"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert "always" in services["redis"]["command"]
    for name in ("relay-1", "relay-2"):
        assert "/healthz" in services[name]["healthcheck"]["test"]
    assert re.search(r"^USER relay$", file, re.MULTILINE)


def test_in_compose_the_relays_believe_caddy_alone_and_nobody_but_they_reaches_the_store():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    services, networks = compose["services"], compose["networks"]
    members = {
        name: {each for each, one in services.items() if name in one["networks"]}
        for name in networks
    }
    relays = {"relay-1", "relay-2"}

    def default(text):
        return re.sub(r"\$\{[A-Z_]+:-([^}]+)\}", r"\1", text)

    address = default(services["caddy"]["networks"]["front"]["ipv4_address"])
    (subnet,) = (default(each["subnet"]) for each in networks["front"]["ipam"]["config"])

    assert members == {
        "store": {"redis", *relays},
        "front": {"caddy", *relays},
        "outside": {"caddy"},
    }
    assert networks["store"]["internal"]
    assert networks["front"]["internal"]
    for name in relays:
        assert default(services[name]["environment"]["RELAY_TRUST_PROXY"]) == f"{address}/32"
    assert ipaddress.ip_address(address) in ipaddress.ip_network(subnet)


def test_a_container_speaks_redis_and_has_the_command_that_the_manual_uses():
    file = (DEPLOY / "Containerfile").read_text("utf-8")
    compose = (DEPLOY / "compose.yaml").read_text("utf-8")

    assert "redis://" in compose
    assert "exec relay-1 relay-server " in compose
    assert "PATH=/opt/relay-server/bin:" in file


def test_the_service_and_the_container_install_what_is_tested_hash_by_hash():
    pinned = re.compile(r"(?m)^([a-z0-9-]+==[^ ]+)")
    tested = pinned.findall((DEPLOY.parents[1] / "requirements.lock").read_text("utf-8"))
    lock = (DEPLOY / "requirements.lock").read_text("utf-8")
    installed = pinned.findall(lock)

    assert set(installed) <= set(tested)
    names = {each.split("==")[0] for each in installed}
    assert {"aiohttp", "redis", "uvloop"} <= names
    assert names & {"pynacl", "cffi", "pytest", "pikepdf"} == set()
    assert lock.count("\n    --hash=sha256:") >= len(installed)
    for name in ("install.sh", "Containerfile"):
        text = (DEPLOY / name).read_text("utf-8").replace("\\\n", "")
        assert re.search(r"--require-hashes --no-deps +-r \S*requirements.lock", text), name


def test_every_file_that_the_manuals_name_is_there():
    root = DEPLOY.parents[1]
    named = set()
    for file in (root / "deploy").rglob("*.*"):
        text = file.read_text("utf-8")
        paths = re.findall(
            r"(?<![\w/])((?:deploy|spec|benchmarks|relay_server|tests)/[\w./-]*\w)", text
        )
        named |= {(file, root / path) for path in paths}
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            named.add((file, file.parent / link))

    assert len(named) > 20
    assert [(str(file), str(path)) for file, path in named if not path.exists()] == []


def test_every_variable_in_the_service_s_file_is_one_that_the_relay_reads():
    from relay_server.settings import parse_settings

    lines = (DEPLOY / "relay-server.env").read_text("utf-8").splitlines()
    environment = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
    plain, told = parse_settings([], {}), parse_settings([], environment)

    assert {name for name in environment if not name.startswith("RELAY_")} == set()
    assert told.pages is not None
    assert told.about.operator == "Example Cooperative"
    assert told.metrics == ("127.0.0.1", 9464)
    assert len(told.trust.networks) == 2
    assert plain.trust.networks == ()
