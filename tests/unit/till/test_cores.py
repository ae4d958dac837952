import os
import resource
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tells it as Linux does")

HARD = resource.getrlimit(resource.RLIMIT_CORE)[1]
ASKED = """
import ctypes, resource, sys
from e2ee_ticket.cli import main
sys.argv = ["e2ee-ticket", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def allow_cores():
    resource.setrlimit(resource.RLIMIT_CORE, (HARD, HARD))


# One that refuses, one that works, one that ends inside argparse.
@pytest.mark.parametrize("command", [("revoke", "none"), ("outbox", "list"), ("--version",)])
def test_a_command_and_what_it_starts_write_no_core_and_cannot_be_dumped(tmp_path, command):
    told = subprocess.run(
        [sys.executable, "-c", ASKED, *command],
        env={"PATH": os.environ["PATH"], "E2EE_TICKET_STATE": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        check=True,
        text=True,
        preexec_fn=allow_cores,
    ).stdout

    assert told.splitlines()[-1] == "(0, 0) 0"


def test_a_command_that_breaks_while_it_holds_a_link_leaves_no_core(tmp_path):
    opening = subprocess.Popen(
        [sys.executable, "-m", "e2ee_ticket", "open"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=allow_cores,  # noqa: PLW1509 - idem
    )
    try:
        while resource.prlimit(opening.pid, resource.RLIMIT_CORE)[1] or not reads(opening.pid):
            assert opening.poll() is None
            time.sleep(0.01)
        opening.stdin.write(b"https://receipts.example/#0123")
        opening.stdin.flush()
        opening.send_signal(signal.SIGABRT)
        _, status = os.waitpid(opening.pid, 0)
        opening.returncode = os.waitstatus_to_exitcode(status)
    finally:
        opening.stdin.close()
        opening.kill()

    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []


def reads(pid: int) -> bool:
    """Tell whether it waits for its input."""
    with open(f"/proc/{pid}/syscall") as file:  # noqa: PTH123 - no file of ours
        return file.read().startswith(("0 0x0 ", "63 0x0 "))
