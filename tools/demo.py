"""A whole sale on this machine, with real parts: `make demo`.

A relay on its embedded store, the till's agent with a TakePOS connector, a folder and the cashier's
page, the counter's display and a customer's phone in Chromium. What a real TakePOS printed is
posted to the connector; the code is read from the display's pixels, the phone opens it and saves
the PDF, which is compared with what the till sealed. Then all of it stays up until Ctrl-C.

With a screen the display, the phone and the cashier's page are windows; without one Chromium runs
unseen, and pictures of them are kept in build/demo, beside what the phone saved. Everything else
lives in a temporary folder, gone at the end. Ended by kill -9, it leaves no process either.
"""

import signal

# Nothing runs yet: until main listens, Ctrl-C ends this without a word.
signal.signal(signal.SIGINT, signal.SIG_DFL)

# ruff: noqa: E402 - all that follows takes a while
import argparse
import contextlib
import fcntl
import io
import json
import os
import select
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from demo_parts import (
    DISPLAY,
    ROOT,
    DemoError,
    Ending,
    Keeper,
    Ports,
    Relay,
    Till,
    WindowError,
    digest,
    result,
)
from demo_screens import LOCALES, Browser, Screens, Terminal, has_screen

from e2ee_ticket import Link, qr
from e2ee_ticket.sources.folder_files import MARKER

KEPT = ROOT / "build" / "demo"
SAME = "the very bytes that the till sent"
OWN_RELAY = ("E2EE_TICKET_PERMIT", "E2EE_TICKET_PAGE")
"""What of the user's own settings counts with a relay of their own."""


def say(text: str = "") -> None:
    """Print a line now."""
    print(text, flush=True)


def step(number: int, text: str) -> None:
    """Print what has happened."""
    say(f"\033[1m {number}\033[0m  {text}" if sys.stdout.isatty() else f" {number}  {text}")


def offer(what: str, how: str) -> None:
    """Print what can be done, and how."""
    say(f"    {what:<16} {how}")


def draw(link: str) -> None:
    """Draw a link's code."""
    sys.stdout.write(qr.to_terminal(qr.make(Link.parse(link))))
    sys.stdout.flush()


def short(path: Path) -> str:
    """Name a path as somebody in this folder would."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def parse() -> argparse.Namespace:
    """Read the arguments."""
    language = (os.environ.get("LC_ALL") or os.environ.get("LANG") or "en")[:2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="end after the first sale")
    parser.add_argument("--headless", action="store_true", help="no windows, even with a screen")
    parser.add_argument(
        "--relay",
        metavar="https://…",
        help="this relay instead of one here, so that real phones can scan;"
        " a permit in E2EE_TICKET_PERMIT",
    )
    parser.add_argument(
        "--keep", type=Path, default=KEPT, metavar="FOLDER",
        help="where pictures and saved receipts stay (build/demo)",
    )  # fmt: skip
    parser.add_argument(
        "--lang",
        default=language if language in LOCALES else "en",
        choices=sorted(LOCALES),
        help="the language of display, phone and cashier's page; the receipt stays French",
    )
    return parser.parse_args()


class Demo:
    """One run."""

    def __init__(self, arguments: argparse.Namespace, ending: Ending, stack: ExitStack) -> None:
        """Make its folders."""
        self._arguments, self._ending, self._stack = arguments, ending, stack
        self._kept: Path = arguments.keep.absolute()
        self._drop = self._kept / "drop-here"
        reserve(stack, self._kept)
        stack.callback(rescue, self._drop)
        rescue(self._drop)
        self._drop.mkdir()
        self.folder = Path(tempfile.mkdtemp(prefix="e2ee-ticket-demo-"))
        self._keeper = Keeper(self.folder)
        stack.callback(self._keeper.dismiss)
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._known: str | None = None
        """The code that was told of last."""

    @property
    def written(self) -> str:
        """Where the demo writes what it removes at the end."""
        return f"{self.folder} and {short(self._drop)}/"

    def play(self) -> None:
        """Play the first sale; then stay."""
        say("A sale without paper, on this machine; every part is the real one.\n")
        screens, till = self._set_up()
        step(1, "A relay, a till, the counter's display and a customer's phone are on.")
        if isinstance(screens, Terminal):
            say("    There is no Chromium here: this terminal plays the display and the phone.")
        began = time.monotonic()
        till.print_receipt()
        link = self._ending.wait_for(screens.code, "the code on the display")
        fields = json.loads(str(till.look(link, "fields")))
        step(2, f"TakePOS printed a receipt of {fields['total']}. The display shows this code:")
        if self._arguments.lang != "fr":
            say("    The receipt is French in any language: a shop's till in France printed it.")
        say()
        draw(link)
        say()
        self._known = link
        screens.picture("display", "2-display-with-the-code")
        sealed = till.sealed(link)
        screens.scan(link)
        seconds = time.monotonic() - began
        screens.turn(0.3)  # it fades in
        screens.picture("phone", "3-phone-with-the-receipt")
        path = self._save(screens, sealed)
        self._ending.wait_for(lambda: screens.state() == "thanks", "the display's thanks")
        screens.picture("display", "4-display-says-thanks")
        step(3, f"The phone scanned it, {seconds:.1f} s after the printing, and saved the PDF:")
        say(f"    {short(path)}, {SAME}.")
        self._ending.wait_for(
            lambda: till.look(link, "outcome") in ("opened", "received"),
            "the till's notice that it was opened",
        )
        screens.open_console(till.console_link())
        screens.picture("cashier", "5-cashier")
        if not self._arguments.once:
            self._invite(till)
            self._stay(screens, till)

    def _set_up(self) -> tuple[Screens, Till]:
        """Start all of it, one thing while another starts."""
        ports, arguments = Ports(), self._arguments
        origin, relay = arguments.relay, None
        if origin is None:
            relay = Relay(self._stack, self.folder, ports, self._keeper)
            origin = relay.origin
        own = () if arguments.relay is None else OWN_RELAY
        till = Till(self.folder, self._drop, origin, arguments.lang, ports, self._keeper, own=own)
        self._stack.callback(till.end)
        browser = Browser(self._stack)
        if relay is not None:
            self._ending.wait_for(relay.ready, "the relay's start")
        adding = till.command("display", "add", "--link", "--no-wait", DISPLAY)
        windows = has_screen() and not arguments.headless and not arguments.once
        chromium = browser.launch(self._kept, seen=windows, lang=arguments.lang)
        pairing = result(adding)
        self._ending.check()
        if relay is None:  # ours forgets it anyway
            self._stack.callback(unpair, till)
        till.start(self._stack)
        screens: Screens = chromium or Terminal(till, self.folder, origin)
        screens.pair(pairing)
        self._ending.wait_for(lambda: screens.state() == "idle", "the pairing of the display")
        self._ending.wait_for(till.ready, "the till's start")
        screens.picture("display", "1-display-idle")
        return screens, till

    def _save(self, screens: Screens, sealed: str | None) -> Path:
        """Let the phone save what it has opened, and compare it with what the till sealed."""
        screens.save()
        name, receipt = self._ending.wait_for(
            lambda: screens.saved() if screens.turn(0.02) else None, "the saving on the phone"
        )
        path = self._kept / name
        path.write_bytes(receipt)
        if digest(receipt) != sealed:
            raise DemoError(f"{name} is NOT what the till sealed; please report it")
        return path

    def _invite(self, till: Till) -> None:
        """Say what can be tried now."""
        console = till.console_link()
        say()
        say("Now you. All of it will stay up until Ctrl-C.")
        offer("a new receipt", f"copy any PDF into {short(self._drop)}/")
        if sys.stdin.isatty():
            offer("the phone", "press Enter here, and it scans what the display shows")
        offer("the cashier", console)
        if self._arguments.relay is None:
            offer("your own phone", "cannot reach 127.0.0.1; README.md, Try it, says how it can")
        else:
            offer("your own phone", "scans the code, too")
        if any(self._kept.glob("*.png")):
            offer("pictures", f"{short(self._kept)}/*.png")

    def _stay(self, screens: Screens, till: Till) -> None:
        """Tell of each new code, and let the phone scan it when Enter is pressed."""
        with contextlib.suppress(WindowError):
            while screens.turn(0.2):
                self._ending.check()
                self._tell(screens, screens.code())
                if (by_hand := screens.saved()) is not None:
                    (self._kept / by_hand[0]).write_bytes(by_hand[1])
                    say(f"       Saved: {short(self._kept / by_hand[0])}")
                if pressed_enter():
                    self._press(screens, till, screens.code())
        say("\nThe display's window is closed; Ctrl-C ends the rest.")
        while True:
            self._ending.check()
            time.sleep(0.2)

    def _tell(self, screens: Screens, link: str | None) -> None:
        known, self._known = self._known, link
        if link is None or link == known:
            return
        say(f"\n{time.strftime('%H:%M')}  The display shows a new code.")
        if not screens.seen:
            draw(link)

    def _press(self, screens: Screens, till: Till, link: str | None) -> None:
        if link is None:
            say(f"The display shows no code now; copy a PDF into {short(self._drop)}/ .")
            return
        sealed, began = till.sealed(link), time.monotonic()
        try:
            screens.scan(link)
            seconds = time.monotonic() - began
            path = self._save(screens, sealed)
        except WindowError as error:
            say(f"       {error}")
            return
        say(f"       The phone has it, after {seconds:.1f} s: {short(path)}, {SAME}.")


def pressed_enter() -> bool:
    """Tell whether somebody pressed Enter, where somebody can."""
    with contextlib.suppress(OSError, ValueError):
        if not sys.stdin.isatty() or os.tcgetpgrp(0) != os.getpgrp():
            return False
        if select.select([0], [], [], 0)[0]:
            return bool(os.read(0, 4096))
    return False


def unpair(till: Till) -> None:
    """Take the display off a relay that stays."""
    with contextlib.suppress(DemoError):
        result(till.command("display", "remove", "--forget", DISPLAY))


def reserve(stack: ExitStack, kept: Path) -> None:
    """Take a folder for this demo alone.

    Raises:
        DemoError: another one has it.
    """
    kept.mkdir(parents=True, exist_ok=True)
    lock = os.open(kept, os.O_RDONLY)
    stack.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise DemoError("another demo runs here; end it first (Ctrl-C)") from None


def rescue(drop: Path) -> None:
    """Remove the folder that receipts are copied into; what somebody put there stays beside it."""
    for file in sorted(drop.rglob("*")):
        if not file.is_file() or file.name == MARKER:
            continue
        kept = drop.parent / file.name
        if kept.exists() and kept.read_bytes() == file.read_bytes():
            continue
        number = 1
        while kept.exists():
            number += 1
            kept = drop.parent / f"{file.stem}-{number}{file.suffix}"
        file.rename(kept)
    shutil.rmtree(drop, ignore_errors=True)


def main() -> int:
    """Play the demo until Ctrl-C."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal of any age
    arguments = parse()
    ending = Ending()
    ending.listen()
    stack = ExitStack()
    code, demo = 0, None
    try:
        demo = Demo(arguments, ending, stack)
        demo.play()
    except KeyboardInterrupt:
        say()
    except DemoError as error:
        say(f"demo: {error}")
        code = 1
    except Exception:
        if not ending.asked:  # else it broke because its end was asked for
            raise
    finally:
        ending.clean()
        stack.close()
    with contextlib.suppress(OSError):  # a terminal that was closed
        say("Ended: nothing is left running.")
        if demo is not None:
            say(f"Removed: all that was written in {demo.written}")
            say(f"Kept: {short(arguments.keep)}/, the pictures and the saved receipts.")
    return code


if __name__ == "__main__":
    sys.exit(main())
