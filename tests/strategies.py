"""Hypothesis strategies: secrets, tickets, content, pages."""

from hypothesis import strategies as st

from e2ee_ticket import Secret, Ticket
from e2ee_ticket.protocol.channel import PairingSecret
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.ticket import TEXT_LIMITS

characters = st.characters(codec="utf-8")
raw = st.binary(min_size=32, max_size=32)
secrets = raw.map(Secret)
pairing_secrets = raw.map(PairingSecret)
pages = st.sampled_from(
    ["https://t.example", "https://tickets.example:8443", "http://127.0.0.1:8080", "http://[::1]:1"]
)


def texts(limit):
    return st.none() | st.text(characters, max_size=limit)


tickets = st.builds(
    Ticket,
    receipt=st.binary(max_size=20_000),
    name=st.sampled_from(["receipt.pdf", "TC1-2611-0009.pdf", "Épicerie 5 €.pdf"]),
    preview=st.none() | st.binary(max_size=3_000),
    **{name: texts(limit) for name, limit in TEXT_LIMITS.items()},
)

lines = st.text(characters, max_size=40)
contents = st.one_of(
    st.builds(Content.idle, name=texts(60), lang=texts(35), notice=st.sampled_from([None, "FR"])),
    st.builds(Content.thanks, name=texts(60)),
    st.builds(Content.live, st.lists(lines, min_size=1, max_size=8).map(tuple), name=texts(60)),
    st.builds(
        Content.ticket,
        secrets,
        st.integers(1, 120),
        number=texts(40),
        time=texts(40),
        total=texts(40),
        name=texts(60),
    ),
)
