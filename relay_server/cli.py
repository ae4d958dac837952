"""The command ``relay-server``.

Rules of its voice: stdout carries the result and nothing else; everything else goes to stderr as
``relay-server: …``, lower case, without a full stop. An error is one line, and a ``hint:`` line
follows when we can guess what was meant. Never a traceback; ``--debug`` shows one. Exit 0 done,
1 refused, 2 misused.
"""

import argparse
import asyncio
import errno
import gc
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from relay_server import permits
from relay_server.app import create_app, log_fault, open_store
from relay_server.clock import SystemClock
from relay_server.config import DAY, GIB, HOUR, MIB, Config
from relay_server.errors import StartError
from relay_server.pages import Pages, packaged

DEFAULT_LISTEN = "127.0.0.1:8080"
DEFAULT_DB = "relay.sqlite"
NAME_MAX_SIZE = 100
CLOCK_FLOOR_SECONDS = 1_767_225_600  # 2026-01-01
PACKAGED = "packaged"
_TRUE = frozenset({"1", "yes", "true", "on"})
_FALSE = frozenset({"", "0", "no", "false", "off"})

logger = logging.getLogger("relay_server")


class MisuseError(StartError):
    """The command was called in a way that it does not have."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What flags and environment say."""

    host: str
    port: int
    db: Path
    open: bool
    pages: Path | None
    access_log: bool
    debug: bool


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and a hint."""

    def error(self, message: str) -> NoReturn:
        """Refuse a wrong flag."""
        raise MisuseError(message, hint=f"see {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    try:
        if arguments[:1] == ["permit"]:
            return _permit(arguments[1:])
        return _serve(arguments)
    except StartError as error:
        if debug:
            logging.basicConfig()
            logger.exception("the command failed")
        _say(str(error))
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return 2 if isinstance(error, MisuseError) else 1
    except KeyboardInterrupt:
        return 130


# Serving


def _serve(arguments: Sequence[str]) -> int:
    settings = parse_settings(arguments, os.environ)
    logging.basicConfig(
        level=logging.DEBUG if settings.debug else logging.INFO,
        format="relay-server: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    pages = None if settings.pages is None else Pages(settings.pages)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(settings, pages))
    return 0


async def _run(settings: Settings, pages: Pages | None) -> None:
    config = Config(open=settings.open)
    clock = SystemClock()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: log_fault(context.get("exception")))
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)  # asked twice: now
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows ends a program in other ways
            loop.add_signal_handler(number, on_signal)
    if clock.wall() < CLOCK_FLOOR_SECONDS:
        # With such a clock everything that is stored would be over as soon as it is set right.
        raise StartError(
            "the clock of this machine is wrong: it is before this relay was made",
            hint="set the clock, or start after it was set (systemd: After=time-sync.target)",
        )
    store = open_store(config, settings.db, clock)
    try:
        app = create_app(config, store, clock, pages=pages, access_log=settings.access_log)
        async with AsyncExitStack() as stack:
            try:
                serving = app.serve(settings.host, settings.port)
                host, port = await stack.enter_async_context(serving)
            except OSError as error:
                raise _listen_error(settings, error) from error
            shown = f"[{host}]" if ":" in host else host
            _say_limits(config, settings)
            _say(f"listening on http://{shown}:{port}")
            gc.collect()
            gc.freeze()
            await stop.wait()
            _say("stopping")
    finally:
        await store.close()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - faster where there is one; the relay does without
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _listen_error(settings: Settings, error: OSError) -> StartError:
    where = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"cannot listen on {where}: another program does",
            hint="end it, or choose another port: --listen HOST:PORT",
        )
    if error.errno == errno.EACCES:
        return StartError(
            f"cannot listen on {where}: not allowed",
            hint="ports below 1024 are for the administrator: choose another, behind a proxy",
        )
    return StartError(
        f"cannot listen on {where}: {error.strerror or error}",
        hint="--listen names an address of this machine",
    )


def _say_limits(config: Config, settings: Settings) -> None:
    _say(
        "open: takes tickets from anybody, within limits for each address"
        if config.open
        else "closed: takes tickets from tills with a permit"
    )
    _say(
        f"database {settings.db}, at most {config.stored_max_bytes // GIB} GiB, "
        f"{config.disk_reserve_bytes // MIB} MiB of the disk stay free"
    )
    _say(
        f"tickets live {config.ttl_default_seconds // HOUR} h unless asked otherwise, "
        f"at most {config.ttl_max_seconds // DAY} days; opened, {config.opened_seconds // HOUR} h"
    )
    if config.open:
        _say(
            f"each address: {config.address_uploads_per_hour} uploads and "
            f"{config.address_bytes_per_hour // MIB} MiB an hour"
        )
    if settings.pages is not None:
        _say(f"pages from {settings.pages}")


# Settings


def parse_settings(
    arguments: Sequence[str], environment: os._Environ[str] | dict[str, str]
) -> Settings:
    """Return what flags and environment say; a flag goes before the variable of its name.

    Raises:
        MisuseError: they make no sense.
        StartError: there are no pages to serve.
    """
    given = _serve_parser().parse_args(list(arguments))
    listen = given.listen or environment.get("RELAY_LISTEN") or DEFAULT_LISTEN
    host, port = _parse_listen(listen)
    db = given.db or environment.get("RELAY_DB") or None
    store = given.store or environment.get("RELAY_STORE") or None
    if given.store and given.db:
        raise MisuseError("--db and --store both name a store", hint="give one of them")
    if store and not given.db:
        db = _parse_store(store)
    pages_text = given.pages if given.pages is not None else environment.get("RELAY_PAGES", "")
    return Settings(
        host=host,
        port=port,
        db=Path(db or DEFAULT_DB),
        open=given.open or _flag(environment, "RELAY_OPEN"),
        pages=_parse_pages(pages_text),
        access_log=given.access_log or _flag(environment, "RELAY_ACCESS_LOG"),
        debug=given.debug or _flag(environment, "RELAY_DEBUG"),
    )


def _serve_parser() -> _Parser:
    parser = _Parser(
        prog="relay-server",
        description="Carry envelopes that nobody but the customer can open.",
        epilog="relay-server permit --help: who may upload to a closed relay. "
        "Each flag is also an environment variable: RELAY_LISTEN, RELAY_DB, RELAY_OPEN, …",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help=f"where to listen (default {DEFAULT_LISTEN})"
    )
    parser.add_argument("--db", metavar="FILE", help=f"the database (default {DEFAULT_DB})")
    parser.add_argument(
        "--open",
        action="store_true",
        help="take tickets from anybody, within limits for each address",
    )
    parser.add_argument(
        "--pages",
        nargs="?",
        const=PACKAGED,
        metavar="DIR",
        help="serve the ticket and display pages too (default: those of this release)",
    )
    parser.add_argument(
        "--store", metavar="URL", help="the store, instead of --db: sqlite:///absolute/path"
    )
    parser.add_argument(
        "--access-log",
        action="store_true",
        help="one line for each request, without paths or addresses",
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
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
            hint="supported: sqlite:///absolute/path",
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


def _flag(environment: os._Environ[str] | dict[str, str], name: str) -> bool:
    text = environment.get(name, "").lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise MisuseError(f"{name} is neither yes nor no", hint="1 or 0")


# Permits


def _permit(arguments: Sequence[str]) -> int:
    given = _permit_parser().parse_args(list(arguments))
    db = Path(given.db or os.environ.get("RELAY_DB") or DEFAULT_DB)
    name = _parse_name(given.name) if "name" in given else ""
    if given.action != "add" and not db.exists():
        raise StartError(f"there is no database {db}", hint="--db names the relay's database")
    return asyncio.run(_permit_action(given.action, name, db))


async def _permit_action(action: str, name: str, db: Path) -> int:
    clock = SystemClock()
    store = open_store(Config(), db, clock, exclusive=False)
    try:
        if action == "add":
            permit = permits.generate()
            today = int(clock.wall()) // DAY
            if not await store.add_permit(name, permits.digest(permit), today=today):
                raise StartError(
                    f"there is a permit {name!r} already",
                    hint=f"choose another, or revoke it: relay-server permit revoke {name!r}",
                )
            print(permit)
        elif action == "revoke":
            if not await store.revoke_permit(name):
                raise StartError(
                    f"there is no permit {name!r}", hint="see relay-server permit list"
                )
            _say(f"revoked {name!r}")
        else:
            for row in await store.list_permits():
                added = datetime.fromtimestamp(row.added_day * DAY, UTC).date()
                print(f"{added.isoformat()}  {row.name}")
    finally:
        await store.close()
    return 0


def _permit_parser() -> _Parser:
    parser = _Parser(
        prog="relay-server permit",
        description="Say who may upload to a closed relay; effective at once.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="add|list|revoke")
    common = _Parser(add_help=False)
    common.add_argument("--db", metavar="FILE", help=f"the relay's database (default {DEFAULT_DB})")
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    add = actions.add_parser("add", parents=[common], help="make a permit and print it, once")
    add.add_argument("name", metavar="NAME", help="whom it is for")
    actions.add_parser("list", parents=[common], help="print the day and the name of each permit")
    revoke = actions.add_parser("revoke", parents=[common], help="end a permit at once")
    revoke.add_argument("name", metavar="NAME", help="whom it was for")
    return parser


def _parse_name(text: str) -> str:
    name = text.strip()
    if not name or len(name) > NAME_MAX_SIZE or not name.isprintable():
        raise MisuseError(
            "a permit needs a name", hint=f"printable text, at most {NAME_MAX_SIZE} characters"
        )
    return name


def _say(text: str) -> None:
    print(f"relay-server: {text}", file=sys.stderr, flush=True)
