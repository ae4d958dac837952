"""A ticket of a roll: the PDF that is drawn of it, and what is known of it beside."""

from collections.abc import Callable
from datetime import UTC, datetime

from e2ee_ticket.pdf.draw_roll import draw_roll, remarks_on
from e2ee_ticket.pdf.roll import Roll
from e2ee_ticket.pdf.words import rest_of_roll, words_of_roll
from e2ee_ticket.protocol.ticket import TEXT_LIMITS, Ticket
from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.facts import file_name, issued_at
from e2ee_ticket.sources.roll_facts import issued_on


def draw_ticket(
    roll: Roll,
    shop: Shop,
    *,
    title: str | None,
    number: str | None,
    total: str | None,
    tell: Callable[[str], None] | None = None,
) -> Ticket:
    """Draw a roll that was printed just now, maybe again.

    What is too long to be a fact is left out. `tell` is given each remark on what could not be
    drawn as it was printed.

    Raises:
        ReceiptError: it is longer than any receipt.
    """
    if tell is not None:
        for remark in remarks_on(roll):
            tell(remark)
    now = datetime.fromtimestamp(shop.now(), UTC)
    words = words_of_roll(roll)
    rest = None if words is None else rest_of_roll(roll)
    return Ticket(
        receipt=draw_roll(roll, issued=now),
        name=file_name(number),
        title=_fitting(title, "title"),
        total=_fitting(total, "total"),
        number=_fitting(number, "number"),
        issued=issued_on(roll, now.astimezone()) or issued_at(now.timestamp()),
        lang=shop.lang,
        preview=rest,
        lines=words,
        preview_is_rest=rest is not None,
    )


def _fitting(text: str | None, name: str) -> str | None:
    return text if text and len(text) <= TEXT_LIMITS[name] else None
