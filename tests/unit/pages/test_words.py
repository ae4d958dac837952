"""The pages' words: the same in every language, translated, and set as that language is set."""

import json
import re
from pathlib import Path

import pytest

WORDS = Path(__file__).resolve().parents[3] / "display_web" / "src" / "words"
LANGUAGES = ("de", "en", "es", "fr", "it")
OTHERS = tuple(language for language in LANGUAGES if language != "en")
SECTIONS = ("ticket", "display", "notices", "selftest")
PLACEHOLDER = re.compile(r"\{\w+\}")
NO_BREAK = "\u00a0\u202f"

# What is the same word in English and another language, and not forgotten there.
SHARED = {("display", "left"), ("display", "code")}
STATES = (
    "opening", "waiting", "absent", "damaged", "expired", "received", "revoked", "tampered",
    "offline", "away", "portal", "old", "about", "faulty",
)  # fmt: skip
LABELS = ("retry", "save", "share", "copy", "more", "receipt", "copied")


def load(language):
    return json.loads((WORDS / f"{language}.json").read_text(encoding="utf-8"))


def flat(words, prefix=()):
    for key, value in words.items():
        if isinstance(value, dict):
            yield from flat(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def texts(language):
    return dict(flat(load(language)))


def every_text():
    return [
        pytest.param(language, text, id=f"{language}-{'.'.join(path)}")
        for language in LANGUAGES
        for path, text in texts(language).items()
    ]


def test_there_are_five_languages():
    assert sorted(file.stem for file in WORDS.iterdir()) == list(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_name_stands_twice(language):
    def unique(pairs):
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), names
        return dict(pairs)

    raw = (WORDS / f"{language}.json").read_text(encoding="utf-8")

    assert set(json.loads(raw, object_pairs_hook=unique)) == set(SECTIONS)


@pytest.mark.parametrize("language", OTHERS)
def test_no_word_is_missing_and_none_is_too_many(language):
    english, words = texts("en"), texts(language)

    assert set(english) - set(words) == set(), "missing"
    assert set(words) - set(english) == set(), "nowhere used"
    assert list(load(language)["ticket"]) == list(load("en")["ticket"]), "in another order"


@pytest.mark.parametrize("language", OTHERS)
def test_no_word_is_left_in_english(language):
    english = texts("en")
    same = {path for path, text in texts(language).items() if text == english[path]}

    assert {path for path in same if path[0] != "notices"} - SHARED == set()


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_filled_in_is_filled_in_everywhere(language):
    english = texts("en")

    for path, text in texts(language).items():
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(english[path])), path


@pytest.mark.parametrize(("language", "text"), every_text())
def test_text_is_set_as_its_language_is_set(language, text):
    assert text == text.strip()
    assert text, "empty"
    assert "'" not in text, "the apostrophe is typographic"
    assert '"' not in text, "quotation marks are those of the language"
    assert "..." not in text, "three dots are …"
    assert "|" not in text, "the build separates words with it"
    assert "  " not in text
    assert not re.search(r"[ \u00a0][,.](?![.\d])", text)
    if language == "fr":
        assert not re.search(rf"(?<![{NO_BREAK}])[:;!?»](?!//)", text), "a no-break space before it"
        assert not re.search(rf"«(?![{NO_BREAK}])", text)
    else:
        assert not re.search(rf"[ {NO_BREAK}][:;!?]", text)
    if language == "es":
        assert text.count("¿") == text.count("?")
        assert text.count("¡") == text.count("!")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_of_the_phone_has_a_heading_of_its_own(language):
    say = load(language)["ticket"]

    headings = [say[state] for state in STATES]
    assert len(set(headings)) == len(STATES)
    for heading in headings:
        assert len(heading) <= 34, heading
        assert not heading.endswith("."), heading


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_of_the_phone_ends_and_every_button_is_short(language):
    say = load(language)["ticket"]

    for state in STATES:
        if state != "opening":
            assert say[f"{state}Text"].endswith("."), state
    notes = ("kept", "shared", "unshared", "soon", "deleted", "undeleted")
    for name in ("ask", *notes, "appText", "privacy", "moreText", "noscript"):
        assert say[name].endswith("."), name
    for name in LABELS:
        assert len(say[name]) <= 22, name
        assert not say[name].endswith("."), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_privacy_is_two_sentences_that_say_who_what_and_how_long(language):
    privacy = load(language)["ticket"]["privacy"]

    assert len(re.findall(r"\.(?:\s|$)", privacy)) == 2
    assert "{relay}" in privacy
    assert [int(number) for number in re.findall(r"\d+", privacy)] == [7]


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("de", r"\b([Dd]u|[Dd]ein\w*|[Dd]ich)\b"),
        ("fr", r"\b([Tt]u|[Tt]on|[Tt]es|[Tt]oi)\b"),
        ("es", r"\b([Tt]ú|[Tt]us|vosotros)\b"),
        ("it", r"\b(Lei|Suo|Sua|Suoi|La preghiamo)\b"),  # shops say tu
    ],
)
def test_customers_are_spoken_to_in_one_way(language, said):
    for path, text in texts(language).items():
        assert not re.search(said, text), path
