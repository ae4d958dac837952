"""The owner's requests."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from e2ee_ticket.errors import TicketError
from e2ee_ticket.till.console.cashier import draw
from e2ee_ticket.till.console.markup import Html
from e2ee_ticket.till.console.pages import owner as pages
from e2ee_ticket.till.console.pages.layout import Visit, saved_page
from e2ee_ticket.till.console.services import (
    SERVICES,
    answer,
    done,
    session,
    text_of,
    visit,
    words,
)

routes = web.RouteTableDef()

_TICKET_SECONDS: Final = (1, 120)
_PAGES: Final[Mapping[str, Callable[[Visit], Html]]] = {
    "/troubles": pages.troubles_page,
    "/displays": pages.displays_page,
    "/sources": pages.sources_page,
    "/shop": pages.shop_page,
    "/relay": pages.relay_page,
}


async def _page(request: web.Request) -> web.Response:
    return answer(_PAGES[request.path](await visit(request)))


for _path in _PAGES:
    routes.get(_path)(_page)


@routes.post("/shop")
async def change_shop(request: web.Request) -> web.Response:
    """Change what customers see of the shop, and how receipts are handed over."""
    say = words(request)
    low, high = _TICKET_SECONDS
    seconds = await text_of(request, "ticket_seconds", 9)
    if not (seconds.isascii() and seconds.isdigit() and low <= int(seconds) <= high):
        request.app[SERVICES].tell(
            session(request), say("failed.number", low=low, high=high), ok=False
        )
        raise web.HTTPSeeOther("/shop")
    changes: dict[str, object] = {"ticket_seconds": int(seconds)}
    for key in ("shop", "lang", "notice", "paper", "clear_on"):
        changes[key] = await text_of(request, key) or None
    return await _change(request, changes, "/shop")


@routes.post("/relay")
async def change_relay(request: web.Request) -> web.Response:
    """Change where receipts are carried."""
    keep = await text_of(request, "keep_seconds", 9)
    changes: dict[str, object] = {
        "relay": await text_of(request, "relay") or None,
        "page": await text_of(request, "page") or None,
        "keep_seconds": int(keep) if keep.isascii() and keep.isdigit() else None,
    }
    # The permit is never shown, so that an empty field changes nothing.
    permit = await text_of(request, "permit")
    if permit:
        changes["permit"] = permit
    elif await text_of(request, "no_permit"):
        changes["permit"] = None
    return await _change(request, changes, "/relay")


async def _change(request: web.Request, changes: Mapping[str, object], where: str) -> web.Response:
    """Write what is different from what is configured."""
    services = request.app[SERVICES]
    config: Any = services.floor.config
    different = {
        key: value
        for key, value in changes.items()
        if key == "permit" or getattr(config, key) != value
    }
    if not different:
        raise done(request, where, "save")
    now = await visit(request)
    try:
        services.floor.change_config(different)
    except TicketError as error:
        services.tell(session(request), str(error), ok=False)
        raise web.HTTPSeeOther(where) from None
    # No redirect: for a moment, nobody may answer there.
    return answer(saved_page(now, where.removeprefix("/"), services.run))


@routes.post("/displays/pair")
async def pair(request: web.Request) -> web.Response:
    """Pair a display; the answer is the one page that shows how."""
    services = request.app[SERVICES]
    name = await text_of(request, "name", 60)
    try:
        link = await services.floor.pair(name)
        short_address = await services.floor.short_address(name)
    except TicketError as error:
        services.tell(session(request), str(error), ok=False)
        raise web.HTTPSeeOther("/displays") from None
    page = pages.pairing_page(await visit(request), name, link, draw(link), short_address)
    return answer(page)


@routes.get("/displays/waiting")
async def waiting(request: web.Request) -> web.Response:
    """Say whether a display has come."""
    return answer(pages.waiting_page(await visit(request), request.query.get("name", "")[:60]))


@routes.post("/displays/test")
async def test_display(request: web.Request) -> web.Response:
    """Show something on a display."""
    services = request.app[SERVICES]
    name = await text_of(request, "name", 60)

    async def act() -> None:
        if not await services.floor.test_display(name):
            services.tell(session(request), words(request)("failed.test"), ok=False)
            raise web.HTTPSeeOther("/displays")

    return await _display(request, act, "test")


@routes.get("/displays/unpair")
async def ask_unpair(request: web.Request) -> web.Response:
    """Ask whether a display is really to be unpaired."""
    name = request.query.get("name", "")[:60]
    if all(name != display.name for display in request.app[SERVICES].floor.displays()):
        raise web.HTTPNotFound
    return answer(pages.unpair_page(await visit(request), name))


@routes.post("/displays/unpair")
async def unpair(request: web.Request) -> web.Response:
    """Unpair a display."""
    name = await text_of(request, "name", 60)
    forget = await text_of(request, "forget") == "yes"

    async def act() -> None:
        await request.app[SERVICES].floor.unpair(name, forget=forget)

    return await _display(request, act, "unpair")


async def _display(
    request: web.Request, act: Callable[[], Awaitable[None]], said: str
) -> web.Response:
    try:
        await act()
    except TicketError as error:
        request.app[SERVICES].tell(session(request), str(error), ok=False)
        raise web.HTTPSeeOther("/displays") from None
    raise done(request, "/displays", said)
