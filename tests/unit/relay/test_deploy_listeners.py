"""Every deploy file for a web server, run: it listens where it says, and nowhere else.

A web server's administration is a listener too. Who reaches it can replace the pages, and with them
take the keys of receipts; so whoever has a process on the machine must find none.
"""

import contextlib
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import psutil
import pytest
import stage
import yaml

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
COMPOSE = DEPLOY / "relay/compose.yaml"
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


def program(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    return path or stage.missing(name, f"apt-get install -y --no-install-recommends {name}")


class Front:
    """A web server on ports of ours instead of 80 and 443."""

    def __init__(self, folder, arguments, ports, environment=None):
        self.secure, self.plain = ports
        self.log = folder / "front.log"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                arguments, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment
            )
        with stage.ended_on_failure(self.process):
            stage.wait_for(self.answers, "the web server's start", 40)

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        return self.post(self.secure, "/") is not None

    def listeners(self):
        """Return kind and port of every socket on which it, or a child of it, takes what comes."""
        root = psutil.Process(self.process.pid)
        found = set()
        for one in (root, *root.children(recursive=True)):
            for line in one.net_connections("inet"):
                if line.status == psutil.CONN_LISTEN or (line.type == UDP and not line.raddr):
                    found.add((line.type, line.laddr.port))
        return found

    def post(self, port, path):
        """Return the status of a POST, over TLS where it is spoken; None if nobody answers."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        line = http.client.HTTPConnection("localhost", port, timeout=10)
        if port == self.secure:
            line = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
        with contextlib.closing(line), contextlib.suppress(OSError, http.client.HTTPException):
            line.request("POST", path, b'{"apps": {}}', {"Content-Type": "application/json"})
            return line.getresponse().status
        return None

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def replace(text, changes):
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx(folder, kind):
    ports = stage.free_port(), stage.free_port()
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost"],
        capture_output=True, check=True,
    )  # fmt: skip
    text = (DEPLOY / kind / "nginx.conf").read_text("utf-8")
    text = re.sub(r"(ssl_certificate(?:_key)?) +[^;]+\.(?:pem|key);", r"\1 FILE;", text)
    assert text.count("FILE") == 2
    text = text.replace("FILE", str(certificate), 1).replace("FILE", str(key), 1)
    text = re.sub(r"(?m)^    listen \[::\]:443 ssl.*;\n", "", text)
    text = re.sub(r"error_log /var/log/nginx/\S+", f"error_log {folder}/front.log", text)
    text = replace(text, {"listen 443 ssl": f"listen 127.0.0.1:{ports[0]} ssl"})
    places = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/front.log; "
        f"events {{}} http {{ {places} {text} }}"
    )
    (folder / "front.log").touch()
    return Front(folder, [program("nginx"), "-c", folder / "nginx.conf", "-p", folder], ports)


def caddy(folder, kind, environment=None):
    """Run a Caddyfile as it is, but for its ports and for the name, which gets no certificate."""
    ports = stage.free_port(), stage.free_port()
    text = (DEPLOY / kind / "Caddyfile").read_text("utf-8")
    options = f"\tskip_install_trust\n\thttps_port {ports[0]}\n\thttp_port {ports[1]}\n"
    # Whatever the file says of administration stays as it says.
    text = "\n" + text if text.startswith("{\n") else text
    text = (
        text.replace("\n{\n", f"\n{{\n{options}", 1)
        if "\n{\n" in text
        else f"{{\n{options}}}\n{text}"
    )
    text = text.replace("receipts.example {", "localhost {").replace("/srv/receipts", str(folder))
    (folder / "Caddyfile").write_text(text)
    clean = {"PATH": os.environ["PATH"], "RELAY_HOST": "localhost", **(environment or {})}
    clean |= {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"]
    return Front(folder, command, ports, clean)


def composed_caddy(folder, _):
    """Run the Caddy of compose.yaml: with the file that is mounted there, and its environment."""
    service = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]["caddy"]
    assert "./Caddyfile:/etc/caddy/Caddyfile:ro" in service["volumes"]
    assert "command" not in service
    return caddy(folder, "relay", service["environment"] | {"RELAY_HOST": "localhost"})


@pytest.mark.parametrize(
    ("start", "kind", "kinds"),
    [
        (caddy, "relay", {(TCP, "secure"), (UDP, "secure"), (TCP, "plain")}),
        (caddy, "pages", {(TCP, "secure"), (UDP, "secure"), (TCP, "plain")}),
        (composed_caddy, "relay", {(TCP, "secure"), (UDP, "secure"), (TCP, "plain")}),
        (nginx, "relay", {(TCP, "secure")}),
        (nginx, "pages", {(TCP, "secure")}),
    ],
    ids=["Caddy relay", "Caddy pages", "Caddy compose", "nginx relay", "nginx pages"],
)
def test_a_web_server_listens_where_its_file_says_and_nowhere_else(tmp_path, start, kind, kinds):
    front = start(tmp_path, kind)
    try:
        found = front.listeners()
        # The attack: a new configuration, sent as any program of this machine can.
        loaded = {port: front.post(port, "/load") for _, port in found}
        still = front.answers()
    finally:
        front.stop()

    assert found == {(socket_kind, getattr(front, name)) for socket_kind, name in kinds}
    assert 200 not in loaded.values()
    assert still


def test_of_compose_the_web_server_alone_is_reached_from_outside():
    services = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    published = {name: one["ports"] for name, one in services.items() if "ports" in one}

    assert published == {"caddy": ["80:80", "443:443", "443:443/udp"]}
    assert all("network_mode" not in one for one in services.values())
