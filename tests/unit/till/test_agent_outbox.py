"""The agent and an outbox that fails: held by another program, damaged, or not to be opened."""

import asyncio
import contextlib
import sqlite3

import pytest
from fakes import settle
from shop import Shop, arrival

from e2ee_ticket.errors import DamagedOutboxError, HeldOutboxError, OutboxError
from e2ee_ticket.till.outbox import FILE_NAME, Outbox
from e2ee_ticket.till.salvage import ClosedOutbox, open_outbox


class FastShop(Shop):
    """A shop whose agent waits for no other program on its loop, as the command starts it."""

    async def start(self):
        await super().start()
        self.outbox._connection.execute("PRAGMA busy_timeout = 0")


@pytest.fixture
async def shop(tmp_path):
    made = FastShop(tmp_path)
    await made.start()
    yield made
    await made.stop()


@contextlib.contextmanager
def held(shop):
    """Another program writes into the outbox, and takes its time."""
    with contextlib.closing(sqlite3.connect(shop.folder / FILE_NAME)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def told(shop):
    return [trouble.text for trouble in shop.agent.troubles()]


async def test_a_receipt_waits_for_another_program_and_nothing_else_does(shop):
    with held(shop):
        waiting = asyncio.create_task(shop.intake().accept(arrival()))
        await settle()
        await shop.clock.advance(30)

        assert not waiting.done()
        assert told(shop) == ["another program holds the outbox"]
        assert shop.agent.sales() == []  # the console goes on
    await shop.clock.advance(2)

    assert await waiting
    assert told(shop) == []
    (sale,) = shop.agent.sales()
    assert sale.state == "held"  # half a minute late: its customer may have gone


async def test_a_program_that_never_ends_costs_the_receipt_and_its_source_is_told(shop):
    with held(shop):
        waiting = asyncio.create_task(shop.intake().accept(arrival()))
        await shop.clock.advance(70)

        with pytest.raises(HeldOutboxError):
            await waiting
    await shop.sell()


async def test_what_is_read_waits_for_nobody(shop):
    number = await shop.sell()
    with held(shop):
        assert shop.outbox.receipt(number).receipt == arrival().ticket.receipt
        assert [each.number for each in shop.outbox.accepted()] == [number]
        assert len(shop.outbox.entries()) == 1


async def test_a_trouble_of_the_outbox_ends_by_itself_without_another_receipt(shop):
    shop.outbox._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(OutboxError):
        await shop.intake().accept(arrival(receipt=b"%PDF-" + bytes(1_000_000)))
    assert "this computer's disk is full" in told(shop)
    await shop.clock.advance(5)

    shop.outbox._connection.execute("PRAGMA max_page_count = 100000")
    await shop.clock.advance(3)

    assert "this computer's disk is full" not in told(shop)


async def test_damage_while_it_runs_ends_the_agent_and_the_next_begins_with_a_new_outbox(shop):
    await shop.sell()
    shop.outbox.close()
    shop.outbox = shop.agent._outbox = Outbox(shop.folder / FILE_NAME, shop.clock.now)
    with (shop.folder / FILE_NAME).open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096)
        file.write(bytes(size - 4096))
    shop.outbox._connection.execute("PRAGMA shrink_memory")  # it reads them again

    with pytest.raises(DamagedOutboxError):
        await shop.intake().accept(arrival())
    for _ in range(4):
        await shop.clock.advance(1)

    assert shop.agent.damaged
    assert shop._task.done()
    shop.outbox.close()
    with open_outbox(shop.folder / FILE_NAME, shop.clock.now, damaged=True):
        pass
    await shop.start()
    await shop.sell()
    assert "the outbox" in told(shop)[0]


async def test_an_agent_whose_outbox_cannot_be_opened_runs_and_says_so(tmp_path):
    shop = Shop(tmp_path)
    shop.open = lambda: ClosedOutbox(OutboxError("this computer's disk is full"))
    await shop.start()

    assert told(shop) == ["this computer's disk is full"]
    assert shop.agent.sales() == []
    with pytest.raises(OutboxError):
        await shop.intake().accept(arrival())
    shop.agent.begin_anew()
    for _ in range(4):
        await shop.clock.advance(1)
    assert shop._task.result() is True


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage"])
async def test_a_damaged_file_of_displays_stops_no_shop(tmp_path, damage):
    shop = Shop(tmp_path, displays=("Counter", "Garden"))
    data = shop.displays.path.read_bytes()
    known = {pairing.name: pairing.secret.cid for pairing in shop.displays.all()}
    left = {
        "cut": data[:-40],
        "empty": b"",
        "garbage": b"\0\xff" + data.replace(b'"displays"', b"\x07"),
    }[damage]
    shop.displays.path.write_bytes(left)
    await shop.start()

    (trouble,) = shop.agent.troubles()
    assert "displays.json was damaged" in trouble.text
    found = {pairing.name: pairing.secret.cid for pairing in shop.displays.all()}
    assert found == {"cut": {"Counter": known["Counter"]}, "empty": {}, "garbage": known}[damage]
    (aside,) = tmp_path.glob("displays-damaged-*.json")
    assert aside.name in trouble.hint
    assert aside.read_bytes() == left
    assert [display.name for display in shop.agent.displays()] == list(found)
    await shop.stop()
    assert shop.displays.recover(shop.clock.now()) is None
