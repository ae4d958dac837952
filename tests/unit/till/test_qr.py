import importlib
import io
import re
import subprocess
import sys

import numpy as np
import pytest
import stage
import zxingcpp
from PIL import Image

from e2ee_ticket import qr
from e2ee_ticket.protocol.channel import PairingLink, PairingSecret
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.secret import Secret

SHORT = "https://tickets.example"  # 25 characters with the /#: the longest for version 4
LONG = "https://" + "a-shop-with-a-long-name." * 5 + "example"


def link(page: str = SHORT) -> Link:
    return Link(page, Secret(bytes(range(32))))


def read_with_zxing(picture: Image.Image) -> str | None:
    found = zxingcpp.read_barcode(np.asarray(picture.convert("L")))
    return found.text if found else None


def read_with_zbar(picture: Image.Image) -> str | None:
    pyzbar = stage.zbar()
    found = pyzbar.decode(picture.convert("L"), symbols=[pyzbar.ZBarSymbol.QRCODE])
    return found[0].data.decode("ascii") if found else None


def paint_terminal(text: str) -> Image.Image:
    """Paint what a terminal of a dark theme shows: each character 8 by 16 pixels."""
    lines = text.splitlines()
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    picture = Image.new("L", (8 * max(map(len, plain)) + 64, 16 * len(plain) + 64), 0)
    for y, line in enumerate(plain):
        for x, character in enumerate(line):
            left, top = 32 + 8 * x, 32 + 16 * y
            upper, lower = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}[character]
            picture.paste(0 if upper else 255, (left, top, left + 8, top + 8))
            picture.paste(0 if lower else 255, (left, top + 8, left + 8, top + 16))
    return picture


def paint_svg(text: str) -> Image.Image:
    """Paint the two kinds of path that the drawing has, eight pixels to a module."""
    (size,) = {int(side) for side in re.findall(r'viewBox="0 0 (\d+) (\d+)"', text)[0]}
    background = re.search(r'<path fill="#fff" d="M0 0h(\d+)v(\d+)h-\d+z"/>', text)
    assert background is not None
    picture = Image.new("L", (8 * size, 8 * size), 255)
    strokes = re.search(r'class="qrline" stroke="#000" d="([^"]+)"', text)
    assert strokes is not None
    x = y = 0.0
    for command, arguments in re.findall(r"([Mmh])([-0-9. ]+)", strokes[1]):
        numbers = [float(number) for number in re.findall(r"-?[0-9.]+", arguments)]
        if command == "M":
            x, y = numbers
        elif command == "m":
            x, y = x + numbers[0], y + numbers[1]
        else:
            box = (8 * x, 8 * y - 4, 8 * (x + numbers[0]), 8 * y + 4)
            picture.paste(0, tuple(int(side) for side in box))
            x += numbers[0]
    return picture


@pytest.mark.rule("T10")
@pytest.mark.parametrize("read", [read_with_zxing, read_with_zbar])
@pytest.mark.parametrize("page", [SHORT, LONG, "http://127.0.0.1:8080"])
def test_two_readers_read_the_link_from_every_drawing(read, page: str):
    made = link(page)
    code = qr.make(made)

    png = read(Image.open(io.BytesIO(qr.to_png(code))))
    terminal = read(paint_terminal(qr.to_terminal(code)))
    svg = read(paint_svg(qr.to_svg(code)))

    assert png == terminal == svg == made.reveal()


@pytest.mark.rule("T10")
def test_a_code_has_level_m():
    picture = Image.open(io.BytesIO(qr.to_png(qr.make(link()))))

    found = zxingcpp.read_barcode(np.asarray(picture.convert("L")))

    assert found is not None
    assert found.ec_level == "M"


@pytest.mark.rule("T10")
@pytest.mark.parametrize(
    ("length", "version"),
    [(25, 4), (26, 5), (47, 5), (48, 6)],
)
def test_a_prefix_costs_no_more_modules_than_two_segments_do(length: int, version: int):
    page = "https://" + "a" * (length - len("https:///#"))

    assert qr.make(link(page)).version == version


def test_a_pairing_link_is_made_the_same_way():
    pairing = PairingLink(SHORT, PairingSecret(bytes(range(32))))

    code = qr.make(pairing)

    assert read_with_zxing(Image.open(io.BytesIO(qr.to_png(code)))) == pairing.reveal()


@pytest.mark.parametrize("page", [SHORT, "https://" + "a" * 37])
def test_a_terminal_of_80_by_24_holds_the_code_and_a_prompt(page: str):
    lines = qr.to_terminal(qr.make(link(page))).splitlines()

    assert len(lines) <= 23
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines) <= 80


def test_a_terminal_is_left_as_it_was():
    for line in qr.to_terminal(qr.make(link())).splitlines():
        assert line.startswith("\x1b[38;5;16;48;5;231m")
        assert line.endswith("\x1b[0m")


def test_a_png_is_as_large_as_asked_for():
    code = qr.make(link())

    small = Image.open(io.BytesIO(qr.to_png(code, scale=3)))
    usual = Image.open(io.BytesIO(qr.to_png(code)))

    assert small.size == (3 * 41, 3 * 41)
    assert usual.size == (10 * 41, 10 * 41)


def run_python(code: str) -> str:
    command = [sys.executable, "-I", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_importing_it_loads_nothing_of_the_network():
    names = run_python("import sys, e2ee_ticket.qr; print(*sys.modules)").split()

    assert not {"ssl", "http.client", "email", "aiohttp", "urllib.request"} & set(names)


def test_what_was_left_out_is_whole_when_somebody_needs_it():
    code = """
import e2ee_ticket.qr
from xml.sax import parseString, ContentHandler, saxutils
import urllib.request
parseString(b"<a/>", ContentHandler())
print(saxutils.urllib.request.urlopen.__name__, urllib.request.getproxies.__name__)
"""

    assert run_python(code).split()[0] == "urlopen"


def test_a_stand_in_is_gone_when_segno_is_there(monkeypatch: pytest.MonkeyPatch):
    for name in [*sys.modules]:
        if name.partition(".")[0] == "segno" or name in ("urllib.request", "xml.sax.saxutils"):
            monkeypatch.delitem(sys.modules, name)

    assert qr._import_segno().make("x", micro=False).version == 1
    assert not {"urllib.request", "xml.sax.saxutils"} & set(sys.modules)


def test_modules_that_are_loaded_already_are_left_alone():
    loaded = importlib.import_module("urllib.request")

    assert qr._import_segno().__name__ == "segno"
    assert sys.modules["urllib.request"] is loaded
