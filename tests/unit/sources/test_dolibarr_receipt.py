# Typographic characters are what a drawing is made of.
# ruff: noqa: RUF001

import copy
import io
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pikepdf
import pypdfium2
import pytest
from fake_dolibarr import INVOICE, PAYMENTS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from e2ee_ticket.errors import SourceError
from e2ee_ticket.pdf.draw import Shop, Vat, draw_receipt
from e2ee_ticket.sources.dolibarr.fields import plain, read_number, read_whole
from e2ee_ticket.sources.dolibarr.receipt import company_of, read_receipt
from e2ee_ticket.sources.dolibarr.tickets import _draw as draw_here

NO_DATES = dict.fromkeys(("date", "date_creation", "date_validation", "date_modification", "datem"))
SHOP = Shop("Epicerie du Test", ("1 rue du Port", "26000 Valence"))


def read(invoice=INVOICE, payments=PAYMENTS, lang="fr", names=None, own=None):
    return read_receipt(invoice, payments, SHOP, lang, names or {}, own=own)


def changed(**members):
    return copy.deepcopy(INVOICE) | members


def with_line(**members):
    invoice = copy.deepcopy(INVOICE)
    invoice["lines"][0] |= members
    return invoice


def text_of(receipt):
    with pypdfium2.PdfDocument(draw_receipt(receipt)) as document:
        return document[0].get_textpage().get_text_bounded()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1e999999", None),
        ("-9E+999999", None),
        ("1E-999999", None),
        ("0E-30", Decimal(0)),
        ("1e-8", Decimal("0.00000001")),
    ],
)
def test_a_number_with_a_huge_exponent_is_none(text, read):
    assert read_number({"n": text}, "n") == read


def test_the_sample_is_right_to_the_cent():
    receipt = read()

    assert receipt.number == "TC1-2611-0009"
    assert receipt.total == Decimal("54.64")
    assert [(line.text, line.amount) for line in receipt.lines] == [
        ("2 × Pain de campagne", Decimal("5.99")),
        ("Café en grains 250 g", Decimal("6.90")),
        ("Comté 18 mois, 220 g", Decimal("7.35")),
        ("Crozes-Hermitage 75 cl", Decimal("14.50")),
        ("Livre « Cuisine du marché »", Decimal("19.90")),
    ]
    # As the A4 invoice which Dolibarr made of the same sale says.
    assert receipt.vat == (
        Vat(Decimal("5.5"), Decimal("31.51"), Decimal("1.73"), Decimal("33.24")),
        Vat(Decimal(20), Decimal("17.83"), Decimal("3.57"), Decimal("21.40")),
    )
    assert [(one.text, one.amount) for one in receipt.payments] == [("Espèces", Decimal("54.64"))]
    assert receipt.notes == ()
    assert not receipt.refund


def test_the_sample_drawn_says_all_of_it():
    text = text_of(read())

    for part in ("Epicerie du Test", "TC1-2611-0009", "54,64", "1,73", "3,57", "Espèces", "19,90"):
        assert part in text


def test_the_time_is_the_payments_in_dolibarrs_own_zone():
    assert read().issued == datetime(2026, 11, 21, 22, 4, 39, tzinfo=UTC)

    paris = changed(date=INVOICE["date"] - 3600)  # its midnight is an hour earlier

    assert read(paris).issued == datetime(2026, 11, 21, 21, 4, 39, tzinfo=UTC)

    new_york = changed(date=INVOICE["date"] + 5 * 3600)

    assert read(new_york).issued == datetime(2026, 11, 22, 3, 4, 39, tzinfo=UTC)


def test_without_a_payment_the_time_is_that_of_the_first_article():
    assert read(payments=[]).issued.timestamp() == INVOICE["date_creation"]


def test_a_price_of_whole_cents_is_shown_beside_the_quantity():
    line = read(with_line(qty="2", total_ttc="6.00000000")).lines[0]

    assert (line.text, line.quantity, line.unit_price) == (
        "Pain de campagne",
        Decimal(2),
        Decimal("3.00"),
    )


def test_weighed_goods_show_their_weight():
    assert read(with_line(qty="0.842")).lines[0].text == "0,842 × Pain de campagne"


def test_a_discount_is_named():
    assert (
        read(with_line(qty="1", remise_percent="10")).lines[0].text == "Pain de campagne −10\u202f%"
    )


def test_html_in_a_label_becomes_text():
    label = "<b>Soupe</b> d&eacute;licieuse<br>maison &lt;5 L"
    line = read(with_line(qty="1", product_label=None, libelle=None, description=label)).lines[0]

    assert line.text == "Soupe délicieuse maison <5 L"


def test_a_less_than_sign_is_no_html():
    assert plain("vis <5 mm") == "vis <5 mm"


def test_headings_and_subtotals_are_left_out():
    invoice = copy.deepcopy(INVOICE)
    heading = copy.deepcopy(invoice["lines"][0])
    heading |= {"product_type": "9", "special_code": "104777", "qty": "99",
                "total_ht": "0", "total_tva": "0", "total_ttc": "0"}  # fmt: skip
    invoice["lines"].insert(2, heading)

    assert read(invoice) == read()


def test_a_supplement_belongs_to_the_line_above():
    assert read(with_line(fk_parent_line="14", qty="1")).lines[0].text == "+ Pain de campagne"


def test_a_discount_granted_before_is_named_in_the_language():
    members = {"label": None, "product_label": None, "libelle": None, "qty": "1"}

    assert read(with_line(**members, desc="(CREDIT_NOTE) AV1", description=None)).lines[0].text == (
        "Avoir"
    )
    assert read(with_line(**members, desc="(DEPOSIT)", description=None), lang="de").lines[
        0
    ].text == ("Anzahlung")


def test_sums_that_do_not_agree_are_never_drawn():
    for members in ({"total_ht": "49.35000000"}, {"total_tva": "5.31"}, {"total_ttc": "54.65"}):
        receipt = read(changed(**members))

        assert receipt.vat == ()
        assert receipt.total == Decimal(members.get("total_ttc", "54.64"))
        assert receipt.notes[0].startswith("Total HT 49,3")
        assert receipt.notes[1].startswith("TVA 5,3")


def test_a_line_without_a_rate_leaves_the_taxes_to_the_invoices_own_totals():
    assert read(with_line(tva_tx=None)).vat == ()
    assert read(with_line(total_ht=None)).vat == ()


def test_a_local_tax_is_named_instead_of_hidden_in_a_sum():
    invoice = with_line(total_ttc="6.29", total_localtax1="0.30")
    invoice |= {"total_ttc": "54.94", "total_localtax1": "0.30"}

    receipt = read(invoice, lang="es")

    assert receipt.vat == ()
    assert receipt.notes == (
        "Base imponible 49,34\xa0€",
        "IVA 5,30\xa0€",
        "Otro impuesto 0,30\xa0€",
    )


def test_a_revenue_stamp_is_a_line_of_its_own():
    receipt = read(changed(total_ttc="55.64", revenuestamp="1.00000000"))

    assert (receipt.lines[-1].text, receipt.lines[-1].amount) == ("Timbre fiscal", Decimal(1))
    assert sum(line.amount for line in receipt.lines) == receipt.total
    assert len(receipt.vat) == 2


def test_a_sale_in_another_currency_is_drawn_in_it():
    invoice = changed(multicurrency_code="CHF", multicurrency_tx="0.5", fk_multicurrency="2")
    invoice["multicurrency_total_ttc"] = "27.32"

    receipt = read(invoice)

    assert (receipt.currency, receipt.total) == ("CHF", Decimal("27.32"))
    assert receipt.payments == ()  # the API gives them in the shop's own currency only
    assert receipt.vat == ()  # the lines' amounts are not those of this total


def test_the_shops_own_currency_is_the_invoices():
    assert read(changed(multicurrency_code="CHF")).currency == "CHF"
    assert read(changed(multicurrency_code=None)).currency == ""
    assert read(changed(multicurrency_code="???")).currency == ""
    assert read(changed(multicurrency_code=None), own="TND").currency == "TND"


@pytest.mark.parametrize(("row", "own"), [("0", None), ("7", "MDL"), ("0", "MDL"), (None, "MDL")])
def test_the_own_currency_has_no_rate(row, own):
    invoice = changed(
        multicurrency_code="MDL",
        multicurrency_tx="19.28",
        fk_multicurrency=row,
        multicurrency_total_ttc="1053.46",
    )

    receipt = read(invoice, own=own)

    assert (receipt.total, receipt.currency) == (Decimal("54.64"), "MDL")
    assert len(receipt.vat) == 2
    assert [one.amount for one in receipt.payments] == [Decimal("54.64")]


def test_a_foreign_currency_at_par_is_still_foreign():
    invoice = changed(multicurrency_code="CHF", multicurrency_tx="1", fk_multicurrency="2")

    assert read(invoice, own="EUR").currency == "CHF"


def test_amounts_have_the_decimals_of_their_currency():
    line = INVOICE["lines"][0] | {
        "qty": "1", "tva_tx": "19", "total_ht": "11.214", "total_tva": "2.131",
        "total_ttc": "13.345",
    }  # fmt: skip
    dinar = changed(
        multicurrency_code="TND", total_ht="11.214", total_tva="2.131", total_ttc="13.345",
        lines=[line],
    )  # fmt: skip
    franc = changed(multicurrency_code="XOF", total_ttc="1500.00000000", lines=[])

    assert "13,345\u00a0TND" in text_of(read(dinar, [])).replace(" ", "\u00a0")
    assert "2,131" in text_of(read(dinar, []))
    assert "F" in text_of(read(franc, []))
    assert "500,00" not in text_of(read(franc, []))


def test_several_payments_and_what_is_still_to_pay():
    payments = [
        PAYMENTS[0] | {"amount": "20.00000000"},
        PAYMENTS[0] | {"amount": "14.64", "type": "CB"},
        PAYMENTS[0] | {"amount": "10", "type": "TR"},
        PAYMENTS[0] | {"amount": "5", "type": "XY"},
    ]

    receipt = read(changed(remaintopay="5"), payments, names={"TR": "Titre restaurant"})

    assert [one.text for one in receipt.payments] == [
        "Espèces", "Carte bancaire", "Titre restaurant", "XY", "Reste à payer",
    ]  # fmt: skip


def test_a_credit_note_is_a_refund():
    assert read(changed(type="2")).refund


def test_the_same_invoice_gives_the_same_bytes():
    assert draw_receipt(read()) == draw_receipt(read())


def test_a_receipt_that_cannot_be_drawn_is_our_error():
    with pytest.raises(SourceError, match="cannot be drawn"):
        draw_here(replace(read(), issued=datetime(2026, 1, 1)))  # noqa: DTZ001 - on purpose


def test_the_drawn_receipt_names_no_customer():
    invoice = changed(socname="Canary Customer", note_public="canary note", ref_client="canary")

    with pikepdf.open(io.BytesIO(draw_receipt(read(invoice)))) as pdf:
        title = str(pdf.docinfo["/Title"])

    assert "anary" not in text_of(read(invoice)) + title


def test_dolibarrs_own_company_is_who_sells():
    shop = company_of(
        {"name": "Chez &Eacute;lise", "address": "1 rue du Port\r\nBât. B", "zip": "26000",
         "town": "Valence", "country_code": "FR", "idprof2": "000 000 000 00018",
         "tva_intra": "FR00000000000"}
    )  # fmt: skip

    assert shop == Shop(
        "Chez Élise",
        ("1 rue du Port", "Bât. B", "26000 Valence"),
        ("SIRET 000 000 000 00018", "TVA FR00000000000"),
    )
    assert company_of({"name": ""}) is None


@pytest.mark.parametrize(
    "invoice",
    [{}, {"ref": "FA1"}, changed(total_ttc="nan"), changed(total_ttc=None), changed(ref=None),
     changed(**NO_DATES), changed(**dict.fromkeys(NO_DATES, 10**15)),
     changed(lines=[INVOICE["lines"][0]] * 2001)],
)  # fmt: skip
def test_what_is_no_invoice_is_said_to_be_none(invoice):
    with pytest.raises(SourceError):
        read(invoice, [])


@pytest.mark.parametrize(
    "value", ["nan", "inf", "1e400", "1" * 50, "", "abc", None, [], True, "1e12"]
)
def test_a_number_that_is_none_is_not_read(value):
    assert read_number({"x": value}, "x") is None
    assert read_whole({"x": value}, "x") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["0", "1", "-5.99", "1e-20", "<b>", "2026-11-21 22:04:39"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_an_invoice_holds_there_is_a_receipt_or_our_error(data):
    invoice = copy.deepcopy(INVOICE)
    for name in data.draw(st.lists(st.sampled_from(sorted(invoice)), max_size=4)):
        invoice[name] = data.draw(JSON)
    if isinstance(invoice["lines"], list) and invoice["lines"]:
        line = copy.deepcopy(INVOICE["lines"][0])
        for name in data.draw(st.lists(st.sampled_from(sorted(line)), max_size=4)):
            line[name] = data.draw(JSON)
        invoice["lines"] = [line]

    try:
        receipt = read(invoice, data.draw(st.just(PAYMENTS) | JSON))
    except SourceError:
        return
    draw_receipt(receipt)
