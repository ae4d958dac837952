"""A receipt printer on TCP 9100: whatever a till prints there becomes a receipt.

Every till that prints can print here. What it prints is a receipt when the paper is cut, when the
connection ends, or when nothing more comes; a PDF is one, too. What is no till's, a web page's
browser above all, is refused (first_bytes.py). Nothing that is sent can stop this printer: what is
too much is said to be.

A receipt is acknowledged as printers do it, once it is kept: the connection is closed in order, and
what the till asks after the cut is answered. Where this computer cannot keep it, the printer says
that its paper is out, as every till understands, and resets the connection instead.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

from e2ee_ticket.errors import ConfigError, OutboxError, ReceiptError, SourceError
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.sources import Arrival, Finding, Intake, Shop, code_pages, escpos
from e2ee_ticket.sources.connections import TOO_MANY, Connection, Connections, Limits
from e2ee_ticket.sources.escpos_jobs import (
    ANSWER_MAKER,
    ASK_MAKER,
    STATUS,
    STATUS_OUT,
    Answer,
    Event,
    Job,
    Kick,
    LanguageError,
    Shown,
)
from e2ee_ticket.sources.facts import issued_at
from e2ee_ticket.sources.listening import (
    PRINTER_LISTEN,
    explain,
    is_loopback,
    join,
    parse_listen,
    try_listening,
)
from e2ee_ticket.sources.print_stream import PrintStream, StrangerError
from e2ee_ticket.sources.roll_facts import facts
from e2ee_ticket.sources.roll_ticket import draw_ticket
from e2ee_ticket.sources.settings import read_number, read_sign

IDLE_SECONDS: Final = 3.0

CONNECTION_LIMIT: Final = 32
LIMITS: Final = Limits(
    connections=CONNECTION_LIMIT,
    connections_per_address=8,
    # Some tills hold their connection all day long; a job has a time of its own.
    idle_seconds=None,
    busy_seconds=None,
)
WAITING_LIMIT: Final = 64
"""Jobs that may wait to be drawn or kept; of one more the cashier is told that it is not taken."""
WAITING_SIZE: Final = 16 * 1024 * 1024
REPORT_SECONDS: Final = 60.0
"""How often at most the cashier is told that something which is no till tried to print."""

_CHUNK_SIZE: Final = 16 * 1024
_PROBE_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 5.0
_LATE_SECONDS: Final = 10.0
_QUIET_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.1
_PAPER_HINT: Final = "print it again from the till, or on paper"
_STRANGER: Final = Finding(
    ok=False,
    text="what is no till tried to print here and was refused",
    hint="if it was your till, choose ESC/POS in it as the printer's language",
)
_LANGUAGE_HINT: Final = (
    "choose ESC/POS or PDF in the till as the printer's language; this one on paper"
)
_TAKEN_HINT: Final = "end that program, or choose another port in listen and in the till"
_ADDRESS_HINT: Final = f"listen must be an address of this computer, such as {PRINTER_LISTEN}"

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Waiting:
    """A job on its way to the intake.

    Attributes:
        job: what was printed.
        began: when it began to wait, in seconds since 1970.
        since: the same by the loop's clock.
        kept: done when it is over: True where it is kept, False where it never will be.
    """

    job: Job = field(repr=False)
    began: float
    since: float
    kept: "asyncio.Future[bool]"


@dataclass(eq=False, slots=True)
class _Line:
    """One till's connection.

    Attributes:
        jobs: what it printed and what is not kept yet.
        refused: something of it was not taken, so that it is not closed in order.
        began: when its next job began to come, by the loop's clock.
        moved: when a part of its next job came last.
        ended: this printer stops, and reads no more of it.
        watches: it is told whenever the paper is out, or in again.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    stream: PrintStream = field(default_factory=PrintStream)
    jobs: list[_Waiting] = field(default_factory=list)
    refused: bool = False
    began: float | None = None
    moved: float = 0.0
    watches: bool = False
    ended: bool = False


class Printer:
    """A receipt printer.

    Args:
        name: the source's name.
        shop: whose receipts they are.
        listen: the address and port it prints at; other devices can print here only if it is not
            a loopback address.
        code_page: what the bytes of letters mean until the till says so.
        printer: the family of the printer that the till is set up for, whose numbers of code pages
            count: `epson`, `star`, `bixolon`, `citizen`, `hp`, `xprinter` and others.
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
    answer_seconds: ClassVar[float] = 5.0
    """How long a till that asks is kept waiting for what it printed to be kept."""
    stop_seconds: ClassVar[float] = 15.0
    """How long what came may take to be kept when the program stops."""

    def __init__(
        self,
        name: str,
        shop: Shop,
        *,
        listen: str = PRINTER_LISTEN,
        code_page: str = code_pages.CODE_PAGE,
        printer: str = code_pages.PRINTER,
        columns: int = escpos.COLUMNS,
        idle_seconds: float = IDLE_SECONDS,
        currency: str = "",
    ) -> None:
        self.name = name
        self._shop = shop
        self._host, self._port = parse_listen(listen, PRINTER_LISTEN)
        self._at = join(self._host, self._port)
        self._code_page = code_pages.check_code_page(code_page)
        self._printer = code_pages.check_printer(printer)
        self._columns = _parse_columns(columns)
        self._idle_seconds = read_number("idle_seconds", idle_seconds, 0.1, 60)
        self._currency = read_sign(currency)
        self._waiting: deque[_Waiting] = deque()
        self._lines: dict[asyncio.Task[None], _Line] = {}
        self._open = Connections(LIMITS)
        self._arrived = asyncio.Event()
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._is_out = False
        self._told_at: float | None = None

    @property
    def _is_local(self) -> bool:
        return is_loopback(self._host)

    async def run(self, intake: Intake) -> None:
        """Print until cancelled.

        Raises:
            SourceError: the port cannot be listened on.
        """
        self._stopping = asyncio.Event()
        self._open = Connections(LIMITS, lambda: intake.refuse(TOO_MANY))

        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = self._open.enter(writer.transport)
            if connection is None:
                return
            line = _Line(reader, writer)
            task = asyncio.ensure_future(self._serve(line, connection, intake))
            self._lines[task] = line

            def end(task: "asyncio.Task[None]") -> None:
                del self._lines[task]
                self._open.leave(connection)

            task.add_done_callback(end)

        try:
            server = await asyncio.start_server(
                serve, self._host, self._port, limit=_CHUNK_SIZE, backlog=CONNECTION_LIMIT
            )
        except OSError as error:
            raise SourceError(*self._refused(error)) from error
        intake.report(None)
        delivery = asyncio.get_running_loop().create_task(self._deliver_all(intake))
        try:
            await asyncio.shield(delivery)
        finally:
            server.close()
            await self._stop(delivery, intake)

    async def _stop(self, delivery: "asyncio.Task[None]", intake: Intake) -> None:
        """Keep what came, and say of what was not kept in time how much it is."""
        self._stopping.set()
        self._arrived.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.stop_seconds):
                while self._lines:
                    self._end_quiet_lines()
                    await asyncio.wait(list(self._lines), timeout=_LOOK_SECONDS)
                await self._finish(delivery)
        lost = len(self._waiting) + sum(line.stream.begun for line in self._lines.values())
        tasks = [*self._lines, delivery]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._waiting.clear()
        if lost:
            text = f"{lost} print jobs were not kept before this program stopped"
            if lost == 1:
                text = "a print job was not kept before this program stopped"
            intake.refuse(Finding(ok=False, text=text, hint=_PAPER_HINT))

    def _end_quiet_lines(self) -> None:
        """End the connections on which nothing comes any more; a job on them is whole."""
        quiet = asyncio.get_running_loop().time() - min(self._idle_seconds, _QUIET_SECONDS)
        for line in self._lines.values():
            transport = line.writer.transport
            is_quiet = not line.stream.begun or line.moved <= quiet
            if is_quiet and not line.ended and isinstance(transport, asyncio.Transport):
                # What comes now is not read, so that it is reset, and not taken for printed.
                line.ended = True
                transport.pause_reading()
                line.reader.feed_eof()

    async def _finish(self, delivery: "asyncio.Task[None]") -> None:
        """Wait until nothing waits any more."""
        while self._waiting and not delivery.done():
            ends: set[asyncio.Future[Any]] = {self._waiting[0].kept, delivery}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)

    # Receiving

    async def _serve(self, line: _Line, connection: Connection, intake: Intake) -> None:
        """Take one connection's jobs, and answer it; close it in order once all are kept."""
        try:
            try:
                await self._receive(line, connection, intake)
            except (OSError, TimeoutError):
                # The line broke: what came is on the paper.
                await self._do(line.stream.end(), line, intake)
            await self._acknowledge(line)
        except StrangerError:
            line.refused = True
            self._tell_stranger(intake)
        except ReceiptError as error:
            line.refused = True
            hint = _LANGUAGE_HINT if isinstance(error, LanguageError) else _PAPER_HINT
            intake.refuse(Finding(ok=False, text=str(error), hint=hint))
        except (OSError, TimeoutError):
            line.refused = True
        except Exception as error:  # noqa: BLE001 - a fault of ours loses no print in silence
            line.refused = True
            # Its type alone: the text may quote the receipt.
            logger.error("a print job could not be read: %s", type(error).__name__)  # noqa: TRY400
            text = "a print job did not become a receipt: it cannot be read"
            intake.refuse(Finding(ok=False, text=text, hint=_PAPER_HINT))
        finally:
            if line.refused or line.jobs:
                _reset(line.writer)
            line.writer.transport.abort()

    def _tell_stranger(self, intake: Intake) -> None:
        now = self._shop.now()
        if self._told_at is None or not 0 <= now - self._told_at < REPORT_SECONDS:
            self._told_at = now
            intake.refuse(_STRANGER)

    async def _acknowledge(self, line: _Line) -> None:
        """Close a connection in order, once what it printed is kept.

        Raises:
            OSError, TimeoutError: it is not kept, or the till has gone.
        """
        await self._settle(line)
        if not line.jobs and not line.refused:
            async with asyncio.timeout(_CLOSE_SECONDS):
                line.writer.close()
                await line.writer.wait_closed()

    async def _settle(self, line: _Line) -> None:
        """Wait until what a line printed is kept; not while this computer keeps nothing."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if self._stopping.is_set() else self.answer_seconds):
                while True:
                    changed = self._changed
                    line.refused = line.refused or any(
                        waiting.kept.done() and not waiting.kept.result() for waiting in line.jobs
                    )
                    line.jobs = [waiting for waiting in line.jobs if not waiting.kept.done()]
                    if not line.jobs or (self._is_out and not self._stopping.is_set()):
                        return
                    await changed.wait()

    def _change(self) -> None:
        """Wake whoever waits for something to be kept."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _say_out(self, *, is_out: bool) -> None:
        """Tell the tills that want to know that the paper is out, or in again."""
        if self._is_out == is_out:
            return
        self._is_out = is_out
        for line in self._lines.values():
            if line.watches and not line.writer.is_closing():
                line.writer.write(STATUS_OUT if is_out else STATUS)
        self._change()

    async def _receive(self, line: _Line, connection: Connection, intake: Intake) -> None:
        """Take one connection's jobs, and answer it.

        Raises:
            StrangerError: no till sends this.
            ReceiptError: a job is larger than any receipt, or in a language that is not read.
            OSError: the connection is gone.
            TimeoutError: the till does not take its answers.
        """
        loop = asyncio.get_running_loop()
        stream = line.stream
        while True:
            data = await self._read(line)
            before = stream.progress
            for event in stream.feed(data or b""):
                await self._do(event, line, intake)
            now = loop.time()
            if stream.progress != before or line.began is None:
                line.moved = now
            line.began = (line.began or now) if stream.begun else None
            if not data or self._is_over(line, now):
                job = stream.end() if data == b"" or self._is_long(line, now) else stream.pause()
                await self._do(job, line, intake)
                line.began = line.began if stream.begun else None
            self._give_way(line, connection)
            if data == b"" or (self._stopping.is_set() and not stream.begun):
                return

    def _is_over(self, line: _Line, now: float) -> bool:
        """Tell whether nothing more came of a job for a while, whatever the till asked."""
        return line.stream.begun and (
            now - line.moved >= self._idle_seconds or self._is_long(line, now)
        )

    def _is_long(self, line: _Line, now: float) -> bool:
        return line.began is not None and now - line.began > self.job_seconds

    def _give_way(self, line: _Line, connection: Connection) -> None:
        """A connection with nothing to print makes room for one that has."""
        is_busy = line.stream.begun or bool(line.jobs)
        if is_busy and not connection.busy:
            self._open.begin(connection)
        elif not is_busy and connection.busy:
            self._open.rest(connection)

    async def _read(self, line: _Line) -> bytes | None:
        """Read what comes: b"" is the connection's end, None that nothing came for a while.

        Raises:
            OSError: the connection broke.
        """
        seconds = None
        if line.stream.begun:
            now = asyncio.get_running_loop().time()
            seconds = max(0.0, line.moved + self._idle_seconds - now)
        try:
            async with asyncio.timeout(seconds):
                return await line.reader.read(_CHUNK_SIZE)
        except TimeoutError:
            return None

    async def _do(self, event: Event | None, line: _Line, intake: Intake) -> None:
        """Do what a part of the stream means."""
        if isinstance(event, Kick):
            intake.drawer()
        elif isinstance(event, Shown):
            intake.live(event.lines)
        elif isinstance(event, Answer):
            await self._answer(event, line)
        elif isinstance(event, Job):
            self._take(event, line, intake)

    async def _answer(self, answer: Answer, line: _Line) -> None:
        """Answer a till; that all is well only once what it printed before is kept.

        Raises:
            OSError, TimeoutError: the till does not take it.
        """
        line.watches = line.watches if answer.watches is None else answer.watches
        await self._settle(line)
        is_well = not line.jobs and not self._is_out
        line.writer.write(answer.data if is_well or answer.out is None else answer.out)
        async with asyncio.timeout(self.send_seconds):
            await line.writer.drain()

    def _take(self, job: Job, line: _Line, intake: Intake) -> None:
        """Have a job drawn and kept."""
        line.began = None
        if not self._fits(job):
            line.refused = True
            text = "a receipt was not taken: too many are waiting to be kept"
            intake.refuse(Finding(ok=False, text=text, hint=_PAPER_HINT))
            return
        loop = asyncio.get_running_loop()
        waiting = _Waiting(job, self._shop.now(), loop.time(), loop.create_future())
        line.jobs.append(waiting)
        self._waiting.append(waiting)
        self._arrived.set()

    def _fits(self, job: Job) -> bool:
        size = sum(len(waiting.job.data) for waiting in self._waiting)
        return len(self._waiting) < WAITING_LIMIT and size + len(job.data) <= WAITING_SIZE

    # Delivering

    async def _deliver_all(self, intake: Intake) -> None:
        """Deliver what waits, one after the other."""
        while True:
            self._arrived.clear()
            while self._waiting:
                waiting = self._waiting[0]
                is_kept = await self._deliver(waiting, intake)
                if not is_kept and self._stopping.is_set() and self._is_out:
                    self._give_up()
                    return
                self._waiting.popleft()
                waiting.kept.set_result(is_kept)
                self._change()
            await self._arrived.wait()

    def _give_up(self) -> None:
        """Nothing can be kept before the end: what still waits is counted."""
        for waiting in self._waiting:
            waiting.kept.set_result(False)
        self._change()

    async def _deliver(self, waiting: _Waiting, intake: Intake) -> bool:
        """Make a receipt of a job, and hand it over; nothing that is in it stops the others."""
        try:
            arrival = await asyncio.to_thread(self._arrival, waiting.job)
            await self._accept(arrival, waiting, intake)
        except ReceiptError as error:
            text = f"a print job did not become a receipt: {error}"
            intake.refuse(Finding(ok=False, text=text, hint=_PAPER_HINT))
        except OutboxError as error:
            if not self._stopping.is_set():
                self._say_out(is_out=False)
                text = f"a receipt was given up: {error}"
                intake.refuse(Finding(ok=False, text=text, hint=_PAPER_HINT))
        except Exception as error:  # noqa: BLE001 - one job must not end the others
            # Its type alone: the text may quote the receipt.
            logger.error("a print job could not be drawn: %s", type(error).__name__)  # noqa: TRY400
            text = "a print job did not become a receipt: it could not be drawn"
            intake.refuse(Finding(ok=False, text=text, hint=_PAPER_HINT))
        else:
            return True
        return False

    async def _accept(self, arrival: Arrival, waiting: _Waiting, intake: Intake) -> None:
        """Hand a receipt over; where this computer does not keep it, again and again.

        Raises:
            ReceiptError: it is no receipt.
            OutboxError: this computer does not keep it, whatever the time.
        """
        loop = asyncio.get_running_loop()
        for pause in (*self.retry_seconds, None):
            late = loop.time() - waiting.since > _LATE_SECONDS
            try:
                await intake.accept(replace(arrival, late=late, began=waiting.began))
            except OutboxError as error:
                self._say_out(is_out=True)
                if pause is None or self._stopping.is_set():
                    raise
                text = f"a receipt waits: {error}"
                hint = "it is tried again; until then print on paper"
                intake.report(Finding(ok=False, text=text, hint=hint))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._stopping.wait()
            else:
                self._say_out(is_out=False)
                intake.report(None)
                return

    def _arrival(self, job: Job) -> Arrival:
        """Draw a job; a PDF is a receipt as it is.

        Raises:
            ReceiptError: it is more than any receipt.
        """
        if job.is_pdf:
            issued = issued_at(self._shop.now())
            return Arrival(Ticket(receipt=job.data, title=self._shop.name, issued=issued))
        roll = escpos.decode(
            job.data,
            code_page=self._code_page,
            printer=self._printer,
            columns=self._columns,
            lang=self._shop.lang,
            title=self._shop.name or "",
        )
        if not roll.items:
            raise ReceiptError("there is nothing on it")
        known = facts(roll, self._currency)
        told: list[str] = []
        ticket = draw_ticket(
            roll,
            self._shop,
            title=self._shop.name,
            number=known.number,
            total=known.total,
            tell=told.append,
        )
        return Arrival(ticket, ours=True, paper=job.data, remarks=tuple(told))

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


def _reset(writer: asyncio.StreamWriter) -> None:
    """Have a connection end with a reset, which tells a till that its print was not taken."""
    ours = writer.get_extra_info("socket")
    if ours is not None:
        with contextlib.suppress(OSError):
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _parse_columns(columns: object) -> int:
    if not isinstance(columns, int) or isinstance(columns, bool) or not 16 <= columns <= 80:
        raise ConfigError("columns must be a whole number from 16 to 80, such as 48 or 32")
    return columns
