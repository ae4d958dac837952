"""Asking somebody who knows a shop, not computers: one question at a time, in their language.

A question has a name. Its words are `NAME.why` (one sentence before it), `NAME.ask` and
`NAME.retry` (what is wrong with an answer, and what to do). Answers can also come from a file, by
the same names; then a wrong one ends it, since nobody is there to try again.
"""

import importlib.resources
import json
import re
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from e2ee_ticket.cli import voice
from e2ee_ticket.cli.terminal import Terminal
from e2ee_ticket.errors import ConfigError, TicketError
from e2ee_ticket.sources import Finding
from e2ee_ticket.till.console.words import speak

LANGUAGES: Final = ("de", "en", "es", "fr", "it")
NONE: Final = "-"
"""What is typed for `none`; Enter is taken for the default."""

_WIDTH: Final = 98
_MARKS: Final = ("✓ ", "✗ ", "+ ", "! ", "* ")

_T = TypeVar("_T")


def read_words(lang: str) -> dict[str, str]:
    """Read the words of a language."""
    file = importlib.resources.files(__package__) / "words" / f"{lang}.json"
    words: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return words


def choose_language(environment: Mapping[str, str], system: str | None) -> str:
    """Guess the language of the person from the environment, else from the system's locale."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        found = environment.get(variable, "").partition(".")[0]
        if found and found not in ("C", "POSIX"):
            return found[:2].lower() if found[:2].lower() in LANGUAGES else "en"
    # Windows spells a locale out: French_France.
    named = {"French": "fr", "German": "de", "Italian": "it", "Spanish": "es"}
    name = (system or "").partition("_")[0]
    short = named.get(name, name[:2].lower())
    return short if short in LANGUAGES else "en"


class Questions:
    """Somebody who is asked; with answers from a file, defaults, or the keyboard."""

    def __init__(
        self,
        terminal: Terminal,
        lang: str,
        answers: Mapping[str, Any] | None = None,
        *,
        take_defaults: bool = False,
    ) -> None:
        """Use a terminal; `take_defaults` asks nothing that has a default."""
        self.words = read_words(lang)
        self.lang = lang
        self._terminal = terminal
        self._answers = dict(answers or {})
        self._take_defaults = take_defaults
        self._begun = False

    @property
    def alone(self) -> bool:
        """Whether nobody is there to try again."""
        return self._take_defaults or bool(self._answers)

    def say(self, key: str, **facts: object) -> None:
        """Tell something; what explains a question stands apart from the question before."""
        if key.endswith(".why") and not self._begun:
            self.tell()
        self.tell(self.words[key].format(**facts))
        self._begun = False

    def tell(self, text: str = "") -> None:
        """Tell a few lines; a long one is broken between words, behind its own indent."""
        width = min(shutil.get_terminal_size((_WIDTH, 24)).columns, _WIDTH)
        for line in text.split("\n"):
            if len(line) <= width or "  " in line.strip()[2:]:  # a table stays one
                self._terminal.tell(line)
                continue
            indent = " " * (len(line) - len(line.lstrip()))
            indent += "  " * (line.strip()[:2] in _MARKS)
            for part in textwrap.wrap(
                line, width, subsequent_indent=indent, break_long_words=False,
                break_on_hyphens=False,
            ):  # fmt: skip
                self._terminal.tell(part)

    def show(self, drawing: str) -> None:
        """Show what must not be broken: a code."""
        self._terminal.tell(drawing)

    def step(self, number: int, of: int, key: str) -> None:
        """Begin a step."""
        self.tell()
        text = self.words["step"].format(n=number, of=of, what=self.words[key])
        self.tell(text)
        self.tell("─" * len(text) if self._draws() else "-" * len(text))
        self._begun = True

    def ask(
        self,
        name: str,
        read: Callable[[str], _T],
        *,
        default: str | None = None,
        key: str | None = None,
        hidden: bool = False,
        **facts: object,
    ) -> _T:
        """Ask until `read` takes the answer, and return what it made of it.

        `key` names the answer in a file, where a question comes more than once.

        Raises:
            ConfigError: nobody is there to answer, or to answer otherwise.
        """
        key = key or name
        while True:
            given = self._answer(name, key, default, hidden=hidden, facts=facts)
            try:
                return read(given)
            except TicketError as error:
                self.retry(name, error, facts)
                if self.alone:
                    raise ConfigError(f"the answer to {key} does not do: {error}") from error

    def retry(
        self, name: str, error: TicketError | None = None, facts: Mapping[str, object] | None = None
    ) -> None:
        """Say what is wrong with an answer, and what to do."""
        mark = "✗" if self._draws() else "!"
        self.tell(f"  {mark} " + self.words[f"{name}.retry"].format(**(facts or {})))
        if error is not None and str(error):
            self.tell("    " + self.words["detail"].format(text=self._meant(str(error))))

    def well(self, key: str, **facts: object) -> None:
        """Say that something was tested and is well."""
        mark = "✓" if self._draws() else "+"
        self.tell(f"  {mark} {self.words[key].format(**facts)}")

    def findings(self, findings: Sequence[Finding]) -> None:
        """Show what a test found, line by line, and what can be done about it.

        What is well and yet has something to be done is a warning, with a mark of its own.
        """
        well, warning, bad = ("✓", "!", "✗") if self._draws() else ("+", "*", "!")
        for finding in findings:
            mark = bad if not finding.ok else well if finding.hint is None else warning
            self.tell(f"  {mark} {self._meant(finding.text)}")
            if finding.hint is not None:
                self.tell("    " + self.words["hint"].format(text=self._meant(finding.hint)))

    def _meant(self, sentence: str) -> str:
        """Say what the till says in the language of who is asked, where it is known there."""
        return speak(self.lang).meaning(voice.printable(sentence))

    def yes(self, name: str, *, default: bool, key: str | None = None, **facts: object) -> bool:
        """Ask a question that is answered by yes or no."""
        given = self._answers.get(key or name)
        if isinstance(given, bool):
            return given

        def read(text: str) -> bool:
            first = text[:1].casefold()
            if first not in (self.words["yes"], self.words["no"], "y", "n"):
                raise ConfigError(self.words["yes_no.retry"])
            return first in (self.words["yes"], "y")

        shown = self.words["yes"] if default else self.words["no"]
        while True:
            prompt = self.words[f"{name}.ask"].format(**facts)
            text = self._read(f"{prompt} ({self.words['yes_no']})", key or name, shown)
            try:
                return read(text)
            except ConfigError:
                self.tell("  " + self.words["yes_no.retry"])
                if self.alone:
                    raise

    def choose(
        self, name: str, options: Sequence[str], *, default: str, key: str | None = None
    ) -> str:
        """Let one of some options be chosen by its number; their words are `NAME.OPTION_option`."""
        key = key or name
        given = self._answers.get(key)
        if str(given) in options:
            return str(given)
        if given is not None:
            raise ConfigError(f"{key} must be one of {', '.join(options)}")
        self.tell(self.words[f"{name}.ask"])
        for number, option in enumerate(options, 1):
            self.tell(f"  {number}  {self.words[f'{name}.{option}_option']}")
        while True:
            text = self._read(self.words["choose.ask"], key, str(options.index(default) + 1))
            if re.fullmatch(r"[0-9]{1,2}", text) and 0 < int(text) <= len(options):
                return options[int(text) - 1]
            self.tell("  " + self.words["choose.retry"])

    def pick(self, name: str, values: Sequence[str], *, key: str | None = None) -> str:
        """Let one of some values be chosen, such as the names of tills."""
        given = self._answers.get(key or name)
        if given in values:
            return str(given)
        self.tell(self.words[f"{name}.ask"])
        for number, value in enumerate(values, 1):
            self.tell(f"  {number}  {value}")
        while True:
            text = self._read(self.words["choose.ask"], key or name, "1")
            if re.fullmatch(r"[0-9]{1,2}", text) and 0 < int(text) <= len(values):
                return values[int(text) - 1]
            self.tell("  " + self.words["choose.retry"])

    def number(self, name: str, low: int, high: int, *, default: int) -> int:
        """Ask for a whole number."""
        while True:
            given = self._answers.get(name)
            text = str(given) if isinstance(given, int) else self._read(
                self.words[f"{name}.ask"], name, str(default)
            )  # fmt: skip
            if re.fullmatch(r"[0-9]{1,6}", text) and low <= int(text) <= high:
                return int(text)
            self.tell("  " + self.words["number.retry"].format(low=low, high=high))
            if self.alone:
                raise ConfigError(f"{name} must be a whole number from {low} to {high}")

    def given(self, key: str) -> Any:  # noqa: ANN401 - whatever is in the file
        """Return the file's answer of this name, or None."""
        return self._answers.get(key)

    def _answer(
        self,
        name: str,
        key: str,
        default: str | None,
        *,
        hidden: bool,
        facts: Mapping[str, object],
    ) -> str:
        prompt = self.words[f"{name}.ask"].format(**facts)
        while True:
            text = self._read(prompt, key, default, hidden=hidden)
            if text:
                return text
            self.retry(name, None, facts)

    def _read(self, prompt: str, key: str, default: str | None, *, hidden: bool = False) -> str:
        """Read one answer; an empty one is the default."""
        if key in self._answers:
            return str(self._answers[key]).strip()
        if self.alone:
            if default is not None:
                return default
            raise ConfigError(f"there is no answer to {key}; name it in the file of --answers")
        shown = "" if default is None or hidden else f" [{default}]"
        if hidden:
            return self._terminal.ask_hidden(prompt + self.words["colon"]) or default or ""
        return self._terminal.ask(prompt + shown + self.words["colon"]) or default or ""

    def _draws(self) -> bool:
        """Whether the terminal has more than ASCII."""
        import sys  # noqa: PLC0415 - only here

        return (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf16", "cp65001")
