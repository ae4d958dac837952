"""The receipt in words, written and read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.protocol import lines
from e2ee_ticket.protocol.envelope import seal, unseal
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import HEADER_MAX_SIZE, TEXT_LIMITS, Data, Ticket

SECRET = Secret(bytes(range(32)))
CELLS = st.text(st.characters(exclude_categories=["Cs"]))
LINES = (("Épicerie",), ("",), ("Comté", "12,40"), ("Total", "16,60 €"))


@pytest.mark.rule("T40")
@pytest.mark.parametrize("character", ["\0", "\r", "\x1b", "\x85", "\u2028", "\u202e", "\ufeff"])
def test_no_text_is_written_with_a_character_that_readers_refuse(character):
    with pytest.raises(ReceiptError, match="control character"):
        Ticket(b"%PDF-", lines=((f"a{character}b",),)).to_bytes()


@pytest.mark.rule("T40")
@pytest.mark.parametrize("cell", ["a\tb", "a\nb"])
def test_no_cell_is_written_with_what_ends_a_cell(cell):
    with pytest.raises(ReceiptError, match="ends a cell"):
        Ticket(b"%PDF-", lines=((cell,),)).to_bytes()


@pytest.mark.rule("T40")
@pytest.mark.parametrize("wrong", [(), ((),), (("x" * 32768,),)])
def test_no_text_is_written_that_is_empty_or_too_long(wrong):
    with pytest.raises(ReceiptError):
        lines.to_bytes(wrong)


@pytest.mark.rule("T40")
@given(st.lists(st.lists(CELLS, min_size=1), min_size=1))
def test_what_anybody_wrote_is_made_fit_for_a_text_or_is_none(written):
    fitted = lines.fitting(written)

    if fitted is None:
        assert not any(lines.fitting([[cell]]) for line in written for cell in line)
    else:
        assert lines.from_bytes(lines.to_bytes(fitted)) == fitted


def test_blanks_gaps_and_controls_are_tidied_and_words_are_not():
    written = [[""], [" Café\r\n crème\x07 ", "1\u202f200,00\u00a0€"], ["\t"], [""], ["\u202eabc"]]

    assert lines.fitting(written) == (("Café crème", "1\u202f200,00\u00a0€"), ("",), ("abc",))


def test_a_text_that_is_too_long_is_none_rather_than_a_part_of_it():
    assert lines.fitting([["x" * 40]] * 1000) is None


@pytest.mark.rule("T48")
@pytest.mark.parametrize(
    "data",
    [
        tuple(Data("application/json", f"{n}.json", b"{}") for n in range(4)),
        (Data("text/html", "a.html", b""),),
    ],
)
def test_no_more_than_three_parts_of_data_and_no_other_types_are_written(data):
    with pytest.raises(ReceiptError, match="three parts of data"):
        Ticket(b"%PDF-", data=data)


@pytest.mark.rule("T48")
def test_data_arrive_unchanged_with_their_names():
    data = (
        Data("application/json", "ekabs.json", b'{"a" : 1.0}'),
        Data("application/xml", "Rechnung 7.xml", b"<?xml version='1.0'?>\xff"),
    )

    assert unseal(seal(Ticket(b"%PDF-", data=data), SECRET), SECRET).data == data


@pytest.mark.parametrize("rest", [True, False])
def test_a_ticket_with_every_part_arrives_as_it_was(rest):
    ticket = Ticket(
        b"%PDF-",
        preview=b"\x89PNG",
        lines=LINES,
        preview_is_rest=rest,
        data=(Data("application/json", "a.json", b"{}"),),
    )

    assert unseal(seal(ticket, SECRET), SECRET) == ticket


@pytest.mark.rule("T13")
def test_the_longest_texts_and_names_fit_the_header_with_data_or_without_it():
    texts = {name: "\x01" * limit for name, limit in TEXT_LIMITS.items()}
    data = tuple(Data("application/json", "🧀" * 200, b"{}") for _ in range(3))

    full = Ticket(b"%PDF-", name="\x01" * 200, lines=LINES, preview=b"", data=data, **texts)

    written = full.to_bytes()
    assert int.from_bytes(written[:4]) <= HEADER_MAX_SIZE
    assert unseal(seal(full, SECRET), SECRET).lines == LINES
    usual = Ticket(b"%PDF-", name="é" * 96, title="é" * 200, data=data)
    assert len(unseal(seal(usual, SECRET), SECRET).data) == 3


def test_nothing_of_a_text_or_of_data_is_in_a_ticket_s_representation():
    ticket = Ticket(
        b"", lines=(("canary",),), data=(Data("application/json", "canary", b"canary"),)
    )

    assert "canary" not in repr(ticket)
