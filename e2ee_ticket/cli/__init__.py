"""The command `e2ee-ticket`; its voice is in voice.py, each command in a module of its own.

The code on the screen comes first: a command imports what it needs when it needs it, and nothing
that is not needed to draw a QR code is imported before it is drawn (tests measure it).
"""

import gc
import re
import sys
from collections.abc import Sequence

from e2ee_ticket.cli import cores, voice
from e2ee_ticket.errors import TicketError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    voice.open_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(re.search(r"#[0-9]{20}|[0-9]{85}", argument) for argument in given):
        voice.say("a link on the command line can be read by everybody on this computer")
        voice.hint("give it on stdin: e2ee-ticket open asks for it")
        return voice.MISUSED
    if arguments is None:  # the process is this command's own; no secret is in it yet
        cores.write_none()
    gc.disable()  # until the code is drawn: a cashier waits, and what is imported is no garbage
    from e2ee_ticket.cli import arguments as grammar  # noqa: PLC0415 - not for a refusal

    debug = False
    try:
        parsed = grammar.parse(given)
        debug = parsed.debug
        run = grammar.command(parsed)
        if parsed.module != "send":
            gc.enable()
        return run(parsed)
    except KeyboardInterrupt:
        voice.say("stopped")
        return voice.STOPPED
    except TicketError as error:
        if debug:
            raise
        return voice.complain(error)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, ImportError) and voice.is_library(error):
            return voice.lack(error)
        voice.say(f"a fault of this program ({type(error).__name__})")
        voice.hint("run it again with --debug, and report what it prints; it holds no secret")
        return voice.REFUSED
