"""The whole sale, and the self-test, in the engines that are not Chromium (see test_sale.py).

Real iPhones and Android phones cannot be had here: WebKitGTK is Safari's engine of today, Firefox
ESR the one of Firefox for Android.
"""

import contextlib
import functools
from pathlib import Path

import engines
import pytest
import stage

SELFTEST = Path(__file__).parents[2] / "display_web/dist/selftest.html"
pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]


@pytest.fixture(scope="module", params=["firefox", "webkit"])
def engine(request, tmp_path_factory):
    """Call for a browser of one engine by what it is used as: `phone`, `display`."""
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as started:
        if request.param == "webkit":
            x_server = started.enter_context(engines.XServer())

        @functools.cache
        def start(name):
            if request.param == "webkit":
                return started.enter_context(engines.webkit(folder / name, x_server.name))
            return started.enter_context(engines.firefox(folder / name))

        yield start


def test_a_receipt_goes_from_the_till_to_the_phone(engine, till, relay, invoice):
    display, phone = engine("display"), engine("phone")
    link = till.run("display", "add", "Till 1", "--link", "--no-wait").stdout.strip()
    display.resize(1024, 768)
    display.open(link).wait("idle")

    options = ["--title", "Épicerie du Test", "--total", "54,64 €", "--number", "TC7-1"]
    with stage.Sale(till, "--display", "Till 1", "--wait", *options, invoice) as sale:
        code = display.wait_for_qr()
        phone.open(code).wait("ready")
        shown = phone.text("#lines")
        saved, name = phone.save()

        display.wait("thanks")
        ended, said = sale.end()
    display.wait("idle")

    assert stage.LINK.fullmatch(code)
    assert phone.url == relay.origin + "/"
    assert phone.text("#title") == "Épicerie du Test"
    assert phone.text("#total") == "54,64 €"
    assert "54,64" in shown
    assert saved == invoice.read_bytes()
    assert name == invoice.name
    assert (ended, said) == (0, "")
    assert [state for state in sale.states if state != "shown"] == [
        "sealed", "stored", "opened",
    ]  # fmt: skip


def test_a_reload_and_a_way_back_find_the_receipt_again(engine, till, relay, invoice):
    phone = engine("phone")
    link = till.run("send", "--link", invoice).stdout.strip()
    phone.open(link).wait("ready")

    phone.reload()
    assert phone.wait("ready")

    phone.open("about:blank")
    phone.back()
    assert phone.wait("ready")
    assert phone.url == relay.origin + "/"


@pytest.mark.parametrize("place", ["relay", "disk"])
def test_the_self_test_passes(engine, relay, place):
    browser = engine("phone")
    address = relay.origin + "/selftest.html" if place == "relay" else SELFTEST.as_uri()

    browser.open(address).wait("passed", "failed", seconds=30)

    assert browser.state == "passed"
    told = browser.text("#result")
    assert "passed" in told.lower()
    count = browser.run("return document.querySelectorAll('#list li').length")
    assert count > 100
    assert str(count) in told
