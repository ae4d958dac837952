"""What can be said to `e2ee-ticket`: its commands, their options, their help."""

import argparse
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from e2ee_ticket.cli import voice

_WIDTH: Final = 98
Command = Callable[[argparse.Namespace], int]

_ABOUT = """\
Receipts without paper and without being watched: a till seals a receipt with a key that is only in
the QR code, a relay that can read nothing carries it, the customer's phone opens it.
"""

_ENVIRONMENT = """\
configuration:
  e2ee-ticket setup asks for it and writes it:
  config.toml in the user's configuration directory, or the file E2EE_TICKET_CONFIG names.
  Every key is also an environment variable, which wins:
    relay           E2EE_TICKET_RELAY           the relay, https://host
    page            E2EE_TICKET_PAGE            the pages' address; the relay's unless set
    permit          E2EE_TICKET_PERMIT          for a relay that wants one
    permit_file     E2EE_TICKET_PERMIT_FILE     a file that holds the permit
    shop            E2EE_TICKET_SHOP            the shop's name
    lang            E2EE_TICKET_LANG            language of receipts and displays, such as fr
    notice          E2EE_TICKET_NOTICE          country of the legal notice, such as FR
    ticket_seconds  E2EE_TICKET_TICKET_SECONDS  how long a display shows a code (90)
    display_count   E2EE_TICKET_DISPLAY_COUNT   screens that may listen to one pairing (1)
    keep_seconds    E2EE_TICKET_KEEP_SECONDS    how long the relay keeps what nobody opens
    state           E2EE_TICKET_STATE           directory of the outbox and of paired displays
                                                (beside the file that E2EE_TICKET_CONFIG names)

exit codes:
  0 done, 1 refused, 2 misused, 75 try again later, 130 stopped by Ctrl-C

example:
  E2EE_TICKET_RELAY=https://receipts.example e2ee-ticket send receipt.pdf
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal; argparse's own way to find that out imports archive formats."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_width())
        # Argparse measures a command's name without its indent, and breaks the longest.
        self._action_max_length = len("    uninstall")


def _width() -> int:
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return _WIDTH
    return max(40, min(columns - 2, _WIDTH))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        voice.say(message)
        voice.hint(f"{self.prog} --help")
        self.exit(voice.MISUSED)


def parse(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line; on --help and on misuse, exit."""
    # Argparse cannot have an optional value before a file name: `--wait FILE` would swallow it.
    given = ["--wait=opened" if argument == "--wait" else argument for argument in given]
    return build(given[:1]).parse_args(given)


def command(parsed: argparse.Namespace) -> Command:
    """Import and return the command that was asked for."""
    module = importlib.import_module(f"e2ee_ticket.cli.{parsed.module}")
    run: Command = getattr(module, parsed.function)
    return run


def build(first: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Build the grammar; of all commands only the one that comes first, which is faster."""
    parser = _Parser(
        prog=voice.PROGRAM,
        description=_ABOUT,
        epilog=_ENVIRONMENT,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )
    adding = {
        "send": _add_send,
        "open": _add_open,
        "inspect": _add_inspect,
        "display": _add_display,
        "outbox": _add_outbox,
        "revoke": _add_revoke,
        "agent": _add_agent,
        "console": _add_console,
        "setup": _add_setup,
        "check": _add_check,
        "page": _add_page,
        "config": _add_config,
        "service": _add_service,
        "uninstall": _add_uninstall,
    }
    for name in first if set(first) & set(adding) else adding:
        adding[name](commands)
    return parser


class _Version(argparse.Action):
    """The version, looked up only where it is printed."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from e2ee_ticket import __version__  # noqa: PLC0415 - only here

        voice.result(f"{voice.PROGRAM} {__version__}")
        parser.exit()


def _add(
    commands: Any,  # noqa: ANN401 - argparse's own class has no public name
    name: str,
    about: str,
    example: str,
    *,
    module: str | None = None,
    function: str = "run",
) -> argparse.ArgumentParser:
    """Add a command with its help: a sentence first, examples last."""
    lines = "\n".join(f"  {line}" for line in example.strip().splitlines())
    first = re.split(r"[;.]", about, maxsplit=1)[0]
    added: argparse.ArgumentParser = commands.add_parser(
        name,
        help=first[0].lower() + first[1:],
        description=about,
        epilog=f"example:\n{lines}\n",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    if module is not None:
        added.set_defaults(module=module, function=function)
        added.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks"
        )
    return added


def _add_send(commands: Any) -> None:  # noqa: ANN401 - idem
    send = _add(
        commands,
        "send",
        "Send a receipt to the customer's phone.\n\n"
        "The QR code is drawn at once, the upload follows behind it. What cannot be uploaded now\n"
        "is kept in the outbox, for the next send or outbox flush.",
        """
e2ee-ticket send receipt.pdf
e2ee-ticket send --display "Till 1" --total "54,64 €" --wait receipt.pdf
lpr-filter | e2ee-ticket send --json --wait=opened -""",
        module="send",
    )
    send.add_argument("file", metavar="FILE.pdf", help="the receipt; - reads it from stdin")
    send.add_argument("--display", metavar="NAME", help="show it on this paired display")
    send.add_argument("--title", metavar="TEXT", help="the shop (default: shop, as configured)")
    send.add_argument("--total", metavar="TEXT", help='the amount, as in "54,64 €"')
    send.add_argument("--number", metavar="TEXT", help="the receipt's number")
    send.add_argument("--lang", metavar="TAG", help="the receipt's language, such as fr")
    send.add_argument(
        "--wait",
        choices=("received", "opened"),
        metavar="received",
        help="--wait ends when the customer has opened it, --wait=received when they have said"
        " that it is saved; or when it was revoked or has expired (then with 1)",
    )
    send.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="stop trying or waiting after so long (default: 60, none with --wait)",
    )
    send.add_argument("--link", action="store_true", help="print the link alone on stdout")
    send.add_argument(
        "--json",
        action="store_true",
        help="print one object per event on stdout: id, state, shown, expires_in",
    )
    send.add_argument(
        "--svg",
        type=Path,
        metavar="FILE",
        help="also draw the code into this file; whoever has it has the receipt",
    )
    send.add_argument(
        "--png",
        type=Path,
        metavar="FILE",
        help="also draw the code into this file; whoever has it has the receipt",
    )


def _add_open(commands: Any) -> None:  # noqa: ANN401 - idem
    open_ = _add(
        commands,
        "open",
        "Fetch and open the receipt of a link; the link is read from stdin, never an argument.\n"
        "Prints the name of the file it wrote.",
        """
e2ee-ticket open
e2ee-ticket open -o receipt.pdf < link.txt""",
        module="open",
    )
    open_.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="where to write it, - for stdout; never overwrites (default: the ticket's name)",
    )
    open_.add_argument(
        "--no-ack",
        "--state-quiet",
        dest="quiet",
        action="store_true",
        help="do not tell the relay that it was opened and saved",
    )


def _add_inspect(commands: Any) -> None:  # noqa: ANN401 - idem
    inspect = _add(
        commands,
        "inspect",
        "Show what anyone can see of an envelope without its secret; or what is inside a PDF.",
        """
e2ee-ticket inspect envelope.bin
e2ee-ticket inspect --json receipt.pdf
e2ee-ticket inspect --dump TakePOS --mask""",
        module="inspect",
    )
    what = inspect.add_mutually_exclusive_group(required=True)
    what.add_argument("file", metavar="FILE", nargs="?", help="an envelope or a PDF; - reads stdin")
    what.add_argument(
        "--dump",
        metavar="SOURCE",
        help="write the bytes of the last receipts of a source, as it got them, into files",
    )
    inspect.add_argument(
        "--mask", action="store_true", help="with --dump: make letters and digits unreadable"
    )
    inspect.add_argument(
        "--last",
        metavar="N",
        type=_count,
        default=3,
        help="with --dump: how many; 3 if not given",
    )
    inspect.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        default=".",
        help="with --dump: where; here if not given",
    )
    inspect.add_argument("--json", action="store_true", help="print one JSON object")


def _add_display(commands: Any) -> None:  # noqa: ANN401 - idem
    display = _add(
        commands,
        "display",
        "Pair, list, test and remove the screens that customers see.",
        'e2ee-ticket display add "Till 1"',
    )
    what = display.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )
    add = _add(
        what,
        "add",
        "Pair a display; shows a QR code and an address for the tablet, and digits to type where\n"
        "it has no camera. Then waits until the display says hello.",
        """
e2ee-ticket display add "Till 1"
e2ee-ticket display add --link --no-wait "Till 1\"""",
        module="display",
        function="add",
    )
    add.add_argument("name", metavar="NAME", help="what this till calls the display")
    add.add_argument("--no-wait", action="store_true", help="do not wait for the display's hello")
    add.add_argument("--link", action="store_true", help="print the pairing link alone on stdout")
    listing = _add(
        what,
        "list",
        "List the paired displays.",
        "e2ee-ticket display list",
        module="display",
        function="list_",
    )
    listing.add_argument("--json", action="store_true", help="print one object per display")
    test = _add(
        what,
        "test",
        "Show a few lines on a display, and say whether it does.",
        'e2ee-ticket display test "Till 1"',
        module="display",
        function="test",
    )
    test.add_argument("name", metavar="NAME", help="the display")
    test.add_argument(
        "--timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long to wait for the display (10)",
    )
    remove = _add(
        what,
        "remove",
        "Unpair a display for good; it says so on its screen.",
        'e2ee-ticket display remove "Till 1"',
        module="display",
        function="remove",
    )
    remove.add_argument("name", metavar="NAME", help="the display")
    remove.add_argument(
        "--forget",
        action="store_true",
        help="forget it here even if the relay cannot be told",
    )


def _add_outbox(commands: Any) -> None:  # noqa: ANN401 - idem
    outbox = _add(
        commands,
        "outbox",
        "Look at what is not delivered yet, or finish it.",
        "e2ee-ticket outbox flush",
    )
    what = outbox.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )
    listing = _add(
        what,
        "list",
        "List the tickets of the last 7 days and what became of them.",
        "e2ee-ticket outbox list",
        module="outbox",
        function="list_",
    )
    listing.add_argument("--json", action="store_true", help="print one object per ticket")
    flush = _add(
        what,
        "flush",
        "Upload what is not uploaded yet, and revoke what is to be revoked.",
        "e2ee-ticket outbox flush --timeout 600",
        module="outbox",
        function="flush",
    )
    flush.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="stop trying after so long (60)",
    )


def _add_revoke(commands: Any) -> None:  # noqa: ANN401 - idem
    revoke = _add(
        commands,
        "revoke",
        "Take a ticket back; the relay deletes it, and its link opens nothing any more.",
        "e2ee-ticket revoke 3f9a61c2",
        module="outbox",
        function="revoke",
    )
    revoke.add_argument("id", metavar="ID", help="the id, or its first 8 digits: outbox list")
    revoke.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="stop trying after so long (60)",
    )


def _add_agent(commands: Any) -> None:  # noqa: ANN401 - idem
    agent = _add(
        commands,
        "agent",
        "Run the till; every source, every display and the cashier's page, until it is stopped.",
        """
e2ee-ticket agent
e2ee-ticket service install""",
        module="agent",
    )
    agent.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="write the log into this file, for a start without a window; two older ones are kept",
    )
    agent.add_argument(
        "--setting",
        action="append",
        type=_setting,
        default=[],
        metavar="NAME=VALUE",
        help="an environment variable of e2ee-ticket --help, where a start can have none",
    )


def _add_console(commands: Any) -> None:  # noqa: ANN401 - idem
    console = _add(
        commands,
        "console",
        "Open the cashier's page of the agent that runs on this computer, in the browser.",
        """
e2ee-ticket console
e2ee-ticket console --link
e2ee-ticket console --pin""",
        module="console",
    )
    what = console.add_mutually_exclusive_group()
    what.add_argument(
        "--link", action="store_true", help="print its address, which lets in who has it"
    )
    what.add_argument(
        "--pin", action="store_true", help="set a PIN, with which other devices are let in"
    )
    what.add_argument("--no-pin", action="store_true", help="let no other device in any more")


def _add_setup(commands: Any) -> None:  # noqa: ANN401 - idem
    setup = _add(
        commands,
        "setup",
        "Set this till up; asks a few questions, tests each answer against the real thing, and\n"
        "writes the configuration. Run it again at any time: what is set already is the default.",
        """
e2ee-ticket setup
e2ee-ticket setup --lang fr
e2ee-ticket setup --answers shop.toml --yes""",
        module="setup",
    )
    setup.add_argument(
        "--lang",
        choices=("de", "en", "es", "fr", "it"),
        help="the language of the questions (default: this computer's)",
    )
    setup.add_argument(
        "--answers",
        type=Path,
        metavar="FILE",
        help="answers from a TOML file, by the questions' names, instead of from the keyboard",
    )
    setup.add_argument(
        "--yes", action="store_true", help="take the default of every other question"
    )


def _add_check(commands: Any) -> None:  # noqa: ANN401 - idem
    check = _add(
        commands,
        "check",
        "Test all that is configured against the real thing; one line each. Ends with 0 if all is\n"
        "well, 75 if only the network or a server is away, else 1.",
        """
e2ee-ticket check
e2ee-ticket check --json
e2ee-ticket check --install""",
        module="check",
    )
    check.add_argument("--json", action="store_true", help="print one object per line")
    check.add_argument(
        "--install",
        action="store_true",
        help="test this installation instead: Python, libraries, pages, time zones, folders",
    )


def _add_page(commands: Any) -> None:  # noqa: ANN401 - idem
    page = _add(
        commands,
        "page",
        "Compare the pages that customers open with the released ones.",
        "e2ee-ticket page verify https://receipts.example",
    )
    what = page.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )
    verify = _add(
        what,
        "verify",
        "Fetch the pages of an address as a phone would, and say whether they are the released\n"
        "ones. Ends with 0 if they are, 1 if they are not, 75 if nothing answers.",
        """
e2ee-ticket page verify
e2ee-ticket page verify https://receipts.example --relay https://relay.example""",
        module="page",
        function="verify",
    )
    verify.add_argument(
        "url", metavar="URL", nargs="?", help="where the pages are (default: as configured)"
    )
    verify.add_argument("--relay", metavar="URL", help="the relay that the pages must name")


def _add_config(commands: Any) -> None:  # noqa: ANN401 - idem
    config = _add(
        commands,
        "config",
        "Bring this till to another computer, or change its permit.",
        "e2ee-ticket config export till.sealed",
    )
    what = config.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )
    export = _add(
        what,
        "export",
        "Write configuration, permit, key files and paired displays into one file, which opens\n"
        "with a passphrase only.",
        """
e2ee-ticket config export till.sealed
e2ee-ticket config export --passphrase-stdin till.sealed < passphrase.txt""",
        module="config",
        function="export",
    )
    export.add_argument("file", metavar="FILE", help="where to write it")
    export.add_argument("--force", action="store_true", help="replace a file that is there")
    import_ = _add(
        what,
        "import",
        "Make this computer the till that was exported.",
        "e2ee-ticket config import till.sealed",
        module="config",
        function="import_",
    )
    import_.add_argument("file", metavar="FILE", help="what config export wrote")
    import_.add_argument(
        "--force", action="store_true", help="replace the configuration that is here"
    )
    for command_ in (export, import_):
        command_.add_argument(
            "--passphrase-stdin", action="store_true", help="read the passphrase from stdin"
        )
    _add(
        what,
        "permit",
        "Change the permit; asks for the new one, tries it at the relay, then writes it down.",
        "e2ee-ticket config permit",
        module="config",
        function="permit",
    )


def _add_service(commands: Any) -> None:  # noqa: ANN401 - idem
    service = _add(
        commands,
        "service",
        "Start the agent with the computer, as its operating system does such things.",
        "e2ee-ticket service install",
    )
    what = service.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )
    about = {
        "install": "Start the agent now, and whenever this user logs in.",
        "remove": "Stop the agent, and start it no more.",
        "status": "Say whether the agent is installed and runs.",
    }
    for name, text in about.items():
        added = _add(
            what, name, text, f"e2ee-ticket service {name}", module="service", function=name
        )
        added.add_argument(
            "--system", action="store_true", help="for the whole machine (Linux, with sudo)"
        )


def _add_uninstall(commands: Any) -> None:  # noqa: ANN401 - idem
    uninstall = _add(
        commands,
        "uninstall",
        "Remove this till; delivers what waits, unpairs the displays, overwrites and removes what\n"
        "is kept here. Asks first.",
        """
e2ee-ticket uninstall
e2ee-ticket uninstall --keep-config""",
        module="uninstall",
    )
    uninstall.add_argument(
        "--keep-config", action="store_true", help="leave the configuration and its key files"
    )
    uninstall.add_argument(
        "--forget", action="store_true", help="go on even if the relay cannot be told"
    )
    uninstall.add_argument("--yes", action="store_true", help="do not ask")


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"E2EE_TICKET_[A-Z_]+", name):
        raise argparse.ArgumentTypeError("a setting is E2EE_TICKET_NAME=VALUE")
    if name == "E2EE_TICKET_PERMIT":
        raise argparse.ArgumentTypeError(
            "a permit on the command line can be read by everybody on this computer;"
            " e2ee-ticket config permit keeps it"
        )
    return name, value


_TIMEOUT_MAX: Final = 7 * 24 * 3600


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 100")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
