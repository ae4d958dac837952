"""What all pages have: the frame, the top of it, forms, and the agent's sentences."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from e2ee_ticket.till.console.markup import Attribute, Child, Html, join, plain, tag
from e2ee_ticket.till.console.pages.icons import icon
from e2ee_ticket.till.console.static_files import address
from e2ee_ticket.till.console.words import Words
from e2ee_ticket.till.floor import Floor

NEXT_SECONDS: Final = 5
OWNER_PAGES: Final = ("troubles", "displays", "sources", "shop", "relay")
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Told:
    """What came of what somebody just did: said once, on the next page."""

    text: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Visit:
    """One look at a page.

    Attributes:
        floor: what goes on in the shop.
        say: the shop's language.
        form: what every form of this session carries.
        now: the wall clock.
        count: what `Floor.changed` counted before the page was made.
        told: what came of what was done last.
    """

    floor: Floor
    say: Words
    form: str
    now: float
    count: int = 0
    told: Told | None = None


def document(
    say: Words,
    title: str,
    *body: Child,
    count: int | None = None,
    class_: str | None = None,
    next_: str | None = None,
) -> Html:
    """Write a whole page; `next_` is where a browser without scripts goes on by itself."""
    refresh = tag("meta", http_equiv="refresh", content=f"{NEXT_SECONDS};url={next_}")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("link", rel="icon", href=address("icon.svg"), type="image/svg+xml"),
        tag("link", rel="stylesheet", href=address("console.css")),
        tag("script", src=address("console.js"), defer=True),
        tag("noscript", refresh) if next_ else None,
    )
    inside = tag("body", *body, class_=class_, data_count=count)
    return join(Html("<!doctype html>\n"), tag("html", head, inside, lang=say.lang))


def page(visit: Visit, current: str, title: str, *content: Child, wide: bool = False) -> Html:
    """Write a page of the console: its top, what is told, its content."""
    say = visit.say
    shop = plain(visit.floor.config.shop or say("console"), 60)
    return document(
        say,
        f"{title} · {shop}" if title != shop else shop,
        tag("a", say("skip"), href="#main", class_="skip"),
        tag("p", id="said", class_="unseen", role="status"),
        tag("p", icon("warning"), say("lost"), id="lost", hidden=True, role="alert"),
        _top(visit, current, shop),
        _tabs(say, current) if current in OWNER_PAGES else None,
        tag(
            "main",
            _told(visit),
            *content,
            id="main",
            tabindex="-1",
            class_="wide" if wide else None,
        ),
        count=visit.count,
    )


def alone(say: Words, title: str, *content: Child, class_: str = "alone") -> Html:
    """Write a page for somebody who is not let in (yet)."""
    inside = tag("div", tag("h1", title), *content, class_="paper")
    return document(say, title, tag("main", inside, id="main"), class_=class_)


def saved_page(visit: Visit, current: str, run: str) -> Html:
    """Say that the configuration is written; the agent begins anew, and the console with it."""
    say = visit.say
    shown = tag(
        "div",
        tag("p", icon("sent"), tag("span", say("done.save")), class_="told", role="status"),
        tag("h1", say("saved.title")),
        tag("p", say("saved.text")),
        tag("p", tag("a", say("saved.go"), href=f"/{current}", class_="button"), class_="deeds"),
        class_="paper",
        id="again",
        data_run=run,
        data_next=f"/{current}",
    )
    return document(say, say("saved.title"), tag("main", shown, id="main"), class_="alone",
                    next_=f"/{current}")  # fmt: skip


def _top(visit: Visit, current: str, shop: str) -> Html:
    say = visit.say
    settings = current in OWNER_PAGES
    home = tag("a", icon("back") if settings else None, say("till") if settings else shop, href="/")
    return tag(
        "header",
        tag("div", home, class_="brand"),
        tag(
            "nav",
            well(visit),
            None if settings else tag(
                "a", icon("settings"), tag("span", say("settings")), href="/shop", class_="quiet"
            ),
            aria_label=say("nav"),
        ),
        class_="top",
    )  # fmt: skip


def well(visit: Visit) -> Html:
    """Say in one word whether all is well; it is kept up to date on every page."""
    say = visit.say
    count = len(visit.floor.troubles())
    text = say("well") if not count else say("trouble") if count == 1 else say("troubles", n=count)
    return tag(
        "a",
        icon("warning" if count else "well"),
        tag("span", text),
        href="/troubles",
        id="well",
        class_="well bad" if count else "well",
        data_live=True,
    )


def _tabs(say: Words, current: str) -> Html:
    links = (
        tag(
            "a",
            say(f"{name}.tab"),
            href=f"/{name}",
            aria_current="page" if name == current else None,
        )
        for name in OWNER_PAGES
    )
    return tag("nav", links, class_="tabs", aria_label=say("settings"))


def _told(visit: Visit) -> Html | None:
    if visit.told is None:
        return None
    text = sentence(visit.say, visit.told.text)
    kind = "told" if visit.told.ok else "told bad"
    sign = icon("sent" if visit.told.ok else "warning")
    return tag("p", sign, text, class_=kind, role="status" if visit.told.ok else "alert")


def sentence(say: Words, text: str) -> Html:
    """Write what the agent says: translated where that is known, marked as English elsewhere."""
    meant, lang = say.translate(plain(text))
    return tag("span", meant, lang=lang if lang != say.lang else None)


def foreign(text: str, limit: int = 120) -> Html:
    """Write a text of a receipt or of the configuration: as it is, and apart from what is ours."""
    return tag("bdi", plain(text, limit))


def form(visit: Visit, action: str, *content: Child, **attributes: Attribute) -> Html:
    """Write a form that this session may send."""
    hidden = tag("input", type="hidden", name="form", value=visit.form)
    return tag("form", hidden, *content, method="post", action=action, **attributes)


def button(text: str, *, sign: str | None = None, **attributes: Attribute) -> Html:
    """Write a button."""
    return tag("button", icon(sign) if sign else None, tag("span", text), **attributes)


def deed(
    visit: Visit,
    action: str,
    text: str,
    *,
    sign: str | None = None,
    values: Sequence[tuple[str, str]] = (),
    class_: str | None = None,
    id_: str | None = None,
    label: str | None = None,
) -> Html:
    """Write a form of one button."""
    hidden = (tag("input", type="hidden", name=name, value=value) for name, value in values)
    pressed = button(text, sign=sign, class_=class_, id=id_, aria_label=label)
    return form(visit, action, hidden, pressed, class_="deed")


def field(
    label: str, control: Html, *, name: str, hint: Child = None, class_: str | None = None
) -> Html:
    """Write one labelled field; its hint belongs to it for a screen reader, too."""
    return tag(
        "p",
        tag("label", label, for_=name),
        control,
        tag("small", hint, id=f"{name}-hint") if hint is not None else None,
        class_=f"field {class_}" if class_ else "field",
    )


def clock_time(at: float) -> str:
    """Write a time of the day, as the shop's clock shows it."""
    return time.strftime("%H:%M", time.localtime(at))


def when(visit: Visit, at: float) -> Html:
    """Write when something was: the time, and the day where it is another one."""
    local = time.localtime(at)
    day = None
    if local[:3] != time.localtime(visit.now)[:3]:
        year = local.tm_year if abs(visit.now - at) > 300 * _DAY_SECONDS else ""
        day = tag("span", f"{local.tm_mday:02d}.{local.tm_mon:02d}.{year}")
    written = (day, " " if day else None, tag("span", clock_time(at)))
    return tag("time", written, datetime=time.strftime("%Y-%m-%dT%H:%M", local))
