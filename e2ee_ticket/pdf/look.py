"""What is inside a receipt and what it looks like, in one process: half the start-up of two."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from e2ee_ticket.pdf import sandbox
from e2ee_ticket.pdf.check import without_blanks
from e2ee_ticket.pdf.inspect import (
    NO_FINDING,
    RESULT_MAX_SIZE,
    Findings,
    examine,
    not_read,
    take_findings,
)
from e2ee_ticket.pdf.preview import MAX_SIZE, MAX_WIDTH, is_picture

_TASK: Final = ("look", str(MAX_SIZE), str(MAX_WIDTH))


def warm_up() -> None:
    """Let the libraries be loaded for the receipts to come, where that is kept; wait for it."""
    if sandbox.WARM:
        with contextlib.suppress(sandbox.ChildError):
            sandbox.run_here(b"", *_TASK, max_size=RESULT_MAX_SIZE)


async def look(
    receipt: bytes,
    *,
    timeout: float = sandbox.TIMEOUT_SECONDS,  # noqa: ASYNC109 - it kills a process
    report: Callable[[str], None] | None = None,
) -> tuple[Findings, bytes | None]:
    """Look inside a receipt and draw its first page; never raises for what is in it.

    The picture is None, after telling `report` why, where there is none. A receipt that breaks
    this is looked into once more, without drawing: it is the drawing that takes too long.
    """
    why = ""
    try:
        result = await sandbox.run(
            without_blanks(receipt), *_TASK, max_size=RESULT_MAX_SIZE + MAX_SIZE, timeout=timeout
        )
        told, _, picture = result.partition(b"\n")
        found = json.loads(told)
        if found is None:
            why = "it cannot be read"
            findings = not_read(receipt, sandbox.ChildError(why))
        else:
            findings = take_findings(found, receipt)
        if is_picture(picture):
            return findings, picture
        undrawn = sandbox.reason(picture)
        if undrawn is None:
            why = "what came is not a picture"
        elif not why:
            why = undrawn
            if undrawn in sandbox.WRONG_PICTURES:
                findings = replace(findings, undrawn=undrawn)
    except sandbox.ChildError as error:
        why = str(error)
        findings = await examine(receipt, timeout=timeout)
    except NO_FINDING:
        why = "what came is not a finding"
        findings = not_read(receipt, sandbox.ChildError(why))
    if report is not None:
        report(f"no picture of the receipt: {why}")
    return findings, None
