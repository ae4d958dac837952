"""What holds for every ticket, link and message."""

import re

import pytest
import strategies
from hypothesis import example, given
from hypothesis import strategies as st

from e2ee_ticket import Link, ProtocolError, Secret, Ticket, seal, unseal
from e2ee_ticket.errors import AuthenticationError, DamagedError, FramingError, WrongKeyError
from e2ee_ticket.protocol import channel, envelope, link, strict_json
from e2ee_ticket.protocol.content import PAYLOAD_SIZE, Content
from e2ee_ticket.protocol.ticket import plain_name

SECRET = Secret(bytes(range(32)))
SEALED = seal(Ticket(receipt=b"%PDF-1.4", title="x"), SECRET)
OUTCOMES = {"length", "version", "wrong-key", "aead", "framing"}


@pytest.mark.rule("T16")
@pytest.mark.rule("T30")
@given(strategies.tickets, strategies.secrets)
def test_what_was_sealed_is_unsealed(ticket, secret):
    sealed = seal(ticket, secret)

    assert len(sealed) in envelope.SIZES
    assert unseal(sealed, secret) == ticket
    assert seal(ticket, secret) == sealed


@given(st.binary(max_size=200) | st.sampled_from(envelope.SIZES[:3]).map(bytes))
def test_any_bytes_are_refused_with_an_outcome(data):
    with pytest.raises(ProtocolError) as refused:
        unseal(data, SECRET)

    assert refused.value.outcome in OUTCOMES


@given(st.binary(max_size=16_316))
@example(bytes(8))
def test_any_plaintext_is_a_ticket_or_framing(plaintext):
    sealed = envelope.seal_plaintext(plaintext.ljust(16_316, b"\0"), SECRET)

    try:
        ticket = unseal(sealed, SECRET)
    except FramingError:
        return
    assert isinstance(ticket, Ticket)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text('ab[{\\"', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from(["title", "total", "lang", "parts", "x"]), json_values))
def test_any_header_is_a_ticket_or_framing(members):
    import json

    header = json.dumps(members).encode()[:4096]
    plaintext = len(header).to_bytes(4) + (0).to_bytes(4) + header

    try:
        ticket = Ticket.from_bytes(plaintext.ljust(16_316, b"\0"))
    except FramingError:
        return
    assert ticket.receipt == b""


@pytest.mark.rule("T23")
@given(st.integers(0, len(SEALED) * 8 - 1))
def test_any_flipped_bit_is_refused(bit):
    changed = bytearray(SEALED)
    changed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(ProtocolError) as refused:
        unseal(bytes(changed), SECRET)

    expected = {0: "version"}.get(bit // 64, "wrong-key" if bit // 8 < 40 else "aead")
    assert refused.value.outcome == expected


@given(strategies.secrets)
def test_another_secret_does_not_open(secret):
    with pytest.raises(WrongKeyError):
        unseal(SEALED, secret)


@pytest.mark.rule("T4")
@given(strategies.pages, strategies.secrets)
def test_a_link_is_read_as_it_was_written(page, secret):
    written = Link(page, secret)

    assert Link.parse(written.reveal()) == written
    assert re.fullmatch(r"https?://[^#/]+/#[0-9]{85}", written.reveal())


@pytest.mark.rule("T6")
@given(st.text("0123456789", min_size=80, max_size=90) | st.text(max_size=90))
def test_the_parser_takes_only_what_the_formatter_writes(digits):
    try:
        secret = link.parse_digits(digits, link.CHECK_LABEL)
    except DamagedError:
        return
    assert link.format_digits(secret, link.CHECK_LABEL) == digits


@given(strategies.secrets, st.integers(0, 84), st.integers(1, 9))
def test_a_changed_digit_is_damaged_or_names_another_secret(secret, place, step):
    digits = link.format_digits(secret.reveal(), link.CHECK_LABEL)
    other = digits[:place] + str((int(digits[place]) + step) % 10) + digits[place + 1 :]

    try:
        found = link.parse_digits(other, link.CHECK_LABEL)
    except DamagedError:
        return
    assert found != secret.reveal()  # 16 of 1,147,500 pass the check


@given(strategies.contents)
def test_content_is_read_as_it_was_written(content):
    payload = content.to_payload()
    read = Content.from_payload(payload)

    assert len(payload) == PAYLOAD_SIZE
    assert read.kind == content.kind
    assert read.secret == content.secret
    for name in ("number", "time", "total", "name", "lang", "notice"):
        assert getattr(read, name) in (getattr(content, name), None)


@given(st.binary(max_size=PAYLOAD_SIZE))
def test_any_payload_is_content_or_framing(payload):
    try:
        content = Content.from_payload(payload.ljust(PAYLOAD_SIZE, b"\0"))
    except FramingError:
        return
    assert content.kind in {"ticket", "live", "thanks", "idle"}


@given(strategies.pairing_secrets, st.binary(min_size=80, max_size=80))
def test_any_hello_that_was_not_made_with_the_pairing_is_refused(secret, hello):
    with pytest.raises(AuthenticationError):
        channel.read_hello(secret.psk(), hello)


@given(st.text(max_size=30))
def test_any_text_is_an_object_or_framing(text):
    try:
        value = strict_json.parse_object(text.encode("utf-8", "surrogatepass"))
    except FramingError:
        return
    assert isinstance(value, dict)


@pytest.mark.rule("T37")
@given(st.none() | st.text(max_size=200))
def test_a_plain_name_is_plain(name):
    plain = plain_name(name)

    assert plain.endswith(".pdf")
    assert not re.search(r'[\x00-\x1f/\\:"<>|?*]', plain)
    assert plain.strip(".pdf ") or plain == "receipt.pdf" or len(plain) > 4
    assert plain_name(plain) == plain
