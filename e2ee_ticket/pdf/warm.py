"""One process with the libraries loaded, which makes another of itself for each receipt (Linux).

Loading them costs half a second of processor time, a receipt some hundredths of that. The warm
process never sees a receipt, so each is opened in a process as fresh as the first: nothing of one
is there when the next is opened. child.py calls `serve`; nothing of this package is imported here.

All that it makes have their memory at the same addresses, which whoever attacks one must guess. A
wrong guess ends in a crash, as a rule: after one it starts itself anew, and they are others.

Each message on fd 0, a socket, is JSON: `{"run": 7, "task": ["picture", "49152", "900"],
"seconds": 5}` with two file descriptors, or `{"kill": 7}`. On the first descriptor the new process
has the receipt, until its end, and writes the result; on the second one byte is written when it is
over: how it ended. The end of fd 0 is the end of everything.
"""

import array
import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

BROKEN: Final = 255
"""How a process ended that was killed or broke."""

IDLE_SECONDS: Final = 900.0
"""After so long without a receipt the warm process ends; the next receipt starts another."""

_MESSAGE_MAX_SIZE: Final = 4096
_GRACE_SECONDS: Final = 1.0  # the till's own clock comes first
_NO_CRASH: Final = (signal.SIGKILL, signal.SIGXCPU)  # what ends a process that takes too long


class _Running(NamedTuple):
    """A process that has a receipt."""

    number: int
    status: int
    deadline: float


class Server:  # pragma: no cover - it forks; the tests run it as a process of its own
    """Makes a process for each receipt, and tells how it ended.

    `prepare` turns a task into what does it; `confined` runs that with the walls raised, and
    returns an exit code.
    """

    def __init__(
        self,
        prepare: Callable[[list[str]], Callable[[bytes], bytes]],
        confined: Callable[[Callable[[bytes], bytes], int], int],
    ) -> None:
        self._prepare = prepare
        self._confined = confined
        self._prepared: dict[tuple[str, ...], Callable[[bytes], bytes]] = {}
        self._running: dict[int, _Running] = {}
        self._crashed = False
        self._control = socket.socket(fileno=os.dup(0))
        self._control.setblocking(False)  # noqa: FBT003 - its only argument
        self._ended, wakes = os.pipe()
        for end in (self._ended, wakes):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)

    def serve(self) -> int:
        """Work until the till goes away or nothing happens for long."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._ended, select.POLLIN)
        idle_since = time.monotonic()
        while True:
            poll.poll(self._wait_milliseconds(idle_since))
            with contextlib.suppress(BlockingIOError):
                while os.read(self._ended, 64):
                    pass
            if not self._crashed and not self._take_messages():
                break
            self._kill_late()
            self._collect()
            if self._crashed:
                self._begin_anew(poll)
            if self._running:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= IDLE_SECONDS:
                break
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
        return 0

    def _begin_anew(self, poll: select.poll) -> None:
        """Start this program once more when nothing runs; what is asked meanwhile waits for it."""
        if not self._running:
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - our own program
        with contextlib.suppress(KeyError):
            poll.unregister(self._control)

    def _wait_milliseconds(self, idle_since: float) -> float:
        until = min(
            (running.deadline for running in self._running.values()),
            default=idle_since + IDLE_SECONDS,
        )
        return max(0.0, until - time.monotonic()) * 1000 + 1

    def _take_messages(self) -> bool:
        """Do what the till asks for; False when it went away."""
        while True:
            try:
                data, fds = _receive(self._control)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            message = json.loads(data)
            if "kill" in message:
                for pid, running in self._running.items():
                    if running.number == message["kill"]:
                        os.kill(pid, signal.SIGKILL)
                continue
            try:
                self._start(message, *fds)
            finally:
                os.close(fds[0])

    def _start(self, message: dict[str, Any], line: int, status: int) -> None:
        try:
            key = tuple(message["task"])
            if key not in self._prepared:
                self._prepared[key] = self._prepare(message["task"])
                gc.collect()
                gc.freeze()  # what is here is shared, and nobody looks at it again
            task, warm = self._prepared[key], os.getpid()
            pid = os.fork()
        except Exception:  # noqa: BLE001 - a task that cannot be prepared is one that broke
            _tell(status, BROKEN)
            return
        if not pid:
            code = BROKEN
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.dup2(line, 3)
                os.closerange(4, os.sysconf("SC_OPEN_MAX"))
                os.dup2(3, 0)
                os.dup2(3, 1)
                os.close(3)
                code = self._confined(task, warm)
            finally:
                os._exit(code)
        deadline = time.monotonic() + message["seconds"] + _GRACE_SECONDS
        self._running[pid] = _Running(message["run"], status, deadline)

    def _kill_late(self) -> None:
        now = time.monotonic()
        for pid, running in self._running.items():
            if running.deadline <= now:
                os.kill(pid, signal.SIGKILL)

    def _collect(self) -> None:
        """Tell how those ended that did."""
        for pid in list(self._running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                self._crashed |= code < 0 and -code not in _NO_CRASH
                _tell(self._running.pop(pid).status, code if 0 <= code < BROKEN else BROKEN)


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    """Take a message and its file descriptors, which no program started from here inherits.

    Raises:
        OSError: there is none.
    """
    fds = array.array("i")
    data, ancillary, _, _ = control.recvmsg(
        _MESSAGE_MAX_SIZE, socket.CMSG_SPACE(2 * fds.itemsize), socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, given in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(given[: len(given) - len(given) % fds.itemsize])
    return data, list(fds)


def _tell(status: int, code: int) -> None:
    with contextlib.suppress(OSError):
        os.write(status, bytes((code,)))
    os.close(status)
