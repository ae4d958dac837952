"""What every HTTP listener of the till says of itself, and of what went wrong."""

import aiohttp
import pytest
import stage
from aiohttp import web

from e2ee_ticket.sources.connections import Limits
from e2ee_ticket.sources.http_server import HttpServer, serving


async def fail(_request):
    raise LookupError("canary of a receipt")


async def fail_in_the_middle(request):
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(b"half")
    raise LookupError("canary of a receipt")


@pytest.mark.parametrize("handler", [fail, fail_in_the_middle])
async def test_a_fault_is_logged_by_its_place_and_quotes_nothing(handler, caplog):
    port = stage.free_port()
    server = HttpServer(handler, Limits())
    async with serving(server, "127.0.0.1", port), aiohttp.ClientSession() as session:
        said = b""
        try:
            async with session.get(f"http://127.0.0.1:{port}/canary?secret") as answer:
                said = await answer.read()
        except aiohttp.ClientError:
            assert handler is fail_in_the_middle
        else:
            assert answer.status == 500

    assert b"canary" not in said
    assert "LookupError in test_http_server.py:" in caplog.text
    assert "canary" not in caplog.text
    assert "127.0.0.1" not in caplog.text
