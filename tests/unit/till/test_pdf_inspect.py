import io
import json
from pathlib import Path

import hostile_pdf
import pikepdf
import pytest

from e2ee_ticket.pdf import child, sandbox
from e2ee_ticket.pdf.check import check_receipt
from e2ee_ticket.pdf.inspect import Findings, examine, inspect

DATA = Path(__file__).parents[2] / "data"
INVOICE = (DATA / "dolibarr_takepos_invoice.pdf").read_bytes()


def found(receipt: bytes) -> Findings:
    """Look in this process, where coverage sees it."""
    told = child.findings(receipt)
    hosts, files = (tuple(told.pop(name)) for name in ("external_hosts", "embedded_files"))
    return Findings(external_hosts=hosts, embedded_files=files, **told)


def saved(change, **options) -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(INVOICE)) as pdf:
        change(pdf)
        pdf.save(out, **options)
    return out.getvalue()


# What is inside


async def test_a_real_invoice_holds_nothing_but_an_invisible_link_of_the_library_that_made_it():
    findings = await examine(INVOICE)

    assert findings == Findings(pages=1, hidden_links=1, external_hosts=("www.tcpdf.org",))
    assert findings.remarks() == (
        "it holds a link that nobody can see",
        "it links to www.tcpdf.org",
    )
    assert not findings.active


def test_it_works_where_no_loop_runs():
    assert inspect(INVOICE) == found(INVOICE)


def test_an_open_action_with_a_script_is_found():
    receipt = hostile_pdf.one_page(catalog=b"/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>")

    findings = found(receipt)

    assert (findings.scripts, findings.active) == (1, True)
    assert findings.remarks() == ("it holds scripts",)


def test_actions_in_direct_objects_are_found():
    annotations = (
        b"/Annots[<</Subtype/Link/A<</S/Launch/F(calc.exe)>>>>"
        b"<</Subtype/Link/A<</S/SubmitForm/F<</FS/URL/F(https://forms.example/x?me)>>>>>>"
        b"<</Subtype/Link/A<</S/GoToR/F(other.pdf)>>>>]"
    )

    findings = found(hostile_pdf.one_page(page=annotations))

    assert (findings.launch_actions, findings.other_actions) == (1, 2)
    assert findings.external_resources == 1
    assert findings.external_hosts == ("forms.example",)
    assert findings.active


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        (b"https://shop.example/r?customer=42", ("shop.example",)),
        (b"HTTPS://user:pass@Shop.Example:8443/", ("shop.example",)),
        (b"mailto:jane@shop.example", ()),
        (b"no address", ()),
        (b"https://[broken", ()),
        (b"\xfe\xff\xd8\x00", ()),
    ],
)
def test_links_are_told_by_their_hosts_alone(address: bytes, hosts: tuple[str, ...]):
    annotation = b"/Annots[<</Subtype/Link/A<</S/URI/URI<%b>>>>>]" % address.hex().encode()

    findings = found(hostile_pdf.one_page(page=annotation))

    assert findings.external_hosts == hosts
    assert not findings.active


def test_a_picture_loaded_from_elsewhere_is_found():
    receipt = hostile_pdf.build(
        {
            1: b"<</Type/Catalog/Pages 2 0 R>>",
            2: b"<</Type/Pages/Kids[]/Count 0>>",
            3: hostile_pdf.stream(b"", b"/F(http://tracker.example/x.png)"),
            4: b"42",
        }
    )

    assert found(receipt).external_resources == 1


def test_a_signature_is_found():
    receipt = hostile_pdf.one_page(
        catalog=b"/AcroForm<</SigFlags 3/Fields[<</FT/Sig/T(s)/V<</Type/Sig"
        b"/ByteRange[0 1 2 3]/Contents<00>>>>>]>>"
    )

    findings = found(receipt)

    assert findings.signed
    assert "it is signed; it is delivered unchanged" in findings.remarks()


@pytest.mark.parametrize(
    ("metadata", "level"),
    [
        (b"<rdf:Description pdfaid:part='3' pdfaid:conformance='B'/>", "3B"),
        (b"<pdfaid:part>2</pdfaid:part><pdfaid:conformance>u</pdfaid:conformance>", "2U"),
        (b"<pdfaid:part>4</pdfaid:part>", "4"),
        (b"<nothing/>", None),
        (b"<pdfaid:part>3</pdfaid:part>" + bytes(70_000), None),
    ],
)
def test_a_pdfa_says_its_level(metadata: bytes, level: str | None):
    receipt = hostile_pdf.build(
        {
            1: b"<</Type/Catalog/Pages 2 0 R/Metadata 3 0 R>>",
            2: b"<</Type/Pages/Kids[]/Count 0>>",
            3: hostile_pdf.stream(metadata, b"/Type/Metadata"),
        }
    )

    assert found(receipt).pdfa == level


def test_an_electronic_invoice_inside_is_found():
    def change(pdf: pikepdf.Pdf) -> None:
        pdf.attachments["factur-x.xml"] = b"<invoice/>"
        pdf.attachments["photo.jpg"] = b"..."

    findings = found(saved(change))

    assert findings.embedded_files == ("factur-x.xml", "photo.jpg")
    assert findings.facturx


async def test_a_receipt_with_a_password_is_told_and_delivered():
    receipt = saved(lambda _: None, encryption=pikepdf.Encryption(user="x", owner="x"))

    check_receipt(receipt)
    findings = await examine(receipt)

    assert findings.encrypted
    assert findings.remarks() == ("it is encrypted: the customer needs its password",)


ATTACHED = {
    1: b"<</Type/Catalog/Pages 2 0 R/Names<</EmbeddedFiles<</Names[(a.txt)5 0 R]>>>>>>",
    2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
    3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R>>",
    4: hostile_pdf.stream(b"9 9 9 9 re f"),
    5: b"<</Type/Filespec/F(a.txt)/EF<</F 6 0 R>>>>",
    6: hostile_pdf.stream(bytes(32), b"/Type/EmbeddedFile"),
}
ENCRYPTION = (
    b"<</Filter/Standard/V 4/R 4/Length 128/P -4%b/EFF/StdCF/CF<</StdCF<</CFM/AESV2/Length 16"
    b"/AuthEvent/EFOpen>>>>/O<" + b"11" * 32 + b">/U<" + b"22" * 32 + b">>>"
)


def attached(streams: bytes) -> bytes:
    return hostile_pdf.build(
        {**ATTACHED, 7: ENCRYPTION % streams},
        trailer=b"/Encrypt 7 0 R/ID[<" + b"33" * 16 + b"><" + b"33" * 16 + b">]",
    )


@pytest.mark.parametrize("streams", [b"/StmF/Identity/StrF/Identity", b""])
def test_a_receipt_with_an_encrypted_attachment_is_not_encrypted(streams: bytes):
    receipt = attached(streams)

    findings = found(receipt)

    assert (findings.encrypted, findings.pages) == (False, 1)
    assert findings.embedded_files == ("a.txt",)
    assert findings.remarks() == ()
    assert child.picture(receipt, 10_000, 300).startswith(b"\x89PNG")
    with pytest.raises(child.Failure) as caught:
        child.cleaned(receipt)  # what is attached would be lost
    assert caught.value.code == child.ENCRYPTED


async def test_where_the_pages_are_encrypted_too_it_is():
    findings = await examine(attached(b"/StmF/StdCF/StrF/StdCF"))

    assert findings.encrypted


def test_a_receipt_protected_against_changes_is_read_all_the_same():
    receipt = saved(lambda _: None, encryption=pikepdf.Encryption(user="", owner="x"))

    findings = found(receipt)

    assert findings.encrypted
    assert findings.pages == 1
    assert "it is protected against changes" in findings.remarks()


async def test_half_a_receipt_is_told():
    findings = await examine(INVOICE[:-200])

    assert findings.truncated
    assert "its end seems to be missing: some readers may refuse it" in findings.remarks()


@pytest.mark.parametrize("make", hostile_pdf.ALL, ids=lambda make: make.__name__)
async def test_a_hostile_pdf_has_findings_or_a_failure_and_never_an_error(make):
    findings = await examine(make())

    assert findings.failure or findings.pages
    assert all("\n" not in remark for remark in findings.remarks())


def test_a_password_has_its_code():
    receipt = saved(lambda _: None, encryption=pikepdf.Encryption(user="x", owner="x"))

    code = child.work(child.load_inspect(), io.BytesIO(receipt), io.BytesIO())

    assert code == child.ENCRYPTED


def test_garbage_has_its_code():
    code = child.work(child.load_inspect(), io.BytesIO(hostile_pdf.garbage()), io.BytesIO())

    assert code == child.UNREADABLE


def test_more_objects_than_any_receipt_has_are_not_looked_at(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(child, "OBJECTS_MAX", 10)

    with pytest.raises(child.Failure) as caught:
        child.findings(INVOICE)

    assert caught.value.code == child.EXHAUSTED


# A child that a PDF has taken over

TOLD = json.dumps(child.findings(hostile_pdf.one_page()))


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Put a child that runs this program in the place of the real one."""

    def put(program: str) -> None:
        path = tmp_path / "child.py"
        path.write_text("import sys\n" + program)
        monkeypatch.setattr(sandbox, "CHILD", path)
        monkeypatch.setattr(sandbox, "WARM", False)  # a program that does one task

    return put


@pytest.mark.parametrize(
    "told",
    [
        "<script>",
        "[]",
        "{}",
        TOLD.replace('"pages": 1', '"pages": "one"'),
        TOLD.replace('"signed": false', '"signed": 0'),
        TOLD.replace('"embedded_files": []', '"embedded_files": [1]'),
        TOLD.replace('"embedded_files": []', '"embedded_files": 1'),
        TOLD.replace('"pages": 1', '"pages": -1'),
        TOLD.replace('"pages": 1', '"pages": ' + "9" * 4000),
        TOLD.replace('"embedded_files": []', '"embedded_files": {"0": "a"}'),
        TOLD.replace('"pdfa": null', '"pdfa": 3'),
    ],
)
async def test_a_child_that_a_pdf_has_taken_over_finds_nothing_of_its_own(play, told: str):
    play(f"sys.stdout.write({told!r})")

    findings = await examine(INVOICE)

    assert findings.failure == "what came is not a finding"


async def test_a_child_that_a_pdf_has_taken_over_tells_no_more_than_can_be_read(play):
    files = json.dumps(["a" * 300] * 100)
    play(f"sys.stdout.write({TOLD.replace('[]', files, 1)!r})")

    findings = await examine(INVOICE)

    assert findings.failure is None
    assert (findings.embedded_files or findings.external_hosts) == ("a" * 100,) * 20


async def test_what_a_child_tells_does_nothing_to_a_terminal(play):
    play(f"sys.stdout.write({TOLD.replace('[]', json.dumps(['a' + chr(27) + '[2J' + chr(10)]))!r})")

    findings = await examine(INVOICE)

    assert findings.external_hosts == findings.embedded_files == ("a[2J",)
