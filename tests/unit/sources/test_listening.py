"""Where sources listen: what may be configured, whether the port is free, why it is not."""

import errno
import socket

import pytest
import stage

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.sources.listening import (
    IPP_LISTEN,
    explain,
    is_address,
    is_loopback,
    join,
    parse_listen,
    try_listening,
)


@pytest.mark.parametrize(
    ("listen", "found"),
    [
        ("127.0.0.1:8631", ("127.0.0.1", 8631)),
        ("192.168.1.5:1", ("192.168.1.5", 1)),
        ("localhost:65535", ("localhost", 65_535)),
        ("[::1]:9100", ("::1", 9100)),
    ],
)
def test_reads_an_address_and_a_port_and_writes_them_again(listen, found):
    assert parse_listen(listen, IPP_LISTEN) == found
    assert join(*found) == listen


@pytest.mark.parametrize(
    "listen",
    ["", "8631", "127.0.0.1", "[::1]", ":8631", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x",
     "127.0.0.1:-1", "127.0.0.1:٨٠", "127.0.0.1:000080", "printer.example:9100", 9100, None],
)  # fmt: skip
def test_refuses_what_is_no_address_with_a_port(listen):
    with pytest.raises(ConfigError, match=r"such as 127\.0\.0\.1:8631"):
        parse_listen(listen, IPP_LISTEN)


@pytest.mark.parametrize(
    ("host", "written_out", "local"),
    [("127.0.0.1", True, True), ("::1", True, True), ("192.168.1.5", True, False),
     ("localhost", False, True)],
)  # fmt: skip
def test_tells_addresses_from_names_and_this_computer_from_others(host, written_out, local):
    assert is_address(host) is written_out
    assert is_loopback(host) is local


async def test_says_what_stands_in_the_way_of_listening():
    port = stage.free_port()

    assert await try_listening("127.0.0.1", port) is None
    with socket.create_server(("127.0.0.1", port)):
        assert (await try_listening("127.0.0.1", port)).errno == errno.EADDRINUSE
    assert await try_listening("127.0.0.1", port) is None


@pytest.mark.parametrize(
    ("number", "text", "hint"),
    [
        (errno.EADDRINUSE, "127.0.0.1:91 is in use by another program", "end it"),
        (errno.EACCES, "127.0.0.1:91 may not be listened on", "a port above 1023"),
        (errno.EPERM, "127.0.0.1:91 may not be listened on", "a port above 1023"),
        (errno.EADDRNOTAVAIL, "127.0.0.1:91 cannot be listened on", "move it"),
    ],
)
def test_explains_each_reason_with_what_to_do(number, text, hint):
    told, what = explain(
        OSError(number, "no"), "127.0.0.1:91", taken_hint="end it", other_hint="move it"
    )

    assert told == text
    assert hint in what
