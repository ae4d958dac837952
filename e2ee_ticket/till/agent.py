"""The till's background process: every source, every till, every display, and the console.

    source ──▶ intake ──▶ outbox (durable) ──▶ desk ──▶ seal ▶ display, at once
                                                          └──▶ (look inside) ▶ relay

A source's receipt is in the outbox before the source is told so. What becomes of it is the desk's
(desk.py); what the cashier sees and does is a `Floor` (floor.py), which this is one of.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from e2ee_ticket.client import RelayClient
from e2ee_ticket.errors import (
    ConfigError,
    DamagedOutboxError,
    HeldOutboxError,
    OutboxError,
    ReceiptError,
    SourceError,
    TicketError,
)
from e2ee_ticket.pdf.check import check_receipt
from e2ee_ticket.pdf.policy import apply_policy
from e2ee_ticket.protocol.channel import PairingLink
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.sources import Arrival, Finding, Shop, Source, make_source
from e2ee_ticket.sources.takepos_trap import UNPRINTED
from e2ee_ticket.till import salvage, same_sale, settings_file
from e2ee_ticket.till.audit import PageWatch, Verdict
from e2ee_ticket.till.clock import Clock
from e2ee_ticket.till.config import Config, LanConfig, SourceConfig, TillConfig, judge
from e2ee_ticket.till.desk import Desk
from e2ee_ticket.till.displays import Displays, Pairing
from e2ee_ticket.till.engine import (
    LOOKS_AT_ONCE,
    UPLOADS_AT_ONCE,
    Engine,
    Gate,
    Looker,
    make_looker,
)
from e2ee_ticket.till.file_watch import LOOK_SECONDS, FileWatch
from e2ee_ticket.till.floor import (
    DisplayState,
    PageState,
    Refusal,
    RelayState,
    Sale,
    SourceState,
    Trouble,
)
from e2ee_ticket.till.intake import SourceIntake
from e2ee_ticket.till.lan import LanDisplay, LanPairingLink
from e2ee_ticket.till.outbox import RECEIPT_SECONDS, Accepted, Entry, History, Outbox
from e2ee_ticket.till.pipeline import Till, facts_of
from e2ee_ticket.till.posts import Posts
from e2ee_ticket.till.presence import PatientClock, Presence
from e2ee_ticket.till.reasons import NO_ROOM, Reason
from e2ee_ticket.till.record import Record
from e2ee_ticket.till.refusals import Refusals, digest_of
from e2ee_ticket.till.states import LET_GO, OPENED, Outcome, SaleState

log = logging.getLogger(__name__)

RECORDS_MAX: Final = 500
SWEEP_SECONDS: Final = 3600.0
HELD_SECONDS: Final = 60.0
"""How long a receipt waits for another program that writes into the outbox; then it is refused."""
HELD_AGAIN_SECONDS: Final = 0.25
AGAIN_FIRST_SECONDS: Final = 1.0
AGAIN_LONGEST_SECONDS: Final = 30.0
_LOSSES: Final = "losses"
_UNDELIVERED: Final = "undelivered:"

Server = Callable[["Agent"], Coroutine[None, None, None]]


class Agent:
    """Everything that the configuration names; `run` puts it to work."""

    def __init__(
        self,
        config: Config,
        *,
        config_file: Path,
        relay: RelayClient,
        outbox: Outbox,
        displays: Displays,
        clock: Clock,
        watch: PageWatch | None = None,
        servers: Mapping[str, Server] | None = None,
        make: Callable[[str, str, Shop, Mapping[str, Any]], Source] = make_source,
        looker: Looker | None = None,
        written: FileWatch | None = None,
        broken: ConfigError | None = None,
    ) -> None:
        """Put it together; nothing runs yet. `relay` is open and stays open.

        `servers` run beside it, by the names that their troubles have. `watch`, `make` and `looker`
        are the audit, the sources and the looking inside, unless a test brings its own. `written`
        has watched the configuration's file since before it was read. `broken` says why what is in
        that file is not used, but the last that could be (last_good.py).

        Raises:
            ConfigError: a source's settings cannot be.
        """
        self.config = config
        self._file = config_file
        self._outbox = outbox
        self._displays = displays
        self._clock = clock
        self._servers = dict(servers or {})
        self._server_troubles: dict[str, Trouble] = {}
        self._count = 1
        self._moved = asyncio.Condition()
        self._restart = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._outbox_trouble: Trouble | None = None
        self._undelivered: dict[int, Trouble] = {}
        self._losses: Sequence[salvage.Loss] = ()
        self.refusals = Refusals(outbox, clock, self.note_change)
        self._presence = Presence(relay, clock, self._relay_changed)
        self._watch = watch or PageWatch(
            config.page_origin,
            config.relay_origin,
            config.page_hashes,
            clock=clock,
        )
        self._watch.changed = self._page_changed
        looks = Gate(LOOKS_AT_ONCE)
        self._judging = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._engine = Engine(
            till=Till(
                relay=relay,
                outbox=outbox,
                page=config.page_origin,
                clock=PatientClock(clock, self._presence),
                name=config.tills[0].name,
                ticket_seconds=config.ticket_seconds,
                keep_seconds=config.keep_seconds,
                clear_on=config.clear_on,
            ),
            outbox=outbox,
            clock=clock,
            presence=self._presence,
            page=self._watch.may_show,
            changed=self.note_change,
            trouble=self._note_trouble,
            uploads=Gate(UPLOADS_AT_ONCE),
            looks=looks,
            looker=looker or make_looker(looks, self.note_change),
        )
        self._posts = Posts(
            relay,
            displays,
            clock,
            lambda: self.config,
            doubt=self._presence.doubt,
            shown=self._check_shown,
            changed=self.note_change,
        )
        self._desks = {
            till.name: Desk(till, self._engine, self._posts.screen_of) for till in config.tills
        }
        self._records: dict[int, Record] = {}
        self._same = same_sale.SameSale()
        self._make = make
        self._intakes = [
            SourceIntake(
                source,
                made,
                self._engine,
                self._desks,
                accept=self.accept,
                tell=self.refusals.tell,
            )
            for source, made in self._make_sources(config)
        ]
        self._lan: LanDisplay | None = None
        self._lan_trouble: Trouble | None = None
        self._config_watch = written or FileWatch(config_file)
        self._displays_watch = FileWatch(displays.path)
        self._file_troubles: dict[str, Trouble] = {}
        if broken is not None:
            log.error("configuration: %s; the last good one is used", broken)
            self._file_troubles["configuration"] = Trouble(
                "configuration",
                str(broken),
                "the last good one is used; e2ee-ticket setup",
                clock.now(),
            )
        self._outdated = False
        self.damaged = False
        """Whether the outbox turned out to be damaged."""

    def _make_sources(self, config: Config) -> list[tuple[SourceConfig, Source]]:
        """Make every source of a configuration.

        Raises:
            ConfigError: a source's settings cannot be, or it names a till that is none.
        """
        shop = Shop(name=config.shop, lang=config.lang or "en", now=self._clock.now)
        tills = [till.name for till in config.tills]
        sources = []
        for source in config.sources:
            made = self._make(source.kind, source.name, shop, source.settings)
            if not set(made.tills) <= set(tills):
                raise ConfigError(
                    f"source {source.name} names a till that is none of: {', '.join(tills)}"
                )
            sources.append((source, made))
        return sources

    # Running

    async def run(self) -> bool:
        """Work until cancelled, or until the configuration has changed: then return True."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            await self._open_lan(stack)
            self._restore()
            await self._take_up_first()
            work: list[Coroutine[None, None, None]] = [
                self._presence.run(),
                self._watch.run(),
                self._sweep_always(),
                self._watch_outbox(),
                self._watch_files(),
                *(self._supervise(intake) for intake in self._intakes),
                *(self._serve(name, server) for name, server in self._servers.items()),
            ]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each) for each in work]
                await self._restart.wait()
                for task in tasks:
                    task.cancel()
        return True

    async def _open_lan(self, stack: contextlib.AsyncExitStack) -> None:
        if self.config.lan is None:
            return
        lan = self._lan = self._make_lan(self.config, self.config.lan)
        task = asyncio.create_task(lan.run())

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        stack.push_async_callback(end)

    def _make_lan(self, config: Config, settings: LanConfig) -> LanDisplay:
        return LanDisplay(
            settings,
            relay=config.relay_origin,
            page=config.page_origin,
            pairings=self._displays.all,
            clock=self._clock,
            lang=config.lang,
            report=self._note_lan,
        )

    async def _close(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for desk in self._desks.values():
            await desk.close()
        await self._posts.close()

    async def _supervise(self, intake: SourceIntake) -> None:
        """Run a source for ever: a source that ends is begun again, a little later each time."""
        wait = AGAIN_FIRST_SECONDS
        while True:
            began = self._clock.monotonic()
            try:
                await intake.source.run(intake)
            except SourceError as error:
                intake.report(Finding(ok=False, text=str(error), hint=error.hint))
            except TicketError as error:
                intake.report(Finding(ok=False, text=str(error)))
            except Exception as error:  # noqa: BLE001 - one source must not end the others
                # The type alone: the text may hold what a customer bought.
                log.error("source %s ended: %s", intake.name, type(error).__name__)  # noqa: TRY400
                text = "this source broke off and is begun again"
                intake.report(Finding(ok=False, text=text, hint="e2ee-ticket check tests it"))
            if self._clock.monotonic() - began > AGAIN_LONGEST_SECONDS:
                wait = AGAIN_FIRST_SECONDS
            await self._clock.sleep(wait)
            wait = min(wait * 2, AGAIN_LONGEST_SECONDS)

    async def _serve(self, name: str, server: Server) -> None:
        """Run a server for ever: where its address cannot be used now, it may be later."""
        while True:
            try:
                await server(self)
            except ConfigError as error:
                text, _, hint = str(error).partition("; ")
                if name not in self._server_troubles:
                    log.error("%s: %s", name, error)  # noqa: TRY400 - no traceback
                trouble = Trouble(name, text, hint or None, self._now())
                self._server_troubles[name] = trouble
                self.note_change()
            await self._clock.sleep(AGAIN_LONGEST_SECONDS)

    async def _watch_outbox(self) -> None:
        """See when the outbox takes something again: what was told of it is over then."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            if self._outbox_trouble is not None and self._outbox_trouble.place == "outbox":
                try:
                    self._outbox.probe()
                except OutboxError as error:
                    if str(error) != self._outbox_trouble.text:
                        self._note_trouble(error)
                else:
                    log.info("the outbox works again")
                    self._outbox_trouble = None
                    self.refusals.save()
                    for desk in self._desks.values():
                        desk.save()
                    self.note_change()

    async def _sweep_always(self) -> None:
        while True:
            try:
                self._sweep()
            except OutboxError as error:
                self._note_trouble(error)
            await self._clock.sleep(SWEEP_SECONDS)

    def _sweep(self) -> None:
        salvage.sweep(self.config.state_dir, self._now())
        self._losses = salvage.losses(self.config.state_dir)
        swept = self._outbox.sweep()
        lost = {entry.receipt_number for entry in swept.not_uploaded} | set(swept.not_shown)
        for number in lost:
            text = f"receipt {number} was not delivered, and its time is over"
            log.warning(text)
            self._undelivered[number] = Trouble(
                "outbox", text, "it is let go; its sale is in the till's own records", self._now()
            )
        old = self._now() - RECEIPT_SECONDS
        for record in self._records.values():
            if record.at < old:
                record.kept = False
                record.ticket = record.paper = None
            if record.number in lost:
                record.outcome = Outcome.REPORTED
                record.end(*Reason)
        if lost:
            self.note_change()

    # Receipts

    async def accept(self, intake: SourceIntake, arrival: Arrival) -> bool:
        """Keep a receipt, and put its sale on its way; one that is refused is told of."""
        name = arrival.till or intake.config.till
        digest = digest_of(arrival, name, intake.name)
        try:
            desk = self._desks.get(name)
            if desk is None:
                raise ReceiptError("no till of this name is configured")
            accepted = await self._accept_once(intake, arrival, desk, digest)
        except (ReceiptError, OutboxError) as error:
            self.refusals.add(arrival, name, intake.name, digest, error)
            raise
        self.refusals.accepted(digest)
        return accepted

    async def _accept_once(
        self, intake: SourceIntake, arrival: Arrival, desk: Desk, digest: str
    ) -> bool:
        """Keep a receipt, unless it is a sale of Dolibarr's that is known: that is shown again."""
        first_at = self.refusals.first_at(digest)
        till, kind = desk.config.name, intake.config.kind
        if kind not in same_sale.DOLIBARR_KINDS:
            return await self._accept(intake, arrival, desk, first_at)
        async with self._same.turn(till):
            kinds = {each.name: each.config.kind for each in self._intakes}
            known = same_sale.find(self._records.values(), kinds, arrival, till, self._now())
            if known is not None and self._shows_again(known, desk, arrival, kind):
                self._same.note(kind, till, fresh=False)
                return False
            accepted = await self._accept(intake, arrival, desk, first_at)
        fresh = accepted and known is None and not arrival.late
        if self._same.note(kind, till, fresh=fresh):
            for each in self._intakes:
                if each.config.kind == "takepos" and each.config.till == till:
                    each.report(UNPRINTED)
        return accepted

    def _shows_again(self, known: Record, desk: Desk, arrival: Arrival, kind: str) -> bool:
        """Take an arrival for a sale that is known; False where that can be shown no more."""
        if known.paper is None and known.kept:
            known.paper = arrival.paper
        if kind != "takepos" or known.visible:  # nobody asks for it to be shown
            return True
        try:
            desk.show_again(known)
        except TicketError:
            return known.is_held and not known.over  # it waits, and the cashier is told why
        log.info("till %s: sale %d is shown again", known.till, known.number)
        return True

    async def _accept(
        self, intake: SourceIntake, arrival: Arrival, desk: Desk, first_at: float
    ) -> bool:
        """Keep a receipt that came first at a time of the clock that never jumps."""
        waited = 0.0 if arrival.began is None else max(self._now() - arrival.began, 0.0)
        began = min(first_at, self._clock.monotonic() - waited)
        check_receipt(arrival.ticket.receipt)
        ticket = arrival.ticket
        remarks = arrival.remarks
        if not arrival.ours and intake.config.policy != "as-is":
            async with self._judging:
                judged = await apply_policy(ticket.receipt, intake.config.policy)
            ticket = replace(ticket, receipt=judged.receipt)
            remarks = (*remarks, *judged.remarks)
        ticket = replace(
            ticket,
            title=ticket.title or self.config.shop,
            lang=ticket.lang or self.config.lang,
        )
        number, reason = await self._keep(intake, arrival, ticket, desk, began)
        if number is None:
            return False
        record = Record(
            number=number,
            till=desk.config.name,
            source=intake.name,
            at=self._now(),
            since=began,
            facts=facts_of(ticket),
            ticket=ticket,
            paper=arrival.paper,
            ours=arrival.ours or intake.config.policy != "as-is",
            remarks=remarks,
        )
        self._remember(record)
        intake.last_at = record.at
        log.info("till %s: sale %d from %s", record.till, number, intake.name)
        self._watch.sold()
        if reason is not None:
            desk.hold(record, reason)
        else:
            desk.take(record)
        if self.config.paper == "always":
            desk.print_too(record)
        return True

    async def _keep(
        self, intake: SourceIntake, arrival: Arrival, ticket: Ticket, desk: Desk, began: float
    ) -> tuple[int | None, Reason | None]:
        """Keep a receipt; while another program writes, its source waits, and nobody else."""
        end = self._clock.monotonic() + HELD_SECONDS
        while True:
            try:
                reason = desk.why_late(began, late=arrival.late)
                return self._keep_now(intake, arrival, ticket, desk.config.name, reason), reason
            except HeldOutboxError:
                if self._clock.monotonic() >= end:
                    raise
            await self._clock.sleep(HELD_AGAIN_SECONDS)

    def _keep_now(
        self,
        intake: SourceIntake,
        arrival: Arrival,
        ticket: Ticket,
        till: str,
        reason: Reason | None,
    ) -> int | None:
        try:
            number = self._outbox.accept(
                ticket,
                till,
                source=intake.name,
                key=arrival.key,
                cursor=arrival.cursor,
                paper=arrival.paper,
                reason=reason,
            )
        except OutboxError as error:
            self._note_trouble(error)
            raise
        self._outbox_trouble = None
        return number

    def _remember(self, record: Record) -> None:
        self._records[record.number] = record
        for old in list(self._records.values()):
            if len(self._records) <= RECORDS_MAX:
                break
            if old.over or old.state == SaleState.OPENED:
                del self._records[old.number]
                self._desk(old).forget(old)

    def _restore(self) -> None:
        """Take up what an earlier process left: uploads go on, the rest is the cashier's."""
        try:
            self._outbox.reclaim()
        except OutboxError as error:  # a full disk: what it claimed is free in a minute
            self._note_trouble(error)
        try:
            self._restore_sales()
            self.refusals.restore()
        except OutboxError as error:  # it cannot be opened: its sales come when it can be
            self._note_trouble(error)

    def _restore_sales(self) -> None:
        entries: dict[int, list[Entry]] = {}
        for entry in self._outbox.entries():
            entries.setdefault(entry.receipt_number, []).append(entry)
        histories = self._outbox.histories()
        since = self._now() - RECEIPT_SECONDS
        for accepted in self._outbox.accepted():
            if accepted.accepted_at < since and accepted.outcome is not None:
                continue
            desk = self._desks.get(accepted.till) or next(iter(self._desks.values()))
            record = _restored(accepted)
            if accepted.number not in entries:  # there was no room for its ticket
                record.outcome = accepted.outcome
            self._remember(record)
            history = histories.get(accepted.number, History())
            desk.restore(record, entries.get(accepted.number, ()), history)

    def _check_shown(self) -> None:
        for desk in self._desks.values():
            desk.check_shown()

    # What other programs write: setup, display, somebody's editor

    async def _watch_files(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            if self._displays_watch.changed():
                self._displays_watch.know()
                await self._take_up_displays()
            if self._config_watch.changed():
                self._config_watch.know()
                self._read_config()
            # A code that a customer is about to scan stays on first.
            if self._outdated and not any(sale.on_screen for sale in self.sales()):
                log.info("the configuration was written; beginning anew")
                self._restart.set()

    async def _take_up_first(self) -> None:
        """Drive the displays; damage to their file must not stop the shop."""
        try:
            told = self._displays.recover(self._now())
            await self._posts.take_up()
        except ConfigError as error:
            self._note_file("displays", error, "pair the displays again")
        else:
            if told is not None:
                log.warning("%s; %s", *told)
                self._file_troubles["displays"] = Trouble("displays", *told, self._now())

    async def _take_up_displays(self) -> None:
        """Drive what was paired meanwhile, and leave what was removed."""
        try:
            await self._posts.take_up()
        except ConfigError as error:
            self._note_file("displays", error, "the displays that were paired before go on")
            return
        self._file_troubles.pop("displays", None)
        self.note_change()

    def _read_config(self) -> None:
        """See what was written into the configuration; what cannot be changes nothing."""
        try:
            data = self._file.read_bytes() if self._file.exists() else b""
            config = judge(data, self._file, os.environ)
            self._try(config)
        except (ConfigError, OSError) as error:
            self._note_file("configuration", error, "the one before is used; e2ee-ticket setup")
            return
        self._file_troubles.pop("configuration", None)
        self._outdated = config != self.config
        self.note_change()

    def _try(self, config: Config) -> None:
        """Refuse what this agent could not begin with.

        Raises:
            ConfigError: says what.
        """
        if config.state_dir != self.config.state_dir:
            raise ConfigError("another state directory was written; stop the agent and start it")
        self._make_sources(config)
        if config.lan is not None:
            self._make_lan(config, config.lan)

    def _note_file(self, place: str, error: Exception, hint: str) -> None:
        log.warning("%s: %s", place, error)
        self._file_troubles[place] = Trouble(place, str(error), hint, self._now())
        self.note_change()

    # What the console sees (floor.py)

    @property
    def tills(self) -> Sequence[TillConfig]:
        """The counters."""
        return self.config.tills

    def sales(self, till: str | None = None, limit: int | None = 50) -> Sequence[Sale]:
        """Return the latest sales, newest first."""
        found = [
            record
            for record in reversed(self._records.values())
            if till is None or record.till == till
        ]
        return [self._sale(record) for record in found[:limit]]

    def sale(self, number: int) -> Sale:
        """Return one sale."""
        return self._sale(self._record(number))

    async def show(self, number: int) -> None:
        """Show it again on the display."""
        record = self._record(number)
        self._desk(record).show_again(record)

    async def show_here(self, number: int) -> Link:
        """Return the link for the till's own screen."""
        record = self._record(number)
        return self._desk(record).link(record)

    async def hide_here(self, number: int) -> None:
        """End showing it on the till's own screen."""
        record = self._record(number)
        self._desk(record).hide(record)

    async def revoke(self, number: int) -> None:
        """Take it back."""
        record = self._record(number)
        self._desk(record).revoke(record)

    async def paper(self, number: int) -> bytes | None:
        """Hand it over on paper."""
        record = self._record(number)
        return await self._desk(record).paper(record)

    async def paper_all(self, numbers: Sequence[int]) -> None:
        """Print sales on their tills' printers, one after the other."""
        records = [self._records[number] for number in numbers if number in self._records]
        for desk in self._desks.values():
            desk.print_all([record for record in records if self._desk(record) is desk])

    async def dismiss(self, number: int) -> None:
        """Let it go."""
        if self._undelivered.pop(number, None) is not None:
            self.note_change()
            return
        record = self._record(number)
        self._desk(record).dismiss(record)

    def refused(self, till: str | None = None) -> Sequence[Refusal]:
        """Return what was not accepted and nobody has seen to, newest first."""
        return [
            Refusal(
                name=refused.digest[:32],
                at=refused.at,
                till=refused.till,
                source=refused.source,
                total=None if refused.facts is None else refused.facts.total,
                receipt=None if refused.facts is None else refused.facts.number,
                why=refused.why,
            )
            for refused in reversed(self.refusals.all())
            if till is None or refused.till == till or refused.till not in self._desks
        ]

    async def refusals_seen(self, names: Sequence[str]) -> None:
        """Somebody has seen to what was not accepted."""
        self.refusals.end(
            [each.digest for each in self.refusals.all() if each.digest[:32] in names]
        )

    async def troubles_seen(self, names: Sequence[str]) -> None:
        """Somebody has seen what happened."""
        told = {each.seen for each in self.refusals.told()}
        self.refusals.end([name for name in names if name in told])
        if _LOSSES in names:
            salvage.seen(self.config.state_dir)
            self._losses = salvage.losses(self.config.state_dir)
        for number in list(self._undelivered):
            if f"{_UNDELIVERED}{number}" in names:
                del self._undelivered[number]
        self.note_change()

    async def look_up(self, source: str, number: str, till: str | None = None) -> None:
        """Make a ticket of an invoice that is chosen by its number."""
        for intake in self._intakes:
            if intake.name == source and hasattr(intake.source, "look_up"):
                await intake.source.look_up(number, intake, till)
                return
        raise SourceError("this source cannot be asked for an invoice")

    def troubles(self) -> Sequence[Trouble]:
        """Say all that is wrong now, the worst first."""
        found: list[Trouble | None] = [self._outbox_trouble, self._relay_trouble()]
        verdict = self._watch.may_show()
        if verdict.state == "changed" or (verdict.state == "unreachable" and self._presence.here):
            since = self._watch.checked_at or self._now()
            found.append(Trouble("page", verdict.text, verdict.hint, since))
        found += [post.trouble for post in self._posts]
        found += [intake.trouble for intake in self._intakes]
        found += self.refusals.told()
        found += [self._lan_trouble if self._lan is not None else None]
        found += self._server_troubles.values()
        found += self._file_troubles.values()
        found += [
            Trouble("outbox", str(loss), loss.hint, loss.at, seen=_LOSSES) for loss in self._losses
        ]
        found += [
            replace(told, seen=f"{_UNDELIVERED}{number}")
            for number, told in self._undelivered.items()
        ]
        refused = self.refusals.all()
        if refused:
            text = f"receipts that were not accepted: {len(refused)}"
            hint = "see on the till's page which they are"
            found.append(Trouble("outbox", text, hint, refused[0].at))
        return [trouble for trouble in found if trouble is not None]

    def displays(self) -> Sequence[DisplayState]:
        """Return every paired display."""
        return self._posts.states()

    async def pair(self, name: str) -> PairingLink:
        """Pair a display; the link is shown once."""
        pairing = await self._posts.pair(name)
        self._give_to_a_till(pairing)
        self.note_change()
        return PairingLink(self.config.page_origin, pairing.secret)

    def _give_to_a_till(self, pairing: Pairing) -> None:
        """With several tills, a new display goes to the first that has none; the owner may say."""
        without = [till for till in self.tills if till.display is None]
        if len(self.tills) == 1 or not without:
            return
        named = [till for till in without if till.name.casefold() == pairing.name.casefold()]
        chosen = (named or without)[0]
        tills = [
            replace(till, display=pairing.name) if till is chosen else till for till in self.tills
        ]
        ours_alone = not self._config_watch.changed()
        settings_file.edit(self._file, {"till": settings_file.till_tables(tills)})
        if ours_alone:
            self._config_watch.know()
        self.config = replace(self.config, tills=tuple(tills))
        for till in tills:
            self._desks[till.name].config = till

    async def unpair(self, name: str, *, forget: bool = False) -> None:
        """Unpair a display."""
        await self._posts.unpair(name, forget=forget)

    async def test_display(self, name: str) -> bool:
        """Show a few lines on a display; one that another program has taken is taken back."""
        return await self._posts.test(name)

    def sources(self) -> Sequence[SourceState]:
        """Return every source."""
        return [intake.state for intake in self._intakes]

    def relay(self) -> RelayState:
        """Say how the relay is."""
        return RelayState(
            origin=self.config.relay_origin,
            mode=self._presence.mode,
            away_since=self._presence.away_since,
            permit=self.config.permit is not None,
        )

    def page(self) -> PageState:
        """Say what the audit of the ticket page found."""
        return PageState(self.config.page_origin, self._watch.state, self._watch.checked_at)

    async def changed(self, since: int, seconds: float) -> int:
        """Wait until anything differs from what it was at `since`; return the new count."""
        if self._count == since:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds), self._moved:
                    await self._moved.wait_for(lambda: self._count != since)
        return self._count

    def change_config(self, changes: dict[str, object]) -> None:
        """Write keys of the configuration, and begin anew with them."""
        settings_file.edit(self._file, changes)
        log.info("the configuration was changed; beginning anew")
        self._restart.set()

    async def short_address(self, display: str) -> str | None:
        """Return a short address for pairing a tablet; None without [lan]."""
        if self._lan is None:
            return None
        return self._lan.new_short_address(self._displays.find(display))

    async def lan_link(self, display: str) -> LanPairingLink | None:
        """Return the pairing link to the page on the shop's network; None without [lan]."""
        return None if self._lan is None else self._lan.link(self._displays.find(display))

    def lan_addresses(self) -> Sequence[str]:
        """Return where tablets open the display page on the shop's network."""
        return () if self._lan is None else [f"{origin}/d" for origin in self._lan.origins()]

    # Inside

    def note_change(self) -> None:
        """Something that the console shows has changed."""
        self._count += 1
        self._spawn(self._tell())

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _now(self) -> float:
        return self._clock.now()

    def _record(self, number: int) -> Record:
        try:
            return self._records[number]
        except KeyError:
            raise TicketError("this sale is no longer known") from None

    def _desk(self, record: Record) -> Desk:
        return self._desks.get(record.till) or next(iter(self._desks.values()))

    def _sale(self, record: Record) -> Sale:
        self._desk(record).look_at(record)
        facts = record.facts
        return Sale(
            number=record.number,
            till=record.till,
            source=record.source,
            at=record.at,
            title=facts.title if facts else None,
            total=facts.total if facts else None,
            receipt=facts.number if facts else None,
            state=record.state,
            shown=record.shown,
            seen=record.seen,
            on_screen=record.on_screen,
            here=record.here and record.showable,
            warning=record.warning,
            hint=record.hint,
            also=record.also,
            remarks=record.remarks,
            actions=self._desk(record).actions(record),
            expires_at=record.expires_at,
        )

    def _relay_changed(self) -> None:
        if self._presence.here:
            log.info("the relay is there")
            self._posts.wake()
        else:
            log.warning("the relay is away: %s", self._presence.failure)
        for desk in self._desks.values():
            desk.relay_changed()
        self.note_change()

    def _page_changed(self, verdict: Verdict) -> None:
        log.log(logging.INFO if verdict.ok else logging.WARNING, "%s", verdict.text)
        for desk in self._desks.values():
            desk.page_changed()
        self.note_change()

    def _relay_trouble(self) -> Trouble | None:
        since = self._presence.away_since
        if since is None:
            return None
        hint = "sales go on, on paper; it is asked again and again, and uploads go on by themselves"
        return Trouble("relay", str(self._presence.failure), hint, since)

    def _note_trouble(self, error: TicketError) -> None:
        log.error("%s", error)
        self._outbox_trouble = Trouble(
            "outbox" if isinstance(error, OutboxError) else "printer",
            str(error),
            getattr(error, "hint", None) or NO_ROOM,
            self._now(),
        )
        self.note_change()
        if isinstance(error, DamagedOutboxError):  # the next begins with a new one (salvage.py)
            self.damaged = True
            self._restart.set()

    def begin_anew(self) -> None:
        """End `run` with True: something that it began with has changed."""
        self._restart.set()

    def _note_lan(self, finding: Finding | None) -> None:
        self._lan_trouble = (
            None
            if finding is None or finding.ok
            else Trouble("lan", finding.text, finding.hint, self._now())
        )
        self.note_change()


def _restored(accepted: Accepted) -> Record:
    return Record(
        number=accepted.number,
        till=accepted.till,
        source=accepted.source,
        at=accepted.accepted_at,
        facts=accepted.ticket,
        kept=accepted.ticket is not None,
        outcome=accepted.outcome if accepted.outcome not in LET_GO - {Outcome.REVOKED} else None,
        reached=accepted.outcome if accepted.outcome in OPENED else None,
    )
