"""Whether a Redis keeps what it is given: asked once, at the start."""

from redis.exceptions import ResponseError

from relay_server.errors import AwayError, StartError
from relay_server.store.redis.line import LostError
from relay_server.store.redis.nodes import Nodes, parse_info
from relay_server.store.redis.url import FSYNC, RedisUrl, shown

_LOSS = {
    "always": "nothing that was answered is lost when a Redis dies",
    "everysec": "when a Redis dies, up to about a second of tickets that were answered is lost",
    "no": "when a Redis dies, everything since its last snapshot may be lost",
}


async def check(url: RedisUrl, nodes: Nodes) -> list[str]:
    """Return what an operator should know of these servers.

    Raises:
        StartError: one would forget what it should keep.
    """
    masters = nodes.masters
    kind = f"cluster of {len(masters)} masters" if nodes.cluster else "single"
    notes = [f"redis: {kind}; {_LOSS[url.fsync]}"]
    if url.wait:
        notes.append(f"redis: each write waits for {url.wait} replicas, {url.wait_ms} ms at most")
    for address in masters:
        where = shown(address)
        line = nodes.node(address).quick
        try:
            reply = await line.call("CONFIG", "GET", "append*")
            reply += await line.call("CONFIG", "GET", "maxmemory*")
            replication = parse_info(await line.call("INFO", "replication"))
        except ResponseError:
            notes.append(f"redis {where} does not tell its settings: see deploy/redis.md")
            continue
        except LostError as error:
            raise AwayError(
                f"cannot reach the Redis {where} of this cluster", hint="is it running?"
            ) from error
        words = [word.decode() for word in reply]
        settings = dict(zip(words[::2], words[1::2], strict=True))
        if replication.get("role") == "slave" and not nodes.cluster:
            raise StartError(
                f"the Redis {where} is a replica and takes no writes",
                hint=f"name its master: {replication.get('master_host', '?')}:"
                f"{replication.get('master_port', '?')}",
            )
        _check_eviction(where, settings.get("maxmemory-policy", ""))
        _check_fsync(where, settings, url)
        if settings.get("maxmemory") == "0":
            notes.append(f"redis {where} has no maxmemory: it may grow until the system ends it")
        if int(replication.get("connected_slaves", 0)) < url.wait:
            notes.append(
                f"redis {where} lacks replicas: uploads are refused until it has {url.wait}"
            )
    return notes


def _check_eviction(where: str, policy: str) -> None:
    if policy not in {"noeviction", ""}:
        raise StartError(
            f"the Redis {where} throws tickets away when it is full: maxmemory-policy {policy}",
            hint="set maxmemory-policy noeviction in its redis.conf",
        )


def _check_fsync(where: str, settings: dict[str, str], url: RedisUrl) -> None:
    fsync = settings.get("appendfsync", "no") if settings.get("appendonly") == "yes" else "no"
    if FSYNC.index(fsync) < FSYNC.index(url.fsync):
        raise StartError(
            f"the Redis {where} may lose tickets that were answered: appendonly "
            f"{settings.get('appendonly', '?')}, appendfsync {settings.get('appendfsync', '?')}",
            hint=f"set appendonly yes and appendfsync {url.fsync} in its redis.conf, or accept the "
            f"loss with ?fsync={fsync}",
        )
