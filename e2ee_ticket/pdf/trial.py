"""Which walls stand on this machine: the process that opens receipts tries to get through them."""

import json
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from e2ee_ticket.pdf import sandbox, walls

_POSSIBLE: Final = {
    "read": "read files",
    "write": "write files",
    "delete": "delete files",
    "connect": "use the network",
    "start": "start programs",
    "inspect": "look into the till's memory",
    "signal": "end the till",
}


def try_walls() -> walls.Tried | None:
    """Let a child try what none may do; None where none could be started. It takes a moment."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        file = Path(folder) / "file"
        file.write_bytes(b"")
        told = json.dumps({"file": str(file), "port": listening.getsockname()[1]})
        try:
            found = json.loads(sandbox.run_here(told.encode(), "walls", max_size=1000))
            return walls.Tried(**{name: bool(found[name]) for name in walls.Tried._fields})
        except (sandbox.ChildError, LookupError, TypeError, ValueError):
            return None


def describe_walls(try_them: Callable[[], walls.Tried | None] = try_walls) -> tuple[bool, str]:
    """Say in a sentence which walls stand on this machine, and whether all do."""
    tried = try_them()
    if tried is None:
        return False, "receipts cannot be looked into: no process for it could be started"
    possible = [says for name, says in _POSSIBLE.items() if getattr(tried, name)]
    if not possible:
        return True, (
            "receipts are opened in a process that can reach no file, no network and no other"
            " process"
        )
    return False, (
        "receipts are opened in a process of its own, which on this system could still "
        + ", ".join(possible)
    )
