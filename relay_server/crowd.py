"""More uploads than a relay can store, refused before they cost anything (spec/relay.md, R14).

To refuse must cost less than to take, or a relay that has too much to do does nothing else any
more. Most of what a request costs is its way through the HTTP library; so an upload for which there
is no room is known by its first bytes, its body is thrown away as it comes, and its answer is
written, without the library. Only a request of which nobody can doubt where it ends is refused so;
any other goes the usual way, and meets the limit of `handlers.put_ticket`.
"""

import re
import secrets
from collections import Counter
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
    """The uploads that have arrived whole and wait for their answer, each with its connection."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._share = room - room // 4
        self._waiting: dict[object, bytes | None] = {}
        self._owners: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether another one would wait too long."""
        return len(self._waiting) >= self._room

    def enter(self, connection: object) -> None:
        """Count an upload whose handler is about to start, whether or not there is room."""
        self._waiting[connection] = None

    def check(self, connection: object) -> None:
        """See that there is room.

        Raises:
            OverloadedError: there is none.
        """
        if self.is_full and connection not in self._waiting:
            raise overloaded()

    def admit(self, connection: object, owner: bytes) -> None:
        """Count an upload, if it is not counted yet, and whose it is.

        Raises:
            OverloadedError: there is no room, or this owner has three quarters of it.
        """
        self.check(connection)
        if self._owners[owner] >= self._share:
            raise overloaded()
        self.leave(connection)
        self._waiting[connection] = owner
        self._owners[owner] += 1

    def leave(self, connection: object) -> None:
        """Count an upload no more, if it was counted."""
        owner = self._waiting.pop(connection, None)
        if owner is not None:
            self._owners[owner] -= 1
            if not self._owners[owner]:
                del self._owners[owner]


def overloaded() -> OverloadedError:
    """Return the refusal of an upload; not all that are refused come back in one moment."""
    return OverloadedError(1 + secrets.randbelow(_RETRY_SECONDS))


def measure(data: bytes) -> Request:
    """Say what request begins here; it is unknown where only a parser could tell.

    Stricter than any parser: what it measures, every parser ends at the same byte. Of a GET only
    the head is looked at, and not closely, for there are many: a body shows when it comes.
    """
    is_one_head = len(data) <= HEAD_MAX_SIZE and data.find(b"\r\n\r\n") == len(data) - 4
    if is_one_head and data.startswith(b"GET "):
        return Request(is_upload=False, size=len(data))
    head = _HEAD.match(data, 0, HEAD_MAX_SIZE)
    if head is None:
        return UNKNOWN
    upload, body_size = head.groups()
    return Request(is_upload=upload is not None, size=head.end() + int(body_size or 0))
