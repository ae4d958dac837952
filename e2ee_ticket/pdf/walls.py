"""The walls around what opens a stranger's PDF: no file, network or other process, little memory.

`raise_walls` is called in that process when its libraries are loaded, before it reads a byte of a
receipt. It takes away what this system lets a process take away from itself; `try_walls` then does
what nobody in there may do, and says what was possible all the same.

- every POSIX system: limits. No file can be opened any more, no file grows, no core is written;
  memory and processor time are bounded. (What is open stays: the pipe to the till.)
- Linux: a list of the system calls that drawing needs (seccomp). All others fail, and so does
  making memory executable. Landlock, too, where the kernel has it: no file at all, no TCP, no
  signal to others. Neither needs a library, root or a setting.
- macOS: a profile of its sandbox that denies files, network, processes and signals.
- Windows: a job of one process with bounded memory and time, and the lowest integrity level, at
  which nothing of the user can be written. Reading files and the network are *not* taken away.

Nothing of this package is imported here: child.py loads this file by its path.
"""

import contextlib
import ctypes
import os
import platform
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

if sys.platform != "win32":
    import resource

MEMORY_SIZE: Final = 768 * 1024 * 1024
CPU_SECONDS: Final = 10

_LIMITS: Final = {
    "RLIMIT_AS": MEMORY_SIZE,
    "RLIMIT_CPU": CPU_SECONDS,
    "RLIMIT_FSIZE": 0,
    "RLIMIT_CORE": 0,  # a core would hold the receipt
    "RLIMIT_NPROC": 0,
    "RLIMIT_NOFILE": 0,
}

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2

if sys.platform == "linux":
    _LIBC: Final = ctypes.CDLL(None, use_errno=True)  # the C library that is loaded anyway
    _LIBC.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
    _LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def raise_walls() -> None:  # pragma: no cover - it would wall the tests in; they run the child
    """Take away from this process, for good, whatever this system lets it take away."""
    if sys.platform == "win32":
        _confine_on_windows()
        return
    stay_unseen()
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _restrict_by_landlock()
    elif sys.platform == "darwin":
        _confine_on_macos()
    _limit()
    if sys.platform == "linux":
        _filter_system_calls()


def stay_unseen() -> None:  # pragma: no cover - idem
    """Let no other program of this user look into this process."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _limit() -> None:  # pragma: no cover - idem
    for name, value in _LIMITS.items():
        # A system may lack a limit, or have set a lower one already.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, name), (value, value))


def die_with(parent: int) -> None:  # pragma: no cover - idem
    """Let this process end with the one that made it, `parent`; end it now if that is over."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


# Linux: the system calls that are left (asm/unistd.h of each)

_CALLS: Final = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "lseek": 8, "munmap": 11, "brk": 12,
        "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "readv": 19, "writev": 20,
        "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "exit": 60,
        "gettimeofday": 96, "getrusage": 98, "sysinfo": 99, "times": 100, "getppid": 110,
        "sigaltstack": 131, "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204,
        "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230,
        "exit_group": 231, "getrandom": 318, "membarrier": 324, "rseq": 334,
    },
    "aarch64": {
        "close": 57, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66, "exit": 93,
        "exit_group": 94, "futex": 98, "nanosleep": 101, "clock_gettime": 113,
        "clock_getres": 114, "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124,
        "restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135,
        "rt_sigreturn": 139, "times": 153, "getrusage": 165, "gettimeofday": 169, "getpid": 172,
        "getppid": 173, "gettid": 178, "sysinfo": 179, "brk": 214, "munmap": 215, "mremap": 216,
        "madvise": 233, "getrandom": 278, "membarrier": 283, "rseq": 293,
    },
}  # fmt: skip
# Memory may be had, but none that can be executed: mmap and mprotect without PROT_EXEC.
_MEMORY_CALLS: Final = {"x86_64": (9, 10), "aarch64": (222, 226)}
_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32: Final = 0x40000000  # x86_64's calls with short pointers, whose numbers begin here
_PROT_EXEC: Final = 4

# BPF: load a word of what was called; jump by comparing; return what is to happen.
_LOAD, _EQUAL, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _THIRD_ARGUMENT_AT = 0, 4, 32
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | 1  # EPERM
_KILL: Final = 0x80000000


def machine() -> str:
    """Name the processor as `_CALLS` does; "" where the list of calls is not known."""
    name = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return name if name in _CALLS and sys.maxsize > 2**32 else ""


def make_filter(name: str) -> bytes:
    """Write the program that decides on each system call, for a processor of `_CALLS`."""
    head = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, _AUDIT_ARCH[name]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if name == "x86_64":
        head += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    numbers = sorted(_CALLS[name].values())
    # Jumps count the instructions between: the last ones are, in this order, refuse, the look at
    # the third argument (two), refuse, allow.
    total = len(numbers) + 2
    body = [(_EQUAL, total - at + 3, 0, number) for at, number in enumerate(numbers)]
    first, second = _MEMORY_CALLS[name]
    body += [(_EQUAL, 2, 0, first), (_EQUAL, 1, 0, second)]
    tail = [
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _THIRD_ARGUMENT_AT),
        (_HAS_BIT, 0, 1, _PROT_EXEC),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in (*head, *body, *tail))


def _filter_system_calls() -> None:  # pragma: no cover - idem
    name = machine()
    if not name:
        return
    program = make_filter(name)
    steps = ctypes.create_string_buffer(program, len(program))

    class _Program(ctypes.Structure):
        _fields_ = (("count", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    given = _Program(len(program) // 8, ctypes.addressof(steps))
    _LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(given), 0, 0)


# Linux: Landlock. Everything that a kernel knows to handle is handled, and nothing is allowed.

_number = ctypes.c_long
_CREATE_RULESET, _RESTRICT_SELF = _number(444), _number(446)
_FILES_BY_VERSION: Final = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 5: 0xFFFF}
_TCP_VERSION, _TCP = 4, 0b11
_SCOPES_VERSION, _SCOPES = 6, 0b11  # abstract sockets and signals of others


def _restrict_by_landlock() -> None:  # pragma: no cover - idem
    version = _LIBC.syscall(_CREATE_RULESET, None, _number(0), _number(1))
    if version < 1:
        return
    files = max(bits for since, bits in _FILES_BY_VERSION.items() if since <= version)
    rules = struct.pack("=Q", files)
    if version >= _TCP_VERSION:
        rules += struct.pack("=Q", _TCP)
    if version >= _SCOPES_VERSION:
        rules += struct.pack("=Q", _SCOPES)
    ruleset = _LIBC.syscall(_CREATE_RULESET, rules, _number(len(rules)), _number(0))
    if ruleset >= 0:
        _LIBC.syscall(_RESTRICT_SELF, _number(ruleset), _number(0))
        os.close(ruleset)


# macOS

_PROFILE: Final = b"(version 1)(allow default)(deny file* network* process* signal)"


def _confine_on_macos() -> None:  # pragma: no cover - macOS only
    with contextlib.suppress(OSError, AttributeError):
        system = ctypes.CDLL("/usr/lib/libSystem.dylib")
        why = ctypes.c_char_p()
        system.sandbox_init(_PROFILE, ctypes.c_uint64(0), ctypes.byref(why))


# Windows

_JOB_LIMITS: Final = 9  # JobObjectExtendedLimitInformation
_LIMIT_TIME, _LIMIT_PROCESSES, _LIMIT_MEMORY, _NO_DIALOG = 0x2, 0x8, 0x100, 0x400
_TOKEN_QUERY_AND_ADJUST: Final = 0x0008 | 0x0080
_TOKEN_INTEGRITY_LEVEL: Final = 25
_UNTRUSTED: Final = "S-1-16-0"
_GROUP_INTEGRITY: Final = 0x20


if sys.platform == "win32":

    def _confine_on_windows() -> None:  # pragma: no cover - Windows only
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        security = ctypes.WinDLL("advapi32", use_last_error=True)
        handle, size = ctypes.c_void_p, ctypes.c_size_t

        class _Basic(ctypes.Structure):
            _fields_ = (
                ("process_time", ctypes.c_int64),
                ("job_time", ctypes.c_int64),
                ("flags", ctypes.c_uint32),
                ("least_working_set", size),
                ("most_working_set", size),
                ("processes", ctypes.c_uint32),
                ("affinity", size),
                ("priority", ctypes.c_uint32),
                ("scheduling", ctypes.c_uint32),
            )

        class _Limits(ctypes.Structure):
            _fields_ = (
                ("basic", _Basic),
                ("io", ctypes.c_uint64 * 6),
                ("process_memory", size),
                ("job_memory", size),
                ("peak_process", size),
                ("peak_job", size),
            )

        class _Label(ctypes.Structure):
            _fields_ = (("sid", handle), ("attributes", ctypes.c_uint32))

        kernel.CreateJobObjectW.restype = handle
        kernel.GetCurrentProcess.restype = handle
        this = handle(kernel.GetCurrentProcess())
        limits = _Limits(process_memory=MEMORY_SIZE)
        limits.basic.flags = _LIMIT_TIME | _LIMIT_PROCESSES | _LIMIT_MEMORY | _NO_DIALOG
        limits.basic.process_time = CPU_SECONDS * 10_000_000
        limits.basic.processes = 1
        job = handle(kernel.CreateJobObjectW(None, None))
        kernel.SetInformationJobObject(
            job, _JOB_LIMITS, ctypes.byref(limits), ctypes.c_uint32(ctypes.sizeof(limits))
        )
        kernel.AssignProcessToJobObject(job, this)
        token, sid = handle(), handle()
        if security.OpenProcessToken(
            this, _TOKEN_QUERY_AND_ADJUST, ctypes.byref(token)
        ) and security.ConvertStringSidToSidW(ctypes.c_wchar_p(_UNTRUSTED), ctypes.byref(sid)):
            label = _Label(sid.value, _GROUP_INTEGRITY)
            room = ctypes.sizeof(label) + security.GetLengthSid(sid)
            security.SetTokenInformation(
                token, _TOKEN_INTEGRITY_LEVEL, ctypes.byref(label), ctypes.c_uint32(room)
            )


# What is possible all the same


class Tried(NamedTuple):
    """What a walled process could do: a name for each, empty when the walls hold.

    `read`, `write`, `delete`: files. `connect`: the network. `start`: another program. `inspect`:
    the memory of the process that started it. `signal`: sending that one a signal.
    """

    read: bool
    write: bool
    delete: bool
    connect: bool
    start: bool
    inspect: bool
    signal: bool


def try_walls(file: str, port: int) -> Tried:
    """Try to read, write beside and delete `file`, to connect to `port` of this computer, etc.

    In a process without walls all of it works, if `file` exists and the port is listened on.
    """
    parent = os.getppid()
    return Tried(
        read=_possible(lambda: os.close(os.open(file, os.O_RDONLY))),
        write=_possible(lambda: os.close(os.open(file + ".new", os.O_WRONLY | os.O_CREAT, 0o600))),
        delete=_possible(lambda: os.unlink(file)),  # noqa: PTH108 - a lone system call
        connect=_possible(lambda: _connect(port)),
        start=_possible(_start),
        inspect=_possible(lambda: _inspect(parent)),
        signal=os.name == "posix" and _possible(lambda: os.kill(parent, 0)),
    )


def _possible(action: Callable[[], None]) -> bool:
    try:
        action()
    except (OSError, MemoryError, RuntimeError):
        return False
    return True


def _connect(port: int) -> None:
    with socket.socket() as line:
        line.connect(("127.0.0.1", port))


def _start() -> None:
    if sys.platform == "win32":  # pragma: no cover - Windows only
        os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", "pass"])  # noqa: S606
        return
    made = os.fork()
    if not made:  # pragma: no cover - the tests' process does not fork
        os._exit(0)
    os.waitpid(made, 0)


def _inspect(parent: int) -> None:
    """Look into another process: as a file, or by tracing it.

    Raises:
        OSError: neither is possible.
    """
    if sys.platform != "linux":
        raise OSError
    with contextlib.suppress(OSError):
        os.close(os.open(f"/proc/{parent}/mem", os.O_RDONLY))
        return
    attach, detach = 16, 17
    if _LIBC.ptrace(attach, parent, None, None) != 0:
        raise OSError
    with contextlib.suppress(OSError):
        os.waitpid(parent, 0)
    _LIBC.ptrace(detach, parent, None, None)
