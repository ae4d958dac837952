"""The handshake Noise_NNpsk0_25519_ChaChaPoly_SHA256 (spec/channel.md, Hello and sealed).

    NNpsk0:
      -> psk, e
      <- e, ee

Names are those of the Noise Protocol Framework, revision 34. Every key seals one message, so the
counter of a cipher state is always zero.
"""

from e2ee_ticket.protocol import primitives

PROTOCOL_NAME = b"Noise_NNpsk0_25519_ChaChaPoly_SHA256"
EPHEMERAL_SIZE = 32
_ANY_PRIVATE = bytes(EPHEMERAL_SIZE)
_ZERO_NONCE = bytes(primitives.NONCE_SIZE)


def _hkdf(chaining_key: bytes, material: bytes, count: int) -> list[bytes]:
    """HKDF of the framework: `count` outputs of 32 bytes."""
    temporary = primitives.hmac_sha256(chaining_key, material)
    outputs: list[bytes] = []
    last = b""
    for number in range(1, count + 1):
        last = primitives.hmac_sha256(temporary, last + bytes([number]))
        outputs.append(last)
    return outputs


class SymmetricState:
    """SymmetricState of the framework, begun with the name, the prologue and psk."""

    __slots__ = ("_chaining_key", "_key", "handshake_hash")

    def __init__(self, prologue: bytes, psk: bytes) -> None:
        self.handshake_hash = primitives.sha256(PROTOCOL_NAME)
        self._chaining_key = self.handshake_hash
        self.mix_hash(prologue)
        self._chaining_key, mixed, self._key = _hkdf(self._chaining_key, psk, 3)
        self.mix_hash(mixed)

    def mix_hash(self, data: bytes) -> None:
        """H = SHA-256(h ‖ data)."""
        self.handshake_hash = primitives.sha256(self.handshake_hash + data)

    def mix_key(self, material: bytes) -> None:
        """ck, k = HKDF(ck, material, 2)."""
        self._chaining_key, self._key = _hkdf(self._chaining_key, material, 2)

    def mix_ephemeral(self, public: bytes) -> None:
        """Token e of a handshake with a psk: the public key goes into hash and key."""
        self.mix_hash(public)
        self.mix_key(public)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Seal a payload with h as associated data."""
        ciphertext = primitives.aead_seal(self._key, _ZERO_NONCE, self.handshake_hash, plaintext)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        """Open a payload.

        Raises:
            AuthenticationError: the tag does not verify (C12).
        """
        plaintext = primitives.aead_open(self._key, _ZERO_NONCE, self.handshake_hash, ciphertext)
        self.mix_hash(ciphertext)
        return plaintext


class Initiator:
    """The display's half: one hello, one sealed."""

    __slots__ = ("_private", "_state", "hello")

    def __init__(self, prologue: bytes, psk: bytes, private: bytes, payload: bytes) -> None:
        self._state = SymmetricState(prologue, psk)
        self._private = private
        public = primitives.x25519_public(private)
        self._state.mix_ephemeral(public)
        self.hello = public + self._state.encrypt_and_hash(payload)

    def read(self, sealed: bytes) -> tuple[bytes, bytes]:
        """Open message 2 and return its payload and the handshake hash.

        Raises:
            AuthenticationError: a low-order key (C11), or the tag does not verify (C12).
        """
        public, ciphertext = sealed[:EPHEMERAL_SIZE], sealed[EPHEMERAL_SIZE:]
        self._state.mix_ephemeral(public)
        self._state.mix_key(primitives.x25519(self._private, public))
        payload = self._state.decrypt_and_hash(ciphertext)
        return payload, self._state.handshake_hash


class Responder:
    """The till's half: reads one hello, answers it once."""

    __slots__ = ("_public", "_state", "payload")

    def __init__(self, prologue: bytes, psk: bytes, hello: bytes) -> None:
        """Open message 1.

        Raises:
            AuthenticationError: a low-order key (C11), or the tag does not verify (C12).
        """
        self._state = SymmetricState(prologue, psk)
        self._public, ciphertext = hello[:EPHEMERAL_SIZE], hello[EPHEMERAL_SIZE:]
        primitives.x25519(_ANY_PRIVATE, self._public)  # zeros for one private key are so for all
        self._state.mix_ephemeral(self._public)
        self.payload = self._state.decrypt_and_hash(ciphertext)

    def seal(self, private: bytes, payload: bytes) -> tuple[bytes, bytes]:
        """Make message 2 and return it with the handshake hash; call once."""
        public = primitives.x25519_public(private)
        self._state.mix_ephemeral(public)
        self._state.mix_key(primitives.x25519(private, self._public))
        ciphertext = self._state.encrypt_and_hash(payload)
        return public + ciphertext, self._state.handshake_hash
