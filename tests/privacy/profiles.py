"""A browser's profile after a receipt was opened in it, and how it is searched."""

import re
import sqlite3
from contextlib import closing

import screens
from privacy import canaries, traces

from e2ee_ticket import Ticket


def canary_ticket():
    """A ticket with a canary in every field."""
    return Ticket(
        receipt=canaries.receipt(),
        name=canaries.NAME,
        title=canaries.TITLE,
        total=canaries.TOTAL,
        number=canaries.NUMBER,
        lang=canaries.LANG,
        preview=screens.picture(),
    )


class Profile:
    """A profile after a receipt was opened in it, and what was asked of the page."""

    def __init__(self, folder, link, ticket, envelope, kept):
        self.link, self.ticket, self.envelope, self.kept = link, ticket, envelope, kept
        self.files = {
            re.sub(r"_[0-9]{10,}", "_*", name): _unpacked(data)
            for name, data in traces.files_in(folder).items()
        }
        self.tables = {}
        for name in self.files:
            if self.files[name].startswith(b"SQLite format 3\0"):
                self.tables |= _tables(folder, name)

    def digits(self):
        needles = traces.Needles()
        needles.digits("the link", self.link.digits())
        needles.data("S", self.link.secret.reveal())
        return needles

    def receipt(self):
        needles = traces.Needles()
        for name, text in canaries.TEXTS.items():
            needles.text(name, text)
        receipt = self.ticket.receipt
        for start in range(0, len(receipt) - 48, len(receipt) // 8):
            needles.data("the receipt", receipt[start : start + 48])
        needles.data("the preview", self.ticket.preview[100:148])
        for start in range(0, len(self.envelope) - 48, len(self.envelope) // 8):
            needles.data("the envelope", self.envelope[start : start + 48])
        needles.data("the ticket's id", bytes.fromhex(self.link.secret.id))
        needles.data("the ticket's key", self.link.secret.key())
        needles.data("the ticket's token", self.link.secret.token())
        return needles

    def count(self):
        """How often the whole of the digits are in each file, plain or in UTF-16."""
        text = self.link.digits()
        counts = {
            name: data.count(text.encode()) + data.count(text.encode("utf-16-le"))
            for name, data in self.files.items()
        }
        return {name: count for name, count in counts.items() if count}


def _tables(folder, name):
    """Read every value of every table of a database, as SQLite shows it."""
    tables = {}
    path = (folder / name).as_uri() + "?mode=ro&immutable=1"
    with closing(sqlite3.connect(path, uri=True)) as connection:
        connection.text_factory = bytes
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"):
            quoted = table.decode().replace('"', '""')
            rows = connection.execute(f'SELECT * FROM "{quoted}"').fetchall()  # noqa: S608
            values = [value for row in rows for value in row if isinstance(value, bytes)]
            tables[f"{name} {table.decode()}"] = b"\n".join(values)
    return tables


def found_in_tables(found):
    """Which tables hold a piece of the link."""
    return sorted(traces.find_in(found.tables, found.digits()))


def _unpacked(data):
    """Undo the compression of Firefox's session files: LZ4 behind eight letters and a length."""
    if not data.startswith(b"mozLz40\0"):
        return data
    out = bytearray()
    at = 12
    while at < len(data):
        token = data[at]
        size, at = _lz4_size(data, at + 1, token >> 4)
        out += data[at : at + size]
        at += size
        if at >= len(data):
            break
        back = int.from_bytes(data[at : at + 2], "little")
        size, at = _lz4_size(data, at + 2, token & 15)
        for _ in range(size + 4):
            out.append(out[-back])
    assert len(out) == int.from_bytes(data[8:12], "little")
    return bytes(out)


def _lz4_size(data, at, size):
    if size == 15:
        while True:
            more = data[at]
            at += 1
            size += more
            if more != 255:
                break
    return size, at
