"""Sealing: sizes, limits and what a till must refuse."""

import base64
import json
from pathlib import Path

import pytest

from e2ee_ticket import Secret, Ticket, seal, unseal
from e2ee_ticket.errors import AuthenticationError, ReceiptError
from e2ee_ticket.protocol import envelope, primitives
from e2ee_ticket.protocol.ticket import plain_name

SECRET = Secret(bytes(range(32)))
VECTORS = Path(__file__).resolve().parents[3] / "spec" / "vectors"


@pytest.mark.rule("T15")
@pytest.mark.rule("T14")
@pytest.mark.parametrize("size", envelope.SIZES)
def test_takes_the_smallest_envelope_that_holds_the_ticket(size):
    empty = len(Ticket(receipt=b"").to_bytes())
    room = size - envelope.OVERHEAD_SIZE - empty
    room -= len(str(room)) - 1  # the header writes the length

    exact = Ticket(receipt=bytes(room))
    assert len(seal(exact, SECRET)) == size
    assert unseal(seal(exact, SECRET), SECRET) == exact
    if size < envelope.MAX_SIZE:
        following = envelope.SIZES[envelope.SIZES.index(size) + 1]
        assert len(seal(Ticket(receipt=bytes(room + 1)), SECRET)) == following


@pytest.mark.rule("T15")
def test_refuses_a_receipt_that_fits_no_envelope():
    with pytest.raises(ReceiptError, match="too large"):
        seal(Ticket(receipt=bytes(envelope.MAX_SIZE)), SECRET)


@pytest.mark.rule("T13")
@pytest.mark.parametrize(
    ("name", "limit"),
    [("title", 200), ("total", 64), ("number", 64), ("issued", 64), ("lang", 35), ("name", 200)],
)
def test_refuses_a_text_longer_than_its_limit(name, limit):
    Ticket(receipt=b"", **{name: "é" * limit})
    with pytest.raises(ReceiptError, match=name):
        Ticket(receipt=b"", **{name: "é" * (limit + 1)})


@pytest.mark.rule("T13")
def test_the_longest_texts_still_fit_the_header():
    # Control characters are written as six bytes each.
    ticket = Ticket(
        receipt=bytes(4_000_000), preview=bytes(50_000), title="\1" * 200, name="\1" * 200,
        total="\1" * 64, number="\1" * 64, issued="\1" * 64, lang="\1" * 35,
    )  # fmt: skip

    assert 3900 < int.from_bytes(ticket.to_bytes()[:4]) <= 4096
    assert len(seal(ticket, SECRET)) == envelope.MAX_SIZE


@pytest.mark.rule("T13")
def test_refuses_half_a_character():
    with pytest.raises(ReceiptError, match="half a character"):
        Ticket(receipt=b"", title="\ud800").to_bytes()


@pytest.mark.rule("T16")
def test_seals_the_worked_example_byte_for_byte():
    ticket = Ticket(
        receipt=b"%PDF-1.4\n% a receipt\n%%EOF\n",
        name="TC1-2611-0009.pdf",
        title="\u00c9picerie du March\u00e9",
        total="54,64 \u20ac",
        number="TC1-2611-0009",
        issued="2026-11-21T14:02:09+01:00",
        lang="fr",
        preview=b"\x89PNG\r\n\x1a\n a preview",
    )
    vectors = json.loads((VECTORS / "envelopes.json").read_text(encoding="utf-8"))
    example = next(entry for entry in vectors if entry["name"] == "envelope_worked_example")

    sealed = seal(ticket, Secret(bytes.fromhex(example["secret"])))

    assert base64.b64encode(sealed).decode() == example["envelope"]


@pytest.mark.rule("T11")
def test_the_receipt_comes_first_and_unchanged():
    ticket = Ticket(receipt=b"%PDF\x00\xff", preview=b"PNG")

    data = ticket.to_bytes()

    assert data.endswith(b"%PDF\x00\xffPNG")
    assert data.index(b'"application/pdf"') < data.index(b'"image/png"')


@pytest.mark.rule("T17")
def test_two_tickets_under_one_secret_have_different_nonces():
    sealed = [seal(Ticket(receipt=bytes([n])), SECRET) for n in range(2)]

    assert sealed[0][40:52] != sealed[1][40:52]
    assert sealed[0][:40] == sealed[1][:40]


def test_nothing_can_be_sealed_too():
    sealed = primitives.aead_seal(bytes(32), bytes(12), b"", b"")

    assert len(sealed) == 16
    assert primitives.aead_open(bytes(32), bytes(12), b"", sealed) == b""


def test_a_ciphertext_shorter_than_a_tag_is_refused():
    with pytest.raises(AuthenticationError):
        primitives.aead_open(bytes(32), bytes(12), b"", bytes(15))


@pytest.mark.rule("C11")
@pytest.mark.parametrize("public", [bytes(32), (1).to_bytes(32, "little")])
def test_a_key_of_low_order_is_refused(public):
    with pytest.raises(AuthenticationError):
        primitives.x25519(bytes(range(32)), public)


@pytest.mark.rule("T37")
@pytest.mark.parametrize(
    ("name", "plain"),
    [
        (None, "receipt.pdf"), ("", "receipt.pdf"), ("..", "receipt.pdf"), (".pdf", "receipt.pdf"),
        ("a/b\\c.PDF", "c.pdf"), ("a.exe", "a.exe.pdf"), ("x" * 300, "x" * 100 + ".pdf"),
        ("X.pdf", "X.pdf"), (" . .a. .pdf", "a.pdf"), ("y" * 99 + " . z", "y" * 99 + ".pdf"),
        (". .X", "X.pdf"), ("b\u00a0.pdf", "b\u00a0.pdf"),
        ("a\u202efdp.exe", "afdp.exe.pdf"), ("COM:1?.pdf", "COM1.pdf"),
        ("Épicerie 5 €.pdf", "Épicerie 5 €.pdf"),
    ],
)  # fmt: skip
def test_reduces_a_file_name_to_a_plain_one(name, plain):
    assert plain_name(name) == plain
