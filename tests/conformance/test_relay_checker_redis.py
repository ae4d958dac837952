"""The relay's half of the conformance kit passes two relays on one Redis, behind a balancer.

Each connection goes to the other relay: nothing may depend on which of them is asked.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import redis_servers
from balancer import Balancer
from relays import RelayProgram, run_command

CHECKER = Path(__file__).with_name("check_relay.py")


@pytest.fixture(scope="module")
def results(tmp_path_factory, redis_single, redis_cluster):
    """Both kinds at once: most of the time is spent waiting for what takes 25 s."""
    running, checkers = [], {}
    try:
        for kind, servers in (("single", redis_single), ("cluster", redis_cluster)):
            servers.flush()
            file = tmp_path_factory.mktemp(kind) / "permit"
            file.write_text(run_command("permit", "add", "kit", "--store", servers.url).stdout)
            relays = [
                RelayProgram("--listen", "127.0.0.1:0", "--pages", "--store", servers.url)
                for _ in range(2)
            ]
            running += relays
            balancer = Balancer([relay.address for relay in relays])
            running.append(balancer)
            checkers[kind] = subprocess.Popen(
                [sys.executable, CHECKER, balancer.origin, "--permit-file", file],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        yield {
            kind: (*checker.communicate(timeout=110), checker.returncode)
            for kind, checker in checkers.items()
        }
    finally:
        for program in reversed(running):
            program.__exit__()


@pytest.mark.parametrize("kind", ["single", "cluster"])
def test_two_relays_pass_as_one(results, kind):
    out, err, code = results[kind]

    assert code == 0, "\n".join(re.findall(".*FAILED.*", out)) + err
    assert " 0 failed" in out


def test_the_servers_are_what_they_are_said_to_be(redis_single, redis_cluster):
    assert redis_single.info()["redis_mode"] == "standalone"
    assert redis_cluster.servers[0].info()["redis_mode"] == "cluster"
    assert len(redis_servers.masters(redis_cluster)) == 3
