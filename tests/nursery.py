"""Programs that begin at once: each is a fork of one process that has read every module already.

An interpreter and the till's modules take a second of processor time, a fork some hundredths; a
test that kills and starts a hundred agents needs that. Nothing else is different: each is a process
of its own with its own environment, arguments and signals. Where the system allows it, folders can
be small disks of their own (tmpfs in a private mount namespace), which a test can really fill.
"""

import contextlib
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import types
from pathlib import Path

_MESSAGE_SIZE = 64 * 1024
_DIE_WITH_PARENT = 1
_NEW_NAMESPACE, _NEW_USER, _PRIVATE = 0x00020000, 0x10000000, 0x44000


class Born:
    """A process that was forked, as `subprocess.Popen` shows one."""

    def __init__(self, nursery):
        self._nursery = nursery
        self.pid = self.returncode = None
        self.begun, self.ended = threading.Event(), threading.Event()

    def poll(self):
        return self.returncode

    def wait(self, timeout=None):
        if not self.ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return self.returncode

    def send_signal(self, number):
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def terminate(self):
        self.send_signal(signal.SIGTERM)


class Nursery:
    """The process that has read the modules, and what it was asked for."""

    def __init__(self, folder, small=(), size="16m"):
        """Begin; `small` are folders that become disks of this size, if they can."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._control, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * _MESSAGE_SIZE)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), self.folder / "warm", size,
                 *small],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self._all, self._count, self._lock = {}, 0, threading.Lock()
        self.has_disks = json.loads(self._control.recv(_MESSAGE_SIZE))["disks"]
        """Whether the small folders are disks."""
        threading.Thread(target=self._listen, daemon=True).start()

    def path(self, folder):
        """Name a small folder so that everybody sees the disk."""
        return Path(f"/proc/{self._process.pid}/root{folder}") if self.has_disks else Path(folder)

    def start(self, program, arguments=(), *, environment=None, out=None, err=None):
        """Start a program: `agent`, `till` or `relay`; `out` and `err` are files or descriptors."""
        born = Born(self)
        with self._lock:
            self._count += 1
            number = self._count
            self._all[number] = born
        message = {
            "number": number, "program": program, "arguments": [str(each) for each in arguments],
            "environment": dict(os.environ if environment is None else environment),
        }  # fmt: skip
        with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - not a Path on every system
            fds = [nothing.fileno() if each is None else _fileno(each) for each in (out, err)]
            socket.send_fds(self._control, [json.dumps(message).encode()], fds)
            assert born.begun.wait(30), "the nursery does not answer"
        return born

    def run(self, program, *arguments, environment=None):
        """Run a program to its end; return what it wrote to stdout."""
        said = self.folder / f"said-{threading.get_ident()}"
        with said.open("w+b") as file:
            born = self.start(program, arguments, environment=environment, out=file, err=file)
            code = born.wait(60)
            file.seek(0)
            text = file.read().decode("utf-8", "replace")
        assert code == 0, f"{program} {arguments} ended with {code}: {text}"
        return text

    def _listen(self):
        while True:
            try:
                message = json.loads(self._control.recv(_MESSAGE_SIZE) or b"null")
            except OSError:
                return
            if message is None:
                return
            born = self._all[message["number"]]
            if "pid" in message:
                born.pid = message["pid"]
                born.begun.set()
            else:
                born.returncode = message["code"]
                born.ended.set()
                del self._all[message["number"]]

    def close(self):
        """End it, and whatever it was asked for and still runs."""
        for born in list(self._all.values()):
            born.kill()
        for born in list(self._all.values()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                born.wait(20)
        self._control.shutdown(socket.SHUT_RDWR)
        self._process.wait(20)
        self._control.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Interpreters:
    """The same programs as they are installed, each in an interpreter of its own: to measure."""

    has_disks = False

    def path(self, folder):
        """Name a folder: it is where it is."""
        return Path(folder)

    def start(self, program, arguments=(), *, environment=None, out=None, err=None):
        """Start a program as a user does; the agent's clocks are the computer's."""
        names = {"agent": "e2ee-ticket", "till": "e2ee-ticket", "relay": "relay-server"}
        if program == "books":
            command = [sys.executable, __file__, "books", *arguments]
        else:
            given = arguments[1:] if program == "agent" else arguments
            command = [Path(sys.executable).with_name(names[program]), *given]
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if out is None else out,
            stderr=subprocess.DEVNULL if err is None else err,
        )  # fmt: skip

    def run(self, program, *arguments, environment=None):
        """Run a program to its end; return what it wrote to stdout."""
        running = self.start(program, arguments, environment=environment, out=subprocess.PIPE)
        said, _ = running.communicate(timeout=60)
        assert running.returncode == 0, (program, arguments, said)
        return said.decode()


class Books:
    """What an outbox has, whoever else writes into it."""

    def __init__(self, nursery, path):
        self._line, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            self._process = nursery.start("books", [path], out=theirs)
        self._answers = self._line.makefile("r")

    def _ask(self, question):
        with self._lock:
            self._line.sendall(question.encode() + b"\n")
            return json.loads(self._answers.readline())

    def rows(self, after):
        """Return number and fields of every receipt behind a number; nothing while it is none."""
        answer = self._ask(f"rows {after}")
        return [] if isinstance(answer, str) else answer

    def hold(self):
        """Write into it, and do not stop."""
        assert self._ask("hold") == []

    def release(self):
        """Stop writing into it."""
        assert self._ask("release") == []

    def close(self):
        """Let go of it."""
        self._line.shutdown(socket.SHUT_RDWR)
        self._answers.close()
        self._line.close()
        self._process.wait(20)


def _fileno(each):
    return each if isinstance(each, int) else each.fileno()


# In the process itself


class _Asked(Exception):  # noqa: N818 - it carries a new process out of the loop
    """This is the process that was asked for."""

    def __init__(self, run):
        super().__init__()
        self.run = run


def _make_disks(folders, size):
    """Give this process and all that it starts these folders as disks; tell whether it could."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    flags = _NEW_NAMESPACE | (0 if user == 0 else _NEW_USER)
    if not folders or sys.platform != "linux" or libc.unshare(flags):
        return False
    if flags & _NEW_USER:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    if libc.mount(b"none", b"/", None, _PRIVATE, None):
        return False
    return not any(
        libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode())
        for folder in folders
    )


MODULES = (
    "pikepdf", "pypdfium2", "segno",
    "e2ee_ticket.cli.agent", "e2ee_ticket.cli.display", "e2ee_ticket.cli.send",
    "e2ee_ticket.cli.sending", "e2ee_ticket.pdf.child", "e2ee_ticket.pdf.draw",
    "e2ee_ticket.pdf.draw_roll", "e2ee_ticket.pdf.trial", "e2ee_ticket.pdf.warm",
    "e2ee_ticket.protocol.envelope", "e2ee_ticket.till.agent",
    "relay_server.app", "relay_server.cli",
)  # fmt: skip
"""What the programs will want."""


def _read_modules():
    from e2ee_ticket.sources import KINDS

    sources = ["e2ee_ticket.sources." + name.partition(":")[0] for name in KINDS.values()]
    for name in (*MODULES, *sources):
        importlib.import_module(name)


def _end_with_the_nursery():
    """Leave nothing behind, however the test ends (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


class _Forks:
    """Forks whatever is asked for, and tells of each end."""

    def __init__(self, control, warm):
        self.control, self.warm = control, warm
        self.running = {}
        self.ended, wakes = os.pipe()
        os.set_blocking(self.ended, False)
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)

    def serve(self):
        """Work until nobody asks any more; each new process leaves it by an exception."""
        goes_on = True
        while goes_on:
            ready, _, _ = select.select([self.control, self.warm, self.ended], [], [])
            if self.ended in ready:
                self._collect()
            if self.warm in ready:
                self._fork_warm()
            if self.control in ready:
                goes_on = self._fork_program()

    def _collect(self):
        with contextlib.suppress(BlockingIOError):
            while os.read(self.ended, 64):
                pass
        while self.running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            number = self.running.pop(pid, None)
            if number is not None:
                self._say(number=number, code=os.waitstatus_to_exitcode(status))

    def _say(self, **message):
        with contextlib.suppress(OSError):  # the test is over
            self.control.send(json.dumps(message).encode())

    def _fork_warm(self):
        line, _ = self.warm.accept()
        _, fds, _, _ = socket.recv_fds(line, 64, 1)
        if fds:
            pid = os.fork()
            if not pid:
                line.detach()
                self._become([fds[0], os.open(os.devnull, os.O_WRONLY)], _be_warm)
            self.running[pid] = None
            with contextlib.suppress(OSError):  # whoever asked was killed: so will this one be
                line.sendall(str(pid).encode())
            os.close(fds[0])
        line.close()

    def _fork_program(self):
        data, fds, _, _ = socket.recv_fds(self.control, _MESSAGE_SIZE, 2)
        if not data:
            return False
        asked = json.loads(data)
        pid = os.fork()
        if not pid:
            nothing = os.open(os.devnull, os.O_RDONLY)
            self._become([nothing, *fds], functools.partial(_begin, asked))
        self.running[pid] = asked["number"]
        for fd in fds:
            os.close(fd)
        self._say(number=asked["number"], pid=pid)
        return True

    def _become(self, fds, run):
        """Be a process of its own: with these files, and nothing else of this one."""
        _end_with_the_nursery()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
        for at, fd in enumerate(fds):
            os.dup2(fd, 100 + at)
        for at in range(len(fds)):
            os.dup2(100 + at, at)
        os.closerange(3, 1024)
        self.control.detach()
        self.warm.detach()
        raise _Asked(run)


def _be_warm():
    """What pdf/warm.py is: a process that makes those which look into receipts."""
    from e2ee_ticket.pdf import child

    os.setsid()
    sys.argv = [child.__file__, "warm"]
    return child.main()


class _WarmProcess:
    """The warm process, which the nursery forks: as far as sandbox.py looks at it."""

    def __init__(self, *_arguments, stdin, **_options):
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(os.environ["NURSERY"])
            socket.send_fds(line, [b"w"], [stdin])
            self.pid = int(line.recv(32))

    def poll(self):
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self, _timeout=None):
        return 0  # its line has ended: so will it

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def _begin(asked):
    """Be the program that was asked for."""
    warm = os.environ["NURSERY"]
    os.environ.clear()
    os.environ.update(asked["environment"], NURSERY=warm)
    program, arguments = asked["program"], asked["arguments"]
    if program == "books":
        return _keep_books(arguments[0])
    sys.stdin = os.fdopen(0)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1)
    if program == "relay":
        from relay_server.cli import main

        sys.argv = ["relay-server", *arguments]
        return main()
    from e2ee_ticket.cli import main
    from e2ee_ticket.pdf import sandbox

    sandbox.subprocess = types.SimpleNamespace(**{**vars(subprocess), "Popen": _WarmProcess})
    if program == "agent":
        from e2ee_ticket.cli import agent

        agent._warm_up = lambda: None  # what looks into receipts begins with the first of them
        steps, *arguments = arguments
        _step_clocks(Path(steps))
    sys.argv = ["e2ee-ticket", *arguments]
    return main()


def _keep_books(path):
    """Read an outbox, or hold it, for a test that cannot see the disk as SQLite does."""
    import sqlite3

    with socket.socket(fileno=1) as line, line.makefile("r") as questions:
        held = None
        for question in questions:
            what, _, after = question.strip().partition(" ")
            answer = []
            try:
                if what == "hold":
                    held = sqlite3.connect(path, timeout=30, isolation_level=None)
                    held.execute("BEGIN IMMEDIATE")
                elif what == "release" and held is not None:
                    held.execute("ROLLBACK")
                    held.close()
                elif what == "rows":
                    uri = f"file:{path}?mode=ro"
                    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as outbox:
                        answer = outbox.execute(
                            "SELECT receipt_number, fields FROM receipts WHERE receipt_number > ?",
                            (int(after),),
                        ).fetchall()
            except sqlite3.Error as error:
                answer = str(error)
            line.sendall(json.dumps(answer).encode() + b"\n")
    return 0


def _step_clocks(steps):
    """Let a file say how far the wall clock is off, and how long the computer has slept."""
    from e2ee_ticket.till.clock import SystemClock

    now, monotonic, seen = SystemClock.now, SystemClock.monotonic, {"wall": 0.0, "slept": 0.0}

    def read(name):
        with contextlib.suppress(OSError, ValueError):
            seen["wall"], seen["slept"] = map(float, steps.read_text().split())
        return seen[name]

    SystemClock.now = lambda self: now(self) + read("wall")
    SystemClock.monotonic = lambda self: monotonic(self) + read("slept")


def _main():
    control = socket.socket(fileno=int(sys.argv[1]))
    disks = _make_disks(sys.argv[4:], sys.argv[3])
    os.environ["NURSERY"] = sys.argv[2]
    _read_modules()
    import gc

    gc.collect()
    gc.freeze()
    warm = socket.socket(socket.AF_UNIX)
    warm.bind(sys.argv[2])
    warm.listen(64)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is the test's, which ends this
    control.send(json.dumps({"disks": disks}).encode())
    run = None
    try:
        _Forks(control, warm).serve()
    except _Asked as asked:
        run = asked.run
    if run is not None:
        raise SystemExit(run())


if __name__ == "__main__":
    if sys.argv[1] == "books":
        raise SystemExit(_keep_books(sys.argv[2]))
    _main()
