"""Running `child.py` on a receipt: behind walls, bounded in time, memory and output.

The receipt travels over a pipe: no temporary file holds it and no list of processes shows it.

On Linux one warm process, which never sees a receipt, makes a fresh one of itself for each
(warm.py): loading the libraries is paid once. Elsewhere each receipt pays it, in a process that is
started for it. The warm process is this program's, and shared by all its threads and event loops;
it ends with this program, and by itself after a quarter of an hour without a receipt.
"""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from e2ee_ticket.errors import TicketError
from e2ee_ticket.pdf import child  # for its exit codes; nothing of it is called here

TIMEOUT_SECONDS: Final = 5.0
CHILD: Final = Path(__file__).with_name("child.py")
WARM: Final = sys.platform == "linux"
"""Whether a warm process makes those for the receipts."""

_REASONS: Final = {
    child.ENCRYPTED: "it is encrypted",
    child.UNREADABLE: "it cannot be read",
    child.UNFIT: "no legible picture of it is small enough",
    child.EXHAUSTED: "it takes too much memory or time",
    child.SIGNED: "it is signed",
    child.TOO_LONG: "it is longer than a receipt can be on paper",
    child.BLANK: "its first page would be white",
    child.THIN: "some of its text would be missing",
}
WRONG_PICTURES: Final = frozenset({_REASONS[child.BLANK], _REASONS[child.THIN]})
"""Why there is no picture though one could be drawn: it would show something else."""

# What an interpreter and its libraries need to start, and nothing of the shop's. HOME, and on
# Windows APPDATA and USERPROFILE, is where an installation for one user has its libraries.
_ENVIRONMENT: Final = (
    "LD_LIBRARY_PATH", "PATH", "SYSTEMROOT", "TEMP", "TMP", "HOME", "APPDATA", "USERPROFILE",
)  # fmt: skip
_READ_SIZE: Final = 256 * 1024
_END_SECONDS: Final = 5.0  # a killed process is over at once, unless the machine stands still


class ChildError(TicketError):
    """The child gave no result; its message completes "no picture of the receipt: …"."""


class EncryptedError(ChildError):
    """The receipt asks for a password."""


async def run(
    receipt: bytes,
    *task: str,
    max_size: int,
    timeout: float = TIMEOUT_SECONDS,  # noqa: ASYNC109
) -> bytes:
    """Give a receipt to a child process and return its result of at most `max_size` bytes.

    Raises:
        ChildError: it could not, or took too long.
    """
    if WARM:
        return await _run_warm(receipt, task, max_size, timeout)
    return await _run_cold(receipt, task, max_size, timeout)


def run_here(receipt: bytes, *task: str, max_size: int, timeout: float = TIMEOUT_SECONDS) -> bytes:
    """Do `run` in a thread, and let it wait.

    Raises:
        ChildError: it could not, or took too long.
    """
    if WARM:
        return _wait_warm(receipt, task, max_size, timeout)
    return _wait_cold(receipt, task, max_size, timeout)


def reason(code: bytes) -> str | None:
    """Say what a failure's number means that a child wrote; None where it is none."""
    return _REASONS.get(int(code)) if code.isdigit() and len(code) < 3 else None


def _judge(code: int, result: bytes) -> bytes:
    if code == child.ENCRYPTED:
        raise EncryptedError(_REASONS[code])
    if code != 0:
        raise ChildError(_REASONS.get(code, "it broke what reads it"))
    return result


def _too_late() -> ChildError:
    return ChildError("it takes too long")


def _too_large() -> ChildError:
    return ChildError("its result is too large")


def _no_process() -> ChildError:
    return ChildError("no process could be started for it")


def _command(*task: str) -> tuple[str, ...]:
    # -E and -P rather than -I: an installation for one user only is found, too.
    return (sys.executable, "-E", "-P", "-B", str(CHILD), *task)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}


# A process that a warm one makes


class _Warm:
    """The warm process, and the socket over which it is asked."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            OSError: the system has no room for it.
        """
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.setblocking(False)  # noqa: FBT003 - its only argument
        self.child = CHILD
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                _command("warm"),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,  # a Ctrl-C is the till's, which ends this in its own time
            )
        except OSError:
            self.control.close()
            raise
        finally:
            theirs.close()

    def works(self) -> bool:
        """Tell whether it can still be asked."""
        return self._process.poll() is None and self.child == CHILD

    def ask(self, message: dict[str, object], *ends: socket.socket) -> None:
        """Ask it for something.

        Raises:
            OSError: it is over, or has too much to do.
        """
        socket.send_fds(
            self.control, [json.dumps(message).encode("ascii")], [end.fileno() for end in ends]
        )

    def end(self) -> None:
        """End it, and every process that it made."""
        self.control.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_numbers = itertools.count(1)
_lock = threading.Lock()
_warm: _Warm | None = None


def _find_warm() -> _Warm:
    global _warm  # noqa: PLW0603 - it is this program's
    with _lock:
        if _warm is not None and not _warm.works():
            _warm.end()
            _warm = None
        if _warm is None:
            _warm = _Warm()
        return _warm


def end_warm() -> None:
    """End the warm process, if there is one; the next receipt starts another."""
    global _warm  # noqa: PLW0603 - idem
    with _lock:
        if _warm is not None:
            _warm.end()
            _warm = None


if WARM:
    import atexit

    atexit.register(end_warm)
    # A copy of this process is no till: it must not end, or use, what is another's.
    os.register_at_fork(after_in_child=lambda: globals().update(_warm=None, _lock=threading.Lock()))


class _Line:
    """The line to one process that the warm one made: the receipt goes in, the result comes out."""

    def __init__(self, task: tuple[str, ...], timeout: float) -> None:
        """Ask for a process.

        Raises:
            ChildError: there is none to be had.
        """
        self._number = next(_numbers)
        self.data, theirs = socket.socketpair()
        self.status, tells = socket.socketpair()
        message = {"run": self._number, "task": task, "seconds": timeout}
        try:
            for attempt in range(2):
                try:
                    self._warm = _find_warm()
                    self._warm.ask(message, theirs, tells)
                    break
                except OSError as error:  # it ended just now, idle or killed
                    if attempt:
                        raise _no_process() from error
        except BaseException:
            self.close()
            raise
        finally:
            theirs.close()
            tells.close()

    def kill(self) -> None:
        """Let the process be killed, if it is not over."""
        with contextlib.suppress(OSError):
            self._warm.ask({"kill": self._number})

    def close(self) -> None:
        """Let go of the line."""
        self.data.close()
        self.status.close()


async def _run_warm(
    receipt: bytes,
    task: tuple[str, ...],
    max_size: int,
    timeout: float,  # noqa: ASYNC109
) -> bytes:
    loop = asyncio.get_running_loop()
    line = _Line(task, timeout)
    line.data.setblocking(False)  # noqa: FBT003 - its only argument
    line.status.setblocking(False)  # noqa: FBT003 - idem
    code = None
    try:
        async with asyncio.timeout(timeout):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                await loop.sock_sendall(line.data, receipt)
                line.data.shutdown(socket.SHUT_WR)
            result = bytearray()
            with contextlib.suppress(ConnectionResetError):
                while chunk := await loop.sock_recv(line.data, _READ_SIZE):
                    result += chunk
                    if len(result) > max_size:
                        raise _too_large()
            code = (await loop.sock_recv(line.status, 1)) or bytes((255,))
    except TimeoutError:
        raise _too_late() from None
    finally:
        if code is None:
            line.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await loop.sock_recv(line.status, 1)
        line.close()
    return _judge(code[0], bytes(result))


def _wait_warm(receipt: bytes, task: tuple[str, ...], max_size: int, timeout: float) -> bytes:
    until = time.monotonic() + timeout
    line = _Line(task, timeout)
    code = None
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.data.settimeout(_left(until))
            line.data.sendall(receipt)
            line.data.shutdown(socket.SHUT_WR)
        result = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while chunk := _receive(line.data, _READ_SIZE, until):
                result += chunk
                if len(result) > max_size:
                    raise _too_large()
        code = _receive(line.status, 1, until) or bytes((255,))
    except TimeoutError:
        raise _too_late() from None
    finally:
        if code is None:
            line.kill()
            with contextlib.suppress(TimeoutError):
                _receive(line.status, 1, time.monotonic() + _END_SECONDS)
        line.close()
    return _judge(code[0], bytes(result))


def _receive(line: socket.socket, size: int, until: float) -> bytes:
    line.settimeout(_left(until))
    return line.recv(size)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


# A process that is started for one receipt


async def _run_cold(
    receipt: bytes,
    task: tuple[str, ...],
    max_size: int,
    timeout: float,  # noqa: ASYNC109
) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            *_command(*task),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
            limit=max_size + 1,
        )
    except OSError as error:
        raise _no_process() from error
    try:
        async with asyncio.timeout(timeout):
            return await _converse(process, receipt, max_size)
    except TimeoutError:
        raise _too_late() from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.communicate()  # to its end, so that no pipe outlives the loop


async def _converse(process: asyncio.subprocess.Process, receipt: bytes, max_size: int) -> bytes:
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101 - idem
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(receipt)
        await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()
    result = b""
    while chunk := await process.stdout.read(max_size + 1 - len(result)):
        result += chunk
        if len(result) > max_size:
            raise _too_large()
    return _judge(await process.wait(), result)


def _wait_cold(receipt: bytes, task: tuple[str, ...], max_size: int, timeout: float) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            _command(*task),
            input=receipt,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_late() from None
    except OSError as error:
        raise _no_process() from error
    if len(done.stdout) > max_size:
        raise _too_large()
    return _judge(done.returncode, done.stdout)
