import io
import sys
from pathlib import Path

import hostile_pdf
import pikepdf
import pytest
from PIL import Image

from e2ee_ticket.pdf import child, sandbox, walls
from e2ee_ticket.pdf.preview import MAX_SIZE, make_preview, preview

DATA = Path(__file__).parents[2] / "data"
INVOICE = (DATA / "dolibarr_takepos_invoice.pdf").read_bytes()


def open_picture(picture: bytes | None) -> Image.Image:
    assert picture is not None
    return Image.open(io.BytesIO(picture))


def encrypted() -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(INVOICE)) as pdf:
        pdf.save(out, encryption=pikepdf.Encryption(user="secret", owner="secret"))
    return out.getvalue()


@pytest.mark.parametrize("name", ["dolibarr_takepos_invoice.pdf", "dolibarr_sponge_invoice.pdf"])
async def test_a_real_invoice_is_a_wide_small_picture(name: str):
    picture = await preview((DATA / name).read_bytes())

    assert picture is not None
    assert len(picture) <= MAX_SIZE
    assert open_picture(picture).size == (900, 1273)


def test_it_works_where_no_loop_runs():
    assert open_picture(make_preview(INVOICE)).width == 900


async def test_the_same_receipt_has_the_same_picture():
    assert await preview(INVOICE) == await preview(INVOICE)


async def test_a_picture_shrinks_until_it_fits():
    picture = await preview(INVOICE, max_size=10_000)

    assert picture is not None
    assert len(picture) <= 10_000
    assert 300 < open_picture(picture).width < 900


async def test_a_picture_that_would_not_be_legible_is_none():
    reasons: list[str] = []

    assert await preview(INVOICE, max_size=500, report=reasons.append) is None
    assert reasons == ["no picture of the receipt: no legible picture of it is small enough"]


async def test_an_encrypted_receipt_has_no_picture_and_says_so():
    reasons: list[str] = []

    assert await preview(encrypted(), report=reasons.append) is None
    assert reasons == ["no picture of the receipt: it is encrypted"]


async def test_what_is_no_pdf_has_no_picture():
    assert await preview(b"") is None
    assert await preview(b"hello") is None


@pytest.mark.parametrize("make", hostile_pdf.ALL, ids=lambda make: make.__name__)
async def test_a_hostile_pdf_is_a_picture_or_none_and_never_an_error(make):
    reasons: list[str] = []

    picture = await preview(make(), timeout=2.0, report=reasons.append)

    assert (picture is None) == bool(reasons)
    assert picture is None or len(picture) <= MAX_SIZE


async def test_a_drawing_without_end_is_stopped_in_time():
    reasons: list[str] = []

    assert await preview(hostile_pdf.endless_drawing(), timeout=0.3, report=reasons.append) is None
    assert reasons == ["no picture of the receipt: it takes too long"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits of this kind")
async def test_a_bomb_takes_no_more_memory_than_it_is_given():
    import resource

    await preview(hostile_pdf.image_bomb(), timeout=5.0)

    sandbox.end_warm()  # with it, all that it made are counted
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert peak < walls.MEMORY_SIZE


async def test_a_roll_is_shown_whole():
    roll = hostile_pdf.one_page(b"0 0 100 3000 re f", box=b"0 0 227 3000")

    picture = open_picture(await preview(roll))

    assert picture.height / picture.width == pytest.approx(3000 / 227, rel=0.02)
    assert picture.height <= child.HEIGHT_MAX
    assert picture.width * picture.height <= child.PIXELS_MAX * 1.01


async def test_a_child_that_a_pdf_has_taken_over_shows_no_picture_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    taken = tmp_path / "child.py"
    taken.write_text("print('<script>')")
    monkeypatch.setattr(sandbox, "CHILD", taken)
    monkeypatch.setattr(sandbox, "WARM", False)  # a program that does one task
    reasons: list[str] = []

    assert await preview(INVOICE, report=reasons.append) is None
    assert await preview(INVOICE) is None
    assert reasons == ["no picture of the receipt: what came is not a picture"]


# What the child does, seen from inside


def test_a_gray_page_has_sixteen_shades_and_white_is_white():
    receipt = hostile_pdf.one_page(b"0.5 g 20 20 100 100 re f 0 g 150 20 50.3 50.7 re f")

    picture = open_picture(child.picture(receipt, MAX_SIZE, 300))

    assert picture.mode == "P"
    assert picture.info.get("transparency") is None
    colours = {colour for _, colour in picture.convert("RGB").getcolors()}
    assert (255, 255, 255) in colours
    assert (0, 0, 0) in colours
    assert len(colours) <= 16


def test_a_coloured_page_keeps_its_colours_and_white_is_white():
    receipt = hostile_pdf.one_page(b"0.9 0.1 0.1 rg 20 20 150 200 re f 0 0 0.4 rg 9 300 99 40 re f")

    picture = open_picture(child.picture(receipt, MAX_SIZE, 300)).convert("RGB")

    colours = {colour for _, colour in picture.getcolors()}
    assert (255, 255, 255) in colours
    assert any(red > 200 and green < 60 for red, green, _ in colours)
    assert any(blue > 80 and red < 30 for red, _, blue in colours)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (encrypted, child.ENCRYPTED),
        (hostile_pdf.garbage, child.UNREADABLE),
        (hostile_pdf.one_page, child.BLANK),
        (lambda: hostile_pdf.one_page(b"9 9 9 9 re f"), None),
    ],
)
def test_a_failure_has_its_code(make, code: int | None):
    sink = io.BytesIO()

    result = child.work(child.load_picture(MAX_SIZE, 900), io.BytesIO(make()), sink)

    assert result == (code or 0)
    assert bool(sink.getvalue()) == (code is None)


LETTERS = b"BT /F 20 Tf 20 300 Td (%b) Tj ET"
FONT = b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"1 g " + LETTERS % b"Total 12,50", child.BLANK),  # white on white
        (b"0.8 g 0 0 300 400 re f " + LETTERS % b"Total 12,50", child.THIN),  # on as light a ground
        (b"0 g 200 9 9 9 re f 1 g " + LETTERS % b"Total 12,50", child.THIN),
        (b"0 g " + LETTERS % b"Total 12,50" + b" 1 g " + LETTERS % b"Ab", None),  # a little of it
        (b"0 g 0 200 300 200 re f 1 g " + LETTERS % b"Total 12,50", None),  # white on black
        (b"0.9 0.9 0.2 rg " + LETTERS % b"Total 12,50", None),  # light, but to be seen
        (b"0 g 9 9 99 99 re f 3 Tr " + LETTERS % b"Total 12,50", None),  # what was read in a scan
        (b"0 g 0 0 3 9 re f " + LETTERS % b"", None),
    ],
)
def test_a_picture_without_the_pages_letters_is_not_shown(content: bytes, code: int | None):
    receipt = hostile_pdf.one_page(content, page=FONT)

    assert code_of(lambda: child.picture(receipt, MAX_SIZE, 300)) == code
    # What would be white is left out of a roll of paper; the rest is refused there, too.
    on_paper = code_of(lambda: child.raster(receipt, 576, 72, 32_000))
    assert on_paper == (None if code == child.BLANK else code)


def code_of(action) -> int | None:
    try:
        action()
    except child.Failure as failure:
        return failure.code
    return None


def test_what_was_filled_into_a_form_is_drawn():
    receipt = (DATA / "filled_form.pdf").read_bytes()

    shown = open_picture(child.picture(receipt, MAX_SIZE, 900)).convert("L")

    # The number and the total stand beside their names, in the right half of the page.
    fields = shown.crop((360, 80, 900, 130)), shown.crop((360, 200, 900, 250))
    for field in fields:
        assert sum(field.histogram()[:100]) > 1000
    assert shown.getpixel((0, 0)) == 255


@pytest.mark.parametrize("warm", [sandbox.WARM, False])
async def test_behind_the_walls_it_is_the_same_picture(monkeypatch, warm):
    monkeypatch.setattr(sandbox, "WARM", warm)
    for name in ("filled_form.pdf", "dolibarr_sponge_invoice.pdf"):
        receipt = (DATA / name).read_bytes()

        assert await preview(receipt) == child.picture(receipt, MAX_SIZE, 900)


def test_a_picture_that_cannot_fit_has_its_code():
    with pytest.raises(child.Failure) as caught:
        child.picture(INVOICE, 500, 900)

    assert caught.value.code == child.UNFIT


def test_memory_that_runs_out_has_its_code():
    def task(_receipt: bytes) -> bytes:
        raise MemoryError

    assert child.work(task, io.BytesIO(), io.BytesIO()) == child.EXHAUSTED
