"""A release as a stranger gets it: sums, signature, bill of materials; and what is none."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "node_modules", "build", "__pycache__", ".*_cache", "mutants", ".hypothesis"
)


@pytest.fixture(scope="module")
def tool():
    import release

    return release


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """Make a key that is thrown away; no agent and no key of this machine is asked."""
    file = tmp_path_factory.mktemp("key") / "release"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file


@pytest.fixture(scope="module")
def released(tool, key, tmp_path_factory):
    out = tmp_path_factory.mktemp("release") / "0"
    signers = out.with_name("allowed_signers")
    public = key.with_suffix(".pub").read_text("ascii")
    signers.write_text(f'{tool.PRINCIPAL} namespaces="{tool.NAMESPACE}" {public}', "ascii")
    tool.build(ROOT, out, debs=False)
    tool.sign(out, key, signers)
    shutil.copy(signers, out / "allowed_signers")
    return out


def commands():
    """Give the commands that RELEASES.md tells a stranger to run."""
    text = (ROOT / "RELEASES.md").read_text("utf-8").split("## Verify one")[1]
    return re.search(r"(?s)```\n(.*?)```", text)[1].splitlines()


def run(command, folder):
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_three_commands_of_public_tools_verify_it():
    programs = [re.findall(r"(?:^|\| )([a-z0-9-]+)", command) for command in commands()]

    assert programs == [["ssh-keygen"], ["sha256sum"], ["curl", "sed", "sha256sum"]]


def test_a_stranger_verifies_signature_and_sums(released):
    signature, sums, _ = (run(command, released) for command in commands())

    assert signature.returncode == 0, signature.stderr
    assert "Good" in signature.stdout
    assert sums.returncode == 0, sums.stderr
    checked = {line.partition(":")[0] for line in sums.stdout.splitlines()}
    others = {"SHA256SUMS", "SHA256SUMS.sig", "allowed_signers"}
    assert checked == {path.name for path in released.iterdir()} - others
    assert len(checked) == 6


def test_a_changed_file_and_changed_sums_are_found(released, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(released, copy)
    wheel = next(copy.glob("*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    signature, sums, _ = commands()

    assert run(sums, copy).returncode != 0
    text = (copy / "SHA256SUMS").read_text("ascii")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (copy / "SHA256SUMS").write_text(re.sub(rf"\w+(?=  {wheel.name})", digest, text), "ascii")
    assert run(sums, copy).returncode == 0
    assert run(signature, copy).returncode != 0


@pytest.mark.parametrize("page", ["ticket", "display"])
def test_the_third_command_finds_the_released_page_on_a_host_that_names_its_relay(
    released, tmp_path, page
):
    import build as pages  # display_web/build.py

    served = tmp_path / "served"
    served.write_text(pages.build(page, "https://relay.example", "https://t.example"), "utf-8")
    command = commands()[2].replace("curl -s https://receipts.example/", f"cat {served}")
    expected = (released / "pages-SHA256SUMS").read_text("ascii")

    done = run(command, released)

    assert f"{done.stdout.split()[0]}  {page}.html" in expected


@pytest.fixture(autouse=True)
def pages_builder(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "display_web"))


def test_another_key_is_refused(tool, released, tmp_path):
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    copy = tmp_path / "copy"
    shutil.copytree(released, copy)
    (copy / "SHA256SUMS.sig").unlink()

    with pytest.raises(tool.ReleaseError, match="none of the keys"):
        tool.sign(copy, other, released / "allowed_signers")


def test_the_bill_of_materials_is_cyclonedx_and_names_everything_that_is_locked(released):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (released / "sbom.cdx.json").read_text("utf-8")
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    bom = json.loads(text)
    purls = {component.get("purl") for component in bom["components"]}

    assert fault is None
    for lock in ("requirements-till.lock", "requirements-relay.lock"):
        pinned = re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (released / lock).read_text("utf-8"))
        assert pinned
        for name, version in pinned:
            assert f"pkg:pypi/{name}@{version}" in purls
    vendored = (ROOT / "display_web/vendor/README.md").read_text("utf-8").split("## Tools")[0]
    scripts = re.findall(r"(?m)^\| (@?[\w/.-]+) \| ([\d.]+) \| MIT \|", vendored)
    assert len(scripts) == 15
    for name, version in scripts:
        assert f"pkg:npm/{name.replace('@', '%40')}@{version}" in purls
    fonts = {path.name for path in (ROOT / "e2ee_ticket/pdf/fonts").glob("*.ttf")}
    assert fonts <= {component["name"] for component in bom["components"]}
    assert "timestamp" not in bom["metadata"]


def test_a_locked_library_has_the_hashes_of_the_lock_in_the_bill(released):
    bom = json.loads((released / "sbom.cdx.json").read_bytes())
    lock = (released / "requirements-till.lock").read_text("utf-8")
    (segno,) = (component for component in bom["components"] if component["name"] == "segno")
    entry = re.search(r"(?m)^segno==.*?(?=^\S)", lock, re.DOTALL)[0]

    known = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))
    told = json.dumps(segno)
    assert known
    assert all(digest in told for digest in known)


@pytest.fixture
def tree(tmp_path):
    shutil.copytree(ROOT, tmp_path / "tree", ignore=LEFT_OUT)
    changes = tmp_path / "tree/CHANGELOG.md"
    version = re.search(r'(?m)^version = "(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"))[1]
    changes.write_text(f"# Changelog\n\n## {version} - 2026-12-01\n", "utf-8")
    return tmp_path / "tree"


def test_what_is_whole_can_be_released(tool, tree):
    assert re.fullmatch(r"\d+\.\d+\.\d+", tool.check(tree))


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        ("relay_server/__init__.py", ('__version__ = "', '__version__ = "9'), "another version"),
        ("e2ee_ticket/__init__.py", ('__version__ = "', '__version__ = "9'), "another version"),
        ("CHANGELOG.md", ("## ", "## 9"), "no heading"),
        ("display_web/src/ticket.css", ("{", "{color:red;"), "is not what the sources make"),
        ("docs/man/relay-server.1", ("NAME", "NAMES"), "make manuals"),
    ],
)
def test_what_is_not_whole_is_not_released(tool, tree, file, change, reason):
    path = tree / file
    path.write_text(path.read_text("utf-8").replace(*change, 1), "utf-8")

    with pytest.raises(tool.ReleaseError, match=reason):
        tool.check(tree)


def test_what_is_not_committed_is_not_released(tool, tree, monkeypatch, tmp_path):
    git = ("git", "-C", tree, "-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "all"], check=True)
    monkeypatch.setattr(tool, "ROOT", tree)
    (tmp_path / "one").mkdir()
    tool.export(tmp_path / "one")
    assert (tmp_path / "one/sources/pyproject.toml").exists()
    assert not (tmp_path / "one/sources/.git").exists()

    (tree / "left.txt").write_text("x")
    (tmp_path / "two").mkdir()
    with pytest.raises(tool.ReleaseError, match="not committed"):
        tool.export(tmp_path / "two")
