"""The walls, tried from inside the process that they are around."""

import json
import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import stage

from e2ee_ticket.pdf import child, sandbox, trial, walls

# Each is an action that nobody may do; `file`, `port` and `parent` are known to it.
FORBIDDEN = {
    "open a file": "os.open(file, os.O_RDONLY)",
    "open a file of everybody": "os.open('/etc/passwd', os.O_RDONLY)",
    "make a file": "os.open(file + '.new', os.O_WRONLY | os.O_CREAT)",
    "open a folder": "os.open('/', os.O_RDONLY)",
    "list a folder": "os.listdir('/')",
    "ask about a file": "os.stat(file)",
    "delete a file": "os.unlink(file)",
    "rename a file": "os.rename(file, file + '.new')",
    "change a file's rights": "os.chmod(file, 0o777)",
    "cut a file": "os.truncate(file, 0)",
    "make a folder": "os.mkdir(file + '.new')",
    "make a link": "os.symlink(file, file + '.new')",
    "change the folder": "os.chdir('/')",
    "a socket of the network": "socket.socket()",
    "a socket of this computer": "socket.socket(socket.AF_UNIX)",
    "a connection": "socket.socket().connect(('127.0.0.1', port))",
    "a pair of sockets": "socket.socketpair()",
    "a pipe": "os.pipe()",
    "another descriptor": "os.dup(0)",
    "a process": "os.fork()",
    "a thread": "check(libc.syscall(ctypes.c_long(CLONE), 0x50f00, 0, 0, 0, 0))",
    "another program": "os.execv('/bin/true', ['true'])",
    "a signal to the till": "os.kill(parent, 0)",
    "to stop the till": "os.kill(parent, 19)",
    "to trace the till": "check(libc.ptrace(16, parent, None, None))",
    "to be traced": "check(libc.ptrace(0, 0, None, None))",
    "the till's memory": "os.open(f'/proc/{parent}/mem', os.O_RDWR)",
    "the till's memory by call": "check(libc.process_vm_readv(parent, None, 0, None, 0, 0))",
    "its own limits": "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))",
    "more privileges": "os.setuid(0)",
    "executable memory": "mmap.mmap(-1, 4096, prot=7)",
    "to make memory executable": "check(libc.mprotect(page, 4096, 5))",
    "other namespaces": "check(libc.unshare(0x10000000))",
    "another root": "os.chroot('/')",
    "to change its own walls": "check(libc.prctl(22, 2, 0, 0, 0))",
}
CLONE = {"x86_64": 56, "aarch64": 220}
PROGRAM = """
import ctypes, importlib.util, json, mmap, os, resource, socket, sys
spec = importlib.util.spec_from_file_location("child", {real!r})
child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(child)
libc = ctypes.CDLL(None, use_errno=True)
area = mmap.mmap(-1, 8192)
page = ctypes.addressof(ctypes.c_char.from_buffer(area))
CLONE = {clone}
def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
def task(told):
    told = json.loads(told)
    parent = os.getppid()
    known = dict(globals(), parent=parent, **{{name: told[name] for name in ("file", "port")}})
    seen = {{}}
    for name, action in told["actions"].items():
        try:
            exec(action, known)
        except (OSError, ValueError) as error:  # the latter of setrlimit
            seen[name] = str(error)
        else:
            seen[name] = ""
    return json.dumps(seen).encode()
child.TASKS["task"] = lambda: task
sys.exit(child.main())
"""


@pytest.fixture
def target(tmp_path):
    """Return a file and a port that are there to be reached."""
    file = tmp_path / "receipts of others"
    file.write_bytes(b"canary")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield {"file": str(file), "port": listening.getsockname()[1]}


@pytest.mark.skipif(sys.platform != "linux", reason="these are Linux's calls")
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_nothing_of_this_can_be_done_in_there(monkeypatch, tmp_path, target, warm):
    assert walls.machine(), "the list of system calls for this processor is missing"
    folder = tmp_path / "program"
    folder.mkdir()
    path = folder / "child.py"
    path.write_text(PROGRAM.format(real=str(sandbox.CHILD), clone=CLONE[walls.machine()]))
    monkeypatch.setattr(sandbox, "CHILD", path)
    monkeypatch.setattr(sandbox, "WARM", warm)
    before = Path(target["file"]).stat()

    told = json.dumps({**target, "actions": FORBIDDEN}).encode()
    seen = json.loads(sandbox.run_here(told, "task", max_size=10_000, timeout=30))

    assert list(seen) == list(FORBIDDEN)
    assert [name for name, error in seen.items() if not error] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["program", "receipts of others"]
    after = Path(target["file"]).stat()
    assert (after.st_mode, after.st_size) == (before.st_mode, len(b"canary"))
    sandbox.end_warm()


@pytest.mark.skipif(sys.platform != "linux", reason="it forks for each receipt on Linux only")
def test_there_is_nothing_open_but_the_line_to_the_till(monkeypatch, tmp_path):
    path = tmp_path / "child.py"
    program = PROGRAM.format(real=str(sandbox.CHILD), clone=0)
    program = program.replace("exec(action, known)", "os.close(int(action))")
    path.write_text(program)
    monkeypatch.setattr(sandbox, "CHILD", path)

    # What can be closed was open; 0 and 1 are the line.
    told = json.dumps({"file": "", "port": 0, "actions": {str(n): str(n) for n in range(2, 4096)}})
    seen = json.loads(sandbox.run_here(told.encode(), "task", max_size=1_000_000))

    assert [int(number) for number, error in seen.items() if not error] in ([], [2])
    sandbox.end_warm()


def test_without_walls_all_of_it_is_possible(target):
    program = (
        "import json, sys\nfrom e2ee_ticket.pdf import walls\n"
        "print(json.dumps(walls.try_walls(sys.argv[1], int(sys.argv[2]))._asdict()))"
    )

    told = subprocess.run(
        [sys.executable, "-c", program, target["file"], str(target["port"])],
        capture_output=True,
        check=True,
        text=True,
    ).stdout

    possible = json.loads(told)
    # Who may look into another process's memory is up to the system, if not to root.
    assert possible.pop("inspect") or os.name != "posix" or os.geteuid() != 0
    assert all(possible.values())


@pytest.mark.parametrize("warm", [sandbox.WARM, False])
def test_the_till_says_which_walls_stand_because_it_tried(monkeypatch, warm):
    monkeypatch.setattr(sandbox, "WARM", warm)

    assert trial.try_walls() == walls.Tried(*[False] * 7)
    assert trial.describe_walls() == (
        True,
        "receipts are opened in a process that can reach no file, no network and no other process",
    )


def test_walls_that_do_not_stand_are_named():
    tried = walls.Tried(*[False] * 7)._replace(read=True, connect=True)

    whole, sentence = trial.describe_walls(lambda: tried)

    assert not whole
    assert sentence == (
        "receipts are opened in a process of its own,"
        " which on this system could still read files, use the network"
    )
    assert trial.describe_walls(lambda: None)[0] is False


@pytest.mark.parametrize("told", ["sys.exit(1)", "print('[]')", "print('{}')", "print('nothing')"])
def test_a_child_that_tells_nothing_of_its_walls_has_none(monkeypatch, tmp_path, told):
    path = tmp_path / "child.py"
    path.write_text("import sys\n" + told)
    monkeypatch.setattr(sandbox, "CHILD", path)
    monkeypatch.setattr(sandbox, "WARM", False)

    assert trial.try_walls() is None


DATA = Path(__file__).parents[2] / "data"
TASKS = [
    ("picture", "49152", "900"),
    ("inspect",),
    ("look", "49152", "900"),
    ("clean",),
    ("raster", "576", "72", "32000"),
]


@pytest.mark.parametrize("warm", [sandbox.WARM, False])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task[0])
def test_each_task_alone_does_behind_the_walls_what_it_does_without(monkeypatch, task, warm):
    """Libraries load more when they are first used; nothing can be loaded in there."""
    sandbox.end_warm()
    monkeypatch.setattr(sandbox, "WARM", warm)
    for name in ("dolibarr_takepos_invoice.pdf", "filled_form.pdf"):
        receipt = (DATA / name).read_bytes()

        result = sandbox.run_here(receipt, *task, max_size=4_000_000, timeout=60)

        assert result == child.TASKS[task[0]](*map(int, task[1:]))(receipt)


# The program that decides on a system call, run as the kernel runs it


def decide(name: str, number: int, third: int = 0, arch: int | None = None) -> int:
    data = struct.pack(
        "=IIQ6Q", number, walls._AUDIT_ARCH[name] if arch is None else arch, 0, 0, 0, third, 0, 0, 0
    )
    program = list(struct.iter_unpack("=HBBI", walls.make_filter(name)))
    at = held = 0
    while True:
        code, yes, no, value = program[at]
        at += 1
        if code == 0x20:
            held = struct.unpack_from("=I", data, value)[0]
        elif code == 0x06:
            return value
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            at += yes if holds else no


@pytest.mark.parametrize("name", ["x86_64", "aarch64"])
def test_the_calls_of_the_list_pass_and_no_others(name):
    passing = {number for number in range(1024) if decide(name, number) == walls._ALLOW}

    assert passing == {*walls._CALLS[name].values(), *walls._MEMORY_CALLS[name]}
    assert {decide(name, number) for number in set(range(1024)) - passing} == {walls._REFUSE}
    # Neither executable memory, nor the calls of another kind of processor.
    for number in walls._MEMORY_CALLS[name]:
        assert decide(name, number, third=1 | 2) == walls._ALLOW
        assert decide(name, number, third=1 | 4) == walls._REFUSE
    for other in {*walls._AUDIT_ARCH.values(), 0x40000003} - {walls._AUDIT_ARCH[name]}:
        assert decide(name, 0, arch=other) == walls._KILL
    if name == "x86_64":
        assert decide(name, 0x40000000) == walls._KILL


@pytest.mark.skipif(sys.platform != "linux", reason="the numbers are those of Linux")
@pytest.mark.parametrize(
    ("name", "header"),
    # ARM64 has the calls that every newer processor has.
    [("aarch64", "asm-generic/unistd.h"), ("x86_64", "x86_64-linux-gnu/asm/unistd_64.h")],
)
def test_the_numbers_are_those_of_the_kernels_own_headers(name, header):
    path = Path("/usr/include", header)
    if not path.exists():
        stage.missing(header, "apt-get install -y --no-install-recommends linux-libc-dev")
    numbers = {
        called: int(number)
        for called, number in re.findall(
            r"(?m)^#define __NR(?:3264)?_(\w+)\s+(\d+)$", path.read_text()
        )
    }

    assert walls._CALLS[name] == {called: numbers[called] for called in walls._CALLS[name]}
    assert walls._MEMORY_CALLS[name] == (numbers["mmap"], numbers["mprotect"])
