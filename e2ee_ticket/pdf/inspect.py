"""What is inside a receipt: what a cashier or an owner might want to know.

The PDF is opened in a process of its own, and delivered byte for byte whatever is found.
"""

import asyncio
import json
from dataclasses import dataclass, fields
from typing import Any, Final

from e2ee_ticket.pdf import child, sandbox  # of the former its limits alone
from e2ee_ticket.pdf.check import begins_late, is_truncated, without_blanks

RESULT_MAX_SIZE: Final = 64 * 1024
NO_FINDING: Final = (LookupError, RecursionError, TypeError, ValueError)
"""What reading a child's word raises where it is none; JSON can be nested too deep."""
_FACTURX = frozenset({"factur-x.xml", "zugferd-invoice.xml", "xrechnung.xml", "order-x.xml"})


@dataclass(frozen=True, slots=True)
class Findings:
    """What is inside a receipt.

    Attributes:
        failure: why nothing more is known, or None if it was read.
        truncated: its end seems to be missing.
        late: so many blanks stand before its beginning that readers may not find it.
        undrawn: why there is no picture of it, where it could have been drawn wrong; else None.
        pages: how many.
        encrypted: it asks for a password, be it to read or to change it.
        signed: it holds a signature, which any change would break.
        pdfa: the PDF/A level that it claims, such as `3B`.
        scripts: how many scripts it holds.
        launch_actions: how many actions that start a program.
        other_actions: how many actions that send a form, open another file or play something.
        external_resources: how much of it is to be loaded from elsewhere.
        hidden_links: how many links nobody can see, or lead to no plain address.
        external_hosts: where its links lead; hosts only, for the rest may name the customer.
        embedded_files: the names of the files inside.
    """

    failure: str | None = None
    truncated: bool = False
    late: bool = False
    undrawn: str | None = None
    pages: int = 0
    encrypted: bool = False
    signed: bool = False
    pdfa: str | None = None
    scripts: int = 0
    launch_actions: int = 0
    other_actions: int = 0
    external_resources: int = 0
    hidden_links: int = 0
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

    def harms(self) -> tuple[str, ...]:
        """Say in short sentences what `clean` would take out."""
        return _true(
            (self.scripts, "it holds scripts"),
            (self.launch_actions, "it holds actions that start programs"),
            (self.other_actions, "it holds actions that open, send or play something"),
            (self.external_resources, "parts of it are loaded from elsewhere"),
            (self.hidden_links, "it holds a link that nobody can see"),
        )

    def remarks(self) -> tuple[str, ...]:
        """Say in short sentences what somebody at the till might want to know."""
        first = _true(
            (self.failure and not self.encrypted, f"could not be looked into: {self.failure}"),
            (self.truncated, "its end seems to be missing: some readers may refuse it"),
            (self.late, "blank lines stand before its beginning: some readers may refuse it"),
            (self.undrawn, f"the phone shows no picture of it: {self.undrawn}"),
            (self.encrypted and self.failure, "it is encrypted: the customer needs its password"),
            (self.encrypted and not self.failure, "it is protected against changes"),
            (self.signed, "it is signed; it is delivered unchanged"),
            (self.facturx, "it holds an electronic invoice; it is delivered unchanged"),
        )
        hosts = _true((self.external_hosts, f"it links to {', '.join(self.external_hosts)}"))
        return (*first, *self.harms(), *hosts)


def _true(*said: tuple[object, str]) -> tuple[str, ...]:
    return tuple(sentence for holds, sentence in said if holds)


async def examine(receipt: bytes, *, timeout: float = sandbox.TIMEOUT_SECONDS) -> Findings:  # noqa: ASYNC109 - it kills a process
    """Look inside a receipt; never raises for what is in it."""
    seen = without_blanks(receipt)
    try:
        result = await sandbox.run(seen, "inspect", max_size=RESULT_MAX_SIZE, timeout=timeout)
        return take_findings(json.loads(result), receipt)
    except sandbox.ChildError as error:
        return not_read(receipt, error)
    except NO_FINDING:
        return not_read(receipt, sandbox.ChildError("what came is not a finding"))


def not_read(receipt: bytes, error: sandbox.ChildError) -> Findings:
    """Say what is known of a receipt that could not be looked into."""
    return Findings(
        failure=str(error),
        truncated=is_truncated(receipt),
        late=begins_late(receipt),
        encrypted=isinstance(error, sandbox.EncryptedError),
    )


def inspect(receipt: bytes, *, timeout: float = sandbox.TIMEOUT_SECONDS) -> Findings:
    """Do `examine` where no event loop runs."""
    return asyncio.run(examine(receipt, timeout=timeout))


def take_findings(told: dict[str, Any], receipt: bytes) -> Findings:
    """Take what the child tells of a receipt; a child that a PDF has taken over may tell anything.

    Raises:
        LookupError, TypeError: not of the form expected.
    """
    taken: dict[str, Any] = {}
    for field in fields(Findings)[4:]:
        value, default = told[field.name], field.default
        if isinstance(default, tuple):
            taken[field.name] = tuple(_plain(text) for text in value[: child.NAMES_MAX])
        elif default is None:
            taken[field.name] = None if value is None else _plain(value)
        elif (
            type(value) is type(default)
            and isinstance(value, int)
            and 0 <= value <= child.OBJECTS_MAX
        ):
            taken[field.name] = value
        else:
            raise TypeError(field.name)
    return Findings(truncated=is_truncated(receipt), late=begins_late(receipt), **taken)


def _plain(text: str) -> str:
    """Leave out what would do something to a terminal."""
    return "".join(filter(str.isprintable, text))[:100]
