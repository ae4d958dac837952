"""Sealing a ticket for the relay to carry (spec/ticket.md, Envelope and Reading an envelope)."""

from e2ee_ticket.errors import LengthError, ReceiptError, VersionError, WrongKeyError
from e2ee_ticket.protocol import primitives
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket

MAGIC = b"tkt/v1\r\n"
KIB = 1024
SIZES = tuple(
    n * KIB
    for n in (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
)
MAX_SIZE = SIZES[-1]
TH_OFFSET, NONCE_OFFSET, SEALED_OFFSET = 8, 40, 52
OVERHEAD_SIZE = SEALED_OFFSET + primitives.TAG_SIZE


def fit(plaintext_size: int) -> int:
    """Choose the smallest envelope for so many bytes (T15).

    Raises:
        ReceiptError: too large for any.
    """
    for size in SIZES:
        if plaintext_size + OVERHEAD_SIZE <= size:
            return size
    raise ReceiptError("the receipt is too large: a ticket holds about 4 MiB")


def seal(ticket: Ticket, secret: Secret) -> bytes:
    """Seal a ticket; the same ticket and secret give the same bytes (T16).

    Raises:
        ReceiptError: too large (T15), or texts too long (T13).
    """
    content = ticket.to_bytes()
    return seal_plaintext(content.ljust(fit(len(content)) - OVERHEAD_SIZE, b"\0"), secret)


def seal_plaintext(plaintext: bytes, secret: Secret) -> bytes:
    """Seal M of B - 68 bytes as it is; what is inside is the caller's care.

    nonce = HMAC-SHA-256(nkey, M)[0:12]; the associated data are bytes 0 to 51.
    """
    nonce = primitives.hmac_sha256(secret.nonce_key(), plaintext)[: primitives.NONCE_SIZE]
    head = MAGIC + secret.token_hash() + nonce
    return head + primitives.aead_seal(secret.key(), nonce, head, plaintext)


def unseal(envelope: bytes, secret: Secret) -> Ticket:
    """Open an envelope.

    Raises:
        LengthError: none of the 17 lengths (T20).
        VersionError: not the magic of version 1 (T21).
        WrongKeyError: sealed with another secret (T22).
        AuthenticationError: altered (T23).
        FramingError: not a ticket inside (T24 to T34).
    """
    if len(envelope) not in SIZES:
        raise LengthError("not a length that an envelope has")
    if envelope[:TH_OFFSET] != MAGIC:
        raise VersionError("not an envelope of version 1")
    if not primitives.equal(envelope[TH_OFFSET:NONCE_OFFSET], secret.token_hash()):
        raise WrongKeyError("sealed with another secret")
    head, sealed = envelope[:SEALED_OFFSET], envelope[SEALED_OFFSET:]
    return Ticket.from_bytes(primitives.aead_open(secret.key(), head[NONCE_OFFSET:], head, sealed))
