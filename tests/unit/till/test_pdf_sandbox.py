import ast
import asyncio
import subprocess
import sys
import threading
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
        monkeypatch.setattr(sandbox, "WARM", False)  # a program that does one task

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


@pytest.mark.parametrize("warm", [False, sandbox.WARM])
async def test_a_system_without_room_for_a_process_is_told(monkeypatch, warm):
    sandbox.end_warm()
    monkeypatch.setattr(sandbox, "WARM", warm)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(sandbox.ChildError, match="no process"):
        await sandbox.run(RECEIPT, max_size=1000)
    with pytest.raises(sandbox.ChildError, match="no process"):
        sandbox.run_here(RECEIPT, max_size=1000)


# In a thread that waits


def test_a_thread_can_wait_for_the_result(play):
    play("sys.stdout.buffer.write(sys.stdin.buffer.read() + sys.argv[1].encode())")

    assert sandbox.run_here(RECEIPT, "task", max_size=1000) == RECEIPT + b"task"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("sys.exit(3)", "it is encrypted"),
        ("sys.exit(1)", "it broke what reads it"),
        ("sys.stdout.write('x' * 1001)", "its result is too large"),
        ("time.sleep(3600)", "it takes too long"),
    ],
)
def test_a_thread_that_waits_is_told_why_there_is_none(play, program: str, reason: str):
    play(program)

    with pytest.raises(sandbox.ChildError) as caught:
        sandbox.run_here(RECEIPT, max_size=1000, timeout=0.5)

    assert str(caught.value) == reason


# The warm process


TASK = """
import ctypes, importlib.util, os, sys, time
found = importlib.util.spec_from_file_location("child", {real!r})
child = importlib.util.module_from_spec(found)
found.loader.exec_module(child)
seen = []
def task(receipt):
{program}
child.TASKS["task"] = lambda *_: task
child.TASKS["slow"] = lambda *_: time.sleep(0.2) or task
def is_seen(*_):
    dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # asked in the warm process
    return lambda _: b"%d" % dumpable
child.TASKS["is_seen"] = is_seen
sys.exit(child.main())
"""


@pytest.fixture
def play_warm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Let the real child do a task of the test's own."""
    if not sandbox.WARM:
        pytest.skip("each receipt has a process that is started for it on this system")

    def put(program: str) -> None:
        path = tmp_path / "child.py"
        lines = "".join(f"    {line}\n" for line in program.splitlines())
        path.write_text(TASK.format(real=str(sandbox.CHILD), program=lines))
        monkeypatch.setattr(sandbox, "CHILD", path)

    yield put
    sandbox.end_warm()


def pid_of_warm() -> int:
    assert sandbox._warm is not None
    return sandbox._warm._process.pid


async def test_receipts_are_opened_by_fresh_processes_of_one_that_has_never_seen_one(play_warm):
    play_warm("seen.append(receipt)\nreturn repr((seen, os.getpid(), os.getppid())).encode()")

    first = eval(await sandbox.run(b"first", "task", max_size=1000))  # noqa: S307 - our own
    second = eval(sandbox.run_here(b"second", "task", max_size=1000))  # noqa: S307 - idem

    assert (first[0], second[0]) == ([b"first"], [b"second"])
    assert first[1] != second[1]
    assert first[2] == second[2] == pid_of_warm()


@pytest.mark.parametrize("break_it", ["os.abort()", "os._exit(0)", "import nothing_there"])
async def test_a_receipt_that_breaks_its_process_harms_no_other(play_warm, break_it):
    play_warm(f"if receipt == b'bad':\n    {break_it}\nreturn receipt")
    good = [sandbox.run(b"good", "task", max_size=1000) for _ in range(3)]
    broken = sandbox.run(b"bad", "task", max_size=1000)

    *whole, failed = await asyncio.gather(*good, broken, return_exceptions=True)

    assert whole == [b"good"] * 3
    assert failed == b"" if "_exit" in break_it else str(failed) == "it broke what reads it"
    warm = pid_of_warm()
    assert await sandbox.run(b"good", "task", max_size=1000) == b"good"
    assert pid_of_warm() == warm


async def test_after_a_crash_nothing_is_where_it_was_in_the_memory_of_the_next(play_warm):
    """Or whoever attacks guesses addresses until one is right, from one receipt to the next."""
    play_warm(
        "import ctypes\n"
        "if receipt == b'bad':\n    ctypes.string_at(8)\n"
        "if receipt == b'slow':\n    time.sleep(1)\n"
        "return b'%d' % ctypes.cast(ctypes.pythonapi.Py_GetVersion, ctypes.c_void_p).value"
    )
    first = await sandbox.run(b"good", "task", max_size=1000)
    slow = asyncio.ensure_future(sandbox.run(b"slow", "task", max_size=1000))
    assert await sandbox.run(b"good", "task", max_size=1000) == first
    warm = pid_of_warm()

    with pytest.raises(sandbox.ChildError, match="broke"):
        await sandbox.run(b"bad", "task", max_size=1000)

    others = [sandbox.run(b"good", "task", max_size=1000, timeout=60) for _ in range(3)]
    later = set(await asyncio.gather(*others))
    assert await slow == first  # what ran goes on
    assert len(later) == 1
    assert later != {first}
    assert pid_of_warm() == warm


async def test_a_task_that_cannot_be_prepared_is_one_that_broke(play_warm):
    play_warm("return receipt")

    with pytest.raises(sandbox.ChildError, match="it broke what reads it"):
        await sandbox.run(RECEIPT, "no such task", max_size=1000)

    assert await sandbox.run(RECEIPT, "task", max_size=1000) == RECEIPT


@pytest.mark.parametrize("size", [10, 4 * 1024 * 1024])
async def test_what_hangs_is_killed_and_the_warm_process_goes_on(play_warm, size: int):
    play_warm("while receipt != b'good': pass\nreturn receipt")

    with pytest.raises(sandbox.ChildError, match="it takes too long"):
        await sandbox.run(bytes(size), "task", max_size=1000, timeout=0.5)
    with pytest.raises(sandbox.ChildError, match="it takes too long"):
        sandbox.run_here(bytes(size), "task", max_size=1000, timeout=0.5)

    assert not psutil.Process(pid_of_warm()).children()
    assert await sandbox.run(b"good", "task", max_size=1000) == b"good"


async def test_a_result_without_end_is_stopped(play_warm):
    play_warm("while True: os.write(1, bytes(100_000))")

    with pytest.raises(sandbox.ChildError, match="its result is too large"):
        await sandbox.run(RECEIPT, "task", max_size=1000)

    assert not psutil.Process(pid_of_warm()).children()


async def test_what_is_not_waited_for_any_more_is_killed(play_warm):
    play_warm("time.sleep(3600)")
    running = asyncio.ensure_future(sandbox.run(RECEIPT, "task", max_size=1000))
    await asyncio.sleep(0)
    while not psutil.Process(pid_of_warm()).children():  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.01)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert not psutil.Process(pid_of_warm()).children()


def running_in_warm() -> list[psutil.Process]:
    """List those that the warm process made and that have raised their walls."""
    if sandbox._warm is None:
        return []
    made = psutil.Process(pid_of_warm()).children()
    return [one for one in made if one.rlimit(psutil.RLIMIT_NOFILE)[0] == 0]


async def test_no_other_program_can_look_into_the_warm_process(play_warm):
    play_warm("return receipt")

    assert await sandbox.run(RECEIPT, "is_seen", max_size=1000) == b"0"


async def test_with_a_warm_process_that_was_killed_those_that_it_made_end(play_warm):
    play_warm("time.sleep(3600)")
    running = asyncio.ensure_future(sandbox.run(RECEIPT, "task", max_size=1000, timeout=60))
    while not running_in_warm():  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0)
    made = running_in_warm()

    psutil.Process(pid_of_warm()).kill()

    _, alive = await asyncio.to_thread(psutil.wait_procs, made, timeout=20)
    for one in alive:
        one.kill()
    assert not alive
    with pytest.raises(sandbox.ChildError, match="broke"):
        await running


async def test_a_warm_process_that_was_killed_is_replaced(play_warm):
    play_warm("return receipt")
    assert await sandbox.run(RECEIPT, "task", max_size=1000) == RECEIPT
    first = pid_of_warm()

    psutil.Process(first).kill()
    psutil.Process(first).wait()

    assert await sandbox.run(RECEIPT, "task", max_size=1000) == RECEIPT
    assert pid_of_warm() != first


async def test_threads_and_loops_share_one_warm_process(play_warm):
    play_warm("return receipt")
    results: list[bytes] = []

    def work(number: int) -> None:
        receipt = str(number).encode() * 100_000
        results.append(sandbox.run_here(receipt, "task", max_size=10**6, timeout=60))
        run = sandbox.run(receipt, "task", max_size=10**6, timeout=60)
        results.append(asyncio.run(run))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    await asyncio.to_thread(lambda: [thread.join() for thread in threads])

    assert sorted(results) == sorted(
        str(number // 2 + 1).encode() * 100_000 for number in range(16)
    )


def test_the_warm_process_ends_with_the_till_however_that_ends(tmp_path):
    program = (
        "import sys, time\nfrom e2ee_ticket.pdf import sandbox\n"
        "try:\n    sandbox.run_here(b'x', 'inspect', max_size=1000, timeout=60)\n"
        "except sandbox.ChildError as error:\n    print(error, sandbox._warm._process.pid)\n"
        "sys.stdout.flush()\ntime.sleep(3600)\n"
    )
    till = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    with till:
        said = till.stdout.readline()
        till.kill()
    assert said.startswith("it cannot be read ")

    gone, alive = psutil.wait_procs(found(int(said.split()[-1])), timeout=60)

    assert not alive
    assert len(gone) <= 1


def found(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []
