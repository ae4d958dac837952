"""A store in one SQLite file (spec/relay.md; schema.sql is the list of what is kept).

Rules of this file:

1. One thread writes, on one connection. It takes all writes that are waiting, makes one transaction
   of them, and answers each only after that transaction is on the disk: one sync for many uploads.
2. Whether an id is taken, a state goes up or a name is free is decided by the write itself and its
   row count, never by a look beforehand.
3. What other threads read is committed, and so, in WAL mode with ``synchronous=FULL``, durable.
4. The memory of recent envelopes is changed in the event loop alone, after the commit and before
   whoever asked is answered, so that it never serves what was revoked.
"""

import asyncio
import os
import queue
import shutil
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, closing, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, Generic, TypeVar

from relay_server.clock import Clock
from relay_server.errors import FullError, OverloadedError, StartError
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
from relay_server.store.place import (
    NOT_WAITING,
    Hold,
    find_file_system,
    is_network,
    must_be_there,
    must_have_one_name,
)
from relay_server.store.waiting import Waiting

APPLICATION_ID = 0x65327472  # "e2tr", so that `file` and we know whose database it is
SCHEMA_VERSION = 2
"""What schema.sql makes; ``migrations/N.sql`` makes version N out of the one before, and a test
shows that both ways end at the same tables."""

# Read now: a command of root's may go on as somebody who cannot read its files (`owner.py`).
SCHEMA = files(__package__).joinpath("schema.sql").read_text("utf-8")
_MIGRATIONS = {
    number: files(__package__).joinpath(f"migrations/{number}.sql").read_text("utf-8")
    for number in range(2, SCHEMA_VERSION + 1)
}

BATCH_BYTES = 2 * 1024 * 1024
BATCH_JOBS = 256
CHECKPOINT_PAGES = 4_000
INCREMENTAL = 2
"""SQLite's number for a file that gives its free pages back when it is asked to."""
SHRINK_PAGES = 1_000
SHRINK_FREE_PAGES = 16_384
"""A relay keeps so many free pages, or as many as are used, for what will come."""
COMPACT_BUSY_SECONDS = 60.0
READERS = 4
SWEEP_ROWS = 64
INSPECT_SECONDS = 0.25
"""How long each look at the database is, one after each sweep: some hundredth of the time."""
INSPECT_EACH_SECONDS = 86_400
LOOK_SECONDS = 0.5
"""How often an idle writer looks whether a command has changed the file beside it."""
BUSY_SECONDS = 5.0
CHECKED_BYTES = 256 * 1024 * 1024
"""A database up to this size is read as a whole before a relay begins; a larger one meanwhile."""
_SHARED_MEMORY = frozenset(
    {
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMLOCK,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_LOCK,
        sqlite3.SQLITE_IOERR_RDLOCK,
    }
)

T = TypeVar("T")
_Row = tuple[Any, ...]


class _Job(Generic[T]):
    """One write that waits for its batch."""

    __slots__ = ("after", "future", "run", "size")

    def __init__(
        self,
        run: Callable[[sqlite3.Connection], T],
        future: asyncio.Future[T] | None,
        after: Callable[[T], None] | None,
        size: int,
    ) -> None:
        self.run = run
        self.future = future
        self.after = after
        self.size = size


class _Recent:
    """Envelopes of the last minutes, in bounded memory."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()

    def get(self, ticket_id: bytes, now: int) -> bytes | None:
        entry = self._entries.get(ticket_id)
        if entry is None:
            return None
        envelope, expiry = entry
        if expiry <= now:
            self.forget(ticket_id)
            return None
        self._entries.move_to_end(ticket_id)
        return envelope

    def keep(self, ticket_id: bytes, envelope: bytes, expiry: int) -> None:
        self.forget(ticket_id)
        self._entries[ticket_id] = (envelope, expiry)
        self._bytes += len(envelope)
        while self._bytes > self._max_bytes:
            _, (dropped, _) = self._entries.popitem(last=False)
            self._bytes -= len(dropped)

    def end_at(self, ticket_id: bytes, expiry: int) -> None:
        entry = self._entries.get(ticket_id)
        if entry is not None:
            self._entries[ticket_id] = (entry[0], expiry)

    def forget(self, ticket_id: bytes) -> None:
        entry = self._entries.pop(ticket_id, None)
        if entry is not None:
            self._bytes -= len(entry[0])

    def clear(self) -> None:
        self._entries.clear()
        self._bytes = 0

    @property
    def size(self) -> int:
        return self._bytes

    def forget_expired(self, now: int) -> None:
        for ticket_id in [key for key, (_, expiry) in self._entries.items() if expiry <= now]:
            self.forget(ticket_id)


class SqliteStore:
    """The store of a relay that is one process on one machine."""

    def __init__(
        self, path: Path, *, clock: Clock, limits: StoreLimits, exclusive: bool = True
    ) -> None:
        """Open or make the database; ``exclusive`` is for the relay, not for its operator.

        Raises:
            StartError: the file cannot be used; says why in one line.
        """
        self._clock = clock
        self._limits = limits
        self._inspected: tuple[str, Any] = ("channels", b"")
        self._inspect_at = 0.0
        self.fault = ""
        """What is wrong with the database, as far as it was seen; empty while nothing is."""
        if exclusive:
            must_be_there(path)
        _create(path)
        # Whatever leads to it, its log and its lock have one name.
        path = self._path = path.resolve()
        must_have_one_name(path)
        self._hold = Hold(path) if exclusive else None
        try:
            self._writer = _open(path, relay=exclusive)
            self._looker = _connect(path, timeout=0)
            self._rows = _count_rows(self._writer)
        except StartError:
            self._release()
            raise
        except sqlite3.Error as error:
            self._release()
            raise start_error(path, error) from error
        self._loop = asyncio.get_running_loop()
        self._waiting = Waiting(
            clock,
            hellos_live_max=limits.hellos_live_max,
            answered_seconds=limits.answered_seconds,
            requests_max=limits.waiting_max_requests,
            watches_per_ticket_max=limits.watches_per_ticket_max,
        )
        self._recent = _Recent(limits.cache_max_bytes)
        self._changes = 0
        self._queued_bytes = 0
        self._unclean = True
        self._stored_bytes, self._room = _measure(self._writer, path, limits)
        self._seen = _data_version(self._writer)
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._local = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, "relay-reader", self._start_reader)
        self._thread = threading.Thread(
            target=self._write_batches, name="relay-writer", daemon=True
        )
        self._thread.start()

    # Tickets

    async def keep(
        self, ticket_id: bytes, envelope: bytes, token_hash: bytes, *, expiry: int, now: int
    ) -> tuple[Kept, Record]:
        """Keep an envelope unless something is there, as one step (R42); durable on return."""

        def run(connection: sqlite3.Connection) -> tuple[Kept, Record]:
            row = (ticket_id, State.STORED, token_hash, expiry, envelope)
            room = len(envelope) <= self._room and self._rows[0] < self._limits.tickets_max
            while True:
                if room and connection.execute(_KEEP, row).rowcount:
                    self._room -= len(envelope)
                    self._rows[0] += 1
                    return Kept.STORED, Record(State.STORED, token_hash, expiry, gone=False)
                there = connection.execute(_COMPARE, (envelope, ticket_id)).fetchone()
                if there is None:
                    raise FullError
                record = _record(there[:4], now)
                if not self._has_ended(record, now):
                    if record.gone:
                        return Kept.GONE, record
                    return (Kept.SAME if there[4] else Kept.OTHER), record
                # The sweeper is late: the tombstone has ended (R20).
                connection.execute("DELETE FROM tickets WHERE id = ?", (ticket_id,))
                self._rows[0] -= 1

        def after(outcome: tuple[Kept, Record]) -> None:
            if outcome[0] is Kept.STORED:
                self._recent.keep(ticket_id, envelope, expiry)
                self._waiting.ticket_changed(ticket_id)

        return await self._write(run, after=after, size=len(envelope))

    async def fetch(self, ticket_id: bytes, *, now: int) -> bytes | Record | None:
        """Return the envelope, or the record of a ticket that is gone, or None if never seen."""
        recent = self._recent.get(ticket_id, now)
        if recent is not None:
            return recent
        changes = self._changes
        row = await self._read(_FETCH, ticket_id)
        if row is None:
            return None
        record = _record(row[:4], now)
        if record.gone:
            return None if self._has_ended(record, now) else record
        envelope = bytes(row[4])
        if changes == self._changes:
            # Otherwise it may have been revoked since it was read.
            self._recent.keep(ticket_id, envelope, record.expiry)
        return envelope

    async def find(self, ticket_id: bytes, *, now: int) -> Record | None:
        """Return what is known of a ticket, or None if it was never seen."""
        row = await self._read(_FIND, ticket_id)
        if row is None:
            return None
        record = _record(row, now)
        return None if self._has_ended(record, now) else record

    async def change(
        self, ticket_id: bytes, state: State, *, expiry: int, now: int
    ) -> tuple[bool, Record | None]:
        """Raise the state and let the expiry be no later than this; return when it is durable."""

        def run(connection: sqlite3.Connection) -> tuple[bool, Record | None]:
            statement = _REVOKE if state is State.REVOKED else _RAISE
            values = {"id": ticket_id, "state": state, "expiry": expiry, "now": now}
            changed = connection.execute(statement, values).rowcount > 0
            row = connection.execute(_FIND, (ticket_id,)).fetchone()
            return changed, None if row is None else _record(row, now)

        def after(outcome: tuple[bool, Record | None]) -> None:
            changed, record = outcome
            if not changed or record is None:
                return
            self._changes += 1
            if record.gone:
                self._unclean = True
                self._recent.forget(ticket_id)
            else:
                self._recent.end_at(ticket_id, record.expiry)
            self._waiting.ticket_changed(ticket_id)

        changed, record = await self._write(run, after=after)
        if record is not None and self._has_ended(record, now):
            record = None
        return changed, record

    def watch(self, ticket_id: bytes) -> AbstractAsyncContextManager[Watch]:
        """Notice every change of a ticket from now on, until the block ends."""
        return self._waiting.watch(ticket_id)

    # Channels

    async def register(
        self, cid: bytes, read_hash: bytes, write_hash: bytes, *, today: int
    ) -> Kept:
        """Register a channel unless something is there, as one step; return when it is durable."""

        def run(connection: sqlite3.Connection) -> Kept:
            row = (cid, read_hash, write_hash, today)
            room = self._room >= 0 and self._rows[1] < self._limits.channels_max
            if room and connection.execute(_REGISTER, row).rowcount:
                self._rows[1] += 1
                return Kept.STORED
            there = connection.execute(_FIND_CHANNEL, (cid,)).fetchone()
            if there is None:
                raise FullError
            channel = _channel(there)
            if channel.gone:
                return Kept.GONE
            same = (channel.read_hash, channel.write_hash) == (read_hash, write_hash)
            return Kept.SAME if same else Kept.OTHER

        return await self._write(run)

    async def find_channel(self, cid: bytes) -> Channel | None:
        """Return what is known of a channel, or None if it is not registered."""
        row = await self._read(_FIND_CHANNEL, cid)
        return None if row is None else _channel(row)

    async def touch(self, cid: bytes, *, today: int) -> None:
        """Note that the channel was polled today."""

        def run(connection: sqlite3.Connection) -> None:
            connection.execute(_TOUCH, (today, cid))

        self._submit(_Job(run, None, None, 0))

    async def unpair(self, cid: bytes) -> bool:
        """Make the channel a tombstone, durably, and end all waiting."""

        def run(connection: sqlite3.Connection) -> int:
            return connection.execute(_UNPAIR, (cid,)).rowcount

        def after(changed: int) -> None:
            if changed:
                self._waiting.channel_gone(cid)

        return await self._write(run, after=after) > 0

    async def offer(self, cid: bytes, hello: bytes, *, wait_seconds: float) -> bytes | None:
        """Let a hello be live until it is answered, and return its sealed."""
        return await self._waiting.offer(cid, hello, wait_seconds=wait_seconds)

    async def poll(self, cid: bytes, known: Collection[str], *, wait_seconds: float) -> HelloSet:
        """Return the set of live hellos once its name is not known, or when time is over."""
        return await self._waiting.poll(cid, known, wait_seconds=wait_seconds)

    async def answer(self, cid: bytes, hid: bytes, sealed: bytes) -> Answered:
        """Give a live hello its one answer."""
        return self._waiting.answer(cid, hid, sealed)

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

        def run(connection: sqlite3.Connection) -> bool:
            row = (name, permit_hash, today, uploads_per_hour, bytes_per_hour)
            return connection.execute(_ADD_PERMIT, row).rowcount > 0

        return await self._write(run)

    async def find_permit(self, permit_hash: bytes) -> Permit | None:
        """Return the valid permit of this hash at this very moment, or None (R11)."""
        # One look into a small table, on the loop's own connection: a thread would cost more.
        try:
            row = self._looker.execute(_FIND_PERMIT, (permit_hash,)).fetchone()
        except sqlite3.OperationalError:
            row = await self._read(_FIND_PERMIT, permit_hash)
        return None if row is None else Permit(*row)

    async def list_permits(self) -> list[Permit]:
        """Return all permits by name."""

        def run(connection: sqlite3.Connection) -> list[Permit]:
            return [Permit(*row) for row in connection.execute(_LIST_PERMITS)]

        return await self._write(run)

    async def revoke_permit(self, name: str) -> bool:
        """Revoke a permit; return False when there is none of this name."""

        def run(connection: sqlite3.Connection) -> bool:
            return connection.execute(_REVOKE_PERMIT, (name,)).rowcount > 0

        return await self._write(run)

    # Housekeeping

    async def probe(self) -> None:
        """Write something durably and read it back, as an upload and a download would."""

        def run(connection: sqlite3.Connection) -> None:
            # The first page is written anew with what it says already: no table is needed for it.
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

        await self._write(run)
        await self._read(_FIND, bytes(16))

    async def inspect(self) -> None:
        """Look at a little more of the database: every row, every index entry, every last byte.

        A bit of an envelope that was turned is not seen: the phone sees it, by the seal.
        """
        if self._clock.monotonic() >= self._inspect_at:
            await self._loop.run_in_executor(self._readers, self._inspect)

    def _inspect(self) -> None:
        end = time.monotonic() + INSPECT_SECONDS
        connection = self._local.connection
        try:
            while time.monotonic() < end:
                table, after = self._inspected
                last, count, found, _ = connection.execute(_INSPECT[table], (after,)).fetchone()
                if count:
                    if found != count:
                        self.fault = f"an index of {table} misses {count - found} rows"
                    self._inspected = (table, last)
                elif table == "channels":
                    self._inspected = ("tickets", -1)
                else:
                    self._inspected = ("channels", b"")
                    self._inspect_at = self._clock.monotonic() + INSPECT_EACH_SECONDS
                    return
        except sqlite3.Error as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        """Note what shows that the database is damaged."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self.fault = str(error)

    def gauges(self) -> Gauges:
        """Return what the store holds; the file as of its last batch."""
        return Gauges(
            waiting_requests=self._waiting.requests,
            queued_bytes=self._queued_bytes,
            recent_bytes=self._recent.size,
            stored_bytes=self._stored_bytes,
            room_bytes=max(0, self._room),
        )

    async def sweep(self, *, now: int, latest: int | None = None) -> None:
        """Delete envelopes whose time is over, and tombstones and channels that have ended.

        What lies further in the future than anything can, for a clock was wrong, is brought back.
        """
        limits = self._limits
        today, last_day = now // 86_400, (now if latest is None else latest) // 86_400
        self._recent.forget_expired(now)
        latest = (now if latest is None else latest) + limits.ttl_max_seconds
        for statement, values, rows in (
            (_SWEEP_ENVELOPES, (now,), None),
            (_SWEEP_TOMBSTONES, (now - limits.tombstone_seconds,), 0),
            (_SWEEP_CHANNELS, (today - limits.channel_idle_days,), 1),
            (_BRING_BACK_ENVELOPES, (latest, latest), None),
            (_BRING_BACK_TOMBSTONES, (latest, latest), None),
            (_BRING_BACK_CHANNELS, (last_day, last_day), None),
        ):
            while await self._sweep_some(statement, values, rows) == SWEEP_ROWS:
                pass
        await self._write(self._shrink)
        if self._unclean:
            # The log still holds what was deleted: its pages go into the file, and it is cut.
            self._unclean = not await self._write(_truncate_log, alone=True)

    def stop_waiting(self) -> None:
        """Answer everybody who waits, now and from now on, as if the time were over (R8)."""
        self._waiting.stop()

    async def close(self) -> None:
        """Finish what has been begun, and close."""
        self._waiting.stop()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._jobs.put(None)
        self._thread.join()
        self._readers.shutdown()
        self._looker.close()
        for connection in self._reader_connections:
            connection.close()
        with suppress(sqlite3.Error):
            _truncate_log(self._writer)
        self._writer.close()
        self._release()

    def _release(self) -> None:
        if self._hold is not None:
            self._hold.release()

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Give a little of a file that is mostly empty back to the disk."""
        free = _pragma(connection, "freelist_count")
        keep = max(SHRINK_FREE_PAGES, _pragma(connection, "page_count") - free)
        if free > keep:
            shrink(connection, keep=keep)

    async def _sweep_some(self, statement: str, values: tuple[int, ...], rows: int | None) -> int:
        def run(connection: sqlite3.Connection) -> int:
            count = connection.execute(statement, values).rowcount
            if rows is not None:
                self._rows[rows] -= count
            return count

        def after(count: int) -> None:
            if count:
                self._changes += 1
                self._unclean = True

        return await self._write(run, after=after)

    def _has_ended(self, record: Record, now: int) -> bool:
        """Tell whether a tombstone's time is over though no sweeper has come by (R20)."""
        # A clock that is doubted ends no tombstone: what was revoked must not come back.
        now -= max(0, int(self._clock.wall()) - int(self._clock.certain()))
        return now >= record.expiry + self._limits.tombstone_seconds

    # Reading

    def _start_reader(self) -> None:
        connection = _connect(self._path)
        self._local.connection = connection
        self._reader_connections.append(connection)

    async def _read(self, statement: str, key: bytes) -> _Row | None:
        return await self._loop.run_in_executor(self._readers, self._read_row, statement, key)

    def _read_row(self, statement: str, key: bytes) -> _Row | None:
        try:
            row: _Row | None = self._local.connection.execute(statement, (key,)).fetchone()
        except sqlite3.Error as error:
            self._note(error)
            raise
        return row

    # Writing

    async def _write(
        self,
        run: Callable[[sqlite3.Connection], T],
        *,
        after: Callable[[T], None] | None = None,
        size: int = 0,
        alone: bool = False,
    ) -> T:
        """Let the writer do this in its next batch; return when it is durable.

        If the caller is cancelled, the write is made all the same.
        """
        if self._queued_bytes + size > self._limits.queue_max_bytes:
            raise OverloadedError
        future: asyncio.Future[T] = self._loop.create_future()
        self._submit(_Job(run, future, after, BATCH_BYTES if alone else size))
        return await future

    def _submit(self, job: _Job[Any]) -> None:
        self._queued_bytes += job.size
        self._jobs.put(job)

    def _write_batches(self) -> None:
        """Write what waits, batch by batch, until told to stop: the writer's thread."""
        job = self._next_job()
        while job is not None:
            batch = [job]
            size = job.size
            following: _Job[Any] | None = None
            stopping = False
            while size < BATCH_BYTES and len(batch) < BATCH_JOBS:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    stopping = True
                    break
                if following.run is _truncate_log:
                    break
                batch.append(following)
                size += following.size
                following = None
            outcomes = self._commit(batch)
            with suppress(RuntimeError):  # the loop is gone, and with it whoever asked
                self._loop.call_soon_threadsafe(self._resolve, outcomes)
            if stopping:
                return
            job = following if following is not None else self._next_job()

    def _next_job(self) -> _Job[Any] | None:
        while True:
            try:
                return self._jobs.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                with suppress(sqlite3.Error):
                    self._look()

    def _look(self) -> None:
        """Notice what a command such as ``forget`` has changed in the file beside this relay."""
        seen = _data_version(self._writer)
        if seen != self._seen:
            self._seen = seen
            with suppress(RuntimeError):  # the loop is gone
                self._loop.call_soon_threadsafe(self._changed_outside)

    def _changed_outside(self) -> None:
        self._changes += 1
        self._unclean = True
        self._recent.clear()
        self._waiting.all_changed()

    def _commit(self, batch: list[_Job[Any]]) -> list[tuple[_Job[Any], Any, Exception | None]]:
        connection = self._writer
        if batch[0].run is _truncate_log:
            return [(batch[0], _truncate_log(connection), None)]
        outcomes: list[tuple[_Job[Any], Any, Exception | None]] = []
        rows = list(self._rows)
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._look()
            self._stored_bytes, self._room = _measure(connection, self._path, self._limits)
            for job in batch:
                try:
                    outcomes.append((job, job.run(connection), None))
                except FullError as error:  # decided before anything was written
                    outcomes.append((job, None, error))
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whoever asked is told, whatever it is
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            self._rows = rows
            self._note(error)
            if len(batch) == 1:
                return [(batch[0], None, _translate(error))]
            # One write must not take the others with it.
            return [outcome for job in batch for outcome in self._commit([job])]
        return outcomes

    def _resolve(self, outcomes: list[tuple[_Job[Any], Any, Exception | None]]) -> None:
        for job, outcome, error in outcomes:
            self._queued_bytes -= job.size
            if error is None and job.after is not None:
                job.after(outcome)
            if job.future is None or job.future.done():
                continue
            if error is not None:
                job.future.set_exception(error)
            else:
                job.future.set_result(outcome)


_KEEP = """
INSERT INTO tickets (id, state, token_hash, expiry, envelope) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""
_FIND = "SELECT state, token_hash, expiry, envelope IS NULL FROM tickets WHERE id = ?"
_COMPARE = (
    "SELECT state, token_hash, expiry, envelope IS NULL, envelope IS ? FROM tickets WHERE id = ?"
)
_FETCH = "SELECT state, token_hash, expiry, envelope IS NULL, envelope FROM tickets WHERE id = ?"
_RAISE = """
UPDATE tickets SET state = :state, expiry = min(expiry, :expiry)
WHERE id = :id AND state < :state AND envelope IS NOT NULL AND expiry > :now
"""
_REVOKE = """
UPDATE tickets SET state = :state, envelope = NULL
WHERE id = :id AND envelope IS NOT NULL AND expiry > :now
"""
_SWEEP_ENVELOPES = f"""
UPDATE tickets SET envelope = NULL WHERE rowid IN
(SELECT rowid FROM tickets WHERE envelope IS NOT NULL AND expiry <= ? LIMIT {SWEEP_ROWS})
"""  # noqa: S608 - a constant of this file
_SWEEP_TOMBSTONES = f"""
DELETE FROM tickets WHERE rowid IN
(SELECT rowid FROM tickets WHERE envelope IS NULL AND expiry <= ? LIMIT {SWEEP_ROWS})
"""  # noqa: S608 - a constant of this file
_BRING_BACK_ENVELOPES = f"""
UPDATE tickets SET expiry = ? WHERE rowid IN
(SELECT rowid FROM tickets WHERE envelope IS NOT NULL AND expiry > ? LIMIT {SWEEP_ROWS})
"""  # noqa: S608 - a constant of this file
_BRING_BACK_TOMBSTONES = f"""
UPDATE tickets SET expiry = ? WHERE rowid IN
(SELECT rowid FROM tickets WHERE envelope IS NULL AND expiry > ? LIMIT {SWEEP_ROWS})
"""  # noqa: S608 - a constant of this file
_INSPECT = {
    "channels": """
SELECT max(cid), count(*), count(*), 0 FROM
(SELECT cid FROM channels WHERE cid > ? ORDER BY cid LIMIT 256)
""",
    # Its last byte is reached through every page of an envelope.
    "tickets": """
SELECT max(row), count(*), sum(found), total(length(tail)) FROM
(SELECT t.rowid AS row, substr(t.envelope, -1) AS tail, EXISTS(
    SELECT 1 FROM tickets AS u INDEXED BY sqlite_autoindex_tickets_1
    WHERE u.id = t.id AND u.rowid = t.rowid
) AS found FROM tickets AS t NOT INDEXED WHERE t.rowid > ? ORDER BY t.rowid LIMIT 64)
""",
}
_REGISTER = """
INSERT INTO channels (cid, read_hash, write_hash, polled_day) VALUES (?, ?, ?, ?)
ON CONFLICT (cid) DO NOTHING
"""
_FIND_CHANNEL = "SELECT read_hash, write_hash, polled_day FROM channels WHERE cid = ?"
_TOUCH = "UPDATE channels SET polled_day = ? WHERE cid = ? AND polled_day IS NOT NULL"
_UNPAIR = """
UPDATE channels SET read_hash = NULL, write_hash = NULL, polled_day = NULL
WHERE cid = ? AND polled_day IS NOT NULL
"""
_SWEEP_CHANNELS = f"""
DELETE FROM channels WHERE cid IN
(SELECT cid FROM channels WHERE polled_day IS NOT NULL AND polled_day < ? LIMIT {SWEEP_ROWS})
"""  # noqa: S608 - a constant of this file
_BRING_BACK_CHANNELS = f"""
UPDATE channels SET polled_day = ? WHERE cid IN
(SELECT cid FROM channels WHERE polled_day IS NOT NULL AND polled_day > ? LIMIT {SWEEP_ROWS})
"""  # noqa: S608 - a constant of this file
_ADD_PERMIT = """
INSERT INTO permits (name, hash, added_day, uploads_per_hour, bytes_per_hour)
VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING
"""
_FIND_PERMIT = (
    "SELECT name, added_day, uploads_per_hour, bytes_per_hour FROM permits WHERE hash = ?"
)
_REVOKE_PERMIT = "DELETE FROM permits WHERE name = ?"
_LIST_PERMITS = (
    "SELECT name, added_day, uploads_per_hour, bytes_per_hour FROM permits ORDER BY name"
)


def _record(row: _Row, now: int) -> Record:
    state, token_hash, expiry, empty = row
    return Record(State(state), bytes(token_hash), expiry, bool(empty) or expiry <= now)


def _channel(row: _Row) -> Channel:
    read_hash, write_hash, polled_day = row
    if polled_day is None:
        return Channel(b"", b"", 0, gone=True)
    return Channel(bytes(read_hash), bytes(write_hash), polled_day, gone=False)


def _data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when another connection has changed the file."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _count_rows(connection: sqlite3.Connection) -> list[int]:
    """Return how many tickets and channels there are, tombstones included."""
    return [
        int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
        for table in ("tickets", "channels")
    ]


def _measure(connection: sqlite3.Connection, path: Path, limits: StoreLimits) -> tuple[int, int]:
    """Return how large the file's content is, and how much more there is room for."""
    pages, free, page_size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    stored = (pages - free) * page_size
    left = shutil.disk_usage(path.parent).free + free * page_size - limits.disk_reserve_bytes
    return stored, min(limits.stored_max_bytes - stored, left)


def _truncate_log(connection: sqlite3.Connection) -> bool:
    """Bring the write-ahead log into the file and cut it; False if a reader was in the way."""
    try:
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError:
        return False
    return not busy


def _translate(error: Exception) -> Exception:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return FullError()
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return OverloadedError()
    return error


# Opening


def _connect(path: Path, *, timeout: float = BUSY_SECONDS) -> sqlite3.Connection:
    # Not made here: `_create` has done so, without following a link.
    connection = sqlite3.connect(
        path.absolute().as_uri() + "?mode=rw",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    return connection


def _create(path: Path) -> None:
    try:
        # Nobody but the relay's own user may read it; the log and its index take after the file.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        os.close(os.open(path, os.O_RDWR | NOT_WAITING))
    except OSError as error:
        raise StartError(
            f"cannot open the database {path}: {error.strerror}",
            hint="--db names a file in a directory that the relay may write to",
        ) from error


def _open(path: Path, *, relay: bool) -> sqlite3.Connection:
    left = path.with_name(path.name + "-wal")
    unclean = left.exists() and left.stat().st_size > 0
    connection = _connect(path)
    try:
        if relay:
            # Before the first table: what is deleted can be given back in steps.
            connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise no_memory_error(path)
        if relay and path.stat().st_size <= CHECKED_BYTES:
            # After a kill more than what is read at once: the log may belong to another file.
            _must_be_whole(path, connection, thorough=unclean)
        connection.execute("BEGIN IMMEDIATE")
        _migrate(path, connection, may=relay)
        connection.execute("COMMIT")
        _sync_directory(path.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def update(path: Path) -> None:
    """Bring the database of an older relay up to date, where no relay runs on it.

    Raises:
        StartError: it is none.
    """
    connection = _open(path, relay=True)
    with closing(connection):
        _truncate_log(connection)


def compact(path: Path, tell: Callable[[str], None]) -> int:
    """Give back to the disk what the file does not need, beside a relay or without one.

    A file that can shrink does so in small steps; an older one is written anew first, and uploads
    wait or are refused (503) for as long. Return how many bytes were given back.

    Raises:
        StartError: it is none, or something is in the way.
    """
    try:
        with closing(_open(path, relay=False)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {int(COMPACT_BUSY_SECONDS * 1000)}")
            before = path.stat().st_size
            if _pragma(connection, "auto_vacuum") != INCREMENTAL:
                tell("this file is written anew, once; uploads wait meanwhile")
                connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
                connection.execute("VACUUM")
            more = True
            while more:
                # One step is one transaction, and so one sync; between two the relay writes.
                connection.execute("BEGIN IMMEDIATE")
                more = shrink(connection, keep=0)
                connection.execute("COMMIT")
            _truncate_log(connection)
            return max(0, before - path.stat().st_size)
    except sqlite3.Error as error:
        raise start_error(path, error) from error


def shrink(connection: sqlite3.Connection, *, keep: int) -> bool:
    """Take one step of giving free pages back; tell whether there are more than these."""
    free = _pragma(connection, "freelist_count")
    if free <= keep or _pragma(connection, "auto_vacuum") != INCREMENTAL:
        return False
    for _ in range(min(SHRINK_PAGES, free - keep)):
        # One page at a time: Python takes the first for the end of a statement without columns.
        connection.execute("PRAGMA incremental_vacuum(1)")
    return _pragma(connection, "freelist_count") not in (free, keep)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _must_be_whole(path: Path, connection: sqlite3.Connection, *, thorough: bool) -> None:
    name = "integrity_check" if thorough else "quick_check"
    found = str(connection.execute(f"PRAGMA {name}(1)").fetchone()[0])
    if found != "ok":
        raise damaged_error(path, found.splitlines()[-1])


def _migrate(path: Path, connection: sqlite3.Connection, *, may: bool) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION_ID and (application or version or tables):
        raise StartError(
            f"{path} is a database, but not a relay's", hint="--db names a file of the relay's own"
        )
    if version > SCHEMA_VERSION:
        raise StartError(
            f"{path} was written by a newer relay: version {version}, not {SCHEMA_VERSION}",
            hint="run the newer relay, or start with another file",
        )
    if version == SCHEMA_VERSION:
        return
    if version and not may:
        # A relay of the older version may be running on it.
        raise StartError(
            f"{path} was written by an older relay: version {version}, not {SCHEMA_VERSION}",
            hint="start the relay once: it brings its database up to date",
        )
    scripts = [SCHEMA]
    if version:
        scripts = [_MIGRATIONS[number] for number in range(version + 1, SCHEMA_VERSION + 1)]
    for script in scripts:
        for statement in statements(script):
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def statements(script: str) -> list[str]:
    """Cut a script into its statements; ``executescript`` would commit in the middle."""
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements


def _sync_directory(directory: Path) -> None:
    with suppress(OSError):  # a file system that cannot do this needs nothing of the kind
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def damaged_error(path: Path, fault: str) -> StartError:
    """Say that a database is damaged, and what to do."""
    return StartError(
        f"{path} is not a database, or is damaged" + (f": {fault}" if fault else ""),
        hint="relay-server restore FILE brings a backup back; deploy/operating.md says how to save "
        "permits and displays without one",
    )


def no_memory_error(path: Path) -> StartError:
    """Say that a database lies where its log cannot be shared in memory."""
    where = find_file_system(path)
    return StartError(
        f"the file system of {path}{f' ({where})' if where else ''} cannot share memory between "
        "programs, or locks of files",
        hint="a relay's database must be on a disk of this machine, not on a network's",
    )


def start_error(path: Path, error: sqlite3.Error) -> StartError:
    """Say in the operator's words why a database cannot be used."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return damaged_error(path, "")
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL):
        file_system = find_file_system(path)
        if is_network(file_system) or error.sqlite_errorcode in _SHARED_MEMORY:
            return no_memory_error(path)
        return StartError(
            f"the disk of {path} fails: {error}", hint="see the system's log (journalctl -k)"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StartError(f"{path} is locked by another program", hint="end that program first")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StartError(
            f"{path} cannot be written", hint="the relay must own the file and its directory"
        )
    if code == sqlite3.SQLITE_FULL:
        return StartError(f"no room on the disk of {path}", hint="make room, then start again")
    return StartError(f"cannot use the database {path}: {error}")
