"""What an operator does with the SQLite file beside the relay that runs on it."""

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from relay_server.errors import StartError
from relay_server.store.sqlite import (
    APPLICATION_ID,
    SCHEMA,
    SCHEMA_VERSION,
    start_error,
    statements,
)

BUSY_SECONDS = 30.0


class Counts(NamedTuple):
    """How much there is of each; nothing about any single one."""

    stored: int
    opened: int
    received: int
    envelope_bytes: int
    tombstones: int
    channels: int
    channels_unpaired: int
    permits: int
    file_bytes: int
    log_bytes: int
    free_bytes: int
    """Of the file: what could be given back to the disk."""


def count(path: Path, *, now: int) -> Counts:
    """Count what is in a database, whether or not a relay runs on it.

    Raises:
        StartError: it cannot be read.
    """
    with _reading(path) as connection:
        connection.execute("BEGIN")
        states = dict.fromkeys(range(4), 0)
        size = 0
        for state, number, length in connection.execute(_COUNT_LIVING, (now,)):
            states[state] = number
            size += length
        free = int(connection.execute("PRAGMA freelist_count").fetchone()[0]) * int(
            connection.execute("PRAGMA page_size").fetchone()[0]
        )
        rows = [
            int(connection.execute(statement, values).fetchone()[0])
            for statement, values in (
                ("SELECT count(*) FROM tickets WHERE envelope IS NULL OR expiry <= ?", (now,)),
                ("SELECT count(*) FROM channels WHERE polled_day IS NOT NULL", ()),
                ("SELECT count(*) FROM channels WHERE polled_day IS NULL", ()),
                ("SELECT count(*) FROM permits", ()),
            )
        ]
    sizes = [_size(path), _size(path.with_name(path.name + "-wal")), free]
    return Counts(states[0], states[1], states[2], size, *rows, *sizes)


def back_up(path: Path, target: Path, *, envelopes: bool) -> None:
    """Write a consistent copy into a new file, while the relay goes on.

    Without envelopes, tickets that still have theirs are left out.

    Raises:
        StartError: it cannot be read, or not be written there.
    """
    try:
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as error:
        raise StartError(
            f"{target} is there already", hint="a backup goes into a new file"
        ) from error
    except OSError as error:
        raise StartError(f"cannot write {target}: {error.strerror}") from error
    try:
        with _reading(path) as connection:
            if envelopes:
                # What was deleted is not copied: only what is there.
                connection.execute("VACUUM INTO ?", (str(target),))
            else:
                _copy_without_envelopes(path, target)
        sync(target)
        sync(target.parent)
    except BaseException as error:
        with suppress(OSError):
            target.unlink()
        if isinstance(error, sqlite3.Error):
            raise start_error(target, error) from error
        raise


class Guest:
    """A permit for as long as somebody tries the relay, which leaves nothing behind."""

    def __init__(self, path: Path, today: int) -> None:
        """Add it.

        Raises:
            StartError: the database cannot be written.
        """
        self.permit = secrets.token_urlsafe(32)
        self._path = path
        self._name = f"check {secrets.token_hex(4)}"
        digest = hashlib.sha256(self.permit.encode()).digest()
        self._write(
            "INSERT INTO permits (name, hash, added_day) VALUES (?, ?, ?)",
            (self._name, digest, today),
        )

    def leave(self, ticket_id: bytes, cid: bytes) -> None:
        """Remove the permit, and what was made with it."""
        self._write("DELETE FROM permits WHERE name = ?", (self._name,))
        self._write("DELETE FROM tickets WHERE id = ?", (ticket_id,))
        self._write("DELETE FROM channels WHERE cid = ?", (cid,))

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        uri = self._path.absolute().as_uri() + "?mode=rw"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
                connection.execute("PRAGMA secure_delete = ON")
                with connection:
                    connection.execute(statement, values)
        except sqlite3.Error as error:
            raise start_error(self._path, error) from error


def find_fault(path: Path, *, thorough: bool) -> str:
    """Return what is wrong with a database, or nothing.

    Raises:
        StartError: it cannot be read at all.
    """
    with _reading(path) as connection:
        name = "integrity_check" if thorough else "quick_check"
        try:
            found = str(connection.execute(f"PRAGMA {name}(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            return str(error)
    return "" if found == "ok" else found


def _copy_without_envelopes(path: Path, target: Path) -> None:
    connection = sqlite3.connect(target, isolation_level=None, uri=True)
    try:
        connection.execute("ATTACH ? AS relay", (_uri(path),))
        connection.execute("BEGIN")
        for statement in statements(SCHEMA):
            connection.execute(statement)
        connection.execute(_COPY_TOMBSTONES)
        for table in ("channels", "permits"):
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM relay.{table}")  # noqa: S608
        connection.execute(f"PRAGMA main.application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA main.user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    finally:
        connection.close()


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise StartError(f"there is no database {path}", hint="--db names the relay's database")
    try:
        connection = sqlite3.connect(
            _uri(path), uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
    except sqlite3.Error as error:
        raise start_error(path, error) from error
    try:
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error as error:
            raise start_error(path, error) from error
        if application != APPLICATION_ID:
            raise StartError(f"{path} is a database, but not a relay's")
        if version != SCHEMA_VERSION:
            age = "a newer" if version > SCHEMA_VERSION else "an older"
            raise StartError(
                f"{path} was written by {age} relay: version {version}, not {SCHEMA_VERSION}",
                hint="use the relay-server that runs on it",
            )
        try:
            yield connection
        except sqlite3.Error as error:
            raise start_error(path, error) from error
    finally:
        connection.close()


def _uri(path: Path) -> str:
    return path.absolute().as_uri() + "?mode=ro"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def sync(path: Path) -> None:
    """Bring a file, or the names in a directory, onto the disk."""
    with suppress(OSError):  # Windows cannot open a directory, and needs not
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_COUNT_LIVING = """
SELECT state, count(*), sum(length(envelope)) FROM tickets
WHERE envelope IS NOT NULL AND expiry > ? GROUP BY state
"""
_COPY_TOMBSTONES = """
INSERT INTO main.tickets (id, state, token_hash, expiry)
SELECT id, state, token_hash, expiry FROM relay.tickets WHERE envelope IS NULL
"""
