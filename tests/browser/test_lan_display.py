"""A tablet on the shop's network: over plain HTTP to the till, and through it to the relay."""

import asyncio
import contextlib
import threading

import pytest
import stage
from screens import Tablet

from e2ee_ticket import Secret
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.link import CHECK_LABEL, format_digits
from e2ee_ticket.till.clock import SystemClock
from e2ee_ticket.till.config import LanConfig
from e2ee_ticket.till.lan import LanDisplay
from e2ee_ticket.till.network import addresses

pytestmark = pytest.mark.browser

PAGE = "https://page.example"
IDLE = Content.idle(name="Épicerie du Test", lang="fr", notice="FR")


class Lan:
    """The LAN display in a thread of its own, that can be stopped and started again."""

    def __init__(self, relay, pairing, *, listen):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._display = self._make(relay, pairing, listen)

    def _make(self, relay, pairing, listen):
        async def make():
            return LanDisplay(
                LanConfig(listen),
                relay=relay,
                page=PAGE,
                pairings=lambda: [pairing],
                clock=SystemClock(),
                lang="fr",
            )

        return self._run(make())

    def _run(self, doing):
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(20)

    def start(self):
        self._run(self._display.__aenter__())
        return self

    def stop(self):
        self._run(self._display.__aexit__(None, None, None))

    def close(self):
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    @property
    def origin(self):
        return self._display.origins()[0]

    def short_address(self, pairing):
        return self._display.new_short_address(pairing)

    def link(self, pairing):
        return self._display.link(pairing).reveal()


@pytest.fixture
def address():
    """Return this computer's address in its network; to a browser that is no secure context."""
    return addresses()[0]


@pytest.fixture
def shop(relay, address):
    """Make a till's screen and the LAN display beside it."""
    with contextlib.ExitStack() as ending:
        counter = ending.enter_context(stage.Counter(relay.origin, permit=relay.leave, idle=IDLE))
        counter.lan = Lan(
            relay.origin, counter.pairing, listen=f"{address}:{stage.free_port()}"
        ).start()
        ending.callback(counter.lan.close)
        yield counter


def ticket(**options):
    return Content.ticket(Secret.generate(), 60, **options)


def link_of(content):
    return f"{PAGE}/#{format_digits(content.secret.reveal(), CHECK_LABEL)}"


def wait_for_idle(tablet):
    tablet.page.wait_for_selector("#idleName:has-text('Épicerie du Test')")


@pytest.mark.rule("C25")
@pytest.mark.parametrize("address", ["127.0.0.1", addresses()[0]], ids=["loopback", "network"])
def test_a_short_address_pairs_a_tablet_and_its_codes_lead_to_the_page_host(tablet, shop):
    content = ticket(total="23,45 €", number="7-1042")
    tablet.page.goto(shop.lan.short_address(shop.pairing))

    wait_for_idle(tablet)
    assert tablet.page.url == shop.lan.origin + "/d"
    shop.show(content)

    assert tablet.wait_for_qr() == link_of(content)
    shop.wait_until_shown()
    assert "23,45 €" in tablet.text("#beside")
    assert {one.url.split("/")[2] for one in tablet.requests if "data:" not in one.url} == {
        shop.lan.origin.removeprefix("http://")
    }


def test_a_tablet_stays_paired_and_its_short_address_is_used_up(screen, shop):
    address = shop.lan.short_address(shop.pairing)
    tablet, other = screen(Tablet), screen(Tablet)
    tablet.page.goto(address)
    wait_for_idle(tablet)

    other.page.goto(address)
    assert "deux minutes" in other.text("body")
    other.page.goto(shop.lan.origin)
    other.wait("pairing")
    other.page.close()

    tablet.page.close()
    tablet.new_page().goto(shop.lan.origin)
    wait_for_idle(tablet)
    shop.show(content := ticket())
    assert tablet.wait_for_qr() == link_of(content)


def test_a_tablet_with_a_camera_needs_no_short_address(tablet, shop):
    tablet.pair(shop.lan.link(shop.pairing))

    wait_for_idle(tablet)
    assert tablet.page.url == shop.lan.origin + "/d"


def test_a_tablet_finds_back_when_the_relay_was_away(tablet, shop, relay):
    tablet.page.goto(shop.lan.short_address(shop.pairing))
    wait_for_idle(tablet)

    relay.kill()
    tablet.wait("offline")
    relay.start()

    tablet.wait("idle")
    shop.show(content := ticket())
    assert tablet.wait_for_qr(40) == link_of(content)
    shop.wait_until_shown()


def test_a_tablet_finds_back_when_the_till_was_switched_off(tablet, shop):
    tablet.page.goto(shop.lan.short_address(shop.pairing))
    wait_for_idle(tablet)

    shop.lan.stop()
    tablet.wait("offline")
    shop.lan.start()

    tablet.wait("idle")
    shop.show(content := ticket())
    assert tablet.wait_for_qr(40) == link_of(content)


def test_a_tablet_that_was_unpaired_says_so(tablet, shop):
    tablet.page.goto(shop.lan.short_address(shop.pairing))
    wait_for_idle(tablet)

    shop.unpair()

    tablet.wait("unpaired")
    assert tablet.page.evaluate("localStorage.length") == 0


def test_a_tablet_that_leaves_is_gone_for_the_till_at_once(tablet, shop):
    tablet.page.goto(shop.lan.short_address(shop.pairing))
    wait_for_idle(tablet)
    shop.settle()

    tablet.leave()

    stage.wait_for(lambda: shop.lan._display.waiting == 0, "the end of the tablet's hello")


def test_the_small_pages_fit_a_small_tablet(screen, shop):
    tablet = screen(Tablet, viewport={"width": 320, "height": 480})

    tablet.page.goto(shop.lan.origin + "/p/0000")

    sizes = tablet.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert sizes[0] <= 320
    assert "deux minutes" in tablet.text("body")
