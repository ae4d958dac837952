"""Token buckets, and how an address is known."""

import pytest
import relay_fakes

from relay_server.errors import OverloadedError, TooOftenError
from relay_server.limits import AddressLimits, Buckets, Budget


@pytest.fixture
def clock():
    return relay_fakes.Clock()


def make_buckets(clock, **more):
    return Buckets(**({"per_second": 1, "burst": 3, "max_entries": 10, "clock": clock} | more))


def make_limits(clock, **more):
    return AddressLimits(
        uploads=make_buckets(clock, **more),
        volume=make_buckets(clock, burst=1_000_000),
        registrations=make_buckets(clock, burst=1),
        waiting_max=2,
        clock=clock,
    )


def test_a_bucket_gives_its_burst_and_then_what_time_brings(clock):
    buckets = make_buckets(clock)
    for _ in range(3):
        assert buckets.wait(b"a", 1) == 0
        buckets.spend(b"a", 1)

    waits = buckets.wait(b"a", 1), buckets.wait(b"a", 3), buckets.wait(b"b", 1)
    clock.advance(2)

    assert waits == (1, 3, 0)
    assert (buckets.wait(b"a", 2), buckets.wait(b"a", 3)) == (0, 1)


def test_a_bucket_never_holds_more_than_its_burst(clock):
    buckets = make_buckets(clock)
    buckets.spend(b"a", 1)
    clock.advance(1_000_000)

    assert buckets.wait(b"a", 3) == 0
    assert buckets.wait(b"a", 4) == 1


def test_the_keys_that_were_used_longest_ago_are_forgotten_first(clock):
    buckets = make_buckets(clock, max_entries=2)
    for key in (b"a", b"b", b"a", b"c"):
        buckets.spend(key, 3)

    assert len(buckets) == 2
    assert [buckets.wait(key, 1) for key in (b"a", b"b", b"c")] == [4, 0, 1]


@pytest.mark.rule("R12")
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "unix", True),
    ],
)
def test_an_address_is_known_by_its_network(clock, one, other, same):
    limits = make_limits(clock)

    assert (limits.name(one) == limits.name(other)) == same


@pytest.mark.rule("R12")
def test_the_names_of_addresses_change_daily_and_all_is_forgotten_with_them(clock):
    limits = make_limits(clock, burst=1, per_second=1e-9)
    limits.check_upload("192.0.2.1", 1)
    today = limits.name("192.0.2.1")
    with pytest.raises(TooOftenError):
        limits.check_upload("192.0.2.1", 1)
    clock.advance(86_400)

    limits.check_upload("192.0.2.1", 1)

    assert limits.name("192.0.2.1") != today
    assert b"\xc0\x00\x02\x01" not in limits.name("192.0.2.1")
    assert make_limits(clock).name("192.0.2.1") != limits.name("192.0.2.1")


def test_a_refused_upload_is_not_counted(clock):
    limits = make_limits(clock)
    with pytest.raises(TooOftenError) as caught:
        limits.check_upload("192.0.2.1", 1_000_010)

    limits.check_upload("192.0.2.1", 1_000_000)

    assert caught.value.retry_after == 10


def test_a_budget_is_given_back_whatever_happens():
    budget = Budget(10)

    def fail():
        with budget.take(6):
            raise ZeroDivisionError

    with budget.take(6), pytest.raises(OverloadedError), budget.take(5):
        pass
    with pytest.raises(ZeroDivisionError):
        fail()

    assert budget.left == 10
