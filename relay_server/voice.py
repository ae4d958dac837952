"""How the command speaks.

stdout carries the result and nothing else; everything else goes to stderr as ``relay-server: …``,
lower case, without a full stop. An error is one line, and a ``hint:`` line follows when we can
guess what was meant.
"""

import argparse
import codecs
import io
import os
import re
import sys
from typing import NoReturn

from relay_server import __version__
from relay_server.errors import StartError

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_AMOUNT = re.compile(r"([1-9][0-9]{0,14}) ?(?:([KMGT])(?:i?B)?|B?)", re.IGNORECASE)


class MisuseError(StartError):
    """The command was called in a way that it does not have."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and a hint."""

    def error(self, message: str) -> NoReturn:
        """Refuse a wrong flag."""
        raise MisuseError(message, hint=f"see {self.prog} --help")


def open_streams() -> None:
    """Make the standard streams usable where there are none, or where they lack a character."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # a program without a window has none
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    codecs.register_error("relay-server-spelled", _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "backslashreplace"):
            stream.reconfigure(errors="relay-server-spelled")


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    spelled = (
        "..." if c == "…" else c.encode("ascii", "backslashreplace").decode() for c in lacking
    )
    return "".join(spelled), error.end


def install_hint(extras: str) -> str:
    """Say how this very installation gets libraries: from the release's wheel, which is ours."""
    wheel = f"e2ee_ticket-{__version__}-py3-none-any.whl"
    return f'{sys.executable} -m pip install "{wheel}[{extras}]"'


def say(text: str) -> None:
    """Tell the operator something that is not the result."""
    sys.stderr.write(f"relay-server: {text}\n")
    sys.stderr.flush()


def show(text: str) -> None:
    """Give the command's result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def parse_amount(text: str, what: str) -> int:
    """Return the bytes of an amount such as ``512 MiB`` or ``20G``.

    Raises:
        MisuseError: it is none.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise MisuseError(f"{what} is not an amount: {text!r}", hint="for example 512MiB or 20GiB")
    return int(match[1]) * _UNITS[(match[2] or "").upper()]


def parse_count(text: str, what: str) -> int:
    """Return a positive number.

    Raises:
        MisuseError: it is none.
    """
    if re.fullmatch(r"[1-9][0-9]{0,8}", text.strip()) is None:
        raise MisuseError(f"{what} is not a number above zero: {text!r}")
    return int(text)


def show_amount(size: float) -> str:
    """Return an amount as people read it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
