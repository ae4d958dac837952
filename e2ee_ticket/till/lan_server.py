"""How much the shop's network may ask of the display page's server."""

from dataclasses import dataclass
from typing import Final

from e2ee_ticket.sources import connections

HEAD_LINE_MAX_SIZE: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(connections.Limits):
    """The limits of its connections, and of what they ask.

    Attributes:
        waiting: hellos that wait for the relay at once, of all displays.
        body_seconds: how long a hello may take to arrive.
    """

    waiting: int = 32
    body_seconds: float = 10.0
