"""Pictures that stand inside a receipt's page, decoded in a process of its own."""

import base64
import io
import struct
import zlib

import pytest
from PIL import Image, ImageDraw

from e2ee_ticket.pdf import child, sandbox
from e2ee_ticket.sources import pictures


def drawing(mode="L", size=(40, 20)):
    """Return a black square in the left half of white paper."""
    picture = Image.new(mode, size, "white")
    ImageDraw.Draw(picture).rectangle((4, 4, 15, 15), fill="black")
    return picture


def written(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def address(data, kind):
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}),
        ("GIF", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 95}),
    ],
)
def test_every_kind_of_picture_that_pages_have_is_read_in_there(kind, options):
    data = written(drawing("RGB" if kind != "GIF" else "L"), kind, **options)

    picture = pictures.read_data_picture(address(data, kind.lower()))

    assert (picture.width, picture.height) == (80, 40)
    dots = Image.frombytes("1", (80, 40), picture.data)
    left, top, right, bottom = dots.getbbox()
    assert (left, top, right, bottom) == pytest.approx((8, 8, 32, 32), abs=2)


def test_a_moving_picture_stands_still():
    first, second = drawing(), Image.new("L", (40, 20), "black")
    data = written(first, "GIF", save_all=True, append_images=[second], duration=100)

    assert pictures.decode_picture(data) == pictures.decode_picture(written(first, "PNG"))


@pytest.mark.parametrize(
    ("width", "size"),
    [("", (80, 40)), ("20", (40, 20)), ("0", (2, 1)), ("9999", (576, 288)), ("50%", (80, 40))],
)
def test_it_is_as_wide_as_the_page_wants_and_no_wider_than_paper(width, size):
    picture = pictures.decode_picture(written(drawing(), "PNG"), width)

    assert (picture.width, picture.height) == size


def test_a_very_tall_one_is_made_smaller():
    picture = pictures.decode_picture(written(drawing(size=(20, 2000)), "PNG"))

    assert (picture.width, picture.height) == (10, 1000)


def bomb() -> bytes:
    """Return a PNG of 30,000 by 30,000 white pixels in few bytes."""

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(3751) * 30_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"II*\0" + bytes(100),
        bomb(),
        written(drawing(), "PNG")[:60],
        written(drawing(), "TIFF"),
        written(drawing(), "PPM"),
    ],
    ids=["nothing", "a head", "svg", "half a tiff", "a bomb", "a half", "tiff", "ppm"],
)
def test_what_is_none_or_too_much_is_left_out(data):
    assert pictures.decode_picture(data) is None
    with pytest.raises(child.Failure) as caught:
        child.dots(data, 0, 1000)
    assert caught.value.code == child.UNREADABLE


@pytest.mark.parametrize(
    "result",
    [b"", b"\x00\x08\x00\x01", b"\x00\x08\x00\x01\xff\xff", b"\xff\xff\x00\x01" + b"x" * 72],
)
def test_a_child_that_a_picture_has_taken_over_draws_nothing_of_its_own(
    monkeypatch, tmp_path, result
):
    path = tmp_path / "child.py"
    path.write_text(f"import sys\nsys.stdout.buffer.write({result!r})")
    monkeypatch.setattr(sandbox, "CHILD", path)
    monkeypatch.setattr(sandbox, "WARM", False)

    assert pictures.decode_picture(written(drawing(), "PNG")) is None


def test_the_till_itself_decodes_none(monkeypatch):
    monkeypatch.setattr(Image, "open", None)

    assert pictures.decode_picture(written(drawing(), "PNG")) is not None
