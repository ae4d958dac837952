"""The receipt that TakePOS prints as HTML, typeset as a roll.

TakePOS fills a template of its own (`takepos/receipt.php`), which shops change as they like. What
the stock template means is known here: the shop's name, the number, the total. Of any other page
the text, the tables and the pictures are set as they come. Nothing is fetched here.

On its way the till's script removes every line break of the page, and each time the character
before it: the stock template's totals lose the currency behind the amount, or, where the currency
stands in front, the amount's last digit.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from e2ee_ticket.pdf.money import is_currency
from e2ee_ticket.pdf.roll import Item, Paragraph, Roll, Table
from e2ee_ticket.protocol.ticket import TEXT_LIMITS
from e2ee_ticket.sources.html_roll import read_items
from e2ee_ticket.sources.html_table import Box, Line
from e2ee_ticket.sources.page_pictures import PagePictures

_HARD_SPACE: Final = "\u00a0"
_SALE_COLUMNS: Final = 3
_STYLE_MAX: Final = 4_000
_NUMBER_WORDS: Final = 3
# What an order for the kitchen begins with; it is sent to the same address as a receipt.
_ORDER = re.compile(r"\s{0,20}<html><br><b>")
# A number as Dolibarr makes them: TC1-2611-0009, TC1-A2611-0003, FAC/2026/11-000042/B.
_REFERENCE = re.compile(
    r"(?<![^\s(:])[A-Z]{1,8}[0-9]{0,8}(?:[-/][A-Z]{0,3}[0-9]{2,8})*[-/][A-Z]{0,3}[0-9]{3,8}"
    r"(?:[-/][A-Z0-9]{1,4})?(?![^\s),;.])"
)
_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{2,4}")
# What shops write before the number (TAKEPOS_RECEIPT_NAME); capitals alone may be part of it.
_NAMES: Final = frozenset(
    (
        "TICKET", "FACTURE", "REÇU", "RECU", "AVOIR", "INVOICE", "RECEIPT", "BON", "BELEG",
        "RECHNUNG", "FATTURA", "SCONTRINO", "RICEVUTA", "FACTURA", "RECIBO", "N°", "Nº", "№", "NO",
        "NO.", "NR", "NR.", "#",
    )
)  # fmt: skip
# What the stock template prints of a sale that is still open: Terminal 1 Place 0.
_OPEN_SALE = re.compile(r"(?:^| )[^\W\d_]{2,20} \d{1,4} [^\W\d_]{2,20} \d{1,6}$")
_OTHER_CURRENCY = re.compile(r" ([A-Z]{3})$")
_AMOUNT: Final = r"-?[0-9](?:[0-9.,'\u2019 \u00a0\u202f]{0,20}[0-9])?"
# An amount behind its sign: its last digit may have been cut off, as in $54.6
_SIGN_FIRST = re.compile(rf"-?[^\d\s.,-]{{1,3}}[ \u00a0]?({_AMOUNT})")
_DECIMALS = re.compile(r"[.,](\d{1,3})$")
# The stock template's style, after a browser's script has taken the ends of its lines out.
_HARMED = re.compile(r"<style>[^{}<]*text-align[^{}<]*</style>")


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


def read_page(
    page: str,
    *,
    lang: str = "en",
    currency: str | None = None,
    pictures: PagePictures | None = None,
) -> Page:
    """Read a receipt's page; `currency` is put back where it was cut off behind an amount.

    Raises:
        ReceiptError: it is longer than any receipt, or holds nothing to show.
    """
    totals = _Totals(currency, is_harmed=_HARMED.search(page[:_STYLE_MAX]) is not None)
    items = read_items(page, totals.find, pictures)
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
    """Go through the lines before the table of what was sold: it has headings, or many columns."""
    for item in items:
        if isinstance(item, Table):
            if item.head or any(len(row) >= _SALE_COLUMNS for row in item.rows):
                return
        elif isinstance(item, Paragraph):
            yield item


def _number(head: Sequence[Paragraph]) -> str | None:
    # The template sets it on the right, in the line after the date, whatever it is made of.
    right = [line.text for line in head if line.align == "right"]
    for dated, text in itertools.pairwise(right):
        if _DATE.search(dated) and not _DATE.search(text) and (number := _numbered(text)):
            return number
    # A shop's address and its registers stand elsewhere.
    for line in sorted(head, key=lambda line: line.align != "right"):
        if found := _REFERENCE.search(line.text):
            return found[0]
    return None


def _numbered(line: str) -> str | None:
    """Return what is a number in the line where it stands; None for an open sale's place."""
    if reference := _REFERENCE.search(line):
        return reference[0]
    words = line.split()
    while len(words) > 1 and _is_name(words[0]):
        del words[0]
    bare = " ".join(words)
    short = len(bare) <= TEXT_LIMITS["number"] and len(bare.split()) <= _NUMBER_WORDS
    is_number = short and ":" not in bare and any(one.isdigit() for one in bare)
    return bare if is_number and not _OPEN_SALE.search(line) else None


def _is_name(word: str) -> bool:
    """Tell whether a word names what follows it: `Ticket`, `n°`, `Reçu:`, but not `FAC`."""
    if any(one.isdigit() for one in word):
        return False
    return word in _NAMES or word.endswith((":", "°", "º")) or any(one.islower() for one in word)


def _names_open_sale(head: Sequence[Paragraph]) -> bool:
    return any(line.align == "right" and _OPEN_SALE.search(line.text) for line in head)


class _Totals:
    """What the last table says of sums, where it is made as the stock template makes it.

    Its sums are rows of a label (`th`) and an amount: without tax, the taxes, and all of it last.
    Payments, which may follow, have no such label.
    """

    def __init__(self, currency: str | None, *, is_harmed: bool) -> None:
        self.total: str | None = None
        self.is_cut = False
        self._currency = currency
        self._is_harmed = is_harmed

    def find(self, rows: Sequence[Line]) -> int | None:
        """Find the row of the total, and mend the amounts beside it."""
        strong = label = None
        for index, row in enumerate(rows):
            boxes = [box for box in row if box.text]
            if len(boxes) != 2 or not boxes[0].is_label or boxes[1].is_label:
                continue
            # The total in the customer's own currency stands below the one in the shop's.
            text = boxes[0].text
            other = _OTHER_CURRENCY.search(text)
            code = other[1] if other and is_currency(other[1]) else None
            foreign = code is not None and label is not None and text.startswith(label)
            self._mend(boxes[1], code if foreign else self._currency)
            self.is_cut = self.is_cut or self._is_cut(boxes[1].text)
            if not foreign:
                strong, label, self.total = index, text, boxes[1].text
        return strong

    def _is_cut(self, text: str) -> bool:
        """Tell whether an amount lost its last digit behind a sign that stands before it."""
        if (found := _SIGN_FIRST.fullmatch(text)) is None:
            return False
        decimals = _DECIMALS.search(found[1])
        # On an unharmed page an amount may well have no decimals; on the other, it had some.
        return len(decimals[1]) == 1 if decimals else self._is_harmed

    def _mend(self, box: Box, currency: str | None) -> None:
        text, style = box.lines[0]
        if currency is None:
            return
        cut_off = re.escape(currency[:-1])
        found = re.fullmatch(rf"({_AMOUNT})([ \u00a0]{cut_off})?", text)
        if found and (found[2] or _DECIMALS.search(text) or self._is_harmed):
            box.lines[0] = (found[1] + _HARD_SPACE + currency, style)
