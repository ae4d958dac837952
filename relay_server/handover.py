"""Restarting without closing the door: the listening socket outlives the program.

Whoever connects while no relay is there to accept waits in the socket's queue, and is served by the
next one. systemd may hold the socket (LISTEN_FDS); or the relay hands it to the program that takes
its place in the same process, on SIGHUP. There are never two relays on one database: each would
serve what the other has revoked, and a display would wait at one for what a till puts at the other.
"""

import os
import socket
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import NoReturn

from relay_server.errors import StartError

FIRST_DESCRIPTOR = 3


def inherited_listener(environment: MutableMapping[str, str]) -> socket.socket | None:
    """Return the listening socket that this program was started with, if any.

    Raises:
        StartError: what was handed over is no listening socket.
    """
    count = environment.pop("LISTEN_FDS", "")
    meant_for = environment.pop("LISTEN_PID", "")
    environment.pop("LISTEN_FDNAMES", None)
    if not count or meant_for != str(os.getpid()):
        return None
    if count != "1":
        raise StartError(
            f"{count} sockets were handed over, and a relay listens on one",
            hint="one ListenStream= in the .socket unit",
        )
    try:
        listener = socket.socket(fileno=FIRST_DESCRIPTOR)
        listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise StartError(f"what was handed over is no socket: {error.strerror}") from error
    if not listening or listener.type != socket.SOCK_STREAM:
        raise StartError("the socket that was handed over does not listen")
    os.set_inheritable(listener.fileno(), False)  # noqa: FBT003 - as os names it
    return listener


def start_again(listener: socket.socket) -> NoReturn:
    """Become the program anew, perhaps another release of it, with the same socket.

    Raises:
        StartError: it cannot be started.
    """
    os.dup2(listener.fileno(), FIRST_DESCRIPTOR, inheritable=True)
    os.set_inheritable(FIRST_DESCRIPTOR, True)  # noqa: FBT003 - dup2 onto itself changes nothing
    environment = dict(os.environ, LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    try:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
    except OSError as error:
        raise StartError(f"cannot start {sys.executable} again: {error.strerror}") from error


def tell_systemd(state: str) -> None:
    """Tell the service manager how it stands, when there is one (Type=notify)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.connect("\0" + address[1:] if address[0] == "@" else address)
        line.send(state.encode())
