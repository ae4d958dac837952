import pytest

from e2ee_ticket.sources.facts import issued_at, number_in


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("FA2401-0012.pdf", "FA2401-0012"),
        ("Facture FA2401-0012.PDF", "FA2401-0012"),
        ("TC1-2401-0001", "TC1-2401-0001"),
        ("Shop_R-2024-00017_copy.pdf", "R-2024-00017"),
        ("Rechnung 1042.pdf", "1042"),
        ("receipt_1042.pdf", "1042"),
        ("1042.pdf", None),
        ("2024-01-31.pdf", None),
        ("receipt 2024-01-31 12.05.pdf", None),
        ("Jane Doe 1042.pdf", None),
        ("FA2401-0012 AV2401-0003.pdf", None),
        ("A4.pdf", None),
        ("receipt.pdf", None),
        ("", None),
        ("A" * 500 + "1234", None),
        ("A" + "1" * 80, None),
    ],
)
def test_a_number_is_found_where_it_is_clear(name, number):
    assert number_in(name) == number


def test_a_moment_has_the_shops_time_zone():
    assert issued_at(0.5)[:4] in ("1969", "1970")
    assert issued_at(0.5)[-3] == ":"


@pytest.mark.parametrize("seconds", [1e18, -1e18, float("nan"), float("inf")])
def test_a_moment_that_cannot_be_is_none(seconds):
    assert issued_at(seconds) is None
