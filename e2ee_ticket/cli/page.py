"""`e2ee-ticket page verify`: the audit of a page, by hand."""

import argparse

from e2ee_ticket import __version__
from e2ee_ticket.cli import loop, voice
from e2ee_ticket.till import audit
from e2ee_ticket.till.config import load


def verify(parsed: argparse.Namespace) -> int:
    """Fetch an origin's pages as a phone would, and compare; 0 as released, 1 changed, 75 away."""
    config = load()
    page = parsed.url or config.page_origin
    relay = parsed.relay or (None if parsed.url else config.relay_origin)

    async def main() -> int:
        return _tell(await audit.audit(page, relay, config.page_hashes))

    return loop.run(main())


def _tell(verdict: audit.Verdict) -> int:
    released = audit.released()
    for path, digest in verdict.hashes:
        if digest == released[path]:
            known = f"released with {__version__}"
        else:
            known = "named by page_hashes" if verdict.ok else "not released"
        voice.result(f"{digest}  {path:<2}  {known}")
    voice.say(verdict.text)
    voice.hint(verdict.hint)
    if verdict.ok:
        return voice.DONE
    return voice.LATER if verdict.state == "unreachable" else voice.REFUSED
