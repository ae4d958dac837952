"""Being told by Dolibarr that something was paid, a moment before it would be asked for.

Dolibarr calls within its open transaction and waits for the answer, so there is one at once,
whatever is in the call. The body holds the database's host and user: nothing of it is kept but
whether it speaks of a payment, and of which row.
"""

import asyncio
import contextlib
import hmac
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Final

import aiohttp
from aiohttp import web

from e2ee_ticket.errors import ConfigError, SourceError
from e2ee_ticket.sources import Finding
from e2ee_ticket.sources.connections import TOO_MANY, Limits
from e2ee_ticket.sources.dolibarr.fields import read_whole
from e2ee_ticket.sources.http_server import HttpServer, serving
from e2ee_ticket.sources.listening import join

BODY_MAX_SIZE: Final = 2 * 1024 * 1024
_READ_SECONDS: Final = 5.0
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{20,100}")
_LIMITS: Final = Limits(connections=32, connections_per_address=8, idle_seconds=5.0)
_WRONG_SECRET: Final = Finding(
    ok=False,
    text="something called the webhook with a secret that is not this till's",
    hint="if it is your Dolibarr, write the address of e2ee-ticket setup into its webhook",
)
_NO_CALL: Final = Finding(
    ok=False,
    text="Dolibarr called the webhook, and the call could not be read",
    hint="sales are found all the same, a moment later",
)
_ADDRESS: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")


def new_webhook_secret() -> str:
    """Make up what nobody can guess, for the address that Dolibarr calls."""
    return secrets.token_urlsafe(24)


def read_address(text: str) -> tuple[str, int]:
    """Read host:port.

    Raises:
        ConfigError: it is none.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or not 0 <= int(match[2]) < 65536:
        raise ConfigError("webhook must be host:port, such as 127.0.0.1:8112")
    return match[1].strip("[]"), int(match[2])


def check_secret(secret: str) -> str:
    """Return a webhook's secret.

    Raises:
        ConfigError: too short to be one, or with characters that an address cannot have.
    """
    if _SECRET.fullmatch(secret) is None:
        raise ConfigError("webhook_secret must be 20 to 100 letters, digits, - or _")
    return secret


@contextlib.asynccontextmanager
async def listening(
    address: tuple[str, int],
    secret: str,
    paid: Callable[[int | None], None],
    refused: Callable[[Finding], None] = lambda _: None,
) -> AsyncIterator[int]:
    """Listen at an address, tell `paid` which row was paid, and yield the port.

    The row is None where the call is too long to be read: a refusal could undo the sale. `refused`
    is told of calls that were not taken.

    Raises:
        SourceError: the address cannot be listened at.
    """

    async def answer(request: web.BaseRequest) -> web.Response:
        path = request.raw_path.partition("?")[0]
        is_hook = path.startswith("/hook/")
        given = path.removeprefix("/hook/").encode("utf-8", "replace")
        if not is_hook or not hmac.compare_digest(given, secret.encode("ascii")):
            if is_hook and request.method == "POST":
                refused(_WRONG_SECRET)
            return web.Response(status=404)
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        try:
            async with asyncio.timeout(_READ_SECONDS):
                body = await _read_body(request)
            row = None if body is None else _read_row(body)
        except _OtherCall:
            return web.Response(status=204)
        except (TimeoutError, ValueError, RecursionError):
            refused(_NO_CALL)
            return web.Response(status=400)
        paid(row)
        return web.Response(status=204)

    server = HttpServer(answer, _LIMITS, refused=lambda: refused(TOO_MANY))
    try:
        async with serving(server, *address) as addresses:
            yield addresses[0][1]
    except OSError as error:
        raise SourceError(
            f"webhook: {address[0]}:{address[1]} cannot be listened at:"
            f" {(error.strerror or 'unknown reason').lower()}",
            "another program has it, or this computer has no such address; set webhook to"
            " another port, and in Dolibarr too",
        ) from error


async def check_listening(address: tuple[str, int], secret: str) -> Finding:
    """Tell whether this address can be listened at, or an agent that runs does so already."""
    try:
        async with listening(address, secret, lambda _: None):
            return Finding(ok=True, text=f"the webhook can listen on port {address[1]}")
    except SourceError as error:
        refused = Finding(ok=False, text=str(error), hint=error.hint)
    harmless = {"triggercode": "E2EE_TICKET_CHECK", "object": {}}
    timeout = aiohttp.ClientTimeout(total=1)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.post(f"http://{join(*address)}/hook/{secret}", json=harmless) as answer,
        ):
            ours = answer.status == 204
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError):
        ours = False
    return Finding(ok=True, text=f"the webhook listens on port {address[1]}") if ours else refused


class _OtherCall(Exception):  # noqa: N818 - nothing is wrong
    """A call about something else than a payment."""


async def _read_body(request: web.BaseRequest) -> bytes | None:
    """Read a call to its end; None where it is too long."""
    body = bytearray()
    async for chunk in request.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > BODY_MAX_SIZE:
            return None
    return bytes(body)


def _read_row(body: bytes) -> int | None:
    """Return the row that was paid.

    Raises:
        _OtherCall: it is about something else.
        ValueError, RecursionError: not a call of Dolibarr's.
    """
    call = json.loads(body)
    if not isinstance(call, dict) or not isinstance(call.get("object"), dict):
        raise ValueError  # noqa: TRY004 - it is the value that is wrong
    if call.get("triggercode") != "BILL_PAYED":
        raise _OtherCall
    return read_whole(call["object"], "id")
