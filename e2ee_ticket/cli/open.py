"""`e2ee-ticket open`: the customer's side in a terminal."""

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import Final

from e2ee_ticket.cli import loop, session, voice
from e2ee_ticket.client import RelayClient, retrying
from e2ee_ticket.errors import ConfigError, RelayError, TicketError
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.ticket import Ticket, plain_name
from e2ee_ticket.till.config import load

ATTEMPTS: Final = 4
STDOUT: Final = "-"
_LINK_MAX_SIZE: Final = 4096
_NAMES_MAX: Final = 1000


def run(parsed: argparse.Namespace) -> int:
    """Ask for the link, fetch, open, write, tell the relay."""
    if parsed.output == STDOUT and sys.stdout.isatty():
        voice.say("a PDF is not written to a terminal")
        voice.hint("use -o FILE, or pipe it into a program")
        return voice.MISUSED
    if parsed.output not in (None, STDOUT) and Path(parsed.output).exists():
        voice.say(f"{voice.printable(Path(parsed.output).name)} exists already")
        voice.hint("nothing is ever overwritten; use another name with -o")
        return voice.REFUSED
    link = Link.parse(_read_link())
    relay = load().relay or link.page
    return loop.run(_open(link, relay, parsed.output, quiet=parsed.quiet))


def _read_link() -> str:
    if sys.stdin.isatty():
        try:
            return getpass.getpass("link (not shown): ", sys.stderr)
        except EOFError:
            return ""
    text = sys.stdin.buffer.read(_LINK_MAX_SIZE).decode("utf-8", "replace").lstrip("\ufeff")
    return next((line for line in text.splitlines() if line.strip()), "")


async def _open(link: Link, origin: str, output: str | None, *, quiet: bool) -> int:
    secret = link.secret
    async with RelayClient(origin) as relay:

        async def fetch() -> Ticket:
            return await relay.fetch(link)

        ticket = await retrying(fetch, attempts=ATTEMPTS, report=session.away)
        if not quiet:
            await _tell(relay, secret.id, secret.token(), "opened")
        written = _write(ticket, output)
        if not quiet:
            await _tell(relay, secret.id, secret.token(), "received")
    for text in (ticket.title, ticket.number, ticket.total):
        if text:
            voice.say(voice.printable(text))
    if written is not None:
        voice.result(str(written))
    return voice.DONE


async def _tell(relay: RelayClient, ticket_id: str, token: bytes, state: str) -> None:
    """Tell the relay; the receipt is here, whatever it answers."""
    try:
        await relay.mark(ticket_id, token, state)
    except RelayError as error:
        voice.note(f"the relay was not told that the ticket is {state}: {error}")


def _write(ticket: Ticket, output: str | None) -> Path | None:
    """Write the receipt; a file that is there is never touched.

    Raises:
        ConfigError: it cannot be written.
    """
    if output == STDOUT:
        sys.stdout.buffer.write(ticket.receipt)
        sys.stdout.buffer.flush()
        return None
    name = Path(plain_name(ticket.name))
    names = [Path(output)] if output else [name, *_other_names(name)]
    for path in names:
        try:
            with path.open("xb") as file:
                file.write(ticket.receipt)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            continue
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise _NotWrittenError(f"{path.name} cannot be written: {why}") from error
        return path
    raise ConfigError("a file of this name exists already; use another name with -o")


def _other_names(name: Path) -> list[Path]:
    return [Path(f"{name.stem} ({count}).pdf") for count in range(2, _NAMES_MAX)]


class _NotWrittenError(TicketError):
    """The receipt came, and this computer does not take it."""
