"""`e2ee-ticket check --install`: whether this computer has all that the till's program needs.

It works where libraries are missing, and needs no configuration, relay or network.
"""

import asyncio
import contextlib
import hashlib
import importlib
import importlib.metadata
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from e2ee_ticket import __version__
from e2ee_ticket.cli import voice
from e2ee_ticket.errors import TicketError
from e2ee_ticket.till.released import page_file

PYTHON_OLDEST: Final = (3, 11)

# The libraries of the extra `till`, by the name that is imported; what each is for.
LIBRARIES: Final[Mapping[str, tuple[str, str]]] = {
    "aiohttp": ("aiohttp", "talking to the relay, and the cashier's page"),
    "babel": ("babel", "amounts as each country writes them"),
    "fpdf": ("fpdf2", "drawing a receipt that a printer was sent"),
    "nacl": ("pynacl", "encryption"),
    "pikepdf": ("pikepdf", "what is inside a PDF, and cleaning it"),
    "PIL": ("pillow", "pictures"),
    "platformdirs": ("platformdirs", "where configuration and outbox are"),
    "pypdfium2": ("pypdfium2", "the picture of a receipt, and its way to a receipt printer"),
    "segno": ("segno", "QR codes"),
    "tomlkit": ("tomlkit", "changing the configuration"),
    "uharfbuzz": ("uharfbuzz", "the letters of Arabic, Hebrew, Thai and others"),
    "zxingcpp": ("zxing-cpp", "bar codes of receipts that a printer was sent"),
}
_STARTERS: Final = {"darwin": "launchctl", "win32": "schtasks"}
_MAC_NOTE: Final = (
    "pikepdf is made for macOS 15 and newer on Apple silicon; elsewhere it has to be built, which"
    " takes Homebrew's qpdf"
)
_32_BITS_NOTE: Final = "install the 64-bit Python; pikepdf is not made for 32 bits"


@dataclass(frozen=True, slots=True)
class Line:
    """What was found of one part.

    Attributes:
        place: the part.
        ok: whether it is as it must be; None where the till works without it.
        text: what was found.
        hint: what to do about it.
    """

    place: str
    ok: bool | None
    text: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What is asked of this computer; a test answers for another one."""

    platform: str = sys.platform
    python: tuple[int, int] = sys.version_info[:2]
    bits: int = struct.calcsize("P") * 8
    imports: Callable[[str], object] = importlib.import_module
    version: Callable[[str], str] = importlib.metadata.version
    which: Callable[[str], str | None] = shutil.which
    encoding: str = sys.stdout.encoding or "ascii"


def run(*, as_json: bool = False) -> int:
    """Look at all of it; 0 where nothing is missing, else 1."""
    from e2ee_ticket.cli.check import tell  # noqa: PLC0415 - it is imported by what imports this

    good = True
    for line in lines(Machine()):
        tell(line.place, line.ok, line.text, line.hint, as_json=as_json)
        good = good and line.ok is not False
    return voice.DONE if good else voice.REFUSED


def lines(machine: Machine) -> Iterator[Line]:
    """Look at each part in turn."""
    yield _python(machine)
    missing = False
    for module in LIBRARIES:
        line = _library(machine, module)
        missing = missing or not line.ok
        yield line
    yield _pages()
    if not missing:
        yield _child(machine)
    yield _folder()
    yield _starter(machine)
    yield _terminal(machine)


def _python(machine: Machine) -> Line:
    text = f"{'.'.join(map(str, machine.python))}, {machine.bits} bits, {sys.executable}"
    if machine.python < PYTHON_OLDEST:
        return Line("python", ok=False, text=text, hint="Python 3.11 or newer is needed")
    if machine.platform == "win32" and machine.bits < 64:
        return Line("python", ok=False, text=text, hint=_32_BITS_NOTE)
    return Line("python", ok=True, text=text)


def _library(machine: Machine, module: str) -> Line:
    package, purpose = LIBRARIES[module]
    advice = voice.install_hint()
    if module == "pikepdf" and machine.platform == "darwin":
        advice = _MAC_NOTE
    try:
        machine.imports(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        other = "" if missing == module else f" (it needs {missing})"
        return Line(package, ok=False, text=f"not installed{other}: {purpose}", hint=advice)
    except (ImportError, OSError) as error:
        # A library of the system's is missing, or it was made for another computer.
        text = f"cannot be loaded ({voice.printable(str(error))}): {purpose}"
        return Line(package, ok=False, text=text, hint=advice)
    try:
        return Line(package, ok=True, text=machine.version(package))
    except importlib.metadata.PackageNotFoundError:
        return Line(package, ok=True, text="of an unknown version")


def _pages() -> Line:
    """Compare the packaged pages with their sums: the till judges customers' pages by them."""
    try:
        sums = page_file("SHA256SUMS").read_text("ascii").splitlines()
        expected = {name: digest for digest, name in (line.split() for line in sums)}
        found = hashlib.sha256(page_file("display.html").read_bytes()).hexdigest()
        damaged = expected["display.html"] != found
    except (OSError, ValueError, KeyError):
        damaged = True
    if damaged:
        return Line("pages", ok=False, text="missing or damaged", hint="install e2ee-ticket again")
    return Line("pages", ok=True, text=f"those of {__version__}")


def _child(machine: Machine) -> Line:
    """Open a PDF in the process that opens strangers' PDFs, which has an environment of its own."""
    from e2ee_ticket.pdf import sandbox  # noqa: PLC0415 - not where a library is missing

    try:
        asyncio.run(sandbox.run(_blank_pdf(), "inspect", max_size=2**20, timeout=30))
    except TicketError as error:
        return Line(
            "pdf", ok=False, text=f"a receipt cannot be opened: {error}",
            hint="install e2ee-ticket into an environment of its own: pipx, uv tool or a venv",
        )  # fmt: skip
    limits = "" if machine.platform != "win32" else "; Windows sets it no limit of memory"
    return Line("pdf", ok=True, text=f"a receipt opens in a process of its own{limits}")


def _blank_pdf() -> bytes:
    import fpdf  # noqa: PLC0415 - not where it is missing

    pdf = fpdf.FPDF()
    pdf.add_page()
    return bytes(pdf.output())


def _folder() -> Line:
    """Try the folder of the configuration, as far as it is there."""
    try:
        from e2ee_ticket.till.config import config_path  # noqa: PLC0415 - needs platformdirs

        path = config_path(os.environ)
    except ImportError:
        return Line(
            "configuration", ok=False, text="its place is not known: platformdirs is missing"
        )
    folder = next(place for place in path.parents if place.is_dir())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Line(
            "configuration", ok=False, text=f"{folder} cannot be written: {error.strerror}",
            hint="E2EE_TICKET_CONFIG names another file",
        )  # fmt: skip
    there = "is there" if path.exists() else "is not there yet"
    return Line(
        "configuration", ok=True, text=f"{path} {there}",
        hint=None if path.exists() else "e2ee-ticket setup writes it",
    )  # fmt: skip


def _starter(machine: Machine) -> Line:
    name = _STARTERS.get(machine.platform, "systemctl")
    if machine.which(name) is None:
        return Line(
            "start", ok=None, text=f"there is no {name}, so service install does not work",
            hint="start e2ee-ticket agent at login in this system's own way",
        )  # fmt: skip
    return Line("start", ok=True, text=f"with the computer, by {name}: e2ee-ticket service install")


def _terminal(machine: Machine) -> Line:
    with contextlib.suppress(UnicodeEncodeError, LookupError):
        "▀▄█".encode(machine.encoding)
        return Line("terminal", ok=True, text=f"draws QR codes ({machine.encoding})")
    return Line(
        "terminal", ok=None, text=f"its character set {machine.encoding} has no QR codes",
        hint="use --png, --svg or --display, or a UTF-8 terminal",
    )  # fmt: skip
