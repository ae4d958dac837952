"""What the console's handlers share: the floor, who is let in, and what is said only once."""

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from e2ee_ticket.till.clock import Clock
from e2ee_ticket.till.config import ConsoleConfig
from e2ee_ticket.till.console import auth, guard
from e2ee_ticket.till.console.markup import Html
from e2ee_ticket.till.console.pages.layout import Told, Visit
from e2ee_ticket.till.console.words import Words, words_for
from e2ee_ticket.till.floor import Floor

COOKIE: Final = "e2ee_ticket_console"
BROWSER_COOKIE: Final = "e2ee_ticket_browser"
PAPERS_MAX: Final = 4
PAPER_SECONDS: Final = 300.0
_TOLD_MAX: Final = 64


@dataclass(slots=True)
class Services:
    """Everything that a handler needs; `stopping` ends what waits, `run` tells a new start."""

    floor: Floor
    config: ConsoleConfig
    names: frozenset[str]
    entrance: auth.Entrance
    sessions: auth.Sessions
    browsers: auth.Browsers
    tries: auth.Tries
    clock: Clock
    peer: guard.Peer
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    judging: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    _told: OrderedDict[str, Told] = field(default_factory=OrderedDict)
    _papers: OrderedDict[str, tuple[bytes, float]] = field(default_factory=OrderedDict, repr=False)

    def session_of(self, request: web.BaseRequest) -> str | None:
        """Return the token of a request's session, if it has a good one."""
        token = request.cookies.get(COOKIE)
        session = self.sessions.find(token)
        if session is None:
            return None
        if session.by.startswith("pin"):
            pin_hash = self.config.pin_hash
            return token if pin_hash is not None and session.by == auth.name_pin(pin_hash) else None
        # What this computer's user was given is of no use on another device.
        return token if guard.is_local(request, self.peer) else None

    def tell(self, token: str, text: str, *, ok: bool = True) -> None:
        """Have something said on the next page of a session."""
        self._told[token] = Told(text, ok)
        while len(self._told) > _TOLD_MAX:
            self._told.popitem(last=False)

    def take_told(self, token: str) -> Told | None:
        """Return what is to be said, once."""
        return self._told.pop(token, None)

    def keep_paper(self, receipt: bytes) -> str:
        """Hold a PDF while it is printed; not for long, and not many."""
        name = secrets.token_urlsafe(16)
        self._papers[name] = (receipt, self.clock.monotonic() + PAPER_SECONDS)
        while len(self._papers) > PAPERS_MAX:
            self._papers.popitem(last=False)
        return name

    def paper(self, name: str) -> bytes | None:
        """Return a PDF that is being printed."""
        now = self.clock.monotonic()
        for key in [key for key, (_, until) in self._papers.items() if until < now]:
            del self._papers[key]
        found = self._papers.get(name)
        return found[0] if found else None


SERVICES: Final = web.AppKey("SERVICES", Services)


def words(request: web.Request) -> Words:
    """Return the shop's language."""
    return words_for(request.app[SERVICES].floor.config.lang)


def session(request: web.BaseRequest) -> str:
    """Return the token of a session that was let in."""
    return request.cookies[COOKIE]


async def visit(request: web.Request) -> Visit:
    """Begin a page: count first, so that what changes while it is made is fetched again."""
    services = request.app[SERVICES]
    token = session(request)
    quiet = "X-Requested-With" in request.headers  # the script, which nobody reads
    return Visit(
        floor=services.floor,
        say=words(request),
        form=auth.form_token(token),
        now=services.clock.now(),
        count=await services.floor.changed(-1, 0),
        told=None if quiet else services.take_told(token),
    )


def answer(page: Html, status: int = 200) -> web.Response:
    """Answer with a page."""
    return web.Response(text=page.text, status=status, content_type="text/html", charset="utf-8")


def back(text: str) -> str:
    """Return where to go after something was done; only the console's own pages."""
    known = text in {"/", "/sources"} or text.startswith(("/till/", "/sale/"))
    plain = all(letter.isalnum() or letter in "/-._~%" for letter in text)
    return text if known and plain and ".." not in text and "//" not in text else "/"


async def text_of(request: web.Request, name: str, limit: int = 200) -> str:
    """Read one field of a form: a text, without blanks around it."""
    value = (await request.post()).get(name, "")
    return value.strip()[:limit] if isinstance(value, str) else ""


def done(request: web.Request, where: str, said: str | None = None) -> web.HTTPSeeOther:
    """Go on to a page after something was done, and say there what."""
    if said is not None:
        request.app[SERVICES].tell(session(request), words(request)(f"done.{said}"))
    return web.HTTPSeeOther(where)
