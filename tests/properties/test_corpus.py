"""What fuzzing kept: inputs that reach far into a reader, and those that once broke one.

Without a fuzzer, each in a moment: what `make soak` has found stays found.
"""

import contextlib
from pathlib import Path

import fuzz
import fuzz_relay
import fuzz_till
import pytest
import test_fuzz

from e2ee_ticket.errors import TicketError

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
TARGETS = fuzz.TARGETS | fuzz_relay.TARGETS | fuzz_till.TARGETS
KEPT = sorted(path for path in CORPUS.rglob("*") if path.is_file())


def test_every_target_is_fuzzed_by_the_soak_and_has_a_corpus():
    fuzzed = {name for targets in test_fuzz.TARGETS.values() for name in targets}

    assert fuzzed == set(TARGETS)
    assert {path.parent.name for path in KEPT} == set(TARGETS)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_no_input_that_was_kept_breaks_its_reader(path):
    with contextlib.suppress(TicketError):
        TARGETS[path.parent.name](path.read_bytes())


def test_the_corpus_stays_small():
    assert all(path.stat().st_size <= 8 * 1024 for path in KEPT)
    assert sum(path.stat().st_size for path in KEPT) < 256 * 1024
