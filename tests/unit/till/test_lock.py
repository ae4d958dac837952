"""One agent for one state directory, whatever becomes of the process that had the lock."""

import os
import subprocess
import sys

import pytest
import stage

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till.lock import FILE_NAME, is_locked, lock

HOLDER = """
import sys
from pathlib import Path
from e2ee_ticket.till.lock import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

only_posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")


@pytest.fixture
def holder(tmp_path):
    """Another process that has the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_one_process_has_it(tmp_path, holder):
    assert holder.poll() is None
    assert is_locked(tmp_path)
    with pytest.raises(ConfigError, match="an agent runs already"), lock(tmp_path):
        pass


def test_a_second_one_in_the_same_process_does_not_get_it(tmp_path):
    with lock(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(ConfigError, match="an agent runs already"), lock(tmp_path):
            pass
        assert is_locked(tmp_path)


def test_it_is_free_when_its_holder_has_ended(tmp_path, holder):
    holder.stdin.close()
    holder.wait(20)

    assert not is_locked(tmp_path)
    with lock(tmp_path):
        assert is_locked(tmp_path)


def test_it_is_free_when_its_holder_was_killed(tmp_path, holder):
    holder.kill()
    holder.wait(20)

    with lock(tmp_path):
        assert is_locked(tmp_path)


def test_it_is_free_after_a_failure_inside(tmp_path):
    with pytest.raises(KeyError), lock(tmp_path):
        raise KeyError

    assert not is_locked(tmp_path)


def test_asking_takes_nothing(tmp_path):
    with lock(tmp_path):
        pass
    assert not is_locked(tmp_path)

    with lock(tmp_path):
        assert is_locked(tmp_path)


def test_where_no_agent_ever_ran_there_is_none(tmp_path):
    assert not is_locked(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@only_posix
def test_the_directory_is_made_and_belongs_to_its_user_alone(tmp_path):
    with lock(tmp_path / "state"):
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "state" / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_used_is_said_so(tmp_path):
    (tmp_path / FILE_NAME).mkdir()

    with pytest.raises(ConfigError, match="the state directory cannot be used"), lock(tmp_path):
        pass


def test_a_directory_that_cannot_be_made_is_said_so(tmp_path):
    (tmp_path / "state").touch()

    with pytest.raises(ConfigError, match="state directory"), lock(tmp_path / "state"):
        pass


@pytest.mark.slow
def test_a_second_agent_says_that_one_is_enough(tmp_path):
    till = stage.Till(tmp_path, "http://127.0.0.1:9")
    with lock(tmp_path):
        done = till.run("agent", check=False)

    assert done.returncode == 2
    assert "an agent runs already" in done.stderr
