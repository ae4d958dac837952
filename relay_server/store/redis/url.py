"""Where the Redis is and how sure a write has to be, as one URL says it.

::

    redis://[user@]host[:port][,host[:port]…][/number][?setting=value&…]
    rediss://…                      the same over TLS

    password_file=PATH   a file with the password; better than one in the URL
    ca_file=PATH         whom to trust for TLS, instead of the system's list
    fsync=always         what Redis must do at least: always, everysec or no; else no start
    wait=0               how many replicas must have a write before it is answered
    wait_ms=1000         how long they may take; after that the answer is 503
    timeout_ms=2000      how long Redis may take for anything
"""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from relay_server.errors import StartError

SCHEMES = frozenset({"redis", "rediss"})
FSYNC = ("no", "everysec", "always")
DEFAULT_PORT = 6379
_NUMBERS = {"wait": (0, 10), "wait_ms": (1, 60_000), "timeout_ms": (100, 60_000)}
_HINT = "redis://host:6379, several hosts with commas; settings after a question mark"

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """A Redis and what is asked of it."""

    seeds: tuple[Address, ...]
    tls: bool = False
    ca_file: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    number: int = 0
    fsync: str = "always"
    wait: int = 0
    wait_ms: int = 1_000
    timeout_ms: int = 2_000

    def __str__(self) -> str:
        """Return what may be shown: no password."""
        return ("rediss://" if self.tls else "redis://") + ",".join(map(shown, self.seeds))


def is_redis(text: str) -> bool:
    """Tell whether a URL names a Redis."""
    return text.partition("://")[0].lower() in SCHEMES


def has_password(text: str) -> bool:
    """Tell whether a password stands in the URL itself, for all to see on a command line."""
    return ":" in text.partition("://")[2].partition("/")[0].rpartition("@")[0]


def shown(address: Address) -> str:
    """Return an address as people write it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse(text: str) -> RedisUrl:
    """Return what a URL says.

    Raises:
        StartError: it says nothing that we know; never repeats a password.
    """
    try:
        # By hand: to urlsplit several hosts are one, in which newer Pythons refuse an IPv6 address.
        scheme, _, rest = text.partition("#")[0].partition("://")
        rest, _, query = rest.partition("?")
        authority, _, path = rest.partition("/")
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        user, _, hosts = authority.rpartition("@")
        seeds = tuple(_parse_address(host) for host in hosts.split(","))
        number = int(path or 0)
    except ValueError:
        raise StartError("the address of the Redis cannot be read", hint=_HINT) from None
    if scheme.lower() not in SCHEMES or number < 0:
        raise StartError("the address of the Redis cannot be read", hint=_HINT)
    settings = dict(given)
    known = {*_NUMBERS, "fsync", "password_file", "ca_file"}
    for name in settings:
        if name not in known:
            raise StartError(
                f"a Redis has no setting {name!r}",
                hint=f"those there are: {', '.join(sorted(known))}",
            )
    fsync = settings.get("fsync", "always")
    if fsync not in FSYNC:
        raise StartError(f"fsync={fsync} is not known", hint="always, everysec or no")
    numbers = {name: _parse_number(name, settings[name]) for name in _NUMBERS if name in settings}
    name, _, password = user.partition(":")
    return RedisUrl(
        seeds=seeds,
        tls=scheme.lower() == "rediss",
        ca_file=settings.get("ca_file"),
        username=unquote(name) or None,
        password=_password(settings.get("password_file")) or unquote(password) or None,
        number=number,
        fsync=fsync,
        **numbers,
    )


def _parse_address(text: str) -> Address:
    parts = urlsplit("//" + text)
    if not parts.hostname:
        raise ValueError
    return parts.hostname, parts.port or DEFAULT_PORT


def _parse_number(name: str, text: str) -> int:
    low, high = _NUMBERS[name]
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise StartError(f"{name}={text} is not a number from {low} to {high}", hint=_HINT)
    return int(text)


def _password(path: str | None) -> str:
    if path is None:
        return ""
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(
            f"cannot read the password of the Redis from {path}",
            hint="a file that the relay's user may read, with the password in it",
        ) from error
