import asyncio
import io
import json
import socket

import aiohttp
import pytest
from fake_dolibarr import CALLS

from e2ee_ticket.errors import ConfigError, SourceError
from e2ee_ticket.sources.dolibarr import new_webhook_secret
from e2ee_ticket.sources.dolibarr.webhook import (
    BODY_MAX_SIZE,
    check_listening,
    check_secret,
    listening,
    read_address,
)

SECRET = "canary-webhook-secret-0123"
HERE = ("127.0.0.1", 0)


async def post(port, path=f"/hook/{SECRET}", body=b"{}", method="POST"):
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{port}{path}", data=body) as answer,
    ):
        return answer.status, await answer.read()


async def test_a_payment_is_told_with_its_row_and_answered_with_nothing():
    told = []

    async with listening(HERE, SECRET, told.append) as port:
        assert await post(port, body=CALLS[1].encode()) == (204, b"")

    assert told == [1]


async def test_a_validation_is_answered_and_tells_nothing():
    told = []

    async with listening(HERE, SECRET, told.append) as port:
        assert await post(port, body=CALLS[0].encode()) == (204, b"")

    assert told == []


async def test_a_call_that_is_too_long_is_no_reason_to_refuse_a_sale():
    told = []

    async with listening(HERE, SECRET, told.append) as port:
        status, _ = await post(port, body=io.BytesIO(b" " * (BODY_MAX_SIZE + 70_000)))

    assert status == 204
    assert told == [None]


@pytest.mark.parametrize(
    "path", ["/", "/hook/", "/hook/wrong", f"/hook/{SECRET}x", f"/hook/{SECRET}/", f"/{SECRET}",
             "/hook/%ff%fe", f"/hook/{SECRET[:-1]}"]
)  # fmt: skip
async def test_another_address_is_not_found_and_tells_nothing(path):
    told = []

    async with listening(HERE, SECRET, told.append) as port:
        status, body = await post(port, path, CALLS[1].encode())

    assert status == 404
    assert SECRET.encode() not in body
    assert told == []


async def test_only_posts_are_calls():
    async with listening(HERE, SECRET, lambda _: None) as port:
        assert (await post(port, method="GET"))[0] == 405


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"42", b'{"object":1}', b"[" * 100_000, b"\xff"]
)
async def test_what_is_no_call_is_refused_and_tells_nothing(body):
    told = []

    async with listening(HERE, SECRET, told.append) as port:
        assert (await post(port, body=body))[0] == 400

    assert told == []


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [("/hook/wrong-secret", b"{}", "secret"), (f"/hook/{SECRET}", b"{", "could not be read")],
)
async def test_a_call_that_is_refused_reaches_the_cashier(path, body, why):
    refused = []

    async with listening(HERE, SECRET, lambda _: None, refused.append) as port:
        await post(port, path, body)

    assert why in refused[0].text
    assert refused[0].hint


async def test_nothing_of_a_call_is_logged(caplog):
    caplog.set_level("DEBUG")

    async with listening(HERE, SECRET, lambda _: None) as port:
        await post(port, body=CALLS[1].encode())
        await post(port, body=b"{canary")

    said = "\n".join(record.getMessage() for record in caplog.records)
    assert SECRET not in said
    assert not any(word in said for word in ("database_host", "doli", "FA2611-0001", "canary"))


@pytest.mark.parametrize(
    "request_line",
    [f"POST /hook/{SECRET} HTTP/9.9", f"POST /hook/{SECRET} HTTP/1.1\r\nno header: canary\r\n bad"],
)
async def test_nothing_of_what_is_no_request_is_logged(caplog, request_line):
    caplog.set_level("DEBUG")

    async with listening(HERE, SECRET, lambda _: None) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{request_line}\r\nHost: a\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.0 400 ")
    assert "canary" not in caplog.text


async def test_a_port_that_is_taken_is_told_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = ("127.0.0.1", taken.getsockname()[1])

        with pytest.raises(SourceError, match="cannot be listened at") as caught:
            async with listening(address, SECRET, lambda _: None):
                pass

        finding = await asyncio.wait_for(check_listening(address, SECRET), 10)

    assert "another port" in caught.value.hint
    assert not finding.ok


async def test_the_check_knows_an_agent_that_listens_already():
    told = []

    async with listening(HERE, SECRET, told.append) as port:
        assert (await check_listening(("127.0.0.1", port), SECRET)).ok
        assert not (await check_listening(("127.0.0.1", port), "x" * 24)).ok

    assert told == []
    assert (await check_listening(("127.0.0.1", port), SECRET)).ok


def test_a_made_up_secret_is_one():
    assert check_secret(new_webhook_secret())
    assert new_webhook_secret() != new_webhook_secret()


@pytest.mark.parametrize("secret", ["", "short", "with space in it 0123456789", "a/" * 20])
def test_a_secret_that_could_be_guessed_or_broken_is_refused(secret):
    with pytest.raises(ConfigError, match="webhook_secret must be"):
        check_secret(secret)


def test_addresses():
    assert read_address("127.0.0.1:8112") == ("127.0.0.1", 8112)
    assert read_address("[::1]:8112") == ("::1", 8112)
    for wrong in ("8112", "host", "host:99999", "http://host:1", "a b:1"):
        with pytest.raises(ConfigError, match="host:port"):
            read_address(wrong)


def test_the_samples_hold_what_must_not_be_kept():
    assert json.loads(CALLS[1])["triggercode"] == "BILL_PAYED"
    assert "database_host" in CALLS[1]
