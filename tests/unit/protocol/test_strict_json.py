"""Escaped surrogates, where vectors do not reach."""

import pytest

from e2ee_ticket.errors import FramingError
from e2ee_ticket.protocol.strict_json import parse_object


@pytest.mark.rule("T28")
@pytest.mark.parametrize("text", [r"\udc00\udc00", r"\ud800\ud800", r"\ud800\udc00\udc00"])
def test_refuses_halves_that_do_not_make_a_pair(text):
    with pytest.raises(FramingError, match="surrogate"):
        parse_object(b'{"x":"%s"}' % text.encode())
