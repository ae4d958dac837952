"""What flags and environment say; a flag goes before the variable of its name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from relay_server import __version__
from relay_server.config import Config
from relay_server.errors import StartError
from relay_server.logs import FORMS
from relay_server.pages import packaged
from relay_server.proxies import HEADERS, Trust, parse_networks
from relay_server.store.redis import url as redis_url
from relay_server.voice import MisuseError, Parser, parse_amount, parse_count
from relay_server.welcome import About, is_contact, is_web_address

DEFAULT_LISTEN = "127.0.0.1:8080"
DEFAULT_DB = "relay.sqlite"
PACKAGED = "packaged"
DRAIN_SECONDS = 0.25
_TRUE = frozenset({"1", "yes", "true", "on"})
_FALSE = frozenset({"", "0", "no", "false", "off"})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the relay was asked to be."""

    host: str
    port: int
    store: Path | str
    """A database file, or the URL of a Redis."""
    open: bool
    pages: Path | None
    access_log: str
    """`each`, `minute`, or nothing."""
    debug: bool
    log: str
    metrics: tuple[str, int] | None
    trust: Trust
    about: About
    stored_max_bytes: int
    connections_max: int
    cache_max_bytes: int | None = None

    def config(self) -> Config:
        """Return the relay's limits."""
        return Config(
            open=self.open,
            stored_max_bytes=self.stored_max_bytes,
            connections_max=self.connections_max,
            drain_seconds=DRAIN_SECONDS,
        )


def parse_settings(arguments: list[str], environment: Mapping[str, str]) -> Settings:
    """Return what flags and environment say.

    Raises:
        MisuseError: they make no sense.
        StartError: there are no pages to serve.
    """
    given = serve_parser().parse_args(list(arguments))

    def text(name: str, default: str = "") -> str:
        flag: str | None = getattr(given, name)
        return flag if flag is not None else environment.get(f"RELAY_{name.upper()}") or default

    host, port = _parse_listen(text("listen", DEFAULT_LISTEN))
    metrics, pages = text("metrics"), text("pages")
    pages_path = _parse_pages(pages)
    default = Config()
    return Settings(
        host=host,
        port=port,
        store=find_store(given.db, given.store, environment),
        open=given.open or _flag(environment, "RELAY_OPEN"),
        pages=pages_path,
        access_log=_parse_access_log(text("access_log")),
        debug=given.debug or _flag(environment, "RELAY_DEBUG"),
        log=_one_of(text("log", FORMS[0]), FORMS, "--log"),
        metrics=_parse_listen(metrics) if metrics else None,
        trust=_parse_trust(text("trust_proxy"), text("proxy_header", HEADERS[0])),
        about=_parse_about(
            text("operator"), text("contact"), text("terms"), text("source"), pages_path is not None
        ),
        stored_max_bytes=_amount(text("stored_max"), "--stored-max", default.stored_max_bytes),
        connections_max=_count(
            text("connections_max"), "--connections-max", default.connections_max
        ),
        cache_max_bytes=(
            parse_amount(text("cache_max"), "--cache-max") if text("cache_max") else None
        ),
    )


def find_store(db: str | None, store: str | None, environment: Mapping[str, str]) -> Path | str:
    """Return the database file, or the URL of the Redis, that flags or environment name.

    Raises:
        MisuseError: both flags name one, or the store is none that is known.
    """
    if store and db:
        raise MisuseError("--db and --store both name a store", hint="give one of them")
    if store and redis_url.has_password(store):
        raise MisuseError(
            "everybody on this machine can read a password on the command line",
            hint="?password_file=PATH in the URL, or the whole URL in RELAY_STORE",
        )
    store = store or (None if db else environment.get("RELAY_STORE"))
    if store and redis_url.is_redis(store):
        return store
    if store:
        return Path(_parse_store(store))
    return Path(db or environment.get("RELAY_DB") or DEFAULT_DB)


def read_service_file(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the service's file, where the command was told of one.

    Raises:
        StartError: it cannot be read.
    """
    name = environment.get("RELAY_ENV_FILE", "")
    if not name:
        return {}
    try:
        text = Path(name).read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise StartError(f"cannot read {name}: {why}", hint="run it as root: sudo …") from error
    return parse_service_file(text)


def parse_service_file(text: str) -> dict[str, str]:
    """Return the variables of a file as systemd's ``EnvironmentFile`` reads it."""
    found: dict[str, str] = {}
    for line in text.replace("\\\n", "").splitlines():
        name, sign, value = line.strip().partition("=")
        if not sign or name.startswith(("#", ";")):
            continue
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[name.strip()] = value
    return found


def find_database(db: str | None, store: str | None, environment: Mapping[str, str]) -> Path:
    """Return the database file that flags or environment name.

    Raises:
        MisuseError: both flags name one, or the store is none that is known.
        StartError: it is a Redis.
    """
    found = find_store(db, store, environment)
    if isinstance(found, str):
        raise StartError(
            "this command is for a database file", hint="for a Redis, deploy/redis.md says how"
        )
    return found


def serve_parser() -> Parser:
    """Return what can be said to `relay-server` itself."""
    parser = Parser(
        prog="relay-server",
        description="Carry envelopes that nobody but the customer can open.",
        epilog="Commands beside the running relay: relay-server permit | stats | check | clock | "
        "backup | restore | compact | forget, each with --help. Each flag is also an environment "
        "variable: RELAY_LISTEN, RELAY_DB, RELAY_OPEN, … SIGTERM stops in good order; SIGHUP "
        "starts again on the same socket, so that nobody finds the door closed.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--listen", metavar="HOST:PORT", help=f"where to listen (default {DEFAULT_LISTEN})")
    add("--db", metavar="FILE", help=f"the database (default {DEFAULT_DB})")
    add(
        "--store",
        metavar="URL",
        help="the store, instead of --db: redis://HOST:PORT for several relays",
    )
    add(
        "--open",
        action="store_true",
        help="take tickets from anybody, within limits for each address",
    )
    add(
        "--pages",
        nargs="?",
        const=PACKAGED,
        metavar="DIR",
        help="serve the ticket and display pages too (default: those of this release)",
    )
    add(
        "--trust-proxy",
        metavar="NET,NET",
        help="believe these proxies, such as 127.0.0.1/32,::1, when they say for whom they ask",
    )
    add(
        "--proxy-header",
        metavar="NAME",
        help=f"the header that the proxy sets: {' or '.join(HEADERS)} (default {HEADERS[0]})",
    )
    add("--stored-max", metavar="SIZE", help="how large the database may grow (default 256GiB)")
    add(
        "--cache-max",
        metavar="SIZE",
        help="memory for recent envelopes (default 64MiB, or a sixteenth of what there is)",
    )
    add("--connections-max", metavar="N", help="how many may be connected (default 100000)")
    add(
        "--metrics",
        metavar="HOST:PORT",
        help="serve /metrics (Prometheus) and /healthz there, for example 127.0.0.1:9464",
    )
    add("--operator", metavar="NAME", help="who runs this relay, for its page")
    add("--contact", metavar="MAIL|URL", help="where abuse and questions go, for its page")
    add("--terms", metavar="URL", help="terms and privacy notice, for its page")
    add("--source", metavar="URL", help="where the source is, for its page")
    add("--log", metavar="FORM", help=f"{' or '.join(FORMS)} (default {FORMS[0]})")
    add(
        "--access-log",
        nargs="?",
        const="each",
        metavar="HOW",
        help="one line for `each` request, or counts each `minute`; without paths or addresses",
    )
    add("--debug", action="store_true", help="show tracebacks")
    add(
        "--version",
        action="version",
        version=f"relay-server {__version__}",
        help="print the version",
    )
    return parser


def _parse_listen(text: str) -> tuple[str, int]:
    match = re.fullmatch(
        r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})", text
    )
    if match is None or int(match["port"]) > 65_535:
        raise MisuseError(
            f"{text!r} is not an address to listen on",
            hint="HOST:PORT, for example 127.0.0.1:8080 or [::1]:8080",
        )
    return match["six"] or match["host"], int(match["port"])


def _parse_store(text: str) -> str:
    try:
        url = urlsplit(text)
    except ValueError:
        url = urlsplit("")
    if url.scheme != "sqlite":
        raise MisuseError(
            f"no store is known by {url.scheme or text!r}",
            hint="supported: sqlite:///absolute/path and redis://host:port",
        )
    if url.netloc or len(url.path) <= 1:
        raise MisuseError(
            f"{text!r} names no file", hint="three slashes: sqlite:///absolute/path; or --db FILE"
        )
    return unquote(url.path)


def _parse_pages(text: str) -> Path | None:
    if text.lower() in _FALSE:
        return None
    if text == PACKAGED or text.lower() in _TRUE:
        return packaged()
    return Path(text)


def _parse_trust(networks: str, header: str) -> Trust:
    names = {name.lower(): name for name in HEADERS}
    if header.lower() not in names:
        raise MisuseError(
            f"--proxy-header {header!r} is not known", hint=f"one of {', '.join(HEADERS)}"
        )
    try:
        return Trust(parse_networks(networks), names[header.lower()])
    except ValueError as error:
        raise MisuseError(
            f"--trust-proxy: {error}", hint="addresses or networks: 127.0.0.1/32,::1,10.0.0.0/8"
        ) from error


def _parse_about(operator: str, contact: str, terms: str, source: str, selftest: bool) -> About:  # noqa: FBT001
    if contact and not is_contact(contact):
        raise MisuseError(
            f"--contact {contact!r} is neither a mail nor a web address",
            hint="for example abuse@example.org or https://example.org/contact",
        )
    for name, text in (("--terms", terms), ("--source", source)):
        if text and not is_web_address(text):
            raise MisuseError(f"{name} {text!r} is no web address", hint="https://…")
    return About(operator, contact, terms, source, selftest)


def _parse_access_log(text: str) -> str:
    if text.lower() in _FALSE:
        return ""
    if text.lower() in _TRUE:
        return "each"
    return _one_of(text, ("each", "minute"), "--access-log")


def _one_of(text: str, known: tuple[str, ...], what: str) -> str:
    if text not in known:
        raise MisuseError(f"{what} {text!r} is not known", hint=f"one of {', '.join(known)}")
    return text


def _amount(text: str, what: str, default: int) -> int:
    return parse_amount(text, what) if text else default


def _count(text: str, what: str, default: int) -> int:
    return parse_count(text, what) if text else default


def _flag(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "").lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise MisuseError(f"{name} is neither yes nor no", hint="1 or 0")
