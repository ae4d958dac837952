"""The receipt that TakePOS prints as HTML, typeset as a roll.

TakePOS fills a template of its own (`takepos/receipt.php`), which shops change as they like. What
the stock template means is known here: the shop's name, the number, the total. Of any other page
the text, the tables and the pictures inside it are set as they come. Nothing is fetched.

On its way the till's script removes every line break of the page, and each time the character
before it: the stock template's totals lose the currency behind the amount, or, where the currency
stands in front, the amount's last digit.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from e2ee_ticket.pdf.roll import Item, Paragraph, Roll, Table
from e2ee_ticket.sources.html_roll import read_items
from e2ee_ticket.sources.html_table import Box, Line

_HARD_SPACE: Final = "\u00a0"
# What an order for the kitchen begins with; it is sent to the same address as a receipt.
_ORDER = re.compile(r"\s{0,20}<html><br><b>")
# A number as Dolibarr makes them: TC1-2611-0009, FA2611-0012.
_REFERENCE = re.compile(r"\b[A-Z]{1,8}[0-9]{0,8}(?:[-/][0-9]{2,8})?[-/][0-9]{3,8}\b")
# What the stock template prints of a sale that is still open: Terminal 1 Place 0.
_OPEN_SALE = re.compile(r"(?:^| )[^\W\d_]{2,20} \d{1,4} [^\W\d_]{2,20} \d{1,6}$")
_OTHER_CURRENCY = re.compile(r" [A-Z]{3}")
_AMOUNT: Final = r"-?[0-9](?:[0-9.,'\u2019 \u00a0\u202f]{0,20}[0-9])?"
# The amount's last digit was cut off behind a sign in front of it: $54.6
_CUT = re.compile(rf"-?[^\d\s.,-]{{1,3}}[ \u00a0]?{_AMOUNT}(?<=[.,][0-9])")


@dataclass(frozen=True, slots=True)
class Page:
    """A receipt's page: the roll, and what the stock template is known to say.

    Attributes:
        roll: all of it, to be drawn.
        title: the shop's name, from the head.
        number: the receipt's number.
        total: what is to pay, as the till writes it.
        is_open: nothing is sold yet: a bill, or an order for the kitchen.
        is_cut: the totals lost a digit on their way through the till's browser.
    """

    roll: Roll = field(repr=False)
    title: str | None = field(default=None, repr=False)
    number: str | None = field(default=None, repr=False)
    total: str | None = field(default=None, repr=False)
    is_open: bool = False
    is_cut: bool = False


def read_page(page: str, *, lang: str = "en", currency: str | None = None) -> Page:
    """Read a receipt's page; `currency` is put back where it was cut off behind an amount.

    Raises:
        ReceiptError: it is longer than any receipt, or holds nothing to show.
    """
    totals = _Totals(currency)
    items = read_items(page, totals.find)
    head = list(_head(items))
    title = next((line.text for line in head if line.bold and line.align == "center"), None)
    number = _number(head)
    is_open = "(PROV" in page or _ORDER.match(page) is not None
    return Page(
        roll=Roll(items, lang=lang, title=" \u2013 ".join(filter(None, (title, number)))),
        title=title,
        number=number,
        total=None if totals.is_cut else totals.total,
        is_open=is_open or (number is None and _names_open_sale(head)),
        is_cut=totals.is_cut,
    )


def _head(items: Sequence[Item]) -> Iterator[Paragraph]:
    """Go through the lines before the first table."""
    for item in items:
        if isinstance(item, Table):
            return
        if isinstance(item, Paragraph):
            yield item


def _number(head: Sequence[Paragraph]) -> str | None:
    # The template sets it on the right; a shop's address and its registers stand elsewhere.
    for line in sorted(head, key=lambda line: line.align != "right"):
        if found := _REFERENCE.search(line.text):
            return found[0]
    return None


def _names_open_sale(head: Sequence[Paragraph]) -> bool:
    return any(line.align == "right" and _OPEN_SALE.search(line.text) for line in head)


class _Totals:
    """What the last table says of sums, where it is made as the stock template makes it.

    Its sums are rows of a label (`th`) and an amount: without tax, the taxes, and all of it last.
    Payments, which may follow, have no such label.
    """

    def __init__(self, currency: str | None) -> None:
        self.total: str | None = None
        self.is_cut = False
        self._currency = currency
        cut_off = re.escape(currency[:-1]) if currency else ""
        self._signless = re.compile(rf"({_AMOUNT})(?:[ \u00a0]{cut_off})?")

    def find(self, rows: Sequence[Line]) -> int | None:
        """Find the row of the total, and mend the amounts beside it."""
        strong = label = None
        for index, row in enumerate(rows):
            boxes = [box for box in row if box.text]
            if len(boxes) != 2 or not boxes[0].is_label or boxes[1].is_label:
                continue
            self._mend(boxes[1])
            self.is_cut = self.is_cut or _CUT.fullmatch(boxes[1].text) is not None
            # The total in the customer's own currency stands below the one in the shop's.
            text = boxes[0].text
            if label is None or not _OTHER_CURRENCY.fullmatch(text.removeprefix(label)):
                strong, label, self.total = index, text, boxes[1].text
        return strong

    def _mend(self, box: Box) -> None:
        text, style = box.lines[0]
        if self._currency and (found := self._signless.fullmatch(text)):
            box.lines[0] = (found[1] + _HARD_SPACE + self._currency, style)
