"""Judging settings of the kinds that several sources have; no message shows a value."""

import re

from e2ee_ticket.errors import ConfigError


def read_number(setting: str, value: object, low: float, high: float) -> float:
    """Read a number within its limits.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return float(value)
    raise ConfigError(f"{setting} must be a number from {low:g} to {high:g}")


def read_switch(setting: str, value: object) -> bool:
    """Read true or false.

    Raises:
        ConfigError: neither.
    """
    if isinstance(value, bool):
        return value
    raise ConfigError(f"{setting} must be true or false")


def read_sign(value: object) -> str:
    """Read the sign that is put to amounts which come without one; empty where none is.

    Raises:
        ConfigError: it cannot be one.
    """
    if not isinstance(value, str) or len(value) > 8 or re.search(r"[\d\s]", value):
        raise ConfigError("currency must be the sign of an amount, such as € or CHF")
    return value
