"""Many sales that wait for the cashier: one card for all of them, and one question before it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from e2ee_ticket.till.config import TillConfig
from e2ee_ticket.till.console.markup import Html, tag
from e2ee_ticket.till.console.pages.icons import icon
from e2ee_ticket.till.console.pages.layout import Visit, deed, page, sentence, when
from e2ee_ticket.till.floor import Sale

FEW: Final = 3
"""So many have a card each."""
_NUMBERS_SIZE: Final = 8_000
"""So much of a request's body (app.py) may be taken up by what was asked about."""
_LESS: Final = 100
_DIGITS_MAX: Final = 15
LISTED_MAX: Final = 200
"""So many of the newest are listed on the till's page; all of them are a page of their own."""
_SIGNS: Final[Mapping[str, str]] = {"paper": "printer", "dismiss": "left"}


def waits(sale: Sale) -> bool:
    """Whether a sale went wrong and the cashier has not decided what becomes of it."""
    return sale.warning is not None and "dismiss" in sale.actions


def pile_of(sales: Sequence[Sale]) -> list[Sale]:
    """Choose those that wait, newest first; but not the newest sale, whose customer is here."""
    return [sale for sale in sales[1:] if waits(sale)]


def pile_card(
    visit: Visit,
    pile: Sequence[Sale],
    rows: Sequence[Html],
    till: TillConfig | None,
    *,
    opened: bool = False,
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
            tag("p", tag("a", say("pile.all", n=len(pile)), href=f"/pile{_query(till)}"))
            if len(rows) < len(pile) else None,
            id="pile-each",
            open=opened,
        ),
        class_="paper card small pile",
        id="pile",
    )  # fmt: skip


def write_numbers(numbers: Sequence[int]) -> str:
    """Write numbers as ranges, such as `3-90,92`."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def read_numbers(written: str) -> list[range]:
    """Read what `write_numbers` wrote; nonsense is no number."""
    runs = []
    for run in written.split(","):
        first, _, last = run.partition("-")
        ends = (first, last or first)
        if all(end.isascii() and end.isdigit() and len(end) <= _DIGITS_MAX for end in ends):
            runs.append(range(int(ends[0]), int(ends[1]) + 1))
    return runs


def can_print(visit: Visit, till: TillConfig | None) -> bool:
    """Whether a till has a printer of its own: the browser prints one receipt at a time."""
    return (till or visit.floor.tills[0]).printer is not None


def _choices(visit: Visit, till: TillConfig | None) -> Sequence[str]:
    return ("paper", "dismiss") if can_print(visit, till) else ("dismiss",)


def _choice(visit: Visit, what: str, count: int, till: TillConfig | None, class_: str) -> Html:
    return tag(
        "a",
        icon(_SIGNS[what]),
        tag("span", visit.say(f"pile.{what}", n=count)),
        href=f"/pile/{what}{_query(till)}",
        class_=f"button {class_}",
        id=f"pile-{what}",
    )


def _query(till: TillConfig | None) -> str:
    return f"?till={quote(till.name, safe='')}" if till else ""


def pile_page(
    visit: Visit, what: str, pile: Sequence[Sale], *, till: TillConfig | None, back: str
) -> Html:
    """Ask once, before something is done with all of them: with these, not with what comes next."""
    say = visit.say
    numbers, asked = "", len(pile)
    for count in range(len(pile), 0, -_LESS):  # the oldest of very many: the rest wait on
        numbers, asked = write_numbers([sale.number for sale in pile[-count:]]), count
        if len(numbers) <= _NUMBERS_SIZE:
            break
    pile, count = pile[-asked:], asked
    values = [("till", till.name if till else ""), ("sales", numbers)]
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
