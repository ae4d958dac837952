"""The console's style, script and sign: kept by the browser, so that a page needs no second answer.

The agent begins anew when its configuration changes, and for a moment nobody answers; the page that
says so has its style and script from before. An address names what it holds, so none goes stale.
"""

import functools
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Final

KINDS: Final[Mapping[str, str]] = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
KEEP: Final = "private, max-age=604800, immutable"


@functools.cache
def read(name: str) -> bytes:
    """Return one of the files."""
    return resources.files(__package__).joinpath("static", name).read_bytes()


@functools.cache
def address(name: str) -> str:
    """Return where a file is, with a part of its hash."""
    return f"/static/{name}?{hashlib.sha256(read(name)).hexdigest()[:16]}"
