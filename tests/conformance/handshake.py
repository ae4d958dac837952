"""Noise_NNpsk0_25519_ChaChaPoly_SHA256 in plain Python, for the runner of scenarios.

So a till or a display can be tried alone: the runner plays the other side itself. It is slow and
not constant in time; it is for test keys and nothing else.
"""

import hmac
import struct
from hashlib import sha256

PRIME = 2**255 - 19
NAME = b"Noise_NNpsk0_25519_ChaChaPoly_SHA256"
PROLOGUE = b"dsp/v1"
BASE = (9).to_bytes(32, "little")


class BrokenError(Exception):
    """A tag does not verify."""


def x25519(private, public=BASE):
    """RFC 7748."""
    k = bytearray(private)
    k[0] &= 248
    k[31] = (k[31] & 127) | 64
    scalar = int.from_bytes(k, "little")
    u = int.from_bytes(public, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for bit in range(254, -1, -1):
        here = scalar >> bit & 1
        if swap ^ here:
            x2, z2, x3, z3 = x3, z3, x2, z2
        swap = here
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a % PRIME, b * b % PRIME
        x3, z3 = (da + cb) ** 2 % PRIME, u * (da - cb) ** 2 % PRIME
        x2, z2 = aa * bb % PRIME, (aa - bb) * (aa + 121665 * (aa - bb)) % PRIME
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, PRIME - 2, PRIME) % PRIME).to_bytes(32, "little")


def _block(key, counter):
    state = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8L", key), counter,
             0, 0, 0]  # fmt: skip
    work = list(state)
    rounds = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
              (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))  # fmt: skip
    for _ in range(10):
        for a, b, c, d in rounds:
            for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                work[x] = work[x] + work[y] & 0xFFFFFFFF
                mixed = work[z] ^ work[x]
                work[z] = (mixed << turn | mixed >> 32 - turn) & 0xFFFFFFFF
    return struct.pack("<16L", *(s + w & 0xFFFFFFFF for s, w in zip(state, work, strict=True)))


def _crypt(key, data):
    out = bytearray()
    for number in range(0, len(data), 64):
        stream = _block(key, 1 + number // 64)
        out += bytes(a ^ b for a, b in zip(data[number : number + 64], stream, strict=False))
    return bytes(out)


def _tag(key, ad, sealed):
    once = _block(key, 0)
    r = int.from_bytes(once[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    text = b"".join(part + bytes(-len(part) % 16) for part in (ad, sealed))
    text += struct.pack("<2Q", len(ad), len(sealed))
    total = 0
    for at in range(0, len(text), 16):
        total = (total + int.from_bytes(text[at : at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(once[16:32], "little") & 2**128 - 1).to_bytes(16, "little")


def seal(key, ad, plaintext):
    """ChaCha20-Poly1305 (RFC 8439) with a nonce of zeros."""
    sealed = _crypt(key, plaintext)
    return sealed + _tag(key, ad, sealed)


def unseal(key, ad, sealed):
    """Open it; BrokenError if the tag is wrong."""
    if _tag(key, ad, sealed[:-16]) != sealed[-16:]:
        raise BrokenError
    return _crypt(key, sealed[:-16])


def _hkdf(chain, data, count):
    temporary = hmac.digest(chain, data, sha256)
    outputs = [b""]
    for number in range(1, count + 1):
        outputs.append(hmac.digest(temporary, outputs[-1] + bytes([number]), sha256))
    return outputs[1:]


class State:
    """The symmetric state after `psk`."""

    def __init__(self, psk):
        self.h = self.chain = sha256(NAME).digest()
        self.mix_hash(PROLOGUE)
        self.chain, mixed, self.key = _hkdf(self.chain, psk, 3)
        self.mix_hash(mixed)

    def mix_hash(self, data):
        self.h = sha256(self.h + data).digest()

    def mix_key(self, data):
        self.chain, self.key = _hkdf(self.chain, data, 2)

    def ephemeral(self, public):
        self.mix_hash(public)
        self.mix_key(public)

    def encrypt(self, plaintext):
        sealed = seal(self.key, self.h, plaintext)
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed):
        plaintext = unseal(self.key, self.h, sealed)
        self.mix_hash(sealed)
        return plaintext


def derive(secret, label):
    """K(label)."""
    return hmac.digest(secret, label.encode() + b"\x01", sha256)


class Hello:
    """A display's half: makes a hello, and reads what comes."""

    def __init__(self, psk, private, last, public=None):
        self.private = private
        self.state = State(psk)
        public = x25519(private) if public is None else public
        self.state.ephemeral(public)
        self.bytes = public + self.state.encrypt(last)

    @property
    def hid(self):
        return sha256(self.bytes).hexdigest()[:32]

    def read(self, sealed):
        """The payload and the session."""
        self.state.ephemeral(sealed[:32])
        self.state.mix_key(x25519(self.private, sealed[:32]))
        payload = self.state.decrypt(sealed[32:])
        return payload, self.state.h


def answer(psk, hello, private, payload):
    """A till's half: what the hello names, the sealed, and the session."""
    state = State(psk)
    state.ephemeral(hello[:32])
    named = state.decrypt(hello[32:])
    public = x25519(private)
    state.ephemeral(public)
    state.mix_key(x25519(private, hello[:32]))
    return named, public + state.encrypt(payload), state.h
