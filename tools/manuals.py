"""Makes the manual pages and the completions of both programs from their parsers.

    manuals.py            writes docs/man/ and docs/completion/
    manuals.py --check    says what is not as the parsers have it

They are committed, so that a package of any kind holds the same bytes whoever builds it; the
libraries that write them (argparse-manpage, shtab) are needed by who changes a command only.
"""

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import shtab
from argparse_manpage.manpage import Manpage

from e2ee_ticket import __version__
from e2ee_ticket.cli import arguments
from relay_server.cli import PARSERS
from relay_server.settings import serve_parser

ROOT: Final = Path(__file__).resolve().parents[1]
SHELLS: Final = ("bash", "fish", "zsh")
NAMES: Final = {
    "e2ee-ticket": "receipts without paper, end-to-end encrypted from the till to the phone",
    "relay-server": "carry receipts that it cannot read from tills to phones",
}
SEE_ALSO: Final = {
    "e2ee-ticket": r".BR relay\-server (1)",
    "relay-server": r".BR e2ee\-ticket (1)",
}
FILES: Final = {
    "e2ee-ticket": r"""
.TP
\fI~/.config/e2ee\-ticket/config.toml\fR
the configuration; its place on each system is said by \fBe2ee\-ticket check \-\-install\fR
.TP
\fI/var/lib/e2ee\-ticket/\fR
configuration and outbox of the service of the machine
""",
    "relay-server": r"""
.TP
\fI/etc/relay\-server.env\fR
settings of the service: every flag in capitals, with RELAY_ in front
.TP
\fI/var/lib/relay\-server/relay.sqlite\fR
the database of the service
""",
}
STATUS: Final = {
    "e2ee-ticket": "0 done, 1 refused, 2 misused, 75 try again later, 130 stopped by Ctrl\\-C",
    "relay-server": "0 done, 1 refused, 2 misused, 130 stopped by Ctrl\\-C",
}


def till_parser() -> argparse.ArgumentParser:
    """Return the grammar of `e2ee-ticket` with all of its commands."""
    return arguments.build()


def relay_parser() -> argparse.ArgumentParser:
    """Return the grammar of `relay-server` and of the commands beside a running one."""
    parser: argparse.ArgumentParser = serve_parser()
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, make in PARSERS.items():
        made = make()
        first = re.split(r"[;:,.]", made.description or "", maxsplit=1)[0]
        commands.add_parser(name, help=first[0].lower() + first[1:])
        commands.choices[name] = made
    return parser


def manual(parser: argparse.ArgumentParser) -> str:
    """Write the manual page of a program, with the examples of its commands at the end."""
    examples = "".join(_examples(parser))
    page = Manpage(
        parser,
        format="single-commands-section",
        _data={
            "project_name": "e2ee-ticket",
            "version": __version__,
            "manual_title": "e2ee-ticket",
            "description": NAMES[parser.prog],
        },
    )
    page.date = ""  # the version says more, and a day would make a page of every build
    page.add_section("exit status", "=", STATUS[parser.prog])
    page.add_section("files", "=", FILES[parser.prog].strip())
    if examples:
        page.add_section("examples", "=", f".nf\n{examples}.fi")
    page.add_section("see also", "=", SEE_ALSO[parser.prog])
    text = re.sub(r"(?m)^ +$", "", str(page)).replace(".SH\nCOMMANDS", ".SH COMMANDS")
    text = re.sub(r"(?m)^usage: (.*(?:\n +\S.*)*)", lambda found: " ".join(found[1].split()), text)
    return re.sub(r"(?s)\.SH COMMENTS\n(.*?)\n(?=\.SH )", r".SH ENVIRONMENT\n.nf\n\1\n.fi\n", text)


def _examples(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to its commands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - idem
            for child in action.choices.values():
                found = re.search(r"(?s)^example:\n(.*)", child.epilog or "")
                if found:
                    yield found[1].replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
                yield from _examples(child)


def made() -> Mapping[Path, str]:
    """Make every file, by its path in the repository; the same text in any window."""
    files = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for make in (till_parser, relay_parser):
            name = make().prog
            files[ROOT / f"docs/man/{name}.1"] = manual(make())
            for shell in SHELLS:
                files[ROOT / f"docs/completion/{name}.{shell}"] = (
                    shtab.complete(make(), shell=shell).rstrip() + "\n"
                )
    return files


def main() -> int:
    """Write or check."""
    os.environ["COLUMNS"] = "100"
    files = made()
    if "--check" in sys.argv[1:]:
        old = [
            str(path.relative_to(ROOT))
            for path, text in files.items()
            if not path.exists() or path.read_text("utf-8").split() != text.split()
        ]
        print("\n".join(f"{path} is not what the parsers make: make manuals" for path in old))
        return 1 if old else 0
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
