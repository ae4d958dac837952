"""A masked job has the shape of the real one and none of its words."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from e2ee_ticket.sources.escpos import decode
from e2ee_ticket.sources.escpos_mask import mask
from e2ee_ticket.sources.roll_facts import lines_of

PRINTED = (Path(__file__).parents[2] / "data/takepos_receiptprinter_9100.bin").read_bytes()


def lines(job):
    return list(lines_of(decode(job)))


def test_words_and_figures_are_gone_and_the_layout_stays():
    masked = mask(PRINTED)

    assert len(masked) == len(PRINTED)
    assert [len(line) for line in lines(masked)] == [len(line) for line in lines(PRINTED)]
    assert not any(any(char.isdigit() and char != "0" for char in line) for line in lines(masked))
    assert "TC1" not in "".join(lines(masked))


def test_commands_stay_and_codes_are_masked():
    job = b"\x1b@\x1ba\x01\x1bt\x13Caf\x82 12,50\n\x1dk\x49\x05{B12a\x1d(k\x06\x001P0Ab7\x1dVA\x03"

    assert mask(job) == (
        b"\x1b@\x1ba\x01\x1bt\x13Xxx\xe9 00,00\n\x1dk\x49\x05{X00x\x1d(k\x06\x001P0Xx0\x1dVA\x03"
    )


@given(st.binary(max_size=400))
def test_any_bytes_keep_their_length(job):
    assert len(mask(job)) == len(job)
    assert mask(mask(job)) == mask(job)
