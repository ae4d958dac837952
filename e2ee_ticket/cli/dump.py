"""`e2ee-ticket inspect --dump`: the bytes of a source's last receipts, for whoever is to mend it.

Nothing is written unless it is asked for, and only what the outbox still has: until a receipt was
opened, for a day at most. The files belong to this user alone, and none is overwritten.
"""

import argparse
import re
from pathlib import Path

from e2ee_ticket.cli import session, voice
from e2ee_ticket.errors import ConfigError
from e2ee_ticket.sources.escpos_mask import mask
from e2ee_ticket.till.config import load
from e2ee_ticket.till.displays import write_private


def run(parsed: argparse.Namespace) -> int:
    """Write what the last jobs of a source were.

    Raises:
        ConfigError: there is no such source, or a file cannot be written.
    """
    config = load()
    names = [source.name for source in config.sources]
    if parsed.dump not in names:
        known = ", ".join(names) or "none is configured"
        raise ConfigError(f"there is no source of this name; there are: {known}")
    written = 0
    with session.open_outbox(config) as outbox:
        of_source = [each for each in outbox.accepted() if each.source == parsed.dump]
        for each in of_source[-parsed.last :]:
            job = outbox.paper(each.number)
            ticket = outbox.receipt(each.number) if job is None else None
            if job is not None:
                data, kind = mask(job) if parsed.mask else job, "bin"
            elif ticket is not None and not parsed.mask:
                data, kind = ticket.receipt, "pdf"
            else:
                why = "was let go" if ticket is None else "is a PDF, which cannot be masked"
                voice.say(f"receipt {each.number} {why}")
                continue
            stem = re.sub(r"[^A-Za-z0-9-]+", "-", parsed.dump).strip("-") or "source"
            file = Path(parsed.output) / f"{stem}-{each.number}.{kind}"
            if file.exists():
                raise ConfigError(f"{file} is there already, and is not overwritten")
            write_private(file, data)
            voice.result(str(file))
            written += 1
    if not written:
        voice.say("nothing is written: the outbox has no receipt of this source any more")
        voice.hint("print one receipt, do not open it on a phone, and try again")
        return voice.REFUSED
    if not parsed.mask:
        voice.say("these files hold what customers bought; look at them before you send them")
        voice.hint("--mask makes letters and digits of what a receipt printer gets unreadable")
    return voice.DONE
