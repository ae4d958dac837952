"""Reading the rows that a damaged SQLite file still has, page by page, without SQLite.

What `sqlite3 .recover` does, for the few tables that are ours: every page that is a leaf of a
table is read by itself, whatever became of the pages that lead to it, with the write-ahead log's
newest copy of a page before the file's own. A row that does not read whole is left out. Freed
pages give nothing, because `secure_delete` has overwritten them (outbox.py).

The layout is the one of https://www.sqlite.org/fileformat2.html; all numbers are big-endian.
"""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

Value = int | float | str | bytes | None

_HEADER_SIZE: Final = 100
_LOG_HEADER_SIZE: Final = 32
_FRAME_HEADER_SIZE: Final = 24
_TABLE_LEAF: Final = 0x0D
_INDEX_PAGES: Final = {0x0A: 0, 0x02: 4}
"""A leaf of an index and what leads to it, and how many bytes of a cell lead on."""
_PAGE_SIZES: Final = tuple(2**power for power in range(9, 17))
_PAGE_SIZE_DEFAULT: Final = 4096
_PART_SIZE: Final = 4096
_COLUMNS_MAX: Final = 100
_VALUE_MAX_SIZE: Final = 64 * 1024 * 1024
_INTEGER_SIZES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class _UnreadableError(Exception):
    """These bytes are no row."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number in its table, and its columns as they were stored.

    A column that is the row's number itself is None here.
    """

    number: int
    values: tuple[Value, ...] = field(repr=False)


@dataclass(slots=True)
class Found:
    """What was read beside the rows.

    Attributes:
        unreadable: how many cells of tables were no whole row.
        indexed: what indexes know of rows: the indexed columns, and the row's number last.
    """

    unreadable: int = 0
    indexed: list[tuple[Value, ...]] = field(default_factory=list)


def rows(path: Path, found: Found) -> Iterator[Row]:
    """Yield every row of every table of a file and its log (`-wal`), in the order of its pages.

    Raises:
        OSError: the file cannot be read at all.
    """
    log = path.with_name(path.name + "-wal")
    pages = _Pages(_read(path), _read(log) if log.is_file() else b"")
    for number in range(1, pages.count + 1):
        yield from _leaf(pages, number, found)


def _read(path: Path) -> bytes:
    """Read a file; a part that the disk cannot read any more is zeros."""
    size = path.stat().st_size
    parts = []
    with path.open("rb", buffering=0) as file:
        for at in range(0, size, _PART_SIZE):
            file.seek(at)
            try:
                part = file.read(_PART_SIZE)
            except OSError:
                part = b""
            parts.append(part.ljust(min(_PART_SIZE, size - at), b"\0"))
    return b"".join(parts)


class _Pages:
    """The pages of a file, and of the log that is newer."""

    def __init__(self, data: bytes, log: bytes) -> None:
        self._data = data
        self.size = _page_size(data, log)
        reserved = data[20] if data[:6] == b"SQLite" and len(data) > _HEADER_SIZE else 0
        self.usable = self.size - (reserved if reserved < self.size - 480 else 0)
        self._newer = _frames(log, self.size)
        self.count = max([-(-len(data) // self.size), *self._newer])
        self._left = 2 * (len(data) + len(log))

    def spend(self, size: int) -> None:
        """Count what rows hold: no page is in two of them, so all of it is not more than the file.

        Raises:
            _UnreadableError: it is.
        """
        self._left -= size
        if self._left < 0:
            raise _UnreadableError

    def __getitem__(self, number: int) -> bytes:
        newer = self._newer.get(number)
        if newer is not None:
            return newer
        page = self._data[(number - 1) * self.size : number * self.size]
        return page + bytes(self.size - len(page))  # the file was cut


def _page_size(data: bytes, log: bytes) -> int:
    if data[:16] == b"SQLite format 3\0" and len(data) >= _HEADER_SIZE:
        (size,) = struct.unpack_from(">H", data, 16)
        if size in (1, *_PAGE_SIZES):
            return 65536 if size == 1 else int(size)
    if len(log) >= _LOG_HEADER_SIZE:
        (size,) = struct.unpack_from(">I", log, 8)
        if size in _PAGE_SIZES:
            return int(size)
    return _PAGE_SIZE_DEFAULT


def _frames(log: bytes, size: int) -> dict[int, bytes]:
    """Return the newest copy of each page that a transaction of the log has committed."""
    if len(log) < _LOG_HEADER_SIZE:
        return {}
    salts = log[16:24]
    committed: dict[int, bytes] = {}
    open_: dict[int, bytes] = {}
    for at in range(_LOG_HEADER_SIZE, len(log) - _FRAME_HEADER_SIZE - size + 1,
                    _FRAME_HEADER_SIZE + size):  # fmt: skip
        number, length = struct.unpack_from(">II", log, at)
        if log[at + 8 : at + 16] != salts or not 0 < number < 2**31:
            break  # what an earlier round of the log has left
        start = at + _FRAME_HEADER_SIZE
        open_[number] = log[start : start + size]
        if length:
            committed |= open_
            open_ = {}
    return committed


def _leaf(pages: _Pages, number: int, found: Found) -> Iterator[Row]:
    page = pages[number]
    start = _HEADER_SIZE if number == 1 else 0
    if page[start] in _INDEX_PAGES:
        found.indexed += _entries(page, _INDEX_PAGES[page[start]])
    if page[start] != _TABLE_LEAF:
        return
    (count,) = struct.unpack_from(">H", page, start + 3)
    for index in range(min(count, (pages.usable - start - 8) // 2)):
        (at,) = struct.unpack_from(">H", page, start + 8 + 2 * index)
        try:
            yield _cell(pages, page, at)
        except (_UnreadableError, IndexError, struct.error, UnicodeDecodeError):
            found.unreadable += 1


def _entries(page: bytes, lead: int) -> Iterator[tuple[Value, ...]]:
    """Yield the entries of an index' page that stand on it whole."""
    (count,) = struct.unpack_from(">H", page, 3)
    for index in range(min(count, len(page) // 4)):
        with contextlib.suppress(_UnreadableError, IndexError, struct.error, UnicodeDecodeError):
            (at,) = struct.unpack_from(">H", page, 8 + lead + 2 * index)
            size, at = _varint(page, at + lead)
            yield _record(page[at : at + size])


def _cell(pages: _Pages, page: bytes, at: int) -> Row:
    size, at = _varint(page, at)
    number, at = _varint(page, at)
    if number >= 2**63:
        number -= 2**64
    if size > _VALUE_MAX_SIZE:
        raise _UnreadableError
    return Row(number, _record(_payload(pages, page, at, size)))


def _payload(pages: _Pages, page: bytes, at: int, size: int) -> bytes:
    """Collect a row's bytes: the first stand on its page, the others on pages of their own."""
    usable = pages.usable
    here = size
    if size > usable - 35:
        least = (usable - 12) * 32 // 255 - 23
        here = least + (size - least) % (usable - 4)
        if here > usable - 35:
            here = least
    pages.spend(here)
    parts = [page[at : at + here]]
    rest = size - here
    if rest:
        (number,) = struct.unpack_from(">I", page, at + here)
    while rest > 0:
        if not 1 < number <= pages.count:
            raise _UnreadableError
        more = pages[number]
        (number,) = struct.unpack_from(">I", more, 0)
        part = more[4 : min(usable, 4 + rest)]
        parts.append(part)
        rest -= len(part)
        pages.spend(len(part))
    payload = b"".join(parts)
    if len(payload) != size:
        raise _UnreadableError
    return payload


def _record(payload: bytes) -> tuple[Value, ...]:
    end, at = _varint(payload, 0)
    if end > len(payload):
        raise _UnreadableError
    kinds = []
    while at < end:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if at != end or not 0 < len(kinds) <= _COLUMNS_MAX:
        raise _UnreadableError
    values = []
    for kind in kinds:
        value, at = _value(payload, at, kind)
        values.append(value)
    if at != len(payload):
        raise _UnreadableError
    return tuple(values)


def _value(payload: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in (8, 9):
        return kind - 8, at
    if kind == 7:
        return struct.unpack_from(">d", payload, at)[0], at + 8
    size = _INTEGER_SIZES.get(kind) if kind < 12 else (kind - 12) // 2
    if size is None or at + size > len(payload):
        raise _UnreadableError
    part = payload[at : at + size]
    if kind < 12:
        return int.from_bytes(part, "big", signed=True), at + size
    return (part.decode("utf-8") if kind % 2 else part), at + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(9):
        byte = data[at + index]
        if index == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    raise AssertionError  # pragma: no cover - the ninth byte returns
