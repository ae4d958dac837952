"""How `send` looks: the code, and a line for each thing that becomes of the ticket."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2ee_ticket.cli import voice
from e2ee_ticket.errors import ConfigError, TicketError
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.ticket import Ticket

if TYPE_CHECKING:
    from e2ee_ticket.till.pipeline import Progress
    from e2ee_ticket.till.screen import Notice

_LINES: Final = {
    "opened": "the customer has opened it",
    "received": "the customer says that it is saved, or has shared it",
    "revoked": "it was revoked: its link opens nothing any more",
    "expired": "it has expired without being opened",
    "failed": "this ticket has failed: its link opens nothing",
}


class Face:
    """What a cashier at a terminal, or a program behind a pipe, sees of one ticket."""

    def __init__(
        self,
        ticket: Ticket,
        *,
        link: bool = False,
        events: bool = False,
        display: str | None = None,
        svg: Path | None = None,
        png: Path | None = None,
    ) -> None:
        self.drawn = False
        self._caption = "  ".join(
            text for text in (ticket.title, ticket.number, ticket.total) if text
        )
        self._link = link
        self._events = events
        self._display = display
        self._files = (svg, png)
        self._current: Link | None = None

    def begin(self, link: Link, *, in_terminal: bool) -> None:
        """Show the first link: in the terminal, unless a display is to show it."""
        self._current = link
        if self._link:
            voice.result(link.reveal())
        if in_terminal:
            self.draw()
        self._write_files(link)

    def draw(self) -> None:
        """Draw the code in the terminal; where stdout is for a result, on stderr if one looks."""
        from e2ee_ticket import qr  # noqa: PLC0415 - a display may make it unnecessary

        if self._current is None:
            return
        plain = not (self._link or self._events)
        if not plain and not sys.stderr.isatty():
            return
        out = sys.stdout if plain else sys.stderr
        text = qr.to_terminal(qr.make(self._current))
        if self._caption:
            text += voice.printable(self._caption) + "\n"
        try:
            out.write(text)
            out.flush()
        except UnicodeEncodeError:
            voice.say("this terminal cannot draw the code: use --svg, --png or --display")
        except OSError:
            return
        self.drawn = True

    # What the engine tells (Observer)

    def progress(self, progress: "Progress") -> None:
        """Tell a step."""
        if self._events:
            _tell(progress, progress.state)
        elif progress.state == "stored":
            voice.say(f"uploaded; the relay keeps it for {_span(progress.expires_in or 0)}")
        elif progress.state in _LINES:
            voice.say(_LINES[progress.state])

    def shown(self, progress: "Progress") -> None:
        """Tell that the customer can see it."""
        if self._events:
            _tell(progress, "shown")
        else:
            voice.say(f"{self._display} shows it")

    def link(self, link: Link) -> None:
        """Draw a code that replaces the one before."""
        voice.say("other bytes are stored under this ticket's id: a new ticket is made")
        voice.hint("the code shown before opens nothing; only the new one counts")
        self._current = link
        if self._link:
            voice.result(link.reveal())
        if self.drawn:
            self.draw()
        self._write_files(link)

    def away(self, error: TicketError, seconds: float) -> None:
        """Tell that the relay is away."""
        from e2ee_ticket.cli import session  # noqa: PLC0415 - it loads aiohttp; it is loaded now

        session.away(error, seconds)

    def trouble(self, error: TicketError) -> None:
        """Tell what is wrong without stopping the sale."""
        voice.say(f"{error}: the ticket is not in the outbox; let the customer open it now")

    def notice(self, notice: "Notice") -> None:
        """Tell what the screen has to say, where it is not told otherwise."""
        from e2ee_ticket.till.screen import Notice, hint  # noqa: PLC0415 - loaded now

        passing = (Notice.AWAY, Notice.BACK, Notice.ABSENT, Notice.PRESENT)
        if notice not in (Notice.CONNECTED, Notice.SHOWN, Notice.UNSHOWN, *passing):
            voice.say(f"{self._display}: {notice.value}")
            voice.hint(hint(notice))

    def _write_files(self, link: Link) -> None:
        svg, png = self._files
        if svg is None and png is None:
            return
        from e2ee_ticket import qr  # noqa: PLC0415 - idem

        code = qr.make(link)
        if svg is not None:
            _write(svg, qr.to_svg(code).encode("utf-8"))
        if png is not None:
            _write(png, qr.to_png(code))


def _tell(progress: "Progress", state: str) -> None:
    event = {
        "id": progress.id,
        "state": state,
        "shown": progress.shown,
        "expires_in": progress.expires_in,
    }
    voice.result(json.dumps(event))


def _write(path: Path, data: bytes) -> None:
    """Write a picture of a link for its owner alone; whoever reads it has the receipt.

    A file that was there, or that somebody else has made there, is not written into but replaced:
    it may be open to others.
    """
    from e2ee_ticket.till.displays import write_private  # noqa: PLC0415 - idem

    if path.is_file() or not path.exists():
        write_private(path, data)
        return
    try:  # a pipe, or a device
        path.write_bytes(data)
    except OSError as error:
        why = (error.strerror or "error").lower()
        raise ConfigError(f"{path.name} cannot be written: {why}") from error


def _span(seconds: float) -> str:
    from e2ee_ticket.cli import session  # noqa: PLC0415 - it loads aiohttp; it is loaded now

    return session.span(seconds)
