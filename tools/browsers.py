"""Finds the browsers of this machine: real ones, which have been run once.

What is called `firefox` on the PATH may be a stub, and on Ubuntu it and `chromium-browser` are
wrappers of a snap, which does not see a test's folders. So each one that is found is asked for its
version, and a snap is passed over. Playwright's own downloads come last.

    python tools/browsers.py chromium     prints where it is; exit code 1 if there is none

Used by tools/setup before anything is installed: only the standard library.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SECONDS: Final = 30
"""How long a browser may take to say its version; a cold disk takes its time."""
_SCRIPT_SIZE: Final = 64 * 1024

_NAMES: Final = {
    "chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    "chromium-headless-shell": ("chromium-headless-shell",),
    "firefox": ("firefox-esr", "firefox"),
}
_MAC_APPS: Final = {
    "chromium": (
        "Google Chrome.app/Contents/MacOS/Google Chrome",
        "Chromium.app/Contents/MacOS/Chromium",
    ),
    "firefox": ("Firefox.app/Contents/MacOS/firefox",),
}
_DOWNLOADS: Final = {
    "chromium": ("chromium-*/chrome-*/chrome", "chromium-*/*/*.app/Contents/MacOS/*"),
    "chromium-headless-shell": ("chromium_headless_shell-*/*/*headless*shell",),
    "firefox": ("firefox-*/firefox/firefox", "firefox-*/*/*.app/Contents/MacOS/firefox"),
}
_VERSION: Final = {
    "chromium": re.compile(r"(Chromium|Google Chrome)\D* \d+\."),
    "chromium-headless-shell": re.compile(r"(Chromium|Google Chrome|HeadlessChrome)\D* \d+\."),
    "firefox": re.compile(r"Firefox\D* \d+\."),
}


def find(kind: str) -> str | None:
    """Say where a browser is.

    Args:
        kind: "chromium", "chromium-headless-shell" or "firefox".

    Returns:
        The path of a program that has said its version, or None.
    """
    return _find(kind, os.environ.get("PATH", ""), _downloads())


@functools.cache
def _find(kind: str, searched: str, downloads: Path) -> str | None:
    found = _candidates(kind, searched, downloads)
    return next((each for each in found if is_real(each, kind)), None)


def _candidates(kind: str, searched: str, downloads: Path) -> Iterator[str]:
    for folder in searched.split(os.pathsep):
        for name in _NAMES[kind]:
            if found := shutil.which(name, path=folder or os.curdir):
                yield found
    for app in _MAC_APPS.get(kind, ()):
        if Path("/Applications", app).exists():
            yield str(Path("/Applications", app))
    for pattern in _DOWNLOADS[kind]:
        yield from map(str, sorted(downloads.glob(pattern), reverse=True))


def _downloads() -> Path:
    """Return the folder of Playwright's own browsers."""
    named = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "")
    if named not in ("", "0"):
        return Path(named)
    caches = {"darwin": "Library/Caches", "win32": "AppData/Local"}
    return Path.home() / caches.get(sys.platform, ".cache") / "ms-playwright"


def is_real(found: str, kind: str) -> bool:
    """Tell whether a program is a browser that runs, and no wrapper of a snap."""
    return not _is_snap(Path(found)) and _VERSION[kind].search(_version(found)) is not None


def _is_snap(program: Path) -> bool:
    try:
        target = program.resolve()
        if "snap" in target.parts or target.name == "snap":
            return True
        with target.open("rb") as opened:
            head = opened.read(_SCRIPT_SIZE)
    except OSError:
        return False
    return head.startswith(b"#!") and b"/snap/" in head


def _version(found: str) -> str:
    try:
        done = subprocess.run(
            [found, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


if __name__ == "__main__":
    place = find(sys.argv[1])
    if place is not None:
        print(place)
    sys.exit(place is None)
