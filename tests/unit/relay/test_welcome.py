"""The relay's own page says the same in every language, and speaks the visitor's."""

import json
import re
from importlib.resources import files

import pytest

from relay_server.config import Config
from relay_server.welcome import LANGUAGES, About, Welcome

ABOUT = About("ACME", "abuse@relay.example", "https://relay.example/t", "https://git.example", True)  # noqa: FBT003
FOLDER = files("relay_server.welcome")


def words(language):
    return json.loads(FOLDER.joinpath(f"{language}.json").read_text("utf-8"))


def page(query="", accept_language="", *, config=None, about=ABOUT):
    chosen = Welcome(about, config or Config()).choose(query, accept_language)
    return chosen.plain.body.decode()


def language_of(text):
    return re.search(r"<html lang=(\w+)>", text)[1]


def test_there_are_the_languages_of_the_pages():
    in_folder = {file.name[:-5] for file in FOLDER.iterdir() if file.name.endswith(".json")}

    assert in_folder == LANGUAGES.keys() == {"en", "fr", "de", "it", "es"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_language_lacks_a_text_or_a_number_or_has_the_english_one(language):
    english, here = words("en"), words(language)

    assert here.keys() == english.keys()
    for key, text in here.items():
        assert text.strip() == text != ""
        for inner in (r"\$\w+", r"<[^>]+>", r"/v1/t/", "e2ee-ticket inspect"):
            assert sorted(re.findall(inner, text)) == sorted(re.findall(inner, english[key])), key
        assert language == "en" or text != english[key], key


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("opened", [True, False])
def test_every_language_says_everything(language, opened):
    text = page(f"lang={language}", config=Config(open=opened))

    assert language_of(text) == language
    for part in ("ACME", "mailto:abuse@relay.example", "https://relay.example/t", "72 h", " 7 ",
                 "https://git.example", "/selftest.html", "/v1/info"):  # fmt: skip
        assert part in text
    assert ("1800" in text) is opened
    assert "$" not in text
    assert text.count("<tr>") == 5
    others = re.findall(r'<a href="/about\?lang=(\w+)"', text)
    assert others == [each for each in LANGUAGES if each != language]


@pytest.mark.parametrize(
    ("accept_language", "language"),
    [
        ("", "en"),
        ("*", "en"),
        ("nl,pl;q=0.8", "en"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("nl,it-CH;q=0.7,en;q=0.3", "it"),
        ("en;q=0.2, ES;q=0.9", "es"),
        ("fr;q=0,en;q=0.1", "en"),
        ("fr;q=much,es;q=0.1", "es"),
        (",;,;q=,de", "de"),
    ],
)
def test_a_visitor_is_spoken_to_in_the_language_he_likes_best(accept_language, language):
    assert language_of(page("", accept_language)) == language


def test_a_link_to_a_language_goes_before_what_the_browser_says():
    assert language_of(page("lang=it", "de")) == "it"
    assert language_of(page("lang=nl", "de")) == "de"
    assert language_of(page("lang=", "de")) == "de"


def test_caches_know_that_there_is_one_page_for_each_language():
    headers = Welcome(ABOUT, Config()).choose("", "").plain.headers

    assert b"Vary: Accept-Language\r\n" in headers
