"""`e2ee-ticket setup`: a few questions, each answer tested against the real thing.

Each step writes what it found out when it is over, so that Ctrl-C loses nothing but the step it
interrupts. Run again, what is set already is the default of every question.
"""

import argparse
import asyncio
import contextlib
import locale
import os
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from e2ee_ticket import qr
from e2ee_ticket.cli import config as config_command
from e2ee_ticket.cli import service, setup_sources, voice
from e2ee_ticket.cli.display import rows_of_digits
from e2ee_ticket.cli.questions import NONE, Questions, choose_language
from e2ee_ticket.cli.terminal import Keyboard, Terminal
from e2ee_ticket.client import RelayClient, RelayInfo
from e2ee_ticket.errors import ConfigError, RelayError, TicketError
from e2ee_ticket.protocol.channel import PairingLink
from e2ee_ticket.protocol.link import is_origin
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.till import audit, lan_pages, settings_file
from e2ee_ticket.till.checks import check_printer
from e2ee_ticket.till.clock import SystemClock
from e2ee_ticket.till.config import (
    LAN_LISTEN,
    PREFIX,
    Config,
    LanConfig,
    TillConfig,
    config_path,
    load,
)
from e2ee_ticket.till.displays import Displays, Pairing, idle_of, pair
from e2ee_ticket.till.lan import LanDisplay
from e2ee_ticket.till.lock import is_locked
from e2ee_ticket.till.paper import with_port
from e2ee_ticket.till.screen import Screen

TILLS_MAX: Final = 20
HELLO_SECONDS: Final = 300.0
PHONE_SECONDS: Final = 120.0
PAPER_DOTS: Final = {"80": 576, "58": 384}
"""How many dots receipt printers have in a row, by the width of their paper in millimetres."""

_T = TypeVar("_T")


def run(parsed: argparse.Namespace, terminal: Terminal | None = None) -> int:
    """Ask, test, write."""
    lang = parsed.lang or choose_language(os.environ, locale.getlocale()[0])
    answers = _read_answers(parsed.answers)
    asking = Questions(terminal or Keyboard(), lang, answers, take_defaults=parsed.yes)
    with asyncio.Runner() as runner:
        try:
            return Setup(asking, runner, config_path(os.environ)).run()
        except KeyboardInterrupt:
            asking.tell()
            asking.say("stopped")
            return voice.STOPPED


def _read_answers(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import tomllib  # noqa: PLC0415 - only here

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the answers in {path.name} cannot be read") from error


class Setup:
    """One run through the questions."""

    def __init__(self, asking: Questions, runner: asyncio.Runner, path: Path) -> None:
        self.asking = asking
        self.path = path
        self.config = load()
        self._runner = runner

    def run(self) -> int:
        """Ask everything; return the exit code."""
        self.asking.say("intro")
        steps = (
            ("relay.title", self._relay),
            ("shop.title", self._shop),
            ("tills.title", self._tills),
            ("program.title", lambda: setup_sources.ask(self)),
            ("paper_printer.title", self._printers),
            ("display.title", self._displays),
            ("sale.title", self._sale),
            ("service.title", self._service),
        )
        for number, (title, step) in enumerate(steps, 1):
            self.asking.step(number, len(steps), title)
            step()
        self.asking.tell()
        self.asking.say("done")
        self.asking.say("done.next")
        if not self._served:
            self.asking.say("done.agent")
        self.asking.say("kept", file=self.path)
        for name in sorted(os.environ):
            if name.startswith(PREFIX) and name not in _PLACES and os.environ[name]:
                self.asking.say("environment", name=name)
        return voice.DONE

    _served = False

    def wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run something that takes a moment."""
        return self._runner.run(work)

    def write(self, **changes: object | None) -> None:
        """Write what was found out, and read it back as the agent will."""
        settings_file.edit(self.path, changes)
        self.reload()

    def reload(self) -> None:
        """Read the configuration as the agent will."""
        self.config = load()

    # The relay

    def _relay(self) -> None:
        asking, config = self.asking, self.config
        asking.say("relay.why")
        origin, info = asking.ask("relay", self._try_relay, default=config.relay)
        asking.well("relay.ok")
        permit = None
        if info.mode == "closed":
            asking.say("permit.why")
            if config.permit is not None:
                asking.say("permit.keep")
            permit = asking.ask(
                "permit",
                lambda text: self._try_permit(origin, text),
                default=config.permit,
                hidden=True,
            )
            asking.well("permit.ok")
        page = self._page(origin)
        self.write(relay=origin, page=None if page == origin else page)
        if permit is not None and permit != config.permit:
            config_command.keep_permit(self.path, permit)
            self.reload()

    def _try_relay(self, text: str) -> tuple[str, RelayInfo]:
        origin = read_origin(text)

        async def ask() -> RelayInfo:
            async with RelayClient(origin) as relay:
                return await relay.info()

        return origin, self.wait(ask())

    def _try_permit(self, origin: str, text: str) -> str:
        async def ask() -> None:
            async with RelayClient(origin, permit=text) as relay:
                await relay.try_permit()

        self.wait(ask())
        return text

    def _page(self, relay: str) -> str:
        """Ask for the page until it is the released one, or is wanted all the same."""
        asking = self.asking
        asking.say("page.why")
        default = self.config.page or relay
        while True:
            page = asking.ask("page", read_origin, default=default)
            verdict = self.wait(audit.audit(page, relay, self.config.page_hashes))
            if verdict.ok:
                asking.well("page.ok")
                return page
            changed = verdict.state == "changed"
            key = "page.changed" if changed else "page.unreachable"
            asking.tell("  " + asking.words[key])
            asking.tell("    " + asking.words["detail"].format(text=verdict.text))
            if asking.yes("page_anyway", default=False):
                return page
            if asking.alone:
                raise ConfigError(f"page: {verdict.text}")

    # The shop

    def _shop(self) -> None:
        asking, config = self.asking, self.config
        asking.say("shop.why")
        shop = asking.ask("shop", _read_name, default=config.shop)
        asking.say("lang.why")
        lang = asking.ask("lang", self._judged("lang"), default=config.lang or asking.lang)
        asking.say("country.why")
        country = asking.ask(
            "country", self._read_country, default=config.notice or _guess_country() or NONE
        )
        asking.say("paper.why")
        if country == "FR":
            asking.say("paper.fr")
        paper = asking.choose("paper", ("ask", "always"), default=config.paper)
        self.write(shop=shop, lang=lang, notice=country, paper=None if paper == "ask" else paper)

    def _judged(self, key: str) -> Any:  # noqa: ANN401 - a reader
        """Let the configuration's own rules judge an answer."""

        def read(text: str) -> str:
            settings_file.judge_change(self.path, {key: text})
            return text

        return read

    def _read_country(self, text: str) -> str | None:
        if text == NONE:
            return None
        settings_file.judge_change(self.path, {"notice": text.upper()})
        return text.upper()

    # The tills

    def _tills(self) -> None:
        asking = self.asking
        present = settings_file.read_tables(self.path, "till")
        asking.say("tills.why")
        named = asking.given("tills")
        if isinstance(named, list):
            names = [_read_name(str(name)) for name in named]
        else:
            count = asking.number("tills", 1, TILLS_MAX, default=len(present) or 1)
            names = []
            for number in range(1, count + 1):
                known = present[number - 1]["name"] if number <= len(present) else None
                names.append(
                    asking.ask(
                        "till_name",
                        lambda text: _read_new_name(text, names),
                        default=known or asking.words["till_name.default"].format(n=number),
                        key=f"till_name_{number}",
                        n=number,
                    )
                )
        tables = [
            {**(present[i] if i < len(present) else {}), "name": name}
            for i, name in enumerate(names)
        ]
        changes: dict[str, object] = {"till": tables}
        renamed = {old["name"]: new for old, new in zip(present, names, strict=False)}
        sources = settings_file.read_tables(self.path, "source")
        moved = [setup_sources.rename(source, renamed, names) for source in sources]
        if moved != sources:
            changes["source"] = moved
        self.write(**changes)

    # Paper

    def _printers(self) -> None:
        asking = self.asking
        asking.say("paper_printer.why")
        for number, till in enumerate(self.config.tills, 1):
            printer = asking.ask(
                "paper_printer",
                self._try_printer,
                default=till.printer or NONE,
                key=f"paper_printer_{number}",
                till=till.name,
            )
            changes: dict[str, object | None] = {"printer": printer}
            if printer is not None:
                asking.well("paper_printer.ok")
                changes["printer_dots"] = self._ask_dots(till, number)
            settings_file.edit_table(self.path, "till", till.name, changes)
        self.reload()

    def _ask_dots(self, till: TillConfig, number: int) -> int:
        """Ask how wide the printer's paper is; dots that somebody has counted stay."""
        widths = {dots: width for width, dots in PAPER_DOTS.items()}
        if till.printer_dots not in widths:
            return till.printer_dots
        width = self.asking.choose(
            "paper_width",
            tuple(PAPER_DOTS),
            default=widths[till.printer_dots],
            key=f"paper_width_{number}",
        )
        return PAPER_DOTS[width]

    def _try_printer(self, text: str) -> str | None:
        if text == NONE:
            return None
        address = with_port(text)
        finding = self.wait(check_printer(address))
        if not finding.ok:
            raise ConfigError(finding.text)
        return address

    # Displays

    def _displays(self) -> None:
        asking = self.asking
        asking.say("display.why")
        for number, till in enumerate(self.config.tills, 1):
            paired = {known.name.casefold() for known in Displays(self.config.state_dir).all()}
            if till.display is not None and till.display.casefold() in paired:
                asking.say("display.present", till=till.name, display=till.display)
                continue
            if asking.yes(
                "display", default=not asking.alone, key=f"display_{number}", till=till.name
            ):
                self._pair(till.name, _free(till.name, paired))
        self.reload()

    def _pair(self, till: str, name: str) -> None:
        """Pair a display, show its code, and wait for it as long as somebody likes to."""
        asking, config = self.asking, self.config
        try:
            pairing = self.wait(_pair(config, name))
        except RelayError as error:
            asking.retry("display", error, {"till": till})
            return
        settings_file.edit_table(self.path, "till", till, {"display": name})
        link = PairingLink(config.page_origin, pairing.secret)
        asking.tell()
        asking.show(qr.to_terminal(qr.make(link)).rstrip("\n"))
        asking.say("display.scan")
        asking.say("display.type", address=f"{link.page}/d")
        asking.tell()
        for row in rows_of_digits(link):
            asking.tell(f"    {row}")
        asking.tell()
        asking.say("display.care")
        if is_locked(config.state_dir):
            asking.say("display.agent")  # two that wait would take the display from each other
            self._offer_lan(pairing)
        elif self._wait_for(_await_display(config, pairing)):
            asking.well("display.ok")
        elif not self._offer_lan(pairing):
            asking.say("display.later")

    def _wait_for(self, coming: Coroutine[Any, Any, bool]) -> bool:
        """Wait until a display has come, as long as somebody likes to."""
        if self.asking.alone:
            coming.close()
            return False
        with contextlib.suppress(KeyboardInterrupt):
            self.asking.say("display.waiting")
            return self.wait(coming)
        self.asking.tell()
        return False

    def _offer_lan(self, pairing: Pairing) -> bool:
        """Offer the page on the shop's network for a tablet that is too old for the real one.

        Returns whether more need not be said of this display.
        """
        asking = self.asking
        if not asking.yes("lan_wanted", default=False):
            return False
        if self.config.lan is None:
            asking.say("lan.why")
            asking.tell()
            asking.tell("  " + lan_pages.risk(asking.lang))
            asking.tell()
            if not asking.yes("lan", default=False):
                return False
            self.write(lan={"listen": LAN_LISTEN})
        config = self.config
        lan = LanDisplay(
            config.lan or LanConfig(),
            relay=config.relay_origin,
            page=config.page_origin,
            pairings=Displays(config.state_dir).all,
            clock=SystemClock(),
            lang=config.lang,
        )
        asking.say("lan.type", address=f"{lan.origins()[0]}/d")
        asking.tell()
        asking.show(qr.to_terminal(qr.make(lan.link(pairing))).rstrip("\n"))
        if is_locked(config.state_dir):
            return True  # the agent serves the page as soon as it sees that it is to
        try:
            connected = self._wait_for(_await_on(lan, config, pairing))
        except ConfigError as error:
            asking.say("lan.failed")
            asking.tell("    " + asking.words["detail"].format(text=str(error)))
            return False
        if connected:
            asking.well("display.ok")
        return connected

    # A test

    def _sale(self) -> None:
        asking = self.asking
        asking.say("sale.why")
        if asking.yes("sale", default=not asking.alone):
            try:
                self.wait(self._send())
            except KeyboardInterrupt:
                asking.tell()
            except TicketError as error:
                asking.say("sale.failed")
                asking.tell("    " + asking.words["detail"].format(text=str(error)))

    async def _send(self) -> None:
        """Seal a made-up receipt, upload it, and wait for a phone."""
        from e2ee_ticket.pdf.draw import draw_receipt, sample_receipt  # noqa: PLC0415 - only here
        from e2ee_ticket.pdf.money import format_money  # noqa: PLC0415 - only here
        from e2ee_ticket.pdf.words import words_of_receipt  # noqa: PLC0415 - only here

        asking, config = self.asking, self.config
        sample = sample_receipt(config.lang or asking.lang)
        ticket = Ticket(
            receipt=await asyncio.to_thread(draw_receipt, sample),
            name="test.pdf",
            title=config.shop or sample.shop.name,
            total=format_money(sample.total, sample.currency, sample.lang),
            lang=config.lang,
            lines=words_of_receipt(sample),
        )
        async with RelayClient(config.relay_origin, permit=config.permit) as relay:
            link = await relay.send(ticket, page=config.page_origin)
            asking.tell()
            asking.show(qr.to_terminal(qr.make(link)).rstrip("\n"))
            asking.say("sale.scan")
            if asking.alone:
                asking.well("sale.unopened")
                return
            asking.say("sale.waiting")
            state = "stored"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PHONE_SECONDS):
                    while state == "stored":
                        found = await relay.state(
                            link.secret.id, link.secret.token(), since=state, wait=20
                        )
                        state = found.state
        if state in ("opened", "received"):
            asking.well("sale.opened")
        else:
            asking.say("sale.unopened")

    # Every day

    def _service(self) -> None:
        asking = self.asking
        asking.say("service.why")
        if not asking.yes("service", default=not asking.alone):
            return
        try:
            self._served = service.install_service(service.describe()) == voice.DONE
        except ConfigError as error:
            asking.tell("    " + asking.words["detail"].format(text=str(error)))
        if not self._served:
            asking.say("service.failed")


_PLACES: Final = (f"{PREFIX}CONFIG", f"{PREFIX}STATE")


def read_origin(text: str) -> str:
    """Make an origin of what people type for one.

    Raises:
        ConfigError: it cannot be one.
    """
    text = text.strip().rstrip("/")
    if "://" not in text:
        text = f"https://{text}"
    scheme, _, rest = text.partition("://")
    origin = f"{scheme.lower()}://{rest.partition('/')[0].lower()}"
    if not is_origin(origin):
        raise ConfigError("an address is https://host; http:// is for this computer only")
    return origin


def _read_name(text: str) -> str:
    if not 0 < len(text) <= 60 or not text.isprintable():
        raise ConfigError("a name has 1 to 60 printable characters")
    return text


def _read_new_name(text: str, taken: Sequence[str]) -> str:
    if text.casefold() in (name.casefold() for name in taken):
        raise ConfigError("this name is taken")
    return _read_name(text)


def _free(wanted: str, taken: set[str]) -> str:
    """Find a name for a display that no other has."""
    name, number = wanted, 2
    while name.casefold() in taken:
        name, number = f"{wanted} {number}", number + 1
    return name


def _guess_country() -> str | None:
    place = (os.environ.get("LC_ALL") or os.environ.get("LANG") or "").partition(".")[0]
    country = place.partition("_")[2]
    return country if len(country) == 2 and country.isalpha() and country.isupper() else None


async def _pair(config: Config, name: str) -> Pairing:
    async with RelayClient(config.relay_origin, permit=config.permit) as relay:
        return await pair(relay, Displays(config.state_dir), name)


async def _await_on(lan: LanDisplay, config: Config, pairing: Pairing) -> bool:
    async with lan:
        return await _await_display(config, pairing)


async def _await_display(config: Config, pairing: Pairing) -> bool:
    async with (
        RelayClient(config.relay_origin, permit=config.permit) as relay,
        Screen(relay, pairing, idle_of(config), SystemClock()) as screen,
    ):
        await screen.until(lambda: screen.shown, HELLO_SECONDS)
        return screen.shown
