import asyncio
import contextlib
import socket
import sys

import pytest
import stage

from e2ee_ticket.errors import ConfigError, SourceError
from e2ee_ticket.till.paper import drawer_pulse, parse_address, print_bytes


class Roll:
    """A receipt printer; with `paper` false it takes a connection and reads nothing."""

    def __init__(self, *, paper=True, closes=True):
        self.paper, self.closes = paper, closes
        self.printed = b""
        self.done = asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1024)
        port = self._server.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_):
        self.done.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        if self.paper:
            self.printed = await reader.read(-1)
        if not (self.paper and self.closes):
            await self.done.wait()
        writer.transport.abort()


async def test_bytes_are_printed_as_they_are():
    data = bytes(range(256)) * 1000

    async with Roll() as printer:
        await print_bytes(printer.address, data)

    assert printer.printed == data


async def test_a_printer_that_leaves_the_line_open_has_printed():
    async with Roll(closes=False) as printer:
        await print_bytes(printer.address, b"receipt")

    assert printer.printed == b"receipt"


async def test_the_drawer_is_opened_by_a_pulse():
    async with Roll() as printer:
        await print_bytes(printer.address, drawer_pulse())

    assert printer.printed == b"\x1bp\x00\x19\xfa"


async def test_a_printer_that_is_not_there_is_said():
    with pytest.raises(SourceError, match="cannot be reached") as caught:
        await print_bytes(f"127.0.0.1:{stage.free_port()}", b"receipt")

    assert "switched on" in caught.value.hint


async def test_a_printer_without_paper_is_said():
    async with Roll(paper=False) as printer:
        with pytest.raises(SourceError, match="does not print") as caught:
            await print_bytes(printer.address, bytes(20_000_000), timeout=0.2)

    assert "paper" in caught.value.hint


async def test_a_printer_that_breaks_off_is_said():
    async def broken(reader, writer):
        await reader.read(1)
        writer.transport.abort()

    server = await asyncio.start_server(broken, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(SourceError, match="broke off"):
            await print_bytes(f"{host}:{port}", bytes(20_000_000))


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("192.168.1.50", ("192.168.1.50", 9100)),
        ("192.168.1.50:9101", ("192.168.1.50", 9101)),
        ("printer.local", ("printer.local", 9100)),
        ("[fe80::1]:9100", ("fe80::1", 9100)),
        ("[::1]", ("::1", 9100)),
    ],
)
def test_an_address_is_read(address, found):
    assert parse_address(address) == found


@pytest.mark.parametrize("address", ["", ":9100", "host:0", "host:70000", "a b", "::1", "http://x"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ConfigError, match=r"192\.168\.1\.50:9100"):
        parse_address(address)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses at once")
async def test_a_printer_that_does_not_answer_is_said():
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        host, port = listener.getsockname()
        for _ in range(4):  # its queue is full, and it takes no further connection
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex((host, port))

        with pytest.raises(SourceError, match="does not answer"):
            await print_bytes(f"{host}:{port}", b"receipt", timeout=0.2)
