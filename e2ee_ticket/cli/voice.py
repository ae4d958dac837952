"""The voice of the command line (after age's).

- stdout carries the result and nothing else; everything else goes to stderr as `e2ee-ticket: …`,
  lower case, no full stop.
- An error is one line; a `hint:` line follows where we can guess what was meant. Never a
  traceback; `--debug` shows one.
- A link is never a command-line argument: arguments show in process lists and shell history.
- 0 done, 1 refused, 2 misused, 75 try again later, 130 stopped by Ctrl-C.
- Long work says how it goes on a terminal; `--json` is for programs.
"""

import codecs
import contextlib
import io
import logging
import os
import re
import sys
from pathlib import Path
from typing import Final

from e2ee_ticket.errors import (
    AbsentError,
    ConfigError,
    DamagedError,
    FullError,
    GoneError,
    PermitError,
    ProtocolError,
    ReceiptError,
    RefusedError,
    TicketError,
    UnreachableError,
    VersionError,
)

PROGRAM: Final = "e2ee-ticket"
DONE: Final = 0
REFUSED: Final = 1
MISUSED: Final = 2
LATER: Final = 75
STOPPED: Final = 130

_DIGITS = re.compile(r"[0-9]{20,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_SPELLED: Final = {
    "€": "EUR",
    "…": "...",
    "\u2019": "'",
    "\u2013": "-",
    "\u2014": "-",
    "→": "->",
    "\u202f": " ",
}


def open_streams() -> None:
    """Make the standard streams usable where they are not.

    A program without a window (pythonw) has none of them; and an older terminal or a pipe may have
    a character set that lacks some of what is said, which is then spelled in ASCII.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    codecs.register_error("e2ee-ticket-spelled", _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "backslashreplace"):
            stream.reconfigure(errors="e2ee-ticket-spelled")


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    if set(lacking) & set("▀▄█"):
        raise error  # a code that is spelled is no code; who draws it says so
    spelled = (_SPELLED.get(c, c.encode("ascii", "backslashreplace").decode()) for c in lacking)
    return "".join(spelled), error.end


def is_library(error: ImportError) -> bool:
    """Tell whether what cannot be imported is somebody else's: not installed, or not loadable."""
    return (error.name or "e2ee_ticket").partition(".")[0] != "e2ee_ticket"


def lack(error: ImportError) -> int:
    """Say which library is not here, and what brings it; return the exit code."""
    library = (error.name or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError):
        say(f"the library {library} is not installed: this installation lacks the extra till")
        hint(install_hint())
    else:
        say(f"the library {library} cannot be loaded on this computer")
        hint(f"{PROGRAM} check --install says what is missing")
    return REFUSED


def install_hint() -> str:
    """Say how this installation gets its libraries: from the release's wheel, which is ours."""
    from e2ee_ticket import __version__  # noqa: PLC0415 - only here

    python = sys.executable or "python3"
    if sys.platform == "win32" and sys.prefix == sys.base_prefix:
        python = "py"
    return f'{python} -m pip install "e2ee_ticket-{__version__}-py3-none-any.whl[till]"'


def result(text: str) -> None:
    """Write a line of the result."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def say(text: str) -> None:
    """Tell something that is not the result; no link gets through, and no escape sequence."""
    _tell(f"{PROGRAM}: {text}")


def hint(text: str | None) -> None:
    """Tell what to do about it."""
    if text is not None:
        _tell(f"hint: {text}")


def note(text: str) -> None:
    """Tell how it goes, where somebody is looking."""
    if sys.stderr.isatty():
        say(text)


def complain(error: TicketError) -> int:
    """Tell an error, and what to do about it; return the exit code that says whose turn it is."""
    message, advice = str(error), hint_for(error)
    if isinstance(error, ConfigError) and advice is None:
        message, _, rest = message.partition("; ")  # what can be done about it stands there
        advice = rest or None
    say(message)
    hint(advice)
    return code_for(error)


def code_for(error: TicketError) -> int:
    """Choose the exit code of an error."""
    if error.retryable:
        return LATER
    return MISUSED if isinstance(error, ConfigError) else REFUSED


def hint_for(error: TicketError) -> str | None:
    """Guess what can be done about an error."""
    if isinstance(error, GoneError):
        return _GONE.get(error.reason)
    for kind, text in _HINTS:
        if isinstance(error, kind):
            return text
    return None


def _tell(text: str) -> None:
    text = _DIGITS.sub("…", _CONTROL.sub(" ", text))
    with contextlib.suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    for handler in _files:
        handler.handle(logging.makeLogRecord({"msg": text, "levelno": logging.WARNING}))


_files: list[logging.Handler] = []


def write_into(file: Path) -> logging.Handler:
    """Tell from now on also into a log file, of which two older ones are kept; return its handler.

    Raises:
        ConfigError: it cannot be written.
    """
    from logging.handlers import RotatingFileHandler  # noqa: PLC0415 - for a service's log only

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(file, maxBytes=2**20, backupCount=2, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the log {file} cannot be written: {error.strerror}") from error
    _files[:] = [handler]
    return handler


_GONE: Final = {
    "received": "somebody said that it is saved; the relay keeps it for 15 minutes after that",
    "revoked": "it was deleted; ask the shop for a new one or for paper",
    "expired": "it was not opened in time; ask the shop for a new one or for paper",
}

# The first that fits, so leaves before branches.
_HINTS: Final[tuple[tuple[type[TicketError], str], ...]] = (
    (DamagedError, "scan or copy the whole link again, from https:// to the last digit"),
    (VersionError, "a newer version of this program may know it"),
    (ProtocolError, "what came is not what the till sealed; ask the shop for paper"),
    (PermitError, "set E2EE_TICKET_PERMIT, or permit in the configuration, to the relay's permit"),
    (FullError, "the relay's operator must make room; nothing is lost meanwhile"),
    (AbsentError, "the upload may not have ended yet; try again in a minute"),
    (UnreachableError, "check the network, E2EE_TICKET_RELAY and this computer's clock"),
    (RefusedError, "is E2EE_TICKET_RELAY the address of a relay?"),
    (ReceiptError, "a receipt is a PDF file of at most 4 MiB; e2ee-ticket inspect looks into one"),
)


def printable(text: str) -> str:
    """Take out of a text what could steer a terminal."""
    return _CONTROL.sub(" ", text)
