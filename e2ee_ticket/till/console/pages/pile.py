"""Many sales that wait for the cashier: one card for all of them, and one question before it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from e2ee_ticket.till.config import TillConfig
from e2ee_ticket.till.console.markup import Html, tag
from e2ee_ticket.till.console.pages.icons import icon
from e2ee_ticket.till.console.pages.layout import Visit, deed, page, sentence, when
from e2ee_ticket.till.floor import Sale

FEW: Final = 3
"""So many have a card each."""
_SIGNS: Final[Mapping[str, str]] = {"paper": "printer", "dismiss": "left"}


def waits(sale: Sale) -> bool:
    """Whether a sale went wrong and the cashier has not decided what becomes of it."""
    return sale.warning is not None and "dismiss" in sale.actions


def pile_of(sales: Sequence[Sale]) -> list[Sale]:
    """Choose those that wait, newest first; but not the newest sale, whose customer is here."""
    return [sale for sale in sales[1:] if waits(sale)]


def pile_card(
    visit: Visit, pile: Sequence[Sale], rows: Iterable[Html], till: TillConfig | None
) -> Html:
    """Offer what can be done with all of them; each is one press further."""
    say = visit.say
    ((warning, _),) = Counter(sale.warning or "" for sale in pile).most_common(1)
    return tag(
        "article",
        tag(
            "div",
            icon("warning"),
            tag(
                "div",
                tag("h2", say("pile", n=len(pile))),
                tag("p", sentence(say, warning)),
            ),
            tag(
                "div",
                (
                    _choice(visit, what, len(pile), till, "second" if at else "first")
                    for at, what in enumerate(_choices(visit, till))
                ),
                class_="deeds",
            ),
            class_="warning",
        ),
        tag(
            "details",
            tag("summary", say("pile.each")),
            tag("ol", rows, class_="rows"),
            id="pile-each",
        ),
        class_="paper card small pile",
        id="pile",
    )


def can_print(visit: Visit, till: TillConfig | None) -> bool:
    """Whether a till has a printer of its own: the browser prints one receipt at a time."""
    return (till or visit.floor.tills[0]).printer is not None


def _choices(visit: Visit, till: TillConfig | None) -> Sequence[str]:
    return ("paper", "dismiss") if can_print(visit, till) else ("dismiss",)


def _choice(visit: Visit, what: str, count: int, till: TillConfig | None, class_: str) -> Html:
    query = f"?till={quote(till.name, safe='')}" if till else ""
    return tag(
        "a",
        icon(_SIGNS[what]),
        tag("span", visit.say(f"pile.{what}", n=count)),
        href=f"/pile/{what}{query}",
        class_=f"button {class_}",
        id=f"pile-{what}",
    )


def pile_page(
    visit: Visit, what: str, pile: Sequence[Sale], *, till: TillConfig | None, back: str
) -> Html:
    """Ask once, before something is done with all of them: with these, not with what comes next."""
    say = visit.say
    count = len(pile)
    values = [("till", till.name if till else ""), *(("sale", str(sale.number)) for sale in pile)]
    first, last = when(visit, pile[-1].at), when(visit, pile[0].at)
    return page(
        visit,
        "till",
        say(f"pile.{what}.title", n=count),
        tag(
            "div",
            tag("h1", say(f"pile.{what}.title", n=count)),
            tag("p", first, *((" \u2013 ", last) if last != first else ()), class_="facts"),
            tag("p", say(f"pile.{what}.text")),
            tag(
                "div",
                deed(visit, f"/pile/{what}", say(f"pile.{what}.yes", n=count), sign=_SIGNS[what],
                     values=values, class_="danger" if what == "dismiss" else "first"),
                tag("a", say("pile.no"), href=back, class_="button"),
                class_="deeds",
            ),
            class_="paper ask",
        ),
    )  # fmt: skip
