"""What a program that listens asks of the system, and what it says when there is not enough."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

FILES: Final = 8192
"""Open files and connections: all listeners together have some 500, when they are full."""
AGAIN_SECONDS: Final = 60.0
_KINDS_MAX: Final = 100

log = logging.getLogger(__name__)


def ask_for_files() -> int | None:
    """Ask for as many open files as are needed, and return how many there may be."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:  # pragma: no cover - Windows only
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return None if soft == resource.RLIM_INFINITY else soft


class LoopTroubles:
    """Says what goes wrong in the event loop itself, each kind once a minute at most.

    asyncio would write a traceback for each connection that a full table of files cannot take:
    megabytes in a second, with addresses in them.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def __call__(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log one line of it, unless it was said a moment ago."""
        error = context.get("exception")
        message = str(context.get("message", "")).partition("\n")[0]
        # The text of an error may name an address, or quote a receipt; its type does not.
        kind = f"{message}: {type(error).__name__}" if error is not None else message
        if isinstance(error, OSError) and error.strerror:
            kind = f"{kind}, {error.strerror.lower()}"
        now = self._now()
        if now - self._said.get(kind, -AGAIN_SECONDS) < AGAIN_SECONDS:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return
        if len(self._said) >= _KINDS_MAX:
            self._said.clear()
            self._unsaid.clear()
        self._said[kind] = now
        more = self._unsaid.pop(kind, 0)
        log.error("%s%s", kind, f" ({more} times more before)" if more else "")
