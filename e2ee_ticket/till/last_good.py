"""The configuration that the agent last began with: a mistake in the file must not close the shop.

A copy of the file lies beside it (`config.toml.last-good`), for this user alone, as the file is.
Where the file cannot be used at the agent's start, the copy is, and the console says so.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till.config import Config, judge
from e2ee_ticket.till.displays import write_private

ENDING: Final = ".last-good"


def path_of(file: Path) -> Path:
    """Name the copy of a configuration's file."""
    return file.with_name(file.name + ENDING)


def keep(file: Path) -> None:
    """Copy a file that an agent has begun with; that it cannot be is no reason to stop."""
    with contextlib.suppress(OSError, ConfigError):
        data = file.read_bytes()
        copy = path_of(file)
        if not copy.exists() or copy.read_bytes() != data:
            write_private(copy, data)


def read(file: Path, environ: Mapping[str, str] = os.environ) -> Config | None:
    """Read the copy; None where there is none that can be used."""
    try:
        config = judge(path_of(file).read_bytes(), file, environ)
        config.page_origin  # noqa: B018 - a ConfigError now rather than later
    except (OSError, ConfigError):
        return None
    return config
