"""The command ``relay-server``: the relay itself, and the commands beside it.

How it speaks is `voice.py`'s. Never a traceback; ``--debug`` shows one. Exit 0 done, 1 refused,
2 misused.
"""

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relay_server import commands, handover
from relay_server.checkup import check, check_parser
from relay_server.clock import Clock, GuardedClock, Machine, SystemClock
from relay_server.config import BACKLOG, DAY, HOUR, MIB, Config
from relay_server.errors import AwayError, StartError
from relay_server.logs import log_fault, start_logging
from relay_server.machine import find_memory_limit, fit
from relay_server.owner import become_owner
from relay_server.pages import Pages
from relay_server.settings import Settings, parse_settings, read_service_file
from relay_server.store import Store
from relay_server.store.beside import Beside
from relay_server.stores import open_any_store
from relay_server.voice import MisuseError, Parser, install_hint, open_streams, say, show_amount

if TYPE_CHECKING:
    from relay_server.app import App

CLOCK_FLOOR_SECONDS = 1_767_225_600  # 2026-01-01
SWITCH_SECONDS = 0.0005
FILES_RESERVED = 64
"""Descriptors that are not for connections: the store's, the log's, the loop's."""

_STORES = ("RELAY_STORE", "RELAY_DB")
AWAY_SECONDS = (1, 2, 5, 10)
"""How long a relay waits for a store that is away before it tries again; the last for ever."""

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "permit": commands.permit,
    "stats": commands.stats,
    "backup": commands.backup,
    "restore": commands.restore,
    "compact": commands.compact,
    "forget": commands.forget,
    "clock": commands.clock,
    "check": check,
}

PARSERS: dict[str, Callable[[], Parser]] = {
    "permit": commands.permit_parser,
    "stats": commands.stats_parser,
    "backup": commands.backup_parser,
    "restore": commands.restore_parser,
    "compact": commands.compact_parser,
    "forget": commands.forget_parser,
    "clock": commands.clock_parser,
    "check": check_parser,
}
"""What can be said to each command; manual page and completion are made from it."""

logger = logging.getLogger("relay_server")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    open_streams()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    try:
        return _do(arguments)
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        say(f"{where}{error.strerror or type(error).__name__}")
        return 1
    except StartError as error:
        if debug:
            logging.basicConfig()
            logger.exception("the command failed")
        say(str(error))
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return 2 if isinstance(error, MisuseError) else 1
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if debug or library in ("", "relay_server"):
            raise
        say(f"the library {library} is not installed: this installation lacks the extra relay")
        print(f"hint: {install_hint('relay')}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _do(arguments: Sequence[str]) -> int:
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        return _serve(arguments)
    # A command that missed the service's store would take nothing down.
    written = read_service_file(os.environ)
    os.environ.update({name: written[name] for name in _STORES if written.get(name)})
    return command(list(arguments[1:]))


def _serve(arguments: Sequence[str]) -> int:
    settings = parse_settings(list(arguments), os.environ)
    start_logging(form=settings.log, debug=settings.debug)
    pages = None if settings.pages is None else Pages(settings.pages)
    listener = handover.inherited_listener(os.environ)
    if listener is None:
        listener = _listen(settings)
    # The thread that writes needs the interpreter between its statements; by default it would wait
    # for up to 5 ms each time, while the loop is busy with requests.
    sys.setswitchinterval(SWITCH_SECONDS)
    with listener:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            again = runner.run(_run(settings, pages, listener))
        if again:
            handover.start_again(listener)
    return 0


async def _run(settings: Settings, pages: Pages | None, listener: socket.socket) -> bool:
    """Serve until a signal comes; tell whether to start again."""
    # The commands beside a relay start in a third of the time without HTTP.
    from relay_server.app import create_app  # noqa: PLC0415

    config = _fitted(settings)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: log_fault(context.get("exception")))
    stop = asyncio.Event()
    again = False

    def on_stop() -> None:
        if stop.is_set() and not again:
            os._exit(1)  # asked twice: now
        stop.set()

    def on_again() -> None:
        nonlocal again
        again = again or not stop.is_set()
        stop.set()

    with suppress(NotImplementedError):  # Windows ends a program in other ways
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_stop)
        loop.add_signal_handler(signal.SIGHUP, on_again)
    beside = None
    if isinstance(settings.store, Path):
        become_owner(settings.store)
        # A Redis' address may have a password: it is not said, and has no file beside it.
        said = {name: text for name, text in os.environ.items() if name.startswith("RELAY_")}
        said.pop("RELAY_STORE", None)
        about = {"settings": said, "connections_max": config.connections_max}
        beside = Beside(settings.store, about)
    clock = _guard_clock(beside)
    opened = await _open_store(config, settings.store, clock, stop)
    if opened is None:
        return again
    store, notes = opened
    for note in notes:
        logger.info(note)
    try:
        app = create_app(
            config,
            store,
            clock,
            pages=pages,
            access_log=settings.access_log,
            about=settings.about,
            trust=settings.trust,
            beside=beside,
        )
        async with AsyncExitStack() as stack:
            serving = app.serve(settings.host, settings.port, listener=listener)
            host, port = await stack.enter_async_context(serving)
            await _serve_operator(app, settings, stack)
            _say_limits(config, settings)
            logger.info("listening on http://%s", _shown(host, port))
            handover.tell_systemd("READY=1")
            gc.collect()
            gc.freeze()
            await stop.wait()
            handover.tell_systemd("RELOADING=1" if again else "STOPPING=1")
            logger.info("starting again" if again else "stopping")
    finally:
        await store.close()
    return again


async def _open_store(
    config: Config, place: Path | str, clock: Clock, stop: asyncio.Event
) -> tuple[Store, Sequence[str]] | None:
    """Open the store, once it is there; None when the relay was told to stop meanwhile."""
    tries = 0
    while not stop.is_set():
        try:
            return await open_any_store(config, place, clock)
        except AwayError as error:
            if not tries:
                logger.warning("waiting for the store: %s", error)
        seconds = AWAY_SECONDS[min(tries, len(AWAY_SECONDS) - 1)]
        tries += 1
        handover.tell_systemd(f"EXTEND_TIMEOUT_USEC={(seconds + 60) * 1_000_000}")
        handover.tell_systemd("STATUS=waiting for the store")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
    return None


def _guard_clock(beside: Beside | None) -> GuardedClock:
    """Return the machine's clock, compared with what a relay saw here before."""
    system = SystemClock()
    if system.wall() < CLOCK_FLOOR_SECONDS:
        # With such a clock everything that is stored would be over as soon as it is set right.
        raise StartError(
            "the clock of this machine is wrong: it is before this relay was made",
            hint="set the clock, or start after it was set (systemd: After=time-sync.target)",
        )
    seen, _ = (None, 0) if beside is None else beside.read()
    return GuardedClock(system, seen=seen, machine=Machine())


async def _serve_operator(app: "App", settings: Settings, stack: AsyncExitStack) -> None:
    if settings.metrics is None:
        return
    try:
        operator = await stack.enter_async_context(app.serve_operator(*settings.metrics))
    except OSError as error:
        raise _listen_error(*settings.metrics, "--metrics", error) from error
    logger.info("metrics and health on http://%s", _shown(*operator))


def _fitted(settings: Settings) -> Config:
    """Return the limits that fit into this process's memory and files."""
    config = settings.config()
    config = fit(config, find_memory_limit(), cache=settings.cache_max_bytes)
    return replace(config, connections_max=min(config.connections_max, _files_allowed()))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - faster where there is one; the relay does without
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.host, settings.port
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise _listen_error(host, port, "--listen", error) from error


def _listen_error(host: str, port: int, flag: str, error: OSError) -> StartError:
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"cannot listen on {where}: another program does",
            hint=f"end it, or choose another port: {flag} HOST:PORT",
        )
    if error.errno == errno.EACCES:
        return StartError(
            f"cannot listen on {where}: not allowed",
            hint="ports below 1024 are for the administrator: choose another, behind a proxy",
        )
    return StartError(
        f"cannot listen on {where}: {error.strerror or error}",
        hint=f"{flag} names an address of this machine",
    )


def _files_allowed() -> int:
    """Return how many connections the system allows, after asking for as many as it may."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return 2**31
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return 2**31 if soft == resource.RLIM_INFINITY else max(16, soft - FILES_RESERVED)


def _say_limits(config: Config, settings: Settings) -> None:
    logger.info(
        "memory: %s for recent envelopes, at most %d connections",
        show_amount(config.cache_max_bytes),
        config.connections_max,
    )
    logger.info(
        "open: takes tickets from anybody, within limits for each address"
        if config.open
        else "closed: takes tickets from tills with a permit"
    )
    if isinstance(settings.store, Path):
        logger.info(
            "database %s, at most %s, %d MiB of the disk stay free",
            settings.store,
            show_amount(config.stored_max_bytes),
            config.disk_reserve_bytes // MIB,
        )
    logger.info(
        "tickets live %d h unless asked otherwise, at most %d days; opened, %d h",
        config.ttl_default_seconds // HOUR,
        config.ttl_max_seconds // DAY,
        config.opened_seconds // HOUR,
    )
    if config.open:
        logger.info(
            "each address: %d uploads and %d MiB an hour",
            config.address_uploads_per_hour,
            config.address_bytes_per_hour // MIB,
        )
    if settings.trust.networks:
        logger.info(
            "believes %s from %s",
            settings.trust.header,
            ", ".join(map(str, settings.trust.networks)),
        )
    if settings.pages is not None:
        logger.info("pages from %s", settings.pages)


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
