"""Where a source listens for those who print: the address, and why it cannot be had."""

import asyncio
import errno
import ipaddress
import logging
import re
from typing import Final

from e2ee_ticket.errors import ConfigError

TAKEPOS_LISTEN: Final = "127.0.0.1:8111"
IPP_LISTEN: Final = "127.0.0.1:8631"
PRINTER_LISTEN: Final = "127.0.0.1:9100"

# aiohttp would write into the log what it could not read, and that may be a receipt, or a secret.
NOTHING_LOGGED: Final = logging.getLogger("e2ee_ticket.sources.aiohttp")
NOTHING_LOGGED.disabled = True


def parse_listen(listen: object, example: str) -> tuple[str, int]:
    """Read the setting `listen`: an address of a computer and a port.

    Raises:
        ConfigError: it is none.
    """
    host, _, port = listen.rpartition(":") if isinstance(listen, str) else ("", "", "")
    host = host.removeprefix("[").removesuffix("]")
    is_port = re.fullmatch(r"[0-9]{1,5}", port) is not None and 0 < int(port) <= 65_535
    if is_port and (host == "localhost" or is_address(host)):
        return host, int(port)
    raise ConfigError(f"listen must be an address and a port, such as {example}")


def is_address(host: str) -> bool:
    """Tell whether this is an address that is written out, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Tell whether only this computer can reach what listens at a host that was parsed."""
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def join(host: str, port: int) -> str:
    """Write host and port as they stand in an address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def try_listening(host: str, port: int) -> OSError | None:
    """Listen for a moment; return what stands in the way, or None."""
    try:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port)
    except OSError as error:
        return error
    server.close()
    await server.wait_closed()
    return None


def explain(error: OSError, at: str, *, taken_hint: str, other_hint: str) -> tuple[str, str]:
    """Say why nobody can listen at an address, and what to do.

    `taken_hint` is for a port that another program has, `other_hint` for what is no matter of
    ports.
    """
    if error.errno == errno.EADDRINUSE:
        return f"{at} is in use by another program", taken_hint
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{at} may not be listened on", "choose a port above 1023 in listen"
    return f"{at} cannot be listened on", other_hint
