"""The console's pages and what they do, without a browser."""
# ruff: noqa: RUF001 - the apostrophe of French

import ast
import asyncio
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest
import stage
from fake_floor import ALL, LAN, NOW, UNSHOWN, make_config, make_sale, trouble
from sentences import is_translated, sentences

from e2ee_ticket.errors import ConfigError, OutboxError, SourceError
from e2ee_ticket.till import lan_pages
from e2ee_ticket.till.config import LAN_LISTEN, LanConfig, SourceConfig, TillConfig
from e2ee_ticket.till.console.markup import Html, join, plain, tag
from e2ee_ticket.till.console.pages.cashier import face, state_text
from e2ee_ticket.till.console.pages.icons import icon
from e2ee_ticket.till.console.pages.pile import read_numbers, write_numbers
from e2ee_ticket.till.console.words import LANGUAGES, speak, words_for
from e2ee_ticket.till.floor import DisplayState, PageState, Refusal, RelayState, SourceState
from e2ee_ticket.till.states import SaleState

ROOT = Path(__file__).resolve().parents[3]
CONSOLE = resources.files("e2ee_ticket.till.console")
KEY = re.compile(r"""say\(\s*f?"([a-z][a-zA-Z0-9.{}_-]*)["']""")
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
PATHS = ("/", "/sale/1", "/sale/1/revoke", "/troubles", "/displays", "/sources", "/shop", "/relay",
         "/displays/unpair?name=Comptoir", "/displays/waiting?name=Comptoir",
         "/displays/lan")  # fmt: skip


class Reader(HTMLParser):
    """What a browser would make of a page: its elements, and whether they are nested well."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))
        self.ids += [value for key, value in attributes if key == "id"]
        if name not in ("meta", "link", "input", "br", "hr", "img"):
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name


# Words


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_has_every_word_with_the_same_places(lang):
    english = json.loads(CONSOLE.joinpath("words/en.json").read_bytes())
    other = json.loads(CONSOLE.joinpath(f"words/{lang}.json").read_bytes())

    assert other.keys() == english.keys()
    for section in ("words", "notices"):
        assert other[section].keys() == english[section].keys()
    for key, text in other["words"].items():
        assert text.strip() == text != ""
        assert re.findall(r"\{.*?\}", text) == re.findall(r"\{.*?\}", english["words"][key]) or (
            sorted(re.findall(r"\{.*?\}", text))
            == sorted(re.findall(r"\{.*?\}", english["words"][key]))
        )


def test_every_language_knows_the_same_sentences_of_the_agent():
    said = {
        lang: json.loads(CONSOLE.joinpath(f"words/{lang}.json").read_bytes())["said"]
        for lang in LANGUAGES
        if lang != "en"
    }

    assert len({frozenset(known) for known in said.values()}) == 1
    for known in said.values():
        assert all(key.count("{}") == text.count("{}") for key, text in known.items())


def test_every_word_is_used_and_every_used_word_is_there():
    code = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "e2ee_ticket/till/console").rglob("*.py")
    )
    known = set(json.loads(CONSOLE.joinpath("words/en.json").read_bytes())["words"])

    plain_keys = {key for key in re.findall(r'"([a-z][a-zA-Z0-9.-]*)"', code) if key in known}
    families = ("state.", "do.", "done.", "page.", "mode.", "present.", "kind.", "how-to.",
                "country.", "keep.", "pile.", "place.", "remote.", "origin.", "absent.",
                "fault.")  # fmt: skip
    tabs = {key for key in known if key.endswith(".tab")}

    assert {key for key in KEY.findall(code) if "{" not in key} <= known
    unused = known - plain_keys - tabs
    assert [key for key in sorted(unused) if not key.startswith(families)] == []


# A second word for what has one: pairing and its end, the customers' display, the relay. German
# says verbunden of a display that is there now; a gekoppeltes may be switched off.
SECOND_WORDS = {
    "fr": r"appair|appari|jumel|[dl]’afficheur",
    "de": r"\b[Vv]erbinden\b|\b[Tt]rennen\b|wurde getrennt|\b[Aa]nzeigen?\b|Anzeigeseite"
    r"|[DdEe](?:ie|er|ine) Kundenanzeige|\bRelais\b",
    "it": r"associ|accopp|disabbin",
    "en": r"coupl|unlink|monitor",
    "es": r"empar[ej]|asoci|acopl",
}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_console_setup_and_pages_have_one_word_for_one_thing(lang):
    files = (
        f"e2ee_ticket/till/console/words/{lang}.json",
        f"e2ee_ticket/cli/words/{lang}.json",
        f"display_web/src/words/{lang}.json",
    )
    words = [json.loads((ROOT / file).read_bytes()) for file in files]
    words.append(json.loads((ROOT / "e2ee_ticket/till/lan_words.json").read_bytes())[lang])

    assert [text for text in texts_in(words) if re.search(SECOND_WORDS[lang], text)] == []


def texts_in(words):
    if isinstance(words, str):
        return [words]
    inside = words.values() if isinstance(words, dict) else words
    return [text for each in inside for text in texts_in(each)]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_shows_the_notices_that_the_display_shows(lang):
    display = json.loads((ROOT / f"display_web/src/words/{lang}.json").read_bytes())

    assert speak(lang).notices == display["notices"]


def test_speaks_the_shops_language_and_english_where_it_does_not_know_it():
    assert words_for("de-AT").lang == "de"
    assert words_for("pt-BR").lang == "en"
    assert words_for(None).lang == "en"


def test_translates_what_the_agent_says_and_marks_what_it_cannot():
    assert speak("fr").translate(UNSHOWN) == (
        "L’écran client ne confirme pas qu’il montre le code.",
        "fr",
    )
    assert speak("fr").translate("the moon is down") == ("The moon is down.", "en")


# Markup


def test_markup_escapes_every_text_and_attribute():
    made = tag("p", HOSTILE, title=HOSTILE).text

    assert "<script" not in made
    assert "<img" not in made
    assert Reader(made).tags == [("p", {"title": HOSTILE})]


def test_markup_takes_nothing_but_its_own_as_markup():
    assert join("<b>", Html("<b>"), [None, ["&"]], 5).text == "&lt;b&gt;<b>&amp;5"


def test_a_text_of_a_receipt_becomes_one_harmless_line():
    assert plain("a\u202eb\x00c\n\u2066d\u200be") == "a b c d e"
    assert len(plain("x" * 10_000)) == 300


def test_a_lone_surrogate_does_not_stop_a_page():
    assert tag("p", plain("a\ud800b")).text.encode("utf-8") == b"<p>a b</p>"


# Pages


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("path", PATHS)
async def test_every_page_is_whole_in_every_language(visitor, floor, lang, path):
    floor.config = make_config(lang=lang)

    page = await visitor.page(path)

    found = Reader(page)
    assert f'<html lang="{lang}">' in page
    assert len(set(found.ids)) == len(found.ids)
    labelled = {attributes.get("for") for name, attributes in found.tags if name == "label"}
    for name, attributes in found.tags:
        if name in ("input", "select") and attributes.get("type") != "hidden":
            assert attributes.get("id") in labelled or "aria-label" in attributes


@pytest.mark.parametrize("state", SaleState)
async def test_every_state_has_a_word_and_a_sign_of_its_own(visitor, floor, state):
    floor.put(make_sale(1, state, warning=UNSHOWN if state == "held" else None))

    page = await visitor.page("/")

    word = face(floor.sale(1))
    assert speak("fr")(f"state.{word}") in page
    assert icon(word).text in page


def test_a_sale_that_the_display_confirmed_is_called_shown():
    assert face(make_sale(1)) == "shown"
    assert face(make_sale(1, shown=False)) == "sent"
    assert face(make_sale(1, on_screen=False)) == "sent"


@pytest.mark.parametrize("state", ["sealed", "stored"])
@pytest.mark.parametrize("on_screen", [True, False])
@pytest.mark.parametrize("here", [True, False])
def test_a_code_that_nobody_has_shown_is_not_said_to_open_anything(state, on_screen, here):
    sale = make_sale(1, state, shown=False, seen=False, on_screen=on_screen, here=here)

    said = state_text(sale, drawn=False, away=False)

    assert said == ("state.unseen.text" if state == "stored" else "state.sending.text")
    assert state_text(replace(sale, seen=True), drawn=False, away=False) != "state.unseen.text"


def test_while_the_relay_is_away_no_code_is_said_to_open_anything():
    sale = make_sale(1, on_screen=False)

    assert state_text(sale, drawn=False, away=False) == "state.sent.text"
    assert state_text(sale, drawn=False, away=True) == "state.waits.text"


async def test_a_sale_that_is_just_being_looked_at_is_no_trouble(visitor, floor):
    floor.put(make_sale(1, "held", on_screen=False, shown=False, seen=False))

    page = await visitor.page("/")

    assert "S’assure" not in page
    assert "s’assure" in page


async def test_all_that_is_open_of_a_sale_is_said(visitor, floor):
    late = "this sale reached this program late, so that its code was not shown"
    brief = "this code was shown for a few seconds only"
    floor.put(make_sale(1, "held", warning=UNSHOWN, also=(late, brief)))

    page = await visitor.page("/")

    for said in (UNSHOWN, late, brief):
        assert speak("fr").translate(said)[0] in page


@pytest.mark.parametrize("field", ["title", "total", "receipt", "source", "warning", "hint"])
async def test_a_hostile_receipt_stays_a_text(visitor, floor, field):
    floor.put(
        replace(make_sale(1, warning="w", remarks=(HOSTILE,), also=(HOSTILE,)), **{field: HOSTILE})
    )
    floor.put(make_sale(2))

    for path in ("/", "/sale/1", "/sale/1/revoke"):
        names = [name for name, _ in Reader(await visitor.page(path)).tags]
        assert names.count("script") == 1
        assert "img" not in names


async def test_a_very_long_receipt_does_not_make_a_long_page(visitor, floor):
    long = "x" * 1_000_000
    floor.put(make_sale(1, title=long, total=long, receipt=long, warning=long, hint=long,
                        remarks=(long,) * 100))  # fmt: skip

    assert len(await visitor.page("/")) < 20_000


async def test_hostile_names_in_the_configuration_stay_texts(visitor, floor):
    name = '<b>"&#39;'
    floor.config = make_config(shop=name, tills=(TillConfig(name), TillConfig("b")),
                               sources=(SourceConfig("folder", name, name),))  # fmt: skip
    floor.all_displays = [DisplayState(name, (name,), True, "ticket", trouble(name, name, name))]  # noqa: FBT003
    floor.all_sources = [SourceState(name, name, name, None, True, trouble(name, name, name))]  # noqa: FBT003
    floor.all_troubles = [trouble(name, name, name)]

    for path in ("/", "/troubles", "/displays", "/sources", "/shop"):
        assert "b" not in [tag for tag, _ in Reader(await visitor.page(path)).tags]
    assert "b" not in [tag for tag, _ in Reader(await visitor.page("/till/%3Cb%3E%22&%2339;")).tags]


async def test_asks_which_of_several_tills_and_shows_each_its_own_sales(visitor, floor):
    floor.config = make_config(tills=(TillConfig("Caisse 1"), TillConfig("Au fond")))
    floor.put(make_sale(2, till="Au fond", total="99,99 €"))

    assert 'href="/till/Au%20fond"' in await visitor.page("/")
    assert "99,99" in await visitor.page("/till/Au%20fond")
    assert "99,99" not in await visitor.page("/till/Caisse%201")
    assert (await visitor.get("/till/Nulle%20part")).status == 404


async def test_a_sale_that_does_not_exist_is_not_found(visitor):
    assert (await visitor.get("/sale/77")).status == 404
    assert (await visitor.get("/sale/77/revoke")).status == 404


async def test_a_warning_of_an_earlier_sale_stands_beside_the_newest(visitor, floor):
    floor.put(make_sale(1, "failed", warning="the moon is down", on_screen=False))
    floor.put(make_sale(2))

    page = await visitor.page("/")

    assert page.index("sale-2") < page.index("The moon is down.") < page.index('class="earlier"')
    assert '<span lang="en">The moon is down.</span>' in page


# Many that wait


OVERTAKEN = "the next sale came before this one's code could be shown"
WAITING = {"state": "held", "on_screen": False, "warning": OVERTAKEN,
           "actions": frozenset({"show", "here", "paper", "dismiss"})}  # fmt: skip


def heap_up(floor, count, **changes):
    """Sell so many that wait for the cashier, and one that does not."""
    floor.all_sales = [make_sale(number, **WAITING | changes) for number in range(1, count + 1)]
    floor.put(make_sale(count + 1))


def give_a_printer(floor):
    floor.config = make_config(tills=(TillConfig("Caisse 1", printer="10.0.0.9:9100"),))


async def test_a_few_sales_that_wait_have_a_card_each(visitor, floor):
    heap_up(floor, 3)

    page = await visitor.page("/")

    assert page.count("<article") == 4
    assert "/pile/" not in page


async def test_more_than_a_few_share_one_card_that_says_how_many(visitor, floor):
    heap_up(floor, 80)
    floor.put(make_sale(82, "failed", warning="the moon is down", actions=frozenset({"paper"})))
    floor.put(make_sale(83))

    page = await visitor.page("/")

    assert "80 tickets vous attendent" in page
    assert page.count("La vente suivante est venue avant") == 1
    assert page.count("<article") == 3  # the newest, all of them, the one that cannot be let go
    assert all(f'href="/sale/{number}"' in page for number in range(1, 81))


async def test_all_that_wait_are_let_go_after_one_question_and_no_other(visitor, floor):
    heap_up(floor, 5)
    page = await visitor.page("/pile/dismiss")
    assert "Classer 5 tickets" in page
    assert floor.done == []
    asked = re.findall(r'name="sales" value="([0-9,-]+)"', page)
    floor.put(make_sale(2, "opened"))  # a customer has come back
    floor.put(make_sale(6, **WAITING))  # and this one was not asked about
    floor.put(make_sale(7))

    page = await visitor.press("/pile/dismiss", sales=asked)

    assert floor.done == [("dismiss", 1), ("dismiss", 3), ("dismiss", 4), ("dismiss", 5)]
    assert "4 tickets classés" in page


async def test_the_printer_prints_all_that_wait_in_the_order_of_the_sales(visitor, floor):
    give_a_printer(floor)
    heap_up(floor, 5)
    assert 'href="/pile/paper"' in await visitor.page("/")
    page = await visitor.page("/pile/paper")
    assert "Imprimer 5 tickets" in page

    page = await visitor.press(
        "/pile/paper", sales=re.findall(r'name="sales" value="([0-9,-]+)"', page)
    )

    assert floor.done == [("paper_all", 1, 2, 3, 4, 5)]
    assert "L’imprimante imprime 5 tickets" in page


async def test_without_a_printer_not_all_are_printed_at_once(visitor, floor):
    heap_up(floor, 5)

    assert "/pile/paper" not in await visitor.page("/")
    assert (await visitor.get("/pile/paper")).status == 303


async def test_each_till_has_its_own_that_wait(visitor, floor):
    floor.config = make_config(tills=(TillConfig("Caisse 1"), TillConfig("Au fond")))
    heap_up(floor, 4)
    for number in (11, 12, 13, 14, 15, 16):
        floor.put(make_sale(number, till="Au fond", **WAITING))

    page = await visitor.page("/pile/dismiss?till=Au%20fond")
    assert "Classer 5 tickets" in page
    await visitor.press("/pile/dismiss", till="Au fond", sales="1,11-12,no,99-,-14,¹³")

    assert floor.done == [("dismiss", 11), ("dismiss", 12)]
    assert (await visitor.get("/pile/dismiss?till=Nulle%20part")).status == 404


async def test_what_nobody_waits_for_is_not_asked(visitor, floor):
    assert (await visitor.get("/pile/dismiss")).status == 303

    await visitor.press("/pile/dismiss", sales="1")

    assert floor.done == []


async def test_however_many_wait_none_is_hidden(visitor, floor):
    for number in range(1, 703):
        floor.all_sales.append(make_sale(number, **WAITING))

    page = await visitor.page("/")
    assert "701 tickets vous attendent" in page
    assert len(page.encode()) < 200_000
    page = await visitor.page("/pile")
    assert all(f'href="/sale/{number}"' in page for number in range(1, 702))

    page = await visitor.page("/pile/dismiss")
    assert "Classer 701 tickets" in page
    page = await visitor.press(
        "/pile/dismiss", sales=re.findall(r'name="sales" value="([0-9,-]+)"', page)
    )

    assert [number for _, number in floor.done] == list(range(1, 702))
    assert (await visitor.get("/pile")).status == 303


async def test_of_very_many_the_oldest_are_asked_about_first(visitor, floor):
    for number in range(1, 9001, 2):  # no two together, so that they take most room
        floor.all_sales.append(make_sale(number, **WAITING))

    page = await visitor.page("/pile/dismiss")

    (asked,) = re.findall(r'name="sales" value="([0-9,-]+)"', page)
    numbers = [number for run in read_numbers(asked) for number in run]
    assert numbers == list(range(1, numbers[-1] + 1, 2))
    assert 1_000 < len(numbers) < 4_499
    assert f"Classer {len(numbers)} tickets" in page


@pytest.mark.parametrize(
    "numbers", [[1], [1, 2, 3], [3, 1, 2, 9], [1, 3, 5], [10, 11, 20, 21, 22, 40]]
)
def test_numbers_that_were_written_are_read(numbers):
    read = read_numbers(write_numbers(numbers))

    assert sorted(number for run in read for number in run) == sorted(numbers)


def make_refusal(name="ab", **changes):
    facts = {"till": "Caisse 1", "source": "TakePOS", "total": "5,00 €", "receipt": "TC1-0009"}
    facts["why"] = "this computer's disk is full"
    return Refusal(name=name, at=NOW, **{**facts, **changes})


async def test_a_receipt_that_was_refused_stays_until_somebody_has_seen_it(visitor, floor):
    floor.put(make_sale(1))
    floor.all_refusals = [make_refusal("ab"), make_refusal("cd", total=None, receipt=None)]

    page = await visitor.page("/")

    assert "2 tickets n’ont pas été acceptés" in page
    assert "TC1-0009" in page
    assert "Le disque de cet ordinateur est plein" in page
    names = re.findall(r'name="refused" value="([a-z]+)"', page)
    floor.all_refusals.append(make_refusal("ef"))  # this one was not on the page

    page = await visitor.press("/refused/seen", refused=names, back="/")

    assert floor.done == [("refusals_seen", "ab", "cd")]
    assert "C’est noté" in page
    assert "1 ticket n’a pas été accepté" in page


async def test_very_many_refused_receipts_are_counted_and_the_newest_listed(visitor, floor):
    floor.all_refusals = [make_refusal(f"{number:032x}") for number in range(450)]

    page = await visitor.page("/")

    assert "450 tickets n’ont pas été acceptés" in page
    assert "et 350 de plus" in page
    assert len(re.findall('name="refused"', page)) == 100


@pytest.mark.parametrize("field", ["total", "receipt", "source", "why"])
async def test_a_hostile_refused_receipt_stays_a_text(visitor, floor, field):
    floor.all_refusals = [make_refusal(**{field: HOSTILE})]

    names = [name for name, _ in Reader(await visitor.page("/")).tags]

    assert names.count("script") == 1
    assert "img" not in names


async def test_why_they_could_not_be_let_go_is_said(visitor, floor):
    heap_up(floor, 5)
    floor.refuse(OutboxError("this computer's disk is full"))

    page = await visitor.press("/pile/dismiss", sales="1-2")

    assert 'class="told bad"' in page


# The rest of it


async def test_says_that_all_is_well_or_what_is_wrong(visitor, floor):
    assert "Tout va bien" in await visitor.page("/troubles")

    floor.all_troubles = [trouble(hint="two programs cannot drive one display; stop the other one")]
    page = await visitor.page("/troubles")

    assert "Le relais ne répond pas" in page
    assert "arrêtez l’autre" in page
    assert "1 problème" in await visitor.page("/")


@pytest.mark.parametrize("state", ["ok", "changed", "unreachable", "unknown"])
async def test_says_how_relay_and_page_are(visitor, floor, state):
    floor.relay_state = RelayState("https://relais.example", None, NOW - 60, False)  # noqa: FBT003
    floor.page_state = PageState("https://recus.example", state, None)

    page = await visitor.page("/relay")

    assert "Ne répond pas" in page
    assert plain(speak("fr")(f"page.{state}"), 99) in page.replace("\xa0", " ")


# What can be done


@pytest.mark.parametrize("what", ["show", "revoke", "dismiss"])
async def test_does_what_the_cashier_asks_and_says_so_once(visitor, floor, what):
    floor.put(make_sale(1, actions=ALL | {"dismiss"}))

    page = await visitor.press(f"/sale/1/{what}", back="/")

    assert (what, 1) in floor.done
    assert 'class="told"' in page
    assert 'class="told"' not in await visitor.page("/")


async def test_what_cannot_be_done_is_said(visitor, floor):
    floor.refuse(OutboxError("the relay is away, the display cannot be reached"))

    page = await visitor.press("/sale/1/show", back="/")

    assert 'class="told bad"' in page
    assert "Le relais ne répond pas" in page
    assert floor.done == []


async def test_asks_before_it_takes_a_receipt_back(visitor, floor):
    page = await visitor.page("/sale/1/revoke?back=/sale/1")

    assert "Reprendre ce ticket" in page
    assert floor.done == []


async def test_shows_the_code_on_this_screen_until_it_is_hidden_or_opened(visitor, floor):
    assert "<svg aria-hidden" not in await visitor.page("/")

    assert "<svg aria-hidden" in await visitor.press("/sale/1/here", back="/")
    assert "<svg aria-hidden" not in await visitor.press("/sale/1/hide", back="/")

    await visitor.press("/sale/1/here", back="/")
    floor.put(replace(floor.sale(1), state="opened"))
    assert "<svg aria-hidden" not in await visitor.page("/")


async def test_shows_no_code_of_an_earlier_customer_beside_the_newest_sale(visitor, floor):
    floor.put(make_sale(1, here=True))
    floor.put(make_sale(2))

    assert "<svg aria-hidden" not in await visitor.page("/")
    assert "<svg aria-hidden" in await visitor.page("/sale/1")


async def test_the_links_digits_stand_nowhere_in_a_page(visitor, floor):
    await visitor.press("/sale/1/here", back="/")

    page = await visitor.page("/")

    link = floor.links[1]
    assert link.digits() not in page
    assert link.digits()[:20] not in page
    assert "no-store" in (await visitor.get("/")).headers["Cache-Control"]


async def test_the_printer_prints_the_paper(visitor, floor):
    page = await visitor.press("/sale/1/paper", back="/")

    assert ("paper", 1) in floor.done
    assert "L’imprimante l’imprime" in page


async def test_the_browser_prints_the_paper_where_there_is_no_printer(visitor, floor, clock):
    floor.receipt = b"%PDF-1.7 a receipt"
    page = await visitor.press("/sale/1/paper", back="/sale/1")
    address = re.search(r'src="(/paper/[^"]+)"', page)[1]

    answer = await visitor.get(address)

    assert await answer.read() == floor.receipt
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"].startswith("inline")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "1" not in re.findall(r"[0-9]{4}-[0-9]{6}", address)

    await clock.advance(301)
    assert (await visitor.get(address)).status == 404


async def test_keeps_few_papers_at_once(visitor, floor):
    floor.receipt = b"%PDF"
    addresses = []
    for _ in range(5):
        page = await visitor.press("/sale/1/paper", back="/")
        addresses.append(re.search(r'src="(/paper/[^"]+)"', page)[1])

    assert [(await visitor.get(address)).status for address in addresses] == [404, *[200] * 4]


async def test_looks_an_invoice_up(visitor, floor):
    page = await visitor.press("/look-up", back="/", source="Dolibarr", number=" FA2611-0042 ",
                               till="Caisse 1")  # fmt: skip
    assert ("look_up", "Dolibarr", "FA2611-0042", "Caisse 1") in floor.done
    assert "Trouvé" in page

    floor.refuse(SourceError("there is no invoice FA1", "look at its number"))
    page = await visitor.press("/look-up", back="/", source="Dolibarr", number="FA1")
    assert "There is no invoice FA1: look at its number." in page


@pytest.mark.parametrize(
    "back", ["//evil.example/", "https://evil.example", "/\\evil", "/till/../enter", "/leave", ""]
)
async def test_goes_back_to_its_own_pages_only(visitor, back):
    answer = await visitor.post("/sale/1/show", back=back)

    assert answer.headers["Location"] == "/"


# The owner


SHOP = {"shop": "Chez Nous", "lang": "fr", "notice": "FR", "paper": "ask", "clear_on": "opened",
        "ticket_seconds": "90"}  # fmt: skip


async def test_changes_only_what_is_different(visitor, floor):
    page = await (await visitor.post("/shop", **SHOP)).text()

    assert floor.done == [("config", {"shop": "Chez Nous"})]
    assert "Enregistré" in page


async def test_the_shop_may_be_without_name_and_notice(visitor, floor):
    await visitor.post("/shop", **SHOP | {"shop": "", "notice": ""})

    assert floor.done == [("config", {"shop": None, "notice": None})]


@pytest.mark.parametrize("seconds", ["0", "121", "-1", "x", "", "1e2", "٣"])
async def test_refuses_seconds_that_cannot_be(visitor, floor, seconds):
    page = await visitor.press("/shop", **SHOP | {"ticket_seconds": seconds})

    assert "de 1 à 120" in page.replace("\xa0", " ")
    assert floor.done == []


async def test_a_value_that_the_configuration_refuses_is_said(visitor, floor):
    floor.refuse(
        ConfigError(
            "permit in config.toml must be the 43 characters that relay-server permit add printed"
        )
    )

    page = await visitor.press("/relay", relay="https://relais.example", permit="short")

    assert "l’autorisation a 43 caractères" in page


async def test_keeps_a_language_that_the_console_does_not_speak(visitor, floor):
    floor.config = make_config(lang="pt-BR")

    assert '<option value="pt-BR" selected>' in await visitor.page("/shop")


async def test_never_shows_the_permit_and_changes_it_only_when_told(visitor, floor):
    permit = "P" * 43
    floor.config = make_config(permit=permit)
    same = {"relay": "https://relais.example", "page": "https://recus.example"}

    assert permit not in await visitor.page("/relay")
    await visitor.press("/relay", **same, permit="")
    assert floor.done == []
    await visitor.post("/relay", **same, permit="Q" * 43)
    await visitor.post("/relay", **same, no_permit="yes")
    assert floor.done == [("config", {"permit": "Q" * 43}), ("config", {"permit": None})]


async def test_pairs_a_display_and_shows_how_once(visitor, floor):
    floor.short = "192.168.1.20:8423/kw7f"

    answer = await visitor.post("/displays/pair", name="Terrasse")
    page = await answer.text()

    digits = floor.pairings["Terrasse"].digits()
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    for at in range(0, 85, 5):
        assert f"<span>{digits[at : at + 5]}</span>" in page
    assert "<svg aria-hidden" in page
    assert "192.168.1.20:8423/kw7f" in page
    for path in ("/displays", "/displays/waiting?name=Terrasse"):
        assert digits[:5] not in await visitor.page(path)


async def test_says_when_the_new_display_has_come(visitor, floor):
    await visitor.post("/displays/pair", name="Terrasse")
    assert "En attente de" in await visitor.page("/displays/waiting?name=Terrasse")

    floor.all_displays[-1] = replace(floor.all_displays[-1], connected=True)
    assert "est connecté" in await visitor.page("/displays/waiting?name=Terrasse")


async def test_says_why_a_display_cannot_be_paired(visitor, floor):
    floor.refuse(ConfigError("a display of this name is paired already; remove it first"))

    assert "déjà associé" in await visitor.press("/displays/pair", name="Comptoir")


async def test_tests_a_display(visitor, floor):
    assert "montre le test" in await visitor.press("/displays/test", name="Comptoir")

    floor.confirms = False
    assert "ne confirme pas" in await visitor.press("/displays/test", name="Comptoir")


async def test_asks_before_it_unpairs_a_display(visitor, floor):
    assert "Dissocier cet écran" in await visitor.page("/displays/unpair?name=Comptoir")
    assert floor.done == []
    assert (await visitor.get("/displays/unpair?name=Autre")).status == 404

    await visitor.press("/displays/unpair", name="Comptoir", forget="yes")
    assert floor.done == [("unpair", "Comptoir", True)]


async def test_gives_a_display_to_one_of_several_tills(visitor, floor):
    floor.config = make_config(tills=(TillConfig("Caisse 1", printer_dots=384), TillConfig("B")))

    page = await (await visitor.post("/displays/till", till="B", display="Comptoir")).text()

    told = [{"name": "Caisse 1", "printer_dots": 384}, {"name": "B", "display": "Comptoir"}]
    assert floor.done == [("config", {"till": told})]
    assert "Enregistré" in page


async def test_takes_a_display_from_a_till(visitor, floor):
    await visitor.post("/displays/till", till="Caisse 1", display="")

    assert floor.done == [("config", {"till": [{"name": "Caisse 1"}]})]


@pytest.mark.parametrize("fields", [{"till": "?"}, {"till": "Caisse 1", "display": "?"}])
async def test_gives_no_display_that_is_none(visitor, floor, fields):
    assert (await visitor.post("/displays/till", **fields)).status == 404
    assert floor.done == []


async def test_one_till_with_one_display_is_asked_nothing(visitor, floor):
    floor.config = make_config(tills=(TillConfig("Caisse 1"),))

    assert 'name="display"' not in await visitor.page("/displays")


async def test_takes_a_printer_that_answers(visitor, floor):
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as one:
        printer = f"127.0.0.1:{one.sockets[0].getsockname()[1]}"
        await visitor.post("/displays/till", till="Caisse 1", display="Comptoir", printer=printer)

    told = [{"name": "Caisse 1", "display": "Comptoir", "printer": printer}]
    assert floor.done == [("config", {"till": told})]


async def test_says_that_a_printer_does_not_answer_and_changes_nothing(visitor, floor):
    printer = f"127.0.0.1:{stage.free_port()}"

    page = await visitor.press(
        "/displays/till", till="Caisse 1", display="Comptoir", printer=printer
    )

    assert f"Rien ne répond à {printer}" in page.replace("\xa0", " ")
    assert floor.done == []


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_tells_the_risk_before_a_page_is_served_in_the_shops_network(visitor, floor, lang):
    floor.config = make_config(lang=lang)

    page = await visitor.page("/displays/lan")

    assert html.escape(lan_pages.risk(lang), quote=False)[:200] in html.unescape(page)
    assert floor.done == []


async def test_serves_the_page_in_the_shops_network_when_told_and_no_longer(visitor, floor):
    assert LAN not in await visitor.page("/displays")

    await visitor.post("/displays/lan", on="yes")
    assert LAN + "/d" in await visitor.page("/displays")
    await visitor.press("/displays/lan", on="yes")  # from a page that was open meanwhile
    await visitor.post("/displays/lan", on="")

    assert floor.done == [("config", {"lan": {"listen": LAN_LISTEN}}), ("config", {"lan": None})]


async def test_an_old_tablet_is_paired_by_a_code_that_keeps_the_secret_off_the_network(
    visitor, floor
):
    floor.config = make_config(lan=LanConfig())
    floor.short = f"{LAN}/p/KW7F"

    page = await (await visitor.post("/displays/pair", name="Terrasse")).text()

    assert page.count("<svg aria-hidden") == 2
    assert floor.short in page


async def test_tests_relay_and_page_now(visitor, floor):
    floor.config = make_config(relay=f"http://127.0.0.1:{stage.free_port()}", page=None)

    answer = await visitor.post("/relay/test")
    page = await answer.text()

    assert answer.status == 200
    assert "Quelque chose ne fonctionne pas" in page
    assert page.count("<li>") >= 2
    assert "rien ne répond à l’adresse du relais" in page
    assert 'lang="en"' not in page


# Changes


async def test_answers_at_once_when_something_changed_meanwhile(visitor, floor):
    answer = await visitor.get(f"/changes?since={floor.count - 1}")

    assert (await answer.json())["count"] == floor.count


@pytest.mark.parametrize("since", ["", "x", "1.5", "9" * 16])
async def test_refuses_a_count_that_is_none(visitor, since):
    assert (await visitor.get(f"/changes?since={since}")).status == 400


async def test_a_fault_shows_a_page_and_logs_a_place_only(visitor, floor, caplog):
    floor.all_sales = [make_sale(1, title="Customer's secret")]
    floor.sales = lambda *_: 1 / 0

    answer = await visitor.get("/")

    assert answer.status == 500
    assert "Les tickets ne sont pas perdus" in await answer.text()
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


def test_translates_a_sentence_within_a_sentence():
    said = "no code is shown: the relay does not answer in time"

    assert speak("de").translate(said)[0] == (
        "Es wird kein QR-Code gezeigt: das Relay antwortet nicht rechtzeitig."
    )
    said = "Comptoir {x} does not confirm that it shows the code"
    assert speak("de").translate(said)[0].startswith("„Comptoir {x}“ bestätigt nicht")


@pytest.mark.parametrize("lang", [lang for lang in LANGUAGES if lang != "en"])
def test_whatever_the_till_may_say_is_translated(lang):
    said = json.loads(CONSOLE.joinpath(f"words/{lang}.json").read_bytes())["said"]

    untold = {
        sentence: file
        for sentence, file in sentences().items()
        if not is_translated(sentence, said)
    }

    assert untold == {}


def test_sentences_are_found_where_they_are_said():
    found = sentences()

    assert found["the relay has no room for another envelope"] == "client.py"
    assert found["TakePOS prints on {}"] == "sources/takepos.py"
    assert found["it holds scripts"] == "pdf/inspect.py"
    assert found["this computer's disk is full"] == "till/outbox.py"
    assert len(found) > 250


def test_the_most_specific_translation_is_taken():
    say = speak("fr")

    assert say.meaning("the printer at 10.0.0.9:9100 does not answer").startswith("l’imprimante")
    assert say.meaning("https://x.example does not answer") == "https://x.example ne répond pas"


@pytest.mark.parametrize(
    ("sentence", "meant"),
    [
        ("2 older files in the folder are not sent", "2 fichiers plus anciens"),
        ("https://x.example: the relay does not answer in time", "https://x.example: le relais"),
        ("1 older file in the folder is not sent", "1 fichier plus ancien"),
        ("what was sent cannot be moved aside (denied); it is not sent again", "mis de côté"),
        ("this computer's clock is 7 min ahead of the relay's", "a 7 min d’avance"),
        ("the ticket page is not the released one", "page des tickets : ce n’est pas"),
        (
            "the receipt is refused, for it is encrypted and it holds scripts: print it",
            "car il est chiffré et il contient des scripts",
        ),
    ],
)
def test_what_stands_in_the_places_of_a_sentence_is_translated_too(sentence, meant):
    assert meant in speak("fr").meaning(sentence)


def test_the_agent_still_says_what_is_translated():
    """A sentence that changes there must change here, too."""
    folder = ROOT / "e2ee_ticket"
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in folder.rglob("*.py")
        if "console" not in path.parts
    )
    literals = {
        node.value
        for node in ast.walk(ast.parse(code.replace("from __future__", "#")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    text = "\n".join(literals)
    known = json.loads(CONSOLE.joinpath("words/fr.json").read_bytes())["said"]

    def is_said(sentence):
        # A place may be filled, and a hint stand behind a colon: each part is said somewhere.
        parts = [part for part in re.split(r"\{\}|: |; |, | and ", sentence) if part.strip(" :;")]
        return all(part.strip(" :;") in text for part in parts)

    assert [sentence for sentence in known if not is_said(sentence)] == []


async def test_what_happened_is_told_until_somebody_has_seen_it(visitor, floor):
    over = replace(trouble("TakePOS", "a picture was left out"), seen="told:ab")
    floor.all_troubles = [trouble(), over]

    page = await visitor.page("/troubles")

    assert page.count('action="/troubles/seen"') == 1  # what is so now ends by itself
    page = await visitor.press("/troubles/seen", seen="told:ab")
    assert floor.done == [("troubles_seen", "told:ab")]
    assert "C’est noté" in page
    assert 'action="/troubles/seen"' not in page
