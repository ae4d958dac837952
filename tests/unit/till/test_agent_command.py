"""The command `agent`, as a program."""

import sys

import pytest
import stage


def test_what_draws_a_receipt_is_read_when_everything_listens_and_before_the_first_sale(tmp_path):
    listen = f"127.0.0.1:{stage.free_port()}"
    till = stage.Till(tmp_path, "http://127.0.0.1:9")
    (tmp_path / "config.toml").write_text(f'[console]\nlisten = "{listen}"\n', encoding="utf-8")
    till.environment["PYTHONPROFILEIMPORTTIME"] = "1"  # each module that was read is a line

    said = []
    with till.popen("agent") as process:
        for line in process.stderr:
            said.append(line.rpartition("|")[2].strip())
            if said[-1] == "e2ee_ticket.pdf.draw":
                break
        process.terminate()
        process.stderr.read()

    (greeting,) = (at for at, line in enumerate(said) if f"console: http://{listen}/" in line)
    assert said[greeting:].count("fpdf") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere not all walls are to be had")
def test_the_log_says_once_which_walls_stand_around_what_opens_receipts(tmp_path):
    listen = f"127.0.0.1:{stage.free_port()}"
    till = stage.Till(tmp_path, "http://127.0.0.1:9")
    (tmp_path / "config.toml").write_text(f'[console]\nlisten = "{listen}"\n', encoding="utf-8")

    with till.popen("agent") as process:
        said = next(line for line in process.stderr if "receipts are opened" in line)
        process.terminate()
        process.stderr.read()

    assert said.endswith(
        " receipts are opened in a process that can reach"
        " no file, no network and no other process\n"
    )
