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

_DEPTH: Final = 3
_HOLE: Final = re.compile(r"\\\{\\\}")


class Words:
    """One language."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        members = json.loads(
            resources.files(__package__).joinpath("words", f"{lang}.json").read_bytes()
        )
        self._words: dict[str, str] = members["words"]
        self.notices: dict[str, str] = members["notices"]
        said: dict[str, str] = members["said"]
        self._said = {key: text for key, text in said.items() if "{}" not in key}
        open_ = [key for key in said if "{}" in key]
        open_.sort(key=len, reverse=True)  # what says most is meant, where two would fit
        self._patterns = [(_pattern(key), said[key]) for key in open_]

    def __call__(self, key: str, **values: object) -> str:
        """Return a word or a sentence, with values in its places."""
        return self._words[key].format_map(values) if values else self._words[key]

    def __contains__(self, key: str) -> bool:
        return key in self._words

    def translate(self, sentence: str) -> tuple[str, str]:
        """Return what the agent said, in this language if it is known, and the language it is in.

        The agent speaks English, as logs do; `said` has its sentences, `{}` for what changes.
        """
        meant = self._meaning(sentence, _DEPTH)
        return (_begin(sentence), "en") if meant is None else (_begin(meant), self.lang)

    def meaning(self, sentence: str) -> str:
        """Return what the agent said, in this language if it is known, as it stands in a line."""
        return self._meaning(sentence, _DEPTH) or sentence

    def _meaning(self, sentence: str, depth: int) -> str | None:
        """Translate a sentence, and what stands in its places: that may be a sentence, too."""
        if depth == 0 or sentence in self._said:
            return self._said.get(sentence)
        for pattern, meant in self._patterns:
            if found := pattern.fullmatch(sentence):
                parts = (self._meaning(part, depth - 1) or part for part in found.groups())
                return meant.format(*parts)
        # An address, and what is said of it.
        head, colon, rest = sentence.partition(": ")
        said = None if not colon or " " in head else self._meaning(rest, depth - 1)
        return None if said is None else f"{head}: {said}"


def _pattern(said: str) -> re.Pattern[str]:
    return re.compile(_HOLE.sub("(.{1,200}?)", re.escape(said)))


def _begin(sentence: str) -> str:
    """Write a sentence as a page does: a capital, a full stop."""
    if not sentence.startswith(("http://", "https://")):
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
