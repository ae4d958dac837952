"""A receipt that nobody but till and customer may ever see a piece of."""

from datetime import UTC, datetime

import fpdf

TITLE = "CanaryTitle4KQ7 Épicerie"
TOTAL = "CanaryTotal9ZW3 €"
NUMBER = "CanaryNumber5XJ8"
LANG = "fr-x-canaLang"
NAME = "CanaryName2VB6.pdf"
SHOP = "CanaryShop8HT1 Boucherie"
NOTICE = "ZQ"
LINE = "CanaryLine3MD7 Baguette"
AUTHOR = "CanaryAuthor6LP2"

# What to look for: the part that every encoding of characters writes in the same way.
TEXTS = {
    "the title": TITLE.split(maxsplit=1)[0],
    "the total": TOTAL.split(maxsplit=1)[0],
    "the number": NUMBER,
    "the language": LANG,
    "the file name": NAME.removesuffix(".pdf"),
    "the shop": SHOP.split(maxsplit=1)[0],
    "the notice": f'"notice":"{NOTICE}"',  # two letters alone are everywhere
    "a line of the PDF": LINE.split(maxsplit=1)[0],
    "the author of the PDF": AUTHOR,
}


def receipt():
    """A PDF with canaries where they can be read without any tool, and zlib where they cannot."""
    pdf = fpdf.FPDF(unit="mm", format=(80, 120))
    pdf.set_compression(False)
    pdf.set_author(AUTHOR)
    pdf.set_creation_date(datetime(2026, 7, 14, 12, 30, tzinfo=UTC))  # the same bytes each time
    pdf.add_page()
    pdf.set_font("Helvetica", size=10)
    for amount in range(20):
        pdf.cell(text=f"{LINE} {amount},90", new_x="LMARGIN", new_y="NEXT")
    return bytes(pdf.output())
