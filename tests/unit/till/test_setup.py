"""A shopkeeper sets a till up at a real terminal, against a real relay; wrong answers ask again."""
# ruff: noqa: RUF001 - the apostrophe of French

import contextlib
import json
import re
import socket
import stat
import string
import threading
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import stage

pytest.importorskip("pty", reason="a pseudo-terminal is POSIX")

from near import NearTill
from person import Person, read_code

from e2ee_ticket.cli import setup
from e2ee_ticket.cli.questions import LANGUAGES, Questions, choose_language, read_words
from e2ee_ticket.errors import ConfigError
from e2ee_ticket.protocol.channel import DisplayChannel, PairingLink, Reading
from e2ee_ticket.sources import Finding
from e2ee_ticket.till import lock
from e2ee_ticket.till.config import LAN_LISTEN

CLI = Path(setup.__file__).parent


@pytest.fixture
def till(tmp_path):
    """A till that nothing is known of."""
    till = NearTill(tmp_path / "till")
    till.file.unlink()
    return till


def written(till):
    return tomllib.loads(till.file.read_text(encoding="utf-8"))


def the_relay(person, relay):
    person.answers("Address of the relay", relay.origin)
    person.answers("Permit (it is not shown", relay.leave)
    person.answers("Address of the receipt page")


def the_shop(person):
    person.answers("Name of the shop", "Épicerie du Marché")
    person.answers("Language", "fr")
    person.answers("Country", "fr")
    person.answers("Your choice")


# The words


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_has_every_word_and_the_same_places_in_it(lang):
    words, english = read_words(lang), read_words("en")

    assert words.keys() == english.keys()
    for key, text in words.items():
        assert places(text) == places(english[key]), key
        assert text.strip(), key


def places(text):
    return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name})


def test_every_word_that_is_used_exists_and_every_one_that_exists_is_used():
    words = read_words("en")
    code = "".join(
        (CLI / name).read_text(encoding="utf-8")
        for name in ("setup.py", "setup_sources.py", "questions.py")
    )
    said = set(re.findall(r'(?:say|well)\(\s*"([a-z_.]+)"', code))
    said |= set(re.findall(r'words\["([a-z_.]+)"\]', code)) | set(
        re.findall(r'"(\w+\.title)"', code)
    )
    asked = set(re.findall(r'(?:ask|yes|pick|number|retry|choose)\(\s*"([a-z_]+)"', code))
    said |= {f"{name}.ask" for name in asked}
    retried = {key for key in words if key.endswith(".retry")}

    assert said - words.keys() == set()
    for key in words.keys() - said - retried:
        name = key.rpartition(".")[0]
        assert f'"{name}"' in code or f'"{key}"' in code, key


@pytest.mark.parametrize(
    ("environment", "system", "lang"),
    [
        ({"LANG": "fr_FR.UTF-8"}, None, "fr"),
        ({"LC_ALL": "de_AT", "LANG": "fr_FR"}, None, "de"),
        ({"LANG": "ja_JP.UTF-8"}, "fr_FR", "en"),
        ({"LANG": "C.UTF-8"}, "it_IT", "it"),
        ({}, "French_France", "fr"),
        ({}, "Spanish_Spain", "es"),
        ({}, None, "en"),
    ],
)
def test_the_language_is_the_computers(environment, system, lang):
    assert choose_language(environment, system) == lang


# A whole set-up


def test_a_shopkeeper_sets_a_till_up_from_nothing_to_a_receipt_on_a_phone(  # noqa: PLR0915 - long, as it is
    till, relay, tmp_path
):
    folder = tmp_path / "receipts"
    folder.mkdir()
    with Person(till, "setup") as person:
        person.sees("Step 1 of 8: the relay")
        person.answers("Address of the relay", f"http://127.0.0.1:{stage.free_port()}")
        person.sees("No relay answers there")
        person.answers("Address of the relay", relay.origin)
        person.answers("Permit (it is not shown", "x" * 43)
        person.sees("does not take this permit")
        person.answers("Permit (it is not shown", relay.leave)
        person.sees("The relay takes the permit")
        person.answers("Address of the receipt page")
        person.sees("byte for byte")
        person.answers("Name of the shop", "")
        person.sees("1 to 60 characters")
        person.answers("Name of the shop", "Épicerie du Marché")
        person.answers("Language", "français")
        person.sees("two letters")
        person.answers("Language", "fr")
        person.answers("Country", "fr")
        person.sees("In France")
        person.answers("Your choice", "7")
        person.answers("one of the numbers", "1")
        person.answers("How many tills", "2")
        person.answers("Name of till 1", "Entrée")
        person.answers("Name of till 2", "entrée")
        person.sees("a name of its own")
        person.answers("Name of till 2")
        person.sees("5  a program that saves")
        person.answers("Your choice", "5")
        person.answers("Folder", str(tmp_path / "nowhere"))
        person.sees("no such folder")
        person.answers("Folder", str(folder))
        person.sees("Which till")
        person.answers("Your choice", "2")
        person.sees("It works")
        person.answers("another source", "n")
        person.answers("receipt printer of Entrée")
        person.answers("receipt printer of Till 2", f"127.0.0.1:{stage.free_port()}")
        person.sees("No printer answers")
        person.answers("receipt printer of Till 2", "-")
        person.answers("screen for Entrée", "n")
        person.answers("screen for Till 2", "n")
        person.answers("Try it now?", "y")
        person.sees("Scan this code with your phone")
        opened = till.run("open", "-o", "phone.pdf", stdin=read_code(person.screen))
        person.sees("Your phone has opened the receipt")
        person.answers("at each login?", "n")
        person.sees("This till is ready")
        assert person.ends() == 0
        screen = person.screen

    assert opened.returncode == 0
    assert (till.folder / "phone.pdf").read_bytes().startswith(b"%PDF")
    assert relay.leave not in screen
    assert written(till) == {
        "relay": relay.origin,
        "permit_file": "permit",
        "shop": "Épicerie du Marché",
        "lang": "fr",
        "notice": "FR",
        "till": [{"name": "Entrée"}, {"name": "Till 2"}],
        "source": [{"kind": "folder", "name": "PDF", "till": "Till 2", "path": str(folder)}],
    }
    for name in ("config.toml", "permit"):
        assert stat.S_IMODE((till.folder / name).stat().st_mode) == 0o600
    assert till.run("check", check=False).returncode == 0


def test_run_again_every_answer_is_there_already(till, relay, tmp_path):
    folder = tmp_path / "receipts"
    folder.mkdir()
    till.file.write_text(
        f'# mine\nrelay = "{relay.origin}"\npermit = "{relay.leave}"\nshop = "Shop"\nlang = "de"\n'
        f'paper = "always"\n\n[[till]]\nname = "A"  # by the door\n\n'
        f'[[source]]\nkind = "folder"\npath = "{folder}"\n',
        encoding="utf-8",
    )
    before = till.file.read_text(encoding="utf-8")
    with Person(till, "setup") as person:
        person.answers(f"[{relay.origin}]")
        person.sees("Enter keeps the one you have")
        person.answers("Permit (it is not shown")
        person.answers("Address of the receipt page")
        person.answers("[Shop]")
        person.answers("[de]")
        person.answers("Country", "-")
        person.answers("[2]")
        person.answers("How many tills [1]")
        person.answers("[A]")
        person.sees("Receipts come from: folder")
        person.answers("[1]")
        person.answers("receipt printer of A")
        person.answers("screen for A", "n")
        person.answers("Try it now?", "n")
        person.answers("at each login?", "n")
        assert person.ends() == 0

    assert till.file.read_text(encoding="utf-8") == before


def test_ctrl_c_loses_nothing_and_says_so(till, relay):
    with Person(till, "setup") as person:
        the_relay(person, relay)
        person.sees("Name of the shop")
        person.stops_and_sees("is written down")
        assert person.ends() == 130

    assert written(till) == {"relay": relay.origin, "permit_file": "permit"}
    assert "Traceback" not in person.screen

    with Person(till, "setup") as person:
        person.sees(f"[{relay.origin}]")


def test_it_speaks_the_computers_language(till):
    with Person(till, "setup", LC_ALL="fr_FR.UTF-8") as person:
        person.sees("Étape 1 sur 8")
        person.sees("Adresse du relais")


# Pairing


class Tablet:
    """A display at the real relay, in a thread; it types what it was told to."""

    def __init__(self, relay, digits, at=None):
        self.shown = threading.Event()
        link = PairingLink.parse(f"{relay.origin}/d#{digits}")
        self._at, self._secret = at or relay.origin, link.secret
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        channel = DisplayChannel(self._secret)
        path = f"{self._at}/v1/c/{self._secret.cid}/hello"
        while not self.shown.is_set():
            body = self._secret.read_token() + channel.hello(Reading(0.0, 0.0))
            try:
                request = urllib.request.Request(path, data=body, method="POST")
                with urllib.request.urlopen(request, timeout=30) as answer:
                    sealed = answer.read()
            except (OSError, urllib.error.URLError):
                continue
            if sealed:
                self.name = channel.accept(sealed, Reading(0.0, 0.0)).name
                # The next hello says that it is on the screen.
                body = self._secret.read_token() + channel.hello(Reading(0.1, 0.1))
                request = urllib.request.Request(path, data=body, method="POST")
                threading.Thread(target=_ask_once, args=[request], daemon=True).start()
                self.shown.set()


def _ask_once(request):
    with contextlib.suppress(OSError):
        urllib.request.urlopen(request, timeout=30).close()


def pairs(person, relay):
    the_relay(person, relay)
    the_shop(person)
    person.answers("How many tills")
    person.answers("Name of till 1")
    person.answers("Your choice", "6")
    person.answers("receipt printer of Till 1")
    person.answers("screen for Till 1", "y")
    person.sees("type these digits:")
    person.sees("Waiting for the screen")


def digits_on(screen):
    typed = screen[screen.rindex("type these digits:") :]
    return "".join(re.findall(r"\b[0-9]{5}\b", typed))


def test_a_screen_is_paired_by_its_digits(till, relay):
    with Person(till, "setup") as person:
        pairs(person, relay)
        tablet = Tablet(relay, digits_on(person.screen))
        person.sees("The screen is connected")
        person.answers("Try it now?", "n")
        person.answers("at each login?", "n")
        assert person.ends() == 0

    assert tablet.name == "Épicerie du Marché"
    assert written(till)["till"] == [{"name": "Till 1", "display": "Till 1"}]
    assert digits_on(person.screen) == digits_on(person.screen).strip()
    assert read_code(person.screen).endswith(digits_on(person.screen))


def test_waiting_for_the_screen_can_be_skipped(till, relay):
    with Person(till, "setup") as person:
        pairs(person, relay)
        person.presses_ctrl_c()
        person.answers("because it is too old?")
        person.sees("it connects as soon as it is opened")
        person.answers("Try it now?", "n")
        person.answers("at each login?", "n")
        assert person.ends() == 0

    assert written(till)["till"] == [{"name": "Till 1", "display": "Till 1"}]
    assert till.run("display", "list").stdout == "Till 1\n"


# Without anybody


def answered(till, **answers):
    file = till.folder / "answers.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in answers.items()]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return till.run("setup", "--answers", "answers.toml", check=False)


def test_answers_can_come_from_a_file(till, relay):
    done = answered(
        till, relay=relay.origin, permit=relay.leave, shop="Shop", lang="it", country="IT",
        tills=["A", "B"], program="ipp", which_till="B",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert written(till)["source"] == [{"kind": "ipp", "name": "e-ticket", "till": "B"}]
    assert [table["name"] for table in written(till)["till"]] == ["A", "B"]
    assert "ipp://127.0.0.1:8631/" in done.stdout


def test_a_receipt_printer_is_asked_for_the_width_of_its_paper(till, relay):
    with socket.create_server(("127.0.0.1", 0)) as printer:
        address = f"127.0.0.1:{printer.getsockname()[1]}"
        common = {"relay": relay.origin, "permit": relay.leave, "shop": "Shop", "tills": ["A", "B"]}
        done = answered(
            till, **common, paper_printer_1=address, paper_width_1=58, paper_printer_2=address
        )
        assert done.returncode == 0, done.stderr
        first, second = written(till)["till"]
        assert (first["printer"], first["printer_dots"]) == (address, 384)
        assert (second["printer"], second["printer_dots"]) == (address, 576)

        text = till.file.read_text(encoding="utf-8")
        till.file.write_text(text.replace("= 576", "= 512"), encoding="utf-8")
        assert till.run("setup", "--yes").returncode == 0

    assert [table["printer_dots"] for table in written(till)["till"]] == [384, 512]


def test_the_environment_answers_too(till, relay):
    till.environment |= {
        "E2EE_TICKET_RELAY": relay.origin,
        "E2EE_TICKET_PERMIT": relay.leave,
        "E2EE_TICKET_SHOP": "Shop",
    }
    done = till.run_apart("setup", "--yes")

    assert written(till)["shop"] == "Shop"
    assert "E2EE_TICKET_PERMIT is set in this window" in done.stdout
    assert relay.leave not in done.stdout


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({}, "there is no answer to relay"),
        ({"relay": "http://relay.example"}, "the answer to relay does not do"),
        ({"permit": "wrong"}, "the answer to permit does not do"),
        ({"shop": "x" * 61}, "the answer to shop does not do"),
        ({"program": "telepathy"}, "program must be one of"),
        ({"program": "folder", "folder": "/no/such/folder"}, "the answer to folder"),
    ],
    ids=["none", "relay", "permit", "shop", "program", "folder"],
)
def test_a_wrong_answer_in_the_file_is_named_and_ends_it(till, relay, answers, message):
    good = {"relay": relay.origin, "permit": relay.leave, "shop": "Shop"} if answers else {}
    done = answered(till, **(good | answers)) if answers else answered(till, lang="fr")

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_at_the_keyboard_is_told_so(till):
    done = till.run_apart("setup", check=False)

    assert done.returncode == 2
    assert "run this in a terminal" in done.stderr


# A page that is not the released one


def test_another_page_is_told_and_must_be_wanted(till, relay):
    import http.server

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<script>evil()</script>")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Person(till, "setup") as person:
            person.answers("Address of the relay", relay.origin)
            person.answers("Permit (it is not shown", relay.leave)
            person.answers("Address of the receipt page", f"http://127.0.0.1:{server.server_port}")
            person.sees("is not the released one")
            person.answers("all the same?")
            person.answers("Address of the receipt page")
            person.sees("byte for byte")
        server.shutdown()


# Small things


@pytest.mark.parametrize(
    ("typed", "origin"),
    [
        ("relay.example", "https://relay.example"),
        (" HTTPS://Relay.Example/d#123 ", "https://relay.example"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
    ],
)
def test_an_address_may_be_typed_as_people_do(typed, origin):
    assert setup.read_origin(typed) == origin


@pytest.mark.parametrize(
    "typed", ["http://relay.example", "ftp://relay.example", "a b", "https://"]
)
def test_what_is_no_address_is_refused(typed):
    with pytest.raises(ConfigError):
        setup.read_origin(typed)


class Recorder:
    """A terminal that keeps what is told."""

    def __init__(self, *typed):
        self.typed = list(typed)
        self.told = []

    def tell(self, text=""):
        self.told.append(text)

    def ask(self, _):
        return self.typed.pop(0)

    ask_hidden = ask


def test_what_a_test_found_is_shown_with_what_to_do_about_it():
    terminal = Recorder()
    asking = Questions(terminal, "en")
    asking.findings(
        [
            Finding(ok=True, text="fine"),
            Finding(ok=True, text="fine but", hint="note it"),
            Finding(ok=False, text="not fine \x1b[31m", hint="mend it"),
        ]
    )

    marks = {line.strip()[2:]: line.strip()[0] for line in terminal.told if "What" not in line}
    assert list(marks) == ["fine", "fine but", "not fine  [31m"]
    assert len({*marks.values()}) == 3
    assert [line for line in terminal.told if "What" in line] == [
        "    What to do: note it",
        "    What to do: mend it",
    ]


def test_what_a_test_found_is_said_in_the_language_of_who_asked():
    terminal = Recorder()
    Questions(terminal, "fr").findings(
        [Finding(ok=False, text="there is no invoice of this number", hint="the moon is down")]
    )

    assert terminal.told[0].endswith("il n’y a pas de facture de ce numéro")
    assert terminal.told[1].endswith("the moon is down")


@pytest.mark.parametrize(("typed", "meant"), [("o", True), ("Oui", True), ("n", False), ("", True)])
def test_yes_is_said_in_ones_own_language(typed, meant):
    asking = Questions(Recorder("quoi", typed), "fr")

    assert asking.yes("sale", default=True) is meant


# Where receipts come from


def test_dolibarr_says_which_right_is_missing_until_it_is_given(till, relay):
    from fake_dolibarr import ALL_PARTIES, KEY, READ, FakeDolibarr

    fake = FakeDolibarr(rights=[READ])
    fake.sell()
    with fake.in_thread(), Person(till, "setup") as person:
        the_relay(person, relay)
        the_shop(person)
        person.answers("How many tills", "2")
        person.answers("Name of till 1")
        person.answers("Name of till 2")
        person.answers("Your choice", "2")
        person.answers("Address of Dolibarr", fake.url)
        person.answers("API key (it is not shown", KEY)
        person.answers("Your choice", "1")
        person.answers("Address of the shop", ", ".join(["line"] * 12))
        person.sees("At most 11 lines")
        person.answers("Address of the shop", "3 rue du Test, 26000 Valence")
        person.answers("Legal details", "SIRET 123 456 789 00012")
        person.answers("terminal for Till 1")
        person.answers("terminal for Till 2", "two")
        person.sees("whole number")
        person.answers("terminal for Till 2", "7")
        person.sees("262")
        person.sees("What now?")
        fake.rights.add(ALL_PARTIES)
        person.answers("Your choice", "1")
        person.sees("It works")
        person.answers("another source", "n")
        person.sees("receipt printer of Till 1")
        person.stops_and_sees("is written down")

    (source,) = written(till)["source"]
    assert source["tills"] == {"1": "Till 1", "7": "Till 2"}
    assert source["company"] == ["Épicerie du Marché", "3 rue du Test", "26000 Valence"]
    assert source["company_details"] == ["SIRET 123 456 789 00012"]
    key_file = Path(source["key_file"])
    assert key_file.read_text().strip() == KEY
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert KEY not in person.screen + till.file.read_text(encoding="utf-8")


def test_takepos_is_told_how_in_both_dialects(till, relay):
    done = answered(
        till, relay=relay.origin, permit=relay.leave, shop="Shop",
        program="takepos", origin=f"{relay.origin}/takepos/index.php?x=1", source="keep",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    for line in ("TAKEPOS_PRINT_METHOD takeposconnector", "TAKEPOS_PRINT_SERVER 127.0.0.1",
                 "TAKEPOS_PRINT_SERVER http://127.0.0.1:8111", "TAKEPOS_AUTO_PRINT_TICKETS 1",
                 "TAKEPOS_CUSTOMER_DISPLAY 1"):  # fmt: skip
        assert line.split() in told
    for text in ("Other setup", "erases TAKEPOS_PRINT_SERVER", "main template"):
        assert text in " ".join(done.stdout.split())
    assert written(till)["source"][0]["origin"] == relay.origin


def test_dolibarrs_documents_are_read_in_their_folders(till, relay, tmp_path):
    (tmp_path / "facture" / "TC1-1").mkdir(parents=True)
    (tmp_path / "facture" / "TC1-1" / "TC1-1.pdf").write_bytes(b"%PDF-1.7 %%EOF")

    done = answered(
        till, relay=relay.origin, permit=relay.leave, shop="Shop",
        program="folder", folder=str(tmp_path / "facture"), source="keep",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert written(till)["source"][0]["recurse"] is True
    assert [path.name for path in (tmp_path / "facture").iterdir()] == ["TC1-1"]


def test_a_renamed_till_keeps_its_sources_and_its_display(till, relay, tmp_path):
    till.file.write_text(
        f'relay = "{relay.origin}"\npermit = "{relay.leave}"\nshop = "Shop"\n\n'
        '[[till]]\nname = "A"\ndisplay = "Screen"\n\n[[till]]\nname = "B"\n\n'
        f'[[source]]\nkind = "folder"\nname = "PDF"\ntill = "B"\npath = "{tmp_path}"\n',
        encoding="utf-8",
    )
    done = answered(till, tills=["Front", "Back"])

    assert done.returncode == 0, done.stderr
    assert written(till)["till"] == [{"name": "Front", "display": "Screen"}, {"name": "Back"}]
    assert written(till)["source"][0]["till"] == "Back"


def test_dolibarr_says_who_sells_where_its_key_may_ask(till, relay):
    from fake_dolibarr import KEY, FakeDolibarr

    fake = FakeDolibarr()
    fake.company = {"name": "SARL Test", "address": "3 rue du Test", "zip": "26000",
                    "town": "Valence", "country_code": "FR", "idprof2": "12345678900012",
                    "tva_intra": "FR12345678901"}  # fmt: skip
    fake.sell()
    with fake.in_thread():
        done = answered(
            till, relay=relay.origin, permit=relay.leave, shop="Chez Test", program="dolibarr",
            url=fake.url, key=KEY, source="keep",
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    (source,) = written(till)["source"]
    assert source["company"] == ["Chez Test", "3 rue du Test", "26000 Valence"]
    assert source["company_details"] == ["SIRET 12345678900012", "TVA FR12345678901"]


def test_the_invoices_of_dolibarr_itself_need_no_address(till, relay):
    from fake_dolibarr import KEY, FakeDolibarr

    fake = FakeDolibarr()
    with fake.in_thread():
        done = answered(
            till, relay=relay.origin, permit=relay.leave, shop="Chez Test", program="dolibarr",
            url=fake.url, key=KEY, receipt="pdf", source="keep",
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert {"company", "company_details"} & written(till)["source"][0].keys() == set()
    assert fake.asked["setup/company"] == 0


@pytest.mark.parametrize(
    ("country", "sign", "only_url"),
    [("FR", "€", False), ("CH", "CHF", False), ("IE", "€", False), ("GB", "£", True),
     ("US", "$", True), ("-", None, False)],
)  # fmt: skip
def test_takepos_is_told_the_countrys_currency_and_the_way_that_cuts_no_digit_off(
    till, relay, country, sign, only_url
):
    done = answered(
        till, relay=relay.origin, permit=relay.leave, shop="Shop", country=country,
        program="takepos", origin=relay.origin, source="keep",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert written(till)["source"][0].get("currency") == sign
    assert "http://127.0.0.1:8111" in done.stdout
    assert ("TAKEPOS_PRINT_SERVER 127.0.0.1 " in " ".join(done.stdout.split())) is not only_url
    told = " ".join(done.stdout.split())  # lines break where the terminal ends
    assert ("loses the last digit" in told) is only_url


# Beside an agent that runs, and with a tablet that is too old


def test_a_screen_is_left_to_the_agent_that_runs(till, relay):
    with lock.lock(till.folder), Person(till, "setup") as person:
        the_relay(person, relay)
        the_shop(person)
        person.answers("How many tills")
        person.answers("Name of till 1")
        person.answers("Your choice", "6")
        person.answers("receipt printer of Till 1")
        person.answers("screen for Till 1", "y")
        person.sees("type these digits:")
        person.sees("The agent runs already")
        person.answers("because it is too old?")
        person.answers("Try it now?", "n")
        person.answers("at each login?", "n")
        assert person.ends() == 0

    assert "Waiting for the screen" not in person.screen
    assert till.run("display", "list").stdout == "Till 1\n"


def test_a_tablet_that_is_too_old_has_the_page_from_this_computer(till, relay):
    listen = f"127.0.0.1:{stage.free_port()}"
    till.file.write_text(f'[lan]\nlisten = "{listen}"\n', encoding="utf-8")
    with Person(till, "setup") as person:
        pairs(person, relay)
        person.presses_ctrl_c()
        person.answers("because it is too old?", "y")
        person.sees(f"Open http://{listen}/d on the tablet")
        person.sees("Waiting for the screen")
        Tablet(relay, digits_on(person.screen)[:85], at=f"http://{listen}")  # behind it, a port
        person.sees("The screen is connected")
        person.answers("Try it now?", "n")
        person.answers("at each login?", "n")
        assert person.ends() == 0

    assert read_code(person.screen).startswith(f"http://{listen}/d#")


@pytest.mark.parametrize("wanted", ["y", "n"])
def test_the_risk_is_told_before_the_page_is_served_in_the_shops_network(till, relay, wanted):
    with Person(till, "setup") as person:
        pairs(person, relay)
        person.presses_ctrl_c()
        person.answers("because it is too old?", "y")
        person.sees("unprotected through the")
        person.answers("Switch this on? (y/n) [n]", wanted)
        person.sees("on the tablet" if wanted == "y" else "it connects as soon")

    expected = {"listen": LAN_LISTEN} if wanted == "y" else None
    assert written(till).get("lan") == expected
