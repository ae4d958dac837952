"""What `check --install` says of this computer, and of others that are only simulated."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import e2ee_ticket
from e2ee_ticket.cli import installation, main
from e2ee_ticket.cli.installation import Machine

ROOT = Path(__file__).resolve().parents[3]


def found(machine):
    return {line.place: line for line in installation.lines(machine)}


def without(module, error):
    def imports(name):
        if name == module:
            raise error
        return object()

    return imports


@pytest.fixture
def configured(monkeypatch, tmp_path):
    monkeypatch.setenv("E2EE_TICKET_CONFIG", str(tmp_path / "config.toml"))


@pytest.mark.usefixtures("configured")
def test_this_installation_lacks_nothing_and_says_one_line_for_each_part(capsys):
    assert main(["check", "--install", "--json"]) == 0

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    places = [line["place"] for line in told]
    assert [line for line in told if line["ok"] is False] == []
    assert {package for package, _ in installation.LIBRARIES.values()} < set(places)
    assert {"python", "pages", "pdf", "configuration", "start", "terminal"} < set(places)


def test_it_knows_every_library_of_the_extra():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {line.partition(">")[0] for line in project["optional-dependencies"]["till"]}

    assert {package for package, _ in installation.LIBRARIES.values()} == declared


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("module", installation.LIBRARIES)
def test_a_library_that_is_missing_is_named_with_what_brings_it(module):
    error = ModuleNotFoundError(f"No module named {module!r}", name=module)
    lines = found(Machine(imports=without(module, error)))

    line = lines[installation.LIBRARIES[module][0]]
    assert line.ok is False
    assert line.text.startswith("not installed: ")
    assert ".whl[till]" in line.hint
    assert "pdf" not in lines  # nothing is tried that cannot work


@pytest.mark.usefixtures("configured")
def test_a_library_that_does_not_load_is_not_called_missing():
    error = ImportError("DLL load failed while importing _core\nx", name="pikepdf._core")
    line = found(Machine(platform="win32", imports=without("pikepdf", error)))["pikepdf"]

    assert line.ok is False
    assert line.text.startswith("cannot be loaded (DLL load failed while importing _core x)")


@pytest.mark.usefixtures("configured")
def test_an_older_mac_is_told_which_one_pikepdf_is_made_for():
    error = ModuleNotFoundError("No module named 'pikepdf'", name="pikepdf")
    line = found(Machine(platform="darwin", imports=without("pikepdf", error)))["pikepdf"]

    assert "macOS 15" in line.hint


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("machine", "hint"),
    [
        ({"python": (3, 10)}, "Python 3.11 or newer"),
        ({"platform": "win32", "bits": 32}, "64-bit Python"),
    ],
)
def test_a_python_that_is_too_old_or_too_small_is_told(machine, hint):
    line = found(Machine(**machine))["python"]

    assert line.ok is False
    assert hint in line.hint


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("platform", "starter"),
    [("linux", "systemctl"), ("darwin", "launchctl"), ("win32", "schtasks")],
)
def test_each_system_has_its_own_way_to_start_the_agent(platform, starter):
    asked = []
    machine = Machine(platform=platform, which=lambda name: asked.append(name) or "/bin/" + name)

    assert starter in found(machine)["start"].text
    assert asked == [starter]
    assert found(Machine(platform=platform, which=lambda _: None))["start"].ok is None


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(("encoding", "ok"), [("utf-8", True), ("cp850", True), ("latin-1", None)])
def test_a_terminal_without_blocks_is_told_how_to_show_a_code(encoding, ok):
    line = found(Machine(encoding=encoding))["terminal"]

    assert line.ok is ok
    assert (line.hint is None) is (ok is True)


def bare(*arguments):
    """Run the till's program as if nothing beside it were installed."""
    return subprocess.run(
        [sys.executable, "-S", "-m", "e2ee_ticket", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["agent", "setup", "open", "outbox list"])
def test_without_the_extra_a_command_says_which_one_is_lacking(command):
    done = bare(*command.split())

    assert done.returncode == 1
    said, hint = done.stderr.splitlines()
    assert said.endswith("is not installed: this installation lacks the extra till")
    wheel = f"e2ee_ticket-{e2ee_ticket.__version__}-py3-none-any.whl"
    assert hint == f'hint: {sys.executable} -m pip install "{wheel}[till]"'


def test_without_the_extra_help_version_and_check_work():
    assert bare("--help").returncode == 0
    assert bare("--version").stdout.startswith("e2ee-ticket ")
    done = bare("check", "--install")
    assert done.returncode == 1
    assert done.stdout.count("FAIL") == len(installation.LIBRARIES) + 1  # the configuration's place
    assert done.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp850"])
def test_help_is_spelled_where_the_terminal_lacks_a_character(encoding):
    done = subprocess.run(
        [sys.executable, "-m", "e2ee_ticket", "send", "--help"],
        capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, b"")
    assert '"54,64 EUR"' in done.stdout.decode(encoding)


def test_a_program_without_a_window_logs_into_its_file(tmp_path):
    """Under pythonw there are no standard streams at all."""
    log = tmp_path / "logs" / "agent.log"
    code = (
        "import sys; sys.stdin = sys.stdout = sys.stderr = None; from e2ee_ticket.cli import main;"
        f" sys.exit(main(['agent', '--log', {str(log)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False,
        env={**os.environ, "E2EE_TICKET_CONFIG": str(tmp_path / "none.toml")},
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    written = log.read_text("utf-8")
    assert "e2ee-ticket: " in written
    assert "hint: " in written


def test_a_log_that_cannot_be_written_is_told(tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"")

    assert main(["agent", "--log", str(tmp_path / "file" / "agent.log")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["RELAY=x", "E2EE_TICKET_RELAY", "E2EE_TICKET_PERMIT=secret"])
def test_a_setting_that_is_none_or_a_secret_is_refused(setting, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["agent", "--setting", setting])

    assert ended.value.code == 2
    assert "secret" not in capsys.readouterr().err.replace("hint", "")
