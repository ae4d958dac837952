"""`e2ee-ticket check`: everything that is configured, tested against the real thing."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from e2ee_ticket.cli import installation, voice

if TYPE_CHECKING:
    from e2ee_ticket.sources import Finding

_PLACE_WIDTH = 14


def run(parsed: argparse.Namespace) -> int:
    """Test everything; 0 all is well, 1 something is wrong, 75 something is away for now."""
    if parsed.install:
        return installation.run(as_json=parsed.json)
    # Not before: `--install` works where libraries are missing.
    from e2ee_ticket.cli import loop  # noqa: PLC0415
    from e2ee_ticket.till.checks import check_all  # noqa: PLC0415
    from e2ee_ticket.till.config import config_path, load  # noqa: PLC0415

    config = load()

    async def main() -> int:
        wrong: list[Finding] = []
        async for name, finding in check_all(config, config_path(os.environ)):
            tell(
                name, finding.ok, finding.text, finding.hint,
                as_json=parsed.json, more={"later": finding.later},
            )  # fmt: skip
            if not finding.ok:
                wrong.append(finding)
        if not wrong:
            return voice.DONE
        return voice.LATER if all(finding.later for finding in wrong) else voice.REFUSED

    return loop.run(main())


def tell(
    place: str,
    ok: bool | None,  # noqa: FBT001 - beside its name it says itself
    text: str,
    hint: str | None,
    *,
    as_json: bool,
    more: Mapping[str, object] | None = None,
) -> None:
    """Print a finding: good, bad, or (None) worth knowing."""
    place = voice.printable(place)
    if as_json:
        members = {"place": place, "ok": ok, "text": text, "hint": hint, **(more or {})}
        voice.result(json.dumps(members, ensure_ascii=False))
        return
    marks = {True: ("ok  ", "32"), False: ("FAIL", "1;31"), None: ("note", "33")}
    voice.result(f"{_coloured(*marks[ok])}  {place:<{_PLACE_WIDTH}}  {voice.printable(text)}")
    if hint is not None and not ok:
        voice.result(f"      {'':<{_PLACE_WIDTH}}  hint: {voice.printable(hint)}")


def _coloured(text: str, colour: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"
