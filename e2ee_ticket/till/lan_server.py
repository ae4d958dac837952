"""An HTTP server for callers that nobody knows: few connections, little time, no names in logs."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from e2ee_ticket.till.network import neighbourhood

_HEADER_MAX_SIZE: Final = 4096
_HEADERS_MAX: Final = 48
_LINGER_SECONDS: Final = 1.0
_NAME: Final = {"Server": "e2ee-ticket"}

logger = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the shop's network may ask of this computer.

    Attributes:
        connections: at once; and of them from one address.
        waiting: hellos that wait for the relay at once, of all displays.
        idle_seconds: how long a connection may be without a whole request.
        busy_seconds: how long one request may take, answer included.
        body_seconds: how long a hello may take to arrive.
    """

    connections: int = 128
    connections_per_address: int = 12
    waiting: int = 32
    idle_seconds: float = 30.0
    busy_seconds: float = 60.0
    body_seconds: float = 10.0


class LanServer(web.Server):
    """aiohttp's low-level server, with connections that have limits."""

    def __init__(self, handler: Handler, limits: Limits) -> None:
        # R92: when a tablet is gone, its handler is cancelled, and so is its hello at the relay.
        super().__init__(self._answer, handler_cancellation=True)
        self.limits = limits
        self._handler = handler
        self._callers: Counter[str] = Counter()

    def __call__(self) -> web.RequestHandler:
        """Return what handles a new connection."""
        return _Connection(self)

    def admit(self, address: str) -> bool:
        """Count a new connection, unless there are too many."""
        full = self._callers.total() >= self.limits.connections
        if full or self._callers[address] >= self.limits.connections_per_address:
            return False
        self._callers[address] += 1
        return True

    def dismiss(self, address: str) -> None:
        """Count a connection that has ended."""
        self._callers[address] -= 1
        if not self._callers[address]:
            del self._callers[address]

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, _Connection)  # noqa: S101 - it is ours: `__call__`
        with connection.busy():
            answer = await self._handler(request)
        answer.headers.update(_NAME)
        return answer


class _Connection(web.RequestHandler):
    """One connection, which may not stand about, and of which no log tells whose it is."""

    __slots__ = ("_address", "_end", "_server")

    def __init__(self, server: LanServer) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=server.limits.idle_seconds,
            lingering_time=_LINGER_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's way to have none
            max_line_size=_HEADER_MAX_SIZE,
            max_field_size=_HEADER_MAX_SIZE,
            max_headers=_HEADERS_MAX,
            auto_decompress=False,
        )
        self._server = server
        self._address: str | None = None
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let a caller in, unless there are too many."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername") or ("",)
        address = neighbourhood(str(peer[0]))
        if self._server.admit(address):
            self._address = address
            self._end_in(self._server.limits.idle_seconds)
        else:
            self._abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let a caller go."""
        super().connection_lost(exc)
        if self._end is not None:
            self._end.cancel()
        if self._address is not None:
            self._server.dismiss(self._address)
            self._address = None

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Give a request its time, and then the connection its time without one."""
        self._end_in(self._server.limits.busy_seconds)
        try:
            yield
        finally:
            self._end_in(self._server.limits.idle_seconds)

    def _end_in(self, seconds: float) -> None:
        if self._end is not None:
            self._end.cancel()
        if self.transport is not None:
            self._end = asyncio.get_running_loop().call_later(seconds, self._abort)

    def _abort(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the signature is aiohttp's
    ) -> web.StreamResponse:
        """Answer what is no request, or what made this server stumble."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has already begun")
        if status >= 500:
            _log_fault(exc)
        answer = web.Response(status=500 if status >= 500 else 400, headers=_NAME)
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


def _log_fault(error: BaseException | None) -> None:
    """Log where it failed, but not with what: a message may name a tablet's address."""
    place = "?"
    traceback = None if error is None else error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{Path(code.co_filename).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    logger.error("%s in %s", type(error).__name__, place)
