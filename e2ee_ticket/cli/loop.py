"""Running a command's event loop; light, because `send` begins it before the heavy imports."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any

from e2ee_ticket.cli import voice


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run a command to its end; SIGTERM stops it as Ctrl-C does."""

    async def main() -> int:
        task = asyncio.current_task()
        if task is not None:
            with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            return await work
        except asyncio.CancelledError:
            voice.say("stopped")
            return voice.STOPPED

    return asyncio.run(main())
