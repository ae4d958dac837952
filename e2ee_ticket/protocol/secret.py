"""The secret of one ticket and what is derived from it (spec/ticket.md, Keys).

A secret cannot print itself: `repr`, `str`, formatting, pickling and dataclass reprs show
`Secret(...)`; `reveal()` is the one way to its bytes.
"""

from typing import NoReturn, Self

from e2ee_ticket.protocol import primitives

SECRET_SIZE = 32
ID_LABEL = "tkt/v1 id"
KEY_LABEL = "tkt/v1 key"
NONCE_LABEL = "tkt/v1 nonce"
TOKEN_LABEL = "tkt/v1 token"  # noqa: S105 - a public label


class Opaque:
    """32 bytes that do not show themselves."""

    __slots__ = ("_bytes",)

    def __init__(self, value: bytes) -> None:
        """Wrap 32 bytes.

        Raises:
            ValueError: not 32 bytes.
        """
        if len(value) != SECRET_SIZE:
            message = f"a secret has {SECRET_SIZE} bytes"
            raise ValueError(message)
        self._bytes = bytes(value)

    @classmethod
    def generate(cls) -> Self:
        """Draw a new one from the operating system's secure source (T1, C1)."""
        return cls(primitives.random_bytes(SECRET_SIZE))

    def reveal(self) -> bytes:
        """Return the 32 bytes; a word one can search a program for."""
        return self._bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return primitives.equal(self._bytes, other._bytes)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._bytes))

    def __reduce__(self) -> NoReturn:
        message = "a secret is not written anywhere"
        raise TypeError(message)


class Secret(Opaque):
    """The random bytes that open one ticket; they live in the link and nowhere else."""

    __slots__ = ()

    @property
    def id(self) -> str:
        """Id = K("tkt/v1 id")[0:16], as 32 hex digits: the envelope's name at the relay."""
        return primitives.derive(self._bytes, ID_LABEL)[:16].hex()

    def key(self) -> bytes:
        """Key = K("tkt/v1 key"): seals the ticket."""
        return primitives.derive(self._bytes, KEY_LABEL)

    def nonce_key(self) -> bytes:
        """Nkey = K("tkt/v1 nonce"): makes the nonce."""
        return primitives.derive(self._bytes, NONCE_LABEL)

    def token(self) -> bytes:
        """Tok = K("tkt/v1 token"): proves to the relay that its holder knows the link."""
        return primitives.derive(self._bytes, TOKEN_LABEL)

    def token_hash(self) -> bytes:
        """Th = SHA-256(tok): what the relay knows of the token."""
        return primitives.sha256(self.token())
