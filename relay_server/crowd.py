"""More uploads than a relay can store, refused before they cost anything (spec/relay.md, R14).

To refuse must cost less than to take, or a relay that has too much to do does nothing else any
more. Most of what a request costs is its way through the HTTP library; so an upload for which there
is no room is known by its first bytes, its body is thrown away as it comes, and its answer is
written, without the library. Only a request of which nobody can doubt where it ends is refused so;
any other goes the usual way, and meets the limit of `handlers.put_ticket`.
"""

import re
import secrets
from typing import NamedTuple

from relay_server.errors import OverloadedError

HEAD_MAX_SIZE = 8 * 1024
_RETRY_SECONDS = 8
# Lines that say nothing of how long a request is, or of what becomes of its connection.
_LINES = (
    rb"(?:(?!(?i:content-length|transfer-encoding|connection|expect|upgrade))"
    rb"[!-9;-~]+:[^\r\n]*\r\n)*+"
)
_HEAD = re.compile(
    rb"(?:(PUT /v1/t/[0-9a-f]{32})|(?:DELETE|GET|HEAD|OPTIONS|POST|PUT) [!-~]+) HTTP/1\.1\r\n"
    + _LINES
    + rb"(?:(?i:content-length):[ \t]*([0-9]{1,8})\r\n"
    + _LINES
    + rb")?\r\n"
)


class Request(NamedTuple):
    """What the first bytes of a request tell."""

    is_upload: bool
    size: int
    """In bytes, head and body; -1 is unknown."""


UNKNOWN = Request(is_upload=False, size=-1)


class Crowd:
    """The uploads that have arrived whole and wait for their answer."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether another one would wait too long."""
        return self._count >= self._room

    def enter(self) -> None:
        """Count an upload, whether or not there is room."""
        self._count += 1

    def leave(self) -> None:
        """Count it no more."""
        self._count -= 1


def overloaded() -> OverloadedError:
    """Return the refusal of an upload; not all that are refused come back in one moment."""
    return OverloadedError(1 + secrets.randbelow(_RETRY_SECONDS))


def measure(data: bytes) -> Request:
    """Say what request begins here; it is unknown where only a parser could tell.

    Stricter than any parser: what it measures, every parser ends at the same byte. Of a GET only
    the head is looked at, and not closely, for there are many: a body shows when it comes.
    """
    if data.startswith(b"GET ") and data.find(b"\r\n\r\n") == len(data) - 4:
        return Request(is_upload=False, size=len(data))
    head = _HEAD.match(data, 0, HEAD_MAX_SIZE)
    if head is None:
        return UNKNOWN
    upload, body_size = head.groups()
    return Request(is_upload=upload is not None, size=head.end() + int(body_size or 0))
