"""Other people's test PDFs, some 700, through all that happens to a receipt; `make soak` only.

They come from the registries by name, with hashes: the source of pypdf and factur-x from PyPI, of
qpdf and pikepdf from Debian. Most of them were made because they broke some program. What poppler
draws of each is what our picture is compared with.
"""

import collections
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import stage
from PIL import Image

from e2ee_ticket.client import RelayClient
from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf.check import check_receipt
from e2ee_ticket.pdf.look import look
from e2ee_ticket.pdf.raster import to_escpos
from e2ee_ticket.protocol.ticket import Ticket

PYPI = """\
pypdf==7.1.1 --hash=sha256:2eff4e2fc5fb22a6d6711e6f1166cdc9ab5765d90cd0d77dfea3f4aa91a27b1d
factur-x==7.8 --hash=sha256:c7efa5e559612a790faf97904aa5bc64300d11f7c35c9ba52467b0c5fb6d4c53
"""
DEBIAN = {
    "qpdf_11.3.0.orig.tar.gz": "547cee67de77b5c4ef4917e57d2db9c848cfe3aa950361f68d36367a3a03936e",
    "pikepdf_6.0.0+dfsg.orig.tar.xz": (
        "eafb9426030404593164613abcd8e032954e10bcbe175a891002e4f9aeba0e97"
    ),
}
COUNT_MIN = 300
DARK = 225  # a pixel that is darker is ink
THIN_SHARE_MAX = 0.01
LETTER_DOTS = 25  # what poppler alone draws of less is dust


@pytest.fixture(scope="module")
def receipts(tmp_path_factory):
    """Fetch them; each content once."""
    folder = tmp_path_factory.mktemp("corpus")
    archives = [*from_pypi(folder / "pypi"), *from_debian(folder / "debian")]
    found = {}
    for archive in archives:
        with tarfile.open(archive) as opened:
            for member in opened:
                if member.isfile() and member.name.lower().endswith(".pdf"):
                    data = opened.extractfile(member).read()
                    found.setdefault(hashlib.sha256(data).digest(), (member.name, data))
    assert len(found) >= COUNT_MIN
    return list(found.values())


def from_pypi(folder):
    folder.mkdir()
    (folder / "wanted.txt").write_text(PYPI)
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
         "--no-binary", ":all:", "--require-hashes", "-r", "wanted.txt"],
        cwd=folder, check=True,
    )  # fmt: skip
    return sorted(folder.glob("*.tar.gz"))


def from_debian(folder):
    if shutil.which("apt-get") is None:
        stage.missing("apt-get", "these PDFs come with Debian's sources of qpdf and pikepdf")
    (folder / "lists/partial").mkdir(parents=True)
    for path in Path("/etc/apt/sources.list.d").glob("*.sources"):
        text = re.sub(r"(?m)^Types:.*$", "Types: deb-src", path.read_text())
        (folder / path.name).write_text(text)
    listed = Path("/etc/apt/sources.list")
    if listed.exists():
        text = re.sub(r"(?m)^deb ", "deb-src ", listed.read_text())
        (folder / "more.list").write_text(text)
    apt = ["apt-get", "-qq"]
    for option in (
        "Etc::sourcelist=-",
        f"Etc::sourceparts={folder}",
        f"State::lists={folder}/lists",
    ):
        apt += ["-o", f"Dir::{option}"]
    subprocess.run([*apt, "update"], check=False, stderr=subprocess.DEVNULL)  # some have no sources
    names = sorted({name.partition("_")[0] for name in DEBIAN})
    subprocess.run(
        [*apt, "source", "--download-only", *names],
        cwd=folder, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for name, expected in DEBIAN.items():
        assert (folder / name).exists(), f"this Debian has another version than {name}: add it"
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name
    return [folder / name for name in DEBIAN]


def ink(picture):
    return sum(picture.histogram()[:DARK])


def drawn_by_poppler(receipt, size=None):
    """Draw the first page in grey; None where poppler cannot."""
    scale = (
        ["-r", "50"] if size is None else ["-scale-to-x", str(size[0]), "-scale-to-y", str(size[1])]
    )
    done = subprocess.run(
        ["pdftoppm", "-f", "1", "-l", "1", "-gray", *scale, "-"],
        input=receipt, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    return Image.open(io.BytesIO(done.stdout)).convert("L") if done.stdout else None


class Tally:
    """What became of the receipts."""

    def __init__(self):
        self.counts = collections.Counter()
        self.seconds = []
        self.wrong = []
        self.thin = []

    async def look(self, name, receipt):
        reasons = []
        begun = time.perf_counter()
        findings, picture = await look(receipt, report=reasons.append)
        self.seconds.append(time.perf_counter() - begun)
        self.counts[f"looked into: {findings.failure or 'read'}"] += 1
        for said in (str(findings.failure), *reasons):
            if "broke" in said or "not a finding" in said or "not a picture" in said:
                self.wrong.append(f"{name}: {said}")
        if picture is None:
            self._judge_none(name, receipt, reasons[0])
        else:
            self._judge_picture(name, receipt, Image.open(io.BytesIO(picture)).convert("L"))
        return picture

    def _judge_none(self, name, receipt, reason):
        other = drawn_by_poppler(receipt)
        inked = other is not None and ink(other) > 0
        self.counts[f"{reason}{', but poppler draws it' if inked else ''}"] += 1
        if inked and ("white" in reason or "missing" in reason):
            self.wrong.append(f"{name}: {reason}")

    def _judge_picture(self, name, receipt, ours):
        other = drawn_by_poppler(receipt, ours.size)
        self.counts["picture" if other is not None else "picture, and none by poppler"] += 1
        if ink(ours) == 0:
            self.wrong.append(f"{name}: white")
        if other is not None and ink(other) > max(2 * ink(ours), LETTER_DOTS):
            self.thin.append(f"{name}: {ink(ours)} of {ink(other)} dots")

    async def print(self, name, receipt):
        try:
            await to_escpos(receipt)
        except ReceiptError as error:
            self.counts[f"paper: {str(error).rpartition(': ')[2]}"] += 1
            if "broke" in str(error):
                self.wrong.append(f"{name}: {error}")
        else:
            self.counts["paper"] += 1

    def write(self):
        for what, count in sorted(self.counts.items()):
            sys.stdout.write(f"{count:5}  {what}\n")
        sys.stdout.write(f"{len(self.thin):5}  with less than half of poppler's ink: {self.thin}\n")
        self.seconds.sort()
        half = self.seconds[len(self.seconds) // 2]
        sys.stdout.write(f"a look: p50 {half:.3f} s, max {self.seconds[-1]:.3f} s\n")


@pytest.mark.soak
async def test_no_pdf_breaks_anything_on_its_way_and_none_is_shown_white(receipts, relay):
    if shutil.which("pdftoppm") is None:
        stage.missing("pdftoppm", "apt-get install -y --no-install-recommends poppler-utils")
    tally = Tally()
    async with RelayClient(relay.origin, permit=relay.leave) as client:
        for name, receipt in receipts:
            try:
                check_receipt(receipt)
            except ReceiptError as error:
                tally.counts[f"refused: {str(error).partition(':')[0].partition(' (')[0]}"] += 1
                continue
            picture = await tally.look(name, receipt)
            await tally.print(name, receipt)
            link = await client.send(Ticket(receipt, name="r.pdf", preview=picture))
            opened = await client.fetch(link)
            assert opened.receipt == receipt, name
            assert opened.preview == picture, name
            tally.counts["opened, byte for byte"] += 1

    tally.write()
    assert tally.wrong == []
    assert len(tally.thin) <= THIN_SHARE_MAX * tally.counts["picture"]
