"""A whole sale on this machine, with real parts: `make demo`.

A relay on its embedded store, a till, the display page and the phone page in Chromium. One receipt
goes from the till to the phone; then the relay and both pages stay up until Ctrl-C. On a machine
with a screen the two pages are windows; without one Chromium runs unseen, and pictures of both
pages are kept. Everything lives in a temporary folder, gone at the end.
"""

import argparse
import hashlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from e2ee_ticket import Link, qr
from e2ee_ticket.pdf.draw import Receipt, draw_receipt, format_money, sample_receipt

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "build" / "demo"
ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_BROWSERS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
DISPLAY = "Counter"

T = TypeVar("T")


def say(text: str = "") -> None:
    """Print a line now."""
    print(text, flush=True)


def step(number: int, text: str) -> None:
    """Print what happens next."""
    say(f"\n\033[1m{number}. {text}\033[0m" if sys.stdout.isatty() else f"\n{number}. {text}")


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = 30) -> T:
    """Poll until a condition holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.05)
    raise SystemExit(f"demo: {what} did not happen within {seconds:.0f} s")


def free_port() -> int:
    """Find a port that nobody uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(command: list[str | Path], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process and end it cleanly; Ctrl-C reaches us first, not it."""
    process = subprocess.Popen(command, start_new_session=True, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_relay(stack: ExitStack, folder: Path) -> str:
    """Start a relay with its pages and return its origin."""
    port = free_port()
    log = stack.enter_context((folder / "relay.log").open("wb"))
    process = stack.enter_context(
        running(
            [BIN / "relay-server", "--listen", f"127.0.0.1:{port}", "--db",
             folder / "relay.sqlite", "--open", "--pages"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )
    )  # fmt: skip

    def answers() -> bool | None:
        if process.poll() is not None:
            raise SystemExit("demo: the relay ended: " + (folder / "relay.log").read_text())
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(answers, "the relay's start")
    return f"http://127.0.0.1:{port}"


def open_browser(stack: ExitStack, *, seen: bool) -> "Browser | None":
    """Start Chromium, or return None where there is none."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    path = path or next((found for found in MAC_BROWSERS if Path(found).exists()), None)
    if path is None:
        return None
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - costs half a second

    # Where Chromium refuses to run as root, its sandbox is in the way, not we.
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    playwright = stack.enter_context(sync_playwright())
    browser = playwright.chromium.launch(
        executable_path=path, headless=not seen, args=ARGUMENTS + root, handle_sigint=False
    )
    stack.callback(browser.close)
    return browser


def read_code(page: "Page") -> str | None:
    """Read the QR code from the pixels of the display, as a phone's camera would."""
    import PIL.Image  # noqa: PLC0415
    import zxingcpp  # noqa: PLC0415

    picture = PIL.Image.open(io.BytesIO(page.screenshot()))
    found = zxingcpp.read_barcodes(picture)
    return found[0].text if found else None


def picture(page: "Page", name: str) -> None:
    """Keep a picture of a page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")


def state_of(page: "Page") -> str:
    """What the page says that it shows."""
    return str(page.evaluate("document.documentElement.dataset.state"))


def play_with_pages(
    environment: dict[str, str], sale: Receipt, receipt: Path, display: "Page", browser: "Browser"
) -> None:
    """One sale: the till's command, the display's pixels, a phone."""
    step(3, "The till sends the receipt.")
    command: list[str | Path] = [BIN / "e2ee-ticket", "send", "--display", DISPLAY]
    command += ["--total", format_money(sale.total, sale.currency, sale.lang)]
    command += ["--number", sale.number, "--wait", receipt]
    with running(command, env=environment, stdin=subprocess.DEVNULL) as till:
        link = wait_for(
            lambda: read_code(display) if state_of(display) == "ticket" else None,
            "the code on the display",
        )
        picture(display, "2-display-with-the-code")
        say("   This code is on the display; it was read from its pixels:\n")
        say(qr.to_terminal(qr.make(Link.parse(link))))
        step(4, "The phone opens it.")
        context = browser.new_context(
            viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True,
            device_scale_factor=2, accept_downloads=True,
            locale={"fr": "fr-FR", "en": "en-GB"}[sale.lang],
        )  # fmt: skip
        phone = context.new_page()
        phone.goto(link)
        wait_for(lambda: state_of(phone) == "ready", "the receipt on the phone")
        phone.wait_for_timeout(300)
        picture(phone, "3-phone-with-the-receipt")
        with phone.expect_download() as started:
            phone.locator("a[download]").first.tap()
        saved = Path(started.value.path()).read_bytes()
        same = hashlib.sha256(saved).digest() == hashlib.sha256(receipt.read_bytes()).digest()
        word = "the very bytes that the till sent" if same else "NOT what the till sent"
        say(f"   saved as {started.value.suggested_filename}, {len(saved)} bytes: {word}")
        wait_for(lambda: state_of(display) == "thanks", "the display's thanks")
        picture(display, "4-display-says-thanks")
        till.wait(20)
        wait_for(lambda: state_of(display) == "idle", "the idle display")
        if not same or till.returncode:
            raise SystemExit("demo: something is wrong; please report it")


def play_without_pages(environment: dict[str, str], receipt: Path, folder: Path) -> None:
    """One sale without a browser: the `open` command is the phone."""
    say("   There is no Chromium here: the `open` command plays the phone.")
    step(3, "The till sends the receipt. This code is what the customer scans:")
    link = subprocess.run(
        [BIN / "e2ee-ticket", "send", "--link", receipt],
        env=environment, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
    ).stdout  # fmt: skip
    step(4, "The phone opens it.")
    opened = folder / "opened.pdf"
    subprocess.run([BIN / "e2ee-ticket", "open", "-o", opened], env=environment, check=True,
                   input=link)  # fmt: skip
    say("   the very bytes that the till sent: " + str(opened.read_bytes() == receipt.read_bytes()))


def parse() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the first sale")
    parser.add_argument("--headless", action="store_true", help="no windows, even with a screen")
    parser.add_argument("--lang", default="fr", choices=("fr", "en"), help="the shop's language")
    return parser.parse_args()


def demo(stack: ExitStack, arguments: argparse.Namespace) -> None:
    """Play the demo."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="e2ee-ticket-demo-")))
    sale = sample_receipt(arguments.lang)
    receipt = folder / f"{sale.number}.pdf"
    receipt.write_bytes(draw_receipt(sale))
    step(1, "A relay on this machine: it carries what it cannot read.")
    relay = start_relay(stack, folder)
    environment = os.environ | {
        "E2EE_TICKET_CONFIG": str(folder / "till" / "config.toml"),
        "E2EE_TICKET_RELAY": relay,
        "E2EE_TICKET_SHOP": sale.shop.name,
        "E2EE_TICKET_LANG": arguments.lang,
        "E2EE_TICKET_NOTICE": "FR" if arguments.lang == "fr" else "",
    }
    environment = {name: value for name, value in environment.items() if value}
    (folder / "till").mkdir()
    say(f"   ticket page  {relay}/")
    say(f"   display page {relay}/d")
    say(f"   self-test    {relay}/selftest.html")

    screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    screen = screen or sys.platform in {"darwin", "win32"}
    browser = open_browser(stack, seen=screen and not arguments.headless and not arguments.once)

    step(2, "A tablet on the counter is paired with the till.")
    if browser is None:
        play_without_pages(environment, receipt, folder)
    else:
        pairing = subprocess.run(
            [BIN / "e2ee-ticket", "display", "add", "--link", "--no-wait", DISPLAY],
            env=environment, check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip
        tablet = browser.new_context(viewport={"width": 1024, "height": 768})
        display = tablet.new_page()
        display.goto(pairing)  # never in an argument list: the link holds a secret
        wait_for(lambda: state_of(display) == "idle", "the paired display")
        picture(display, "1-display-idle")
        say("   the display page is open and says who it belongs to")
        play_with_pages(environment, sale, receipt, display, browser)
        step(5, "The till saw it opened and saved; the display thanked, and waits for the next.")
        say(f"   pictures of both pages: {PICTURES.relative_to(ROOT)}/")
    if arguments.once:
        return
    say(f"\nThe relay and its pages stay up: {relay}/ and {relay}/d . Ctrl-C ends all of it.")
    signal.pause() if hasattr(signal, "pause") else time.sleep(1e9)


def main() -> int:
    """Play the demo until Ctrl-C."""
    arguments = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            demo(stack, arguments)
    except KeyboardInterrupt:
        say("\nended; nothing is left running, and the temporary folder is gone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
