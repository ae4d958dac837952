"""Making a receipt printer's bytes unreadable, but of the same shape, to be sent to a developer.

Commands stay, so that what is drawn wrong is still drawn wrong; of text, digits become `0` and
letters `x`, `X` or, beyond ASCII, one letter of whatever code page. The text of barcodes is masked,
too; pictures are not: a logo or a name in a picture can still be read.
"""

from typing import Final

from e2ee_ticket.sources.escpos_commands import length_of

_LETTER: Final = 0xE9
_MASK: Final = bytes(
    0x30 if 0x30 <= byte <= 0x39
    else 0x58 if 0x41 <= byte <= 0x5A
    else 0x78 if 0x61 <= byte <= 0x7A
    else _LETTER if byte >= 0x80
    else byte
    for byte in range(256)
)  # fmt: skip
_WRITTEN_OUT: Final = rb"\r\n"
_SYMBOL, _BARCODE = b"\x1d(k", b"\x1dk"
_SYMBOL_HEAD, _STORES = 8, 80
_COUNTED: Final = 65


def mask(job: bytes) -> bytes:
    """Mask the text of a job; the result is as long as the job."""
    out = bytearray()
    at = 0
    while at < len(job):
        if job.startswith(_WRITTEN_OUT, at):  # as TakePOS writes the ends of lines
            out += _WRITTEN_OUT
            at += len(_WRITTEN_OUT)
            continue
        size = length_of(job, at)
        size = len(job) - at if size is None else max(size, 1)
        part = job[at : at + size]
        out += part.translate(_MASK) if size == 1 and part[0] >= 0x20 else _masked(part)
        at += size
    return bytes(out[: len(job)])


def _masked(command: bytes) -> bytes:
    """Mask what a command prints as a code; another stays as it is."""
    head = len(command)
    if command.startswith(_SYMBOL):
        stores = len(command) > _SYMBOL_HEAD and command[6] == _STORES
        head = _SYMBOL_HEAD if stores else len(command)
    elif command.startswith(_BARCODE) and len(command) > 3:
        head = 4 if command[2] >= _COUNTED else 3
    return command[:head] + command[head:].translate(_MASK)
