"""The specification's vectors, read and made by this library."""

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conformance import adapter_python
from conformance.adapter_python import members_of, parts_of
from conformance.run_vectors import check_display, check_link, check_till, expand

from e2ee_ticket.errors import ProtocolError
from e2ee_ticket.protocol import channel, envelope, link, noise, primitives
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.secret import Secret

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "spec" / "vectors"


def vectors(name, op=None):
    entries = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return [
        pytest.param(entry, id=entry["name"]) for entry in entries if op in (None, entry.get("op"))
    ]


def outcome_of(action):
    try:
        action()
    except ProtocolError as error:
        return error.outcome
    return "ok"


@pytest.mark.parametrize("vector", vectors("links", "format"))
def test_link_is_written_as_the_vector_says(vector):
    digits = link.format_digits(bytes.fromhex(vector["secret"]), vector["label"])

    assert digits == vector["digits"]
    assert link.parse_digits(digits, vector["label"]).hex() == vector["secret"]


@pytest.mark.parametrize("vector", vectors("links", "parse"))
def test_fragment_is_read_as_the_vector_says(vector):
    assert (
        outcome_of(lambda: link.parse_fragment(vector["fragment"], vector["label"]))
        == vector["expect"]
    )
    if vector["expect"] == "ok":
        secret = link.parse_fragment(vector["fragment"], vector["label"])
        assert secret.hex() == vector["secret"]


@pytest.mark.parametrize("vector", vectors("links", "whole"))
def test_whole_link_is_read_as_the_vector_says(vector):
    _, wrong = check_link(adapter_python, vector)

    assert wrong is None


@pytest.mark.parametrize("vector", vectors("keys", "ticket"))
def test_keys_of_a_ticket_are_derived_as_the_vector_says(vector):
    secret = Secret(bytes.fromhex(vector["secret"]))

    assert secret.id == vector["id"]
    assert secret.key().hex() == vector["key"]
    assert secret.nonce_key().hex() == vector["nkey"]
    assert secret.token().hex() == vector["tok"]
    assert secret.token_hash().hex() == vector["th"]


@pytest.mark.parametrize("vector", vectors("keys", "pairing"))
def test_keys_of_a_pairing_are_derived_as_the_vector_says(vector):
    secret = channel.PairingSecret(bytes.fromhex(vector["secret"]))

    assert secret.cid == vector["cid"]
    assert secret.read_token().hex() == vector["rtok"]
    assert secret.psk().hex() == vector["psk"]


@pytest.mark.parametrize("vector", vectors("envelopes"))
def test_envelope_is_sealed_and_read_as_the_vector_says(vector):
    secret = Secret(bytes.fromhex(vector["secret"]))
    plaintext = expand(vector["plaintext"]).ljust(vector["size"] - 68, b"\0")

    sealed = envelope.seal_plaintext(plaintext, secret)

    assert sealed[40:52].hex() == vector["nonce"]
    assert sealed[-16:].hex() == vector["tag"]
    assert hashlib.sha256(sealed).hexdigest() == vector["sha256"]
    if "envelope" in vector:
        assert base64.b64decode(vector["envelope"]) == sealed
    received = bytearray(sealed)
    for offset, change in vector.get("xor", []):
        for i, value in enumerate(bytes.fromhex(change)):
            received[offset + i] ^= value
    received = bytes(received)[: vector.get("cut")] + bytes.fromhex(vector.get("append", ""))
    reader = Secret(bytes.fromhex(vector.get("reader", vector["secret"])))
    assert outcome_of(lambda: envelope.unseal(received, reader)) == vector["expect"]
    if vector["expect"] == "ok":
        ticket = envelope.unseal(received, reader)
        texts = ("title", "total", "number", "issued", "lang")
        found = {text: getattr(ticket, text) for text in texts}
        found = {text: value for text, value in found.items() if value is not None}
        found |= {
            "name": ticket.name,
            "receipt_length": len(ticket.receipt),
            "receipt_sha256": hashlib.sha256(ticket.receipt).hexdigest(),
        }
        assert found | dict(parts_of(ticket)) == vector["ticket"]


@pytest.mark.parametrize("vector", vectors("channel", "session"))
def test_session_goes_as_the_vector_says(vector):
    secret = channel.PairingSecret(bytes.fromhex(vector["pairing"]))
    display = channel.make_hello(
        secret.psk(), bytes.fromhex(vector["display_private"]), bytes.fromhex(vector["last"])
    )
    till = channel.read_hello(secret.psk(), display.hello)
    payload = bytes.fromhex(vector["payload"]).ljust(464, b"\0")

    sealed, session = till.seal(bytes.fromhex(vector["till_private"]), payload)

    assert secret.psk().hex() == vector["psk"]
    assert display.hello.hex() == vector["hello"]
    assert channel.hello_id(display.hello) == vector["hid"]
    assert till.payload.hex() == vector["last"]
    assert sealed.hex() == vector["sealed"]
    assert session.hex() == vector["session"]
    received = bytearray(sealed)
    if "replace_key" in vector:
        received[:32] = bytes.fromhex(vector["replace_key"])
    if "xor" in vector:
        received[vector["xor"][0]] ^= int(vector["xor"][1], 16)
    received = bytes(received)[: vector.get("cut")] + bytes.fromhex(vector.get("append", ""))
    read = []
    assert (
        outcome_of(lambda: read.extend(channel.read_sealed(display, received))) == vector["expect"]
    )
    if vector["expect"] == "ok":
        content, heard = read
        assert heard == session
        assert members_of(content) == vector["content"]


@pytest.mark.parametrize("vector", vectors("channel", "hello"))
def test_hello_is_read_as_the_vector_says(vector):
    secret = channel.PairingSecret(bytes.fromhex(vector["pairing"]))

    def answer():
        till = channel.read_hello(secret.psk(), bytes.fromhex(vector["hello"]))
        till.seal(bytes.fromhex(vector["till_private"]), Content.idle().to_payload())

    assert outcome_of(answer) == vector["expect"]


@pytest.mark.parametrize("vector", vectors("till"))
def test_till_does_as_the_scenario_says(vector):
    _, wrong = check_till(adapter_python, vector)

    assert wrong is None


@pytest.mark.parametrize("vector", vectors("display"))
def test_display_does_as_the_scenario_says(vector):
    _, wrong = check_display(adapter_python, vector)

    assert wrong is None


def test_generator_reproduces_the_vectors_byte_for_byte():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "make_vectors.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_published_noise_vector_passes():
    """Noise_NNpsk0_25519_ChaChaPoly_SHA256 as cacophony published it (noise_nnpsk0.json)."""
    vector = json.loads(Path(__file__).with_name("noise_nnpsk0.json").read_text(encoding="utf-8"))
    psk = bytes.fromhex(vector["init_psk"])
    prologue = bytes.fromhex(vector["init_prologue"])
    first, second = vector["messages"][:2]

    display = noise.Initiator(
        prologue, psk, bytes.fromhex(vector["init_ephemeral"]), bytes.fromhex(first["payload"])
    )
    till = noise.Responder(prologue, psk, display.hello)
    sealed, session = till.seal(
        bytes.fromhex(vector["resp_ephemeral"]), bytes.fromhex(second["payload"])
    )

    assert vector["name"].encode() == noise.PROTOCOL_NAME
    assert display.hello.hex() == first["ciphertext"]
    assert till.payload.hex() == first["payload"]
    assert sealed.hex() == second["ciphertext"]
    assert display.read(sealed) == (bytes.fromhex(second["payload"]), session)


def test_aead_agrees_with_the_example_of_rfc_8439():
    """RFC 8439, 2.8.2."""
    key = bytes(range(0x80, 0xA0))
    nonce = bytes.fromhex("070000004041424344454647")
    aad = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip "
        b"for the future, sunscreen would be it."
    )

    sealed = primitives.aead_seal(key, nonce, aad, text)

    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"
    assert primitives.aead_open(key, nonce, aad, sealed) == text
