"""Where a database file lies: what it is on, what else leads to it, who holds it.

A relay's database needs a file system of this machine: its write-ahead log is shared in memory, and
each relay must see the other's lock.
"""

import errno
import os
import stat
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from relay_server.errors import StartError
from relay_server.store.beside import Beside

# Windows has neither; a link there takes an administrator to make.
NOT_FOLLOWING = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
NOT_WAITING = getattr(os, "O_NONBLOCK", 0)
LOCK_SUFFIX = ".lock"
MOUNTS = Path("/proc/self/mountinfo")
NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.", "vboxsf")
"""How the names of file systems begin that several machines, or none with memory, share."""


def must_be_there(path: Path) -> None:
    """Refuse to make a new database where there was one.

    Raises:
        StartError: there was one, and it is gone or empty.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = None
    except OSError:
        return  # opening it says why
    beside = Beside(path)
    if size or not beside.known.exists():
        return
    seen, _ = beside.read()
    day = "" if seen is None else f" until {datetime.fromtimestamp(seen.wall, UTC):%Y-%m-%d}"
    raise StartError(
        f"the database {path} is {'gone' if size is None else 'empty'}, and a relay ran on it{day}",
        hint="relay-server restore FILE brings a backup back; to begin anew, with no permit and no "
        f"display, remove {beside.known}",
    )


def must_have_one_name(path: Path) -> None:
    """Refuse a file that has another name: each name would get a write-ahead log of its own.

    Raises:
        StartError: it has.
    """
    with suppress(OSError):
        found = path.stat()
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            raise StartError(
                f"{path} has {found.st_nlink} names (hard links): its write-ahead log would be "
                "missed under the others",
                hint="remove the others, or copy it with relay-server backup",
            )


def find_file_system(path: Path, mounts: str | None = None) -> str:
    """Return the name of the file system that a path is on, or nothing where that is not known.

    ``mounts`` has the form of Linux's ``/proc/self/mountinfo``.
    """
    if mounts is None:
        try:
            mounts = MOUNTS.read_text("utf-8", "surrogateescape")
        except OSError:
            return ""
    place, best, name = path.resolve(), -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        # Blanks and the like are written as \040.
        point = Path(fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape"))
        if (place == point or point in place.parents) and len(point.parts) >= best:
            best, name = len(point.parts), after.split(" ")[0]
    return name


def is_network(file_system: str) -> bool:
    """Tell whether a file system is none that a database can be on."""
    return file_system.startswith(NETWORK)


class Hold:
    """The lock on a database: no other relay may run on it, under whatever name."""

    def __init__(self, path: Path, *, file: bool = True) -> None:
        """Take it; without ``file`` there is no database yet.

        Raises:
            StartError: another relay has it, or files there cannot be locked.
        """
        self._handles: list[IO[bytes]] = []
        try:
            self._take(path.with_name(path.name + LOCK_SUFFIX), os.O_RDWR | os.O_CREAT, path)
            if file and sys.platform == "linux" and not is_network(find_file_system(path)):
                # The file itself, too: somebody may remove the lock while a relay runs.
                self._take(path, os.O_RDWR, path)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of it, after the database was closed."""
        for handle in self._handles:
            handle.close()
        self._handles = []

    def _take(self, name: Path, flags: int, path: Path) -> None:
        try:
            handle = os.fdopen(os.open(name, flags | NOT_FOLLOWING | NOT_WAITING, 0o600), "r+b")
        except OSError as error:
            raise StartError(
                f"cannot open the database {path}: {error.strerror}",
                hint="--db names a file in a directory that the relay may write to",
            ) from error
        self._handles.append(handle)
        try:
            take(handle)
        except OSError as error:
            raise lock_error(path, error, find_file_system(path)) from error


def lock_error(path: Path, error: OSError, file_system: str) -> StartError:
    """Say why a database cannot be locked: another relay has it, or files there have no locks."""
    if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK):
        more = f" (it is on {file_system}: perhaps on another machine)" * is_network(file_system)
        return StartError(
            f"another relay is running on {path}{more}", hint="end it first, or use another file"
        )
    where = f" on {file_system}" if file_system else ""
    return StartError(
        f"{path}{where} cannot be locked: {error.strerror}",
        hint="a relay's database must be on a disk of this machine, not on a network's",
    )


def is_running(path: Path) -> bool:
    """Tell whether a relay runs on this file."""
    path = path.resolve()
    names = [path.with_name(path.name + LOCK_SUFFIX)]
    if sys.platform == "linux":
        names.append(path)
    for name in names:
        mode, flags = ("r+b", os.O_RDWR) if sys.platform == "win32" else ("rb", os.O_RDONLY)
        with (
            suppress(OSError),
            os.fdopen(os.open(name, flags | NOT_FOLLOWING | NOT_WAITING), mode) as handle,
        ):
            try:
                take(handle)
            except (BlockingIOError, PermissionError):
                return True
    return False


def take(handle: IO[bytes]) -> None:
    """Lock a file until it is closed, however this process ends.

    Raises:
        OSError: another process has it, or files there cannot be locked.
    """
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - Windows only

        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # noqa: PLC0415 - POSIX only

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
