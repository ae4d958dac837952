"""Four characters, two minutes, one use; and whoever guesses waits."""

import pytest
from fakes import Clock

from e2ee_ticket.protocol.channel import PairingSecret, WriteToken
from e2ee_ticket.till.displays import Pairing
from e2ee_ticket.till.short_address import ALPHABET, ShortAddresses

HERE = "192.168.1.20"


def display(name="Till 1"):
    return Pairing(name, PairingSecret.generate(), WriteToken.generate())


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def short(clock):
    return ShortAddresses(clock)


def wrong(code):
    """Return four characters that are not these."""
    return code[:3] + ALPHABET[(ALPHABET.index(code[3]) + 1) % 32]


def test_holds_twenty_bits_without_what_looks_alike():
    assert len(set(ALPHABET)) == 32
    assert not set("ILOU") & set(ALPHABET)


def test_leads_to_its_display_once(short):
    one = display()
    code = short.new(one)

    assert len(code) == 4
    assert short.take(code, HERE) is one
    assert short.take(code, HERE) is None


def test_reads_small_letters_and_what_looks_alike(clock):
    short = ShortAddresses(clock, draw=lambda: "01AB")
    one = display()
    short.new(one)

    assert short.take("olab", HERE) is one


async def test_is_over_after_two_minutes(short, clock):
    one = display()
    code = short.new(one)
    await clock.advance(119)
    late = short.new(display("Till 2"))

    await clock.advance(1)

    assert short.take(code, HERE) is None
    assert short.take(late, HERE) is not None


def test_a_display_has_one_at_most(short):
    one, other = display(), display("Till 2")
    first, beside = short.new(one), short.new(other)

    second = short.new(one)

    assert short.take(first, HERE) is None
    assert short.take(second, HERE) is one
    assert short.take(beside, HERE) is other


def test_two_displays_never_share_one(clock):
    drawn = iter(["AAAA", "AAAA", "BBBB"])
    short = ShortAddresses(clock, draw=lambda: next(drawn))

    assert short.new(display()) == "AAAA"
    assert short.new(display("Till 2")) == "BBBB"


async def test_five_wrong_tries_make_an_address_wait_and_no_other(short, clock):
    code = short.new(display())
    for _ in range(5):
        assert short.must_wait(HERE) == 0
        short.take(wrong(code), HERE)

    assert short.must_wait(HERE) == pytest.approx(60)
    assert short.must_wait("192.168.1.21") == 0
    await clock.advance(61)
    assert short.must_wait(HERE) == 0


def test_a_whole_network_of_ipv6_is_one_address(short):
    code = short.new(display())
    for host in range(5):
        short.take(wrong(code), f"fd00::{host}")

    assert short.must_wait("fd00::99") > 0
    assert short.must_wait("fd00:0:0:1::1") == 0


async def test_thirty_wrong_tries_from_anywhere_make_everybody_wait(short, clock):
    code = short.new(display())
    for host in range(30):
        assert short.must_wait("10.0.0.1") == 0
        short.take(wrong(code), f"192.168.1.{host}")

    assert short.must_wait("10.0.0.1") > 0
    await clock.advance(5)
    assert short.must_wait("10.0.0.1") == 0


async def test_guessing_for_two_minutes_from_everywhere_has_few_tries(short, clock):
    code = short.new(display())
    tries = 0
    for second in range(120):
        for host in range(50):
            address = f"10.{second}.0.{host}"
            if not short.must_wait(address):
                short.take(wrong(code), address)
                tries += 1
        await clock.advance(1)

    assert tries <= 60  # of a million


def test_remembers_a_bounded_number_of_addresses(short):
    short.new(display())
    for host in range(3000):
        short.take("0000", f"10.0.{host // 250}.{host % 250}")

    assert len(short._tries) <= 1024


def test_a_right_try_costs_nothing(short):
    for _ in range(10):
        assert short.must_wait(HERE) == 0
        assert short.take(short.new(display()), HERE)
