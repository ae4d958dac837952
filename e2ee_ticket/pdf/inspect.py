"""What is inside a receipt, before it is sealed; it is delivered byte for byte whatever is found.

`check_receipt` is quick, opens nothing, and refuses what cannot be a ticket. `inspect` opens the
PDF, in a process of its own, and tells what a cashier or an owner might want to know.
"""

import asyncio
import json
from dataclasses import dataclass, fields
from typing import Any, Final

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf import sandbox
from e2ee_ticket.protocol.envelope import MAX_SIZE, OVERHEAD_SIZE
from e2ee_ticket.protocol.ticket import HEADER_MAX_SIZE, PREFIX_SIZE

PREVIEW_ROOM_SIZE: Final = 48 * 1024
RECEIPT_MAX_SIZE: Final = (
    MAX_SIZE - OVERHEAD_SIZE - PREFIX_SIZE - HEADER_MAX_SIZE - PREVIEW_ROOM_SIZE
)
MARK_WITHIN_SIZE: Final = 1024

_RESULT_MAX_SIZE = 64 * 1024
_FACTURX = frozenset({"factur-x.xml", "zugferd-invoice.xml", "xrechnung.xml", "order-x.xml"})
_KINDS = {
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG": "a PNG picture",
    b"PK\x03\x04": "a ZIP file or an office document",
    b"\xd0\xcf\x11\xe0": "an office document",
    b"%!PS": "PostScript",
    b"{\\rtf": "a text document",
    b"<": "a web page or XML",
    b"\x1b@": "the bytes of a receipt printer",
}


def check_receipt(receipt: bytes) -> None:
    """Refuse what cannot be delivered as a receipt, whatever is inside.

    Raises:
        ReceiptError: empty, no PDF, or too large to be sealed with its header and preview.
    """
    if not receipt:
        raise ReceiptError("the file is empty: was it still being written?")
    if b"%PDF-" not in receipt[:MARK_WITHIN_SIZE]:
        kind = next((kind for start, kind in _KINDS.items() if receipt.startswith(start)), None)
        instead = f", but {kind}" if kind else ""
        raise ReceiptError(f"this is not a PDF{instead}: save or print it as a PDF first")
    if len(receipt) > RECEIPT_MAX_SIZE:
        size = len(receipt) / (1024 * 1024)
        raise ReceiptError(
            f"the receipt is too large ({size:.1f} MiB, at most 3.9):"
            " smaller pictures in it would help"
        )


def is_truncated(receipt: bytes) -> bool:
    """Tell whether the end of the PDF seems to be missing; most readers show it all the same."""
    return b"%%EOF" not in receipt[-MARK_WITHIN_SIZE:]


@dataclass(frozen=True, slots=True)
class Findings:
    """What is inside a receipt.

    Attributes:
        failure: why nothing more is known, or None if it was read.
        truncated: its end seems to be missing.
        pages: how many.
        encrypted: it asks for a password, be it to read or to change it.
        signed: it holds a signature, which any change would break.
        pdfa: the PDF/A level that it claims, such as `3B`.
        scripts: how many scripts it holds.
        launch_actions: how many actions that start a program.
        other_actions: how many actions that send a form, open another file or play something.
        external_resources: how much of it is to be loaded from elsewhere.
        external_hosts: where its links lead; hosts only, for the rest may name the customer.
        embedded_files: the names of the files inside.
    """

    failure: str | None = None
    truncated: bool = False
    pages: int = 0
    encrypted: bool = False
    signed: bool = False
    pdfa: str | None = None
    scripts: int = 0
    launch_actions: int = 0
    other_actions: int = 0
    external_resources: int = 0
    external_hosts: tuple[str, ...] = ()
    embedded_files: tuple[str, ...] = ()

    @property
    def facturx(self) -> bool:
        """Whether it holds an electronic invoice (Factur-X, ZUGFeRD, XRechnung, Order-X)."""
        return any(name.lower() in _FACTURX for name in self.embedded_files)

    @property
    def active(self) -> bool:
        """Whether it holds what does something by itself or on a touch, other than plain links."""
        return bool(
            self.scripts or self.launch_actions or self.other_actions or self.external_resources
        )

    def remarks(self) -> tuple[str, ...]:
        """Say in short sentences what somebody at the till might want to know."""
        said = (
            (self.failure and not self.encrypted, f"could not be looked into: {self.failure}"),
            (self.truncated, "its end seems to be missing: some readers may refuse it"),
            (self.encrypted and self.failure, "it is encrypted: the customer needs its password"),
            (self.encrypted and not self.failure, "it is protected against changes"),
            (self.signed, "it is signed; it is delivered unchanged"),
            (self.facturx, "it holds an electronic invoice; it is delivered unchanged"),
            (self.scripts, "it holds scripts"),
            (self.launch_actions, "it holds actions that start programs"),
            (self.other_actions, "it holds actions that open or send something"),
            (self.external_resources, "parts of it are loaded from elsewhere"),
            (self.external_hosts, f"it links to {', '.join(self.external_hosts)}"),
        )
        return tuple(sentence for holds, sentence in said if holds)


async def examine(receipt: bytes, *, timeout: float = sandbox.TIMEOUT_SECONDS) -> Findings:  # noqa: ASYNC109 - it kills a process
    """Look inside a receipt; never raises for what is in it."""
    truncated = is_truncated(receipt)
    try:
        result = await sandbox.run(receipt, "inspect", max_size=_RESULT_MAX_SIZE, timeout=timeout)
        return _findings(json.loads(result), truncated=truncated)
    except sandbox.EncryptedError as error:
        return Findings(failure=str(error), truncated=truncated, encrypted=True)
    except sandbox.ChildError as error:
        return Findings(failure=str(error), truncated=truncated)
    except (LookupError, TypeError, ValueError):
        return Findings(failure="what came is not a finding", truncated=truncated)


def inspect(receipt: bytes, *, timeout: float = sandbox.TIMEOUT_SECONDS) -> Findings:
    """Do `examine` where no event loop runs."""
    return asyncio.run(examine(receipt, timeout=timeout))


def _findings(told: dict[str, Any], *, truncated: bool) -> Findings:
    """Take what the child tells; a child that a PDF has taken over may tell anything.

    Raises:
        LookupError, TypeError: not of the form expected.
    """
    taken: dict[str, Any] = {}
    for field in fields(Findings)[2:]:
        value, default = told[field.name], field.default
        if isinstance(default, tuple):
            taken[field.name] = tuple(_plain(text) for text in value)
        elif default is None:
            taken[field.name] = None if value is None else _plain(value)
        elif type(value) is type(default):
            taken[field.name] = value
        else:
            raise TypeError(field.name)
    return Findings(truncated=truncated, **taken)


def _plain(text: str) -> str:
    """Leave out what would do something to a terminal."""
    return "".join(filter(str.isprintable, text))[:100]
