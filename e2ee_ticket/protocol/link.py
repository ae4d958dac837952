"""Links: a page's address and the digits of a secret (spec/ticket.md, Link)."""

import re
from dataclasses import dataclass
from typing import Final

from e2ee_ticket.errors import DamagedError
from e2ee_ticket.protocol import primitives
from e2ee_ticket.protocol.secret import SECRET_SIZE, Secret

CHECK_LABEL: Final = "tkt/v1 check"
GROUP_COUNT: Final = 17
DIGITS_SIZE: Final = 85
GROUP_MAX: Final = 65535

_FRAGMENT = re.compile(r"#([0-9]{85})(?![0-9])")
_ORIGIN = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")


def format_digits(secret: bytes, check_label: str) -> str:
    """Write 32 bytes as 85 digits: 16 words and check = SHA-256(label ‖ secret)[0:2] (T4)."""
    check = primitives.sha256(check_label.encode("ascii") + secret)[:2]
    data = secret + check
    return "".join(f"{int.from_bytes(data[i : i + 2]):05d}" for i in range(0, len(data), 2))


def parse_digits(digits: str, check_label: str) -> bytes:
    """Read 85 digits back into 32 bytes.

    Raises:
        DamagedError: not 85 ASCII digits (T6), a group above 65535 (T7), a wrong check (T8).
    """
    if re.fullmatch(r"[0-9]{85}", digits) is None:
        raise DamagedError("a link has 85 digits after the # sign")
    groups = [int(digits[i : i + 5]) for i in range(0, DIGITS_SIZE, 5)]
    if max(groups) > GROUP_MAX:
        raise DamagedError("the digits of the link are damaged")
    data = b"".join(group.to_bytes(2) for group in groups)
    secret, check = data[:SECRET_SIZE], data[SECRET_SIZE:]
    expected = primitives.sha256(check_label.encode("ascii") + secret)[:2]
    if not primitives.equal(check, expected):
        raise DamagedError("the digits of the link are damaged")
    return secret


def parse_fragment(fragment: str, check_label: str) -> bytes:
    """Read a fragment, from its `#` on; what follows the digits is ignored (T6).

    Raises:
        DamagedError: see `parse_digits`.
    """
    match = _FRAGMENT.match(fragment)
    if match is None:
        raise DamagedError("a link has 85 digits after the # sign")
    return parse_digits(match.group(1), check_label)


def is_origin(text: str) -> bool:
    """Tell whether a text may be a page's or a relay's origin (T5): https, or http for loopback."""
    match = _ORIGIN.fullmatch(text)
    if match is None or ".." in match["host"] or int(match["port"] or 1) > GROUP_MAX:
        return False
    return match["scheme"] == "https" or _LOOPBACK.fullmatch(match["host"]) is not None


def split(text: str, path: str) -> tuple[str, str]:
    """Split a link into its page's origin and its fragment, from the `#` on.

    Raises:
        DamagedError: no fragment, another path, or an origin that T5 does not allow.
    """
    address, sign, rest = text.strip().partition("#")
    origin = address.removesuffix(path)
    if not sign or not address.endswith(path) or not is_origin(origin):
        raise DamagedError("this is not a whole link")
    return origin, sign + rest


@dataclass(frozen=True, slots=True)
class Link:
    """A ticket's link: the page's origin and the secret. It shows its digits only by `reveal()`."""

    page: str
    secret: Secret

    def __post_init__(self) -> None:
        if not is_origin(self.page):
            message = "a page's origin is https://host or https://host:port, in lower case"
            raise ValueError(message)

    @classmethod
    def parse(cls, text: str) -> "Link":
        """Read a link as it is typed, pasted or scanned.

        Raises:
            DamagedError: not a ticket's link (T5 to T8).
        """
        origin, fragment = split(text, "/")
        return cls(origin, Secret(parse_fragment(fragment, CHECK_LABEL)))

    @property
    def prefix(self) -> str:
        """What stands before the digits: the QR code's byte segment (T10)."""
        return self.page + "/#"

    def digits(self) -> str:
        """Reveal the 85 digits: the QR code's numeric segment (T10)."""
        return format_digits(self.secret.reveal(), CHECK_LABEL)

    def reveal(self) -> str:
        """Write the whole link, secret included (T4)."""
        return self.prefix + self.digits()
