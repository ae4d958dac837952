"""A damaged outbox: what can be read is taken over, what is missing is told, the shop goes on."""

import contextlib
import copy
import os
import random
import shutil
import sqlite3

import pytest
from fakes import Clock

from e2ee_ticket.errors import DamagedOutboxError, OutboxError
from e2ee_ticket.protocol.envelope import seal
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.till import salvage
from e2ee_ticket.till.outbox import RECEIPT_SECONDS, Outbox
from e2ee_ticket.till.sqlite_rows import Found, rows

COUNT = 12
PAGE = 4096


class Shop:
    """A state directory with an outbox of twelve receipts, every second of them sealed."""

    def __init__(self, folder):
        self.folder = folder / "state"
        self.path = self.folder / "outbox.sqlite"
        self.clock = Clock()
        self.receipts, self.envelopes = {}, {}
        draw = random.Random(20261201)
        with Outbox(self.path, self.clock.now) as outbox:
            for turn in range(COUNT):
                size = draw.choice((200, 3_000, 9_000, 40_000))
                ticket = Ticket(receipt=b"%PDF-" + draw.randbytes(size), number=f"TC{turn}")
                number = outbox.accept(ticket, "Till", source="takepos", key=str(turn))
                self.receipts[number] = ticket
                if turn % 2:
                    secret = Secret.generate()
                    self.envelopes[secret.id] = seal(ticket, secret)
                    outbox.keep(number, secret, self.envelopes[secret.id], None)
            outbox.keep_cursor("dolibarr", "4711")

    def open(self, **options):
        return salvage.open_outbox(self.path, self.clock.now, **options)

    @property
    def aside(self):
        return sorted(self.folder.glob("outbox-damaged-*.sqlite"))

    @property
    def loss(self):
        (loss,) = salvage.losses(self.folder)
        return loss

    def damage(self, *spans):
        data = bytearray(self.path.read_bytes())
        for at, size in spans:
            data[at : at + size] = bytes(byte ^ 0xA5 for byte in data[at : at + size])
        self.path.write_bytes(data)

    def leaves(self, table):
        """Where the pages of a table's rows begin."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            (root,) = connection.execute(
                "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)
            ).fetchone()
        data = self.path.read_bytes()
        page = data[(root - 1) * PAGE :]
        if page[0] == 13:
            return [(root - 1) * PAGE]
        count = int.from_bytes(page[3:5], "big")
        cells = [int.from_bytes(page[12 + 2 * i : 14 + 2 * i], "big") for i in range(count)]
        children = [int.from_bytes(page[at : at + 4], "big") for at in cells]
        return [(child - 1) * PAGE for child in [*children, int.from_bytes(page[8:12], "big")]]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("made"))


@pytest.fixture
def shop(made, tmp_path):
    """A copy of the one shop: making it costs a write to the disk for every receipt."""
    folder = tmp_path / "state"
    shutil.copytree(made.folder, folder)
    mine = copy.copy(made)
    mine.folder, mine.path = folder, folder / "outbox.sqlite"
    mine.receipts = dict(made.receipts)
    return mine


def content(outbox, shop):
    """What is there of the shop's receipts; nothing that is there is anything else."""
    found = {}
    for each in outbox.accepted():
        receipt = outbox.receipt(each.number)
        if receipt is not None:
            assert receipt == shop.receipts[each.number]
            found[each.number] = receipt
    for entry in outbox.entries():
        assert outbox.envelope(entry.id) == shop.envelopes[entry.id]
    return found


def test_a_sound_outbox_is_left_as_it_is(shop):
    with shop.open() as outbox:
        assert content(outbox, shop) == shop.receipts
    assert salvage.losses(shop.folder) == []
    assert shop.aside == []


def test_a_new_outbox_is_no_damage(tmp_path):
    with salvage.open_outbox(tmp_path / "new" / "outbox.sqlite", Clock().now) as outbox:
        assert outbox.accepted() == []
    assert salvage.losses(tmp_path / "new") == []


def test_a_file_whose_head_was_overwritten_is_recovered_whole(shop):
    shop.damage((0, 100))
    with pytest.raises(DamagedOutboxError):
        Outbox(shop.path, shop.clock.now)

    with shop.open() as outbox:
        assert content(outbox, shop) == shop.receipts
        assert {entry.id for entry in outbox.entries()} == set(shop.envelopes)
        assert outbox.cursor("dolibarr") == "4711"
        assert outbox.accept(shop.receipts[1], "Till", source="takepos", key="0") is None
        assert outbox.accept(shop.receipts[1], "Till") > COUNT

    assert (shop.loss.receipts, shop.loss.missing) == (COUNT, ())
    assert "receipts recovered: 12" in str(shop.loss)
    (aside,) = shop.aside
    assert aside.name in shop.loss.hint


@pytest.mark.parametrize("size", [0, 3, 256])
def test_a_page_size_that_cannot_be_is_taken_for_the_usual_one(shop, size):
    """It is one bit from 4096 to 0."""
    data = bytearray(shop.path.read_bytes())
    data[16:18] = size.to_bytes(2, "big")
    shop.path.write_bytes(data)

    with shop.open() as outbox:
        assert content(outbox, shop).keys() == shop.receipts.keys()


def test_a_damaged_page_costs_its_own_rows_and_they_are_named(shop):
    leaves = shop.leaves("receipts")
    assert len(leaves) > 1
    shop.damage((leaves[0], 8))

    with shop.open() as outbox:
        left = content(outbox, shop)

    assert 0 < len(left) < COUNT
    assert set(shop.loss.missing) == set(shop.receipts) - set(left)
    assert f"missing: {shop.loss.missing[0]}" in str(shop.loss)


def test_a_ticket_whose_receipt_is_gone_is_still_delivered(shop):
    for leaf in shop.leaves("receipts"):
        shop.damage((leaf, 8))

    with shop.open() as outbox:
        assert {entry.id for entry in outbox.unfinished()} == set(shop.envelopes)
        content(outbox, shop)

    assert set(shop.loss.missing) >= {2, 4, 6, 8, 10, 12}


@pytest.mark.parametrize("seed", range(12))
def test_whatever_bytes_are_flipped_what_is_read_is_right_or_told(shop, seed):
    draw = random.Random(seed)
    size = shop.path.stat().st_size
    # The links of the tree, not a receipt's own bytes: for those SQLite keeps no sum.
    pages = draw.sample(range(size // PAGE), 4)
    shop.damage(*((page * PAGE, 16) for page in pages))

    with shop.open() as outbox:
        left = {each.number for each in outbox.accepted()}
        outbox.accept(Ticket(receipt=b"%PDF-next"), "Till")

    if salvage.losses(shop.folder):
        assert shop.loss.empty or set(shop.receipts) - left <= set(shop.loss.missing)
    else:
        assert left == set(shop.receipts)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
def test_a_file_that_was_cut_gives_what_is_left_of_it(shop, part):
    size = int(shop.path.stat().st_size * part)
    os.truncate(shop.path, size)

    with shop.open() as outbox:
        left = content(outbox, shop)

    assert shop.loss.receipts == len(left)
    if left:
        assert set(shop.loss.missing) == set(shop.receipts) - set(left)
    assert len(left) < COUNT or part > 0.9


def test_a_file_without_length_is_damage_and_not_a_new_one(shop):
    os.truncate(shop.path, 0)

    with shop.open() as outbox:
        assert outbox.accepted() == []

    assert shop.loss.empty
    assert "nothing of the outbox could be read" in str(shop.loss)


def test_what_is_not_in_the_file_yet_but_in_its_log_is_recovered(shop):
    reader = sqlite3.connect(shop.path)  # as long as it reads, the log stays
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM receipts").fetchone()
    with Outbox(shop.path, shop.clock.now) as outbox:
        late = Ticket(receipt=b"%PDF-late" + bytes(5_000))
        shop.receipts[outbox.accept(late, "Till")] = late
    log = shop.path.with_name(shop.path.name + "-wal")
    assert log.stat().st_size > 5_000
    data, newer = bytearray(shop.path.read_bytes()), log.read_bytes()
    reader.close()
    data[:100] = bytes(100)
    shop.path.write_bytes(data)
    log.write_bytes(newer)

    found = Found()
    numbers = {row.number for row in rows(shop.path, found) if row.values[1:2] == ("Till",)}
    assert numbers == set(shop.receipts)

    with shop.open() as outbox:
        assert content(outbox, shop) == shop.receipts


def test_a_directory_in_its_place_is_set_aside(shop):
    shop.path.unlink()
    shop.path.mkdir()
    (shop.path / "something").write_bytes(b"of somebody")

    with shop.open() as outbox:
        outbox.accept(shop.receipts[1], "Till")

    (aside,) = shop.aside
    assert (aside / "something").read_bytes() == b"of somebody"
    assert shop.loss.empty


def test_one_that_is_known_to_be_damaged_is_made_anew_though_nothing_is_found(shop):
    with shop.open(damaged=True) as outbox:
        assert content(outbox, shop) == shop.receipts
    assert shop.loss.receipts == COUNT


def test_two_damages_at_one_moment_are_two_losses(shop):
    for _ in range(2):
        shop.damage((0, 100))
        shop.open().close()

    assert len(salvage.losses(shop.folder)) == len(shop.aside) == 2


def test_a_power_cut_between_the_two_renames_is_gone_on_from(shop):
    shop.damage((0, 100))
    shop.open().close()
    shop.path.rename(shop.folder / "outbox-recovered.sqlite")

    with shop.open() as outbox:
        assert content(outbox, shop) == shop.receipts
    assert len(salvage.losses(shop.folder)) == 1


def test_the_damaged_file_is_overwritten_after_a_day_and_the_word_of_it_stays(shop):
    shop.damage((0, 100))
    shop.open().close()
    (aside,) = shop.aside
    with aside.open("rb") as still_open:
        salvage.sweep(shop.folder, shop.clock.now() + RECEIPT_SECONDS - 60)
        assert shop.aside == [aside]

        salvage.sweep(shop.folder, shop.clock.now() + RECEIPT_SECONDS + 60)

        assert set(still_open.read()) == {0}
    assert shop.aside == []
    assert aside.name not in shop.loss.hint
    salvage.seen(shop.folder)
    assert salvage.losses(shop.folder) == []


def test_one_that_was_begun_in_vain_is_not_taken_for_a_damaged_one(tmp_path):
    path = tmp_path / "state" / "outbox.sqlite"
    path.parent.mkdir()
    log = path.with_name(path.name + "-wal")
    log.mkdir()  # SQLite cannot make its log
    with pytest.raises(OutboxError):
        salvage.open_outbox(path, Clock().now)
    log.rmdir()

    salvage.open_outbox(path, Clock().now).close()

    assert salvage.losses(path.parent) == []


def test_an_outbox_that_cannot_be_opened_says_so_whatever_it_is_asked():
    outbox = salvage.ClosedOutbox(OutboxError("this computer's disk is full"))

    for ask in (
        outbox.entries,
        outbox.accepted,
        outbox.probe,
        outbox.sweep,
        outbox.reclaim,
        lambda: outbox.accept(Ticket(receipt=b"%PDF-"), "Till"),
        lambda: outbox.receipt(1),
    ):
        with pytest.raises(OutboxError, match="disk is full"):
            ask()
    outbox.close()


def test_a_row_that_leads_in_a_circle_ends(shop):
    data = bytearray(shop.path.read_bytes())
    for at in range(0, len(data), PAGE):
        if data[at] == 0 and data[at + 4]:  # an overflow page: its next is itself
            data[at : at + 4] = (at // PAGE + 1).to_bytes(4, "big")
    shop.path.write_bytes(data)

    assert list(rows(shop.path, Found()))


def test_rows_that_share_their_pages_are_no_more_than_the_file(shop):
    data = bytearray(shop.path.read_bytes())
    overflows = [at for at in range(0, len(data), PAGE) if data[at] == 0 and data[at + 4]]
    for at in overflows:  # all lead to the first, which leads to itself
        data[at : at + 4] = (overflows[0] // PAGE + 1).to_bytes(4, "big")
    for leaf in shop.leaves("receipts"):
        # Every cell of the leaf is its first, which claims 60 MB.
        count = int.from_bytes(data[leaf + 3 : leaf + 5], "big")
        first = int.from_bytes(data[leaf + 8 : leaf + 10], "big")
        data[leaf + 3 : leaf + 5] = (1000).to_bytes(2, "big")
        for index in range(count, min(1000, (first - leaf % PAGE - 8) // 2)):
            data[leaf + 8 + 2 * index : leaf + 10 + 2 * index] = first.to_bytes(2, "big")
    shop.path.write_bytes(data)

    found = list(rows(shop.path, Found()))

    blobs = sum(len(value) for row in found for value in row.values if isinstance(value, bytes))
    assert blobs <= 3 * len(data)


def _change(shop, *statements):
    with contextlib.closing(sqlite3.connect(shop.path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for statement, *values in statements:
            connection.execute(statement, values)


@pytest.mark.parametrize("counted", [2**40, 2**62, 2**63 - 1, -5])
def test_a_counter_that_cannot_be_is_counted_anew(shop, counted):
    _change(shop, ("UPDATE sqlite_sequence SET seq = ? WHERE name = 'receipts'", counted))

    with shop.open(damaged=True) as outbox:
        assert content(outbox, shop).keys() == shop.receipts.keys()
        assert outbox.accept(Ticket(receipt=b"%PDF-next"), "Till") == COUNT + 1

    assert shop.loss.missing == ()


@pytest.mark.parametrize("number", [2**40, 2**63 - 1, -(2**62)])
def test_a_receipt_with_a_number_that_cannot_be_gets_the_next_one(shop, number):
    _change(
        shop,
        ("UPDATE receipts SET receipt_number = ? WHERE receipt_number = 6", number),
        ("UPDATE tickets SET receipt_number = ? WHERE receipt_number = 6", number),
    )

    with shop.open(damaged=True) as outbox:
        assert outbox.receipt(COUNT + 1) == shop.receipts[6]
        assert COUNT + 1 in {entry.receipt_number for entry in outbox.entries()}
        assert outbox.accept(Ticket(receipt=b"%PDF-next"), "Till") == COUNT + 2

    assert shop.loss.missing == (6,)


@pytest.mark.parametrize(
    "fields",
    [
        b"x", b"[]", b"null", b'{"other": 1}', b'{"title": 5}', b"[" * 9000, b"",
        b'{"number": "\\ud800"}', b'{"tit\xff',
    ],
)  # fmt: skip
def test_facts_that_are_none_cost_no_receipt(shop, fields):
    changed = "UPDATE receipts SET fields = CAST(? AS TEXT) WHERE receipt_number = 6"
    _change(shop, (changed, fields))

    with shop.open() as outbox:
        assert {each.number for each in outbox.accepted()} == set(shop.receipts)
        assert outbox.receipt(6) == Ticket(receipt=shop.receipts[6].receipt)
