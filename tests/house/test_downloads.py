"""Nothing that is fetched from elsewhere runs without its hash having been compared."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
IMAGE = re.compile(r"[a-z0-9./-]+:[A-Za-z0-9._-]+@sha256:[0-9a-f]{64}")
NOT_OURS = {".git", ".venv", "node_modules", "build", "__pycache__", "mutants"}
# What runs: everything but what is read (.md), what is made, and what a lock or a page holds.
RUNS = [
    path
    for path in sorted(ROOT.rglob("*"))
    if path.is_file()
    and not NOT_OURS & set(path.relative_to(ROOT).parts[:-1])
    and not any(part.startswith(".") and part != ".ci" for part in path.relative_to(ROOT).parts)
    and (
        path.suffix in (".sh", ".service", ".yaml", ".yml")
        or path.name in ("Makefile", "Containerfile", "Dockerfile")
        or path.read_bytes()[:2] == b"#!"
    )
]
LOCKS = [
    path
    for path in sorted(ROOT.rglob("*.lock"))
    if not NOT_OURS & set(path.relative_to(ROOT).parts)
]


def commands(text):
    """Give every command of a shell text, with its continued lines, without comments."""
    text = re.sub(r"(?m)^\s*#.*$", "", text).replace("\\\n", " ")
    return [part.strip() for part in re.split(r"\n|&&|\|\||;(?=\s)|\bthen\b", text)]


def installs(path):
    pip = re.compile(r"\bpip3?\"? +(?:install|download|wheel)\b")
    return [command for command in commands(path.read_text("utf-8")) if pip.search(command)]


def is_hashed(command):
    """Tell whether pip takes only what a lock names by hash, or what is here already."""
    locked = re.search(r"--require-hashes --no-deps\b.* -r +(\S+)", command)
    if locked:
        return locked[1].endswith((".lock", '.lock"', '"$1"'))
    return "--no-deps" in command and ("--no-index" in command or "--no-build-isolation" in command)


def test_the_files_that_run_are_looked_at():
    names = {path.relative_to(ROOT).as_posix() for path in RUNS}

    assert {
        ".ci/run", "Makefile", "tools/setup", "tools/build-wheel", "deploy/relay/install.sh",
        "deploy/relay/Containerfile", "deploy/till/Containerfile", "deploy/relay/compose.yaml",
    } <= names  # fmt: skip
    assert sum(len(installs(path)) for path in RUNS) >= 8


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pip_takes_nothing_without_its_hash(path):
    assert [command for command in installs(path) if not is_hashed(command)] == []


@pytest.mark.parametrize(
    "command",
    [
        "pip install x",
        "pip install --require-hashes -r requirements.lock",
        "pip install --require-hashes --no-deps -r requirements.txt",
        "python -m pip install --no-deps .",
        "pip wheel .",
        "pip download x==1",
    ],
)
def test_what_takes_something_without_a_hash_is_found(command):
    assert not is_hashed(command)


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_downloaded_past_a_lock(path):
    """Beside pip: npm by its lock, apt, which compares signatures, and Playwright's browsers."""
    text = "\n".join(commands(path.read_text("utf-8")))

    fetching = r"\b(?:curl|wget|git clone|npm (?:i|install)|npx|pipx|uvx|uv (?:pip|tool) install)\b"
    assert re.findall(fetching, text) == []
    assert re.findall(r"\|\s*(?:ba)?sh\b", text) == []


def test_no_program_of_ours_asks_npm_for_more_than_a_lock_names():
    for path in sorted(ROOT.rglob("*.py")):
        if NOT_OURS & set(path.relative_to(ROOT).parts):
            continue
        text = path.read_text("utf-8")
        assert re.findall(r'"npm",\s*"(?!ci\b)|NPM,\s*"(?!ci\b|run\b)', text) == [], path


@pytest.mark.parametrize("path", [path for path in RUNS if path.name == "Containerfile"], ids=str)
def test_every_base_image_is_named_by_its_digest(path):
    text = path.read_text("utf-8")
    defaults = dict(re.findall(r"(?m)^ARG (\w+)=(\S+)$", text))
    bases = re.findall(r"(?m)^FROM (\S+)", text)

    assert bases
    for base in bases:
        named = re.fullmatch(r"\$\{(\w+)\}", base)
        assert IMAGE.fullmatch(defaults[named[1]] if named else base), base


@pytest.mark.parametrize("path", [path for path in RUNS if path.suffix == ".yaml"], ids=str)
def test_every_image_of_compose_is_built_here_or_named_by_its_digest(path):
    for name, service in yaml.safe_load(path.read_text("utf-8")).get("services", {}).items():
        assert "build" in service or IMAGE.fullmatch(service["image"]), name


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_lock_names_one_version_and_hashes_of_everything(path):
    text = path.read_text("utf-8")
    entries = re.split(r"(?m)^(?=[a-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text))[1:]

    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==[^\s;]+ ", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert not re.search(
        r"(?m)^\s*--?(?:i|index-url|extra-index-url|find-links|trusted-host)\b", text
    )


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(ROOT.rglob("package-lock.json")) if "node_modules" not in p.parts],
    ids=str,
)
def test_an_npm_lock_names_a_hash_of_everything(path):
    packages = json.loads(path.read_bytes())["packages"]
    lacking = [name for name, entry in packages.items() if name and "integrity" not in entry]

    assert len(packages) > 1
    assert lacking == []


def test_what_builds_the_wheel_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    group = project["dependency-groups"]["build"]
    lock = (ROOT / "requirements-build.lock").read_text("utf-8")

    assert group == project["build-system"]["requires"]
    assert re.findall(r"(?m)^hatchling==", lock) == ["hatchling=="]


@pytest.mark.parametrize(
    ("lock", "without"),
    [
        (
            "requirements-till.lock",
            "pytest mypy ruff hypothesis playwright numpy redis hatchling uv",
        ),
        (
            "deploy/relay/requirements.lock",
            "pytest mypy ruff hypothesis pynacl cffi pikepdf hatchling",
        ),
        ("requirements-build.lock", "pytest pynacl aiohttp"),
    ],
)
def test_who_installs_a_program_gets_no_tools_and_the_versions_that_were_tested(lock, without):
    pinned = re.compile(r"(?m)^([a-z0-9._-]+==[^\s;]+)")
    tested = set(pinned.findall((ROOT / "requirements.lock").read_text("utf-8")))
    installed = set(pinned.findall((ROOT / lock).read_text("utf-8")))

    assert {entry.partition("==")[0] for entry in installed} & set(without.split()) == set()
    assert installed <= tested
