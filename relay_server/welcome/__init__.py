"""The page of the relay itself: what this is, who runs it, what it keeps (spec/relay.md, R124).

One static document for each language, made once at the start, without script or any request.
"""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple
from urllib.parse import urlsplit

from relay_server.config import DAY, HOUR, MIB, MINUTE, Config
from relay_server.pages import Page, form_page

LANGUAGES = {
    "en": "English",
    "fr": "Français",
    "de": "Deutsch",
    "it": "Italiano",
    "es": "Español",
}
"""Those of the ticket page; the first is for whoever reads none of them."""


class About(NamedTuple):
    """What an operator says of the relay."""

    operator: str = ""
    contact: str = ""
    terms: str = ""
    source: str = ""
    selftest: bool = False
    """Whether the pages are served here, the self-test among them."""

    def members(self) -> dict[str, str]:
        """Return what ``/v1/info`` says of it (R120)."""
        members = {
            "operator": self.operator,
            "contact": _address(self.contact),
            "terms": self.terms,
            "source": self.source,
        }
        return {name: text for name, text in members.items() if text}


def is_contact(text: str) -> bool:
    """Tell whether this is a mail address or a web address."""
    name, at, host = text.partition("@")
    mail = bool(name and at and "." in host) and not set(text) & set(" <>\"'?&")
    return is_web_address(text) or mail


def is_web_address(text: str) -> bool:
    """Tell whether a browser may be sent there."""
    try:
        url = urlsplit(text)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.hostname) and not set(text) & set(" <>\"'")


def _address(contact: str) -> str:
    return contact if not contact or is_web_address(contact) else f"mailto:{contact}"


SECURITY_PATH = "/.well-known/security.txt"
_SECURITY_DAYS = 30
"""How long what it says stands (RFC 9116 asks for less than a year)."""


def security_txt(about: About, now: float) -> bytes | None:
    """Return what RFC 9116 asks for; None without a contact by mail or https (R126)."""
    contact = _address(about.contact)
    if not contact.startswith(("mailto:", "https://")):
        return None
    until = datetime.fromtimestamp(now // DAY * DAY, UTC) + timedelta(days=_SECURITY_DAYS)
    lines = [
        "# For the operator of this relay; for the program itself see SECURITY.md of its source.",
        "# Never send a link, a permit or a pairing link.",
        f"Contact: {contact}",
        f"Expires: {until:%Y-%m-%dT%H:%M:%SZ}",
    ]
    return "\n".join([*lines, ""]).encode()


class Welcome:
    """The page in every language."""

    def __init__(self, about: About, config: Config) -> None:
        """Make the pages."""
        self._pages = {language: _make_page(language, about, config) for language in LANGUAGES}

    def choose(self, query: str, accept_language: str) -> Page:
        """Return the page in the language of the link, or in the one the visitor likes best."""
        name, _, asked = query.partition("=")
        if name == "lang" and asked in self._pages:
            return self._pages[asked]
        return self._pages[_best(accept_language)]


def _best(accept_language: str) -> str:
    best, most = next(iter(LANGUAGES)), 0.0
    for item in accept_language.lower().split(","):
        tag, _, weight = item.partition(";")
        language = tag.strip().partition("-")[0]
        try:
            liking = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if language in LANGUAGES and liking > most:
            best, most = language, liking
    return best


def _make_page(language: str, about: About, config: Config) -> Page:
    style = _read("style.css").strip()
    name = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{name}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    headers = f"Content-Security-Policy: {policy}\r\nVary: Accept-Language\r\n"
    body = Template(_read("page.html")).substitute(
        _words(language, about, config),
        language=language,
        languages="".join(_language(each, language) for each in LANGUAGES),
        style=style,
    )
    return form_page(body.encode(), headers.encode())


def _language(language: str, here: str) -> str:
    name = LANGUAGES[language]
    if language == here:
        return f"<b>{name}</b>"
    return f'<a href="/about?lang={language}" lang={language} hreflang={language}>{name}</a>'


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _words(language: str, about: About, config: Config) -> dict[str, str]:
    words: dict[str, str] = json.loads(_read(f"{language}.json"))
    numbers = {
        "ttl": config.ttl_default_seconds // HOUR,
        "ttl_max": config.ttl_max_seconds // DAY,
        "opened": config.opened_seconds // HOUR,
        "received": config.received_seconds // MINUTE,
        "tombstone": config.tombstone_seconds // DAY,
        "uploads": config.address_uploads_per_hour,
        "mib": config.address_bytes_per_hour // MIB,
    }
    text = {key: Template(value).substitute(numbers) for key, value in words.items()}
    who = [f"<b>{escape(about.operator)}</b>" if about.operator else text["nobody"]]
    if about.contact:
        who.append(_link(text["contact"], _address(about.contact), about.contact))
    if about.terms:
        who.append(_link(text["terms"], about.terms, about.terms))
    further = []
    if about.selftest:
        further.append(_link(text["selftest"], "/selftest.html", "/selftest.html"))
    if about.source:
        further.append(_link(text["source"], about.source, about.source))
    kept = "".join(
        f"<tr><th scope=row>{text[f'{row}_what']}<td>{text[f'{row}_long']}"
        for row in ("ticket", "been", "channel", "permit", "log")
    )
    return text | {
        "who": "".join(f"<p>{line}" for line in who),
        "kept": kept,
        "limits": text["open" if config.open else "closed"],
        "abuse_more": f" {_link('', _address(about.contact), about.contact)}"
        if about.contact
        else "",
        "further": "".join(f"<p>{line}" for line in further),
    }


def _link(label: str, address: str, shown: str) -> str:
    before = f"{label} " if label else ""
    return f'{before}<a href="{escape(address)}" rel="noreferrer">{escape(shown)}</a>'
