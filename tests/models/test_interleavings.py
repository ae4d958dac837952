"""Every interleaving of a few events of a till, a display and a hostile relay keeps the promises.

The search runs `TillChannel` and `DisplayChannel` themselves, with real handshakes, so nothing here
can drift from them; what takes more events or more parties is in spec/models. The relay keeps every
hello and every sealed, and gives any of them to its receiver at any moment, any number of times.
"""

import copy
from collections import deque
from dataclasses import dataclass, field, replace

import pytest

from e2ee_ticket.protocol.channel import (
    HELLO_LIFE_SECONDS,
    TICKET_LONGEST_SECONDS,
    DisplayChannel,
    PairingSecret,
    Reading,
    TillChannel,
    hello_id,
)
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.secret import Secret

P = PairingSecret(bytes(range(32)))
SECONDS = 10
STEP = 30
TICK = 10
IDLE = Content.idle()
TICKETS = {name: Content.ticket(Secret(name.encode() * 32), SECONDS) for name in "AB"}
NAMES = {ticket.secret.reveal(): name for name, ticket in TICKETS.items()}
DEPTH = 5
DEEPER = 7
MANY = 2_000


def name_of(content):
    return NAMES[content.secret.reveal()] if content.kind == "ticket" else ""


@dataclass
class World:
    """Everybody, and what has happened that a promise speaks of."""

    till: TillChannel
    display: DisplayChannel
    now: int = 100
    process: int = 1
    hellos: list = field(default_factory=list)  # (bytes, process, named, made)
    sealed: list = field(default_factory=list)  # (bytes, hello, what it carries, process, session)
    present_at: list = field(default_factory=list)  # (from when, what was present)
    pending: int | None = None
    painted_of: int | None = None  # the hello whose sealed is painted
    accepted: tuple = ()  # which sealed the display has accepted since its load
    ever: frozenset = frozenset()
    begun: int = 100  # when it was loaded, or was hidden last
    done: tuple = ()  # which of the rare events have been

    @property
    def reading(self):
        return Reading(self.now, self.now)

    def copy(self):
        other = replace(self, till=copy_till(self.till), display=copy_display(self.display))
        other.hellos, other.sealed = list(self.hellos), list(self.sealed)
        other.present_at = list(self.present_at)
        return other

    def key(self):
        """All that decides what may come, in numbers instead of random bytes."""
        till, display = self.till, self.display
        of = {session: number for number, (*_, session) in enumerate(self.sealed)}
        showings = {}
        for shown in (till._idle, *till._sessions.values(), till._present, till._ended):
            showings.setdefault(id(shown), len(showings))
        hids = {hello_id(hello): number for number, (hello, *_) in enumerate(self.hellos)}
        return (
            self.now, self.process, self.pending, self.painted_of, self.begun, self.done,
            tuple(hello[1:] for hello in self.hellos), tuple(each[1:4] for each in self.sealed),
            tuple(self.present_at), showings.get(id(till._ended)), till._present.until,
            tuple((of[session], showings[id(shown)], shown.shown)
                  for session, shown in till._sessions.items()),
            tuple(sorted(hids[hid] for hid in till._answers)),
            tuple(sorted(hids[hid] for hid in till._done)),
            of.get(display._last), name_of(display._content), display._seconds,
            display._accepted and display._accepted.wall, display._failures, display._hidden,
        )  # fmt: skip


def copy_till(till):
    other = copy.copy(till)
    every = (till._idle, till._present, till._ended, *till._sessions.values())
    shown = {id(each): copy.copy(each) for each in every if each}
    other._idle, other._present = shown[id(till._idle)], shown[id(till._present)]
    other._ended = till._ended and shown[id(till._ended)]
    other._sessions = type(till._sessions)((k, shown[id(v)]) for k, v in till._sessions.items())
    for name in ("_answers", "_done", "_holders", "_last_live", "_live"):
        setattr(other, name, getattr(till, name).copy())
    return other


def copy_display(display):
    other = copy.copy(display)
    if display._pending is not None:
        initiator = copy.copy(display._pending[0])
        initiator._state = copy.copy(initiator._state)
        other._pending = (initiator, display._pending[1])
    return other


# What can happen


def rarely(world, name, times=1):
    """Whether it has not happened too often; note it."""
    if world.done.count(name) >= times:
        return False
    world.done = tuple(sorted((*world.done, name)))
    return True


def show(world, name):
    content = TICKETS.get(name, IDLE)
    world.till.show(content, world.now)
    world.present_at.append((world.now, name))


def restart(world):
    world.till = type(world.till)(P, IDLE)
    world.process += 1
    world.present_at.append((world.now, ""))


def pass_time(world):
    for _ in range(STEP // TICK):
        world.now += TICK
        if world.till.tick(world.now):
            world.present_at.append((world.now, ""))
        world.display.tick(world.reading)
        notice(world)


def notice(world):
    """What the display has let go of."""
    if not world.display.waiting:
        world.pending = None
    if not name_of(world.display.painted(world.reading)):
        world.painted_of = None


def say_hello(world):
    named = next((number for number, (*_, session) in enumerate(world.sealed)
                  if session == world.display._last), None)  # fmt: skip
    hello = world.display.hello(world.reading)
    world.hellos.append((hello, world.process, named, world.now))
    world.pending = len(world.hellos) - 1


def hide(world):
    world.display.hide()
    world.display.resume(world.reading)
    world.begun = world.now
    notice(world)


def load(world):
    world.display = type(world.display)(P)
    world.accepted = ()
    world.begun = world.now
    notice(world)


def bring_hellos(world, numbers, *, told):
    """The relay tells the till that these are live; it tells what came of the answers, or not."""
    for answer in world.till.answer([world.hellos[number][0] for number in numbers], world.now):
        number = next(n for n, hello in enumerate(world.hellos) if hello_id(hello[0]) == answer.hid)
        if all(answer.sealed != sealed for sealed, *_ in world.sealed):
            carried = world.till._sessions[answer.session]
            what = "" if carried.idle else name_of(carried.content)
            world.sealed.append((answer.sealed, number, what, world.process, answer.session))
        if told:
            world.till.delivered(answer, world.now)


def bring_sealed(world, number):
    sealed, hello, what, *_ = world.sealed[number]
    before = world.display._last
    world.display.answered(200, sealed, world.reading)
    if world.display._last != before and world.display._last == world.sealed[number][4]:
        world.accepted = (*world.accepted, number)
        world.ever |= {number}
        world.painted_of = hello if what else None
    notice(world)


def events(world):
    """Each thing that can happen now, as a function on a copy."""
    for name in ("A", "B", ""):
        if name != "B" or "show A" in world.done:
            yield f"show {name}", lambda w, name=name: rarely(w, f"show {name}") and show(w, name)
    yield "restart", lambda w: rarely(w, "restart") and restart(w)
    yield "time", lambda w: rarely(w, "time", 3) and pass_time(w)
    if world.pending is None and len(world.hellos) < 4:
        yield "hello", say_hello
    yield "hide", lambda w: rarely(w, "hide") and hide(w)
    yield "load", lambda w: rarely(w, "load") and load(w)
    if name_of(world.display._content):
        yield "tap", lambda w: rarely(w, "tap") and w.display.touch(w.reading)
    for number in range(len(world.hellos)):
        for told in (True, False):
            yield f"poll {number}", lambda w, n=number, t=told: bring_hellos(w, [n], told=t)
    if world.pending is not None:
        for number in range(len(world.sealed)):
            yield f"sealed {number}", lambda w, n=number: bring_sealed(w, n)


# What must hold


def was_present(world, name, since):
    """Whether this was the till's state at some moment since then."""
    ends = [at for at, _ in world.present_at[1:]] + [world.now]
    return any(what == name and end >= since
               for (_, what), end in zip(world.present_at, ends, strict=True))  # fmt: skip


def broken(world):
    """The first promise that does not hold."""
    return broken_screen(world) or broken_till(world)


def broken_screen(world):
    painted = name_of(world.display.painted(world.reading))
    if painted:
        if world.painted_of is None:
            return "C24: a ticket is shown that nobody sealed since the page was loaded or hidden"
        made = world.hellos[world.painted_of][3]
        if not was_present(world, painted, made):
            return "C6, C7, C20: a ticket that was over before the display had asked"
        if not was_present(world, painted, world.begun):
            return "C22: somebody's ticket, for the next customer"
        limit = TICKET_LONGEST_SECONDS if "tap" in world.done else SECONDS
        if world.now >= made + HELLO_LIFE_SECONDS + limit:
            return "C20, C23, C42: a ticket after its end"
    return None


def broken_till(world):
    for _, hello, what, process, _ in world.sealed:
        _, hello_process, named, _ = world.hellos[hello]
        if what and (named is None or world.sealed[named][3] != process):
            return "C32: a ticket to a hello that names no session of this process"
        if what and hello_process != process:
            return "C32: a ticket to a hello from before this process"
        others = {other for _, same, other, *_ in world.sealed if same == hello and other}
        if len(others) > 1:
            return "C8, C31: two customers' tickets for one hello"
    sessions = {session: number for number, (*_, session) in enumerate(world.sealed)}
    if world.till.shown:
        carried = {sessions[session] for session, shown in world.till._sessions.items()
                   if shown is world.till._present}  # fmt: skip
        if not carried & world.ever:
            return "C36: shown, but no display has accepted it"
    return None


def search(till, display, depth):
    """Breadth first: the first promise that is broken, the shortest way to it, how many states."""
    first = World(till(P, IDLE), display(P), present_at=[(100, "")])
    # It begins where idle has been accepted and the next hello said: every ticket comes after that.
    say_hello(first)
    bring_hellos(first, [0], told=True)
    bring_sealed(first, 0)
    say_hello(first)
    seen = {first.key()}
    waiting = deque([(first, ())])
    while waiting:
        world, way = waiting.popleft()
        for name, happen in events(world):
            after = world.copy()
            if happen(after) is False:
                continue
            wrong = broken(after)
            if wrong:
                return wrong, (*way, name), len(seen)
            key = after.key()
            if key not in seen:
                seen.add(key)
                if len(way) + 1 < depth:
                    waiting.append((after, (*way, name)))
    return None, (), len(seen)


@pytest.mark.rule("C6", "C7", "C8", "C20", "C22", "C23", "C24", "C31", "C32", "C36", "C42")
def test_no_interleaving_breaks_a_promise():
    wrong, way, states = search(TillChannel, DisplayChannel, DEPTH)

    assert wrong is None, way
    assert states > MANY


@pytest.mark.soak
def test_no_longer_interleaving_breaks_a_promise():
    wrong, way, _ = search(TillChannel, DisplayChannel, DEEPER)

    assert wrong is None, way


class PromptTill(TillChannel):
    """Says the present state to anybody (not C32)."""

    def answer(self, hellos, now):
        known = self._sessions
        self._sessions = _Everything(known, self._present if self._present.until < 1e9 else None)
        try:
            return super().answer(hellos, now)
        finally:
            self._sessions = type(known)(dict(self._sessions))


class _Everything(dict):
    def __init__(self, known, present):
        super().__init__(known)
        self.ghost = copy.copy(present) if present else None

    def get(self, key, default=None):
        return super().get(key) or self.ghost or default


class RememberingDisplay(DisplayChannel):
    """Leaves its screen alone when it is hidden (not C22)."""

    def hide(self):
        shown = self._content, self._accepted, self._seconds
        super().hide()
        self._content, self._accepted, self._seconds = shown


class LastingDisplay(DisplayChannel):
    """Shows a ticket for ever (not C23)."""

    def _begin(self, content, now):
        super()._begin(content, now)
        self._seconds = float("inf")


class HopefulTill(TillChannel):
    """Calls shown what was delivered (not C36)."""

    def delivered(self, answer, now):
        super().delivered(answer, now)
        self._present.shown = True


@pytest.mark.parametrize(
    ("till", "display", "depth", "promise"),
    [
        (PromptTill, DisplayChannel, DEPTH, "C32"),
        (TillChannel, RememberingDisplay, DEPTH, "C22"),
        (TillChannel, LastingDisplay, DEPTH, "C20, C23, C42"),
        (HopefulTill, DisplayChannel, DEPTH, "C36"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_machine_that_breaks_a_promise_is_found(till, display, depth, promise):
    wrong, way, _ = search(till, display, depth)

    assert wrong is not None
    assert wrong.startswith(promise), way
