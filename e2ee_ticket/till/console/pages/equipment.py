"""What the owner sets up: each till's screen and printer, old tablets, tests."""

from collections.abc import Sequence

from e2ee_ticket.sources import Finding
from e2ee_ticket.till import lan_pages
from e2ee_ticket.till.config import TillConfig
from e2ee_ticket.till.console.markup import Html, join, plain, tag
from e2ee_ticket.till.console.pages.icons import icon
from e2ee_ticket.till.console.pages.layout import (
    Visit,
    button,
    deed,
    field,
    foreign,
    form,
    page,
    sentence,
)


def tills_section(visit: Visit) -> Html:
    """Ask which display faces the customers of a till, and which printer prints its paper."""
    say = visit.say
    tills = visit.floor.tills
    return tag(
        "section",
        tag("h2", say("tills.title")),
        (_till(visit, number, till) for number, till in enumerate(tills, 1)),
        class_="stack",
        id="tills",
    )


def _till(visit: Visit, number: int, till: TillConfig) -> Html:
    say = visit.say
    names = [display.name for display in visit.floor.displays()]
    choice = None
    # One till with one display needs no choice: they are each other's.
    if len(names) > 1 or (names and len(visit.floor.tills) > 1) or till.display is not None:
        chosen = (till.display or "").casefold()
        gone = [] if not chosen or chosen in map(str.casefold, names) else [till.display or ""]
        options = [("", say("till.display.none")), *((name, name) for name in [*names, *gone])]
        mark = f"display{number}"
        select = tag(
            "select",
            (tag("option", plain(text, 60), value=value, selected=value.casefold() == chosen)
             for value, text in options),
            name="display", id=mark, aria_describedby=f"{mark}-hint",
        )  # fmt: skip
        choice = field(say("till.display"), select, name=mark, hint=say("till.display.text"))
    mark = f"printer{number}"
    box = tag("input", type="text", name="printer", id=mark, value=till.printer or "",
              maxlength=100, autocomplete="off", spellcheck="false", placeholder="192.168.1.50",
              aria_describedby=f"{mark}-hint")  # fmt: skip
    return form(
        visit,
        "/displays/till",
        tag("h3", foreign(till.name, 60)),
        tag("input", type="hidden", name="till", value=till.name),
        choice,
        field(say("till.printer"), box, name=mark, hint=say("till.printer.text")),
        tag("div", button(say("save"), class_="second",
                          aria_label=f"{say('save')}: {plain(till.name, 60)}"), class_="deeds"),
        class_="paper settings",
    )  # fmt: skip


def lan_section(visit: Visit) -> Html:
    """Say whether old tablets have the page from this computer, and where."""
    say = visit.say
    on = visit.floor.config.lan is not None
    addresses = visit.floor.lan_addresses()
    return tag(
        "section",
        tag("h2", say("lan.title")),
        tag("p", say("lan.on" if on else "lan.off")),
        tag("ul", (tag("li", tag("code", plain(address))) for address in addresses))
        if addresses else None,
        tag("div", tag("a", say("lan.about"), href="/displays/lan", class_="button"),
            class_="deeds"),
        class_="paper",
        id="lan",
    )  # fmt: skip


def lan_page(visit: Visit) -> Html:
    """Say what serving the page in the shop's network means, before it is switched on."""
    say = visit.say
    on = visit.floor.config.lan is not None
    switch = button(say("lan.switch-off" if on else "lan.switch-on"),
                    class_="second" if on else "danger")  # fmt: skip
    return page(
        visit,
        "displays",
        say("lan.title"),
        form(
            visit,
            "/displays/lan",
            tag("h1", say("lan.title")),
            tag("p", say("lan.text")),
            tag("div", icon("warning"),
                tag("div", tag("h2", say("lan.risk")), tag("p", lan_pages.risk(say.lang))),
                class_="warning"),
            tag("input", type="hidden", name="on", value="" if on else "yes"),
            tag("div", switch, tag("a", say("back"), href="/displays", class_="button"),
                class_="deeds"),
            class_="paper ask",
        ),
    )  # fmt: skip


def lan_way(visit: Visit, code: Html | None, short_address: str | None) -> Html | None:
    """Show how an old tablet is paired: by a code of its own, or by a short address."""
    if code is None and short_address is None:
        return None
    say = visit.say
    drawn = (
        tag("div", tag("div", code, role="img", aria_label=say("pairing.old.code"), class_="qr"),
            class_="pairing-code")
        if code is not None else None
    )  # fmt: skip
    typed = (
        join(tag("h3", say("pairing.short")), tag("p", tag("code", plain(short_address))),
             tag("p", say("pairing.short.text")))
        if short_address is not None else None
    )  # fmt: skip
    return tag(
        "details",
        tag("summary", say("pairing.old")),
        tag("p", say("pairing.old.text")) if drawn is not None else None,
        drawn,
        typed,
        class_="paper",
        open=True,
    )


def test_button(visit: Visit) -> Html:
    """Offer to test relay and ticket page now."""
    return tag("div", deed(visit, "/relay/test", visit.say("test"), sign="shown", class_="second"),
               class_="deeds")  # fmt: skip


def tested_page(visit: Visit, found: Sequence[tuple[str, Finding]]) -> Html:
    """Show what a test of relay and ticket page found."""
    say = visit.say
    well = all(finding.ok for _, finding in found)
    return page(
        visit,
        "relay",
        say("test.title"),
        tag("h1", say("test.title")),
        tag("p", say("test.well" if well else "test.bad"), class_="lead"),
        tag("ul", (_finding(visit, place, finding) for place, finding in found),
            class_="parts found", id="found"),
        tag("div", deed(visit, "/relay/test", say("test.again"), class_="second"),
            tag("a", say("back"), href="/relay", class_="button"), class_="deeds"),
    )  # fmt: skip


def _finding(visit: Visit, place: str, finding: Finding) -> Html:
    say = visit.say
    key = f"place.{place}"
    return tag(
        "li",
        tag("span", icon("sent" if finding.ok else "failed"),
            class_=f"state sign {'good' if finding.ok else 'bad'}"),
        tag("strong", say(key) if key in say else foreign(place, 60)),
        tag("div", tag("p", sentence(say, finding.text)),
            tag("p", sentence(say, finding.hint), class_="quiet") if finding.hint else None),
    )  # fmt: skip
