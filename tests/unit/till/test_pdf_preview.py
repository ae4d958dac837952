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
        (hostile_pdf.one_page, None),
    ],
)
def test_a_failure_has_its_code(make, code: int | None):
    sink = io.BytesIO()

    result = child.work(child.load_picture(MAX_SIZE, 900), io.BytesIO(make()), sink)

    assert result == (code or 0)
    assert bool(sink.getvalue()) == (code is None)


def test_a_picture_that_cannot_fit_has_its_code():
    with pytest.raises(child.Failure) as caught:
        child.picture(INVOICE, 500, 900)

    assert caught.value.code == child.UNFIT


def test_memory_that_runs_out_has_its_code():
    def task(_receipt: bytes) -> bytes:
        raise MemoryError

    assert child.work(task, io.BytesIO(), io.BytesIO()) == child.EXHAUSTED
