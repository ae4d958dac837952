"""The console's words, a file for each language."""

import functools
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Final

LANGUAGES: Final[Mapping[str, str]] = {
    "fr": "Français",
    "de": "Deutsch",
    "it": "Italiano",
    "en": "English",
    "es": "Español",
}
"""The languages there are, each by its own name."""

_HOLE: Final = re.compile(r"\\\{\}")


class Words:
    """One language."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        members = json.loads(
            resources.files(__package__).joinpath("words", f"{lang}.json").read_bytes()
        )
        self._words: dict[str, str] = members["words"]
        self.notices: dict[str, str] = members["notices"]
        self._said = [(_pattern(said), meant) for said, meant in members["said"].items()]

    def __call__(self, key: str, **values: object) -> str:
        """Return a word or a sentence, with values in its places."""
        return self._words[key].format_map(values) if values else self._words[key]

    def __contains__(self, key: str) -> bool:
        return key in self._words

    def translate(self, sentence: str) -> tuple[str, str]:
        """Return what the agent said, in this language if it is known, and the language it is in.

        The agent speaks English, as logs do; `said` has its sentences, `{}` for what changes.
        """
        for pattern, meant in self._said:
            if found := pattern.fullmatch(sentence):
                return _begin(meant.format(*found.groups())), self.lang
        return _begin(sentence), "en"


def _pattern(said: str) -> re.Pattern[str]:
    return re.compile(_HOLE.sub("(.{1,200}?)", re.escape(said)))


def _begin(sentence: str) -> str:
    """Write a sentence as a page does: a capital, a full stop."""
    sentence = sentence[:1].upper() + sentence[1:]
    return sentence if sentence.endswith((".", "!", "?", "…")) or not sentence else sentence + "."


@functools.cache
def speak(lang: str) -> Words:
    """Return the words of a language."""
    return Words(lang)


def words_for(tag: str | None) -> Words:
    """Choose the language for a shop: its own where it is spoken here, else English."""
    lang = (tag or "").partition("-")[0].lower()
    return speak(lang if lang in LANGUAGES else "en")
