"""Keeping what this process knows out of core dumps, and out of other programs' reach.

A crash must not write links, pairing secrets and tokens to a disk. On Linux the process is also
not dumpable: no core goes to a collector such as systemd-coredump either, which takes no notice of
the limit, and no other program of this user can read its memory or attach to it. macOS has the
limit alone. On Windows the process is left out of error reports, unless an administrator has set
up local dumps for every program. Nothing of this stands against root, and none of it keeps memory
out of the swap.
"""

import contextlib
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4
# Windows: no dialog and no report for what this process itself breaks (SetErrorMode).
_FAIL_CRITICAL_ERRORS, _NO_FAULT_BOX = 0x0001, 0x0002


def write_none() -> None:
    """Let no core of this process and of those that it starts be written, where that can be."""
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415 - elsewhere it would cost each start milliseconds

        ctypes.windll.kernel32.SetErrorMode(_FAIL_CRITICAL_ERRORS | _NO_FAULT_BOX)
        return
    import resource  # noqa: PLC0415 - Windows has none

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - idem

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
