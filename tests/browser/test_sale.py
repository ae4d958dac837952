"""The whole sale with real parts: a till, a relay, a display and a phone in Chromium."""

import pytest
import stage
from screens import digest

pytestmark = pytest.mark.browser


def test_a_receipt_goes_from_the_till_to_the_phone(till, relay, tablet, phone, invoice):
    link = till.run("display", "add", "Till 1", "--link", "--no-wait").stdout.strip()
    tablet.pair(link).wait("idle")

    options = ["--title", "Épicerie du Test", "--total", "54,64 €", "--number", "TC7-1"]
    with stage.Sale(till, "--display", "Till 1", "--wait", *options, invoice) as sale:
        code = tablet.wait_for_qr()
        beside = tablet.text("#beside")
        phone.open(code).wait("ready")
        saved, name = phone.save()

        tablet.wait("thanks")
        ended, said = sale.end()
    tablet.wait("idle")

    assert stage.LINK.fullmatch(code)
    assert all(text in beside for text in ("Épicerie du Test", "54,64 €", "TC7-1"))
    assert phone.text("#title") == "Épicerie du Test"
    assert phone.text("#total") == "54,64 €"
    assert "54,64" in phone.text("#lines")
    assert digest(saved) == digest(invoice.read_bytes())
    assert name == invoice.name
    assert (ended, said) == (0, "")
    assert in_order(sale.states, ["sealed", "stored", "opened"])
    assert "shown" in sale.states
    assert len({event["id"] for event in sale.events}) == 1
    assert tablet.story() == ["idle", "ticket", "thanks", "idle"]
    assert phone.fetched()[:2] == ["GET /", "GET /v1/t/*"]
    assert phone.kept() == {}
    assert relay.log.read_text().count(sale.events[0]["id"]) == 0


def test_a_sale_without_a_display(till, phone, tmp_path, invoice):
    picture = tmp_path / "code.png"

    with stage.Sale(till, "--wait", "--png", picture, invoice) as sale:
        code = stage.wait_for(lambda: readable(picture), "the picture of the code")
        phone.open(code).wait("ready")
        saved, _ = phone.save()
        ended, said = sale.end()

    assert digest(saved) == digest(invoice.read_bytes())
    assert (ended, said) == (0, "")
    assert in_order(sale.states, ["sealed", "stored", "opened"])


def test_what_the_phone_saved_opens_in_the_command_line_too(till, phone, tmp_path, invoice):
    link = till.run("send", "--link", invoice).stdout.strip()
    phone.open(link).wait("ready")

    till.run("open", "-o", tmp_path / "copy.pdf", stdin=link)

    assert phone.save()[0] == (tmp_path / "copy.pdf").read_bytes() == invoice.read_bytes()


def test_the_till_ends_a_pairing_and_the_display_says_so(till, tablet):
    link = till.run("display", "add", "Till 1", "--link", "--no-wait").stdout.strip()
    tablet.pair(link).wait("idle")

    till.run("display", "remove", "Till 1")

    tablet.wait("unpaired")
    assert tablet.page.evaluate("localStorage.length") == 0


def test_the_till_tests_a_display(till, tablet):
    link = till.run("display", "add", "Till 1", "--link", "--no-wait").stdout.strip()
    tablet.pair(link).wait("idle")

    till.run("display", "test", "Till 1")

    assert "live" in tablet.states


def readable(picture):
    return picture.exists() and picture.stat().st_size and stage.read_qr(picture.read_bytes())


def in_order(states, expected):
    """Whether the expected states come in this order, whatever is between."""
    found = iter(states)
    return all(state in found for state in expected)
