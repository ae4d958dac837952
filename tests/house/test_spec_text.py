"""The examples, sizes, labels and limits in the text are those of the vectors and of the code."""

import base64
import json
import re
from pathlib import Path

import pytest

from e2ee_ticket import errors
from e2ee_ticket.protocol import channel, content, envelope, link, noise, secret, strict_json
from e2ee_ticket.protocol import ticket as ticket_module
from e2ee_ticket.protocol.secret import Secret
from relay_server.config import Config

SPEC = Path(__file__).resolve().parents[2] / "spec"
TICKET, CHANNEL, RELAY = (
    (SPEC / name).read_text(encoding="utf-8") for name in ("ticket.md", "channel.md", "relay.md")
)


def vector(file, name):
    entries = json.loads((SPEC / "vectors" / f"{file}.json").read_text(encoding="utf-8"))
    return next(entry for entry in entries if entry["name"] == name)


def lines(data, width=32):
    text = data.hex()
    return [text[i : i + 2 * width] for i in range(0, len(text), 2 * width)]


def ticket_example():
    example = vector("envelopes", "envelope_worked_example")
    s = Secret(bytes.fromhex(example["secret"]))
    sealed = base64.b64decode(example["envelope"])
    plaintext = bytes.fromhex(example["plaintext"][0])
    size = int.from_bytes(plaintext[:4])
    rows = [
        ("S", [s.reveal().hex()]),
        ("check", [link.format_digits(s.reveal(), link.CHECK_LABEL)[-5:]]),
        ("link", ["https://t.example/#" + link.format_digits(s.reveal(), link.CHECK_LABEL)]),
        ("id", [s.id]),
        ("key", [s.key().hex()]),
        ("nkey", [s.nonce_key().hex()]),
        ("tok", [s.token().hex()]),
        ("th", [s.token_hash().hex()]),
        ("header", re.findall(".{1,64}", plaintext[8 : 8 + size].decode())),
        ("body", lines(plaintext[8 + size :])),
        ("M[0:8]", [plaintext[:8].hex()]),
        ("nonce", [example["nonce"]]),
        ("B", [str(example["size"])]),
        ("envelope[0:64]", lines(sealed[:64])),
        ("tag", [example["tag"]]),
        ("SHA-256", [example["sha256"]]),
    ]
    return block(rows)


def channel_example():
    example = vector("channel", "session_ticket")
    pairing = channel.PairingSecret(bytes.fromhex(example["pairing"]))
    payload = bytes.fromhex(example["payload"])
    digits = link.format_digits(pairing.reveal(), channel.CHECK_LABEL)
    rows = [
        ("P", [example["pairing"]]),
        ("pairing link", ["https://t.example/d#" + digits]),
        ("cid", [pairing.cid]),
        ("rtok", [pairing.read_token().hex()]),
        ("psk", [example["psk"]]),
        ("display's key", [example["display_private"]]),
        ("last", [example["last"]]),
        ("hello", lines(bytes.fromhex(example["hello"]))),
        ("hid", [example["hid"]]),
        ("till's key", [example["till_private"]]),
        ("n", [str(int.from_bytes(payload[:2]))]),
        ("JSON", re.findall(".{1,64}", payload[2:].decode())),
        ("sealed[0:64]", lines(bytes.fromhex(example["sealed"])[:64])),
        ("sealed[480:512]", lines(bytes.fromhex(example["sealed"])[480:])),
        ("session", [example["session"]]),
    ]
    return block(rows)


def block(rows):
    out = []
    for name, values in rows:
        out += [f"{name:<16}{values[0]}", *(" " * 16 + value for value in values[1:])]
    return "```\n" + "\n".join(out) + "\n```\n"


@pytest.mark.parametrize(
    ("text", "example"),
    [(TICKET, ticket_example), (CHANNEL, channel_example)],
    ids=["ticket", "channel"],
)
def test_the_worked_example_is_the_vector(text, example):
    assert example() in text


def number(text, pattern):
    found = re.search(pattern, text)
    assert found, pattern
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize(
    "label",
    [secret.ID_LABEL, secret.KEY_LABEL, secret.NONCE_LABEL, secret.TOKEN_LABEL, link.CHECK_LABEL],
)
def test_every_label_of_a_ticket_stands_in_the_text(label):
    assert f'"{label}"' in TICKET


@pytest.mark.parametrize(
    "label",
    [channel.ID_LABEL, channel.READ_LABEL, channel.PSK_LABEL, channel.CHECK_LABEL,
     channel.PROLOGUE.decode()],
)  # fmt: skip
def test_every_label_of_a_channel_stands_in_the_text(label):
    assert f'"{label}"' in CHANNEL


def test_the_17_lengths_are_those_of_the_code():
    found = re.search(r"B is one of 17 lengths: (.*) KiB, and (.*) MiB\.", TICKET)
    kib = [int(text) for text in re.findall(r"\d+", found[1])]
    mib = [float(text) for text in re.findall(r"[\d.]+", found[2])]

    assert tuple([n * 1024 for n in kib] + [int(n * 1024**2) for n in mib]) == envelope.SIZES


def test_the_layout_is_that_of_the_code():
    rows = re.findall(r"^\| (\d+) \| (\d+|B . 52) \|", TICKET, re.MULTILINE)

    assert [int(offset) for offset, _ in rows] == [0, envelope.TH_OFFSET, envelope.NONCE_OFFSET,
                                                   envelope.SEALED_OFFSET]  # fmt: skip
    assert number(TICKET, r"plaintext M of an envelope of B bytes is B . (\d+)") == (
        envelope.OVERHEAD_SIZE
    )
    assert number(TICKET, r"\(RFC 8259\) in UTF-8, at most (\d+) bytes") == (
        ticket_module.HEADER_MAX_SIZE
    )
    assert number(TICKET, r"nested more than (\d+) deep") == strict_json.DEPTH_MAX


@pytest.mark.parametrize("name", ticket_module.TEXT_LIMITS)
def test_the_limit_of_a_text_is_that_of_the_code(name):
    limit = number(TICKET, rf"\| `{name}` \| text, at most (\d+) code points")

    assert limit == ticket_module.TEXT_LIMITS[name]


def test_the_limits_of_parts_are_those_of_the_code():
    assert number(TICKET, r"array of 1 to (\d+) parts") == ticket_module.PARTS_MAX
    assert number(TICKET, r"`type` \| text, at most (\d+)") == ticket_module.TYPE_LIMIT
    assert number(TICKET, r"`name` \| text, at most (\d+)") == ticket_module.NAME_LIMIT


def test_the_sizes_of_the_channel_are_those_of_the_code():
    assert number(CHANNEL, r"\| hello \| (\d+)") == channel.HELLO_SIZE
    assert number(CHANNEL, r"\| sealed \| (\d+)") == channel.SEALED_SIZE
    assert number(CHANNEL, r"zeros +(\d+) bytes, n ≤") == content.PAYLOAD_SIZE
    assert number(CHANNEL, r"bytes, n ≤ (\d+)") == content.JSON_MAX_SIZE
    assert number(CHANNEL, r"`for` \| integer from 1 to (\d+)") == content.SECONDS_MAX
    assert number(CHANNEL, r"`live` \| array of 1 to (\d+)") == content.LINES_MAX
    assert number(CHANNEL, r"`no` \| text, at most (\d+)") == content.LINE_LIMIT
    assert number(CHANNEL, r"`name` \| text, at most (\d+)") == content.NAME_LIMIT
    assert number(CHANNEL, r"discard a hello at (\d+) s") == channel.HELLO_LIFE_SECONDS
    assert number(CHANNEL, r"end thanks after (\d+) s") == channel.THANKS_SECONDS
    assert number(CHANNEL, r"live after (\d+) s in the same") == channel.LIVE_SECONDS
    assert number(CHANNEL, r"MUST end it (\d+) s after") == channel.TICKET_LONGEST_SECONDS
    assert number(CHANNEL, r"is not shown (\d+) s after") == channel.UNSHOWN_SECONDS
    assert number(CHANNEL, r"C34 has held for (\d+) s") == channel.LISTENING_SECONDS
    assert number(CHANNEL, r"until (\d+) s after its last hello") == channel.ABSENCE_SECONDS
    assert number(CHANNEL, r"1 unless set, at most (\d+)") == channel.DISPLAY_COUNT_MAX
    assert noise.PROTOCOL_NAME.decode() in CHANNEL


def test_the_limits_of_the_relay_are_those_of_the_code():
    config = Config()

    assert number(RELAY, r"default (\d+) \(72 h\)") == config.ttl_default_seconds
    assert number(RELAY, r"optional, (\d+) to \d+") == config.ttl_min_seconds
    assert number(RELAY, r"optional, \d+ to (\d+)") == config.ttl_max_seconds
    assert number(RELAY, r"itself and (\d+) h from now") * 3600 == config.opened_seconds
    assert number(RELAY, r"itself and (\d+) minutes from now") * 60 == config.received_seconds
    assert number(RELAY, r"until (\d+) days after the ticket") * 86400 == config.tombstone_seconds
    days = number(RELAY, r"not polled by a till or a display for (\d+) days")
    assert days * 86400 == config.channel_idle_seconds
    assert number(RELAY, r"an integer from 0 to (\d+);") == config.wait_max_seconds
    assert number(RELAY, r"answered in the last (\d+) s") == config.answered_seconds
    assert number(RELAY, r"At most (\d+) hellos are live") == config.hellos_live_max


def leaves(kind):
    below = kind.__subclasses__()
    return {leaf for child in below for leaf in leaves(child)} if below else {kind}


def test_the_outcomes_are_those_of_the_code_and_the_vectors():
    named = set(re.findall(r"^\| `([a-z-]+)` \| (?:every|C?T?\d|[TC]\d)", TICKET, re.MULTILINE))
    coded = {leaf.outcome for leaf in leaves(errors.ProtocolError)}
    expected = {
        entry["expect"]
        for file in ("links", "keys", "envelopes", "channel")
        for entry in json.loads((SPEC / "vectors" / f"{file}.json").read_text(encoding="utf-8"))
    }

    assert named == coded | {"ok"} == expected


def test_every_link_between_documents_leads_somewhere():
    for path in SPEC.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("name", ["ticket.md", "channel.md", "relay.md"])
def test_the_specification_stands_alone(name):
    text = (SPEC / name).read_text(encoding="utf-8")

    for word in ("e2ee_ticket", "relay_server", "display_web", ".py", "aiohttp", "SQLite"):
        assert word not in text, word
