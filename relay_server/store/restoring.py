"""Bringing a backup back in the place of a database, with nothing of the old one beside it."""

import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import IO

from relay_server.errors import StartError
from relay_server.store.place import Hold
from relay_server.store.sqlite import SCHEMA_VERSION, start_error
from relay_server.store.upkeep import Counts, count, find_fault, sync

NEW_SUFFIX = ".restoring"
OLD_SUFFIX = ".before-restore"
_BESIDE = ("", "-wal", "-shm")


def open_backup(source: Path) -> IO[bytes]:
    """Open a backup, with the rights of whoever asks.

    Raises:
        StartError: it cannot be read, or is not whole without what lies beside it.
    """
    log = source.with_name(source.name + "-wal")
    with suppress(OSError):
        if log.stat().st_size:
            raise StartError(
                f"{source} has a write-ahead log beside it: it is a relay's database, no backup",
                hint=f"relay-server backup --db {source} NEW makes one of both",
            )
    try:
        return source.open("rb")
    except OSError as error:
        raise StartError(f"cannot read {source}: {error.strerror}") from error


def restore(backup: IO[bytes], path: Path, *, now: int) -> tuple[Counts, Path | None]:
    """Put a backup in the place of a database; return what came back, and where the old one is.

    Nothing is changed before the copy was read as a whole and found to be a relay's.

    Raises:
        StartError: a relay runs, the backup is none, or there is no room.
    """
    path = path.resolve()
    new = path.with_name(path.name + NEW_SUFFIX)
    try:
        hold = Hold(path, file=path.exists())
        try:
            _copy(backup, new)
            counts = _check(new, now=now)
            old = _set_aside(path)
            new.replace(path)
            sync(path.parent)
        finally:
            hold.release()
    except OSError as error:
        raise StartError(
            f"cannot write beside {path}: {error.strerror}",
            hint="the copy needs as much room as the backup; run it as root",
        ) from error
    finally:
        for suffix in _BESIDE:
            with suppress(OSError):
                new.with_name(new.name + suffix).unlink()
    return counts, old


def _copy(backup: IO[bytes], new: Path) -> None:
    with suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        shutil.copyfileobj(backup, target, 2**20)
        target.flush()
        os.fsync(target.fileno())


def _check(new: Path, *, now: int) -> Counts:
    try:
        connection = sqlite3.connect(new, isolation_level=None)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        finally:
            connection.close()
        if 0 < version < SCHEMA_VERSION:
            # Its relay is older: the next start brings it up to date, as it would have there.
            from relay_server.store.sqlite import update  # noqa: PLC0415 - seldom

            update(new)
        fault = find_fault(new, thorough=True)
        if fault:
            raise StartError(f"the backup is damaged: {fault}", hint="try an older one")
        return count(new, now=now)
    except sqlite3.Error as error:
        raise start_error(new, error) from error


def _set_aside(path: Path) -> Path | None:
    """Let the database that is there, with its log, be another's name; a log alone goes."""
    found = path.exists() and path.stat().st_size > 0
    old = path.with_name(path.name + OLD_SUFFIX)
    for suffix in _BESIDE:
        there = path.with_name(path.name + suffix)
        if found:
            with suppress(FileNotFoundError):
                there.replace(old.with_name(old.name + suffix))
        else:
            with suppress(FileNotFoundError):
                there.unlink()
    return old if found else None
