import ast
import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from e2ee_ticket.errors import TicketError
from e2ee_ticket.pdf import sandbox

RECEIPT = b"%PDF-1.7 canary receipt\n%%EOF\n"


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Put a child of the test's own in the place of the real one."""

    def put(program: str) -> None:
        path = tmp_path / "child.py"
        path.write_text("import os, sys, time\n" + program)
        monkeypatch.setattr(sandbox, "CHILD", path)

    return put


@pytest.fixture
def children():
    """List the processes that the test began, and none that others keep for the session."""
    others = set(psutil.Process().children())
    return lambda: set(psutil.Process().children()) - others


async def test_the_receipt_goes_in_by_a_pipe_and_the_result_comes_out(play):
    play("sys.stdout.buffer.write(sys.stdin.buffer.read() + sys.argv[1].encode())")

    assert await sandbox.run(RECEIPT, "task", max_size=1000) == RECEIPT + b"task"


async def test_where_one_users_libraries_are_goes_in(play, monkeypatch: pytest.MonkeyPatch):
    play("sys.stdout.write(repr(dict(os.environ)))")
    for name in ("HOME", "APPDATA", "USERPROFILE"):
        monkeypatch.setenv(name, f"/somewhere/{name}")

    environment = ast.literal_eval((await sandbox.run(b"", "x", max_size=10_000)).decode())

    for name in ("HOME", "APPDATA", "USERPROFILE"):
        assert environment[name] == f"/somewhere/{name}"


async def test_nothing_of_the_shops_environment_goes_in(play, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("E2EE_TICKET_PERMIT", "canary-permit")
    play("sys.stdout.write(repr(dict(os.environ)))")

    assert b"canary" not in await sandbox.run(RECEIPT, max_size=10_000)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("sys.exit(3)", "it is encrypted"),
        ("sys.exit(4)", "it cannot be read"),
        ("sys.exit(5)", "no legible picture of it is small enough"),
        ("sys.exit(6)", "it takes too much memory or time"),
        ("sys.exit(1)", "it broke what reads it"),
        ("os.kill(os.getpid(), 9)", "it broke what reads it"),
        ("raise MemoryError", "it broke what reads it"),
        ("sys.stdout.write('x' * 1001)", "its result is too large"),
        ("\nwhile True: sys.stdout.write('x' * 100_000)", "its result is too large"),
    ],
)
async def test_a_failure_says_why(play, program: str, reason: str):
    play(program)

    with pytest.raises(sandbox.ChildError) as caught:
        await sandbox.run(RECEIPT, max_size=1000)

    assert str(caught.value) == reason
    assert isinstance(caught.value, TicketError)
    assert isinstance(caught.value, sandbox.EncryptedError) == (reason == "it is encrypted")


@pytest.mark.parametrize("size", [10, 4 * 1024 * 1024])
async def test_a_child_that_hangs_is_killed(play, children, size: int):
    play("time.sleep(3600)")

    with pytest.raises(sandbox.ChildError, match="too long"):
        await sandbox.run(bytes(size), max_size=1000, timeout=0.3)

    assert not [process for process in children() if process.is_running()]


async def test_a_child_that_is_not_waited_for_any_more_is_killed(play, children):
    play("time.sleep(3600)")
    running = asyncio.ensure_future(sandbox.run(RECEIPT, max_size=1000))
    while not children():  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert not children()


async def test_a_system_without_room_for_a_process_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(sandbox.ChildError, match="no process"):
        await sandbox.run(RECEIPT, max_size=1000)
