"""What the cashier sees: the newest sale large, the earlier ones a line each."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from e2ee_ticket.till.config import TillConfig
from e2ee_ticket.till.console.markup import Child, Html, join, plain, tag
from e2ee_ticket.till.console.pages.icons import icon
from e2ee_ticket.till.console.pages.layout import (
    Visit,
    button,
    clock_time,
    deed,
    field,
    foreign,
    form,
    page,
    sentence,
    when,
)
from e2ee_ticket.till.console.pages.pile import FEW, LISTED_MAX, pile_card, pile_of
from e2ee_ticket.till.console.pages.refused import refused_card
from e2ee_ticket.till.floor import Refusal, Sale
from e2ee_ticket.till.states import SaleState

EARLIER_MAX: Final = 49
_TONES: Final[Mapping[str, str]] = {
    "held": "bad",
    "checking": "busy",
    "sending": "busy",
    "sent": "busy",
    "shown": "good",
    "opened": "good",
    "saved": "good",
    "failed": "bad",
}
_FACES: Final[Mapping[SaleState, str]] = {
    SaleState.SEALED: "sending",
    SaleState.RECEIVED: "saved",
    SaleState.REPORTED: "left",
}
_WITH_END: Final = ("state.sent.text", "state.shown.text", "state.opened.text")
_DEEDS: Final = ("show", "here", "paper", "revoke", "dismiss")
_SIGNS: Final = {
    "show": "shown",
    "here": "code",
    "paper": "paper",
    "revoke": "revoked",
    "dismiss": "left",
}


def face(sale: Sale) -> str:
    """Choose the word for a sale's state, as the cashier thinks of it."""
    if sale.state == SaleState.STORED:
        return "shown" if sale.on_screen and sale.shown else "sent"
    if sale.state == SaleState.HELD and sale.warning is None:
        return "checking"
    return _FACES.get(sale.state, str(sale.state))


def state_text(sale: Sale, *, drawn: bool, away: bool) -> str | None:
    """Choose the sentence for a sale's state, or None where the warning says it.

    `drawn` says whether this page draws the code, `away` whether the relay is known to be away.
    """
    word = face(sale)
    if sale.warning and word in ("held", "failed"):
        return None
    if drawn and word in ("sending", "sent"):
        return "state.here.text"
    if word == "sending" and sale.on_screen and sale.shown:
        return "state.shown.text"
    if word == "sent" and not sale.seen:
        return "state.unseen.text"
    if word == "sent" and away:
        return "state.waits.text"
    return f"state.{word}.text"


def choose_page(visit: Visit, tills: Sequence[TillConfig]) -> Html:
    """Ask which of several tills this is."""
    say = visit.say
    return page(
        visit,
        "till",
        say("choose"),
        tag("h1", say("choose")),
        tag("p", say("choose.text"), class_="lead"),
        tag("div", (_till_link(visit, till) for till in tills),
            id="tills", class_="tills", data_live=True),
    )  # fmt: skip


def _till_link(visit: Visit, till: TillConfig) -> Html:
    latest = next(iter(visit.floor.sales(till.name, 1)), None)
    return tag(
        "a",
        tag("strong", foreign(till.name)),
        tag("span", _facts(visit, latest), " ", _state(visit, latest)) if latest else
        tag("span", visit.say("empty.short")),
        href=till_path(till.name),
        id=f"till-{quote(till.name, safe='')}",
    )  # fmt: skip


def till_path(till: str) -> str:
    """Return the address of a till's page."""
    return "/till/" + quote(till, safe="")


def till_page(
    visit: Visit,
    sales: Sequence[Sale],
    codes: Mapping[int, Html],
    *,
    back: str,
    till: TillConfig | None,
    sources: Sequence[str],
    refused: Sequence[Refusal],
) -> Html:
    """Show what goes on at a till."""
    say = visit.say
    newest = sales[0] if sales else None
    pile = pile_of(sales)
    pile = pile if len(pile) > FEW else []
    rows = [_row(visit, sale, waits=True) for sale in pile[:LISTED_MAX]]
    piled = {sale.number for sale in pile}
    waiting = [sale for sale in sales[1:] if sale.warning and sale.number not in piled]
    earlier = [sale for sale in sales[1:] if not sale.warning][:EARLIER_MAX]
    return page(
        visit,
        "till",
        foreign_title(till) or say("till"),
        tag("h1", foreign_title(till) or say("till"), class_=None if till else "unseen"),
        tag(
            "div",
            tag(
                "section",
                _card(visit, newest, codes, back) if newest else _empty(visit),
                refused_card(visit, refused, back=back),
                (_card(visit, sale, codes, back, small=True) for sale in waiting),
                aria_label=say("newest"),
                class_="now",
            ),
            tag(
                "section",
                pile_card(visit, pile, rows, till) if pile else None,
                tag("h2", say("earlier")),
                tag("ol", (_row(visit, sale) for sale in earlier), class_="rows") if earlier
                else tag("p", say("earlier.none"), class_="quiet"),
                class_="earlier",
            ),
            id="sales",
            class_="floor",
            data_live=True,
            data_say=_announce(visit, newest) if newest else None,
        ),
        look_up_form(visit, sources, back=back, till=till.name if till else None),
        wide=True,
    )  # fmt: skip


def waiting_page(visit: Visit, pile: Sequence[Sale], *, till: TillConfig | None, back: str) -> Html:
    """List all sales that wait, with what can be done with all of them."""
    say = visit.say
    rows = [_row(visit, sale, waits=True) for sale in pile]
    return page(
        visit,
        "till",
        say("pile", n=len(pile)),
        tag("p", tag("a", icon("back"), say("back"), href=back, class_="back")),
        tag("h1", say("pile", n=len(pile)), class_="unseen"),
        pile_card(visit, pile, rows, till, opened=True),
    )


def foreign_title(till: TillConfig | None) -> str | None:
    """Return a till's name where there are several."""
    return plain(till.name, 60) if till else None


def sale_page(visit: Visit, sale: Sale, codes: Mapping[int, Html], *, back: str) -> Html:
    """Show one sale, with all that can be done about it."""
    say = visit.say
    return page(
        visit,
        "till",
        say("sale"),
        tag("p", tag("a", icon("back"), say("back"), href=back, class_="back")),
        tag("h1", say("sale"), class_="unseen"),
        tag("div", _card(visit, sale, codes, f"/sale/{sale.number}"), id="sales", class_="now one",
            data_live=True, data_say=_announce(visit, sale)),
    )  # fmt: skip


def revoke_page(visit: Visit, sale: Sale, *, back: str) -> Html:
    """Ask once, before a receipt is taken back."""
    say = visit.say
    return page(
        visit,
        "till",
        say("revoke.title"),
        tag(
            "div",
            tag("h1", say("revoke.title")),
            tag("p", tag("strong", _total(visit, sale)), tag("br"), _facts(visit, sale)),
            tag("p", say("revoke.text")),
            tag(
                "div",
                deed(visit, f"/sale/{sale.number}/revoke", say("revoke.yes"), sign="revoked",
                     values=(("back", back),), class_="danger"),
                tag("a", say("revoke.no"), href=back, class_="button"),
                class_="deeds",
            ),
            class_="paper ask",
        ),
    )  # fmt: skip


def paper_page(visit: Visit, address: str, *, back: str) -> Html:
    """Show the receipt's PDF and open the print dialog."""
    say = visit.say
    return page(
        visit,
        "till",
        say("paper.title"),
        tag("h1", say("paper.title")),
        tag(
            "div",
            button(say("paper.print"), sign="printer", id="print", type="button",
                   class_="first", hidden=True),
            tag("a", say("paper.open"), href=address, target="_blank", rel="noopener",
                class_="button"),
            tag("a", say("paper.done"), href=back, class_="button"),
            class_="deeds",
        ),
        tag("iframe", src=address, title=say("paper.title"), id="receipt"),
        wide=True,
    )  # fmt: skip


def _empty(visit: Visit) -> Html:
    return tag(
        "article",
        icon("paper"),
        tag("p", visit.say("empty"), class_="total"),
        tag("p", visit.say("empty.text")),
        class_="paper card empty",
    )


def _card(
    visit: Visit, sale: Sale, codes: Mapping[int, Html], back: str, *, small: bool = False
) -> Html:
    code = codes.get(sale.number)
    classes = ["paper", "card", _TONES.get(face(sale), "over")]
    classes += ["small"] if small else []
    classes += ["with-code"] if code else []
    classes += ["with-warning"] if sale.warning else []
    return tag(
        "article",
        tag(
            "div",
            tag("p", _facts(visit, sale, full=True), class_="facts"),
            tag("p", _total(visit, sale), class_="total" if sale.total else "total named"),
            class_="head",
        ),
        _warning(visit, sale, back) if sale.warning else None,
        _code(visit, code) if code else None,
        tag(
            "div",
            tag("p", _state(visit, sale), _state_text(visit, sale, code), class_="state-line"),
            _deeds(visit, sale, back, code is not None),
            _remarks(visit, sale),
            class_="beside",
        ),
        class_=" ".join(classes),
        id=f"sale-{sale.number}",
    )


def _code(visit: Visit, code: Html) -> Html:
    say = visit.say
    return tag(
        "figure",
        tag("div", code, role="img", aria_label=say("code"), class_="qr"),
        tag("figcaption", say("code.text")),
    )


def _state(visit: Visit, sale: Sale) -> Html:
    word = face(sale)
    tone = _TONES.get(word, "over")
    return tag("span", icon(word), visit.say(f"state.{word}"), class_=f"state {tone}")


def _state_text(visit: Visit, sale: Sale, code: Html | None) -> Child:
    say = visit.say
    away = visit.floor.relay().away_since is not None
    text = state_text(sale, drawn=code is not None, away=away)
    if text is None:
        return None
    until = None
    if sale.expires_at is not None and text in _WITH_END:
        until = join(" ", say("until"), " ", when(visit, sale.expires_at), ".")
    return tag("span", say(text), until)


def _warning(visit: Visit, sale: Sale, back: str) -> Html:
    """Say what is wrong with a sale, with the one or two things that help."""
    say = visit.say
    helping = [name for name in ("paper", "show", "here") if name in sale.actions][:2]
    return tag(
        "div",
        icon("warning"),
        tag(
            "div",
            tag("h2", sentence(say, sale.warning or "")),
            tag("p", sentence(say, sale.hint)) if sale.hint else None,
            tag("ul", (tag("li", sentence(say, each)) for each in sale.also), class_="also")
            if sale.also else None,
            tag(
                "div",
                (
                    _deed(visit, sale, name, back, class_="first" if at == 0 else "second")
                    for at, name in enumerate(helping)
                ),
                class_="deeds",
            ) if helping else None,
        ),
        class_="warning",
    )  # fmt: skip


def _deeds(visit: Visit, sale: Sale, back: str, with_code: bool) -> Html | None:  # noqa: FBT001
    taken = [name for name in ("paper", "show", "here") if name in sale.actions][:2]
    names = [
        name
        for name in _DEEDS
        if name in sale.actions and not (sale.warning and name in taken)
        and not (name == "here" and with_code)
    ]  # fmt: skip
    buttons = [
        _deed(
            visit,
            sale,
            name,
            back,
            class_="first" if name == "show" and not sale.warning and not with_code else
            "quiet" if name in ("revoke", "dismiss") else "second",
        )
        for name in names
    ]  # fmt: skip
    if with_code:
        hide = deed(visit, f"/sale/{sale.number}/hide", visit.say("do.hide"), sign="failed",
                    values=(("back", back),), class_="second",
                    id_=f"hide-{sale.number}")  # fmt: skip
        buttons.insert(0, hide)
    return tag("div", buttons, class_="deeds") if buttons else None


def _deed(visit: Visit, sale: Sale, name: str, back: str, class_: str) -> Html:
    say = visit.say
    identity = f"{name}-{sale.number}"
    text = say(f"do.{name}")
    if name == "show" and sale.state == SaleState.HELD:
        text = say("do.show-now")
    label = f"{text}: {_spoken(visit, sale)}"
    if name == "revoke":
        address = f"/sale/{sale.number}/revoke?back={quote(back, safe='')}"
        return tag("a", icon("revoked"), tag("span", text), href=address, class_=f"button {class_}",
                   id=identity, aria_label=label)  # fmt: skip
    return deed(visit, f"/sale/{sale.number}/{name}", text, sign=_SIGNS[name],
                values=(("back", back),), class_=class_, id_=identity, label=label)  # fmt: skip


def _remarks(visit: Visit, sale: Sale) -> Html | None:
    if not sale.remarks:
        return None
    lines = (tag("li", sentence(visit.say, remark)) for remark in sale.remarks[:8])
    return tag("div", tag("h2", visit.say("remarks")), tag("ul", lines), class_="remarks")


def _row(visit: Visit, sale: Sale, *, waits: bool = False) -> Html:
    """Write a sale in a line; of those that wait together all have one state."""
    return tag(
        "li",
        tag(
            "a",
            tag("span", when(visit, sale.at), class_="at"),
            tag("span", foreign(sale.receipt, 40), class_="number") if sale.receipt else None,
            tag("span", _total(visit, sale), class_="sum"),
            None if waits else _state(visit, sale),
            icon("next"),
            href=f"/sale/{sale.number}",
            id=f"row-{sale.number}",
        ),
    )


def _total(visit: Visit, sale: Sale) -> Html | str:
    if sale.total:
        return foreign(sale.total, 40)
    return foreign(sale.title, 60) if sale.title else visit.say("untitled")


def _facts(visit: Visit, sale: Sale, *, full: bool = False) -> Html:
    say = visit.say
    parts: list[Child] = [when(visit, sale.at)]
    if sale.receipt:
        parts.append(tag("span", say("number"), " ", foreign(sale.receipt, 40)))
    if full and sale.source:
        parts.append(tag("span", foreign(sale.source, 60)))
    spaced: list[Child] = []
    for part in parts:
        spaced += [part, tag("span", " · ", class_="dot")]
    return tag("span", spaced[:-1])


def _spoken(visit: Visit, sale: Sale) -> str:
    total = plain(sale.total or sale.title or visit.say("untitled"), 60)
    return f"{total}, {clock_time(sale.at)}"


def _announce(visit: Visit, sale: Sale) -> str:
    """Say the newest sale's state for those who do not see it."""
    said = f"{_spoken(visit, sale)}: {visit.say(f'state.{face(sale)}')}"
    return f"{said}. {visit.say.translate(plain(sale.warning))[0]}" if sale.warning else said


def look_up_form(
    visit: Visit, sources: Sequence[str], *, back: str, till: str | None, source_name: str = ""
) -> Html | None:
    """Ask for an invoice by its number."""
    if not sources:
        return None
    say = visit.say
    mark = quote(source_name, safe="")
    box = tag("input", type="text", name="number", id=f"number{mark}", required=True,
              maxlength=60, autocomplete="off", spellcheck="false",
              aria_describedby=f"number{mark}-hint")  # fmt: skip
    if len(sources) == 1:
        choice = tag("input", type="hidden", name="source", value=sources[0])
    else:
        options = (tag("option", plain(name, 60), value=name) for name in sources)
        choice = tag("select", options, name="source", aria_label=say("look-up.source"))
    return form(
        visit,
        "/look-up",
        tag("input", type="hidden", name="back", value=back),
        tag("input", type="hidden", name="till", value=till or ""),
        field(say("look-up"), join(box, choice, button(say("look-up.do"), class_="second")),
              name=f"number{mark}", hint=say("look-up.text")),
        class_="look-up",
    )  # fmt: skip
