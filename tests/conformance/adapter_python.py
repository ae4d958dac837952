"""This project's Python behind the conformance kit's command interface."""

import base64
import hashlib
import json
import sys

from e2ee_ticket.errors import ProtocolError
from e2ee_ticket.protocol import channel, envelope, link
from e2ee_ticket.protocol.secret import Secret

TEXTS = ("title", "total", "number", "issued", "lang")


def keys(request):
    raw = bytes.fromhex(request["secret"])
    if request["kind"] == "pairing":
        pairing = channel.PairingSecret(raw)
        return {"cid": pairing.cid, "rtok": pairing.read_token().hex(), "psk": pairing.psk().hex()}
    secret = Secret(raw)
    return {
        "id": secret.id,
        "key": secret.key().hex(),
        "nkey": secret.nonce_key().hex(),
        "tok": secret.token().hex(),
        "th": secret.token_hash().hex(),
    }


def link_of(request):
    if request["do"] == "format":
        return {"digits": link.format_digits(bytes.fromhex(request["secret"]), request["label"])}
    return {"secret": link.parse_fragment(request["fragment"], request["label"]).hex()}


def seal(request):
    secret = Secret(bytes.fromhex(request["secret"]))
    sealed = envelope.seal_plaintext(base64.b64decode(request["plaintext"]), secret)
    return {"envelope": base64.b64encode(sealed).decode()}


def open_envelope(request):
    secret = Secret(bytes.fromhex(request["secret"]))
    ticket = envelope.unseal(base64.b64decode(request["envelope"]), secret)
    told = {name: getattr(ticket, name) for name in TEXTS if getattr(ticket, name) is not None}
    told |= {
        "name": ticket.name,
        "receipt_length": len(ticket.receipt),
        "receipt_sha256": hashlib.sha256(ticket.receipt).hexdigest(),
    }
    return {"ticket": told | dict(parts_of(ticket))}


def parts_of(ticket):
    """What a ticket holds beside its receipt, as the vectors describe it."""
    if ticket.preview is not None:
        yield "preview_sha256", hashlib.sha256(ticket.preview).hexdigest()
    if ticket.lines is not None:
        yield "lines", [list(line) for line in ticket.lines]
        if ticket.preview is not None:
            yield "preview_shows", "rest" if ticket.preview_is_rest else "receipt"
    if ticket.data:
        yield (
            "data",
            [
                {
                    "type": each.type,
                    "name": each.name,
                    "sha256": hashlib.sha256(each.body).hexdigest(),
                }
                for each in ticket.data
            ],
        )


def initiator(request):
    pairing = channel.PairingSecret(bytes.fromhex(request["pairing"]))
    return channel.make_hello(
        pairing.psk(), bytes.fromhex(request["private"]), bytes.fromhex(request["last"])
    )


def hello(request):
    made = initiator(request).hello
    return {"hello": made.hex(), "hid": channel.hello_id(made)}


def answer(request):
    pairing = channel.PairingSecret(bytes.fromhex(request["pairing"]))
    till = channel.read_hello(pairing.psk(), bytes.fromhex(request["hello"]))
    sealed, session = till.seal(
        bytes.fromhex(request["private"]), bytes.fromhex(request["payload"])
    )
    return {"last": till.payload.hex(), "sealed": sealed.hex(), "session": session.hex()}


def accept(request):
    content, session = channel.read_sealed(initiator(request), bytes.fromhex(request["sealed"]))
    return {"session": session.hex(), "content": members_of(content)}


def members_of(content):
    """A content as the vectors describe it."""
    digits = content.secret and link.format_digits(content.secret.reveal(), link.CHECK_LABEL)
    members = {
        "kind": content.kind,
        "tkt": digits,
        "for": content.seconds or None,
        "no": content.number,
        "time": content.time,
        "total": content.total,
        "live": list(content.lines) or None,
        "name": content.name,
        "lang": content.lang,
        "notice": content.notice,
    }
    return {name: value for name, value in members.items() if value is not None}


COMMANDS = {
    "keys": keys,
    "link": link_of,
    "seal": seal,
    "open": open_envelope,
    "hello": hello,
    "answer": answer,
    "accept": accept,
}


def main():
    for line in sys.stdin:
        request = json.loads(line)
        command = COMMANDS.get(request["op"])
        try:
            told = {"outcome": "unsupported"} if command is None else command(request)
        except ProtocolError as error:
            told = {"outcome": error.outcome}
        print(json.dumps({"outcome": "ok"} | told), flush=True)


if __name__ == "__main__":
    main()
