"""A ticket of what TakePOS printed, in either of its dialects."""

import re
from collections.abc import Callable
from typing import Final

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf.roll import Rule, Space
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.code_pages import PRINTER
from e2ee_ticket.sources.escpos import decode
from e2ee_ticket.sources.page_pictures import PagePictures
from e2ee_ticket.sources.roll_facts import facts, with_currency
from e2ee_ticket.sources.roll_ticket import draw_ticket
from e2ee_ticket.sources.takepos_html import read_page

_OPEN_SALE: Final = "this sale is still open; only a finished one becomes a ticket"
_HEAD_SIZE: Final = 20_000
# What Dolibarr answers in the place of a receipt; the till's page prints it all the same.
_LOGIN = re.compile(
    r"passwordforgotten\.php|class=[\"']bodylogin|<form[^>]{0,200}id=[\"']login|name=[\"']?loginfunction",
    re.IGNORECASE,
)
_FAILURE = re.compile(
    r"DolibarrHasDetectedError|InformationToHelpDiagnose|LatestDatabaseAccessError"
    r"|<b>(?:Fatal error|Parse error)</b>|(?:mysqli|pg)_connect\(",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"accessforbidden|AccessDenied|ErrorCSRF|Access by POST method|class=[\"']error[\"']",
    re.IGNORECASE,
)


class NoReceiptError(ReceiptError):
    """Something else came where a receipt was to come; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def check_answer(page: str) -> None:
    """Refuse a page of Dolibarr's that stands in the place of a receipt.

    Raises:
        NoReceiptError: Dolibarr asks for a login, or says that it failed.
    """
    head = page[:_HEAD_SIZE]
    if _LOGIN.search(head):
        raise NoReceiptError(
            "Dolibarr's session is over: it sent its login page",
            "log in to Dolibarr in this browser, and print the receipt again from TakePOS",
        )
    if _FAILURE.search(head):
        raise NoReceiptError(
            "Dolibarr sent an error in the place of the receipt; its database may be stopped",
            "hand out paper or write it down; when TakePOS works again, print the receipt again",
        )
    if _REFUSED.search(head):
        raise NoReceiptError(
            "Dolibarr refused to show the receipt",
            "log in to Dolibarr again as a user who may sell, and print the receipt again",
        )


def read_receipt_page(
    page: str,
    shop: Shop,
    currency: str,
    pictures: PagePictures | None = None,
    *,
    tell: Callable[[str], None] | None = None,
) -> Ticket:
    """Make a ticket of a receipt's page; `pictures` are those in it, `tell` is given remarks.

    Raises:
        ReceiptError: it is no receipt, or one whose totals lost a digit on the way.
    """
    check_answer(page)
    read = read_page(page, lang=shop.lang, currency=currency or None, pictures=pictures)
    if read.is_open:
        raise ReceiptError(_OPEN_SALE)
    if read.is_cut:
        raise NoReceiptError(
            "TakePOS cut the last digit off a total on this receipt",
            "hand out paper; docs/takepos.md says how TakePOS prints whole amounts:"
            " TAKEPOS_PRINT_SERVER as an address with http://",
        )
    known = facts(read.roll, currency)
    number = read.number or known.number
    if number is None and read.total is None and not known.is_receipt:
        raise NoReceiptError(
            "this page has no number, no total and no amounts: it is no receipt",
            "see in TakePOS whether the receipt shows there, and print it again",
        )
    return draw_ticket(
        read.roll,
        shop,
        title=read.title or shop.name,
        number=number,
        total=with_currency(read.total, currency) or known.total,
        tell=tell,
    )


def read_job(
    job: bytes,
    shop: Shop,
    currency: str,
    *,
    code_page: str,
    printer: str = PRINTER,
    tell: Callable[[str], None] | None = None,
) -> Ticket:
    """Make a ticket of what a receipt printer would get; `tell` is given each remark on it.

    Raises:
        ReceiptError: it is no receipt.
    """
    if b"(PROV" in job:
        raise ReceiptError(_OPEN_SALE)
    roll = decode(job, code_page=code_page, printer=printer, lang=shop.lang, title=shop.name or "")
    if all(isinstance(item, Rule | Space) for item in roll.items):
        raise ReceiptError("nothing is printed on this receipt")
    known = facts(roll, currency)
    return draw_ticket(
        roll, shop, title=shop.name, number=known.number, total=known.total, tell=tell
    )
