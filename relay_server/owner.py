"""Root's commands in the relay's directory: with the rights of whom it belongs to, and no more.

Who may write to a directory decides what the names in it lead to. A relay that was broken into
could put a link in the place of its database, or of a file beside it; root would follow it.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

_PR_SET_KEEPCAPS = 8
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_READ_SEARCH = 2


def become_owner(path: Path) -> None:
    """Go on, for good, as the user who decides what this path leads to, where root does not.

    Only root can; for anybody else, and on Windows, nothing changes.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return
    found = find_owner(path)
    if found is not None:
        user, group = found
        os.setgroups([])
        os.setresgid(group, group, group)
        # systemd keeps a DynamicUser's folder in /var/lib/private, which root alone may enter:
        # without the right to go there no command would reach the database.
        closed = not _may_enter(path, user, group)
        kept = closed and _call("prctl", _PR_SET_KEEPCAPS, 1)
        os.setresuid(user, user, user)
        if kept:
            _keep_reading()


def _may_enter(path: Path, user: int, group: int) -> bool:
    """Tell whether a user may go through every folder on a path's way."""
    for step in path.resolve().parents:
        with suppress(OSError):
            found = step.stat()
            bit = 0o100 if found.st_uid == user else 0o010 if found.st_gid == group else 0o001
            if not found.st_mode & bit:
                return False
    return True


def _keep_reading() -> None:
    """Keep, of all of root's rights, the one to go into folders and read files; none to write."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    bit = 1 << _CAP_DAC_READ_SEARCH
    # Effective, permitted, inheritable; and the same for the capabilities above 31.
    if not _call("capset", header, (ctypes.c_uint32 * 6)(bit, bit, 0, 0, 0, 0)):
        raise PermissionError(errno.EPERM, "root's other rights cannot be given up")


def _call(name: str, *words: object) -> bool:
    """Call a function of Linux' C library; tell whether it was done."""
    try:
        return not getattr(ctypes.CDLL(None, use_errno=True), name)(*words)
    except (OSError, AttributeError):
        return False


def find_owner(
    path: Path, lstat: Callable[[Path], os.stat_result] = Path.lstat
) -> tuple[int, int] | None:
    """Return user and group of the first on a path's way who is not root, or None."""
    for step in _steps(path):
        with suppress(OSError):
            found = lstat(step)
            if found.st_uid != 0:
                return found.st_uid, _group(found.st_uid, found.st_gid)
    return None


def _steps(path: Path) -> Iterator[Path]:
    """Give everything on the way to a file, as it is said and as it is."""
    for way in (path.absolute(), path.resolve()):
        yield from reversed(way.parents)
        yield way


def _group(user: int, group: int) -> int:
    if sys.platform != "win32":
        import pwd  # noqa: PLC0415 - POSIX only

        with suppress(KeyError):
            return pwd.getpwuid(user).pw_gid
    return group
