"""What is looked for after a sale, and how somebody careless would have written it down."""

import base64
import gzip
import hashlib

from privacy import canaries, traces

from e2ee_ticket.protocol import channel


def what_nobody_may_have(sale):
    needles = traces.Needles()
    for name, text in canaries.TEXTS.items():
        needles.text(name, text)
    for start in range(0, len(sale.ticket.receipt) - 48, len(sale.ticket.receipt) // 8):
        needles.data("the receipt", sale.ticket.receipt[start : start + 48])
    middle = len(sale.ticket.preview) // 2
    needles.data("the preview", sale.ticket.preview[middle : middle + 48])
    ticket, pairing = sale.link.secret, sale.pairing.secret
    needles.data("S", ticket.reveal())
    needles.data("the ticket's key", ticket.key())
    needles.data("the ticket's nonce key", ticket.nonce_key())
    needles.data("P", pairing.reveal())
    needles.data("the channel's psk", pairing.psk())
    needles.digits("the ticket's link", sale.link.digits())
    needles.digits("the pairing link", channel.PairingLink(sale.link.page, pairing).digits())
    return needles


def what_only_travels(sale):
    """Tokens and the permit, which the relay must see, and may keep as hashes only."""
    needles = traces.Needles()
    needles.data("the ticket's token", sale.link.secret.token())
    needles.data("the display's token", sale.pairing.secret.read_token())
    needles.data("the till's token", sale.pairing.token.reveal())
    needles.text("the permit", sale.permit)
    return needles


def names(sale):
    needles = traces.Needles()
    needles.data("the ticket's id", bytes.fromhex(sale.link.secret.id))
    needles.data("the channel's id", bytes.fromhex(sale.pairing.secret.cid))
    return needles


def hashes(sale):
    needles = traces.Needles()
    needles.data("the ticket's token hash", sale.link.secret.token_hash())
    for name, token in (
        ("the display's token hash", sale.pairing.secret.read_token()),
        ("the till's token hash", sale.pairing.token.reveal()),
        ("the permit's hash", sale.permit.encode()),
    ):
        needles.data(name, hashlib.sha256(token).digest())
    return needles


def leaks(sale):
    """What a careless program might write down."""
    secret, pairing = sale.link.secret, sale.pairing.secret
    return [text.encode() for text in canaries.TEXTS.values()] + [
        secret.reveal(),
        secret.key(),
        secret.reveal()[3:28],
        pairing.reveal(),
        pairing.psk(),
        sale.link.reveal().encode(),
        sale.link.digits()[31:51].encode(),
        " ".join(sale.link.digits()[i : i + 5] for i in range(0, 85, 5)).encode(),
        sale.ticket.receipt[: len(sale.ticket.receipt) // 4],
    ]


def careless(leak):
    """How a relay that keeps what it should not might write it down."""
    ways = {
        "as it is": b"state=" + leak + b";",
        "in hex": b"state=" + leak.hex().encode(),
        "in base64": base64.b64encode(leak),
        "in base64, one further": base64.b64encode(b"=" + leak + b"."),
        "in base64, two further": base64.urlsafe_b64encode(b"==" + leak),
        "as Python shows it": repr(leak).encode(),
        "zipped": traces.inflated(b"\0\0" + gzip.compress(b"state=" + leak) + b"\0"),
    }
    if leak.isascii():
        ways["in UTF-16"] = leak.decode("ascii").encode("utf-16-le")
    return ways
