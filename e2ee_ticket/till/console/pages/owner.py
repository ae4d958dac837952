"""What the owner sees: what is wrong, displays, sources, shop, relay."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from e2ee_ticket.protocol.channel import PairingLink
from e2ee_ticket.till.console.markup import Child, Html, join, plain, tag
from e2ee_ticket.till.console.pages.cashier import look_up_form
from e2ee_ticket.till.console.pages.equipment import (
    lan_section,
    lan_way,
    test_button,
    tills_section,
)
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
    when,
)
from e2ee_ticket.till.console.words import LANGUAGES
from e2ee_ticket.till.floor import DisplayState, SourceState, Trouble

KEEP_SECONDS: Final = (3600, 21_600, 86_400, 259_200, 604_800)
"""How long the relay may be asked to keep what nobody opened; an hour to a week."""

_GROUP_SIZE: Final = 5


def troubles_page(visit: Visit) -> Html:
    """Say what is wrong and what to do about it, or that all is well."""
    say = visit.say
    troubles = visit.floor.troubles()
    return page(
        visit,
        "troubles",
        say("troubles.title"),
        tag(
            "div",
            tag("h1", say("troubles.title")) if troubles else
            join(icon("well"), tag("h1", say("all-well"))),
            None if troubles else tag("p", say("all-well.text")),
            (_trouble(visit, trouble) for trouble in troubles),
            id="state",
            class_="stack" if troubles else "stack calm",
            data_live=True,
        ),
        tag(
            "div",
            tag("h2", say("parts")),
            tag("ul", _parts(visit), class_="parts"),
            id="parts",
            data_live=True,
        ),
    )  # fmt: skip


def _trouble(visit: Visit, trouble: Trouble, *, placed: bool = True) -> Html:
    say = visit.say
    key = f"place.{trouble.place}"
    place = say(key) if key in say else trouble.place
    return tag(
        "div",
        icon("warning"),
        tag(
            "div",
            tag("p", tag("bdi", plain(place, 60)), class_="place") if placed else None,
            tag("h2", sentence(say, trouble.text)),
            tag("p", sentence(say, trouble.hint)) if trouble.hint else None,
            tag("p", say("since"), " ", when(visit, trouble.since), class_="quiet"),
            tag(
                "div",
                deed(
                    visit,
                    "/troubles/seen",
                    say("refused.seen"),
                    sign="well",
                    values=(("seen", trouble.seen),),
                    class_="second",
                ),
                class_="deeds",
            )
            if trouble.seen
            else None,
        ),
        class_="warning",
    )


def _parts(visit: Visit) -> list[Html]:
    say = visit.say
    floor = visit.floor
    relay, audit = floor.relay(), floor.page()
    lines = [
        _part(say("relay.tab"), say("relay.away") if relay.away_since else say("relay.there"),
              ok=not relay.away_since, to="/relay"),
        _part(say("ticket-page"), say(f"page.{audit.state}"), to="/relay",
              ok={"ok": True, "unknown": None}.get(audit.state, False)),
    ]  # fmt: skip
    lines += [
        _part(display.name, say("display.there" if display.connected else "display.away"),
              ok=display.connected and display.trouble is None, to="/displays")
        for display in floor.displays()
    ]  # fmt: skip
    lines += [
        _part(source.name, _last(visit, source), ok=source.trouble is None, to="/sources")
        for source in floor.sources()
    ]
    return lines


def _part(name: str, text: Child, *, ok: bool | None, to: str) -> Html:
    sign = "left" if ok is None else "sent" if ok else "failed"
    tone = "over" if ok is None else "good" if ok else "bad"
    return tag(
        "li",
        tag(
            "a",
            tag("span", icon(sign), class_=f"state sign {tone}"),
            tag("strong", foreign(name, 60)),
            tag("span", text),
            href=to,
        ),
    )


# Displays


def displays_page(visit: Visit) -> Html:
    """Show the paired displays, and a form to pair another."""
    say = visit.say
    displays = visit.floor.displays()
    box = tag("input", type="text", name="name", id="name", required=True, maxlength=60,
              autocomplete="off", aria_describedby="name-hint")  # fmt: skip
    return page(
        visit,
        "displays",
        say("displays.tab"),
        tag("h1", say("displays.tab")),
        tag(
            "div",
            (_display(visit, display) for display in displays),
            None if displays else tag("p", say("displays.none"), class_="lead"),
            id="state",
            class_="stack",
            data_live=True,
        ),
        form(
            visit,
            "/displays/pair",
            tag("h2", say("pair.new")),
            field(say("pair.name"), join(box, button(say("pair"), class_="first")), name="name",
                  hint=say("pair.name.text")),
            class_="paper settings",
        ),
        tills_section(visit),
        lan_section(visit),
    )  # fmt: skip


def _display(visit: Visit, display: DisplayState) -> Html:
    say = visit.say
    named = (("name", display.name),)
    tills = ", ".join(plain(till, 60) for till in display.tills)
    present = f"present.{display.present}"
    shows = say(present) if display.connected and present in say else None
    return tag(
        "section",
        tag("h2", foreign(display.name, 60)),
        tag(
            "p",
            tag(
                "span",
                icon("sent" if display.connected else "failed"),
                say("display.there" if display.connected else "display.away"),
                class_="state good" if display.connected else "state bad",
            ),
            tag("span", shows) if shows else None,
            tag("span", say("display.tills", tills=tills)) if tills else None,
            class_="state-line",
        ),
        _trouble(visit, display.trouble, placed=False) if display.trouble else None,
        tag(
            "div",
            deed(visit, "/displays/test", say("display.test"), sign="shown", values=named,
                 class_="second", id_=f"test-{quote(display.name, safe='')}",
                 label=f"{say('display.test')}: {plain(display.name, 60)}"),
            tag("a", say("display.unpair"), class_="button quiet",
                href=f"/displays/unpair?name={quote(display.name, safe='')}",
                id=f"unpair-{quote(display.name, safe='')}",
                aria_label=f"{say('display.unpair')}: {plain(display.name, 60)}"),
            class_="deeds",
        ),
        class_="paper",
    )  # fmt: skip


def pairing_page(
    visit: Visit,
    name: str,
    link: PairingLink,
    code: Html,
    *,
    lan_code: Html | None = None,
    short_address: str | None = None,
) -> Html:
    """Show what a tablet needs to become this display; once, and nowhere else."""
    say = visit.say
    digits = link.digits()
    groups = [digits[i : i + _GROUP_SIZE] for i in range(0, len(digits), _GROUP_SIZE)]
    address = f"{link.page}/d"
    return page(
        visit,
        "displays",
        say("pairing"),
        tag("h1", say("pairing.title", name=plain(name, 60))),
        tag(
            "div",
            tag("figure", tag("div", code, role="img", aria_label=say("pairing.code"),
                              class_="qr"), class_="pairing-code"),
            tag(
                "ol",
                tag("li", tag("h2", say("pairing.scan")), tag("p", say("pairing.scan.text"))),
                tag(
                    "li",
                    tag("h2", say("pairing.digits")),
                    tag("p", say("pairing.digits.text"), " ", tag("code", plain(address))),
                    tag("p", ((tag("span", group), " ") for group in groups), class_="digits"),
                ),
                class_="ways",
            ),
            class_="paper pairing",
        ),
        lan_way(visit, lan_code, short_address),
        tag("p", icon("warning"), tag("span", say("pairing.once")), class_="note"),
        _waiting(visit, name),
        tag("p", tag("a", say("pairing.done"), href="/displays", class_="button")),
        wide=True,
    )  # fmt: skip


def waiting_page(visit: Visit, name: str) -> Html:
    """Say whether a display that is being paired has come; the pairing itself is not repeated."""
    return page(visit, "displays", visit.say("pairing"), _waiting(visit, name))


def _waiting(visit: Visit, name: str) -> Html:
    say = visit.say
    here = any(one.connected for one in visit.floor.displays() if one.name == name)
    return tag(
        "p",
        tag(
            "span",
            icon("sent" if here else "expired"),
            say("pairing.here" if here else "pairing.waiting", name=plain(name, 60)),
            class_="state good" if here else "state busy",
        ),
        id="waiting",
        data_live=True,
        data_from=f"/displays/waiting?name={quote(name, safe='')}",
        data_say=say("pairing.here", name=plain(name, 60)) if here else None,
    )


def unpair_page(visit: Visit, name: str) -> Html:
    """Ask once, before a display is unpaired."""
    say = visit.say
    forget = tag("input", type="checkbox", name="forget", value="yes", id="forget",
                 aria_describedby="forget-hint")  # fmt: skip
    return page(
        visit,
        "displays",
        say("unpair.title"),
        form(
            visit,
            "/displays/unpair",
            tag("h1", say("unpair.title")),
            tag("p", tag("strong", foreign(name, 60))),
            tag("p", say("unpair.text")),
            tag("input", type="hidden", name="name", value=name),
            tag("p", forget, tag("label", say("unpair.forget"), for_="forget"),
                tag("small", say("unpair.forget.text"), id="forget-hint"), class_="check"),
            tag(
                "div",
                button(say("unpair.yes"), class_="danger"),
                tag("a", say("unpair.no"), href="/displays", class_="button"),
                class_="deeds",
            ),
            class_="paper ask",
        ),
    )  # fmt: skip


# Sources


def sources_page(visit: Visit) -> Html:
    """Show where receipts come from, and how to set each up."""
    say = visit.say
    sources = visit.floor.sources()
    return page(
        visit,
        "sources",
        say("sources.tab"),
        tag("h1", say("sources.tab")),
        tag("p", say("sources.text"), class_="lead"),
        None if sources else tag("p", say("sources.none"), tag("br"),
                                 tag("code", "e2ee-ticket setup"), class_="lead"),
        (_source(visit, source) for source in sources),
    )  # fmt: skip


def _source(visit: Visit, source: SourceState) -> Html:
    say = visit.say
    kind = source.kind if f"kind.{source.kind}" in say else "other"
    well = source.trouble is None
    mark = quote(source.name, safe="")
    return tag(
        "section",
        tag("h2", foreign(source.name, 60)),
        tag(
            "div",
            tag(
                "p",
                tag(
                    "span",
                    icon("sent" if well else "failed"),
                    say("source.well" if well else "source.bad"),
                    class_="state good" if well else "state bad",
                ),
                tag("span", _last(visit, source)),
                class_="state-line",
            ),
            _trouble(visit, source.trouble, placed=False) if source.trouble else None,
            id=f"source-{mark}",
            class_="stack",
            data_live=True,
        ),
        tag("p", say(f"kind.{kind}"), " → ", foreign(source.till, 60), class_="quiet"),
        look_up_form(visit, [source.name], back="/sources", till=source.till,
                     source_name=source.name) if source.can_look_up else None,
        tag(
            "details",
            tag("summary", say("how-to")),
            (tag("p", line) for line in say(f"how-to.{kind}").split("\n")),
        ),
        class_="paper",
    )  # fmt: skip


def _last(visit: Visit, source: SourceState) -> Html:
    say = visit.say
    if source.last_at is None:
        return tag("span", say("source.never"))
    return tag("span", say("source.last"), " ", when(visit, source.last_at))


# Shop and relay


def shop_page(visit: Visit) -> Html:
    """Ask for what customers see of the shop, and how receipts are handed over."""
    say = visit.say
    config = visit.floor.config
    shop = tag("input", type="text", name="shop", id="shop", maxlength=60, autocomplete="off",
               value=config.shop or "", aria_describedby="shop-hint")  # fmt: skip
    seconds = tag("input", type="number", name="ticket_seconds", id="ticket_seconds", min=1,
                  max=120, required=True, value=config.ticket_seconds, inputmode="numeric",
                  aria_describedby="ticket_seconds-hint")  # fmt: skip
    lang = (config.lang or "").partition("-")[0].lower()
    languages = dict(LANGUAGES)
    if config.lang and lang not in languages:
        languages[lang] = config.lang
    names = {
        key: config.lang if config.lang and key == lang else key for key in languages
    }  # fr-CH stays fr-CH when French is chosen
    options = {names[key]: text for key, text in languages.items()}
    notices = {code: (code, text) for code, text in say.notices.items()}
    if config.notice and config.notice not in notices:
        notices[config.notice] = (config.notice, say("notice.none.text"))
    return page(
        visit,
        "shop",
        say("shop.tab"),
        tag("h1", say("shop.tab")),
        form(
            visit,
            "/shop",
            field(say("shop.name"), shop, name="shop", hint=say("shop.name.text")),
            field(say("shop.lang"), _select("lang", options, config.lang or ""), name="lang",
                  hint=say("shop.lang.text")),
            tag(
                "fieldset",
                tag("legend", say("notice")),
                tag("p", say("notice.text"), class_="hint"),
                _radio("notice", "", config.notice or "", say("notice.none"), None),
                (
                    _radio("notice", code, config.notice or "",
                           say(f"country.{code}") if f"country.{code}" in say else code,
                           f"« {text} »" if visit.say.lang == "fr" else f"“{text}”")
                    for code, text in notices.values()
                ),
            ),
            tag(
                "fieldset",
                tag("legend", say("policy")),
                _radio("paper", "ask", config.paper, say("policy.ask"), say("policy.ask.text")),
                _radio("paper", "always", config.paper, say("policy.always"),
                       say("policy.always.fr" if config.notice == "FR" else "policy.always.text")),
            ),
            tag(
                "fieldset",
                tag("legend", say("clear")),
                _radio("clear_on", "opened", config.clear_on, say("clear.opened"),
                       say("clear.opened.text")),
                _radio("clear_on", "received", config.clear_on, say("clear.received"),
                       say("clear.received.text")),
            ),
            field(say("seconds"), seconds, name="ticket_seconds", hint=say("seconds.text"),
                  class_="short"),
            tag("div", button(say("save"), class_="first"), class_="deeds"),
            class_="paper settings",
        ),
        tag(
            "section",
            tag("h2", say("sessions")),
            tag("p", say("sessions.text")),
            tag(
                "div",
                deed(visit, "/leave", say("leave"), class_="second"),
                deed(visit, "/leave-others", say("leave-others"), class_="second"),
                class_="deeds",
            ),
            class_="paper",
        ),
    )  # fmt: skip


def relay_page(visit: Visit) -> Html:
    """Say how relay and ticket page are, and ask for their addresses and the permit."""
    say = visit.say
    config = visit.floor.config
    permit_now = say("permit.set" if visit.floor.relay().permit else "permit.none")
    keep = {"": say("keep.default")} | {str(s): say(f"keep.{s}") for s in KEEP_SECONDS}
    kept = "" if config.keep_seconds is None else str(config.keep_seconds)
    keep.setdefault(kept, say("keep.seconds", n=kept))
    return page(
        visit,
        "relay",
        say("relay.tab"),
        tag("h1", say("relay.tab")),
        _relay_state(visit),
        form(
            visit,
            "/relay",
            field(say("relay.address"), _address("relay", config.relay), name="relay",
                  hint=say("relay.address.text")),
            field(say("page.address"), _address("page", config.page, required=False), name="page",
                  hint=say("page.address.text")),
            field(say("permit"), tag("input", type="password", name="permit", id="permit",
                                     maxlength=43, autocomplete="off", spellcheck="false",
                                     aria_describedby="permit-hint"),
                  name="permit", hint=join(permit_now, " ", say("permit.text"))),
            tag("p", tag("input", type="checkbox", name="no_permit", value="yes", id="no_permit"),
                tag("label", say("permit.remove"), for_="no_permit"), class_="check")
            if visit.floor.relay().permit else None,
            field(say("keep"), _select("keep_seconds", keep, kept), name="keep_seconds",
                  hint=say("keep.text")),
            tag("div", button(say("save"), class_="first"), class_="deeds"),
            class_="paper settings",
        ),
    )  # fmt: skip


def _relay_state(visit: Visit) -> Html:
    say = visit.say
    relay, audit = visit.floor.relay(), visit.floor.page()
    away = relay.away_since
    mode = None if relay.mode is None or away else say(f"mode.{relay.mode}")
    audit_tone = {"ok": "good", "unknown": "over"}.get(audit.state, "bad")
    audit_sign = {"ok": "sent", "unknown": "left"}.get(audit.state, "failed")
    return tag(
        "section",
        tag("h2", tag("bdi", plain(relay.origin, 120)), class_="address"),
        tag(
            "p",
            tag("span", icon("failed" if away else "sent"),
                say("relay.away" if away else "relay.there"),
                class_="state bad" if away else "state good"),
            join(say("since"), " ", when(visit, away)) if away else None,
            tag("span", mode) if mode else None,
            tag("span", say("permit.set" if relay.permit else "permit.none")),
            class_="state-line",
        ),
        tag("h2", tag("bdi", plain(audit.origin, 120)), class_="address")
        if audit.origin != relay.origin else None,
        tag(
            "p",
            tag("span", icon(audit_sign), say(f"page.{audit.state}"),
                class_=f"state {audit_tone}"),
            tag("span", say("page.checked"), " ", when(visit, audit.checked_at))
            if audit.checked_at else None,
            class_="state-line",
        ),
        tag("p", say(f"page.{audit.state}.text"), class_="quiet"),
        test_button(visit),
        class_="paper",
        id="state",
        data_live=True,
    )  # fmt: skip


def _address(name: str, value: str | None, *, required: bool = True) -> Html:
    return tag("input", type="url", name=name, id=name, value=value or "", required=required,
               maxlength=200, autocomplete="off", spellcheck="false", placeholder="https://",
               aria_describedby=f"{name}-hint")  # fmt: skip


def _select(name: str, options: Mapping[str, str], chosen: str) -> Html:
    shown = dict(options)
    if chosen not in shown:
        shown = {chosen: chosen or "-"} | shown
    return tag(
        "select",
        (tag("option", text, value=value, selected=value == chosen)
         for value, text in shown.items()),
        name=name,
        id=name,
        aria_describedby=f"{name}-hint",
    )  # fmt: skip


def _radio(name: str, value: str, chosen: str, label: str, hint: str | None) -> Html:
    mark = f"{name}-{value or 'none'}"
    return tag(
        "p",
        tag("input", type="radio", name=name, value=value, id=mark, checked=value == chosen,
            aria_describedby=f"{mark}-hint" if hint else None),
        tag("label", label, for_=mark),
        tag("small", hint, id=f"{mark}-hint") if hint else None,
        class_="check",
    )  # fmt: skip
