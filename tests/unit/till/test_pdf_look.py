import io
import json
import struct
from dataclasses import replace
from pathlib import Path

import hostile_pdf
import pytest

from e2ee_ticket.pdf import child, sandbox
from e2ee_ticket.pdf.inspect import Findings, examine
from e2ee_ticket.pdf.look import look
from e2ee_ticket.pdf.preview import MAX_SIZE, preview

INVOICE = (Path(__file__).parents[2] / "data/dolibarr_takepos_invoice.pdf").read_bytes()


async def test_one_look_finds_what_two_would():
    assert await look(INVOICE) == (await examine(INVOICE), await preview(INVOICE))


@pytest.mark.parametrize("make", hostile_pdf.ALL, ids=lambda make: make.__name__)
async def test_a_hostile_pdf_is_looked_at_in_a_bounded_time(make):
    reasons: list[str] = []

    findings, picture = await look(make(), timeout=2.0, report=reasons.append)

    assert findings.failure or findings.pages
    assert (picture is None) == bool(reasons)
    assert picture is None or len(picture) <= MAX_SIZE


async def test_what_takes_too_long_to_draw_is_looked_into_all_the_same():
    receipt = hostile_pdf.endless_drawing()

    findings, picture = await look(receipt, timeout=1.5)

    assert findings == await examine(receipt)
    assert findings.pages == 1
    assert picture is None


def head_of(width, height, *, depth=4, colours=3, interlace=0):
    """Return how a PNG picture begins; those that are drawn here have 16 colours of a palette."""
    said = struct.pack(">II5B", width, height, depth, colours, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + said


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def put(program: str) -> None:
        path = tmp_path / "child.py"
        path.write_text("import sys\n" + program)
        monkeypatch.setattr(sandbox, "CHILD", path)
        monkeypatch.setattr(sandbox, "WARM", False)  # a program that does one task

    return put


@pytest.mark.parametrize(
    ("program", "failure", "why"),
    [
        ("print('<script>')", "what came is not a finding", "what came is not a finding"),
        ("print('[]')", "what came is not a finding", "what came is not a finding"),
        ("sys.exit(3)", "it is encrypted", "it is encrypted"),
        ("sys.exit(4)", "it cannot be read", "it cannot be read"),
    ],
)
async def test_a_child_that_fails_or_was_taken_over_finds_nothing(play, program, failure, why):
    play(program)
    reasons: list[str] = []

    findings, picture = await look(INVOICE, report=reasons.append)

    assert (findings.failure, picture) == (failure, None)
    assert reasons == [f"no picture of the receipt: {why}"]


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (b"5", "no legible picture of it is small enough"),
        (b"", "what came is not a picture"),
        (b"99", "what came is not a picture"),
        (b"<script>", "what came is not a picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(MAX_SIZE), "what came is not a picture"),
        (head_of(900, 8192) + bytes(MAX_SIZE), "what came is not a picture"),
        (head_of(0, 9), "what came is not a picture"),
        (head_of(902, 9), "what came is not a picture"),
        (head_of(9, 8194), "what came is not a picture"),
        (head_of(900, 8192), "what came is not a picture"),  # more dots than an old phone can hold
        (head_of(40_000, 40_000), "what came is not a picture"),
        (head_of(9, 9, depth=16, colours=6), "what came is not a picture"),
        (head_of(9, 9, interlace=1), "what came is not a picture"),
    ],
)
async def test_a_picture_that_is_none_is_not_shown(play, picture, why):
    told = json.dumps(child.findings(hostile_pdf.one_page()))
    play(f"sys.stdout.buffer.write({told!r}.encode() + b'\\n' + {picture!r})")
    reasons: list[str] = []

    assert await look(INVOICE, report=reasons.append) == (Findings(pages=1), None)
    assert await look(INVOICE) == (Findings(pages=1), None)
    assert reasons == [f"no picture of the receipt: {why}"]


async def test_what_one_library_cannot_read_is_drawn_all_the_same(play):
    picture = head_of(900, 1200) + b"..."
    play(f"sys.stdout.buffer.write(b'null\\n' + {picture!r})")

    assert await look(INVOICE) == (Findings(failure="it cannot be read"), picture)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "its first page would be white"),
        (b"0 0 9 9 re f 1 g BT /F 20 Tf 20 300 Td (Total 12,50) Tj ET",
         "some of its text would be missing"),
    ],
)  # fmt: skip
async def test_a_picture_that_would_show_something_else_is_remarked(content: bytes, why: str):
    font = b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    reasons: list[str] = []

    receipt = hostile_pdf.one_page(content, page=font)
    findings, picture = await look(receipt, report=reasons.append)

    assert picture is None
    assert findings.remarks() == (f"the phone shows no picture of it: {why}",)
    assert reasons == [f"no picture of the receipt: {why}"]


async def test_blanks_before_its_beginning_are_looked_through_and_remarked():
    findings, picture = await look(b"\n" * 1025 + INVOICE)

    plain, shown = await look(INVOICE)
    assert picture == shown
    assert findings == replace(plain, late=True)
    assert "blank lines stand before its beginning: some readers may refuse it" in (
        findings.remarks()
    )


async def test_what_nobody_can_read_says_so():
    reasons: list[str] = []

    findings, picture = await look(hostile_pdf.garbage(), report=reasons.append)

    assert (findings.failure, picture) == ("it cannot be read", None)
    assert reasons == ["no picture of the receipt: it cannot be read"]


def fail(code: int):
    def task(_receipt: bytes) -> bytes:
        raise child.Failure(code)

    return task


def test_in_the_child_one_failure_does_not_hide_the_other():
    def found(_receipt: bytes) -> bytes:
        return b"{}"

    def drawn(_receipt: bytes) -> bytes:
        return b"PNG"

    both = child.inspected_and_drawn
    assert both(b"", found, drawn) == b"{}\nPNG"
    assert both(b"", found, fail(child.UNFIT)) == b"{}\n5"
    assert both(b"", fail(child.UNREADABLE), drawn) == b"null\nPNG"
    with pytest.raises(child.Failure):
        both(b"", fail(child.ENCRYPTED), drawn)


def test_the_childs_own_look_is_what_the_two_others_say():
    sink = io.BytesIO()

    assert child.work(child.load_look(MAX_SIZE, 300), io.BytesIO(INVOICE), sink) == 0

    told, _, picture = sink.getvalue().partition(b"\n")
    assert json.loads(told) == child.findings(INVOICE)
    assert picture == child.picture(INVOICE, MAX_SIZE, 300)
