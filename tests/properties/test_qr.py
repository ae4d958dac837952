import io

import numpy as np
import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from e2ee_ticket import qr
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.secret import Secret

LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
PAGE = st.builds(
    lambda labels, port: "https://" + ".".join(labels) + port,
    st.lists(LABEL, min_size=1, max_size=5),
    st.sampled_from(["", ":8443"]),
)


@pytest.mark.rule("T10")
@given(PAGE, st.binary(min_size=32, max_size=32))
def test_any_link_is_read_back(page: str, secret: bytes):
    link = Link(page, Secret(secret))

    png = qr.to_png(qr.make(link), scale=4)

    found = zxingcpp.read_barcode(np.asarray(Image.open(io.BytesIO(png)).convert("L")))
    assert found is not None
    assert found.text == link.reveal()
