"""Secrets that cannot print themselves."""

import copy
import pickle
import traceback

import pytest

from e2ee_ticket import Link, Secret, Ticket
from e2ee_ticket.protocol.channel import PairingLink, PairingSecret, WriteToken

CANARY = bytes(range(1, 33))
KINDS = (Secret, PairingSecret, WriteToken)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("show", [repr, str, "{}".format, "{:>40}".format, ascii], ids=range(5))
def test_never_shows_its_bytes(kind, show):
    shown = show(kind(CANARY))

    assert shown.strip() == f"{kind.__name__}(...)"


def test_is_formatted_like_any_text():
    assert f"{Secret(CANARY):>14}" == "   Secret(...)"


def test_two_secrets_hash_apart():
    assert hash(Secret(CANARY)) != hash(Secret(bytes(32)))
    assert hash(Secret(CANARY)) != hash(PairingSecret(CANARY))


@pytest.mark.parametrize("kind", KINDS)
def test_refuses_to_be_pickled(kind):
    with pytest.raises(TypeError, match="not written"):
        pickle.dumps(kind(CANARY))


@pytest.mark.parametrize("kind", KINDS)
def test_refuses_to_be_copied(kind):
    with pytest.raises(TypeError):
        copy.deepcopy(kind(CANARY))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_has_32_bytes(size):
    with pytest.raises(ValueError, match="32 bytes"):
        Secret(bytes(size))


def test_kinds_are_not_equal_to_each_other():
    assert Secret(CANARY) != PairingSecret(CANARY)
    assert Secret(CANARY) == Secret(CANARY)
    assert len({Secret(CANARY), Secret(CANARY), PairingSecret(CANARY)}) == 2


@pytest.mark.rule("T1")
@pytest.mark.rule("C1")
@pytest.mark.parametrize("kind", KINDS)
def test_is_drawn_anew_each_time(kind):
    drawn = {kind.generate().reveal() for _ in range(100)}

    assert len(drawn) == 100
    assert all(len(secret) == 32 for secret in drawn)


def test_links_do_not_show_their_digits():
    for value in (
        Link("https://t.example", Secret(CANARY)),
        PairingLink("https://t.example", PairingSecret(CANARY)),
    ):
        assert value.digits() not in repr(value) + str(value)
        assert value.digits() in value.reveal()


def test_a_ticket_does_not_show_what_it_holds():
    shown = repr(Ticket(receipt=b"canary", title="canary", total="canary", preview=b"canary"))

    assert "canary" not in shown


def test_a_traceback_does_not_show_a_secret():
    def fail(secret):
        raise ValueError(f"with {secret}")

    with pytest.raises(ValueError, match="Secret") as failed:
        fail(Secret(CANARY))

    shown = "".join(traceback.format_exception(failed.value))
    assert CANARY.hex() not in shown
    assert repr(CANARY) not in shown
