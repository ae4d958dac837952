"""The demo's screens: the counter's display, a customer's phone, the cashier's page.

In Chromium, as windows or unseen; where there is none, the terminal is the display, and
`e2ee-ticket open` the phone.
"""

import io
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import browsers
import PIL.Image
import zxingcpp
from demo_parts import Till, WindowError, result

from e2ee_ticket import Link, ProtocolError
from e2ee_ticket.protocol.channel import DisplayChannel, PairingLink, Reading

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Running
    from playwright.sync_api import BrowserType, Download, Page

LOCALES: Final = {"en": "en-GB", "fr": "fr-FR", "de": "de-DE", "es": "es-ES", "it": "it-IT"}
_ARGUMENTS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_SLOW_SECONDS: Final = 30
_LOOK_SECONDS: Final = 1.0
Saved = tuple[str, bytes]
"""What a phone saved: its name and the PDF."""


class Screens(Protocol):
    """What the customer and the cashier see."""

    seen: bool
    """Whether there are windows."""

    def pair(self, link: str) -> None:
        """Bring the display to the till."""

    def state(self) -> str:
        """Return what the display shows: idle, ticket, thanks."""

    def code(self) -> str | None:
        """Return the link whose code is on the display now."""

    def scan(self, link: str) -> None:
        """Open a ticket on the phone."""

    def save(self) -> None:
        """Save it there."""

    def saved(self) -> Saved | None:
        """Return what was saved, once."""

    def open_console(self, link: str) -> None:
        """Bring the cashier's page."""

    def picture(self, screen: str, name: str) -> None:
        """Keep a picture of a screen."""

    def turn(self, seconds: float) -> bool:
        """Let a moment pass; tell whether the screens are still there."""


# In Chromium


def has_screen() -> bool:
    """Tell whether there is a screen for windows."""
    named = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(named) or sys.platform == "darwin"


class Chromium:
    """Three pages of one browser, each with a context of its own."""

    def __init__(self, browser: "Running", kept: Path, *, seen: bool, lang: str) -> None:
        """Open the display's page and the phone's."""
        self.seen, self._kept = seen, kept
        locale = LOCALES[lang]
        # Narrower than 500 no window can be; what stands still in it is as wide as it.
        phone = {"width": 500, "height": 640} if seen else {"width": 390, "height": 844}
        self._pages = {
            "display": self._page(browser, {"width": 1024, "height": 768}, locale=locale),
            "phone": self._page(
                browser, phone, locale=locale, is_mobile=True, has_touch=True,
                device_scale_factor=2, accept_downloads=True,
            ),
        }  # fmt: skip
        self._pages["phone"].on("download", self._keep)
        self._place("display", left=0, width=760, height=640)
        self._place("phone", left=770)
        self._browser, self._locale = browser, locale
        self._saved: list[Saved] = []
        self._looked_at = 0.0
        self._code: str | None = None

    def _page(self, browser: "Running", size: dict[str, int], **options: Any) -> "Page":  # noqa: ANN401 - Playwright's own
        window = self.seen and not options.get("is_mobile")
        shape: dict[str, Any] = {"no_viewport": True} if window else {"viewport": size}
        page = browser.new_context(**shape, **options).new_page()
        page.set_default_timeout(_SLOW_SECONDS * 1000)
        return page

    def _place(self, screen: str, **bounds: int) -> None:
        """Put a window where it hides no other, if there is one."""
        if not self.seen:
            return
        with self._at(screen) as page:
            session = page.context.new_cdp_session(page)
            window = session.send("Browser.getWindowForTarget")["windowId"]
            where = {"windowId": window, "bounds": {"top": 0, **bounds}}
            session.send("Browser.setWindowBounds", where)

    @contextmanager
    def _at(self, screen: str) -> Iterator["Page"]:
        """Work on a page; what Playwright says of a failure may hold a link, and is not shown."""
        from playwright.sync_api import Error  # noqa: PLC0415 - costs half a second

        try:
            yield self._pages[screen]
        except Error:
            raise WindowError(f"the {screen}'s window was closed, or did not answer") from None

    def _keep(self, download: "Download") -> None:
        name = Path(download.suggested_filename).name
        self._saved.append((name, Path(download.path()).read_bytes()))

    def pair(self, link: str) -> None:
        """Open the pairing link; it is a secret, and no argument of any process."""
        with self._at("display") as page:
            page.goto(link)

    def state(self) -> str:
        """Ask the page."""
        with self._at("display") as page:
            return str(page.evaluate("document.documentElement.dataset.state"))

    def code(self) -> str | None:
        """Read the QR code from the display's pixels, as a phone's camera would."""
        if self.state() != "ticket":
            self._code = None
        elif self._code is None or time.monotonic() - self._looked_at > _LOOK_SECONDS:
            self._looked_at = time.monotonic()
            with self._at("display") as page:
                pixels = PIL.Image.open(io.BytesIO(page.screenshot()))
            found = zxingcpp.read_barcodes(pixels)
            self._code = found[0].text if found else self._code
        return self._code

    def scan(self, link: str) -> None:
        """Open the link on the phone, and wait for the receipt."""
        if self._pages["phone"].is_closed():
            self._pages["phone"] = self._pages["phone"].context.new_page()
            self._pages["phone"].on("download", self._keep)
        with self._at("phone") as page:
            page.goto("about:blank")  # another fragment alone would be the same page
            page.goto(link)
            page.locator('html[data-state="ready"]').wait_for(state="attached")

    def save(self) -> None:
        """Tap the button."""
        with self._at("phone") as page:
            page.locator("a[download]").first.tap()

    def saved(self) -> Saved | None:
        """Return what was saved, by us or by hand."""
        return self._saved.pop(0) if self._saved else None

    def open_console(self, link: str) -> None:
        """Open the cashier's page, in a window of its own."""
        size = {"width": 1000, "height": 760}
        page = self._page(self._browser, size, locale=self._locale)
        self._pages["cashier"] = page
        with self._at("cashier"):
            page.goto(link)
            page.wait_for_url("**/")
            left = 1280 if page.evaluate("screen.availWidth") >= 1900 else 40
        self._place("cashier", left=left, width=640, height=807)
        for screen in ("phone", "display"):  # a small screen's own stay in front
            with self._at(screen) as page:
                page.bring_to_front()

    def picture(self, screen: str, name: str) -> None:
        """Keep what is to be seen."""
        with self._at(screen) as page:
            page.screenshot(path=self._kept / f"{name}.png")

    def turn(self, seconds: float) -> bool:
        """Let the pages live."""
        from playwright.sync_api import Error  # noqa: PLC0415 - costs half a second

        try:
            self._pages["display"].wait_for_timeout(seconds * 1000)
        except Error:
            return False
        return True


@contextmanager
def driver() -> Iterator[None]:
    """Let Playwright's driver start in a session of its own."""
    import playwright  # noqa: PLC0415 - costs half a second

    node = Path(str(playwright.__file__)).parent / "driver" / "node"
    if not node.exists() or "PLAYWRIGHT_NODEJS_PATH" in os.environ:
        yield
        return
    own = {
        "PLAYWRIGHT_NODEJS_PATH": str(Path(__file__).with_name("demo_driver")),
        "DEMO_PYTHON": sys.executable,
        "DEMO_NODE": str(node),
    }
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            del os.environ[name]


class Browser:
    """Chromium, in two steps, each of which takes a moment in which others may start."""

    def __init__(self, stack: ExitStack) -> None:
        """Start what drives it, where it is here."""
        self._stack = stack
        self._path = browsers.find("chromium")
        self._type: BrowserType | None = None
        if self._path is not None:
            from playwright.sync_api import sync_playwright  # noqa: PLC0415 - costs half a second

            with driver():
                self._type = stack.enter_context(sync_playwright()).chromium

    def launch(self, kept: Path, *, seen: bool, lang: str) -> Chromium | None:
        """Start it; None where it is not here, or does not start."""
        if self._type is None:
            return None
        from playwright.sync_api import Error  # noqa: PLC0415 - idem

        # Where Chromium refuses to run as root, its sandbox is in the way, not we.
        arguments = [*_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        for windows in (True, False) if seen else (False,):
            with suppress(Error):  # a screen that is named and not there
                browser = self._type.launch(
                    executable_path=self._path, headless=not windows, args=arguments,
                    handle_sigint=False, handle_sigterm=False, handle_sighup=False,
                    timeout=_SLOW_SECONDS * 1000,
                )  # fmt: skip
                self._stack.callback(browser.close)
                return Chromium(browser, kept, seen=windows, lang=lang)
        return None


# In the terminal


class Terminal:
    """No browser: the display's rules in Python, and the phone's command."""

    seen = False

    def __init__(self, till: Till, folder: Path, relay: str) -> None:
        """Take the till's commands."""
        self._till, self._relay = till, relay
        self._folder = folder / "phone"
        self._folder.mkdir()
        self._lock = threading.Lock()
        self._channel: DisplayChannel | None = None
        self._page = relay
        self._link: str | None = None
        self._saved: list[Saved] = []

    def pair(self, link: str) -> None:
        """Say hello from now on."""
        pairing = PairingLink.parse(link)
        self._page = pairing.page
        self._channel = DisplayChannel(pairing.secret)
        threading.Thread(target=self._listen, args=(pairing,), daemon=True).start()

    def _listen(self, pairing: PairingLink) -> None:
        assert self._channel is not None  # noqa: S101 - it was paired
        url = f"{self._relay}/v1/c/{pairing.secret.cid}/hello"
        while True:
            with self._lock:
                hello = self._channel.hello(_now())
            body = pairing.secret.read_token() + hello
            request = urllib.request.Request(url, body)  # noqa: S310 - a relay
            try:
                with urllib.request.urlopen(request, timeout=35) as answer:  # noqa: S310 - idem
                    sealed = answer.read()
            except OSError:
                time.sleep(1)
                continue
            with self._lock, suppress(ProtocolError):
                if sealed:
                    self._channel.accept(sealed, _now())

    def state(self) -> str:
        """Return what may be painted."""
        with self._lock:
            return "" if self._channel is None else self._channel.painted(_now()).kind

    def code(self) -> str | None:
        """Return the link that a display would draw."""
        with self._lock:
            content = None if self._channel is None else self._channel.painted(_now())
        if content is None or content.secret is None:
            return None
        return Link(self._page, content.secret).reveal()

    def scan(self, link: str) -> None:
        """Keep the link for `save`."""
        self._link = link

    def save(self) -> None:
        """Fetch, open and write, as `e2ee-ticket open` does; the link goes by stdin."""
        assert self._link is not None  # noqa: S101 - it was scanned
        printed = result(self._till.command("open", cwd=self._folder), self._link + "\n")
        path = self._folder / printed
        self._saved.append((path.name, path.read_bytes()))
        path.unlink()

    def saved(self) -> Saved | None:
        """Return what was saved."""
        return self._saved.pop(0) if self._saved else None

    def open_console(self, link: str) -> None:
        """There is no page here."""

    def picture(self, screen: str, name: str) -> None:
        """There is none to take."""

    def turn(self, seconds: float) -> bool:
        """Let a moment pass."""
        time.sleep(seconds)
        return True


def _now() -> Reading:
    return Reading(time.time(), time.monotonic())
