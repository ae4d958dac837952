"""`make demo`, from its first line to Ctrl-C."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import types
from pathlib import Path

import psutil
import pytest
import stage
from person import Person, read_code
from screens import Tablet

pytestmark = pytest.mark.browser

DEMO = Path(__file__).resolve().parents[2] / "tools" / "demo.py"


class Demo:
    """A demo without a terminal, and what it printed."""

    def __init__(self, folder, *arguments, browser=True, **environment):
        if not browser:
            environment |= {"PATH": str(folder), "PLAYWRIGHT_BROWSERS_PATH": str(folder)}
        self.kept = folder / "kept"
        self.drop = self.kept / "drop-here"
        self._output = folder / "output"
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, DEMO, "--headless", "--keep", self.kept, *arguments],
                env=os.environ | environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    @property
    def told(self):
        return self._output.read_text()

    @property
    def below(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def arguments(self):
        """What a list of processes shows of all that it started."""
        found = []
        for process in self.below:
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                found += process.cmdline()
        return found

    def wait_for(self, text):
        def told():
            assert self.process.poll() is None, self.told
            return text in self.told

        stage.wait_for(told, f"the text {text!r}", 90)

    def press_ctrl_c(self):
        os.killpg(self.process.pid, signal.SIGINT)  # as a terminal does: to everybody in the group

    def end(self):
        """Press Ctrl-C; return the processes that are left."""
        below = self.below
        self.press_ctrl_c()
        self.process.wait(30)
        return psutil.wait_procs(below, 5)[1]


class Visitor(Person):
    """Somebody who runs it at a terminal."""

    program = sys.executable

    def __init__(self, folder):
        self.kept = folder / "kept"
        self.drop = self.kept / "drop-here"
        till = types.SimpleNamespace(environment=dict(os.environ), folder=folder)
        super().__init__(till, DEMO, "--headless", "--keep", self.kept)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()  # it ends what it has started
            self.process.wait(30)
        super().__exit__()


@pytest.fixture(autouse=True)
def chromium_is_here():
    stage.find_chromium()


@contextlib.contextmanager
def port_in_use(port):
    with socket.socket() as other:
        with contextlib.suppress(OSError):  # it is somebody's already
            other.bind(("127.0.0.1", port))
            other.listen()
        yield


def link_in(told):
    return read_code(re.sub(r"\x1b\[[0-9;]*m", "", told))


def removed_folder(told):
    return Path(re.search(r"Removed: (\S+)", told)[1])


def test_the_demo_plays_a_sale_and_ctrl_c_ends_all_of_it(tmp_path, screen):
    with port_in_use(8700), Demo(tmp_path, "--lang", "fr") as demo:
        demo.wait_for("/enter#")
        arguments = demo.arguments()
        page = screen(Tablet).page
        page.goto(re.search(r"http://\S+/enter#\S+", demo.told)[0])
        page.wait_for_url("**/")
        page.get_by_text("54,64").first.wait_for()
        page.get_by_text("Ouvert").first.wait_for()
        second = subprocess.run(
            [sys.executable, DEMO, "--once", "--keep", demo.kept],
            check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

        left = demo.end()

    told = demo.told
    assert demo.process.returncode == 0, told
    assert "stay up" in told
    assert "the very bytes that the till sent" in told
    assert "nothing is left running" in told
    assert "Traceback" not in told
    assert left == []

    # What there is to see, and on one screen.
    assert "54,64" in told
    assert link_in(told).startswith("http://127.0.0.1:87")
    assert len(told[: told.index("Ended")].splitlines()) <= 40
    assert (demo.kept / "TC1-2611-0009.pdf").read_bytes().startswith(b"%PDF-")
    assert len(list(demo.kept.glob("*.png"))) == 5
    assert not removed_folder(told).exists()
    assert not demo.drop.exists()

    # The till's agent took part, no process was told a secret, and a taken port was left alone.
    assert "agent" in arguments
    assert all(stage.LINK.search(part) is None and "/enter#" not in part for part in arguments)
    assert not link_in(told).startswith("http://127.0.0.1:8700/")

    # The folder is one demo's.
    assert second.returncode == 1
    assert "another demo runs here" in second.stdout
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize("part", ["relay-server", "run-driver", "agent"])
def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path, part):
    with Demo(tmp_path) as demo:

        def began():
            assert demo.process.poll() is None, demo.told
            return any(part in argument for argument in demo.arguments())

        stage.wait_for(began, f"the start of {part}", 60)

        left = demo.end()

    assert demo.process.returncode == 0, demo.told
    assert "nothing is left running" in demo.told
    assert "Traceback" not in demo.told
    assert left == []
    assert not removed_folder(demo.told).exists()
    assert not demo.drop.exists()


@pytest.mark.parametrize("browser", [True, False], ids=["chromium", "terminal"])
def test_killed_it_leaves_no_process_and_no_folder(tmp_path, browser):
    folder = tmp_path / "temporary"
    folder.mkdir()
    with Demo(tmp_path, browser=browser, TMPDIR=str(folder)) as demo:
        demo.wait_for("/enter#")
        below = demo.below
        assert list(folder.glob("e2ee-ticket-demo-*"))

        demo.process.kill()
        left = psutil.wait_procs(below, 20)[1]

    assert left == []
    stage.wait_for(lambda: not list(folder.glob("e2ee-ticket-demo-*")), "the folder's end", 20)


def test_ctrl_c_before_anything_runs_is_the_end_without_a_word(tmp_path):
    with Demo(tmp_path) as demo:
        stage.wait_for(lambda: is_deaf_to_ctrl_c(demo.process.pid) or demo.below, "its first line")
        demo.press_ctrl_c()
        demo.process.wait(30)

    assert "Traceback" not in demo.told
    assert demo.process.returncode in (0, -signal.SIGINT)


def test_a_pdf_that_is_copied_in_comes_on_the_display_and_enter_is_the_phone(tmp_path, invoice):
    with Visitor(tmp_path) as visitor:
        visitor.sees("stay up", 90)
        visitor.sees("pictures")
        shutil.copyfile(invoice, visitor.drop / "FA2611-0042.pdf")
        visitor.sees("The display shows a new code", 30)
        visitor.types()
        visitor.sees("FA2611-0042.pdf, the very bytes that the till sent", 30)
        shutil.copyfile(invoice, visitor.drop / "not-fetched.pdf")
        visitor.sees("The display shows a new code", 30)
        visitor.presses_ctrl_c()
        code = visitor.ends(30)

    assert code == 0, visitor.screen
    assert "Traceback" not in visitor.screen
    assert (visitor.kept / "FA2611-0042.pdf").read_bytes() == invoice.read_bytes()
    assert (visitor.kept / "not-fetched.pdf").read_bytes() == invoice.read_bytes()
    assert not visitor.drop.exists()


def test_without_chromium_the_terminal_is_the_display(tmp_path):
    with Demo(tmp_path, "--lang", "de", browser=False) as demo:
        demo.wait_for("/enter#")
        left = demo.end()

    assert demo.process.returncode == 0, demo.told
    assert "There is no Chromium here" in demo.told
    assert "The receipt is French in any language" in demo.told
    assert "the very bytes that the till sent" in demo.told
    assert (demo.kept / "TC1-2611-0009.pdf").exists()
    assert left == []


def test_with_a_relay_elsewhere_the_display_is_unpaired_at_the_end(tmp_path, relay):
    with Demo(
        tmp_path, "--relay", relay.origin, "--once", browser=False,
        E2EE_TICKET_PERMIT=relay.leave,
    ) as demo:  # fmt: skip
        demo.process.wait(90)

    relay.stop()
    assert demo.process.returncode == 0, demo.told
    assert "the very bytes that the till sent" in demo.told
    assert link_in(demo.told).startswith(relay.origin)
    assert relay.look("SELECT count(*), count(read_hash) FROM channels") == (1, 0)


def is_deaf_to_ctrl_c(pid):
    """Whether Python's own way with Ctrl-C, a traceback, is over, and ours has not begun."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(re.search(r"SigCgt:\s*([0-9a-f]+)", status)[1], 16)
    is_demo = any("demo.py" in part for part in psutil.Process(pid).cmdline())
    return is_demo and not caught >> (signal.SIGINT - 1) & 1
