"""Receipts without paper and without being watched: the till's side of e2ee-ticket.

Implements spec/ticket.md and spec/channel.md. Without a network:

    secret = Secret.generate()
    envelope = seal(ticket, secret)             # bytes for the relay, at secret.id
    assert unseal(envelope, secret) == ticket   # or a ProtocolError

The network is `e2ee_ticket.client.RelayClient`; importing this package never loads it. Every name
is loaded at its first use (PEP 562), because a cashier waits for the first QR code.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e2ee_ticket.errors import ProtocolError, RelayError, TicketError
    from e2ee_ticket.protocol.envelope import seal, unseal
    from e2ee_ticket.protocol.link import Link
    from e2ee_ticket.protocol.secret import Secret
    from e2ee_ticket.protocol.ticket import Ticket

__version__ = "0.2.0"
__all__ = [
    "Link",
    "ProtocolError",
    "RelayError",
    "Secret",
    "Ticket",
    "TicketError",
    "seal",
    "unseal",
]

_HOMES = {
    "Link": "protocol.link",
    "ProtocolError": "errors",
    "RelayError": "errors",
    "Secret": "protocol.secret",
    "Ticket": "protocol.ticket",
    "TicketError": "errors",
    "seal": "protocol.envelope",
    "unseal": "protocol.envelope",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
