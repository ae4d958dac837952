import contextlib
import re
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import Clock

from e2ee_ticket.errors import OutboxError
from e2ee_ticket.protocol.envelope import seal
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Data, Ticket
from e2ee_ticket.till import outbox as module
from e2ee_ticket.till.outbox import (
    CLAIM_SECONDS,
    History,
    Open,
    Outbox,
    Refused,
    SaleChange,
    Showing,
)
from e2ee_ticket.till.reasons import Reason
from e2ee_ticket.till.states import ENDED, OVER

CANARY = b"canary-in-a-receipt"
TICKET = Ticket(receipt=b"%PDF-" + CANARY, title="Canary Shop", total="54,64 €", number="TC1")
DAY = 24 * 3600.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "outbox.sqlite"


@pytest.fixture
def outbox(path, clock):
    with Outbox(path, clock.now) as opened:
        yield opened


def keep(outbox, ticket=TICKET):
    secret = Secret.generate()
    number = outbox.accept(ticket, "till")
    outbox.keep(number, secret, seal(ticket, secret), None)
    return secret


def on_disk(path):
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def entry_of(outbox, secret):
    (entry,) = outbox.find(secret.id)
    return entry


def test_a_receipt_comes_back_as_it_was_accepted(outbox):
    assert outbox.receipt(outbox.accept(TICKET, "till")) == TICKET


def test_an_envelope_comes_back_after_the_process_has_ended(path, clock):
    with Outbox(path, clock.now) as outbox:
        secret = keep(outbox)
    with Outbox(path, clock.now) as outbox:
        assert outbox.envelope(secret.id) == seal(TICKET, secret)
        assert [entry.id for entry in outbox.unfinished()] == [secret.id]


@pytest.mark.rule("T3")
def test_no_secret_link_or_key_is_ever_written(outbox, path):
    secret = keep(outbox)

    disk = on_disk(path)

    for forbidden in (secret.reveal(), secret.key(), secret.nonce_key()):
        assert forbidden not in disk
        assert forbidden.hex().encode() not in disk
    assert secret.token() in disk  # it opens nothing


def test_the_file_and_what_lies_beside_it_are_for_their_owner_alone(outbox, path):
    if sys.platform == "win32":
        pytest.skip("modes are POSIX's")
    keep(outbox)

    assert path.parent.stat().st_mode & 0o777 == 0o700
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file.name


@pytest.mark.parametrize("state", ["opened", "received", "revoked", "expired"])
def test_a_receipt_that_is_done_with_is_overwritten(outbox, path, state):
    secret = keep(outbox)
    envelope = seal(TICKET, secret)
    assert CANARY in on_disk(path)

    outbox.note(secret.id, state)

    disk = on_disk(path)
    assert CANARY not in disk
    assert b"Canary Shop" not in disk
    assert envelope[100:200] not in disk


def test_a_receipt_that_the_cashier_lets_go_is_overwritten_and_its_upload_goes_on(outbox, path):
    secret = keep(outbox)

    outbox.settle(entry_of(outbox, secret).receipt_number, "reported")

    assert CANARY not in on_disk(path)
    assert outbox.envelope(secret.id) == seal(TICKET, secret)


def test_a_stored_receipt_is_kept_so_that_it_can_be_shown_again(outbox):
    secret = keep(outbox)
    outbox.note(secret.id, "stored")

    assert outbox.receipt(entry_of(outbox, secret).receipt_number) == TICKET
    assert outbox.unfinished() == []


def test_a_receipt_is_overwritten_a_day_after_it_was_accepted(outbox, path, clock):
    secret = keep(outbox)
    clock.jump(DAY - 1)
    outbox.sweep()
    assert CANARY in on_disk(path)

    clock.jump(2)
    outbox.sweep()

    assert CANARY not in on_disk(path)
    assert outbox.envelope(secret.id) is not None


@pytest.mark.rule("R131")
def test_an_envelope_is_not_uploaded_more_than_seven_days_after_sealing(outbox, clock):
    secret = keep(outbox)

    clock.jump(7 * DAY)
    assert not outbox.too_old(entry_of(outbox, secret))
    clock.jump(1)
    assert outbox.too_old(entry_of(outbox, secret))


@pytest.mark.rule("R131")
def test_an_entry_is_dropped_after_seven_days_and_told_if_it_was_never_uploaded(outbox, clock):
    never, stored = keep(outbox), keep(outbox)
    outbox.note(stored.id, "stored")
    clock.jump(7 * DAY + 1)

    dropped = outbox.sweep().not_uploaded

    assert [entry.id for entry in dropped] == [never.id]
    assert outbox.entries() == []


def test_a_clock_that_was_ahead_keeps_nothing_for_ever(outbox, path, clock):
    clock.jump(365 * DAY)
    secret = keep(outbox)
    clock.jump(-365 * DAY)
    outbox.sweep()

    assert not outbox.too_old(entry_of(outbox, secret))
    clock.jump(DAY + 1)
    outbox.sweep()
    assert CANARY not in on_disk(path)
    clock.jump(6 * DAY + 1)
    assert len(outbox.sweep().not_uploaded) == 1


def test_a_clock_that_was_behind_loses_nothing_in_silence(outbox, clock):
    clock.jump(-3 * 365 * DAY)
    secret = keep(outbox)
    clock.jump(3 * 365 * DAY)

    assert [entry.id for entry in outbox.sweep().not_uploaded] == [secret.id]


def test_states_do_not_come_back_from_the_end(outbox):
    secret = keep(outbox)
    outbox.note(secret.id, "revoked")
    outbox.note(secret.id, "stored")

    assert entry_of(outbox, secret).state == "revoked"


def test_a_ticket_to_be_revoked_is_unfinished_until_it_is(outbox):
    secret = keep(outbox)
    outbox.note(secret.id, "stored")
    outbox.want_revoked(secret.id)
    assert entry_of(outbox, secret).revoke
    assert len(outbox.unfinished()) == 1

    outbox.note(secret.id, "revoked")

    assert outbox.unfinished() == []


@pytest.mark.rule("R130")
def test_whether_an_upload_was_ever_begun_is_written_before_it_begins(outbox):
    secret = keep(outbox)
    assert not entry_of(outbox, secret).tried

    assert outbox.tried(secret.id) == "sealed"

    assert entry_of(outbox, secret).tried


def test_no_upload_begins_of_what_is_over(outbox):
    secret = keep(outbox)
    assert outbox.withdraw(secret.id)

    assert outbox.tried(secret.id) == "revoked"
    assert not entry_of(outbox, secret).tried
    assert outbox.tried("0" * 32) is None


@pytest.mark.parametrize(
    "state", ["sealed", "stored", "opened", "received", "revoked", "expired", "failed"]
)
def test_what_is_over_is_over_in_sql_too(outbox, path, state):
    secret = keep(outbox)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tickets SET state = ?", (state,))

    outbox.tried(secret.id)

    assert entry_of(outbox, secret).tried is (state not in OVER)


def test_what_never_left_is_withdrawn_and_overwritten_at_once(outbox, path):
    secret = keep(outbox)

    assert outbox.withdraw(secret.id)

    assert seal(TICKET, secret)[100:200] not in on_disk(path)
    assert CANARY not in on_disk(path)
    assert outbox.accepted()[0].outcome == "revoked"
    assert not outbox.withdraw(secret.id)


@pytest.mark.rule("R130")
def test_what_may_have_left_is_not_withdrawn(outbox, path, clock):
    tried, free = keep(outbox), keep(outbox)
    outbox.tried(tried.id)

    assert not outbox.withdraw(tried.id)
    with Outbox(path, clock.now) as other:
        assert not other.withdraw(free.id)  # the first is at it
        clock.jump(CLAIM_SECONDS)
        assert other.withdraw(free.id)


@pytest.mark.parametrize("state", ["stored", "failed"])
def test_an_envelope_goes_when_it_is_of_no_more_use(outbox, path, state):
    secret = keep(outbox)
    outbox.tried(secret.id)
    outbox.settle(entry_of(outbox, secret).receipt_number, "paper")
    assert outbox.envelope(secret.id) is not None  # its upload goes on

    outbox.note(secret.id, state)

    assert outbox.envelope(secret.id) is None
    assert seal(TICKET, secret)[100:200] not in on_disk(path)


def test_a_receipt_without_a_ticket_is_named(outbox):
    number = outbox.accept(TICKET, "till")
    keep(outbox)

    assert outbox.unsealed() == [number]


def test_a_ticket_belongs_to_the_process_that_sealed_it(outbox, path, clock):
    secret = keep(outbox)

    with Outbox(path, clock.now) as other:
        assert not other.claim(secret.id)
        assert entry_of(other, secret).claimed
        assert outbox.claim(secret.id)
        assert not entry_of(outbox, secret).claimed


def test_of_two_processes_one_gets_the_ticket(outbox, path, clock):
    secret = keep(outbox)
    outbox.release(secret.id)

    with Outbox(path, clock.now) as other, Outbox(path, clock.now) as third:
        assert [each.claim(secret.id) for each in (other, third)] == [True, False]


def test_a_claim_of_a_process_that_died_ends_after_a_minute(outbox, path, clock):
    secret = keep(outbox)

    with Outbox(path, clock.now) as other:
        clock.jump(CLAIM_SECONDS)
        assert other.claim(secret.id)


def test_a_claim_from_a_clock_that_was_ahead_is_none(outbox, path, clock):
    clock.jump(365 * DAY)
    secret = keep(outbox)
    clock.jump(-365 * DAY)

    with Outbox(path, clock.now) as other:
        assert not entry_of(other, secret).claimed
        assert other.claim(secret.id)


def test_a_process_that_ends_gives_back_what_it_claimed(path, clock):
    with Outbox(path, clock.now) as outbox:
        secret = keep(outbox)
    with Outbox(path, clock.now) as other:
        assert other.claim(secret.id)


def test_a_full_disk_is_told_and_what_was_kept_stays(outbox):
    secret = keep(outbox)
    outbox._connection.execute("PRAGMA max_page_count = 1")

    with pytest.raises(OutboxError, match="disk is full"):
        keep(outbox, Ticket(receipt=b"%PDF-" + bytes(1_000_000)))

    assert outbox.envelope(secret.id) == seal(TICKET, secret)
    outbox._connection.execute("PRAGMA max_page_count = 100000")
    keep(outbox)


def test_a_damaged_file_is_told(path, clock):
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)

    with pytest.raises(OutboxError, match="damaged"):
        Outbox(path, clock.now)


def test_a_directory_in_place_of_the_file_is_told(path, clock):
    path.mkdir(parents=True)

    with pytest.raises(OutboxError, match="cannot be opened"):
        Outbox(path, clock.now)


def test_a_file_of_a_newer_program_is_left_alone(path, clock):
    Outbox(path, clock.now).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()

    with pytest.raises(OutboxError, match="newer"):
        Outbox(path, clock.now)
    assert path.read_bytes() == before


def test_an_older_file_is_migrated_and_keeps_its_tickets(path, clock):
    with Outbox(path, clock.now) as outbox:
        secret = keep(outbox)
    scripts = ["ALTER TABLE tickets ADD COLUMN colour TEXT;\nUPDATE tickets SET colour = 'red';\n"]

    with Outbox(path, clock.now, migrations=[*module.MIGRATIONS, *scripts]) as outbox:
        assert outbox.envelope(secret.id) == seal(TICKET, secret)
        (row,) = outbox._connection.execute("SELECT colour FROM tickets").fetchall()
        assert row["colour"] == "red"
    with Outbox(path, clock.now, migrations=[*module.MIGRATIONS, *scripts]) as outbox:
        assert len(outbox.entries()) == 1


def test_a_file_of_version_1_keeps_its_receipts_and_gets_the_tables_of_today(path, clock, tmp_path):
    path.parent.mkdir()
    schema = Path(__file__).parents[2] / "data/outbox_v1.sql"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(schema.read_text(encoding="utf-8"))
        old.execute("INSERT INTO receipts VALUES (7, 'till', 0, '{\"name\": \"r.pdf\"}', X'2550')")
        old.execute("PRAGMA user_version = 1")
        old.commit()

    with Outbox(path, clock.now) as outbox:
        assert outbox.receipt(7) == Ticket(receipt=b"%P", name="r.pdf")
        assert outbox.accept(TICKET, "till", source="folder", key="a") == 8
        migrated = shape(outbox)
    with Outbox(tmp_path / "new.sqlite", clock.now) as new:
        assert migrated == shape(new)


def test_a_file_of_version_2_keeps_its_tickets_and_gets_the_tables_of_today(path, clock, tmp_path):
    path.parent.mkdir()
    schema = Path(__file__).parents[2] / "data/outbox_v2.sql"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(schema.read_text(encoding="utf-8"))
        old.execute(
            "INSERT INTO receipts (receipt_number, till, accepted_at, fields, receipt, source,"
            " source_key, paper) VALUES (7, 'till', 0, '{}', X'2550', 'folder', 'ab', X'1B40')"
        )
        old.execute(
            "INSERT INTO tickets (id, receipt_number, envelope, token, sealed_at, state)"
            " VALUES ('00', 7, X'01', X'02', 0, 'stored')"
        )
        old.execute("INSERT INTO cursors VALUES ('folder', '3')")
        old.execute("PRAGMA user_version = 2")
        old.commit()

    with Outbox(path, clock.now) as outbox:
        assert outbox.receipt(7) == Ticket(receipt=b"%P")
        assert outbox.paper(7) == b"\x1b@"
        assert outbox.cursor("folder") == "3"
        assert [(entry.id, entry.state) for entry in outbox.entries()] == [("00", "stored")]
        assert outbox.histories() == {}
        outbox.change_sale(7, SaleChange(showings=(Showing("Counter", 1.0),)))
        assert outbox.histories() == {7: History(showings=(Showing("Counter", 1.0),))}
        migrated = shape(outbox)
    with Outbox(tmp_path / "new.sqlite", clock.now) as new:
        assert migrated == shape(new)


def test_a_file_of_version_3_keeps_its_receipts_and_gets_the_tables_of_today(path, clock, tmp_path):
    path.parent.mkdir()
    schema = Path(__file__).parents[2] / "data/outbox_v3.sql"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(schema.read_text(encoding="utf-8"))
        old.execute(
            "INSERT INTO receipts (receipt_number, till, accepted_at, fields, receipt)"
            " VALUES (7, 'till', 0, '{}', X'2550')"
        )
        old.execute("PRAGMA user_version = 3")
        old.commit()

    with Outbox(path, clock.now) as outbox:
        assert outbox.receipt(7) == Ticket(receipt=b"%P")
        assert outbox.accept(IN_WORDS, "till") == 8
        assert outbox.receipt(8) == IN_WORDS
        migrated = shape(outbox)
    with Outbox(tmp_path / "new.sqlite", clock.now) as new:
        assert migrated == shape(new)


IN_WORDS = Ticket(
    receipt=b"%PDF-",
    title="Canary Shop",
    total="54,64 €",
    lines=(("Canary Shop",), ("",), ("Total", "54,64 €")),
    preview=b"\x89PNG",
    preview_is_rest=True,
    data=(Data("application/json", "ekabs.json", b"{}"),),
)


def test_words_codes_and_data_are_kept_with_a_receipt_and_let_go_with_it(path, clock):
    with Outbox(path, clock.now) as outbox:
        number = outbox.accept(IN_WORDS, "till")
        assert outbox.receipt(number) == IN_WORDS

        outbox.settle(number, "paper")

        assert outbox.receipt(number) is None
        (left,) = outbox._connection.execute("SELECT beside FROM receipts").fetchone()
        assert left is None


def test_a_receipt_whose_words_were_damaged_is_still_a_receipt(path, clock):
    with Outbox(path, clock.now) as outbox:
        number = outbox.accept(IN_WORDS, "till")
        outbox._connection.execute("UPDATE receipts SET beside = X'00'")

        kept = outbox.receipt(number)

        assert kept == Ticket(receipt=b"%PDF-", title="Canary Shop", total="54,64 €")


def shape(outbox):
    """What tables and columns there are; their order in the file says nothing."""
    tables = outbox._connection.execute("SELECT name FROM sqlite_master").fetchall()
    return {
        table["name"]: {
            (column["name"], column["type"], column["notnull"])
            for column in outbox._connection.execute(f"PRAGMA table_info({table['name']})")
        }
        for table in tables
        if not table["name"].startswith("sqlite_")
    }


def test_a_migration_that_fails_changes_nothing(path, clock):
    with Outbox(path, clock.now) as outbox:
        keep(outbox)
    scripts = ["ALTER TABLE tickets ADD COLUMN colour TEXT;\nNONSENSE;\n"]

    with pytest.raises(OutboxError):
        Outbox(path, clock.now, migrations=[*module.MIGRATIONS, *scripts])

    with Outbox(path, clock.now) as outbox:
        assert len(outbox.entries()) == 1


def test_a_power_cut_loses_nothing_that_was_kept(outbox):
    pragmas = {
        name: outbox._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
    }

    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "secure_delete": 1,
        "foreign_keys": 1,
    }


def test_the_schema_says_of_every_column_what_it_is_for():
    schema = Path(module.__file__).with_name("outbox_schema.sql").read_text(encoding="utf-8")
    columns = re.findall(
        r"^    (?!CHECK|--)\w+ +(?:TEXT|INTEGER|REAL|BLOB).*$", schema, re.MULTILINE
    )

    assert len(columns) == 41
    assert all("--" in column or "ON DELETE" in column for column in columns)


def test_what_happened_to_a_sale_outlives_the_process(path, clock):
    with Outbox(path, clock.now) as outbox:
        number = outbox.accept(TICKET, "till", reason=Reason.LATE)
        away = Open(Reason.RELAY, "nothing answers", "wait", 5.0)
        outbox.change_sale(number, SaleChange(opened=(away,)))
        outbox.change_sale(
            number, SaleChange(ended=(Reason.LATE,), showings=(Showing("Counter", 7.0),))
        )
    with Outbox(path, clock.now) as outbox:
        history = History((Showing("Counter", 7.0),), (away,))
        assert outbox.histories() == {number: history}
        ended = Showing("Counter", 7.0, 9.5)

        outbox.change_sale(number, SaleChange(showings=(ended, Showing("", 8.0))))

        assert outbox.histories()[number].showings == (ended, Showing("", 8.0))


def test_a_reason_that_comes_again_is_open_again(outbox):
    number = outbox.accept(TICKET, "till", reason=Reason.LATE)
    outbox.change_sale(number, SaleChange(ended=(Reason.LATE,)))
    assert outbox.histories() == {}

    again = Open(Reason.LATE, None, None, 12.0)
    outbox.change_sale(number, SaleChange(opened=(again,)))

    assert outbox.histories()[number].reasons == (again,)


def test_of_a_sale_that_was_dropped_nothing_is_written_down(outbox, clock):
    number = outbox.accept(TICKET, "till", reason=Reason.LATE)
    outbox.settle(number, "paper")
    clock.jump(8 * DAY + 1)
    outbox.sweep()

    outbox.change_sale(number, SaleChange(showings=(Showing("Counter", 1.0),)))

    assert outbox.histories() == {}


def test_when_a_ticket_was_uploaded_is_written_down_once(outbox, clock):
    secret = keep(outbox)
    clock.jump(10)
    outbox.note(secret.id, "stored")
    stored_at = clock.now()
    clock.jump(10)
    outbox.note(secret.id, "opened")

    (row,) = outbox._connection.execute("SELECT uploaded_at FROM tickets").fetchall()
    assert row["uploaded_at"] == stored_at


def test_a_receipt_that_was_refused_is_told_once_however_often_it_comes(outbox, clock):
    five = Refused("ab", clock.now(), "Till 1", "folder", Ticket(b"", total="5 €"), "it is full")
    outbox.refuse(five)
    outbox.refuse(replace(five, why="it is damaged"))
    outbox.refuse(replace(five, digest="cd"))

    assert outbox.refused() == [replace(five, why="it is damaged"), replace(five, digest="cd")]

    outbox.refusals_seen(["ab"])
    clock.jump(DAY + 1)
    outbox.sweep()

    assert outbox.refused() == [replace(five, digest="cd", facts=None)]


def test_an_entry_does_not_show_its_token(outbox):
    secret = keep(outbox)

    assert secret.token().hex() not in repr(entry_of(outbox, secret))
    assert repr(secret.token()) not in repr(entry_of(outbox, secret))


def test_what_a_source_names_is_accepted_once(outbox):
    first = outbox.accept(TICKET, "till", source="dolibarr", key="4711", cursor="4711")

    assert outbox.accept(TICKET, "till", source="dolibarr", key="4711", cursor="4712") is None
    others = [
        outbox.accept(TICKET, "till", source="folder", key=key) for key in ("4711", None, None)
    ]
    assert len({first, *others}) == 4
    assert outbox.cursor("dolibarr") == "4712"
    assert outbox.cursor("folder") is None


def test_what_a_source_calls_a_receipt_is_kept_as_a_hash(outbox, path):
    outbox.accept(TICKET, "till", source="folder", key="canary-name-of-a-customer.pdf")

    assert b"canary-name" not in path.read_bytes() + Path(f"{path}-wal").read_bytes()


def test_a_cursor_is_kept_by_itself_too(outbox):
    outbox.keep_cursor("dolibarr", "1")
    outbox.keep_cursor("dolibarr", "2")

    assert outbox.cursor("dolibarr") == "2"


@pytest.mark.parametrize("outcome", sorted(ENDED | {"opened"}))
def test_a_receipt_ends_once_and_is_let_go(outbox, outcome):
    number = outbox.accept(TICKET, "till", paper=b"bytes for a printer")
    assert outbox.paper(number) == b"bytes for a printer"

    assert outbox.settle(number, outcome) == outcome

    assert outbox.settle(number, "paper") == outcome
    assert outbox.receipt(number) is None
    assert outbox.paper(number) is None
    (accepted,) = outbox.accepted()
    assert (accepted.number, accepted.outcome, accepted.ticket) == (number, outcome, None)


def test_what_was_opened_may_be_saved(outbox):
    number = outbox.accept(TICKET, "till")
    outbox.settle(number, "opened")

    assert outbox.settle(number, "received") == "received"


def test_the_state_of_a_ticket_settles_its_receipt(outbox):
    secret = keep(outbox)
    outbox.note(secret.id, "stored")
    assert outbox.accepted()[0].outcome is None

    outbox.note(secret.id, "opened")
    outbox.note(secret.id, "received")

    assert outbox.accepted()[0].outcome == "received"


def test_the_facts_of_a_receipt_are_known_until_it_is_let_go(outbox):
    number = outbox.accept(Ticket(b"%PDF-", total="5 €"), "Till 1", source="folder")

    (accepted,) = outbox.accepted()

    assert (accepted.till, accepted.source, accepted.ticket.total) == ("Till 1", "folder", "5 €")
    outbox.settle(number, "paper")
    assert outbox.accepted()[0].ticket is None


def test_a_receipt_that_was_never_shown_is_reported_after_a_day(outbox, clock):
    number = outbox.accept(TICKET, "till")
    sealed = keep(outbox)
    clock.jump(DAY + 1)

    swept = outbox.sweep()

    assert swept.not_shown == (number,)
    outcomes = {accepted.number: accepted.outcome for accepted in outbox.accepted()}
    assert outcomes == {number: "reported", number + 1: None}
    assert outbox.receipt(number + 1) is None
    assert outbox.envelope(sealed.id) is not None
    assert outbox.sweep() == module.Swept((), ())


def test_that_a_receipt_came_is_forgotten_after_8_days(outbox, clock):
    number = outbox.accept(TICKET, "till", source="folder", key="a")
    outbox.settle(number, "paper")
    clock.jump(7 * DAY)
    outbox.sweep()
    assert outbox.accept(TICKET, "till", source="folder", key="a") is None

    clock.jump(DAY + 1)
    outbox.sweep()

    assert outbox.accepted() == []


@pytest.mark.parametrize(("state", "outcome"), [("sealed", "reported"), ("stored", "expired")])
def test_a_ticket_that_is_dropped_settles_its_receipt(outbox, clock, state, outcome):
    secret = keep(outbox)
    outbox.note(secret.id, state)
    clock.jump(7 * DAY + 1)

    outbox.sweep()

    assert outbox.accepted() == [] or outbox.accepted()[0].outcome == outcome
