"""A clock that jumps makes the relay say "expired", but never destroy."""

import http.client
import json
import sqlite3

import pytest
import relay_fakes
import relays
import stage
from relays import RelayProgram, make_envelope, run_command

from relay_server.clock import (
    JUMP_SECONDS,
    PROOF_SECONDS,
    REBOOT_SECONDS,
    GuardedClock,
    Machine,
    Seen,
    say_doubt,
)
from relay_server.config import DAY, HOUR, Config
from relay_server.store.beside import Beside
from relay_server.stores import open_store

NOW = 1_800_000_000


class FakeMachine:
    def __init__(self, uptime=50_000.0, boot="first", *, synchronized=False):
        self._uptime = uptime
        self._boot = boot
        self.synchronized = synchronized

    def uptime(self):
        return self._uptime

    def boot(self):
        return self._boot

    def is_synchronized(self):
        return self.synchronized


@pytest.fixture
def clock():
    return relay_fakes.Clock(NOW)


def times(guard):
    return guard.certain() - NOW, guard.wall() - NOW, guard.latest() - NOW


def test_time_that_passes_is_believed(clock):
    guard = GuardedClock(clock)
    for _ in range(5):
        clock.advance(DAY)
        clock.set_wall(clock.wall() + JUMP_SECONDS - 1)  # a small correction
        guard.look()

    assert guard.doubt == 0
    assert guard.certain() == guard.wall() == guard.latest() == clock.wall()


def test_a_jump_ahead_is_served_by_and_destroys_nothing(clock):
    guard = GuardedClock(clock)
    clock.set_wall(NOW + 92 * DAY)
    before_look = times(guard)
    guard.look()
    clock.advance(10)

    assert before_look == (0, 92 * DAY, 92 * DAY)
    assert guard.doubt == 92 * DAY
    assert times(guard) == (10, 92 * DAY + 10, 92 * DAY + 10)


def test_a_jump_back_ends_no_life_early(clock):
    guard = GuardedClock(clock)
    clock.set_wall(NOW - 30 * DAY)
    guard.look()
    clock.advance(10)

    assert guard.doubt == -30 * DAY
    # New tickets get the time that was counted; by the earliest that it can be is destroyed.
    assert times(guard) == (-30 * DAY + 10, 10, 10)


@pytest.mark.parametrize("jump", [92 * DAY, -92 * DAY, 2 * HOUR])
def test_a_clock_that_is_set_right_is_believed_again(clock, jump):
    guard = GuardedClock(clock)
    clock.set_wall(NOW + jump)
    guard.look()
    clock.advance(HOUR)
    clock.set_wall(NOW + HOUR + 5)
    guard.look()

    assert guard.doubt == 0
    assert times(guard) == (HOUR + 5,) * 3


def test_an_operator_s_word_ends_a_doubt(clock):
    guard = GuardedClock(clock)
    clock.set_wall(NOW + 9 * DAY)
    guard.look()
    guard.accept()
    guard.look()

    assert guard.doubt == 0
    assert times(guard) == (9 * DAY,) * 3


def test_a_kernel_that_is_kept_right_proves_it_after_a_while_and_not_at_once(clock):
    machine = FakeMachine(synchronized=True)
    guard = GuardedClock(clock, machine=machine)
    clock.set_wall(NOW + 9 * DAY)
    doubts = []
    for synchronized in (True, False, True, True):
        machine.synchronized = synchronized
        guard.look()
        clock.advance(PROOF_SECONDS)
        doubts.append(bool(guard.doubt))
    guard.look()

    assert doubts == [True, True, True, False]


@pytest.mark.parametrize(
    ("since", "uptime", "boot", "doubted"),
    [
        (5 * DAY, 50_000 + 5 * DAY, "first", False),  # the relay was away, the machine was not
        (
            5 * DAY,
            50_000 + 5 * DAY,
            "",
            False,
        ),  # the same, on a machine that does not name its starts
        (5 * DAY, 50_100, "first", True),  # somebody set the clock while no relay ran
        (-5 * DAY, 50_100, "first", True),
        (REBOOT_SECONDS - 1, 30, "second", False),  # started again
        (REBOOT_SECONDS + 1, 30, "second", True),  # was off for long, or its battery is empty
        (92 * DAY, 0, "", True),
        (-DAY, 30, "second", True),
        (2 * DAY, 90_000, "second", True),
    ],
)
def test_what_a_relay_saw_before_is_compared_at_the_start(clock, since, uptime, boot, doubted):
    seen = Seen(NOW, 50_000.0, "first" if boot else "")
    clock.set_wall(NOW + since)

    guard = GuardedClock(clock, seen=seen, machine=FakeMachine(uptime, boot))

    assert bool(guard.doubt) is doubted
    assert guard.certain() <= NOW + max(0, since)
    if doubted:
        assert min(guard.certain(), guard.wall()) <= NOW + JUMP_SECONDS + 100


def test_a_doubt_survives_a_restart_of_the_relay(clock):
    machine = FakeMachine()
    guard = GuardedClock(clock, machine=machine)
    clock.set_wall(NOW + 9 * DAY)
    guard.look()

    again = GuardedClock(clock, seen=guard.seen(), machine=machine)

    assert again.doubt == 9 * DAY
    assert again.certain() == NOW


def test_a_machine_tells_how_long_it_runs_and_whether_its_clock_is_kept_right():
    machine = Machine()

    assert machine.uptime() > 0
    assert machine.is_synchronized() in {True, False}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (92 * DAY, "92 days ahead of what it should be"),
        (-3 * HOUR, "3 hours behind what it should be"),
        (90, "90 seconds ahead of what it should be"),
    ],
)
def test_a_doubt_is_said_in_words(seconds, said):
    assert say_doubt(seconds) == said


def test_a_file_beside_that_is_damaged_is_none(tmp_path):
    beside = Beside(tmp_path / "relay.sqlite")
    beside.write(Seen(NOW, 5.0, "first"), 7)
    whole = beside.read()
    beside.known.write_text('{"newest"')

    assert whole == (Seen(NOW, 5.0, "first"), 7)
    assert beside.read() == (None, 0)


# A whole relay


@pytest.fixture
async def guarded(tmp_path, clock):
    """A relay whose sweeper runs each 20 s of its clock, on a guarded clock."""
    config = Config(open=True)
    guard = GuardedClock(clock)
    store = open_store(config, tmp_path / "relay.sqlite", guard)
    async with relays.serve(config, store, guard) as relay:
        yield relay, clock
    await store.close()


async def sweep(relay, clock):
    passes = relay.app.sweeper.passes
    clock.advance(20)
    await relay_fakes.until(lambda: relay.app.sweeper.passes > passes)


@pytest.mark.rule("R23")
@pytest.mark.parametrize("jump", [92 * DAY, 8 * DAY, 4 * DAY])
async def test_a_jump_of_the_clock_destroys_nothing_and_time_brings_it_back(guarded, jump):
    relay, clock = guarded
    await relay.call.put()
    await relay.call.put(make_envelope(fill=b"r"), ticket_id="b" * 32)
    await relay.call.post("revoked", ticket_id="b" * 32)
    await relay.call.register()

    clock.set_wall(NOW + jump)
    await sweep(relay, clock)
    meanwhile = await relay.call.get()
    health = await relay.call("GET", "/healthz")
    again = await relay.call.put(make_envelope(fill=b"r"), ticket_id="b" * 32)
    clock.set_wall(NOW + 60)
    await sweep(relay, clock)

    assert (meanwhile.status, meanwhile.json["reason"]) == (410, "expired")
    assert health.json["clock"].endswith("ahead of what it should be")
    assert (again.status, again.json["reason"]) == (410, "revoked")
    assert (await relay.call.get()).status == 200
    assert (await relay.call.get(ticket_id="b" * 32)).json["reason"] == "revoked"
    assert (await relay.call.poll(wait=0)).status == 200
    assert "clock" not in (await relay.call("GET", "/healthz")).json


@pytest.mark.rule("R23")
async def test_a_clock_that_is_set_back_shortens_no_life(guarded):
    relay, clock = guarded
    await relay.call.put(ttl=7 * DAY)

    clock.set_wall(NOW - 30 * DAY)
    await sweep(relay, clock)
    await relay.call.put(ticket_id="c" * 32)
    clock.set_wall(NOW + 60)
    await sweep(relay, clock)

    assert (await relay.call.state()).json["expires_in"] == 7 * DAY - 80
    assert (await relay.call.state(ticket_id="c" * 32)).json["expires_in"] == 3 * DAY - 60


@pytest.mark.rule("R23")
async def test_what_a_customer_deletes_while_the_clock_is_wrong_stays_deleted(guarded):
    relay, clock = guarded
    await relay.call.put()

    clock.set_wall(NOW + 4 * DAY)
    await sweep(relay, clock)
    deleted = await relay.call.post("revoked")
    clock.set_wall(NOW + 60)
    await sweep(relay, clock)

    assert deleted.status == 204
    assert (await relay.call.get()).json["reason"] == "revoked"


def put(address):
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request("PUT", f"/v1/t/{'a' * 32}", make_envelope())
        assert connection.getresponse().status == 201
    finally:
        connection.close()


def test_a_relay_started_with_a_wrong_clock_keeps_everything_and_says_so(tmp_path):
    db = tmp_path / "relay.sqlite"
    arguments = ("--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--db", str(db), "--open")
    with RelayProgram(*arguments) as relay:
        put(relay.address)
        relay.stop()
    kept = json.loads(Beside(db).known.read_text())
    # The same as a clock that runs 92 days ahead: all that was written is 92 days older.
    beside = sqlite3.connect(db)
    beside.execute("UPDATE tickets SET expiry = expiry - ?", (92 * DAY,))
    beside.commit()
    beside.close()
    Beside(db).write(Seen(kept["newest"] - 92 * DAY, kept["uptime"], kept["boot"]), 0)

    with RelayProgram(*arguments) as relay:
        stage.wait_for(lambda: Beside(db).read()[1], "doubt")
        checked = run_command("check", "--db", str(db))
        shown = run_command("clock", "--db", str(db))
        accepted = run_command("clock", "accept", "--db", str(db))
        relay.stop()
        said = "".join(relay.lines)
    envelopes = sqlite3.connect(db)
    count = envelopes.execute("SELECT count(*) FROM tickets WHERE envelope IS NOT NULL").fetchone()
    envelopes.close()
    with RelayProgram(*arguments) as relay:
        stage.wait_for(lambda: not Beside(db).read()[1], "acceptance")
        relay.stop()
        said += "".join(relay.lines)

    assert count == (1,)
    assert "FAIL  clock: this machine's clock is 92 days ahead" in checked.stdout
    assert checked.returncode == 1
    assert (shown.returncode, accepted.returncode) == (1, 0)
    assert "the clock is right, the operator says" in said
