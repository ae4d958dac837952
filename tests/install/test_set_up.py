"""tools/setup on machines that are not like ours: another pip, a newer index, other browsers."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import browsers
import pytest
import stage
from package_index import index, wheel

TOP = Path(__file__).resolve().parents[2]
OLD_PIP = TOP / ".venv/old-pip"
BACKEND = """
import base64, hashlib, zipfile

def get_requires_for_build_editable(config_settings=None):
    return []

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "shop-1.0-py3-none-any.whl"
    info = "shop-1.0.dist-info"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as made:
        made.writestr("shop.py", "")
        made.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: shop\\nVersion: 1.0\\n")
        made.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        )
        made.writestr(f"{info}/RECORD", "")
    return name
"""

alpha = wheel("alpha", "1.0", requires=["beta[fast]>=1.0"])
beta = wheel("beta", "1.0", requires=["gamma>=1.0; extra == 'fast'"], extras=["fast"])
gamma = wheel("gamma", "1.0")
NEWER = [wheel("alpha", "2.0"), wheel("beta", "2.0", extras=["fast"]), wheel("gamma", "2.0")]


def lock(*wheels):
    """Write what a lock says of them: exact versions and hashes."""
    lines = []
    for name, data in wheels:
        package, version, *_ = name.split("-")
        lines.append(f"{package}=={version} --hash=sha256:{hashlib.sha256(data).hexdigest()}\n")
    return "".join(lines)


class Project:
    """A checkout with our tools/setup, and with few dependencies."""

    def __init__(self, folder, *locked):
        self.folder = folder
        (folder / "tools").mkdir()
        for name in ("setup", "browsers.py"):
            shutil.copy(TOP / "tools" / name, folder / "tools" / name)
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )
        (folder / "backend.py").write_text(BACKEND)
        (folder / "requirements.lock").write_text(lock(*locked))

    def has(self, environment):
        """Have this environment beforehand."""
        shutil.copytree(environment, self.folder / ".venv", symlinks=True)

    @property
    def python(self):
        return self.folder / ".venv/bin/python"

    def set_up(self, want="check", **environment):
        """Run it as a stranger would, with nothing of ours in the environment."""
        clean = {
            name: value for name, value in os.environ.items()
            if not name.startswith(("PIP_", "VIRTUAL_ENV", "PYTHON"))
        }  # fmt: skip
        return subprocess.run(
            ["/bin/sh", self.folder / "tools/setup", want],
            env=clean | {"PIP_CONFIG_FILE": os.devnull, "PYTHON": sys.executable} | environment,
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def installed(self):
        done = subprocess.run(
            [self.python, "-c", "import alpha, beta, gamma; print(alpha.VERSION, beta.VERSION)"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()


@pytest.fixture(scope="module")
def old_pip(tmp_path_factory):
    """An environment with a pip of 2023."""
    (old,) = OLD_PIP.glob("pip-*.whl") if OLD_PIP.exists() else [None]
    if old is None:
        stage.missing("an old pip", "tools/setup test")
    made = tmp_path_factory.mktemp("old")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    subprocess.run(
        [made / "bin/python", "-m", "pip", "install", "-q", "--no-index", "--no-deps", old],
        env=os.environ | {"PYTHONPATH": str(old)}, check=True,
    )  # fmt: skip
    return made


@pytest.mark.parametrize("old", [True, False], ids=["old pip", "this pip"])
def test_an_index_that_has_moved_on_changes_nothing(tmp_path, request, old):
    project = Project(tmp_path, alpha, beta, gamma)
    if old:
        project.has(request.getfixturevalue("old_pip"))

    with index(alpha, beta, gamma, *NEWER) as address:
        done = project.set_up(PIP_INDEX_URL=address)

    assert done.returncode == 0, done.stderr
    assert project.installed() == "1.0 1.0"


def test_a_lock_that_lacks_something_is_told(tmp_path, old_pip):
    needy = wheel("alpha", "1.0", requires=["gamma"])
    project = Project(tmp_path, needy, beta)
    project.has(old_pip)

    with index(needy, beta, gamma) as address:
        done = project.set_up(PIP_INDEX_URL=address)

    assert done.returncode == 1
    assert "the lock is not complete" in done.stderr
    assert "gamma" in done.stderr


def test_a_package_with_another_hash_is_not_installed(tmp_path, old_pip):
    project = Project(tmp_path, alpha, beta, gamma)
    project.has(old_pip)
    other = (gamma[0], wheel("gamma", "1.0", requires=["alpha"])[1])

    with index(alpha, beta, other) as address:
        done = project.set_up(PIP_INDEX_URL=address)

    assert done.returncode != 0
    assert "gamma" in done.stderr
    assert not (tmp_path / ".venv/.stamp").exists()


def test_the_environment_is_kept_until_something_changes(tmp_path, old_pip):
    project = Project(tmp_path, alpha, beta, gamma)
    project.has(old_pip)
    with index(alpha, beta, gamma) as address:
        assert project.set_up(PIP_INDEX_URL=address).returncode == 0
    kept = (project.folder / ".venv/pyvenv.cfg").stat().st_mtime_ns

    again = project.set_up(PIP_INDEX_URL="http://127.0.0.1:9/")

    assert again.returncode == 0, again.stderr
    assert again.stderr == ""
    assert (project.folder / ".venv/pyvenv.cfg").stat().st_mtime_ns == kept


def test_who_is_not_root_is_told_what_to_install(tmp_path, old_pip):
    """A program called firefox that is no browser does not count as one."""
    project = Project(tmp_path, alpha, beta, gamma)
    project.has(old_pip)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cat", "cksum", "dirname", "grep", "rm", "sed"):
        (tools / name).symlink_to(shutil.which(name))
    program(tools / "id", "echo 1000")
    program(tools / "firefox", "exit 0")
    downloads = str(tmp_path / "none")

    with index(alpha, beta, gamma) as address:
        done = project.set_up(
            "test", PIP_INDEX_URL=address, PATH=str(tools), PLAYWRIGHT_BROWSERS_PATH=downloads
        )

    told = done.stderr
    assert "sudo RUNLEVEL=1 apt-get install -y --no-install-recommends" in told
    assert " chromium " in told
    assert " firefox-esr " in told
    assert "playwright install chromium firefox" in told


# Browsers


def program(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path, monkeypatch):
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "downloads"))
    return folder


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("firefox-esr", "firefox", "Mozilla Firefox 153.8.0esr"),
        ("chromium", "chromium", "Chromium 156.0.8078.114 built on Debian GNU/Linux 12"),
        ("google-chrome", "chromium", "Google Chrome 156.0.8078.73 "),
        ("chromium-headless-shell", "chromium-headless-shell", "Chromium 156.0.8078.114 "),
    ],
)
def test_a_browser_that_says_its_version_is_found(path, name, kind, says):
    real = program(path / name, f"echo '{says}'")

    assert browsers.find(kind) == str(real)


@pytest.mark.parametrize(
    "script",
    ["exit 0", "echo firefox", "echo 'Mozilla Firefox 153.0'; exit 1", "exec /snap/bin/firefox"],
    ids=["says nothing", "says no version", "fails", "a snap"],
)
def test_what_is_only_called_firefox_is_none(path, script):
    program(path / "firefox", script)

    assert browsers.find("firefox") is None


def test_a_snap_that_runs_is_passed_over_for_a_real_one_later_in_the_path(path, monkeypatch):
    script = "# runs /snap/bin/firefox\necho 'Mozilla Firefox 153.0'"
    program(path / "firefox", script)
    later = path / "later"
    later.mkdir()
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}{later}")
    real = program(later / "firefox", "echo 'Mozilla Firefox 153.0'")

    assert browsers.find("firefox") == str(real)


def test_a_link_to_the_program_snap_is_none(path, tmp_path):
    snap = program(tmp_path / "snap", "echo 'Chromium 156.0.1.1 snap'")
    (path / "chromium").symlink_to(snap)

    assert browsers.find("chromium") is None


@pytest.mark.usefixtures("path")
def test_playwrights_own_browser_is_found_where_there_is_no_other(tmp_path):
    folder = tmp_path / "downloads/chromium-1200/chrome-linux"
    folder.mkdir(parents=True)
    real = program(folder / "chrome", "echo 'Google Chrome for Testing 156.0.8078.0'")

    assert browsers.find("chromium") == str(real)
