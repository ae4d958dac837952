"""The LAN display's server: what it serves, what it passes on, and what it refuses."""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import json
import logging
import re
from importlib.resources import files
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from fakes import Clock

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.protocol.channel import PairingSecret, WriteToken
from e2ee_ticket.till import lan_pages
from e2ee_ticket.till.config import LanConfig
from e2ee_ticket.till.displays import Pairing
from e2ee_ticket.till.lan import RISK, LanDisplay, LanPairingLink, Limits

PAGE = "https://page.example"
RELEASED = Path(str(files("display_web") / "dist" / "display.html")).read_bytes()
SEALED = bytes(range(256)) * 2
PROBLEM = (
    b'{"type": "urn:e2ee-ticket:channel-gone", "title": "The channel was unpaired", "status": 410}'
)


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what it waits for knows no events
            await asyncio.sleep(0.005)


class Upstream:
    """A relay that answers as it is told, and counts who waits."""

    def __init__(self):
        self.seen = []
        self.waiting = 0
        self.reply = {"body": SEALED, "content_type": "application/octet-stream"}
        self.info = {"body": b'{"version": 1}', "content_type": "application/json"}
        self.go = asyncio.Event()
        self.go.set()

    async def answer(self, request):
        body = await request.read()
        self.seen.append((request.method, request.raw_path, dict(request.headers), body))
        self.waiting += 1
        try:
            await self.go.wait()
        finally:
            self.waiting -= 1
        return web.Response(**(self.info if request.method == "GET" else self.reply))

    @contextlib.asynccontextmanager
    async def serve(self):
        server = web.Server(self.answer, handler_cancellation=True)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            self.go.set()
            await runner.cleanup()


class Scene:
    def __init__(self, upstream, clock, session):
        self.upstream, self.clock, self.session = upstream, clock, session
        self.pairing = Pairing("Till 1", PairingSecret.generate(), WriteToken.generate())
        self.paired = [self.pairing]
        self.reports = []

    def make(self, listen="127.0.0.1:0", host=None, relay=None, **options):
        return LanDisplay(
            LanConfig(listen, host),
            relay=relay or self.upstream.origin,
            page=PAGE,
            pairings=lambda: list(self.paired),
            clock=self.clock,
            report=self.reports.append,
            **options,
        )

    @contextlib.asynccontextmanager
    async def serve(self, **options):
        async with self.make(**options) as lan:
            self.origin = f"http://127.0.0.1:{lan.served_at[0][1]}"
            yield lan

    def get(self, path, **headers):
        return self.call("GET", path, headers=headers)

    async def call(self, method, path, **options):
        async with self.session.request(
            method, self.origin + path, allow_redirects=False, **options
        ) as answer:
            return answer.status, answer.headers, await answer.read()

    def body(self, pairing=None, fill=b"h"):
        return (pairing or self.pairing).secret.read_token() + fill * 80

    def path(self, pairing=None):
        return f"/v1/c/{(pairing or self.pairing).secret.cid}/hello"

    def hello(self, pairing=None, body=None, **headers):
        return self.call(
            "POST", self.path(pairing), data=body or self.body(pairing), headers=headers
        )

    async def raw(self, text):
        """Send bytes on a connection of their own; return all that comes back."""
        host, port = self.origin.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(text)
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
async def scene():
    async with (
        Upstream().serve() as upstream,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        yield Scene(upstream, Clock(), session)


# The page


async def test_serves_the_released_page_with_the_page_host_filled_in(scene):
    async with scene.serve():
        status, headers, body = await scene.get("/d", **{"Accept-Encoding": "identity"})

    empty = body.replace(f'content="{PAGE}"'.encode(), b'content=""')
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert body.count(f'<meta name="page" content="{PAGE}">'.encode()) == 1
    assert body.count(b'<meta name="relay" content="">') == 1
    assert empty == RELEASED


async def test_the_policy_still_names_the_script_and_the_style_of_the_page(scene):
    async with scene.serve():
        _, _, body = await scene.get("/d")

    text = gzip.decompress(body).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    for element in ("script", "style"):
        inside = re.search(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}' 'unsafe-inline';" in policy


async def test_the_page_is_sent_with_the_headers_of_a_relays_pages(scene):
    from relay_server import pages

    expected = dict(
        line.split(": ", 1)
        for line in pages._HEADERS.decode().strip().split("\r\n")
        if not line.startswith("Cross-Origin-Opener-Policy")
    )
    async with scene.serve():
        _, headers, _ = await scene.get("/d")

    assert {name: headers[name] for name in expected} == expected
    assert "Set-Cookie" not in headers
    assert "aiohttp" not in str(headers)


async def test_a_page_that_the_tablet_has_is_not_sent_again(scene):
    async with scene.serve():
        _, headers, zipped = await scene.get("/d", **{"Accept-Encoding": "gzip, deflate"})
        status, _, body = await scene.get(
            "/d", **{"Accept-Encoding": "gzip, deflate", "If-None-Match": headers["ETag"]}
        )
        _, plain_headers, plain = await scene.get("/d", **{"Accept-Encoding": "gzip;q=0"})

    assert (status, body) == (304, b"")
    assert gzip.decompress(zipped) == plain
    assert plain_headers["ETag"] != headers["ETag"]


async def test_the_address_alone_leads_to_the_page(scene):
    async with scene.serve():
        status, headers, _ = await scene.get("/")

    assert (status, headers["Location"]) == (302, "/d")


async def test_everything_else_is_not_there(scene):
    async with scene.serve(lang="de-AT"):
        for path in ("/d/", "/x", "/p/", "/p/ABC", "/p/ABCDE", "/selftest.html", "/d%2f..", "//d"):
            status, headers, body = await scene.get(path)

            assert status == 404, path
            assert "Hier ist nichts" in body.decode()
            assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert (await scene.call("POST", "/d"))[0] == 405
    assert scene.upstream.seen == []


@pytest.mark.parametrize("page", ["https://x/y", "http://page.example", 'https://x">', ""])
def test_a_page_that_is_no_origin_is_refused(page):
    with pytest.raises(ConfigError, match="origin"):
        lan_pages.display_page(page)


def test_the_small_pages_are_in_every_language():
    words = lan_pages._WORDS

    assert set(words) >= {"en", "fr", "de", "it", "es"}
    for language, texts in words.items():
        assert texts.keys() == words["en"].keys(), language
        assert all(text.strip() for text in texts.values()), language
    assert "lang" not in lan_pages._words("xx")
    assert '<html lang="en">' in lan_pages.over("xx")[0]


# What is passed on


async def test_a_hello_goes_to_the_relay_and_its_answer_comes_back_byte_for_byte(scene):
    async with scene.serve():
        status, headers, body = await scene.hello()

    method, path, sent, carried = scene.upstream.seen[0]
    assert (method, path, carried) == ("POST", scene.path(), scene.body())
    assert (status, body) == (200, SEALED)
    assert headers["Content-Type"] == "application/octet-stream"
    assert "no-store" in headers["Cache-Control"]
    assert "Access-Control-Allow-Origin" not in headers
    assert not {"User-Agent", "Cookie", "Origin", "Referer", "X-Forwarded-For"} & set(sent)


@pytest.mark.parametrize(
    ("reply", "status", "more"),
    [
        ({"status": 204}, 204, {}),
        ({"status": 410, "body": PROBLEM, "content_type": "application/problem+json"}, 410, {}),
        (
            {"status": 429, "body": PROBLEM, "headers": {"Retry-After": "7"},
             "content_type": "application/problem+json"},
            429,
            {"Retry-After": "7"},
        ),
        ({"status": 503, "body": PROBLEM, "content_type": "application/problem+json"}, 503, {}),
    ],
    ids=["nothing-new", "unpaired", "too-often", "overloaded"],
)  # fmt: skip
async def test_what_else_the_relay_says_is_passed_on_too(scene, reply, status, more):
    scene.upstream.reply = reply
    async with scene.serve():
        answer = await scene.hello()

    assert answer[0] == status
    assert answer[2] == reply.get("body", b"")
    assert {name: answer[1][name] for name in more} == more


@pytest.mark.parametrize(
    "reply",
    [
        {"status": 200, "body": b"<html>login</html>", "content_type": "text/html"},
        {"status": 302, "headers": {"Location": "http://login.example/"}},
        {"status": 200, "body": b"x" * 513, "content_type": "application/octet-stream"},
        {"status": 404, "body": b"<script>alert(1)</script>", "content_type": "text/html"},
        {"status": 200, "body": b"x" * 10_000_000, "content_type": "application/octet-stream"},
        {"status": 500, "body": b"", "content_type": "text/plain"},
    ],
    ids=["login-page", "redirect", "another-length", "html", "huge", "proxy"],
)
async def test_what_is_no_relays_answer_is_not_passed_on(scene, reply):
    scene.upstream.reply = reply
    async with scene.serve():
        status, headers, body = await scene.hello()

    assert status == 502
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["status"] == 502


async def test_a_relay_that_is_away_is_told_at_once(scene):
    async with scene.serve(relay="http://127.0.0.1:9"):
        assert (await scene.hello())[0] == 502
        assert (await scene.get("/v1/info"))[0] == 502


@pytest.mark.rule("R92")
async def test_a_tablet_that_leaves_takes_its_hello_away_from_the_relay(scene):
    scene.upstream.go.clear()
    async with scene.serve() as lan:
        asking = asyncio.create_task(scene.hello())
        await until(lambda: scene.upstream.waiting == 1)

        asking.cancel()
        await until(lambda: scene.upstream.waiting == 0)

        await until(lambda: lan.waiting == 0)


async def test_stopping_lets_waiting_tablets_and_the_relay_go(scene):
    scene.upstream.go.clear()
    async with scene.serve():
        asking = asyncio.create_task(scene.hello())
        await until(lambda: scene.upstream.waiting == 1)

    with pytest.raises(aiohttp.ClientError):
        await asking
    await until(lambda: scene.upstream.waiting == 0)


async def test_only_this_tills_displays_are_passed_on(scene):
    stranger = Pairing("Other", PairingSecret.generate(), WriteToken.generate())
    async with scene.serve():
        status, _, body = await scene.hello(stranger)

    assert (status, json.loads(body)["type"]) == (404, "urn:e2ee-ticket:channel-absent")
    assert scene.upstream.seen == []


async def test_a_wrong_token_does_not_reach_the_relay(scene):
    async with scene.serve():
        status, _, body = await scene.hello(body=bytes(112))

    assert (status, json.loads(body)["type"]) == (403, "urn:e2ee-ticket:token")
    assert scene.upstream.seen == []


async def test_a_display_that_is_paired_meanwhile_is_known_a_second_later(scene):
    new = Pairing("New", PairingSecret.generate(), WriteToken.generate())
    async with scene.serve():
        assert (await scene.hello(new))[0] == 404
        scene.paired.append(new)
        assert (await scene.hello(new))[0] == 404

        await scene.clock.advance(1)

        assert (await scene.hello(new))[0] == 200


async def test_a_display_that_was_unpaired_hears_it_from_the_relay(scene):
    async with scene.serve():
        await scene.hello()
        scene.paired.clear()
        scene.upstream.reply = {
            "status": 410, "body": PROBLEM, "content_type": "application/problem+json"
        }  # fmt: skip

        assert (await scene.hello())[0] == 410


async def test_displays_that_cannot_be_read_stop_nobody_who_is_known(scene, caplog):
    def damaged():
        raise ConfigError("displays.json is damaged")

    async with scene.serve() as lan:
        await scene.hello()
        lan._pairings = damaged
        await scene.clock.advance(2)
        stranger = Pairing("Other", PairingSecret.generate(), WriteToken.generate())

        assert (await scene.hello(stranger))[0] == 404
        assert (await scene.hello())[0] == 200
    assert "displays.json is damaged" in caplog.text


@pytest.mark.parametrize(
    ("request_line", "headers", "body", "status"),
    [
        ("GET {path}", "", b"", 405),
        ("POST {path}", "", b"", 411),
        ("POST {path}", "Content-Length: 113\r\n", b"x" * 113, 400),
        ("POST {path}", "Content-Length: 111\r\n", b"x" * 111, 400),
        ("POST {path}", "Content-Length: 99999999999\r\n", b"x", 400),
        ("POST {path}", "Transfer-Encoding: chunked\r\n", b"70\r\n" + b"x" * 112, 411),
        ("POST /v1/c/zz/hello", "Content-Length: 112\r\n", b"x" * 112, 404),
        ("PUT /v1/c/00112233445566778899aabbccddeeff", "Content-Length: 0\r\n", b"", 404),
        ("GET /v1/t/00112233445566778899aabbccddeeff", "", b"", 404),
        ("POST /v1/info", "Content-Length: 0\r\n", b"", 405),
    ],
)
async def test_any_other_request_is_refused_here(scene, request_line, headers, body, status):
    async with scene.serve():
        host = scene.origin.removeprefix("http://")
        line = request_line.format(path=scene.path())
        head = f"{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        answer = await scene.raw(head.encode() + body)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert scene.upstream.seen == []


async def test_the_relays_own_words_are_asked_for_once_in_five_seconds(scene):
    async with scene.serve():
        for _ in range(3):
            status, headers, body = await scene.get("/v1/info")
        asked = len(scene.upstream.seen)
        await scene.clock.advance(5)
        await scene.get("/v1/info")

    assert (status, body) == (200, b'{"version": 1}')
    assert headers["Content-Type"] == "application/json"
    assert (asked, len(scene.upstream.seen)) == (1, 2)


# Short addresses


def code_of(address):
    return re.fullmatch(r"http://[^/]+/p/([0-9A-Z]{4})", address)[1]


async def test_a_short_address_leads_to_the_pairing_link_once(scene):
    async with scene.serve(lang="fr") as lan:
        address = lan.new_short_address(scene.pairing)
        assert address.startswith(scene.origin + "/p/")
        status, headers, body = await scene.get("/p/" + code_of(address).lower())
        again, _, over = await scene.get("/p/" + code_of(address))

    digits = LanPairingLink(PAGE, scene.pairing.secret).digits()
    text = body.decode()
    assert status == 200
    assert text.count(f"/d#{digits}") == 2
    assert f'<meta http-equiv="refresh" content="0; url=/d#{digits}">' in text
    assert "no-store" in headers["Cache-Control"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert again == 404
    assert "deux minutes" in over.decode()
    assert digits not in over.decode()


async def test_a_short_address_is_over_after_two_minutes(scene):
    async with scene.serve() as lan:
        code = code_of(lan.new_short_address(scene.pairing))
        await scene.clock.advance(121)

        assert (await scene.get("/p/" + code))[0] == 404


async def test_a_browser_that_only_looks_ahead_does_not_use_it_up(scene):
    async with scene.serve() as lan:
        path = "/p/" + code_of(lan.new_short_address(scene.pairing))

        assert (await scene.get(path, **{"Sec-Purpose": "prefetch;prerender"}))[0] == 503
        assert (await scene.get(path, Purpose="prefetch"))[0] == 503
        assert (await scene.call("HEAD", path))[0] == 503
        assert (await scene.get(path))[0] == 200


async def test_whoever_guesses_waits_even_with_the_right_one(scene):
    async with scene.serve() as lan:
        code = code_of(lan.new_short_address(scene.pairing))
        other = "0000" if code != "0000" else "1111"
        for _ in range(5):
            assert (await scene.get("/p/" + other))[0] == 404
        status, headers, body = await scene.get("/p/" + code)
        await scene.clock.advance(60)

        assert status == 429
        assert 0 < int(headers["Retry-After"]) <= 61
        assert b"wait" in body.lower()
        assert (await scene.get("/p/" + code))[0] == 200


async def test_the_link_for_a_tablets_camera_leads_here(scene):
    async with scene.serve() as lan:
        link = lan.link(scene.pairing)

    assert link.prefix == scene.origin + "/d#"
    assert link.reveal() == scene.origin + "/d#" + link.digits()
    assert link.digits() not in repr(link)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("till.lan", "http://till.lan:8423"),
        ("192.168.1.10", "http://192.168.1.10:8423"),
        ("till.lan:80", "http://till.lan:80"),
        ("[fd00::1]", "http://[fd00::1]:8423"),
    ],
)
async def test_the_owner_says_how_tablets_call_this_computer(scene, host, origin):
    assert scene.make("0.0.0.0:8423", host=host).origins() == (origin,)


async def test_a_host_that_is_none_is_refused(scene):
    with pytest.raises(ConfigError, match="host"):
        scene.make(host="http://till.lan/")


# Whoever else calls


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8423", "10.1.2.3", "", "a b"])
async def test_a_name_that_is_not_this_computers_is_refused(scene, host):
    async with scene.serve() as lan:
        code = code_of(lan.new_short_address(scene.pairing))
        for path in ("/d", "/v1/info", f"/p/{code}"):
            answer = await scene.raw(
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            assert answer.startswith(b"HTTP/1.1 421 "), path
        assert (await scene.raw(b"GET /d HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.0 421 ")

        assert (await scene.get("/p/" + code))[0] == 200
    assert scene.upstream.seen == []


async def test_the_configured_name_is_this_computers(scene):
    async with scene.serve(host="Till.lan:8000"):
        answer = await scene.raw(
            b"GET /d HTTP/1.1\r\nHost: till.LAN:8000\r\nConnection: close\r\n\r\n"
        )
        by_address = await scene.get("/d")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert by_address[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1"])
async def test_another_sites_page_cannot_say_hello(scene, origin):
    async with scene.serve():
        refused = await scene.hello(Origin=origin)
        own = await scene.hello(Origin=scene.origin)

    assert refused[0] == 403
    assert own[0] == 200
    assert len(scene.upstream.seen) == 1


# Limits


async def test_it_has_a_limited_number_of_connections_and_those_that_wait_keep_theirs(scene):
    scene.upstream.go.clear()
    async with scene.serve(limits=Limits(connections=1)):
        first = asyncio.create_task(scene.hello())
        await until(lambda: scene.upstream.waiting == 1)
        with contextlib.suppress(ConnectionError):
            assert await scene.raw(b"GET /d HTTP/1.1\r\n\r\n") == b""
        scene.upstream.go.set()
        assert (await first)[0] == 200
        # Now it is idle, and gives way.
        host = scene.origin.removeprefix("http://").encode()
        page = b"GET /d HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host
        assert (await scene.raw(page)).startswith(b"HTTP/1.1 200 ")


async def test_hellos_that_wait_are_limited(scene):
    scene.upstream.go.clear()
    async with scene.serve(limits=Limits(waiting=1)):
        first = asyncio.create_task(scene.hello())
        await until(lambda: scene.upstream.waiting == 1)

        status, headers, body = await scene.hello()
        scene.upstream.go.set()

        assert (status, headers["Retry-After"]) == (503, "5")
        assert json.loads(body)["type"] == "urn:e2ee-ticket:overloaded"
        assert (await first)[0] == 200


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET /d HT", b"GET /d HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"POST / HTTP/1.1\r\n"],
    ids=["nothing", "line", "header", "half"],
)
async def test_whoever_does_not_come_to_the_point_is_cut_off(scene, begun):
    async with scene.serve(limits=Limits(idle_seconds=0.1)):
        with contextlib.suppress(ConnectionError):
            assert b"200" not in await scene.raw(begun)


async def test_a_hello_that_trickles_in_is_not_waited_for(scene):
    async with scene.serve(limits=Limits(body_seconds=0.1)):
        host = scene.origin.removeprefix("http://")
        answer = await scene.raw(
            f"POST {scene.path()} HTTP/1.1\r\nHost: {host}\r\n"
            "Content-Length: 112\r\nConnection: close\r\n\r\nabc".encode()
        )

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert scene.upstream.seen == []


async def test_an_answer_that_takes_too_long_ends(scene):
    scene.upstream.go.clear()
    async with scene.serve(limits=Limits(busy_seconds=0.2)):
        with pytest.raises(aiohttp.ClientError):
            await scene.hello()
        await until(lambda: scene.upstream.waiting == 0)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /d HTTP/1.1\r\nX: " + b"x" * 10_000 + b"\r\n\r\n",
        b"GET /d HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\x00" * 100,
    ],
    ids=["line", "header", "headers", "tls", "zeros"],
)
async def test_what_is_no_request_is_refused_and_stops_nobody(scene, head, caplog):
    caplog.set_level(logging.DEBUG)
    async with scene.serve(limits=Limits(idle_seconds=0.3)):
        with contextlib.suppress(ConnectionError):
            answer = await scene.raw(head)
            assert re.match(rb"HTTP/1.[01] 400 |$", answer)
            assert b"aiohttp" not in answer
        assert (await scene.get("/d"))[0] == 200
    assert "127.0.0.1:" not in "".join(record.getMessage() for record in caplog.records)


async def test_a_fault_of_its_own_names_nobody_in_the_log(scene, caplog):
    async with scene.serve() as lan:

        def broken():
            raise ZeroDivisionError("192.168.1.77 5555")

        lan._pairings = broken
        status, _, body = await scene.hello()

    assert (status, body) == (500, b"")
    assert "ZeroDivisionError" in caplog.text
    assert "192.168.1.77" not in caplog.text


async def test_nothing_secret_is_logged(scene, caplog):
    caplog.set_level(logging.DEBUG)
    async with scene.serve() as lan:
        code = code_of(lan.new_short_address(scene.pairing))
        await scene.get("/p/" + code)
        await scene.hello()

    logged = "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("e2ee")
    )
    assert scene.pairing.secret.cid not in logged
    assert code not in logged


# Starting and checking


async def test_a_port_in_use_is_said_in_one_sentence(scene):
    async with scene.serve() as lan:
        taken = f"127.0.0.1:{lan.served_at[0][1]}"
        with pytest.raises(ConfigError, match=f"{taken}: address already in use"):
            async with scene.make(taken):
                pass


async def test_an_address_that_is_none_is_said_too(scene):
    with pytest.raises(ConfigError, match="no such name or address"):
        async with scene.make("no.such.host.invalid:8423"):
            pass


async def test_running_tries_again_until_it_can_listen(scene):
    async with scene.serve() as first:
        port = first.served_at[0][1]
        later = scene.make(f"127.0.0.1:{port}")
        running = asyncio.create_task(later.run())
        await until(lambda: scene.reports)
    await until(lambda: scene.clock.slept)
    await scene.clock.advance(30)
    await until(lambda: later.served_at)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running

    assert not scene.reports[0].ok
    assert str(port) in scene.reports[0].text
    assert scene.reports[1] is None
    assert later.served_at == ()


async def test_starts_again_after_it_stopped(scene):
    lan = scene.make()
    for _ in range(2):
        async with lan:
            scene.origin = f"http://127.0.0.1:{lan.served_at[0][1]}"
            assert (await scene.get("/d"))[0] == 200


async def test_check_says_where_tablets_come_to(scene):
    findings = await scene.make(host="till.lan").check()

    assert [finding.ok for finding in findings] == [True, True, True]
    assert "can be served" in findings[0].text
    assert "http://till.lan:0/d" in findings[1].text
    assert "firewall" in findings[2].text
    assert findings[2].hint


async def test_check_knows_that_the_agent_serves_it_already(scene):
    async with scene.serve() as lan:
        port = lan.served_at[0][1]
        beside = await scene.make(f"127.0.0.1:{port}", host="till.lan").check()
        itself = await lan.check()

    assert beside[0].ok
    assert "is served" in beside[0].text
    assert "is served" in itself[0].text


async def test_check_finds_a_port_that_another_program_has(scene):
    port = scene.upstream.origin.rpartition(":")[2]

    findings = await scene.make(f"127.0.0.1:{port}").check()

    assert [finding.ok for finding in findings] == [False]
    assert "in use" in findings[0].text
    assert "listen" in findings[0].hint


async def test_check_finds_that_only_this_computer_can_open_it(scene):
    findings = await scene.make("127.0.0.1:0").check()

    assert [finding.ok for finding in findings] == [True, False]
    assert "listen" in findings[1].hint


def test_the_risk_is_said_in_plain_words():
    assert "end-to-end encrypted" in RISK
    assert "change the page" in RISK
    assert "listens" in RISK
