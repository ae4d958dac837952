"""Whose request it is when a proxy brings it: what callers write themselves is never believed."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from relay_server.proxies import Trust, parse_networks

TRUST = Trust(parse_networks("127.0.0.1/32, ::1, 10.0.0.0/8"))
FORWARDED = TRUST._replace(header="Forwarded")


def headers(*lines):
    return CIMultiDictProxy(CIMultiDict(lines))


def x(*lines):
    return headers(*[("X-Forwarded-For", line) for line in lines])


@pytest.mark.rule("R13")
def test_nobody_is_believed_unless_named():
    assert Trust().caller("127.0.0.1", x("203.0.113.9")) == "127.0.0.1"
    assert TRUST.caller("198.51.100.7", x("203.0.113.9")) == "198.51.100.7"


@pytest.mark.rule("R13")
@pytest.mark.parametrize(
    ("lines", "caller"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        (["127.0.0.1, 203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        (["2001:db8::9"], "2001:db8::9"),
        (["[2001:db8::9]:4711"], "2001:db8::9"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, unknown"], "127.0.0.1"),
        (["203.0.113.9, "], "127.0.0.1"),
        (["203.0.113.9, unknown, 10.1.2.3"], "10.1.2.3"),
        (["10.1.2.3"], "10.1.2.3"),
        ([], "127.0.0.1"),
        ([",".join(["1.1.1.1"] * 50_000)], "1.1.1.1"),
    ],
)
def test_the_last_address_that_is_no_trusted_proxy_counts(lines, caller):
    assert TRUST.caller("127.0.0.1", x(*lines)) == caller


@pytest.mark.rule("R13")
def test_only_the_header_that_the_proxy_sets_is_read():
    both = headers(("Forwarded", "for=1.1.1.1"), ("X-Forwarded-For", "203.0.113.9"))

    assert TRUST.caller("::1", both) == "203.0.113.9"
    assert FORWARDED.caller("::1", both) == "1.1.1.1"


@pytest.mark.parametrize(
    ("line", "caller"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ('For="[2001:db8::9]:47";proto=https;by=10.0.0.1', "2001:db8::9"),
        ("for=1.1.1.1, for=203.0.113.9;proto=http, for=10.0.0.1", "203.0.113.9"),
        ("for=203.0.113.9, for=_hidden", "127.0.0.1"),
        ("proto=https", "127.0.0.1"),
        ('for="', "127.0.0.1"),
    ],
)
def test_the_standard_header_is_understood(line, caller):
    assert FORWARDED.caller("127.0.0.1", headers(("Forwarded", line))) == caller


@pytest.mark.parametrize("text", ["localhost", "10.0.0.1/8", "1.2.3", "::1/200"])
def test_what_is_no_network_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_networks(text)
