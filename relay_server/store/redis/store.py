"""A store in Redis or Valkey, which any number of relays share (keys.md lists what is kept).

Rules of this file:

1. What must be one step is one script on one slot: a ticket's or a channel's keys lie on one shelf,
   and a shelf is a hash tag.
2. What is kept is judged by the relay's clock and, so that it ends even if no relay ever comes
   back, given to Redis as a duration: the two clocks need not agree. What only waits is judged by
   Redis' own.
3. A relay answers from Redis, never from its own memory: another may have revoked a moment ago.
4. Hellos and answers are written to the memory of one server only; neither its append-only file nor
   a replica hears of them.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from relay_server.clock import Clock, Timer
from relay_server.errors import (
    AwayError,
    ChannelGoneError,
    FullError,
    OverloadedError,
    StartError,
    SupersededError,
)
from relay_server.store import (
    Answered,
    Channel,
    Gauges,
    HelloSet,
    Kept,
    Permit,
    Record,
    State,
    StoreLimits,
    Watch,
)
from relay_server.store.redis import server
from relay_server.store.redis.ears import LOOK, Ears
from relay_server.store.redis.nodes import Nodes, Script, parse_info
from relay_server.store.redis.url import Address, RedisUrl
from relay_server.store.waiting import hello_id, set_name

DAY = 86_400
SHELVES = 1_024
SWEEP_ROWS = 64
SWEEP_AT_ONCE = 64
LEAD_SECONDS = 40
SLACK_SECONDS = 5
"""How much longer than its request a hello is live, if the relay that had it has died."""
SKEW_SECONDS = 60
VERSION = b"1"

ABOUT, SWEEPER, TOTALS = b"{relay}:about", b"{relay}:sweeper", b"{relay}:totals"
PERMITS, NAMES = b"{permits}:by-hash", b"{permits}:by-name"

_KEEP, _FETCH, _CHANGE = Script("keep"), Script("fetch"), Script("change")
_REGISTER, _TOUCH, _UNPAIR = Script("register"), Script("touch"), Script("unpair")
_OFFER, _LEAVE, _POLL, _ANSWER = Script("offer"), Script("leave"), Script("poll"), Script("answer")
_ADD_PERMIT, _REVOKE_PERMIT = Script("add_permit"), Script("revoke_permit")
_SWEEP, _LEAD, _RESIGN = Script("sweep"), Script("lead"), Script("resign")

logger = logging.getLogger("relay_server")


class _Ticket:
    """The names of what belongs to a ticket."""

    __slots__ = ("due", "ended", "envelope", "id", "ticket", "wake")

    def __init__(self, ticket_id: bytes) -> None:
        shelf = _shelf(ticket_id)
        self.id = ticket_id.hex().encode()
        self.ticket = b"t:%b:%b" % (shelf, self.id)
        self.envelope = b"e:%b:%b" % (shelf, self.id)
        self.due = b"due:" + shelf
        self.ended = b"ended:" + shelf
        self.wake = b"s:%b:%b" % (shelf, self.id)


class _Line:
    """The names of what belongs to a channel."""

    __slots__ = ("channel", "id", "idle", "live", "poll", "shelf", "wake", "wakes")

    def __init__(self, cid: bytes) -> None:
        shelf = self.shelf = _shelf(cid)
        self.id = cid.hex().encode()
        self.channel = b"c:%b:%b" % (shelf, self.id)
        self.idle = b"idle:" + shelf
        self.live = b"live:%b:%b" % (shelf, self.id)
        self.poll = b"poll:%b:%b" % (shelf, self.id)
        self.wake = b"w:%b:%b" % (shelf, self.id)
        self.wakes = b"h:%b:%b:" % (shelf, self.id)

    def answer(self, hid: bytes) -> bytes:
        return b"a:%b:%b:%b" % (self.shelf, self.id, hid)


class _Mailbox:
    """What one who waits has heard, and whether the time is over."""

    def __init__(self) -> None:
        self.over = False
        self._messages: deque[bytes] = deque()
        self._future: asyncio.Future[None] | None = None

    def put(self, message: bytes) -> None:
        self._messages.append(message)
        self._wake()

    def end(self) -> None:
        self.over = True
        self._wake()

    async def get(self) -> bytes | None:
        """Return what was heard next, or None when the time is over."""
        while not self._messages:
            if self.over:
                return None
            self._future = asyncio.get_running_loop().create_future()
            try:
                await self._future
            finally:
                self._future = None
        return self._messages.popleft()

    def clear(self) -> None:
        self._messages.clear()

    def _wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class _Waiting:
    """Everybody who waits in this process."""

    def __init__(self, clock: Clock, ears: Ears, limits: StoreLimits) -> None:
        self._clock = clock
        self._ears = ears
        self._limits = limits
        self._boxes: set[_Mailbox] = set()
        self._watches: dict[bytes, int] = {}
        self.stopped = False

    @property
    def requests(self) -> int:
        """How many requests wait."""
        return len(self._boxes)

    @property
    def lines(self) -> int:
        """To how many names they listen."""
        return self._ears.names

    @asynccontextmanager
    async def box(self, name: bytes | None) -> AsyncIterator[_Mailbox]:
        """Count one more who waits, and let it hear what is said to a name."""
        if len(self._boxes) >= self._limits.waiting_max_requests:
            raise OverloadedError
        box = _Mailbox()
        self._boxes.add(box)
        if self.stopped:
            box.end()
        try:
            if name is None or box.over:
                yield box
            else:
                async with self._ears.listening(name, box.put):
                    yield box
        finally:
            self._boxes.discard(box)

    @asynccontextmanager
    async def watch(self, name: bytes) -> AsyncIterator["_Watch"]:
        """Notice what is said to a name, until the block ends."""
        count = self._watches.get(name, 0)
        if count >= self._limits.watches_per_ticket_max:
            raise OverloadedError
        self._watches[name] = count + 1
        try:
            async with self.box(name) as box:
                yield _Watch(self, box)
        finally:
            self._watches[name] -= 1
            if not self._watches[name]:
                del self._watches[name]

    def later(self, seconds: float, box: _Mailbox) -> Timer:
        return self._clock.call_later(seconds, box.end)

    def stop(self) -> None:
        self.stopped = True
        for box in self._boxes:
            box.end()


class _Watch:
    """A till that waits for its ticket."""

    def __init__(self, waiting: _Waiting, box: _Mailbox) -> None:
        self._waiting = waiting
        self._box = box
        self.stopped = waiting.stopped

    async def wait(self, wait_seconds: float) -> bool:
        """Return True when it may have changed since the last call, False when time is over."""
        timer = self._waiting.later(wait_seconds, self._box)
        if wait_seconds <= 0:
            self._box.end()
        try:
            message = await self._box.get()
        finally:
            timer.cancel()
        self._box.clear()
        self.stopped = self._waiting.stopped
        if not self.stopped:
            self._box.over = False
        return message is not None and not self.stopped


class RedisStore:
    """The store of any number of relays."""

    def __init__(
        self,
        url: RedisUrl,
        nodes: Nodes,
        *,
        clock: Clock,
        limits: StoreLimits,
        check_clock: bool,
        notes: list[str],
    ) -> None:
        self.fault = ""
        self.notes = notes
        """What an operator should know of this Redis; ``open`` fills it."""
        self._url = url
        self._nodes = nodes
        self._clock = clock
        self._limits = limits
        self._check_clock = check_clock
        self._ears = Ears(url, nodes)
        self._waiting = _Waiting(clock, self._ears, limits)
        self._me = secrets.token_hex(8).encode()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._queued_bytes = 0
        self._stored_bytes = 0
        self._measured_bytes = 0
        self._memory_room: int | None = None
        self._tickets = 0
        self._channels = 0

    @classmethod
    async def open(
        cls, url: RedisUrl, *, clock: Clock, limits: StoreLimits, check_clock: bool = True
    ) -> "RedisStore":
        """Connect, and make sure that this Redis keeps what is given to it.

        Raises:
            StartError: it cannot be reached, or would lose more than the operator has said.
        """
        nodes = Nodes(url)
        try:
            await nodes.open()
            notes = await server.check(url, nodes)
            store = cls(
                url, nodes, clock=clock, limits=limits, check_clock=check_clock, notes=notes
            )
            try:
                await store._begin()
            except (OverloadedError, FullError) as error:
                raise AwayError(
                    f"the Redis {url} does not do its work: {error.code}",
                    hint="see its log; a cluster needs all its slots",
                ) from error
        except BaseException:
            await nodes.close()
            raise
        return store

    @property
    def busy(self) -> bool:
        """Whether something is under way to Redis, and not merely waited for."""
        return bool(self._nodes.pending or self._ears.pending or self._tasks)

    # Tickets

    async def keep(
        self, ticket_id: bytes, envelope: bytes, token_hash: bytes, *, expiry: int, now: int
    ) -> tuple[Kept, Record]:
        """Keep an envelope unless something is there, as one step (R42); durable on return."""
        size = len(envelope)
        if self._queued_bytes + size > self._limits.queue_max_bytes:
            raise OverloadedError
        names = _Ticket(ticket_id)
        full = size > self._room() or self._tickets >= self._limits.tickets_max
        if full and await self._look(names, now=now, envelope=False) is None:
            raise FullError
        self._queued_bytes += size
        try:
            kept, *row = await self._nodes.run(
                _KEEP,
                [names.ticket, names.envelope, names.due, names.ended, names.wake],
                [names.id, token_hash, expiry, now, *self._lives(), envelope],
                safe=True,
            )
        finally:
            self._queued_bytes -= size
        if kept == b"stored":
            self._stored_bytes += size
            self._tickets += 1
        return Kept[kept.decode().upper()], _record(row)

    async def fetch(self, ticket_id: bytes, *, now: int) -> bytes | Record | None:
        """Return the envelope, or the record of a ticket that is gone, or None if never seen."""
        return await self._look(_Ticket(ticket_id), now=now, envelope=True)

    async def find(self, ticket_id: bytes, *, now: int) -> Record | None:
        """Return what is known of a ticket, or None if it was never seen."""
        found = await self._look(_Ticket(ticket_id), now=now, envelope=False)
        return found if isinstance(found, Record) else None

    async def change(
        self, ticket_id: bytes, state: State, *, expiry: int, now: int
    ) -> tuple[bool, Record | None]:
        """Raise the state and let the expiry be no later than this; return when it is durable."""
        names = _Ticket(ticket_id)
        row = await self._nodes.run(
            _CHANGE,
            [names.ticket, names.envelope, names.due, names.ended, names.wake],
            [names.id, int(state), expiry, now, *self._lives()],
            safe=True,
        )
        return (False, None) if row is None else (bool(row[0]), _record(row[1:]))

    def watch(self, ticket_id: bytes) -> AbstractAsyncContextManager[Watch]:
        """Notice every change of a ticket from now on, until the block ends."""
        return self._waiting.watch(_Ticket(ticket_id).wake)

    # Channels

    async def register(
        self, cid: bytes, read_hash: bytes, write_hash: bytes, *, today: int
    ) -> Kept:
        """Register a channel unless something is there, as one step; return when it is durable."""
        full = self._room() <= 0 or self._channels >= self._limits.channels_max
        if full and await self.find_channel(cid) is None:
            raise FullError
        line = _Line(cid)
        kept = await self._nodes.run(
            _REGISTER,
            [line.channel, line.idle],
            [line.id, read_hash, write_hash, today, self._channel_life()],
            safe=True,
        )
        self._channels += kept == b"stored"
        return Kept[kept.decode().upper()]

    async def find_channel(self, cid: bytes) -> Channel | None:
        """Return what is known of a channel, or None if it is not registered."""
        name = _Line(cid).channel
        fields = ("read_hash", "write_hash", "polled_day", "gone")
        read_hash, write_hash, day, gone = await self._nodes.call(name, "HMGET", name, *fields)
        if gone is not None:
            return Channel(b"", b"", 0, gone=True)
        return None if day is None else Channel(read_hash, write_hash, int(day), gone=False)

    async def touch(self, cid: bytes, *, today: int) -> None:
        """Note that the channel was polled today."""
        line = _Line(cid)
        life = self._channel_life()
        self._spawn(
            self._nodes.run(_TOUCH, [line.channel, line.idle], [line.id, today, life]),
        )

    async def unpair(self, cid: bytes) -> bool:
        """Make the channel a tombstone, durably, and end all waiting."""
        line = _Line(cid)
        keys = [line.channel, line.idle, line.live, line.poll, line.wake]
        return bool(await self._nodes.run(_UNPAIR, keys, [line.id, line.wakes], safe=True))

    async def offer(self, cid: bytes, hello: bytes, *, wait_seconds: float) -> bytes | None:
        """Let a hello be live until it is answered, and return its sealed."""
        line, hid, token = _Line(cid), _hid(hello), secrets.token_bytes(8)
        async with self._waiting.box(line.wakes + hid) as box:
            if box.over:
                return None
            timer = self._waiting.later(wait_seconds, box)
            sealed: bytes | None = None
            try:
                came = await self._nodes.run(
                    _OFFER,
                    [line.channel, line.live, line.answer(hid), line.wake],
                    [
                        hid,
                        token,
                        hello,
                        int((wait_seconds + SLACK_SECONDS) * 1000),
                        self._limits.hellos_live_max,
                        line.wakes,
                    ],
                )
                if came == b"gone":
                    raise ChannelGoneError
                if came == b"live":
                    sealed = await self._hear_answer(line, hid, token, box)
            finally:
                timer.cancel()
                # R92: whatever ended the request, its hello goes with it.
                left = await asyncio.shield(self._spawn(self._leave(line, hid, token)))
            return left if sealed is None else sealed

    async def poll(self, cid: bytes, known: Collection[str], *, wait_seconds: float) -> HelloSet:
        """Return the set of live hellos once its name is not known, or when time is over."""
        line, token = _Line(cid), secrets.token_bytes(8)
        async with self._waiting.box(line.wake if wait_seconds > 0 else None) as box:
            if wait_seconds <= 0:
                box.end()
            timer = self._waiting.later(wait_seconds, box)
            milliseconds = str(int((max(0.0, wait_seconds) + SLACK_SECONDS) * 1000))
            try:
                found = await self._poll(line, token, milliseconds)
                while found.name in known:
                    message = await box.get()
                    if message is None:
                        break
                    if message[:1] == b"g":
                        raise ChannelGoneError
                    if message[:1] == b"p" and message[1:] != token:
                        raise SupersededError
                    if message in {b"s", LOOK}:
                        found = await self._poll(line, token, "")
                return found
            finally:
                timer.cancel()

    async def answer(self, cid: bytes, hid: bytes, sealed: bytes) -> Answered:
        """Give a live hello its one answer."""
        line, name = _Line(cid), hid.hex().encode()
        milliseconds = int(self._limits.answered_seconds * 1000)
        answered = await self._nodes.run(
            _ANSWER,
            [line.live, line.answer(name), line.wakes + name, line.wake],
            [name, sealed, milliseconds],
        )
        return Answered[answered.decode().upper()]

    # Permits

    async def add_permit(
        self,
        name: str,
        permit_hash: bytes,
        *,
        today: int,
        uploads_per_hour: int | None = None,
        bytes_per_hour: int | None = None,
    ) -> bool:
        """Add a permit; return False when the name is taken."""
        numbers = (today, uploads_per_hour, bytes_per_hour)
        about = " ".join("-" if number is None else str(number) for number in numbers)
        args = [name.encode(), permit_hash, f"{about} {name}".encode()]
        return bool(await self._nodes.run(_ADD_PERMIT, [PERMITS, NAMES], args, safe=True))

    async def find_permit(self, permit_hash: bytes) -> Permit | None:
        """Return the valid permit of this hash at this very moment, or None (R11)."""
        about = await self._nodes.call(PERMITS, "HGET", PERMITS, permit_hash)
        return None if about is None else _permit(about)

    async def list_permits(self) -> list[Permit]:
        """Return all permits by name."""
        return sorted(map(_permit, await self._nodes.call(PERMITS, "HVALS", PERMITS)))

    async def revoke_permit(self, name: str) -> bool:
        """Revoke a permit; return False when there is none of this name."""
        keys = [PERMITS, NAMES]
        return bool(await self._nodes.run(_REVOKE_PERMIT, keys, [name.encode()], safe=True))

    # Housekeeping

    async def probe(self) -> None:
        """Write to every server and read it back, as an upload and a download would."""
        shelves: dict[Address, bytes] = {}
        for number in range(SHELVES):
            key = b"probe:" + _tag(number)
            shelves.setdefault(self._nodes.owner(key), key)
        token = secrets.token_bytes(8)
        for key in shelves.values():
            await self._nodes.write(key, "SET", key, token, "EX", 60)
            if await self._nodes.call(key, "GET", key) is None:
                raise OverloadedError

    async def inspect(self) -> None:
        """Do nothing: a Redis holds its data in memory, and checks its files when it reads them."""

    def gauges(self) -> Gauges:
        """Return what all servers hold as of the last sweep, and what came here since."""
        return Gauges(
            waiting_requests=self._waiting.requests,
            queued_bytes=self._queued_bytes,
            recent_bytes=0,
            stored_bytes=self._stored_bytes,
            room_bytes=max(0, self._room()),
        )

    async def sweep(self, *, now: int, latest: int | None = None) -> None:
        """Delete envelopes whose time is over, and tombstones and channels that have ended.

        One relay does it for all. What lies further in the future than anything can, for a clock
        was wrong, is brought back.
        """
        if self._check_clock and not await self._clocks_agree():
            logger.warning("the sweep was put off: the clocks of relay and Redis differ")
            return
        if await self._nodes.run(_LEAD, [SWEEPER], [self._me, LEAD_SECONDS * 1000]):
            totals, last = [0, 0], now if latest is None else latest
            for first in range(0, SHELVES, SWEEP_AT_ONCE):
                numbers = range(first, first + SWEEP_AT_ONCE)
                for row in await asyncio.gather(*(self._sweep(n, now, last) for n in numbers)):
                    totals = [totals[0] + row[0], totals[1] + row[1]]
            words = ("tickets", totals[0], "channels", totals[1])
            await self._nodes.call(TOTALS, "HSET", TOTALS, *words)
        await self._measure()

    def stop_waiting(self) -> None:
        """Answer everybody who waits, now and from now on, as if the time were over (R8)."""
        self._waiting.stop()

    async def close(self) -> None:
        """Finish what has been begun, and close."""
        self._waiting.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(OverloadedError, FullError):
            await self._nodes.run(_RESIGN, [SWEEPER], [self._me])
        await self._ears.close()
        await self._nodes.close()

    async def _begin(self) -> None:
        version = await self._nodes.call(ABOUT, "GET", ABOUT)
        if version is None:
            for address in self._nodes.masters:
                count = await self._nodes.node(address).quick.call("DBSIZE")
                if count:
                    raise StartError(
                        f"the Redis {self._url} holds something else",
                        hint="give the relay a Redis of its own: others would fill it or clear it",
                    )
            await self._nodes.write(ABOUT, "SET", ABOUT, VERSION)
            self.notes.append(
                "redis: it was empty; if a relay ran on it before, its tickets, permits and "
                "displays are lost"
            )
        elif version != VERSION:
            raise StartError(
                f"the Redis {self._url} was written by a newer relay",
                hint="run the newer relay, or use another Redis",
            )
        if self._check_clock and not await self._clocks_agree():
            raise StartError(
                f"the clocks of this machine and of the Redis {self._url} differ by more than a "
                "minute",
                hint="set both by NTP: expiry is a matter of clocks",
            )
        await self._measure()

    async def _clocks_agree(self) -> bool:
        seconds, _ = await self._nodes.call(SWEEPER, "TIME")
        return abs(int(seconds) - self._clock.wall()) <= SKEW_SECONDS

    async def _measure(self) -> None:
        """Note how much all servers hold, and how much more they take."""
        stored, room = 0, None
        for address in self._nodes.masters:
            info = parse_info(await self._nodes.ask(address, "INFO", "memory"))
            used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
            stored += used
            if most:
                # The fullest server says how much all of them take: ids spread evenly.
                left = (most - used) * len(self._nodes.masters)
                room = left if room is None else min(room, left)
        self._stored_bytes, self._memory_room = stored, room
        self._measured_bytes = stored
        totals = await self._nodes.call(TOTALS, "HMGET", TOTALS, "tickets", "channels")
        self._tickets, self._channels = (int(count or 0) for count in totals)

    def _room(self) -> int:
        room = self._limits.stored_max_bytes - self._stored_bytes
        if self._memory_room is not None:
            since = self._stored_bytes - self._measured_bytes
            room = min(room, self._memory_room - since)
        return room

    async def _sweep(self, number: int, now: int, latest: int) -> tuple[int, int]:
        shelf, limits = _tag(number), self._limits
        keys = [b"due:" + shelf, b"ended:" + shelf, b"idle:" + shelf]
        tombstone, life = limits.tombstone_seconds, self._lives()[1]
        while True:
            done, tickets, channels = await self._nodes.run(
                _SWEEP,
                keys,
                [
                    b"t:%b:" % shelf,
                    b"e:%b:" % shelf,
                    b"c:%b:" % shelf,
                    now,
                    tombstone,
                    latest + limits.ttl_max_seconds,
                    life,
                    now // DAY,
                    latest // DAY,
                    limits.channel_idle_days,
                    SWEEP_ROWS,
                ],
            )
            if done < SWEEP_ROWS:
                return tickets, channels

    async def _look(self, names: _Ticket, *, now: int, envelope: bool) -> bytes | Record | None:
        row = await self._nodes.run(_FETCH, [names.ticket, names.envelope], [now, int(envelope)])
        if row is None:
            return None
        record = _record(row)
        if record.gone:
            # The sweeper is late: the tombstone has ended (R20).
            ended = now >= record.expiry + self._tombstone_seconds()
            return None if ended else record
        return bytes(row[4]) if envelope else record

    async def _hear_answer(
        self, line: _Line, hid: bytes, token: bytes, box: _Mailbox
    ) -> bytes | None:
        while True:
            message = await box.get()
            if message is None:
                return None
            kind, whose, sealed = message[:1], message[1:9], message[9:]
            if kind == b"g":
                raise ChannelGoneError
            if kind == b"e" and whose == token:
                return None
            if kind == b"a" and whose == token:
                return sealed
            if message == LOOK:
                # Something may have been said while nobody listened.
                left = await self._leave(line, hid, token, look=True)
                if left != b"live":
                    if left is None and await self._is_gone(line):
                        raise ChannelGoneError
                    return None if left is None else left[1:]

    async def _leave(
        self, line: _Line, hid: bytes, token: bytes, *, look: bool = False
    ) -> bytes | None:
        try:
            left: bytes | None = await self._nodes.run(
                _LEAVE, [line.live, line.answer(hid), line.wake], [hid, token, int(look)]
            )
        except (OverloadedError, FullError):
            if look:
                raise
            return None
        return left if look or left is None else left[1:]

    async def _is_gone(self, line: _Line) -> bool:
        return bool(await self._nodes.call(line.channel, "HEXISTS", line.channel, "gone"))

    async def _poll(self, line: _Line, token: bytes, milliseconds: str) -> HelloSet:
        keys = [line.channel, line.live, line.poll, line.wake]
        word, *rest = await self._nodes.run(_POLL, keys, [token, milliseconds])
        if word == b"gone":
            raise ChannelGoneError
        if word == b"superseded":
            raise SupersededError
        hellos = tuple(rest[0])
        return HelloSet(set_name(hellos), hellos)

    def _lives(self) -> tuple[int, int]:
        """Return for how many seconds a tombstone is kept, and an index after its last entry."""
        tombstone = self._tombstone_seconds()
        return tombstone, self._limits.ttl_max_seconds + tombstone + DAY

    def _tombstone_seconds(self) -> int:
        # A clock that is doubted ends no tombstone: what was revoked must not come back.
        doubt = int(self._clock.wall()) - int(self._clock.certain())
        return self._limits.tombstone_seconds + max(0, doubt)

    def _channel_life(self) -> int:
        return (self._limits.channel_idle_days + 1) * DAY

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        async def run() -> Any:  # noqa: ANN401 - whatever it returns
            with suppress(OverloadedError, FullError):
                return await work

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _tag(number: int) -> bytes:
    return b"{%03x}" % number


def _shelf(name: bytes) -> bytes:
    """Return the hash tag of a name: the keys of one shelf lie on one server."""
    return _tag(int.from_bytes(name[:2]) % SHELVES)


def _hid(hello: bytes) -> bytes:
    return hello_id(hello).hex().encode()


def _record(row: list[Any]) -> Record:
    state, token_hash, expiry, gone = row[:4]
    return Record(State(state), token_hash, expiry, bool(gone))


def _permit(about: bytes) -> Permit:
    day, uploads, volume, name = about.decode().split(" ", 3)
    return Permit(name, int(day), _number(uploads), _number(volume))


def _number(text: str) -> int | None:
    return None if text == "-" else int(text)
