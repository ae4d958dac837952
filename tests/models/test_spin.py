"""The Spin models hold, and each switch that makes the design naive has its counterexample.

A model that is never wrong proves nothing: so the controls, which deny what does happen, must fail
too, every step of the default model must have been taken, and the search must have been complete.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import stage

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "spec" / "models"
INSTALL = "apt-get install -y --no-install-recommends spin gcc"
MANY_STATES = 100_000
COMPLETE, FAIR, SHORTEST = "complete", "fair", "shortest"
OPTIONS = {COMPLETE: ["-a"], FAIR: ["-a", "-f"], SHORTEST: []}
LIVENESS = "revoking_ends"

HOLDS = [
    ("ticket", (), "invariants"),
    ("ticket", (), "no_resurrection"),
    ("ticket", (), "one_body_served"),
    ("ticket", (), "reason_stays"),
    ("ticket", (), "states_only_go_up"),
    ("ticket", (), "revoked_is_never_served"),
    ("ticket", (), "stopped_is_never_served"),
    ("ticket", ("TROUBLES=1",), LIVENESS),
    ("channel", (), "invariants"),
]
BREAKS = [
    ("ticket", ("TOMBSTONE=0",), "no_resurrection"),
    ("ticket", ("TOMBSTONE=2",), "no_resurrection"),
    ("ticket", ("TOMBSTONE=2",), "no_upload_outlives"),
    ("ticket", ("NAIVE_RETRY",), "no_resurrection"),
    ("ticket", ("NAIVE_RETRY",), "one_life"),
    ("ticket", ("NAIVE_REVOKE",), "stopped_is_never_served"),
    ("ticket", ("NAIVE_404",), "stopped_is_never_served"),
    ("ticket", ("SURE=2",), "stopped_is_never_served"),
    ("ticket", ("DROP_AT_7_DAYS",), "stopped_is_never_served"),
    ("ticket", ("ENDLESS_404", "TROUBLES=1"), LIVENESS),
    ("ticket", ("FORGETFUL_TILL", "TROUBLES=1"), LIVENESS),
    ("ticket", ("LOOK_FIRST",), "one_body_served"),
    ("ticket", ("LOOK_FIRST",), "one_body_acknowledged"),
    ("ticket", ("EARLY_ANSWER",), "acknowledged_is_kept"),
    ("ticket", ("EARLY_ANSWER",), "revoked_is_kept"),
    ("ticket", ("EARLY_ANSWER",), "revoked_is_never_served"),
    ("ticket", ("RENEWING_RETRY",), "life_never_grows"),
    ("ticket", ("BURN",), "fetch_is_pure"),
    ("ticket", ("FALLING_STATES",), "states_only_go_up"),
    ("ticket", ("LAZY_SWEEPER",), "expired_is_not_served"),
    ("ticket", ("LONG_GRACE",), "states_shorten_life"),
    ("ticket", ("ONE_REASON",), "gone_has_its_reason"),
    ("ticket", ("LATE_REASON",), "reason_stays"),
    ("channel", ("NO_IDLE_FIRST",), "idle_goes_first"),
    ("channel", ("NO_IDLE_FIRST",), "no_old_hello"),
    ("channel", ("NO_IDLE_FIRST",), "one_ticket_a_hello"),
    ("channel", ("OLD_SESSIONS",), "idle_goes_first"),
    ("channel", ("OLD_SESSIONS",), "one_ticket_a_hello"),
    ("channel", ("NO_CHALLENGE",), "nothing_stale"),
    ("channel", ("KEEP_KEY",), "nothing_from_before"),
    ("channel", ("KEEP_SCREEN",), "nothing_from_before"),
    ("channel", ("KEEP_SESSION",), "waiting_is_shown"),
    ("channel", ("SAME_CONTENT",), "waiting_is_shown"),
]
CONTROLS = {"ticket": 8, "channel": 4}
CLAIM = re.compile(r"^ltl (\w+)", re.MULTILINE)


def claims(model):
    return CLAIM.findall((MODELS / f"{model}.pml").read_text(encoding="utf-8"))


def controls():
    return [(model, name) for model in CONTROLS for name in claims(model) if is_control(name)]


def is_control(name):
    return name.startswith("never_")


def name_case(value):
    return "+".join(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Verdict:
    """What pan said at the end of one search."""

    text: str

    def __post_init__(self):
        assert "max search depth too small" not in self.text, self.text
        assert "out of memory" not in self.text, self.text

    @property
    def errors(self):
        return int(re.search(r"^State-vector .* errors: (\d+)$", self.text, re.MULTILINE)[1])

    @property
    def states(self):
        return int(re.search(r"^\s*(\d+) states, stored", self.text, re.MULTILINE)[1])

    @property
    def complete(self):
        return "Warning: Search not completed" not in self.text

    @property
    def steps_never_taken(self):
        never, process = [], None
        for line in self.text.splitlines():
            if line.startswith("unreached in "):
                process = line.removeprefix("unreached in ")
            elif ", state " in line and process.startswith(("proctype", "init")):
                never += [] if '"-end-"' in line else [f"{process}: {line.strip()}"]
        return never


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """Search a model for a violation of one claim; one program is made for all its claims."""
    for program in ("spin", "gcc"):
        if shutil.which(program) is None:
            stage.missing(program, INSTALL)
    folders = {}

    def make(model, switches, how):
        folder = tmp_path_factory.mktemp(model)
        defines = [f"-D{switch}" for switch in switches]
        optimize = ["-O1"] if how == COMPLETE else ["-O0", "-DBFS"] if how == SHORTEST else ["-O0"]
        for command in (
            ["spin", *defines, "-a", str(MODELS / f"{model}.pml")],
            ["gcc", *optimize, "-DNFAIR=3", "-DMEMLIM=1500", "-o", "pan", "pan.c"],
        ):
            done = subprocess.run(
                command, cwd=folder, check=False, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stdout + done.stderr
        return folder

    def run(model, switches, claim, how):
        key = (model, switches, how)
        if key not in folders:
            folders[key] = make(*key)
        done = subprocess.run(
            ["./pan", *OPTIONS[how], "-m200000", "-N", claim],
            cwd=folders[key], check=False, capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        assert f"pan: ltl formula {claim}" in done.stdout, done.stdout + done.stderr
        return Verdict(done.stdout)

    return run


@pytest.mark.parametrize(("model", "switches", "claim"), HOLDS, ids=name_case)
def test_the_design_holds(search, model, switches, claim):
    verdict = search(model, switches, claim, FAIR if claim == LIVENESS else COMPLETE)

    assert verdict.errors == 0, verdict.text
    assert verdict.complete, verdict.text
    assert verdict.states > MANY_STATES
    assert verdict.steps_never_taken == []


@pytest.mark.parametrize(("model", "switches", "claim"), BREAKS, ids=name_case)
def test_a_naive_design_breaks(search, model, switches, claim):
    verdict = search(model, switches, claim, FAIR if claim == LIVENESS else SHORTEST)

    assert verdict.errors == 1, verdict.text
    assert ("acceptance cycle" if claim == LIVENESS else "assertion violated") in verdict.text


@pytest.mark.parametrize(("model", "claim"), controls())
def test_what_can_happen_happens(search, model, claim):
    verdict = search(model, (), claim, SHORTEST)

    assert verdict.errors == 1, verdict.text
    assert "assertion violated" in verdict.text


@pytest.mark.parametrize("model", CONTROLS)
def test_every_claim_is_checked(model):
    checked = {claim for name, _, claim in HOLDS + BREAKS if name == model}
    others = [name for name in claims(model) if not is_control(name)]

    assert sorted(checked) == sorted(others)
    assert len(claims(model)) - len(others) == CONTROLS[model]


@pytest.mark.parametrize("model", CONTROLS)
def test_every_switch_is_tried(model):
    text = (MODELS / f"{model}.pml").read_text(encoding="utf-8")
    named = set(re.findall(r"^#ifn?def (\w+)$", text, re.MULTILINE)) - {"HELLOS", "SEALED"}
    tried = {
        switch.partition("=")[0] for name, switches, _ in HOLDS + BREAKS if name == model
        for switch in switches
    }  # fmt: skip

    assert sorted(tried) == sorted(named)


def test_the_readme_names_every_claim_switch_and_file():
    text = (MODELS / "README.md").read_text(encoding="utf-8")
    names = {path.name for path in MODELS.iterdir() if path.name != "README.md"}
    for model in CONTROLS:
        names |= set(claims(model)) - {name for name in claims(model) if is_control(name)}
    names |= {switch for _, switches, _ in HOLDS + BREAKS for switch in switches}

    assert sorted(name for name in names if f"`{name}`" not in text) == []
