import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2ee_ticket.sources.dolibarr.ledger import OPEN_MAX, RECENT, Ledger

PLACE, SERIES = "0123abcd", "89abcdef"


def test_a_row_that_was_passed_over_is_still_expected():
    ledger = Ledger(SERIES, 10)

    ledger.settle(14)

    assert ledger.open == {11, 12, 13}
    assert ledger.expects(12)
    assert not ledger.expects(14)
    assert not ledger.expects(10)


def test_a_row_left_open_is_asked_for_again_until_it_is_settled():
    ledger = Ledger(SERIES, 10)

    ledger.leave_open(11)
    assert ledger.expects(11)

    ledger.settle(11)
    assert not ledger.expects(11)


def test_open_rows_are_bounded_and_the_oldest_are_given_up():
    ledger = Ledger(SERIES, 10, [5])

    ledger.settle(10_000_000)

    assert len(ledger.open) == OPEN_MAX
    assert min(ledger.open) == 10_000_000 - OPEN_MAX


def test_sifting_keeps_drafts_and_what_may_not_be_stored_yet():
    ledger = Ledger(SERIES, 200, [20, 30, 199 - RECENT, 199])

    ledger.sift([30])

    assert ledger.open == {30, 199}


@pytest.mark.parametrize(
    "cursor",
    [None, "", "7", "0123abcd", "0123abcd-89abcdef x", "ffffffff-89abcdef 7",
     "0123abcd-89abcdef 7 5-",
     "0123abcd-89abcdef 7" + " 1" * 5000],
)  # fmt: skip
def test_a_cursor_that_is_none_of_ours_says_nothing(cursor):
    assert Ledger.from_cursor(cursor, PLACE) is None


def test_a_cursor_cannot_ask_for_more_rows_than_a_ledger_has():
    assert (
        len(Ledger.from_cursor("0123abcd-89abcdef 999999999999 1-999999999999", PLACE).open)
        <= OPEN_MAX
    )


@given(st.integers(0, 10**9), st.lists(st.integers(1, 400), max_size=60))
def test_a_cursor_reads_as_it_was_written(start, steps):
    ledger = Ledger(SERIES, start)
    for step in steps:
        ledger.settle(start + step)

    cursor = ledger.to_cursor(PLACE)
    again = Ledger.from_cursor(cursor, PLACE)

    assert (again.series, again.newest, again.open) == (SERIES, ledger.newest, ledger.open)
    assert len(cursor) < 4000


@given(st.permutations(range(1, 40)))
def test_in_whatever_order_rows_are_settled_each_is_expected_until_then(rows):
    ledger = Ledger(SERIES, 0)
    for index, row in enumerate(rows):
        assert ledger.expects(row)
        ledger.settle(row)
        assert not any(ledger.expects(done) for done in rows[: index + 1])
