"""The scenarios of spec/vectors/till.json and display.json: events, and what must come of each.

Each reads as a story. What is expected is computed by the tables of machines.py; tests play it with
the library and with the pages' script, which were written apart from the tables.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from machines import Clocks, DisplayTable, TillTable

from e2ee_ticket.protocol import link

Members = dict[str, Any]
Step = tuple[Any, ...]
NAMED = {"name": "Épicerie du Marché", "lang": "fr", "notice": "FR"}
IDLE: Members = {"idle": True} | NAMED
OTHER_IDLE: Members = {"idle": True, "name": "Closed"}
THANKS: Members = {"thanks": True}
LIVE: Members = {"live": ["Café 6,90", "Total 13,90"]}
ORIGIN = "https://t.example"


def seed(name: str) -> bytes:
    """32 bytes that everybody can make again."""
    return hashlib.sha256(name.encode()).digest()


def ticket(whose: str, seconds: int = 90, **more: str) -> Members:
    """A customer's ticket."""
    digits = link.format_digits(seed(whose), link.CHECK_LABEL)
    return {"tkt": digits, "for": seconds, **more}


A = ticket("customer A", no="1", total="54,64 €")
B = ticket("customer B", no="2")


# --- tills ---------------------------------------------------------------------------------------

HELLOS: dict[str, Members] = {
    "a": {"names": None},
    "a2": {"names": "a"},
    "a3": {"names": "a2"},
    "a4": {"names": "a3"},
    "a5": {"names": "a4"},
    "twin": {"names": "a"},
    "other": {"names": None},
    "other2": {"names": "other"},
    "other3": {"names": "other2"},
    "third": {"names": None},
    "stranger": {"names": "stranger"},
    "short": {"broken": "length"},
    "bad": {"broken": "tag"},
    "low": {"broken": "order"},
}
"""Who says hello: what each names (the hello whose sealed it accepted), or how it is broken."""


def till(name: str, rule: str, comment: str, *steps: Step, displays: int = 1) -> Members:
    """Play a scenario by the till's table."""
    used = {word for step in steps if step[0] == "poll" for word in step[2].split()}
    hellos = {word: HELLOS[word] for word in HELLOS if word in used}
    table = TillTable(hellos, IDLE, displays)
    written = []
    for event, at, *more in steps:
        said: Members = {"at": at, "event": event}
        answers: list[Members] = []
        if event == "poll":
            said["hellos"] = more[0].split()
            answers = table.poll(said["hellos"], at)
        elif event == "show":
            said["content"] = more[0]
            answers = table.show(more[0], at)
        elif event == "fate":
            said |= {"hello": more[0], "what": more[1]}
            answers = table.fate(more[0], more[1], at)
        elif event == "time":
            answers = table.judge(at)
        else:
            table.begin()
            table.live = []
        written.append(said | {"expect": table.output(answers, at)})
    return {
        "name": name,
        "rule": rule,
        "comment": comment,
        "op": "till",
        "pairing": seed(name + " P").hex(),
        "displays": displays,
        "idle": IDLE,
        "hellos": hellos,
        "steps": written,
        "expect": "ok",
    }


FIRST = (("poll", 0, "a"), ("fate", 100, "a", "taken"))
"""A display that was just loaded has accepted idle."""


def tills() -> Iterator[Members]:
    """The till's rules."""
    yield till(
        "till_says_idle_first",
        "C32",
        "a display that was just loaded, a ticket is present",
        ("show", 0, A),
        ("poll", 10, "a"),
        ("fate", 100, "a", "taken"),
        ("poll", 200, "a2"),
    )
    yield till(
        "till_says_idle_to_a_session_of_another_process",
        "C32",
        "restarted in between",
        *FIRST,
        ("restart", 1000),
        ("show", 1500, A),
        ("poll", 2000, "a2"),
    )
    yield till(
        "till_says_idle_to_a_session_of_nobody",
        "C32",
        "32 bytes that are not zeros",
        ("show", 0, A),
        ("poll", 10, "stranger"),
    )
    yield till(
        "till_leaves_a_current_hello",
        "C31",
        "it names the idle of now",
        *FIRST,
        ("poll", 200, "a2"),
        ("time", 20_000),
        ("poll", 25_000, ""),
        ("poll", 25_100, "a2"),
    )
    yield till(
        "till_answers_a_hello_once",
        "C31",
        "listed again before the relay has forgotten it",
        ("poll", 0, "a"),
        ("fate", 100, "a", "taken"),
        ("poll", 150, "a"),
    )
    yield till(
        "till_answers_a_waiting_hello_when_a_ticket_comes",
        "C33",
        "at once, unasked",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 5000, A),
    )
    yield till(
        "till_answers_two_waiting_hellos",
        "C33",
        "two displays, both allowed",
        ("poll", 0, "a other"),
        ("fate", 100, "a", "taken"),
        ("fate", 110, "other", "taken"),
        ("poll", 200, "a2 other2"),
        ("show", 3000, A),
        displays=2,
    )
    yield till(
        "till_begins_a_showing_anew_with_equal_content",
        "C31",
        "the same ticket again is another showing",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 1100, "a2", "taken"),
        ("poll", 1200, "a3"),
        ("show", 2000, A),
    )
    yield till(
        "till_leaves_idle_one_showing_while_its_content_stays",
        "C31",
        "told to show the same idle, and then another",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, IDLE),
        ("show", 2000, OTHER_IDLE),
    )
    yield till(
        "till_shows_live_and_thanks",
        "C49",
        "they stay until something else is to be shown",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, LIVE),
        ("fate", 1100, "a2", "taken"),
        ("poll", 1200, "a3"),
        ("time", 200_000),
        ("show", 200_100, THANKS),
        ("fate", 200_200, "a3", "taken"),
        ("poll", 200_300, "a4"),
        ("time", 230_000),
        ("show", 230_100, IDLE),
    )
    yield till(
        "till_seals_what_is_left_of_the_time",
        "C44",
        "60.2 s into a ticket of 90 s",
        *FIRST,
        ("show", 1000, A),
        ("poll", 61_200, "a2"),
    )
    yield till(
        "till_seals_one_second_at_the_last_moment",
        "C44",
        "rounded up",
        *FIRST,
        ("show", 1000, A),
        ("poll", 90_999, "a2"),
    )
    yield till(
        "till_ends_a_ticket",
        "C43",
        "at its for seconds to the millisecond",
        *FIRST,
        ("show", 1000, A),
        ("time", 90_999),
        ("time", 91_000),
        ("poll", 91_100, "a2"),
    )
    yield till(
        "till_leaves_a_hello_that_names_the_ticket_whose_time_is_over",
        "C43",
        "the display may show it for longer; a later order, be it idle, takes it off",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 1100, "a2", "taken"),
        ("poll", 1200, "a3"),
        ("time", 91_000),
        ("time", 120_000),
        ("show", 121_000, IDLE),
    )
    yield till(
        "till_takes_a_ticket_whose_time_is_over_off_for_the_next",
        "C43",
        "customer B's",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 1100, "a2", "taken"),
        ("poll", 1200, "a3"),
        ("time", 91_000),
        ("show", 100_000, B),
    )
    yield till(
        "till_says_idle_to_an_ended_ticket_in_a_crowd",
        "C43",
        "C34 holds",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 1100, "a2", "taken"),
        ("poll", 1200, "a3"),
        ("time", 91_000),
        ("poll", 92_000, "a3 other"),
    )
    yield till(
        "till_says_idle_to_the_ticket_before",
        "C43",
        "it names A, whose showing was ended by B's, whose time is over",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 1100, "a2", "taken"),
        ("show", 2000, B),
        ("time", 92_000),
        ("poll", 92_100, "a3"),
    )
    yield till(
        "till_repeats_the_same_bytes",
        "C8",
        "an answer whose fate is unknown",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 1500, "a2", "unknown"),
        ("time", 2500),
        ("fate", 2600, "a2", "answered"),
        ("poll", 2700, "a3"),
    )
    yield till(
        "till_repeats_no_ticket_that_is_over",
        "C41",
        "B stands at the counter",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 1500, "a2", "unknown"),
        ("show", 2000, B),
        ("time", 3000),
        ("show", 4000, IDLE),
    )
    yield till(
        "till_repeats_no_ticket_whose_time_is_over",
        "C41",
        "nobody came after",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 1500, "a2", "unknown"),
        ("time", 91_000),
    )
    yield till(
        "till_repeats_no_live_that_is_over",
        "C41",
        "the sale went on",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, LIVE),
        ("fate", 1500, "a2", "unknown"),
        ("show", 2000, {"live": ["Total 20,00"]}),
    )
    yield till(
        "till_repeats_idle_whatever_is_present",
        "C41",
        "idle says nothing of anyone",
        ("poll", 0, "a"),
        ("fate", 500, "a", "unknown"),
        ("show", 1000, A),
        ("show", 2000, OTHER_IDLE),
    )
    yield till(
        "till_asks_nothing_more_of_a_hello_that_had_gone",
        "C8",
        "404 hello-gone",
        ("poll", 0, "a"),
        ("fate", 100, "a", "gone"),
        ("poll", 200, "a"),
        ("show", 300, A),
    )
    yield till(
        "till_calls_shown_what_a_hello_names",
        "C36",
        "not what was delivered",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 1100, "a2", "taken"),
        ("time", 1500),
        ("poll", 1600, "a3"),
    )
    yield till(
        "till_calls_shown_though_the_answer_was_not_acknowledged",
        "C36",
        "the 204 was lost, the display has it",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 1500, "a2", "unknown"),
        ("poll", 1600, "a3"),
    )
    yield till(
        "till_does_not_call_shown_the_same_ticket_of_before",
        "C36",
        "another showing",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 1100, "a2", "taken"),
        ("show", 2000, A),
        ("poll", 2100, "a3"),
    )
    yield till(
        "till_warns_3_s_after_the_204",
        "C37",
        "and no more once it is shown",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 6000, "a2", "taken"),
        ("time", 8999),
        ("time", 9000),
        ("poll", 9100, "a3"),
    )
    yield till(
        "till_warns_3_s_after_the_first_204",
        "C37",
        "of two answers with the same ticket",
        ("poll", 0, "a other"),
        ("fate", 100, "a", "taken"),
        ("fate", 110, "other", "taken"),
        ("poll", 200, "a2 other2"),
        ("show", 1000, A),
        ("fate", 1100, "a2", "taken"),
        ("fate", 3000, "other2", "answered"),
        ("time", 4099),
        ("time", 4100),
        displays=2,
    )
    yield till(
        "till_warns_of_nothing_that_was_not_delivered",
        "C37",
        "no 204 came",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("fate", 1500, "a2", "unknown"),
        ("time", 60_000),
    )
    yield till(
        "till_warns_of_tickets_only",
        "C37",
        "live is not confirmed either",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, LIVE),
        ("fate", 1100, "a2", "taken"),
        ("time", 10_000),
    )
    yield till(
        "till_says_only_idle_in_a_crowd",
        "C34",
        "two screens, one is allowed",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, A),
        ("poll", 1100, "a2 other"),
    )
    yield till(
        "till_says_only_idle_to_two_known_screens",
        "C34",
        "both had idle before",
        ("poll", 0, "a other"),
        ("fate", 100, "a", "taken"),
        ("fate", 110, "other", "taken"),
        ("poll", 200, "a2 other2"),
        ("show", 1000, A),
    )
    yield till(
        "till_shows_two_screens_where_two_are_allowed",
        "C34",
        "and a third is too many",
        ("poll", 0, "a other"),
        ("fate", 100, "a", "taken"),
        ("fate", 110, "other", "taken"),
        ("show", 1000, A),
        ("poll", 1100, "a2 other2"),
        ("poll", 1200, "a2 other2 third"),
        displays=2,
    )
    yield till(
        "till_takes_two_hellos_of_one_session_for_one_display",
        "C34",
        "a connection died without the relay noticing",
        *FIRST,
        ("poll", 200, "a2 twin"),
        ("show", 1000, A),
    )
    yield till(
        "till_counts_a_display_until_5_s_after_its_last_hello",
        "C34",
        "between two hellos it is away for a moment",
        ("poll", 0, "a other"),
        ("fate", 100, "a", "taken"),
        ("fate", 110, "other", "taken"),
        ("poll", 200, "a2 other2"),
        ("show", 1000, A),
        ("poll", 2000, "a2"),
        ("time", 6999),
        ("time", 7000),
    )
    yield till(
        "till_counts_5_s_from_the_204",
        "C34",
        "not from the next poll",
        ("poll", 0, "a other"),
        ("fate", 100, "a", "taken"),
        ("fate", 110, "other", "taken"),
        ("poll", 4000, "a2"),
        ("show", 5000, A),
        ("time", 5109),
        ("time", 5110),
    )
    yield till(
        "till_counts_5_s_from_a_404",
        "C34",
        "a display that it knows has gone",
        ("poll", 0, "a other"),
        ("fate", 100, "a", "taken"),
        ("fate", 110, "other", "taken"),
        ("poll", 200, "a2 other2"),
        ("show", 1000, OTHER_IDLE),
        ("fate", 2000, "other2", "gone"),
        ("fate", 2100, "a2", "taken"),
        ("poll", 3000, "a3"),
        ("show", 3100, A),
        ("time", 6999),
        ("time", 7000),
    )
    yield till(
        "till_misses_nobody_that_it_never_answered",
        "C34",
        "its hello ended, and that is all",
        ("poll", 0, "a"),
        ("fate", 100, "a", "gone"),
        ("show", 200, A),
        ("poll", 300, "other"),
        ("fate", 400, "other", "taken"),
        ("poll", 500, "other2"),
    )
    yield till(
        "till_knows_a_display_over_its_hellos",
        "C34",
        "four hellos of one display",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, LIVE),
        ("fate", 1100, "a2", "taken"),
        ("poll", 1200, "a3"),
        ("show", 1300, A),
        ("fate", 1400, "a3", "taken"),
        ("poll", 1500, "a4"),
        ("show", 1600, B),
    )
    yield till(
        "till_counts_no_hello_that_is_broken",
        "C48",
        "length, tag, a key of low order",
        *FIRST,
        ("show", 1000, A),
        ("poll", 1100, "short bad low a2"),
    )
    yield till(
        "till_tells_the_cashier_of_a_crowd_of_30_s",
        "C35",
        "and no more when it is over",
        *FIRST,
        ("poll", 1000, "a2 other"),
        ("fate", 1100, "other", "taken"),
        ("poll", 1200, "a2 other2"),
        ("time", 30_999),
        ("time", 31_000),
        ("poll", 40_000, "a2"),
        ("time", 44_999),
        ("time", 45_000),
    )
    yield till(
        "till_counts_a_crowd_anew",
        "C35",
        "it ended in between",
        *FIRST,
        ("poll", 1000, "a2 other"),
        ("poll", 20_000, "a2"),
        ("poll", 25_000, "a2 third"),
        ("time", 40_000),
        ("time", 55_000),
    )
    yield till(
        "till_forgets_all_when_it_begins_again",
        "C32",
        "answers and sessions",
        ("poll", 0, "a"),
        ("restart", 100),
        ("show", 150, A),
        ("poll", 200, "a"),
    )
    wide = "\u00e9" * 40  # 80 bytes
    longest = {"no": wide, "time": wide, "total": wide, "name": "\u00e9" * 60, "lang": "fr"}
    for word, more in (
        (
            "notice",
            {
                "no": wide,
                "time": "x" * 10,
                "total": "\u20ac" * 40,
                "name": "x" * 60,
                "lang": "x" * 35,
                "notice": "FR",
            },
        ),
        (
            "notice_and_name",
            {"no": wide, "time": "x" * 40, "total": wide, "name": wide, "notice": "FR"},
        ),
        ("name_and_time", longest),
        ("nothing", {"no": wide, "time": wide, "total": wide, "lang": "fr", "notice": "FR"}),
        ("no_and_total", dict.fromkeys(("no", "time", "total"), "🧾" * 40)),
    ):
        yield till(
            f"till_leaves_out_{word}",
            "C16",
            "462 bytes at most",
            *FIRST,
            ("poll", 200, "a2"),
            ("show", 1000, ticket("customer A", 90, **more)),
        )
    yield till(
        "till_leaves_out_lines_from_the_first",
        "C16",
        "the total is the last",
        *FIRST,
        ("poll", 200, "a2"),
        (
            "show",
            1000,
            {"live": [f"{n} {wide[2:]}" for n in range(8)], "name": "N", "notice": "FR"},
        ),
    )
    yield till(
        "till_writes_letters_as_they_are",
        "C16",
        "escaped they would not fit",
        *FIRST,
        ("poll", 200, "a2"),
        ("show", 1000, {"idle": True, "name": "\u00e9" * 60, "lang": "fr"}),
        ("show", 2000, {"live": ["\u00e9" * 40] * 4, "name": "\u00e9" * 20}),
    )


# --- displays ------------------------------------------------------------------------------------


def display(name: str, rule: str, comment: str, *steps: Step, monotonic: bool = True) -> Members:
    """Play a scenario by the display's table. A step's time is milliseconds since the load."""
    table = DisplayTable()
    written = []
    offset = 0  # of the wall clock
    table.load(clock := Clocks(0, 0 if monotonic else None))
    written.append({"wall": 0, "mono": clock.mono, "event": "load", "expect": table.output(clock)})
    for event, at, *more in steps:
        if event == "clock":
            offset += more[0]
        before, clock = clock, Clocks(at + offset, at if monotonic else None)
        if event not in ("clock", "asleep"):
            for reading in between(before, clock):
                table.time(reading)
        said: Members = {"wall": clock.wall, "mono": clock.mono, "event": event}
        heard: Members = {}
        if event == "hello":
            said["name"] = more[0]
            heard = table.say(more[0], clock)
        elif event == "answer":
            answer = dict(more[0])
            said |= answer
            ok = answer["status"] == 200 and not {"xor", "text", "to"} & set(answer)
            table.answer(answer | {"ok": ok}, clock)
        elif event in ("clock", "time", "asleep"):
            said["event"] = "time"
            if event != "time":
                said["jumps"] = True
            table.time(clock)
        else:
            getattr(table, event)(clock)
        written.append(said | {"expect": heard | table.output(clock)})
    return {
        "name": name,
        "rule": rule,
        "comment": comment,
        "op": "display",
        "pairing": seed(name + " P").hex(),
        "origin": ORIGIN,
        "steps": written,
        "expect": "ok",
    }


def between(before: Clocks, after: Clocks) -> Iterator[Clocks]:
    """The readings of a display that runs, a second apart, where both clocks go on alike."""
    passed = after.wall - before.wall
    if before.mono is None or after.mono is None or after.mono - before.mono == passed:
        for more in range(1000, passed, 1000):
            mono = None if before.mono is None else before.mono + more
            yield Clocks(before.wall + more, mono)


def sealed(content: Members, **more: object) -> Members:
    """An answer with a sealed."""
    return {"status": 200, "content": content, **more}


def got(at: int, name: str, content: Members) -> tuple[Step, Step]:
    """A hello that is answered at once."""
    return ("hello", at, name), ("answer", at + 100, sealed(content))


NOTHING = {"status": 204}
SHOWN = (*got(0, "a", IDLE), *got(200, "b", A))
"""A display that shows A, accepted at 300 ms."""


def waits(start: int, end: int, first: int) -> tuple[Step, ...]:
    """Hellos that end with 204 after 25 s, one after the other."""
    steps: list[Step] = []
    number = first
    while start + 25_000 < end:
        steps += [("hello", start, f"h{number}"), ("answer", start + 25_000, NOTHING)]
        start += 25_000
        number += 1
    return tuple(steps)


def displays() -> Iterator[Members]:
    """The display's rules."""
    yield display(
        "display_shows_nothing_but_idle_after_its_load",
        "C24",
        "until a sealed came",
        ("hello", 0, "a"),
        ("time", 5000),
        ("answer", 6000, sealed(IDLE)),
        ("hello", 6000, "b"),
    )
    yield display(
        "display_names_the_session_it_accepted_last",
        "C6",
        "and only if it was accepted",
        *got(0, "a", IDLE),
        *got(200, "b", A),
        ("hello", 400, "c"),
        ("answer", 500, sealed(B, xor=[100, "01"])),
        ("hello", 1500, "d"),
    )
    yield display(
        "display_makes_a_fresh_key_for_each_hello",
        "C7",
        "a sealed for an earlier hello is refused",
        *got(0, "a", IDLE),
        ("hello", 200, "b"),
        ("answer", 25_200, NOTHING),
        ("hello", 25_200, "c"),
        ("answer", 25_300, sealed(A, to="b")),
        ("hello", 26_300, "d"),
        ("answer", 26_400, sealed(A)),
        ("hello", 26_400, "e"),
    )
    yield display(
        "display_says_hello_at_once_after_a_sealed",
        "C46",
        "idle, live, ticket, thanks",
        *got(0, "a", IDLE),
        *got(100, "b", LIVE),
        *got(200, "c", A),
        *got(300, "d", THANKS),
        ("hello", 400, "e"),
    )
    for seconds, label in ((90, "90"), (1, "1"), (120, "120")):
        end = 300 + 1000 * seconds
        yield display(
            f"display_ends_a_ticket_of_{label}_s",
            "C23",
            "and falls back to the last idle",
            *got(0, "a", IDLE),
            *got(200, "b", ticket("customer A", seconds)),
            *waits(300, end, 1),
            ("time", end - 1),
            ("time", end),
        )
    yield display(
        "display_ends_a_ticket_by_the_wall_clock",
        "C23",
        "there is no other",
        *SHOWN,
        *waits(300, 90_300, 1),
        ("time", 90_299),
        ("time", 90_300),
        monotonic=False,
    )
    yield display(
        "display_ends_a_ticket_by_the_clock_that_went_further",
        "C23",
        "the wall clock was set 9 s ahead",
        *SHOWN,
        ("clock", 1000, 9000),
        *waits(1000, 81_300, 1),
        ("time", 81_299),
        ("time", 81_300),
    )
    yield display(
        "display_ends_thanks_after_10_s",
        "C40",
        "by its own clock",
        *got(0, "a", IDLE),
        *got(200, "b", THANKS),
        ("hello", 300, "c"),
        ("time", 9000),
        ("time", 10_299),
        ("time", 10_300),
    )
    yield display(
        "display_ends_live_after_120_s",
        "C40",
        "by its own clock",
        *got(0, "a", IDLE),
        *got(200, "b", LIVE),
        *waits(300, 120_300, 1),
        ("time", 120_299),
        ("time", 120_300),
    )
    yield display(
        "display_falls_back_to_the_last_idle_content",
        "C23",
        "not to the first",
        *got(0, "a", IDLE),
        *got(200, "b", OTHER_IDLE),
        *got(400, "c", ticket("customer A", 2)),
        ("time", 2500),
    )
    yield display(
        "display_shows_the_next_ticket_at_once",
        "C23",
        "its time is its own",
        *SHOWN,
        ("hello", 300, "c"),
        ("answer", 10_000, sealed(ticket("customer B", 30))),
        ("hello", 10_000, "d"),
        ("answer", 35_000, NOTHING),
        ("time", 39_999),
        ("time", 40_000),
    )
    yield display(
        "display_begins_anew_with_the_same_ticket",
        "C42",
        "accepted again",
        *SHOWN,
        ("hello", 300, "c"),
        ("answer", 10_000, sealed(A)),
        *waits(10_000, 100_000, 1),
        ("time", 99_999),
        ("time", 100_000),
    )
    yield display(
        "display_prolongs_a_ticket_that_is_tapped",
        "C42",
        "its seconds from the tap on",
        *got(0, "a", IDLE),
        *got(200, "b", ticket("customer A", 30)),
        ("hello", 300, "c"),
        ("tap", 20_300),
        ("answer", 25_300, NOTHING),
        ("hello", 25_300, "d"),
        ("time", 30_300),
        ("answer", 50_299, NOTHING),
        ("time", 50_300),
    )
    yield display(
        "display_does_not_shorten_a_ticket_that_is_tapped",
        "C42",
        "tapped twice",
        *got(0, "a", IDLE),
        *got(200, "b", ticket("customer A", 5)),
        ("hello", 300, "c"),
        ("tap", 2300),
        ("tap", 2300),
        ("time", 7299),
        ("time", 7300),
    )
    yield display(
        "display_ends_a_tapped_ticket_after_300_s",
        "C42",
        "however often it was tapped",
        *got(0, "a", IDLE),
        *got(200, "b", ticket("customer A", 120)),
        *waits(300, 100_300, 1),
        ("tap", 100_300),
        *waits(100_300, 200_300, 10),
        ("tap", 200_300),
        *waits(200_300, 300_300, 20),
        ("tap", 290_000 + 10_000),
        ("time", 300_299),
        ("time", 300_300),
    )
    yield display(
        "display_prolongs_neither_thanks_nor_live",
        "C40",
        "a tap changes nothing",
        *got(0, "a", IDLE),
        *got(200, "b", THANKS),
        ("hello", 300, "c"),
        ("tap", 9000),
        ("time", 10_300),
    )
    yield display(
        "display_discards_a_hello_after_35_s",
        "C20",
        "no answer came",
        ("hello", 0, "a"),
        ("time", 34_999),
        ("time", 35_000),
        ("hello", 36_000, "b"),
    )
    yield display(
        "display_reads_a_sealed_before_35_s",
        "C20",
        "at the last moment",
        ("hello", 0, "a"),
        ("answer", 34_999, sealed(IDLE)),
    )
    yield display(
        "display_reads_no_sealed_at_35_s",
        "C20",
        "the relay held it back",
        ("hello", 0, "a"),
        ("answer", 35_000, sealed(IDLE)),
    )
    yield display(
        "display_reads_no_sealed_at_35_s_of_the_wall_clock",
        "C20",
        "which was set 9 s ahead meanwhile",
        ("hello", 0, "a"),
        ("clock", 1000, 9000),
        ("answer", 26_000, sealed(IDLE)),
    )
    yield display(
        "display_is_as_if_hidden_when_the_wall_clock_jumps_back",
        "C21",
        "by a second",
        *SHOWN,
        ("hello", 300, "c"),
        ("clock", 1000, -1001),
        ("hello", 1100, "d"),
    )
    yield display(
        "display_is_as_if_hidden_when_an_answer_finds_the_clock_set_back",
        "C45",
        "before anything else looked at the clock",
        *SHOWN,
        ("hello", 300, "c"),
        ("clock", 300, -5000),
        ("hello", 300, "d"),
    )
    yield display(
        "display_is_as_if_hidden_when_it_slept",
        "C45",
        "11 s without a reading",
        *SHOWN,
        ("hello", 300, "c"),
        ("asleep", 11_301),
        ("hello", 11_301, "d"),
    )
    yield display(
        "display_is_not_as_if_hidden_after_10_s",
        "C45",
        "a busy tablet",
        *SHOWN,
        ("hello", 300, "c"),
        ("asleep", 10_300),
    )
    yield display(
        "display_blanks_when_it_is_hidden",
        "C22",
        "and begins anew when it is back",
        *SHOWN,
        ("hello", 300, "c"),
        ("hide", 1000),
        ("hello", 1500, "none"),
        ("show", 5000),
        ("hello", 5000, "d"),
        ("answer", 5100, sealed(IDLE)),
    )
    yield display(
        "display_stays_blank_when_it_is_back_in_time",
        "C22",
        "the ticket's time is not over",
        *SHOWN,
        ("hide", 1000),
        ("show", 2000),
    )
    yield display(
        "display_reads_no_answer_from_before_it_was_hidden",
        "C21",
        "its key is erased",
        *SHOWN,
        ("hello", 300, "c"),
        ("hide", 1000),
        ("show", 2000),
        ("hello", 2000, "d"),
        ("answer", 2100, sealed(B, to="c")),
    )
    yield display(
        "display_reads_no_answer_while_it_is_hidden",
        "C21",
        "its key is erased",
        *SHOWN,
        ("hello", 300, "c"),
        ("hide", 1000),
        ("answer", 1500, sealed(B)),
        ("show", 2000),
        ("hello", 2000, "d"),
    )
    yield display(
        "display_counts_failures_over_hiding",
        "C27",
        "hiding mends no connection",
        ("hello", 0, "a"),
        ("lost", 100),
        ("hello", 1100, "b"),
        ("hide", 1200),
        ("show", 1300),
        ("hello", 1300, "c"),
        ("lost", 1400),
    )
    at, steps = 0, []
    for number, delay in enumerate((1, 2, 4, 8, 16, 30, 30)):
        steps += [("hello", at, f"a{number}"), ("lost", at + 100)]
        at += 100 + 1000 * delay
    yield display(
        "display_waits_longer_after_each_failure",
        "C27",
        "1, 2, 4, 8, 16, 30, 30 s",
        *steps,
        ("hello", at, "b"),
        ("answer", at + 100, sealed(IDLE)),
        ("hello", at + 100, "c"),
        ("lost", at + 200),
    )
    yield display(
        "display_ends_a_row_of_failures_with_a_204",
        "C27",
        "the relay is there",
        ("hello", 0, "a"),
        ("lost", 100),
        ("hello", 1100, "b"),
        ("answer", 1200, NOTHING),
        ("hello", 4200, "c"),
        ("lost", 4300),
    )
    for status in (400, 401, 403, 404, 409, 411, 413, 500, 502, 302):
        yield display(
            f"display_takes_{status}_for_a_failure",
            "C27",
            "it keeps P",
            ("hello", 0, "a"),
            ("answer", 100, {"status": status}),
        )
    yield display(
        "display_takes_a_sealed_that_is_refused_for_a_failure",
        "C27",
        "one bit of the tag",
        ("hello", 0, "a"),
        ("answer", 100, sealed(IDLE, xor=[511, "01"])),
    )
    yield display(
        "display_takes_a_sealed_of_framing_for_a_failure",
        "C27",
        "two things to show",
        ("hello", 0, "a"),
        ("answer", 100, {"status": 200, "text": '{"idle":true,"thanks":true}'}),
    )
    for status in (429, 503):
        for asked, label in (
            ("7", "7"),
            ("0", "0"),
            ("900", "900"),
            ("Wed, 21 Oct 2026", "a_date"),
        ):
            yield display(
                f"display_waits_after_{status}_with_a_retry_after_of_{label}",
                "C27",
                "the longer counts, up to 120 s; a date does not",
                ("hello", 0, "a"),
                ("answer", 100, {"status": status, "retry_after": asked}),
            )
    yield display(
        "display_heeds_retry_after_of_429_and_503_only",
        "C27",
        "404 has none",
        ("hello", 0, "a"),
        ("answer", 100, {"status": 404, "retry_after": "60"}),
    )
    yield display(
        "display_waits_a_moment_after_an_early_204",
        "C28",
        "1 to 3 s, at random",
        *got(0, "a", IDLE),
        ("hello", 100, "b"),
        ("answer", 20_099, NOTHING),
    )
    yield display(
        "display_goes_on_at_once_after_a_204_in_time",
        "C28",
        "20 s or later",
        *got(0, "a", IDLE),
        ("hello", 100, "b"),
        ("answer", 20_100, NOTHING),
    )
    yield display(
        "display_ends_live_at_the_second_failure",
        "C47",
        "not at the first",
        *got(0, "a", IDLE),
        *got(100, "b", LIVE),
        ("hello", 200, "c"),
        ("lost", 300),
        ("hello", 1300, "d"),
        ("lost", 1400),
    )
    yield display(
        "display_ends_thanks_at_the_second_failure",
        "C47",
        "idem",
        *got(0, "a", IDLE),
        *got(100, "b", THANKS),
        ("hello", 200, "c"),
        ("lost", 300),
        ("hello", 1300, "d"),
        ("lost", 1400),
    )
    yield display(
        "display_keeps_a_ticket_over_failures",
        "C47",
        "its customer stands there",
        *SHOWN,
        ("hello", 300, "c"),
        ("lost", 400),
        ("hello", 1400, "d"),
        ("lost", 1500),
        ("hello", 3500, "e"),
        ("lost", 3600),
    )
    yield display(
        "display_forgets_its_pairing_when_its_channel_is_gone",
        "C30",
        "410",
        *SHOWN,
        ("hello", 300, "c"),
        ("answer", 400, {"status": 410}),
        ("hello", 1000, "none"),
        ("time", 5000),
    )
    yield display("display_draws_its_own_origin", "C25", "the sealed names no host", *SHOWN)
