"""The relay's program where its libraries, a character or POSIX are missing; its version."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import e2ee_ticket
import relay_server

ROOT = Path(__file__).resolve().parents[3]


def run(*command, **options):
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip


def test_it_says_its_version_which_is_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    done = run("-m", "relay_server", "--version")

    assert (done.returncode, done.stdout) == (0, f"relay-server {project['version']}\n")
    assert relay_server.__version__ == e2ee_ticket.__version__ == project["version"]


def test_without_the_extra_it_says_which_one_is_lacking(tmp_path):
    done = run("-S", "-m", "relay_server", "--listen", "127.0.0.1:0", "--db", tmp_path / "x.sqlite")

    assert done.returncode == 1
    *_, said, hint = done.stderr.splitlines()
    assert said.endswith("aiohttp is not installed: this installation lacks the extra relay")
    wheel = f"e2ee_ticket-{relay_server.__version__}-py3-none-any.whl"
    assert hint == f'hint: {sys.executable} -m pip install "{wheel}[relay]"'


def test_without_the_extra_a_permit_can_be_made_in_a_file(tmp_path):
    done = run(
        "-S", "-m", "relay_server", "permit", "add", "--new", "x", "--db", tmp_path / "x.sqlite"
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp850"])
def test_help_is_spelled_where_the_terminal_lacks_a_character(encoding):
    done = run("-m", "relay_server", "--help", env={**os.environ, "PYTHONIOENCODING": encoding})

    assert (done.returncode, done.stderr) == (0, "")
    assert "RELAY_OPEN, ..." in done.stdout


WINDOWS = """
import sys, types, fcntl
path, action = sys.argv[1:]
taken = set()

def locking(descriptor, mode, size):
    assert (mode, size) == (2, 1)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise PermissionError(13, "Permission denied") from None  # as Windows has it

import pathlib
from relay_server.store import place
from relay_server.errors import StartError
sys.platform = "win32"
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=locking)
del sys.modules["fcntl"]
file = pathlib.Path(path)
if action == "running":
    print(place.is_running(file))
else:
    try:
        held = place.Hold(file)
    except StartError as error:
        print(error)
    else:
        print("locked", flush=True)
        sys.stdin.read()
"""


def test_on_windows_too_one_database_has_one_relay(tmp_path):
    """Windows is simulated here: its module is a stand-in that locks as it does."""
    file = tmp_path / "relay.sqlite"
    command = [sys.executable, "-c", WINDOWS, file]
    with subprocess.Popen([*command, "lock"], cwd=ROOT, text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as first:  # fmt: skip
        assert first.stdout.readline() == "locked\n"
        assert run("-c", WINDOWS, file, "lock").stdout == f"another relay is running on {file}\n"
        assert run("-c", WINDOWS, file, "running").stdout == "True\n"
        first.stdin.close()
    assert run("-c", WINDOWS, file, "running").stdout == "False\n"
