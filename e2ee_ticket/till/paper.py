"""Paper, from a real receipt printer on the network: the bytes are passed on as they came.

A printer talks to one at a time: whoever comes meanwhile waits a while, and is told if it is long.
"""

import asyncio
import contextlib
import re
from typing import Final
from weakref import WeakValueDictionary

from e2ee_ticket.errors import ConfigError, SourceError

PORT: Final = 9100
TURN_SECONDS: Final = 15.0
WHOLE_SECONDS: Final = 120.0
_HINT: Final = "is it switched on, with paper, and in the shop's network?"


_turns: Final = WeakValueDictionary[tuple[str, int], asyncio.Lock]()


def parse_address(address: str) -> tuple[str, int]:
    """Read a printer's `host` or `host:port`; its port is 9100 unless told.

    Raises:
        ConfigError: it is none.
    """
    match = re.fullmatch(
        r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<host>[A-Za-z0-9._-]{1,253}))(?::(?P<port>[0-9]{1,5}))?",
        address,
    )
    port = int(match["port"] or PORT) if match is not None else 0
    if match is None or not 0 < port <= 65_535:
        raise ConfigError("a printer's address is a host or host:port, such as 192.168.1.50:9100")
    return match["six"] or match["host"], port


def with_port(address: str) -> str:
    """Complete what somebody typed: a printer's port is 9100 unless told."""
    return address if ":" in address else f"{address}:{PORT}"


def drawer_pulse() -> bytes:
    """Return what makes a receipt printer open the cash drawer that is plugged into it."""
    return b"\x1bp\x00\x19\xfa"


async def print_bytes(
    address: str,
    data: bytes,
    *,
    timeout: float = 5.0,  # noqa: ASYNC109 - of each step, not of the whole
    turn_seconds: float = TURN_SECONDS,
) -> None:
    """Send bytes to a receipt printer when it is free, and wait until it has taken them.

    Raises:
        ConfigError: the address is none.
        SourceError: the printer is not there, is busy, or takes nothing.
    """
    host, port = parse_address(address)
    turn = _turns.setdefault((host.lower(), port), asyncio.Lock())
    try:
        async with asyncio.timeout(turn_seconds):
            await turn.acquire()
    except TimeoutError:
        raise SourceError(
            f"the printer at {address} is busy with another receipt", "try again in a moment"
        ) from None
    try:
        await _print(address, host, port, data, timeout)
    finally:
        turn.release()


async def _print(
    address: str,
    host: str,
    port: int,
    data: bytes,
    timeout: float,  # noqa: ASYNC109 - idem
) -> None:
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        raise SourceError(f"the printer at {address} does not answer", _HINT) from None
    except OSError as error:
        raise SourceError(f"the printer at {address} cannot be reached", _HINT) from error
    try:
        async with asyncio.timeout(WHOLE_SECONDS):
            await _send(reader, writer, data, timeout)
    except TimeoutError:
        raise SourceError(
            f"the printer at {address} does not print", "is its cover closed, with paper in it?"
        ) from None
    except OSError as error:
        raise SourceError(f"the printer at {address} broke off", _HINT) from error
    finally:
        writer.transport.abort()  # what it has not taken, it shall not print later


async def _send(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    data: bytes,
    timeout: float,  # noqa: ASYNC109 - idem
) -> None:
    # A printer without paper stops reading: then one of these steps never ends.
    writer.transport.set_write_buffer_limits(high=0)
    for start in range(0, len(data), _STEP_SIZE):
        writer.write(data[start : start + _STEP_SIZE])
        async with asyncio.timeout(timeout):
            await writer.drain()
    writer.write_eof()
    # Printers close when they have read all of it, or leave the line open: both are well.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            while await reader.read(_STEP_SIZE):
                pass


_STEP_SIZE: Final = 4096
_END_SECONDS: Final = 1.0
