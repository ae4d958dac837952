"""What the relay measures without a parser ends where the parser says so (spec/relay.md, R14)."""

import asyncio
from unittest import mock

import pytest
from aiohttp import web_protocol
from hypothesis import example, given
from hypothesis import strategies as st

from relay_server.crowd import measure

NAME = "0123456789abcdef" * 2
STARTS = [
    f"PUT /v1/t/{NAME} HTTP/1.1",
    f"PUT /v1/t/{NAME} HTTP/1.0",
    f"PUT /v1/t/{NAME.upper()} HTTP/1.1",
    f"PUT /v1/t/{NAME}/state HTTP/1.1",
    f"HEAD /v1/t/{NAME} HTTP/1.1",
    "POST /v1/c/x/hello HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "CONNECT a:1 HTTP/1.1",
    "PRI * HTTP/2.0",
    "",
    "nonsense",
]
LINES = [
    "Host: r",
    "Content-Length: 5",
    "content-length:5",
    "Content-Length: 05",
    "Content-Length: +5",
    "Content-Length: 5, 5",
    "Content-Length : 5",
    "Content-Length:",
    "Content-Length: 5 ",
    "Content-Length: 0",
    " Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding:\tchunked",
    "transfer-encoding: identity",
    "Connection: close",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Expect: 100-continue",
    "X: a\nContent-Length: 5",
    "X: a\rContent-Length: 5",
    "X: a\x00",
    "X: a\x7fb",
    "X: a\tb",
    "a(b: c",
    "!#$%&'*+-.^_`|~: x",
    "Host: other",
    "host: other",
    "User-Agent: one",
    "User-Agent: two",
    "Content-Encoding: gzip",
    "Sec-WebSocket-Key1: x",
    "Keep-Alive: timeout=5",
    "TE: trailers",
    "Trailer: X",
    "X: \xff",
    "X",
    ": x",
    "Content-Lengths: 7",
]
ENDS = ["\r\n", "\r\n", "\r\n", "\n", "\r"]


@st.composite
def requests(draw):
    parts = [draw(st.sampled_from(STARTS))]
    parts += draw(st.lists(st.sampled_from(LINES), max_size=4))
    head = "".join(part + draw(st.sampled_from(ENDS)) for part in parts)
    return (head + draw(st.sampled_from(["\r\n", "\r\n", "\n", ""]))).encode("latin-1")


def parse(data):
    """Let aiohttp's parser read; return its messages, or None when it refuses."""
    loop = asyncio.new_event_loop()
    try:
        protocol = mock.Mock(spec=web_protocol.RequestHandler)
        parser = web_protocol.HttpRequestParser(protocol, loop, 2**16, auto_decompress=False)
        try:
            messages, upgraded, tail = parser.feed_data(data)
        except web_protocol.HttpProcessingError:
            return None
        return messages, upgraded, tail
    finally:
        loop.close()


@given(requests())
@example(f"PUT /v1/t/{NAME} HTTP/1.1\r\nHost: r\r\nContent-Length: 5\r\n\r\n".encode())
def test_what_is_measured_every_parser_takes_and_ends_at_the_same_byte(head):
    size = measure(head + b"body!" * 3)
    if not size:
        return
    whole = (head + b"body!" * 3)[:size]
    messages, upgraded, tail = parse(whole)

    assert len(messages) == 1
    assert (upgraded, tail) == (False, b"")
    ((message, payload),) = messages
    assert payload.is_eof()
    assert payload.total_bytes == size - len(head)
    assert (message.method, message.path) == ("PUT", f"/v1/t/{NAME}")
    assert message.version == (1, 1)
    assert not message.should_close
    cut = parse(whole[:-1])
    assert not cut[0] or not cut[0][0][1].is_eof()


@pytest.mark.parametrize("line", ["Content-Length: 5", "X-Anything: 1\r\nContent-Length: 5"])
def test_an_upload_is_measured(line):
    head = f"PUT /v1/t/{NAME} HTTP/1.1\r\nHost: r\r\n{line}\r\n\r\n".encode()

    assert measure(head) == len(head) + 5
    assert measure(head + b"body!") == len(head) + 5
    assert measure(head[:-1]) == 0


@pytest.mark.rule("R14", "R15")
@pytest.mark.parametrize(
    "line",
    [
        "a(b: c",
        "a b: c",
        "X: \x7f",
        "X: \xff",
        "X: \x00",
        "X: " + "y" * 4096,
        "Host: other",
        "Sec-WebSocket-Key1: x",
        "Content-Encoding: gzip",
        "\r\n".join(f"X-{n}: y" for n in range(64)),
    ],
)
def test_what_the_parser_refuses_or_could_read_in_another_way_is_not_measured(line):
    head = f"PUT /v1/t/{NAME} HTTP/1.1\r\nHost: r\r\n{line}\r\nContent-Length: 5\r\n\r\n"

    assert measure(head.encode("latin-1") + b"body!") == 0
