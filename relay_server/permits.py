"""Who may upload to a closed relay (spec/relay.md, Permits)."""

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable

from relay_server.errors import PermitError

PERMIT_SIZE = 32
_PERMIT = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def generate() -> str:
    """Draw a permit: 32 random bytes as 43 base64url characters."""
    return secrets.token_urlsafe(PERMIT_SIZE)


def digest(permit: str) -> bytes:
    """Return the SHA-256 of a permit's text: all that a relay keeps of it (R6)."""
    return hashlib.sha256(permit.encode("ascii")).digest()


class Permits:
    """The check that a closed relay makes first of all (R10)."""

    def __init__(self, known: Callable[[bytes], Awaitable[bool]]) -> None:
        self._known = known

    async def check(self, permit: str) -> None:
        """Refuse what is not a valid permit at this very moment.

        Raises:
            PermitError: none, or one that is not valid (R10, R11).
        """
        if _PERMIT.fullmatch(permit) is None or not await self._known(digest(permit)):
            raise PermitError
