"""What the LAN display serves: this release's display page, and a few plain pages of its own."""

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.protocol import link
from e2ee_ticket.till.released import page_file

HEADERS: Final[dict[str, str]] = {
    "Content-Type": "text/html; charset=utf-8",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "accelerometer=(), autoplay=(), camera=(), display-capture=(), geolocation=(), "
        "gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()"
    ),
}
"""Those of a relay's pages but for Cross-Origin-Opener-Policy, which no browser heeds over HTTP."""

_META: Final = '<meta name="page" content="">'

_STYLE: Final = """
html{background:#0c2a20;color:#eef6f1;font-family:system-ui,-apple-system,"Segoe UI",Roboto,Arial,\
sans-serif;font-size:20px;line-height:1.4}
body{max-width:26em;margin:0 auto;padding:20% 1.5em 0}
h1{margin:0 0 .6em;font-size:1.8em;line-height:1.15}
p{margin:0 0 1em;color:#d5e8de}
a{color:#fff}
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_POLICY: Final = (
    f"default-src 'none'; style-src {_hash(_STYLE)} 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'"
)

_WORDS: Final[Mapping[str, Mapping[str, str]]] = json.loads(
    (files("e2ee_ticket.till") / "lan_words.json").read_text("utf-8")
)


def risk(lang: str | None) -> str:
    """Return what the owner must know before the page is served in the shop's network."""
    return _words(lang)["risk"]


@dataclass(frozen=True, slots=True)
class DisplayPage:
    """The display page with the page host's origin filled in, as it is and compressed."""

    etag: str
    plain: bytes
    zipped: bytes


def display_page(page: str) -> DisplayPage:
    """Copy the released display page; its ticket links begin with this page origin (C25).

    Raises:
        ConfigError: no origin, or this installation has no display page.
    """
    if not link.is_origin(page):
        raise ConfigError("the page's address must be an origin, such as https://t.example")
    try:
        text = page_file("display.html").read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("this installation has no display page; install it again") from error
    if text.count(_META) != 1:
        raise ConfigError("the display page of this installation is damaged; install it again")
    body = text.replace(_META, f'<meta name="page" content="{page}">').encode()
    name = hashlib.sha256(body).hexdigest()[:32]
    return DisplayPage(f'"{name}"', body, gzip.compress(body, 9, mtime=0))


def pairing(digits: str, lang: str | None) -> tuple[str, str]:
    """Return the page that leads on to the pairing link's fragment, and its policy."""
    # Neither a redirect, of which old browsers may lose the fragment, nor a script, which this
    # page's policy would have to allow: every browser follows this.
    words = _words(lang)
    goal = f"/d#{digits}"
    return _plain(
        lang,
        words["pairing"],
        f'<p>{words["pairingText"]}</p><p><a href="{goal}">{words["go"]}</a></p>',
        head=f'<meta http-equiv="refresh" content="0; url={goal}">',
    )


def over(lang: str | None) -> tuple[str, str]:
    """Return the page for a short address that is wrong, used or too old."""
    words = _words(lang)
    return _plain(lang, words["over"], f"<p>{words['overText']}</p>")


def wait(lang: str | None) -> tuple[str, str]:
    """Return the page for whoever has tried too often."""
    words = _words(lang)
    return _plain(lang, words["wait"], f"<p>{words['waitText']}</p>")


def nothing(lang: str | None) -> tuple[str, str]:
    """Return the page of every other path."""
    words = _words(lang)
    return _plain(lang, words["nothing"], f'<p>{words["nothingText"]} <a href="/d">/d</a></p>')


def stranger() -> tuple[str, str]:
    """Return the page for a name that this computer does not go by; for the owner, in English."""
    return _plain(
        "en",
        "Not by this name",
        "<p>Open the address that the till shows. If this computer has a name in your network,"
        " write it as host in the section [lan] of the till's configuration.</p>",
    )


def _words(lang: str | None) -> Mapping[str, str]:
    return _WORDS.get((lang or "en")[:2].lower(), _WORDS["en"])


def _plain(lang: str | None, heading: str, text: str, head: str = "") -> tuple[str, str]:
    code = (lang or "en")[:2].lower()
    page = (
        f'<!doctype html>\n<html lang="{code if code in _WORDS else "en"}">\n'
        '<head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n{head}<title>{html.escape(heading)}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body><h1>{html.escape(heading)}</h1>{text}</body>\n"
        "</html>\n"
    )
    return page, _POLICY
