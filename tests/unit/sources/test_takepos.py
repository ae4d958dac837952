"""TakePOS' own requests become tickets, lines on the display and an open drawer; nothing else does.

The requests are those of a stock Dolibarr with TakePOS, byte for byte.
"""

import asyncio
import base64
import contextlib
import io
import json
import logging
import socket
from pathlib import Path

import aiohttp
import pypdfium2
import pytest
import stage
from keeper import Keeper

from e2ee_ticket.errors import ConfigError, OutboxError, ReceiptError, SourceError
from e2ee_ticket.sources import Shop, make_source
from e2ee_ticket.sources.connections import Limits
from e2ee_ticket.sources.takepos import TakePos
from e2ee_ticket.sources.takepos_trap import UNPRINTED, UNPRINTED_MAX

DATA = Path(__file__).parents[2] / "data"
(HTML,) = map(json.loads, (DATA / "takepos_connector_html.jsonl").read_text().splitlines())
DISPLAY, ESCPOS = map(
    json.loads, (DATA / "takepos_connector_escpos.jsonl").read_text().splitlines()
)
ORIGIN = HTML["h"]["Origin"]
EVIL = "http://127.0.0.1:8666"
NOW = 1_795_298_679.0
SHOP = Shop(name="Épicerie du Test", lang="fr", now=lambda: NOW)


class Till(Keeper):
    """An intake that also remembers what a display and a drawer were told."""

    def __init__(self):
        super().__init__()
        self.shown = []
        self.drawers = 0

    def live(self, lines, till=None):  # noqa: ARG002
        self.shown.append(list(lines))

    def drawer(self, till=None):  # noqa: ARG002
        self.drawers += 1

    @property
    def nothing_happened(self):
        return not (self.arrivals or self.shown or self.drawers)


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@contextlib.asynccontextmanager
async def running(source, till):
    task = asyncio.create_task(source.run(till))
    async with asyncio.timeout(20):
        while not till.troubles and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def till():
    return Till()


@pytest.fixture
def port():
    return stage.free_port()


@pytest.fixture
def make(port):
    def make(**settings):
        settings = {"shop": SHOP, "origin": ORIGIN, "listen": f"127.0.0.1:{port}"} | settings
        return TakePos("counter", settings.pop("shop"), **settings)

    return make


@pytest.fixture
def source(make):
    return make()


@pytest.fixture
async def send(port):
    """Send a recorded request, or one like it, and return status, headers and text."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:

        async def send(method, path, body=b"", *, headers=None, **changed):
            named = {"Origin": ORIGIN} if headers is None else headers
            named = named | {name.replace("_", "-"): value for name, value in changed.items()}
            url = aiohttp.client.URL(f"http://127.0.0.1:{port}{path}", encoded=True)
            async with session.request(
                method, url, data=io.BytesIO(body), headers=named
            ) as response:
                return response.status, response.headers, await response.text()

        yield send


def recorded(request):
    headers = {name: value for name, value in request["h"].items() if name != "Host"}
    return request["m"], request["path"], request["body"].encode(), headers


def text_of(receipt):
    document = pypdfium2.PdfDocument(io.BytesIO(receipt))
    with contextlib.closing(document):
        return "".join(page.get_textpage().get_text_range() for page in document)


def job(data):
    return b"invoice=" + base64.urlsafe_b64encode(data).rstrip(b"=")


# What TakePOS sends


async def test_takes_the_receipt_page_of_a_stock_takepos(source, till, send):
    async with running(source, till):
        method, path, body, headers = recorded(HTML)
        status, answer, _ = await send(method, path, body, headers=headers)

    (arrival,) = till.arrivals
    assert status == 200
    assert answer["Access-Control-Allow-Origin"] == ORIGIN
    assert (arrival.ours, arrival.key, arrival.paper, arrival.till) == (True, None, None, None)
    assert arrival.began == NOW
    ticket = arrival.ticket
    assert (ticket.number, ticket.total) == ("TC1-2611-0009", "54,64")
    assert (ticket.title, ticket.lang) == ("Epicerie du Test", "fr")
    assert ticket.name == "TC1-2611-0009.pdf"
    assert ticket.issued.startswith("2026-11-2")
    assert "Comté 18 mois, 220 g" in text_of(ticket.receipt)
    assert till.trouble is None


async def test_takes_the_printers_bytes_of_a_stock_takepos(make, till, send):
    async with running(make(currency="€"), till):
        method, path, body, headers = recorded(ESCPOS)
        status, *_ = await send(method, path, body, headers=headers)

    (arrival,) = till.arrivals
    assert status == 200
    assert arrival.ours
    assert arrival.paper.startswith(b"\x1b@\x1ba\x01Epicerie du Test")
    assert arrival.paper.endswith(b"\x1dVA\x03")
    ticket = arrival.ticket
    assert (ticket.number, ticket.total) == ("TC1-2611-0010", "54,64\u00a0€")
    assert ticket.title == "Épicerie du Test"
    assert "Café en grains 250 g" in text_of(ticket.receipt)


async def test_shows_the_total_before_it_is_paid(source, till, send):
    async with running(source, till):
        method, path, body, headers = recorded(DISPLAY)
        status, *_ = await send(method, path, body, headers=headers)

    assert status == 200
    assert till.shown == [["Total TTC", "54,64"]]


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ("text=Pain+de+campagne++++3%2C00++++++++++++++++", ["Pain de campagne", "3,00"]),
        ("text=Bi%C3%A8re+blonde+33+cl++2%2C90++++++++++++++++", ["Bière blonde 33 cl  2,90"]),
        ("text=Menu+12+++++++++++++9%2C00+%E2%82%AC++++++++++++", ["Menu 12  9,00 €"]),
        ("text=Bi%C3%A8re+blonde+33+cl++sans+faux-col", ["Bière blonde 33 cl", "sans faux-col"]),
        ("text=" + "%20" * 40, []),
        ("text=", []),
        ("", []),
        ("text=" + "a" * 5000, ["a" * 20, "a" * 20]),
        ("text=%C3%A9%00%E2%80%AE", ["é"]),
        ("text=%FF", ["\ufffd"]),
    ],
)
async def test_shows_two_lines_or_none(source, till, send, query, lines):
    async with running(source, till):
        status, *_ = await send("GET", f"/display/index.php?{query}")

    assert status == 200
    assert till.shown == [lines]


@pytest.mark.parametrize("path", ["/print", "/printer/drawer.php"])
async def test_opens_the_drawer(source, till, send, path):
    async with running(source, till):
        status, *_ = await send("POST", path, b"opendrawer")

    assert status == 200
    assert till.drawers == 1
    assert till.arrivals == []


async def test_bears_an_address_that_ends_in_a_slash(source, till, send):
    async with running(source, till):
        status, *_ = await send("POST", "//printer/index.php", ESCPOS["body"].encode())

    assert status == 200
    assert len(till.arrivals) == 1


async def test_makes_a_new_ticket_of_a_receipt_that_is_printed_again(source, till, send):
    async with running(source, till):
        for _ in range(2):
            await send("POST", "/print", HTML["body"].encode())

    assert len(till.arrivals) == 2


async def test_takes_receipts_of_each_configured_origin(make, till, send):
    async with running(make(origin=["https://a.example", "https://b.example"]), till):
        for origin in ("https://a.example", "https://b.example"):
            _, answer, _ = await send("POST", "/print", HTML["body"].encode(), Origin=origin)
            assert answer["Access-Control-Allow-Origin"] == origin

    assert len(till.arrivals) == 2


async def test_reads_a_template_that_is_no_utf_8(source, till, send):
    async with running(source, till):
        await send("POST", "/print", "<p>Café à 3 €</p>".encode("cp1252"))

    assert "Café" in text_of(till.arrivals[0].ticket.receipt)


async def test_a_total_that_lost_a_digit_is_refused_and_told(source, till, send):
    async with running(source, till):
        body = HTML["body"].replace("54,64 ", "$54.6").encode()
        status, *_ = await send("POST", "/print", body)

    assert status == 422
    assert not till.arrivals
    trouble = till.troubles[-1]
    assert "cut the last digit" in trouble.text
    assert "54" not in trouble.text
    assert "TAKEPOS_PRINT_SERVER" in trouble.hint


@pytest.mark.parametrize("case", ["A-session-expired-login-page", "A-mariadb-stopped-print"])
async def test_a_page_of_dolibarr_that_is_no_receipt_is_told(source, till, send, case):
    body = (DATA / f"receipts/takepos-live/{case}.post").read_bytes().partition(b"\n")[2]

    async with running(source, till):
        status, _, text = await send("POST", "/print", body)

    assert status == 422
    assert not till.arrivals
    said = till.troubles[-1].text + till.troubles[-1].hint + text
    assert "again" in till.troubles[-1].hint
    assert not any(word in said for word in ("oubli", "db.example", "3306", "someone"))


async def test_totals_that_are_shown_and_never_printed_are_told(make, till, send):
    clock = Clock()
    source = make(shop=Shop("x", now=clock))
    total = "/display/index.php?text=Total++++++++++++++++5%2C00"
    item = "/display/index.php?text=Pain+++++++++++++++++5%2C00"

    async with running(source, till):
        for _ in range(UNPRINTED_MAX + 1):
            assert till.troubles[-1] is None
            await send("GET", item)
            await send("GET", total)
            clock.now += 60
        await send("GET", item)
        assert till.troubles[-1] == UNPRINTED

        await send("POST", "/print", HTML["body"].encode())
        assert till.troubles[-1] is None


async def test_says_when_a_receipt_cannot_be_kept(source, till, send):
    till.fail(OutboxError("the disk is full"))
    async with running(source, till):
        status, _, text = await send("POST", "/print", HTML["body"].encode())
        assert status == 503
        assert "Epicerie" not in text
        assert till.trouble.hint == "print this one on paper"

        status, *_ = await send("POST", "/print", HTML["body"].encode())

    assert status == 200
    assert till.trouble is None


async def test_says_when_it_is_no_receipt(source, till, send):
    till.fail(ReceiptError("the receipt is larger than 10 MiB"))
    async with running(source, till):
        status, _, text = await send("POST", "/print", HTML["body"].encode())

    assert status == 422
    assert text == "the receipt is larger than 10 MiB\n"
    assert "larger" in till.trouble.text


async def test_survives_a_fault_of_its_own_without_quoting_the_receipt(source, till, send, caplog):
    caplog.set_level(logging.DEBUG)
    till.fail(RuntimeError("Epicerie"))
    async with running(source, till):
        status, *_ = await send("POST", "/print", HTML["body"].encode())
        assert status == 500
        assert till.trouble.hint == "print this one on paper"
        await send("POST", "/print", HTML["body"].encode())

    assert len(till.arrivals) == 1
    assert "Epicerie" not in caplog.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/print", HTML["body"].replace("TC1-2611-0009", "Terminal 1 Place 0").encode()),
        ("/print", b"<html><br><b>Place 4<br><table><tr><td>Soup</td><td>2</td></tr></table>"),
        ("/print", b""),
        ("/print", b"<!-- " * 1000),
        ("/print", b"<table>" * 1000),
        ("/print2", HTML["body"].encode()),
        ("/printer/index.php?printer=2", ESCPOS["body"].encode()),
        ("/printer/index.php", job(b"Facture (PROV-POS1-0)\n")),
        ("/printer/index.php", job(b"\x1b@")),
    ],
)
async def test_makes_no_ticket_of_what_is_no_finished_sale(source, till, send, path, body):
    async with running(source, till):
        status, *_ = await send("POST", path, body)

    assert status == 422
    assert till.nothing_happened
    assert not till.trouble.ok


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("POST", "/printer/index.php", b""), 400),
        (("POST", "/printer/index.php", b"invoice="), 400),
        (("POST", "/printer/index.php", b"invoice=%%%"), 400),
        (("POST", "/printer/index.php", b"invoice=AAAAA"), 400),
        (("POST", "/printer/index.php", b"other=QUJD"), 400),
        (("POST", "/printer/index.php", b"\x00" * 100), 400),
        (("POST", "/printer/index.php", b"invoice=" + b"A" * (6 << 20)), 413),
        (("POST", "/print", b"x" * ((1 << 20) + 1)), 413),
        (("GET", "/print", b""), 405),
        (("PUT", "/print", b"x"), 405),
        (("GET", "/printer/index.php", b""), 405),
        (("POST", "/display/index.php?text=x", b""), 405),
        (("DELETE", "/printer/drawer.php", b""), 405),
        (("GET", "/scale/index.php", b""), 404),
        (("POST", "/", b"x"), 404),
        (("GET", "/display/index.php?" + "a=1&" * 100, b""), 400),
    ],
)
async def test_answers_what_takepos_never_sends(source, till, send, request_, status):
    async with running(source, till):
        assert (await send(*request_))[0] == status

    assert till.nothing_happened


async def test_takes_nothing_packed(source, till, send):
    async with running(source, till):
        status, *_ = await send("POST", "/print", b"x", Content_Encoding="gzip")

    assert status == 415
    assert till.nothing_happened


# Who may ask

REQUESTS = [
    ("POST", "/print", HTML["body"].encode()),
    ("POST", "/print", b"opendrawer"),
    ("POST", "/printer/index.php", ESCPOS["body"].encode()),
    ("POST", "/printer/drawer.php", b"opendrawer"),
    ("GET", "/printer/drawer.php", b""),
    ("GET", "/display/index.php?text=x", b""),
    ("OPTIONS", "/print", b""),
]
SENDERS = [
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": ORIGIN, "Host": "evil.example:8111"},
    {"Sec-Fetch-Site": "cross-site", "Referer": ORIGIN},
    {"Sec-Fetch-Site": "same-origin"},
    {},
]


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("headers", SENDERS)
async def test_does_nothing_for_anybody_else(source, till, send, request_, headers):
    async with running(source, till):
        status, answer, text = await send(*request_, headers=headers)

    assert status == 403
    assert till.nothing_happened
    assert not any(name.startswith("Access-Control") for name in answer)
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Set-Cookie" not in answer
    assert "print" in till.trouble.text
    assert "example" not in text


async def test_allows_its_page_the_private_network(source, till, send):
    async with running(source, till):
        status, answer, text = await send(
            "OPTIONS",
            "/print",
            Access_Control_Request_Method="POST",
            Access_Control_Request_Private_Network="true",
        )

    assert (status, text) == (204, "")
    assert answer["Access-Control-Allow-Origin"] == ORIGIN
    assert answer["Access-Control-Allow-Private-Network"] == "true"
    assert till.nothing_happened


async def test_names_the_refused_page_once_a_minute(make, till, send):
    clock = Clock()
    async with running(make(shop=Shop(now=clock)), till):
        for _ in range(5):
            await send("POST", "/print", b"x", Origin="https://evil.example")
        clock.now += 30
        await send("POST", "/print", b"x", Origin="https://other.example")
        first = list(till.troubles)
        clock.now += 31
        await send("POST", "/print", b"x", Origin="https://other.example")
        clock.now -= 3600
        await send("POST", "/print", b"x", Origin="https://third.example")

    assert [trouble and trouble.text for trouble in first] == [
        None, "a page of https://evil.example tried to print here and was refused",
    ]  # fmt: skip
    assert first[1].hint == (
        "if this is your Dolibarr, run e2ee-ticket setup and give it https://evil.example"
    )
    assert ["other" in till.troubles[2].text, "third" in till.troubles[3].text] == [True, True]


async def test_says_what_it_is_to_who_asks_without_a_page(source, till, send):
    async with running(source, till):
        status, answer, text = await send("GET", "/", headers={})
        hidden, *_ = await send("GET", "/", headers={"Origin": EVIL})
        image, *_ = await send("GET", "/", headers={"Sec-Fetch-Site": "cross-site"})

    assert (status, text) == (200, "e2ee-ticket takepos: nothing has come yet\n")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert (hidden, image) == (403, 403)
    assert till.troubles == [None]


# Streams


async def talk(port, data, *, then_close=False):
    """Send bytes as they are, and read until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    if then_close:
        writer.close()
        return b""
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def head(port, length):
    return (
        f"POST /print HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: {ORIGIN}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (("POST /printer/index.php", b"invoice=", {}), "nothing in it"),
        (("POST /printer/index.php", b"invoice=<!doctype html><title>Login", {}), "web page"),
        (("POST /printer/index.php", b"invoice=%3C%21DOCTYPE+html%3E", {}), "web page"),
        (("POST /printer/index.php", b"other=abcd", {}), "not what TakePOS sends"),
        (("POST /printer/index.php", b"invoice=a", {}), "not what TakePOS sends"),
        (("GET /print", b"", {}), "asked in another way"),
        (("POST /nothing", b"x", {}), "asks for nothing here"),
        (("POST /print", b"x", {"Content-Encoding": "br"}), "not packed"),
        (("POST /print", b"x" * (2 << 20), {}), "larger than any receipt"),
        (("GET /display/index.php?" + "a&" * 9, b"", {}), "asks for less"),
        (("POST /print2", b"x", {}), "order for the kitchen"),
    ],
)  # fmt: skip
async def test_every_refusal_reaches_the_cashier(source, till, send, asked, why):
    address, body, headers = asked
    method, path = address.split(" ")
    async with running(source, till):
        status, *_ = await send(method, path, body, headers={"Origin": ORIGIN} | headers)

    assert 400 <= status < 500
    assert why in till.trouble.text
    assert till.trouble.hint
    assert till.nothing_happened


async def test_a_body_that_ends_too_early_reaches_the_cashier(source, till, port):
    async with running(source, till):
        await talk(port, head(port, 1000) + b"<p>half", then_close=True)
        async with asyncio.timeout(20):
            while till.trouble is None:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    assert "ended too early" in till.trouble.text


async def test_waits_for_no_body_for_ever(source, till, port):
    source._body_seconds = 0.05
    async with running(source, till):
        answer = await talk(port, head(port, 1000) + b"<p>")

    assert answer.startswith(b"HTTP/1.1 408")
    assert till.nothing_happened


async def test_reads_no_body_without_end(source, till, port):
    endless = f"{head(port, 0).decode().partition('Content-Length')[0]}Transfer-Encoding: chunked"
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    async with running(source, till):
        answer = await talk(port, endless.encode() + b"\r\n\r\n" + chunk * 17)

    assert answer.startswith(b"HTTP/1.1 413")
    assert till.nothing_happened


async def test_waits_for_no_request_for_ever(source, till, port):
    source._limits = Limits(idle_seconds=0.05)
    async with running(source, till):
        assert await talk(port, b"") == b""
        assert await talk(port, b"POST /print HTTP/1.1\r\nHost: a") == b""


async def test_takes_no_half_receipt(source, till, send, port):
    async with running(source, till):
        await talk(port, head(port, 1000) + b"<p>half", then_close=True)
        await send("POST", "/print", HTML["body"].encode())

    assert [arrival.ticket.number for arrival in till.arrivals] == ["TC1-2611-0009"]


async def test_lets_a_flood_of_connections_pass(source, till, send):
    async with running(source, till):
        port = source._port
        flood = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        for _, writer in flood:
            writer.close()
        for _, writer in flood:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        async with asyncio.timeout(20):
            while not till.arrivals:
                with contextlib.suppress(aiohttp.ClientError):
                    await send("POST", "/print", HTML["body"].encode())


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\x00" * 10_000, b"GET / HTTP/1.1\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n"],
)  # fmt: skip
async def test_survives_what_is_no_http(source, till, send, data, caplog):
    source._limits = Limits(idle_seconds=0.5)
    port = source._port
    async with running(source, till):
        answer = await talk(port, data + b"Connection: close\r\n\r\n")
        assert b" 200 " not in answer.partition(b"\r\n")[0]
        await send("POST", "/print", HTML["body"].encode())

    assert len(till.arrivals) == 1
    assert caplog.records == []


# Settings and checks


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"origin": "dolibarr.example"}, "origin must be"),
        ({"listen": "0.0.0.0:8111"}, "listen must be"),
        ({"listen": "192.168.1.5:8111"}, "listen must be"),
        ({"listen": "127.0.0.1"}, "listen must be"),
        ({"listen": "127.0.0.1:0"}, "listen must be"),
        ({"listen": "127.0.0.1:99999"}, "listen must be"),
        ({"listen": "till.example:8111"}, "listen must be"),
        ({"listen": 8111}, "listen must be"),
        ({"code_page": "klingon"}, "code_page must be"),
        ({"code_page": 850}, "code_page must be"),
        ({"currency": "12 €"}, "currency must be"),
        ({"currency": 12}, "currency must be"),
    ],
)
def test_refuses_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=f"source counter: {message}"):
        make_source("takepos", "counter", SHOP, {"origin": ORIGIN} | settings)


@pytest.mark.parametrize("listen", ["127.0.0.1:8111", "localhost:8111", "[::1]:8111"])
def test_listens_on_this_computer_alone(listen):
    assert make_source("takepos", "counter", SHOP, {"origin": ORIGIN, "listen": listen}).tills == ()


async def test_says_when_the_port_is_taken(source, till, port):
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(SourceError, match="in use") as caught:
            await source.run(till)
        finding, *_ = await source.check()

    assert "connector" in caught.value.hint
    assert not finding.ok
    assert "in use" in finding.text


def test_says_when_the_address_is_not_this_computers(source):
    assert source._unavailable(OSError(99, "not here")) == (
        f"127.0.0.1:{source._port} cannot be listened on", "set listen = '127.0.0.1:8111'",
    )  # fmt: skip


async def test_says_when_dolibarrs_certificate_is_not_trusted(make):
    dolibarr = stage.free_port()
    async with await answering(dolibarr):
        *_, site = await make(origin=f"https://127.0.0.1:{dolibarr}").check()

    assert not site.ok
    assert "certificate" in site.text


async def answering(port):
    async def answer(_, writer):
        writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", port)


async def test_checks_that_it_could_listen_and_that_dolibarr_answers(make):
    dolibarr = stage.free_port()
    source = make(origin=f"http://127.0.0.1:{dolibarr}")
    async with await answering(dolibarr):
        free, settings, site = await source.check()

    assert [free.ok, settings.ok, site.ok] == [True, True, True]
    assert "free" in free.text
    for word in ("TAKEPOS_PRINT_METHOD = takeposconnector", "TAKEPOS_AUTO_PRINT_TICKETS = 1"):
        assert word in settings.hint
    assert site.text == f"http://127.0.0.1:{dolibarr} answers"


async def test_checks_what_runs_already(source, till, send, port):
    async with running(source, till):
        listens, settings, _ = await source.check()
        await send("POST", "/print", HTML["body"].encode())
        works, site = await source.check()

    assert listens.text == f"127.0.0.1:{port} listens for TakePOS"
    assert "nothing" in settings.text
    assert works.text == f"TakePOS prints on 127.0.0.1:{port}"
    assert not site.ok  # the Dolibarr of the recording is not here
    assert site.text == f"{ORIGIN} does not answer"


def test_tells_the_plain_address_where_the_port_is_takepos_own():
    source = TakePos("counter", SHOP, origin=ORIGIN)

    assert "TAKEPOS_PRINT_SERVER = 127.0.0.1," in source._tell_settings().hint
    assert "tab Receipt afterwards erases" in source._tell_settings().hint


@pytest.mark.parametrize(
    ("origin", "ok"),
    [
        ("http://dolibarr.example", False),
        ("https://dolibarr.example", True),
        ("http://192.168.1.10", None),
        ("http://localhost:8680", None),
        ("http://dolibarr.lan", None),
        ("http://server", None),
    ],
)
def test_tells_what_the_browser_will_say(origin, ok):
    from e2ee_ticket.sources.takepos import _check_chrome

    assert [finding.ok for finding in _check_chrome(origin)] == ([] if ok is None else [ok])
