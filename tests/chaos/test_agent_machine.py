"""Whatever happens, in whatever order: an accepted receipt ends, is on its way, or is told of.

And what the console says of a sale is so: it is compared with what the display showed, what the
till's own screen drew, what the relay was given and what a phone said. What was not accepted is
told of, too.

The agent and its outbox are the real ones, on a real SQLite file; relay, clock, tablet and phone
are fakes. A kill is a kill: whatever the agent does from that moment on has no effect.
"""

import asyncio
import contextlib
import contextvars
import logging
import secrets
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes import Clock, FlakyRelay, Tablet, quiet
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from e2ee_ticket.errors import BusyError, FullError, OutboxError, PermitError, TicketError
from e2ee_ticket.pdf.seen import Seen
from e2ee_ticket.protocol.channel import PairingSecret, WriteToken, registration
from e2ee_ticket.protocol.envelope import unseal
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.sources import Arrival
from e2ee_ticket.till.agent import Agent
from e2ee_ticket.till.audit import PageWatch, Verdict
from e2ee_ticket.till.config import Config, SourceConfig, TillConfig
from e2ee_ticket.till.console.pages.cashier import state_text
from e2ee_ticket.till.displays import Displays, Pairing
from e2ee_ticket.till.outbox import FILE_NAME, Outbox
from e2ee_ticket.till.states import ENDED, LET_GO, TRANSITIONS, SaleState

HOUR = 3600
DISPLAYED, BARE = "Counter", "Garden"
"""Two tills: one with a display, one whose codes are on its own screen."""
PATIENCE_SECONDS = 30.0
"""After which nothing that is not uploaded may be without a word on the console."""
WRITES = frozenset(
    {"accept", "settle", "keep_cursor", "keep", "replace", "tried", "note", "want_revoked"}
    | {"withdraw", "claim", "release", "sweep"}
)


def _reachable():
    """What a sale's state may have become between two looks."""
    table = TRANSITIONS[SaleState]
    reached = {state: {state, *table[state]} for state in SaleState}
    for _ in SaleState:
        for state in SaleState:
            reached[state] |= set().union(*(reached[each] for each in reached[state]))
    return reached


REACHABLE = _reachable()

picks = st.integers(0, 1_000)
turns = st.integers(0, 60)

_life = contextvars.ContextVar("life", default=None)


class Life:
    """One process of the agent, from its start to its kill."""

    def __init__(self):
        self.over = False
        self.tasks = set()

    def check(self):
        if self.over:
            raise asyncio.CancelledError

    def lend(self, thing):
        return Lent(self, thing)


class Lent:
    """Something of the world, as one life has it: the dead can do nothing to it."""

    def __init__(self, life, thing):
        self._life, self._thing = life, thing

    def __getattr__(self, name):
        found = getattr(self._thing, name)
        if not callable(found):
            return found
        if asyncio.iscoroutinefunction(found):

            async def wait(*arguments, **options):
                self._life.check()
                result = await found(*arguments, **options)
                self._life.check()
                return result

            return wait

        def call(*arguments, **options):
            self._life.check()
            return found(*arguments, **options)

        return call


class Disk:
    """An outbox on a disk that is full now and then."""

    def __init__(self, outbox, room):
        self._outbox, self._room = outbox, room

    def __getattr__(self, name):
        found = getattr(self._outbox, name)
        if name not in WRITES:
            return found

        def write(*arguments, **options):
            if self._room.is_full():
                raise OutboxError("this computer's disk is full")
            return found(*arguments, **options)

        return write


class Room:
    """How much room a disk has left."""

    def __init__(self):
        self.failures = 0
        self.was_full = False

    def is_full(self):
        if self.failures:
            self.failures -= 1
            self.was_full = True
            return True
        return False


class Hand:
    """A source that delivers when a test says so."""

    tills = (DISPLAYED, BARE)

    def __init__(self, _kind, name, _shop, _settings):
        self.name = name

    async def run(self, _intake):
        await asyncio.Event().wait()


@dataclass(frozen=True)
class Row:
    """What the outbox has of a receipt."""

    outcome: str | None
    kept: bool


@dataclass
class Accepted:
    """What the source handed over."""

    receipt: bytes
    till: str
    key: str | None
    shows: int = 1
    outcome: str | None = None
    unsent_since: float | None = None


class AgentMachine(RuleBasedStateMachine):
    """One shop with two tills, and everything that can go wrong in it."""

    def __init__(self):
        super().__init__()
        self.log = logging.getLogger("e2ee_ticket")
        self.log_level = self.log.level
        self.log.setLevel(logging.CRITICAL)
        self.loop = asyncio.new_event_loop()
        self.loop.set_task_factory(_make_task)
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / FILE_NAME
        self.clock = Clock()
        self.relay = FlakyRelay(self.clock)
        self.room = Room()
        self.page = "ok"
        self.refusal = None
        self.accepted = {}
        self.secrets = {}
        self.unsealed = set()
        self.current = {}
        self.marks = []
        self.tablet = None
        self.shown = []
        self.seen_on = set()
        self.drawn = set()
        self.uploaded = set()
        self.phoned = {}
        self.last_states = {}
        self.late = set()
        self.life = self.agent = self.outbox = self.watch = self.reader = None

    # Machinery

    def run(self, work):
        return self.loop.run_until_complete(work)

    def ask(self, question, *about):
        """Ask the agent as the console does, on its loop: its answer may be news to be told."""

        async def asked():
            return question(*about)

        return question(*about) if self.loop.is_running() else self.run(asked())

    @property
    def alive(self):
        return self.agent is not None

    @initialize(display=st.booleans())
    def open(self, display):
        folder = Path(self.directory.name)
        displays = Displays(folder)
        pairing = Pairing(DISPLAYED, PairingSecret.generate(), WriteToken.generate())
        displays.keep(pairing)
        self.displays, self.pairing = displays, pairing
        self.config = Config(
            relay="https://relay.example",
            page="https://t.example",
            state=str(folder),
            tills=(TillConfig(DISPLAYED, DISPLAYED), TillConfig(BARE)),
            sources=(SourceConfig("hand", "hand", DISPLAYED),),
        )
        known = registration(pairing.secret, pairing.token)
        self.run(self.relay.register(pairing.secret.cid, known))
        if display:
            self.run(self._switch_on())
        self.run(self._start())

    async def _start(self):
        self.life = Life()
        clock = self.life.lend(self.clock)
        self.outbox = Outbox(self.path, self.clock.now, owner="agent-")
        # As long as somebody reads, closing the outbox leaves the log as a kill leaves it.
        self.reader = self.reader or sqlite3.connect(self.path, isolation_level=None)
        self.watch = PageWatch("", "", clock=clock, look=self._look)
        self.agent = Agent(
            self.config,
            config_file=Path(self.directory.name) / "config.toml",
            relay=self.life.lend(self.relay),
            outbox=self.life.lend(Disk(self.outbox, self.room)),
            displays=self.displays,
            clock=clock,
            watch=self.watch,
            make=Hand,
            looker=self._draw,
        )
        self._in_life(self.agent.run()).set_name("run")
        await quiet()

    def _in_life(self, work):
        context = contextvars.copy_context()
        context.run(_life.set, self.life)
        return self.loop.create_task(work, context=context)

    async def _kill(self):
        """End the agent as a power cut does: at once, with no chance to say goodbye."""
        life, self.life.over = self.life, True
        self._harvest()
        while left := {task for task in life.tasks if not task.done()}:
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        self.outbox._connection.close()
        self.agent = self.life = self.outbox = self.watch = None
        await quiet()

    async def _stop(self):
        """End the agent as Ctrl-C does."""
        (main,) = (task for task in self.life.tasks if task.get_name() == "run")
        main.cancel()
        for _ in range(4):
            await self.clock.advance(1)
        assert main.done()
        await self._kill()

    async def _look(self, *_, **__):
        await asyncio.sleep(0)
        return Verdict(self.page, f"the page is {self.page}")

    async def _draw(self, record, _receipt):
        """To look at a receipt takes its time, sometimes too long; there may be nothing to see."""
        await self.clock.sleep(record.number % 4)
        if not record.number % 3:
            return None
        words = (("Total", "1,00"),) if record.number % 2 else None
        return Seen(b"\x89PNG\r\n\x1a\n picture", words, None if words else "no text")

    async def _do(self, work, after=None):
        """Let the agent do something; kill it after so many turns of its loop, if told."""
        task = self._in_life(work)
        if after is None:
            await quiet()
        else:
            for _ in range(after):
                await asyncio.sleep(0)
            await self._kill()
        if not task.done():  # it waits for a moment that has not come
            return None
        try:
            return task.result()
        except (TicketError, asyncio.CancelledError) as error:
            return error

    def _harvest(self):
        """Learn every secret that was drawn."""
        for record in self.agent._records.values():
            for delivery in record.deliveries:
                if delivery._secret is not None:
                    self.secrets[delivery.id] = (delivery._secret, record.number)

    def _mark(self, till, number):
        """From here on, what the display is given newly is of no other sale."""
        self.current[till] = number
        if till == DISPLAYED:
            self.marks.append((len(self.shown), number))

    # Sales

    @precondition(lambda self: self.alive)
    @rule(till=st.sampled_from([DISPLAYED, BARE]), keyed=st.booleans(), late=st.booleans())
    def sell(self, till, keyed, late):
        self.run(self._sell(till, keyed=keyed, late=late))

    @precondition(lambda self: self.alive)
    @rule(till=st.sampled_from([DISPLAYED, BARE]), after=turns)
    def sell_and_die(self, till, after):
        self.run(self._sell(till, after=after))

    @precondition(lambda self: self.alive)
    @rule(count=st.integers(2, 20))
    def sell_many(self, count):
        for number in range(count):
            self.run(self._sell((DISPLAYED, BARE)[number % 2]))

    async def _sell(self, till, *, keyed=True, late=False, after=None):
        receipt = b"%PDF-1.7 " + secrets.token_hex(32).encode() + b" %%EOF"
        key = secrets.token_hex(8) if keyed else None
        ticket = Ticket(receipt=receipt, total="5,00 €")
        arrival = Arrival(
            ticket, till=till, ours=True, key=key, late=late, paper=b"\x1b@" + receipt
        )
        outbox = self.outbox
        told = []

        async def hand_over():
            told.append(await self.agent._intakes[0].accept(arrival))

        async def number():
            return max(each.number for each in outbox.accepted())

        # What is durable is known before the agent may die.
        before = {each.number for each in outbox.accepted()}
        task = self._in_life(hand_over())
        for _ in range(3):
            await asyncio.sleep(0)
        assert task.done()
        if isinstance(task.exception(), OutboxError):
            assert self.room.was_full
            assert {each.number for each in outbox.accepted()} == before
            assert any(each.till == till for each in self.agent.refused())
        else:
            assert told == [True]
            made = await number()
            self.accepted[made] = Accepted(receipt, till, key)
            if late:
                self.late.add(made)
            else:
                self._mark(till, made)
        if after is None:
            await quiet()
        else:
            for _ in range(after):
                await asyncio.sleep(0)
            await self._kill()

    @precondition(lambda self: self.alive and any(each.key for each in self.accepted.values()))
    @rule(pick=picks)
    def the_same_receipt_comes_again(self, pick):
        keyed = [each for each in self.accepted.values() if each.key is not None]
        again = keyed[pick % len(keyed)]
        arrival = Arrival(Ticket(receipt=again.receipt), till=again.till, ours=True, key=again.key)
        count = len(self.outbox.accepted())
        told = self.run(self._do(self.agent._intakes[0].accept(arrival)))
        assert told is False or (isinstance(told, OutboxError) and self.room.was_full)
        assert len(self.outbox.accepted()) == count

    # The relay

    @rule()
    def the_relay_goes_away(self):
        async def go():
            await self.relay.go_away()
            await quiet()

        self.run(go())

    @rule(
        name=st.sampled_from(["put", "mark", "state", "answer", "hellos", "info"]),
        how=st.sampled_from(["lost", BusyError("wait", 5.0), FullError("no room")]),
        times=st.integers(1, 3),
    )
    def the_relay_fails_for_a_moment(self, name, how, times):
        if how == "lost":
            self.relay.lose(name, times)
        elif name in ("put", "mark", "state", "answer"):
            self.relay.fail(name, *[how] * times)

    @rule(error=st.sampled_from([PermitError("this permit is not valid"), FullError("no room")]))
    def the_relay_takes_no_more_uploads(self, error):
        self.relay.refusals["put"] = error
        if isinstance(error, PermitError):
            self.relay.refusals["try_permit"] = error

    @precondition(lambda self: self.relay.tickets)
    @rule(pick=picks, lost=st.booleans())
    def a_ticket_is_lost_or_expires(self, pick, lost):
        ids = sorted(self.relay.tickets)
        ticket_id = ids[pick % len(ids)]
        if lost:
            del self.relay.tickets[ticket_id]
        else:
            self.run(self.relay.expire(ticket_id))
        self.run(quiet())

    @rule(state=st.sampled_from(["ok", "changed", "unreachable"]))
    def the_page_is_looked_at(self, state):
        self.page = state
        if self.alive:
            self.run(self._do(self.watch.check()))

    @rule()
    def all_is_well_again(self):
        self._heal()
        if not self.alive:
            self.run(self._start())
        self.run(self._do(self.watch.check()))
        self.run(self.clock.leap(12, 0.5))

    def _heal(self):
        self.relay.come_back()
        self.relay.refusals.clear()
        self.relay._failures.clear()
        self.relay._losses.clear()
        self.room.failures, self.page = 0, "ok"

    # The customer

    @precondition(lambda self: self.relay.tickets)
    @rule(pick=picks, state=st.sampled_from(["opened", "received"]))
    def the_phone_has_it(self, pick, state):
        async def tell():
            ids = sorted(self.relay.tickets)
            secret, number = self.secrets[ids[pick % len(ids)]]
            with contextlib.suppress(TicketError):
                self.phoned.setdefault(number, set()).add(state)
                await self.relay.phone(secret, state)
            await quiet()

        self.run(tell())

    @rule(what=st.sampled_from(["on", "off", "deaf"]))
    def the_display_is(self, what):
        if what == "on" and self.tablet is None:
            self.run(self._switch_on())
        elif what == "off" and self.tablet is not None:
            self.run(self.tablet.__aexit__())
            self.tablet = None
        elif self.tablet is not None:
            self.tablet.deaf = what == "deaf"
        self.run(quiet())

    async def _switch_on(self):
        self.tablet = Tablet(self.relay, self.pairing.secret, self.clock)
        self.tablet.shown = self.shown
        await self.tablet.__aenter__()

    # Time

    @rule(seconds=st.sampled_from([0.3, 1.0, 4.0, 12.0]))
    def a_moment_passes(self, seconds):
        self.run(self.clock.leap(seconds, 0.25))

    @rule(minutes=st.sampled_from([1, 11, 60, 25 * 60]))
    def time_passes(self, minutes):
        self.run(self.clock.leap(minutes * 60, minutes * 6))

    @rule(minutes=st.sampled_from([1, 10, 600]))
    def the_computer_sleeps(self, minutes):
        """Nothing runs meanwhile; whoever was to wake does so when the computer does."""
        self.clock._pass(minutes * 60)
        self.run(self.clock.leap(1, 1))

    @rule(hours=st.sampled_from([-30, -2, 1, 7, 30]))
    def the_clock_is_set(self, hours):
        self.clock.jump(hours * HOUR)

    # The cashier

    @precondition(lambda self: self.alive and self.accepted)
    @rule(
        pick=picks,
        what=st.sampled_from(["show", "show_here", "hide_here", "revoke", "paper", "dismiss"]),
        after=st.none() | turns,
    )
    def the_cashier_does(self, pick, what, after):
        numbers = sorted(self.accepted)
        number = numbers[-1 - pick % len(numbers)]
        record = self.agent._records.get(number)
        had = 0 if record is None else len(record.deliveries)
        shown = len(self.shown)
        told = self.run(self._do(getattr(self.agent, what)(number), after))
        if record is not None and len(record.deliveries) > had:
            self.accepted[number].shows += 1
        if what == "show_here" and isinstance(told, Link):
            self.drawn.add(number)
        if what in ("show", "show_here") and not isinstance(told, Exception):
            till = self.accepted[number].till
            if till == DISPLAYED:
                self.marks.append((shown, number))

    # The computer

    @rule(failures=st.integers(1, 4) | st.just(10**6))
    def the_disk_is_full(self, failures):
        self.room.failures = failures

    @precondition(lambda self: self.alive)
    @rule(clean=st.booleans())
    def the_agent_ends(self, clean):
        self.run(self._stop() if clean else self._kill())

    @precondition(lambda self: not self.alive)
    @rule()
    def the_agent_is_started(self):
        self.room.failures = 0
        self.run(self._start())

    # What always holds

    @invariant()
    def everything_holds(self):
        if not hasattr(self, "displays"):
            return
        if self.alive:
            self._harvest()
        rows, states = self._read()
        for number, accepted in self.accepted.items():
            self._check_receipt(number, accepted, rows.get(number), states.get(number, set()))
        self._check_relay()
        self._check_display()
        self._check_file(rows)
        for content in self.shown:
            if content.kind == "ticket":
                self.seen_on.add(self.secrets[content.secret.id][1])
        self.uploaded |= {self.secrets[ticket_id][1] for ticket_id in self.relay.tickets}
        if self.alive:
            self._check_screens()
            self._check_sentences()

    def _read(self):
        """What is durable, whether the agent lives or not."""
        rows = {
            number: Row(outcome, kept=bool(kept))
            for number, outcome, kept in self.reader.execute(
                "SELECT receipt_number, outcome, receipt IS NOT NULL FROM receipts"
            )
        }
        states = {}
        for number, state in self.reader.execute("SELECT receipt_number, state FROM tickets"):
            states.setdefault(number, set()).add(state)
        return rows, states

    def _check_receipt(self, number, accepted, row, states):
        if row is None:
            assert accepted.outcome is not None, f"sale {number} was forgotten"
            return
        before, accepted.outcome = accepted.outcome, row.outcome
        if before in ENDED:
            assert row.outcome == before
        if before == "opened":
            assert row.outcome in ("opened", "received")
        if row.outcome is not None:
            assert not row.kept
            return
        on_its_way = bool(states & {"sealed", "stored"})
        if not on_its_way and "failed" not in states:
            assert row.kept, f"sale {number} has neither end nor receipt"
        if not self.alive:
            accepted.unsent_since = None
            return
        sale = self.ask(self.agent.sale, number)
        told = sale.warning is not None or bool(self.agent.troubles())
        if sale.state in ("held", "failed"):
            assert told, f"sale {number} is {sale.state} in silence"
        if sale.state == "sealed" and not told:
            now = self.clock.monotonic()
            accepted.unsent_since = accepted.unsent_since or now
            assert now - accepted.unsent_since <= PATIENCE_SECONDS, (
                f"sale {number} waits in silence"
            )
        else:
            accepted.unsent_since = None

    def _check_relay(self):
        made = {}
        for ticket_id, ticket in self.relay.tickets.items():
            secret, number = self.secrets[ticket_id]
            if self.accepted[number].outcome == "revoked":
                assert ticket["envelope"] is None, f"sale {number} was revoked, and can be opened"
            made[number] = made.get(number, 0) + 1
            if ticket["envelope"] is not None and ticket_id not in self.unsealed:
                assert unseal(ticket["envelope"], secret).receipt == self.accepted[number].receipt
                self.unsealed.add(ticket_id)
        for number, count in made.items():
            assert count <= self.accepted[number].shows

    def _check_display(self):
        """No ticket comes up newly but that of the sale that was begun, or shown again, last."""
        ends = [*(start for start, _ in self.marks), len(self.shown)][1:]
        for (start, number), end in zip(self.marks, ends, strict=False):
            for content in self.shown[start:end]:
                if content.kind == "ticket":
                    assert self.secrets[content.secret.id][1] == number
        self.marks = [(len(self.shown), number) for _, number in self.marks[-1:]]

    def _check_file(self, rows):
        files = [self.path, self.path.with_name(FILE_NAME + "-wal")]
        data = b"".join(file.read_bytes() for file in files if file.exists())
        for secret, _ in self.secrets.values():
            assert secret.reveal() not in data
        for number, accepted in self.accepted.items():
            row = rows.get(number)
            if row is None or row.outcome in LET_GO:
                assert accepted.receipt not in data, f"the receipt of sale {number} is still there"

    def _check_screens(self):
        away = self.agent._presence.away_since is not None
        changed = self.watch.state == "changed"
        for record in self.agent._records.values():
            visible = record.on_screen or self.agent._sale(record).here
            if visible:
                assert not changed, f"sale {record.number} is shown though the page is changed"
                assert not away or record.state == "stored", f"sale {record.number} opens nothing"

    def _check_sentences(self):
        """Every sentence of the console about a sale is so."""
        away = self.agent.relay().away_since is not None
        for sale in self.ask(self.agent.sales, None, None):
            said = state_text(sale, drawn=False, away=away)
            number = sale.number
            seen = number in self.seen_on or number in self.drawn
            phoned = self.phoned.get(number, ())
            true = {
                "state.sent.text": seen and number in self.uploaded and not away,
                "state.waits.text": seen and number in self.uploaded and away,
                "state.shown.text": number in self.seen_on and sale.on_screen,
                "state.opened.text": "opened" in phoned or "received" in phoned,
                "state.saved.text": "received" in phoned,
                "state.checking.text": not seen,
                "state.unseen.text": sale.on_screen or sale.here,
                "state.sending.text": seen or sale.on_screen or sale.here,
                None: sale.warning is not None,
            }.get(said, True)
            assert true, f"of sale {number} the console says {said}"
            if (
                number in self.late
                and self.accepted[number].shows == 1
                and number not in self.drawn
            ):
                assert number not in self.seen_on, f"sale {number} came late and was shown"
            before = self.last_states.get(number, sale.state)
            if not self.room.was_full:  # else an end may have been known, and not written down
                assert sale.state in REACHABLE[before], f"{number}: {before}, then {sale.state}"
            self.last_states[number] = sale.state

    def teardown(self):
        try:
            if hasattr(self, "displays"):
                self.run(self._all_is_well_at_last())
        finally:
            self.run(self._end())
            if self.reader is not None:
                self.reader.close()
            self.loop.close()
            self.log.setLevel(self.log_level)
            self.directory.cleanup()

    async def _all_is_well_at_last(self):
        """The relay is there, a few hours pass: what was sealed is stored or settled."""
        self._heal()
        if not self.alive:
            await self._start()
        await self.clock.leap(3 * HOUR, 60)
        # A thread of the agent's has the computer's time, not the test's: it is waited for.
        for _ in range(100):
            rows, states = self._read()
            open_ones = [number for number, row in rows.items() if row.outcome is None]
            if not any("sealed" in states.get(number, ()) for number in open_ones):
                break
            await asyncio.sleep(0.05)
            await self.clock.leap(60, 60)
        for number in self.accepted:
            row, found = rows.get(number), states.get(number, set())
            if row is None or row.outcome is not None:
                continue
            assert "sealed" not in found, f"sale {number} was never uploaded"
            told = self.ask(self.agent.sale, number).warning
            assert "stored" in found or told, f"sale {number} ended in silence"

    async def _end(self):
        if self.alive:
            await self._kill()
        if self.tablet is not None:
            await self.tablet.__aexit__()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _make_task(loop, work, **options):
    context = options.get("context") or contextvars.copy_context()
    task = asyncio.Task(work, loop=loop, **options)
    life = context.get(_life)
    if life is not None:
        life.tasks.add(task)
        task.add_done_callback(life.tasks.discard)
    return task


def _case(mark, examples, steps):
    case = AgentMachine.TestCase
    made = type(case.__name__, (case,), {"__module__": __name__})
    made.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return mark(made)


TestAgent = pytest.mark.timeout(900)(_case(pytest.mark.slow, 60, 40))
TestAgentForLong = pytest.mark.timeout(0)(_case(pytest.mark.soak, 20_000, 80))
