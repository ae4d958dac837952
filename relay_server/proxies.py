"""Whose request this is when a proxy brings it (only a proxy that the operator named is believed).

A header that says for whom a request is made can be written by anybody. So it is read from its end,
where the nearest proxy has added what it saw itself, and only as far as proxies are trusted: what a
caller has written in front of that is never looked at.
"""

import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

HEADERS = ("X-Forwarded-For", "Forwarded")
MAX_HOPS = 16


class Trust(NamedTuple):
    """Which proxies are believed, and in which header they say for whom they ask."""

    networks: tuple[Network, ...] = ()
    header: str = HEADERS[0]

    def caller(self, peer: str, headers: "CIMultiDictProxy[str]") -> str:
        """Return the address that a request comes from."""
        if not self.networks:
            return peer
        address = _parse(peer)
        if address is None or not self._trusts(address):
            return peer
        found = _listed(self.header, headers.getall(self.header, ()))
        for text in reversed(found[-MAX_HOPS:]):
            named = _parse(text)
            if named is None:
                # What a trusted proxy did not understand is counted as the proxy's own.
                break
            address = named
            if not self._trusts(address):
                break
        return str(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a list such as ``127.0.0.1/32,::1``.

    Raises:
        ValueError: one of them is none.
    """
    return tuple(ipaddress.ip_network(item.strip()) for item in text.split(",") if item.strip())


def _listed(header: str, lines: Sequence[str]) -> list[str]:
    items = [item.strip() for line in lines for item in line.split(",")]
    return items if header == HEADERS[0] else [_forwarded_for(item) for item in items]


def _forwarded_for(element: str) -> str:
    """Return the address of one element of ``Forwarded`` (RFC 7239): ``for="[2001:db8::1]:47"``."""
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            return value.strip('"')
    return ""


def _parse(text: str) -> Address | None:
    """Return an address, with or without brackets, port and zone; IPv4 in IPv6 is IPv4."""
    if text[:1] == "[":
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
