"""Files in a watched folder: listed, read whole, moved aside; nothing that is a link is followed.

Everything here waits for a disk or a network share, and belongs into a thread.
"""

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from e2ee_ticket.pdf.check import RECEIPT_MAX_SIZE

MARKER: Final = ".e2ee-ticket"
_MARKER_TEXT: Final = "e2ee-ticket made this folder, and deletes old receipts in it.\n"
_IGNORED_STARTS: Final = (".", "~", "(PROV")  # the last are Dolibarr's drafts
_IGNORED_ENDS: Final = ("~", ".part", ".crdownload", ".tmp")
_OPEN_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # what was put in its place may be a pipe
)
_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was seen; equal where nothing was written in between.

    `name` may begin with the sub-folders that it lies in.
    """

    name: str
    size: int
    mtime_ns: int

    @property
    def mtime(self) -> float:
        """When it was written last, in seconds since 1970."""
        return self.mtime_ns / _NANOSECONDS

    @property
    def shown_name(self) -> str:
        """The name as text, whatever bytes the file system allows in it.

        What is not UTF-8 was written by a program that knows its own language's letters only.
        """
        name = os.fsencode(os.path.basename(self.name))  # noqa: PTH119 - may be no text
        try:
            return name.decode("utf-8")
        except UnicodeDecodeError:
            return name.decode("cp1252", "replace")

    def key(self, data: bytes) -> str:
        """Name this file with this content, in a way that tells nothing of either."""
        parts = (os.fsencode(self.name), b"%d" % self.size, b"%d" % self.mtime_ns)
        return sha256(b"\0".join(parts) + b"\0" + sha256(data).digest()).hexdigest()


def list_files(folder: Path, pattern: re.Pattern[str], *, depth: int = 0) -> list[File]:
    """List what a program may have put there, oldest first; links are left out.

    Files in sub-folders are listed down to `depth`.

    Raises:
        OSError: the folder cannot be read.
    """
    found = _list_files(folder, "", pattern, depth)
    return sorted(found, key=lambda file: (file.mtime_ns, file.name))


def _list_files(folder: Path, within: str, pattern: re.Pattern[str], depth: int) -> list[File]:
    found = []
    with os.scandir(folder / within) as entries:
        for entry in entries:
            name = entry.name
            if depth and not name.startswith(_IGNORED_STARTS):
                try:
                    if entry.is_dir(follow_symlinks=False):
                        inner = os.path.join(within, name)  # noqa: PTH118 - of thousands
                        found += _list_files(folder, inner, pattern, depth - 1)
                        continue
                except OSError:  # it went away, or is somebody else's
                    continue
            if (
                pattern.fullmatch(name)
                and not name.startswith(_IGNORED_STARTS)
                and not name.lower().endswith(_IGNORED_ENDS)
                and (file := _seen(entry.path, os.path.join(within, name))) is not None  # noqa: PTH118
            ):
                found.append(file)
    return found


def read_file(folder: Path, file: File) -> bytes | None:
    """Read a file, at most one byte more than fits; None where it is not as it was seen.

    Raises:
        OSError: it cannot be read (yet); on Windows while another program writes it.
    """
    try:
        descriptor = os.open(folder / file.name, _OPEN_FLAGS)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        if _file(file.name, os.fstat(descriptor)) != file:
            return None
        data = opened.read(RECEIPT_MAX_SIZE + 1)
        if _file(file.name, os.fstat(descriptor)) != file:
            return None
    return data


def delete_file(folder: Path, file: File) -> bool:
    """Delete a file; False where it is not as it was seen, and stays.

    Raises:
        OSError: it cannot be deleted.
    """
    path = folder / file.name
    if _seen(path, file.name) != file:
        return False
    path.unlink()
    return True


def move_file(folder: Path, file: File, into: str, now: float) -> bool:
    """Move a file into a sub-folder, numbered where its name is taken.

    Returns False where it is not as it was seen, and stays.

    Raises:
        OSError: it cannot be moved.
    """
    path = folder / file.name
    if _seen(path, file.name) != file:
        return False
    target = folder / into
    make_folder(target)
    free, number = target / path.name, 1
    while os.path.lexists(free):
        number += 1
        free = target / f"{path.stem}-{number}{path.suffix}"
    path.rename(free)
    with contextlib.suppress(OSError):  # from now on its days are counted
        os.utime(free, (now, now))
    return True


def make_folder(target: Path) -> None:
    """Make a sub-folder, with the sign that it is ours.

    Raises:
        OSError: it cannot be made.
    """
    try:
        target.mkdir()
    except FileExistsError:
        if not stat.S_ISDIR(target.lstat().st_mode):
            raise
        return
    with contextlib.suppress(OSError):
        (target / MARKER).write_text(_MARKER_TEXT, encoding="utf-8")


def sweep(target: Path, pattern: re.Pattern[str], before: float) -> None:
    """Delete the files that were moved there before a moment; only where the folder is ours."""
    with contextlib.suppress(OSError):
        if not (target / MARKER).exists() or target.is_symlink():
            return
        for file in list_files(target, pattern):
            if file.mtime < before:
                with contextlib.suppress(OSError):
                    delete_file(target, file)


def _seen(path: Path | str, name: str) -> File | None:
    # Not the directory's own entry: on Windows its size lags behind while a file is written.
    try:
        return _file(name, os.lstat(path))
    except OSError:
        return None


def _file(name: str, status: os.stat_result) -> File | None:
    if not stat.S_ISREG(status.st_mode):
        return None
    return File(name, status.st_size, status.st_mtime_ns)
