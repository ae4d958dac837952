"""The store's contract in dictionaries: what the real stores are compared with."""

import hashlib

from relay_server.errors import FullError, OverloadedError
from relay_server.store import Channel, Gauges, Kept, Permit, Record, State
from relay_server.store.waiting import Waiting


class MemoryStore:
    def __init__(self, *, clock, limits):
        self.fault = ""
        self._limits = limits
        self._tickets = {}  # id: [state, token_hash, digest, expiry, envelope or None]
        self._channels = {}  # cid: Channel
        self._permits = {}  # name: (hash, Permit)
        self._waiting = Waiting(
            clock,
            hellos_live_max=limits.hellos_live_max,
            answered_seconds=limits.answered_seconds,
            requests_max=limits.waiting_max_requests,
            watches_per_ticket_max=limits.watches_per_ticket_max,
        )

    def _record(self, ticket_id, now):
        row = self._tickets.get(ticket_id)
        if row is None or now >= row[3] + self._limits.tombstone_seconds:
            return None
        return Record(State(row[0]), row[1], row[3], row[4] is None or row[3] <= now)

    async def keep(self, ticket_id, envelope, token_hash, *, expiry, now):
        if len(envelope) > self._limits.queue_max_bytes:
            raise OverloadedError
        record = self._record(ticket_id, now)
        digest = hashlib.sha256(envelope).digest()
        if record is not None:
            if record.gone:
                return Kept.GONE, record
            same = self._tickets[ticket_id][2] == digest
            return (Kept.SAME if same else Kept.OTHER), record
        stored = sum(len(row[4]) for row in self._tickets.values() if row[4] is not None)
        full = len(self._tickets) >= self._limits.tickets_max
        if full or stored + len(envelope) > self._limits.stored_max_bytes:
            raise FullError
        self._tickets[ticket_id] = [State.STORED, token_hash, digest, expiry, envelope]
        self._waiting.ticket_changed(ticket_id)
        return Kept.STORED, self._record(ticket_id, now)

    async def fetch(self, ticket_id, *, now):
        record = self._record(ticket_id, now)
        if record is None or record.gone:
            return record
        return self._tickets[ticket_id][4]

    async def find(self, ticket_id, *, now):
        return self._record(ticket_id, now)

    async def change(self, ticket_id, state, *, expiry, now):
        record = self._record(ticket_id, now)
        if record is None or record.gone or record.state >= state:
            return False, record
        row = self._tickets[ticket_id]
        row[0] = state
        if state is State.REVOKED:
            row[4] = None
        else:
            row[3] = min(row[3], expiry)
        self._waiting.ticket_changed(ticket_id)
        return True, self._record(ticket_id, now)

    def watch(self, ticket_id):
        return self._waiting.watch(ticket_id)

    async def register(self, cid, read_hash, write_hash, *, today):
        there = self._channels.get(cid)
        if there is None:
            if len(self._channels) >= self._limits.channels_max:
                raise FullError
            self._channels[cid] = Channel(read_hash, write_hash, today, gone=False)
            return Kept.STORED
        if there.gone:
            return Kept.GONE
        return Kept.SAME if there[:2] == (read_hash, write_hash) else Kept.OTHER

    async def find_channel(self, cid):
        return self._channels.get(cid)

    async def touch(self, cid, *, today):
        there = self._channels.get(cid)
        if there is not None and not there.gone:
            self._channels[cid] = there._replace(polled_day=today)

    async def unpair(self, cid):
        there = self._channels.get(cid)
        if there is None or there.gone:
            return False
        self._channels[cid] = Channel(b"", b"", 0, gone=True)
        self._waiting.channel_gone(cid)
        return True

    async def offer(self, cid, hello, *, wait_seconds):
        return await self._waiting.offer(cid, hello, wait_seconds=wait_seconds)

    async def poll(self, cid, known, *, wait_seconds):
        return await self._waiting.poll(cid, known, wait_seconds=wait_seconds)

    async def answer(self, cid, hid, sealed):
        return self._waiting.answer(cid, hid, sealed)

    async def add_permit(
        self, name, permit_hash, *, today, uploads_per_hour=None, bytes_per_hour=None
    ):
        if name in self._permits:
            return False
        permit = Permit(name, today, uploads_per_hour, bytes_per_hour)
        self._permits[name] = (permit_hash, permit)
        return True

    async def find_permit(self, permit_hash):
        for there, permit in self._permits.values():
            if permit_hash == there:
                return permit
        return None

    async def list_permits(self):
        return [permit for _, (_, permit) in sorted(self._permits.items())]

    async def revoke_permit(self, name):
        return self._permits.pop(name, None) is not None

    async def sweep(self, *, now, latest=None):
        last_day = (latest or now) // 86_400
        latest = (latest or now) + self._limits.ttl_max_seconds
        today = now // 86_400
        for ticket_id, row in list(self._tickets.items()):
            if row[3] <= now:
                row[4] = None
            if row[4] is None and row[3] <= now - self._limits.tombstone_seconds:
                del self._tickets[ticket_id]
            row[3] = min(row[3], latest)
        for cid, channel in list(self._channels.items()):
            if channel.gone:
                continue
            if channel.polled_day < today - self._limits.channel_idle_days:
                del self._channels[cid]
            elif channel.polled_day > last_day:
                self._channels[cid] = channel._replace(polled_day=last_day)

    async def inspect(self):
        pass

    async def probe(self):
        pass

    def gauges(self):
        stored = sum(len(row[4]) for row in self._tickets.values() if row[4] is not None)
        room = self._limits.stored_max_bytes - stored
        return Gauges(self._waiting.requests, 0, 0, stored, room)

    def stop_waiting(self):
        self._waiting.stop()

    async def close(self):
        self._waiting.stop()
