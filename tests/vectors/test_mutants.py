"""For every rule that can be seen from outside: its vectors find an implementation that breaks it.

A mutant is our own program with a piece of its text replaced (mutants.py), loaded into this process
beside the real one and driven as the conformance kit drives a stranger.
"""

import contextlib
import importlib
import importlib.machinery
import importlib.util
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from conformance.run_vectors import CHECKS
from vectors.mutants import CHANNELS, NOT_SEEN, RELAYS, TICKETS

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "spec"
FILES = (*CHECKS, "relay", "relay-races")
FAMILIES = ("e2ee_ticket.protocol", "conformance.adapter_python", "relay_server")
TRIES_SECONDS = 3


class Patched(importlib.machinery.SourceFileLoader):
    """Finds and loads one module with a piece of its text replaced."""

    def __init__(self, mutant):
        super().__init__(mutant.module, importlib.util.find_spec(mutant.module).origin)
        text = Path(self.path).read_text(encoding="utf-8")
        assert text.count(mutant.old) == 1, f"{mutant.old!r} does not stand there once"
        self.code = compile(text.replace(mutant.old, mutant.new), self.path, "exec")

    def find_spec(self, fullname, path, target=None):  # noqa: ARG002 - importlib's signature
        if fullname != self.name:
            return None
        submodules = [str(Path(self.path).parent)] if self.path.endswith("__init__.py") else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=self, submodule_search_locations=submodules
        )

    def get_code(self, fullname):  # noqa: ARG002 - importlib's signature
        return self.code


def is_of(name, family):
    return name == family or name.startswith(family + ".")


@contextlib.contextmanager
def in_place_of_ours(mutant):
    """Whatever is imported meanwhile is the mutant."""
    family = next(family for family in FAMILIES if is_of(mutant.module, family))
    families = FAMILIES[:2] if family != "relay_server" else FAMILIES[2:]
    finder = Patched(mutant)
    ours = {
        name: module for name, module in sys.modules.items()
        if any(is_of(name, each) for each in families)
    }  # fmt: skip
    parents = {name: vars(sys.modules[name]).copy() for name in ("e2ee_ticket", "conformance")}
    for name in ours:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if any(is_of(name, each) for each in families)]:
            del sys.modules[name]
        sys.modules |= ours
        for name, members in parents.items():
            vars(sys.modules[name]).update(members)


def vectors():
    found = defaultdict(list)
    for name in FILES:
        for entry in json.loads((SPEC / "vectors" / f"{name}.json").read_text(encoding="utf-8")):
            found[entry["rule"]].append((name, entry))
    return found


VECTORS = vectors()


def rules():
    found = []
    for path in sorted(SPEC.glob("*.md")):
        found += re.findall(
            r"^(?:- |[0-9]+\. )`\[([TCR][0-9]+)\]`", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    return found


def verdict(name, entry):
    """What is wrong by this vector; an implementation that breaks down is wrong, too."""
    adapter = importlib.import_module("conformance.adapter_python")
    try:
        return CHECKS[name](adapter, entry)[1]
    except Exception as error:  # noqa: BLE001 - whatever a mutant raises
        return repr(error)


def find(mutant):
    """The first vector of the mutant's rule that finds it."""
    with in_place_of_ours(mutant):
        for name, entry in VECTORS[mutant.rule]:
            if verdict(name, entry):
                return entry["name"]
    return None


def numbered(mutants):
    return [pytest.param(mutant, id=f"{mutant.rule}-{n}") for n, mutant in enumerate(mutants)]


@pytest.mark.parametrize("mutant", numbered(TICKETS + CHANNELS))
def test_a_vector_of_the_rule_finds_the_mutant(mutant):
    assert find(mutant) is not None


@pytest.mark.parametrize("mutant", numbered(RELAYS))
def test_a_vector_of_the_rule_finds_the_mutated_relay(mutant):
    import relay_in_thread
    from vectors.test_relay_vectors import play

    found = None
    with in_place_of_ours(mutant):
        entries = [entry for name, entry in VECTORS[mutant.rule] if name not in CHECKS]
        modes = {"open" if entry["mode"] == "open" else "closed" for entry in entries}
        for mode in sorted(modes):
            with relay_in_thread.RelayInThread(closed=mode == "closed") as running:
                running.patience = TRIES_SECONDS
                for entry in entries:
                    if (entry["mode"] == "open") != (mode == "open"):
                        continue
                    try:
                        play(entry, running)
                    except Exception as error:  # noqa: BLE001 - whatever a mutant brings about
                        found = found or f"{entry['name']}: {error!r}"
                    if found:
                        break

    assert found is not None


def test_every_rule_has_a_mutant_or_says_why_it_cannot_be_seen(capsys):
    caught = {mutant.rule for mutant in TICKETS + CHANNELS + RELAYS}
    seen = [rule for rule in rules() if rule not in NOT_SEEN]
    share = sum(rule in caught for rule in seen) / len(seen)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{sum(rule in caught for rule in seen)} of {len(seen)} rules that can be seen from "
            f"outside have a mutant that their vectors find ({share:.0%}); "
            f"{len(NOT_SEEN)} cannot be seen\n"
        )

    assert [rule for rule in seen if rule not in caught] == []
    assert sorted(set(NOT_SEEN) & caught) == []
    assert sorted(set(NOT_SEEN) - set(rules())) == []
    assert all(NOT_SEEN.values())


def test_the_program_without_a_change_passes_where_its_mutants_do_not():
    """The way in which mutants are loaded changes nothing itself."""
    from vectors.mutants import Mutant

    same = Mutant(
        "T7", "e2ee_ticket.protocol.link", "GROUP_COUNT: Final = 17", "GROUP_COUNT: Final = 17"
    )

    assert find(same) is None
