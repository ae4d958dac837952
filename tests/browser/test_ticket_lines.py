"""The receipt in words on the phone: every line, in order, for eyes and for who listens.

The lines come from the sources that make them; the tree is what Chromium gives a screen reader.
"""

import asyncio
import dataclasses
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import stage
from screens import Phone, picture

from e2ee_ticket import Ticket
from e2ee_ticket.pdf.draw import draw_receipt, sample_receipt
from e2ee_ticket.pdf.seen import see
from e2ee_ticket.pdf.words import words_of_receipt
from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.code_pages import PRINTER
from e2ee_ticket.sources.takepos_receipts import read_job, read_receipt_page
from e2ee_ticket.till.pipeline import with_seen

pytestmark = pytest.mark.browser

DATA = Path(__file__).parents[1] / "data"
PAGE = "receipts/takepos/"
JOB = "receipts/escpos/"
LOCALES = {"de": "de-CH", "en": "en-IE", "es": "es-ES", "fr": "fr-FR", "it": "it-IT"}


def from_page(name, lang="fr"):
    shop = Shop(name="Shop", lang=lang, now=lambda: 1795298679.0)
    return read_receipt_page((DATA / PAGE / name).read_text("utf-8"), shop, "EUR")


def from_job(name, lang="en"):
    (path,) = (DATA / JOB).glob(f"{name}-*.bin")
    shop = Shop(name="Shop", lang=lang, now=lambda: 1795298679.0)
    return read_job(path.read_bytes(), shop, "EUR", code_page="CP437", printer=PRINTER)


def from_data(lang):
    receipt = sample_receipt(lang)
    return Ticket(
        draw_receipt(receipt),
        title=receipt.shop.name,
        total="41,37 €",
        lang=lang,
        lines=words_of_receipt(receipt),
    )


def from_pdf(name):
    pdf = (DATA / name).read_bytes()
    ticket = Ticket(pdf, title="Epicerie du Test", total="54,64 €", lang="fr")
    with ThreadPoolExecutor(1) as threads:  # playwright's loop runs in this one
        return with_seen(ticket, threads.submit(asyncio.run, see(pdf)).result())


TICKETS = {
    "takepos": lambda: from_page("40-payments-and-change.html"),
    "takepos-five-columns": lambda: from_page("66-five-columns-fr.html"),
    "takepos-arabic": lambda: from_page("33-arabic.html", "ar"),
    "takepos-hebrew": lambda: from_page("34-hebrew.html", "he"),
    "takepos-east-asia": lambda: from_page("35-chinese-japanese-korean-thai.html", "zh"),
    "takepos-fiscal-code": lambda: from_page("31-fiscal-qr-by-address.html"),
    "printer": lambda: from_job("12"),
    "printer-code": lambda: from_job("18"),
    "pdf-of-dolibarr": lambda: from_pdf("dolibarr_takepos_invoice.pdf"),
    **{f"data-{lang}": lambda lang=lang: from_data(lang) for lang in LOCALES},
}


def words(text):
    return re.sub(r"\s+", "", unicodedata.normalize("NFC", text))


def heard(phone):
    """What a screen reader is given of the lines: each text of Chromium's tree, in order."""
    session = phone.context.new_cdp_session(phone.page)
    nodes = {node["nodeId"]: node for node in session.send("Accessibility.getFullAXTree")["nodes"]}
    phone.page.wait_for_selector("#lines", state="attached")
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    found = session.send("DOM.querySelector", {"nodeId": root, "selector": "#lines"})
    lines = session.send("DOM.describeNode", {"nodeId": found["nodeId"]})["node"]["backendNodeId"]
    (top,) = (node for node in nodes.values() if node.get("backendDOMNodeId") == lines)
    texts, roles = [], set()

    def walk(node):
        role = node["role"]["value"]
        if not node.get("ignored"):
            roles.add(role)
        if role == "StaticText":
            texts.append(node["name"]["value"])
            return
        for child in node.get("childIds", ()):
            walk(nodes[child])

    walk(top)
    return texts, roles


NARROW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"


@pytest.mark.rule("T46")
@pytest.mark.parametrize("name", TICKETS)
def test_all_lines_are_in_the_tree_of_a_screen_reader_in_their_order(screen, relay, name):
    ticket = TICKETS[name]()
    link = relay.keep(ticket, permit=relay.leave)
    phone = screen(Phone, locale=LOCALES.get(ticket.lang, "en-IE"))

    phone.open(link.reveal()).wait("ready")
    texts, roles = heard(phone)

    assert words("".join(texts)) == words("".join(cell for line in ticket.lines for cell in line))
    if any(len(line) > 1 for line in ticket.lines):
        assert {"table", "row"} <= roles
        assert roles & {"cell", "gridcell", "rowheader"}
    assert phone.page.locator("#lines").get_attribute("lang") == ticket.lang


@pytest.mark.rule("T46")
def test_lines_of_equally_many_cells_are_one_table(screen, relay):
    ticket = Ticket(
        b"%PDF-1.7\n%%EOF\n",
        lang="en",
        lines=(
            ("The Shop",), ("",), ("Item", "Qty", "Sum"), ("Bread", "2", "5.00"),
            ("Tea", "1", "3.00"), ("",), ("Total", "8.00"), ("Cash", "10.00"), ("Thank you",),
        ),
    )  # fmt: skip
    phone = screen(Phone, locale="en-IE")
    phone.open(relay.keep(ticket, permit=relay.leave).reveal()).wait("ready")

    tables = phone.page.evaluate(
        """[...document.querySelectorAll('#lines table')].map((table) =>
             [...table.rows].map((row) => [...row.cells].map(
               (cell) => cell.tagName + ' ' + cell.textContent)))"""
    )
    assert tables == [
        [
            ["TH Item", "TH Qty", "TH Sum"],
            ["TH Bread", "TD 2", "TD 5.00"],
            ["TH Tea", "TD 1", "TD 3.00"],
        ],
        [["TH Total", "TD 8.00"], ["TH Cash", "TD 10.00"]],
    ]
    assert phone.page.evaluate(
        "[...document.querySelectorAll('#lines p')].map((p) => p.textContent)"
    ) == ["The Shop", "", "", "Thank you"]


@pytest.mark.rule("T47")
def test_each_cell_has_a_direction_of_its_own_and_the_whole_that_of_its_language(screen, relay):
    for lang, direction in (("he", "rtl"), ("fr", "ltr")):
        lines = (("שלום", "-12.90 ₪"), ("Pain", "1,00 €"))
        ticket = Ticket(b"%PDF-1.7\n%%EOF\n", lang=lang, lines=lines)
        phone = screen(Phone, locale="en-IE")
        phone.open(relay.keep(ticket, permit=relay.leave).reveal()).wait("ready")

        seen = phone.page.evaluate(
            """[...document.querySelectorAll('#lines th, #lines td')].map((cell) =>
                 [getComputedStyle(cell).direction, getComputedStyle(cell).unicodeBidi])"""
        )
        assert [each[0] for each in seen] == ["rtl", "ltr", "ltr", "ltr"]
        assert {each[1] for each in seen} <= {"isolate", "plaintext"}
        boxes = phone.page.evaluate(
            "[...document.querySelectorAll('#lines tr:first-child > *')].map((cell) =>"
            " cell.getBoundingClientRect().left)"
        )
        assert phone.page.locator("#lines").get_attribute("dir") == direction
        assert (boxes[0] > boxes[1]) == (direction == "rtl")


@pytest.mark.rule("T36")
def test_what_looks_like_html_in_a_line_is_text(screen, relay):
    markup = "<img src=x onerror=\"document.title='owned'\"><b>9</b>"
    ticket = Ticket(b"%PDF-1.7\n%%EOF\n", lines=((markup,), (markup, "&amp;")))
    phone = screen(Phone, locale="en-IE")
    phone.open(relay.keep(ticket, permit=relay.leave).reveal()).wait("ready")

    assert phone.page.locator("#lines p").text_content() == markup
    assert phone.page.locator("#lines td").text_content() == "&amp;"
    assert phone.page.locator("#lines img, #lines b").count() == 0
    assert "owned" not in phone.page.title()


@pytest.mark.rule("T45")
def test_a_text_that_is_broken_is_as_none_and_the_picture_is_shown(screen, relay, monkeypatch):
    ticket = Ticket(b"%PDF-1.7\n%%EOF\n", preview=picture(), lines=(("Total", "1"),))
    whole = ticket.to_bytes()
    broken = whole.replace(b"Total\t1\n", b"Total\r1\n")
    assert broken != whole
    monkeypatch.setattr(Ticket, "to_bytes", lambda _: broken)
    phone = screen(Phone, locale="en-IE")
    phone.open(relay.keep(ticket, permit=relay.leave).reveal()).wait("ready")

    phone.page.wait_for_selector("#preview", state="visible")
    assert phone.page.locator("#lines *").count() == 0


@pytest.mark.rule("T43")
def test_a_picture_of_the_receipt_is_behind_as_on_paper_and_one_of_codes_is_not(screen, relay):
    ticket = Ticket(b"%PDF-1.7\n%%EOF\n", preview=picture(), lines=(("Total", "1"),))

    phone = screen(Phone, locale="en-IE")
    phone.open(relay.keep(ticket, permit=relay.leave).reveal()).wait("ready")
    assert not phone.visible("#preview")
    phone.page.get_by_text("As on paper").click()
    phone.page.wait_for_selector("#preview", state="visible")

    rest = dataclasses.replace(ticket, preview_is_rest=True)
    phone = screen(Phone, locale="en-IE")
    phone.open(relay.keep(rest, permit=relay.leave).reveal()).wait("ready")
    phone.page.wait_for_selector("#preview", state="visible")
    assert not phone.visible("#paperText")


@pytest.mark.parametrize("width", [320, 390, 800])
@pytest.mark.parametrize("name", ["takepos-five-columns", "pdf-of-dolibarr", "takepos-arabic"])
def test_no_width_makes_the_lines_scroll_sideways_or_hides_any(screen, relay, name, width):
    link = relay.keep(TICKETS[name](), permit=relay.leave)
    phone = screen(Phone, locale="fr-FR", viewport={"width": width, "height": 700})
    phone.open(link.reveal()).wait("ready")

    stage.wait_for(lambda: phone.page.evaluate(NARROW), "lines as wide as the screen")
    # Twice as large, as who needs it sets it: half as many CSS pixels.
    phone.page.set_viewport_size({"width": max(width // 2, 195), "height": 500})
    stage.wait_for(lambda: phone.page.evaluate(NARROW), "lines as wide as the screen")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_lines_are_legible_by_day_and_by_night(screen, relay, scheme):
    link = relay.keep(TICKETS["takepos"](), permit=relay.leave)
    phone = screen(Phone, locale="fr-FR", color_scheme=scheme)
    phone.open(link.reveal()).wait("ready")

    ink, paper = phone.page.evaluate(
        """['#lines td', '#receipt'].map((name, place) => getComputedStyle(
             document.querySelector(name))[place ? 'backgroundColor' : 'color'])"""
    )
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
    assert abs(light[0] - light[1]) > 400


def test_on_paper_the_lines_stand_without_buttons(screen, relay):
    link = relay.keep(TICKETS["takepos"](), permit=relay.leave)
    phone = screen(Phone, locale="fr-FR")
    phone.open(link.reveal()).wait("ready")
    phone.page.emulate_media(media="print")

    assert phone.visible("#lines")
    assert not phone.visible("#save")
    assert not phone.visible("footer")
