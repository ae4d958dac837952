"""The rules for displays (spec/relay.md, Channels). No HTTP and no SQL here."""

import hashlib
import hmac
from collections.abc import Collection

from relay_server.clock import Clock
from relay_server.config import DAY, Config
from relay_server.errors import (
    AnsweredError,
    BadRequestError,
    ChannelAbsentError,
    ChannelGoneError,
    FullError,
    HelloGoneError,
    OverloadedError,
    TakenError,
    TokenError,
)
from relay_server.limits import ChannelLimits
from relay_server.store import Answered, Channel, HelloSet, Kept, Store

CHANNEL_MAGIC = b"dsp/v1\r\n"
TOKEN_SIZE = 32
HELLO_SIZE = 80
SEALED_SIZE = 512
REGISTRATION_SIZE = len(CHANNEL_MAGIC) + 64
OFFER_SIZE = TOKEN_SIZE + HELLO_SIZE
_FULL_RETRY_SECONDS = 30


class Channels:
    """Channels: their registration, the hellos of displays, the answers of tills."""

    def __init__(
        self, *, store: Store, config: Config, clock: Clock, limits: ChannelLimits
    ) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._limits = limits

    def parse_registration(self, body: bytes) -> tuple[bytes, bytes]:
        """Return the hashes of the display's token and of the till's.

        Raises:
            BadRequestError: another form (R80).
        """
        if len(body) != REGISTRATION_SIZE or body[:8] != CHANNEL_MAGIC:
            raise BadRequestError
        return body[8:40], body[40:72]

    async def register(self, cid: bytes, read_hash: bytes, write_hash: bytes) -> bool:
        """Register a channel; tell whether it is new. Returns when it is durable (R83).

        Raises:
            ChannelGoneError: it was unpaired before (R81).
            TakenError: it has other hashes (R82).
        """
        kept = await self._store.register(cid, read_hash, write_hash, today=self._today())
        if kept is Kept.GONE:
            raise ChannelGoneError
        if kept is Kept.OTHER:
            raise TakenError
        return kept is Kept.STORED

    async def unpair(self, cid: bytes, write_token: bytes) -> None:
        """End a channel for good, and all that waits on it (R86).

        Raises:
            ChannelAbsentError, ChannelGoneError, TokenError: in this order (R85).
        """
        channel = await self._store.find_channel(cid)
        if channel is None:
            raise ChannelAbsentError
        if not channel.gone:
            _check(write_token, channel.write_hash)
        try:
            # The store is asked even if it is gone: the unpairing that is repeated may not be
            # durable yet, if it was answered 503 or not at all.
            if not await self._store.unpair(cid):
                raise ChannelGoneError
        except FullError as error:
            raise OverloadedError(_FULL_RETRY_SECONDS) from error

    async def offer(self, cid: bytes, body: bytes) -> bytes | None:
        """Let a display's hello wait; return the sealed, or None when its time is over.

        Raises:
            BadRequestError: not a token and a hello (R90).
            ChannelAbsentError, ChannelGoneError, TokenError, TooOftenError: in this order (R90).
        """
        if len(body) != OFFER_SIZE:
            raise BadRequestError
        token, hello = body[:TOKEN_SIZE], body[TOKEN_SIZE:]
        channel = await self._find(cid)
        _check(token, channel.read_hash)
        self._limits.check_hello(cid)
        await self._touch(cid, channel)
        return await self._store.offer(cid, hello, wait_seconds=self._config.hello_wait_seconds)

    async def poll(
        self, cid: bytes, write_token: bytes, known: Collection[str], wait: int
    ) -> HelloSet:
        """Return the set of live hellos once it is not a known one, or when the wait is over.

        Raises:
            ChannelAbsentError, ChannelGoneError, TokenError: in this order (R100).
            SupersededError: a newer poll has come (R102).
        """
        await self._touch(cid, await self._find_for_till(cid, write_token))
        return await self._store.poll(cid, known, wait_seconds=wait)

    async def answer(self, cid: bytes, hid: bytes, write_token: bytes, sealed: bytes) -> None:
        """Give a hello its one answer (R113, R114).

        Raises:
            BadRequestError: not of a sealed's length (R110).
            ChannelAbsentError, ChannelGoneError, TokenError: in this order (R110).
            AnsweredError: answered before (R111).
            HelloGoneError: not live (R112).
        """
        if len(sealed) != SEALED_SIZE:
            raise BadRequestError
        await self._find_for_till(cid, write_token)
        answered = await self._store.answer(cid, hid, sealed)
        if answered is Answered.BEFORE:
            raise AnsweredError
        if answered is Answered.GONE:
            raise HelloGoneError

    async def _find(self, cid: bytes) -> Channel:
        channel = await self._store.find_channel(cid)
        if channel is None:
            raise ChannelAbsentError
        if channel.gone:
            raise ChannelGoneError
        return channel

    async def _find_for_till(self, cid: bytes, write_token: bytes) -> Channel:
        channel = await self._find(cid)
        _check(write_token, channel.write_hash)
        return channel

    async def _touch(self, cid: bytes, channel: Channel) -> None:
        if channel.polled_day != self._today():  # R84
            await self._store.touch(cid, today=self._today())

    def _today(self) -> int:
        return int(self._clock.wall()) // DAY


def _check(token: bytes, token_hash: bytes) -> None:
    # R6: by their hash, in constant time.
    if not hmac.compare_digest(hashlib.sha256(token).digest(), token_hash):
        raise TokenError
