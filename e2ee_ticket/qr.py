"""A link as a QR code (spec/ticket.md, T10).

Two segments, the prefix in byte mode and the digits in numeric mode, at level M: one segment would
cost three versions, and the fewer modules a code has, the further away and the darker it is read.
"""

import importlib
import io
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from e2ee_ticket.protocol.channel import PairingLink
    from e2ee_ticket.protocol.link import Link

QUIET_ZONE: Final = 4
NARROW_QUIET_ZONE: Final = 2
TERMINAL_ROWS: Final = 23  # a usual terminal has 24, and one is the prompt's

# Random digits look alike under every mask, and trying all eight takes four times as long. Of 500
# degraded codes, two readers read as many with this one as with the one the standard prefers.
MASK: Final = 2

# Fixed colours: a terminal's own black and white are whatever its theme says.
_BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m"
_RESET = "\x1b[0m"
_HALVES = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}


def _import_segno() -> ModuleType:
    """Import segno in 20 ms instead of 60.

    Its SVG writer takes two quoting functions from xml.sax.saxutils, which loads urllib.request,
    and so http, email and ssl, for something else. A cashier would wait for that at each `send`.
    An empty module stands in meanwhile; afterwards both are as if never imported.
    """
    quoting, heavy = "xml.sax.saxutils", "urllib.request"
    if quoting in sys.modules or heavy in sys.modules:
        return importlib.import_module("segno")
    sys.modules[heavy] = ModuleType(heavy)
    try:
        return importlib.import_module("segno")
    finally:
        del sys.modules[heavy]
        sys.modules.pop(quoting, None)
        vars(sys.modules.get("xml.sax", sys)).pop("saxutils", None)


if TYPE_CHECKING:
    import segno
else:
    segno = _import_segno()


def make(link: "Link | PairingLink") -> "segno.QRCode":
    """Make the QR code of a link; whoever sees it has the secret."""
    # Any: the stubs of segno know no segments.
    segments: Any = [
        (link.prefix, segno.consts.MODE_BYTE),
        (link.digits(), segno.consts.MODE_NUMERIC),
    ]
    return segno.make(segments, error="m", mask=MASK, micro=False, boost_error=False)


def to_terminal(code: "segno.QRCode") -> str:
    """Draw with half blocks, two modules to a character, black on white in any terminal."""
    size = len(code.matrix)
    border = QUIET_ZONE if (size + 2 * QUIET_ZONE + 1) // 2 <= TERMINAL_ROWS else NARROW_QUIET_ZONE
    rows = [bytes(row) for row in code.matrix_iter(border=border)]
    rows.append(bytes(len(rows)))  # a QR code's rows are odd in number
    lines = (
        "".join(_HALVES[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    )
    return "".join(f"{_BLACK_ON_WHITE}{line}{_RESET}\n" for line in lines)


def to_svg(code: "segno.QRCode") -> str:
    """Draw as an SVG document without a size of its own."""
    out = io.BytesIO()
    code.save(out, kind="svg", border=QUIET_ZONE, light="#fff", dark="#000", omitsize=True)
    return out.getvalue().decode("utf-8")


def to_png(code: "segno.QRCode", scale: int = 10) -> bytes:
    """Draw as a PNG picture, `scale` pixels to a module."""
    out = io.BytesIO()
    code.save(out, kind="png", border=QUIET_ZONE, scale=scale)
    return out.getvalue()
