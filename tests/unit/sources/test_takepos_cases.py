"""What TakePOS printed and came out wrong once, each with what is right (tests/data/receipts)."""

import base64
import json
import re
from pathlib import Path

import pytest

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf.roll import Paragraph, Table
from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.takepos_html import read_page
from e2ee_ticket.sources.takepos_receipts import NoReceiptError, read_job, read_receipt_page

CASES = Path(__file__).parents[2] / "data/receipts"
NOW = 1_796_068_800.0  # 30 November 2026, 20:00 UTC
SHOP = Shop(name="Épicerie", lang="fr", now=lambda: NOW)


def pages():
    values = json.loads((CASES / "takepos/values.json").read_text(encoding="utf-8"))
    return sorted(values.items())


def read(name, currency=""):
    path = CASES / name
    body = path.read_text(encoding="utf-8")
    if path.suffix == ".post":
        body = body.split("\n", 1)[1] if body.startswith(("http", "POST")) else body
    if body.startswith("invoice="):
        job = base64.urlsafe_b64decode(body.strip().removeprefix("invoice=") + "==")
        return read_job(job, SHOP, currency, code_page="cp858")
    return read_receipt_page(body, SHOP, currency)


@pytest.mark.parametrize(("name", "right"), pages(), ids=[name for name, _ in pages()])
def test_a_page_has_the_right_facts(name, right):
    ticket = read(name, right.get("currency", ""))

    assert (ticket.number, ticket.name) == (right["number"], right["file"])
    assert ticket.total == right["total"]
    assert ticket.title == right["title"]
    assert ticket.issued[:10] == right.get("day", "2026-11-30")


def test_every_case_has_its_values_or_is_refused():
    known = {name for name, _ in pages()} | set(REFUSED)

    assert known == {
        f"{path.parent.name}/{path.name}"
        for folder in ("takepos", "takepos-live")
        for path in (CASES / folder).iterdir()
        if path.suffix in (".html", ".post")
    } - {"takepos-live/B-no-template.post"}


REFUSED = {
    "takepos/47-open-table.html": "still open",
    "takepos-live/A-session-expired-login-page.post": "session is over",
    "takepos-live/A-mariadb-stopped-print.post": "an error in the place",
    "takepos-live/A-multicurrency.post": "cut the last digit",
}


@pytest.mark.parametrize(("name", "why"), REFUSED.items())
def test_what_is_no_whole_receipt_is_refused(name, why):
    with pytest.raises(ReceiptError, match=why) as caught:
        read(name, "€")

    assert not re.search(r"port=|user=|oubli|\$4", str(caught.value))


@pytest.mark.parametrize(
    "page",
    [
        "<html><body><h1>Not Found</h1><p>The requested URL was not found on this server.</p>",
        "<body><p>Mot de passe oublié ?</p></body>",
        "<p>Dolibarr 20.0.2</p><p>PHP 8.2.36</p>",
        "<p>Server 127.0.0.1, port 3306</p>",
        "<p>Wi-Fi: please accept our terms 2.0</p>",
    ],
)
def test_a_page_without_number_total_and_amounts_is_no_receipt(page):
    with pytest.raises(NoReceiptError) as caught:
        read_receipt_page(page, SHOP, "€")

    assert caught.value.hint


@pytest.mark.parametrize(
    "page",
    [
        "<p>Café à 3 €</p>",
        "<table><tr><td>Pain</td><td>2,00</td></tr></table>",
        "<p>Ticket 17</p>",
        "<p>Total 12,00</p>",
        "<p>Pain  -1 234,500 TND</p>",
    ],
)
def test_a_receipt_needs_no_more_than_one_of_them(page):
    assert read_receipt_page(page, SHOP, "").receipt.startswith(b"%PDF")


STOCK = json.loads(
    (Path(__file__).parents[2] / "data/takepos_connector_html.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()[0]
)["body"]


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("TC1-2611-0009", "TC1-2611-0009"),
        ("Ticket n° TC1-2611-0099", "TC1-2611-0099"),
        ("Ticket TC1-A2611-0003", "TC1-A2611-0003"),
        ("FAC/2026/11-000042/B", "FAC/2026/11-000042/B"),
        ("2026-11/B03 №000042", "2026-11/B03 №000042"),
        ("Reçu : 000042", "000042"),
        ("Bon-Nr. R/26/17", "R/26/17"),
        ("42", "42"),
        ("FAC 2026 0042", "FAC 2026 0042"),
        ("a.b_17#3", "a.b_17#3"),
    ],
)
def test_the_number_is_what_stands_behind_the_date(line, number):
    page = STOCK.replace("TC1-2611-0009", line)

    assert read_page(page).number == number


def test_a_number_is_found_behind_tables_in_the_head_and_in_one():
    head = "<table><tr><td>SIRET</td><td>000 000 000 00000</td></tr></table>"
    behind = STOCK.replace('<p class="left"></p>', head)
    within = STOCK.replace("<br>TC1-2611-0009", "").replace(
        '<p class="left"></p>', "<table><tr><td>Facture</td><td>FA/26/17</td></tr></table>"
    )

    assert read_page(behind).number == "TC1-2611-0009"
    assert read_receipt_page(within, SHOP, "").number == "FA/26/17"


def test_a_second_currency_is_never_given_the_first_ones_sign():
    sums = (
        "<tr><th>Total TTC</th><td>6 000,00 MA</td></tr>"
        "<tr><th>Total TTC EUR</th><td>552,00 </td></tr>"
    )
    page = read_page(re.sub(r"<tr>\s*<th class=.right.>Total TTC</th>.*?</tr>", sums, STOCK),
                     currency="MAD")  # fmt: skip
    cells = [
        [cell.text.replace("\u00a0", " ") for cell in row]
        for item in page.roll.items
        if isinstance(item, Table)
        for row in item.rows
    ]

    assert ["Total TTC", "6 000,00 MAD"] in cells
    assert ["Total TTC EUR", "552,00 EUR"] in cells
    assert page.total == "6 000,00\u00a0MAD"


@pytest.mark.parametrize(
    ("amount", "is_cut"),
    [("$54.6", True), ("$5", True), ("$1,23", False), ("$54.64", False), ("-£5.0", True),
     ("54,64 ", False), ("$ 54.6", True)],
)  # fmt: skip
def test_a_harmed_page_shows_whether_a_digit_was_lost(amount, is_cut):
    assert read_page(STOCK.replace("54,64 ", amount)).is_cut == is_cut


def test_a_whole_page_may_have_amounts_without_decimals():
    page = STOCK.replace("text-align: right.center", "text-align: right;}.center {", 1)

    assert not read_page(page.replace("54,64 ", "$1500")).is_cut
    assert read_page(page.replace("54,64 ", "$54.6")).is_cut


@pytest.mark.parametrize(
    ("printed", "lang", "issued"),
    [
        ("Date 28/11/2026", "fr", "2026-11-28"),
        ("Date 28/11/2026 17:42", "fr", "2026-11-28T17:42:00"),
        ("Datum: 28.11.2026, 17:42 Uhr", "de", "2026-11-28T17:42:00"),
        ("2026-11-28 17:42:09", "en", "2026-11-28T17:42:09"),
        ("Date 11/28/2026", "en", "2026-11-28"),
        ("Date 11/05/2026", "en-US", "2026-11-05"),
        ("Date 05/11/2026", "en-GB", "2026-11-05"),
        ("Date 05/11/2026", "fr", "2026-11-05"),
        ("Date 28/11/26", "fr", "2026-11-28"),
        ("Date 30/11/2026", "fr", "now"),
        ("Date 31/12/2026", "fr", "now"),
        ("Échange avant le 15/12/2026", "fr", "now"),
        ("Tél. 01/02/03/04/05", "fr", "now"),
    ],
)
def test_a_receipt_printed_again_has_its_own_date(printed, lang, issued):
    shop = Shop(name="Épicerie", lang=lang, now=lambda: NOW)
    page = STOCK.replace("Date 21/11/2026", printed)

    found = read_receipt_page(page, shop, "").issued

    if issued == "now":
        assert found[:10] == "2026-11-30"
        assert len(found) > 10
    else:
        assert found.startswith(issued)


def test_the_shops_name_is_read_from_a_head_with_tables_and_colours():
    page = (CASES / "takepos/46-header-with-table-and-color.html").read_text(encoding="utf-8")

    read = read_page(page)

    assert read.title == "Boutique d'Essai"
    assert "PROMO" in [item.text for item in read.roll.items if isinstance(item, Paragraph)]
