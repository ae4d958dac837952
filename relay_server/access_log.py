"""One line for each request, with nothing in it that points to anybody (spec/relay.md, R4).

Method, the *template* of the route, status, size rounded up, milliseconds. Never a path, an
address, a user agent or a header: aiohttp's own access log has all of them, and is switched off.
"""

import logging

ROUND_SIZE = 1024
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

logger = logging.getLogger("relay_server.access")


def log_request(method: str, template: str, status: int, size: int, seconds: float) -> None:
    """Write the line of one request."""
    # A method is any word the caller likes, an id for example.
    shown = method if method in _METHODS else "OTHER"
    kib = -(-size // ROUND_SIZE)
    logger.info("%s %s %d %dKiB %dms", shown, template, status, kib, seconds * 1000)
