"""The servers behind one address: a single Redis, or the masters of a cluster.

A key belongs to a slot, a slot to a master; who owns what is asked at the start, when a server says
that a slot has moved, when one cannot be reached, and every few seconds in any case.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from relay_server.errors import AwayError, FullError, OverloadedError, StartError
from relay_server.store.redis.line import Line, LostError, UnacknowledgedError, Word
from relay_server.store.redis.url import Address, RedisUrl

SLOTS = 16_384
SAFE_LINES = 16
ATTEMPTS = 4
LOOK_SECONDS = 3.0
"""How often the owners of the slots are asked for, when nothing seems wrong."""
REFRESH_SECONDS = 0.2
"""How soon they are asked for again, when something is."""
RETRY_SECONDS = 2
"""What a caller is told to wait when Redis is not there, or the cluster is choosing a master."""
_FULL = ("OOM", "MISCONF", "command not allowed when used memory")

logger = logging.getLogger("relay_server")


class Script:
    """A script that Redis runs as one step."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = files(__package__).joinpath(f"scripts/{name}.lua").read_bytes()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()


class _Node:
    """A server: lines for what has to be safe, and one for everything else.

    Redis reads one large command of a connection in each turn of its loop, and syncs once for all
    connections of a turn: only uploads on several lines share a sync.
    """

    def __init__(self, url: RedisUrl, address: Address) -> None:
        self.address = address
        timeout = url.timeout_ms / 1000
        self.quick = Line(lambda: connection_to(url, address), timeout=timeout)
        self._safe = [
            Line(
                lambda: connection_to(url, address),
                timeout=timeout,
                wait=url.wait,
                wait_ms=url.wait_ms,
            )
            for _ in range(SAFE_LINES)
        ]

    @property
    def safe(self) -> Line:
        """The line for what has to be safe on which the least is under way."""
        return min(self._safe, key=_pending)

    @property
    def pending(self) -> int:
        return sum(map(_pending, (self.quick, *self._safe)))

    async def close(self) -> None:
        for line in (self.quick, *self._safe):
            await line.close()


class Nodes:
    """All servers, and which of them has what."""

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._nodes: dict[Address, _Node] = {}
        self._owners: list[Address] = [url.seeds[0]] * SLOTS
        self._known: list[Address] = list(url.seeds)
        self._refreshing: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self.cluster = False
        self.on_moved: Callable[[], None] = _nothing
        """Called when slots have other owners than before."""

    @property
    def pending(self) -> int:
        """How many commands are under way."""
        return sum(node.pending for node in self._nodes.values())

    @property
    def masters(self) -> list[Address]:
        """The servers that own slots."""
        return sorted(set(self._owners))

    async def open(self) -> None:
        """Find out who is there.

        Raises:
            StartError: nobody, or not what we need.
        """
        reason = ""
        for seed in self._url.seeds:
            try:
                info = await self.node(seed).quick.call("INFO", "server")
            except (LostError, ResponseError) as error:
                reason = _safe(error)
                continue
            found = parse_info(info)
            if int(found.get("redis_version", "0").partition(".")[0]) < 7:
                raise StartError(
                    f"{self._url} is Redis {found.get('redis_version', '?')}",
                    hint="the relay needs Redis 7 or newer, or Valkey",
                )
            if found.get("redis_mode") == "sentinel":
                raise StartError(
                    f"{self._url} is a Sentinel, which keeps nothing",
                    hint="name the Redis that it watches, or use a cluster (deploy/redis.md)",
                )
            # Valkey says it in its own word, which Redis does not have.
            self.cluster = "cluster" in (found.get("redis_mode"), found.get("server_mode"))
            if self.cluster:
                if self._url.number:
                    raise StartError(
                        "a cluster has no numbered databases",
                        hint="leave the number out of the URL",
                    )
                await self._ask(seed)
                self._looking = asyncio.create_task(self._look())
            else:
                self._owners = [seed] * SLOTS
            return
        raise AwayError(
            f"cannot reach the Redis {self._url}: {reason}",
            hint="is it running, and may this machine and user connect to it?",
        )

    async def close(self) -> None:
        """End all connections."""
        tasks = [task for task in (self._looking, self._refreshing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for node in self._nodes.values():
            await node.close()

    def owner(self, key: bytes) -> Address:
        """Return the server that has a key."""
        return self._owners[key_slot(key)] if self.cluster else self._owners[0]

    def node(self, address: Address) -> _Node:
        """Return what we have of a server."""
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = _Node(self._url, address)
        return node

    async def run(
        self, script: Script, keys: Sequence[bytes], args: Sequence[Word], *, safe: bool = False
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run a script where its first key is; ``safe`` is for what has to survive.

        Raises:
            FullError: Redis has no room.
            OverloadedError: Redis is not there, or too slow, or not sure enough.
        """
        words: list[Word] = ["EVALSHA", script.sha, len(keys), *keys, *args]
        try:
            return await self._call(self.owner(keys[0]), words, safe=safe)
        except NoScriptError:
            words[:2] = ["EVAL", script.source]
        try:
            return await self._call(self.owner(keys[0]), words, safe=safe)
        except NoScriptError as error:  # pragma: no cover - EVAL knows its script
            raise OverloadedError(RETRY_SECONDS) from error

    async def call(self, key: bytes, *words: Word) -> Any:  # noqa: ANN401 - whatever Redis says
        """Run a command where a key is.

        Raises:
            FullError, OverloadedError: as ``run``.
        """
        return await self._call(self.owner(key), list(words), safe=False)

    async def write(self, key: bytes, *words: Word) -> Any:  # noqa: ANN401 - whatever Redis says
        """Run a command that has to survive where a key is.

        Raises:
            FullError, OverloadedError: as ``run``.
        """
        return await self._call(self.owner(key), list(words), safe=True)

    async def ask(self, address: Address, *words: Word) -> Any:  # noqa: ANN401 - idem
        """Run a command on one server.

        Raises:
            FullError, OverloadedError: as ``run``.
        """
        return await self._call(address, list(words), safe=False)

    async def _call(self, address: Address, words: list[Word], *, safe: bool) -> Any:  # noqa: ANN401
        try:
            return await self._follow(address, words, safe=safe)
        except (LostError, ClusterDownError, ReadOnlyError, TryAgainError) as error:
            self.refresh_soon()
            raise OverloadedError(RETRY_SECONDS) from error
        except UnacknowledgedError as error:
            raise OverloadedError(RETRY_SECONDS) from error
        except NoScriptError:
            raise
        except ResponseError as error:
            raise _refusal(error) from error

    async def _follow(self, address: Address, words: list[Word], *, safe: bool) -> Any:  # noqa: ANN401
        """Send a command to where its slot is, though it may be moving."""
        asking = False
        for _ in range(ATTEMPTS):
            node = self.node(address)
            line = node.safe if safe else node.quick
            await line.ready()
            try:
                if asking:
                    line.send("ASKING")
                return await line.send(*words)
            except MovedError as error:
                self._moved(error)
                address, asking = (error.host or address[0], error.port), False
            except AskError as error:
                address, asking = (error.host or address[0], error.port), True
        raise LostError("the slot keeps moving")

    # Owners

    def refresh_soon(self) -> None:
        """Ask for the owners of the slots, unless somebody is doing so."""
        if self.cluster and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(self._refresh_later())

    def _moved(self, error: MovedError) -> None:
        self._owners[error.slot_id] = (error.host or self._owners[error.slot_id][0], error.port)
        self.refresh_soon()

    async def _refresh_later(self) -> None:
        await asyncio.sleep(REFRESH_SECONDS)
        await self._refresh()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._refresh()

    async def _refresh(self) -> None:
        if not self.cluster:
            return
        # Each time another is asked first: one that was cut off believes what was.
        self._known.append(self._known.pop(0))
        for address in list(self._known):
            with suppress(LostError, ResponseError, ValueError):
                if await self._ask(address):
                    return

    async def _ask(self, address: Address) -> bool:
        """Take over what a server says of the owners; False if it is cut off itself."""
        line = self.node(address).quick
        info = parse_info(await line.call("CLUSTER", "INFO"))
        if info.get("cluster_state") != "ok":
            return False
        owners = list(self._owners)
        known: list[Address] = []
        for first, last, master, *replicas in await line.call("CLUSTER", "SLOTS"):
            addresses = [
                ((server[0] or b"").decode() or address[0], int(server[1]))
                for server in (master, *replicas)
            ]
            owners[first : last + 1] = [addresses[0]] * (last + 1 - first)
            known += addresses
        self._known = list(dict.fromkeys([*known, *self._url.seeds]))
        if owners != self._owners:
            self._owners = owners
            self.on_moved()
        return True


def connection_to(url: RedisUrl, address: Address) -> AbstractConnection:
    """Return a connection of redis-py's, not yet connected."""
    host, port = address
    common: dict[str, Any] = {
        "host": host,
        "port": port,
        "db": url.number,
        "username": url.username,
        "password": url.password,
        "protocol": 2,
        "socket_timeout": None,
        "socket_connect_timeout": url.timeout_ms / 1000,
        "retry": Retry(NoBackoff(), 0),
    }
    if url.tls:
        return SSLConnection(ssl_ca_certs=url.ca_file, **common)
    return Connection(**common)


def parse_info(reply: bytes) -> dict[str, str]:
    """Return what INFO says, by name."""
    lines = (line.partition(":") for line in reply.decode("utf-8", "replace").splitlines())
    return {name: text for name, colon, text in lines if colon}


def _refusal(error: ResponseError) -> FullError | OverloadedError | ResponseError:
    text = str(error)
    if isinstance(error, OutOfMemoryError) or any(word in text[:80] for word in _FULL):
        return FullError()
    if text.startswith(("NOREPLICAS", "MASTERDOWN", "LOADING", "BUSY")):
        return OverloadedError(RETRY_SECONDS)
    return error


def _safe(error: Exception) -> str:
    """Return the reason in words that repeat neither password nor address."""
    text = str(error)
    if "WRONGPASS" in text or "invalid username-password" in text or "NOAUTH" in text:
        return "wrong user or password"
    if "Authentication required" in text:
        return "it asks for a password"
    if "reset by peer" in text or "closed by server" in text:
        return "it hangs up on this machine; see protected-mode and TLS in its settings"
    if "NOPERM" in text or "no permissions" in text:
        return "its user may not do what the relay does"
    if "loading" in text:
        return "it is still loading"
    if "refused" in text or "Errno 111" in text or "Error 111" in text:
        return "connection refused"
    if "ertificate" in text or "SSL" in text:
        return "TLS failed"
    return "no answer"


def _pending(line: Line) -> int:
    return line.pending


def _nothing() -> None:
    pass
