"""The displays this till is paired with, and their pairing secrets.

One JSON file in the state directory, readable by its owner alone. It is the one place on disk
where a pairing secret and a write token stand (spec/channel.md, Pairing); the configuration,
which is edited by hand and copied about, holds neither.
"""

import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2ee_ticket.errors import AbsentError, ConfigError, UnpairedError
from e2ee_ticket.protocol.channel import PairingSecret, WriteToken, registration
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.till.config import Config, make_private_dir, reason

if TYPE_CHECKING:
    from e2ee_ticket.client import RelayClient

FILE_NAME = "displays.json"
NAME_LIMIT = 60
_TEST_LINES: Final = ("Test", "Café 6,90", "Total 6,90")


@dataclass(frozen=True, slots=True)
class Pairing:
    """One display: the name the till calls it by, P and wtok."""

    name: str
    secret: PairingSecret
    token: WriteToken


class Displays:
    """The paired displays, read anew at every call: another process may have changed them."""

    def __init__(self, state_dir: Path) -> None:
        """Read and write the file of this directory; `path` is where it is."""
        self.path = state_dir / FILE_NAME

    def all(self) -> list[Pairing]:
        """Return every pairing, in the order in which they were made.

        Raises:
            ConfigError: the file is damaged or cannot be read.
        """
        try:
            members = json.loads(self.path.read_bytes())
            return [_pairing(entry) for entry in members["displays"]]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(f"{FILE_NAME} cannot be read: {reason(error)}") from error
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"{FILE_NAME} is damaged; move it away and pair again") from None

    def recover(self, now: float) -> tuple[str, str] | None:
        """Set a damaged file aside and go on with the pairings that it still has, one by one.

        Returns what to tell, and what to do about it; None where nothing is damaged.

        Raises:
            ConfigError: it cannot be read or set aside.
        """
        try:
            self.all()
        except ConfigError as error:
            if not self.path.is_file() or not os.access(self.path, os.R_OK):
                raise
            text = self.path.read_text(encoding="utf-8", errors="replace")
            found = dict(_whole_entries(text))
            at = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
            aside = self.path.with_name(f"displays-damaged-{at}.json")
            try:
                self.path.rename(aside)
            except OSError:
                raise error from None
            self._write(list(found.values()))
            names = ", ".join(pairing.name for pairing in found.values()) or "0"
            hint = f"pair what is missing again; the damaged file is {aside.name}"
            return f"{FILE_NAME} was damaged; displays that were recovered: {names}", hint
        return None

    def find(self, name: str) -> Pairing:
        """Return the display of this name; upper and lower case are the same.

        Raises:
            ConfigError: there is none.
        """
        pairings = self.all()
        for pairing in pairings:
            if pairing.name.casefold() == name.casefold():
                return pairing
        if not pairings:
            raise ConfigError("no display is paired; e2ee-ticket display add pairs one")
        names = ", ".join(pairing.name for pairing in pairings)
        raise ConfigError(f"no display has this name; paired are: {names}")

    def keep(self, pairing: Pairing) -> None:
        """Add a display.

        Raises:
            ConfigError: the name is taken, or cannot be one.
        """
        self.check(pairing.name)
        self._write([*self.all(), pairing])

    def check(self, name: str) -> None:
        """Refuse a name that a new display cannot have.

        Raises:
            ConfigError: empty, too long, with control characters, or taken.
        """
        if not name.strip() or len(name) > NAME_LIMIT or not name.isprintable():
            raise ConfigError(f"a display's name has 1 to {NAME_LIMIT} printable characters")
        if any(known.name.casefold() == name.casefold() for known in self.all()):
            raise ConfigError("a display of this name is paired already; remove it first")

    def forget(self, name: str) -> None:
        """Remove a display; its secrets are gone with it."""
        self._write([known for known in self.all() if known.name.casefold() != name.casefold()])

    def _write(self, pairings: list[Pairing]) -> None:
        entries = [
            {
                "name": pairing.name,
                "secret": pairing.secret.reveal().hex(),
                "token": pairing.token.reveal().hex(),
            }
            for pairing in pairings
        ]
        text = json.dumps({"version": 1, "displays": entries}, ensure_ascii=False, indent=1)
        make_private_dir(self.path.parent)
        write_private(self.path, text.encode("utf-8") + b"\n")


def _whole_entries(text: str) -> Iterator[tuple[str, Pairing]]:
    """Find every pairing that is whole, by its name in small letters."""
    for found in re.finditer(r"\{[^{}]*\}", text):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            pairing = _pairing(json.loads(found[0]))
            yield pairing.name.casefold(), pairing


def _pairing(entry: Mapping[str, str]) -> Pairing:
    return Pairing(
        str(entry["name"]),
        PairingSecret(bytes.fromhex(entry["secret"])),
        WriteToken(bytes.fromhex(entry["token"])),
    )


def idle_of(config: Config) -> Content:
    """Return what a display of this shop shows while there is nothing to show."""
    return Content.idle(name=config.shop, lang=config.lang, notice=config.notice)


def sample_of(config: Config) -> Content:
    """Return what a display of this shop shows when it is tested."""
    return Content.live(_TEST_LINES, name=config.shop, lang=config.lang)


async def pair(relay: "RelayClient", displays: Displays, name: str) -> Pairing:
    """Pair a display: the relay has its channel before the pairing is kept.

    Raises:
        ConfigError: the name cannot be one, or the pairing cannot be kept.
        RelayError: the relay does not take the channel.
    """
    pairing = Pairing(name.strip(), PairingSecret.generate(), WriteToken.generate())
    displays.check(pairing.name)
    await relay.register(pairing.secret.cid, registration(pairing.secret, pairing.token))
    displays.keep(pairing)
    return pairing


async def unpair(relay: "RelayClient", pairing: Pairing) -> None:
    """End a display's channel at the relay; one that it has forgotten, or ended, is none any more.

    Raises:
        RelayError: the relay cannot be told.
    """
    with contextlib.suppress(AbsentError, UnpairedError):
        await relay.unpair(pairing.secret.cid, pairing.token.reveal())


def write_private(path: Path, data: bytes) -> None:
    """Write a file of the user's own at once: whole or not at all, and durable.

    Raises:
        ConfigError: it cannot be written.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise ConfigError(f"{path.name} cannot be written: {reason(error)}") from error
