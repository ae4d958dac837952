"""Which addresses this computer has, and whether a caller's Host is one of them."""

import ipaddress

import pytest

from e2ee_ticket.sources.connections import is_loopback, neighbourhood
from e2ee_ticket.till.network import (
    addresses,
    is_addressed,
    split_host,
    split_listen,
)


def test_addresses_are_those_of_this_computer_and_never_none():
    found = addresses()

    assert found
    assert len(set(found)) == len(found)
    for address in found:
        parsed = ipaddress.ip_address(address)
        assert not parsed.is_unspecified
        assert not parsed.is_loopback or len(found) == 1


def test_what_listens_at_one_address_has_that_one():
    assert addresses("192.168.1.10") == ("192.168.1.10",)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("10.0.0.1:8423", ("10.0.0.1", 8423)),
        ("[::]:8423", ("::", 8423)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_splits_what_the_configuration_says(listen, expected):
    assert split_listen(listen) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.168.1.10:8423", ("192.168.1.10", "8423")),
        ("Till.Lan", ("till.lan", None)),
        ("[FD00::1]:80", ("fd00::1", "80")),
        ("", None),
        ("a b", None),
        ("a:b", None),
        ("a/b", None),
        ("user@a", None),
        ("a" * 300, None),
    ],
)
def test_splits_a_host_header(text, expected):
    assert split_host(text) == expected


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("192.168.1.10:8423", "192.168.1.10"),
        ("192.168.1.10", "::ffff:192.168.1.10"),
        ("[fd00::1]:8423", "fd00:0::1"),
        ("127.0.0.1:8423", "127.0.0.1"),
        ("localhost:8423", "127.0.0.1"),
        ("localhost", "::1"),
        ("TILL.lan:8423", "192.168.1.10"),
    ],
)
def test_the_address_that_was_called_is_this_computer(host, local):
    assert is_addressed(host, local, ("till.lan",))


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("evil.example", "192.168.1.10"),
        ("192.168.1.11", "192.168.1.10"),
        ("192.168.1.10.evil.example", "192.168.1.10"),
        ("localhost", "192.168.1.10"),
        ("localhost.evil.example", "127.0.0.1"),
        ("till.lan.evil.example", "192.168.1.10"),
        ("3232235786", "192.168.1.10"),
        ("0xc0a8010a", "192.168.1.10"),
        ("", "192.168.1.10"),
        ("[fd00::2]", "fd00::1"),
    ],
)
def test_any_other_name_or_address_is_not(host, local):
    assert not is_addressed(host, local, ("till.lan",))


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False),
     ("localhost", False)],
)  # fmt: skip
def test_knows_loopback(address, expected):
    assert is_loopback(address) is expected


def test_neighbours_are_one_caller():
    assert neighbourhood("fd00::1%eth0") == neighbourhood("fd00::2")
    assert neighbourhood("::ffff:10.0.0.1") == "10.0.0.1"
    assert neighbourhood("no address") == "no address"
