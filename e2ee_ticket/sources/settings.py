"""Judging settings of the kinds that several sources have; no message shows a value."""

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
