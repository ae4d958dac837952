"""The display's page, each of its states reached by what would cause it (spec/channel.md)."""

import itertools
from contextlib import closing

import pytest
import stage
from screens import Tablet

from e2ee_ticket import Secret
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.link import CHECK_LABEL, format_digits

pytestmark = pytest.mark.browser

EARLY = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
NO_STORAGE = """
Object.defineProperty(window, 'localStorage', {
  get: function () { throw new DOMException('denied', 'SecurityError'); }
});
"""
RECORD_REQUESTS = """
window.sent = [];
const send = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = function (body) {
  if (!body) return send.call(this); // what it asks the relay about itself
  const times = [Date.now(), 0];
  window.sent.push(times);
  this.addEventListener('loadend', () => { times[1] = Date.now(); });
  send.call(this, body);
};
"""
HELLO = "POST /v1/c/"


@pytest.fixture
def counter(relay):
    idle = Content.idle(name="Épicerie du Test", lang="fr", notice="FR")
    with stage.Counter(relay.origin, permit=relay.leave, idle=idle) as standing:
        yield standing


def ticket(seconds=60, **options):
    return Content.ticket(Secret.generate(), seconds, **options)


def digits_of(content):
    return format_digits(content.secret.reveal(), CHECK_LABEL)


def typed(tablet, index, text):
    tablet.page.locator("#groups input").nth(index).press_sequentially(text)


def marked(tablet):
    return tablet.page.locator("#groups input[aria-invalid=true]").count()


# Pairing


def test_asks_for_its_pairing_and_says_nothing_to_the_relay(tablet, relay):
    tablet.page.goto(relay.origin + "/d")

    assert tablet.wait("pairing")
    assert tablet.page.locator("#groups input").count() == 17
    assert [one.url for one in tablet.requests] == [relay.origin + "/d"]


@pytest.mark.rule("C3")
def test_is_paired_by_its_link_which_then_leaves_the_address_bar(tablet, relay, counter):
    tablet.pair(counter.link(relay.origin))

    tablet.page.wait_for_selector("#idleName:has-text('Épicerie du Test')")
    assert tablet.state == "idle"
    assert tablet.page.url == relay.origin + "/d"


@pytest.mark.rule("C4")
def test_marks_a_wrong_group_at_once(tablet, relay):
    tablet.page.goto(relay.origin + "/d")

    typed(tablet, 0, "65535")
    assert marked(tablet) == 0

    typed(tablet, 1, "65536")
    assert marked(tablet) == 1
    assert "65535" in tablet.text("#pairingError")

    tablet.page.locator("#groups input").nth(1).fill("65530")
    assert marked(tablet) == 0
    assert tablet.text("#pairingError") == ""


@pytest.mark.rule("C4")
def test_checks_the_typed_digits_as_a_whole_and_pairs_when_they_are_corrected(
    tablet, relay, counter
):
    digits = counter.link(relay.origin).partition("#")[2]
    last = digits[80:]
    wrong = f"{(int(last) + 1) % 65536:05d}"
    tablet.page.goto(relay.origin + "/d")
    tablet.page.locator("#groups input").first.focus()

    tablet.page.keyboard.type(digits[:80] + wrong)
    tablet.page.wait_for_selector("#pairingError:not(:empty)")
    assert tablet.state == "pairing"

    tablet.page.locator("#groups input").last.fill(last)
    tablet.wait("idle")
    tablet.page.wait_for_selector("#idleName:has-text('Épicerie du Test')")


@pytest.mark.rule("C4")
@pytest.mark.parametrize("form", ["{digits}", "{link}", "{spaced}"])
def test_takes_pasted_digits(tablet, relay, counter, form):
    link = counter.link(relay.origin)
    digits = link.partition("#")[2]
    spaced = " ".join(digits[at : at + 5] for at in range(0, 85, 5))
    tablet.page.goto(relay.origin + "/d")
    tablet.page.locator("#groups input").first.focus()

    tablet.page.keyboard.insert_text(form.format(digits=digits, link=link, spaced=spaced))

    tablet.wait("idle")


@pytest.mark.rule("C3")
def test_a_tickets_link_is_no_pairing_link(tablet, relay):
    tablet.pair(relay.origin + "/d#" + digits_of(ticket()))

    assert tablet.wait("pairing")
    assert tablet.text("#pairingError") != ""
    assert [one for one in tablet.requests if "/v1/" in one.url] == []


@pytest.mark.rule("C29")
def test_stays_paired_over_a_restart_of_the_tablet(tablet, relay, counter):
    tablet.pair(counter.link(relay.origin)).wait("idle")

    tablet.page.close()
    tablet.new_page().goto(relay.origin + "/d")

    tablet.wait("idle")
    tablet.page.wait_for_selector("#idleName:has-text('Épicerie du Test')")
    assert not tablet.visible("#keep")


@pytest.mark.rule("C29")
def test_says_so_where_it_cannot_keep_the_pairing(tablet, relay, counter):
    tablet.context.add_init_script(NO_STORAGE)
    link = counter.link(relay.origin)

    tablet.pair(link).wait("idle")

    tablet.page.wait_for_selector("#keep", state="visible")
    assert tablet.page.url == link
    tablet.page.reload()
    tablet.wait("idle")


@pytest.mark.rule("C29")
def test_where_it_cannot_keep_typed_digits_it_offers_the_link_as_a_bookmark(tablet, relay, counter):
    tablet.context.add_init_script(NO_STORAGE)
    link = counter.link(relay.origin)
    tablet.page.goto(relay.origin + "/d")
    tablet.page.locator("#groups input").first.focus()

    tablet.page.keyboard.insert_text(link.partition("#")[2])

    tablet.wait("idle")
    tablet.page.wait_for_selector("#keep", state="visible")
    assert tablet.page.url == link


@pytest.mark.rule("C30")
def test_forgets_a_pairing_that_the_till_has_ended(tablet, relay, counter):
    tablet.pair(counter.link(relay.origin)).wait("idle")
    stage.wait_for(lambda: "the display is connected" in counter.notices, "a hello")

    counter.unpair()

    tablet.wait("unpaired")
    assert tablet.page.evaluate("localStorage.length") == 0
    tablet.page.reload()
    tablet.wait("pairing")


# What it shows


def test_idle_shows_the_shop_and_the_legal_notice(tablet, relay, counter):
    tablet.pair(counter.link(relay.origin))

    tablet.page.wait_for_selector("#notice:not(:empty)")
    assert tablet.text("#idleName") == "Épicerie du Test"
    assert "demande" in tablet.text("#notice")
    assert tablet.page.locator("html").get_attribute("lang") == "fr"


@pytest.mark.rule("C25")
def test_a_ticket_shows_its_code_with_number_time_total_and_time_left(tablet, cable, counter):
    content = ticket(60, number="7-1042", time="14:05", total="23,45 €", name="Épicerie")
    tablet.pair(counter.link(cable.origin)).wait("idle")

    counter.show(content)

    assert tablet.wait_for_qr() == f"{cable.origin}/#{digits_of(content)}"
    counter.wait_until_shown()
    beside = tablet.text("#beside")
    assert all(text in beside for text in ("7-1042", "14:05", "23,45 €", "Épicerie"))
    first = int(tablet.text("#left"))
    stage.wait_for(lambda: int(tablet.text("#left")) < first, "a second of its time")


@pytest.mark.rule("C42")
@pytest.mark.parametrize("how", ["tap", "keyboard"])
def test_who_needs_longer_taps(tablet, relay, counter, how):
    tablet.page.clock.install()
    tablet.pair(counter.link(relay.origin)).wait("idle")
    counter.show(ticket(30))
    tablet.wait_for_qr()
    tablet.page.clock.run_for(5_000)
    assert int(tablet.text("#left")) <= 26

    if how == "tap":
        tablet.page.locator("#more").tap()
    else:
        tablet.page.keyboard.press("Tab")
        tablet.page.keyboard.press("Enter")

    assert int(tablet.text("#left")) >= 29
    assert tablet.qr()


def test_a_tap_on_idle_fills_the_screen(whole_chromium, relay, counter):
    with closing(Tablet(whole_chromium)) as tablet:
        tablet.pair(counter.link(relay.origin)).wait("idle")

        tablet.page.touchscreen.tap(300, 300)

        tablet.page.wait_for_function("document.fullscreenElement !== null")
        assert tablet.complaints == []


def test_live_shows_the_sale_so_far(tablet, relay, counter):
    tablet.pair(counter.link(relay.origin)).wait("idle")

    counter.show(Content.live(("Café 6,90", "Pain 1,30", "Total 8,20")))

    tablet.wait("live")
    shown = tablet.text("#lines")
    assert all(text in shown for text in ("Café", "6,90", "Pain", "8,20"))


def test_no_text_is_ever_html(tablet, relay, counter):
    markup = "<b onclick=alert(1)>x</b>"
    tablet.pair(counter.link(relay.origin)).wait("idle")

    counter.show(Content.live((markup,)))
    tablet.wait("live")
    assert tablet.text("#lines").replace("\n", "") != ""

    counter.show(ticket(60, number=markup, time=markup, total=markup, name=markup))
    tablet.wait("ticket")
    assert tablet.page.locator("#stage b, #stage [onclick]").count() == 0
    assert markup in tablet.text("#beside")


@pytest.mark.rule("C23")
def test_thanks_replace_the_ticket_and_leave_nothing_of_it(tablet, relay, counter):
    tablet.pair(counter.link(relay.origin)).wait("idle")
    counter.show(ticket(60, total="23,45 €"))
    tablet.wait_for_qr()

    counter.thank()

    tablet.wait("thanks")
    assert tablet.qr() is None
    assert tablet.canvas_is_blank()
    assert "23,45" not in tablet.page.inner_html("#stage")


@pytest.mark.rule("C23")
def test_a_ticket_ends_by_the_displays_own_timer(tablet, relay, counter):
    tablet.page.clock.install()
    tablet.pair(counter.link(relay.origin)).wait("idle")
    counter.show(ticket(30, total="23,45 €"))
    tablet.wait_for_qr()
    counter.wait_until_shown()
    relay.kill()  # nobody tells the display that it is over

    tablet.page.clock.run_for(24_000)
    assert tablet.state == "ticket"

    tablet.page.clock.run_for(7_000)
    assert tablet.state in ("idle", "offline")
    assert tablet.qr() is None
    assert tablet.canvas_is_blank()
    assert "23,45" not in tablet.page.inner_html("#stage")
    relay.start()


@pytest.mark.rule("C40")
@pytest.mark.parametrize(
    ("content", "seconds"),
    [(Content.thanks(), 10), (Content.live(("Total 8,20",)), 120)],
    ids=["thanks", "live"],
)
def test_thanks_and_live_end_by_the_displays_own_timer(tablet, cable, counter, content, seconds):
    tablet.page.clock.install()
    tablet.pair(counter.link(cable.origin)).wait("idle")
    counter.show(content)
    tablet.wait(content.kind)
    counter.wait_until_shown()
    # From here on nothing is said to the display but that nothing has changed.
    cable.answer(HELLO, EARLY, times=10**6)
    cable.cut()

    passed = 0
    while tablet.state == content.kind:
        tablet.page.clock.run_for(1000)
        passed += 1
        assert passed <= seconds + 1

    assert tablet.state == "idle"
    assert passed >= seconds - 8  # the clock runs by itself too


# Codes that can be read


@pytest.mark.parametrize("ratio", [1, 1.5, 3])
@pytest.mark.parametrize("size", ["320x480", "480x320", "768x1024", "1280x800", "2160 lines"])
def test_both_readers_read_the_code_on_any_screen(screen, relay, counter, size, ratio):
    content = ticket(
        60, number="TC7-2607-0042", time="14:05", total="1 234,56 €", name="Épicerie du Test"
    )
    if size == "2160 lines":  # what a large screen has, in what the page sees of it
        width, height = int(3840 / ratio), int(2160 / ratio)
    else:
        width, height = map(int, size.split("x"))
    tablet = screen(Tablet, viewport={"width": width, "height": height}, device_scale_factor=ratio)
    tablet.pair(counter.link(relay.origin)).wait("idle")

    counter.show(content)

    assert tablet.wait_for_qr() == f"{relay.origin}/#{digits_of(content)}"
    page = tablet.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert page == [width, height]
    code = tablet.page.locator("#qr").bounding_box()
    assert code["x"] >= 0
    assert code["y"] >= 0
    assert code["x"] + code["width"] <= width
    assert code["y"] + code["height"] <= height
    for beside in ("#total", "#scan", "#more"):
        assert not overlap(code, tablet.page.locator(beside).bounding_box())


def overlap(one, two):
    return (
        one["x"] < two["x"] + two["width"]
        and two["x"] < one["x"] + one["width"]
        and one["y"] < two["y"] + two["height"]
        and two["y"] < one["y"] + one["height"]
    )


def test_the_code_follows_a_turn_of_the_tablet(tablet, relay, counter):
    content = ticket()
    tablet.pair(counter.link(relay.origin)).wait("idle")
    counter.show(content)
    first = tablet.wait_for_qr()

    tablet.page.set_viewport_size({"width": 768, "height": 1024})

    assert stage.wait_for(tablet.qr, "the code after the turn") == first


# Nothing old, nothing without the till


@pytest.mark.rule("C24")
def test_shows_nothing_but_idle_before_the_till_has_spoken(tablet, cable, counter):
    tablet.pair(counter.link(cable.origin)).wait("idle")
    counter.show(ticket())
    tablet.wait("ticket")
    held = cable.hold(HELLO)

    tablet.states.clear()
    tablet.page.reload()

    assert held.met.wait(20)
    assert tablet.state == "idle"
    assert tablet.qr() is None
    held.release()
    tablet.wait_for_qr()
    assert next(state for state in tablet.states if state != "pairing") == "idle"


@pytest.mark.rule("C24")
def test_never_shows_an_old_code_after_a_reload(tablet, relay):
    with stage.Counter(relay.origin, permit=relay.leave) as other:
        tablet.pair(other.link(relay.origin)).wait("idle")
        other.show(ticket(120))
        tablet.wait_for_qr()

    tablet.states.clear()
    tablet.page.reload()
    tablet.wait("idle")
    tablet.page.reload()
    tablet.wait("idle")

    assert "ticket" not in tablet.states
    assert tablet.canvas_is_blank()


@pytest.mark.rule("C22")
def test_a_hidden_page_is_blank_and_begins_anew(tablet, relay, counter):
    tablet.pair(counter.link(relay.origin)).wait("idle")
    counter.show(ticket(120))
    code = tablet.wait_for_qr()
    hellos = hellos_of(tablet)

    tablet.hide()
    assert tablet.state == "idle"
    assert tablet.canvas_is_blank()
    assert tablet.qr() is None

    tablet.show()
    assert tablet.wait_for_qr() == code
    assert hellos_of(tablet) >= hellos + 2  # idle first, then the ticket


@pytest.mark.rule("C22")
def test_a_page_that_was_left_begins_anew(tablet, relay, counter):
    tablet.pair(counter.link(relay.origin)).wait("idle")
    counter.show(ticket(120))
    code = tablet.wait_for_qr()
    tablet.states.clear()

    tablet.leave()
    tablet.come_back()

    assert tablet.wait_for_qr() == code
    shown = [state for state in tablet.states if state in ("idle", "ticket")]
    assert shown[0] == "idle"


@pytest.mark.rule("C22")
def test_a_tablet_that_slept_begins_anew(tablet, relay, counter):
    tablet.page.clock.install()
    tablet.pair(counter.link(relay.origin)).wait("idle")
    counter.show(ticket(120))
    tablet.wait_for_qr()
    counter.show(Content.live(("Total 8,20",)))
    tablet.wait("live")
    tablet.states.clear()

    tablet.page.clock.fast_forward(3_600_000)

    stage.wait_for(lambda: tablet.states[-1:] == ["live"], "the till's word after the sleep")
    assert "ticket" not in tablet.states
    assert "idle" in tablet.states


@pytest.mark.rule("C21")
def test_a_clock_that_is_set_back_discards_what_waits(tablet, relay, counter):
    tablet.page.clock.install()
    tablet.pair(counter.link(relay.origin)).wait("idle")
    counter.show(ticket(120))
    tablet.wait_for_qr()
    hellos = len(tablet.requests)
    tablet.states.clear()

    tablet.page.clock.set_system_time("2020-01-01T00:00:00Z")
    tablet.page.clock.run_for(1000)

    stage.wait_for(lambda: len(tablet.requests) > hellos, "another hello")
    assert "idle" in tablet.states
    tablet.wait_for_qr()  # C26: a wrong date is no trouble


@pytest.mark.rule("C26")
@pytest.mark.parametrize("date", ["1999-12-31T23:59:50Z", "2042-06-01T12:00:00Z"])
def test_a_wrong_date_is_no_trouble(tablet, relay, counter, date):
    tablet.page.clock.install(time=date)
    tablet.pair(counter.link(relay.origin)).wait("idle")

    counter.show(ticket())

    tablet.wait_for_qr()


# Away and back


def test_comes_back_by_itself_when_the_relay_does(tablet, relay, counter):
    tablet.pair(counter.link(relay.origin)).wait("idle")
    relay.kill()
    tablet.wait("offline")

    relay.start()

    counter.show(ticket())
    tablet.wait_for_qr(seconds=40)


@pytest.mark.rule("C20")
def test_a_hello_is_given_up_after_35_seconds(tablet, cable, counter):
    tablet.page.clock.install()
    held = cable.hold(HELLO, times=10)
    tablet.pair(counter.link(cable.origin))
    assert held.met.wait(20)

    tablet.page.clock.run_for(30_000)
    assert hellos_of(tablet) == 1

    tablet.page.clock.run_for(7_000)
    stage.wait_for(lambda: hellos_of(tablet) == 2, "the next hello")


def hellos_of(tablet):
    return sum("/v1/c/" in one.url for one in tablet.requests)


@pytest.mark.rule("C27")
def test_after_failures_it_tries_again_more_and_more_slowly(tablet, cable, counter):
    cable.answer(HELLO, b"", times=10**6)

    pauses = pauses_between_hellos(tablet, counter.link(cable.origin), 8)

    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert tablet.state == "offline"


@pytest.mark.rule("C28")
def test_an_early_204_is_not_answered_with_a_hello_at_once(tablet, cable, counter):
    cable.answer(HELLO, EARLY, times=10**6)

    pauses = pauses_between_hellos(tablet, counter.link(cable.origin), 7)

    assert 1 <= min(pauses) < max(pauses) <= 3


def pauses_between_hellos(tablet, link, count):
    """Turn the page's clock until there were so many hellos; return the seconds between them."""
    tablet.context.add_init_script(RECORD_REQUESTS)
    tablet.page.clock.install(time="2026-07-30T12:00:00Z")
    tablet.page.clock.pause_at("2026-07-30T12:00:01Z")
    tablet.pair(link)
    hellos = []
    while len(hellos) < count:
        hellos = tablet.page.evaluate("window.sent")
        if all(ended for _, ended in hellos):
            tablet.page.clock.run_for(500)
    return [(later[0] - earlier[1]) / 1000 for earlier, later in itertools.pairwise(hellos)]


@pytest.mark.rule("C7")
def test_each_hello_is_another_one(tablet, relay, counter):
    tablet.pair(counter.link(relay.origin)).wait("idle")
    for _ in range(4):
        counter.show(ticket())
        tablet.wait_for_qr()
        counter.wait_until_shown()

    hellos = [one.post_data_buffer for one in tablet.requests if "/v1/c/" in one.url]

    assert len(hellos) >= 5
    assert len({hello[32:64] for hello in hellos}) == len(hellos)
    assert {len(hello) for hello in hellos} == {112}


@pytest.mark.rule("C34")
def test_a_second_screen_with_the_same_link_sees_no_ticket(screen, tablet, relay, counter):
    link = counter.link(relay.origin)
    tablet.pair(link).wait("idle")
    stage.wait_for(lambda: "the display is connected" in counter.notices, "a hello")
    other = screen(Tablet)
    other.pair(link).wait("idle")
    stage.wait_for(lambda: hellos_of(other) >= 2, "the second screen's idle")

    counter.show(ticket())
    assert counter.settle()

    assert "ticket" not in tablet.states + other.states

    other.close_page()
    tablet.wait_for_qr(seconds=40)


# A newer page


def serve_page(tablet, change):
    """Let the page host answer the page itself with a changed copy; list what was answered so."""
    served = []

    def answer(route):
        if route.request.resource_type == "document":
            return route.continue_()
        page = route.fetch()
        route.fulfill(response=page, body=change(page.text()))
        return served.append(page.status)

    tablet.page.route("**/d", answer)
    return served


@pytest.mark.parametrize(
    ("change", "loads"),
    [
        (lambda text: text, 1),
        (lambda text: text.replace("'sha256-", "'sha256-A", 1), 2),
        (lambda _: "<html><title>Sign in</title></html>", 1),
    ],
    ids=["same", "newer", "portal"],
)
def test_loads_a_newer_page_while_it_is_idle_and_nothing_else(
    tablet, cable, counter, change, loads
):
    tablet.context.add_init_script("Math.random = function () { return 0; };")  # in ten minutes
    tablet.page.clock.install()
    tablet.pair(counter.link(cable.origin)).wait("idle")
    stage.wait_for(lambda: "the display is connected" in counter.notices, "a hello")
    cable.answer(HELLO, EARLY, times=10**6)
    cable.cut()
    served = serve_page(tablet, change)

    while not served:
        tablet.page.clock.run_for(3_000)
    if loads == 2:
        stage.wait_for(lambda: documents(tablet) == 2, "the reload")
    else:
        tablet.page.clock.run_for(3_000)  # time enough for what must not happen
    tablet.page.wait_for_load_state()
    tablet.page.wait_for_selector("html[data-state=idle]", state="attached")

    tablet.page.unroute_all(behavior="ignoreErrors")
    assert documents(tablet) == loads


def documents(tablet):
    return sum(one.resource_type == "document" for one in tablet.requests)
