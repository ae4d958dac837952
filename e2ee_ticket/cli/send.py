"""`e2ee-ticket send`: a receipt's code on the screen at once, the rest behind it."""

import argparse
import gc
import importlib
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2ee_ticket.cli import voice
from e2ee_ticket.cli.face import Face
from e2ee_ticket.errors import ConfigError, ReceiptError
from e2ee_ticket.pdf.check import check_receipt
from e2ee_ticket.protocol.envelope import MAX_SIZE
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket, short_name
from e2ee_ticket.till.config import Config, load

if TYPE_CHECKING:
    from e2ee_ticket.till.displays import Pairing

STDIN: Final = "-"
UPLOAD_SECONDS: Final = 60.0


def run(parsed: argparse.Namespace) -> int:
    """Draw the code, then do the rest."""
    config = load()
    page = config.page_origin
    config.relay_origin  # noqa: B018 - asked for before the code is drawn
    receipt = read_file(parsed.file)
    check_receipt(receipt)
    ticket = _make_ticket(parsed, config, receipt)
    ticket.to_bytes()  # a text that is none is refused before a code is shown
    link = Link(page, Secret.generate())
    face = Face(
        ticket,
        link=parsed.link,
        events=parsed.json,
        display=parsed.display,
        svg=parsed.svg,
        png=parsed.png,
    )
    pairing = _find_display(parsed.display, config)
    face.begin(link, in_terminal=pairing is None)
    # The code is on the screen now: all that is slow begins here.
    gc.enable()
    import asyncio  # noqa: PLC0415 - idem

    from e2ee_ticket.cli import loop  # noqa: PLC0415 - idem
    from e2ee_ticket.pdf.seen import see  # noqa: PLC0415 - idem

    async def main() -> int:
        making = asyncio.create_task(see(receipt))
        await asyncio.sleep(0)  # the picture's process starts while this one imports the rest
        sending = await asyncio.to_thread(importlib.import_module, "e2ee_ticket.cli.sending")
        code: int = await sending.send(
            config,
            face,
            ticket=ticket,
            link=link,
            pairing=pairing,
            making=making,
            until=_until(parsed.wait),
            limit=parsed.timeout or (None if parsed.wait else UPLOAD_SECONDS),
        )
        return code

    code = loop.run(main())
    if code == voice.DONE and parsed.display is not None and pairing is None:
        return voice.REFUSED
    return code


def _find_display(name: str | None, config: Config) -> "Pairing | None":
    """Find the display; where it is not paired, the sale goes on in the terminal."""
    if name is None:
        return None
    from e2ee_ticket.cli.display import refuse_beside_an_agent  # noqa: PLC0415 - idem
    from e2ee_ticket.till.displays import Displays  # noqa: PLC0415 - idem

    try:
        pairing = Displays(config.state_dir).find(name)
        refuse_beside_an_agent(config)
    except ConfigError as error:
        voice.complain(error)
        voice.say("the code is shown here instead")
        return None
    return pairing


def _until(wait: str | None) -> Collection[str]:
    """Say in which states the command is done."""
    if wait is None:
        return {"stored", "opened", "received"}
    return {"received"} if wait == "received" else {"opened", "received"}


def read_file(name: str) -> bytes:
    """Read a file or stdin, but never more than fits.

    Raises:
        ReceiptError: it cannot be read, or is too large.
    """
    try:
        if name == STDIN:
            if sys.stdin.isatty():
                raise ReceiptError("stdin is this terminal: pipe a file into the command")
            data = sys.stdin.buffer.read(MAX_SIZE + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_SIZE + 1)
    except OSError as error:
        what = "stdin" if name == STDIN else voice.printable(Path(name).name)
        why = (error.strerror or type(error).__name__).lower()
        raise ReceiptError(f"{what} cannot be read: {why}") from error
    return data


def _make_ticket(parsed: argparse.Namespace, config: Config, receipt: bytes) -> Ticket:
    from datetime import datetime  # noqa: PLC0415 - idem

    name = None if parsed.file == STDIN else Path(parsed.file).name
    return Ticket(
        receipt=receipt,
        name=short_name(name),
        title=_clean(parsed.title) or config.shop,
        total=_clean(parsed.total),
        number=_clean(parsed.number),
        issued=datetime.now().astimezone().isoformat(timespec="seconds"),
        lang=_clean(parsed.lang) or config.lang,
    )


def _clean(text: str | None) -> str | None:
    """An empty option is no option; the shell's undecodable bytes are no text."""
    if text is None or not text.strip():
        return None
    return text.strip()
