"""The phone's page for everybody: axe-core, keyboard, reading order; every state and language.

The states are reached by data: the test answers in the relay's place.
"""

import dataclasses
import json
import re
from pathlib import Path
from runpy import run_path

import axe
import pytest
from screens import Phone, picture

from e2ee_ticket import Link, Secret, Ticket, seal
from e2ee_ticket.protocol.envelope import OVERHEAD_SIZE, seal_plaintext

pytestmark = pytest.mark.browser

PAGES = Path(__file__).resolve().parents[2] / "display_web"
LOCALES = {"de": "de-CH", "en": "en-IE", "es": "es-ES", "fr": "fr-FR", "it": "it-IT"}
HERE = "https://receipts.example"
OFFLINE = "Object.defineProperty(navigator, 'onLine', {get: () => false})"
OLD = "delete window.Blob"
IN_APP = "Object.defineProperty(navigator, 'userAgent', {get: () => 'Instagram'})"
CAN_SHARE = "navigator.canShare = () => true; navigator.share = () => Promise.resolve()"
# What the page's `show` is called as served: what it declares has short names (build.py).
SHOW = run_path(str(PAGES / "build.py"))["short_names"]()["show"]
GONE = {"expired", "received", "revoked"}
BOXES = """
window.boxes = () => ['receipt', 'paper', 'preview', 'save', 'share', 'more'].map((id) => {
  const box = document.getElementById(id).getBoundingClientRect();
  return id + [box.x, box.y, box.width, box.height].map((side) => ' ' + Math.round(side)).join();
});
new MutationObserver(() => {
  if (document.documentElement.getAttribute('data-state') !== 'ready' || window.first) return;
  window.first = window.boxes();
  window.early = !document.getElementById('preview').naturalWidth;
}).observe(document, {subtree: true, attributes: true, attributeFilter: ['data-state']});
"""
STATES = (
    "opening", "waiting", "absent", "damaged", "expired", "received", "revoked", "tampered",
    "offline", "away", "portal", "old", "about", "faulty", "ready",
)  # fmt: skip


class Answers:
    """Everything that a page's host and its relay say."""

    def __init__(self):
        self.page = (PAGES / "dist" / "ticket.html").read_text(encoding="utf-8")
        self.secret = Secret.generate()
        self.link = Link(HERE, self.secret).reveal()
        self.ticket = Ticket(
            b"%PDF-1.7\n%%EOF\n",
            name="7.pdf",
            title="Épicerie du Marché",
            total="54,64 €",
            number="7-1042",
            issued="2026-11-21T14:02:09+01:00",
            lang="fr",
            preview=picture(),
        )
        self.envelope = seal(self.ticket, self.secret)

    def serve(self, phone, state):
        def answer(route):
            if "/v1/" not in route.request.url:
                route.fulfill(body=self.page, content_type="text/html; charset=utf-8")
            elif route.request.method == "POST":
                route.fulfill(status=204)
            else:
                self._fetched(route, state)

        phone.context.route("**/*", answer)

    def _fetched(self, route, state):
        if state in ("waiting", "absent"):
            route.fulfill(status=404, body="{}", content_type="application/json")
        elif state in GONE:
            route.fulfill(
                status=410, body=json.dumps({"reason": state}), content_type="application/json"
            )
        elif state in ("offline", "away"):
            route.abort()
        elif state == "portal":
            route.fulfill(body="<html>Welcome!</html>", content_type="text/html")
        elif state == "faulty":
            route.fulfill(body=seal_plaintext(bytes(16384 - OVERHEAD_SIZE), self.secret))
        elif state == "tampered":
            route.fulfill(body=self.envelope[:-1] + bytes([self.envelope[-1] ^ 1]))
        elif state != "opening":
            route.fulfill(body=self.envelope)


@pytest.fixture(scope="module")
def answers():
    return Answers()


@pytest.fixture
def show(screen, answers):
    """Open the page so that it comes to a state."""

    def come_to(state, **options):
        phone = screen(Phone, **options)
        for wanted, script in (("offline", OFFLINE), ("old", OLD)):
            if state == wanted:
                phone.context.add_init_script(script)
        if state == "absent":
            phone.page.clock.install()
        answers.serve(phone, state)
        phone.open({"damaged": answers.link[:-1], "about": HERE + "/"}.get(state, answers.link))
        while state == "absent" and phone.state != "absent":
            phone.page.clock.run_for(1000)
        phone.wait(state)
        if state == "ready":
            phone.page.wait_for_selector("#preview", state="visible")
        return phone

    return come_to


def troubles(phone):
    """What axe-core finds, each with the element."""
    return axe.violations(phone.page, type="tag", values=axe.RULES)


def words(language):
    text = (PAGES / "src" / "words" / f"{language}.json").read_text(encoding="utf-8")
    return json.loads(text)["ticket"]


@pytest.mark.parametrize("state", STATES)
def test_no_violation_in_any_state_by_day_and_by_night(show, state):
    phone = show(state, reduced_motion="reduce")
    background = phone.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")

    assert troubles(phone) == []

    phone.page.emulate_media(color_scheme="dark")

    assert background != phone.page.evaluate(
        "getComputedStyle(document.documentElement).backgroundColor"
    )
    assert troubles(phone) == []


@pytest.mark.parametrize("language", LOCALES)
def test_every_state_has_its_own_words_and_picture_in_every_language(screen, answers, language):
    """One page walks through its states: only the words differ between languages."""
    phone = screen(Phone, locale=LOCALES[language], reduced_motion="reduce")
    answers.serve(phone, "opening")
    phone.open(answers.link).wait("opening")
    said, drawn = set(), set()

    for state in STATES[:-1]:
        phone.page.evaluate(f"state => {SHOW}(state, true)", state)
        say = words(language)
        assert phone.text("#heading") == say[state]
        assert phone.text("#text").startswith(
            say.get(f"{state}Text", "").replace("{relay}", "receipts.example")
        )
        said.add(phone.text("#message"))
        drawn.add(phone.page.locator("#icon").get_attribute("d"))

    assert phone.page.locator("html").get_attribute("lang") == language
    assert len(said) == len(STATES) - 1
    assert len(drawn) == 6  # signs are few, for the page arrives in one round trip


@pytest.mark.parametrize("language", LOCALES)
def test_no_violation_with_a_receipt_and_all_that_can_be_offered(screen, answers, language):
    phone = screen(Phone, locale=LOCALES[language])
    phone.context.add_init_script(IN_APP + ";" + CAN_SHARE)
    answers.serve(phone, "ready")
    phone.open(answers.link).wait("ready")
    phone.page.wait_for_selector("#preview", state="visible")
    phone.page.click("#save")
    phone.page.wait_for_selector("#delete", state="visible")
    phone.page.click("#more")

    assert troubles(phone) == []
    say = words(language)
    for element in ("save", "share", "appText", "copy", "delete", "more"):
        assert phone.text(f"#{element}") == say[element]
    assert phone.text("#noteText").startswith(say["receivedText"])
    assert phone.page.locator("#preview").get_attribute("alt").startswith(say["picture"])


def test_what_a_language_has_not_is_said_in_the_next_that_the_phone_wants(screen, answers):
    phone = screen(Phone, locale="nl-BE")
    phone.context.add_init_script(
        "Object.defineProperty(navigator, 'languages', {get: () => ['nl-BE', 'de', 'fr']})"
    )
    answers.serve(phone, "damaged")
    phone.open(answers.link[:-1]).wait("damaged")

    assert phone.text("#heading") == words("de")["damaged"]


def test_keyboard_reaches_everything_in_reading_order(show):
    phone = show("ready")
    reached = []
    for _ in range(2):
        phone.page.keyboard.press("Tab")
        reached.append(phone.page.evaluate("document.activeElement.id"))

    assert reached == ["save", "more"]


def test_focus_is_on_the_shop_once_the_receipt_is_there(show):
    phone = show("ready")

    assert phone.page.evaluate("document.activeElement.id") == "title"


def test_enter_shows_the_receipt_as_on_paper_and_hides_it_again(screen):
    worded = Answers()
    ticket = dataclasses.replace(worded.ticket, lines=(("Total", "54,64 €"),))
    worded.envelope = seal(ticket, worded.secret)
    phone = screen(Phone, locale="en-IE")
    worded.serve(phone, "ready")
    phone.open(worded.link).wait("ready")
    phone.page.keyboard.press("Tab")

    assert phone.page.evaluate("document.activeElement.id") == "paperText"
    assert not phone.visible("#preview")
    phone.page.keyboard.press("Enter")
    phone.page.wait_for_selector("#preview", state="visible")
    phone.page.keyboard.press("Enter")
    phone.page.wait_for_selector("#preview", state="hidden")


@pytest.mark.parametrize("state", ["ready", "absent", "portal"])
def test_nothing_is_cut_off_on_a_narrow_screen_with_text_at_200_percent(show, state):
    phone = show(state, viewport={"width": 320, "height": 568}, locale="de-DE")
    phone.page.evaluate("document.documentElement.style.fontSize = '34px'")
    phone.page.evaluate("dispatchEvent(new Event('resize'))")  # as when text gets larger

    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 320
    for element in phone.page.locator("a:visible, button:visible, h1:visible, p:visible").all():
        box = element.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320


@pytest.mark.parametrize("size", [(320, 568), (412, 915), (1024, 600)], ids=str)
def test_nothing_moves_when_the_picture_comes(screen, answers, size):
    """Who is about to tap a button taps it, and not what has taken its place meanwhile."""
    phone = screen(Phone, viewport={"width": size[0], "height": size[1]})
    phone.context.add_init_script(BOXES + CAN_SHARE)
    answers.serve(phone, "ready")
    phone.open(answers.link).wait("ready")
    phone.page.wait_for_function("document.getElementById('preview').naturalWidth")

    assert phone.page.evaluate("early"), "the picture was there before its place was looked at"
    assert phone.page.evaluate("first") == phone.page.evaluate("boxes()")
    assert phone.visible("#share")


@pytest.mark.parametrize(
    "preview",
    [b"", b"\x89PNG\r\n\x1a\n", b"\xff" * 400],
    ids=["empty", "a signature", "garbage"],
)
def test_a_picture_that_is_none_leaves_no_gap(screen, answers, preview):
    bad = Answers()
    bad.envelope = seal(dataclasses.replace(answers.ticket, preview=preview), bad.secret)
    phone = screen(Phone)
    bad.serve(phone, "ready")
    phone.open(bad.link).wait("ready")

    phone.page.wait_for_selector("#paper", state="hidden")
    assert phone.visible("#save")
    assert phone.text("#total") == "54,64 €"


def test_what_can_be_tapped_is_large_enough(show):
    phone = show("ready")

    for element in phone.page.locator("a:visible, button:visible, summary:visible").all():
        box = element.bounding_box()
        assert min(box["width"], box["height"]) >= 44


@pytest.mark.parametrize("state", ["opening", "ready"])
def test_nothing_moves_whether_motion_hurts_or_not(show, state):
    phone = show(state)

    assert phone.page.evaluate("document.getAnimations().length") == 0


def test_without_scripts_the_page_says_so_in_every_language(chromium, answers):
    phone = Phone(chromium, java_script_enabled=False)
    answers.serve(phone, "opening")
    phone.open(answers.link)

    said = phone.page.locator("noscript").inner_text()
    for language in LOCALES:
        assert phone.page.locator(f"noscript p[lang={language}]").inner_text() in said
        assert words(language)["noscript"] in re.sub(r"\s+", " ", said)
    phone.context.close()


def test_delete_button_gives_its_focus_to_the_note(show):
    phone = show("ready")
    phone.page.click("#save")
    phone.page.wait_for_selector("#delete", state="visible")
    phone.page.click("#delete")
    phone.page.wait_for_selector("#delete", state="hidden")

    assert phone.text("#noteText") in (words("en")["deleting"], words("en")["deleted"])
    assert phone.page.evaluate("document.activeElement.id") == "note"


@pytest.mark.parametrize(
    "size", [(320, 568), (390, 844), (844, 390), (1024, 768), (3840, 2160)], ids=str
)
def test_receipt_is_on_the_screen_at_once(show, size):
    """Shop, total and the button that saves, without scrolling; on a low screen shop and total."""
    width, height = size
    phone = show("ready", viewport={"width": width, "height": height}, device_scale_factor=1)
    wanted = ["#title", "#total"] + (["#save"] if height > 500 else [])

    for element in wanted:
        box = phone.page.locator(element).bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= height
