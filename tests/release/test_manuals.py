"""The manual pages and the completions say what the parsers know, and their readers take them."""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import stage

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
PROGRAMS = ("e2ee-ticket", "relay-server")


@pytest.fixture(scope="module")
def manuals():
    import manuals

    return manuals


def words(parser):
    """Give every command and option of a parser, down to the last."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield name
                yield from words(child)
        elif action.help != argparse.SUPPRESS:
            yield from (option for option in action.option_strings if option.startswith("--"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_manual_has_every_command_and_option(manuals, program):
    parser = manuals.till_parser() if program == "e2ee-ticket" else manuals.relay_parser()
    text = (ROOT / f"docs/man/{program}.1").read_text("utf-8").replace("\\-", "-")

    known = set(words(parser)) - {"--help"}
    assert len(known) > 20
    assert sorted(word for word in known if word not in text) == []


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_completion_has_every_command_and_option(manuals, program, shell):
    parser = manuals.till_parser() if program == "e2ee-ticket" else manuals.relay_parser()
    text = (ROOT / f"docs/completion/{program}.{shell}").read_text("utf-8")
    known = set(words(parser))
    if shell == "fish":
        known = {word.removeprefix("--") for word in known}

    assert sorted(word for word in known if word not in text) == []


def test_what_is_committed_is_what_the_parsers_make(manuals, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    old = [
        path.relative_to(ROOT).as_posix()
        for path, text in manuals.made().items()
        if path.read_text("utf-8").split() != text.split()
    ]

    assert old == [], "make manuals"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_manual_begins_with_what_the_program_is_and_groff_finds_no_fault(program):
    page = ROOT / f"docs/man/{program}.1"
    groff = shutil.which("groff") or stage.missing("groff", "apt-get install -y groff-base")

    done = subprocess.run(
        [groff, "-k", "-man", "-ww", "-Tutf8", page], capture_output=True, text=True, check=True
    )

    text = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)
    assert done.stderr == ""
    assert re.search(rf"NAME\n +{program} +\S ", text)
    for section in ("SYNOPSIS", "DESCRIPTION", "COMMANDS", "EXIT STATUS", "FILES", "SEE ALSO"):
        assert f"\n{section}\n" in text, section


@pytest.mark.parametrize(
    ("program", "typed", "offered"),
    [
        ("e2ee-ticket", "dis", "display"),
        ("e2ee-ticket", "display re", "remove"),
        ("e2ee-ticket", "send --tim", "--timeout"),
        ("relay-server", "per", "permit"),
        ("relay-server", "--acc", "--access-log"),
    ],
)
def test_bash_completes_what_was_begun(program, typed, offered):
    script = f"""
source {ROOT}/docs/completion/{program}.bash
COMP_WORDS=({program} {typed}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
COMP_LINE="{program} {typed}"; COMP_POINT=${{#COMP_LINE}}
set -- $(complete -p {program})
for word; do case $word in _shtab*) function=$word ;; esac; done
$function {program} "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [offered]


@pytest.mark.parametrize("shell", ["fish", "zsh"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_other_shells_can_read_theirs(program, shell):
    found = shutil.which(shell) or stage.missing(shell, f"apt-get install -y {shell}")
    file = ROOT / f"docs/completion/{program}.{shell}"

    done = subprocess.run([found, "-n", file], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_fish_completes_what_was_begun():
    fish = shutil.which("fish") or stage.missing("fish", "apt-get install -y fish")
    file = ROOT / "docs/completion/e2ee-ticket.fish"

    done = subprocess.run(
        [fish, "--no-config", "-c", f"source {file}; complete -C 'e2ee-ticket disp'"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["display"]
