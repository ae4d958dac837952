"""`e2ee-ticket display`: pairing, listing, testing and removing displays."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from e2ee_ticket.cli import voice
from e2ee_ticket.errors import ConfigError, RelayError
from e2ee_ticket.protocol.channel import PairingLink
from e2ee_ticket.till.clock import SystemClock
from e2ee_ticket.till.config import Config, load
from e2ee_ticket.till.displays import Displays, Pairing, idle_of, pair, sample_of, unpair
from e2ee_ticket.till.lock import is_locked

if TYPE_CHECKING:
    from e2ee_ticket.client import RelayClient
    from e2ee_ticket.till.screen import Notice, Screen

HELLO_SECONDS: Final = 600.0
TEST_SECONDS: Final = 5.0
_GROUP_SIZE: Final = 5
_GROUPS_A_ROW: Final = 6


def add(parsed: argparse.Namespace) -> int:
    """Pair a display: P and wtok, the channel at the relay, the code for the tablet."""
    from e2ee_ticket.cli import loop, session  # noqa: PLC0415 - `list` needs no network

    config = load()
    displays = Displays(config.state_dir)
    page = config.page_origin

    async def main() -> int:
        async with session.relay_client(config) as relay:
            pairing = await pair(relay, displays, parsed.name)
            _show_pairing(PairingLink(page, pairing.secret), alone=parsed.link)
            if is_locked(config.state_dir):
                voice.say("the agent drives it from now on; its console shows when it is connected")
                return voice.DONE
            if parsed.no_wait:
                return voice.DONE
            voice.note("waiting for the display; Ctrl-C ends the waiting, not the pairing")
            async with _screen(config, relay, pairing) as screen:
                await screen.until(lambda: screen.shown, HELLO_SECONDS)
                if screen.shown:
                    voice.say(f"{pairing.name} is connected")
                    return voice.DONE
        voice.say(f"{pairing.name} has not connected")
        voice.hint("it is paired; e2ee-ticket display test looks again")
        return voice.REFUSED

    return loop.run(main())


def list_(parsed: argparse.Namespace) -> int:
    """Name the paired displays."""
    for pairing in Displays(load().state_dir).all():
        name = voice.printable(pairing.name)
        # The channel's name at the relay is no secret; the pairing is not shown again.
        entry = {"name": pairing.name, "channel": pairing.secret.cid}
        voice.result(json.dumps(entry, ensure_ascii=False) if parsed.json else name)
    return voice.DONE


def test(parsed: argparse.Namespace) -> int:
    """Show a few lines for a few seconds, and say whether the display confirms."""
    from e2ee_ticket.cli import loop, session  # noqa: PLC0415 - idem

    config = load()
    pairing = Displays(config.state_dir).find(parsed.name)
    refuse_beside_an_agent(config)

    async def main() -> int:
        async with (
            session.relay_client(config) as relay,
            _screen(config, relay, pairing) as screen,
        ):
            screen.show(sample_of(config))
            shown = await screen.until(lambda: screen.shown, parsed.timeout)
            if shown:
                voice.result(f"{voice.printable(pairing.name)} shows the test")
                await SystemClock().sleep(TEST_SECONDS)
            else:
                voice.say(f"{pairing.name} does not show the test")
                if screen.failure is not None:
                    voice.say(str(screen.failure))
                elif screen.stopped is None:
                    voice.hint("is the tablet awake, online and on its display page?")
            screen.clear()
            await screen.settle()
            return voice.DONE if shown else voice.REFUSED

    return loop.run(main())


def remove(parsed: argparse.Namespace) -> int:
    """End the channel at the relay, then forget the pairing."""
    from e2ee_ticket.cli import loop, session  # noqa: PLC0415 - idem

    config = load()
    displays = Displays(config.state_dir)
    pairing = displays.find(parsed.name)

    async def main() -> int:
        async with session.relay_client(config) as relay:
            try:
                await unpair(relay, pairing)
            except RelayError as error:
                if not parsed.forget:
                    code = voice.complain(error)
                    voice.say("the display stays paired")
                    voice.hint("--forget removes it here alone; the tablet keeps saying hello")
                    return code
                voice.say(f"the relay was not told: {error}")
        displays.forget(pairing.name)
        voice.say(f"{pairing.name} is removed")
        return voice.DONE

    return loop.run(main())


def refuse_beside_an_agent(config: Config) -> None:
    """Refuse to drive a display that the agent drives: it would be taken from it (C38).

    Raises:
        ConfigError: an agent runs.
    """
    if is_locked(config.state_dir):
        raise ConfigError(
            "the agent runs and drives the displays; use its console (e2ee-ticket console),"
            " or stop it first"
        )


def _screen(config: Config, relay: "RelayClient", pairing: Pairing) -> "Screen":
    from e2ee_ticket.till.screen import Notice, Screen, hint  # noqa: PLC0415 - idem

    def report(notice: "Notice") -> None:
        if notice not in (Notice.CONNECTED, Notice.SHOWN, Notice.UNSHOWN):
            voice.say(f"{pairing.name}: {notice.value}")
            voice.hint(hint(notice))

    return Screen(
        relay,
        pairing,
        idle_of(config),
        SystemClock(),
        display_count=config.display_count,
        report=report,
    )


def rows_of_digits(link: PairingLink) -> Iterator[str]:
    """Write a pairing's digits as somebody can type them: in groups, a few a row."""
    digits = link.digits()
    groups = [digits[i : i + _GROUP_SIZE] for i in range(0, len(digits), _GROUP_SIZE)]
    for i in range(0, len(groups), _GROUPS_A_ROW):
        yield "  ".join(groups[i : i + _GROUPS_A_ROW])


def _show_pairing(link: PairingLink, *, alone: bool) -> None:
    """Show the code, the address and the digits; P is what they hold, so it is shown once."""
    if alone:
        voice.result(link.reveal())
        return
    from e2ee_ticket import qr  # noqa: PLC0415 - idem

    try:
        sys.stdout.write(qr.to_terminal(qr.make(link)))
    except UnicodeEncodeError:
        voice.say("this terminal cannot draw the code; type the digits instead")
    voice.result("")
    voice.result("Scan this code with the tablet's camera.")
    voice.result(f"Or open {link.page}/d on the tablet and type these digits:")
    voice.result("")
    for row in rows_of_digits(link):
        voice.result(f"    {row}")
    voice.result("")
    voice.result("Whoever has the code or the digits can read along: do not keep a photo of them.")
