import pytest

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.sources import Shop, make_source
from e2ee_ticket.sources.dolibarr.settings import (
    is_open_http,
    read_ca_file,
    read_currency,
    read_url,
)

GOOD = {"url": "https://shop.example/dolibarr", "key": "canary0key"}


def make(**settings):
    given = {name: value for name, value in (GOOD | settings).items() if value is not None}
    return make_source("dolibarr", "shop", Shop("Shop"), given)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/dolibarr",
        "https://shop.example/dolibarr/",
        " https://shop.example/dolibarr/index.php ",
        "https://shop.example/dolibarr/api/index.php",
        "https://shop.example/dolibarr/api/index.php/explorer/",
        "https://shop.example/dolibarr/api/",
    ],
)
def test_an_address_is_taken_however_it_was_copied(url):
    assert read_url(url) == "https://shop.example/dolibarr"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "shop.example"}, "url must be"),
        ({"url": "ftp://shop.example"}, "url must be"),
        ({"url": "https://"}, "url must be"),
        ({"url": "https://shop.example:0"}, "url must be"),
        ({"url": "https://shop.example:99999"}, "url must be"),
        ({"url": "https://[::1"}, "url must be"),
        ({"url": 7}, "url must be"),
        ({"url": "https://shop.example/a b"}, "url must be"),
        ({"url": "https://canary:canary@shop.example"}, "must not hold a name"),
        ({"url": "https://shop.example/?DOLAPIKEY=canary"}, "without what follows"),
        ({"key": None}, "key is missing"),
        ({"key": ""}, "key must be"),
        ({"key": "canary\r\nX: y"}, "key must be"),
        ({"key": 7}, "key must be a text"),
        ({"key_file": "/x"}, "not both"),
        ({"key": None, "key_file": "/nonexistent/key"}, "key_file cannot be read"),
        ({"tills": {}}, "tills must"),
        ({"tills": ["1"]}, "tills must"),
        ({"tills": {"1": 7}}, "tills must"),
        ({"tills": {"": "Till"}}, "tills must"),
        ({"receipt": "both"}, "receipt must"),
        ({"poll_seconds": 0}, "poll_seconds must"),
        ({"poll_seconds": 61}, "poll_seconds must"),
        ({"poll_seconds": True}, "poll_seconds must"),
        ({"poll_seconds": "2"}, "poll_seconds must"),
        ({"builddoc": "yes"}, "builddoc must"),
        ({"template": "../x"}, "template must"),
        ({"template": 1}, "template must"),
        ({"company": [""]}, "company must"),
        ({"company": ["x"] * 13}, "company must"),
        ({"company": 7}, "company must"),
        ({"company_details": ["x" * 101]}, "company_details must"),
        ({"webhook": "8112", "webhook_secret": "s" * 24}, "host:port"),
        ({"webhook": 8112, "webhook_secret": "s" * 24}, "host:port"),
        ({"webhook": "127.0.0.1:8112"}, "webhook_secret is missing"),
        ({"webhook": "127.0.0.1:8112", "webhook_secret": "short"}, "webhook_secret must be"),
    ],
)
def test_a_setting_that_cannot_be_is_named_and_not_shown(settings, said):
    with pytest.raises(ConfigError, match=said) as caught:
        make(**settings)

    assert "canary" not in str(caught.value)
    assert str(caught.value).startswith("source shop: ")


def test_the_key_may_be_in_a_file(tmp_path):
    file = tmp_path / "key"
    file.write_bytes(b"\xef\xbb\xbfcanary0key\r\n")

    assert make(key=None, key_file=str(file))._client._key == "canary0key"

    file.write_bytes(b"\xff\xff")
    with pytest.raises(ConfigError, match="does not hold a key"):
        make(key=None, key_file=str(file))


def test_two_terminals_may_be_one_till():
    assert make(tills={"1": "Counter", 2: "Counter", "3": "Bar"}).tills == ("Counter", "Bar")


def test_a_company_of_one_line():
    assert make(company="Epicerie")._tickets._company.name == "Epicerie"


@pytest.mark.parametrize(
    ("url", "is_open"),
    [
        ("https://shop.example", False),
        ("http://shop.example", True),
        ("http://203.0.113.9", False),  # for documentation, and not on the internet
        ("http://8.8.8.8", True),
        ("http://192.168.1.4:8080/dolibarr", False),
        ("http://[::1]:80", False),
        ("http://localhost", False),
        ("http://dolibarr", False),
        ("http://nas.local", False),
        ("http://nas.fritz.box", False),
    ],
)
def test_where_a_key_would_cross_the_internet_unencrypted(url, is_open):
    assert is_open_http(url) == is_open


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (
            "https://x.example/dolibarr/takepos/index.php?mainmenu=takepos",
            "https://x.example/dolibarr",
        ),
        ("https://x.example/takepos/index.php#a", "https://x.example"),
        ("https://x.example/api/index.php/invoices", "https://x.example"),
        ("http://10.0.0.1:8080/htdocs/compta/facture/card.php?id=3", "http://10.0.0.1:8080/htdocs"),
        ("https://x.example/index.php?mainmenu=home", "https://x.example"),
        ("https://api.example/", "https://api.example"),
    ],
)
def test_any_page_of_that_dolibarr_names_it(given, url):
    assert read_url(given) == url


@pytest.mark.parametrize("currency", ["EURO", "XX", 5, "€"])
def test_a_currency_is_a_code(currency):
    with pytest.raises(ConfigError, match="ISO 4217"):
        read_currency(currency)


def test_a_currency_may_be_left_out():
    assert read_currency(None) is None
    assert read_currency("tnd") == "TND"


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read"), (b"", "no certificate"), (b"hello", "no certificate")],
)
def test_a_file_of_certificates_holds_some(tmp_path, content, why):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=why):
        read_ca_file(str(file))
    assert read_ca_file(None) is None
