"""A shop as the agent has it: a relay in memory, tablets that follow their rules, its own clock."""

import asyncio
import contextlib

from fakes import Clock, FlakyRelay, Tablet, settle

from e2ee_ticket.errors import SourceError
from e2ee_ticket.protocol.channel import PairingSecret, WriteToken, registration
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.sources import Arrival
from e2ee_ticket.till.agent import Agent
from e2ee_ticket.till.audit import Verdict
from e2ee_ticket.till.config import Config, SourceConfig, TillConfig
from e2ee_ticket.till.displays import Displays, Pairing
from e2ee_ticket.till.outbox import FILE_NAME, Outbox

RECEIPT = b"%PDF-1.7 a receipt %%EOF"
DAY = 86_400


class Hand:
    """A source that delivers when a test says so."""

    tills = ()

    def __init__(self, kind, name, shop, settings):
        self.kind, self.name, self.shop = kind, name, shop
        self.intake = None
        self.failures = list(settings.get("failures", ()))

    async def run(self, intake):
        self.intake = intake
        if self.failures:
            raise self.failures.pop(0)
        await asyncio.Event().wait()

    async def check(self):
        return ()

    async def look_up(self, number, intake, till=None):
        if number != "FA-1":
            raise SourceError("there is no invoice of this number")
        await intake.accept(arrival(number=number, till=till))


class Watch:
    """An audit whose result a test sets."""

    def __init__(self):
        self.verdict = Verdict("ok", "the pages are those of the release")
        self.changed = None
        self.checked_at = 0.0

    @property
    def state(self):
        return self.verdict.state

    def may_show(self):
        return self.verdict

    def sold(self):
        pass

    async def run(self):
        await asyncio.Event().wait()


async def see_nothing(_record, _receipt):
    return None


def arrival(total="5,00 €", **options):
    facts = {key: options.pop(key) for key in ("number", "title") if key in options}
    ticket = Ticket(receipt=options.pop("receipt", RECEIPT), total=total, **facts)
    return Arrival(ticket=ticket, ours=True, **options)


class Shop:
    """A shop with a till, its display, and everything around them."""

    def __init__(self, folder, *, tills=("Till 1",), displays=("Counter",), **config):
        self.folder = folder
        self.clock = Clock()
        self.relay = FlakyRelay(self.clock)
        self.watch = Watch()
        self.displays = Displays(folder)
        for name in displays:
            self.displays.keep(Pairing(name, PairingSecret.generate(), WriteToken.generate()))
        defaults = {
            "relay": "https://relay.example",
            "page": "https://t.example",
            "shop": "Épicerie",
            "lang": "fr",
            "state": str(folder),
            "tills": tuple(
                TillConfig(name, display)
                for name, display in zip(tills, [*displays, *[None] * len(tills)], strict=False)
            ),
            "sources": (SourceConfig("hand", "hand", tills[0]),),
        }
        defaults["tills"] = config.pop("config_tills", defaults["tills"])
        self.config = Config(**{**defaults, **config})
        self.paired = self.displays.all()
        self.outbox = None
        self.agent = None
        self.looker = see_nothing
        self._task = None

    async def look_slowly(self, _record, _receipt):
        """Look into a receipt for a second, during which nothing is uploaded."""
        await self.clock.sleep(1)

    def intake(self, name="hand"):
        return next(intake for intake in self.agent._intakes if intake.name == name)

    async def sell(self, total="5,00 €", *, source="hand", **options):
        """Hand a receipt to the agent; return the number of its sale."""
        assert await self.intake(source).accept(arrival(total, **options))
        await settle()
        return self.agent.sales()[0].number

    def sale(self, number):
        return self.agent.sale(number)

    def open(self):
        return Outbox(self.folder / FILE_NAME, self.clock.now, owner="agent-")

    async def start(self):
        for pairing in self.paired:
            registered = registration(pairing.secret, pairing.token)
            await self.relay.register(pairing.secret.cid, registered)
        self.outbox = self.open()
        self.agent = Agent(
            self.config,
            config_file=self.folder / "config.toml",
            relay=self.relay,
            outbox=self.outbox,
            displays=self.displays,
            clock=self.clock,
            watch=self.watch,
            make=Hand,
            looker=self.looker,
        )
        self._task = asyncio.create_task(self.agent.run())
        await settle()

    async def stop(self):
        """End the agent as Ctrl-C does; its displays have a moment to go idle."""
        self._task.cancel()
        for _ in range(4):
            await self.clock.advance(1)
        await asyncio.gather(self._task, return_exceptions=True)
        self.outbox.close()

    async def restart(self):
        await self.stop()
        await self.start()

    @contextlib.asynccontextmanager
    async def tablet(self, name="Counter"):
        secret = self.displays.find(name).secret
        async with Tablet(self.relay, secret, self.clock) as tablet:
            await self.clock.advance(0.1)
            yield tablet

    async def phone(self, number, state):
        """What the customer's phone says of the newest ticket of a sale."""
        record = self.agent._records[number]
        ticket = self.relay.tickets[record.delivery.id]
        ticket["state"] = state
        async with self.relay._changed:
            self.relay._changed.notify_all()
        await settle()
