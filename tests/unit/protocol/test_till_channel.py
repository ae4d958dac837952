"""The rules of both sides of a channel, played with real handshakes and an invented time."""

import gc
from collections import OrderedDict

import pytest

from e2ee_ticket.errors import AuthenticationError, FramingError, LengthError, ProtocolError
from e2ee_ticket.protocol import channel, noise
from e2ee_ticket.protocol.channel import (
    NO_SESSION,
    DisplayChannel,
    PairingSecret,
    Reading,
    TillChannel,
    WriteToken,
    hello_id,
)
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.secret import Secret

P = PairingSecret(bytes(range(32)))
IDLE = Content.idle(name="Shop", lang="fr", notice="FR")


def a_ticket(seconds=90, **texts):
    return Content.ticket(Secret.generate(), seconds, **texts)


class Scene:
    """A till's channel, a clock, and any number of displays."""

    def __init__(self, *, displays=1, display_count=1):
        self.now = 100.0
        self.till = TillChannel(P, IDLE, display_count=display_count)
        self.displays = [DisplayChannel(P) for _ in range(displays)]
        self.hellos = [display.hello(self.reading) for display in self.displays]

    @property
    def reading(self):
        return Reading(self.now, self.now)

    @property
    def display(self):
        return self.displays[0]

    def answers(self):
        return self.till.answer(self.hellos, self.now)

    def deliver(self, answer):
        """Bring an answer to its display, which says hello again."""
        for i, hello in enumerate(self.hellos):
            if hello_id(hello) == answer.hid:
                content = self.displays[i].accept(answer.sealed, self.reading)
                self.till.delivered(answer, self.now)
                self.hellos[i] = self.displays[i].hello(self.reading)
                return content
        raise AssertionError(answer.hid)

    def turn(self):
        """Answer everything that is due, once, and return what the displays accepted."""
        return [self.deliver(answer) for answer in self.answers()]

    def settle(self):
        seen = []
        while turn := self.turn():
            seen += turn
        return [content.kind for content in seen]


# The till's rules


@pytest.mark.rule("C31")
def test_a_current_hello_is_not_answered():
    scene = Scene()
    assert scene.settle() == ["idle"]

    assert scene.answers() == []


@pytest.mark.rule("C31")
def test_a_hello_is_answered_once_however_often_it_is_seen():
    scene = Scene()
    (answer,) = scene.answers()
    scene.till.delivered(answer, scene.now)

    assert scene.answers() == []


@pytest.mark.rule("C32")
def test_a_hello_of_no_session_gets_idle_before_any_ticket():
    scene = Scene()
    scene.till.show(a_ticket(), scene.now)

    assert scene.settle() == ["idle", "ticket"]


@pytest.mark.rule("C32")
def test_a_hello_that_names_a_session_of_another_process_gets_idle_first():
    before = Scene()
    before.settle()
    scene = Scene()
    scene.displays, scene.hellos = before.displays, before.hellos
    scene.till.show(a_ticket(), scene.now)

    assert scene.settle() == ["idle", "ticket"]


@pytest.mark.rule("C32")
def test_a_replayed_hello_from_before_the_reload_gets_nothing_but_idle():
    scene = Scene()
    scene.settle()
    scene.till.show(a_ticket(), scene.now)
    scene.displays[0] = DisplayChannel(P)
    scene.hellos[0] = scene.display.hello(scene.reading)

    (answer,) = scene.answers()

    assert scene.deliver(answer).kind == "idle"


@pytest.mark.rule("C33")
def test_a_waiting_hello_is_judged_anew_at_every_change():
    scene = Scene()
    scene.settle()
    kinds = []

    for content in (Content.live(("Café 6,90",)), a_ticket(), Content.thanks(), IDLE):
        scene.till.show(content, scene.now)
        kinds += scene.settle()

    assert kinds == ["live", "ticket", "thanks", "idle"]


@pytest.mark.rule("C33")
def test_a_second_ticket_replaces_the_first_though_both_are_tickets():
    scene = Scene()
    first, second = a_ticket(), a_ticket()
    scene.till.show(first, scene.now)
    scene.settle()
    scene.till.show(second, scene.now)

    (content,) = scene.turn()

    assert content.secret == second.secret


def test_showing_the_same_idle_again_answers_nobody():
    scene = Scene()
    scene.settle()
    scene.till.show(Content.idle(name="Shop", lang="fr", notice="FR"), scene.now)

    assert scene.answers() == []


def test_another_idle_is_shown():
    scene = Scene()
    scene.settle()
    scene.till.show(Content.idle(name="Another name"), scene.now)

    assert [content.name for content in scene.turn()] == ["Another name"]


@pytest.mark.rule("C34")
def test_two_displays_where_one_is_allowed_see_nothing_but_idle():
    scene = Scene(displays=2)
    scene.till.show(a_ticket(), scene.now)

    assert set(scene.settle()) == {"idle"}


@pytest.mark.rule("C34")
def test_a_display_that_joins_takes_the_ticket_off_the_first_one():
    scene = Scene()
    scene.till.show(a_ticket(), scene.now)
    scene.settle()
    scene.displays.append(DisplayChannel(P))
    scene.hellos.append(scene.displays[1].hello(scene.reading))

    scene.settle()

    assert scene.display.painted(scene.reading).kind == "idle"


@pytest.mark.rule("C34")
def test_two_displays_do_not_take_turns_at_being_the_only_one():
    scene = Scene(displays=2)
    scene.till.show(a_ticket(), scene.now)
    seen = []
    for _ in range(6):  # each in its turn is answered while the other is between two hellos
        for i in (0, 1):
            answers = scene.till.answer([scene.hellos[i]], scene.now)
            seen += [scene.deliver(answer).kind for answer in answers]
            scene.now += 0.1

    assert seen == ["idle", "idle"]


@pytest.mark.rule("C34")
def test_a_display_that_is_between_two_hellos_counts_and_one_that_left_does_not():
    scene = Scene(displays=2)
    scene.settle()
    scene.till.show(a_ticket(), scene.now)
    stays = scene.hellos[:1]
    assert scene.till.answer(stays, scene.now) == []

    scene.now += channel.ABSENCE_SECONDS - 0.1
    assert not scene.till.must_judge(scene.now)
    assert scene.till.answer(stays, scene.now) == []

    scene.now += 0.1
    assert scene.till.must_judge(scene.now)
    (answer,) = scene.till.answer(stays, scene.now)
    assert scene.deliver(answer).kind == "ticket"
    assert scene.till.must_judge(scene.now + channel.ABSENCE_SECONDS)  # it may never come back
    assert scene.till.answer(scene.hellos[:1], scene.now) == []
    assert not scene.till.must_judge(scene.now + 60)


@pytest.mark.rule("C34")
def test_a_display_that_never_got_its_answer_is_not_missed():
    scene = Scene()
    scene.till.show(a_ticket(), scene.now)
    (answer,) = scene.answers()
    scene.till.lost(answer, scene.now)
    scene.hellos[0] = scene.display.hello(scene.reading)

    assert scene.settle() == ["idle", "ticket"]


@pytest.mark.rule("C34")
def test_as_many_displays_as_are_allowed_all_see_the_ticket():
    scene = Scene(displays=4, display_count=4)
    scene.till.show(a_ticket(), scene.now)

    assert sorted(scene.settle()) == ["idle"] * 4 + ["ticket"] * 4


@pytest.mark.rule("C34")
def test_two_hellos_that_name_one_session_are_one_display():
    scene = Scene()
    scene.settle()
    dead = scene.hellos[0]
    alive = scene.display.hello(scene.reading)
    scene.till.show(a_ticket(), scene.now)
    scene.hellos = [dead, alive]
    scene.displays = [DisplayChannel(P), scene.display]

    answers = scene.answers()
    content = scene.deliver(next(a for a in answers if a.hid == hello_id(alive)))

    assert content.kind == "ticket"


@pytest.mark.rule("C34")
def test_hellos_that_name_no_session_are_a_display_each():
    scene = Scene(displays=2)

    scene.answers()
    scene.now += channel.LISTENING_SECONDS
    scene.answers()

    assert scene.till.crowded(scene.now)


@pytest.mark.rule("C34")
@pytest.mark.parametrize("count", [0, 5])
def test_a_till_has_one_to_four_displays(count):
    with pytest.raises(ValueError, match="1 to 4"):
        TillChannel(P, IDLE, display_count=count)


@pytest.mark.rule("C35")
def test_another_screen_is_told_after_thirty_seconds_and_not_before():
    scene = Scene(displays=2)
    scene.settle()

    scene.now += channel.LISTENING_SECONDS - 0.1
    assert not scene.till.crowded(scene.now)
    scene.now += 0.1
    assert scene.till.crowded(scene.now)


@pytest.mark.rule("C35")
def test_thirty_seconds_begin_anew_when_the_other_screen_was_away():
    scene = Scene(displays=2)
    scene.settle()
    scene.now += 20
    scene.till.answer(scene.hellos[:1], scene.now)
    scene.now += channel.ABSENCE_SECONDS
    scene.till.answer(scene.hellos[:1], scene.now)
    scene.answers()
    scene.now += 20

    assert not scene.till.crowded(scene.now)


@pytest.mark.rule("C36")
def test_a_state_is_shown_only_when_a_hello_names_its_session():
    scene = Scene()
    scene.settle()
    scene.till.show(a_ticket(), scene.now)
    (answer,) = scene.answers()

    assert not scene.till.shown
    scene.deliver(answer)
    assert not scene.till.shown
    scene.answers()
    assert scene.till.shown


@pytest.mark.rule("C36")
def test_a_new_state_is_not_shown_because_the_one_before_was():
    scene = Scene()
    scene.till.show(a_ticket(), scene.now)
    scene.settle()
    scene.till.show(a_ticket(), scene.now)

    assert not scene.till.shown


@pytest.mark.rule("C37")
def test_a_delivered_ticket_that_is_not_confirmed_for_three_seconds_is_unshown():
    scene = Scene()
    scene.settle()
    scene.till.show(a_ticket(), scene.now)
    (answer,) = scene.answers()

    scene.now += 60
    assert not scene.till.unshown(scene.now)  # not delivered yet
    scene.till.delivered(answer, scene.now)
    scene.now += channel.UNSHOWN_SECONDS - 0.1
    assert not scene.till.unshown(scene.now)
    scene.now += 0.1
    assert scene.till.unshown(scene.now)


@pytest.mark.rule("C37")
def test_a_confirmed_ticket_is_never_unshown():
    scene = Scene()
    scene.till.show(a_ticket(), scene.now)
    scene.settle()
    scene.now += 60

    assert not scene.till.unshown(scene.now)


@pytest.mark.rule("C8")
def test_an_answer_whose_fate_is_unknown_is_repeated_with_the_same_bytes():
    scene = Scene()
    scene.settle()
    scene.till.show(a_ticket(), scene.now)

    first, second = scene.answers(), scene.answers()

    assert first == second


@pytest.mark.rule("C41")
def test_an_answer_of_unknown_fate_is_not_repeated_to_the_next_customer():
    scene = Scene()
    scene.settle()
    scene.till.show(a_ticket(), scene.now)
    scene.answers()
    scene.till.show(a_ticket(), scene.now)

    assert scene.answers() == []


@pytest.mark.rule("C41")
def test_an_idle_of_unknown_fate_is_repeated_whatever_is_to_be_shown_by_now():
    scene = Scene()
    first = scene.answers()
    scene.till.show(a_ticket(), scene.now)

    assert scene.answers() == first


@pytest.mark.rule("C8")
def test_no_two_answers_share_an_ephemeral_key():
    scene = Scene(displays=2, display_count=2)

    first, second = scene.answers()

    assert first.sealed[:32] != second.sealed[:32]


def test_a_hello_that_had_gone_gets_nothing_more():
    scene = Scene()
    (answer,) = scene.answers()
    scene.till.lost(answer, scene.now)

    assert scene.answers() == []


@pytest.mark.rule("C10")
@pytest.mark.parametrize("size", [0, 79, 81])
def test_a_hello_of_another_length_is_no_display(size):
    scene = Scene()
    scene.hellos = [bytes(size)]

    assert scene.answers() == []
    assert not scene.till.display_seen


@pytest.mark.rule("C12")
def test_a_hello_of_another_pairing_is_no_display():
    scene = Scene()
    stranger = DisplayChannel(PairingSecret.generate())
    scene.hellos.append(stranger.hello(scene.reading))
    scene.till.show(a_ticket(), scene.now)

    assert scene.settle() == ["idle", "ticket"]


@pytest.mark.rule("C11")
def test_a_hello_with_a_key_of_low_order_gets_no_answer():
    scene = Scene()
    state = noise.SymmetricState(channel.PROLOGUE, P.psk())
    state.mix_ephemeral(bytes(32))
    scene.hellos = [bytes(32) + state.encrypt_and_hash(NO_SESSION)]

    assert scene.answers() == []


def test_a_till_that_has_seen_a_display_says_so():
    scene = Scene()
    assert not scene.till.display_seen
    scene.answers()
    assert scene.till.display_seen


def test_a_channel_begins_idle():
    with pytest.raises(ValueError, match="idle"):
        TillChannel(P, Content.thanks())


def test_a_ticket_ends_after_its_seconds():
    scene = Scene()
    scene.till.show(a_ticket(30), scene.now)
    scene.settle()

    scene.now += 29.9
    assert not scene.till.tick(scene.now)
    scene.now += 0.1
    assert scene.till.tick(scene.now)
    assert not scene.till.tick(scene.now)
    assert scene.till.present == IDLE


def ended_by_its_time(seconds=30):
    scene = Scene()
    scene.till.show(a_ticket(seconds), scene.now)
    scene.settle()
    scene.now += seconds
    scene.till.tick(scene.now)
    return scene


@pytest.mark.rule("C43")
def test_a_till_has_nothing_to_say_when_a_ticket_ends_by_its_time():
    assert ended_by_its_time().settle() == []


@pytest.mark.rule("C43")
@pytest.mark.parametrize("content", [IDLE, Content.live(("Café",)), Content.thanks()])
def test_what_is_shown_next_takes_off_a_ticket_that_may_have_been_prolonged(content):
    scene = ended_by_its_time()
    scene.till.show(content, scene.now)

    assert scene.settle() == [content.kind]


@pytest.mark.rule("C43")
def test_a_prolonged_ticket_is_taken_off_when_another_screen_listens():
    scene = ended_by_its_time()
    scene.displays.append(DisplayChannel(P))
    scene.hellos.append(scene.displays[-1].hello(scene.reading))

    assert scene.settle() == ["idle", "idle"]


@pytest.mark.rule("C43")
def test_a_display_that_was_loaded_anew_sees_nothing_of_a_ticket_that_ended():
    scene = ended_by_its_time()
    scene.now += 10
    scene.displays = [DisplayChannel(P)]
    scene.hellos = [scene.display.hello(scene.reading)]

    assert scene.settle() == ["idle"]


def test_a_display_that_comes_late_shows_the_ticket_for_what_is_left():
    scene = Scene()
    scene.till.show(a_ticket(90), scene.now)
    scene.now += 60.5
    scene.hellos = [scene.display.hello(scene.reading)]

    scene.turn()
    (content,) = scene.turn()

    assert content.seconds == 30


@pytest.mark.rule("T3")
def test_the_secret_of_an_ended_ticket_is_forgotten():
    scene = Scene()
    content = a_ticket(30)
    scene.till.show(content, scene.now)
    scene.settle()
    scene.now += 30

    scene.till.tick(scene.now)

    holders = [h for h in gc.get_referrers(content) if type(h).__name__ == "_Shown"]
    assert holders == []


# The display's rules


def accept_ticket(scene, seconds=90):
    scene.till.show(a_ticket(seconds), scene.now)
    scene.settle()


@pytest.mark.rule("C20")
@pytest.mark.parametrize(("wall", "monotonic"), [(35.0, 0.0), (0.0, 35.0), (35.0, None)])
def test_an_answer_is_refused_35_s_after_its_hello_by_either_clock(wall, monotonic):
    scene = Scene()
    begin = Reading(1000.0, None if monotonic is None else 500.0)
    scene.hellos = [scene.display.hello(begin)]
    (answer,) = scene.answers()
    end = Reading(1000.0 + wall, None if monotonic is None else 500.0 + monotonic)

    with pytest.raises(LengthError):
        scene.display.accept(answer.sealed, end)


@pytest.mark.rule("C20")
def test_an_answer_within_35_s_is_accepted():
    scene = Scene()
    (answer,) = scene.answers()
    scene.now += 34.9

    assert scene.display.accept(answer.sealed, scene.reading).kind == "idle"


@pytest.mark.rule("C21")
def test_a_wall_clock_that_jumps_backwards_discards_the_hello():
    scene = Scene()
    (answer,) = scene.answers()

    with pytest.raises(LengthError):
        scene.display.accept(answer.sealed, Reading(scene.now - 1, scene.now))


@pytest.mark.rule("C21")
def test_a_page_that_was_hidden_discards_its_hello():
    scene = Scene()
    (answer,) = scene.answers()
    scene.display.hide()

    with pytest.raises(LengthError):
        scene.display.accept(answer.sealed, scene.reading)


@pytest.mark.rule("C22")
def test_a_hidden_page_is_blank_and_names_no_session_when_it_returns():
    scene = Scene()
    accept_ticket(scene)
    scene.display.hide()
    hello = scene.display.hello(scene.reading)

    assert scene.display.painted(scene.reading).kind == "idle"
    assert channel.read_hello(P.psk(), hello).payload == NO_SESSION


@pytest.mark.rule("C23")
def test_a_display_ends_a_ticket_by_its_own_clock():
    scene = Scene()
    accept_ticket(scene, 30)
    begin = scene.now

    scene.now = begin + 29.9
    assert scene.display.painted(scene.reading).kind == "ticket"
    scene.now = begin + 30
    assert scene.display.painted(scene.reading) == IDLE


@pytest.mark.rule("C42")
def test_a_tap_shows_the_ticket_for_its_seconds_from_then_on():
    scene = Scene()
    accept_ticket(scene, 30)
    begin = scene.now

    scene.now = begin + 20
    scene.display.touch(scene.reading)
    scene.now = begin + 49.9
    assert scene.display.painted(scene.reading).kind == "ticket"
    scene.now = begin + 50
    assert scene.display.painted(scene.reading) == IDLE


@pytest.mark.rule("C42")
def test_no_number_of_taps_shows_a_ticket_for_more_than_five_minutes():
    scene = Scene()
    accept_ticket(scene, 30)
    begin = scene.now

    while scene.display.painted(scene.reading).kind == "ticket":
        scene.display.touch(scene.reading)
        scene.now += 10

    assert scene.now - begin == 300


def test_a_tap_on_idle_changes_nothing():
    scene = Scene()
    scene.settle()
    scene.display.touch(scene.reading)

    assert scene.display.painted(scene.reading) == IDLE


@pytest.mark.rule("C22")
def test_a_screen_that_slept_past_the_ticket_paints_idle():
    scene = Scene()
    accept_ticket(scene, 30)

    asleep = Reading(scene.now + 3600, scene.now)  # the monotonic clock stood still

    assert scene.display.painted(asleep) == IDLE


@pytest.mark.rule("C40")
@pytest.mark.parametrize(
    ("content", "seconds"), [(Content.thanks(), 10), (Content.live(("Café",)), 120)]
)
def test_thanks_and_live_end_by_themselves(content, seconds):
    scene = Scene()
    scene.till.show(content, scene.now)
    scene.settle()
    begin = scene.now

    scene.now = begin + seconds - 0.1
    assert scene.display.painted(scene.reading).kind == content.kind
    scene.now = begin + seconds
    assert scene.display.painted(scene.reading) == IDLE


@pytest.mark.rule("C24")
def test_a_loaded_page_shows_idle_until_told_otherwise():
    scene = Scene()

    assert scene.display.painted(scene.reading).kind == "idle"


@pytest.mark.rule("C7")
def test_one_hello_reads_one_sealed_whatever_the_outcome():
    scene = Scene()
    (answer,) = scene.answers()
    with pytest.raises(AuthenticationError):
        scene.display.accept(bytes(512)[:-1] + b"\x01", scene.reading)

    with pytest.raises(LengthError):
        scene.display.accept(answer.sealed, scene.reading)


@pytest.mark.rule("C7")
def test_every_hello_has_a_key_of_its_own():
    display = DisplayChannel(P)
    hellos = [display.hello(Reading(float(i))) for i in range(20)]

    assert len({hello[:32] for hello in hellos}) == 20


@pytest.mark.rule("C7")
def test_the_answer_to_an_older_hello_is_refused():
    scene = Scene()
    (answer,) = scene.answers()
    scene.display.hello(scene.reading)

    with pytest.raises(ProtocolError):
        scene.display.accept(answer.sealed, scene.reading)


def test_a_refused_sealed_changes_nothing_on_the_screen():
    scene = Scene()
    accept_ticket(scene)
    scene.display.hello(scene.reading)

    with pytest.raises(ProtocolError):
        scene.display.accept(bytes(512), scene.reading)

    assert scene.display.painted(scene.reading).kind == "ticket"


def test_a_hello_names_the_session_accepted_last():
    scene = Scene()
    (answer,) = scene.answers()
    scene.deliver(answer)

    named = channel.read_hello(P.psk(), scene.hellos[0]).payload

    assert named == answer.session


@pytest.mark.rule("C13")
def test_a_sealed_that_is_no_content_is_refused_and_named_by_no_hello():
    scene = Scene()
    responder = channel.read_hello(P.psk(), scene.hellos[0])
    sealed, _ = responder.seal(bytes(range(32)), b"\x00\x02{]".ljust(464, b"\0"))

    with pytest.raises(FramingError):
        scene.display.accept(sealed, scene.reading)
    hello = scene.display.hello(scene.reading)

    assert channel.read_hello(P.psk(), hello).payload == NO_SESSION


# Pairing


@pytest.mark.rule("C1")
def test_pairing_secrets_and_write_tokens_are_drawn_anew():
    assert len({PairingSecret.generate() for _ in range(50)}) == 50
    assert len({WriteToken.generate() for _ in range(50)}) == 50


@pytest.mark.rule("C5")
def test_a_registration_holds_the_hash_of_the_write_token_and_not_the_token():
    token = WriteToken.generate()

    assert token.reveal() not in channel.registration(P, token)


def test_a_till_has_one_display_unless_told_otherwise():
    scene = Scene(displays=2)
    scene.till = TillChannel(P, IDLE)
    scene.settle()

    scene.till.show(a_ticket(), scene.now)

    assert "ticket" not in scene.settle()


@pytest.mark.rule("C31")
def test_a_hello_that_had_its_answer_does_not_hide_the_next_one():
    scene = Scene(displays=2, display_count=2)
    first, second = scene.hellos
    (answer,) = scene.till.answer([first], scene.now)
    scene.till.delivered(answer, scene.now)

    answers = scene.till.answer([first, second], scene.now)

    assert [answer.hid for answer in answers] == [channel.hello_id(second)]


@pytest.mark.rule("C37")
def test_the_three_seconds_begin_with_the_first_delivery():
    scene = Scene()
    scene.settle()
    scene.till.show(a_ticket(), scene.now)
    (answer,) = scene.answers()
    scene.till.delivered(answer, scene.now)

    scene.till.delivered(answer, scene.now + 2)

    assert scene.till.unshown(scene.now + channel.UNSHOWN_SECONDS)


@pytest.mark.rule("C34")
def test_a_display_whose_answer_was_repeated_and_then_lost_is_not_missed():
    scene = Scene()
    scene.till.show(a_ticket(), scene.now)
    (answer,) = scene.answers()
    assert scene.till.answer(scene.hellos, scene.now) == [answer]
    scene.till.lost(answer, scene.now)
    scene.hellos[0] = scene.display.hello(scene.reading)

    assert scene.settle() == ["idle", "ticket"]


def test_a_ticket_in_its_last_second_is_shown_for_one():
    scene = Scene()
    scene.settle()
    scene.till.show(a_ticket(), scene.now)
    scene.now += 89.5
    scene.hellos[0] = scene.display.hello(scene.reading)
    (answer,) = scene.answers()

    assert scene.deliver(answer).seconds == 1


def test_what_is_remembered_is_the_newest(monkeypatch):
    monkeypatch.setattr(channel, "_REMEMBERED", 2)
    remembered = OrderedDict.fromkeys("abc")

    channel._trim(remembered)

    assert list(remembered) == ["b", "c"]


@pytest.mark.rule("C20")
def test_a_clock_that_is_gone_meanwhile_leaves_the_other():
    display = channel.DisplayChannel(channel.PairingSecret(bytes(range(32))))
    display.hello(channel.Reading(wall=100, monotonic=5))

    with pytest.raises(LengthError):
        display.accept(bytes(512), channel.Reading(wall=140))


def test_a_channel_that_has_seen_nobody_has_nothing_to_judge():
    till = TillChannel(P, IDLE)

    assert not till.must_judge(1e9)
    assert till.display_seen is False


def test_an_answer_can_be_lost_twice():
    scene = Scene()
    (answer,) = scene.answers()

    scene.till.lost(answer, scene.now)
    scene.till.lost(answer, scene.now)

    assert scene.answers() == []


@pytest.mark.rule("C20")
def test_a_display_that_said_nothing_accepts_nothing():
    with pytest.raises(LengthError):
        DisplayChannel(P).accept(bytes(512), Reading(0))
