"""`make demo`, from its first line to Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import stage

DEMO = Path(__file__).resolve().parents[2] / "tools" / "demo.py"


@pytest.mark.browser
def test_the_demo_plays_a_sale_and_ctrl_c_ends_all_of_it(tmp_path):
    stage.find_chromium()
    output = tmp_path / "output"
    with output.open("wb") as file:
        demo = subprocess.Popen(
            [sys.executable, DEMO, "--headless"],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    stage.wait_for(
        lambda: demo.poll() is not None or "stay up" in output.read_text(), "the sale", 90
    )
    below = psutil.Process(demo.pid).children(recursive=True)

    os.killpg(demo.pid, signal.SIGINT)  # as a terminal does: to everybody in the group
    demo.wait(20)

    told = output.read_text()
    assert demo.returncode == 0, told
    assert "the very bytes that the till sent" in told
    assert "nothing is left running" in told
    assert "Traceback" not in told
    assert psutil.wait_procs(below, 5)[1] == []
