"""Coming in and going out."""

import asyncio
import math

from aiohttp import web

from e2ee_ticket.till.console import auth, guard
from e2ee_ticket.till.console.pages.entrance import enter_page
from e2ee_ticket.till.console.services import (
    BROWSER_COOKIE,
    COOKIE,
    SERVICES,
    answer,
    done,
    session,
    text_of,
    words,
)

routes = web.RouteTableDef()

_QUESTION_SIZE = 64


@routes.get("/enter")
async def ask(request: web.Request) -> web.Response:
    """Ask for the token or the PIN."""
    return _ask(request)


def _ask(request: web.Request, wrong: str | None = None, status: int = 200) -> web.Response:
    services = request.app[SERVICES]
    page = enter_page(
        words(request),
        local=guard.is_local(request, services.peer),
        pin=services.config.pin_hash is not None,
        secure=guard.is_secure(request),
        wrong=wrong,
    )
    return answer(page, status)


@routes.post("/enter")
async def enter(request: web.Request) -> web.Response:
    """Let in whoever has the token of this computer, or knows the PIN."""
    services = request.app[SERVICES]
    say = words(request)
    token = await text_of(request, "token")
    if token:
        local = guard.is_local(request, services.peer)
        if not local or not services.entrance.admit(token):
            return _ask(request, say("enter.wrong"), 403)
        return _begin(request, "token")
    pin_hash = services.config.pin_hash
    if pin_hash is None:
        return _ask(request, say("enter.wrong"), 403)
    caller = guard.caller(request, services.peer)
    pin = await text_of(request, "pin", auth.PIN_MAX_SIZE)
    browser = services.browsers.name(request.cookies.get(BROWSER_COOKIE))
    async with services.judging:  # one at a time: each takes memory, and none gets around the wait
        wait = services.tries.wait_seconds(caller, browser)
        if wait > 0:
            return _ask(request, say("pin.wait", n=math.ceil(wait)), 429)
        services.tries.fail(caller, browser)
        if not await asyncio.to_thread(auth.fits_pin, pin, pin_hash):
            return _ask(request, say("pin.wrong"), 403)
        services.tries.succeed(caller, browser)
    return _begin(request, auth.name_pin(pin_hash))


def _begin(request: web.Request, by: str) -> web.Response:
    services = request.app[SERVICES]
    services.sessions.end(request.cookies.get(COOKIE))  # this browser's own, if it had one
    response = web.Response(status=303, headers={"Location": "/"})
    for name, token in (
        (COOKIE, services.sessions.begin(by)),
        (BROWSER_COOKIE, services.browsers.know(request.cookies.get(BROWSER_COOKIE))),
    ):
        response.set_cookie(
            name,
            token,
            max_age=auth.SESSION_SECONDS,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=guard.is_secure(request),
        )
    return response


@routes.get("/prove")
async def prove(request: web.Request) -> web.Response:
    """Prove to `e2ee-ticket console` that this is the agent, before it shows its token here."""
    question = request.query.get("question", "")
    if not question.isalnum() or len(question) > _QUESTION_SIZE:
        raise web.HTTPBadRequest
    return web.Response(text=request.app[SERVICES].entrance.prove(question))


@routes.post("/leave")
async def leave(request: web.Request) -> web.Response:
    """End this browser's session."""
    request.app[SERVICES].sessions.end(session(request))
    response = web.Response(status=303, headers={"Location": "/enter"})
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
    return response


@routes.post("/leave-others")
async def leave_others(request: web.Request) -> web.Response:
    """End every session but this one."""
    request.app[SERVICES].sessions.end_others(session(request))
    raise done(request, "/shop", "leave-others")
