"""What the phone says when somebody or something on the way answers instead of the relay.

Whatever comes, a receipt is shown only if all of it came, and the page finds the receipt by itself
once the way is free again. A relay that dies in the middle of a sale: tests/chaos.
"""

import base64
import contextlib
import gzip
import json

import pytest
import stage
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from screens import picture

from e2ee_ticket import Ticket

pytestmark = pytest.mark.browser

RECEIPT = b"%PDF-1.7\n" + bytes(range(256)) * 64 + b"\n%%EOF\n"
GET = "GET /v1/t/"
INFO = "GET /v1/info"
BACK_ONLINE = "window.dispatchEvent(new Event('online'))"  # rather than wait for the next try
LOGIN = b"<!doctype html><title>Hotel</title><form><button>Accept our terms</button></form>"
BINARY = "application/octet-stream"

# Every request ends at once with what the test says, and no second goes by: so a page can be given
# tens of thousands of answers.
ANSWER_EVERYTHING = """
(() => {
  const encoded = ENVELOPE;
  const envelope = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const next = {bytes: 0};
  XMLHttpRequest.prototype.send = function () {
    const answer = {readyState: 4, status: next.posted ? 204 : 200,
      response: envelope.slice(0, next.bytes).buffer};
    for (const name of Object.keys(answer)) {
      Object.defineProperty(this, name, {value: answer[name]});
    }
    queueMicrotask(() => {
      this.dispatchEvent(new ProgressEvent('load'));
      this.dispatchEvent(new ProgressEvent('loadend'));
    });
  };
  window.cutAt = async (from, to) => {
    const told = {};
    for (next.bytes = from; next.bytes < to; next.bytes++) {
      document.getElementById('retry').click();
      for (let turns = 0; turns < 4; turns++) await null;
      const state = document.documentElement.getAttribute('data-state');
      (told[state] = told[state] || []).push(next.bytes);
    }
    return told;
  };
})();
"""


@pytest.fixture(scope="module")
def ticket():
    return Ticket(RECEIPT, name="Ticket 7.pdf", title="Boulangerie", preview=picture(100, 160))


@pytest.fixture
def kept(relay, ticket):
    return relay.keep(ticket, permit=relay.leave)


@pytest.fixture
def envelope(relay, kept):
    status, body = relay.request("GET", f"/v1/t/{kept.secret.id}")
    assert status == 200
    return body


def http(status, body=b"", kind=BINARY, length=None, **headers):
    """Write an answer as it goes over the line."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}"]
    if length != "none":
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def chunked(body):
    """The envelope in chunks, of which the last never comes."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"%x\r\n" % len(body) + body + b"\r\n"


PORTAL = {
    "a login page": lambda _: http(200, LOGIN, "text/html"),
    "a login page in the envelope's type": lambda _: http(200, LOGIN),
    "a login page with gzip": lambda _: http(
        200, gzip.compress(LOGIN), "text/html", Content_Encoding="gzip"
    ),
    "a login page with 511": lambda _: http(511, LOGIN, "text/html"),
    "a login page with 403": lambda _: http(403, LOGIN, "text/html"),
    "a login page with 404": lambda _: http(404, LOGIN, "text/html"),
    "a login page as long as an envelope": lambda _: http(
        200, LOGIN.ljust(16 * 1024), "text/html; charset=utf-8"
    ),
    "a way to a login page": lambda _: http(302, Location="/selftest.html"),
    "an empty answer": lambda _: http(200),
    "gzip that is not told": lambda envelope: http(200, gzip.compress(envelope)),
}
AWAY = {
    "a way round in a circle": lambda _: http(302, Location="?"),
    "no content": lambda _: http(204),
    "not modified": lambda _: http(304),
    "a part of it": lambda envelope: http(206, envelope[:5000]),
    "a gateway's error": lambda _: http(502, b"<h1>Bad Gateway</h1>", "text/html"),
    "a length too long": lambda envelope: http(200, envelope, length=len(envelope) + 1),
    "a length too short": lambda envelope: http(200, envelope, length=len(envelope) - 1),
    "two lengths": lambda envelope: http(200, envelope, Content_length="7"),
    "one byte more": lambda envelope: http(200, envelope + b"\n"),
    "an end too early without a length": lambda envelope: http(200, envelope[:-1], length="none"),
    "chunks without an end": chunked,
    "garbage instead of gzip": lambda envelope: http(200, envelope, Content_Encoding="gzip"),
    "gzip cut short": lambda envelope: http(
        200, gzip.compress(envelope)[:-400], Content_Encoding="gzip"
    ),
    "a text in UTF-8": lambda envelope: http(
        200, envelope.decode("latin-1").encode(), "text/plain; charset=utf-8"
    ),
    "no HTTP": lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01" * 40,
    "nothing at all": lambda _: b"",
}
HARMLESS = {
    "another type": lambda envelope: http(200, envelope, "text/html; charset=utf-8"),
    "a length that is no number": lambda envelope: http(200, envelope, length="twelve"),
    "no length": lambda envelope: http(200, envelope, length="none"),
    "gzip on the way": lambda envelope: http(200, gzip.compress(envelope), Content_Encoding="gzip"),
    "a cache that promises years": lambda envelope: http(
        200, envelope, Cache_Control="public, max-age=31536000"
    ),
    "a cookie": lambda envelope: http(200, envelope, Set_Cookie="a=b"),
}


def open_phone(phone, cable, kept):
    return phone.open(f"{cable.origin}/#{kept.digits()}")


@pytest.mark.parametrize(
    "told",
    [("portal", answer) for answer in PORTAL.values()]
    + [("away", answer) for answer in AWAY.values()],
    ids=[*PORTAL, *AWAY],
)
def test_what_is_no_envelope_is_told_as_what_it_is(phone, cable, kept, envelope, told):
    state, answer = told
    faults = [cable.answer(GET, answer(envelope), times=10**6)]
    if state == "portal":  # such a network answers for everybody
        faults.append(cable.answer(INFO, answer(envelope), times=10**6))
    open_phone(phone, cable, kept).wait("portal", "away")
    assert phone.state == state

    for fault in faults:
        fault.release()
    phone.page.evaluate(BACK_ONLINE)

    phone.wait("ready")
    assert phone.save()[0] == RECEIPT
    assert phone.story()[-2:] == [state, "ready"]
    assert set(phone.story()) <= {"opening", state, "ready"}


@pytest.mark.parametrize(
    "told",
    [(404, "waiting"), (410, "expired"), (200, "away"), (403, "away"), (429, "waiting")],
)
@pytest.mark.parametrize("kind", ["text/html", BINARY, "text/plain"])
def test_a_page_of_a_proxys_own_is_no_login(phone, cable, kept, told, kind):
    """The relay is there and says so: what it said of the ticket, a proxy has written anew."""
    status, state = told
    cable.answer(GET, http(status, b"<h1>Sorry</h1>", kind), times=10**6)

    open_phone(phone, cable, kept).wait("portal", "waiting", "expired", "away")

    assert phone.state == state


@pytest.mark.parametrize(
    "told",
    [
        (404, b'{"error": "absent"}', "waiting"),
        (410, b'{"error": "gone", "reason": "revoked"}', "revoked"),
    ],
)
def test_the_relays_own_word_counts_whatever_type_a_proxy_gives_it(phone, cable, kept, told):
    status, body, state = told
    cable.answer(GET, http(status, body, "text/html"), times=10**6)

    open_phone(phone, cable, kept).wait(state)

    assert cable.count(INFO) == 0


@pytest.mark.parametrize("answer", HARMLESS.values(), ids=HARMLESS)
def test_what_changes_no_byte_does_no_harm(phone, cable, kept, envelope, answer):
    cable.answer(GET, answer(envelope))
    open_phone(phone, cable, kept).wait("ready")

    assert phone.save()[0] == RECEIPT
    assert cable.count(GET) == 1


def test_a_way_to_another_host_is_not_taken(phone, cable, kept):
    """The login page of a network lies on a host of its own; the policy keeps the page from it."""
    login = http(302, Location=f"http://localhost:{cable.port}/login")
    fault = cable.answer(GET, login, times=10**6)
    open_phone(phone, cable, kept).wait("away", "portal")

    assert cable.count("GET /login") == 0
    assert any("Content Security Policy" in complaint for complaint in phone.complaints)
    phone.complaints.clear()
    fault.release()
    phone.wait("ready")


def test_a_download_that_drips_is_waited_for(phone, cable, kept, envelope):
    answer = http(200, envelope)
    cable.drip(GET, answer, size=len(answer) // 30)
    open_phone(phone, cable, kept).wait("ready")

    assert cable.count(GET) == 1
    assert phone.story()[-2:] == ["opening", "ready"]
    assert phone.save()[0] == RECEIPT


@pytest.mark.parametrize("after", [0, 20, 9000])
def test_a_download_that_falls_silent_is_begun_anew(phone, cable, kept, envelope, after):
    phone.page.clock.install()
    fault = cable.drip(GET, http(200, envelope), size=4096, stop_after=after)
    open_phone(phone, cable, kept).wait("opening")
    assert fault.met.wait(20)

    def gave_up():
        phone.page.clock.run_for(1000)
        return phone.state == "ready"

    stage.wait_for(gave_up, "the receipt")
    assert "away" in phone.states
    assert cable.count(GET) == 2
    assert phone.save()[0] == RECEIPT


# Cut


def test_no_beginning_of_an_envelope_is_taken_for_a_receipt(phone, cable, kept, envelope):
    """Every byte position, as a proxy that counts anew would end it: 200, and a fitting length."""
    assert len(envelope) == 24 * 1024
    script = ANSWER_EVERYTHING.replace("ENVELOPE", json.dumps(base64.b64encode(envelope).decode()))
    phone.context.add_init_script(script)
    open_phone(phone, cable, kept).wait("away", "portal")

    told = phone.page.evaluate("size => cutAt(0, size)", len(envelope))
    whole = phone.page.evaluate("size => cutAt(size, size + 1)", len(envelope))

    # 16 KiB is an envelope's length too: there the cipher itself refuses what is cut.
    assert told.pop("tampered") == [16 * 1024]
    assert told.pop("portal") == list(range(8))  # less than what it begins with
    assert told == {"away": [at for at in range(8, len(envelope)) if at != 16 * 1024]}
    assert whole == {"ready": [len(envelope)]}


@pytest.mark.parametrize("step", [997, pytest.param(1, marks=pytest.mark.soak)])
def test_a_line_that_breaks_anywhere_is_mended(phone, cable, kept, envelope, step):
    positions = range(0, len(envelope), step)
    for at in positions:
        cable.cut_answer(GET, at)
    open_phone(phone, cable, kept)

    # The page tries again by itself, too: nobody knows whose try the next one is.
    while phone.wait("away", "portal", "ready") != "ready":
        tries = cable.count(GET)
        with contextlib.suppress(PlaywrightTimeoutError):
            phone.page.click("#retry", timeout=500)
        stage.wait_for(lambda tries=tries: cable.count(GET) > tries, "the next try")

    assert cable.count(GET) == len(positions) + 1
    assert phone.save()[0] == RECEIPT
