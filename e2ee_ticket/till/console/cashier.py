"""The cashier's requests."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from aiohttp import web

from e2ee_ticket import qr
from e2ee_ticket.errors import TicketError
from e2ee_ticket.protocol.channel import PairingLink
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.till.config import TillConfig
from e2ee_ticket.till.console import guard
from e2ee_ticket.till.console.markup import Html, raw
from e2ee_ticket.till.console.pages import cashier as pages
from e2ee_ticket.till.console.pages import pile as pile_pages
from e2ee_ticket.till.console.services import (
    SERVICES,
    answer,
    back,
    done,
    session,
    text_of,
    visit,
    words,
)
from e2ee_ticket.till.floor import Floor, Sale
from e2ee_ticket.till.states import CODELESS

routes = web.RouteTableDef()

CHANGE_SECONDS: Final = 25.0
_WAITING_MAX: Final = 64


@routes.get("/")
async def home(request: web.Request) -> web.Response:
    """Show the till, or ask which."""
    tills = request.app[SERVICES].floor.tills
    if len(tills) > 1:
        return answer(pages.choose_page(await visit(request), tills))
    return await _till(request, None, "/")


@routes.get("/till/{till}")
async def till(request: web.Request) -> web.Response:
    """Show one of several tills."""
    name = request.match_info["till"]
    return await _till(request, name, pages.till_path(name))


def _chosen(floor: Floor, name: str | None) -> TillConfig | None:
    chosen = next((till for till in floor.tills if till.name == name), None)
    if name is not None and chosen is None:
        raise web.HTTPNotFound
    return chosen


async def _till(request: web.Request, name: str | None, where: str) -> web.Response:
    floor = request.app[SERVICES].floor
    chosen = _chosen(floor, name)
    now = await visit(request)
    sales = floor.sales(name, None)
    # The newest alone: what an earlier customer bought is not shown to the next one.
    codes = await _codes(floor, sales[:1])
    sources = [
        source.name
        for source in floor.sources()
        if source.can_look_up and (name is None or source.till == name)
    ]
    return answer(
        pages.till_page(
            now,
            sales,
            codes,
            back=where,
            till=chosen,
            sources=sources,
            refused=floor.refused(name),
        )
    )


async def _codes(floor: Floor, sales: Iterable[Sale]) -> dict[int, Html]:
    """Draw the codes that are to be seen on this screen."""
    codes = {}
    for sale in sales:
        if sale.here and sale.state not in CODELESS:
            with contextlib.suppress(TicketError):  # the sale itself says why
                codes[sale.number] = draw(await floor.show_here(sale.number))
    return codes


def draw(link: Link | PairingLink) -> Html:
    """Draw a link as part of a page."""
    document = qr.to_svg(qr.make(link))
    return raw(document[document.index("<svg") :].replace("<svg ", '<svg aria-hidden="true" ', 1))


@routes.get("/sale/{number:[0-9]{1,15}}")
async def sale(request: web.Request) -> web.Response:
    """Show one sale."""
    floor = request.app[SERVICES].floor
    found = floor.sale(_number(request))
    now = await visit(request)
    codes = await _codes(floor, [found])
    return answer(pages.sale_page(now, found, codes, back=_home(floor, found)))


@routes.post("/sale/{number:[0-9]{1,15}}/show")
async def show(request: web.Request) -> web.Response:
    """Show it on the display again."""
    return await _do(request, request.app[SERVICES].floor.show, "show")


@routes.post("/sale/{number:[0-9]{1,15}}/here")
async def show_here(request: web.Request) -> web.Response:
    """Show it on the till's own screen."""
    floor = request.app[SERVICES].floor
    number = _number(request)
    newest = next(iter(floor.sales(floor.sale(number).till, 1)), None)
    where = back(await text_of(request, "back"))
    if newest is None or newest.number != number:
        where = f"/sale/{number}"
    return await _do(request, floor.show_here, None, where)


@routes.post("/sale/{number:[0-9]{1,15}}/hide")
async def hide_here(request: web.Request) -> web.Response:
    """End showing it here."""
    return await _do(request, request.app[SERVICES].floor.hide_here, None)


@routes.post("/sale/{number:[0-9]{1,15}}/dismiss")
async def dismiss(request: web.Request) -> web.Response:
    """Let it go."""
    return await _do(request, request.app[SERVICES].floor.dismiss, "dismiss")


@routes.get("/sale/{number:[0-9]{1,15}}/revoke")
async def ask_revoke(request: web.Request) -> web.Response:
    """Ask whether it is really to be taken back."""
    found = request.app[SERVICES].floor.sale(_number(request))
    where = back(request.query.get("back", ""))
    return answer(pages.revoke_page(await visit(request), found, back=where))


@routes.post("/sale/{number:[0-9]{1,15}}/revoke")
async def revoke(request: web.Request) -> web.Response:
    """Take it back."""
    return await _do(request, request.app[SERVICES].floor.revoke, "revoke")


@routes.post("/sale/{number:[0-9]{1,15}}/paper")
async def paper(request: web.Request) -> web.Response:
    """Hand it over on paper: the till's printer prints, or the browser does."""
    services = request.app[SERVICES]
    where = back(await text_of(request, "back"))
    try:
        receipt = await services.floor.paper(_number(request))
    except TicketError as error:
        services.tell(session(request), str(error), ok=False)
        raise web.HTTPSeeOther(where) from None
    if receipt is None:
        raise done(request, where, "paper")
    raise web.HTTPSeeOther(f"/paper/{services.keep_paper(receipt)}?back={where}")


@routes.get("/pile")
async def all_that_wait(request: web.Request) -> web.Response:
    """List all sales that wait: the till's page has the newest of very many."""
    floor = request.app[SERVICES].floor
    name = request.query.get("till") or None
    chosen = _chosen(floor, name)
    where = pages.till_path(name) if name else "/"
    pile = pile_pages.pile_of(floor.sales(name, None))
    if not pile:
        raise web.HTTPSeeOther(where)
    return answer(pages.waiting_page(await visit(request), pile, till=chosen, back=where))


@routes.get("/pile/{what:paper|dismiss}")
async def ask_pile(request: web.Request) -> web.Response:
    """Ask whether all sales that wait are really to be printed, or let go."""
    floor = request.app[SERVICES].floor
    name, what = request.query.get("till") or None, request.match_info["what"]
    chosen = _chosen(floor, name)
    where = pages.till_path(name) if name else "/"
    pile = pile_pages.pile_of(floor.sales(name, None))
    now = await visit(request)
    if not pile or (what == "paper" and not pile_pages.can_print(now, chosen)):
        raise web.HTTPSeeOther(where)
    return answer(pile_pages.pile_page(now, what, pile, till=chosen, back=where))


@routes.post("/pile/paper")
async def print_pile(request: web.Request) -> web.Response:
    """Have them printed, one after the other."""
    return await _do_pile(request, request.app[SERVICES].floor.paper_all, "paper")


@routes.post("/pile/dismiss")
async def dismiss_pile(request: web.Request) -> web.Response:
    """Let them go."""
    floor = request.app[SERVICES].floor

    async def dismiss_all(numbers: Sequence[int]) -> None:
        for number in numbers:
            await floor.dismiss(number)

    return await _do_pile(request, dismiss_all, "dismiss")


async def _do_pile(
    request: web.Request, act: Callable[[Sequence[int]], Awaitable[None]], what: str
) -> web.Response:
    """Do it with those that were asked about and still wait: a customer may have come back."""
    services = request.app[SERVICES]
    name = await text_of(request, "till")
    where = pages.till_path(name) if name else "/"
    asked = pile_pages.read_numbers(await text_of(request, "sales", 16_000))
    pile = [sale for sale in services.floor.sales(name or None, None) if pile_pages.waits(sale)]
    numbers = sorted(sale.number for sale in pile if any(sale.number in run for run in asked))
    if not numbers:
        raise web.HTTPSeeOther(where)
    try:
        await act(numbers)
    except TicketError as error:
        services.tell(session(request), str(error), ok=False)
        raise web.HTTPSeeOther(where) from None
    say = words(request)
    if len(numbers) == 1:
        raise done(request, where, what)
    services.tell(session(request), say(f"pile.{what}.done", n=len(numbers)))
    raise web.HTTPSeeOther(where)


@routes.post("/refused/seen")
async def refused_seen(request: web.Request) -> web.Response:
    """Somebody has seen to receipts that were not accepted: to these, not to what came since."""
    names = [str(name) for name in (await request.post()).getall("refused", [])]
    where = back(await text_of(request, "back"))
    await request.app[SERVICES].floor.refusals_seen(names)
    raise done(request, where, "seen")


@routes.get("/paper/{name:[A-Za-z0-9_-]{22}}")
async def print_paper(request: web.Request) -> web.Response:
    """Show a PDF that is to be printed."""
    name = request.match_info["name"]
    if request.app[SERVICES].paper(name) is None:
        raise web.HTTPSeeOther("/")
    where = back(request.query.get("back", ""))
    address = f"/paper/{name}/receipt.pdf"
    return answer(pages.paper_page(await visit(request), address, back=where))


@routes.get("/paper/{name:[A-Za-z0-9_-]{22}}/receipt.pdf")
async def print_receipt(request: web.Request) -> web.Response:
    """Answer with the PDF itself: nothing that it holds is run as a page of ours."""
    receipt = request.app[SERVICES].paper(request.match_info["name"])
    if receipt is None:
        raise web.HTTPNotFound
    headers = {
        "Content-Security-Policy": guard.PAPER_SECURITY,
        "Content-Disposition": 'inline; filename="receipt.pdf"',
        "X-Frame-Options": "SAMEORIGIN",
    }
    return web.Response(body=receipt, content_type="application/pdf", headers=headers)


@routes.post("/look-up")
async def look_up(request: web.Request) -> web.Response:
    """Make a receipt of an invoice, by its number."""
    services = request.app[SERVICES]
    where = back(await text_of(request, "back"))
    source = await text_of(request, "source")
    number = await text_of(request, "number", 60)
    chosen = await text_of(request, "till") or None
    try:
        await services.floor.look_up(source, number, chosen)
    except TicketError as error:
        services.tell(session(request), _with_hint(error), ok=False)
        raise web.HTTPSeeOther(where) from None
    raise done(request, where, "look-up")


def _with_hint(error: TicketError) -> str:
    hint = getattr(error, "hint", None)
    return f"{error}: {hint}" if hint else str(error)


@routes.get("/changes")
async def changes(request: web.Request) -> web.Response:
    """Wait until something is different from what a page shows, and say so."""
    services = request.app[SERVICES]
    since = request.query.get("since", "")
    if re.fullmatch(r"-?[0-9]{1,15}", since) is None:
        raise web.HTTPBadRequest
    if services.waiting >= _WAITING_MAX:
        return web.json_response({"error": words(request)("failed.full")}, status=503)
    services.waiting += 1
    try:
        count = await _wait(services.floor.changed(int(since), CHANGE_SECONDS), services.stopping)
    finally:
        services.waiting -= 1
    told = {"count": int(since) if count is None else count, "run": services.run}
    return web.json_response(told)


async def _wait(change: Awaitable[int], stopping: asyncio.Event) -> int | None:
    tasks = [asyncio.ensure_future(change), asyncio.ensure_future(stopping.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return int(tasks[0].result()) if tasks[0].done() else None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _do(
    request: web.Request,
    act: Callable[[int], Awaitable[object]],
    said: str | None,
    where: str | None = None,
) -> web.Response:
    services = request.app[SERVICES]
    where = where or back(await text_of(request, "back"))
    try:
        await act(_number(request))
    except TicketError as error:
        services.tell(session(request), str(error), ok=False)
        raise web.HTTPSeeOther(where) from None
    raise done(request, where, said)


def _number(request: web.Request) -> int:
    return int(request.match_info["number"])


def _home(floor: Floor, found: Sale) -> str:
    return pages.till_path(found.till) if len(floor.tills) > 1 else "/"
