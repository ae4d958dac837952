"""Receipts in a receipt printer's dots, read back with the decoder of receipt printers' bytes."""

import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import hostile_pdf
import pikepdf
import pypdfium2
import pytest
import zxingcpp
from PIL import Image, ImageChops

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf import child, sandbox, walls
from e2ee_ticket.pdf.draw import draw_receipt, sample_receipt
from e2ee_ticket.pdf.draw_roll import draw_roll
from e2ee_ticket.pdf.raster import DOTS, LENGTH_MAX, to_escpos
from e2ee_ticket.pdf.roll import Code, Roll, Row, Run
from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.escpos import decode
from e2ee_ticket.sources.takepos_receipts import read_job, read_receipt_page

DATA = Path(__file__).parents[2] / "data"
INIT, FEED_AND_CUT = b"\x1b@", b"\x1bd\x05\x1dV\x01"
STRIDE = DOTS // 8
DOTS_A_POINT = 8 * 25.4 / 72
SHOP = Shop(name="Épicerie", lang="fr")


def of_takepos() -> bytes:
    first = (DATA / "takepos_connector_html.jsonl").read_text("utf-8").splitlines()[0]
    return read_receipt_page(json.loads(first)["body"], SHOP, "EUR").receipt


def of_a_printer() -> bytes:
    job = (DATA / "takepos_receiptprinter_9100.bin").read_bytes()
    return read_job(job, SHOP, "EUR", code_page="cp858").receipt


def of_a_program() -> bytes:
    return draw_receipt(sample_receipt("fr"))


@dataclass
class Printed:
    """What comes out of the printer; a black dot is 0."""

    paper: Image.Image
    bands: list[int]


def show(data: bytes, dots: int = DOTS) -> Printed:
    """Read the bytes as a printer does, which knows these commands and no others."""
    assert data.startswith(INIT)
    assert data.endswith(FEED_AND_CUT)
    at, bands, black = len(INIT), [], bytearray()
    while at < len(data) - len(FEED_AND_CUT):
        head = data[at : at + 8]
        assert head[:6] == b"\x1dv0\0" + (dots // 8).to_bytes(2, "little")
        bands.append(int.from_bytes(head[6:], "little"))
        end = at + 8 + dots // 8 * bands[-1]
        black += data[at + 8 : end]
        at = end
    assert at == len(data) - len(FEED_AND_CUT)
    paper = Image.frombytes("1", (dots, sum(bands)), bytes(255 - byte for byte in black))
    return Printed(paper.convert("L"), bands)


def ink_of(paper: Image.Image) -> tuple[int, int, int, int]:
    """Find the box of what is black: left, top, right, bottom."""
    box = ImageChops.invert(paper).getbbox()
    assert box is not None
    return box


async def test_a_decoder_of_receipt_printers_reads_the_same_picture():
    data = await to_escpos(of_a_program())

    (picture,) = decode(data).items

    white = bytes(255 - byte for byte in picture.data)
    seen = Image.frombytes("1", (picture.width, picture.height), white)
    assert seen.convert("L").tobytes() == show(data).paper.tobytes()


async def printed(receipt: bytes, dots: int = DOTS) -> Image.Image:
    return show(await to_escpos(receipt, dots=dots), dots).paper


# What comes out


@pytest.mark.parametrize("make", [of_takepos, of_a_printer, of_a_program])
async def test_an_80_mm_receipt_comes_out_in_its_own_size_dot_for_dot(make):
    receipt = make()

    paper = await printed(receipt)

    drawn = pypdfium2.PdfDocument(receipt)[0].render(scale=DOTS_A_POINT, grayscale=True).to_pil()
    top = ink_of(drawn.point([0 if value < 160 else 255 for value in range(256)]))[1]
    assert drawn.width == 640
    assert differences(paper, drawn, 32, top) < 0.15
    for x, y in ((-1, 0), (1, 0), (0, -1), (0, 1)):  # so one dot beside it, it is another picture
        assert differences(paper, drawn, 32 + x, top + y) > 0.25


def differences(paper: Image.Image, drawn: Image.Image, x: int, y: int) -> float:
    """Tell how many dots, for each that is clearly black, are the other on paper."""
    seen = drawn.crop((x, y, x + paper.width, y + paper.height))
    clear = [
        (count, dot != (0 if gray < 64 else 255))
        for count, (dot, gray) in Image.merge("LA", (paper, seen)).getcolors(65536)
        if gray < 64 or (gray > 224 and dot == 0)
    ]
    return sum(count * other for count, other in clear) / sum(count for count, _ in clear)


async def test_a_millimetre_is_eight_dots():
    millimetre = 72 / 25.4
    box = b"%f %f %f %f re f" % tuple(n * millimetre for n in (10, 30, 20, 40))

    paper = await printed(page(80, 100, box))

    # The paper's first dot is 4 mm from its edge; what is white above is left out.
    assert ink_of(paper) == pytest.approx((48, 0, 208, 320), abs=1)
    assert paper.height == pytest.approx(320, abs=1)


def page(width: float, height: float, content: bytes) -> bytes:
    box = b"0 0 %f %f" % tuple(side * 72 / 25.4 for side in (width, height))
    return hostile_pdf.one_page(content, box=box)


async def test_narrow_paper_is_in_the_middle():
    left, _, right, _ = ink_of(await printed(page(58, 50, b"0 0 400 20 re f")))

    assert (left, right) == (pytest.approx(56, abs=1), pytest.approx(520, abs=1))


async def test_what_stands_at_the_edge_of_the_paper_is_not_cut_off():
    left, _, right, _ = ink_of(await printed(page(80, 50, b"0 0 60 9 re f")))

    assert (left, right) == (0, pytest.approx(60 * DOTS_A_POINT, abs=4))


@pytest.mark.parametrize("name", ["dolibarr_takepos_invoice.pdf", "dolibarr_sponge_invoice.pdf"])
async def test_an_a4_page_is_as_wide_as_the_paper_without_its_white_margins(name: str):
    paper = await printed((DATA / name).read_bytes())

    left, top, right, bottom = ink_of(paper)
    assert (left, top) == (pytest.approx(0, abs=3), 0)
    assert (right, bottom) == (pytest.approx(DOTS, abs=3), paper.height)
    assert 700 < paper.height < 1000


async def test_all_pages_come_one_below_the_other_in_one_size():
    wide = b"30 800 535 20 re f"
    paper = await printed(pages(wide + b" 30 30 9 9 re f", b"30 800 100 20 re f"))

    stretched = 576 / 535
    first = round((820 - 30) * stretched)
    assert paper.height == pytest.approx(first + 4 * 8 + 20 * stretched, abs=6)
    bar = paper.crop((0, first + 20, DOTS, paper.height))
    left, _, right, _ = ink_of(bar)
    assert (left, right) == (pytest.approx(0, abs=3), pytest.approx(100 * stretched, abs=4))


def pages(*contents: bytes) -> bytes:
    kids = b" ".join(b"%d 0 R" % (3 + 2 * n) for n in range(len(contents)))
    found = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, len(contents)),
    }
    for n, content in enumerate(contents):
        found[3 + 2 * n] = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R>>" % (
            4 + 2 * n
        )
        found[4 + 2 * n] = hostile_pdf.stream(content)
    return hostile_pdf.build(found)


async def test_blank_pages_use_no_paper():
    bar = b"30 400 535 20 re f"

    assert (await printed(pages(bar, b"", bar))).height == (await printed(pages(bar, bar))).height


async def test_a_roll_of_a_metre_is_sent_in_small_bands_without_a_seam():
    result = show(await to_escpos(page(80, 1000, b"100 9 3 2800 re f")))

    assert max(result.bands) == 255
    assert len(result.bands) > 30
    line = result.paper.crop((252, 0, 257, result.paper.height))
    assert line.height == pytest.approx(2800 * DOTS_A_POINT, abs=3)
    assert line.getcolors() == [(5 * line.height, 0)]


async def test_a_shade_is_paper_and_what_is_written_on_it_stays():
    shade = b"0.85 g 0 0 200 200 re f 0 g 50 50 20 20 re f"
    bar = b"0 g 0 0 200 200 re f 1 g 50 50 20 20 re f"

    on_shade = await printed(page(80, 80, shade))
    on_black = await printed(page(80, 80, bar))

    assert ink_of(on_shade) == pytest.approx((141, 0, 198, 57), abs=2)
    assert ink_of(ImageChops.invert(on_black.crop((0, 0, 500, 500)))) == pytest.approx(
        (141, 367, 198, 423), abs=2
    )


async def test_a_qr_code_on_a_receipt_can_be_scanned_from_paper():
    text = "https://receipts.example/guarantee?number=2026-004217"
    roll = draw_roll(Roll((Row((Run("Au Petit Marché"),), "center"), Code("qr", text))))

    paper = await printed(roll)

    found = zxingcpp.read_barcodes(paper)
    assert [code.text for code in found] == [text]


# Other printers


@pytest.mark.parametrize(
    ("dots", "across"),
    # Lines of ours are 68 mm: at 180 dpi in their size, on 58 mm paper as wide as it prints.
    [(576, 544), (512, 484), (384, 379)],
)
async def test_printers_with_fewer_dots_get_as_many_as_they_have(dots: int, across: int):
    paper = await printed(of_a_program(), dots)

    left, _, right, _ = ink_of(paper)
    assert paper.width == dots
    assert right - left == pytest.approx(across, abs=4)


@pytest.mark.parametrize("dots", [0, -8, 577, 2048])
async def test_no_number_of_dots_is_an_error_of_the_caller(dots: int):
    with pytest.raises(ValueError, match="is no number of dots"):
        await to_escpos(of_a_program(), dots=dots)


# What cannot be printed


async def test_what_is_encrypted_is_refused_with_a_sentence():
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(of_a_program())) as pdf:
        pdf.save(out, encryption=pikepdf.Encryption(user="secret", owner="secret"))

    with pytest.raises(ReceiptError) as caught:
        await to_escpos(out.getvalue())

    assert str(caught.value) == "the receipt printer cannot print this receipt: it is encrypted"


@pytest.mark.parametrize(
    ("receipt", "why"),
    [
        (b"", "cannot be read"),
        (b"hello", "cannot be read"),
        (hostile_pdf.one_page(), "blank"),
        (hostile_pdf.ten_thousand_pages(), "longer than a receipt can be on paper"),
        (page(80, LENGTH_MAX + 10, b"0 0 200 14000 re f"), "longer than a receipt can be on paper"),
        (pages(*[b"0 0 595 842 re f"] * 40), "longer than a receipt can be on paper"),
    ],
    ids=["nothing", "a text", "blank", "pages", "one long page", "many pages"],
)
async def test_what_cannot_be_printed_is_refused_with_a_sentence(receipt: bytes, why: str):
    with pytest.raises(ReceiptError, match=why):
        await to_escpos(receipt)


async def test_four_metres_are_printed():
    paper = await printed(page(80, LENGTH_MAX, b"100 100 1 11130 re f"))

    assert 31_000 < paper.height <= LENGTH_MAX * 8


@pytest.mark.parametrize("make", hostile_pdf.ALL, ids=lambda make: make.__name__)
async def test_a_hostile_pdf_is_a_picture_or_a_sentence(make):
    try:
        data = await to_escpos(make(), timeout=2.0)
    except ReceiptError as error:
        assert str(error).startswith("the receipt printer cannot print this receipt: it ")  # noqa: PT017 - either is well
    else:
        assert show(data).paper.height <= LENGTH_MAX * 8


PEAK = """
import asyncio, pathlib, resource, sys
from e2ee_ticket.pdf import sandbox
from e2ee_ticket.pdf.raster import to_escpos

asyncio.run(to_escpos(pathlib.Path(sys.argv[1]).read_bytes()))
sandbox.end_warm()  # with it, all that it made are counted
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits of this kind")
def test_a_long_receipt_takes_no_more_memory_than_a_bomb_is_given(tmp_path):
    receipt = tmp_path / "long.pdf"
    receipt.write_bytes(page(80, LENGTH_MAX, b"100 100 50 11130 re f"))

    # In a process of its own, which counts the children of no other test.
    peak = int(subprocess.check_output([sys.executable, "-c", PEAK, receipt]))

    assert 0 < peak * 1024 < walls.MEMORY_SIZE


@pytest.fixture
def taken_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Put a program of a PDF's own in the child's place."""

    def put(program: str) -> None:
        taken = tmp_path / "child.py"
        taken.write_text(f"import sys\nsys.stdout.buffer.write({program})")
        monkeypatch.setattr(sandbox, "CHILD", taken)
        monkeypatch.setattr(sandbox, "WARM", False)  # a program that does one task

    return put


async def test_a_child_that_a_pdf_has_taken_over_cannot_command_the_printer(taken_over):
    taken_over("b'\\x1bp\\x00\\x19\\xfa'.ljust(72 * 300, b'!')")

    result = show(await to_escpos(of_a_program()))

    assert result.bands == [255, 45]  # the drawer's pulse is a few dots, and nothing else


@pytest.mark.parametrize("program", ["b'!' * 73", "b'!' * 72 * 32001"])
async def test_a_child_that_a_pdf_has_taken_over_cannot_print_what_is_no_picture(
    taken_over, program: str
):
    taken_over(program)

    with pytest.raises(ReceiptError, match=r"not a picture|too large"):
        await to_escpos(of_a_program())


# What the child does, seen from inside


def test_a_page_is_drawn_in_strips_that_fit_together(monkeypatch: pytest.MonkeyPatch):
    receipt = of_a_program()
    whole = child.raster(receipt, DOTS, 72, 32_000)

    monkeypatch.setattr(child, "STRIP_ROWS", 37)

    assert child.raster(receipt, DOTS, 72, 32_000) == whole
    assert len(whole) > 37 * STRIDE * 10


@pytest.mark.parametrize(
    ("receipt", "code"),
    [
        (hostile_pdf.garbage(), child.UNREADABLE),
        (hostile_pdf.ten_thousand_pages(), child.TOO_LONG),
        (page(80, 50, b"0 0 60 9 re f"), None),
    ],
    ids=["garbage", "pages", "a receipt"],
)
def test_a_failure_has_its_code(receipt: bytes, code: int | None):
    sink = io.BytesIO()

    result = child.work(child.load_raster(DOTS, 72, 32_000), io.BytesIO(receipt), sink)

    assert result == (code or 0)
    assert bool(sink.getvalue()) == (code is None)
