"""This computer's addresses, and what a caller's Host says of them."""

import ipaddress
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from e2ee_ticket.sources.connections import is_loopback, parse_address

ANY: Final = ("0.0.0.0", "::", "")  # noqa: S104 - to be compared with
"""What a server listens at to be called at all of this computer's addresses."""

# The address that leads to each of these is the one this computer has in that network; nothing
# is sent there. The first is reserved for documentation, and stands for the internet.
_FAR: Final = ("192.0.2.1", "192.168.255.254", "172.31.255.254", "10.255.255.254")
_HOST: Final = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.%]{2,60}\]|[A-Za-z0-9._-]{1,253})(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)


def addresses(listen: str = "0.0.0.0") -> Sequence[str]:  # noqa: S104 - all of them
    """Return the addresses at which others can call what listens there, the likeliest first.

    Loopback alone, where this computer is in no network.
    """
    if listen not in ANY:
        return (listen,)
    found: list[str] = []
    for far in _FAR:
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((far, 9))
            found.append(str(asking.getsockname()[0]))
    with suppress(OSError):
        entries = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        found += [str(entry[4][0]) for entry in entries]
    usable = [address for address in dict.fromkeys(found) if _is_usable(address)]
    # A shop's network has private addresses; one that the whole internet could call comes last.
    usable.sort(key=lambda address: not ipaddress.ip_address(address).is_private)
    return tuple(usable) or ("127.0.0.1",)


def _is_usable(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return not (parsed.is_loopback or parsed.is_unspecified or parsed.is_link_local)


def split_listen(listen: str) -> tuple[str, int]:
    """Split `host:port`, as the configuration has it."""
    host, _, port = listen.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def split_host(text: str) -> tuple[str, str | None] | None:
    """Split a Host header into name or address, in lower case, and port; None if it is none."""
    found = _HOST.fullmatch(text)
    if found is None:
        return None
    return found["host"].strip("[]").lower(), found["port"]


def is_addressed(host: str, local: str, names: Sequence[str] = ()) -> bool:
    """Tell whether a Host header names this computer: somebody else's name would be rebinding.

    A browser that a hostile name has led here sends that name. What is right is the very address
    that was called (`local`), one of `names`, or `localhost` for this computer itself.
    """
    split = split_host(host)
    if split is None:
        return False
    if split[0] in names:
        return True
    if split[0] == "localhost":
        return is_loopback(local)
    try:
        return parse_address(split[0]) == parse_address(local)
    except ValueError:
        return False
