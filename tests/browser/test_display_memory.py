"""A display that runs for a day: heap, elements and listeners of a real engine stay what they were.

The page's clock is driven, and the till answers in this process, so that a day passes in minutes.
"""

import time

import pytest
from screens import Tablet

from e2ee_ticket import Secret
from e2ee_ticket.protocol.channel import PairingLink, PairingSecret, TillChannel, hello_id
from e2ee_ticket.protocol.content import Content

pytestmark = pytest.mark.browser

IDLE = Content.idle(name="Épicerie du Test", lang="fr", notice="FR")
DAY_SECONDS = 24 * 3600
SALES_A_DAY = 5000


class Day:
    """A till and its display, for whom time passes as fast as they can."""

    def __init__(self, tablet, origin):
        self.page = tablet.page
        self.secret = PairingSecret.generate()
        self.till = TillChannel(self.secret, IDLE)
        self.waiting = []
        self.now = 0.0
        self.page.clock.install(time="2026-07-30T08:00:00Z")
        self.page.route("**/hello", self.keep_waiting)
        self.page.goto(PairingLink(origin, self.secret).reveal())
        self.page.clock.pause_at("2026-07-30T08:00:05Z")
        self.session = tablet.context.new_cdp_session(self.page)
        self.settle()

    def keep_waiting(self, route):
        self.waiting.append(route)

    def wait_for_hello(self):
        end = time.monotonic() + 10
        while not self.waiting:
            assert time.monotonic() < end, "no hello"
            self.page.clock.run_for(500)
            self.now += 0.5
        return self.waiting[-1]

    def settle(self):
        """Carry hellos and sealed until the till has nothing more to say."""
        while True:
            route = self.wait_for_hello()
            hello = route.request.post_data_buffer[32:]
            answers = self.till.answer([hello], self.now)
            if not answers:
                return
            (answer,) = answers
            assert answer.hid == hello_id(hello)
            self.waiting.clear()
            route.fulfill(status=200, body=answer.sealed)
            self.till.delivered(answer, self.now)

    def show(self, content):
        self.till.show(content, self.now)
        self.settle()

    def wait(self, seconds):
        """Let time pass in which nothing has changed; a relay answers so every 25 seconds."""
        while seconds > 0:
            route = self.wait_for_hello()
            some = min(seconds, 24)
            self.page.clock.run_for(int(some * 1000))
            self.now += some
            seconds -= some
            self.waiting.clear()
            route.fulfill(status=204)

    def sell(self, number, pause):
        self.show(Content.live((f"Article {number}", "Total 13,90")))
        self.show(Content.ticket(Secret.generate(), 60, number=f"TC1-{number}", total="13,90 €"))
        self.show(Content.thanks())
        self.show(IDLE)
        self.wait(pause)

    def weigh(self):
        """Bytes of the heap after a collection, and what the page has made."""
        for _ in range(2):
            self.session.send("HeapProfiler.collectGarbage")
        heap = self.session.send("Runtime.getHeapUsage")["usedSize"]
        counted = self.session.send("Memory.getDOMCounters")
        return {"heap": heap, "nodes": counted["nodes"], "listeners": counted["jsEventListeners"]}


def measure(screen, relay, sales):
    tablet = screen(Tablet)
    day = Day(tablet, relay.origin)
    pause = DAY_SECONDS / SALES_A_DAY - 6
    for number in range(10):  # until everything has been made once
        day.sell(number, pause)
    before = day.weigh()
    for number in range(sales):
        day.sell(number, pause)
    after = day.weigh()
    print(f"{sales} sales in {day.now / 3600:.1f} h: {before} -> {after}")  # noqa: T201 - the figures
    assert after["nodes"] <= before["nodes"] + 20
    assert after["listeners"] <= before["listeners"] + 5
    assert after["heap"] - before["heap"] < 500_000
    assert tablet.state == "idle"


def test_memory_is_flat_over_sales(screen, relay):
    measure(screen, relay, 40)


@pytest.mark.soak
def test_memory_is_flat_over_a_day_with_5000_sales(screen, relay):
    measure(screen, relay, SALES_A_DAY)
