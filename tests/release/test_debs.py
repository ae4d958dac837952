"""The Debian packages: what is in them, by whose leave they run, and what lintian says.

`tools/try_debs` installs, upgrades and purges them in a fresh system, which takes minutes and root.
"""

import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import stage

ROOT = Path(__file__).resolve().parents[2]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def make(wheel, out, *more):
    if shutil.which("dpkg-deb") is None:
        stage.missing("dpkg-deb", "apt-get install -y dpkg")
    subprocess.run(
        [sys.executable, ROOT / "tools/make_debs.py", wheel, out, "--only", "relay",
         "--python", PYTHON, "--fast", *more],
        check=True, capture_output=True,
    )  # fmt: skip
    (deb,) = out.glob("*.deb")
    return deb


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return next(out.iterdir())


@pytest.fixture(scope="module")
def deb(wheel, tmp_path_factory):
    return make(wheel, tmp_path_factory.mktemp("debs"))


@pytest.fixture(scope="module")
def unpacked(deb, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    subprocess.run(["dpkg-deb", "-R", deb, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def members(deb, tmp_path_factory):
    file = tmp_path_factory.mktemp("members") / "data.tar"
    with file.open("wb") as out:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, stdout=out)
    with tarfile.open(file) as archive:
        return {member.name.removeprefix("./"): member for member in archive.getmembers()}


def test_the_same_wheel_makes_the_same_package(wheel, deb, tmp_path):
    again = make(wheel, tmp_path)

    assert again.name == deb.name == f"e2ee-ticket-relay_{VERSION}_amd64.deb"
    assert again.read_bytes() == deb.read_bytes()


def test_everything_belongs_to_root_and_nothing_can_be_written_by_others(members):
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}
    secret = members["etc/relay-server.env"]
    assert secret.mode == 0o640
    for name, member in members.items():
        assert member is secret or member.issym() or member.mode in (0o644, 0o755), name
    assert {member.mtime for member in members.values()} == {1_580_601_600}


def test_it_has_its_libraries_to_itself_and_none_of_the_other_program(members):
    tops = {name.split("/")[0] for name in members if name}
    inside = {name.split("site-packages/")[1].split("/")[0] for name in members
              if "site-packages/" in name}  # fmt: skip

    # Not /lib, which is a link: Ubuntu makes a folder `/lib.usr-is-merged` of it, and leaves it.
    assert tops - {"."} == {"usr", "etc"}
    assert {"relay_server", "aiohttp", "redis"} <= inside
    assert inside & {"e2ee_ticket", "nacl", "pytest", "pip", "tests", "bin", "share"} == set()
    assert members["usr/lib/e2ee-ticket-relay/bin/python3"].linkname == "/usr/bin/python3"


def test_its_service_has_a_user_of_its_own_and_all_walls_of_the_delivered_one(unpacked):
    made = (
        (unpacked / "usr/lib/systemd/system/relay-server.service").read_text("utf-8").splitlines()
    )
    delivered = (ROOT / "deploy/relay/relay-server.service").read_text("utf-8").splitlines()

    changed = {"DynamicUser=yes", "ExecStart=/opt/relay-server/bin/relay-server"}
    missing = {line for line in delivered if line and not line.startswith("#")} - set(made)
    assert missing == changed
    assert "User=relay-server" in made
    assert "ExecStart=/usr/lib/e2ee-ticket-relay/bin/python3 -P -m relay_server" in made


def test_its_settings_are_kept_on_upgrade(unpacked):
    assert (unpacked / "DEBIAN/conffiles").read_text() == "/etc/relay-server.env\n"
    delivered = (ROOT / "deploy/relay/relay-server.env").read_bytes()
    assert (unpacked / "etc/relay-server.env").read_bytes() == delivered


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_its_scripts_are_shell_and_ask_nothing(unpacked, script):
    path = unpacked / "DEBIAN" / script
    text = path.read_text("utf-8")

    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0
    assert "@" not in text.replace("$@", "")
    assert "set -e" in text
    for asking in ("debconf", "db_input", "read "):
        assert asking not in text


def test_the_libraries_are_the_wheels_of_the_lock_unchanged(unpacked):
    """RECORD is the wheel's own list of hashes; pip and uv compare it with nothing afterwards."""
    import base64
    import csv
    import hashlib

    site = unpacked / f"usr/lib/e2ee-ticket-relay/lib/python{PYTHON}/site-packages"
    compared = 0
    for record in site.glob("*.dist-info/RECORD"):
        for name, digest, _ in csv.reader(record.read_text("utf-8").splitlines()):
            path = (site / name).resolve()
            if digest and path.is_file() and site in path.parents and ".dist-info/" not in name:
                found = hashlib.sha256(path.read_bytes()).digest()
                assert digest == "sha256=" + base64.urlsafe_b64encode(found).decode().rstrip("=")
                compared += 1
    assert compared > 300


def test_lintian_finds_no_error(deb):
    if shutil.which("lintian") is None:
        stage.missing("lintian", "apt-get install -y --no-install-recommends lintian")

    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", deb],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "")
