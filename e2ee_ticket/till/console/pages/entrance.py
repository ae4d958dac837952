"""What somebody sees who is not let in yet, or not at all."""

from e2ee_ticket.till.console.markup import Html, tag
from e2ee_ticket.till.console.pages.icons import icon
from e2ee_ticket.till.console.pages.layout import alone, button, field
from e2ee_ticket.till.console.words import Words


def enter_page(
    say: Words, *, local: bool, pin: bool, secure: bool, wrong: str | None = None
) -> Html:
    """Ask for the token on this computer, for the PIN elsewhere."""
    return alone(
        say,
        say("enter"),
        tag("p", icon("warning"), tag("span", wrong), class_="told bad", role="alert")
        if wrong else None,
        _token_form(say) if local else None,
        _pin_form(say, warn=not local and not secure) if pin else None,
        tag("p", tag("a", say("enter.again"), href="/", class_="button quiet"), class_="deeds"),
    )  # fmt: skip


def _token_form(say: Words) -> Html:
    box = tag("input", type="password", name="token", id="token", required=True, maxlength=200,
              autocomplete="off", spellcheck="false", aria_describedby="token-hint")  # fmt: skip
    return tag(
        "form",
        tag("p", say("enter.text")),
        tag("p", tag("code", "e2ee-ticket console"), class_="command"),
        field(say("enter.token"), box, name="token", hint=say("enter.token.text")),
        tag("div", button(say("enter.do"), class_="first"), class_="deeds"),
        method="post",
        action="/enter",
        id="enter",
    )


def _pin_form(say: Words, *, warn: bool) -> Html:
    box = tag("input", type="password", name="pin", id="pin", required=True, maxlength=64,
              autocomplete="off", inputmode="numeric",
              aria_describedby="pin-hint")  # fmt: skip
    return tag(
        "form",
        field(say("pin"), box, name="pin", hint=say("pin.text")),
        tag("div", button(say("enter.do"), class_="first"), class_="deeds"),
        tag("p", icon("warning"), tag("span", say("pin.clear")), class_="note") if warn else None,
        method="post",
        action="/enter",
    )


def refused_page(say: Words, key: str) -> Html:
    """Say why this is not answered."""
    return alone(
        say,
        say(f"{key}.title"),
        tag("p", say(f"{key}.text")),
        tag("p", tag("a", say("enter.again"), href="/", class_="button"), class_="deeds"),
    )
