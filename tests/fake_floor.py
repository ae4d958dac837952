"""A shop floor as a test wants it: the console's other side, and a console that runs.

`FakeFloor` is e2ee_ticket.till.floor.Floor; what is done to it stands in `done`, and `refuse` makes
the next call fail. `Running` serves a console in a thread, for a real browser.
"""

import asyncio
import threading
from dataclasses import replace

import stage
from fakes import settle

from e2ee_ticket.errors import OutboxError, TicketError
from e2ee_ticket.protocol.channel import PairingLink, PairingSecret
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.till.config import Config, ConsoleConfig, LanConfig, SourceConfig, TillConfig
from e2ee_ticket.till.floor import (
    DisplayState,
    PageState,
    RelayState,
    Sale,
    SourceState,
    Trouble,
)
from e2ee_ticket.till.lan import LanPairingLink
from e2ee_ticket.till.states import SaleState

NOW = 1_800_000_000.0
PAGE = "https://recus.example"
LAN = "http://192.168.1.20:8423"
UNSHOWN = "the display does not confirm that it shows the code"
UNSHOWN_HINT = "is the tablet awake and online? the code is shown here instead"
ALL = frozenset({"show", "here", "revoke", "paper"})


def make_sale(number=1, state="stored", **changes):
    """A sale on the display, unless told otherwise."""
    sale = Sale(
        number=number,
        till="Caisse 1",
        source="TakePOS",
        at=NOW - 60 * (40 - number % 40),
        title="Au Petit Marché",
        total="41,37 €",
        receipt=f"2026-{4200 + number:06d}",
        state=SaleState(state),
        shown=True,
        seen=True,
        on_screen=state in ("sealed", "stored"),
        here=False,
        warning=None,
        hint=None,
        also=(),
        remarks=(),
        actions=ALL,
        expires_at=NOW + 86_400,
    )
    return replace(sale, **changes)


def make_config(**changes):
    config = Config(
        relay="https://relais.example",
        page=PAGE,
        shop="Au Petit Marché",
        lang="fr",
        notice="FR",
        tills=(TillConfig("Caisse 1", display="Comptoir"),),
        sources=(SourceConfig("takepos", "TakePOS", "Caisse 1"),),
    )
    return replace(config, **changes)


class FakeFloor:
    def __init__(self, config=None, sales=()):
        self.config = config or make_config()
        self.all_sales = list(sales)
        self.all_troubles = []
        self.all_refusals = []
        self.all_displays = [DisplayState("Comptoir", ("Caisse 1",), True, "idle", None)]  # noqa: FBT003
        self.all_sources = [
            SourceState("TakePOS", "takepos", "Caisse 1", NOW - 600, False, None),  # noqa: FBT003
            SourceState("Dolibarr", "dolibarr", "Caisse 1", None, True, None),  # noqa: FBT003
        ]
        self.relay_state = RelayState("https://relais.example", "closed", None, True)  # noqa: FBT003
        self.page_state = PageState(PAGE, "ok", NOW - 3600)
        self.done = []
        self.receipt = None
        self.short = None
        self.confirms = True
        self.links = {}
        self.pairings = {}
        self.count = 1
        self._refusal = None
        self._waiting = set()
        self._arrived = asyncio.Event()

    def refuse(self, error):
        self._refusal = error

    def change(self):
        self.count += 1
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def put(self, sale):
        """Add a sale, or change one."""
        kept = [one for one in self.all_sales if one.number != sale.number]
        self.all_sales = sorted([*kept, sale], key=lambda one: -one.number)
        self.change()

    def _do(self, *what):
        if self._refusal is not None:
            error, self._refusal = self._refusal, None
            raise error
        self.done.append(what)
        self.change()

    @property
    def tills(self):
        return self.config.tills

    def sales(self, till=None, limit=50):
        found = [sale for sale in self.all_sales if till in (None, sale.till)]
        return sorted(found, key=lambda sale: -sale.number)[:limit]

    def sale(self, number):
        for sale in self.all_sales:
            if sale.number == number:
                return sale
        raise OutboxError(f"there is no receipt {number}")

    async def show(self, number):
        self._do("show", number)
        self.put(replace(self.sale(number), state="stored", on_screen=True, warning=None))

    async def show_here(self, number):
        if not self.sale(number).here:
            self._do("here", number)
            self.put(replace(self.sale(number), here=True))
        return self.links.setdefault(number, Link(PAGE, Secret.generate()))

    async def hide_here(self, number):
        self._do("hide", number)
        self.put(replace(self.sale(number), here=False))

    async def revoke(self, number):
        self._do("revoke", number)
        ended = {"state": "revoked", "here": False, "on_screen": False, "actions": frozenset()}
        self.put(replace(self.sale(number), **ended))

    async def paper(self, number):
        self._do("paper", number)
        self.put(replace(self.sale(number), state="paper", here=False, warning=None))
        return self.receipt

    async def paper_all(self, numbers):
        self._do("paper_all", *numbers)

    async def dismiss(self, number):
        self._do("dismiss", number)
        self.put(replace(self.sale(number), state="reported", warning=None))

    async def look_up(self, source, number, till=None):
        self._do("look_up", source, number, till)

    def refused(self, till=None):
        return [each for each in self.all_refusals if till in (None, each.till)]

    async def refusals_seen(self, names):
        self._do("refusals_seen", *names)
        self.all_refusals = [each for each in self.all_refusals if each.name not in names]

    async def troubles_seen(self, names):
        self._do("troubles_seen", *names)
        self.all_troubles = [each for each in self.all_troubles if each.seen not in names]

    def troubles(self):
        return self.all_troubles

    def displays(self):
        return self.all_displays

    async def pair(self, name):
        self._do("pair", name)
        link = self.pairings[name] = PairingLink(PAGE, PairingSecret.generate())
        self.all_displays.append(DisplayState(name, (), False, "idle", None))  # noqa: FBT003
        return link

    async def unpair(self, name, *, forget=False):
        self._do("unpair", name, forget)
        self.all_displays = [one for one in self.all_displays if one.name != name]

    async def test_display(self, name):
        self._do("test", name)
        return self.confirms

    def sources(self):
        return self.all_sources

    def relay(self):
        return self.relay_state

    def page(self):
        return self.page_state

    async def changed(self, since, seconds):
        if since == self.count and seconds > 0:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            self._arrived.set()
            try:
                async with asyncio.timeout(seconds):
                    await waiting
            except TimeoutError:
                pass
            finally:
                self._waiting.discard(waiting)
        return self.count

    async def waited_for(self, count):
        """Wait until so many wait for a change."""
        while len(self._waiting) < count:
            self._arrived.clear()
            await self._arrived.wait()

    def change_config(self, changes):
        self._do("config", dict(changes))
        known = {key: value for key, value in changes.items() if key != "permit"}
        if "till" in known:
            known["tills"] = tuple(TillConfig(**table) for table in known.pop("till"))
        if known.get("lan") is not None:
            known["lan"] = LanConfig(**known["lan"])
        self.config = replace(self.config, **known)

    async def short_address(self, display):
        self.done.append(("short_address", display))
        return self.short

    async def lan_link(self, display):
        if self.config.lan is None:
            return None
        return LanPairingLink(LAN, self.pairings[display].secret)

    def lan_addresses(self):
        return [] if self.config.lan is None else [f"{LAN}/d"]


def trouble(place="relay", text="the relay is away, the display cannot be reached", hint=None):
    return Trouble(place, text, hint, NOW - 300)


class Running:
    """A console in a thread of its own, for a browser."""

    def __init__(self, state_dir, floor=None, **console):
        from e2ee_ticket.till.clock import SystemClock
        from e2ee_ticket.till.console import Entrance, create_console, serve

        self.floor = floor or FakeFloor()
        self.state_dir = state_dir
        self.port = stage.free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.entrance = Entrance(state_dir)
        listen = f"127.0.0.1:{self.port}"
        self._arguments = (self.floor, ConsoleConfig(listen=listen, **console))
        self._make = lambda: create_console(
            *self._arguments, state_dir=state_dir, clock=SystemClock()
        )
        self._serve = lambda: serve(self._make(), listen)
        self.start()

    def start(self):
        self.loop = asyncio.new_event_loop()
        self._task = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        stage.wait_for(lambda: stage.listens(self.port), "the console's start")

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self._task = self.loop.create_task(self._serve())
        try:
            self.loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            self.loop.run_until_complete(settle())  # what was closed says goodbye
            self.loop.close()

    def do(self, act):
        """Change the floor from a test's thread, as the agent would from its own."""
        done = threading.Event()

        def run():
            try:
                act(self.floor)
            finally:
                done.set()

        self.loop.call_soon_threadsafe(run)
        assert done.wait(10)

    def enter(self, page):
        """Come in as `e2ee-ticket console` brings a browser in."""
        page.goto(f"{self.origin}/enter#{self.entrance.token()}")
        page.wait_for_selector("header.top")

    def sessions(self):
        from e2ee_ticket.till.clock import SystemClock
        from e2ee_ticket.till.console.auth import Sessions

        return Sessions(self.state_dir, SystemClock())

    def stop(self):
        if not self._thread.is_alive():
            return
        self.loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


__all__ = ["ALL", "FakeFloor", "Running", "TicketError", "make_config", "make_sale", "trouble"]
