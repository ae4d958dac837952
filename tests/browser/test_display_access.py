"""The display's page for everybody: axe-core, contrast, keyboard, enlarged text, in every state."""

import itertools

import axe
import pytest
import stage
from screens import Tablet

from e2ee_ticket import Secret
from e2ee_ticket.protocol.content import Content

pytestmark = pytest.mark.browser

HELLO = "POST /v1/c/"
NOTICES = {"fr": "FR", "de": "DE", "it": "IT", "en": "FR", "es": "ES"}
LINES = ("Café de spécialité 6,90 €", "Pain complet 3,20 €", "Total 10,10 €")
NO_STORAGE = "Object.defineProperty(window, 'localStorage', {get: function () { throw 1; }});"

SCREENS = [(320, 568), (412, 915), (568, 320), (800, 1280), (1024, 600), (3840, 2160)]
PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
# Every text that is to be seen, as its place; a little less, for letters have air around them.
PLACES = """
() => {
  const found = [];
  const walker = document.createTreeWalker(document.getElementById('stage'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    const box = range.getBoundingClientRect();
    const air = 0.15 * range.getClientRects()[0]?.height;
    if (box.width && !walker.currentNode.parentNode.closest('#spoken')) {
      found.push([walker.currentNode.data, box.left, box.top + air, box.right,
        box.bottom - air]);
    }
  }
  return found;
}
"""


def troubles(tablet):
    """What axe-core finds, each with the state and the element."""
    found = axe.violations(tablet.page, type="tag", values=axe.RULES)
    return [(tablet.state, *one) for one in found]


def counter_for(relay, lang):
    idle = Content.idle(name="Épicerie du Marché", lang=lang, notice=NOTICES[lang])
    return stage.Counter(relay.origin, permit=relay.leave, idle=idle)


def ticket():
    return Content.ticket(
        Secret.generate(), 60, number="TC7-2607-0042", time="14:05", total="1 234,56 €"
    )


@pytest.mark.parametrize("lang", ["de"])  # its words are the longest
def test_no_violation_in_any_state(screen, relay, cable, lang):
    tablet = screen(Tablet, locale=lang)
    found = []
    tablet.page.goto(cable.origin + "/d")
    found += troubles(tablet)
    tablet.page.locator("#groups input").first.press_sequentially("7000065535")
    found += troubles(tablet)
    with counter_for(relay, lang) as counter:
        tablet.pair(counter.link(cable.origin))
        tablet.page.wait_for_selector("#notice:not(:empty)")
        found += troubles(tablet)
        tablet.page.evaluate(
            "document.documentElement.className += ' quiet';"
            "document.getAnimations().forEach(fade => fade.finish())"
        )
        found += troubles(tablet)
        counter.show(Content.live(LINES))
        tablet.wait("live")
        found += troubles(tablet)
        counter.show(ticket())
        tablet.wait("ticket")
        found += troubles(tablet)
        counter.thank()
        tablet.wait("thanks")
        found += troubles(tablet)
        counter.clear()
        tablet.wait("idle")
        fault = cable.answer(HELLO, b"", times=10**6)
        cable.cut()
        tablet.wait("offline")
        found += troubles(tablet)
        fault.release()
        tablet.wait("idle", seconds=40)
        counter.unpair()
        tablet.wait("unpaired", seconds=40)
        found += troubles(tablet)

    assert found == []


def test_no_violation_where_the_pairing_cannot_be_kept(screen, relay):
    tablet = screen(Tablet)
    tablet.context.add_init_script(NO_STORAGE)
    with counter_for(relay, "en") as counter:
        tablet.pair(counter.link(relay.origin)).wait("idle")

        assert tablet.visible("#keep")
        assert troubles(tablet) == []

        tablet.page.touchscreen.tap(300, 300)
        assert not tablet.visible("#keep")


def test_pairing_needs_no_pointer(screen, relay):
    tablet = screen(Tablet)
    with counter_for(relay, "en") as counter:
        digits = counter.link(relay.origin).partition("#")[2]
        tablet.page.goto(relay.origin + "/d")
        keyboard = tablet.page.keyboard

        keyboard.press("Tab")
        keyboard.type(digits[:11])
        keyboard.press("Backspace")
        keyboard.press("Backspace")
        keyboard.press("Backspace")  # out of the third group, and the last of the second
        keyboard.type(digits[8:84])
        keyboard.press("Tab")
        assert tablet.page.evaluate("document.activeElement.id") == "pair"
        keyboard.press("Shift+Tab")
        keyboard.press("End")
        keyboard.type(digits[84:])

        tablet.wait("idle")


def test_a_reader_of_the_screen_hears_what_comes_and_no_countdown(screen, relay):
    tablet = screen(Tablet)
    with counter_for(relay, "en") as counter:
        tablet.pair(counter.link(relay.origin)).wait("idle")
        tablet.page.evaluate(
            """() => {
                window.heard = [];
                const told = document.getElementById('spoken');
                new MutationObserver(() => told.textContent && heard.push(told.textContent))
                    .observe(told, {childList: true, characterData: true, subtree: true});
            }"""
        )
        counter.show(ticket())
        tablet.wait("ticket")
        stage.wait_for(lambda: int(tablet.text("#left")) < 58, "two seconds of its time")
        counter.thank()
        tablet.wait("thanks")

        assert tablet.page.evaluate("heard") == ["Scan for your receipt", "Thank you"]
        live = tablet.page.evaluate(
            "[...document.querySelectorAll('[aria-live],[role=status],[role=alert]')]"
            ".map(one => one.id)"
        )
        assert sorted(live) == ["pairingError", "sign", "spoken"]


def sizes(tablet, elements):
    return {
        one: tablet.page.evaluate(
            "id => parseFloat(getComputedStyle(document.getElementById(id)).fontSize)", one
        )
        for one in elements
    }


def test_the_form_doubles_when_the_page_is_enlarged_to_200_percent(screen, relay):
    """Enlarging halves what the page sees of the screen and doubles each of its pixels."""
    form = ("pairingHeading", "pairingText", "pair", "awakeText")
    before = screen(Tablet, viewport={"width": 1280, "height": 800})
    before.page.goto(relay.origin + "/d")
    after = screen(Tablet, viewport={"width": 640, "height": 400}, device_scale_factor=2)
    after.page.goto(relay.origin + "/d")

    assert sizes(after, form) == sizes(before, form)  # in pixels that are twice as large
    inside = after.page.evaluate("[document.getElementById('pairing').scrollWidth, innerWidth]")
    assert inside[0] <= inside[1]
    after.page.locator("#pair").scroll_into_view_if_needed()
    assert after.visible("#pair")


def test_the_form_grows_with_the_browsers_text_size(screen, relay):
    tablet = screen(Tablet)
    tablet.page.goto(relay.origin + "/d")
    before = sizes(tablet, ("pairingText",))["pairingText"]
    session = tablet.context.new_cdp_session(tablet.page)
    session.send("Page.enable")
    session.send("Page.setFontSizes", {"fontSizes": {"standard": 32}})

    assert sizes(tablet, ("pairingText",))["pairingText"] == pytest.approx(2 * before)


def test_nothing_moves_but_by_a_hair(screen, relay):
    """Reduced motion: there is no animation; the one fade is of a colour, on a screen at rest."""
    tablet = screen(Tablet, reduced_motion="reduce")
    with counter_for(relay, "en") as counter:
        tablet.pair(counter.link(relay.origin)).wait("idle")
        counter.show(ticket())
        tablet.wait("ticket")
        counter.thank()
        tablet.wait("thanks")

        assert tablet.page.evaluate("document.getAnimations().length") == 0


def covered(tablet, width, height):
    """The texts of which one lies over another, or beyond the screen."""
    places = tablet.page.evaluate(PLACES)
    beyond = [
        text
        for text, left, top, right, bottom in places
        if left < 0 or top < 0 or right > width or bottom > height
    ]
    return beyond + [
        (one[0], two[0])
        for one, two in itertools.combinations(places, 2)
        if one[1] < two[3] and two[1] < one[3] and one[2] < two[4] and two[2] < one[4]
    ]


@pytest.mark.parametrize("lang", NOTICES)
def test_no_text_covers_another_or_leaves_the_screen(screen, relay, lang):
    tablet = screen(Tablet, locale=lang)
    troubles = {}
    with counter_for(relay, lang) as counter:
        tablet.pair(counter.link(relay.origin))
        tablet.page.wait_for_selector("#notice:not(:empty)")
        for state, show in (
            ("idle", None),
            ("live", lambda: counter.show(Content.live(LINES))),
            ("ticket", lambda: counter.show(ticket())),
            ("thanks", counter.thank),
        ):
            if show:
                show()
            tablet.wait(state)
            for width, height in SCREENS:
                tablet.page.set_viewport_size({"width": width, "height": height})
                tablet.page.wait_for_function("width => innerWidth === width", arg=width)
                tablet.page.evaluate(PAINTED)
                if found := covered(tablet, width, height):
                    troubles[state, width, height] = found

    assert troubles == {}
