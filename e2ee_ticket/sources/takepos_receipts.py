"""A ticket of what TakePOS printed, in either of its dialects."""

import re
from typing import Final

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf.roll import Rule, Space
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.escpos import decode
from e2ee_ticket.sources.roll_facts import facts
from e2ee_ticket.sources.roll_ticket import draw_ticket
from e2ee_ticket.sources.takepos_html import read_page

_OPEN_SALE: Final = "this sale is still open; only a finished one becomes a ticket"
_BARE_AMOUNT = re.compile(r"-?[0-9](?:[0-9.,'\u2019\u00a0\u202f]{0,20}[0-9])?")
_HARD_SPACE: Final = "\u00a0"


def read_receipt_page(page: str, shop: Shop, currency: str) -> tuple[Ticket, bool]:
    """Make a ticket of a receipt's page; tell whether its totals lost a digit on the way.

    Raises:
        ReceiptError: it is no receipt.
    """
    read = read_page(page, lang=shop.lang, currency=currency or None)
    if read.is_open:
        raise ReceiptError(_OPEN_SALE)
    known = facts(read.roll)
    total = None if read.is_cut else read.total or known.total
    ticket = draw_ticket(
        read.roll,
        shop,
        title=read.title or shop.name,
        number=read.number or known.number,
        total=_with_currency(total, currency),
    )
    return ticket, read.is_cut


def read_job(job: bytes, shop: Shop, currency: str, *, code_page: str) -> Ticket:
    """Make a ticket of what a receipt printer would get.

    Raises:
        ReceiptError: it is no receipt.
    """
    if b"(PROV" in job:
        raise ReceiptError(_OPEN_SALE)
    roll = decode(job, code_page=code_page, lang=shop.lang, title=shop.name or "")
    if all(isinstance(item, Rule | Space) for item in roll.items):
        raise ReceiptError("nothing is printed on this receipt")
    known = facts(roll)
    total = _with_currency(known.total, currency)
    return draw_ticket(roll, shop, title=shop.name, number=known.number, total=total)


def _with_currency(total: str | None, currency: str) -> str | None:
    if total and currency and _BARE_AMOUNT.fullmatch(total):
        return total + _HARD_SPACE + currency
    return total
