"""Running `child.py` on a receipt: bounded in time, memory and output, and never in this process.

The receipt travels over a pipe: no temporary file holds it and no list of processes shows it.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Final

from e2ee_ticket.errors import TicketError
from e2ee_ticket.pdf import child  # for its exit codes; nothing of it is called here

TIMEOUT_SECONDS: Final = 5.0
CHILD: Final = Path(__file__).with_name("child.py")

_REASONS: Final = {
    child.ENCRYPTED: "it is encrypted",
    child.UNREADABLE: "it cannot be read",
    child.UNFIT: "no legible picture of it is small enough",
    child.EXHAUSTED: "it takes too much memory or time",
    child.SIGNED: "it is signed",
    child.TOO_LONG: "it is longer than a receipt can be on paper",
}
# What an interpreter and its libraries need to start, and nothing of the shop's. HOME, and on
# Windows APPDATA and USERPROFILE, is where an installation for one user has its libraries.
_ENVIRONMENT: Final = (
    "LD_LIBRARY_PATH", "PATH", "SYSTEMROOT", "TEMP", "TMP", "HOME", "APPDATA", "USERPROFILE",
)  # fmt: skip


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
    # -E and -P rather than -I: an installation for one user only is found, too.
    command = (sys.executable, "-E", "-P", "-B", str(CHILD), *task)
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            limit=max_size + 1,
        )
    except OSError as error:
        raise ChildError("no process could be started for it") from error
    try:
        async with asyncio.timeout(timeout):
            return await _converse(process, receipt, max_size)
    except TimeoutError:
        raise ChildError("it takes too long") from None
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
            raise ChildError("its result is too large")
    code = await process.wait()
    if code == child.ENCRYPTED:
        raise EncryptedError(_REASONS[code])
    if code != 0:
        raise ChildError(_REASONS.get(code, "it broke what reads it"))
    return result
