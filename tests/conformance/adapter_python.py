"""This project's Python behind the conformance kit's command interface."""

import base64
import hashlib
import json
import sys
from fractions import Fraction

from e2ee_ticket.errors import ProtocolError
from e2ee_ticket.protocol import channel, envelope, link
from e2ee_ticket.protocol.content import Content
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
    if request["do"] == "whole":
        reader = link.Link if request["kind"] == "ticket" else channel.PairingLink
        whole = reader.parse(request["text"])
        return {"origin": whole.page, "secret": whole.secret.reveal().hex()}
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


# Scenarios: the machines themselves, and beside them nothing but a clock.


def content_of(members):
    """A content from the members of its message."""
    kind = next(word for word in ("tkt", "live", "thanks", "idle") if word in members)
    secret = Secret(link.parse_digits(members["tkt"], link.CHECK_LABEL)) if kind == "tkt" else None
    return Content(
        "ticket" if kind == "tkt" else kind,
        secret,
        members.get("for", 0),
        members.get("no"),
        members.get("time"),
        members.get("total"),
        tuple(members.get("live", ())),
        members.get("name"),
        members.get("lang"),
        members.get("notice"),
    )


class Till:
    """A `TillChannel` and what waits for it."""

    def __init__(self, request):
        pairing = channel.PairingSecret(bytes.fromhex(request["pairing"]))
        self.channel = channel.TillChannel(
            pairing, content_of(request["idle"]), display_count=request["displays"]
        )
        self.live = []
        self.answers = {}

    def do(self, request):
        now = Fraction(
            request["at"], 1000
        )  # exact, so that a vector may say when to the millisecond
        act = request["do"]
        if act == "poll":
            self.live = [bytes.fromhex(hello) for hello in request["hellos"]]
        elif act == "show":
            self.channel.show(content_of(request["content"]), now)
        elif act == "fate" and request["what"] != "unknown":
            settle = self.channel.lost if request["what"] == "gone" else self.channel.delivered
            settle(self.answers[request["hid"]], now)
            self.live = [hello for hello in self.live if channel.hello_id(hello) != request["hid"]]
            return self.tell(now, [])
        return self.tell(now, self.channel.answer(self.live, now))

    def tell(self, now, answers):
        self.answers |= {answer.hid: answer for answer in answers}
        present = self.channel.present.kind
        return {
            "answers": [{"hid": answer.hid, "sealed": answer.sealed.hex()} for answer in answers],
            "present": present,
            "shown": self.channel.shown,
            "warn": present == "ticket" and self.channel.unshown(now),
            "crowded": self.channel.crowded(now),
        }


class Display:
    """A `DisplayChannel`, and when its next hello is due."""

    def __init__(self, request):
        self.channel = channel.DisplayChannel(
            channel.PairingSecret(bytes.fromhex(request["pairing"]))
        )
        self.origin = request["origin"]
        self.due = self.read(request)[1]

    def read(self, request):
        """The clocks' reading, and the clock by which this one waits, in ms."""
        mono = request["mono"]
        reading = channel.Reading(
            Fraction(request["wall"], 1000), None if mono is None else Fraction(mono, 1000)
        )
        return reading, request["wall"] if mono is None else mono

    def do(self, request):
        reading, at = self.read(request)
        told, delay = {}, self.channel.tick(reading)
        act = request["do"]
        if act == "hello":
            self.due = at if delay is not None else self.due
            delay = None
            if self.due is not None:
                told["hello"], self.due = self.channel.hello(reading).hex(), None
        elif act == "answer" and delay is None:
            sealed = bytes.fromhex(request.get("sealed", ""))
            delay = self.channel.answered(
                request["status"], sealed, reading, retry_after=request.get("retry_after"),
                chance=0.5,
            )  # fmt: skip
        elif act == "lost" and self.channel.waiting:
            delay = self.channel.failed(reading)
        else:
            delay = self.happen(act, reading, delay)
        if delay is not None:
            self.due = at + 1000 * delay
        if act == "hide" or not self.channel.paired:
            self.due = None
        content = self.channel.painted(reading)
        told |= {
            "shows": members_of(content),
            "next": None if self.due is None else max(0, round(self.due - at)),
            "paired": self.channel.paired,
        }
        if content.secret is not None:
            told["code"] = link.Link(self.origin, content.secret).reveal()
        return told

    def happen(self, act, reading, delay):
        """What has nothing to do with the relay."""
        if act == "hide":
            self.channel.hide()
        elif act == "show":
            return self.channel.resume(reading)
        elif act == "tap":
            self.channel.touch(reading)
        return delay


PLAYED = {}


def till(request):
    if request["do"] == "begin":
        PLAYED["till"] = Till(request)
        return PLAYED["till"].tell(0, [])
    return PLAYED["till"].do(request)


def display(request):
    if request["do"] == "load":
        PLAYED["display"] = Display(request)
    return PLAYED["display"].do(request)


COMMANDS = {
    "till": till,
    "display": display,
    "keys": keys,
    "link": link_of,
    "seal": seal,
    "open": open_envelope,
    "hello": hello,
    "answer": answer,
    "accept": accept,
}


def ask(**request):
    """One request and its answer."""
    command = COMMANDS.get(request["op"])
    try:
        told = {"outcome": "unsupported"} if command is None else command(request)
    except ProtocolError as error:
        told = {"outcome": error.outcome}
    return {"outcome": "ok"} | told


def main():
    for line in sys.stdin:
        print(json.dumps(ask(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
