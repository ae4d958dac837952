"""The HTTP server of every listener of the till: little time, small heads, and no names in logs."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from socket import socket
from typing import Final

from aiohttp import web
from aiohttp.web_request import BaseRequest

from e2ee_ticket.sources.connections import Connection, Connections, Limits

HEAD_LINE_MAX_SIZE: Final = 8190
HEADERS_MAX: Final = 64
LINGER_SECONDS: Final = 1.0
STOP_SECONDS: Final = 2.0
NAME: Final = {"Server": "e2ee-ticket"}
"""What every answer says of its server: no version, which would say what it is open to."""

logger = logging.getLogger(__name__)

Handler = Callable[[BaseRequest], Awaitable[web.StreamResponse]]


class HttpServer(web.Server):
    """aiohttp's low-level server, with connections that have limits (connections.py).

    Args:
        handler: answers a request.
        limits: for its connections.
        refused: called whenever a connection is refused because there are too many.
        request_of: what makes requests for `handler`, where it is an application's.
        line_max_size: of a request's first line, and of each header.
        cancels: end a handler whose caller has gone; a source finishes what it began to keep.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        *,
        refused: Callable[[], None] = lambda: None,
        request_of: Callable[..., BaseRequest] | None = None,
        line_max_size: int = HEAD_LINE_MAX_SIZE,
        cancels: bool = False,
    ) -> None:
        super().__init__(self._answer, request_factory=request_of, handler_cancellation=cancels)
        self.open = Connections(limits, refused)
        self.line_max_size = line_max_size
        self._handler = handler

    def __call__(self) -> web.RequestHandler:
        """Return what handles a new connection."""
        return _Connection(self)

    async def _answer(self, request: BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, _Connection)  # noqa: S101 - it is ours: `__call__`
        with connection.busy():
            answer = await self._handler(request)
        answer.headers.update(NAME)
        return answer


class _Connection(web.RequestHandler):
    """One connection, which may not stand about, and of which no log tells whose it is."""

    __slots__ = ("_mine", "_open")

    def __init__(self, server: HttpServer) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            # How long it may be idle is for `Connections` to say.
            keepalive_timeout=server.open.limits.idle_seconds or 0,
            lingering_time=LINGER_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's way to have none
            max_line_size=server.line_max_size,
            max_field_size=server.line_max_size,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
        )
        self._open = server.open
        self._mine: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let a caller in, unless there are too many."""
        super().connection_made(transport)
        self._mine = self._open.enter(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let a caller go."""
        super().connection_lost(exc)
        if self._mine is not None:
            self._open.leave(self._mine)
            self._mine = None

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Give a request its time, and then the connection its time without one."""
        mine = self._mine
        if mine is None:
            yield
            return
        with self._open.busy(mine):
            yield

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the signature is aiohttp's
    ) -> web.StreamResponse:
        """Answer what is no request, or what made this server stumble."""
        if status >= 500:
            _log_fault(exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has already begun")
        answer = web.Response(status=500 if status >= 500 else 400, headers=NAME)
        answer.force_close()
        return answer

    def log_exception(self, *_: object, **kw: object) -> None:
        """Say that something failed, but not to whom: aiohttp would name the address."""
        exception = kw.get("exc_info")
        if isinstance(exception, BaseException) and not isinstance(
            exception, web.RequestPayloadError
        ):
            _log_fault(exception)

    def log_debug(self, *_: object, **__: object) -> None:
        """Say nothing."""


@contextlib.asynccontextmanager
async def serving(
    server: HttpServer,
    host: str,
    port: int,
    *,
    held: Sequence[socket] = (),
    application: web.Application | None = None,
) -> AsyncIterator[tuple[tuple[str, int], ...]]:
    """Serve at an address until the end of the block; gives the addresses as they are.

    `held` listen there already, where they are given, and stay open. What waits in `application` is
    ended first.

    Raises:
        OSError: it cannot be listened at.
    """
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    try:
        if not held:
            await web.TCPSite(runner, host, port).start()
        for each in held:
            await web.SockSite(runner, each.dup()).start()
        yield tuple((str(at[0]), int(at[1])) for at in runner.addresses)
    finally:
        if application is not None:
            await application.shutdown()
        await runner.cleanup()


def _log_fault(error: BaseException | None) -> None:
    """Log where it failed, but not with what: a message may name an address, or quote a receipt."""
    place = "?"
    traceback = None if error is None else error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{Path(code.co_filename).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    logger.error("%s in %s", type(error).__name__, place)
