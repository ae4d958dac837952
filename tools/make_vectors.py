"""Make the test vectors of the specification: spec/vectors/*.json (their form: README.md there).

Each vector is built from a case that reads as a sentence. `--check` compares instead of writing.
The secrets are SHA-256 of the vector's name, so that nothing here was ever a real ticket's.
"""

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from relay_vectors import races, relay
from scenarios import displays, tills

from e2ee_ticket.errors import ProtocolError
from e2ee_ticket.protocol import channel, envelope, link, noise, primitives
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket

FOLDER = Path(__file__).resolve().parent.parent / "spec" / "vectors"
PDF = b"%PDF-1.4\n% a receipt\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n a preview"

Vector = dict[str, object]
Piece = str | Sequence[object]


def seed(name: str) -> bytes:
    """32 bytes that everybody can make again."""
    return hashlib.sha256(name.encode()).digest()


def outcome(action: object) -> str:
    """Run a reader and name what came of it."""
    try:
        action()  # type: ignore[operator]
    except ProtocolError as error:
        return error.outcome
    return "ok"


def agree(name: str, expect: str, got: str) -> None:
    """Refuse to write a vector that the library does not fulfil."""
    if got != expect:
        raise SystemExit(f"{name}: expected {expect}, got {got}")


# --- links ---------------------------------------------------------------------------------------


def parse_case(
    name: str, rule: str, fragment: str, expect: str, comment: str, *, label: str = "tkt/v1 check"
) -> Vector:
    """One fragment and what a reader makes of it."""
    agree(name, expect, outcome(lambda: link.parse_fragment(fragment, label)))
    vector: Vector = {
        "name": name,
        "rule": rule,
        "comment": comment,
        "op": "parse",
        "label": label,
        "fragment": fragment,
    }
    if expect == "ok":
        vector["secret"] = link.parse_fragment(fragment, label).hex()
    return vector | {"expect": expect}


def links() -> Iterator[Vector]:
    """Links, both ways, and the QR code's size."""
    for name, secret in (
        ("link_of_zeros", bytes(32)),
        ("link_of_ones", b"\xff" * 32),
        ("link_of_counting_bytes", bytes(range(32))),
        ("link_of_a_hash", seed("link_of_a_hash")),
    ):
        for label, word in (("tkt/v1 check", ""), ("dsp/v1 check", "_for_pairing")):
            yield {
                "name": name + word,
                "rule": "T4" if not word else "C3",
                "op": "format",
                "label": label,
                "secret": secret.hex(),
                "digits": link.format_digits(secret, label),
                "expect": "ok",
            }
    secret = seed("link")
    digits = link.format_digits(secret, "tkt/v1 check")
    good = "#" + digits
    groups = [digits[i : i + 5] for i in range(0, 85, 5)]

    def with_group(index: int, text: str) -> str:
        return "#" + "".join([*groups[:index], text, *groups[index + 1 :]])

    yield parse_case("link_whole", "T6", good, "ok", "the digits and nothing else")
    yield parse_case(
        "link_followed_by_a_parameter",
        "T6",
        good + "&utm_source=qr",
        "ok",
        "scanner apps append; what follows is ignored",
    )
    yield parse_case(
        "link_followed_by_a_space_and_text", "T6", good + " scanned by X", "ok", "idem"
    )
    yield parse_case("link_followed_by_a_letter", "T6", good + "x", "ok", "not a digit")
    yield parse_case(
        "link_followed_by_an_arabic_digit",
        "T6",
        good + "\u0663",
        "ok",
        "not one of the ten ASCII digits",
    )
    yield parse_case("link_followed_by_a_digit", "T6", good + "0", "damaged", "86 digits")
    yield parse_case("link_one_digit_short", "T6", good[:-1], "damaged", "84 digits")
    yield parse_case("link_without_digits", "T6", "#", "damaged", "nothing there")
    yield parse_case("link_without_a_number_sign", "T6", digits, "damaged", "no fragment")
    yield parse_case(
        "link_with_an_encoded_number_sign",
        "T6",
        "%23" + digits,
        "damaged",
        "a scanner app wrote %23 for #",
    )
    yield parse_case(
        "link_with_a_letter_o", "T6", with_group(3, "0O000"), "damaged", "a letter for a zero"
    )
    yield parse_case(
        "link_with_an_arabic_digit",
        "T6",
        "#" + "\u0660" + digits[1:],
        "damaged",
        "\\d would take it in some languages",
    )
    yield parse_case(
        "link_with_a_full_width_digit", "T6", "#" + "\uff10" + digits[1:], "damaged", "idem"
    )
    yield parse_case(
        "link_with_a_space_inside",
        "T6",
        f"#{digits[:5]} {digits[5:]}",
        "damaged",
        "groups are not spaced in a link",
    )
    yield parse_case(
        "link_with_a_sign", "T6", "#+" + digits[1:], "damaged", "number parsers take a sign"
    )
    for index in range(16):
        yield parse_case(
            f"link_group_{index}_too_large",
            "T7",
            with_group(index, "65536"),
            "damaged",
            "65536 does not fit 16 bits",
        )
    yield parse_case("link_group_of_nines", "T7", with_group(5, "99999"), "damaged", "idem")
    yield parse_case(
        "link_check_group_too_large", "T7", with_group(16, "70000"), "damaged", "idem, in the check"
    )
    low = next(
        secret
        for secret in (seed(f"low words {number}") for number in range(10_000))
        if all(int.from_bytes(secret[at : at + 2]) < 34_464 for at in (0, 30))
        and primitives.sha256(b"tkt/v1 check" + secret)[0] < 0x86
    )
    words = [link.format_digits(low, "tkt/v1 check")[i : i + 5] for i in range(0, 85, 5)]
    yield parse_case("link_of_low_words", "T6", "#" + "".join(words), "ok", "for the next three")
    for index, which in ((0, "first word"), (15, "last word"), (16, "check")):
        wrapped = [*words[:index], f"{int(words[index]) + 65536:05d}", *words[index + 1 :]]
        yield parse_case(
            f"link_{which.replace(' ', '_')}_above_by_65536",
            "T7",
            "#" + "".join(wrapped),
            "damaged",
            "right in 16 bits: only T7 refuses it",
        )
    for index in range(16):
        other = f"{(int(groups[index]) + 1) % 65536:05d}"
        yield parse_case(
            f"link_group_{index}_changed",
            "T8",
            with_group(index, other),
            "damaged",
            "one word differs by one",
        )
    yield parse_case(
        "link_check_changed",
        "T8",
        with_group(16, f"{(int(groups[16]) + 1) % 65536:05d}"),
        "damaged",
        "the check differs by one",
    )
    yield parse_case(
        "link_groups_swapped",
        "T8",
        "#" + "".join([groups[1], groups[0], *groups[2:]]),
        "damaged",
        "two groups changed places",
    )
    yield parse_case(
        "link_for_a_display_read_as_a_ticket",
        "T8",
        "#" + link.format_digits(secret, "dsp/v1 check"),
        "damaged",
        "the two kinds of link have different checks",
    )
    yield parse_case(
        "link_for_a_ticket_read_as_a_display", "C3", good, "damaged", "idem", label="dsp/v1 check"
    )
    yield from _whole_links(secret)
    for page, version in (
        ("https://t.example", 4),
        ("https://" + "a" * 15, 4),
        ("https://" + "a" * 16, 5),
        ("https://" + "a" * 37, 5),
    ):
        yield {
            "name": f"qr_of_a_prefix_of_{len(page) + 2}_characters",
            "rule": "T10",
            "op": "qr",
            "prefix": page + "/#",
            "digits": digits,
            "version": version,
            "modules": 17 + 4 * version,
            "expect": "ok",
        }


def _whole_links(secret: bytes) -> Iterator[Vector]:
    """Links with their address: T5 and T50."""
    ticket = link.format_digits(secret, link.CHECK_LABEL)
    pairing = link.format_digits(secret, channel.CHECK_LABEL)
    taken = [
        ("of_a_ticket", "T50", "ticket", "https://t.example/#" + ticket, "nothing else"),
        (
            "with_white_space_around",
            "T50",
            "ticket",
            f" \t\nhttps://t.example/#{ticket}\r\n ",
            "pasted",
        ),
        ("with_a_second_number_sign", "T50", "ticket", f"https://t.example/#{ticket}#x", "behind"),
        ("of_a_pairing", "T50", "pairing", "https://t.example/d#" + pairing, "nothing else"),
        ("with_a_port", "T5", "ticket", "https://t.example:8443/#" + ticket, "allowed"),
        ("of_localhost", "T5", "ticket", "http://localhost:8080/#" + ticket, "loopback"),
        ("of_127_0_0_1", "T5", "ticket", "http://127.0.0.1/#" + ticket, "loopback"),
        ("of_loopback_in_ipv6", "T5", "ticket", "http://[::1]:8080/#" + ticket, "loopback"),
    ]
    refused = [
        ("with_a_query", "T50", "ticket", f"https://t.example/?x=1#{ticket}", "no origin and /"),
        ("with_a_path", "T50", "ticket", f"https://t.example/r/#{ticket}", "idem"),
        ("without_its_slash", "T50", "ticket", f"https://t.example#{ticket}", "idem"),
        (
            "of_a_pairing_read_as_a_ticket",
            "T50",
            "ticket",
            f"https://t.example/d#{ticket}",
            "its path",
        ),
        (
            "of_a_ticket_read_as_a_pairing",
            "T50",
            "pairing",
            f"https://t.example/#{pairing}",
            "its path",
        ),
        ("without_a_number_sign", "T50", "ticket", "https://t.example/" + ticket, "no fragment"),
        (
            "with_white_space_inside",
            "T50",
            "ticket",
            f"https://t.example/ #{ticket}",
            "not at an end",
        ),
        ("of_http", "T5", "ticket", f"http://t.example/#{ticket}", "no loopback host"),
        (
            "of_http_to_what_begins_like_loopback",
            "T5",
            "ticket",
            f"http://127.0.0.1.example/#{ticket}",
            "a name",
        ),
        (
            "of_http_to_localhost_with_more",
            "T5",
            "ticket",
            f"http://localhost.example/#{ticket}",
            "a name",
        ),
        ("in_capitals", "T5", "ticket", f"https://T.example/#{ticket}", "lower case"),
        ("with_a_scheme_in_capitals", "T5", "ticket", f"HTTPS://t.example/#{ticket}", "lower case"),
        ("with_a_user", "T5", "ticket", f"https://u@t.example/#{ticket}", "a host and a port"),
        ("with_a_full_stop_at_the_end", "T5", "ticket", f"https://t.example./#{ticket}", "none"),
        ("with_two_full_stops", "T5", "ticket", f"https://t..example/#{ticket}", "no name"),
        ("with_port_65536", "T5", "ticket", f"https://t.example:65536/#{ticket}", "65535 at most"),
        ("with_port_0443", "T5", "ticket", f"https://t.example:0443/#{ticket}", "no leading zero"),
        ("with_an_empty_port", "T5", "ticket", f"https://t.example:/#{ticket}", "no port"),
        ("of_another_scheme", "T5", "ticket", f"ftp://t.example/#{ticket}", "https"),
    ]
    kinds: dict[str, type[link.Link | channel.PairingLink]] = {
        "ticket": link.Link,
        "pairing": channel.PairingLink,
    }
    for expect, cases in (("ok", taken), ("damaged", refused)):
        for name, rule, kind, text, comment in cases:
            reader = kinds[kind]
            agree(name, expect, outcome(lambda reader=reader, text=text: reader.parse(text)))
            vector: Vector = {"name": f"whole_link_{name}", "rule": rule, "comment": comment}
            vector |= {"op": "whole", "kind": kind, "text": text}
            if expect == "ok":
                vector |= {"origin": reader.parse(text).page, "secret": secret.hex()}
            yield vector | {"expect": expect}


# --- keys ----------------------------------------------------------------------------------------


def keys() -> Iterator[Vector]:
    """Everything derived from S and from P."""
    for name in ("keys_of_zeros", "keys_of_counting_bytes", "keys_of_a_hash"):
        raw = {"keys_of_zeros": bytes(32), "keys_of_counting_bytes": bytes(range(32))}.get(
            name, seed(name)
        )
        secret = Secret(raw)
        yield {
            "name": name,
            "rule": "T2",
            "op": "ticket",
            "secret": raw.hex(),
            "id": secret.id,
            "key": secret.key().hex(),
            "nkey": secret.nonce_key().hex(),
            "tok": secret.token().hex(),
            "th": secret.token_hash().hex(),
            "check": primitives.sha256(b"tkt/v1 check" + raw)[:2].hex(),
            "expect": "ok",
        }
        pairing = channel.PairingSecret(raw)
        yield {
            "name": name + "_for_pairing",
            "rule": "C2",
            "op": "pairing",
            "secret": raw.hex(),
            "cid": pairing.cid,
            "rtok": pairing.read_token().hex(),
            "psk": pairing.psk().hex(),
            "check": primitives.sha256(b"dsp/v1 check" + raw)[:2].hex(),
            "expect": "ok",
        }


# --- envelopes -----------------------------------------------------------------------------------


def expand(pieces: Sequence[Piece]) -> bytes:
    """Hex strings, and [hex, times] for repetition."""
    out = b""
    for piece in pieces:
        if isinstance(piece, str):
            out += bytes.fromhex(piece)
        else:
            text, times = piece
            out += bytes.fromhex(str(text)) * int(str(times))
    return out


def frame(
    header: bytes, body: bytes, *, header_size: int | None = None, body_size: int | None = None
) -> bytes:
    """The lengths, the header and the body; lengths that lie on request."""
    sizes = (
        len(header) if header_size is None else header_size,
        len(body) if body_size is None else body_size,
    )
    return sizes[0].to_bytes(4) + sizes[1].to_bytes(4) + header + body


def envelope_case(
    name: str,
    rule: str,
    expect: str,
    comment: str,
    pieces: Sequence[Piece],
    *,
    size: int = 16384,
    patch: list[list[object]] | None = None,
    cut: int | None = None,
    append: str | None = None,
    reader: str | None = None,
    whole: bool = False,
) -> Vector:
    """Seal a plaintext given in pieces, change it as asked, and read it."""
    secret = Secret(seed(name))
    plaintext = expand(pieces).ljust(size - envelope.OVERHEAD_SIZE, b"\0")
    sealed = envelope.seal_plaintext(plaintext, secret)
    vector: Vector = {
        "name": name,
        "rule": rule,
        "comment": comment,
        "secret": secret.reveal().hex(),
        "plaintext": pieces,
        "size": size,
        "nonce": sealed[40:52].hex(),
        "tag": sealed[-16:].hex(),
        "sha256": primitives.sha256(sealed).hex(),
    }
    changed = bytearray(sealed)
    for offset, text in patch or []:
        at = int(str(offset))
        for i, value in enumerate(bytes.fromhex(str(text))):
            changed[at + i] ^= value
    received = bytes(changed)[:cut] + bytes.fromhex(append or "")
    changes = {"xor": patch, "cut": cut, "append": append, "reader": reader}
    vector |= {word: change for word, change in changes.items() if change is not None}
    if whole:
        vector["envelope"] = base64.b64encode(sealed).decode()
    reading = Secret(bytes.fromhex(reader)) if reader else secret
    agree(name, expect, outcome(lambda: envelope.unseal(received, reading)))
    if expect == "ok":
        ticket = envelope.unseal(received, reading)
        members = {
            text: getattr(ticket, text)
            for text in ("title", "total", "number", "issued", "lang")
            if getattr(ticket, text) is not None
        }
        vector["ticket"] = members | {
            "name": ticket.name,
            "receipt_length": len(ticket.receipt),
            "receipt_sha256": primitives.sha256(ticket.receipt).hex(),
        }
        vector["ticket"] |= dict(parts_of(ticket))  # type: ignore[operator]
    return vector | {"expect": expect}


def parts_of(ticket: Ticket) -> Iterator[tuple[str, object]]:
    """What a ticket holds beside its receipt."""
    if ticket.preview is not None:
        yield "preview_sha256", primitives.sha256(ticket.preview).hex()
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
                    "sha256": primitives.sha256(each.body).hex(),
                }
                for each in ticket.data
            ],
        )


def header_case(
    name: str, rule: str, expect: str, comment: str, header: str | bytes, body: bytes = PDF
) -> Vector:
    """An envelope whose header is what matters."""
    data = header if isinstance(header, bytes) else header.encode()
    return envelope_case(name, rule, expect, comment, [frame(data, body).hex()])


def parts(*more: str, first: str | None = None, before: str = "", after: str = "") -> str:
    """A header text with the receipt's part and whatever else is asked for."""
    receipt = first or '{"type":"application/pdf","length":%d}' % len(PDF)
    return "{" + before + '"parts":[' + ",".join([receipt, *more]) + "]" + after + "}"


FULL = (
    '{"title":"Épicerie du Marché","total":"54,64 €","number":"TC1-2611-0009",'
    '"issued":"2026-11-21T14:02:09+01:00","lang":"fr",'
    f'"parts":[{{"type":"application/pdf","name":"TC1-2611-0009.pdf","length":{len(PDF)}}},'
    f'{{"type":"image/png","length":{len(PNG)}}}]}}'
)


def envelopes() -> Iterator[Vector]:
    """Envelopes: what opens, and every way in which one must not."""
    plain = [frame(parts().encode(), PDF).hex()]
    full = [frame(FULL.encode(), PDF + PNG).hex()]
    yield envelope_case(
        "envelope_worked_example", "T16", "ok", "every member, and a preview", full, whole=True
    )
    yield envelope_case("envelope_smallest_header", "T16", "ok", "only what is required", plain)
    head = '{"parts":[{"type":"application/pdf","length":%d}]}'
    for size in envelope.SIZES[:6]:
        room = size - envelope.OVERHEAD_SIZE - 8
        length = room - len(head % 10000)
        text = (head % length).encode()
        framed = frame(text, b"")[:4] + length.to_bytes(4) + text
        yield envelope_case(
            f"envelope_filled_to_the_last_byte_of_{size}",
            "T15",
            "ok",
            "no padding at all",
            [framed.hex(), ["25", length]],
            size=size,
        )
    yield from _envelopes_refused_before_opening(plain)
    yield from _envelopes_with_wrong_frames()
    yield from _headers_of_json()
    yield from _headers_with_wrong_members()
    yield from _headers_with_parts()
    yield from _texts()
    yield from _pictures_beside_a_text()
    yield from _data_for_machines()


def _envelopes_refused_before_opening(plain: Sequence[Piece]) -> Iterator[Vector]:
    for name, cut in (
        ("empty", 0),
        ("of_one_byte", 1),
        ("of_51_bytes", 51),
        ("one_byte_short", 16383),
    ):
        yield envelope_case(
            f"envelope_{name}", "T20", "length", "no length of an envelope", plain, cut=cut
        )
    yield envelope_case("envelope_one_byte_long", "T20", "length", "idem", plain, append="00")
    yield envelope_case(
        "envelope_of_40_kib", "T20", "length", "a multiple, but none of the 17", plain, size=40960
    )
    yield envelope_case(
        "envelope_cut_to_a_smaller_length",
        "T23",
        "aead",
        "a right length, but the end is missing",
        plain,
        size=24576,
        cut=16384,
    )
    yield envelope_case(
        "envelope_of_version_2", "T21", "version", "another digit", plain, patch=[[5, "03"]]
    )
    yield envelope_case(
        "envelope_with_a_bare_newline",
        "T21",
        "version",
        "a transfer in text mode",
        plain,
        patch=[[6, "0700"]],
    )
    yield envelope_case(
        "envelope_of_another_version_and_secret",
        "T21",
        "version",
        "the version is checked before the secret",
        plain,
        patch=[[0, "01"]],
        reader=seed("another").hex(),
    )
    yield envelope_case(
        "envelope_of_another_secret",
        "T22",
        "wrong-key",
        "a whole envelope",
        plain,
        reader=seed("another").hex(),
    )
    for offset in (8, 39):
        yield envelope_case(
            f"envelope_with_byte_{offset}_changed",
            "T22",
            "wrong-key",
            "th is not what the secret says",
            plain,
            patch=[[offset, "80"]],
        )
    for offset, where in (
        (40, "the nonce"),
        (51, "the nonce"),
        (52, "the first length"),
        (60, "the header"),
        (8000, "the padding"),
        (16367, "the last padding"),
        (16368, "the tag"),
        (16383, "the tag"),
    ):
        yield envelope_case(
            f"envelope_with_byte_{offset}_changed",
            "T23",
            "aead",
            f"one bit of {where}",
            plain,
            patch=[[offset, "01"]],
        )


def _envelopes_with_wrong_frames() -> Iterator[Vector]:
    header = parts().encode()
    spaces = parts(after=" " * (4096 - len(header))).encode()
    yield envelope_case(
        "header_of_4096_bytes", "T24", "ok", "the largest", [frame(spaces, PDF).hex()]
    )
    yield envelope_case(
        "header_of_4097_bytes",
        "T24",
        "framing",
        "one more than the largest",
        [frame(spaces[:-1] + b" }", PDF).hex()],
    )
    yield envelope_case(
        "header_length_of_all_ones",
        "T24",
        "framing",
        "a length that overflows",
        [frame(header, PDF, header_size=2**32 - 1).hex()],
    )
    yield envelope_case(
        "body_length_of_all_ones",
        "T24",
        "framing",
        "a length that overflows",
        [frame(header, PDF, body_size=2**32 - 1).hex()],
    )
    for word in ("header", "body"):
        lengths = frame(header, PDF)
        at = 0 if word == "header" else 4
        lied = lengths[:at] + b"\x01" + lengths[at + 1 :]
        yield envelope_case(
            f"{word}_length_with_a_high_byte",
            "T24",
            "framing",
            "right, but for 2^24",
            [lied.hex()],
        )
    yield envelope_case(
        "body_one_byte_too_long_for_the_envelope",
        "T24",
        "framing",
        "B - 76 minus the header is the most",
        [frame(header, PDF, body_size=16384 - 76 - len(header) + 1).hex()],
    )
    yield envelope_case(
        "header_of_no_bytes", "T29", "framing", "no JSON at all", [frame(b"", PDF).hex()]
    )
    yield envelope_case("plaintext_of_zeros", "T29", "framing", "both lengths are zero", [])
    yield envelope_case(
        "padding_begins_with_a_one",
        "T25",
        "framing",
        "right after the body",
        [frame(header, PDF).hex() + "01"],
    )
    room = 16384 - envelope.OVERHEAD_SIZE - len(frame(header, PDF))
    yield envelope_case(
        "padding_ends_with_a_one",
        "T25",
        "framing",
        "the last byte",
        [frame(header, PDF).hex(), ["00", room - 1], "01"],
    )


def _headers_of_json() -> Iterator[Vector]:
    good = parts()
    refused: list[tuple[str, str, str | bytes, str]] = [
        ("header_with_a_byte_order_mark", "T26", b"\xef\xbb\xbf" + good.encode(), "EF BB BF"),
        ("header_in_latin_1", "T26", parts(before='"title":"é",').encode("latin-1"), "a lone E9"),
        (
            "header_with_an_overlong_slash",
            "T26",
            parts(before='"x":"@",').encode().replace(b"@", b"\xc0\xaf"),
            "C0 AF",
        ),
        (
            "header_with_a_surrogate_in_utf_8",
            "T26",
            parts(before='"x":"@",').encode().replace(b"@", b"\xed\xa0\x80"),
            "ED A0 80",
        ),
        (
            "header_beyond_unicode",
            "T26",
            parts(before='"x":"@",').encode().replace(b"@", b"\xf4\x90\x80\x80"),
            "F4 90 80 80",
        ),
        (
            "header_with_a_cut_character",
            "T26",
            parts(before='"x":"@",').encode().replace(b"@", b"\xe2\x82"),
            "E2 82 and a quote",
        ),
        (
            "header_nested_9_deep",
            "T27",
            parts(before='"x":' + "[" * 8 + "]" * 8 + ","),
            "the object is the first level",
        ),
        (
            "header_nested_1000_deep",
            "T27",
            parts(before='"x":' + "[" * 1000 + "]" * 1000 + ","),
            "recursive readers break here",
        ),
        (
            "header_nested_deep_in_a_replaced_member",
            "T27",
            parts(before='"x":' + "[" * 9 + "]" * 9 + ',"x":1,'),
            "a parser may not show it",
        ),
        (
            "header_nested_9_deep_behind_closed_arrays",
            "T27",
            parts(before='"x":[[],[],[],[[[[[[[]]]]]]]],'),
            "what was closed does not count, what is open does",
        ),
        (
            "header_nested_9_deep_behind_one_closed_array",
            "T27",
            parts(before='"x":[[],[[[[[[[]]]]]]]],'),
            "idem",
        ),
        ("header_with_the_last_first_surrogate", "T28", parts(before='"x":"\\udbff",'), "alone"),
        ("header_with_the_first_second_surrogate", "T28", parts(before='"x":"\\udc00",'), "alone"),
        ("header_with_the_last_second_surrogate", "T28", parts(before='"x":"\\udfff",'), "alone"),
        (
            "header_with_a_first_surrogate_and_no_second",
            "T28",
            parts(before='"x":"\\udbff\\ue000",'),
            "beyond the second halves",
        ),
        (
            "header_with_a_lone_first_surrogate",
            "T28",
            parts(before='"title":"\\ud83d",'),
            "half a pair",
        ),
        (
            "header_with_a_lone_second_surrogate",
            "T28",
            parts(before='"title":"\\ude00",'),
            "the other half",
        ),
        (
            "header_with_surrogates_in_the_wrong_order",
            "T28",
            parts(before='"title":"\\ude00\\ud83d",'),
            "both halves, swapped",
        ),
        (
            "header_with_a_parted_pair",
            "T28",
            parts(before='"title":"\\ud83d-\\ude00",'),
            "something stands between",
        ),
        (
            "header_with_a_surrogate_in_an_unknown_member",
            "T28",
            parts(before='"x":"\\uD800",'),
            "in whatever string",
        ),
        ("header_with_a_surrogate_in_a_name", "T28", parts(before='"\\ud800":1,'), "idem"),
        ("header_with_nan", "T29", parts(before='"x":NaN,'), "not JSON"),
        ("header_with_infinity", "T29", parts(before='"x":-Infinity,'), "not JSON"),
        ("header_with_true_in_capitals", "T29", parts(before='"x":TRUE,'), "not JSON"),
        ("header_with_a_bare_word", "T29", parts(before='"x":undefined,'), "not JSON"),
        ("header_with_a_plus_sign", "T29", parts(before='"x":+1,'), "not JSON"),
        ("header_with_a_hexadecimal_number", "T29", parts(before='"x":0x1,'), "not JSON"),
        ("header_with_a_bare_fraction", "T29", parts(before='"x":.5,'), "not JSON"),
        ("header_with_a_fraction_of_nothing", "T29", parts(before='"x":1.,'), "not JSON"),
        ("header_with_an_exponent_of_nothing", "T29", parts(before='"x":1e,'), "not JSON"),
        ("header_with_an_exponent_of_a_sign", "T29", parts(before='"x":1e+,'), "not JSON"),
        ("header_with_a_bare_minus", "T29", parts(before='"x":-,'), "not JSON"),
        ("header_with_a_negative_leading_zero", "T29", parts(before='"x":-01,'), "not JSON"),
        ("header_with_an_escaped_single_quote", "T29", parts(before='"x":"\\\'",'), "not JSON"),
        ("header_with_a_short_escape", "T29", parts(before='"x":"\\u12",'), "not JSON"),
        ("header_with_an_escape_of_no_hex", "T29", parts(before='"x":"\\u12G4",'), "not JSON"),
        ("header_with_a_bare_line_feed", "T29", parts(before='"x":"\n",'), "not JSON"),
        ("header_with_a_bare_null_byte", "T29", parts(before='"x":"\0",'), "not JSON"),
        ("header_with_two_commas", "T29", parts(before='"x":1,,'), "not JSON"),
        ("header_with_a_name_without_quotes", "T29", parts(before="x:1,"), "not JSON"),
        (
            "header_with_a_first_surrogate_in_capitals",
            "T28",
            parts(before='"x":"\\uD83D",'),
            "half a pair",
        ),
        (
            "header_with_a_second_surrogate_in_capitals",
            "T28",
            parts(before='"x":"\\uDE00",'),
            "the other half",
        ),
        (
            "header_with_two_first_surrogates",
            "T28",
            parts(before='"x":"\\ud83d\\ud83d\\ude00",'),
            "the first is alone",
        ),
        ("header_with_a_non_breaking_space", "T29", "\u00a0" + good, "not JSON's white space"),
        ("header_with_a_form_feed", "T29", "\f" + good, "not JSON's white space"),
        ("header_with_a_trailing_comma", "T29", parts(after=","), "not JSON"),
        ("header_with_a_comment", "T29", parts(before="/* */"), "not JSON"),
        ("header_with_single_quotes", "T29", parts(before="'x':1,"), "not JSON"),
        ("header_with_a_leading_zero", "T29", parts(before='"x":01,'), "not JSON"),
        ("header_with_a_bare_control_character", "T29", parts(before='"x":"\t",'), "not JSON"),
        ("header_with_an_unknown_escape", "T29", parts(before='"x":"\\x41",'), "not JSON"),
        ("header_followed_by_text", "T29", good + "x", "not JSON"),
        ("header_followed_by_an_object", "T29", good + "{}", "two objects"),
        ("header_of_an_array", "T29", "[" + good + "]", "not an object"),
        ("header_of_a_text", "T29", '"parts"', "not an object"),
        ("header_of_null", "T29", "null", "not an object"),
        ("header_cut_off", "T29", good[:-1], "not JSON"),
    ]
    for name, rule, header, comment in refused:
        yield header_case(name, rule, "framing", comment, header)
    accepted = [
        (
            "header_nested_8_deep",
            "T27",
            parts(before='"x":' + "[" * 7 + "]" * 7 + ","),
            "the deepest",
        ),
        (
            "header_with_a_name_of_zero",
            "T35",
            parts(before='"\\u0000x":1,"":2,"0":3,'),
            "any text names a member",
        ),
        (
            "header_with_a_line_separator",
            "T29",
            parts(before='"title":"\u2028\u007f",'),
            "JSON allows them in a text",
        ),
        (
            "header_with_brackets_in_a_text",
            "T27",
            parts(before='"title":"[[[[[[[[[[{{{\\"{{",'),
            "brackets inside of strings do not count",
        ),
        (
            "header_with_an_escaped_pair",
            "T28",
            parts(before='"title":"\\ud83D\\uDe00",'),
            "one code point",
        ),
        (
            "header_with_the_outermost_pairs",
            "T28",
            parts(before='"title":"\\ud800\\udc00\\udbff\\udfff\\ud7ff\\ue000",'),
            "U+10000, U+10FFFF, and both neighbours",
        ),
        (
            "header_nested_8_deep_twice",
            "T27",
            parts(before='"x":' + "[" * 7 + "]" * 7 + ',"y":' + "[" * 7 + "]" * 7 + ","),
            "beside each other",
        ),
        (
            "header_with_an_escaped_backslash_before_ud800",
            "T28",
            parts(before='"title":"\\\\ud800",'),
            "text, not an escape",
        ),
        ("header_with_white_space", "T29", " \t\r\n" + good + "\n ", "JSON allows it"),
        (
            "header_with_an_escaped_member_name",
            "T29",
            good.replace("parts", "p\\u0061rts"),
            "the same name",
        ),
        (
            "header_with_a_member_twice",
            "T30",
            parts(before='"title":"first","title":"last",'),
            "the last counts",
        ),
        (
            "header_with_a_wrong_member_replaced",
            "T30",
            parts(before='"total":7,"total":"7 €",'),
            "the last counts",
        ),
    ]
    for name, rule, header, comment in accepted:
        yield header_case(name, rule, "ok", comment, header)


def _headers_with_wrong_members() -> Iterator[Vector]:
    for name, limit in (
        ("title", 200),
        ("total", 64),
        ("number", 64),
        ("issued", 64),
        ("lang", 35),
    ):
        wide = "\U0001f9fe"  # one code point, two UTF-16 units, four bytes
        yield header_case(
            f"header_{name}_of_{limit}_code_points",
            "T31",
            "ok",
            "the longest",
            parts(before=f'"{name}":"{wide * limit}",'),
        )
        yield header_case(
            f"header_{name}_of_{limit + 1}_code_points",
            "T31",
            "framing",
            "one too many",
            parts(before=f'"{name}":"{"x" * (limit + 1)}",'),
        )
        for word, value in (("null", "null"), ("a_number", "7"), ("an_array", "[]")):
            yield header_case(
                f"header_{name}_is_{word}",
                "T31",
                "framing",
                "not a text",
                parts(before=f'"{name}":{value},'),
            )
    yield header_case(
        "header_with_empty_texts",
        "T31",
        "ok",
        "empty is a text",
        parts(before='"title":"","total":"","number":"","issued":"","lang":"",'),
    )
    yield header_case(
        "header_title_of_200_combining_characters",
        "T31",
        "ok",
        "100 letters and 100 marks are 200 code points",
        parts(before='"title":"%s",' % ("e\u0301" * 100)),
    )
    yield header_case(
        "header_title_of_201_combining_characters",
        "T31",
        "framing",
        "no normalisation makes them fewer",
        parts(before='"title":"%s",' % ("e\u0301" * 100 + "x")),
    )
    yield header_case(
        "header_with_unknown_members",
        "T35",
        "ok",
        "ignored",
        parts(before='"x":null,"html":"<script>","parts2":[1e400,-0.0],'),
    )
    yield header_case(
        "header_with_the_member_proto",
        "T35",
        "ok",
        "ignored, not inherited",
        parts(before='"__proto__":{"title":"inherited"},"constructor":1,'),
    )


def _headers_with_parts() -> Iterator[Vector]:
    n = len(PDF)

    def first(text: str) -> str:
        return parts(first=text)

    pdf = '"type":"application/pdf"'
    refused = [
        ("header_without_parts", "T31", "{}", "required"),
        ("parts_is_null", "T31", '{"parts":null}', "not an array"),
        ("parts_is_an_object", "T31", '{"parts":{}}', "not an array"),
        (
            "parts_is_an_object_like_an_array",
            "T31",
            '{"parts":{"0":{"type":"application/pdf","length":%d}}}' % n,
            "not an array",
        ),
        ("parts_is_empty", "T31", '{"parts":[]}', "one at least"),
        ("parts_has_9_parts", "T31", parts(*['{"type":"x","length":0}'] * 8), "eight at most"),
        ("part_is_a_text", "T31", first('"application/pdf"'), "not an object"),
        ("part_without_type", "T31", first('{"length":%d}' % n), "required"),
        ("second_part_without_type", "T31", parts('{"length":0}'), "required in every part"),
        ("second_part_type_is_null", "T31", parts('{"type":null,"length":0}'), "not a text"),
        ("part_type_is_null", "T31", first('{"type":null,"length":%d}' % n), "not a text"),
        (
            "part_type_too_long",
            "T31",
            parts('{"type":"%s","length":0}' % ("x" * 101)),
            "101 code points",
        ),
        (
            "part_name_is_a_number",
            "T31",
            first('{%s,"name":7,"length":%d}' % (pdf, n)),
            "not a text",
        ),
        (
            "part_name_too_long",
            "T31",
            first('{%s,"name":"%s","length":%d}' % (pdf, "x" * 201, n)),
            "201 code points",
        ),
        ("part_without_length", "T31", first("{%s}" % pdf), "required"),
        ("part_length_is_a_text", "T31", first('{%s,"length":"%d"}' % (pdf, n)), "not a number"),
        ("part_length_is_true", "T31", parts('{"type":"x","length":true}'), "not a number"),
        (
            "part_of_an_unknown_type_with_a_name_of_a_number",
            "T31",
            parts('{"type":"x","name":5,"length":0}'),
            "the table holds for every part",
        ),
        (
            "part_of_an_unknown_type_with_a_name_of_null",
            "T31",
            parts('{"type":"x","name":null,"length":0}'),
            "idem",
        ),
        *(
            (f"part_length_of_{word}", "T32", first('{%s,"length":%s}' % (pdf, text)), "not digits")
            for word, text in (
                ("a_fraction_of_zero", f"{n}.0"),
                ("an_exponent_of_zero", f"{n}e0"),
                ("a_capital_exponent", f"{n}E0"),
                ("a_tenth_and_an_exponent", f"{n / 10}e1"),
                ("nearly_an_integer", f"{n}.0000000000000000000001"),
                ("an_exponent_of_minus_zero", f"{n}e-0"),
            )
        ),
        *(
            (
                f"part_length_of_nothing_as_{word}",
                "T32",
                parts('{"type":"x","length":%s}' % text),
                "not zero as T32 writes it",
            )
            for word, text in (
                ("minus_zero", "-0"),
                ("a_fraction", "0.0"),
                ("a_tiny_number", "1e-400"),
                ("minus_zero_and_a_fraction", "-0.0"),
            )
        ),
        ("part_length_is_half", "T32", first('{%s,"length":%d.5}' % (pdf, n)), "not an integer"),
        (
            "part_length_is_beyond_numbers",
            "T32",
            first('{%s,"length":1e400}' % pdf),
            "not an integer",
        ),
        (
            "part_lengths_cancel_out",
            "T32",
            parts('{"type":"x","length":-5}', '{"type":"y","length":5}'),
            "below zero",
        ),
        (
            "parts_one_byte_short",
            "T33",
            first('{%s,"length":%d}' % (pdf, n - 1)),
            "a byte of the body belongs to nobody",
        ),
        (
            "parts_one_byte_long",
            "T33",
            first('{%s,"length":%d}' % (pdf, n + 1)),
            "the last part reaches into the padding",
        ),
        (
            "parts_overflow",
            "T33",
            parts('{"type":"x","length":4294967296}'),
            "2^32 is zero for some",
        ),
        ("first_part_is_html", "T34", first('{"type":"text/html","length":%d}' % n), "never shown"),
        (
            "first_part_is_a_preview",
            "T34",
            first('{"type":"image/png","length":%d}' % n),
            "the receipt comes first",
        ),
        (
            "first_part_type_in_capitals",
            "T34",
            first('{"type":"Application/PDF","length":%d}' % n),
            "compared exactly",
        ),
        (
            "first_part_type_with_a_parameter",
            "T34",
            first('{"type":"application/pdf;x=y","length":%d}' % n),
            "compared exactly",
        ),
    ]
    for name, rule, header, comment in refused:
        yield header_case(name, rule, "framing", comment, header)
    yield header_case(
        "part_length_of_zero", "T32", "ok", "one digit", parts('{"type":"x","length":0}')
    )
    yield header_case(
        "part_length_twice",
        "T30",
        "ok",
        "the last counts, however the first is written",
        first('{%s,"length":1e400,"length":%d}' % (pdf, n)),
    )
    yield header_case(
        "part_of_type_png_in_capitals",
        "T12",
        "ok",
        "another type: no preview",
        parts('{"type":"Image/PNG","length":3}'),
        PDF + b"one",
    )
    yield header_case(
        "part_of_an_empty_type", "T35", "ok", "a type is any text", parts('{"type":"","length":0}')
    )
    yield header_case(
        "part_of_an_unknown_type",
        "T35",
        "ok",
        "ignored",
        parts('{"type":"text/html","length":4}'),
        PDF + b"<b>!",
    )
    yield header_case(
        "parts_with_two_previews",
        "T12",
        "ok",
        "the first one counts",
        parts('{"type":"image/png","length":3}', '{"type":"image/png","length":2}'),
        PDF + b"onetw",
    )
    yield header_case(
        "parts_8_of_them", "T31", "ok", "the most", parts(*['{"type":"x","length":0}'] * 7)
    )
    yield header_case(
        "receipt_of_no_bytes", "T33", "ok", "odd, but a ticket", first('{%s,"length":0}' % pdf), b""
    )
    for word, raw, plain in (
        ("a_path", "../../etc/passwd", "passwd.pdf"),
        ("backslashes", "C:\\\\temp\\\\a.pdf", "a.pdf"),
        ("control_characters", "a\\u0000\\u001b\\u202efdp.exe", "afdp.exe.pdf"),
        ("nothing_left", "..", "receipt.pdf"),
        ("capitals", "A.PDF", "A.pdf"),
        ("a_colon", "a:b.pdf", "ab.pdf"),
        ("a_full_stop_at_the_end", "a.pdf.", "a.pdf.pdf"),
        ("a_slash_at_the_end", "a.pdf/", "receipt.pdf"),
        ("a_zero_width_space", "a\u200bb.pdf", "a\u200bb.pdf"),
        ("separators_of_lines", "a\\u2028b\\u2029c.pdf", "abc.pdf"),
        ("a_byte_order_mark", "\ufeffa.pdf", "\ufeffa.pdf"),
        ("signs_that_windows_refuses", '*?<>|\\":a.pdf', "a.pdf"),
        ("two_endings", "a.pdf.pdf", "a.pdf.pdf"),
        ("an_ending_behind_removed_signs", "a.p?df", "a.pdf"),
        ("spaces_and_full_stops", " . a b . .pdf", "a b.pdf"),
        ("a_no_break_space", "\u00a0a.pdf", "\u00a0a.pdf"),
        ("nothing", "", "receipt.pdf"),
        ("an_ending_alone", ".pdf", "receipt.pdf"),
        ("101_code_points", "\U0001f9fe" * 101, "\U0001f9fe" * 100 + ".pdf"),
        ("a_space_at_the_hundredth", "x" * 99 + " y", "x" * 99 + ".pdf"),
        ("200_code_points", "x" * 196 + ".pdf", "x" * 100 + ".pdf"),
        ("the_turn_of_a_line", "a\\u202ab\\u2066c\\u200ed.pdf", "abcd.pdf"),
    ):
        vector = header_case(
            f"part_name_with_{word}",
            "T37",
            "ok",
            f"becomes {plain}",
            first('{%s,"name":"%s","length":%d}' % (pdf, raw, n)),
        )
        agree(f"part_name_with_{word}", plain, str(vector["ticket"]["name"]))  # type: ignore[index]
        yield vector


TEXT_TYPE = "text/tab-separated-values"


def part_case(
    name: str, rule: str, comment: str, *added: tuple[str, bytes] | tuple[str, bytes, str]
) -> Vector:
    """A ticket with these parts (type, bytes, and maybe a name) after its receipt; it opens."""
    listed = [
        json.dumps(
            {"type": part[0]} | ({"name": part[2]} if len(part) > 2 else {})
            | {"length": len(part[1])},
            ensure_ascii=False,
        )
        for part in added
    ]  # fmt: skip
    header = parts(*listed).encode()
    body = PDF + b"".join(part[1] for part in added)
    size = envelope.fit(len(frame(header, body)))
    pieces: list[Piece] = [frame(header, body).hex()]
    last = added[-1][1]
    if len(last) > 1000 and len(set(last[:-1])) == 1:
        whole = frame(header, body)
        pieces = [whole[: -len(last)].hex(), [last[:1].hex(), len(last) - 1], last[-1:].hex()]
    return envelope_case(name, rule, "ok", comment, pieces, size=size)


def _texts() -> Iterator[Vector]:
    receipt = (
        "Épicerie du Marché\n\nComté 18 mois\t12,40\nPain de seigle\t4,20\n\n"
        "Total\t16,60 €\n\nTaux\tHT\tTVA\tTTC\n5,5 %\t15,73\t0,87\t16,60\n"
    )
    taken = [
        ("text_of_a_receipt", "T46", receipt, "running text, gaps, and three tables"),
        ("text_of_one_line", "T46", "Merci\n", "running text alone"),
        ("text_of_a_gap", "T46", "\n", "one line of one empty cell"),
        ("text_with_cells_unequal", "T46", "a\tb\nc\td\te\nf\tg\n", "three tables of a line each"),
        ("text_with_empty_cells", "T46", "\t\ta\n\t\t\n", "cells may be empty"),
        ("text_with_blanks_around", "T46", "  a  \t b \n", "blanks are kept, readers show them so"),
        (
            "text_from_right_to_left",
            "T47",
            "מכולת השכונה\nלחם\t12.90 ₪\n",
            "cells of both directions",
        ),
        ("text_with_marks_of_direction", "T45", "a\u200e\t\u200fb\n", "marks turn nothing outside"),
        ("text_with_markup", "T36", "<b>bold</b>\t&amp;\n", "text, never HTML"),
        ("text_beyond_the_first_plane", "T45", "\U0001f9c0 Käse\t1\n", "four bytes of UTF-8"),
        ("text_of_32_kib", "T45", "x" * 32767 + "\n", "the longest"),
    ]
    for name, rule, text, comment in taken:
        vector = part_case(name, rule, comment, (TEXT_TYPE, text.encode()))
        expected = [line.split("\t") for line in text[:-1].split("\n")]
        if vector["ticket"]["lines"] != expected:  # type: ignore[index]
            raise SystemExit(f"{name}: read as {vector['ticket']['lines']}")  # type: ignore[index]
        yield vector
    ignored = [
        ("text_of_no_bytes", b"", "no line"),
        ("text_without_an_end", b"a\tb\nc", "the last line has no line feed"),
        ("text_one_byte_too_long", b"x" * 32768 + b"\n", "32769 bytes"),
        ("text_with_a_carriage_return", b"a\r\nb\r\n", "a control character"),
        ("text_with_a_zero", b"a\0\n", "a control character"),
        ("text_with_a_vertical_tab", b"a\x0bb\n", "a control character"),
        ("text_with_a_form_feed", b"a\x0c\n", "a control character"),
        ("text_with_an_escape", b"\x1b[1mTotal\n", "a control character"),
        ("text_with_a_delete", b"a\x7f\n", "a control character"),
        ("text_with_a_next_line", "a\u0085b\n".encode(), "a control character, U+0085"),
        ("text_with_a_line_separator", "a\u2028b\n".encode(), "U+2028 ends a line for some"),
        ("text_with_a_paragraph_separator", "a\u2029b\n".encode(), "U+2029 too"),
        ("text_with_an_embedding", "\u202aa\u202c\n".encode(), "it could reach beyond its cell"),
        ("text_with_an_override", "1.00\u202e\t99.00\n".encode(), "99.00 would be read as 00.99"),
        ("text_with_an_isolate", "\u2067a\n".encode(), "readers isolate, not writers"),
        ("text_with_an_open_end_of_isolate", "a\u2069b\n".encode(), "it would end the reader's"),
        ("text_with_a_byte_order_mark", "\ufeffa\n".encode(), "none at the start"),
        ("text_with_a_byte_order_mark_inside", "a\ufeffb\n".encode(), "and none inside"),
        ("text_not_in_utf_8", b"Caf\xe9\n", "Latin 1"),
        ("text_with_an_overlong_character", b"\xc0\xaf\n", "not the shortest form"),
        ("text_with_half_a_pair", b"\xed\xa0\x80\n", "a surrogate"),
        ("text_beyond_unicode", b"\xf4\x90\x80\x80\n", "above U+10FFFF"),
        ("text_cut_inside_a_character", b"a\n\xe2\x82\n", "two bytes of three"),
    ]
    for name, broken, comment in ignored:
        vector = part_case(name, "T45", comment, (TEXT_TYPE, broken))
        if "lines" in vector["ticket"]:  # type: ignore[operator]
            raise SystemExit(f"{name}: not ignored")
        yield vector
    for name, comment, added in (
        (
            "text_twice",
            "neither counts",
            [(TEXT_TYPE, b"Total\t1\n"), (TEXT_TYPE, b"Total\t2\n")],
        ),
        (
            "text_and_one_that_is_broken",
            "two of the type, so neither counts",
            [(TEXT_TYPE, b"Total\t1\n"), (TEXT_TYPE, b"\0")],
        ),
        (
            "text_type_with_a_parameter",
            "compared exactly: an unknown type",
            [(TEXT_TYPE + "; charset=utf-8", b"Total\t1\n")],
        ),
        ("text_type_in_capitals", "idem", [("Text/Tab-Separated-Values", b"Total\t1\n")]),
    ):
        vector = part_case(name, "T45", comment, *added)
        if "lines" in vector["ticket"]:  # type: ignore[operator]
            raise SystemExit(f"{name}: not ignored")
        yield vector
    yield part_case(
        "text_beside_one_of_another_type",
        "T45",
        "an unknown type is not a second text",
        (TEXT_TYPE, b"Total\t1\n"),
        ("text/plain", b"Total\t2\n"),
    )


def _pictures_beside_a_text() -> Iterator[Vector]:
    text = (TEXT_TYPE, b"Total\t1\n")
    picture = ("image/png", PNG)
    for name, comment, added in (
        ("picture_before_the_text", "a picture of the receipt", [picture, text]),
        ("picture_after_the_text", "a picture of what words cannot say", [text, picture]),
        (
            "pictures_on_both_sides_of_the_text",
            "the first counts",
            [picture, text, ("image/png", b"2")],
        ),
        ("picture_after_a_broken_text", "the text is ignored", [(TEXT_TYPE, b"a"), picture]),
    ):
        yield part_case(name, "T43", comment, *added)


def _data_for_machines() -> Iterator[Vector]:
    ekabs = ("application/json", b'{"version":"1.0.0"}', "ekabs.json")
    invoice = ("application/xml", b"<Invoice/>", "Rechnung 7.XML")
    for name, comment, added in (
        ("data_in_json_and_xml", "both are offered", [ekabs, invoice]),
        ("data_without_a_name", "not offered", [ekabs[:2], invoice]),
        ("data_with_an_empty_name", "not offered", [(*ekabs[:2], ""), invoice]),
        (
            "data_four_times",
            "the first three are offered",
            [("application/json", b"%d" % n, f"{n}.json") for n in range(4)],
        ),
        ("data_with_a_path", "becomes a.json", [("application/json", b"", "../../a.json")]),
        ("data_named_as_a_program", "a.exe.xml", [("application/xml", b"", "a.exe")]),
        ("data_that_is_no_json", "nothing is parsed", [("application/json", b"{", "a.json")]),
        (
            "data_of_a_type_with_a_parameter",
            "compared exactly: an unknown type",
            [("application/json; x=y", b"{}", "a.json")],
        ),
    ):
        yield part_case(name, "T49", comment, *added)


# --- channel -------------------------------------------------------------------------------------


def hello_of(name: str) -> noise.Initiator:
    """The display's side of a channel vector."""
    pairing = channel.PairingSecret(seed(name + " P"))
    return channel.make_hello(pairing.psk(), seed(name + " display"), last_of(name))


def last_of(name: str) -> bytes:
    """Zeros for a display that was just loaded, else some session."""
    return bytes(32) if name.endswith("_first") else seed(name + " last")


def sealed_case(
    name: str,
    rule: str,
    expect: str,
    comment: str,
    payload: bytes,
    *,
    xor: list[object] | None = None,
    cut: int | None = None,
    append: str | None = None,
    replace: str | None = None,
) -> Vector:
    """A whole session, and what the display makes of the sealed."""
    pairing = channel.PairingSecret(seed(name + " P"))
    display = hello_of(name)
    till = channel.read_hello(pairing.psk(), display.hello)
    sealed, session = till.seal(seed(name + " till"), payload)
    vector: Vector = {
        "name": name,
        "rule": rule,
        "comment": comment,
        "op": "session",
        "pairing": pairing.reveal().hex(),
        "psk": pairing.psk().hex(),
        "display_private": seed(name + " display").hex(),
        "last": last_of(name).hex(),
        "hello": display.hello.hex(),
        "hid": channel.hello_id(display.hello),
        "till_private": seed(name + " till").hex(),
        "payload": payload.rstrip(b"\0").hex(),
        "sealed": sealed.hex(),
        "session": session.hex(),
    }
    changed = bytearray(sealed)
    if xor is not None:
        changed[int(str(xor[0]))] ^= int(str(xor[1]), 16)
        vector["xor"] = xor
    if replace is not None:
        changed[:32] = bytes.fromhex(replace)
        vector["replace_key"] = replace
    received = bytes(changed)[:cut] + bytes.fromhex(append or "")
    for key, value in (("cut", cut), ("append", append)):
        if value is not None:
            vector[key] = value
    agree(name, expect, outcome(lambda: channel.read_sealed(hello_of(name), received)))
    if expect == "ok":
        content, _ = channel.read_sealed(display, received)
        vector["content"] = {"kind": content.kind} | {
            key: value
            for key, value in (
                (
                    "tkt",
                    link.format_digits(content.secret.reveal(), link.CHECK_LABEL)
                    if content.secret
                    else None,
                ),
                ("for", content.seconds or None),
                ("no", content.number),
                ("time", content.time),
                ("total", content.total),
                ("live", list(content.lines) or None),
                ("name", content.name),
                ("lang", content.lang),
                ("notice", content.notice),
            )
            if value is not None
        }
    return vector | {"expect": expect}


def hello_case(
    name: str,
    rule: str,
    expect: str,
    comment: str,
    *,
    xor: list[object] | None = None,
    cut: int | None = None,
    append: str | None = None,
    pairing: str | None = None,
    replace: str | None = None,
) -> Vector:
    """A hello, changed as asked, and what the till makes of it."""
    secret = channel.PairingSecret(bytes.fromhex(pairing) if pairing else seed(name + " P"))
    hello = bytearray(hello_of(name).hello)
    if xor is not None:
        hello[int(str(xor[0]))] ^= int(str(xor[1]), 16)
    received = bytes(hello)[:cut] + bytes.fromhex(append or "")
    if replace is not None:
        # A low-order key whose payload was sealed rightly: only the result of DH tells.
        state = noise.SymmetricState(channel.PROLOGUE, secret.psk())
        state.mix_ephemeral(bytes.fromhex(replace))
        received = bytes.fromhex(replace) + state.encrypt_and_hash(last_of(name))

    def act() -> None:
        responder = channel.read_hello(secret.psk(), received)
        responder.seal(seed(name + " till"), Content.idle().to_payload())

    agree(name, expect, outcome(act))
    return {
        "name": name,
        "rule": rule,
        "comment": comment,
        "op": "hello",
        "pairing": secret.reveal().hex(),
        "till_private": seed(name + " till").hex(),
        "hello": received.hex(),
        "expect": expect,
    }


def text_payload(text: str | bytes, *, n: int | None = None, tail: bytes = b"") -> bytes:
    """A payload with this JSON, a length that may lie, and a tail that may not be zeros."""
    data = text if isinstance(text, bytes) else text.encode()
    size = len(data) if n is None else n
    return (size.to_bytes(2) + data).ljust(464 - len(tail), b"\0") + tail


def channel_vectors() -> Iterator[Vector]:
    """Hellos and sealed."""
    digits = link.format_digits(seed("shown"), link.CHECK_LABEL)
    ticket = Content.ticket(
        Secret(seed("shown")),
        90,
        number="TC1-2611-0009",
        time="14:02",
        total="54,64 €",
        name="Épicerie du Marché",
        lang="fr",
    )
    idle = Content.idle(name="Épicerie du Marché", lang="fr", notice="FR").to_payload()
    accepted = [
        ("session_idle_first", "C6", idle, "a display that was just loaded"),
        ("session_ticket", "C6", ticket.to_payload(), "names the session before"),
        (
            "session_live",
            "C14",
            Content.live(("Café 6,90", "Total 13,90")).to_payload(),
            "before payment",
        ),
        ("session_thanks", "C14", Content.thanks().to_payload(), "after the receipt was saved"),
        ("session_bare_idle", "C14", text_payload('{"idle":true}'), "nothing else"),
        (
            "session_ticket_for_1_second_with_everything",
            "C14",
            Content(
                "ticket",
                Secret(seed("shown")),
                1,
                number="7",
                time="14:02",
                total="5 €",
                name="N",
                lang="fr",
                notice="FR",
            ).to_payload(),
            "the shortest time",
        ),
        (
            "session_ticket_for_120_seconds",
            "C14",
            Content.ticket(Secret(seed("shown")), 120).to_payload(),
            "the longest time",
        ),
        (
            "session_live_with_everything",
            "C14",
            Content("live", lines=("x" * 40,) * 8, name="N", lang="fr", notice="FR").to_payload(),
            "eight lines of 40",
        ),
        (
            "session_thanks_with_everything",
            "C14",
            Content("thanks", name="N", lang="fr", notice="FR").to_payload(),
            "idem",
        ),
        (
            "session_with_empty_texts",
            "C14",
            text_payload('{"live":["",""],"name":"","lang":""}'),
            "empty is a text",
        ),
        (
            "session_with_unknown_members",
            "C15",
            text_payload('{"x":[1],"idle":true,"for":"ever","no":7}'),
            "ignored, and so is what does not go with idle",
        ),
        (
            "session_of_462_bytes",
            "C13",
            text_payload('{"idle":true,"x":"%s"}' % ("x" * 442)),
            "the longest",
        ),
    ]
    for name, rule, payload, comment in accepted:
        yield sealed_case(name, rule, "ok", comment, payload)
    for word, cut, append in (
        ("empty", 0, None),
        ("one_byte_short", 511, None),
        ("one_byte_long", None, "00"),
    ):
        yield sealed_case(
            f"sealed_{word}",
            "C10",
            "length",
            "512 bytes and no other",
            idle,
            cut=cut,
            append=append,
        )
    for word, key in (
        ("zeros", bytes(32)),
        ("one", (1).to_bytes(32, "little")),
        (
            "order_8",
            bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        ),
        ("p", bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")),
    ):
        yield sealed_case(
            f"sealed_with_a_key_of_{word}",
            "C11",
            "aead",
            "the result of DH is all zeros",
            idle,
            replace=key.hex(),
        )
        yield hello_case(
            f"hello_with_a_key_of_{word}",
            "C11",
            "aead",
            "the result of DH is all zeros",
            replace=key.hex(),
        )
    for offset in (0, 31, 32, 100, 495, 496, 511):
        yield sealed_case(
            f"sealed_with_byte_{offset}_changed", "C12", "aead", "one bit", idle, xor=[offset, "01"]
        )
    yield from _sealed_with_wrong_json(digits)
    yield hello_case("hello_whole", "C6", "ok", "as the display made it")
    for word, cut, append in (
        ("empty", 0, None),
        ("one_byte_short", 79, None),
        ("one_byte_long", None, "00"),
    ):
        yield hello_case(
            f"hello_{word}", "C10", "length", "80 bytes and no other", cut=cut, append=append
        )
    for offset in (0, 32, 63, 64, 79):
        yield hello_case(
            f"hello_with_byte_{offset}_changed", "C12", "aead", "one bit", xor=[offset, "01"]
        )
    yield hello_case(
        "hello_of_another_pairing", "C12", "aead", "another psk", pairing=seed("another").hex()
    )


def _sealed_with_wrong_json(digits: str) -> Iterator[Vector]:
    refused = [
        ("n_of_463", "C13", text_payload('{"idle":true}', n=463), "one more than fits"),
        ("n_of_65535", "C13", text_payload('{"idle":true}', n=65535), "beyond the message"),
        ("n_one_short", "C13", text_payload('{"idle":true}', n=12), "a byte after the JSON"),
        (
            "a_one_at_the_end",
            "C13",
            text_payload('{"idle":true}', tail=b"\x01"),
            "a byte after the JSON",
        ),
        (
            "a_byte_right_behind_the_json",
            "C13",
            text_payload('{"idle":true}x', n=13),
            "the JSON is whole, but not alone",
        ),
        ("n_of_0", "C13", bytes(464), "no JSON"),
        ("a_byte_order_mark", "C13", text_payload(b'\xef\xbb\xbf{"idle":true}'), "T26"),
        ("depth_9", "C13", text_payload('{"idle":true,"x":' + "[" * 8 + "]" * 8 + "}"), "T27"),
        ("half_a_character", "C13", text_payload('{"idle":true,"name":"\\ud800"}'), "T28"),
        ("an_array", "C13", text_payload('["idle"]'), "T29"),
        ("nothing_to_show", "C14", text_payload('{"name":"x"}'), "one of four"),
        ("two_things_to_show", "C14", text_payload('{"idle":true,"thanks":true}'), "one of four"),
        ("idle_false", "C14", text_payload('{"idle":false}'), "only true"),
        ("idle_1", "C14", text_payload('{"idle":1}'), "only true"),
        ("thanks_null", "C14", text_payload('{"thanks":null}'), "only true"),
        ("tkt_of_84_digits", "C14", text_payload(f'{{"tkt":"{digits[:-1]}","for":9}}'), "T6"),
        (
            "tkt_with_a_wrong_check",
            "C14",
            text_payload(f'{{"tkt":"{digits[:-5]}{(int(digits[-5:]) + 1) % 65536:05d}","for":9}}'),
            "T8",
        ),
        ("tkt_of_a_number", "C14", text_payload('{"tkt":5,"for":9}'), "a text"),
        (
            "tkt_of_a_link",
            "C14",
            text_payload(f'{{"tkt":"https://evil.example/#{digits}","for":9}}'),
            "the digits only",
        ),
        ("tkt_without_for", "C14", text_payload(f'{{"tkt":"{digits}"}}'), "required"),
        ("for_of_0", "C14", text_payload(f'{{"tkt":"{digits}","for":0}}'), "1 to 120"),
        ("for_of_121", "C14", text_payload(f'{{"tkt":"{digits}","for":121}}'), "1 to 120"),
        ("for_of_a_half", "C14", text_payload(f'{{"tkt":"{digits}","for":1.5}}'), "an integer"),
        ("for_of_90.0", "C14", text_payload(f'{{"tkt":"{digits}","for":90.0}}'), "T32"),
        ("for_of_9e1", "C14", text_payload(f'{{"tkt":"{digits}","for":9e1}}'), "T32"),
        (
            "for_of_nearly_90",
            "C14",
            text_payload(f'{{"tkt":"{digits}","for":90.00000000000000000000001}}'),
            "T32",
        ),
        ("thanks_false_beside_idle", "C14", text_payload('{"idle":true,"thanks":false}'), "named"),
        ("live_null_beside_idle", "C14", text_payload('{"idle":true,"live":null}'), "named"),
        ("for_of_a_text", "C14", text_payload(f'{{"tkt":"{digits}","for":"9"}}'), "an integer"),
        (
            "no_too_long",
            "C14",
            text_payload(f'{{"tkt":"{digits}","for":9,"no":"{"x" * 41}"}}'),
            "41 code points",
        ),
        (
            "total_of_a_number",
            "C14",
            text_payload(f'{{"tkt":"{digits}","for":9,"total":5}}'),
            "a text",
        ),
        ("live_of_nothing", "C14", text_payload('{"live":[]}'), "one line at least"),
        (
            "live_of_9_lines",
            "C14",
            text_payload('{"live":[%s]}' % ",".join(['"x"'] * 9)),
            "eight at most",
        ),
        ("live_of_numbers", "C14", text_payload('{"live":[1]}'), "texts"),
        ("live_of_a_text", "C14", text_payload('{"live":"x"}'), "an array"),
        (
            "live_line_too_long",
            "C14",
            text_payload('{"live":["%s"]}' % ("x" * 41)),
            "41 code points",
        ),
        (
            "name_too_long",
            "C14",
            text_payload('{"idle":true,"name":"%s"}' % ("x" * 61)),
            "61 code points",
        ),
        ("name_null", "C14", text_payload('{"idle":true,"name":null}'), "a text"),
        (
            "lang_too_long",
            "C14",
            text_payload('{"idle":true,"lang":"%s"}' % ("x" * 36)),
            "36 code points",
        ),
        (
            "notice_in_small_letters",
            "C14",
            text_payload('{"idle":true,"notice":"fr"}'),
            "capital letters",
        ),
        ("notice_of_3_letters", "C14", text_payload('{"idle":true,"notice":"FRA"}'), "two"),
    ]
    for name, rule, payload, comment in refused:
        yield sealed_case(f"sealed_{name}", rule, "framing", comment, payload)


def accumulated() -> Iterator[Vector]:
    """One SHA-256 over many derived cases: see README.md, accumulated.json."""
    total = hashlib.sha256()
    for number in range(10_000):
        raw = hashlib.sha256(b"accumulated" + number.to_bytes(4)).digest()
        secret = Secret(raw)
        total.update(bytes.fromhex(secret.id) + secret.key() + secret.nonce_key())
        total.update(secret.token_hash())
        total.update(link.format_digits(raw, link.CHECK_LABEL).encode())
        if number % 100 == 0:
            plaintext = (raw * 510)[: 16384 - envelope.OVERHEAD_SIZE]
            total.update(primitives.sha256(envelope.seal_plaintext(plaintext, secret)))
        if number + 1 in {100, 10_000}:
            cases = number + 1
            yield {
                "name": f"accumulated_over_{cases}_cases",
                "rule": "T2",
                "cases": cases,
                "sha256": total.copy().hexdigest(),
                "expect": "ok",
            }


FILES = {
    "links": links,
    "keys": keys,
    "envelopes": envelopes,
    "channel": channel_vectors,
    "accumulated": accumulated,
    "relay": relay,
    "relay-races": races,
    "till": tills,
    "display": displays,
}


def write(name: str) -> str:
    """The text of one file."""
    vectors = list(FILES[name]())
    names = [str(vector["name"]) for vector in vectors]
    if len(set(names)) != len(names):
        raise SystemExit(f"{name}: two vectors have one name")
    lines = ",\n".join(json.dumps(vector, ensure_ascii=True) for vector in vectors)
    return "[\n" + lines + "\n]\n"


def main() -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    different = []
    for name in FILES:
        text = write(name)
        path = FOLDER / f"{name}.json"
        if not check:
            path.write_text(text, encoding="utf-8", newline="\n")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            different.append(path.name)
    if different:
        print("not what the generator makes: " + ", ".join(different))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
