"""A relay carries a whole sale, and learns nothing of it: what this project is for.

Everything the relay stored, logged and had in its memory, and every byte between it and the three
parties, is searched for every field of the ticket, the receipt, both secrets, and every key.
"""

import pytest
from privacy import canaries, traces
from privacy.sought import (
    careless,
    hashes,
    leaks,
    names,
    what_nobody_may_have,
    what_only_travels,
)

from e2ee_ticket.protocol.content import Content

pytestmark = pytest.mark.browser


# The search


def test_the_relays_files_hold_nothing(whole_sale):
    assert {"relay.sqlite", "relay.sqlite-wal", "relay.log"} <= whole_sale.disk.keys()
    assert traces.find_in(whole_sale.disk, what_nobody_may_have(whole_sale)) == {}


def test_the_relays_memory_holds_nothing(whole_sale):
    assert sum(map(len, whole_sale.memory.values())) > 3 * 2**24
    assert traces.find_in(whole_sale.memory, what_nobody_may_have(whole_sale)) == {}


def test_the_wires_carry_nothing(whole_sale):
    assert all(whole_sale.wire.values())
    assert traces.find_in(whole_sale.wire, what_nobody_may_have(whole_sale)) == {}


@pytest.mark.rule("R6")
def test_tokens_and_permits_are_kept_as_hashes_only(whole_sale):
    assert traces.find_in(whole_sale.disk, what_only_travels(whole_sale)) == {}


@pytest.mark.rule("R4")
def test_the_log_names_nobody(whole_sale):
    log = {"relay.log": whole_sale.disk["relay.log"]}
    started, lines = log["relay.log"].split(b"listening on", 1)

    for needles in (names, hashes, what_only_travels):
        assert traces.find_in(log, needles(whole_sale)) == {}
    started = started.replace(whole_sale.operator.encode(), b"")  # where it listens itself
    assert b"127.0.0.1" not in started + lines.split(b"\n", 1)[1]
    assert b"Mozilla" not in lines
    assert lines.count(b"PUT /v1/t/{id} 201") == 1  # and yet it has been written


def test_what_the_operator_is_told_names_nobody(whole_sale):
    told = whole_sale.told

    for needles in (what_nobody_may_have, what_only_travels, names, hashes):
        assert traces.find_in(told, needles(whole_sale)) == {}
    assert b'route="/v1/t/{id}",status="201"} 1' in told["metrics"]
    assert b'"opened": 1' in told["relay-server stats --json"]
    assert not any(b"127.0.0.1" in data for data in told.values())


@pytest.mark.rule("C5")
def test_the_tills_own_token_goes_to_the_relay_and_nowhere_else(whole_sale):
    needles = traces.Needles()
    needles.data("the till's token", whole_sale.pairing.token.reveal())

    assert traces.find_in(whole_sale.wire, needles).keys() == {"till to relay"}


def test_the_customer_has_the_receipt_all_the_same(whole_sale):
    assert whole_sale.saved == (canaries.receipt(), canaries.NAME)


# The search can fail


def test_the_search_finds_what_is_known_to_be_there(whole_sale):
    in_database = "the ticket's id, as it is"
    on_the_wire = {"the ticket's id, in hex", "the channel's id, in hex"}
    token = "the ticket's token, as it is"

    kept = names(whole_sale).find(whole_sale.disk["relay.sqlite-wal"])
    carried = names(whole_sale).find(whole_sale.wire["till to relay"])
    said = what_only_travels(whole_sale).find(whole_sale.wire["phone to relay"])
    known = hashes(whole_sale).find(b"".join(whole_sale.disk.values()))
    remembered = traces.find_in(whole_sale.memory, names(whole_sale))

    assert in_database in kept
    assert on_the_wire <= set(carried)
    assert token in said
    assert {name.split(",")[0] for name in known} == {
        "the ticket's token hash",
        "the display's token hash",
        "the till's token hash",
        "the permit's hash",
    }
    assert {moment.split(", ")[1] for moment in remembered} == {
        "while the display shows the code",
        "when the receipt is open",
        "after the sale",
    }


def test_every_canary_was_in_the_sale(whole_sale):
    """What was sealed for phone and display holds all of them, so the search was for the truth."""
    needles = traces.Needles()
    for name, text in canaries.TEXTS.items():
        needles.text(name, text)
    idle = Content.idle(name=canaries.SHOP, lang=canaries.LANG, notice=canaries.NOTICE)
    shown = Content.ticket(whole_sale.link.secret, 90).to_payload()

    found = needles.find(whole_sale.ticket.to_bytes() + idle.to_payload())

    assert {name.split(",")[0] for name in found} == canaries.TEXTS.keys()
    assert what_nobody_may_have(whole_sale).find(shown) == ["the ticket's link, as digits"]


def test_a_careless_relay_would_be_found(whole_sale):
    needles = what_nobody_may_have(whole_sale)
    missed = [
        (leak, how)
        for leak in leaks(whole_sale)
        for how, record in careless(leak).items()
        if not needles.find(record)
    ]

    assert missed == []
