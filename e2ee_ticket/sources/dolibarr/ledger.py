"""Which invoices were had and which may still come, by the numbers of their rows alone.

TakePOS numbers a row when the first article is scanned, and validates it when the customer pays. A
table that was opened at noon is paid after sales which were begun later, and another till's sale
may be stored late: a number that was passed over is not a sale that was lost. So beside the
newest number all those below it that were not seen validated stay open, and are asked for too.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

OPEN_MAX: Final = 300
"""How many rows may be open; the oldest are given up first."""
SIFT_AT: Final = 100
"""From how many open rows on it pays to ask which of them are sales at all."""
RECENT: Final = 50
"""So many rows below the newest may not be stored yet, and stay open whatever is known of them."""

_CURSOR_MAX: Final = 4000
_CURSOR: Final = re.compile(
    r"([0-9a-f]{8})-([0-9a-f]{8}) ([0-9]{1,12})((?: [0-9]{1,12}(?:-[0-9]{1,12})?)*)"
)


class Ledger:
    """The newest row that was had, and the open ones below it.

    `series` names this counting of rows: where it begins anew, with another Dolibarr or with a
    database put back from a backup, the same row is another sale.
    """

    def __init__(self, series: str, newest: int, waiting: Iterable[int] = ()) -> None:
        self.series = series
        self.newest = newest
        self.open: set[int] = {row for row in waiting if 0 < row <= newest}
        self._trim()

    def __repr__(self) -> str:
        return f"Ledger({self.newest}, {len(self.open)} open)"

    def expects(self, row: int) -> bool:
        """Tell whether this row was not had yet."""
        return row > self.newest or row in self.open

    def settle(self, row: int) -> None:
        """Note that nothing more is to be done for a row; those it passes over stay open."""
        if row > self.newest:
            first = max(self.newest + 1, row - OPEN_MAX)
            self.open.update(range(first, row))
            self.newest = row
            self._trim()
        else:
            self.open.discard(row)

    def leave_open(self, row: int) -> None:
        """Note that a row was seen, and is to be asked for again."""
        self.settle(row)
        self.open.add(row)

    def pass_over(self, row: int) -> None:
        """Take everything up to a row as had."""
        self.newest = max(self.newest, row)

    def sift(self, drafts: Collection[int]) -> None:
        """Keep of the open rows those known to be drafts, and the recent ones."""
        kept = set(drafts)
        self.open = {row for row in self.open if row in kept or row > self.newest - RECENT}

    def copy(self) -> "Ledger":
        """Return another that knows the same."""
        return Ledger(self.series, self.newest, self.open)

    def to_cursor(self, place: str) -> str:
        """Write it as a text; `place` is eight hexadecimal digits that name the Dolibarr."""
        return " ".join((f"{place}-{self.series}", str(self.newest), *_ranges(sorted(self.open))))

    @classmethod
    def from_cursor(cls, cursor: str | None, place: str) -> "Ledger | None":
        """Read such a text; None where it is none, or speaks of another Dolibarr."""
        match = _CURSOR.fullmatch(cursor) if cursor and len(cursor) <= _CURSOR_MAX else None
        if match is None or match[1] != place:
            return None
        waiting: set[int] = set()
        for part in match[4].split():
            first, _, last = part.partition("-")
            end = min(int(last or first), int(first) + OPEN_MAX)
            waiting.update(range(int(first), end + 1))
        return cls(match[2], int(match[3]), waiting)

    def _trim(self) -> None:
        if len(self.open) > OPEN_MAX:
            self.open = set(sorted(self.open)[-OPEN_MAX:])


def _ranges(rows: list[int]) -> Iterable[str]:
    """Write rising numbers with those that follow each other as one."""
    start = 0
    for index, row in enumerate(rows):
        if index + 1 < len(rows) and rows[index + 1] == row + 1:
            continue
        yield str(row) if start == index else f"{rows[start]}-{row}"
        start = index + 1
