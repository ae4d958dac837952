"""A damaged outbox does not stop the shop: it is set aside, and what can be read is taken over.

Before the agent opens its outbox, the file is looked at (`PRAGMA quick_check`). One that is no
database any more, is damaged inside, has no length or cannot be read is set aside under a name
that is told; its rows are read one by one (sqlite_rows.py) and put into a new outbox. What is
missing is told: the cashier is the last who can still give these customers their receipt.

Every step can be repeated: the new outbox is whole, under another name, before the damaged one is
moved. The damaged file has receipts in it; it is overwritten and removed after a day, as they are.
"""

import calendar
import contextlib
import itertools
import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NoReturn

from e2ee_ticket.errors import DamagedOutboxError, OutboxError
from e2ee_ticket.till.config import make_private_dir
from e2ee_ticket.till.outbox import BUSY_SECONDS, RECEIPT_SECONDS, REVOKE_SECONDS, Outbox
from e2ee_ticket.till.sqlite_rows import Found, Row, Value, rows

log = logging.getLogger(__name__)

ASIDE: Final = "outbox-damaged-"
_TIME: Final = "%Y%m%d-%H%M%S"
_NEW: Final = "outbox-recovered.sqlite"
_LISTED_MAX: Final = 20
_KEPT_MAX: Final = 1000
NUMBERS_APART: Final = 100_000
"""Receipts are numbered one by one and kept for days: a number further off is a damaged one."""
BEGUN_SECONDS: Final = 0.2

Shape = tuple[tuple[str, str, bool, bool], ...]
"""A table's columns: name, type, whether a value must be there, whether it is the row's number."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One outbox that was damaged, and what came of it.

    Attributes:
        at: when it was found, by the wall clock.
        file: what it is called now, in the state directory; "" once it was removed.
        receipts: how many receipts were taken over, ended ones with them.
        missing: the numbers of receipts that were there, as far as they are known; 1,000 at most.
        unreadable: rows of any kind that could not be read.
        empty: the file had no length: nothing is known of what it held.
    """

    at: float
    file: str
    receipts: int
    missing: tuple[int, ...]
    unreadable: int
    empty: bool

    def __str__(self) -> str:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.at))
        if self.empty or not (self.receipts or self.missing):
            return f"nothing of the outbox could be read on {at}; a new one was begun"
        said = f"the outbox was damaged on {at}; receipts recovered: {self.receipts}"
        if self.missing:
            named = [str(number) for number in self.missing[:_LISTED_MAX]]
            more = ["…"] if len(self.missing) > _LISTED_MAX else []
            return f"{said}; missing: {', '.join([*named, *more])}"
        if self.unreadable:
            return f"{said}; rows that could not be read: {self.unreadable}"
        return said

    @property
    def hint(self) -> str:
        """What to do about it."""
        hint = "compare with the till's own list of sales"
        return f"{hint}; the damaged file is kept for a day: {self.file}" if self.file else hint


class ClosedOutbox(Outbox):
    """Stands in for an outbox that cannot be opened: whatever it is asked fails, and says why."""

    def __init__(self, error: OutboxError) -> None:
        """Fail with this error."""
        self._error = error
        self._now = lambda: 0.0
        self._owner = ""

    def close(self) -> None:
        """There is nothing to close."""

    def _transaction(self) -> NoReturn:
        raise self._error

    def _reading(self) -> NoReturn:
        raise self._error

    def _checkpoint(self) -> None:
        pass


def is_empty(path: Path) -> bool:
    """Whether the file is there without anything in it: SQLite would take it for a new one."""
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def open_outbox(
    path: Path,
    now: Callable[[], float],
    *,
    owner: str = "",
    damaged: bool = False,
    busy_seconds: float = BUSY_SECONDS,
) -> Outbox:
    """Open the outbox, whatever state it is in; only one process may do so (lock.py).

    `damaged` says that it is known to be, though a look finds nothing.

    Raises:
        OutboxError: there is no room for one, or the directory does not let one be made.
    """
    make_private_dir(path.parent)
    _go_on(path)
    was_there = os.path.lexists(path)
    if was_there and (damaged or not _is_sound(path)):
        _recover(path, now())
    try:
        return Outbox(path, now, owner=owner, busy_seconds=busy_seconds)
    except DamagedOutboxError:
        _recover(path, now())
        return Outbox(path, now, owner=owner, busy_seconds=busy_seconds)
    except OutboxError:
        if not was_there:  # a file without length would be taken for a damaged one
            with contextlib.suppress(OSError):
                if path.stat().st_size == 0:
                    path.unlink()
        raise


def losses(directory: Path) -> list[Loss]:
    """Return the losses that are still to be told, oldest first."""
    found = []
    for note in sorted(directory.glob(f"{ASIDE}*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            members = json.loads(note.read_bytes())
            members["missing"] = tuple(members["missing"])
            loss = Loss(**members)
            gone = not os.path.lexists(directory / loss.file)
            found.append(Loss(**{**asdict(loss), "file": ""}) if gone else loss)
    return found


def seen(directory: Path) -> None:
    """Somebody knows of all losses."""
    for note in directory.glob(f"{ASIDE}*.json"):
        with contextlib.suppress(OSError):
            note.unlink()


def sweep(directory: Path, now: float) -> None:
    """Overwrite and remove what was set aside a day ago; the word of it stays for eight days."""
    for path in directory.glob(f"{ASIDE}*"):
        is_note = path.suffix == ".json"
        if now - _set_aside_at(path) > (REVOKE_SECONDS if is_note else RECEIPT_SECONDS):
            with contextlib.suppress(OSError):
                _erase(path)


def _set_aside_at(path: Path) -> float:
    """Read when a file was set aside from its name."""
    try:
        return calendar.timegm(time.strptime(path.name[len(ASIDE) :][:15], _TIME))
    except ValueError:
        return path.lstat().st_mtime


def _is_sound(path: Path) -> bool:
    """Whether SQLite finds nothing wrong; a file that another program holds counts as sound.

    Raises:
        OutboxError: there is no room to look.
    """
    try:
        if not path.is_file() or _stays_empty(path):
            return False
        os.close(os.open(path, os.O_RDWR))
        with contextlib.closing(sqlite3.connect(path, timeout=1.0)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            return bool(said == "ok")
    except PermissionError:
        return False
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0)
        return code not in (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ)
    except sqlite3.DatabaseError:
        return False
    except OSError as error:
        raise OutboxError("the outbox cannot be opened") from error


def _stays_empty(path: Path) -> bool:
    """Whether a file has no length; one that another program makes just now gets one soon."""
    if path.stat().st_size == 0:
        time.sleep(BEGUN_SECONDS)
    return path.stat().st_size == 0


def _recover(path: Path, now: float) -> None:
    """Make a new outbox of what can be read, and set the damaged one aside.

    Raises:
        OutboxError: there is no room for it; nothing has changed.
    """
    new = path.with_name(_NEW)
    aside = _free_name(path.with_name(f"{ASIDE}{time.strftime(_TIME, time.gmtime(now))}"))
    try:
        for each in _with_log(new):
            _erase(each)
        # Freed by closing: a WAL file with what is in it is the outbox's own again.
        Outbox(new, lambda: now).close()
        loss = _fill(new, path, aside.name, now)
        note = aside.with_suffix(".json")
        _write(note, json.dumps(asdict(loss)).encode())
        for each, moved in zip(_with_log(path), _with_log(aside), strict=True):
            if os.path.lexists(each):
                each.rename(moved)
        new.rename(path)
    except OSError as error:
        raise OutboxError("the outbox cannot be opened") from error
    log.warning("%s: %s", loss, loss.hint)


def _go_on(path: Path) -> None:
    """Finish what a power cut has interrupted: the damaged file was moved, the new one was not."""
    new = path.with_name(_NEW)
    if not os.path.lexists(path) and new.exists():
        for each in _with_log(path)[1:]:
            with contextlib.suppress(OSError):
                each.rename(_free_name(each.with_name(f"{ASIDE}rest{each.name[len(path.name) :]}")))
        with contextlib.suppress(OSError):
            new.rename(path)


def _fill(new: Path, damaged: Path, aside: str, now: float) -> Loss:
    """Put into a new outbox what can be read of the damaged one."""
    found = Found()
    try:
        readable = damaged.is_file() and damaged.stat().st_size > 0
        read = list(rows(damaged, found)) if readable else []
    except OSError:
        readable, read = False, []
    with contextlib.closing(sqlite3.connect(new)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA foreign_keys = OFF")
        with _translated(), connection:
            found.unreadable += _insert(connection, read)
            missing = _missing(connection, read, found, now)
            (receipts,) = connection.execute(
                "SELECT count(*) FROM receipts WHERE till <> ''"
            ).fetchone()
    return Loss(
        at=now,
        file=aside,
        receipts=receipts,
        missing=tuple(missing),
        unreadable=found.unreadable,
        empty=not readable,
    )


def _insert(connection: sqlite3.Connection, read: Sequence[Row]) -> int:
    """Insert each row into the table that it fits; return how many of ours fitted none.

    A table's own rules (types, CHECK, keys) decide; what breaks one is left out.
    """
    shapes = _shapes(connection)
    refused = 0
    for row in read:
        table = next((name for name, shape in shapes.items() if _fits(shape, row.values)), None)
        if table is None:
            continue  # SQLite's own
        shape = shapes[table]
        values = [
            row.number if is_number else value
            for (_, _, _, is_number), value in zip(shape, row.values, strict=False)
        ]
        names = ", ".join(name for name, *_ in shape[: len(values)])
        holes = ", ".join("?" * len(values))
        try:
            connection.execute(
                f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({holes})",  # noqa: S608 - ours
                values,
            )
        except sqlite3.IntegrityError:
            refused += 1
    return refused


def _shapes(connection: sqlite3.Connection) -> Mapping[str, Shape]:
    """Read the columns of our tables, those with most columns first."""
    names = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    ]
    shapes: dict[str, Shape] = {}
    for name in names:
        columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
        keys = [column for column in columns if column[5]]
        shapes[name] = tuple(
            (
                column[1],
                column[2],
                bool(column[3]) and column[4] is None,
                bool(column[5]) and len(keys) == 1 and column[2] == "INTEGER",
            )
            for column in columns
        )
    return dict(sorted(shapes.items(), key=lambda item: -len(item[1])))


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "INTEGER": (int,),
    "REAL": (float, int),
    "TEXT": (str,),
    "BLOB": (bytes,),
}


def _fits(shape: Shape, values: Sequence[Value]) -> bool:
    """Whether a row may be one of this table; an older version's rows lack the last columns."""
    if len(values) > len(shape):
        return False
    for (_, kind, needed, is_number), value in zip(shape, values, strict=False):
        if is_number or value is None:
            if value is not None or (needed and not is_number):
                return False
        elif not isinstance(value, _TYPES[kind]):
            return False
    return not any(needed for _, _, needed, _ in shape[len(values) :])


def _missing(
    connection: sqlite3.Connection, read: Sequence[Row], found: Found, now: float
) -> list[int]:
    """Number the receipts that are not there: gaps, what tickets belong to, what was counted.

    A ticket without its receipt goes on: a phone may have its code. It gets a receipt that was
    let go; its sale's facts are not known. A number that cannot be is replaced by the next one.
    """
    have = {number for (number,) in connection.execute("SELECT receipt_number FROM receipts")}
    wanted = set(_children(connection))
    indexed = {
        entry[2]
        for entry in found.indexed  # receipts_come_once has every receipt
        if len(entry) == 3 and isinstance(entry[0], str) and isinstance(entry[2], int)
    }
    counted = [
        value
        for row in read
        if len(row.values) == 2 and row.values[0] == "receipts"
        and isinstance(value := row.values[1], int)
    ]  # fmt: skip
    credible = _neighbours(have | wanted | indexed | set(counted))
    newest = max(credible, default=0)
    oldest = min(credible & (have | wanted | indexed), default=newest + 1)
    for number in sorted(wanted - have):
        (sealed_at,) = connection.execute(
            "SELECT coalesce(min(sealed_at), ?) FROM tickets WHERE receipt_number = ?",
            (now, number),
        ).fetchone()
        connection.execute(
            "INSERT INTO receipts (receipt_number, till, accepted_at) VALUES (?, '', ?)",
            (number, sealed_at),
        )
    strange = sorted((have | wanted) - credible)
    for new, number in enumerate(strange, newest + 1):
        for table in _numbered(connection):
            connection.execute(
                f"UPDATE {table} SET receipt_number = ? WHERE receipt_number = ?",  # noqa: S608 - ours
                (new, number),
            )
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'receipts'")
    last = newest + len(strange)
    connection.execute("INSERT INTO sqlite_sequence VALUES ('receipts', ?)", (last,))
    gaps = (number for number in range(oldest, newest + 1) if number not in have)
    return list(itertools.islice(gaps, _KEPT_MAX))


def _neighbours(numbers: Iterable[int]) -> set[int]:
    """Return the most numbers that may be those of one shop's receipts: each is near another."""
    most: list[int] = []
    run: list[int] = []
    for number in sorted(number for number in numbers if number > 0):
        if run and number - run[-1] > NUMBERS_APART:
            run = []
        run.append(number)
        most = run if len(run) > len(most) else most
    return set(most)


def _children(connection: sqlite3.Connection) -> Iterable[int]:
    for name in _numbered(connection):
        if name != "receipts":
            for (number,) in connection.execute(f"SELECT receipt_number FROM {name}"):  # noqa: S608
                yield number


def _numbered(connection: sqlite3.Connection) -> Sequence[str]:
    """Name the tables whose rows are about a receipt, and theirs."""
    return [
        name
        for name, shape in _shapes(connection).items()
        if any(column == "receipt_number" for column, *_ in shape)
    ]


def _with_log(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]


def _free_name(path: Path) -> Path:
    """Name a file as wished, or with a number behind it."""
    for number in itertools.count(1):
        end = f"-{number}" if number > 1 else ""
        candidate = path.with_name(f"{path.name}{end}.sqlite")
        if not os.path.lexists(candidate):
            return candidate
    raise AssertionError  # pragma: no cover - it counts for ever


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _erase(path: Path) -> None:
    """Overwrite a file and remove it."""
    if path.is_file() and not path.is_symlink():
        with contextlib.suppress(OSError), path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        path.unlink()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OutboxError("this computer's disk is full") from error
