"""The public names are what README and the package's docstring promise."""

import pytest

import e2ee_ticket


def test_the_public_names_are_these_and_no_others():
    assert e2ee_ticket.__all__ == [
        "Link",
        "ProtocolError",
        "RelayError",
        "Secret",
        "Ticket",
        "TicketError",
        "seal",
        "unseal",
    ]
    assert set(e2ee_ticket._HOMES) == set(e2ee_ticket.__all__)


@pytest.mark.parametrize("name", e2ee_ticket.__all__)
def test_every_public_name_can_be_imported(name):
    assert getattr(e2ee_ticket, name).__name__ == name


def test_an_unknown_name_is_refused_as_usual():
    with pytest.raises(AttributeError, match="Sekret"):
        e2ee_ticket.Sekret  # noqa: B018 - to look is the test
