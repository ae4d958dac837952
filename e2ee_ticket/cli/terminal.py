"""Asking the person at the terminal; a test asks nobody."""

import getpass
import sys
from typing import Protocol

from e2ee_ticket.cli import voice
from e2ee_ticket.errors import ConfigError


class Terminal(Protocol):
    """Somebody who can be asked."""

    def tell(self, text: str = "") -> None:
        """Show a line."""
        ...

    def ask(self, prompt: str) -> str:
        """Read a line.

        Raises:
            ConfigError: nobody is there.
        """
        ...

    def ask_hidden(self, prompt: str) -> str:
        """Read a line that is not shown.

        Raises:
            ConfigError: nobody is there.
        """
        ...


class Keyboard:
    """The terminal this program runs in."""

    def tell(self, text: str = "") -> None:
        """Show a line."""
        voice.result(text)

    def ask(self, prompt: str) -> str:
        """Read a line.

        Raises:
            ConfigError: nobody is there.
        """
        try:
            return input(prompt).strip()
        except EOFError:
            raise ConfigError("nobody is there to answer; run this in a terminal") from None
        except UnicodeDecodeError:
            raise ConfigError("what was typed is not UTF-8; check the terminal") from None

    def ask_hidden(self, prompt: str) -> str:
        """Read a line that is not shown; what is piped in is read like a line.

        Raises:
            ConfigError: nobody is there.
        """
        if not sys.stdin.isatty():
            line = sys.stdin.readline()
            if not line:
                raise ConfigError("nobody is there to answer; run this in a terminal")
            return line.strip()
        try:
            return getpass.getpass(prompt).strip()
        except EOFError:
            raise ConfigError("nobody is there to answer; run this in a terminal") from None
