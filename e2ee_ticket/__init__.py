"""Receipts without paper and without being watched: the till's side of e2ee-ticket.

Implements spec/ticket.md and spec/channel.md. Without a network:

    secret = Secret.generate()
    envelope = seal(ticket, secret)             # bytes for the relay, at secret.id
    assert unseal(envelope, secret) == ticket   # or a ProtocolError

The network is `e2ee_ticket.client.RelayClient`; importing this package never loads it.
"""

from e2ee_ticket.errors import ProtocolError, RelayError, TicketError
from e2ee_ticket.protocol.envelope import seal, unseal
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket

__version__ = "0.1.0"
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
