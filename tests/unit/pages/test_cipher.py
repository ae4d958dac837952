"""The pages' primitives as built, against libsodium and the standard library, on many cases."""

import hashlib
import hmac
import json
import random
from pathlib import Path

import pytest
from nacl import bindings

NOISE = Path(__file__).parents[2] / "vectors" / "noise_nnpsk0.json"
LENGTHS = sorted(
    {0, 1, 2, 1023, 1024, 1025, 4096, 16316, 65535, 65536, 131071}
    | {edge + step for edge in range(16, 321, 16) for step in (-1, 0, 1)}
)
LOW_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.fixture
def chance():
    return random.Random(20261121)


def sealed_by_sodium(plaintext, aad, nonce, key):
    return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, aad, nonce, key)


def cases(chance, count):
    lengths = LENGTHS + [chance.randrange(2000) for _ in range(count)]
    for length in lengths:
        yield (
            chance.randbytes(length),
            chance.randbytes(chance.choice((0, 1, 15, 16, 17, 32, 52, 64, 100))),
            chance.randbytes(12),
            chance.randbytes(32),
        )


def test_seals_and_opens_as_libsodium_does(call_pages, chance):
    tried = list(cases(chance, 1500))
    wanted = [sealed_by_sodium(*case) for case in tried]

    sealed = call_pages(*(("cipher.seal", k, n, p, a) for p, a, n, k in tried))
    opened = call_pages(
        *(("cipher.open", k, n, s, a) for (_, a, n, k), s in zip(tried, wanted, strict=True))
    )

    assert sealed == wanted
    assert opened == [plaintext for plaintext, *_ in tried]


def test_opens_nothing_that_was_altered(call_pages, chance):
    calls = []
    for plaintext, aad, nonce, key in cases(chance, 800):
        whole = sealed_by_sodium(plaintext, aad, nonce, key)
        altered = bytearray(whole)
        altered[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        calls += [
            ("cipher.open", key, nonce, bytes(altered), aad),
            ("cipher.open", key, nonce, whole[:-1], aad),
            ("cipher.open", key, nonce, whole, aad + b"\0"),
            ("cipher.open", key, chance.randbytes(12), whole, aad),
        ]

    assert set(call_pages(*calls)) == {None}


def test_every_flipped_bit_of_a_tag_is_refused(call_pages, chance):
    nonce, key = chance.randbytes(12), chance.randbytes(32)
    whole = sealed_by_sodium(b"a receipt", b"", nonce, key)
    altered = [
        whole[:-16] + (int.from_bytes(whole[-16:]) ^ (1 << bit)).to_bytes(16) for bit in range(128)
    ]

    answers = call_pages(*(("cipher.open", key, nonce, one, b"") for one in altered))

    assert answers == [None] * 128


def test_poly1305_carries_as_libsodium_does(call_pages):
    """Blocks of ones reach the carries that random bytes almost never reach."""
    tried = [
        (bytes([fill]) * length, b"\xff" * aad, b"\xff" * 12, bytes([key]) * 32)
        for fill in (0x00, 0x7F, 0x80, 0xFB, 0xFE, 0xFF)
        for length in (0, 15, 16, 17, 31, 32, 48, 64, 256, 1024)
        for aad in (0, 16, 33)
        for key in (0x00, 0x01, 0x7F, 0xFF)
    ]

    answers = call_pages(*(("cipher.seal", k, n, p, a) for p, a, n, k in tried))

    assert answers == [sealed_by_sodium(*case) for case in tried]


def test_hashes_as_the_standard_library_does(call_pages, chance):
    tried = [chance.randbytes(length) for length in [*LENGTHS, *range(320)]]

    answers = call_pages(*(("hash.sha256", message) for message in tried))

    assert answers == [hashlib.sha256(message).digest() for message in tried]


@pytest.mark.rule("T2")
def test_authenticates_as_the_standard_library_does(call_pages, chance):
    tried = [
        (chance.randbytes(size), chance.randbytes(length))
        for size in (0, 1, 31, 32, 33, 63, 64)
        for length in [*range(140), 1000, 16316]
    ]

    answers = call_pages(*(("hmac", key, message) for key, message in tried))

    assert answers == [hmac.digest(key, message, "sha256") for key, message in tried]


def test_multiplies_as_libsodium_does(call_pages, chance):
    edges = [b"\0" * 32, b"\xff" * 32, bytes([1]) + b"\0" * 31, bytes(range(32))]
    privates = edges + [chance.randbytes(32) for _ in range(250)]
    publics = [bindings.crypto_scalarmult_base(chance.randbytes(32)) for _ in privates]
    # A public key's highest bit is ignored (RFC 7748).
    publics[:50] = [key[:31] + bytes([key[31] | 0x80]) for key in publics[:50]]

    shared = call_pages(
        *(("x25519.scalarMult", n, p) for n, p in zip(privates, publics, strict=True))
    )
    own = call_pages(*(("x25519.scalarMultBase", n) for n in privates))

    assert shared == [
        bindings.crypto_scalarmult(n, p) for n, p in zip(privates, publics, strict=True)
    ]
    assert own == [bindings.crypto_scalarmult_base(n) for n in privates]


@pytest.mark.rule("C11")
@pytest.mark.parametrize("public", LOW_ORDER)
def test_refuses_a_shared_secret_of_zeros(call_pages, chance, public):
    code = """(function (psk, ephemeral, message) {
      return readSecond(makeHello(psk, ephemeral, new Uint8Array(32)).state, message);
    })"""
    message = bytes.fromhex(public) + bytes(480)

    answers = call_pages((code, chance.randbytes(32), chance.randbytes(32), message))

    assert answers == ["aead"]


@pytest.mark.rule("C6")
def test_handshake_is_the_published_one(call_pages):
    vector = json.loads(NOISE.read_text(encoding="utf-8"))
    code = """(function (prologue, psk, ephemeral, payload, answer) {
      var first = writeFirst(prologue, psk, ephemeral, payload);
      var second = readSecond(first.state, answer);
      return {message: first.message, payload: second, keys: hkdf(first.state.ck, EMPTY, 2)};
    })"""
    messages = vector["messages"]

    (answer,) = call_pages(
        (
            code,
            bytes.fromhex(vector["init_prologue"]),
            bytes.fromhex(vector["init_psk"]),
            bytes.fromhex(vector["init_ephemeral"]),
            bytes.fromhex(messages[0]["payload"]),
            bytes.fromhex(messages[1]["ciphertext"]),
        )
    )

    assert answer["message"]["hex"] == messages[0]["ciphertext"]
    assert answer["payload"]["hex"] == messages[1]["payload"]
    # The transport messages that follow show that the chaining key is right.
    for index, message in enumerate(messages[2:]):
        key = bytes.fromhex(answer["keys"][str(index % 2)]["hex"])
        nonce = bytes(4) + (index // 2).to_bytes(8, "little")
        sealed = sealed_by_sodium(bytes.fromhex(message["payload"]), b"", nonce, key)
        assert sealed.hex() == message["ciphertext"]
