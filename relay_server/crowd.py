"""More uploads than a relay can store (spec/relay.md, R14).

An upload is counted once, by its handler, when all of it is there and its permit is a valid one.

To refuse must cost less than to take, or a relay that has too much to do does nothing else. Most
of what a request costs is its way through the HTTP library. So while there is no room, and no proxy
stands in front, an upload is known by its first bytes, thrown away as it comes, and answered
without the library (`benchmarks/README.md` has the figures). Only a request of which nobody can
doubt where it ends is refused so; any other goes the usual way, and meets the limit there.
"""

import re
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from relay_server.errors import OverloadedError

HEAD_MAX_SIZE = 8 * 1024
_RETRY_SECONDS = 8
# A name that says nothing of how long a request is, or of what becomes of its connection, and a
# text that every parser takes: stricter than RFC 9110, section 5.5.
_LINES = (
    rb"(?:(?!(?i:content-length|content-encoding|transfer-encoding|te|trailer|connection|keep-alive"
    rb"|proxy-connection|expect|upgrade|http2-settings|sec-[!-~]*):)"
    rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}:[\t -~]{0,2000}\r\n){0,24}+"
)
_HEAD = re.compile(
    rb"PUT /v1/t/[0-9a-f]{32} HTTP/1\.1\r\n"
    + _LINES
    + rb"(?i:content-length):[ \t]{0,8}([0-9]{1,8})\r\n"
    + _LINES
    + rb"\r\n"
)
_NAME = re.compile(rb"\n([^:\r\n]+):")


class Crowd:
    """The uploads that have arrived whole and wait for the disk: how many, and whose."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._share = room - room // 4
        self._owners: Counter[bytes] = Counter()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether another one would wait too long."""
        return self._count >= self._room

    def check(self) -> None:
        """See that there is room.

        Raises:
            OverloadedError: there is none.
        """
        if self.is_full:
            raise overloaded()

    @contextmanager
    def enter(self, owner: bytes) -> Iterator[None]:
        """Count an upload until the block ends.

        Raises:
            OverloadedError: there is no room, or this owner has three quarters of it.
        """
        self.check()
        if self._owners[owner] >= self._share:
            raise overloaded()
        self._owners[owner] += 1
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            self._owners[owner] -= 1
            if not self._owners[owner]:
                del self._owners[owner]


def overloaded() -> OverloadedError:
    """Return the refusal of an upload; not all that are refused come back in one moment."""
    return OverloadedError(1 + secrets.randbelow(_RETRY_SECONDS))


def measure(data: bytes) -> int:
    """Return how long the upload is, head and body, that begins here; 0 if only a parser can tell.

    Stricter than any parser: what it measures every parser takes, and ends at the same byte.
    """
    head = _HEAD.match(data, 0, HEAD_MAX_SIZE)
    if head is None:
        return 0
    names = _NAME.findall(head[0].lower())
    return 0 if len(names) != len(set(names)) else head.end() + int(head[1])
