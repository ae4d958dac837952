"""Settings of the kinds that several sources have."""

import math

import pytest

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.sources.settings import read_number, read_switch


@pytest.mark.parametrize("value", [1, 1.0, 60, 2.5])
def test_a_number_within_its_limits_is_one(value):
    read = read_number("idle_seconds", value, 1, 60)

    assert read == value
    assert isinstance(read, float)


@pytest.mark.parametrize("value", [0.09, 61, math.nan, math.inf, True, "2", None, [2]])
def test_any_other_is_named_with_its_limits(value):
    with pytest.raises(ConfigError, match=r"idle_seconds must be a number from 0\.1 to 60"):
        read_number("idle_seconds", value, 0.1, 60)


def test_a_switch_is_true_or_false_and_nothing_like_it():
    assert read_switch("existing", True) is True  # noqa: FBT003 - what it judges
    assert read_switch("existing", False) is False  # noqa: FBT003 - idem
    for value in (1, 0, "true", None):
        with pytest.raises(ConfigError, match="existing must be true or false"):
            read_switch("existing", value)
