"""What a program that listens asks of the system, and what it says of too little."""

import asyncio
import logging
import resource
import socket
import subprocess
import sys

from e2ee_ticket.cli.room import AGAIN_SECONDS, FILES, LoopTroubles, ask_for_files


def test_it_asks_for_as_many_files_as_there_may_be():
    program = (
        "import resource\n"
        "from e2ee_ticket.cli.room import ask_for_files\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
        "print(ask_for_files(), resource.getrlimit(resource.RLIMIT_NOFILE)[0], hard)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    told, soft, hard = map(int, done.stdout.split())

    assert told == soft == (min(FILES, hard) if hard > 0 else FILES)


def test_it_takes_no_files_away():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    ask_for_files()

    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= before[0]


async def test_a_full_table_of_files_is_one_line_a_minute(caplog):
    """Each connection that cannot be accepted was a traceback: 54 MB in 30 seconds."""
    now = [0.0]
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LoopTroubles(lambda: now[0]))
    caplog.set_level(logging.DEBUG, "e2ee_ticket")
    context = {
        "message": "socket.accept() out of system resource",
        "exception": OSError(24, "Too many open files", "('192.168.1.77', 5555)"),
        "socket": None,
    }
    for _ in range(10_000):
        loop.call_exception_handler(dict(context))
    now[0] = AGAIN_SECONDS
    loop.call_exception_handler(dict(context))

    lines = [record.getMessage() for record in caplog.records]
    said = "socket.accept() out of system resource: OSError, too many open files"
    assert lines == [said, f"{said} (9999 times more before)"]


async def test_kinds_of_troubles_are_told_apart_and_their_texts_are_not_told(caplog):
    caplog.set_level(logging.DEBUG, "e2ee_ticket")
    told = LoopTroubles(lambda: 0.0)
    loop = asyncio.get_running_loop()
    for error in (ValueError("12,50 canary"), KeyError("canary"), None):
        told(loop, {"message": "a task failed\ncanary", **({"exception": error} if error else {})})

    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["a task failed: ValueError", "a task failed: KeyError", "a task failed"]


async def test_a_listener_without_a_free_file_says_so_once_and_goes_on(caplog):
    caplog.set_level(logging.DEBUG, "e2ee_ticket")
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LoopTroubles(loop.time))

    class Full(socket.socket):
        full = True

        def accept(self):
            if self.full:
                raise OSError(24, "Too many open files")
            return super().accept()

    listening = Full(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", 0))
    served = asyncio.Event()
    server = await asyncio.start_server(lambda _, writer: (writer.close(), served.set()),
                                        sock=listening, backlog=50)  # fmt: skip
    async with server, asyncio.timeout(20):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        while not caplog.records:  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.005)
        listening.full = False
        await served.wait()
        writer.close()

    assert len(caplog.records) == 1
