"""What a relay that withholds, or that has P, can put on a display: the limits that are written.

These are no rules but what the rules leave open; spec/security.md says it in the same figures.
"""

import pytest

from e2ee_ticket.errors import ProtocolError
from e2ee_ticket.protocol import channel
from e2ee_ticket.protocol.channel import (
    DisplayChannel,
    PairingSecret,
    Reading,
    TillChannel,
)
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.secret import Secret

P = PairingSecret(bytes(range(32)))
FOR = 90
LIFE = 35.0  # as spec/security.md says, whatever the code has


def at(seconds):
    return Reading(100.0 + seconds, 100.0 + seconds)


def withheld():
    """Let a till seal the first customer's code, and a relay keep it; return it all."""
    till, display = TillChannel(P, Content.idle()), DisplayChannel(P)
    (first,) = till.answer([display.hello(at(-1))], 99.0)
    display.accept(first.sealed, at(-1))
    till.delivered(first, 99.0)
    hello, code = display.hello(at(0)), Content.ticket(Secret.generate(), FOR)
    till.answer([hello], 100.0)
    till.show(code, 100.0)
    (answer,) = till.answer([hello], 100.0)
    till.delivered(answer, 100.0)
    return till, display, code, answer


def test_a_withheld_code_is_taken_for_35_s_after_the_hello_and_shown_for_its_seconds():
    till, display, code, answer = withheld()
    till.show(Content.ticket(Secret.generate(), FOR), 110.0)  # the next customer's

    display.accept(answer.sealed, at(LIFE - 0.1))
    until = LIFE - 0.1 + FOR

    assert display.painted(at(until - 0.1)).secret == code.secret
    assert display.painted(at(until)).kind == "idle"


def test_a_withheld_code_is_refused_after_that():
    _, display, _, answer = withheld()

    with pytest.raises(ProtocolError):
        display.accept(answer.sealed, at(LIFE))


def test_a_till_whose_code_is_withheld_says_so_and_takes_it_off_at_the_next_hello():
    till, display, _, answer = withheld()
    unshown = till.unshown(103.1)
    following = Content.ticket(Secret.generate(), FOR)
    till.show(following, 110.0)
    display.accept(answer.sealed, at(30))

    (after,) = till.answer([display.hello(at(30))], 130.0)

    assert unshown
    assert display.accept(after.sealed, at(30)).secret == following.secret


def test_who_has_the_pairing_secret_and_carries_the_hellos_shows_what_it_likes():
    display, forged = DisplayChannel(P), Content.ticket(Secret.generate(), FOR)

    responder = channel.read_hello(P.psk(), display.hello(at(0)))
    sealed, _ = responder.seal(bytes(range(32)), forged.to_payload())
    display.accept(sealed, at(0))

    assert display.painted(at(1)).secret == forged.secret


def test_without_the_pairing_secret_it_shows_nothing():
    display, stranger = DisplayChannel(P), PairingSecret(bytes(32))
    hello = display.hello(at(0))

    with pytest.raises(ProtocolError):
        channel.read_hello(stranger.psk(), hello)
    with pytest.raises(ProtocolError):
        display.accept(bytes(512), at(0))
    assert display.painted(at(0)).kind == "idle"
