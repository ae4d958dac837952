"""Ends what the demo started and removes its folder, where the demo itself was killed (kill -9).

Its standard input is a pipe that the demo holds: one line for each process group that it started,
and a last word when it has ended all of them. A pipe that closes without it means that nobody did.
"""

import os
import shutil
import signal
import sys
from contextlib import suppress

LAST_WORD = "ended"


def main() -> None:
    """Wait for the demo's end, and do what it could not."""
    groups = []
    for line in map(str.strip, sys.stdin):
        if line == LAST_WORD:
            return
        groups.append(int(line))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
