"""Only the configured page's requests are served, by what the browser says of them."""

import pytest
from multidict import CIMultiDict

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.sources.doorman import Doorman, parse_origins

ORIGIN = "https://dolibarr.example"
HOST = "127.0.0.1:8111"
DOOR = Doorman(frozenset([ORIGIN]), 8111)


def headers(*pairs, host=HOST):
    return CIMultiDict([("Host", host), *pairs] if host is not None else pairs)


@pytest.mark.parametrize("host", [HOST, "localhost:8111", "LocalHost:8111", "[::1]:8111"])
def test_serves_the_configured_page_by_each_of_this_computers_names(host):
    assert DOOR.refuse(headers(("Origin", ORIGIN), host=host)) is None


@pytest.mark.parametrize(
    "host",
    [None, "", "127.0.0.1", "127.0.0.1:8112", "evil.example:8111", "localhost.evil.example:8111",
     "127.0.0.1:8111.evil.example", "127.0.0.2:8111", "0.0.0.0:8111", "dolibarr.example"],
)  # fmt: skip
def test_refuses_any_other_name_of_the_host(host):
    assert DOOR.refuse(headers(("Origin", ORIGIN), host=host)) is not None


def test_refuses_two_hosts():
    assert DOOR.refuse(headers(("Host", HOST), ("Origin", ORIGIN))) is not None


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://dolibarr.example", "https://dolibarr.example:8443",
     "https://dolibarr.example.evil.example", "https://dolibarr.example/", "null", "",
     "https://DOLIBARR.example", f"{ORIGIN}, https://evil.example", "file://"],
)  # fmt: skip
def test_refuses_every_other_origin(origin):
    assert DOOR.refuse(headers(("Origin", origin))) is not None
    assert DOOR.refuse(headers(("Origin", origin)), asks_only=True) is not None


def test_refuses_two_origins():
    assert DOOR.refuse(headers(("Origin", ORIGIN), ("Origin", "https://evil.example")))


def test_does_nothing_without_an_origin():
    assert DOOR.refuse(headers()) is not None
    assert DOOR.refuse(headers(("Sec-Fetch-Site", "same-origin"))) is not None


@pytest.mark.parametrize("site", [None, "none", "same-origin"])
def test_tells_who_was_sent_by_no_page_what_this_is(site):
    sent = headers(("Sec-Fetch-Site", site)) if site else headers()

    assert DOOR.refuse(sent, asks_only=True) is None


@pytest.mark.parametrize("site", ["cross-site", "same-site", "other"])
def test_tells_nothing_to_who_was_sent_by_another_page(site):
    assert DOOR.refuse(headers(("Sec-Fetch-Site", site)), asks_only=True) is not None


@pytest.mark.parametrize("origin", ["https://evil.example", "http://192.168.1.7:8080"])
def test_names_the_page_that_was_refused(origin):
    assert DOOR.refuse(headers(("Origin", origin))).origin == origin


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example/<b>", "x" * 200, "https://" + "e" * 500, "https://a\u202eb"]
)  # fmt: skip
def test_repeats_nothing_that_is_no_plain_address(origin):
    assert DOOR.refuse(headers(("Origin", origin))).origin is None


def test_lets_only_the_configured_page_read_the_answer():
    ours = DOOR.answer_headers(headers(("Origin", ORIGIN)))
    theirs = DOOR.answer_headers(headers(("Origin", "https://evil.example")))
    nobody = DOOR.answer_headers(headers())

    assert ours["Access-Control-Allow-Origin"] == ORIGIN
    for answer in (theirs, nobody):
        assert not any(name.startswith("Access-Control") for name in answer)
    for answer in (ours, theirs, nobody):
        assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Vary"] == "Origin"


def test_allows_the_private_network_when_asked_by_the_configured_page():
    asked = ("Access-Control-Request-Private-Network", "true")

    ours = DOOR.answer_headers(headers(("Origin", ORIGIN), asked), preflight=True)
    plain = DOOR.answer_headers(headers(("Origin", ORIGIN)), preflight=True)
    theirs = DOOR.answer_headers(headers(("Origin", "https://evil.example"), asked), preflight=True)

    assert ours["Access-Control-Allow-Private-Network"] == "true"
    assert ours["Access-Control-Allow-Methods"] == "GET, POST"
    assert "Access-Control-Allow-Private-Network" not in plain
    assert not any(name.startswith("Access-Control") for name in theirs)


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("https://dolibarr.example", ("https://dolibarr.example",)),
        (" https://Dolibarr.Example:443/htdocs/ ", ("https://dolibarr.example",)),
        ("http://192.168.1.10:80/dolibarr", ("http://192.168.1.10",)),
        ("http://[::1]:8680", ("http://[::1]:8680",)),
        ("https://épicerie.example", ("https://xn--picerie-9xa.example",)),
        (["https://a.example", "http://b.example"], ("https://a.example", "http://b.example")),
    ],
)
def test_reads_an_address_as_a_browser_names_its_origin(given, origins):
    assert parse_origins(given) == origins


@pytest.mark.parametrize(
    "given",
    ["", "dolibarr.example", "*", "null", "ftp://a.example", "https://", "https://u@a.example",
     "https://a b", "https://a.example:99999", "https://a.example:x", [], [""], None, 7, ["*"],
     "https://" + "a" * 300, "https://[::1"],
)  # fmt: skip
def test_refuses_what_is_no_address_of_a_site(given):
    with pytest.raises(ConfigError, match="origin must be"):
        parse_origins(given)
