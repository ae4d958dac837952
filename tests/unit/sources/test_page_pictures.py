"""Pictures by address: from the configured Dolibarr alone, small and soon; codes drawn here."""

import asyncio
import contextlib
import io
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image

from e2ee_ticket.pdf.roll import Code, Paragraph, Picture, Space
from e2ee_ticket.sources import page_pictures
from e2ee_ticket.sources.page_pictures import MISSING, Fetcher, PagePictures
from e2ee_ticket.sources.takepos_html import read_page

CASES = Path(__file__).parents[2] / "data/receipts/takepos"


def png(side=16):
    out = io.BytesIO()
    Image.new("L", (side, side)).save(out, "PNG")
    return out.getvalue()


class Site:
    """A web server that remembers who asked for what."""

    answer = None
    origin = ""

    def __init__(self):
        self.asked = []


@pytest.fixture
async def site():
    made = Site()

    async def handle(request):
        made.asked.append((request.path_qs, dict(request.headers)))
        answer = await made.answer(request) if callable(made.answer) else None
        return answer or web.Response(body=png(), content_type="image/png")

    app = web.Application()
    app.router.add_get("/{any:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def read(page, *origins):
    """Read a page as the source does, and return what is drawn and what is missing."""
    fetched = await Fetcher(origins).fetch(page, origins[0])
    pictures = PagePictures(origins, fetched)
    items = (await asyncio.to_thread(read_page, page, pictures=pictures)).roll.items
    return items, pictures


async def test_a_logo_is_fetched_from_the_configured_dolibarr_without_a_cookie(site):
    page = '<p>5,00</p><img src="/viewimage.php?modulepart=mycompany&amp;file=logo.png" width=20>'

    items, pictures = await read(page, site.origin)

    assert [type(item) for item in items] == [Paragraph, Space, Picture]
    assert pictures.remarks == ()
    ((path, headers),) = site.asked
    assert path == "/viewimage.php?modulepart=mycompany&file=logo.png"
    assert "Cookie" not in headers


async def test_a_logo_is_fetched_once_for_many_receipts(site):
    fetcher = Fetcher((site.origin,))
    for _ in range(3):
        assert await fetcher.fetch('<img src="/logo.png">', None)

    assert len(site.asked) == 1


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/logo.png", "//evil.example/x.png", "https://dolibarr.example/x.png",
     "file:///etc/passwd", "ftp://127.0.0.1/x", "javascript:1", "http://[", "data:image/png,x",
     # These would be answered: the same server by another name.
     "http://localhost:{port}/x.png", "//localhost:{port}/x.png",
     "http://127.0.0.1:{port}@localhost:{port}/x.png"],
)  # fmt: skip
async def test_nothing_is_fetched_from_elsewhere(site, address):
    address = address.replace("{port}", site.origin.rpartition(":")[2])

    items, pictures = await read(f'<p>5,00</p><img src="{address}" alt="QR">', site.origin)

    assert items == (Paragraph("5,00"),)
    assert pictures.remarks == (MISSING,)
    assert site.asked == []


async def test_a_page_of_another_origin_fetches_nothing(site):
    assert await Fetcher((site.origin,)).fetch('<img src="/x.png">', "http://evil.example") == {}
    assert site.asked == []


async def _moved(_request):
    raise web.HTTPFound("http://127.0.0.1:9/secret")


async def _html(_request):
    return web.Response(text="<html>log in</html>", content_type="text/html")


async def _huge(_request):
    return web.Response(body=bytes(2 << 20), content_type="image/png")


async def _broken(_request):
    return web.Response(body=b"\x89PNG\r\n", content_type="image/png")


async def _absent(_request):
    raise web.HTTPNotFound


@pytest.mark.parametrize("answer", [_moved, _html, _huge, _broken, _absent])
async def test_what_is_no_small_picture_is_remarked(site, answer):
    site.answer = answer

    items, pictures = await read('<p>5,00</p><img src="/logo.png" alt="logo.png">', site.origin)

    assert items == (Paragraph("5,00"),)
    assert pictures.remarks == (MISSING,)


async def test_a_slow_server_holds_no_receipt_up(site, monkeypatch):
    async def never(_request):
        await asyncio.Event().wait()

    site.answer = never
    monkeypatch.setattr(page_pictures, "FETCH_SECONDS", 0.05)

    _, pictures = await read('<p>5,00</p><img src="/logo.png">', site.origin)

    assert pictures.missing == 1


async def test_a_page_names_no_more_than_a_few_pictures(site):
    page = "".join(f'<img src="/{number}.png">' for number in range(50))

    with contextlib.suppress(ValueError):
        await Fetcher((site.origin,)).fetch(page, None)

    assert len(site.asked) == page_pictures.FETCHED_MAX


async def test_a_fiscal_code_is_drawn_from_what_its_address_says():
    page = (CASES / "31-fiscal-qr-by-address.html").read_text(encoding="utf-8")

    items, pictures = await read(page, "https://dolibarr.example")

    codes = [item for item in items if isinstance(item, Code)]
    assert codes == [
        Code(
            "qr",
            "https://prewww2.aeat.es/wlpl/TIKE-CONT/ValidarQR?nif=B00000000"
            "&numserie=TC1-2611-0042&importe=6.00",
        )
    ]
    assert pictures.remarks == ()
    assert all(getattr(item, "text", "") != "QR" for item in items)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("modulepart=barcode&encoding=EAN13&code=3017620422003",
         Code("ean13", "3017620422003", "left", caption=True)),
        ("modulepart=barcode&encoding=C128&code=TC1-1&readable=N",
         Code("code128", "TC1-1", "left")),
        ("modulepart=barcode&encoding=PDF417&code=1", None),
        ("modulepart=barcode&encoding=QRCODE", None),
        ("modulepart=mycompany&encoding=QRCODE&code=1", None),
    ],
)  # fmt: skip
async def test_dolibarrs_own_codes_are_drawn_here(query, code):
    page = f'<p>5,00</p><img src="/viewimage.php?{query.replace("&", "&amp;")}">'
    pictures = PagePictures()

    items = (await asyncio.to_thread(read_page, page, pictures=pictures)).roll.items

    assert [item for item in items if isinstance(item, Code)] == ([code] if code else [])
    assert pictures.missing == (0 if code else 1)


async def test_what_kinds_of_pictures_are_drawn_and_which_are_remarked():
    page = (CASES / "32-pictures-gif-webp-svg.html").read_text(encoding="utf-8")

    items, pictures = await read(page, "https://dolibarr.example")

    assert sum(isinstance(item, Picture) for item in items) == 3  # GIF, WebP and PNG
    assert pictures.remarks == (MISSING,)  # the SVG


@pytest.mark.parametrize(
    "alt", ["QR", "qr code", "QR-Code", "Code QR", "logo", "image", "logo.png"]
)
async def test_no_word_stands_for_a_picture_that_is_missing(alt):
    items, _ = await read(f'<p>5,00</p><img src="/x.png" alt="{alt}">', "http://127.0.0.1:9")

    assert items == (Paragraph("5,00"),)
