"""`e2ee-ticket config`: to another computer and back, and a new permit."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from e2ee_ticket.cli import loop, voice
from e2ee_ticket.cli.terminal import Keyboard, Terminal
from e2ee_ticket.client import RelayClient
from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till import bundle, settings_file
from e2ee_ticket.till.config import PREFIX, config_path, load, reason
from e2ee_ticket.till.displays import write_private
from e2ee_ticket.till.lock import is_locked

PERMIT_FILE: Final = "permit"
_LINE_MAX: Final = 4096


def export(parsed: argparse.Namespace) -> int:
    """Seal all that makes this till into one file."""
    target = Path(parsed.file)
    if target.exists() and not parsed.force:
        raise ConfigError(f"{target.name} is there already; --force replaces it")
    packed = bundle.collect(config_path(os.environ), os.environ)
    passphrase = _read_passphrase(Keyboard(), from_stdin=parsed.passphrase_stdin, twice=True)
    write_private(target, bundle.seal(packed, passphrase))
    voice.say(f"written: {target}")
    voice.hint("keep it and the passphrase apart; whoever has both can drive your displays")
    return voice.DONE


def import_(parsed: argparse.Namespace) -> int:
    """Make this computer the till that was exported."""
    data = bundle.read(Path(parsed.file))
    passphrase = _read_passphrase(Keyboard(), from_stdin=parsed.passphrase_stdin, twice=False)
    packed = bundle.unseal(data, passphrase)
    path = config_path(os.environ)
    settled = bundle.install(packed, path, os.environ, force=parsed.force)
    voice.say(f"this computer is that till now: {path}")
    if is_locked(settled.state_dir):
        voice.say("the agent that runs here still uses what was before: start it again")
    voice.say("on the old one, if it still runs, stop the agent: e2ee-ticket service remove")
    voice.hint("two agents on one display push each other away; then: e2ee-ticket check")
    return voice.DONE


def permit(_parsed: argparse.Namespace) -> int:
    """Ask for a new permit, try it at the relay, and only then put it in place of the old one."""
    config = load()
    text = Keyboard().ask_hidden("New permit (it is not shown): ")
    if not text:
        raise ConfigError("no permit was given; the old one stays")

    async def main() -> int:
        async with RelayClient(config.relay_origin, permit=text) as relay:
            await relay.try_permit()
        keep_permit(config_path(os.environ), text)
        voice.say("the relay takes the new permit, and it is written down")
        if os.environ.get(f"{PREFIX}PERMIT"):
            voice.say(f"but {PREFIX}PERMIT is set here, and wins over it")
            voice.hint(f"unset {PREFIX}PERMIT")
        else:
            voice.hint("an agent that runs takes it up when it is started again")
        return voice.DONE

    return loop.run(main())


def keep_permit(path: Path, text: str) -> None:
    """Write a permit into a file of its own beside the configuration, which may then be shown.

    Raises:
        ConfigError: it cannot be one, or cannot be written; the old one stays.
    """
    path = path.resolve()
    settings_file.judge_change(path, {"permit": text, "permit_file": None})
    write_private(path.parent / PERMIT_FILE, text.encode("ascii") + b"\n")
    settings_file.edit(path, {"permit": None, "permit_file": PERMIT_FILE})


def _read_passphrase(terminal: Terminal, *, from_stdin: bool, twice: bool) -> str:
    """Read a passphrase without showing it.

    Raises:
        ConfigError: none was given, or not the same one twice.
    """
    if from_stdin:
        try:
            text = sys.stdin.readline(_LINE_MAX).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = reason(error) if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"the passphrase cannot be read: {why}") from None
    else:
        text = terminal.ask_hidden("Passphrase (four words do): " if twice else "Passphrase: ")
        if twice and terminal.ask_hidden("The same once more: ") != text:
            raise ConfigError("these were two different passphrases; nothing was written")
    if not text:
        raise ConfigError("no passphrase was given")
    return text
