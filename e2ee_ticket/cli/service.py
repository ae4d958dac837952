"""`e2ee-ticket service`: the agent, started by the computer rather than by somebody.

Each operating system has its own way: systemd (for this user, or for the whole machine), launchd,
the Task Scheduler. What is written and what is run is told; nothing is hidden.
"""

import argparse
import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from e2ee_ticket.cli import voice
from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till.config import CONSOLE_LISTEN, FILE_VARIABLE, PREFIX, load, reason

UNIT: Final = "e2ee-ticket-agent.service"
SOCKET: Final = "e2ee-ticket-agent.socket"
LABEL: Final = "org.e2ee-ticket.agent"
TASK: Final = "e2ee-ticket agent"
SYSTEM_STATE: Final = "/var/lib/e2ee-ticket"
COMMAND_SECONDS: Final = 60
_PERMIT: Final = f"{PREFIX}PERMIT"

Run = Callable[[Sequence[str]], int]


@dataclass(frozen=True, slots=True)
class Service:
    """How one operating system starts the agent.

    Attributes:
        file: what is written; None where there is no file.
        text: what is written into it.
        install, remove, status: the commands that are run, after it was written or before it goes.
        stop: what stops an agent that runs already, so that it starts with what is new.
        note: what else is to be known; None where nothing is.
        more: other files that are written with it.
    """

    file: Path
    text: str
    install: Sequence[Sequence[str]]
    remove: Sequence[Sequence[str]]
    status: Sequence[str]
    stop: Sequence[str]
    note: str | None = None
    more: Mapping[Path, str] = field(default_factory=dict)


def install(parsed: argparse.Namespace) -> int:
    """Write what starts the agent, and start it.

    Raises:
        ConfigError: it is not known how, or a permit would be lost.
    """
    if os.environ.get(_PERMIT):
        raise ConfigError(
            f"{_PERMIT} is set in this window only, and a service would not have it;"
            " e2ee-ticket config permit puts it into the configuration"
        )
    return install_service(describe(system=parsed.system))


def remove(parsed: argparse.Namespace) -> int:
    """Stop the agent, and take away what starts it."""
    return remove_service(describe(system=parsed.system))


def status(parsed: argparse.Namespace) -> int:
    """Say whether it is installed, and what the system says of it."""
    service = describe(system=parsed.system)
    if not service.file.exists():
        voice.result("not installed")
        voice.hint("e2ee-ticket service install")
        return voice.REFUSED
    return voice.DONE if _run(service.status) == 0 else voice.REFUSED


def install_service(service: Service, run: Run | None = None) -> int:
    """Write the file, then run the commands; a command that fails ends it."""
    again = service.file.exists()
    try:
        for file, text in ((service.file, service.text), *service.more.items()):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigError(
            f"{service.file} cannot be written: {reason(error)}; for the whole machine use sudo"
        ) from error
    for file in (service.file, *service.more):
        voice.say(f"written: {file}")
    if again:
        (run or _run)(service.stop)
    for command in service.install:
        voice.say(f"run: {shlex.join(command)}")
        if (run or _run)(command) != 0:
            voice.say("this did not work; the agent does not start by itself yet")
            voice.hint("the message above says why; e2ee-ticket agent runs it in this window")
            return voice.REFUSED
    voice.say("the agent runs, and starts by itself from now on")
    voice.hint(service.note)
    return voice.DONE


def remove_service(service: Service, run: Run | None = None) -> int:
    """Run the commands, then remove the file; what is not there is no error."""
    if not service.file.exists():
        voice.say("no service is installed")
        return voice.DONE
    for command in service.remove:
        voice.say(f"run: {shlex.join(command)}")
        (run or _run)(command)
    for file in (service.file, *service.more):
        file.unlink(missing_ok=True)
        voice.say(f"removed: {file}")
    return voice.DONE


def describe(
    *,
    system: bool = False,
    platform: str = sys.platform,
    home: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Service:
    """Say how this computer would start the agent.

    Raises:
        ConfigError: it is not known how.
    """
    home = home or Path.home()
    variables = _variables(environment)
    if platform == "darwin":
        _refuse_system(system=system)
        return _launchd(home, variables)
    if platform == "win32":
        _refuse_system(system=system)
        return _task(home, variables)
    if shutil.which("systemctl") is None and platform == sys.platform:
        raise ConfigError(
            "this computer has no systemd; start e2ee-ticket agent in its own way at login"
        )
    console = _console_listen(
        {FILE_VARIABLE: f"{SYSTEM_STATE}/config.toml"} if system else environment
    )
    return _systemd_system(console) if system else _systemd_user(home, variables, console)


def command() -> list[str]:
    """Return the command that runs the agent with this very installation."""
    python = Path(sys.executable)
    if sys.platform == "win32":
        windowless = python.with_name("pythonw.exe")
        python = windowless if windowless.exists() else python
    return [str(python), "-m", "e2ee_ticket", "agent"]


def _refuse_system(*, system: bool) -> None:
    if system:
        raise ConfigError("--system is for Linux; here the agent starts when its user logs in")


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Keep what names places and addresses; a permit does not belong into a unit."""
    found = {
        name: value
        for name, value in environment.items()
        if name.startswith(PREFIX) and value and name != _PERMIT and value.isprintable()
    }
    if FILE_VARIABLE in found:
        found[FILE_VARIABLE] = str(Path(found[FILE_VARIABLE]).absolute())
    return found


# systemd

_HARDENING: Final = """\
LimitCORE=0
NoNewPrivileges=yes
UMask=0077
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service landlock_create_ruleset landlock_restrict_self
SystemCallErrorNumber=EPERM
TasksMax=256
MemoryMax=1G
"""

_SYSTEM_HARDENING: Final = """\
CapabilityBoundingSet=
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RestrictNamespaces=yes
"""


def _unit(executable: str, own: str, wanted_by: str, *, after: str = "", about: str = "") -> str:
    return f"""\
{about}[Unit]
Description=e2ee-ticket: receipts from this till to customers' phones
{after}
[Service]
Type=exec
ExecStart={executable}
{own}Restart=always
RestartSec=2
TimeoutStopSec=20
# Nothing of a receipt is ever in the log.
StandardOutput=journal
StandardError=journal
{_HARDENING}
[Install]
WantedBy={wanted_by}
"""


def system_unit(executable: str, *, about: str = "") -> str:
    """Write the unit for the whole machine; a user of its own is made while it runs."""
    own = (
        "DynamicUser=yes\n"
        "StateDirectory=e2ee-ticket\n"
        "StateDirectoryMode=0700\n"
        f"Environment={FILE_VARIABLE}={SYSTEM_STATE}/config.toml\n" + _SYSTEM_HARDENING
    )
    after = "Wants=network-online.target\nAfter=network-online.target time-sync.target\n"
    return _unit(executable, own, "multi-user.target", after=after, about=about)


def socket_unit(console: str, *, about: str = "") -> str:
    """Write the unit that holds the console's port while the agent is started anew.

    Another user's program could take it then, and be sent what lets an open page in.
    """
    return f"""\
{about}[Unit]
Description=e2ee-ticket: the port of the cashier's page

[Socket]
ListenStream={console}
NoDelay=yes

[Install]
WantedBy=sockets.target
"""


def _console_listen(environment: Mapping[str, str]) -> str:
    """Say where the console listens; where nothing is configured yet, where it will."""
    try:
        listen = load(environment).console.listen
    except ConfigError:
        listen = CONSOLE_LISTEN
    return listen.replace("localhost", "127.0.0.1", 1)


def _systemd_system(console: str) -> Service:
    if Path(sys.prefix).is_relative_to(Path("/home")) or Path(sys.prefix).is_relative_to("/root"):
        raise ConfigError(
            "this installation is in somebody's home, which a service of the machine cannot read;"
            " install e2ee-ticket in /opt, or leave --system out"
        )
    return Service(
        Path("/etc/systemd/system") / UNIT,
        system_unit(_quoted(command())),
        (("systemctl", "daemon-reload"), ("systemctl", "enable", "--now", SOCKET, UNIT)),
        (("systemctl", "disable", "--now", SOCKET, UNIT),),
        ("systemctl", "--no-pager", "--lines=0", "status", UNIT),
        ("systemctl", "stop", SOCKET, UNIT),
        f"its configuration is {SYSTEM_STATE}/config.toml:"
        f" sudo {FILE_VARIABLE}={SYSTEM_STATE}/config.toml e2ee-ticket setup",
        {Path("/etc/systemd/system") / SOCKET: socket_unit(console)},
    )


def _systemd_user(home: Path, variables: Mapping[str, str], console: str) -> Service:
    own = "".join(
        f"Environment={_quoted([f'{name}={value}'])}\n" for name, value in sorted(variables.items())
    )
    return Service(
        home / ".config/systemd/user" / UNIT,
        _unit(_quoted(command()), own, "default.target"),
        (
            ("systemctl", "--user", "daemon-reload"),
            ("systemctl", "--user", "enable", "--now", SOCKET, UNIT),
        ),
        (("systemctl", "--user", "disable", "--now", SOCKET, UNIT),),
        ("systemctl", "--user", "--no-pager", "--lines=0", "status", UNIT),
        ("systemctl", "--user", "stop", SOCKET, UNIT),
        "it starts when you log in; to start it with the computer: loginctl enable-linger",
        {home / ".config/systemd/user" / SOCKET: socket_unit(console)},
    )


def _quoted(words: Sequence[str]) -> str:
    """Quote as systemd reads it."""
    quoted = []
    for word in words:
        plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
        plain = plain.replace("$", "$$") if len(words) > 1 else plain
        quoted.append(f'"{plain}"' if set(plain) & set(" '\"\\;#") else plain)
    return " ".join(quoted)


# launchd


def _launchd(home: Path, variables: Mapping[str, str]) -> Service:
    file = home / "Library/LaunchAgents" / f"{LABEL}.plist"
    log = home / "Library/Logs/e2ee-ticket.log"
    members = {
        "Label": LABEL,
        "ProgramArguments": command(),
        "EnvironmentVariables": dict(variables),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ProcessType": "Interactive",
        "Umask": 0o077,
        "HardResourceLimits": {"Core": 0},
        "StandardOutPath": str(log),
        "StandardErrorPath": str(log),
    }
    domain = f"gui/{getattr(os, 'getuid', int)()}"
    return Service(
        file,
        plistlib.dumps(members).decode("utf-8"),
        (("launchctl", "bootstrap", domain, str(file)),),
        (("launchctl", "bootout", f"{domain}/{LABEL}"),),
        ("launchctl", "print", f"{domain}/{LABEL}"),
        ("launchctl", "bootout", f"{domain}/{LABEL}"),
        f"it starts when you log in; its log is {log}",
    )


# The Task Scheduler


def _task(home: Path, variables: Mapping[str, str]) -> Service:
    folder = home / "AppData/Local/e2ee-ticket"
    file, log = folder / "agent.xml", folder / "agent.log"
    # A task has neither a window to log into nor an environment of its own.
    program, *arguments = command()
    arguments += ["--log", str(log)]
    for name, value in sorted(variables.items()):
        arguments += ["--setting", f"{name}={value}"]
    return Service(
        file,
        _TASK.format(program=escape(program), arguments=escape(subprocess.list2cmdline(arguments))),
        (
            ("schtasks", "/Create", "/F", "/TN", TASK, "/XML", str(file)),
            ("schtasks", "/Run", "/TN", TASK),
        ),
        (
            ("schtasks", "/End", "/TN", TASK),
            ("schtasks", "/Delete", "/F", "/TN", TASK),
        ),
        ("schtasks", "/Query", "/TN", TASK),
        ("schtasks", "/End", "/TN", TASK),
        f"it starts when you log in, without a window; its log is {log}",
    )


# Left to itself, a task ends after three days and does not start on a battery.
_TASK: Final = """\
<?xml version="1.0" encoding="UTF-8"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <Triggers><LogonTrigger><Enabled>true</Enabled></LogonTrigger></Triggers>
  <Principals><Principal id="Author">
    <LogonType>InteractiveToken</LogonType><RunLevel>LeastPrivilege</RunLevel>
  </Principal></Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure><Interval>PT1M</Interval><Count>999</Count></RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec><Command>{program}</Command><Arguments>{arguments}</Arguments></Exec>
  </Actions>
</Task>
"""


def _run(command: Sequence[str]) -> int:
    """Run a program of the operating system's; what it says goes to stderr."""
    try:
        done = subprocess.run(  # noqa: S603 - the commands are ours
            command, check=False, stdin=subprocess.DEVNULL, stdout=sys.stderr,
            timeout=COMMAND_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        voice.say(f"{command[0]}: {type(error).__name__}")
        return 1
    return done.returncode
