"""What a relay keeps beside its database file: that there is one, and the newest time it saw.

``FILE.known`` is a line of JSON. By it a database that is gone or empty is told from one that never
was (each till would get 401 from a new one), and a clock that jumped while no relay ran is told
from time that passed. Nothing about anybody is in it.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from relay_server.clock import Seen

KNOWN_SUFFIX = ".known"
ACCEPT_SUFFIX = ".accept-clock"
ACCEPT_SECONDS = 600
"""For how long an operator's word on the clock is good."""


class Beside:
    """The files beside one database."""

    def __init__(self, database: Path, about: dict[str, object] | None = None) -> None:
        """Name them; ``about`` is what a relay says of itself to the commands beside it."""
        self._about = about or {}
        self.known = database.with_name(database.name + KNOWN_SUFFIX)
        self._accept = database.with_name(database.name + ACCEPT_SUFFIX)

    def read(self) -> tuple[Seen | None, int]:
        """Return the newest time that a relay saw, and by how much it doubts the clock now."""
        try:
            content = json.loads(self.known.read_text("ascii"))
            seen = Seen(float(content["newest"]), float(content["uptime"]), str(content["boot"]))
            return seen, int(content["doubt"])
        except (OSError, ValueError, TypeError, KeyError):
            return None, 0

    def read_about(self) -> dict[str, Any]:
        """Return what the last relay here said of itself: its variables and its limits."""
        try:
            about = json.loads(self.known.read_text("ascii"))["about"]
        except (OSError, ValueError, TypeError, KeyError):
            return {}
        return about if isinstance(about, dict) else {}

    def write(self, seen: Seen, doubt: int) -> None:
        """Keep this, durably, for the next relay.

        Raises:
            OSError: it cannot be written.
        """
        content = {
            "newest": int(seen.wall),
            "uptime": int(seen.uptime),
            "boot": seen.boot,
            "doubt": doubt,
            "about": self._about,
        }
        write_beside(self.known, json.dumps(content) + "\n")

    def ask_to_accept(self, wall: float) -> None:
        """Let the relay that runs on this database believe its clock, which says this.

        Raises:
            OSError: it cannot be written.
        """
        write_beside(self._accept, f"{int(wall)}\n")

    def take_acceptance(self, wall: float) -> bool:
        """Tell whether an operator says that the clock is right, once for each time it is said."""
        try:
            said = int(self._accept.read_text("ascii"))
        except (OSError, ValueError):
            return False
        with suppress(OSError):
            self._accept.unlink()
        return abs(said - wall) <= ACCEPT_SECONDS


def write_beside(path: Path, text: str) -> None:
    """Write a small file as one step, and follow no link in its place.

    Raises:
        OSError: it cannot be written.
    """
    new = path.with_name(path.name + ".new")
    with suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    new.replace(path)
