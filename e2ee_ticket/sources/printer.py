"""A receipt printer on TCP 9100: whatever a till prints there becomes a receipt.

Every till that prints can print here; it is told at once that there is paper and that all is well.
What it prints is a receipt when the paper is cut, when the connection ends, or when nothing more
comes. Nothing that is sent can stop this printer: what is too much is said to be.
"""

import asyncio
import contextlib
import errno
import re
from collections import deque
from collections.abc import Sequence
from typing import ClassVar, Final

from e2ee_ticket.errors import ConfigError, OutboxError, ReceiptError, SourceError
from e2ee_ticket.sources import Arrival, Finding, Intake, Shop, escpos
from e2ee_ticket.sources.escpos_jobs import ANSWER_MAKER, ASK_MAKER, Answer, Job, Kick, Splitter
from e2ee_ticket.sources.listening import (
    PRINTER_LISTEN,
    explain,
    is_loopback,
    join,
    parse_listen,
    try_listening,
)
from e2ee_ticket.sources.roll_facts import facts
from e2ee_ticket.sources.roll_ticket import draw_ticket
from e2ee_ticket.sources.settings import read_number, read_sign

IDLE_SECONDS: Final = 3.0

CONNECTION_LIMIT: Final = 16
WAITING_LIMIT: Final = 64
"""Jobs that may wait to be drawn or kept; of one more the cashier is told that it is not taken."""
WAITING_SIZE: Final = 16 * 1024 * 1024

_CHUNK_SIZE: Final = 16 * 1024
_PROBE_SECONDS: Final = 1.0
_HEAD_SIZE: Final = 8
# What a web page in the till's browser can make the browser send here.
_WEB: Final = re.compile(rb"(?:GET|POST|PUT|HEAD|PATCH|TRACE|DELETE|OPTIONS|CONNECT|PRI) |\x16\x03")
_PAPER_HINT: Final = "print it again from the till, or on paper"
_TAKEN_HINT: Final = "end that program, or choose another port in listen and in the till"
_ADDRESS_HINT: Final = f"listen must be an address of this computer, such as {PRINTER_LISTEN}"


class Printer:
    """A receipt printer.

    Args:
        name: the source's name.
        shop: whose receipts they are.
        listen: the address and port it prints at; other devices can print here only if it is not
            a loopback address.
        code_page: what the bytes of letters mean until the till says so.
        columns: how many characters a line holds: 48 on 80 mm paper, 32 on 58 mm.
        idle_seconds: how long nothing must come before what was printed without a cut is a
            receipt.
        currency: the sign to put to a total that comes without one, such as `€`.
    """

    tills: Sequence[str] = ()
    retry_seconds: ClassVar[Sequence[float]] = (1, 2, 5, *(15,) * 235)
    """The pauses between tries to keep a receipt that this computer does not keep: an hour."""
    job_seconds: ClassVar[float] = 300.0
    """How long one job may take; the slowest cable takes minutes for a long receipt."""
    send_seconds: ClassVar[float] = 10.0
    """How long a till may take to read an answer."""
    stop_seconds: ClassVar[float] = 2.0
    """How long what waits may take when the program stops."""

    def __init__(
        self,
        name: str,
        shop: Shop,
        *,
        listen: str = PRINTER_LISTEN,
        code_page: str = escpos.CODE_PAGE,
        columns: int = escpos.COLUMNS,
        idle_seconds: float = IDLE_SECONDS,
        currency: str = "",
    ) -> None:
        self.name = name
        self._shop = shop
        self._host, self._port = parse_listen(listen, PRINTER_LISTEN)
        self._at = join(self._host, self._port)
        self._code_page = escpos.check_code_page(code_page)
        self._columns = _parse_columns(columns)
        self._idle_seconds = read_number("idle_seconds", idle_seconds, 0.1, 60)
        self._currency = read_sign(currency)
        self._connections: dict[asyncio.Task[None], Splitter] = {}
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()

    @property
    def _is_local(self) -> bool:
        return is_loopback(self._host)

    async def run(self, intake: Intake) -> None:
        """Print until cancelled.

        Raises:
            SourceError: the port cannot be listened on.
        """

        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if not self._has_room():
                writer.transport.abort()
                return
            splitter = Splitter()
            task = asyncio.ensure_future(self._serve(reader, writer, splitter, intake))
            self._connections[task] = splitter
            task.add_done_callback(self._connections.pop)

        try:
            server = await asyncio.start_server(
                serve, self._host, self._port, limit=_CHUNK_SIZE, backlog=CONNECTION_LIMIT
            )
        except OSError as error:
            raise SourceError(*self._refused(error)) from error
        intake.report(None)
        try:
            await self._deliver_all(intake)
        finally:
            server.close()
            connections = list(self._connections)
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    async def _deliver_all(self, intake: Intake) -> None:
        """Deliver what waits, one after the other; when cancelled, the rest without delay."""
        while True:
            self._arrived.clear()
            while self._waiting:
                delivery = asyncio.ensure_future(self._deliver(self._waiting[0], intake))
                try:
                    await asyncio.shield(delivery)
                except asyncio.CancelledError:
                    await self._finish(delivery, intake)
                    raise
                self._waiting.popleft()
            await self._arrived.wait()

    async def _finish(self, delivery: "asyncio.Future[None]", intake: Intake) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.stop_seconds):
                await delivery
                self._waiting.popleft()
                while self._waiting:
                    await self._deliver(self._waiting[0], intake)
                    self._waiting.popleft()

    # Receiving

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        splitter: Splitter,
        intake: Intake,
    ) -> None:
        try:
            await self._receive(reader, writer, splitter, intake)
        except ReceiptError as error:
            intake.report(Finding(ok=False, text=str(error), hint=_PAPER_HINT))
        except (OSError, TimeoutError):
            if (job := splitter.end()) is not None:  # the line broke: what came is on the paper
                await self._do(job, writer, intake)
        finally:
            writer.transport.abort()

    def _has_room(self) -> bool:
        """Make room for a connection, where one has nothing to print."""
        if len(self._connections) < CONNECTION_LIMIT:
            return True
        for task, splitter in self._connections.items():
            if not splitter.begun:
                task.cancel()
                return True
        return False

    async def _receive(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        splitter: Splitter,
        intake: Intake,
    ) -> None:
        """Take one connection's jobs, and answer it.

        Raises:
            ReceiptError: a job is larger than any receipt.
            OSError: the connection is gone.
            TimeoutError: the till does not take its answers.
        """
        loop = asyncio.get_running_loop()
        head = b""
        began: float | None = None
        while True:
            data = await self._read(reader, patient=not splitter.begun)
            if data and len(head) < _HEAD_SIZE:
                head += data[: _HEAD_SIZE - len(head)]
                if _WEB.match(head):
                    return  # a web page, and no till
            for event in splitter.feed(data or b""):
                await self._do(event, writer, intake)
                began = None if isinstance(event, Job) else began
            now = loop.time()
            began = (began or now) if splitter.begun else None
            if not data or (began is not None and now - began > self.job_seconds):
                began = None
                if (job := splitter.end()) is not None:
                    await self._do(job, writer, intake)
            if data == b"":
                return

    async def _read(self, reader: asyncio.StreamReader, *, patient: bool) -> bytes | None:
        """Read what comes: b"" is the connection's end, None that nothing came for a while.

        Raises:
            OSError: the connection broke.
        """
        try:
            async with asyncio.timeout(None if patient else self._idle_seconds):
                return await reader.read(_CHUNK_SIZE)
        except TimeoutError:
            return None

    async def _do(
        self, event: Job | Answer | Kick, writer: asyncio.StreamWriter, intake: Intake
    ) -> None:
        if isinstance(event, Kick):
            intake.drawer()
        elif isinstance(event, Answer):
            writer.write(event.data)
            async with asyncio.timeout(self.send_seconds):
                await writer.drain()
        elif not self._fits(event.data):
            text = "a receipt was not taken: too many are waiting to be kept"
            intake.report(Finding(ok=False, text=text, hint=_PAPER_HINT))
        else:
            self._waiting.append(event.data)
            self._arrived.set()

    def _fits(self, job: bytes) -> bool:
        size = sum(len(waiting) for waiting in self._waiting)
        return len(self._waiting) < WAITING_LIMIT and size + len(job) <= WAITING_SIZE

    # Delivering

    async def _deliver(self, job: bytes, intake: Intake) -> None:
        """Make a receipt of a job, and hand it over; nothing that is in it stops the others."""
        try:
            arrival = await asyncio.to_thread(self._arrival, job)
            await self._accept(arrival, intake)
        except ReceiptError as error:
            text = f"a print job did not become a receipt: {error}"
            intake.report(Finding(ok=False, text=text, hint=_PAPER_HINT))
        except OutboxError as error:
            text = f"a receipt was given up: {error}"
            intake.report(Finding(ok=False, text=text, hint=_PAPER_HINT))

    async def _accept(self, arrival: Arrival, intake: Intake) -> None:
        """Hand a receipt over; where this computer does not keep it, again and again.

        Raises:
            ReceiptError: it is no receipt.
            OutboxError: this computer does not keep it, whatever the time.
        """
        for pause in (*self.retry_seconds, None):
            try:
                await intake.accept(arrival)
            except OutboxError as error:
                if pause is None:
                    raise
                text = f"a receipt waits: {error}"
                hint = "it is tried again; until then print on paper"
                intake.report(Finding(ok=False, text=text, hint=hint))
                await asyncio.sleep(pause)
            else:
                intake.report(None)
                return

    def _arrival(self, job: bytes) -> Arrival:
        """Draw a job.

        Raises:
            ReceiptError: it is more than any receipt.
        """
        roll = escpos.decode(
            job,
            code_page=self._code_page,
            columns=self._columns,
            lang=self._shop.lang,
            title=self._shop.name or "",
        )
        if not roll.items:
            raise ReceiptError("there is nothing on it")
        known = facts(roll, self._currency)
        ticket = draw_ticket(
            roll, self._shop, title=self._shop.name, number=known.number, total=known.total
        )
        return Arrival(ticket, ours=True, paper=job)

    # Checking

    async def check(self) -> Sequence[Finding]:
        """See whether the port is free, or this very printer's."""
        findings = [await self._check_port()]
        if not self._is_local:
            findings.append(
                Finding(
                    ok=True,
                    text=f"{self._at} is open to the network: whoever is in it can print receipts",
                    hint=f"unless other tills print here: listen = {PRINTER_LISTEN!r}",
                )
            )
        return findings

    async def _check_port(self) -> Finding:
        error = await try_listening(self._host, self._port)
        if error is None:
            return Finding(ok=True, text=f"the receipt printer can listen at {self._at}")
        if error.errno == errno.EADDRINUSE and await self._is_running():
            return Finding(ok=True, text=f"the receipt printer answers at {self._at}")
        text, hint = self._refused(error)
        return Finding(ok=False, text=text, hint=hint)

    async def _is_running(self) -> bool:
        """Ask whoever listens there whether it is a printer of this program."""
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked about, not bound
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                reader, writer = await asyncio.open_connection(
                    local.get(self._host, self._host), self._port
                )
                with contextlib.closing(writer):
                    writer.write(ASK_MAKER)
                    answer = await reader.readexactly(len(ANSWER_MAKER))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False
        return answer == ANSWER_MAKER

    def _refused(self, error: OSError) -> tuple[str, str]:
        return explain(error, self._at, taken_hint=_TAKEN_HINT, other_hint=_ADDRESS_HINT)


def _parse_columns(columns: object) -> int:
    if not isinstance(columns, int) or isinstance(columns, bool) or not 16 <= columns <= 80:
        raise ConfigError("columns must be a whole number from 16 to 80, such as 48 or 32")
    return columns
