"""One till of the shop: its sales, from the receipt's arrival to their end.

No step to the code waits for the upload. A code is shown only where it will open something: not
while the relay is away, and not while the receipt page is another than the released one; then the
cashier is told at once, and has paper. What was accepted ends in one of the outbox's outcomes, or
stands on the console until somebody decides.

A code that was in nobody's way but the relay's comes back by itself while its customer can still
be here: as long as it would have stayed on the display, and only before the next sale begins.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from e2ee_ticket.errors import (
    OutboxError,
    ReceiptError,
    RefusedError,
    RelayError,
    SourceError,
    TakenError,
    TicketError,
)
from e2ee_ticket.pdf.raster import to_escpos
from e2ee_ticket.protocol import content
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.till import paper, pipeline
from e2ee_ticket.till.config import TillConfig
from e2ee_ticket.till.engine import Engine
from e2ee_ticket.till.outbox import Entry, History, Open, SaleChange, Showing
from e2ee_ticket.till.pipeline import Delivery, Progress
from e2ee_ticket.till.reasons import (
    HOLDS,
    NO_PAPER_YET,
    NO_ROOM,
    PAST,
    UNTIL_CONFIRMED,
    UNTIL_SHOWN,
    UNTIL_STORED,
    Reason,
    say,
)
from e2ee_ticket.till.record import HERE, Record
from e2ee_ticket.till.screen import Screen
from e2ee_ticket.till.states import LET_GO, OPENED, OVER, DeliveryState, Outcome, SaleState, may

log = logging.getLogger(__name__)

READY_SECONDS: Final = 3.0
DOUBT_SECONDS: Final = 5.0
REFUSED_SECONDS: Final = 300.0
FULL_SECONDS: Final = 15.0
FORGET_SECONDS: Final = 600.0
WATCHED_COUNT: Final = 4
"""How many of a till's latest sales are followed by a request that waits at the relay."""
WATCHED_SECONDS: Final = 300.0
ASK_FIRST_SECONDS: Final = 30.0
ASK_LONGEST_SECONDS: Final = 6 * 3600.0
LIVE_AFTER_SECONDS: Final = 15.0
SCAN_SECONDS: Final = 5.0
"""A code that the next sale replaced before this was hardly scanned: the cashier is told."""
LATE_SECONDS: Final = 15.0
"""What waited longer than this before it was accepted is not shown to whoever stands here now."""
LEAST_SECONDS: Final = 15.0
"""A code that comes back by itself must have so much of its time left."""

_WAITS: Final = frozenset({DeliveryState.ACCEPTED, DeliveryState.SEALED})
_HAD: Final = frozenset({SaleState.OPENED, SaleState.RECEIVED})
_CATCH_ALL: Final = (Reason.UNSEEN, Reason.BRIEF)
_TAKING_BACK: Final = frozenset({Reason.REVOKING, Reason.UNREVOKED})
_RETURNS: Final = frozenset({Reason.MISSED, Reason.INTERRUPTED})
"""Reasons why a code is not shown that are nobody's decision: it may come back by itself."""


class Desk:
    """One till."""

    def __init__(
        self, config: TillConfig, engine: Engine, screen: Callable[[TillConfig], Screen | None]
    ) -> None:
        self.config = config
        self.current: Record | None = None
        """The sale whose customer stands here."""
        self._engine = engine
        self._screen = screen
        self._tasks: set[asyncio.Task[None]] = set()
        self._forgetting: dict[int, asyncio.Task[None]] = {}
        self._following: dict[int, set[asyncio.Task[Any]]] = {}
        """By a sale's number: what brings its tickets to the relay and asks for their states."""
        self._printing: set[int] = set()
        self._pile = asyncio.Lock()
        self._recent: list[Record] = []
        self._in_the_way: dict[int, Record] = {}
        """Sales with a reason that says what is so now: it ends when the world changes."""
        self._unsaved: dict[int, Record] = {}
        self._live: tuple[str, ...] | None = None
        self._lines: Content | None = None
        self._opening: asyncio.Task[None] | None = None
        self._live_waits: asyncio.Task[None] | None = None

    @property
    def screen(self) -> Screen | None:
        """The display that faces this till's customers, if it can be driven."""
        screen = self._screen(self.config)
        return None if screen is None or screen.stopped is not None else screen

    async def close(self) -> None:
        """End everything; what is unfinished is in the outbox.

        Displays go idle now: until when a code was on is known now, and not when all begins again.
        """
        for record in self._recent:
            self.look_at(record)
            self._end_showings(record)
            self._save(record)
        tasks = [*self._tasks, *self._forgetting.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def forget(self, record: Record) -> None:
        """Let a sale go that the console lists no more: it is over, or the customer has it."""
        self._forget_no_more(record)
        for task in self._following.get(record.number, ()):
            task.cancel()
        record.drop_content()

    # A sale

    def why_late(self, began: float, *, late: bool) -> Reason | None:
        """Say why a receipt that began to come at a time is not shown by itself; None: it is.

        Whatever kept it from being accepted (a full disk, a slow line, another program, this
        computer's sleep), its customer may have left, or a later one stands here.
        """
        if self.current is not None and (self.current.since or 0.0) > began:
            return Reason.OVERTAKEN
        is_late = late or self._engine.clock.monotonic() - began > LATE_SECONDS
        return Reason.LATE if is_late else None

    def take(self, record: Record) -> None:
        """Show a new sale's code, or say why not."""
        self._live = None
        self._make_current(record)
        self._spawn(self._begin(record))

    async def _begin(self, record: Record) -> None:
        refusal = await self._refusal()
        if record.outcome is not None or record.deliveries:
            return  # handed over on paper meanwhile, or shown by the cashier
        if self.current is not record:
            self.hold(record, Reason.OVERTAKEN)
            return
        if refusal is not None:
            self.hold(record, *refusal)
            return
        assert record.ticket is not None  # noqa: S101 - it has just been accepted
        self._show_new(record, record.ticket)

    def hold(
        self, record: Record, reason: Reason, detail: str | None = None, hint: str | None = None
    ) -> None:
        """Keep a sale without showing it: the cashier decides."""
        self._tell(record, reason, detail, hint)
        if record is not self.current:
            self._forget_later(record)
        screen = self.screen
        before = self.current is record and any(each.on_screen for each in self._recent)
        if screen is not None and before:
            screen.clear()  # it is the customer's before; another till's may stay
        text = say(reason, detail)
        log.warning("till %s: sale %d is not shown: %s", record.till, record.number, text)
        self._changed(record)

    async def _refusal(self) -> tuple[Reason, str, str] | None:
        """Say why no code may be shown now; at start, wait a moment for the first answers."""
        if not self._engine.presence.known.is_set() or self._engine.page().state == "unknown":
            await self._until_ready()
        return self.refusal()

    async def _until_ready(self) -> None:
        end = self._engine.clock.monotonic() + READY_SECONDS
        while self._engine.clock.monotonic() < end:
            if self._engine.presence.known.is_set() and self._engine.page().state != "unknown":
                return
            await self._engine.clock.sleep(0.05)

    def refusal(self) -> tuple[Reason, str, str] | None:
        """Say why no code may be shown now, and what to do; None where nothing is in the way."""
        presence = self._engine.presence
        if not presence.here:
            return Reason.RELAY, str(presence.failure), NO_PAPER_YET
        verdict = self._engine.page()
        if not verdict.ok:
            return Reason.PAGE, verdict.text, verdict.hint or NO_PAPER_YET
        return None

    def _show_new(self, record: Record, ticket: Ticket, seconds: int | None = None) -> None:
        """Make a ticket of a receipt, and show it."""
        screen = self.screen
        delivery = Delivery(
            self._engine.till,
            ticket,
            _Observer(self, record),
            screen=screen,
            seeing=None
            if ticket.lines is not None
            else asyncio.shield(self._spawn(self._engine.looker(record, ticket.receipt))),
            number=record.number,
        )
        record.deliveries.append(delivery)
        try:
            delivery.keep()
        except ReceiptError as error:
            self._fail(record, delivery, error)
            return
        self._put_on(record, delivery, seconds)
        self._spawn(self._deliver(record, delivery))

    def _put_on(self, record: Record, delivery: Delivery, seconds: int | None = None) -> None:
        """Show a code on the display, or where there is none, on the till's own screen."""
        self._live = None
        record.end(*UNTIL_SHOWN)
        delivery.show(seconds)
        record.here = not delivery.on_screen
        if delivery.on_screen:
            self._spawn(self._confirm(record, delivery))
        self._changed(record)

    async def _confirm(self, record: Record, delivery: Delivery) -> None:
        """C37: what the display does not confirm in 3 s is shown on the till's own screen."""
        if await delivery.confirm() or self.current is not record or not record.showable:
            return
        screen = self.screen
        name = "the display" if screen is None else screen.name
        if not delivery.on_screen and (screen is None or screen.present.kind != "ticket"):
            return  # it was taken off: the relay went away
        record.here = True
        reason = Reason.UNCONFIRMED if delivery.on_screen else Reason.TAKEN
        self._tell(record, reason, name)
        log.warning("till %s: sale %d is not confirmed by its display", record.till, record.number)
        self._changed(record)

    async def _deliver(self, record: Record, delivery: Delivery) -> None:
        async def upload() -> None:
            async with self._engine.uploads:
                await delivery.upload()

        await self._see_through(record, delivery, upload)

    async def _see_through(
        self, record: Record, delivery: Delivery, upload: Callable[[], Awaitable[None]]
    ) -> None:
        """Bring a ticket to the relay and follow it to its end."""
        doubting = self._spawn(self._doubt(record, delivery))
        following = self._following.setdefault(record.number, set())
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        following.add(task)
        is_full = False
        try:
            while True:
                try:
                    await upload()
                    await self._follow(record, delivery)
                except (RelayError, ReceiptError, OutboxError) as error:
                    doubting.cancel()  # more is known now
                    self._fail(record, delivery, error)
                    is_full = isinstance(error, OutboxError)
                if delivery.state != DeliveryState.SEALED:
                    return
                # Refused, but not for good: a permit may be given back, and a disk have room.
                await self._engine.till.clock.sleep(FULL_SECONDS if is_full else REFUSED_SECONDS)
        finally:
            doubting.cancel()
            following.discard(task)
            if not following:
                self._following.pop(record.number, None)

    async def _doubt(self, record: Record, delivery: Delivery) -> None:
        """An upload that takes long may have nowhere to go: ask the relay, tell the cashier."""
        await self._engine.clock.sleep(DOUBT_SECONDS)
        if delivery.state not in _WAITS:
            return
        self._engine.presence.doubt()
        await self._engine.clock.sleep(DOUBT_SECONDS)
        waits = delivery.state in _WAITS
        if waits and record.outcome is None and not record.revoking and self._engine.presence.here:
            self._tell(record, Reason.SLOW)
            log.warning("till %s: sale %d is not uploaded yet", record.till, record.number)
            self._changed(record)

    def _fail(self, record: Record, delivery: Delivery, error: TicketError) -> None:
        if delivery.on_screen and self.screen is not None:
            self.screen.clear()
        record.here = False
        if record.state not in _HAD and record.outcome is None:
            hint = NO_ROOM if isinstance(error, OutboxError) else None
            record.end(Reason.SLOW, Reason.AWAY)  # more is known now
            self._tell(record, Reason.FAILED, str(error), hint)
        log.warning("till %s: sale %d: %s", record.till, record.number, error)
        if isinstance(error, OutboxError):
            self._engine.trouble(error)
        self._engine.presence.doubt()
        self._changed(record)

    async def _follow(self, record: Record, delivery: Delivery) -> None:
        """Ask the relay for the ticket's state: a customer who is here now is worth waiting for."""
        began = self._engine.clock.now()
        ended = (Outcome.PAPER, Outcome.REPORTED, Outcome.REVOKED)
        while delivery.state not in OVER and record.outcome not in ended:
            if self._is_watched(record, began):
                await delivery.look(pipeline.WATCH_SECONDS)
                self._note_expiry(record, delivery)
                continue
            age = max(self._engine.clock.now() - record.at, 0.0)
            wait = min(max(age / 2, ASK_FIRST_SECONDS), ASK_LONGEST_SECONDS)
            if record.expires_at is not None:
                left = record.expires_at - self._engine.clock.now()
                wait = min(wait, max(left, 0.0) + 1.0)
            await self._engine.clock.sleep(wait)
            await delivery.look(0)
            self._note_expiry(record, delivery)

    def _note_expiry(self, record: Record, delivery: Delivery) -> None:
        """The relay's word, anew each time: this computer's clock may have been set."""
        if delivery.state in OVER:
            record.expires_at = None
        elif delivery.expires_in is not None:
            record.expires_at = self._engine.clock.now() + delivery.expires_in

    def _is_watched(self, record: Record, began: float) -> bool:
        return (
            self._engine.presence.here
            and record in self._recent[-WATCHED_COUNT:]
            and (record is self.current or 0 <= self._engine.clock.now() - began < WATCHED_SECONDS)
        )

    # What the cashier can do

    def actions(self, record: Record) -> frozenset[str]:
        """Say what can be done with a sale now."""
        kept = record.kept or record.ticket is not None
        can: set[str] = set()
        if record.outcome is None and not record.revoking:
            if (record.showable or kept) and record.state not in _HAD:
                can.add("here")
                if self.screen is not None:
                    can.add("show")
            may_be_there = bool(record.deliveries) and not record.over
            if record.state != SaleState.FAILED and may_be_there:
                can.add("revoke")
            waits = (SaleState.HELD, SaleState.SEALED, SaleState.STORED, SaleState.FAILED)
            if record.state in waits:
                can.add("dismiss")
        if kept and record.state != SaleState.REVOKED and not record.revoking:
            can.add("paper")
        return frozenset(can)

    def show_again(self, record: Record, *, here: bool = False) -> None:
        """Show a sale's code once more: the same where it still can be, else a new ticket's.

        Raises:
            TicketError: it was handed over, or is no longer kept, or no code may be shown now.
        """
        if not {"here", "show"} & self.actions(record):
            raise TicketError("this receipt cannot be shown any more")
        refusal = self.refusal()
        if refusal is not None:
            if not record.visible and HOLDS.isdisjoint(record.reasons):
                self._tell(record, *refusal)
                self._changed(record)
            raise TicketError(say(refusal[0], refusal[1]))
        delivery = record.delivery
        if here and record.showable:
            record.here = True
            record.end(*UNTIL_SHOWN - UNTIL_CONFIRMED)
            self._changed(record)
            return
        ticket = None if record.showable else self._receipt(record)
        self._make_current(record)
        if record.showable and delivery is not None:
            delivery.move_to(self.screen)
            self._put_on(record, delivery)
        elif ticket is not None:
            self._show_new(record, ticket)
        else:
            raise TicketError("this receipt is no longer kept")
        record.here = record.here or here

    def hide(self, record: Record) -> None:
        """End showing a code on the till's own screen."""
        record.here = False
        record.end(*UNTIL_CONFIRMED)
        self._changed(record)

    def link(self, record: Record) -> Link:
        """Return the link of a code that is drawn on the till's own screen now.

        Raises:
            TicketError: it was handed over, or is no longer kept, or no code may be shown now.
        """
        if not (record.here and record.showable):
            self.show_again(record, here=True)
        delivery = record.delivery
        link = None if delivery is None else delivery.link
        if link is None:
            raise TicketError("this code is no longer shown")
        if not record.drawn:
            record.drawn = True
            self._changed(record)
        return link

    def revoke(self, record: Record) -> None:
        """Take a sale's tickets back, for certain: the wish is in the outbox when this returns.

        Raises:
            OutboxError: the wish cannot be kept.
            TicketError: there is nothing to take back.
        """
        entries = self._revocable(record)
        for delivery in record.deliveries:
            if not delivery.kept:  # nobody else can be at it
                delivery.withdraw()
        withdrawn = any(each.state == DeliveryState.REVOKED for each in record.deliveries)
        if not entries and not withdrawn:
            raise TicketError("there is nothing at the relay to take back")
        for entry in entries:
            self._engine.outbox.want_revoked(entry.id)
        self._take_off(record)
        record.revoking = True
        for delivery in record.deliveries:
            delivery.forget()
        away = None if self._engine.presence.here else "the relay is away; this goes on by itself"
        record.end(*Reason)
        self._tell(record, Reason.REVOKING, hint=away)
        self._spawn(self._revoke(record, entries))
        self._changed(record)

    def _revocable(self, record: Record) -> list[Entry]:
        """Name the tickets of a sale that the relay has, or may have.

        What a full disk did not let the outbox know, the deliveries know.
        """
        kept = {
            entry.id: entry
            for entry in self._engine.outbox.entries()
            if entry.receipt_number == record.number
        }
        for delivery in record.deliveries:
            if delivery.left:
                entry = kept.get(delivery.id) or delivery.as_entry()
                kept[delivery.id] = replace(entry, tried=True)
        return [entry for entry in kept.values() if entry.state not in OVER]

    async def _revoke(self, record: Record, entries: Sequence[Entry]) -> None:
        """Take back until it is taken back (R130); the wish is in the outbox."""
        while not await self._revoke_once(record, entries):
            await self._engine.till.clock.sleep(REFUSED_SECONDS)
        record.revoking = False
        if record.state not in _HAD:
            with self._keeping():
                record.outcome = self._engine.outbox.settle(record.number, Outcome.REVOKED)
            record.outcome = record.outcome or Outcome.REVOKED
        record.end(*Reason)
        record.ticket = record.paper = None
        record.kept = False
        self._changed(record)

    async def _revoke_once(self, record: Record, entries: Sequence[Entry]) -> bool:
        try:
            for entry in entries:
                state = await pipeline.revoke(
                    self._engine.till, self._engine.outbox, entry, self._away
                )
                for delivery in record.deliveries:
                    if delivery.id == entry.id:
                        delivery.end(state)
        except (RelayError, OutboxError) as error:
            self._tell(record, Reason.UNREVOKED, str(error))
            log.warning("till %s: sale %d: %s", record.till, record.number, error)
            self._changed(record)
            return False
        return True

    async def paper(self, record: Record) -> bytes | None:
        """Print a receipt, or return the PDF for whoever can.

        Raises:
            TicketError: it is no longer kept.
            SourceError: the printer does not take it; nothing has changed.
        """
        if "paper" not in self.actions(record):
            raise TicketError("this receipt is no longer kept, so that it cannot be printed")
        if record.number in self._printing:
            raise TicketError("this receipt is being printed already")
        data = record.paper or self._engine.outbox.paper(record.number)
        ticket = self._receipt(record)
        if ticket is None:
            raise TicketError("this receipt is no longer kept, so that it cannot be printed")
        record.ticket = ticket  # paper may jam
        if record is not self.current:
            self._forget_later(record)
        unfit: ReceiptError | None = None
        try:
            printed = await self._print(record, data, ticket)
        except ReceiptError as error:
            printed, unfit = False, error
        self._end(record, Outcome.PAPER)
        if unfit is not None:
            self._tell(record, Reason.UNFIT, str(unfit))
            self._changed(record)
        return None if printed else ticket.receipt

    def print_all(self, records: Sequence[Record]) -> None:
        """Hand sales that wait for the cashier over on paper, one after the other."""
        if records and self.config.printer is not None:
            self._spawn(self._print_all(records))

    async def _print_all(self, records: Sequence[Record]) -> None:
        """Print until the printer stops, and say so then; each only once, however often asked."""
        async with self._pile:
            failure: SourceError | None = None
            for record in records:
                if "dismiss" not in self.actions(record):
                    continue  # it has ended meanwhile
                try:
                    if failure is None:
                        await self.paper(record)
                except SourceError as error:
                    failure = error
                    log.warning("till %s: %s", record.till, error)
                except TicketError as error:  # it is being printed, or its time was over
                    log.info("till %s: sale %d: %s", record.till, record.number, error)
                if failure is not None:
                    self._tell(record, Reason.UNPRINTED, str(failure), failure.hint)
                    self._changed(record)

    async def _print(self, record: Record, data: bytes | None, ticket: Ticket) -> bool:
        """Print the till's own bytes, or else the receipt's picture; False without a printer.

        Raises:
            ReceiptError: there is no picture of it.
            SourceError: the printer does not take it.
        """
        if self.config.printer is None:
            return False
        self._printing.add(record.number)
        try:
            if data is None:
                async with self._engine.looks:
                    data = await to_escpos(ticket.receipt, dots=self.config.printer_dots)
            await paper.print_bytes(self.config.printer, data)
        finally:
            self._printing.discard(record.number)
        return True

    def dismiss(self, record: Record) -> None:
        """Let a sale go that was not delivered: the cashier knows."""
        if "dismiss" not in self.actions(record):
            raise TicketError("there is nothing to let go")
        self._end(record, Outcome.REPORTED)
        record.drop_content()

    def drawer(self) -> None:
        """Open the cash drawer, if this till has a printer with one; one pulse at a time."""
        if self.config.printer is not None and _is_over(self._opening):
            self._opening = self._spawn(self._open_drawer(self.config.printer))

    async def _open_drawer(self, printer: str) -> None:
        try:
            await paper.print_bytes(printer, paper.drawer_pulse())
        except SourceError as error:
            self._engine.trouble(error)

    def print_too(self, record: Record) -> None:
        """Print a copy for every customer, where the shop wants it so."""
        if self.config.printer is not None and record.ticket is not None:
            record.copied = True
            self._spawn(self._print_copy(record, record.paper, record.ticket))

    async def _print_copy(self, record: Record, data: bytes | None, ticket: Ticket) -> None:
        try:
            await self._print(record, data, ticket)
        except ReceiptError as error:
            self._tell(record, Reason.UNFIT, str(error))
        except SourceError as error:
            self._tell(record, Reason.UNPRINTED, str(error), error.hint)
        else:
            return
        record.copied = False
        self._changed(record)

    # Before payment

    def live(self, lines: Sequence[str]) -> None:
        """Show a sale that is not paid yet; a code that was shown just now stays a moment."""
        shown = tuple(line for line in lines if 0 < len(line) <= content.LINE_LIMIT)
        self._live = shown[-content.LINES_MAX :]
        if not self._live_seconds():
            self._show_live()
        elif _is_over(self._live_waits):  # any number of lines may come meanwhile
            self._live_waits = self._spawn(self._live_later())

    def _live_seconds(self) -> float:
        """Return for how long the code that is shown stays, whatever the next customer buys."""
        screen = self.screen
        if screen is None or screen.present.kind != "ticket":
            return 0.0
        return max(0.0, LIVE_AFTER_SECONDS - (self._engine.clock.monotonic() - screen.since))

    async def _live_later(self) -> None:
        while seconds := self._live_seconds():
            await self._engine.clock.sleep(seconds)
        self._show_live()

    def _show_live(self) -> None:
        screen = self.screen
        if screen is None or self._live is None:
            return
        if self._live:
            self._lines = Content.live(self._live, name=screen.idle.name, lang=screen.idle.lang)
            screen.show(self._lines)
        elif screen.present is self._lines:
            screen.clear()

    # After a restart, and when the world changes

    def restore(self, record: Record, entries: Sequence[Entry], history: History) -> None:
        """Go on with a sale of a process that ended: with what was shown, and why it waits."""
        self._remember(record, history)
        if abs(self._engine.clock.now() - record.at) < WATCHED_SECONDS:
            self._recent.append(record)  # its customer may be opening it at this moment
            del self._recent[:-64]
        for entry in entries:
            delivery = Delivery.resume(self._engine.till, entry, _Observer(self, record))
            record.deliveries.append(delivery)
            if entry.state not in OVER and not entry.revoke:
                self._spawn(self._resume(record, delivery, entry))
        wished = [entry for entry in entries if entry.revoke and entry.state not in OVER]
        if wished:
            record.revoking = True
            self._tell(record, Reason.REVOKING)
            self._spawn(self._revoke(record, wished))
        elif record.outcome is not None or record.state in _HAD | {SaleState.EXPIRED}:
            record.end(*Reason)
        elif record.state == SaleState.FAILED:
            if Reason.FAILED not in record.reasons:
                self._tell(record, Reason.GONE)
        elif HOLDS.isdisjoint(record.reasons) and not (record.scannable and entries):
            self._tell(record, Reason.RESTARTED)
        self._changed(record)

    def _remember(self, record: Record, history: History) -> None:
        """Take up what the outbox has of a sale; what was on when the process ended is over now."""
        now = self._engine.clock.now()
        record.saved_showings = list(history.showings)
        record.showings = [
            showing if showing.until is not None else replace(showing, until=now)
            for showing in history.showings
        ]
        record.saved_reasons = {each.reason: each for each in history.reasons}
        record.reasons = dict(record.saved_reasons)
        record.end(*UNTIL_CONFIRMED, *_TAKING_BACK, Reason.AWAY)
        self._make_past(record, *PAST)
        record.scannable = any(
            showing.until is not None and showing.until - showing.since >= SCAN_SECONDS
            for showing in record.showings
        )

    async def _resume(self, record: Record, delivery: Delivery, entry: Entry) -> None:
        async def upload() -> None:
            if delivery.state == DeliveryState.SEALED:
                await self._finish(delivery, entry)
                self._note(record, delivery)
                return
            # Its customer may have opened it while nobody asked: what is said of it must be so.
            async with self._engine.uploads:
                await delivery.look(0)
            self._note_expiry(record, delivery)

        await self._see_through(record, delivery, upload)

    async def _finish(self, delivery: Delivery, entry: Entry) -> None:
        """Finish an upload that another process began.

        Raises:
            OutboxError: this computer does not keep what it must.
            RelayError: the relay refuses it; where that is for good, it is failed now.
        """
        engine = self._engine
        try:
            async with engine.uploads:
                engine.outbox.claim(entry.id)
                state = DeliveryState(
                    await pipeline.finish(engine.till, engine.outbox, entry, self._away)
                )
                if may(delivery.state, state):
                    delivery.state = state
        except (RefusedError, TakenError):
            delivery.state = DeliveryState.FAILED
            raise

    def check_shown(self) -> None:
        """Take note of what displays show and show no more, be it late."""
        for record in self._recent:
            self.look_at(record)

    def look_at(self, record: Record) -> None:
        """Take note of what displays show of a sale now; before anything is said of it."""
        for delivery in record.deliveries:
            delivery.check_shown()
        known = record.showings
        self._note_showings(record)
        if record.showings != known or self._is_silent(record):
            self._changed(record)

    @staticmethod
    def _is_silent(record: Record) -> bool:
        """Whether a sale waits and nothing says why; while its code is being prepared, it may."""
        return bool(
            record.deliveries and not record.reasons and record.state == SaleState.HELD
        )  # fmt: skip

    def relay_changed(self) -> None:
        """Take a code off that opens nothing, because the relay went away before the upload."""
        if self._engine.presence.here:
            self._way_is_free()
            return
        for record in self._recent:
            waits = any(each.state in _WAITS for each in record.deliveries)
            if not waits or record.over or record.revoking or Reason.FAILED in record.reasons:
                continue
            if record.visible:
                self._take_off(record)
                self._tell(record, Reason.INTERRUPTED)
            if record.state not in _HAD:
                self._tell(record, Reason.AWAY)
            self._changed(record)

    def page_changed(self) -> None:
        """Take every code off: whoever opens it gives its secret to a page that is not ours."""
        refusal = self.refusal()
        if refusal is None:
            self._way_is_free()
        elif self._engine.page().state == "changed":
            for record in self._recent:
                if record.visible:
                    self._take_off(record)
                    self._tell(record, *refusal)
                    self._changed(record)

    def _way_is_free(self) -> None:
        """What was in the way is so no longer: say so of every sale, and show the last one."""
        presence, page = self._engine.presence, self._engine.page()
        for record in list(self._in_the_way.values()):
            if presence.here:
                record.end(Reason.AWAY)
                self._make_past(record, Reason.RELAY)
            if page.ok:
                self._make_past(record, Reason.PAGE)
            self._changed(record)
        self._return()

    def _make_past(self, record: Record, *reasons: Reason) -> None:
        for reason in reasons:
            told = record.reasons.pop(reason, None)
            if told is not None and PAST[reason] not in record.reasons:
                record.reasons[PAST[reason]] = Open(PAST[reason], told.detail, None, told.since)

    def _return(self) -> None:
        """Show the last sale's code again while its customer can still be here."""
        record = self.current
        if record is None or record.since is None or record.visible or record.copied:
            return
        if record.outcome is not None or record.revoking or record.over or record.state in _HAD:
            return
        # `_live`: the next customer's sale has begun.
        if _RETURNS.isdisjoint(record.reasons) or self._live or self.refusal() is not None:
            return
        clock = self._engine.clock
        passed = max(clock.monotonic() - record.since, clock.now() - record.at)
        left = self._engine.till.ticket_seconds - passed
        if left < LEAST_SECONDS:
            return
        delivery = record.delivery
        log.info("till %s: sale %d is shown after all", record.till, record.number)
        if record.showable and delivery is not None:
            delivery.move_to(self.screen)
            self._put_on(record, delivery, math.ceil(left))
        elif delivery is None and record.ticket is not None:
            self._show_new(record, record.ticket, math.ceil(left))

    # Inside

    def _make_current(self, record: Record) -> None:
        self._forget_no_more(record)
        previous, self.current = self.current, record
        if record in self._recent:
            self._recent.remove(record)
        self._recent.append(record)
        del self._recent[:-64]
        if previous is not None and previous is not record:
            self._note_replaced(previous)
            previous.here = False
            self._forget_later(previous)
            self._changed(previous)

    def _note_replaced(self, record: Record) -> None:
        """Of receipts that come together only the last stays on: none goes in silence."""
        alive = record.deliveries and not record.over and record.state not in _HAD
        if not alive or record.outcome is not None or record.copied or record.revoking:
            return
        record.end(*UNTIL_CONFIRMED)
        if not HOLDS.isdisjoint(record.reasons):
            return  # it is told already
        if not record.seen:
            self._tell(record, Reason.OVERTAKEN)
            return
        now = self._engine.clock.monotonic()
        if record.seen_at is not None and now - record.seen_at < SCAN_SECONDS:
            self._tell(record, Reason.REPLACED)

    def _forget_later(self, record: Record) -> None:
        self._forget_no_more(record)
        self._forgetting[record.number] = asyncio.create_task(self._forget(record))

    def _forget_no_more(self, record: Record) -> None:
        forgetting = self._forgetting.pop(record.number, None)
        if forgetting is not None:
            forgetting.cancel()

    async def _forget(self, record: Record) -> None:
        """T3: the secret of a sale is forgotten ten minutes after the next."""
        await self._engine.clock.sleep(FORGET_SECONDS)
        record.drop_content()
        self._forgetting.pop(record.number, None)
        self._engine.changed()

    def _take_off(self, record: Record) -> None:
        if (record.on_screen or record.lingers) and self.screen is not None:
            self.screen.clear()
        record.here = False

    def _end(self, record: Record, outcome: Outcome) -> None:
        self._take_off(record)
        record.end(*Reason)
        if record.state not in _HAD:
            with self._keeping():
                record.outcome = self._engine.outbox.settle(record.number, outcome)
            record.outcome = record.outcome or outcome
            record.kept = False
            if outcome == Outcome.PAPER:
                for delivery in record.deliveries:
                    delivery.withdraw()
        log.info("till %s: sale %d %s", record.till, record.number, outcome)
        self._changed(record)

    def _receipt(self, record: Record) -> Ticket | None:
        if record.ticket is not None:
            return record.ticket
        return self._engine.outbox.receipt(record.number)

    def _away(self, _error: TicketError, _seconds: float) -> None:
        self._engine.presence.doubt()

    def _note(self, record: Record, delivery: Delivery) -> None:
        """Something has happened to a ticket."""
        self._note_expiry(record, delivery)
        if delivery.state == DeliveryState.STORED:
            refused = record.reasons.get(Reason.FAILED)
            record.end(*UNTIL_STORED)
            told = not HOLDS.isdisjoint(record.reasons)
            if refused is not None and not record.scannable and not told:
                self._tell(record, Reason.MISSED, refused.detail)
        if delivery.state in OPENED:
            record.reached = delivery.state
            record.here = record.here and record.showable
        if delivery.state in LET_GO:
            record.kept = False
        if delivery.state in OVER:
            record.here = False
        if record.state in _HAD or (record.over and record.state != SaleState.FAILED):
            record.end(*(record.reasons.keys() - _TAKING_BACK))
        log.info("till %s: sale %d %s", record.till, record.number, record.state)
        self._changed(record)
        if record is self.current and delivery.state == DeliveryState.STORED:
            self._return()

    def _note_shown(self, record: Record) -> None:
        if not UNTIL_CONFIRMED.isdisjoint(record.reasons):
            record.end(*UNTIL_CONFIRMED)
            record.here = False
        log.info("till %s: sale %d is on its display", record.till, record.number)
        self._changed(record)

    # What is known of a sale, and the outbox's copy of it

    def _tell(
        self, record: Record, reason: Reason, detail: str | None = None, hint: str | None = None
    ) -> None:
        """Open a reason; the same once more changes nothing."""
        known = record.reasons.get(reason)
        if known is None or (known.detail, known.hint) != (detail, hint):
            record.reasons[reason] = Open(reason, detail, hint, self._engine.clock.now())

    def _changed(self, record: Record) -> None:
        """Work out what follows from a change, keep it, and tell the console."""
        self._note_showings(record)
        record.end(*(_CATCH_ALL if record.scannable else ()))
        if record.seen:
            record.end(Reason.UNSEEN)
        if self._is_silent(record):  # whatever happened
            self._tell(record, Reason.BRIEF if record.seen else Reason.UNSEEN)
        if PAST.keys().isdisjoint(record.reasons) and Reason.AWAY not in record.reasons:
            self._in_the_way.pop(record.number, None)
        else:
            self._in_the_way[record.number] = record
        self._save(record)
        self._engine.changed()

    def _note_showings(self, record: Record) -> None:
        """Note where its code can be seen now, and where no longer."""
        now = self._engine.clock.now()
        here = {HERE} if record.here and record.showable else set()
        if not here:
            record.drawn = False
        on = {each.place for each in record.deliveries if each.on_screen} | here
        seen = {each.place for each in record.deliveries if each.confirmed}
        seen |= here if record.drawn else set()
        known = {showing.place for showing in record.showings if showing.until is None}
        self._end_showings(record, on)
        record.showings += [Showing(place, now) for place in seen if place and place not in known]
        record.showings += [Showing(HERE, now)] if HERE in seen - known else []
        passed = self._engine.clock.monotonic()
        if record.seen_at is not None and passed - record.seen_at >= SCAN_SECONDS:
            record.scannable = True
        if all(showing.until is not None for showing in record.showings):
            record.seen_at = None
        elif record.seen_at is None:
            record.seen_at = passed

    def _end_showings(self, record: Record, on: Collection[str | None] = ()) -> None:
        """End its showings, but for places where it is on.

        Each has lasted as long as time has passed, however the clock was set meanwhile.
        """
        clock = self._engine.clock
        now = clock.now()
        passed = None if record.seen_at is None else clock.monotonic() - record.seen_at

        def ended(showing: Showing) -> Showing:
            if passed is None:
                return replace(showing, until=now)
            longest = showing.since + passed
            return replace(showing, until=min(now, longest) if now >= showing.since else longest)

        record.showings = [
            ended(showing) if showing.until is None and showing.place not in on else showing
            for showing in record.showings
        ]

    def _save(self, record: Record) -> None:
        """Keep what differs from what the outbox has; what a full disk does not take, later."""
        self._unsaved[record.number] = record
        self.save()

    def save(self) -> None:
        """Keep what the outbox did not take before."""
        for each in list(self._unsaved.values()):
            change = SaleChange(
                opened=tuple(
                    told
                    for reason, told in each.reasons.items()
                    if each.saved_reasons.get(reason) != told
                ),
                ended=tuple(each.saved_reasons.keys() - each.reasons.keys()),
                showings=tuple(
                    showing for showing in each.showings if showing not in each.saved_showings
                ),
            )
            if change != SaleChange():
                try:
                    self._engine.outbox.change_sale(each.number, change)
                except OutboxError as error:
                    self._engine.trouble(error)
                    return
                each.saved_reasons = dict(each.reasons)
                each.saved_showings = list(each.showings)
            del self._unsaved[each.number]

    @contextlib.contextmanager
    def _keeping(self) -> Iterator[None]:
        try:
            yield
        except OutboxError as error:
            self._engine.trouble(error)

    def _spawn(self, work: "Coroutine[Any, Any, Any] | Awaitable[Any]") -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, OutboxError):
            self._engine.trouble(error)
        elif error is not None:
            # A bug of ours; its text may hold content, the place of it does not.
            log.error("a task of till %s ended: %s", self.config.name, type(error).__name__)


def _is_over(task: asyncio.Task[None] | None) -> bool:
    return task is None or task.done()


class _Observer:
    """What a delivery tells its sale."""

    def __init__(self, desk: Desk, record: Record) -> None:
        self._desk, self._record = desk, record

    def progress(self, progress: Progress) -> None:
        """The ticket has come a step further."""
        for delivery in self._record.deliveries:
            if delivery.id == progress.id:
                self._desk._note(self._record, delivery)  # noqa: SLF001 - one of the desk's parts

    def shown(self, _progress: Progress) -> None:
        """The display has confirmed it."""
        self._desk._note_shown(self._record)  # noqa: SLF001 - idem

    def link(self, _link: Link) -> None:
        """Another link replaces the one before; whoever draws it asks for it each time."""
        self._desk._changed(self._record)  # noqa: SLF001 - idem

    def away(self, error: TicketError, seconds: float) -> None:
        """The relay did not do its part."""
        self._desk._away(error, seconds)  # noqa: SLF001 - idem

    def trouble(self, error: TicketError) -> None:
        """Something is wrong, and the sale goes on without it."""
        self._desk._engine.trouble(error)  # noqa: SLF001 - idem
