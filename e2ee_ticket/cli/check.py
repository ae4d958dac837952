"""`e2ee-ticket check`: everything that is configured, tested against the real thing."""

import argparse
import json
import os
import sys

from e2ee_ticket.cli import loop, voice
from e2ee_ticket.sources import Finding
from e2ee_ticket.till.checks import check_all
from e2ee_ticket.till.config import config_path, load

_PLACE_WIDTH = 14


def run(parsed: argparse.Namespace) -> int:
    """Test everything; 0 all is well, 1 something is wrong, 75 something is away for now."""
    config = load()

    async def main() -> int:
        wrong: list[Finding] = []
        async for name, finding in check_all(config, config_path(os.environ)):
            _tell(name, finding, as_json=parsed.json)
            if not finding.ok:
                wrong.append(finding)
        if not wrong:
            return voice.DONE
        return voice.LATER if all(finding.later for finding in wrong) else voice.REFUSED

    return loop.run(main())


def _tell(name: str, finding: Finding, *, as_json: bool) -> None:
    name = voice.printable(name)
    if as_json:
        members = {"place": name, "ok": finding.ok, "text": finding.text, "hint": finding.hint,
                   "later": finding.later}  # fmt: skip
        voice.result(json.dumps(members, ensure_ascii=False))
        return
    mark = _coloured("ok  ", "32") if finding.ok else _coloured("FAIL", "1;31")
    voice.result(f"{mark}  {name:<{_PLACE_WIDTH}}  {voice.printable(finding.text)}")
    if finding.hint is not None and not finding.ok:
        voice.result(f"      {'':<{_PLACE_WIDTH}}  hint: {voice.printable(finding.hint)}")


def _coloured(text: str, colour: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"
