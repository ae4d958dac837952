"""The page of the relay itself: what this is, who runs it, what it keeps (spec/relay.md, R124).

One static document in English and French, made once at the start, without script or any request.
"""

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple
from urllib.parse import urlsplit

from relay_server.config import DAY, HOUR, MIB, MINUTE, Config
from relay_server.pages import Page, form_page


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


def make_page(about: About, config: Config) -> Page:
    """Return the page, ready to be sent."""
    style = _read("style.css").strip()
    name = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{name}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    page = Template(_read("page.html"))
    sections = {language: _section(language, about, config) for language in ("en", "fr")}
    body = page.substitute(style=style, english=sections["en"], french=sections["fr"])
    return form_page(body.encode(), b"Content-Security-Policy: " + policy.encode() + b"\r\n")


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _section(language: str, about: About, config: Config) -> str:
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
    return Template(_read("section.html")).substitute(
        text,
        who="".join(f"<p>{line}" for line in who),
        kept=kept,
        limits=text["open" if config.open else "closed"],
        abuse_more=f" {_link('', _address(about.contact), about.contact)}" if about.contact else "",
        further="".join(f"<p>{line}" for line in further),
    )


def _link(label: str, address: str, shown: str) -> str:
    before = f"{label} " if label else ""
    return f'{before}<a href="{escape(address)}" rel="noreferrer">{escape(shown)}</a>'
