"""Root's commands in the relay's directory: with the rights of whom it belongs to, and no more.

Who may write to a directory decides what the names in it lead to. A relay that was broken into
could put a link in the place of its database, or of a file beside it; root would follow it.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path


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
        os.setresuid(user, user, user)


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
