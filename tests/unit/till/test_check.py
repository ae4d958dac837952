"""All that is configured is tested against the real thing, and what is wrong says what to do."""

import asyncio
import contextlib
import json
import os
import socket
import stat

import pytest
import stage
from fake_floor import Running
from fakes import Clock
from near import NearTill

from e2ee_ticket.client import RelayClient
from e2ee_ticket.errors import (
    BusyError,
    OutboxError,
    RefusedError,
    SourceError,
    UnreachableError,
)
from e2ee_ticket.protocol.channel import PairingSecret, WriteToken
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.sources import Finding
from e2ee_ticket.till import checks, lock
from e2ee_ticket.till.clock import SystemClock
from e2ee_ticket.till.config import (
    Config,
    ConsoleConfig,
    LanConfig,
    SourceConfig,
    TillConfig,
)
from e2ee_ticket.till.displays import Displays, Pairing
from e2ee_ticket.till.outbox import FILE_NAME, Outbox


@pytest.fixture
def till(tmp_path, relay):
    return NearTill(tmp_path / "till", relay.origin, permit=relay.leave)


@pytest.fixture
def printer():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def config_of(relay, state, **settings):
    return Config(**{"relay": relay.origin, "permit": relay.leave, "state": str(state)} | settings)


async def found(config, file=None, clock=None):
    return {place: finding async for place, finding in checks.check_all(config, file, clock)}


# The command


def test_all_is_well_and_each_thing_has_its_line(till, relay, printer):
    stage.pair(till.folder, relay)
    folder = till.folder / "receipts"
    folder.mkdir()
    (till.folder / "config.toml").chmod(0o600)
    (till.folder / "config.toml").write_text(
        f'[console]\nlisten = "127.0.0.1:{stage.free_port()}"\n\n'
        f'[[till]]\nname = "A"\ndisplay = "Front"\nprinter = "{printer}"\n\n'
        f'[[source]]\nkind = "folder"\nname = "Receipts"\npath = "{folder}"\n'
    )

    done = till.run_apart("check", check=False)

    assert done.returncode == 0, done.stdout
    places = [line[6:20].strip() for line in done.stdout.splitlines()]
    assert {*places} >= {
        "configuration", "state", "agent", "outbox", "sandbox", "console", "relay", "clock",
        "permit", "Front", "page", "printer of A", "Receipts",
    }  # fmt: skip
    assert all(line.startswith("ok    ") for line in done.stdout.splitlines())
    assert f"{relay.origin} answers, closed" in done.stdout
    assert relay.leave not in done.stdout
    assert "receipts are opened in a process" in done.stdout


def test_json_is_for_programs(till):
    lines = [json.loads(line) for line in till.run("check", "--json").stdout.splitlines()]

    assert all(line["ok"] for line in lines)
    assert {"place", "ok", "text", "hint", "later"} == set(lines[0])


def test_a_wrong_permit_is_wrong_and_says_what_to_do(till):
    till.environment["E2EE_TICKET_PERMIT"] = "x" * 43

    done = till.run("check", check=False)

    assert done.returncode == 1
    assert "FAIL  permit" in done.stdout
    assert "hint: ask the relay's host for one" in done.stdout


def test_a_relay_that_is_away_is_for_later(till):
    till.environment["E2EE_TICKET_RELAY"] = f"http://127.0.0.1:{stage.free_port()}"

    done = till.run("check", check=False)

    assert done.returncode == 75
    assert "FAIL  relay" in done.stdout


def test_nothing_configured_is_said_plainly(till):
    del till.environment["E2EE_TICKET_RELAY"]

    done = till.run("check", check=False)

    assert done.returncode == 1
    assert "no relay is configured" in done.stdout


# The parts


async def test_an_agents_poll_is_not_disturbed(relay, tmp_path):
    pairing = stage.pair(tmp_path, relay)
    async with RelayClient(relay.origin, permit=relay.leave) as client:
        cid, token = pairing.secret.cid, pairing.token.reveal()
        first = await client.hellos(cid, token, wait=0)
        polling = asyncio.create_task(client.hellos(cid, token, held=first.etag, wait=2))
        lines = await found(config_of(relay, tmp_path))
        assert await polling is None

    assert lines["Front"].ok


async def test_a_display_that_was_unpaired_is_told(relay, tmp_path):
    pairing = stage.pair(tmp_path, relay)
    async with RelayClient(relay.origin) as client:
        await client.unpair(pairing.secret.cid, pairing.token.reveal())

    finding = (await found(config_of(relay, tmp_path)))["Front"]

    assert (finding.ok, finding.text) == (False, "the display was unpaired")
    assert "display remove" in finding.hint


async def test_a_till_whose_display_is_not_paired_is_told(relay, tmp_path):
    config = config_of(relay, tmp_path, tills=(TillConfig("A", display="Back"),))

    assert not (await found(config))["Back"].ok


async def test_all_kinds_of_things_are_looked_at(relay, tmp_path, printer):
    folder = tmp_path / "receipts"
    folder.mkdir()
    config = config_of(
        relay,
        tmp_path,
        tills=(TillConfig("A", printer=printer),),
        sources=(SourceConfig("folder", "Receipts", "A", settings={"path": str(folder)}),),
    )

    lines = await found(config, tmp_path / "config.toml")

    assert lines["configuration"].text.startswith("there is no file")
    assert lines["printer of A"].ok
    assert lines["Receipts"].ok


async def test_without_a_relay_the_rest_is_looked_at_all_the_same(tmp_path):
    lines = await found(Config(state=str(tmp_path)))

    assert not lines["relay"].ok
    assert not lines["page"].ok
    assert lines["outbox"].ok


async def test_a_relay_that_is_away_is_one_line(tmp_path):
    origin = f"http://127.0.0.1:{stage.free_port()}"
    pairing = Pairing("Front", PairingSecret.generate(), WriteToken.generate())
    Displays(tmp_path).keep(pairing)

    lines = await found(Config(relay=origin, state=str(tmp_path)))

    assert lines["relay"].later
    assert lines.keys().isdisjoint({"permit", "clock", "Front"})


async def test_a_damaged_list_of_displays_is_told(relay, tmp_path):
    (tmp_path / "displays.json").write_text("{")
    (tmp_path / "displays.json").chmod(0o600)

    finding = (await found(config_of(relay, tmp_path)))["displays"]

    assert (finding.ok, finding.hint) == (False, "move it away and pair again")


@pytest.mark.parametrize(
    ("error", "later", "hint"),
    [
        (BusyError("too many requests", 12.0), True, "try again in 12 s"),
        (UnreachableError("nothing answers"), True, "is this computer online"),
        (RefusedError("no relay"), False, "is its address right?"),
    ],
    ids=["busy", "away", "refused"],
)
async def test_what_a_relay_says_to_a_permit_is_told_apart(error, later, hint):
    class Relay:
        async def try_permit(self):
            raise error

    finding = await checks.check_permit(Relay(), closed=True)

    assert (finding.ok, finding.later) == (False, later)
    assert finding.hint.startswith(hint)


@pytest.mark.parametrize(
    ("ahead", "text"),
    [(0.5, "agrees"), (-61, "61 s behind"), (7200, "hours ahead of"), (-400, "7 min behind")],
)
def test_how_wrong_a_clock_is_is_said_as_people_say_it(ahead, text):
    assert text in checks._check_clock(ahead).text


async def test_an_open_relay_needs_no_permit(tmp_path):
    relay = stage.Relay(tmp_path / "relay", "--open").start()
    try:
        relay.leave = None
        lines = await found(config_of(relay, tmp_path))
    finally:
        relay.stop()

    assert lines["relay"].ok
    assert "permit" not in lines


async def test_a_clock_that_is_wrong_is_told(relay, tmp_path):
    clock = Clock(SystemClock().now() + 900)

    finding = (await found(config_of(relay, tmp_path), clock=clock))["clock"]

    assert not finding.ok
    assert "15 min ahead of" in finding.text


async def test_a_page_that_names_another_relay_is_wrong(relay, tmp_path):
    config = Config(relay="http://127.0.0.1:1", page=relay.origin, state=str(tmp_path))

    finding = await checks.check_page(config)

    assert (finding.ok, finding.later) == (False, False)


async def test_a_printer_that_is_off_may_be_on_later(printer):
    assert (await checks.check_printer(printer)).ok
    finding = await checks.check_printer(f"127.0.0.1:{stage.free_port()}")

    assert (finding.ok, finding.later) == (False, True)
    assert "switched on" in finding.hint


@pytest.mark.parametrize("address", ["", "till printer:9100", "192.168.1.50:0", "[fe80::1"])
async def test_what_is_no_printers_address_is_said_as_printing_says_it(address):
    finding = await checks.check_printer(address)

    assert (finding.ok, finding.later) == (False, False)
    assert "a host or host:port" in finding.text


def test_what_waits_in_the_outbox_is_counted(relay, tmp_path):
    with Outbox(tmp_path / FILE_NAME, SystemClock().now) as outbox:
        outbox.accept(Ticket(receipt=b"%PDF-1.7\n%%EOF\n"), "A")

    (line,) = [
        line for line in checks.check_files(config_of(relay, tmp_path), None) if line[0] == "outbox"
    ]

    assert line[1].ok
    assert "1 receipt on the way" in line[1].text


def test_a_damaged_outbox_is_told(relay, tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"no database at all, but long enough to be looked at" * 40)

    lines = dict(checks.check_files(config_of(relay, tmp_path), None))

    assert not lines["outbox"].ok


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_secret_that_others_can_read_is_told(relay, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text("")
    file.chmod(0o644)
    permit = tmp_path / "permit"
    permit.write_text(relay.leave)
    permit.chmod(0o640)
    Displays(tmp_path).keep(Pairing("A", PairingSecret.generate(), WriteToken.generate()))
    (tmp_path / "displays.json").chmod(0o644)

    file.write_text(f'permit = "{relay.leave}"\n')
    inline = dict(checks.check_files(config_of(relay, tmp_path), file))
    file.write_text('permit_file = "permit"\n')
    apart = dict(checks.check_files(config_of(relay, tmp_path, permit_file="permit"), file))

    assert not inline["configuration"].ok
    assert apart["configuration"].ok
    assert apart["permit file"].hint == f"chmod 600 {permit}"
    assert "displays.json" in apart["state"].text
    assert stat.S_IMODE(file.stat().st_mode) == 0o644  # told, not changed


async def test_a_source_with_an_impossible_setting_is_told(relay, tmp_path):
    source = SourceConfig("folder", "Receipts", "Till", settings={"path": 7})

    (finding,) = await checks.check_source(config_of(relay, tmp_path), source)

    assert not finding.ok
    assert "path" in finding.text


class Broken:
    """A source whose check fails as it is told."""

    def __init__(self, error):
        self.error = error

    def __call__(self, *_):
        return self

    async def check(self):
        if self.error is None:
            await asyncio.Event().wait()
        raise self.error


@pytest.mark.parametrize(
    ("error", "hint", "later"),
    [
        (SourceError("the port is taken", "stop the other"), "stop the other", False),
        (OutboxError("no room; make some"), "make some", False),
        (None, None, True),
    ],
    ids=["source", "other", "endless"],
)
async def test_whatever_goes_wrong_inside_a_source_is_a_finding(error, hint, later):
    source = SourceConfig("folder", "Receipts", "Till")

    (finding,) = await checks.check_source(Config(), source, make=Broken(error), seconds=0.2)

    assert (finding.ok, finding.hint, finding.later) == (False, hint, later)


# The console, and the display page on the shop's network


async def test_the_consoles_port_is_free_or_somebody_elses(tmp_path):
    free = f"127.0.0.1:{stage.free_port()}"

    finding = await checks.check_console(console_at(tmp_path, free))
    assert finding == Finding(ok=True, text=f"{free} is free for it")

    taken = f"127.0.0.1:{stage.free_port()}"
    async with page_at(taken):
        finding = await checks.check_console(console_at(tmp_path, taken))
    assert (finding.ok, finding.text) == (False, f"another program uses {taken}")
    assert "[console]" in finding.hint


def test_the_consoles_port_is_ours_while_the_agent_runs(tmp_path):
    with Running(tmp_path) as console:
        listen = f"127.0.0.1:{console.port}"
        finding = asyncio.run(checks.check_console(console_at(tmp_path, listen)))

    assert finding == Finding(ok=True, text=f"http://{listen}/ answers")


async def test_an_agent_without_its_console_is_told(tmp_path):
    config = console_at(tmp_path, f"127.0.0.1:{stage.free_port()}")
    with lock.lock(tmp_path):
        finding = await checks.check_console(config)

    assert not finding.ok
    assert "the agent runs" in finding.text


def console_at(state, listen):
    return Config(state=str(state), console=ConsoleConfig(listen=listen))


@contextlib.asynccontextmanager
async def page_at(address):
    """Serve something that is no console."""

    async def answer(reader, writer):
        await reader.readline()
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nhello")
        writer.close()

    host, _, port = address.partition(":")
    async with await asyncio.start_server(answer, host, int(port)):
        yield


async def test_the_page_on_the_network_is_looked_at_where_it_is_on(relay, tmp_path):
    listen = f"127.0.0.1:{stage.free_port()}"
    config = config_of(relay, tmp_path, lan=LanConfig(listen=listen))

    findings = await checks.check_lan(config, SystemClock())

    assert findings[0] == Finding(ok=True, text=f"the display page can be served at {listen}")
    assert findings[1].text == "only this computer can open it"
    assert "lan" in await found(config)
    assert await checks.check_lan(config_of(relay, tmp_path), SystemClock()) == ()


async def test_a_page_on_the_network_that_cannot_be_is_told(relay, tmp_path):
    config = config_of(relay, tmp_path, lan=LanConfig(host="a/b"))

    (finding,) = await checks.check_lan(config, SystemClock())

    assert not finding.ok
    assert "host of [lan]" in finding.text
