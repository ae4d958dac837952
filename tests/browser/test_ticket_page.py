"""The phone's page, each of its states reached by what would cause it (spec/ticket.md)."""

import json
from dataclasses import replace

import pytest
import stage
from screens import Phone, picture

from e2ee_ticket import Link, Secret, Ticket
from e2ee_ticket.protocol.envelope import OVERHEAD_SIZE, seal_plaintext

pytestmark = pytest.mark.browser


def portal(status, size):
    """An answer of a network that wants a login: a page of its own, in place of the relay's."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + b"<html><body>Welcome to our hotel!</body></html>".ljust(size)


# 16 KiB is a length that envelopes have, and 404 is what the relay itself answers.
PORTALS = [
    pytest.param(portal("200 OK", 47), id="short"),
    pytest.param(portal("200 OK", 16384), id="long"),
    pytest.param(portal("404 Not Found", 47), id="absent"),
    pytest.param(portal("511 Network Authentication Required", 47), id="login"),
]
RECORD_TYPES = """
window.blobTypes = [];
var create = URL.createObjectURL;
URL.createObjectURL = function (blob) {
  window.blobTypes.push(blob.type);
  return create.call(URL, blob);
};
"""
RECEIPT = b"%PDF-1.7\n" + bytes(range(256)) * 400 + b"\n%%EOF\n"


@pytest.fixture
def ticket():
    return Ticket(
        RECEIPT,
        name="Ticket 7-1042.pdf",
        title="Épicerie du Test",
        total="23,45 €",
        number="7-1042",
        issued="2026-07-30T14:05:00+02:00",
        lang="fr",
        preview=picture(),
    )


@pytest.fixture
def kept(relay, ticket):
    return relay.keep(ticket, permit=relay.leave)


def wait_for_state(relay, link, state):
    stage.wait_for(lambda: relay.state(link) == state, f"the relay's state {state!r}")


# The receipt


def test_shows_the_receipt_and_saves_its_very_bytes(phone, kept):
    phone.open(kept.reveal()).wait("ready")

    assert phone.text("#title") == "Épicerie du Test"
    assert phone.text("#total") == "23,45 €"
    assert "7-1042" in phone.text("#facts")
    phone.page.wait_for_selector("#preview", state="visible")
    assert phone.page.locator("#title").get_attribute("lang") == "fr"
    assert phone.save() == (RECEIPT, "Ticket 7-1042.pdf")


@pytest.mark.parametrize(
    ("locale", "time"),
    [
        ("en-GB", "1 Mar 2026, 12:05"),
        ("en-US", "1 Mar 2026, 12:05"),
        ("fr-FR", "01/03/2026 12:05"),
        ("de-CH", "01.03.2026 12:05"),
        ("it-IT", "01/03/2026 12:05"),
        ("es-ES", "01/03/2026 12:05"),
    ],
)
def test_writes_the_time_of_the_shop_as_the_till_prints_it(screen, relay, ticket, locale, time):
    issued = replace(ticket, issued="2026-03-01T12:05:09+11:00")
    link = relay.keep(issued, permit=relay.leave)
    phone = screen(Phone, locale=locale)

    phone.open(link.reveal()).wait("ready")

    assert phone.text("#facts").split("\n")[0] == time


def test_makes_two_requests_until_the_receipt_is_visible(phone, relay, kept):
    phone.open(kept.reveal()).wait("ready")

    first_two = phone.fetched()[:2]
    wait_for_state(relay, kept, "opened")

    assert first_two == ["GET /", "GET /v1/t/*"]
    assert phone.fetched()[2:] == ["POST /v1/t/*/state"]


def test_asks_the_relay_while_the_page_still_arrives(phone, relay, kept, cable):
    """With its first script the page has asked: neither style nor text nor cipher are there yet."""
    page = relay.request("GET", "/")[1]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\n\r\n"
    answer = head.encode() + page
    arrived = answer.index(b"</script>") + len(b"</script>")
    assert arrived < 7 * 1024
    fault = cable.drip("GET / ", answer, size=arrived, stop_after=arrived)

    phone.open(f"{cable.origin}/#{kept.digits()}")

    stage.wait_for(lambda: cable.count("GET /v1/t/") == 1, "the request for the envelope")
    assert phone.page.evaluate("document.body") is None
    fault.release()


def test_keeps_nothing_in_the_browser(phone, relay, kept):
    phone.open(kept.reveal()).wait("ready")
    phone.save()
    phone.page.click("#delete")
    wait_for_state(relay, kept, "revoked")

    assert phone.kept() == {}


def test_tells_the_relay_opened_only_when_the_receipt_is_open(phone, relay, kept, cable):
    held = cable.hold("GET /v1/t/")
    phone.open(f"{cable.origin}/#{kept.digits()}")
    assert held.met.wait(20)

    assert phone.wait("opening", "waiting") == "opening"
    assert relay.state(kept) == "stored"

    held.release()
    phone.wait("ready")
    wait_for_state(relay, kept, "opened")


@pytest.mark.rule("R75")
@pytest.mark.parametrize("accept_downloads", [True, False])
def test_a_tap_on_save_says_nothing_of_received(screen, relay, kept, accept_downloads):
    """Nobody tells a page whether anything was saved; Chromium drops the download here."""
    phone = screen(Phone, accept_downloads=accept_downloads)
    phone.open(kept.reveal()).wait("ready")
    wait_for_state(relay, kept, "opened")

    phone.page.click("#save")

    note = "Look among your downloads. The encrypted copy stays for a day."
    stage.wait_for(lambda: phone.text("#noteText") == note, "what is so")
    assert phone.text("#delete") == "I have it: delete it now"
    assert relay.state(kept) == "opened"
    assert expires_in(relay, kept) > 86_000


def expires_in(relay, link):
    token = link.secret.token().hex()
    path = f"/v1/t/{link.secret.id}/state"
    _, body = relay.request("GET", path, Authorization=f"Bearer {token}")
    return json.loads(body)["expires_in"]


@pytest.mark.rule("R75")
def test_the_customers_word_is_told_and_the_receipt_deleted(phone, relay, kept, cable):
    phone.open(f"{cable.origin}/#{kept.digits()}").wait("ready")
    wait_for_state(relay, kept, "opened")
    phone.save()
    stage.wait_for(lambda: "stays" in phone.text("#noteText"), "the answer to the tap")
    held = cable.hold("POST /v1/t/")

    phone.page.click("#delete")

    assert phone.text("#noteText") == "Deleting…"
    assert not phone.visible("#delete")
    assert held.met.wait(20)
    held.times = 1
    held.released.set()
    stage.wait_for(
        lambda: phone.text("#noteText") == "The encrypted copy is deleted.", "the answer"
    )
    assert relay.state(kept) == "revoked"
    assert relay.request("GET", f"/v1/t/{kept.secret.id}")[0] == 410
    assert phone.state == "ready"


REFUSALS = {
    "refused": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    "too often": b"HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    "broken": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("refusal", [*REFUSALS, "offline"])
def test_a_wish_that_is_not_met_yet_is_told_and_tried_again(phone, relay, kept, cable, refusal):
    phone.open(f"{cable.origin}/#{kept.digits()}").wait("ready")
    wait_for_state(relay, kept, "opened")
    phone.save()
    stage.wait_for(lambda: "stays" in phone.text("#noteText"), "the answer to the tap")
    if refusal == "offline":
        phone.context.set_offline(True)
    else:
        cable.answer("POST /v1/t/", REFUSALS[refusal], times=1)

    phone.page.click("#delete")

    stage.wait_for(lambda: phone.text("#noteText") == "Not deleted yet.", "what is so")
    phone.context.set_offline(False)
    wait_for_state(relay, kept, "revoked")
    stage.wait_for(lambda: "is deleted" in phone.text("#noteText"), "what is so now")


def test_a_wish_that_nobody_hears_can_be_told_again(phone, relay, kept, cable):
    phone.page.clock.install()
    phone.open(f"{cable.origin}/#{kept.digits()}").wait("ready")
    phone.page.clock.run_for(10)
    wait_for_state(relay, kept, "opened")
    phone.page.click("#save")
    stage.wait_for(lambda: "stays" in phone.text("#noteText"), "the answer to the tap")
    refused = cable.answer("POST /v1/t/", REFUSALS["refused"], times=10**6)
    phone.page.click("#delete")

    def given_up():
        phone.page.clock.run_for(10_000)
        return phone.visible("#delete")

    stage.wait_for(given_up, "the end of the tries")
    assert phone.text("#noteText") == "Not deleted yet."
    refused.release()
    phone.page.click("#delete")
    wait_for_state(relay, kept, "revoked")


def test_a_second_tab_does_not_promise_what_the_first_has_deleted(screen, relay, kept):
    first, second = screen(Phone), screen(Phone)
    for phone in (first, second):
        phone.open(kept.reveal()).wait("ready")
    first.save()
    first.page.click("#delete")
    wait_for_state(relay, kept, "revoked")

    assert second.save()[0] == RECEIPT

    said = "Look among your downloads. The encrypted copy is deleted."
    stage.wait_for(lambda: second.text("#noteText") == said, "what is so")
    assert not second.visible("#delete")


@pytest.mark.rule("R74")
def test_a_page_in_the_background_is_not_opened_before_somebody_looks(phone, relay, kept):
    """As in a tab behind, and as a page that is drawn ahead of a tap tells of itself, too."""
    phone.context.add_init_script(
        "Object.defineProperty(document, 'hidden', {get: () => !window.seen, configurable: true})"
    )
    phone.open(kept.reveal()).wait("ready")
    phone.page.evaluate("new Promise(done => setTimeout(done, 50))")
    assert not any("POST" in line for line in phone.fetched())
    assert relay.state(kept) == "stored"

    phone.page.evaluate("window.seen = true; document.dispatchEvent(new Event('visibilitychange'))")

    wait_for_state(relay, kept, "opened")
    phone.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert [line for line in phone.fetched() if "POST" in line] == ["POST /v1/t/*/state"]


def test_a_page_that_is_left_at_once_still_tells_the_relay(phone, relay, kept, cable):
    held = cable.hold("POST /v1/t/")
    phone.open(f"{cable.origin}/#{kept.digits()}").wait("ready")
    assert held.met.wait(20)
    assert relay.state(kept) == "stored"

    phone.page.goto("about:blank")

    wait_for_state(relay, kept, "opened")


def test_link_of_the_pdf_lives_as_long_as_the_page(phone, kept):
    phone.open(kept.reveal()).wait("ready")

    assert phone.save() == phone.save() == (RECEIPT, "Ticket 7-1042.pdf")


def test_shares_a_file_and_nothing_else_where_the_browser_can(phone, relay, kept):
    phone.context.add_init_script(
        """
        navigator.canShare = (what) => Object.keys(what).join() === 'files';
        navigator.share = (what) => {
          window.shared = [Object.keys(what).join(), what.files[0].name, what.files[0].type,
            what.files[0].size, navigator.userActivation.isActive];
          return Promise.resolve();
        };
        """
    )
    phone.open(kept.reveal()).wait("ready")
    phone.page.click("#share")

    wait_for_state(relay, kept, "received")
    said = "Shared. The encrypted copy is deleted in 15 minutes."
    stage.wait_for(lambda: phone.text("#noteText") == said, "what is so")
    assert phone.visible("#delete")
    assert phone.page.evaluate("window.shared") == [
        "files", "Ticket 7-1042.pdf", "application/pdf", len(RECEIPT), True,
    ]  # fmt: skip


@pytest.mark.rule("R75")
@pytest.mark.parametrize("why", ["AbortError", "NotAllowedError"])
def test_a_share_that_was_refused_is_told_and_is_no_received(phone, relay, kept, why):
    phone.context.add_init_script(
        f"""
        navigator.canShare = () => true;
        navigator.share = () => Promise.reject(new DOMException('no', '{why}'));
        """
    )
    phone.open(kept.reveal()).wait("ready")
    wait_for_state(relay, kept, "opened")

    phone.page.click("#share")

    stage.wait_for(lambda: phone.text("#noteText") == "Not shared.", "what is so")
    assert relay.state(kept) == "opened"


def test_an_engine_that_makes_no_file_says_so_and_nothing_was_opened(phone, relay, kept):
    phone.context.add_init_script("URL.createObjectURL = () => { throw new Error('no room'); }")
    phone.open(kept.reveal()).wait("old")

    assert phone.text("#heading") == "This browser cannot do it"
    assert phone.visible("#retry")
    assert relay.state(kept) == "stored"


def test_offers_no_sharing_where_the_browser_cannot(phone, kept):
    phone.context.add_init_script("navigator.canShare = () => false")
    phone.open(kept.reveal()).wait("ready")
    phone.page.wait_for_function("() => performance.getEntriesByType('resource').length > 1")

    assert not phone.visible("#share")


SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, "
ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "


@pytest.mark.parametrize(
    ("agent", "is_app"),
    [
        (SAFARI + "like Gecko) Mobile/15E148 Instagram 334.0", True),
        (SAFARI + "like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/466.0]", True),
        (SAFARI + "like Gecko) Mobile/15E148 MicroMessenger/8.0.49", True),
        (SAFARI + "like Gecko) Version/17.5 Mobile/15E148 Safari/604.1 Line/14.8", True),
        (SAFARI + "like Gecko) GSA/317.0 Mobile/15E148 Safari/604.1", True),
        (SAFARI + "like Gecko) Mobile/15E148", True),
        (ANDROID.replace(")", "; wv)", 1) + "Version/4.0 Chrome/126.0 Mobile Safari/537.36", True),
        (SAFARI + "like Gecko) Version/17.5 Mobile/15E148 Safari/604.1", False),
        (SAFARI + "like Gecko) CriOS/126.0 Mobile/15E148 Safari/604.1", False),
        (SAFARI + "like Gecko) FxiOS/127.0 Mobile/15E148 Safari/605.1.15", False),
        (ANDROID + "Chrome/126.0.0.0 Mobile Safari/537.36", False),
    ],
)
def test_apps_that_open_links_themselves_get_a_hint(screen, kept, agent, is_app):
    phone = screen(Phone, user_agent=agent)
    phone.open(kept.reveal()).wait("ready")

    assert phone.visible("#copy") == is_app


def test_copies_the_whole_link_and_says_so(screen, relay, kept):
    phone = screen(Phone, user_agent=SAFARI, permissions=["clipboard-read", "clipboard-write"])
    phone.open(kept.reveal()).wait("ready")
    phone.page.click("#copy")

    assert phone.text("#appText") == "Link copied"
    assert phone.page.evaluate("navigator.clipboard.readText()") == kept.reveal()
    assert phone.page.locator("#app input").count() == 0
    assert phone.page.url == relay.origin + "/"


@pytest.mark.rule("T36")
def test_handles_no_text_as_html_and_offers_anything_as_a_pdf(phone, relay):
    markup = "<img src=x onerror=document.title=1><b>bold</b>"
    page = b"<html><script>document.title = 'owned'</script></html>"
    ticket = Ticket(page, name="<b>.html", title=markup, total=markup, number=markup[:60])
    link = relay.keep(ticket, permit=relay.leave)

    phone.open(link.reveal()).wait("ready")

    assert phone.text("#title") == markup
    assert phone.text("#total") == markup
    assert phone.page.locator("#receipt b, #receipt [onerror]").count() == 0
    saved, name = phone.save()
    assert saved == page
    assert name.endswith(".pdf")


@pytest.mark.rule("T36")
def test_a_receipt_that_is_html_is_a_pdf_to_the_browser(phone, relay):
    phone.context.add_init_script(RECORD_TYPES)
    link = relay.keep(Ticket(b"<script>top.document.title = 'owned'</script>"), permit=relay.leave)

    phone.open(link.reveal()).wait("ready")

    assert phone.page.evaluate("window.blobTypes") == ["application/pdf"]


def test_shares_and_saves_in_the_same_words_in_french(screen, kept):
    phone = screen(Phone, locale="fr-FR")

    phone.open(kept.reveal()).wait("ready")

    assert phone.page.locator("html").get_attribute("lang") == "fr"
    assert phone.text("#save") != "Save PDF"


# The link


def test_takes_the_link_out_of_the_address_bar(phone, relay, kept):
    devtools = phone.context.new_cdp_session(phone.page)
    phone.open(kept.reveal()).wait("ready")

    entries = devtools.send("Page.getNavigationHistory")["entries"]
    assert phone.page.url == relay.origin + "/"
    assert phone.page.evaluate("location.href") == relay.origin + "/"
    assert [entry["url"] for entry in entries if entry["url"] != "about:blank"] == [
        relay.origin + "/"
    ]
    assert kept.digits() not in phone.page.content()


def test_takes_the_link_away_before_anything_else(phone, kept, cable):
    cable.hold("GET /v1/t/")
    phone.open(f"{cable.origin}/#{kept.digits()}").wait("opening")

    assert phone.page.url == cable.origin + "/"


def test_a_reload_and_a_way_back_find_the_receipt_again(phone, relay, kept):
    phone.open(kept.reveal()).wait("ready")

    phone.page.reload()
    assert phone.wait("ready")

    phone.page.goto("about:blank")
    phone.page.go_back()
    assert phone.wait("ready")
    assert phone.page.url == relay.origin + "/"


def test_a_second_receipt_in_the_same_tab_replaces_the_first(phone, relay, kept):
    other = relay.keep(Ticket(RECEIPT, title="Boulangerie"), permit=relay.leave)
    phone.open(kept.reveal()).wait("ready")

    phone.page.evaluate("fragment => { location.hash = fragment; }", other.digits())
    phone.page.wait_for_selector("#title:has-text('Boulangerie')")

    assert phone.page.url == relay.origin + "/"


# Damaged links (T9): nothing is sent


def other_digit(digits, at):
    return digits[:at] + str((int(digits[at]) + 1) % 10) + digits[at + 1 :]


@pytest.mark.rule("T9")
@pytest.mark.parametrize(
    "damage",
    [
        lambda digits: "/#" + other_digit(digits, 3),
        lambda digits: "/#" + other_digit(digits, 84),
        lambda digits: "/#" + digits + "7",
        lambda digits: "/#" + digits[:-1],
        lambda digits: "/#99999" + digits[5:],
        lambda digits: "/#x" + digits,
        lambda digits: "/%23" + digits,
        lambda digits: "/" + digits,
    ],
    ids=["digit", "check", "longer", "shorter", "group", "letter", "escaped", "path"],
)
def test_a_damaged_link_is_told_as_damaged_and_nothing_is_sent(phone, relay, kept, damage):
    phone.open(relay.origin + damage(kept.digits())).wait("damaged")

    assert "scan again" in phone.text("#heading").lower()
    assert [line for line in phone.fetched() if "/v1/" in line] == []
    assert relay.state(kept) == "stored"


@pytest.mark.rule("T9")
def test_a_pairing_link_is_damaged_too(phone, relay):
    with stage.Counter(relay.origin, permit=relay.leave) as counter:
        digits = counter.link(relay.origin).partition("#")[2]

    phone.open(f"{relay.origin}/#{digits}").wait("damaged")

    assert [line for line in phone.fetched() if "/v1/" in line] == []


@pytest.mark.rule("T6")
def test_what_a_scanner_appends_to_the_digits_is_ignored(phone, kept):
    phone.open(kept.reveal() + "&utm_source=scanner").wait("ready")


def test_an_empty_link_says_what_this_is(phone, relay):
    phone.open(relay.origin + "/").wait("about")

    assert phone.fetched() == ["GET /"]
    assert phone.visible("#privacy")


# Not there


def test_waits_for_a_ticket_that_is_still_on_its_way(phone, relay, ticket):
    link = Link(relay.origin, Secret.generate())
    phone.open(link.reveal()).wait("waiting")

    assert relay.upload(link, ticket, permit=relay.leave) == 201

    phone.wait("ready")


def test_stops_to_wait_after_a_minute_and_tries_again_when_asked_to(phone, relay, ticket):
    link = Link(relay.origin, Secret.generate())
    phone.page.clock.install()
    phone.open(link.reveal()).wait("waiting")

    def absent():
        phone.page.clock.run_for(1000)
        return phone.state == "absent"

    stage.wait_for(absent, "the end of the wait")
    tried = sum("/v1/" in line for line in phone.fetched())
    relay.upload(link, ticket, permit=relay.leave)
    phone.page.click("#retry")

    phone.wait("ready")
    assert 10 <= tried <= 40


def test_an_expired_ticket_is_told_as_expired(phone, relay, kept):
    relay.stop()
    relay.edit("UPDATE tickets SET expiry = expiry - 259200 WHERE id = ?", bytes_of(kept))
    relay.start()

    phone.open(kept.reveal()).wait("expired")

    assert "counter" in phone.text("#text")


def test_a_ticket_that_was_saved_and_deleted_is_told_as_received(phone, relay, kept):
    assert relay.mark(kept, "received") == 204
    relay.stop()
    relay.edit("UPDATE tickets SET expiry = expiry - 900 WHERE id = ?", bytes_of(kept))
    relay.start()

    phone.open(kept.reveal()).wait("received")


def test_a_revoked_ticket_is_told_as_revoked(phone, relay, kept):
    assert relay.mark(kept, "revoked") == 204

    phone.open(kept.reveal()).wait("revoked")


def bytes_of(link):
    return bytes.fromhex(link.secret.id)


# Tampered


@pytest.mark.parametrize(
    ("at", "code"),
    [(3, "version"), (20, "wrong-key"), (45, "aead"), (52, "aead"), (-1, "aead")],
)
def test_an_envelope_with_a_flipped_bit_is_told_as_tampered(phone, relay, kept, at, code):
    relay.stop()
    _, envelope = relay.look("SELECT id, envelope FROM tickets WHERE id = ?", bytes_of(kept))
    changed = bytearray(envelope)
    changed[at] ^= 1
    relay.edit("UPDATE tickets SET envelope = ? WHERE id = ?", bytes(changed), bytes_of(kept))
    relay.start()

    phone.open(kept.reveal()).wait("tampered")

    assert code in phone.text("#count")
    assert not phone.visible("#save")
    assert relay.state(kept) == "stored"


def test_what_a_till_has_sealed_wrongly_is_not_told_as_changed(phone, relay):
    link = Link(relay.origin, Secret.generate())
    envelope = seal_plaintext(bytes(16384 - OVERHEAD_SIZE), link.secret)
    path = f"/v1/t/{link.secret.id}"
    assert relay.request("PUT", path, envelope, Authorization=f"Bearer {relay.leave}")[0] == 201

    phone.open(link.reveal()).wait("faulty", "tampered")

    assert phone.text("#heading") == "Receipt cannot be read"
    assert phone.text("#text") == "The till did not make it right. Please ask at the counter."
    assert phone.text("#count") == "framing"


def test_another_tickets_envelope_is_told_as_tampered(phone, relay, kept, ticket):
    other = relay.keep(ticket, permit=relay.leave)
    relay.stop()
    _, envelope = relay.look("SELECT id, envelope FROM tickets WHERE id = ?", bytes_of(other))
    relay.edit("UPDATE tickets SET envelope = ? WHERE id = ?", envelope, bytes_of(kept))
    relay.start()

    phone.open(kept.reveal()).wait("tampered")

    assert "wrong-key" in phone.text("#count")


# Networks


def test_a_phone_without_network_waits_for_it(phone, kept, cable):
    held = cable.hold("GET /v1/t/")
    phone.open(f"{cable.origin}/#{kept.digits()}").wait("opening")
    assert held.met.wait(20)

    phone.context.set_offline(True)
    cable.cut()
    phone.wait("offline")

    held.release()
    phone.context.set_offline(False)
    phone.wait("ready")


def test_a_relay_that_is_away_is_waited_for(phone, relay, kept, cable):
    held = cable.hold("GET /v1/t/")
    phone.open(f"{cable.origin}/#{kept.digits()}").wait("opening")
    assert held.met.wait(20)

    relay.kill()
    held.release()
    phone.wait("away")

    assert phone.text("#text").startswith("127.0.0.1")

    relay.start()
    phone.wait("ready")


@pytest.mark.parametrize("portal", PORTALS)
def test_a_login_page_of_the_network_is_told_as_such(phone, kept, cable, portal):
    portal = cable.answer("GET /v1/", portal, times=10**6)
    phone.open(f"{cable.origin}/#{kept.digits()}").wait("portal")

    assert "wifi" in phone.text("#text")

    portal.release()
    phone.wait("ready")


@pytest.mark.parametrize("after", [0, 1, 51, 52, 16_384, 60_000, -1])
def test_a_download_that_breaks_off_is_tried_again(phone, relay, kept, cable, after):
    size = len(relay.request("GET", f"/v1/t/{kept.secret.id}")[1])
    cut = cable.cut_answer("GET /v1/t/", after % size)
    phone.open(f"{cable.origin}/#{kept.digits()}")

    phone.wait("ready")

    assert cut.met.is_set()
    assert cable.count("GET /v1/t/") == 2
    assert phone.save()[0] == RECEIPT


def test_a_relay_that_is_busy_is_asked_again(phone, kept, cable):
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
    cable.answer("GET /v1/t/", busy, times=1)
    phone.open(f"{cable.origin}/#{kept.digits()}").wait("waiting")

    phone.wait("ready")
