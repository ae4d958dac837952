"""A ticket of a roll: what is known of it, and what is too long to be that."""

import pytest

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf.roll import Paragraph, Roll
from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.roll_ticket import draw_ticket

SHOP = Shop("Au Petit Marché", "fr", lambda: 1_795_298_721.0)
ROLL = Roll((Paragraph("Merci"),))


def test_says_what_is_known():
    ticket = draw_ticket(ROLL, SHOP, title="Marché", number="FA2611-0012", total="9,90 €")

    assert ticket.receipt.startswith(b"%PDF-")
    assert (ticket.title, ticket.number, ticket.total) == ("Marché", "FA2611-0012", "9,90 €")
    assert (ticket.name, ticket.lang) == ("FA2611-0012.pdf", "fr")
    assert ticket.issued is not None


def test_leaves_out_what_is_not_known_or_too_long():
    ticket = draw_ticket(ROLL, SHOP, title="x" * 201, number="", total="9" * 65)

    assert (ticket.title, ticket.number, ticket.total) == (None, None, None)
    assert ticket.name == "receipt.pdf"


def test_refuses_what_is_longer_than_any_receipt():
    with pytest.raises(ReceiptError, match="longer than a receipt can be"):
        draw_ticket(Roll((Paragraph("x" * 100_001),)), SHOP, title=None, number=None, total=None)
