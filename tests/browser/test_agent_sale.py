"""A shop's day with the agent: what TakePOS posts goes to a display and a phone in Chromium."""

import contextlib
import json
import urllib.request
from pathlib import Path

import pytest
import stage
from screens import digest

pytestmark = pytest.mark.browser

DATA = Path(__file__).parents[1] / "data"
DOLIBARR = "http://127.0.0.1:8680"
"""The origin of the till's page in the recorded requests."""


class Agent:
    """The agent as a process, with a folder and a TakePOS connector."""

    def __init__(self, till, folder):
        self.till = till
        self.folder = folder
        self.folder.mkdir()
        self.port, self.console = stage.free_port(), stage.free_port()
        self.process = None
        (till.folder / "config.toml").write_text(
            f"""
            shop = "Épicerie du Test"
            lang = "fr"
            notice = "FR"
            [[till]]
            name = "Caisse"
            display = "Counter"
            [[source]]
            kind = "takepos"
            listen = "127.0.0.1:{self.port}"
            origin = "{DOLIBARR}"
            currency = "€"
            [[source]]
            kind = "folder"
            path = "{self.folder}"
            [console]
            listen = "127.0.0.1:{self.console}"
            """,
            encoding="utf-8",
        )

    def __enter__(self):
        self.process = self.till.popen("agent")
        stage.wait_for(self.listens, "the agent's start")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.said = self.process.communicate(timeout=20)[1]

    def listens(self):
        assert self.process.poll() is None, self.process.stderr.read()
        with contextlib.suppress(OSError), urllib.request.urlopen(self.url("/"), timeout=1):
            return True

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def replay(self, recorded):
        """Send what the till's browser sent, as it was recorded from a real one."""
        lines = (DATA / recorded).read_text(encoding="utf-8").splitlines()
        for line in lines:
            sent = json.loads(line)
            headers = {name: value for name, value in sent["h"].items() if name != "Host"}
            body = sent["body"].encode() if sent["m"] == "POST" else None
            request = urllib.request.Request(self.url(sent["path"]), body, headers)
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert answer.status == 200

    def open_console(self, screen):
        link = self.till.run("console", "--link").stdout.strip()
        screen.page.goto(link)
        screen.page.wait_for_url(f"http://127.0.0.1:{self.console}/")
        return screen.page


@pytest.fixture
def paired(till, tablet):
    link = till.run("display", "add", "Counter", "--link", "--no-wait").stdout.strip()
    tablet.pair(link)
    return tablet


@pytest.fixture
def agent(till, paired, tmp_path):
    with Agent(till, tmp_path / "receipts") as running:
        paired.wait("idle")
        yield running
    assert "Traceback" not in running.said
    assert running.process.returncode == 0


@pytest.mark.parametrize(
    "recorded", ["takepos_connector_html.jsonl", "takepos_connector_escpos.jsonl"]
)
def test_what_takepos_prints_is_on_the_customers_phone(agent, paired, phone, recorded):
    agent.replay(recorded)

    code = paired.wait_for_qr()
    beside = paired.text("#beside")
    phone.open(code).wait("ready")
    saved, name = phone.save()
    paired.wait("thanks")

    assert "54,64" in beside
    assert saved.startswith(b"%PDF-")
    assert name.startswith("TC1-2611-00")
    assert phone.text("#title") in ("Épicerie du Test", "Epicerie du Test")
    assert "54,64" in phone.text("#lines")


def test_a_pdf_in_a_folder_is_delivered_byte_for_byte(agent, paired, phone, invoice):
    (agent.folder / "FA2611-0042.pdf").write_bytes(invoice.read_bytes())

    code = paired.wait_for_qr()
    phone.open(code).wait("ready")
    saved, name = phone.save()

    assert digest(saved) == digest(invoice.read_bytes())
    assert name == "FA2611-0042.pdf"
    assert not (agent.folder / "FA2611-0042.pdf").exists()


def test_the_cashier_follows_the_sale_on_the_console(agent, paired, phone, screen):
    from screens import Tablet

    page = agent.open_console(screen(Tablet))
    agent.replay("takepos_connector_html.jsonl")
    page.get_by_text("54,64").first.wait_for()
    page.get_by_text("Affiché").first.wait_for()

    phone.open(paired.wait_for_qr()).wait("ready")
    page.get_by_text("Ouvert").first.wait_for()
    phone.save()
    page.wait_for_timeout(500)
    assert page.get_by_text("Enregistré").count() == 0  # a tap is no proof (R75)
    phone.page.locator("#delete").click()

    page.get_by_text("Enregistré").first.wait_for()


def test_after_kill_9_the_display_is_idle_and_the_phone_that_had_the_code_still_gets_it(
    agent, paired, phone
):
    agent.replay("takepos_connector_html.jsonl")
    code = paired.wait_for_qr()

    agent.process.kill()
    agent.process.communicate()
    with agent:
        paired.wait("idle", 120)
        phone.open(code).wait("ready")

    assert agent.process.returncode == 0
