"""A printed document that comes again because its answer never left: it is one receipt, not two.

Printing systems send a job anew when the connection ends before the answer. A document's key is
what it is and how often it was answered before: sent again without an answer it has the key that it
had, and the outbox knows it, across a kill, too; printed again on purpose it has another.
"""

import contextlib
import contextvars
import hashlib
import json
from collections import OrderedDict
from typing import Any, Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from e2ee_ticket.errors import OutboxError
from e2ee_ticket.sources import Intake

REMEMBERED: Final = 64

_kept: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("kept", default=None)


class Resent:
    """How often each of the latest documents was answered."""

    def __init__(self) -> None:
        self._answered: OrderedDict[str, int] = OrderedDict()

    async def load(self, intake: Intake) -> None:
        """Read what an earlier process kept."""
        with contextlib.suppress(ValueError, TypeError, OutboxError):
            kept = json.loads(await intake.cursor() or "{}")
            self._answered = OrderedDict((str(name), int(count)) for name, count in kept.items())

    def begin(self) -> None:
        """A request begins: what is kept for it is to be answered."""
        _kept.set([])

    def key(self, document: bytes, title: str) -> str | None:
        """Name a document of this request; None where nobody waits for an answer."""
        kept = _kept.get()
        if kept is None:
            return None
        digest = hashlib.sha256(title.encode("utf-8", "replace") + b"\0" + document).hexdigest()[
            :32
        ]
        kept.append(digest)
        return f"{digest} {self._answered.get(digest, 0)}"

    def response(self, intake: Intake, **options: Any) -> web.Response:  # noqa: ANN401 - aiohttp's
        """Make this request's answer; once it has been written, its documents were answered."""
        return _Answer(self, intake, tuple(_kept.get() or ()), **options)

    async def note(self, intake: Intake, kept: tuple[str, ...]) -> None:
        """These documents were answered."""
        for digest in kept:
            self._answered[digest] = self._answered.get(digest, 0) + 1
            self._answered.move_to_end(digest)
            if len(self._answered) > REMEMBERED:
                self._answered.popitem(last=False)
        if kept:
            with contextlib.suppress(OutboxError):  # told where a receipt cannot be kept
                await intake.keep_cursor(json.dumps(self._answered))


class _Answer(web.Response):
    def __init__(
        self,
        resent: Resent,
        intake: Intake,
        kept: tuple[str, ...],
        **options: Any,  # noqa: ANN401 - idem
    ) -> None:
        super().__init__(**options)
        self._resent, self._intake, self._documents = resent, intake, kept
        self._request_of: web.BaseRequest | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._request_of = request
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data)
        transport = None if self._request_of is None else self._request_of.transport
        if transport is not None and not transport.is_closing():
            await self._resent.note(self._intake, self._documents)
