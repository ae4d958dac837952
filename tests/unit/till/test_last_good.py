"""A mistake in the configuration does not close the shop: the last good one is used, and told."""

import signal
import stat

import pytest
import stage

from e2ee_ticket.till import last_good

RELAY = "http://127.0.0.1:9"


@pytest.fixture
def till(tmp_path):
    made = stage.Till(tmp_path)
    made.listen = f"127.0.0.1:{stage.free_port()}"
    made.file.write_text(f'relay = "{RELAY}"\n[console]\nlisten = "{made.listen}"\n', "utf-8")
    return made


class Running:
    """An agent, and what it said until it was ready."""

    def __init__(self, till, word="console: http"):
        self.process = till.popen("agent")
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if word in line:
                break

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.said += self.process.stderr
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.wait(30)

    @property
    def text(self):
        return "".join(self.said)


def port_of(till):
    return int(till.listen.rpartition(":")[2])


@pytest.mark.parametrize(
    "mistake",
    [
        'relay = "http://127.0.0.1:9"\nticket_seconds = "many"\n',
        "relay = [\n",
        "",
        'relay = "http://127.0.0.1:9"\n[[source]]\nkind = "takepos"\nlisten = "nowhere"\n',
    ],
)
def test_a_broken_file_is_told_and_the_last_good_one_goes_on(till, mistake):
    assert Running(till).end() == 0
    till.file.write_text(mistake, "utf-8")

    running = Running(till)
    stage.wait_for(lambda: stage.listens(port_of(till)), "the console")
    assert running.end() == 0

    assert "the last good one is used" in running.text
    assert "Traceback" not in running.text
    assert till.file.read_text("utf-8") == mistake  # nobody's work is overwritten


def test_without_a_good_one_a_broken_file_is_refused(till):
    till.file.write_text("relay = [\n", "utf-8")

    done = till.run("agent", check=False)

    assert done.returncode == 2
    assert "not TOML" in done.stderr


def test_the_copy_is_for_this_user_alone_and_is_the_file(till):
    Running(till).end()
    copy = last_good.path_of(till.file)

    assert copy.read_bytes() == till.file.read_bytes()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_every_signal_that_asks_for_an_end_gets_a_clean_one(till, number):
    running = Running(till)

    assert running.end(number) == 0
    assert "stopped" in running.text
