"""One agent for one state directory: two would take the displays from each other."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till.config import make_private_dir, reason

FILE_NAME: Final = "agent.lock"


@contextlib.contextmanager
def lock(state_dir: Path) -> Iterator[None]:
    """Hold the lock; it ends with this process, however that ends.

    Raises:
        ConfigError: another agent holds it, or it cannot be made.
    """
    make_private_dir(state_dir)
    try:
        handle = os.open(state_dir / FILE_NAME, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise ConfigError(f"the state directory cannot be used: {reason(error)}") from error
    try:
        if not _take(handle):
            raise ConfigError(
                "an agent runs already for this configuration; one is enough for all tills"
            )
        yield
    finally:
        os.close(handle)


def is_locked(state_dir: Path) -> bool:
    """Tell whether an agent runs for this state directory."""
    try:
        handle = os.open(state_dir / FILE_NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _take(handle)
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - Windows only

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - POSIX only

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
