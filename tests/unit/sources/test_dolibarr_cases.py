"""Invoices that came out wrong once, each with what is right (tests/data/receipts/dolibarr)."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from e2ee_ticket.pdf.draw import Shop
from e2ee_ticket.pdf.money import format_money
from e2ee_ticket.sources.dolibarr.receipt import read_receipt
from e2ee_ticket.sources.facts import file_name

CASES = Path(__file__).parents[2] / "data/receipts/dolibarr"
VALUES = json.loads((CASES / "values.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(VALUES))
def test_an_invoice_is_read_right(name):
    invoice = json.loads((CASES / name).read_text(encoding="utf-8"))
    right = VALUES[name]

    receipt = read_receipt(invoice, [], Shop("Boutique d'Essai"), right.get("lang", "fr"), {})

    money = [format_money(line.amount, receipt.currency, receipt.lang) for line in receipt.lines]
    assert {
        "number": receipt.number,
        "file": file_name(receipt.number),
        "total": format_money(receipt.total, receipt.currency, receipt.lang),
        "lines": [list(pair) for pair in zip((x.text for x in receipt.lines), money, strict=True)],
        "vat": [
            [f"{x.normalize():f}" for x in (one.rate, one.net, one.vat)] for one in receipt.vat
        ],
        "notes": list(receipt.notes),
    } == {key: value for key, value in right.items() if key not in ("lang", "issued")}
    if "issued" in right:
        assert receipt.issued.astimezone(UTC) == datetime.fromisoformat(right["issued"])


def test_every_case_has_its_values():
    assert sorted(VALUES) == sorted(
        path.name for path in CASES.glob("*.json") if path.name != "values.json"
    )
    assert all(Decimal(one[1]) for right in VALUES.values() for one in right["vat"])
