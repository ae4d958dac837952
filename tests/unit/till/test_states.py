"""One table says what may follow what: everything that keeps a state goes by it."""

import itertools
import re
from pathlib import Path

import pytest
from fakes import Clock, FlakyRelay

from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.till import outbox as module
from e2ee_ticket.till.outbox import Open, Outbox, Showing
from e2ee_ticket.till.pipeline import Delivery, Till
from e2ee_ticket.till.reasons import HOLDS, PAST, WORDINGS, Reason, say
from e2ee_ticket.till.record import Record
from e2ee_ticket.till.states import (
    ENDED,
    LET_GO,
    OPENED,
    OVER,
    SHOWABLE,
    TRANSITIONS,
    DeliveryState,
    EntryState,
    Outcome,
    SaleState,
    may,
)

TICKET = Ticket(b"%PDF-1.7 a receipt %%EOF")


def pairs(states):
    return list(itertools.product(states, states))


@pytest.fixture
def outbox(tmp_path):
    with Outbox(tmp_path / "outbox.sqlite", Clock().now) as made:
        yield made


def test_a_delivery_is_an_entry_once_it_is_sealed():
    assert {state.value for state in EntryState} == set(DeliveryState) - {"accepted"}
    for before, after in pairs(EntryState):
        assert may(before, after) == may(DeliveryState(before), DeliveryState(after))


def test_every_state_of_a_ticket_and_every_outcome_is_one_of_a_sale():
    states = set(SaleState)
    assert set(EntryState) < states
    assert set(Outcome) < states


@pytest.mark.parametrize(("column", "states"), [("state", EntryState), ("outcome", Outcome)])
def test_the_outbox_takes_these_states_and_no_other(column, states):
    schema = Path(module.__file__).with_name("outbox_schema.sql").read_text(encoding="utf-8")
    (listed,) = re.findall(rf"CHECK \({column} IN\s*\(([^)]*)\)", schema)

    assert re.findall(r"'(\w+)'", listed) == [state.value for state in states]


@pytest.mark.parametrize(("before", "after"), pairs(EntryState))
def test_an_entry_goes_where_the_table_lets_it(outbox, before, after):
    number = outbox.accept(TICKET, "till")
    secret = Secret.generate()
    outbox.keep(number, secret, b"envelope", None)
    if before != "sealed":
        outbox.note(secret.id, before)

    outbox.note(secret.id, after)

    (entry,) = outbox.entries()
    assert entry.state == (after if may(before, after) else before)


@pytest.mark.parametrize(
    ("before", "after"), list(itertools.product([None, *Outcome], Outcome)), ids=str
)
def test_a_receipt_ends_as_the_table_lets_it(outbox, before, after):
    number = outbox.accept(TICKET, "till")
    if before is not None:
        outbox.settle(number, before)

    assert outbox.settle(number, after) == (after if may(before, after) else before)


class Nobody:
    def progress(self, progress):
        pass


@pytest.mark.parametrize(("before", "after"), pairs(DeliveryState))
def test_a_delivery_goes_where_the_table_lets_it(before, after):
    clock = Clock()
    till = Till(FlakyRelay(clock), None, "https://t.example", clock)
    delivery = Delivery(till, TICKET, Nobody())
    delivery.state = before

    delivery.end(after)

    assert delivery.state == (after if may(before, after) else before)


def test_what_is_final_is_followed_by_nothing():
    for kind, table in TRANSITIONS.items():
        assert set(table) - {None} == set(kind)
        for followers in table.values():
            assert followers <= set(kind)
    assert set(Outcome) - {Outcome.OPENED} == ENDED
    assert set(DeliveryState) == SHOWABLE | OPENED | OVER
    for state in OVER - {DeliveryState.FAILED}:
        assert not TRANSITIONS[DeliveryState][state]
        assert state in LET_GO


class Made:
    """A ticket in a state, as a record looks at it."""

    def __init__(self, state, *, on_screen=False):
        self.state, self.on_screen = DeliveryState(state), on_screen
        self.shown, self.confirmed, self.link = on_screen, on_screen, object()


def record(*deliveries, **facts):
    return Record(1, "till", "source", 0.0, None, deliveries=list(deliveries), **facts)


LATE = {Reason.LATE: Open(Reason.LATE, None, None, 0.0)}
SEEN = {"showings": [Showing("Counter", 0.0, 60.0)], "scannable": True}


SALES = {
    "nothing was made of it yet": (record(), "held"),
    "nobody saw it before its upload": (record(Made("sealed")), "held"),
    "nobody saw it after its upload": (record(Made("stored")), "held"),
    "it was seen too briefly": (record(Made("stored"), **{**SEEN, "scannable": False}), "held"),
    "a reason is open": (record(Made("stored"), **SEEN, reasons=dict(LATE)), "held"),
    "it is on all the same": (record(Made("stored", on_screen=True), reasons=dict(LATE)), "stored"),
    "it is on and not sealed yet": (record(Made("accepted", on_screen=True)), "sealed"),
    "it is on": (record(Made("sealed", on_screen=True)), "sealed"),
    "it is on the till's screen": (record(Made("sealed"), here=True), "sealed"),
    "it was seen": (record(Made("stored"), **SEEN), "stored"),
    "there is a copy on paper": (record(Made("stored"), copied=True), "stored"),
    "an earlier one failed": (record(Made("failed"), Made("stored"), **SEEN), "stored"),
    "one of two was opened": (record(Made("stored"), Made("opened")), "opened"),
    "the relay forgot that it was": (record(Made("expired"), reached="opened"), "opened"),
    "one of two was saved": (record(Made("opened"), Made("received")), "received"),
    "one of two was taken back": (record(Made("opened"), Made("revoked")), "revoked"),
    "its time is over": (record(Made("expired")), "expired"),
    "it failed": (record(Made("failed")), "failed"),
    "it is on paper": (record(Made("stored"), outcome="paper"), "paper"),
    "it was let go": (record(Made("stored"), outcome="reported"), "reported"),
}


@pytest.mark.parametrize("name", SALES)
def test_the_state_of_a_sale_is_worked_out_of_what_is_known(name):
    made, state = SALES[name]

    assert made.state is SaleState(state)


def test_a_sale_can_be_in_every_state():
    assert {made.state for made, _ in SALES.values()} == set(SaleState)


def test_every_reason_has_its_words_and_those_that_are_so_now_become_past():
    assert set(WORDINGS) == set(Reason)
    assert set(PAST) | set(PAST.values()) <= HOLDS
    for reason in Reason:
        assert "{" not in say(reason, "the printer is off")


def test_the_most_urgent_reason_is_said_first_and_the_others_beside_it():
    told = record()
    for reason in (Reason.REPLACED, Reason.SLOW, Reason.LATE):
        told.reasons[reason] = Open(reason, None, None, 0.0)

    assert "has not taken this receipt" in told.warning
    assert [each[:10] for each in told.also] == ["this sale ", "the next s"]

    told.end(Reason.SLOW)
    assert "late" in told.warning
