"""What printers are given beside PDFs becomes a PDF; and pages come off the paper of CUPS."""

import contextlib
import io
import struct
from pathlib import Path

import pikepdf
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf import printed
from e2ee_ticket.pdf.check import RECEIPT_MAX_SIZE, check_receipt
from e2ee_ticket.sources.ipp_documents import as_it_was, is_picture, to_pdf

CASES = Path(__file__).parents[2] / "data/receipts/ipp"
MM = 72 / 25.4


def sizes(pdf):
    """Return the sides of each page, in millimetres."""
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        return [
            tuple(round(float(page.MediaBox[side] - page.MediaBox[side - 2]) / MM, 1)
                  for side in (2, 3))
            for page in opened.pages
        ]  # fmt: skip


def seen(pdf, page=0, scale=1.0):
    with pypdfium2.PdfDocument(pdf) as opened:
        return opened[page].render(scale=scale).to_pil().convert("RGB")


def encoded(picture, form, **options):
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def lines(rows, size, *, urf=False):
    """Pack lines as a simple driver does: each alone, in literal and repeated pixels."""
    out = bytearray()
    for row in rows:
        out.append(0)
        pixels = [row[at : at + size] for at in range(0, len(row), size)]
        at = 0
        while at < len(pixels):
            same = 1
            while at + same < len(pixels) and pixels[at + same] == pixels[at] and same < 128:
                same += 1
            if urf and at + same == len(pixels) and pixels[at] == b"\xff" * size:
                out.append(0x80)
            elif same > 1 or at + 1 == len(pixels):
                out += bytes([same - 1]) + pixels[at]
            else:
                same = min(2, len(pixels) - at)
                out += bytes([257 - same]) + b"".join(pixels[at : at + same])
            at += same
    return bytes(out)


def pwg_page(rows, *, width, bits=8, depth=8, space=18, dots=300, order=">"):
    head = bytearray(1796)
    head[:9] = b"PwgRaster"
    struct.pack_into(f"{order}2I", head, 276, dots, dots)
    stride = len(rows[0])
    struct.pack_into(f"{order}6I", head, 372, width, len(rows), 0, depth, bits, stride)
    struct.pack_into(f"{order}2I", head, 396, 0, space)
    return bytes(head) + lines(rows, max(1, bits // 8))


def urf_page(rows, *, width, channels=1, dots=300):
    head = bytearray(32)
    head[0], head[1] = 8 * channels, 0 if channels == 1 else 1
    struct.pack_into(">3I", head, 12, width, len(rows), dots)
    return bytes(head) + lines(rows, channels, urf=True)


def test_a_tall_picture_keeps_its_dots_and_is_as_wide_as_the_paper():
    pdf = printed.to_pdf((CASES / "81-tall-picture-for-lp.png").read_bytes(), RECEIPT_MAX_SIZE)

    check_receipt(pdf)
    assert sizes(pdf) == [(72.0, 375.0)]
    with Image.open(CASES / "81-tall-picture-for-lp.png") as picture:
        shown = seen(pdf, scale=203.2 / 72)
        assert abs(shown.width - picture.width) <= 1
        for at in ((10, 10), (288, 1500), (500, 2900)):
            assert shown.getpixel(at) == picture.convert("RGB").getpixel(at)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (encoded(Image.new("RGB", (400, 200), "red"), "PNG"), (50.0, 25.0)),
        (encoded(Image.new("RGBA", (400, 200), (0, 0, 0, 0)), "PNG"), (50.0, 25.0)),
        (encoded(Image.new("L", (600, 900), 0), "PNG", dpi=(300, 300)), (50.8, 76.2)),
        (encoded(Image.new("1", (1680, 800), 0), "PNG"), (210.0, 100.0)),
        (encoded(Image.new("RGB", (600, 300), "blue"), "JPEG", dpi=(150, 150)), (101.6, 50.8)),
        (encoded(Image.new("P", (400, 200), 3), "PNG"), (50.0, 25.0)),
    ],
)
def test_a_picture_is_as_large_as_it_says_or_as_a_receipt_printer_prints_it(data, size):
    assert is_picture(data)
    assert sizes(printed.to_pdf(data, RECEIPT_MAX_SIZE)) == [size]


@pytest.mark.parametrize("name", ["cups-a4.pwg", "cups-a4.urf"])
def test_what_cups_makes_of_a_page_is_read(name):
    data = (CASES / name).read_bytes()

    pdf = printed.to_pdf(data, RECEIPT_MAX_SIZE)

    assert is_picture(data)
    (size,) = sizes(pdf)
    assert size == (210.0, 297.0)
    tones = seen(pdf).convert("L").getextrema()
    assert tones[0] < 64
    assert tones[1] == 255


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize(
    ("options", "ink", "paper"),
    [
        ({"space": 18}, b"\0", b"\xff"),
        ({"space": 3}, b"\xff", b"\0"),
        ({"space": 19, "bits": 24}, b"\0\0\0", b"\xff\xff\xff"),
    ],
)
def test_every_kind_of_pwg_raster_is_black_where_it_is_black(order, options, ink, paper):
    rows = [ink * 600 + paper * 600] * 300 + [paper * 1200] * 300
    sync = b"RaS2" if order == ">" else b"2SaR"
    data = sync + pwg_page(rows, width=1200, order=order, **options)

    pdf = printed.to_pdf(data, RECEIPT_MAX_SIZE)

    assert sizes(pdf) == [(101.6, 50.8)]
    page = seen(pdf)
    assert page.getpixel((20, 20)) == (0, 0, 0)
    assert page.getpixel((page.width - 20, 20)) == (255, 255, 255)
    assert page.getpixel((20, page.height - 20)) == (255, 255, 255)


def test_black_and_white_raster_has_a_bit_a_dot():
    rows = [b"\xff" * 10 + b"\0" * 10] * 100
    data = b"RaS2" + pwg_page(rows, width=160, bits=1, depth=1, space=3, dots=100)

    page = seen(printed.to_pdf(data, RECEIPT_MAX_SIZE))

    assert page.getpixel((5, 5)) == (0, 0, 0)
    assert page.getpixel((page.width - 5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("channels", [1, 3])
def test_urf_is_read_with_as_many_pages_as_it_says_or_says_not(channels):
    rows = [b"\0" * channels * 300 + b"\xff" * channels * 1200] * 200
    page = urf_page(rows, width=1500, channels=channels)

    for count in (2, 0):
        pdf = printed.to_pdf(b"UNIRAST\0" + struct.pack(">I", count) + page * 2, RECEIPT_MAX_SIZE)

        assert sizes(pdf) == [(127.0, 16.9)] * 2
        assert seen(pdf, 1).getpixel((5, 5)) == (0, 0, 0)


def test_a_roll_is_cut_below_what_is_printed_on_it():
    ink, blank = b"\0" * 945, b"\xff" * 945
    data = b"RaS2" + pwg_page([ink] * 354 + [blank] * 3154, width=945)

    (size,) = sizes(printed.to_pdf(data, RECEIPT_MAX_SIZE))

    assert size[0] == 80.0
    assert 35 < size[1] < 37


def test_a_photograph_becomes_smaller_where_it_would_fit_no_receipt():
    noise = Image.effect_noise((1600, 1600), 90).convert("RGB")
    noise.putpixel((0, 0), (255, 0, 0))
    data = encoded(noise, "PNG")

    pdf = printed.to_pdf(data, 1_000_000)

    assert len(pdf) <= 1_000_000
    assert len(sizes(pdf)) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"RaS2",
        b"RaS2" + bytes(1796),
        b"RaS2" + bytes(100),
        b"UNIRAST\0",
        b"UNIRAST\0\0\0\0\1",
        b"UNIRAST\0\0\0\0\1" + bytes(32),
        b"RaS2" + pwg_page([b"\0" * 10] * 3, width=10)[:-1],
        b"RaS2" + pwg_page([b"\0" * 10] * 3, width=11),
        b"RaS2" + pwg_page([b"\0" * 10] * 3, width=10, space=6),
        b"RaS2" + pwg_page([b"\0" * 10] * 3, width=10, dots=7),
        encoded(Image.new("1", (8000, 8000)), "PNG"),
    ],
)
def test_what_is_damaged_or_far_too_large_is_no_receipt(data):
    with pytest.raises(printed.Unreadable):
        printed.to_pdf(data, RECEIPT_MAX_SIZE)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"RaS2", b"2SaR", b"UNIRAST\0\0\0\0\0"]))
def test_any_bytes_are_read_or_refused(data, start):
    with contextlib.suppress(printed.Unreadable):
        assert printed.to_pdf(start + data, RECEIPT_MAX_SIZE).startswith(b"%PDF")


async def test_the_child_makes_the_pdf():
    data = encoded(Image.new("RGB", (400, 200), "red"), "PNG")

    assert sizes(await to_pdf(data)) == [(50.0, 25.0)]
    with pytest.raises(ReceiptError, match="cannot be made a receipt"):
        await to_pdf(b"RaS2")


@pytest.mark.parametrize(
    ("name", "size"), [("a4", (210.0, 297.0)), ("r80", (80.0, 36.0)), ("r80long", (80.0, 420.0))]
)
async def test_a_page_comes_off_the_paper_of_cups(name, size):
    put = (CASES / f"pdftopdf-{name}.pdf").read_bytes()

    pdf = await as_it_was(put)

    assert sizes(pdf) == [size]
    with pypdfium2.PdfDocument(pdf) as opened:
        assert f"{name} Total 12,00" in opened[0].get_textpage().get_text_bounded()
    page = seen(pdf)
    wide, high = page.size
    # The frame drawn a millimetre within the page's edges is on all four sides.
    for at in ((wide // 2, 3), (wide // 2, high - 4), (3, high // 2), (wide - 4, high // 2)):
        box = (at[0] - 3, at[1] - 3, at[0] + 3, at[1] + 3)
        assert page.crop(box).convert("L").getextrema()[0] < 160


async def test_any_other_pdf_stays_byte_for_byte():
    plain = printed.to_pdf(encoded(Image.new("L", (80, 80)), "PNG"), RECEIPT_MAX_SIZE)
    broken = b"%PDF-1.3\n% This file was generated by pdftopdf\n and nothing more"

    assert await as_it_was(plain) == plain
    assert await as_it_was(broken) == broken


def test_a_page_that_is_not_made_by_cups_alone_stays_as_it_is():
    with pikepdf.open(CASES / "pdftopdf-r80.pdf") as pdf:
        page = pdf.pages[0]
        page.contents_add(b"0 0 m 9 9 l S")
        printed.off_the_paper(pdf)

        assert float(page.MediaBox[3]) > 800
