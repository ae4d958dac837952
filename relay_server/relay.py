"""The rules for tickets (spec/relay.md, Tickets). No HTTP and no SQL here.

The checks stand in the order of the specification. What must be one step is the store's; what a
state or a token means is decided here.
"""

import hashlib
import hmac
import re
from typing import NamedTuple

from relay_server.clock import Clock
from relay_server.config import KIB, MIB, Config
from relay_server.errors import (
    AbsentError,
    BadLengthError,
    BadMagicError,
    BadRequestError,
    BadTtlError,
    FullError,
    GoneError,
    OverloadedError,
    TakenError,
    TokenError,
)
from relay_server.store import Kept, Record, State, Store

ENVELOPE_SIZES = frozenset(
    [n * KIB for n in (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)]
    + [MIB, 3 * MIB // 2, 2 * MIB, 3 * MIB, 4 * MIB]
)
ENVELOPE_MAX_SIZE = max(ENVELOPE_SIZES)
ENVELOPE_MAGIC = b"tkt/v1\r\n"
TOKEN_SIZE = 32
STATE_BODY_MAX_SIZE = 64
WORDS = frozenset({"stored", "opened", "received", "revoked", "expired"})
_TTL = re.compile(r"[1-9][0-9]{0,5}")
_POSTED = {b"opened": State.OPENED, b"received": State.RECEIVED, b"revoked": State.REVOKED}
_FULL_RETRY_SECONDS = 30


class Status(NamedTuple):
    """What the till is told of its ticket."""

    word: str
    expires_in: int


class Relay:
    """Tickets: their upload, their download, their states."""

    def __init__(self, *, store: Store, config: Config, clock: Clock) -> None:
        self._store = store
        self._config = config
        self._clock = clock

    def check_size(self, size: int) -> None:
        """Check the length of an upload before its body is read.

        Raises:
            BadLengthError: none of the 17 lengths (R33).
        """
        if size not in ENVELOPE_SIZES:
            raise BadLengthError

    def parse_ttl(self, text: str | None) -> int:
        """Return the seconds that an upload asks for.

        Raises:
            BadTtlError: not an integer in the range (R34).
        """
        if text is None:
            return self._config.ttl_default_seconds
        if _TTL.fullmatch(text) is None:
            raise BadTtlError
        ttl = int(text)
        if not self._config.ttl_min_seconds <= ttl <= self._config.ttl_max_seconds:
            raise BadTtlError
        return ttl

    async def upload(self, ticket_id: bytes, envelope: bytes, ttl: int) -> tuple[bool, Status]:
        """Keep an envelope, so that it would survive a power cut (R41); tell whether it is new.

        Raises:
            BadMagicError: it does not begin with the magic (R36).
            GoneError: a tombstone is there (R37).
            TakenError: other bytes are there (R38).
            FullError: no room (R40).
        """
        if envelope[:8] != ENVELOPE_MAGIC:
            raise BadMagicError
        now = self._now()
        # R42: R37 to R41 are one step of the store.
        kept, record = await self._store.keep(
            ticket_id, envelope, envelope[8:40], expiry=now + ttl, now=now
        )
        if kept is Kept.GONE:
            raise GoneError(record.word)
        if kept is Kept.OTHER:
            raise TakenError
        return kept is Kept.STORED, self._status(record, now)

    async def fetch(self, ticket_id: bytes) -> bytes:
        """Return the exact bytes that were uploaded. Changes nothing (R53).

        Raises:
            AbsentError: never seen (R50).
            GoneError: a tombstone, or past its expiry (R51).
        """
        found = await self._store.fetch(ticket_id, now=self._now())
        if found is None:
            raise AbsentError
        if isinstance(found, Record):
            raise GoneError(found.word)
        return found

    async def change(self, ticket_id: bytes, body: bytes) -> None:
        """Raise a ticket's state, by somebody who holds its link. Returns when it is durable (R64).

        Raises:
            BadRequestError: not a token and a state (R60).
            AbsentError: never seen (R61).
            TokenError: not this ticket's token (R62).
            GoneError: a tombstone, or past its expiry (R63).
        """
        token, state = body[:TOKEN_SIZE], _POSTED.get(body[TOKEN_SIZE:])
        if state is None:
            raise BadRequestError
        now = self._now()
        record = await self._find(ticket_id, token, now)
        if record.gone and state is not State.REVOKED:
            raise GoneError(record.word)
        expiry = record.expiry
        if state is State.OPENED:  # R66
            expiry = now + self._config.opened_seconds
        elif state is State.RECEIVED:  # R67
            expiry = now + self._config.received_seconds
        try:
            # R65: a repeated or lower state changes nothing. The store is asked all the same: the
            # change that is repeated may not be durable yet, if it was answered 503 or not at all.
            if state is State.REVOKED:
                # R23: over by a clock that is wrong, it must not come back with the right one.
                now = int(self._clock.certain())
            changed, after = await self._store.change(ticket_id, state, expiry=expiry, now=now)
        except FullError as error:
            # There is no room even for this; it has room again when the sweeper has come by.
            raise OverloadedError(_FULL_RETRY_SECONDS) from error
        if after is None:
            raise AbsentError
        if not changed and after.gone:
            raise GoneError(after.word)

    async def status(self, ticket_id: bytes, token: bytes, since: str | None, wait: int) -> Status:
        """Return the state once it is not the one the till holds, or when its wait is over.

        Raises:
            AbsentError: never seen (R71).
            TokenError: not this ticket's token (R72).
        """
        if since is None or wait == 0:
            now = self._now()
            return self._status(await self._find(ticket_id, token, now), now)
        deadline = self._clock.monotonic() + wait
        # Watch first and look then, so that no change falls between.
        async with self._store.watch(ticket_id) as watch:
            over = False
            while True:
                now = self._now()
                record = await self._find(ticket_id, token, now)
                status = self._status(record, now)
                left = deadline - self._clock.monotonic()
                if status.word != since or over or left <= 0:
                    return status
                # A ticket that expires has changed, too, and nobody will say so.
                until_expiry = left if record.gone else record.expiry - self._clock.wall()
                over = not await watch.wait(min(left, max(until_expiry, 0.001))) and (
                    until_expiry >= left or watch.stopped
                )

    async def _find(self, ticket_id: bytes, token: bytes, now: int) -> Record:
        record = await self._store.find(ticket_id, now=now)
        if record is None:
            raise AbsentError
        # R6: by their hash, in constant time.
        if not hmac.compare_digest(hashlib.sha256(token).digest(), record.token_hash):
            raise TokenError
        return record

    def _status(self, record: Record, now: int) -> Status:
        return Status(record.word, 0 if record.gone else record.expiry - now)

    def _now(self) -> int:
        return int(self._clock.wall())
