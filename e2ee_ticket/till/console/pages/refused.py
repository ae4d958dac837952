"""Receipts that were not accepted: what is known of them, until somebody has seen to them."""

from collections.abc import Sequence
from typing import Final

from e2ee_ticket.till.console.markup import Html, tag
from e2ee_ticket.till.console.pages.icons import icon
from e2ee_ticket.till.console.pages.layout import Visit, deed, foreign, sentence, when
from e2ee_ticket.till.floor import Refusal

LISTED_MAX: Final = 100


def refused_card(visit: Visit, refused: Sequence[Refusal], *, back: str) -> Html | None:
    """Say how many there are and which, and let it be said that they were seen."""
    if not refused:
        return None
    say, count = visit.say, len(refused)
    listed = refused[:LISTED_MAX]
    values = [("back", back), *(("refused", each.name) for each in listed)]
    return tag(
        "article",
        tag(
            "div",
            icon("warning"),
            tag(
                "div",
                tag("h2", say("refused.one") if count == 1 else say("refused", n=count)),
                tag("p", say("refused.text")),
            ),
            tag(
                "div",
                deed(visit, "/refused/seen", say("refused.seen"), sign="well", values=values,
                     class_="first", id_="refused-seen"),
                class_="deeds",
            ),
            class_="warning",
        ),
        tag(
            "details",
            tag("summary", say("refused.each")),
            tag("ol", (_row(visit, each) for each in listed), class_="rows refused"),
            tag("p", say("refused.more", n=count - len(listed)), class_="quiet")
            if count > len(listed) else None,
            id="refused-each",
            open=count == 1,
        ),
        class_="paper card small pile",
        id="refused",
    )  # fmt: skip


def _row(visit: Visit, refusal: Refusal) -> Html:
    return tag(
        "li",
        tag(
            "div",
            tag("span", when(visit, refusal.at), class_="at"),
            tag("span", foreign(refusal.receipt, 40), class_="number") if refusal.receipt else None,
            tag("span", foreign(refusal.total, 40) if refusal.total else visit.say("untitled"),
                class_="sum"),
            tag("span", foreign(refusal.source, 40), ": ", sentence(visit.say, refusal.why),
                class_="why"),
        ),
    )  # fmt: skip
