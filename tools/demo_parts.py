"""What the demo is made of: a relay and a till, each a process of its own, and how they end."""

import contextlib
import hashlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import demo_keeper
import psutil  # type: ignore[import-untyped]

from e2ee_ticket import Link

BIN: Final = Path(sys.executable).parent
ROOT: Final = Path(__file__).resolve().parent.parent
RECORDED: Final = ROOT / "tests" / "data" / "takepos_connector_html.jsonl"
"""What a real TakePOS posted for a real sale."""
SHOP: Final = "Epicerie du Test"
DISPLAY: Final = "Counter"
_PORTS: Final = range(8700, 8800)
_PATIENCE_SECONDS: Final = 3.0
_END_SECONDS: Final = 20

T = TypeVar("T")


class DemoError(Exception):
    """The demo cannot go on; its message says why, and what to do."""


class WindowError(DemoError):
    """A window was closed, or did not do its part."""


class Ending:
    """Ctrl-C, SIGTERM or a closed terminal: heard at once, obeyed where nothing is half done."""

    def __init__(self) -> None:
        self.asked = False
        self._cleaning = False

    def listen(self) -> None:
        """Take over the signals."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)
        signal.signal(signal.SIGALRM, self._break_off)

    def _ask(self, *_: object) -> None:
        if self.asked:
            self._break_off()
        self.asked = True
        if not self._cleaning:
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE_SECONDS)

    def _break_off(self, *_: object) -> None:
        if not self._cleaning:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if the end was asked for."""
        if self.asked:
            raise KeyboardInterrupt

    def clean(self) -> None:
        """Be disturbed no more, and leave nothing behind even where something hangs."""
        self._cleaning = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, _kill_all)
        signal.alarm(_END_SECONDS)

    def wait_for(self, condition: Callable[[], T | None], what: str, seconds: float = 60) -> T:
        """Poll until a condition holds.

        Raises:
            DemoError: it does not.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check()
            result = condition()
            if result:
                return result
            time.sleep(0.02)
        raise DemoError(f"{what} did not happen within {seconds:.0f} s")


def _kill_all(*_: object) -> NoReturn:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            process.kill()
    os._exit(1)


class Ports:
    """Ports that nobody uses; the same in every run, unless another demo has them."""

    def __init__(self) -> None:
        self._next = iter(_PORTS)

    def take(self) -> int:
        """Find one.

        Raises:
            DemoError: there is none.
        """
        for port in self._next:
            with socket.socket() as listener, contextlib.suppress(OSError):
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(("127.0.0.1", port))
                return port
        raise DemoError(f"no port from {_PORTS[0]} to {_PORTS[-1]} is free; end what uses them")


class Keeper:
    """Ends what was started, and removes the demo's folder, even where the demo is killed."""

    def __init__(self, folder: Path) -> None:
        """Start it, in a session of its own: what ends the demo's group does not end it."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", demo_keeper.__file__, folder],
            stdin=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def watch(self, process: "subprocess.Popen[Any]") -> None:
        """Have a process that leads a group ended with this one."""
        self._tell(str(process.pid))

    def dismiss(self) -> None:
        """Let it go: everything has ended."""
        self._tell(demo_keeper.LAST_WORD)
        self._process.communicate()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(BrokenPipeError):  # somebody has ended it
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()


@contextmanager
def running(
    command: list[str | Path],
    log: Path,
    keeper: Keeper,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process and end it cleanly, with all that it started; Ctrl-C reaches us, not it."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip
    keeper.watch(process)
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(process: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    """Tell whether a process serves already.

    Raises:
        DemoError: it ended.
    """
    if process.poll() is not None:
        said = log.read_text(errors="replace").strip().splitlines() or ["without a word"]
        raise DemoError(f"{Path(str(process.args[0])).name} ended: {said[-1]}")  # type: ignore[index]
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own, on loopback
            return bool(answer.status == 200)
    except OSError:
        return False


class Relay:
    """A relay on its embedded store, with its pages."""

    def __init__(self, stack: ExitStack, folder: Path, ports: Ports, keeper: Keeper) -> None:
        """Start it; it serves once `ready` is true."""
        port = ports.take()
        self.origin = f"http://127.0.0.1:{port}"
        self._log = folder / "relay.log"
        command: list[str | Path] = [BIN / "relay-server", "--listen", f"127.0.0.1:{port}"]
        command += ["--db", folder / "relay.sqlite", "--open", "--pages"]
        self._process = stack.enter_context(running(command, self._log, keeper))

    def ready(self) -> bool:
        """Tell whether it serves."""
        return answers(self._process, self.origin + "/d", self._log)


class Till:
    """A till with a configuration of its own: a TakePOS connector, a folder, a display, a page."""

    def __init__(
        self,
        folder: Path,
        drop: Path,
        relay: str,
        lang: str,
        ports: Ports,
        keeper: Keeper,
        *,
        own: Sequence[str] = (),
    ) -> None:
        """Write its configuration; `own` names the user's settings that count here, too."""
        self._keeper = keeper
        self.folder = folder / "till"
        self.folder.mkdir(mode=0o700)
        self._takepos, self._console = ports.take(), ports.take()
        self._log = folder / "agent.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._begun: list[subprocess.Popen[str]] = []
        # JSON's texts are TOML's, too.
        settings = {
            "relay": relay,
            "shop": SHOP,
            "lang": lang,
            "folder": str(drop),
            "origin": recorded()["h"]["Origin"],
            "display": DISPLAY,
        }
        text = {name: json.dumps(value) for name, value in settings.items()}
        (self.folder / "config.toml").write_text(
            f"""relay = {text["relay"]}
shop = {text["shop"]}
lang = {text["lang"]}
{'notice = "FR"' if lang == "fr" else ""}
ticket_seconds = 120

[[till]]
name = "Till 1"
display = {text["display"]}

[[source]]
kind = "takepos"
listen = "127.0.0.1:{self._takepos}"
origin = {text["origin"]}
currency = "€"

[[source]]
kind = "folder"
path = {text["folder"]}

[console]
listen = "127.0.0.1:{self._console}"
""",
            encoding="utf-8",
        )
        # Whatever the user has set for a till of their own is not the demo's.
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name in own or not name.startswith("E2EE_TICKET_")
        }
        self.environment["E2EE_TICKET_CONFIG"] = str(self.folder / "config.toml")

    def command(self, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Begin one of its commands; `result` waits for it."""
        begun = subprocess.Popen(
            [BIN / "e2ee-ticket", *arguments],
            env=self.environment, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self._keeper.watch(begun)
        self._begun.append(begun)
        return begun

    def end(self) -> None:
        """End the commands that were begun and not waited for."""
        for command in self._begun:
            if command.poll() is None:
                command.kill()
                command.wait()

    def start(self, stack: ExitStack) -> None:
        """Start the agent."""
        self._process = stack.enter_context(
            running([BIN / "e2ee-ticket", "agent"], self._log, self._keeper, self.environment)
        )

    def ready(self) -> bool:
        """Tell whether TakePOS can print and the cashier's page is there."""
        assert self._process is not None  # noqa: S101 - it was started
        return all(
            answers(self._process, f"http://127.0.0.1:{port}/", self._log)
            for port in (self._takepos, self._console)
        )

    def print_receipt(self) -> None:
        """Do what TakePOS' page did in the till's browser: post the receipt to its printer."""
        sent = recorded()
        headers = {name: value for name, value in sent["h"].items() if name != "Host"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._takepos}{sent['path']}", sent["body"].encode(), headers
        )
        with urllib.request.urlopen(request, timeout=20):  # noqa: S310 - idem
            pass

    def console_link(self) -> str:
        """Make a link to the cashier's page, as `e2ee-ticket console --link` does; good once."""
        token = (self.folder / "console.token").read_text(encoding="ascii").strip()
        return f"http://127.0.0.1:{self._console}/enter#{token}"

    def look(self, link: str, column: str) -> object:
        """Read what the till itself keeps of the ticket of a link, in its outbox."""
        outbox = (self.folder / "outbox.sqlite").as_uri() + "?mode=ro"
        with contextlib.closing(sqlite3.connect(outbox, uri=True, timeout=10)) as connection:
            row = connection.execute(
                f"SELECT {column} FROM receipts JOIN tickets USING (receipt_number) WHERE id = ?",  # noqa: S608 - a name of ours
                (Link.parse(link).secret.id,),
            ).fetchone()
        return row[0] if row else None

    def sealed(self, link: str) -> str | None:
        """Return the SHA-256 of the PDF that was sealed; the till lets it go once it was opened."""
        receipt = self.look(link, "receipt")
        return digest(receipt) if isinstance(receipt, bytes) else None


def result(command: "subprocess.Popen[str]", given: str = "") -> str:
    """Wait for a command and return what it printed.

    Raises:
        DemoError: it failed.
    """
    printed, said = command.communicate(given, timeout=60)
    if command.returncode != 0:
        raise DemoError(said.strip() or "a command of the till failed")
    return printed.strip()


def recorded() -> dict[str, Any]:
    """Read what TakePOS sent: path, headers and body."""
    sent: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8").splitlines()[-1])
    return sent


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()
