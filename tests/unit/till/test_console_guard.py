"""Each attack on the console, and what comes of it."""
# ruff: noqa: RUF001 - the apostrophe of French

import asyncio
import json
import os
import re
import socket
import stat
import subprocess
import sys
from http.cookies import SimpleCookie

import pytest
import stage
from visitor import arriving, visiting

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till.config import ConsoleConfig
from e2ee_ticket.till.console import (
    Entrance,
    HeldSockets,
    auth,
    create_console,
    guard,
    hash_pin,
    serve,
)
from e2ee_ticket.till.console.meeting import address_of

PIN = "802413"
PIN_HASH = hash_pin(PIN)
REMOTE = "192.168.1.77"
TEXT = "text/plain"


@pytest.fixture
async def stranger(floor, tmp_path, clock):
    async with arriving(floor, tmp_path, clock) as arrived:
        yield arrived


@pytest.fixture
async def remote(floor, tmp_path, clock):
    """Somebody on another device, where a PIN is set."""
    async with arriving(
        floor, tmp_path, clock, peer=lambda _: REMOTE, pin_hash=PIN_HASH
    ) as arrived:
        yield arrived


# Another origin


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_a_page_of_another_origin_posts_nothing(visitor, floor, headers):
    answer = await visitor.send("/sale/1/revoke", {"form": visitor.form, "back": "/"}, **headers)

    assert answer.status == 403
    assert floor.done == []


async def test_a_post_that_names_no_origin_is_refused(visitor, floor):
    answer = await visitor.client.post(
        "/sale/1/revoke",
        data={"form": visitor.form},
        headers={"Host": f"127.0.0.1:{visitor.port}"},
        allow_redirects=False,
    )

    assert answer.status == 403
    assert floor.done == []


@pytest.mark.parametrize("form", [None, "", "0" * 64, "é"])
async def test_a_form_without_the_sessions_token_is_refused(visitor, floor, form):
    fields = {"back": "/"} | ({"form": form} if form is not None else {})

    assert (await visitor.send("/sale/1/revoke", fields)).status == 403
    assert floor.done == []


async def test_another_sessions_token_is_refused(visitor, floor, tmp_path, clock):
    other = auth.form_token(auth.Sessions(tmp_path, clock).begin("token"))

    answer = await visitor.send("/sale/1/revoke", {"form": other, "back": "/"})

    assert answer.status == 403
    assert floor.done == []


@pytest.mark.parametrize("kind", [TEXT, "application/json", "multipart/form-data; boundary=x"])
async def test_only_a_form_can_be_posted(visitor, floor, kind):
    answer = await visitor.client.post(
        "/sale/1/revoke",
        data=b"form=" + visitor.form.encode(),
        headers={"Host": f"127.0.0.1:{visitor.port}", "Origin": visitor.origin,
                 "Content-Type": kind},
        allow_redirects=False,
    )  # fmt: skip

    assert answer.status == 415
    assert floor.done == []


async def test_a_long_form_is_refused(visitor, floor):
    answer = await visitor.post("/sale/1/revoke", back="x" * 100_000)

    assert answer.status == 413
    assert floor.done == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site",
         "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "object"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/changes?since=0", "/static/console.js", "/enter"])
async def test_a_page_of_another_origin_reads_nothing(visitor, path, headers):
    answer = await visitor.get(path, **headers)

    assert answer.status == 403
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Petit" not in await answer.text()


async def test_a_link_on_another_page_may_lead_here(visitor):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate",
               "Sec-Fetch-Dest": "document"}  # fmt: skip

    assert (await visitor.get("/", **headers)).status == 200


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH"])
async def test_no_other_method_and_no_preflight_is_answered(visitor, method):
    answer = await visitor.client.request(
        method, "/sale/1/revoke",
        headers={"Host": f"127.0.0.1:{visitor.port}", "Origin": visitor.origin},
    )  # fmt: skip

    assert answer.status in (403, 404, 405)
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


# Framing


@pytest.mark.parametrize(
    "path", ["/", "/shop", "/enter", "/static/console.js", "/changes?since=0", "/nowhere"]
)
async def test_every_answer_forbids_framing_sniffing_keeping_and_strangers(visitor, path):
    headers = (await visitor.get(path)).headers

    policy = dict(
        part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    kept = path.startswith("/static/")
    assert headers["Cache-Control"].startswith("private, " if kept else "no-store")
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_no_page_has_a_script_or_a_style_of_its_own(visitor):
    for path in ("/", "/shop", "/relay", "/displays", "/enter"):
        page = await visitor.page(path)
        assert re.fullmatch(
            r'<script src="/static/console.js\?[0-9a-f]{16}" defer>',
            "".join(re.findall(r"<script[^>]*>", page)),
        )
        assert " style=" not in page
        assert "<style" not in page
        assert re.findall(r" on[a-z]+=", page) == []
        assert not [url for url in re.findall(r'(?:src|href|action)="([^"]*)"', page)
                    if not url.startswith(("/", "#"))]  # fmt: skip


# Another name


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost",
     "127.0.0.1.evil.example:{port}", "127.0.0.1:{port}.evil.example", "caisse.local:{port}",
     "localhost.:{port}", "", "0.0.0.0:{port}"],
)  # fmt: skip
async def test_a_rebound_name_is_not_answered(visitor, floor, host):
    host = host.format(port=visitor.port)

    for path in ("/", "/enter", "/static/console.js", "/prove?question=a"):
        answer = await visitor.get(path, Host=host)
        assert answer.status == 421
        assert "Petit" not in await answer.text()
    sent = await visitor.send("/sale/1/revoke", {"form": visitor.form}, Host=host,
                              Origin=f"http://{host}")  # fmt: skip
    assert sent.status == 421
    assert floor.done == []


async def test_the_address_that_was_reached_is_answered(stranger):
    assert (await stranger.get("/enter", Host=f"127.0.0.1:{stranger.port}")).status == 200


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST"])
async def test_localhost_leads_on_to_the_address_and_gets_no_cookie(visitor, name):
    """Browsers ask [::1] first for it, where another user of this computer may listen."""
    host = f"{name}:{visitor.port}"

    answer = await visitor.get("/shop", Host=host)
    sent = await visitor.send("/leave", {"form": visitor.form}, Host=host, Origin=f"http://{host}")

    assert (answer.status, sent.status) == (303, 421)
    assert answer.headers["Location"] == f"http://127.0.0.1:{visitor.port}/"
    assert "Set-Cookie" not in answer.headers


def test_localhost_is_no_name():
    for listen in ("localhost:8422", "127.0.0.1:8422", "[::1]:8422", "0.0.0.0:8422", "[::]:8422"):
        assert not any("localhost" in name for name in guard.names_for(listen, ()))
    assert address_of("localhost:8422") == "127.0.0.1:8422"


async def test_a_configured_name_is_answered(floor, tmp_path, clock):
    names = ("caisse.local", "caisse.example:8080")
    async with arriving(floor, tmp_path, clock, hosts=names) as stranger:
        hosts = [f"caisse.local:{stranger.port}", "caisse.example:8080", "caisse.local",
                 f"caisse.example:{stranger.port}"]  # fmt: skip
        statuses = [(await stranger.get("/enter", Host=host)).status for host in hosts]

    assert statuses == [200, 200, 421, 421]


def test_an_address_that_stands_for_all_is_no_name():
    names = guard.names_for("0.0.0.0:8422", ())

    assert names == frozenset()
    assert "127.0.0.1" in guard.names_for("127.0.0.1:80", ())
    assert "[fd00::1]:8422" in guard.names_for("[fd00::1]:8422", ())


# Another user of this computer


@pytest.mark.parametrize("path", ["/", "/sale/1", "/shop", "/relay", "/displays", "/troubles"])
async def test_without_a_session_there_is_only_the_entrance(stranger, path):
    answer = await stranger.get(path)

    assert answer.status == 303
    assert answer.headers["Location"] == "/enter"
    assert "Petit" not in await stranger.page("/enter")


async def test_without_a_session_nothing_is_done_and_nothing_told(stranger, floor):
    assert (await stranger.post("/sale/1/revoke", back="/")).status == 403
    assert (await stranger.get("/changes?since=0", Sec_Fetch_Mode="cors")).status in (303, 403)
    script = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    assert (await stranger.get("/changes?since=0", **script)).status == 403
    assert floor.done == []


@pytest.mark.usefixtures("visitor")
@pytest.mark.skipif(os.name == "nt", reason="a Windows profile is its user's already")
async def test_the_token_and_the_sessions_are_for_this_user_alone(tmp_path):
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "é" * 43, "A" * 200])
async def test_a_wrong_token_lets_nobody_in(stranger, token):
    answer = await stranger.enter(token)

    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers


async def test_a_token_is_good_once(stranger, tmp_path):
    token = Entrance(tmp_path).token()

    assert (await stranger.enter(token)).status == 303
    assert Entrance(tmp_path).token() != token
    stranger.client.session.cookie_jar.clear()
    assert (await stranger.enter(token)).status == 403


async def test_a_session_is_good_only_on_the_sockets_that_it_began_on(floor, tmp_path, clock):
    """Who had the port in between was sent the cookie, and can do nothing with it."""
    async with visiting(floor, tmp_path, clock, listening="first") as visitor:
        cookies = {cookie.key: cookie.value for cookie in visitor.client.session.cookie_jar}

    async with arriving(floor, tmp_path, clock, listening="second") as thief:
        thief.client.session.cookie_jar.update_cookies(cookies)
        assert (await thief.get("/")).headers["Location"] == "/enter"
        assert (await thief.post("/sale/1/revoke", back="/")).status == 403
    assert floor.done == []


async def test_changed_settings_make_a_new_token_and_keep_the_sessions(floor, tmp_path, clock):
    entrance = Entrance(tmp_path)
    async with visiting(floor, tmp_path, clock) as visitor:
        jar = visitor.client.session.cookie_jar
        cookies = {cookie.key: cookie.value for cookie in jar}
        before = entrance.token()

    async with arriving(floor, tmp_path, clock) as again:
        again.client.session.cookie_jar.update_cookies(cookies)
        assert "Petit" in await again.page("/")

    assert entrance.token() != before


async def test_the_door_is_this_users_alone_and_goes_when_it_was_used(stranger, tmp_path):
    entrance = Entrance(tmp_path)
    door = entrance.write_door(stranger.origin)
    token = entrance.token()
    assert f"{stranger.origin}/enter#{token}" in door.read_text()

    await stranger.enter(token)

    assert not door.exists()


async def test_the_cookie_is_for_this_site_and_no_script(stranger, tmp_path):
    answer = await stranger.enter(Entrance(tmp_path).token())

    cookie = SimpleCookie(answer.headers["Set-Cookie"])["e2ee_ticket_console"]
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Strict"
    assert cookie["path"] == "/"
    assert cookie["domain"] == ""
    assert int(cookie["max-age"]) == 180 * 86_400


async def test_keeps_no_sessions_token_on_disk(visitor, tmp_path):
    cookies = list(visitor.client.session.cookie_jar)

    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert [cookie.key for cookie in cookies if cookie.value.encode() in kept] == []
    assert len(cookies) == 2


async def test_a_session_ends_after_its_time(visitor, clock):
    clock.jump(180 * 86_400 - 60)
    assert (await visitor.get("/")).status == 200

    clock.jump(120)
    assert (await visitor.get("/")).headers["Location"] == "/enter"


async def test_a_clock_that_was_far_ahead_gives_no_session_more_than_its_time(visitor, clock):
    clock.jump(-400 * 86_400)

    assert (await visitor.get("/")).headers["Location"] == "/enter"


async def test_a_session_can_be_ended(visitor):
    answer = await visitor.post("/leave")

    assert answer.headers["Location"] == "/enter"
    assert (await visitor.get("/")).headers["Location"] == "/enter"


async def test_all_other_sessions_can_be_ended(visitor, tmp_path, clock):
    sessions = auth.Sessions(tmp_path, clock)
    other = sessions.begin("token")

    assert "Les autres navigateurs" in await visitor.press("/leave-others")
    assert sessions.find(other) is None


async def test_entering_again_ends_the_browsers_former_session(visitor, tmp_path):
    def kept():
        return json.loads((tmp_path / auth.SESSIONS_FILE).read_text())["sessions"]

    before = kept()
    await visitor.enter(Entrance(tmp_path).token())

    assert len(kept()) == len(before) == 1
    assert kept() != before


async def test_a_damaged_sessions_file_lets_nobody_in(visitor, tmp_path):
    (tmp_path / auth.SESSIONS_FILE).write_text('{"sessions": [{"digest": 1}]}')

    assert (await visitor.get("/")).headers["Location"] == "/enter"


def test_keeps_fifty_sessions_at_most(tmp_path, clock):
    sessions = auth.Sessions(tmp_path, clock)
    tokens = [sessions.begin("token") for _ in range(51)]

    assert sessions.find(tokens[0]) is None
    assert sessions.find(tokens[1]) is not None


async def test_proves_that_it_is_this_users_agent_without_saying_the_token(stranger, tmp_path):
    entrance = Entrance(tmp_path)

    proof = await stranger.page("/prove?question=abc123")

    assert proof == entrance.prove("abc123") != entrance.prove("abc124")
    assert entrance.token() not in proof
    assert (await stranger.get("/prove?question=" + "a" * 65)).status == 400
    assert (await stranger.get("/prove?question=%C3%A9-")).status == 400


# Another device


async def test_another_device_is_refused_without_a_pin(floor, tmp_path, clock):
    async with arriving(floor, tmp_path, clock, peer=lambda _: REMOTE) as remote:
        for path in ("/", "/enter", "/static/console.css"):
            answer = await remote.get(path)
            assert answer.status == 403
            assert "e2ee-ticket console --pin" in await answer.text()
        assert (await remote.enter(Entrance(tmp_path).token())).status == 403


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_who_comes_through_a_proxy_is_another_device(visitor, header):
    assert (await visitor.get("/", **{header: "127.0.0.1"})).status == 403


@pytest.mark.parametrize(
    ("peer", "local"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("::ffff:127.0.0.1", True),
     ("::ffff:192.168.1.7", False), ("192.168.1.7", False), ("10.0.0.1", False), ("", False),
     (None, False), ("x", False)],
)  # fmt: skip
async def test_knows_this_computer_by_its_loopback_address(floor, tmp_path, clock, peer, local):
    async with arriving(floor, tmp_path, clock, peer=lambda _: peer) as arrived:
        assert ((await arrived.get("/enter")).status == 200) is local


async def test_another_device_comes_in_with_the_pin_and_is_told_what_is_not_safe(remote):
    page = await remote.page("/enter")
    assert "n’est pas chiffrée" in page
    assert 'name="token"' not in page

    answer = await remote.send("/enter", {"pin": PIN})

    assert answer.status == 303
    assert "Petit" in await remote.page("/")


async def test_the_token_of_this_computer_is_of_no_use_elsewhere(remote, tmp_path, clock):
    assert (await remote.enter(Entrance(tmp_path).token())).status == 403

    token = auth.Sessions(tmp_path, clock).begin("token")
    remote.client.session.cookie_jar.update_cookies({"e2ee_ticket_console": token})
    assert (await remote.get("/")).headers["Location"] == "/enter"


async def test_another_pin_ends_the_sessions_of_the_old_one(floor, tmp_path, clock):
    token = auth.Sessions(tmp_path, clock).begin(auth.name_pin(PIN_HASH))
    cookies = {"e2ee_ticket_console": token}
    for pin_hash, status in ((PIN_HASH, 200), (hash_pin("907152"), 303)):
        async with arriving(
            floor, tmp_path, clock, peer=lambda _: REMOTE, pin_hash=pin_hash
        ) as remote:
            remote.client.session.cookie_jar.update_cookies(cookies)
            assert (await remote.get("/")).status == status


async def test_after_five_wrong_pins_even_the_right_one_must_wait(remote, clock):
    for wrong in range(5):
        assert (await remote.send("/enter", {"pin": f"11111{wrong}"})).status == 403

    answer = await remote.send("/enter", {"pin": PIN})
    assert answer.status == 429
    assert "30 secondes" in (await answer.text()).replace("\xa0", " ")

    await clock.advance(31)
    assert (await remote.send("/enter", {"pin": PIN})).status == 303


async def test_many_wrong_pins_at_once_are_counted_one_by_one(remote):
    answers = await asyncio.gather(*(remote.send("/enter", {"pin": "111111"}) for _ in range(12)))

    assert sorted(answer.status for answer in answers) == [403] * 5 + [429] * 7


async def test_the_waits_grow_to_an_hour(clock):
    tries = auth.Tries(clock)
    waits = []
    for _ in range(14):
        tries.fail(REMOTE)
        waits.append(tries.wait_seconds(REMOTE))
        await clock.advance(waits[-1])

    assert waits == [0, 0, 0, 0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


async def test_one_caller_does_not_lock_the_others_out_but_many_slow_all_down(clock):
    tries = auth.Tries(clock)
    for _ in range(10):
        tries.fail("10.0.0.1")
    assert tries.wait_seconds("10.0.0.2") == 0

    for other in range(20):
        tries.fail(f"10.0.1.{other}")
    assert tries.wait_seconds("10.0.0.2") > 0


def test_the_right_pin_forgives_its_caller(clock):
    tries = auth.Tries(clock)
    for _ in range(5):
        tries.fail(REMOTE)
    tries.succeed(REMOTE)
    tries.fail(REMOTE)

    assert tries.wait_seconds(REMOTE) == 0


def test_counts_a_thousand_callers_at_most(clock):
    tries = auth.Tries(clock)
    for number in range(3000):
        tries.fail(f"10.0.{number // 256}.{number % 256}")

    assert len(tries._failures) == 1000
    assert tries.wait_seconds("new") > 0


@pytest.mark.parametrize(
    "pin", ["", "12345", "abcdef", "12 345", "111111", "123456", "987654", "890123", "١٢٣٤٥٦",
            "121212", "1" * 65]
)  # fmt: skip
def test_refuses_a_pin_that_is_too_easy(pin):
    with pytest.raises(ConfigError, match="PIN"):
        hash_pin(pin)


def test_a_pins_hash_fits_this_pin_alone():
    assert PIN not in PIN_HASH
    assert hash_pin(PIN) != PIN_HASH
    assert auth.fits_pin(PIN, PIN_HASH)
    assert not auth.fits_pin(PIN + "0", PIN_HASH)
    assert not auth.fits_pin("", PIN_HASH)
    assert not auth.fits_pin(PIN, "scrypt$x$y")
    assert not auth.fits_pin(PIN, PIN)


async def test_strangers_who_guess_do_not_keep_the_owners_own_browser_out(remote, clock):
    assert (await remote.send("/enter", {"pin": PIN})).status == 303
    browsers = [
        cookie for cookie in remote.client.session.cookie_jar if cookie.key.endswith("browser")
    ]
    remote.client.session.cookie_jar.clear()
    for number in range(auth.FREE_TRIES_OF_ALL):
        await remote.send("/enter", {"pin": f"5{number:05}"})
        clock.jump(auth.LAST_WAIT_SECONDS if number % 5 == 4 else 0)
    for _ in range(8):
        last = await remote.send("/enter", {"pin": "246801"})
    assert last.status == 429

    remote.client.session.cookie_jar.update_cookies({browsers[0].key: browsers[0].value})

    assert (await remote.send("/enter", {"pin": PIN})).status == 303


async def test_a_browser_that_was_in_before_has_no_more_tries_than_others(remote):
    assert (await remote.send("/enter", {"pin": PIN})).status == 303
    answers = [await remote.send("/enter", {"pin": "246801"}) for _ in range(6)]

    assert [answer.status for answer in answers] == [403] * 5 + [429]


def test_what_a_browser_keeps_cannot_be_made_up(tmp_path, clock):
    browsers = auth.Browsers(tmp_path, clock)
    token = browsers.know(None)

    assert browsers.name(token) is not None
    assert browsers.know(token) == token
    assert [browsers.name(other) for other in (None, "", "x" * 43, token[:-1])] == [None] * 4
    clock.jump(auth.SESSION_SECONDS + 1)
    assert browsers.name(token) is None


# The program


def test_the_sockets_outlive_a_changed_configuration_and_have_a_name_of_their_own():
    held, listen = HeldSockets(), f"127.0.0.1:{stage.free_port()}"
    (first,) = held.hold(listen)
    name = held.name
    assert held.hold(listen) == (first,)
    assert held.name == name
    with pytest.raises(ConfigError, match="cannot listen"):
        HeldSockets().hold(listen)

    held.close()
    held.hold(listen)
    assert held.name != name
    held.close()


def test_sockets_that_systemd_made_are_taken_and_keep_their_name():
    port = stage.free_port()
    program = (
        "import os, sys\n"
        "from e2ee_ticket.till.console import HeldSockets\n"
        "held = HeldSockets()\n"
        f"(one,) = held.hold('127.0.0.1:{port}')\n"
        "print(one.fileno(), held.name, 'LISTEN_FDS' in os.environ)\n"
    )
    with socket.create_server(("127.0.0.1", port)) as made:
        said = [
            subprocess.run(
                ["bash", "-c", f'exec 3<&{made.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"',
                 "bash", sys.executable, "-c", program],
                pass_fds=[made.fileno()], capture_output=True, text=True, check=True,
            ).stdout
            for _ in range(2)
        ]  # fmt: skip

    assert said[0].split()[::2] == ["3", "False"]
    assert said[0] == said[1]


async def test_no_answer_names_the_servers_version(floor, tmp_path, clock):
    listen = f"127.0.0.1:{stage.free_port()}"
    config = ConsoleConfig(listen=listen)
    app = create_console(floor, config, state_dir=tmp_path, clock=clock)
    held = HeldSockets()
    serving = asyncio.ensure_future(serve(app, listen, held.hold(listen)))
    try:
        for sent in (f"GET /enter HTTP/1.1\r\nHost: {listen}\r\n\r\n", "no request\r\n\r\n"):
            reader, writer = await asyncio.open_connection(*listen.split(":"))
            writer.write(sent.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            assert b"\r\nServer: e2ee-ticket\r\n" in head
            assert b"aiohttp" not in head
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        held.close()


async def test_a_used_port_is_said_in_one_sentence(floor, tmp_path, clock, visitor):
    listen = f"127.0.0.1:{visitor.port}"
    app = create_console(floor, ConsoleConfig(listen=listen), state_dir=tmp_path, clock=clock)

    with pytest.raises(ConfigError, match="cannot listen"):
        await serve(app, listen)


async def test_nothing_of_a_visit_is_logged(visitor, floor, caplog):
    caplog.set_level("DEBUG")
    cookies = [cookie.value for cookie in visitor.client.session.cookie_jar]

    await visitor.page("/")
    await visitor.post("/sale/1/here", back="/")
    await visitor.page("/")

    for secret in (*cookies, visitor.form, floor.links[1].digits(), "41,37", "Petit"):
        assert secret not in caplog.text


async def test_nothing_of_what_is_no_request_is_logged(floor, tmp_path, clock, caplog):
    caplog.set_level("DEBUG")
    port = stage.free_port()
    config = ConsoleConfig(listen=f"127.0.0.1:{port}")
    app = create_console(floor, config, state_dir=tmp_path, clock=clock)
    serving = asyncio.ensure_future(serve(app, config.listen))
    try:
        await asyncio.to_thread(stage.wait_for, lambda: stage.listens(port), "the console's start")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/9.9\r\nCookie: e2ee_ticket_console=canary\r\n\r\n")
        writer.write(b"GET /canary HTTP/9.9\r\n\r\n")
        answer = await reader.read()
        writer.close()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    assert answer.startswith(b"HTTP/1.0 400 ")
    assert "canary" not in caplog.text


async def test_few_may_wait_for_changes_at_once(visitor, floor):
    waiting = [
        asyncio.ensure_future(visitor.get(f"/changes?since={floor.count}")) for _ in range(64)
    ]
    async with asyncio.timeout(10):
        await floor.waited_for(64)

    assert (await visitor.get(f"/changes?since={floor.count}")).status == 503

    floor.change()
    assert {(await (await one).json())["count"] for one in waiting} == {floor.count}
