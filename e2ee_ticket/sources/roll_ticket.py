"""A ticket of a roll: the PDF that is drawn of it, and what is known of it beside."""

from datetime import UTC, datetime

from e2ee_ticket.pdf.draw_roll import draw_roll
from e2ee_ticket.pdf.roll import Roll
from e2ee_ticket.protocol.ticket import TEXT_LIMITS, Ticket
from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.facts import file_name, issued_at


def draw_ticket(
    roll: Roll, shop: Shop, *, title: str | None, number: str | None, total: str | None
) -> Ticket:
    """Draw a roll that was printed just now; what is too long to be a fact is left out.

    Raises:
        ReceiptError: it is longer than any receipt.
    """
    now = shop.now()
    return Ticket(
        receipt=draw_roll(roll, issued=datetime.fromtimestamp(now, UTC)),
        name=file_name(number),
        title=_fitting(title, "title"),
        total=_fitting(total, "total"),
        number=_fitting(number, "number"),
        issued=issued_at(now),
        lang=shop.lang,
    )


def _fitting(text: str | None, name: str) -> str | None:
    return text if text and len(text) <= TEXT_LIMITS[name] else None
