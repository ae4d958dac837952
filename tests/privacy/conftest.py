"""One whole sale, with a tap on the line of each party."""

import subprocess
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import screens
import stage
from privacy import canaries, traces
from privacy.wire import Wire

from e2ee_ticket import Link, Ticket, unseal
from e2ee_ticket.protocol.channel import PairingLink
from e2ee_ticket.till.displays import Displays, Pairing

CONFIG = f"""\
shop = "{canaries.SHOP}"
lang = "{canaries.LANG}"
notice = "{canaries.NOTICE}"
"""


@dataclass
class WholeSale:
    """What is known after a sale, and everything that the relay had and the wires carried."""

    relay: stage.Relay
    till: stage.Till
    permit: str = field(repr=False)
    wires: dict[str, Wire]
    phone: screens.Phone
    tablet: screens.Tablet
    link: Link
    ticket: Ticket
    pairing: Pairing
    saved: tuple[bytes, str]
    operator: str
    beside: dict[str, subprocess.Popen]
    memory: dict[str, bytes] = field(default_factory=dict)

    @property
    def disk(self):
        return traces.files_in(self.relay.folder)

    @property
    def told(self):
        """What the relay tells its operator, and whoever asks."""
        places = {}
        for name, address in (
            ("metrics", f"{self.operator}/metrics"),
            ("its page", f"{self.relay.origin}/about"),
            ("info", f"{self.relay.origin}/v1/info"),
        ):
            with urllib.request.urlopen(address, timeout=10) as answer:
                places[name] = answer.read()
        for command in (["stats"], ["stats", "--json"], ["check"]):  # what changes no file
            done = subprocess.run(
                [stage.BIN / "relay-server", *command, "--db", self.relay.database],
                capture_output=True, check=True,
            )  # fmt: skip
            places["relay-server " + " ".join(command)] = done.stdout + done.stderr
        return places

    @property
    def wire(self):
        places = {}
        for party, wire in self.wires.items():
            places[f"{party} to relay"] = wire.sent
            places[f"relay to {party}"] = wire.received
            if unzipped := traces.inflated(wire.received):
                places[f"relay to {party}, unzipped"] = unzipped
        return places

    def take_memory(self, moment):
        """Add what the relay has in memory now, and those beside it."""
        for name, process in self.processes().items():
            areas = traces.memory_of(process.pid)
            self.memory |= {f"{name} {span}, {moment}": data for span, data in areas.items()}

    def processes(self):
        """Return whose memory is searched."""
        return {"memory": self.relay.process} | self.beside


@pytest.fixture(scope="module")
def whole_sale(chromium, tmp_path_factory):
    """Pair, send, show, scan, open, save, thank; the relay still runs."""
    folder = tmp_path_factory.mktemp("sale")
    operator = f"127.0.0.1:{stage.free_port()}"
    relay = stage.Relay(folder / "relay", "--access-log", "--debug", "--metrics", operator)
    with play(chromium, folder, relay, operator) as sale:
        yield sale


@contextmanager
def play(chromium, folder, relay, operator, beside=()):
    """Play a whole sale at a relay that is not started yet."""
    permit = relay.permit()
    relay.start()
    phone, tablet = screens.Phone(chromium), screens.Tablet(chromium)
    with Wire(relay.port) as till_wire, Wire(relay.port) as phone_wire, Wire(relay.port) as wire:
        wires = {"till": till_wire, "phone": phone_wire, "display": wire}
        till = stage.Till(folder / "till", till_wire.origin, permit=permit, page=wire.origin)
        (till.folder / "config.toml").write_text(CONFIG)
        (till.folder / canaries.NAME).write_bytes(canaries.receipt())
        paired = till.run("display", "add", "--link", "--no-wait", "Counter").stdout.strip()
        tablet.pair(paired)
        tablet.wait("idle")

        sale = stage.Sale(
            till, "--display", "Counter", "--wait", "--title", canaries.TITLE,
            "--total", canaries.TOTAL, "--number", canaries.NUMBER, canaries.NAME,
        )  # fmt: skip
        link = tablet.wait_for_qr()
        sale.wait_for_state("stored")
        made = WholeSale(
            relay=relay,
            till=till,
            permit=permit,
            wires=wires,
            phone=phone,
            tablet=tablet,
            link=Link.parse(link),
            ticket=_open(relay, Link.parse(link)),
            pairing=Displays(till.folder).find("Counter"),
            saved=(b"", ""),
            operator=f"http://{operator}",
            beside=dict(beside),
        )
        assert PairingLink.parse(paired).secret == made.pairing.secret
        made.take_memory("while the display shows the code")
        # The phone has a tap of its own, so its page comes from there.
        phone.open(link.replace(wire.origin, phone_wire.origin))
        phone.wait("ready")
        made.take_memory("when the receipt is open")
        made.saved = phone.save()
        sale.wait_for_state("opened")
        assert sale.end()[0] == 0
        tablet.wait("thanks")
        made.take_memory("after the sale")
        yield made
        phone.close()
        tablet.close()
        relay.stop()


def _open(relay, link):
    """Look into the envelope, past the taps: what the till sealed is what must not be seen."""
    status, envelope = relay.request("GET", f"/v1/t/{link.secret.id}")
    assert status == 200
    return unseal(envelope, link.secret)
