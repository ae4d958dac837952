"""What is in the wheel and the sdist, under which licences, and that they are made the same."""

import email
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "node_modules", "build", "__pycache__", ".*_cache", "mutants", ".hypothesis"
)
DAY = 24 * 3600


def built(source, out, *, umask, moment):
    """Build in a copy whose files have another time, and are made with another umask."""
    for path in source.rglob("*"):
        os.utime(path, (moment, moment), follow_symlinks=False)
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", out],
        cwd=source, env=environment, umask=umask, check=True, capture_output=True,
    )  # fmt: skip
    return {path.name: path for path in out.iterdir()}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    shutil.copytree(ROOT, folder / "tree", ignore=LEFT_OUT)
    return built(folder / "tree", folder / "out", umask=0o022, moment=1_700_000_000)


@pytest.fixture(scope="module")
def wheel(first):
    return zipfile.ZipFile(next(path for name, path in first.items() if name.endswith(".whl")))


@pytest.fixture(scope="module")
def metadata(wheel):
    name = next(name for name in wheel.namelist() if name.endswith("dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_wheel_and_sdist_are_the_same_bytes_in_another_folder_at_another_time(first, tmp_path):
    deep = tmp_path / "a folder" / "elsewhere"
    shutil.copytree(ROOT, deep / "tree", ignore=LEFT_OUT)
    second = built(deep / "tree", tmp_path / "out", umask=0o077, moment=1_800_000_000 + DAY)

    sums = [
        {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in build.items()}
        for build in (first, second)
    ]
    assert len(sums[0]) == 2
    assert sums[0] == sums[1]


def test_a_wheel_made_of_the_sdist_is_the_same_too(first, tmp_path):
    sdist = next(path for name, path in first.items() if name.endswith(".tar.gz"))
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    again = built(tree, tmp_path / "out", umask=0o022, moment=1_750_000_000)

    name = next(name for name in first if name.endswith(".whl"))
    assert again[name].read_bytes() == first[name].read_bytes()


def test_nothing_is_in_the_wheel_but_the_programs_their_pages_and_manuals(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    info = next(top for top in tops if top.endswith(".dist-info"))
    version = info.removesuffix(".dist-info")

    assert tops == {"e2ee_ticket", "relay_server", info, f"{version}.data"}
    made = re.compile(r"package(-lock)?\.json|\.mjs$|\.npmrc|/vendor/|build\.py|\.js\.map|/tests?/")
    programs = [name for name in wheel.namelist() if not name.startswith(info)]
    assert [name for name in programs if made.search(name)] == []


def test_each_program_brings_the_pages_it_needs(wheel):
    dist = ROOT / "display_web/dist"
    for path in dist.iterdir():
        assert wheel.read(f"relay_server/dist/{path.name}") == path.read_bytes()
    for name in ("SHA256SUMS", "display.html"):
        assert wheel.read(f"e2ee_ticket/pages/{name}") == (dist / name).read_bytes()


def test_the_manuals_and_completions_are_where_their_readers_look(wheel):
    names = {name.partition(".data/data/")[2] for name in wheel.namelist() if ".data/" in name}

    assert names == {
        f"share/{place.format(program)}"
        for program in ("e2ee-ticket", "relay-server")
        for place in (
            "man/man1/{}.1", "bash-completion/completions/{}", "zsh/site-functions/_{}",
            "fish/vendor_completions.d/{}.fish",
        )
    }  # fmt: skip


def test_the_licence_is_that_of_all_that_is_in_it_with_every_notice(wheel, metadata):
    vendored = (ROOT / "display_web/vendor/README.md").read_text("utf-8").split("## Tools")[0]
    licences = set(re.findall(r"(?m)^\| @?[\w/.-]+ \| [\d.]+ \| ([\w.-]+) \|", vendored))
    fonts = (ROOT / "e2ee_ticket/pdf/fonts/README.md").read_text("utf-8")
    licences |= {"Apache-2.0"}  # ours, and Roboto's
    assert "Apache License 2.0" in fonts
    assert "SIL Open Font License 1.1" in fonts
    licences |= {"OFL-1.1"}

    assert set(metadata["License-Expression"].split(" AND ")) == licences
    texts = " ".join(
        wheel.read(name).decode("utf-8") for name in wheel.namelist() if "/licenses/" in name
    )
    assert len(metadata.get_all("License-File")) == 4
    for holder in ("Dmitry Chestnykh", "Kazuhiko Arase", "Renzhi Li", "Apache License"):
        assert holder in texts


def test_the_extras_are_apart_and_a_relay_needs_no_cipher(metadata):
    needs = metadata.get_all("Requires-Dist")
    by_extra = {
        extra: {re.match(r"[\w-]+", need)[0] for need in needs if f"extra == '{extra}'" in need}
        for extra in metadata.get_all("Provides-Extra")
    }

    assert [need for need in needs if "extra ==" not in need] == []
    assert set(by_extra) == {"till", "relay", "redis"}
    assert "pynacl" in by_extra["till"]
    assert by_extra["relay"] == {"aiohttp", "uvloop"}
    assert by_extra["redis"] == {"redis"}


def test_what_an_index_shows_of_it_is_there(metadata):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert metadata["Name"] == "e2ee-ticket"
    assert metadata["Version"] == project["version"]
    assert metadata["Summary"]
    assert metadata["Keywords"]
    assert "Topic :: Office/Business :: Financial :: Point-Of-Sale" in metadata.get_all(
        "Classifier"
    )
    assert metadata["Description-Content-Type"] == "text/markdown"
