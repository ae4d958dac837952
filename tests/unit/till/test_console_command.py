"""`e2ee-ticket console`: what it says, where the token goes, what a PIN needs."""

import argparse
import http.server
import threading
import webbrowser

import pytest
from fake_floor import FakeFloor, Running

from e2ee_ticket.cli import console as command
from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till.config import load
from e2ee_ticket.till.console import auth, meeting

PIN = "802413"


class Browser:
    """What `webbrowser` finds on this computer."""

    def __init__(self):
        self.opened = []

    def open(self, address, *_):
        self.opened.append(address)
        return True


@pytest.fixture
def browser(monkeypatch):
    found = Browser()
    monkeypatch.setattr(webbrowser, "_browsers", {})
    monkeypatch.setattr(webbrowser, "_tryorder", [])
    webbrowser.register("test", None, found, preferred=True)
    return found


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """A configuration of its own, whose console has this port."""
    monkeypatch.setenv("E2EE_TICKET_CONFIG", str(tmp_path / "config.toml"))

    def configure(port):
        (tmp_path / "config.toml").write_text(f'[console]\nlisten = "127.0.0.1:{port}"\n')

    return configure


@pytest.fixture
def running(tmp_path, configured):
    with Running(tmp_path, FakeFloor()) as console:
        configured(console.port)
        yield console


@pytest.fixture
def typed(monkeypatch):
    """What somebody types where nothing is echoed."""

    def answer(*pins):
        left = list(pins)
        monkeypatch.setattr("getpass.getpass", lambda *_: left.pop(0))

    return answer


def run(**given):
    return command.run(argparse.Namespace(**{"link": False, "pin": False, "no_pin": False} | given))


def test_opens_the_browser_and_says_no_token(running, browser, capfd):
    token = running.entrance.token()

    assert run() == 0

    out, err = capfd.readouterr()
    (opened,) = browser.opened
    assert opened.startswith("file://")
    assert opened.endswith("/console.html")
    assert token not in opened + out + err
    assert out == f"{running.origin}/\n"


def test_prints_the_link_when_asked(running, browser, capfd):
    assert run(link=True) == 0

    assert capfd.readouterr().out == f"{running.origin}/enter#{running.entrance.token()}\n"
    assert browser.opened == []


def test_says_what_to_do_without_a_browser(running, monkeypatch, capfd):
    assert running.port
    monkeypatch.setattr(webbrowser, "_browsers", {})
    monkeypatch.setattr(webbrowser, "_tryorder", [])

    assert run() == 1

    assert "console --link" in capfd.readouterr().err


@pytest.mark.usefixtures("browser")
def test_says_that_the_agent_must_be_started(configured):
    configured(1)

    with pytest.raises(ConfigError, match="start the agent"):
        run()


def test_shows_its_token_to_nobody_else(running, configured, browser):
    """Another user of this computer may listen where the agent is not."""

    class Impostor(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"0" * 64)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Impostor) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        configured(server.server_port)
        with pytest.raises(ConfigError, match="not this till's agent"):
            run()
        server.shutdown()

    assert browser.opened == []
    assert not (running.state_dir / auth.DOOR_FILE).exists()


@pytest.mark.usefixtures("configured")
def test_keeps_a_pin_as_a_hash(configured, typed, tmp_path, capfd):
    configured(8422)
    typed(PIN, PIN)

    assert run(pin=True) == 0

    kept = (tmp_path / "config.toml").read_text()
    out, err = capfd.readouterr()
    assert PIN not in kept + out + err
    assert auth.fits_pin(PIN, load().console.pin_hash)

    assert run(no_pin=True) == 0
    assert load().console.pin_hash is None


def test_changes_nothing_when_the_two_pins_differ(configured, typed):
    configured(8422)
    typed(PIN, PIN + "0")

    with pytest.raises(ConfigError, match="not the same"):
        run(pin=True)

    assert load().console.pin_hash is None


def test_asks_again_for_a_better_pin(configured, typed):
    configured(8422)
    typed("123456")

    with pytest.raises(ConfigError, match="first that anybody would try"):
        run(pin=True)


def test_an_address_for_all_is_reached_by_loopback():
    assert meeting.address_of("0.0.0.0:8422") == "127.0.0.1:8422"
    assert meeting.address_of("[::]:8422") == "127.0.0.1:8422"
    assert meeting.address_of("[::1]:8422") == "[::1]:8422"
    assert meeting.address_of("caisse.local:80") == "caisse.local:80"
