"""What the relay's edge needs of aiohttp, by name, so that a new version says what it broke.

The relay uses no private name of it; what is here is public and still not promised for ever.
"""

import ast
import asyncio
import inspect
import logging
from pathlib import Path

import pytest
import relay_fakes
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter

import relay_server
from relay_server.connections import Connection
from relay_server.headers import Answer

SOURCES = sorted(Path(relay_server.__file__).parent.glob("*.py"))
SILENT = logging.getLogger("nobody reads this")
SILENT.disabled = True
OF_AIOHTTP = {web.BaseRequest, web.RequestHandler, web.StreamResponse, web.Server, StreamReader}


def private(name):
    return name.startswith("_") and not name.startswith("__")


def names_of(cls):
    """Return every private name that a class of aiohttp has or sets on itself."""
    found = set()
    for base in cls.__mro__:
        if base.__module__.startswith("aiohttp"):
            found |= set(vars(base)) | set(getattr(base, "__slots__", ()))
            found |= {
                node.attr
                for node in ast.walk(ast.parse(inspect.getsource(inspect.getmodule(base))))
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
                if node.value.id == "self"
            }
    return {name for name in found if private(name)}


@pytest.mark.parametrize(
    ("ours", "theirs"), [(Connection, web.RequestHandler), (Answer, web.StreamResponse)]
)
def test_no_private_name_of_ours_is_one_of_aiohttps(ours, theirs):
    tree = ast.parse(inspect.getsource(inspect.getmodule(ours)))
    body = next(
        one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == ours.__name__
    )
    used = {
        node.attr
        for node in ast.walk(body)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id == "self" and private(node.attr)
    }
    used |= {name for name in vars(ours) if private(name)} - {"_abc_impl"}  # Python's own

    assert len(used) > 4
    assert used & names_of(theirs) == set()


def test_the_relay_asks_nothing_of_aiohttp_by_a_private_name():
    theirs = set().union(*map(names_of, OF_AIOHTTP))
    asked = []
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            is_of_another = isinstance(node, ast.Attribute) and not (
                isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            )
            if is_of_another and private(node.attr) and node.attr in theirs:
                asked.append((file.name, node.attr))

    # `os._exit` is Python's.
    assert [each for each in asked if each != ("cli.py", "_exit")] == []


@pytest.mark.parametrize(
    "name",
    [
        "connection_made",
        "connection_lost",
        "data_received",
        "pause_writing",
        "resume_writing",
        "handle_error",
        "log_exception",
        "log_debug",
    ],
)
def test_a_request_handler_has_the_hook(name):
    assert callable(getattr(web.RequestHandler, name))


@pytest.mark.parametrize(
    "name",
    [
        "loop",
        "keepalive_timeout",
        "lingering_time",
        "max_line_size",
        "max_field_size",
        "max_headers",
        "access_log",
        "auto_decompress",
    ],
)
def test_a_request_handler_can_be_told(name):
    assert name in inspect.signature(web.RequestHandler).parameters


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        *[(web.BaseRequest, name) for name in (
            "content", "headers", "keep_alive", "method", "protocol", "raw_path", "rel_url",
            "remote", "transport", "version", "writer",
        )],
        *[(StreamReader, name) for name in ("is_eof", "read", "readany", "total_bytes")],
        *[(AbstractStreamWriter, name) for name in ("drain",)],
        *[(web.StreamResponse, name) for name in (
            "keep_alive", "prepare", "status", "write_eof",
        )],
    ],
)  # fmt: skip
def test_what_is_asked_of_a_request_or_answered_with_is_there(cls, name):
    assert hasattr(cls, name) or name in inspect.getsource(cls)


async def answer(*lines, size=0, **limits):
    """Let a bare request handler read a request; return the bytes it answers with."""

    async def handle(request):
        assert request.content.total_bytes == size
        return web.Response(text="handled")

    server = web.Server(handle)
    protocol = web.RequestHandler(
        server, loop=asyncio.get_running_loop(), access_log=None, logger=SILENT, **limits
    )
    line = relay_fakes.Line(protocol)
    protocol.connection_made(line)
    protocol.data_received("\r\n".join([*lines, "", ""]).encode() + b"b" * size)
    await relay_fakes.until(lambda: line.written)
    line.leave()
    return line.written


@pytest.mark.parametrize(
    ("lines", "limits", "status"),
    [
        ([], {}, b"200"),
        (["X: " + "y" * 300], {"max_field_size": 200}, b"400"),
        ([f"X-{n}: y" for n in range(9)], {"max_headers": 8}, b"400"),
        (["Content-Length: 5", "Content-Length: 6"], {}, b"400"),
        (["a(b: c"], {}, b"400"),
    ],
)
async def test_a_limit_or_a_fault_of_a_head_is_told(lines, limits, status):
    told = await answer("GET / HTTP/1.1", "Host: r", *lines, **limits)

    assert told[9:12] == status


async def test_a_body_that_came_with_its_head_is_whole_when_the_handler_begins():
    told = await answer("PUT / HTTP/1.1", "Host: r", "Content-Length: 500", size=500)

    assert told[9:12] == b"200"


async def test_a_request_has_its_handler_before_more_comes_on_its_connection():
    """`Connection` tells a body, and what comes ahead, from a head by it."""
    begun = []

    async def handle(request):
        begun.append(request.path)
        return web.Response()

    protocol = web.RequestHandler(web.Server(handle), loop=asyncio.get_running_loop())
    line = relay_fakes.Line(protocol)
    protocol.connection_made(line)
    await asyncio.sleep(0)
    protocol.data_received(b"GET /one HTTP/1.1\r\nHost: r\r\n\r\n")
    for _ in range(3):
        await asyncio.sleep(0)

    assert begun == ["/one"]
    line.leave()
    await asyncio.sleep(0)
