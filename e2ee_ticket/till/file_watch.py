"""Seeing that a file was written by another program: its times and size are looked at, cheaply."""

from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 2.0


class FileWatch:
    """One file; it need not exist."""

    def __init__(self, path: Path) -> None:
        """Take the file as it is now for known."""
        self._path = path
        self._known = self._look()

    def changed(self) -> bool:
        """Tell whether the file differs from the one that is known."""
        return self._look() != self._known

    def know(self) -> None:
        """Take the file as it is now for known."""
        self._known = self._look()

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
