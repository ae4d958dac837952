"""The console as a program: what answers, who is let in, what becomes of errors."""

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from socket import socket
from typing import Final

from aiohttp import web

from e2ee_ticket.errors import ConfigError, TicketError
from e2ee_ticket.sources.connections import Limits
from e2ee_ticket.sources.http_server import HttpServer, serving
from e2ee_ticket.sources.listening import NOTHING_LOGGED
from e2ee_ticket.till.clock import Clock
from e2ee_ticket.till.config import ConsoleConfig
from e2ee_ticket.till.console import auth, cashier, entrance, guard, owner, static_files
from e2ee_ticket.till.console.held import why_not
from e2ee_ticket.till.console.pages.entrance import refused_page
from e2ee_ticket.till.console.services import SERVICES, Services, answer, words
from e2ee_ticket.till.floor import Floor
from e2ee_ticket.till.network import split_listen

BODY_MAX_SIZE: Final = 16 * 1024
FORM_SECONDS: Final = 10.0
LIMITS: Final = Limits(connections=128, connections_per_address=24, busy_seconds=120.0)
"""A browser opens six connections at most; behind a web server with TLS all are that server's."""
_OPEN: Final = ("/enter", "/prove", "/static/")
_MOVED: Final = 303

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
logger = logging.getLogger(__name__)


def create_console(
    floor: Floor,
    config: ConsoleConfig,
    *,
    state_dir: Path,
    clock: Clock,
    listening: str = "",
    peer: guard.Peer = guard.peer_of,
) -> web.Application:
    """Put the console together; it writes a new entry token when it starts.

    `listening` names the sockets that it listens on (held.py), for sessions are good on these
    alone. `peer` says who asks; the address at the other end of the connection, unless a test says
    else.
    """
    app = web.Application(middlewares=[_frame, _guard], client_max_size=BODY_MAX_SIZE)
    app[SERVICES] = Services(
        floor=floor,
        config=config,
        names=guard.names_for(config.listen, config.hosts),
        entrance=auth.Entrance(state_dir),
        sessions=auth.Sessions(state_dir, clock, listening),
        browsers=auth.Browsers(state_dir, clock),
        tries=auth.Tries(clock),
        clock=clock,
        peer=peer,
    )
    app.add_routes(cashier.routes)
    app.add_routes(owner.routes)
    app.add_routes(entrance.routes)
    app.router.add_get("/static/{name}", _static)
    app.cleanup_ctx.append(_renew_entrance)
    app.on_shutdown.append(_end_waiting)
    return app


async def serve(app: web.Application, listen: str, held: Sequence[socket] = ()) -> None:
    """Answer at an address until cancelled; `held` listen there already, where they are given.

    Raises:
        ConfigError: the address cannot be used.
    """
    host, port = split_listen(listen)
    # It makes the application's own handler; what listens is our server, with its limits.
    runner = web.AppRunner(app, access_log=None, logger=NOTHING_LOGGED)
    try:
        await runner.setup()
        inner = runner.server
        assert inner is not None  # noqa: S101 - it is set up
        server = HttpServer(
            inner.request_handler, LIMITS, request_of=inner.request_factory, cancels=True
        )
        try:
            async with serving(server, host, port, held=held, application=app):
                await asyncio.Event().wait()
        except OSError as error:
            raise ConfigError(why_not(listen, error)) from error
    finally:
        await runner.cleanup()


async def _renew_entrance(app: web.Application) -> AsyncIterator[None]:
    app[SERVICES].entrance.renew()
    yield


async def _end_waiting(app: web.Application) -> None:
    app[SERVICES].stopping.set()


@web.middleware
async def _frame(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every answer its headers, and every error a page."""
    try:
        response = await handler(request)
    except guard.StrangerError as stranger:
        response = answer(refused_page(words(request), stranger.key), stranger.status)
    except web.HTTPException as error:
        if error.status == _MOVED:
            response = web.Response(status=_MOVED, headers={"Location": error.headers["Location"]})
        else:
            key = "absent" if error.status in (404, 405) else "origin"
            response = answer(refused_page(words(request), key), error.status)
    except TicketError:
        response = answer(refused_page(words(request), "absent"), 404)
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception as error:  # noqa: BLE001 - a page is shown, and the place logged
        _log_fault(error)
        response = answer(refused_page(words(request), "fault"), 500)
    for name, value in guard.HEADERS.items():
        response.headers.setdefault(name, value)
    return response


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in who may come in."""
    services = request.app[SERVICES]
    guard.check_name(request, services.names)
    local = guard.is_local(request, services.peer)
    if not local and services.config.pin_hash is None:
        raise guard.StrangerError("remote", 403)
    guard.check_origin(request)
    token = services.session_of(request)
    if request.method == "POST":
        await _read_form(request)
    if request.path.startswith(_OPEN):
        return await handler(request)
    if token is None:
        # A page is led to the entrance; a script learns that it is over.
        if request.method == "GET" and request.headers.get("Sec-Fetch-Mode") in (None, "navigate"):
            raise web.HTTPSeeOther("/enter")
        raise guard.StrangerError("origin", 403)
    if request.method == "POST":
        given = str((await request.post()).get("form", ""))
        if not hmac.compare_digest(given.encode(), auth.form_token(token).encode()):
            raise guard.StrangerError("origin", 403)
    return await handler(request)


async def _read_form(request: web.Request) -> None:
    """Read a form, and nothing else that can be posted; aiohttp keeps what was read."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise guard.StrangerError("origin", 415)
    try:
        async with asyncio.timeout(FORM_SECONDS):
            await request.post()
    except (TimeoutError, ValueError, LookupError):
        raise guard.StrangerError("origin", 400) from None


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in static_files.KINDS:
        raise web.HTTPNotFound
    return web.Response(
        body=static_files.read(name),
        content_type=static_files.KINDS[name],
        charset="utf-8",
        headers={"Cache-Control": static_files.KEEP},
    )


def _log_fault(error: BaseException) -> None:
    """Log where it failed, but not with what: a message may hold what no log may."""
    place = "?"
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{Path(code.co_filename).name}:{traceback.tb_lineno} {code.co_name}"
        traceback = traceback.tb_next
    logger.error("a page of the console failed: %s in %s", type(error).__name__, place)
