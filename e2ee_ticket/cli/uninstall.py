"""`e2ee-ticket uninstall`: nothing of this till stays, here or at the relay."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from e2ee_ticket.cli import loop, service, session, voice
from e2ee_ticket.cli.terminal import Keyboard, Terminal
from e2ee_ticket.errors import ConfigError, RelayError, TicketError
from e2ee_ticket.till import displays, last_good, lock, outbox, settings_file
from e2ee_ticket.till.config import Config, config_path, load, reason
from e2ee_ticket.till.console import auth
from e2ee_ticket.till.displays import Displays, unpair
from e2ee_ticket.till.pipeline import flush

FLUSH_SECONDS: Final = 30.0
_OF_THE_CONSOLE: Final = (auth.TOKEN_FILE, auth.DOOR_FILE, auth.SESSIONS_FILE, auth.BROWSERS_FILE)
_YES: Final = "yes"


def run(parsed: argparse.Namespace, terminal: Terminal | None = None) -> int:
    """Ask, then take everything away: service, outbox, pairings, files."""
    config = load()
    file = config_path(os.environ).resolve()
    secrets_ = list(_key_files(config, file))
    terminal = terminal or Keyboard()
    terminal.tell("This removes from this computer:")
    terminal.tell(f"  {config.state_dir}  (paired displays, outbox)")
    if not parsed.keep_config:
        for path in (file, *secrets_):
            terminal.tell(f"  {path}")
    terminal.tell("and unpairs the displays. It cannot be undone.")
    if not parsed.yes and terminal.ask(f'Type "{_YES}" to go on: ').casefold() != _YES:
        voice.say("nothing was removed")
        return voice.REFUSED
    for system in (False, True):
        with contextlib.suppress(ConfigError):  # a computer without systemd has no service
            made = service.describe(system=system)
            if made.file.exists():
                service.remove_service(made)
    if lock.is_locked(config.state_dir):
        raise ConfigError("the agent still runs; stop it first, then uninstall again")
    ready = loop.run(_settle(config, forget=parsed.forget))
    if ready != voice.DONE:
        return ready
    wipe_state(config.state_dir)
    if not parsed.keep_config:
        for path in (*secrets_, file, last_good.path_of(file)):
            wipe(path)
    voice.say("removed; the program itself goes as it came: pip uninstall e2ee-ticket")
    return voice.DONE


def _key_files(config: Config, file: Path) -> Iterator[Path]:
    """Name the secrets' files that lie beside the configuration; others are somebody else's."""
    named = [config.permit_file] if config.permit_file else []
    for source in settings_file.read_tables(file, "source"):
        named += [str(value) for key, value in source.items() if key.endswith("_file") and value]
    for name in named:
        path = (file.parent / Path(name).expanduser()).resolve()
        if path.parent == file.parent:
            if path.exists():
                yield path
        else:
            voice.say(f"left alone, because it is elsewhere: {path}")


async def _settle(config: Config, *, forget: bool) -> int:
    """Deliver what waits and unpair the displays, or say what is in the way."""
    left = 0
    trouble: list[str] = []
    if (config.state_dir / outbox.FILE_NAME).exists():
        left = await _empty_the_outbox(config)
        if left:
            trouble.append(f"{left} receipt{'' if left == 1 else 's'} did not reach the relay")
    pairings = Displays(config.state_dir).all()
    if pairings:
        async with session.relay_client(config) as relay:
            for pairing in pairings:
                try:
                    await unpair(relay, pairing)
                    voice.say(f"{pairing.name} is unpaired")
                except RelayError as error:
                    trouble.append(f"{pairing.name} could not be unpaired: {error}")
    if not trouble:
        return voice.DONE
    for text in trouble:
        voice.say(text)
    if forget:
        return voice.DONE
    voice.say("nothing was removed from this computer")
    voice.hint("try again when the relay answers, or give this up for lost: uninstall --forget")
    return voice.LATER


async def _empty_the_outbox(config: Config) -> int:
    """Upload and revoke what waits; return how much is left."""
    import asyncio  # noqa: PLC0415 - only here

    with session.open_outbox(config) as kept:
        async with session.relay_client(config) as relay:
            till = session.make_till(config, relay, kept)
            with contextlib.suppress(TimeoutError, TicketError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await flush(till, kept, session.away, lambda _entry, _outcome: None)
        return len(kept.unfinished()) + len(kept.unsealed())


def wipe_state(state: Path) -> None:
    """Overwrite and remove what this program keeps; a folder that is empty then goes too."""
    databases = [outbox.FILE_NAME + end for end in ("", "-wal", "-shm")]
    damaged = [path.name for path in state.glob("*-damaged-*") if path.is_file()]
    for name in (displays.FILE_NAME, *databases, *damaged, *_OF_THE_CONSOLE, lock.FILE_NAME):
        wipe(state / name)
    with contextlib.suppress(OSError):
        state.rmdir()


def wipe(path: Path) -> None:
    """Overwrite a file and remove it; a disk that writes elsewhere keeps a copy all the same.

    Raises:
        ConfigError: it cannot be removed.
    """
    try:
        with path.open("r+b") as file:
            left = path.stat().st_size
            while left > 0:
                left -= file.write(bytes(min(left, 1024 * 1024)))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be removed: {reason(error)}") from error
