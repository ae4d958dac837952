"""The till looks at the ticket page as a phone would, and believes no other than the released."""

import asyncio
import gzip
import hashlib
import importlib.resources
import importlib.util
from pathlib import Path

import pytest
import stage
from aiohttp import web
from fakes import Clock, settle

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till import audit
from e2ee_ticket.till.audit import PageWatch, Verdict

DIST = importlib.resources.files("display_web") / "dist"
TICKET = (DIST / "ticket.html").read_bytes()
DISPLAY = (DIST / "display.html").read_bytes()
HTML = {"Content-Type": "text/html; charset=utf-8"}


def build_for(relay, page):
    """Build the pages as a host of their own does: by path."""
    file = Path(__file__).resolve().parents[3] / "display_web/build.py"
    spec = importlib.util.spec_from_file_location("build_pages", file)
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    pages = dict(builder.build_all(relay, page))
    return {"/": pages["ticket.html"], "/d": pages["display.html"]}


class Host:
    """Somebody's web server; `pages` may be changed at any time."""

    def __init__(self):
        self.pages = {"/": TICKET, "/d": DISPLAY}
        self.headers = dict(HTML)
        self.status = 200
        self.asked = []
        self.answer = None

    async def serve(self, request):
        self.asked.append(request)
        if self.answer is not None:
            return await self.answer(request)
        body = self.pages[request.path]
        return web.Response(body=body, status=self.status, headers=self.headers)


@pytest.fixture
async def host():
    host = Host()
    application = web.Application()
    application.router.add_get("/{path:.*}", host.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield host
    await runner.cleanup()


def meta(body, **values):
    for name, value in values.items():
        body = body.replace(
            f'<meta name="{name}" content="">'.encode(),
            f'<meta name="{name}" content="{value}">'.encode(),
        )
    return body


def sha256(body):
    return hashlib.sha256(body).hexdigest()


def test_the_released_sums_are_those_of_the_files():
    assert audit.released() == {"/": sha256(TICKET), "/d": sha256(DISPLAY)}


async def test_a_real_relays_pages_are_the_released_ones(tmp_path):
    relay = stage.Relay(tmp_path, "--open").start()
    try:
        verdict = await audit.audit(relay.origin, relay.origin)
    finally:
        relay.stop()

    assert verdict.ok, verdict
    assert dict(verdict.hashes) == audit.released()


async def test_it_looks_like_a_phone(host):
    await audit.audit(host.origin, host.origin)

    assert [request.path for request in host.asked] == ["/", "/d"]
    for request in host.asked:
        assert request.headers["User-Agent"].startswith("Mozilla/5.0 (")
        assert "Mobile" in request.headers["User-Agent"]
        assert "text/html" in request.headers["Accept"]
        assert "gzip" in request.headers["Accept-Encoding"]
        assert "aiohttp" not in str(request.headers)
        assert "Cookie" not in request.headers


async def test_a_page_that_was_built_for_a_relay_talks_to_it_alone_and_is_a_released_one(host):
    relay = "https://relay.example"
    host.pages = build_for(relay, host.origin)

    verdict = await audit.audit(host.origin, relay)

    assert verdict.ok, verdict
    assert dict(verdict.hashes) == audit.released()
    for page in host.pages.values():
        assert b"connect-src 'self' https://relay.example; img-src" in page


async def test_a_policy_that_names_somebody_else_than_the_relay_is_a_changed_page(host):
    relay = "https://relay.example"
    host.pages = build_for(relay, host.origin)
    host.pages["/"] = host.pages["/"].replace(
        b"connect-src 'self' https://relay.example;", b"connect-src 'self' https://evil.example;"
    )

    verdict = await audit.audit(host.origin, relay)

    assert verdict.state == "changed"


async def test_one_changed_byte_is_a_changed_page(host):
    host.pages["/"] = TICKET.replace(b"Receipt", b"receipt", 1)

    verdict = await audit.audit(host.origin, host.origin)

    assert verdict.state == "changed"
    assert "ticket page" in verdict.text
    assert verdict.hint


async def test_a_changed_display_page_is_one_too(host):
    host.pages["/d"] += b"<!-- -->"

    verdict = await audit.audit(host.origin, host.origin)

    assert (verdict.state, "display page" in verdict.text) == ("changed", True)


async def test_the_page_may_name_the_tills_own_relay(host):
    host.pages["/"] = meta(TICKET, relay="https://relay.example")
    host.pages["/d"] = meta(DISPLAY, relay="https://relay.example", page=host.origin)

    assert (await audit.audit(host.origin, "https://relay.example")).ok
    assert (await audit.audit(host.origin, None)).ok


async def test_the_page_may_not_name_another_relay(host):
    host.pages["/"] = meta(TICKET, relay="https://evil.example")

    verdict = await audit.audit(host.origin, host.origin)

    assert verdict.state == "changed"
    assert "another relay" in verdict.text
    assert "evil" not in verdict.text


async def test_a_page_that_names_no_relay_must_be_the_relays_own(host):
    verdict = await audit.audit(host.origin, "https://relay.example")

    assert verdict.state == "changed"
    assert "elsewhere" in verdict.text


async def test_the_display_page_may_not_name_another_page(host):
    host.pages["/d"] = meta(DISPLAY, page="https://evil.example")

    assert (await audit.audit(host.origin, host.origin)).state == "changed"


async def test_nothing_hides_in_the_two_attributes(host):
    host.pages["/"] = TICKET.replace(
        b'<meta name="relay" content="">', b'<meta name="relay" content=""><script>1</script>">'
    )

    assert (await audit.audit(host.origin, host.origin)).state == "changed"


async def test_a_page_of_ones_own_is_known_by_its_sum(host):
    host.pages["/"] = b"<p>our own</p>"

    assert (await audit.audit(host.origin, host.origin)).state == "changed"
    own = await audit.audit(host.origin, host.origin, [sha256(b"<p>our own</p>")])

    assert own.ok
    assert "page_hashes" in own.text


async def test_a_page_of_ones_own_may_be_named_with_its_attributes(host):
    page = b'<meta name="relay" content="https://relay.example"><p>our own</p>'
    host.pages["/"] = page

    assert (await audit.audit(host.origin, host.origin, [sha256(page)])).ok
    empty = sha256(page.replace(b"https://relay.example", b""))
    assert (await audit.audit(host.origin, host.origin, [empty])).state == "changed"


async def test_compressed_pages_are_read(host):
    host.pages = {path: gzip.compress(body) for path, body in host.pages.items()}
    host.headers["Content-Encoding"] = "gzip"

    assert (await audit.audit(host.origin, host.origin)).ok


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (gzip.compress(TICKET) + gzip.compress(b"<script>"), "changed"),
        (gzip.compress(bytes(50_000_000)), "changed"),
        (gzip.compress(TICKET)[:-20], "unreachable"),
        (b"not gzip at all", "unreachable"),
    ],
)
async def test_hostile_compression_is_no_way_in(host, body, state):
    host.pages["/"] = body
    host.headers["Content-Encoding"] = "gzip"

    assert (await audit.audit(host.origin, host.origin)).state == state


@pytest.mark.parametrize(
    "headers",
    [
        {"Refresh": "0; url=https://evil.example"},
        {"Content-Type": "text/html; charset=iso-2022-jp"},
        {"Content-Type": "text/plain"},
    ],
)
async def test_headers_that_change_what_the_phone_does_are_a_change(host, headers):
    host.headers |= headers

    assert (await audit.audit(host.origin, host.origin)).state == "changed"


async def test_a_redirect_to_another_origin_is_a_change(host):
    async def lead_away(_):
        raise web.HTTPFound("https://evil.example/")

    host.answer = lead_away

    verdict = await audit.audit(host.origin, host.origin)

    assert (verdict.state, "another address" in verdict.text) == ("changed", True)


async def test_a_redirect_within_the_origin_is_followed_but_not_for_ever(host):
    async def lead_on(request):
        if request.path == "/":
            raise web.HTTPMovedPermanently("/index.html")
        body = DISPLAY if request.path == "/d" else TICKET
        return web.Response(body=body, headers=HTML)

    host.answer = lead_on
    assert (await audit.audit(host.origin, host.origin)).ok

    async def lead_round(_):
        raise web.HTTPFound("/")

    host.answer = lead_round
    assert (await audit.audit(host.origin, host.origin)).state == "unreachable"


async def test_a_plain_error_page_is_no_change_but_one_with_a_script_is(host):
    host.status = 502
    host.pages["/"] = b"<h1>502 Bad Gateway</h1>"
    assert (await audit.audit(host.origin, host.origin)).state == "unreachable"

    host.pages["/"] = b"<h1>502</h1><script>steal(location.hash)</script>"
    assert (await audit.audit(host.origin, host.origin)).state == "changed"


async def test_nobody_there_is_unreachable():
    verdict = await audit.audit(f"http://127.0.0.1:{stage.free_port()}", None)

    assert verdict.state == "unreachable"
    assert verdict.hint


async def test_a_host_that_breaks_off_or_invents_a_coding_is_unreachable(host):
    async def break_off(request):
        request.transport.close()
        return web.Response()

    host.answer = break_off
    assert (await audit.audit(host.origin, None)).state == "unreachable"

    host.answer = None
    host.headers["Content-Encoding"] = "br"
    assert (await audit.audit(host.origin, None)).state == "unreachable"


async def test_something_without_a_script_that_is_far_too_long_is_a_change(host):
    host.pages["/"] = b"x" * (audit.MAX_SIZE + 1)

    assert (await audit.audit(host.origin, None)).state == "changed"


async def test_a_host_that_never_ends_is_unreachable_in_time(host):
    async def drip(request):
        response = web.StreamResponse(headers=HTML)
        await response.prepare(request)
        await response.write(b"<")
        await asyncio.Event().wait()

    host.answer = drip

    assert (await audit.audit(host.origin, None, seconds=0.3)).state == "unreachable"


async def test_an_address_that_is_no_origin_is_refused():
    with pytest.raises(ConfigError, match="https://host"):
        await audit.audit("https://page.example/path", None)


# The watch


class Looking:
    """Says what it is told to have found; `waits` are the means it was asked to draw from."""

    def __init__(self, *states, chance=1.0):
        self.chance = chance
        self.states = list(states)
        self.means = []
        self.told = []
        self.cheap = []
        self.clock = Clock()

    def watch(self):
        async def look(*_, **options):
            self.cheap.append("known" in options)
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return Verdict(state, f"it is {state}")

        def expovariate(rate):
            self.means.append(1 / rate)
            return 1 / rate

        return PageWatch(
            "https://page.example", "https://relay.example",
            clock=self.clock, changed=self.told.append, look=look, expovariate=expovariate,
            chance=lambda: self.chance,
        )  # fmt: skip


async def test_before_the_first_look_no_code_is_shown():
    watch = Looking("ok").watch()

    assert (watch.state, watch.may_show().ok, watch.checked_at) == ("unknown", False, None)


async def test_it_looks_at_once_and_again_at_random_times():
    looking = Looking("ok", "changed", "ok")
    watch = looking.watch()
    running = asyncio.create_task(watch.run())
    await settle()
    assert watch.may_show().ok
    assert watch.checked_at == looking.clock.now()

    await looking.clock.advance(audit.MEAN_SECONDS)
    assert not watch.may_show().ok

    await looking.clock.advance(audit.AGAIN_FIRST_SECONDS)
    assert watch.may_show().ok
    running.cancel()

    assert looking.means == pytest.approx([1200, 1200])
    assert [verdict.state for verdict in looking.told] == ["ok", "changed", "ok"]


async def test_while_no_code_may_be_shown_it_looks_soon_and_often():
    looking = Looking("unreachable")
    watch = looking.watch()
    running = asyncio.create_task(watch.run())
    await looking.clock.advance(2 + 4 + 8 + 15 + 15)
    assert len(looking.cheap) == 6

    looking.states = ["ok", "unreachable"]
    await looking.clock.advance(15)
    assert watch.may_show().ok
    running.cancel()


async def test_a_page_that_changes_between_sales_is_found_within_a_minute_of_one():
    looking = Looking("ok", "ok", "changed")
    watch = looking.watch()
    running = asyncio.create_task(watch.run())
    await looking.clock.advance(300)
    watch.sold()
    await settle()
    assert looking.cheap == [False, True]  # the last look is long ago: now

    watch.sold()
    await looking.clock.advance(audit.BESIDE_SECONDS - 1)
    assert watch.may_show().ok
    await looking.clock.advance(2)

    assert not watch.may_show().ok
    running.cancel()


async def test_now_and_then_a_look_beside_a_sale_believes_no_host_that_nothing_has_changed():
    looking = Looking("ok", chance=0.2)
    watch = looking.watch()
    running = asyncio.create_task(watch.run())
    await looking.clock.advance(300)
    watch.sold()
    await settle()
    running.cancel()

    assert looking.cheap == [False, False]


async def test_many_sales_cost_one_look_in_half_a_minute():
    looking = Looking("ok")
    watch = looking.watch()
    running = asyncio.create_task(watch.run())
    for _ in range(100):
        await looking.clock.advance(1)
        watch.sold()
    running.cancel()

    assert len(looking.cheap) == 4


async def test_a_page_that_was_right_is_asked_for_with_its_etag_and_costs_nothing(host):
    async def serve(request):
        tag = f'"{len(host.pages[request.path])}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return web.Response(body=host.pages[request.path], headers=HTML | {"ETag": tag})

    host.answer = serve
    known = {}
    first = await audit.audit(host.origin, host.origin, known=known)
    second = await audit.audit(host.origin, host.origin, known=known)

    assert first.ok
    assert second == first
    assert [("If-None-Match" in request.headers) for request in host.asked] == [
        False, False, True, True,
    ]  # fmt: skip
    host.pages["/"] += b"<!-- -->"
    assert (await audit.audit(host.origin, host.origin, known=known)).state == "changed"


async def test_that_nothing_has_changed_is_believed_of_nothing_that_was_not_right(host):
    async def serve(_request):
        return web.Response(status=304)

    host.answer = serve

    assert (await audit.audit(host.origin, host.origin, known={})).state != "ok"
    assert (await audit.audit(host.origin, host.origin)).state != "ok"


async def test_a_good_result_stands_for_an_hour_while_the_page_cannot_be_reached():
    looking = Looking("ok", "unreachable")
    watch = looking.watch()
    await watch.check()
    await watch.check()
    assert (watch.state, watch.may_show().ok) == ("unreachable", True)

    await looking.clock.advance(audit.STANDS_SECONDS)

    assert not watch.may_show().ok


async def test_a_changed_page_does_not_become_good_by_going_away():
    looking = Looking("ok", "changed", "unreachable")
    watch = looking.watch()
    for _ in range(3):
        await watch.check()

    assert not watch.may_show().ok


async def test_an_installation_without_pages_shows_no_code_and_says_why():
    async def look(*_):
        raise ConfigError("no pages here; install it again")

    watch = PageWatch("https://page.example", "https://relay.example", look=look)
    verdict = await watch.check()

    assert (verdict.state, verdict.ok) == ("unknown", False)
    assert (verdict.text, verdict.hint) == ("no pages here", "install it again")
