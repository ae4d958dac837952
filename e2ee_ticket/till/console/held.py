"""The console's listening sockets, kept for as long as this program runs, or longer by systemd.

Whoever could bind the console's port while the agent begins anew would be sent the cookie of every
open console page. So the sockets outlive a changed configuration; where systemd has made them (a
socket unit), they outlive the program. A session is good on the very sockets that it began on: as
long as they are there nobody else was, and after them no cookie is of any use.
"""

import hashlib
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till.config import reason
from e2ee_ticket.till.network import split_listen

_FIRST_GIVEN: Final = 3
_SO_COOKIE: Final = 57
"""Linux: a number of the socket that no other has had since the computer was started."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_BACKLOG: Final = 128


class HeldSockets:
    """The sockets of one console."""

    def __init__(self) -> None:
        self._given = _given_by_systemd()
        self._listen: str | None = None
        self._sockets: tuple[socket.socket, ...] = ()
        self.name = ""
        """Names the sockets: what begins elsewhere or later has another name."""

    def hold(self, listen: str) -> Sequence[socket.socket]:
        """Listen at an address, unless these sockets do so already; return them.

        Raises:
            ConfigError: the address cannot be used.
        """
        if listen != self._listen:
            self.close()
            try:
                self._sockets = self._open(listen)
            except OSError as error:
                raise ConfigError(why_not(listen, error)) from error
            self._listen, self.name = listen, _name(self._sockets)
        return self._sockets

    def close(self) -> None:
        """Listen no more."""
        for each in self._sockets:
            if each not in self._given:
                each.close()
        self._sockets, self._listen, self.name = (), None, ""

    def _open(self, listen: str) -> tuple[socket.socket, ...]:
        host, port = split_listen(listen)
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        opened: list[socket.socket] = []
        try:
            for family, _, _, _, at in dict.fromkeys(found):
                given = next((each for each in self._given if each.getsockname() == at), None)
                opened.append(given or _listen_at(family, at))
        except BaseException:
            for each in opened:
                if each not in self._given:
                    each.close()
            raise
        return tuple(opened)


def why_not(listen: str, error: OSError) -> str:
    """Say why the console cannot listen at an address."""
    # asyncio has put the address into the operating system's own words.
    why = os.strerror(error.errno).lower() if error.errno is not None else reason(error)
    return (
        f"the console cannot listen at {listen}: {why};"
        " is another agent running? listen in [console] names another port"
    )


def _listen_at(family: int, at: object) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(at)  # type: ignore[arg-type]  # as getaddrinfo gave it
        made.listen(_BACKLOG)
        made.settimeout(0)
    except BaseException:
        made.close()
        raise
    return made


def _given_by_systemd() -> tuple[socket.socket, ...]:
    """Take the sockets that systemd made for this process, if it made any."""
    count = os.environ.get("LISTEN_FDS", "")
    is_mine = os.environ.get("LISTEN_PID") == str(os.getpid())
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    if not is_mine or not count.isdigit():
        return ()
    taken = []
    for number in range(_FIRST_GIVEN, _FIRST_GIVEN + int(count)):
        with suppress(OSError):
            given = socket.socket(fileno=number)
            given.set_inheritable(False)
            given.settimeout(0)
            taken.append(given)
    return tuple(taken)


def _name(sockets: Sequence[socket.socket]) -> str:
    """Name sockets so that no others have the name; a guess at it is of no use to anybody."""
    if sys.platform != "linux":
        return secrets.token_hex(16)
    try:
        parts = [_BOOT.read_bytes()]
        parts += [each.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8) for each in sockets]
    except OSError:
        return secrets.token_hex(16)
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]
