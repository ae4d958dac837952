"""What begins a print, and what only a browser or another program sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2ee_ticket.sources.first_bytes import ESCPOS, PDF, PJL, STRANGER, Kind, tell

COOKIE = b"\x21\x12\xa4\x42"
LONG = b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: 127.0.0.1:9100\r\n\r\n"


def judge(data, step=1):
    """Tell as a connection does: with every byte that comes, and at its end."""
    for end in range(step, len(data) + step, step):
        if (kind := tell(data[:end])) is not None:
            return kind
    return tell(data, whole=True)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:9100\r\n\r\nTotal 12,50\n\x1dV\0",
        b"POST /?TOTAL%2012,50 HTTP/1.1\r\n",
        b"PROPFIND / HTTP/1.1\r\n",
        b"M-SEARCH * HTTP/1.1\r\n",
        b"foo /x HTTP/1.0\n",
        b"CONNECT 127.0.0.1:9100 HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\n",
        b"OPTIONS rtsp://127.0.0.1:9100/ RTSP/1.0\r\n",
        b"REGISTER sip:127.0.0.1 SIP/2.0\r\n",
        b"GET / HTTP/1.1",
        LONG,
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"r" * 32,
        b"\x16\x03\x03\0\x7a\x01",
        b"\x80\x46\x01\x03\x01\0\x2d\0\0\0\x20",  # WebRTC's, as SSL 2 began
        b"\0\x01\0\x50" + COOKIE + b"x" * 92,
        b"\0\x03\0\x24" + COOKIE + b"x" * 36,
        b"\0\x01\0\x08" + b"\x1b@TOTAL 12,50\n\x1dV\0",  # STUN before there were cookies
        b"\0\x68\0\x01\0\x54" + COOKIE + b"x" * 84,  # ICE over TCP: a length before each
        b"\0\x1c\0\x01\0\x08" + COOKIE + b"x" * 20,
        b"\0\x1d\0\x03\0\x09" + COOKIE + b"\x1dV\0 TOTAL 12,50\n",
        b"\x02\x1b\0\x01\x02\x07" + COOKIE + b"\x1b@TOTAL 12,50\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"EHLO till.example\r\n",
        b"USER anonymous\r\n",
        b"USER anonymous\r\nPASS guest@\r\nQUIT\r\n",
        b"a001 CAPABILITY\r\n",
        b"NICK page\r\nUSER page 0 * :page\r\n",
        b"\x05\x01\0",
        b"P:ST\x08\0\0\0",
        b"text first\x01",
        b"\x04\x01\x23\x8c\x7f\0\0\x01\0",
        b"\0\0\0\x45\xfeSMB@\0",
        b"\x03\0\0\x13\x0e\xe0",
    ],
)
@pytest.mark.parametrize("step", [1, 5, 100_000])
def test_what_no_till_sends_is_a_strangers(data, step):
    assert judge(data, step) == STRANGER


@pytest.mark.parametrize(
    "data",
    [
        b"POST OFFICE STORES\nStamps   2.40\nTOTAL    2.40\n\x1dVB\0",
        b"GET 2 PAY 1\nTotal 3,00\n",
        b"HEAD & SHOULDERS 4,99\n",
        b"OPTIONS CAFE\r\n1 x Espresso\r\n",
        b"DELETE",
        b"PUT",
        b"USER 3\r\nPain 1,20\r\n",
        b"USER: Anna\nPain 1,20\n",
        b"Visit us: HTTP/1.1 is old\n",
        b"Bon\n\nGET / HTTP/1.1\r\n",
        b"\x1b@\x1bt\x10Epicerie\n",
        b"\x10\x04\x01",
        b"\x1dI\x42",
        b"\0" * 40 + b"\x1b@text\n",
        b"\n\n\nEpicerie\n",
        b"\x0c\x1b@x\n",
        b"\x80uro 12,50\n",
        b"\x8epicerie\n",
        b"\xc7a va\n",
        b"x\x1b!\x30BIG\n",
        b"a" * 10_000 + b"\n",
        b"- - - - - - - - - -\n",
        b"",
    ],
)
@pytest.mark.parametrize("step", [1, 5, 100_000])
def test_what_a_till_prints_is_a_receipt(data, step):
    assert judge(data, step) == ESCPOS


@pytest.mark.parametrize("question", [b"\x10\x04\x01", b"\x1b@", b"\x1dr\x01", b"busy\x10\x04\x01"])
def test_a_till_that_asks_first_need_say_no_more(question):
    assert tell(question) == ESCPOS


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7\n", PDF),
        (b"\r\n\0%PDF-1.7\n", PDF),
        (b"\xef\xbb\xbf%PDF-1.4\n", PDF),
        (b"\x1b%-12345X@PJL\r\n", PJL),
        (b"@PJL INFO STATUS\r\n", PJL),
        (b"%!PS-Adobe", Kind("other", "PostScript")),
        (b"\x04%!PS-Adobe", Kind("other", "PostScript")),
        (b"\x1bE\x1b&l", Kind("other", "PCL")),
        (b"^XA^FO50", Kind("other", "ZPL")),
        (b"PK\x03\x04", Kind("other", "ZIP, XPS")),
        (b"{\\rtf1", Kind("other", "RTF")),
    ],
)
@pytest.mark.parametrize("step", [1, 100])
def test_a_document_is_known_by_its_language(data, kind, step):
    assert judge(data, step) == kind


@given(st.binary(max_size=300), st.integers(1, 40))
def test_at_the_end_everything_is_something(data, step):
    assert judge(data, step) is not None


@given(st.integers(0, 0x3FFF), st.binary(max_size=600), st.booleans())
def test_no_message_of_stun_is_a_receipt_whatever_is_in_it(kind, content, framed):
    message = kind.to_bytes(2) + len(content).to_bytes(2) + COOKIE + content
    if framed:
        message = len(message).to_bytes(2) + message

    assert judge(message, 1000) == STRANGER


@given(st.from_regex(r"[A-Z-]{1,20} [!-~]{1,300} HTTP/[12]\.[01]\r\n", fullmatch=True), st.binary())
def test_no_request_is_a_receipt_whatever_follows(line, rest):
    assert judge(line.encode() + rest, 1000) == STRANGER
