"""Links and origins."""

import pytest

from e2ee_ticket import Link, Secret
from e2ee_ticket.errors import DamagedError
from e2ee_ticket.protocol.channel import PairingLink, PairingSecret
from e2ee_ticket.protocol.link import is_origin

SECRET = Secret(bytes(range(32)))
LINK = Link("https://t.example", SECRET)


@pytest.mark.rule("T5")
@pytest.mark.parametrize(
    "origin",
    [
        "https://t.example", "https://t.example:8443", "https://xn--picerie-9ua.example",
        "http://localhost:8080", "http://127.0.0.1", "http://127.1.2.3:1", "http://[::1]:8080",
        "https://[2001:db8::1]", "https://t.example:65535", "https://a",
    ],
)  # fmt: skip
def test_takes_an_origin(origin):
    assert is_origin(origin)


@pytest.mark.rule("T5")
@pytest.mark.parametrize(
    "origin",
    [
        "", "t.example", "http://t.example", "http://192.168.1.2", "https://T.example",
        "HTTPS://t.example", "https://t.example/", "https://t.example/x", "https://t.example?x",
        "https://t.example#", "https://user@t.example", "https://t.example:0",
        "https://t.example:65536", "https://t.example:", "https://.example", "https://t..example",
        "https://épicerie.example", "ftp://t.example", "https://", "http://localhost.evil.example",
        "http://127.0.0.1.evil.example", " https://t.example", "https://t.example\n",
        "javascript:alert(1)",
    ],
)  # fmt: skip
def test_refuses_what_is_not_an_origin(origin):
    assert not is_origin(origin)
    with pytest.raises(ValueError, match="origin"):
        Link(origin, SECRET)
    with pytest.raises(ValueError, match="origin"):
        PairingLink(origin, PairingSecret(SECRET.reveal()))


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "https://t.example/", LINK.reveal().replace("#", "%23"),
        LINK.reveal().replace("/#", "/x#"), LINK.reveal().replace("https", "http"),
        LINK.reveal()[:-1], LINK.reveal() + "0", LINK.digits(),
    ],
)  # fmt: skip
def test_refuses_a_damaged_link(text):
    with pytest.raises(DamagedError):
        Link.parse(text)


@pytest.mark.rule("T50")
def test_takes_a_link_with_white_space_around_it():
    assert Link.parse(f"  {LINK.reveal()}\n") == LINK


def test_takes_a_link_that_a_scanner_wrote_another_fragment_behind():
    assert Link.parse(LINK.reveal() + "#top") == LINK


@pytest.mark.rule("C3")
def test_tells_the_two_kinds_of_link_apart():
    pairing = PairingLink("https://t.example", PairingSecret(SECRET.reveal()))

    assert PairingLink.parse(pairing.reveal()) == pairing
    with pytest.raises(DamagedError):
        Link.parse(pairing.reveal())
    with pytest.raises(DamagedError):
        PairingLink.parse(LINK.reveal())
    with pytest.raises(DamagedError):
        Link.parse(pairing.reveal().replace("/d#", "/#"))
