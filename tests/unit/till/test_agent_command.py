"""The command `agent`, as a program."""

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
