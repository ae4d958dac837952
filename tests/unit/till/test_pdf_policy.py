import io
from pathlib import Path

import hostile_pdf
import pikepdf
import pytest

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf import child, sandbox
from e2ee_ticket.pdf.inspect import Findings, take_findings
from e2ee_ticket.pdf.policies import POLICIES
from e2ee_ticket.pdf.policy import apply_policy

DATA = Path(__file__).parents[2] / "data"
INVOICE = (DATA / "dolibarr_takepos_invoice.pdf").read_bytes()
PLAIN = hostile_pdf.one_page(b"0 0 100 100 re f")

SCRIPT = b"<</S/JavaScript/JS(app.alert\\(1\\))>>"
SIGNATURE = (
    b"/AcroForm<</SigFlags 3/Fields[<</FT/Sig/T(s)/V<</Type/Sig"
    b"/ByteRange[0 1 2 3]/Contents<00>>>>>]>>"
)
METADATA = (
    b"<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>"
    b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description"
    b" rdf:about='' xmlns:pdfaid='http://www.aiim.org/pdfa/ns/id/' pdfaid:part='3'"
    b" pdfaid:conformance='B'/></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
)


def link(action: bytes, *, box: bytes = b"10 10 100 30", more: bytes = b"") -> bytes:
    return b"<</Type/Annot/Subtype/Link/Rect[%b]/A%b%b>>" % (box, action, more)


def address(uri: bytes) -> bytes:
    return b"<</S/URI/URI(%b)>>" % uri


def page_with(*annotations: bytes) -> bytes:
    return hostile_pdf.one_page(b"0 0 100 100 re f", page=b"/Annots[%b]" % b"".join(annotations))


def seen(receipt: bytes) -> Findings:
    """Look in this process, which is quicker."""
    return take_findings(child.findings(receipt), receipt)


def drawn(receipt: bytes) -> bytes | int:
    try:
        return child.picture(receipt, 48 * 1024, 300)
    except child.Failure as failure:
        return failure.code


def metadata_of(receipt: bytes) -> bytes:
    with pikepdf.open(io.BytesIO(receipt)) as pdf:
        return pdf.Root.Metadata.read_bytes()


def changed(change) -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(INVOICE)) as pdf:
        change(pdf)
        pdf.save(out)
    return out.getvalue()


def external_stream() -> bytes:
    return hostile_pdf.build(
        {
            1: b"<</Type/Catalog/Pages 2 0 R>>",
            2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R"
            b"/Resources<</XObject<</X 5 0 R/Y 6 0 R>>>>>>",
            4: hostile_pdf.stream(b"/X Do /Y Do"),
            5: hostile_pdf.stream(b"", b"/Subtype/Image/F<</FS/URL/F(http://tracker.example/x)>>"),
            6: hostile_pdf.stream(
                b"", b"/Subtype/Form/BBox[0 0 9 9]/Ref<</F(http://tracker.example/y.pdf)/Page 0>>"
            ),
        }
    )


def tagged_movie() -> bytes:
    """Make a film that the document's structure refers to, too."""
    return hostile_pdf.build(
        {
            1: b"<</Type/Catalog/Pages 2 0 R/StructTreeRoot 6 0 R>>",
            2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Annots[4 0 R 5 0 R]>>",
            4: b"<</Type/Annot/Subtype/Screen/Rect[0 0 9 9]/A<</S/Rendition/JS(x)>>>>",
            5: b"<</Type/Annot/Subtype/Link/Rect[0 0 0 0]/A<</S/URI/URI(http://t.example/?me)>>>>",
            6: b"<</Type/StructTreeRoot/K[<</Type/StructElem/S/Link/K<</Type/OBJR/Obj 4 0 R>>>>"
            b"<</Type/StructElem/S/Sound/K<</Type/OBJR/Obj 5 0 R>>>>]>>",
        }
    )


ACTIVE = {
    "a script when it is opened": hostile_pdf.one_page(catalog=b"/OpenAction" + SCRIPT),
    "a named script": hostile_pdf.one_page(
        catalog=b"/Names<</JavaScript<</Names[(x)%b]>>>>" % SCRIPT
    ),
    "a script for a page": hostile_pdf.one_page(page=b"/AA<</O%b>>" % SCRIPT),
    "an address when it is opened": hostile_pdf.one_page(
        catalog=b"/OpenAction" + address(b"https://tracker.example/?me")
    ),
    "an address in a chain": hostile_pdf.one_page(
        catalog=b"/OpenAction<</S/GoTo/D[3 0 R/Fit]/Next[%b]>>" % address(b"https://t.example/")
    ),
    "an address when a page is shown": hostile_pdf.one_page(
        page=b"/AA<</O%b>>" % address(b"https://tracker.example/")
    ),
    "a form with scripts": hostile_pdf.one_page(catalog=b"/AcroForm<</Fields[]/XFA(x)>>"),
    "a program": page_with(link(b"<</S/Launch/F(calc.exe)>>")),
    "a form that is sent": page_with(link(b"<</S/SubmitForm/F<</FS/URL/F(https://t.example)>>>>")),
    "data that are imported": page_with(link(b"<</S/ImportData/F(x.fdf)>>")),
    "another file": page_with(link(b"<</S/GoToR/F(other.pdf)>>")),
    "a script behind a link": page_with(
        link(b"<</S/GoTo/D[3 0 R/Fit]/Next%b>>" % SCRIPT), link(SCRIPT)
    ),
    "a film": page_with(b"<</Type/Annot/Subtype/RichMedia/Rect[0 0 9 9]>>"),
    "a tagged film": tagged_movie(),
    "an address of a strange kind": page_with(link(address(b"file:///etc/passwd"))),
    "a script as an address": page_with(link(address(b"javascript:x"))),
    "a picture from elsewhere": external_stream(),
}


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_receipt_that_only_lies_there_is_delivered_byte_for_byte(policy):
    judged = await apply_policy(PLAIN, policy)

    assert (judged.receipt, judged.changed, judged.remarks) == (PLAIN, False, ())


@pytest.mark.parametrize("receipt", ACTIVE.values(), ids=ACTIVE)
async def test_as_is_changes_nothing_and_says_what_is_inside(receipt):
    judged = await apply_policy(receipt, "as-is", findings=seen(receipt))

    assert judged.receipt == receipt
    assert judged.remarks
    assert not judged.changed


@pytest.mark.parametrize("receipt", ACTIVE.values(), ids=ACTIVE)
async def test_refuse_refuses_what_acts_and_says_why(receipt):
    findings = seen(receipt)

    with pytest.raises(ReceiptError) as caught:
        await apply_policy(receipt, "refuse", findings=findings)

    assert findings.harms()
    assert all(harm in str(caught.value) for harm in findings.harms())
    assert "paper" in str(caught.value)


@pytest.mark.parametrize("receipt", ACTIVE.values(), ids=ACTIVE)
def test_cleaning_takes_out_what_acts_and_leaves_the_page(receipt):
    cleaned = child.cleaned(receipt)

    findings = seen(cleaned)
    assert not findings.active
    assert not findings.hidden_links
    for trace in (b"JavaScript", b"/Launch", b"example", b"/XFA", b"/AA", b"passwd", b".fdf"):
        assert trace not in cleaned
    assert drawn(cleaned) == drawn(receipt)


@pytest.mark.parametrize("what", ["a named script", "a tagged film", "a picture from elsewhere"])
async def test_clean_delivers_what_is_left_and_says_what_was_taken_out(what):
    judged = await apply_policy(ACTIVE[what], "clean")

    assert judged.changed
    assert judged.receipt == child.cleaned(ACTIVE[what])
    assert judged.remarks[0].startswith("taken out: ")


async def test_a_cleaned_receipt_is_the_same_each_time():
    receipt = ACTIVE["a named script"]

    assert child.cleaned(receipt) == child.cleaned(receipt)


# Links


async def test_the_invisible_link_of_a_library_is_taken_out_and_the_page_stays():
    judged = await apply_policy(INVOICE, "clean")

    assert judged.remarks == ("taken out: it holds a link that nobody can see",)
    assert b"/URI" not in judged.receipt
    assert drawn(judged.receipt) == drawn(INVOICE)


async def test_the_invisible_link_of_a_library_is_no_reason_to_refuse():
    judged = await apply_policy(INVOICE, "refuse")

    assert judged.receipt == INVOICE
    assert "it links to www.tcpdf.org" in judged.remarks


@pytest.mark.parametrize(
    "uri", [b"https://shop.example/", b"mailto:a@b.example", b"tel:+33", b"www.shop.example:80/x"]
)
@pytest.mark.parametrize("policy", POLICIES)
async def test_a_link_that_the_customer_sees_stays(policy, uri):
    receipt = page_with(link(address(uri)))

    judged = await apply_policy(receipt, policy)

    assert judged.receipt == receipt


async def test_a_link_that_the_customer_sees_stays_where_others_go():
    receipt = page_with(
        link(address(b"https://shop.example/")),
        link(address(b"https://tracker.example/"), box=b"0 0 1 1"),
        b"<</Type/Annot/Subtype/Link/Rect[0 0 9 9]/Dest[3 0 R/Fit]>>",
        b"<</Type/Annot/Subtype/Text/Rect[0 0 9 9]/Contents(note)>>",
    )

    judged = await apply_policy(receipt, "clean")

    assert judged.remarks[1:] == ("it links to shop.example",)
    with pikepdf.open(io.BytesIO(judged.receipt)) as pdf:
        kept = [str(annotation.Subtype) for annotation in pdf.pages[0].Annots]
    assert kept == ["/Link", "/Link", "/Text"]


@pytest.mark.parametrize(
    ("box", "more"),
    [
        (b"0 0 227 400", b""),
        (b"10 10 10 30", b""),
        (b"100 30 10 29", b""),
        (b"300 10 400 30", b""),
        (b"-50 10 1 30", b""),
        (b"10 10 100 30", b"/F 2"),
        (b"10 10 100 30", b"/F 32"),
        (b"10 10 100", b""),
        (b"(x) 1 2 3", b""),
        (b"10 10 100 30", b"/F(x)"),
    ],
)
async def test_a_link_that_nobody_can_see_is_taken_out(box, more):
    judged = await apply_policy(
        page_with(link(address(b"https://t.example/"), box=box, more=more)), "clean"
    )

    assert judged.changed
    assert b"t.example" not in judged.receipt


async def test_corners_may_stand_in_any_order():
    receipt = page_with(link(address(b"https://shop.example/"), box=b"100 30 10 10"))

    assert not (await apply_policy(receipt, "clean")).changed


@pytest.mark.parametrize("size", [b"/CropBox[1 2 3]", b"/CropBox(x)", b"/CropBox[(a)(b)(c)(d)]"])
def test_a_page_without_a_size_hides_nothing(size):
    annotation = link(address(b"https://shop.example/"))

    receipt = hostile_pdf.one_page(page=b"%b/Annots[%b 7 null]" % (size, annotation))

    assert child.findings(receipt)["hidden_links"] == 0
    assert b"shop.example" in child.cleaned(receipt)


# What must survive


async def test_an_electronic_invoice_survives_the_cleaning():
    def change(pdf: pikepdf.Pdf) -> None:
        pdf.attachments["factur-x.xml"] = b"<invoice>42</invoice>"
        pdf.Root.Metadata = pikepdf.Stream(pdf, METADATA, Type=pikepdf.Name.Metadata)
        pdf.Root.AF = pikepdf.Array([pdf.attachments["factur-x.xml"].obj])
        pdf.Root.Lang = "fr-FR"
        pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS="app.alert(1)")
        pdf.docinfo["/Title"] = "Facture"

    receipt = changed(change)

    judged = await apply_policy(receipt, "clean")

    before, after = seen(receipt), seen(judged.receipt)
    assert after.facturx
    assert (
        (after.pdfa, after.embedded_files)
        == (before.pdfa, before.embedded_files)
        == (
            "3B",
            ("factur-x.xml",),
        )
    )
    with pikepdf.open(io.BytesIO(judged.receipt)) as pdf:
        assert pdf.attachments["factur-x.xml"].get_file().read_bytes() == b"<invoice>42</invoice>"
        assert pdf.Root.Metadata.read_bytes() == metadata_of(receipt)
        assert pdf.Root.Lang == "fr-FR"
        assert pdf.docinfo["/Title"] == "Facture"
        assert "/OpenAction" not in pdf.Root


async def test_where_a_receipt_opens_stays():
    receipt = hostile_pdf.one_page(catalog=b"/OpenAction[3 0 R/Fit]", page=b"/AA<</O%b>>" % SCRIPT)

    judged = await apply_policy(receipt, "clean")

    with pikepdf.open(io.BytesIO(judged.receipt)) as pdf:
        assert "/OpenAction" in pdf.Root


# What is refused


@pytest.mark.parametrize(
    ("receipt", "policy", "why"),
    [
        (
            hostile_pdf.one_page(catalog=SIGNATURE + b"/OpenAction" + SCRIPT),
            "clean",
            "would break its signature, but it holds scripts",
        ),
        (hostile_pdf.garbage(), "clean", "was not looked into (it cannot be read)"),
        (hostile_pdf.garbage(), "refuse", "was not looked into (it cannot be read)"),
        (b"hello", "as-is", "this is not a PDF"),
    ],
)
async def test_what_a_policy_refuses_is_told_with_what_to_do(receipt, policy, why):
    with pytest.raises(ReceiptError) as caught:
        await apply_policy(receipt, policy)

    assert why in str(caught.value)
    assert policy == "as-is" or "hand out paper" in str(caught.value)


@pytest.mark.parametrize("user", ["", "x"])
@pytest.mark.parametrize("policy", ["clean", "refuse"])
async def test_an_encrypted_receipt_is_refused(policy, user):
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(INVOICE)) as pdf:
        pdf.save(out, encryption=pikepdf.Encryption(user=user, owner="x"))

    with pytest.raises(ReceiptError, match="encrypted"):
        await apply_policy(out.getvalue(), policy)


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_signed_receipt_that_only_lies_there_is_delivered(policy):
    receipt = hostile_pdf.one_page(catalog=SIGNATURE)

    judged = await apply_policy(receipt, policy)

    assert judged.receipt == receipt
    assert judged.remarks == ("it is signed; it is delivered unchanged",)


async def test_findings_that_are_known_are_not_looked_for_again():
    judged = await apply_policy(PLAIN, "as-is", findings=Findings(scripts=1))

    assert judged.remarks == ("it holds scripts",)


async def test_a_policy_that_is_none_is_a_mistake():
    with pytest.raises(ValueError, match="polish"):
        await apply_policy(PLAIN, "polish")


def test_a_judged_receipt_does_not_print_itself():
    from e2ee_ticket.pdf.policy import Judged

    assert "canary" not in repr(Judged(b"canary"))


@pytest.mark.parametrize("make", hostile_pdf.ALL, ids=lambda make: make.__name__)
async def test_a_hostile_pdf_is_delivered_or_refused(make):
    receipt = make()
    try:
        judged = await apply_policy(receipt, "clean")
    except ReceiptError:
        return
    assert judged.receipt == receipt


# A child that a PDF has taken over, or that fails


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Put a program in the child's place where it is to clean."""

    def put(program: str) -> None:
        path = tmp_path / "child.py"
        real = str(sandbox.CHILD)
        path.write_text(
            f"import runpy, sys\nif sys.argv[1] == 'clean':\n    {program}\nelse:\n"
            f"    runpy.run_path({real!r}, run_name='__main__')\n"
        )
        monkeypatch.setattr(sandbox, "CHILD", path)
        monkeypatch.setattr(sandbox, "WARM", False)  # a program that does one task

    return put


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("sys.exit(6)", "could not be cleaned (it takes too much memory or time)"),
        ("sys.exit(7)", "could not be cleaned (it is signed)"),
        ("sys.stdout.buffer.write(sys.stdin.buffer.read())", "could not be cleaned of all"),
        (f"sys.stdout.buffer.write({hostile_pdf.ten_thousand_pages()[:0]!r})", "empty"),
        ("sys.stdout.write('<script>')", "not a PDF"),
        (f"sys.stdout.buffer.write({hostile_pdf.garbage()!r})", "could not be cleaned of all"),
    ],
)
async def test_what_could_not_be_cleaned_is_refused(play, program, why):
    play(program)

    with pytest.raises(ReceiptError) as caught:
        await apply_policy(ACTIVE["a program"], "clean")

    assert why in str(caught.value)


async def test_a_cleaning_that_loses_something_is_refused(play):
    def change(pdf: pikepdf.Pdf) -> None:
        pdf.attachments["factur-x.xml"] = b"<invoice/>"

    play(f"sys.stdout.buffer.write({PLAIN!r})")

    with pytest.raises(ReceiptError, match="could not be cleaned of all"):
        await apply_policy(changed(change), "clean")


# What the child does, seen from inside


@pytest.mark.parametrize(
    ("receipt", "code"),
    [
        (hostile_pdf.garbage(), child.UNREADABLE),
        (hostile_pdf.one_page(catalog=SIGNATURE), child.SIGNED),
        (PLAIN, 0),
    ],
)
def test_a_cleaning_has_its_code(receipt, code):
    assert child.work(child.load_clean(), io.BytesIO(receipt), io.BytesIO()) == code


def test_encrypted_has_its_code():
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(INVOICE)) as pdf:
        pdf.save(out, encryption=pikepdf.Encryption(user="", owner="x"))

    assert child.work(child.load_clean(), io.BytesIO(out.getvalue()), io.BytesIO()) == (
        child.ENCRYPTED
    )


def test_a_chain_without_end_is_taken_for_the_worst():
    receipt = hostile_pdf.build(
        {
            1: b"<</Type/Catalog/Pages 2 0 R/OpenAction 4 0 R>>",
            2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>",
            4: b"<</S/GoTo/D[3 0 R/Fit]/Next 4 0 R>>",
        }
    )

    assert child.findings(receipt)["other_actions"] == 1
    assert child.findings(child.cleaned(receipt))["other_actions"] == 0


def test_an_address_that_is_none_breaks_nothing():
    receipt = page_with(
        link(address(b"https://[broken"), box=b"0 0 99 99"), link(b"<</S/URI/URI null>>")
    )

    assert not seen(receipt).active
    assert not seen(receipt).hidden_links


def test_more_annotations_than_any_receipt_has_are_not_looked_at(monkeypatch):
    receipt = page_with(*[link(address(b"https://shop.example/"))] * 40)
    monkeypatch.setattr(child, "OBJECTS_MAX", 39)

    with pikepdf.open(io.BytesIO(receipt)) as pdf, pytest.raises(child.Failure) as caught:
        list(child._hidden_links(pdf))

    assert caught.value.code == child.EXHAUSTED
