"""Stand-ins at the seams: time, the relay, the tablet. Nothing is patched, nothing sleeps."""

import asyncio
import heapq
import itertools
from collections import Counter, defaultdict

from e2ee_ticket.client import Hellos, RelayInfo, TicketState
from e2ee_ticket.errors import (
    AbsentError,
    GoneError,
    ProtocolError,
    SupersededError,
    TakenError,
    TokenError,
    UnpairedError,
    UnreachableError,
)
from e2ee_ticket.protocol import primitives
from e2ee_ticket.protocol.channel import DisplayChannel, Reading, hello_id

_TURNS = 60


async def settle():
    """Let every task run until it waits for something."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def quiet():
    """Let every task run until all of them wait for time or the world; quicker than `settle`."""
    loop = asyncio.get_running_loop()
    for _ in range(1_000):
        await asyncio.sleep(0)
        if not loop._ready:
            return


class Clock:
    """Time that passes when a test says so."""

    def __init__(self, wall=1_800_000_000.0):
        self._wall = wall
        self._monotonic = 1000.0
        self._sleepers = []
        self._count = itertools.count()
        self.slept = []

    def now(self):
        return self._wall

    def monotonic(self):
        return self._monotonic

    async def sleep(self, seconds):
        self.slept.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waking = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._count), waking))
        await waking

    async def advance(self, seconds):
        """Let time pass, waking each sleeper at its moment."""
        await settle()
        end = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, waking = heapq.heappop(self._sleepers)
            self._pass(due - self._monotonic)
            if not waking.done():
                waking.set_result(None)
                await settle()
        self._pass(end - self._monotonic)
        await settle()

    async def leap(self, seconds, step):
        """Let much time pass in few steps: whoever was to wake within a step wakes at its end."""
        await quiet()
        end = self._monotonic + seconds
        while self._monotonic < end:
            self._pass(min(step, end - self._monotonic))
            while self._sleepers and self._sleepers[0][0] <= self._monotonic:
                waking = heapq.heappop(self._sleepers)[2]
                if not waking.done():
                    waking.set_result(None)
            await quiet()

    def jump(self, seconds):
        """Set the wall clock, as a user or a time server does."""
        self._wall += seconds

    def _pass(self, seconds):
        self._wall += seconds
        self._monotonic += seconds


class FlakyRelay:
    """A relay in memory with a client's face, that fails as it is told.

    `away` refuses everything; `fail(name, error, ...)` raises errors for the next calls of one
    method, `refusals[name]` for all of them until it is taken out; `lose(name)` does the next call
    and then loses its answer. `calls` counts.
    """

    def __init__(self, clock):
        self.clock = clock
        self.away = False
        self.calls = Counter()
        self.tickets = {}
        self.channels = {}
        self.order = []
        self.refusals = {}
        self._failures = defaultdict(list)
        self._losses = Counter()
        self._changed = asyncio.Condition()

    def fail(self, name, *errors):
        self._failures[name] += errors

    def lose(self, name, times=1):
        self._losses[name] += times

    def forget_everything(self):
        self.tickets.clear()
        self.channels.clear()

    async def _enter(self, name):
        self.calls[name] += 1
        self.order.append(name)
        await asyncio.sleep(0)
        if self.away:
            raise UnreachableError("nothing answers")
        if self._failures[name]:
            raise self._failures[name].pop(0)
        if name in self.refusals:
            raise self.refusals[name]

    async def _leave(self, name):
        async with self._changed:
            self._changed.notify_all()
        if self._losses[name]:
            self._losses[name] -= 1
            raise UnreachableError("the answer was lost")

    async def _wait_until(self, reached, seconds):
        async def wait():
            async with self._changed:
                await self._changed.wait_for(lambda: reached() or self.away)

        tasks = [asyncio.ensure_future(wait()), asyncio.ensure_future(self.clock.sleep(seconds))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self.away:
            raise UnreachableError("the connection broke")

    async def go_away(self):
        self.away = True
        async with self._changed:
            self._changed.notify_all()

    def come_back(self):
        self.away = False

    async def info(self):
        await self._enter("info")
        return RelayInfo(1, "closed", 4 * 1024 * 1024, 259_200, 604_800)

    async def try_permit(self):
        await self._enter("try_permit")

    # Tickets

    async def put(self, id, envelope, *, ttl=None):  # noqa: A002
        await self._enter("put")
        ticket = self.tickets.setdefault(
            id, {"envelope": envelope, "state": "stored", "ttl": ttl or 259_200}
        )
        if ticket["envelope"] is None:
            raise GoneError("gone", ticket["state"])
        if ticket["envelope"] != envelope:
            raise TakenError("other bytes")
        await self._leave("put")
        return TicketState(ticket["state"], ticket["ttl"])

    async def mark(self, id, token, state):  # noqa: A002
        await self._enter("mark")
        ticket = self._find(id, token)
        if ticket["envelope"] is None:
            raise GoneError("gone", ticket["state"])
        order = ["stored", "opened", "received", "revoked"]
        ticket["state"] = max(ticket["state"], state, key=order.index)
        if state == "revoked":
            ticket["envelope"] = None
        await self._leave("mark")

    async def state(self, id, token, *, since=None, wait=0):  # noqa: A002
        await self._enter("state")
        ticket = self._find(id, token)
        if since == ticket["state"]:
            await self._wait_until(lambda: ticket["state"] != since, wait)
        await self._leave("state")
        return TicketState(ticket["state"], ticket["ttl"])

    async def phone(self, secret, state):
        """What a phone tells the relay."""
        await self.mark(secret.id, secret.token(), state)

    async def expire(self, id, reason="expired"):  # noqa: A002
        self.tickets[id] |= {"state": reason, "envelope": None, "ttl": 0}
        async with self._changed:
            self._changed.notify_all()

    def _find(self, id, token):  # noqa: A002
        if id not in self.tickets:
            raise AbsentError("never seen")
        ticket = self.tickets[id]
        if ticket["envelope"] and primitives.sha256(token) != ticket["envelope"][8:40]:
            raise TokenError("another token")
        return ticket

    # Channels

    async def register(self, cid, registration):
        await self._enter("register")
        channel = self.channels.setdefault(
            cid, {"registration": registration, "hellos": {}, "polls": 0, "gone": False}
        )
        if channel["gone"]:
            raise UnpairedError("unpaired")
        if channel["registration"] != registration:
            raise TakenError("other hashes")
        await self._leave("register")

    async def unpair(self, cid, token):
        await self._enter("unpair")
        self._channel(cid, token)["gone"] = True
        await self._leave("unpair")

    async def hellos(self, cid, token, *, held=None, wait=25):
        await self._enter("hellos")
        channel = self._channel(cid, token)
        channel["polls"] += 1
        mine = channel["polls"]

        def etag():
            return "|".join(channel["hellos"])

        def over():
            return channel["polls"] != mine or channel["gone"] or cid not in self.channels

        if held == etag():
            await self._wait_until(lambda: over() or held != etag(), wait)
        if cid not in self.channels:
            raise UnreachableError("the connection broke")
        if channel["gone"]:
            raise UnpairedError("unpaired")
        if channel["polls"] != mine:
            raise SupersededError("a newer poll")
        await self._leave("hellos")
        if held == etag():
            return None
        return Hellos(etag(), tuple(hello for hello, _ in channel["hellos"].values()))

    async def answer(self, cid, token, hid, sealed):
        await self._enter("answer")
        channel = self._channel(cid, token)
        found = channel["hellos"].pop(hid, None)
        if found is not None and not found[1].done():
            found[1].set_result(sealed)
        await self._leave("answer")
        return found is not None

    async def hello(self, cid, hello):
        """What a display asks; returns a sealed, or None after 25 s."""
        if self.away or cid not in self.channels:
            raise AbsentError("no such channel")
        channel = self.channels[cid]
        if channel["gone"]:
            raise UnpairedError("unpaired")
        waiting = asyncio.get_running_loop().create_future()
        channel["hellos"][hello_id(hello)] = (hello, waiting)
        async with self._changed:
            self._changed.notify_all()
        ending = asyncio.ensure_future(self.clock.sleep(25))
        try:
            await asyncio.wait({waiting, ending}, return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else None
        finally:
            ending.cancel()
            channel["hellos"].pop(hello_id(hello), None)

    def _channel(self, cid, token):
        channel = self.channels.get(cid)
        if channel is None:
            raise AbsentError("no such channel")
        if primitives.sha256(token) != channel["registration"][40:72]:
            raise TokenError("another token")
        if channel["gone"]:
            raise UnpairedError("unpaired")
        return channel


class Tablet:
    """A display that follows its rules, and remembers what it has shown."""

    def __init__(self, relay, secret, clock):
        self.relay, self.clock, self.secret = relay, clock, secret
        self.channel = DisplayChannel(secret)
        self.shown = []
        self.deaf = False
        self._task = None

    def reading(self):
        return Reading(self.clock.now(), self.clock.monotonic())

    async def __aenter__(self):
        self._task = asyncio.ensure_future(self._run())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self):
        while True:
            hello = self.channel.hello(self.reading())
            try:
                sealed = await self.relay.hello(self.secret.cid, hello)
            except AbsentError:
                await self.clock.sleep(1)
                continue
            if sealed is not None:
                try:
                    self.shown.append(self.channel.accept(sealed, self.reading()))
                except ProtocolError:  # too late, or the clock was set: it says hello again
                    continue
                while self.deaf:  # it took the sealed, and its network died
                    await self.clock.sleep(1)

    @property
    def kinds(self):
        return [content.kind for content in self.shown]
