"""What is asked of Dolibarr's invoices, in the words of its API.

Only numbers of this program's own are put into a filter, so that nothing has to be escaped, and of
what a cashier typed only letters, digits and the signs that stand in numbers.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from e2ee_ticket.sources.dolibarr.client import Client, DolibarrError
from e2ee_ticket.sources.dolibarr.fields import (
    Members,
    objects,
    read_number,
    read_text,
    read_whole,
)
from e2ee_ticket.sources.dolibarr.rights import RIGHT_11

PAGE: Final = 50
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9/._-]{0,63}")
DRAFTS_MAX: Final = 100
_TAKEPOS: Final = "(t.module_source:=:'takepos')"
_VALIDATED: Final = "(t.fk_statut:>:0)"
_PROPERTIES: Final = (
    "id,ref,type,statut,status,paye,total_ttc,pos_source,last_main_doc,datem,"
    "totalpaid,sumpayed,remaintopay"
)
_STATUS_VALIDATED, _STATUS_PAID, _STATUS_ABANDONED = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Sale:
    """One line of the list of invoices."""

    row: int
    till: str
    status: int
    paid: bool
    part_paid: bool

    @property
    def abandoned(self) -> bool:
        """Whether it was given up, and never will be a sale."""
        return self.status == _STATUS_ABANDONED

    @property
    def final(self) -> bool:
        """Whether it has its number for good."""
        return self.status in (_STATUS_VALIDATED, _STATUS_PAID)


async def list_sales(client: Client, newest: int, waiting: Collection[int]) -> list[Sale]:
    """List what was validated above a row, or is one of those that wait; the newest first.

    Raises:
        DolibarrError: no list.
    """
    wanted = f"(t.rowid:>:{newest})"
    if waiting:
        wanted = f"({wanted} or (t.rowid:in:{','.join(map(str, sorted(waiting)))}))"
    found = await _list(client, f"{_TAKEPOS} and {_VALIDATED} and {wanted}", PAGE, _PROPERTIES)
    return [sale for one in found if (sale := _read_sale(one)) is not None]


async def newest_sale(client: Client) -> int:
    """Return the newest validated sale's row, 0 where there is none.

    Raises:
        DolibarrError: no list.
    """
    found = await _list(client, f"{_TAKEPOS} and {_VALIDATED}", 1, "id")
    return max((read_whole(one, "id") or 0 for one in found), default=0)


async def list_drafts(client: Client, among: Collection[int] | None = None) -> list[int]:
    """List the rows of sales that are being made, or those of them among some rows.

    Raises:
        DolibarrError: no list.
    """
    filters = f"{_TAKEPOS} and (t.fk_statut:=:0)"
    if among is not None:
        filters += f" and (t.rowid:in:{','.join(map(str, sorted(among)))})"
    found = await _list(client, filters, DRAFTS_MAX, "id")
    return [row for one in found if (row := read_whole(one, "id")) is not None]


async def newest_invoice(client: Client, parties: str = "") -> int:
    """Return the newest invoice's row, 0 where none is seen; `parties` are ids of third parties.

    Raises:
        DolibarrError: no list.
    """
    found = await _list(client, "", 1, "id", parties)
    return max((read_whole(one, "id") or 0 for one in found), default=0)


async def list_recent(client: Client) -> list[Members]:
    """List some of the newest sales, with their number and till.

    Raises:
        DolibarrError: no list.
    """
    return await _list(client, f"{_TAKEPOS} and {_VALIDATED}", 20, "id,ref,pos_source")


def is_plain(number: str) -> bool:
    """Tell whether a number can stand in a filter as it is."""
    return _PLAIN.fullmatch(number) is not None


async def row_of(client: Client, number: str) -> int:
    """Return the row of the invoice of a plain number.

    Raises:
        DolibarrError: there is none (404), or no list.
        ValueError: it is not plain.
    """
    if not is_plain(number):
        raise ValueError("this number cannot stand in a filter")
    found = await _list(client, f"(t.ref:=:'{number}')", 1, "id,ref")
    rows = [read_whole(one, "id") for one in found if read_text(one, "ref") == number]
    if not rows or rows[0] is None:
        raise DolibarrError("Dolibarr does not know this", status=404)
    return rows[0]


async def _list(
    client: Client, filters: str, limit: int, properties: str, parties: str = ""
) -> list[Members]:
    query = {
        "sortfield": "t.rowid",
        "sortorder": "DESC",
        "limit": str(limit),
        "properties": properties,
    }
    if filters:
        query["sqlfilters"] = filters
    if parties:
        query["thirdparty_ids"] = parties
    try:
        answer = await client.get("invoices", query)
    except DolibarrError as error:
        if error.status == 404:  # how older versions say that there is none
            return []
        if error.status == 403 and error.hint is None:
            raise DolibarrError(*RIGHT_11, status=403) from error
        raise
    return objects(answer.value)


def _read_sale(one: Members) -> Sale | None:
    """Read a line of the list; None for a draft, and for what is no invoice."""
    row, number = read_whole(one, "id"), read_text(one, "ref")
    status = read_whole(one, "status")
    status = read_whole(one, "statut") if status is None else status
    if row is None or row <= 0 or number is None or number.startswith("(PROV"):
        return None
    paid = read_whole(one, "paye") == 1
    if status is None:  # the filter has let through only validated ones
        status = _STATUS_PAID if paid else _STATUS_VALIDATED
    if status == 0:
        return None
    return Sale(
        row=row,
        till=read_text(one, "pos_source") or "",
        status=status,
        paid=paid or status == _STATUS_PAID,
        part_paid=any(read_number(one, name) for name in ("totalpaid", "sumpayed")),
    )
