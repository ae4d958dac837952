"""What happens to a receipt that does more than lie there to be read.

`as-is`   it is delivered byte for byte, and the till says what is inside.
`clean`   what acts by itself, plays, or is to be had from elsewhere is taken out, and links that
          nobody can see, such as those of libraries that make PDFs. Links that a customer can see
          and touch stay, if they open a page, a mail or a telephone call: following one is the
          customer's decision. Pages, metadata and embedded files stay as they were. Where there
          is nothing to take out, it is delivered byte for byte. What is signed, encrypted or
          cannot be read is refused where it would have to be changed.
`refuse`  what acts, plays, is encrypted or cannot be read is refused.
"""

from dataclasses import dataclass, field
from typing import Final

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf import sandbox
from e2ee_ticket.pdf.check import RECEIPT_MAX_SIZE, check_receipt, without_blanks
from e2ee_ticket.pdf.inspect import Findings, examine
from e2ee_ticket.pdf.policies import POLICIES, Policy

_NOT_SENT: Final = "hand out paper, or set this source's policy to as-is"


@dataclass(frozen=True, slots=True)
class Judged:
    """What is delivered.

    Attributes:
        receipt: the receipt, in other bytes if it was changed.
        remarks: what the cashier and the log are told, short sentences without content.
        changed: something was taken out.
    """

    receipt: bytes = field(repr=False)
    remarks: tuple[str, ...] = ()
    changed: bool = False


async def apply_policy(
    receipt: bytes, policy: Policy, *, findings: Findings | None = None
) -> Judged:
    """Do with a receipt what its source's policy says.

    `findings` are those of `examine` or `look`, where they are known already.

    Raises:
        ReceiptError: no receipt at all, or one that the policy refuses.
        ValueError: not a policy.
    """
    if policy not in POLICIES:
        raise ValueError(f"{policy} is not a policy")
    check_receipt(receipt)
    if findings is None:
        findings = await examine(receipt)
    if policy == "as-is":
        return Judged(receipt, findings.remarks())
    if findings.failure is not None:
        raise ReceiptError(f"the receipt was not looked into ({findings.failure}): {_NOT_SENT}")
    if policy == "refuse":
        return _refuse(receipt, findings)
    return await _clean(receipt, findings)


def _refuse(receipt: bytes, findings: Findings) -> Judged:
    if findings.active or findings.encrypted:
        raise ReceiptError(f"the receipt is refused, for {_joined(findings)}: {_NOT_SENT}")
    return Judged(receipt, findings.remarks())


async def _clean(receipt: bytes, findings: Findings) -> Judged:
    if findings.encrypted:
        raise ReceiptError(f"the receipt is encrypted and cannot be cleaned: {_NOT_SENT}")
    if not findings.active and not findings.hidden_links:
        return Judged(receipt, findings.remarks())
    if findings.signed:
        raise ReceiptError(
            f"cleaning the receipt would break its signature, but {_joined(findings)}: {_NOT_SENT}"
        )
    try:
        cleaned = await sandbox.run(without_blanks(receipt), "clean", max_size=RECEIPT_MAX_SIZE)
    except sandbox.ChildError as error:
        raise ReceiptError(f"the receipt could not be cleaned ({error}): {_NOT_SENT}") from error
    check_receipt(cleaned)
    left = await examine(cleaned)
    if left.failure is not None or left.active or left.hidden_links or not _alike(left, findings):
        raise ReceiptError(f"the receipt could not be cleaned of all: {_NOT_SENT}")
    taken = tuple(f"taken out: {remark}" for remark in findings.harms())
    return Judged(cleaned, (*taken, *left.remarks()), changed=True)


def _alike(left: Findings, found: Findings) -> bool:
    """Tell whether what must survive the cleaning did."""
    return (left.pages, left.pdfa, left.embedded_files) == (
        found.pages,
        found.pdfa,
        found.embedded_files,
    )


def _joined(findings: Findings) -> str:
    found = findings.harms()
    if findings.encrypted:
        found = ("it is encrypted", *found)
    return " and ".join(found)
