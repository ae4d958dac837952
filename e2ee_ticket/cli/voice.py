"""The voice of the command line (after age's).

- stdout carries the result and nothing else; everything else goes to stderr as `e2ee-ticket: …`,
  lower case, no full stop.
- An error is one line; a `hint:` line follows where we can guess what was meant. Never a
  traceback; `--debug` shows one.
- A link is never a command-line argument: arguments show in process lists and shell history.
- 0 done, 1 refused, 2 misused, 75 try again later, 130 stopped by Ctrl-C.
- Long work says how it goes on a terminal; `--json` is for programs.
"""

import contextlib
import re
import sys
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
    with contextlib.suppress(OSError):
        sys.stderr.write(_DIGITS.sub("…", _CONTROL.sub(" ", text)) + "\n")
        sys.stderr.flush()


_GONE: Final = {
    "received": "it was saved before, and the relay keeps it for 15 minutes only",
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
