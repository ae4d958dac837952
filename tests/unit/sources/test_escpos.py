import base64
import contextlib
import json
import time
import unicodedata
from pathlib import Path

import pytest
from escpos.printer import Dummy
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from e2ee_ticket.errors import ConfigError, ReceiptError
from e2ee_ticket.pdf.draw_roll import draw_roll
from e2ee_ticket.pdf.roll import Code, Picture, Roll, Row, Run, Space
from e2ee_ticket.sources import code_pages
from e2ee_ticket.sources.code_pages import check_code_page
from e2ee_ticket.sources.escpos import CODE_LIMIT, DOT_LIMIT, ITEM_LIMIT, TEXT_LIMIT, decode
from e2ee_ticket.sources.escpos_commands import JOB_MAX_SIZE, length_of
from e2ee_ticket.sources.escpos_jobs import ANSWER_MAKER, Answer, Job, Kick, Splitter

DATA = Path(__file__).parents[2] / "data"
PRINTED = (DATA / "takepos_receiptprinter_9100.bin").read_bytes()


def connector_job():
    """Give the ESC/POS that TakePOS posted to its connector."""
    for line in (DATA / "takepos_connector_escpos.jsonl").read_text("utf-8").splitlines():
        body = json.loads(line)["body"]
        if body.startswith("invoice="):
            text = body.removeprefix("invoice=")
            return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    raise AssertionError


def texts(roll):
    return ["".join(run.text for run in item.runs) for item in roll.items if isinstance(item, Row)]


def runs(data):
    return [run for item in decode(data).items for run in item.runs]


def only(data):
    (item,) = decode(data).items
    return item


# Real bytes


def test_what_a_receipt_printer_got_from_takepos_is_read():
    roll = decode(PRINTED)

    assert texts(roll) == [
        "Epicerie du Test",
        "1 rue du Port",
        "26000Valence",
        "Facture TC1-2611-0002",
        "PAIN                            1      2,84       2,84",
        "Pain de campagne",
        "                              0.0000%       0,00",
        "Total HT                                    2,84",
        "Total TVA                                   0,00",
        "Total TTC                                   2,84",
    ]
    assert [item.align for item in roll.items if isinstance(item, Row)] == [
        *["center"] * 4,
        *["left"] * 6,
    ]


def test_what_takepos_posts_to_its_connector_is_read():
    words = texts(decode(connector_job()))

    assert "Café en grains 250 g" in words
    assert "Livre « Cuisine du marché »" in words
    assert words[-1] == "Total TTC                                  54,64"


# Text


def test_the_template_s_written_out_line_break_is_one():
    assert texts(decode(b"a\\r\\nb\n")) == ["a", "b"]


def test_a_written_out_line_break_needs_all_four_characters():
    assert texts(decode(b"C:\\r n\\n\n")) == ["C:\\r n\\n"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\x1bd\x01", b"\x1bJ\x1e", b"\x0c"])
def test_a_line_ends_in_many_ways_and_leaves_no_gap(end):
    assert [type(item) for item in decode(b"a" + end + b"b" + end).items] == [Row, Row]


def test_an_empty_line_is_paper_fed():
    assert decode(b"a\n\n\nb\n").items[1] == Space(2.0)
    assert decode(b"a\r\n\r\n\r\nb\r\n").items[1] == Space(2.0)
    assert decode(b"a\n \n\nb").items[1] == Space(2.0)


def test_paper_fed_is_counted_in_lines():
    assert decode(b"a\x1bd\x04b").items[1] == Space(3.0)
    assert decode(b"a\n\x1bd\x04b").items[1] == Space(4.0)
    assert decode(b"a\n\x1bJ\x3cb").items[1] == Space(2.0)
    assert decode(b"a\n\x1b3\x3c\nb").items[1] == Space(2.0)
    assert decode(b"a\n\x1b3\x3c\x1b2\nb").items[1] == Space(1.0)


def test_paper_fed_before_and_after_is_nothing():
    assert [type(item) for item in decode(b"\n\n\x1bd\x05a\n\n\n").items] == [Row]


def test_what_is_not_ended_is_printed_all_the_same():
    assert texts(decode(b"a\nb")) == ["a", "b"]
    assert texts(decode(b"a\x1b@b")) == ["a", "b"]


@pytest.mark.parametrize(
    ("command", "field", "value"),
    [
        (b"\x1bE\x01", "bold", True),
        (b"\x1bG\x01", "bold", True),
        (b"\x1b!\x08", "bold", True),
        (b"\x1b-\x01", "underline", True),
        (b"\x1b-2", "underline", True),
        (b"\x1b!\x80", "underline", True),
        (b"\x1dB\x01", "inverse", True),
        (b"\x1bM\x01", "small", True),
        (b"\x1bM1", "small", True),
        (b"\x1b!\x01", "small", True),
        (b"\x1b!\x10", "high", 2),
        (b"\x1b!\x20", "wide", 2),
        (b"\x1d!\x01", "high", 2),
        (b"\x1d!\x10", "wide", 2),
        (b"\x1d!\x77", "wide", 8),
        (b"\x1d!\x77", "high", 8),
    ],
)
def test_a_style_is_switched_on_and_reset(command, field, value):
    before, styled, after = runs(b"a" + command + b"b\x1b@c")

    assert before == Run("a")
    assert getattr(styled, field) == value
    assert after == Run("c")


def test_double_strike_and_bold_are_switched_apart():
    found = runs(b"\x1bE\x01\x1bG\x01a\x1bE\x00b\x1bG\x00c")

    assert [(run.text, run.bold) for run in found] == [("a", True), ("b", True), ("c", False)]


@pytest.mark.parametrize(
    ("command", "align"),
    [(b"\x00", "left"), (b"\x01", "center"), (b"\x02", "right"), (b"1", "center"), (b"2", "right")],
)
def test_a_line_is_aligned(command, align):
    assert only(b"\x1ba" + command + b"a\n").align == align


def python_reads(page: str) -> str | None:
    """Give the 128 letters of a code page as Python has them; None where it does not know it."""
    name = page.replace("windows", "cp").replace("rk1048", "kz1048")
    try:
        return bytes(range(128, 256)).decode(name, "replace")
    except LookupError:
        return None


@pytest.mark.parametrize("printer", code_pages.printers())
def test_every_code_page_is_read_as_python_reads_it(printer):
    known = 0
    for number in range(256):
        page = code_pages.page_of(number, printer)
        expected = python_reads(page) if page and "/" not in page else None
        if expected is None:
            continue
        known += 1
        choose = b"\x1b\x1dt" if printer == "star-line" else b"\x1bt"
        data = choose + bytes((number,)) + bytes(range(128, 256))
        (found,) = texts(decode(data, printer=printer))
        for told, meant in zip(found, unicodedata.normalize("NFC", expected), strict=True):
            # Where Python has nothing a printer may have something, such as the euro in cp857.
            assert (
                told in (meant, "?")
                or meant == "\ufffd"
                or not meant.isprintable()
                or (page == "cp1125")
            )
    assert known >= 5


@pytest.mark.parametrize(
    ("printer", "number", "raw", "text"),
    [
        ("epson", 1, b"\xd8\xdd\xba\xde", "ﾘﾝｺﾞ"),
        ("epson", 13, b"\xd5", "€"),
        ("epson", 11, b"\xa8\xe5\xe3\x9d\xed", "Ελιές"),
        ("epson", 30, b"C\xb5 ph\xaa s\xf7a \xae\xb8", "Cà phê sữa đá"),
        ("epson", 20, b"\xa1", "ก"),
        ("xprinter", 8, b"\x80\x9a", "את"),
        ("star", 16, b"\x80", "€"),
        ("hp", 9, b"\x80", "א"),
        ("bixolon", 21, b"\x80", "א"),
        ("citizen", 2, b"\xd5", "€"),
    ],
)
def test_the_makers_number_their_code_pages_each_in_its_way(printer, number, raw, text):
    roll = decode(b"\x1bt" + bytes((number,)) + raw, printer=printer)

    assert texts(roll) == [text]
    assert roll.remarks == ()


def test_a_code_page_that_the_printer_does_not_have_is_told():
    roll = decode(b"\x1bt\x02a\x82\x1bt\x63b\x82\n")

    assert texts(roll) == ["aébé"]
    assert roll.remarks == (
        "the till chose code page 99, which epson printers do not have: some letters may be wrong",
    )


def test_bytes_that_mean_nothing_are_told():
    roll = decode(b"\x1bt\x10a\x81\x8d\n")

    assert texts(roll) == ["a??"]
    assert roll.remarks == (
        "2 letters mean nothing in the code page that the till chose: they are ?",
    )


@pytest.mark.parametrize(
    ("code_page", "raw", "text"),
    [
        ("gb18030", "苹果汁".encode("gb18030"), "苹果汁"),
        ("shift_jis", "りんご ｱ".encode("cp932"), "りんご ｱ"),
        ("big5", "蘋果".encode("big5"), "蘋果"),
        ("euc-kr", "사과".encode("euc_kr"), "사과"),
        ("utf-8", "Œuf 苹果 تفاح".encode(), "Œuf 苹果 تفاح"),
    ],
)
def test_codes_of_several_bytes_are_read(code_page, raw, text):
    assert texts(decode(raw + b"\n", code_page=code_page)) == [text]


@pytest.mark.parametrize(
    ("lang", "raw", "text"),
    [
        ("fr", "苹果".encode("gb18030"), "苹果"),
        ("ja", b"\x30\x6c", "一"),  # JIS, as Epson's printers begin
        ("ja", "一".encode("cp932"), "一"),
        ("ko", "사과".encode("euc_kr"), "사과"),
        ("zh-TW", "蘋果".encode("big5"), "蘋果"),
    ],
)
def test_kanji_mode_means_the_code_of_the_shop_s_language(lang, raw, text):
    assert texts(decode(b"\x1bt\x02\x1c&" + raw + b"\x1c.\x82\n", lang=lang)) == [text + "é"]


def test_shift_jis_is_chosen_by_the_till():
    assert texts(decode(b"\x1c&\x1cC\x01A" + "一".encode("cp932"), lang="ja")) == ["A一"]


def test_utf_8_is_switched_on_and_off():
    on, off = b"\x1c(C\x02\x000\x02", b"\x1c(C\x02\x000\x01"

    assert texts(decode(b"\x1bt\x02\x82" + on + "é漢".encode() + off + b"\x82")) == ["éé漢é"]


def test_a_test_line_is_read_in_every_way():
    found = dict(code_pages.readings("Crème 12 €".encode("cp1252")))

    assert found["windows1252"] == "Crème 12 €"
    assert "cp858" in found
    assert len(set(found.values())) == len(found)
    assert all("?" not in text for text in found.values())


@pytest.mark.parametrize("page", ["CP437", "CP850", "CP852", "CP858", "CP1252", "CP866"])
def test_what_python_escpos_encodes_is_read(page):
    printer = Dummy()
    printer.charcode(page)
    word = {"CP866": "Спасибо", "CP852": "Žluťoučký kůň"}.get(page, "Größe, déjà vu")

    printer.textln(word)

    assert texts(decode(printer.output)) == [word]


def test_an_unknown_code_page_leaves_the_one_before():
    assert texts(decode(b"\x1bt\x10\x1bt\xfe\x80")) == ["€"]


def test_the_page_to_start_with_can_be_chosen():
    assert texts(decode(b"\x80", code_page="cp1252")) == ["€"]
    assert texts(decode("Grüße, 5 €".encode(), code_page="utf-8")) == ["Grüße, 5 €"]
    assert texts(decode(b"\xd5")) == ["€"]


@pytest.mark.parametrize("page", ["latin", "rot13", "", None, 858])
def test_a_page_that_is_none_is_refused(page):
    with pytest.raises(ConfigError, match="code_page"):
        check_code_page(page)


def test_national_letters_stand_in_for_signs():
    assert texts(decode(b"\x1bR\x02Gr\x7d~e [\x1bR\x00 ~")) == ["Grüße Ä ~"]


def test_a_tab_goes_to_the_next_stop():
    assert texts(decode(b"a\tb\tc")) == ["a       b       c"]
    assert texts(decode(b"\x1bD\x04\x0a\x00a\tb\tc\td")) == ["a   b     cd"]


def test_a_position_in_dots_is_a_column():
    assert texts(decode(b"a\x1b$\x78\x00b\x1b\\\x18\x00c")) == ["a         b  c"]
    assert texts(decode(b"abc\x1b$\x00\x00d\x1b\\\xff\xffe")) == ["abcde"]


def test_a_position_beyond_the_paper_is_its_edge():
    assert texts(decode(b"\x1b$\xff\xffa", columns=32)) == [" " * 32 + "a"]


def test_a_line_of_blanks_that_shows_is_kept():
    assert only(b"\x1dB\x01   \n") == Row((Run("   ", inverse=True),))


# What is skipped


@pytest.mark.parametrize(
    "command",
    [
        b"\x1bp\x00\x19\xfa",
        b"\x10\x14\x01\x00\x05",
        b"\x10\x04\x01",
        b"\x10\x04\x07\x01",
        b"\x10\x05\x01",
        b"\x1dr\x01",
        b"\x1dI\x42",
        b"\x1da\xff",
        b"\x1bv",
        b"\x1bu\x00",
        b"\x1dV\x00",
        b"\x1dVA\x03",
        b"\x1bi",
        b"\x1bm",
        b"\x1b \x02",
        b"\x1bc5\x00",
        b"\x1b&\x03AB\x01aaa\x02bbbbbb",
        b"\x1b(A\x02\x00ab",
        b"\x1c(A\x02\x00ab",
        b"\x1d(E\x03\x00abc",
        b"\x1dL\x30\x31",
        b"\x1dW\x30\x31",
        b"\x1dP\x41\x42",
        b"\x1df0",
        b"\x1dhd",
        b"\x1dw3",
        b"\x1d*\x01\x01abcdefgh",
        b"\x1d/0",
        b"\x1cp\x41\x42",
        b"\x1cq\x01\x01\x00\x01\x00abcdefgh",
        b"\x1cg1\x00aaaa\x02\x00ab",
        b"\x1cg2\x00aaaa\x02\x00",
        b"\x1c2AA" + b"x" * 72,
        b"\x1c.",
        b"\x1dg2\x00\x14\x00",
        b"\x1dC0ab",
        b"\x1dQ0\x00\x01\x00\x02\x00ab",
        b"\x1dz0ab",
        b"\x1d^abc",
        b"\x1dkZ",
        b"\x1d(k\x02\x001Q",
        b"\x1d(k\x03\x002Q0",
        b"\x1b\xff",
        b"\x1d\xff",
        b"\x1c\xff",
        b"\x10\xff",
        b"\x00\x00\x00",
        b"\x07",
        b"\x18",
    ],
)
def test_what_shows_nothing_is_skipped_whole(command):
    assert texts(decode(b"a" + command + b"b")) == ["ab"]


# Pictures


def picture_of(*rows):
    """Draw dots: `picture_of("#.", ".#")`."""
    image = Image.new("1", (len(rows[0]), len(rows)), 1)
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            image.putpixel((x, y), sign != "#")
    return image


GLYPH = picture_of("#.......", "##......", "###....#", "........", "#......#")


@pytest.mark.parametrize("way", ["bitImageRaster", "graphics", "bitImageColumn"])
def test_a_picture_is_read_however_it_is_sent(way):
    printer = Dummy()

    printer.image(GLYPH, impl=way)

    pictures = [item for item in decode(printer.output).items if isinstance(item, Picture)]
    assert [picture.data for picture in pictures] == [b"\x80\xc0\xe1\x00\x81"]
    assert (pictures[0].width, pictures[0].height) == (8, 5)


def test_a_kept_picture_is_printed_when_it_is_asked_for():
    rows = b"0p0\x01\x021\x08\x00\x02\x00\xff\x81"
    columns = b"0q0\x01\x011\x08\x00\x08\x00" + b"\x80" * 8
    show = b"\x1d(L\x02\x0002"

    assert decode(b"\x1d(L\x0c\x00" + rows).items == ()
    assert only(b"\x1d8L\x0c\x00\x00\x00" + rows + show) == Picture(8, 2, b"\xff\x81", high=2)
    assert only(b"\x1d(L\x12\x00" + columns + show) == Picture(8, 1, b"\xff")
    assert decode(show + b"\x1d(L\x02\x00x2" + b"\x1d(L\x02\x0009").items == ()


def test_an_empty_picture_is_paper_fed():
    items = decode(b"a\x1dv0\x00\x01\x00\x3c\x00" + bytes(60) + b"b").items

    assert items[1] == Space(2.0)


def test_a_raster_repeats_its_dots():
    item = only(b"\x1dv0\x03\x01\x00\x02\x00\xff\x81")

    assert item == Picture(8, 2, b"\xff\x81", wide=2, high=2)


def test_strips_one_under_the_other_are_one_picture():
    strip = b"\x1b*\x21\x08\x00" + b"\xff\xff\xff" * 8

    item = only(b"\x1b3\x18" + strip + b"\n" + strip + b"\n" + strip + b"\x1bJ\x18")

    assert (item.width, item.height, item.data) == (8, 72, b"\xff" * 72)


def test_strips_with_paper_between_are_two_pictures():
    strip = b"\x1b*\x21\x08\x00" + b"\xff\xff\xff" * 8

    items = decode(strip + b"\n\n" + strip).items

    assert [type(item) for item in items] == [Picture, Space, Picture]


def test_rough_strips_repeat_their_dots():
    assert only(b"\x1b*\x00\x08\x00" + b"\x80" * 8) == Picture(8, 1, b"\xff", wide=2, high=3)
    assert only(b"\x1b*\x01\x08\x00" + b"\x01" * 8).wide == 1


def test_a_picture_cut_short_is_shown_as_far_as_it_came():
    assert only(b"\x1dv0\x00\x01\x00\xff\x00\xff\xff\xff") == Picture(8, 3, b"\xff" * 3)


def test_what_is_empty_in_a_picture_is_paper_fed():
    items = decode(b"a\n\x1dv0\x00\x01\x00\x41\x00" + bytes(30) + b"\xff" * 5 + bytes(30) + b"b")

    assert [type(item) for item in items.items] == [Row, Space, Picture, Space, Row]
    assert items.items[2].data == b"\xff" * 5


def test_a_picture_wider_than_any_paper_is_cut_there():
    item = only(b"\x1dv0\x00\xff\x00\x02\x00" + b"\xff" * 510)

    assert (item.width, item.height, item.data) == (1024, 2, b"\xff" * 256)


def test_a_line_that_was_begun_comes_before_the_picture():
    items = decode(b"a\x1dv0\x00\x01\x00\x01\x00\xffb").items

    assert [type(item) for item in items] == [Row, Picture, Row]


# Codes


@pytest.mark.parametrize(
    ("command", "kind", "text"),
    [
        (b"\x1dk\x004567890123\x00", "upca", "4567890123"),
        (b"\x1dk\x024006381333931\x00", "ean13", "4006381333931"),
        (b"\x1dkC\x0d4006381333931", "ean13", "4006381333931"),
        (b"\x1dkD\x0840170725", "ean8", "40170725"),
        (b"\x1dk\x04ABC-1\x00", "code39", "ABC-1"),
        (b"\x1dk\x051234\x00", "itf", "1234"),
        (b"\x1dkG\x06A1234B", "codabar", "A1234B"),
        (b"\x1dkI\x08{BTC1-11", "code128", "TC1-11"),
        (b"\x1dkI\x0a{C\x0c\x22{BX{{Y", "code128", "1234X{Y"),
        (b"\x1dkI\x06{Aa{1b", "code128", "ab"),
        (b"\x1dkH\x03abc", "code93", "abc"),
    ],
)
def test_a_barcode_says_what_it_said(command, kind, text):
    item = only(command)

    assert (item.kind, item.text, item.caption) == (kind, text, False)


def test_a_barcode_has_a_caption_where_the_till_wants_one():
    assert only(b"\x1dH\x02\x1dk\x04ABC\x00").caption
    assert not only(b"\x1dH\x00\x1dk\x04ABC\x00").caption


def test_a_picture_of_an_unknown_form_is_skipped_by_its_name():
    assert texts(decode(b"a\x1dvb\x1d8c\x1dQd\x1dCe\x1dg_")) == ["abcde"]


def test_a_barcode_without_an_end_is_text():
    assert texts(decode(b"\x1dk\x04" + b"A" * 300)) == ["A" * 300]


@pytest.mark.parametrize("text", ["https://example.org/t/1?x=ü", "Überweisung\n12,50 €"])
def test_a_qr_code_says_what_it_said(text):
    printer = Dummy()
    printer.set(align="center")

    printer.qr(text, native=True, size=6)

    assert only(printer.output) == Code("qr", text, "center")


def test_a_kept_code_can_be_printed_twice_and_is_forgotten_at_a_reset():
    keep = b"\x1d(k\x06\x001P0abc"

    assert len(decode(keep + b"\x1d(k\x03\x001Q0" * 2).items) == 2
    assert decode(keep + b"\x1b@\x1d(k\x03\x001Q0").items == ()


# Hostile bytes


def too_much(data):
    with pytest.raises(ReceiptError, match="print it on paper"):
        decode(data)


def test_more_than_any_receipt_is_refused():
    too_much(b"a" * (TEXT_LIMIT + 1))
    too_much(b"a\n" * (ITEM_LIMIT + 1))
    too_much(b"\x1d(k\x04\x001P0a" + b"\x1d(k\x03\x001Q0" * (CODE_LIMIT + 1))
    too_much((b"a\x1bE\x01b\x1bE\x00" * 20 + b"\n") * 600)
    too_much(b"\x1d(k\x93\x0b1P0" + b"x" * 2960 + b"\x1d(k\x03\x001Q0" * 4)
    too_much(b"\x1b*\x00\x01\x00a" * 10_001)
    too_much(b" " * (JOB_MAX_SIZE + 1))
    too_much(b"\x1dv0\x00\x80\x00\xff\xff" + b"\xff" * (DOT_LIMIT // 8 + 2048))


def test_a_picture_that_never_comes_is_none():
    assert decode(b"a\n\x1dv0\x00\xff\xff\xff\xff").items == (Row((Run("a"),)),)
    assert decode(b"a\n\x1d8L\xff\xff\xff\xff0p0").items == (Row((Run("a"),)),)


@pytest.mark.parametrize(
    "piece",
    [
        b"\x1b@", b"\x1bE\x01", b"\n", b"\r", b"\t", b"A\n", b"\x00", b"\x1bD", b"\x1b&\x03 \xff",
        b"\x1cq\xff\x00", b"\x1dk\x04", b"\x1b*\x00\x01\x00a", b"\x1dv0\x00\x01\x00\x01\x00\xff",
        b"\x1d(k\x03\x001Q0", b"\x10\x04\x01", b"\x1dV\x00", b"\\r\\n", b"\x1b$\xff\x00a\n",
    ],
)  # fmt: skip
def test_four_megabytes_of_one_command_take_no_time(piece):
    job = (piece * (JOB_MAX_SIZE // len(piece) + 1))[:JOB_MAX_SIZE]
    began = time.process_time()

    try:
        roll = decode(job)
    except ReceiptError:
        roll = Roll(())

    assert len(roll.items) <= ITEM_LIMIT
    assert time.process_time() - began < 5  # a tenth of it on an idle machine


COMMANDS = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda a, b: a + b, st.sampled_from([b"\x1b", b"\x1d", b"\x1c", b"\x10"]),
              st.binary(min_size=1, max_size=12)),
    st.builds(lambda m, x, y, d: b"\x1dv0" + bytes((m, x, 0, y, 0)) + d,
              st.integers(0, 3), st.integers(0, 90), st.integers(0, 9), st.binary(max_size=200)),
    st.builds(lambda m, n, d: b"\x1b*" + bytes((m, n, 0)) + d,
              st.sampled_from([0, 1, 32, 33]), st.integers(0, 60), st.binary(max_size=200)),
    st.builds(lambda t: b"\x1d(k" + (len(t) + 3).to_bytes(2, "little") + b"1P0" + t
              + b"\x1d(k\x03\x001Q0", st.binary(max_size=80)),
    st.builds(lambda k, t: b"\x1dH\x02\x1dk" + bytes((k, len(t))) + t,
              st.integers(65, 79), st.binary(max_size=40)),
    st.builds(lambda k, t: b"\x1dk" + bytes((k,)) + t + b"\x00",
              st.integers(0, 6), st.from_regex(rb"[0-9A-D]{1,14}", fullmatch=True)),
    st.sampled_from([b"\n", b"-" * 48, b"\x1d!\x77", b"\x1bM\x01", b"\x1dB\x01", b"\x1b-\x01"]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(COMMANDS, max_size=25).map(b"".join), st.sampled_from([16, 32, 42, 48, 80]))
def test_any_bytes_give_a_roll_that_can_be_drawn_or_a_clear_error(job, columns):
    with contextlib.suppress(ReceiptError):
        roll = decode(job, columns=columns)

        assert len(roll.items) <= ITEM_LIMIT
        assert draw_roll(roll).startswith(b"%PDF-")


@given(st.lists(COMMANDS, max_size=25).map(b"".join), st.sampled_from([16, 48, 80]))
def test_any_bytes_give_a_roll_within_its_limits(job, columns):
    roll = decode(job, columns=columns)

    assert len(roll.items) <= ITEM_LIMIT
    assert sum(len(text) for text in texts(roll)) <= TEXT_LIMIT
    for item in roll.items:
        if isinstance(item, Picture):
            assert len(item.data) == (item.width + 7) // 8 * item.height


@given(st.binary(max_size=400), st.integers(0, 400))
def test_a_command_is_never_shorter_than_its_first_byte(data, at):
    length = length_of(data, at) if at < len(data) else 1

    assert length is None or length >= 1


# The stream


def split(data, chunk=1 << 16):
    splitter = Splitter()
    events = []
    for start in range(0, len(data), chunk):
        events += splitter.feed(data[start : start + chunk])
    return events, splitter.end()


@pytest.mark.parametrize("chunk", [1, 2, 7, 1 << 16])
def test_a_cut_ends_a_job_wherever_the_chunks_end(chunk):
    (first, second), rest = split(PRINTED + b"b\n\x1dV\x00c", chunk)

    assert first == Job(PRINTED)
    assert second == Job(b"b\n\x1dV\x00")
    assert rest == Job(b"c")


@given(st.lists(COMMANDS, max_size=12).map(b"".join), st.integers(1, 50))
def test_how_a_stream_is_cut_into_chunks_changes_nothing(data, chunk):
    try:
        whole = split(data)
    except ReceiptError:
        with pytest.raises(ReceiptError):
            split(data, chunk)
    else:
        assert split(data, chunk) == whole


def test_a_cut_in_a_picture_is_none():
    data = b"\x1dv0\x00\x03\x00\x02\x00\x1dV\x00\x1dV\x00"

    assert split(data) == ([], Job(data))


def test_what_shows_nothing_is_no_job():
    assert split(b"\x1b@\x1dV\x00\x1b@ \n\n\x1dV\x00\x1b@\x1bt\x10") == ([], None)


def test_the_drawer_and_questions_are_no_part_of_a_job():
    events, rest = split(b"a\x1bp\x00\x19\xfab\x10\x04\x01c\x10\x14\x01\x00\x05\x1dI\x42\x1bi")

    assert events == [Kick(), Answer(b"\x12"), Kick(), Answer(ANSWER_MAKER), Job(b"abc\x1bi")]
    assert rest is None


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (b"\x10\x04\x01", b"\x12"),
        (b"\x10\x04\x04", b"\x12"),
        (b"\x10\x04\x07\x01", b"\x12"),
        (b"\x1dr\x01", b"\x00"),
        (b"\x1dr2", b"\x00"),
        (b"\x1bv", b"\x00"),
        (b"\x1bu\x00", b"\x00"),
        (b"\x1da\xff", b"\x10\x00\x00\x0f"),
        (b"\x1dI\x01", b"\x20"),
        (b"\x1dIC", b"_ESC/POS\x00"),
        (b"\x1dI\xff", b"\x00"),
        (b"\x1d(H\x06\x0000ABCD", b"\x37\x22ABCD\x00"),
        (b"\x1dg2\x00\x14\x00", b"_0\x00"),
    ],
)
def test_a_question_is_answered(question, answer):
    assert split(question) == ([Answer(answer)], None)


def test_the_code_page_goes_with_the_next_job():
    events, _ = split(b"\x1bt\x10\x80\x1bi\x80\x1bi\x1b@\x80\x1bi")

    assert [texts(decode(event.data)) for event in events] == [["€"], ["€"], ["Ç"]]

    events, _ = split(b"\x1bt\x10a\x1b@\x1bi\x80\x1bi")

    assert texts(decode(events[1].data)) == ["Ç"]


def test_a_job_larger_than_any_receipt_is_refused():
    with pytest.raises(ReceiptError, match="larger"):
        split(b"a" * (JOB_MAX_SIZE + 1))
    with pytest.raises(ReceiptError, match="larger"):
        split(b"\x1dv0\x00\xff\xff\xff\xff")
    with pytest.raises(ReceiptError, match="larger"):
        split(b"a" + b"\x1bE\x01" * 100_001)


def test_a_till_that_asks_and_resets_all_day_is_served():
    splitter = Splitter()

    for _ in range(200_000 // 1000):
        answers = list(splitter.feed(b"\x1b@\x1bt\x13\x10\x04\x01" * 1000))
        assert len(answers) == 1000
        assert splitter.size < 10
