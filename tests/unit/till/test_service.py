"""The agent is started by the computer: what is written, on every system, and what is run."""

import plistlib
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import stage

from e2ee_ticket.cli import service
from e2ee_ticket.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
HOME = Path("/home/Léa Martin")
ENVIRONMENT = {
    "E2EE_TICKET_CONFIG": "/home/Léa Martin/till.toml",
    "E2EE_TICKET_PERMIT": "p" * 43,
    "PATH": "/bin",
}


def describe(platform, **options):
    if platform == "linux" and shutil.which("systemctl") is None:
        stage.missing("systemctl", "apt-get install -y --no-install-recommends systemd")
    return service.describe(platform=platform, home=HOME, environment=ENVIRONMENT, **options)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_system_runs_this_installations_agent_without_a_permit_in_the_text(platform):
    made = describe(platform)

    assert sys.executable in made.text
    assert "e2ee_ticket" in made.text
    assert "agent" in made.text
    assert "p" * 43 not in made.text
    assert made.file.is_relative_to(HOME)


def test_a_users_unit_knows_the_configuration_and_quotes_it():
    unit = describe("linux").text

    assert 'Environment="E2EE_TICKET_CONFIG=/home/Léa Martin/till.toml"' in unit
    assert "NoNewPrivileges=yes" in unit
    assert "WantedBy=default.target" in unit


def test_launchd_reads_what_is_written():
    members = plistlib.loads(describe("darwin").text.encode())

    assert members["ProgramArguments"] == service.command()
    assert members["KeepAlive"] is True
    assert members["EnvironmentVariables"] == {"E2EE_TICKET_CONFIG": "/home/Léa Martin/till.toml"}


def test_a_windows_task_does_not_end_after_three_days():
    task = ET.fromstring(describe("win32").text)  # noqa: S314 - ours
    spaces = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}

    assert task.findtext(".//t:ExecutionTimeLimit", namespaces=spaces) == "PT0S"
    assert task.findtext(".//t:Command", namespaces=spaces) == sys.executable


def test_a_windows_task_brings_its_log_and_its_environment():
    text = describe("win32").text
    task = ET.fromstring(text.encode())  # noqa: S314 - ours
    spaces = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    arguments = task.findtext(".//t:Arguments", namespaces=spaces)

    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>')
    assert arguments.startswith("-m e2ee_ticket agent --log ")
    assert "agent.log" in arguments
    assert '--setting "E2EE_TICKET_CONFIG=/home/Léa Martin/till.toml"' in arguments
    assert "PERMIT" not in arguments


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_only_linux_has_a_service_of_the_machine(platform):
    with pytest.raises(ConfigError, match="--system is for Linux"):
        describe(platform, system=True)


def test_the_delivered_unit_is_the_one_that_is_installed():
    delivered = (ROOT / "deploy" / service.UNIT).read_text(encoding="utf-8")
    about = delivered[: delivered.index("[Unit]")]
    unit = service.system_unit("/opt/e2ee-ticket/bin/e2ee-ticket agent", about=about)

    assert delivered == unit
    assert all(line.startswith("#") for line in about.splitlines())


def test_the_delivered_socket_is_the_one_that_is_installed():
    delivered = (ROOT / "deploy" / service.SOCKET).read_text(encoding="utf-8")
    about = delivered[: delivered.index("[Unit]")]

    assert delivered == service.socket_unit(service.CONSOLE_LISTEN, about=about)


def test_systemd_holds_the_consoles_own_port_over_restarts(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('[console]\nlisten = "127.0.0.1:8765"\n')
    made = service.describe(
        platform="linux", home=HOME, environment={"E2EE_TICKET_CONFIG": str(config)}
    )
    unit = HOME / ".config/systemd/user" / service.SOCKET

    assert "ListenStream=127.0.0.1:8765\n" in made.more[unit]
    assert service.SOCKET in made.install[1]
    assert service.SOCKET in made.remove[0]


@pytest.mark.parametrize("kind", ["system", "user"])
def test_systemd_finds_no_fault_with_the_unit(kind, tmp_path):
    if shutil.which("systemd-analyze") is None:
        stage.missing("systemd-analyze", "apt-get install -y --no-install-recommends systemd")
    unit = tmp_path / service.UNIT
    text = service.system_unit("/bin/true") if kind == "system" else describe("linux").text
    unit.write_text(text, encoding="utf-8")
    socket = tmp_path / service.SOCKET
    socket.write_text(service.socket_unit("127.0.0.1:8422"), encoding="utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit, socket],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def made(tmp_path):
    return service.Service(
        tmp_path / "deep" / "unit", "text\n", [["start", "it"], ["and", "more"]], [["stop", "it"]],
        ["status"], ["stop", "first"], "a note", {tmp_path / "deep" / "more": "of it\n"},
    )  # fmt: skip


def test_installing_writes_then_runs_and_says_so(made, capsys):
    ran = []
    code = service.install_service(made, lambda command: ran.append(command) or 0)

    assert (code, made.file.read_text(), ran) == (0, "text\n", made.install)
    said = capsys.readouterr().err
    assert "run: start it" in said
    assert "hint: a note" in said


def test_installing_again_stops_what_runs_first(made):
    ran = []
    for _ in range(2):
        service.install_service(made, lambda command: ran.append(command) or 0)

    assert ran == [*made.install, made.stop, *made.install]


def test_a_command_that_fails_ends_it_and_is_told(made, capsys):
    ran = []
    code = service.install_service(made, lambda command: ran.append(command) or 1)

    assert (code, len(ran)) == (1, 1)
    assert "did not work" in capsys.readouterr().err


def test_removing_stops_it_and_leaves_nothing(made, capsys):
    service.install_service(made, lambda _: 0)
    ran = []
    code = service.remove_service(made, lambda command: ran.append(command) or 1)

    assert (code, made.file.exists(), ran) == (0, False, made.remove)
    assert not list(made.file.parent.iterdir())
    assert service.remove_service(made, lambda _: 1) == 0
    assert "no service is installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "quoted"),
    [
        (["/bin/a", "-m"], "/bin/a -m"),
        (["/my till/python", "-m"], '"/my till/python" -m'),
        (["/100%/a$b", 'q"'], r'/100%%/a$$b "q\""'),
    ],
)
def test_paths_are_quoted_as_systemd_reads_them(words, quoted):
    assert service._quoted(words) == quoted
