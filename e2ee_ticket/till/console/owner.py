"""The owner's requests."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from e2ee_ticket.errors import TicketError
from e2ee_ticket.till import checks, paper, settings_file
from e2ee_ticket.till.config import LAN_LISTEN
from e2ee_ticket.till.console.cashier import draw
from e2ee_ticket.till.console.markup import Html
from e2ee_ticket.till.console.pages import equipment
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


@routes.post("/troubles/seen")
async def troubles_seen(request: web.Request) -> web.Response:
    """Somebody has seen what happened."""
    name = await text_of(request, "seen", 200)
    await request.app[SERVICES].floor.troubles_seen([name])
    raise done(request, "/troubles", "seen")


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
    return await _write(request, different, where)


async def _write(request: web.Request, changes: dict[str, object], where: str) -> web.Response:
    services = request.app[SERVICES]
    now = await visit(request)
    try:
        services.floor.change_config(changes)
    except TicketError as error:
        services.tell(session(request), str(error), ok=False)
        raise web.HTTPSeeOther(where) from None
    # No redirect: for a moment, nobody may answer there.
    return answer(saved_page(now, where.removeprefix("/"), services.run))


@routes.post("/relay/test")
async def test_relay(request: web.Request) -> web.Response:
    """Test relay and ticket page against the real thing, now."""
    services = request.app[SERVICES]
    config = services.floor.config
    found = [line async for line in checks.check_relay(config, services.clock)]
    found.append(("page", await checks.check_page(config)))
    return answer(equipment.tested_page(await visit(request), found))


@routes.post("/displays/till")
async def change_till(request: web.Request) -> web.Response:
    """Change which display and which printer a till has."""
    services = request.app[SERVICES]
    floor = services.floor
    name = await text_of(request, "till", 60)
    till = next((till for till in floor.tills if till.name == name), None)
    display = till.display if till is not None else None
    if "display" in await request.post():
        display = await text_of(request, "display", 60) or None
    known = {each.name for each in floor.displays()}
    if till is None or (display is not None and display not in {*known, till.display}):
        raise web.HTTPNotFound
    printer = await text_of(request, "printer", 100) or None
    if printer is not None:
        printer = paper.with_port(printer)
    changed = replace(till, display=display, printer=printer)
    if changed == till:
        raise done(request, "/displays", "save")
    if printer is not None and printer != till.printer:
        finding = await checks.check_printer(printer)
        if not finding.ok:
            services.tell(session(request), finding.text, ok=False)
            raise web.HTTPSeeOther("/displays")
    tills = [changed if each is till else each for each in floor.tills]
    return await _write(request, {"till": settings_file.till_tables(tills)}, "/displays")


@routes.get("/displays/lan")
async def ask_lan(request: web.Request) -> web.Response:
    """Say what a page in the shop's network means, and ask."""
    return answer(equipment.lan_page(await visit(request)))


@routes.post("/displays/lan")
async def change_lan(request: web.Request) -> web.Response:
    """Switch the page in the shop's network on or off."""
    on = await text_of(request, "on", 3) == "yes"
    if on is (request.app[SERVICES].floor.config.lan is not None):
        raise done(request, "/displays", "save")
    return await _write(request, {"lan": {"listen": LAN_LISTEN} if on else None}, "/displays")


@routes.post("/displays/pair")
async def pair(request: web.Request) -> web.Response:
    """Pair a display; the answer is the one page that shows how."""
    services = request.app[SERVICES]
    name = await text_of(request, "name", 60)
    try:
        link = await services.floor.pair(name)
        lan_link = await services.floor.lan_link(name)
        short_address = await services.floor.short_address(name)
    except TicketError as error:
        services.tell(session(request), str(error), ok=False)
        raise web.HTTPSeeOther("/displays") from None
    page = pages.pairing_page(
        await visit(request),
        name,
        link,
        draw(link),
        lan_code=None if lan_link is None else draw(lan_link),
        short_address=short_address,
    )
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
