"""The only file that calls libsodium (spec/ticket.md, Conventions; spec/channel.md).

It is loaded at its first use: the QR code of a link needs a hash alone, and a cashier waits for it.

PyNaCl's traps are kept here: it takes `bytes` only, opening fewer than 16 bytes raises the builtin
`ValueError`, and an all-zero Diffie-Hellman result raises. It has no KDF and no HMAC; those are
the standard library's.
"""

import hashlib
import hmac
import secrets
from typing import Any

from e2ee_ticket.errors import AuthenticationError

KEY_SIZE = 32
NONCE_SIZE = 12
TAG_SIZE = 16


def _libsodium() -> Any:  # noqa: ANN401 - a module
    import nacl.bindings  # noqa: PLC0415 - see above

    return nacl.bindings


def _errors() -> Any:  # noqa: ANN401 - a module
    import nacl.exceptions  # noqa: PLC0415 - see above

    return nacl.exceptions


def random_bytes(size: int) -> bytes:
    """Draw `size` bytes from the operating system's secure source (T1, C1)."""
    return secrets.token_bytes(size)


def sha256(message: bytes) -> bytes:
    """Hash a message, 32 bytes."""
    return hashlib.sha256(message).digest()


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Authenticate a message, 32 bytes."""
    return hmac.digest(key, message, "sha256")


def derive(secret: bytes, label: str) -> bytes:
    """K(label) = HMAC-SHA-256(key = secret, message = label ‖ 0x01), 32 bytes."""
    return hmac_sha256(secret, label.encode("ascii") + b"\x01")


def equal(left: bytes, right: bytes) -> bool:
    """Compare two byte strings in constant time."""
    return hmac.compare_digest(left, right)


def aead_seal(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
    """ChaCha20-Poly1305 (RFC 8439); the 16 bytes of the tag come last."""
    sealed: bytes = _libsodium().crypto_aead_chacha20poly1305_ietf_encrypt(
        plaintext, aad, nonce, key
    )
    return sealed


def aead_open(key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
    """Undo `aead_seal`.

    Raises:
        AuthenticationError: the tag does not verify, or there is no room for one.
    """
    if len(ciphertext) < TAG_SIZE:
        raise AuthenticationError("too short to hold a tag")
    try:
        plaintext: bytes = _libsodium().crypto_aead_chacha20poly1305_ietf_decrypt(
            ciphertext, aad, nonce, key
        )
    except _errors().CryptoError:
        # The cause is dropped: its traceback would keep key and plaintext alive.
        raise AuthenticationError("the tag does not verify") from None
    return plaintext


def stretch(passphrase: bytes, salt: bytes, passes: int, memory: int) -> bytes:
    """Argon2id (RFC 9106) with one lane: a key of 32 bytes from what a person can remember.

    No message of the protocol is made with it: it is for what a till keeps under a passphrase.
    `salt` has 16 bytes, `memory` is in bytes.

    Raises:
        MemoryError: this computer does not have so much memory.
    """
    try:
        key: bytes = _libsodium().crypto_pwhash_alg(
            KEY_SIZE, passphrase, salt, passes, memory, _libsodium().crypto_pwhash_ALG_ARGON2ID13
        )
    except _errors().RuntimeError:
        raise MemoryError("no memory for argon2id") from None
    return key


def x25519_public(private: bytes) -> bytes:
    """Compute the public key of a private one, 32 bytes each."""
    public: bytes = _libsodium().crypto_scalarmult_base(private)
    return public


def x25519(private: bytes, public: bytes) -> bytes:
    """Compute the shared secret, 32 bytes.

    Raises:
        AuthenticationError: the result is all zeros, as a low-order public key makes it (C11).
    """
    try:
        shared: bytes = _libsodium().crypto_scalarmult(private, public)
    except _errors().RuntimeError:
        raise AuthenticationError("a public key of low order") from None
    if equal(shared, bytes(KEY_SIZE)):  # libsodium refuses already; C11 must not depend on it
        raise AuthenticationError("a public key of low order")
    return shared
