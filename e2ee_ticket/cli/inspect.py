"""`e2ee-ticket inspect`: what anyone can see of an envelope, and what is inside a PDF."""

import argparse
import dataclasses
import json
from typing import Any

from e2ee_ticket.cli import voice
from e2ee_ticket.cli.send import read_file
from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf.check import begins
from e2ee_ticket.protocol.envelope import MAGIC, NONCE_OFFSET, SEALED_OFFSET, SIZES, TH_OFFSET


def run(parsed: argparse.Namespace) -> int:
    """Look at a file and tell; or write what a source's last receipts were."""
    if parsed.dump is not None:
        from e2ee_ticket.cli import dump  # noqa: PLC0415 - a file needs none of it

        return dump.run(parsed)
    data = read_file(parsed.file)
    if data.startswith(MAGIC[:4]):
        code, seen = _see_envelope(data)
    elif begins(data):
        code, seen = _see_receipt(data)
    elif len(data) in SIZES:
        raise ReceiptError("this has an envelope's length, but neither its first bytes nor a PDF's")
    else:
        raise ReceiptError("this is neither an envelope nor a PDF")
    if parsed.json:
        voice.result(json.dumps(seen))
        return code
    width = max(map(len, seen)) + 2
    for name, value in seen.items():
        if value is None:
            continue
        voice.result(f"{name.replace('_', ' '):<{width}}{_words(value)}")
    return code


def _see_envelope(data: bytes) -> tuple[int, dict[str, Any]]:
    """T20 and T21; what comes after needs the secret."""
    known = data[:TH_OFFSET] == MAGIC
    whole = len(data) in SIZES
    seen = {
        "kind": "envelope",
        "version": 1 if known else None,
        "length": len(data),
        "length_allowed": whole,
        "token_hash": data[TH_OFFSET:NONCE_OFFSET].hex(),
        "nonce": data[NONCE_OFFSET:SEALED_OFFSET].hex(),
    }
    if not known:
        voice.say("an envelope of a version that this program does not know")
    if not whole:
        voice.say("not a length that an envelope has: cut off, or not an envelope")
        voice.hint("the relay and every reader refuse it")
    return (voice.DONE if known and whole else voice.REFUSED), seen


def _see_receipt(data: bytes) -> tuple[int, dict[str, Any]]:
    from e2ee_ticket.pdf.inspect import inspect  # noqa: PLC0415 - an envelope needs none of it

    findings = inspect(data)
    for remark in findings.remarks():
        voice.say(remark)
    return voice.DONE, {"kind": "receipt", "length": len(data), **dataclasses.asdict(findings)}


def _words(value: Any) -> str:  # noqa: ANN401 - whatever was found
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(voice.printable(str(each)) for each in value) or "none"
    return voice.printable(str(value))
