"""`e2ee-ticket agent`: every source, till and display of the configuration, and the console.

It logs to stderr, a line an event, with nothing of what was sold or to whom; under systemd each
line has its level, and the service is told when it is ready. SIGTERM, SIGHUP and Ctrl-C end it
cleanly: what is not uploaded yet is in the outbox.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

from e2ee_ticket.cli import voice
from e2ee_ticket.cli.room import LoopTroubles, ask_for_files
from e2ee_ticket.cli.session import open_outbox_of_the_agent, relay_client
from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till import console, last_good, lock
from e2ee_ticket.till.agent import Agent
from e2ee_ticket.till.clock import SystemClock
from e2ee_ticket.till.config import Config, config_path, load
from e2ee_ticket.till.displays import Displays
from e2ee_ticket.till.file_watch import FileWatch
from e2ee_ticket.till.salvage import ClosedOutbox

log = logging.getLogger(__name__)

OPEN_AGAIN_SECONDS: Final = 2.0
WARM_UP_AFTER_SECONDS: Final = 0.2
"""By then everything listens; beside that, reading many modules would only delay it."""

# What systemd's journal calls the levels of a line.
_JOURNAL: Final = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


def run(parsed: argparse.Namespace) -> int:
    """Run until stopped; take up a changed configuration by itself."""
    os.environ.update(parsed.setting)
    _log_lines(parsed.log, debug=parsed.debug)
    written = FileWatch(config_path(os.environ))  # before it is read: nothing is missed
    broken = None
    try:
        config = load()
        config.page_origin  # noqa: B018 - a ConfigError now rather than later
    except ConfigError as error:
        good = last_good.read(config_path(os.environ))
        if good is None:
            raise
        config, broken = good, error
    ask_for_files()
    with lock.lock(config.state_dir):
        if sys.platform == "win32":
            return _run_on_windows(config, written, broken)
        return asyncio.run(_main(config, written, broken))


async def _main(config: Config, written: FileWatch, broken: ConfigError | None) -> int:
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    assert main is not None  # noqa: S101 - a coroutine runs in a task
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, main.cancel)
    try:
        await _work(config, written, broken)
    except asyncio.CancelledError:
        log.info("stopped; what is not uploaded is in the outbox")
    return voice.DONE


def _run_on_windows(  # pragma: no cover - Windows only
    config: Config, written: FileWatch, broken: ConfigError | None
) -> int:
    try:
        asyncio.run(_work(config, written, broken))
    except KeyboardInterrupt:
        log.info("stopped; what is not uploaded is in the outbox")
    return voice.DONE


async def _work(config: Config, written: FileWatch, broken: ConfigError | None) -> None:
    """Run one agent after the other; `broken` says why the file's configuration is not used."""
    asyncio.get_running_loop().set_exception_handler(LoopTroubles(time.monotonic))
    with contextlib.closing(console.HeldSockets()) as sockets:
        await _work_on(config, written, sockets, broken)


async def _work_on(
    config: Config,
    written: FileWatch,
    sockets: console.HeldSockets,
    broken: ConfigError | None,
) -> None:
    damaged = False
    file = config_path(os.environ)
    while True:
        try:
            agent = await _work_once(config, written, sockets, damaged=damaged, broken=broken)
        except ConfigError as error:  # a source's settings cannot be
            good = last_good.read(file)
            if good is None or broken is not None:
                raise
            config, broken = good, error
            continue
        damaged = agent.damaged
        written = FileWatch(file)
        try:
            config, broken = load(), None
        except ConfigError as error:
            broken = error
            log.error("the changed configuration cannot be used: %s", error)  # noqa: TRY400


async def _work_once(
    config: Config,
    written: FileWatch,
    sockets: console.HeldSockets,
    *,
    damaged: bool,
    broken: ConfigError | None,
) -> Agent:
    """Run an agent until it is to begin anew.

    Raises:
        ConfigError: this configuration cannot be used.
    """
    clock = SystemClock()
    with open_outbox_of_the_agent(config, damaged=damaged) as outbox:
        async with relay_client(config) as relay:
            agent = Agent(
                config,
                config_file=config_path(os.environ),
                relay=relay,
                outbox=outbox,
                displays=Displays(config.state_dir),
                clock=clock,
                servers={
                    "console": lambda agent: _serve_console(agent, sockets),
                    "ready": _tell_ready,
                    **({"outbox": _open_later} if isinstance(outbox, ClosedOutbox) else {}),
                },
                written=written,
                broken=broken,
            )
            if broken is None:
                last_good.keep(config_path(os.environ))
            _greet(config)
            await agent.run()
            return agent


async def _open_later(agent: Agent) -> None:
    """Try again to open an outbox that could not be; begin anew as soon as it can be."""
    while True:
        await asyncio.sleep(OPEN_AGAIN_SECONDS)
        with open_outbox_of_the_agent(agent.config) as outbox:
            if not isinstance(outbox, ClosedOutbox):
                log.info("the outbox can be opened again")
                agent.begin_anew()
                return


async def _serve_console(agent: Agent, sockets: console.HeldSockets) -> None:
    settings = agent.config.console
    held = sockets.hold(settings.listen)
    app = console.create_console(
        agent,
        settings,
        state_dir=agent.config.state_dir,
        clock=SystemClock(),
        listening=sockets.name,
    )
    await console.serve(app, settings.listen, held)


async def _tell_ready(_agent: Agent) -> None:
    _notify("READY=1")
    await asyncio.sleep(WARM_UP_AFTER_SECONDS)
    await asyncio.to_thread(_warm_up)
    await asyncio.Event().wait()


def _greet(config: Config) -> None:
    log.info("console: http://%s/ (open it with: e2ee-ticket console)", config.console.listen)
    for source in config.sources:
        log.info("source %s (%s) for till %s", source.name, source.kind, source.till)
    if not config.sources:
        log.warning("no source is configured: e2ee-ticket setup asks for one")


def _log_lines(file: Path | None, *, debug: bool) -> None:
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if file is not None:
        handler = voice.write_into(file)
    handler.setFormatter(_Lines(day=file is not None))
    root = logging.getLogger("e2ee_ticket")
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    root.propagate = False


class _Lines(logging.Formatter):
    """One line an event, without a traceback, whose values may be a customer's."""

    def __init__(self, *, day: bool = False) -> None:
        self._journal = "JOURNAL_STREAM" in os.environ and not day
        super().__init__(
            "%(message)s" if self._journal else "%(asctime)s %(message)s",
            "%Y-%m-%d %H:%M:%S" if day else "%H:%M:%S",
        )

    def format(self, record: logging.LogRecord) -> str:
        """Write a line; the journal reads its level from the first characters."""
        record.exc_info = record.exc_text = record.stack_info = None
        line = super().format(record).replace("\n", " ")
        return f"<{_JOURNAL.get(record.levelno, 6)}>{line}" if self._journal else line


def _notify(state: str) -> None:
    """Tell systemd, where it asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), address.replace("@", "\0", 1))


def _warm_up() -> None:
    """Load now what the first sale would wait for, and say what stands around its receipt."""
    import segno  # noqa: F401, PLC0415

    import e2ee_ticket.pdf.draw  # noqa: PLC0415
    import e2ee_ticket.protocol.envelope  # noqa: F401, PLC0415
    from e2ee_ticket.pdf import look, trial  # noqa: PLC0415

    whole, sentence = trial.describe_walls()
    log.log(logging.INFO if whole else logging.WARNING, "%s", sentence)
    look.warm_up()
