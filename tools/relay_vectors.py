"""The exchanges of spec/vectors/relay.json: what a relay answers to each request.

Unlike the other vectors these are not computed: they are what spec/relay.md says, written down; a
test plays them against a relay. Secrets are SHA-256 of the scenario's name.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TypedDict, Unpack

from e2ee_ticket.protocol.channel import PairingSecret
from e2ee_ticket.protocol.envelope import SIZES
from e2ee_ticket.protocol.secret import Secret

Json = dict[str, object]
Pieces = Sequence[object]

STATUSES = {
    "unknown-path": 404,
    "method": 405,
    "bad-request": 400,
    "bad-length": 400,
    "bad-magic": 400,
    "bad-ttl": 400,
    "permit": 401,
    "authorization": 401,
    "token": 403,
    "absent": 404,
    "channel-absent": 404,
    "hello-gone": 404,
    "taken": 409,
    "answered": 409,
    "superseded": 409,
    "gone": 410,
    "channel-gone": 410,
    "length-required": 411,
    "too-large": 413,
}
MAGIC = b"tkt/v1\r\n".hex()
STRANGER = hashlib.sha256(b"a stranger's token").digest()
TTL_DEFAULT = 259_200


class More(TypedDict, total=False):
    """What few steps have."""

    permit: bool
    chunked: bool
    begin: str
    until: bool


def refused(kind: str, **members: object) -> Json:
    """A problem of this type."""
    return {"status": STATUSES[kind], "type": kind, **members}


def gone(reason: str) -> Json:
    """The problem that tells how a ticket has ended."""
    return refused("gone", reason=reason)


def done(status: int, **members: object) -> Json:
    """Any other answer."""
    return {"status": status, **members}


def told(status: int, state: str, expires_in: int) -> Json:
    """A ticket's state, as upload and state tell it."""
    return done(status, json={"state": state, "expires_in": expires_in})


def ask(
    method: str,
    path: str,
    expect: Json | None,
    *,
    body: Pieces | None = None,
    token: bytes | str | None = None,
    headers: dict[str, str] | None = None,
    **more: Unpack[More],
) -> Json:
    """One request and what is expected."""
    request: Json = {"method": method, "path": path}
    request |= {word: True for word in ("permit", "chunked") if more.get(word)}
    given = dict(headers or {})
    if token is not None:
        given["Authorization"] = "Bearer " + (token if isinstance(token, str) else token.hex())
    if given:
        request["headers"] = given
    if body is not None:
        request["body"] = body
    step: Json = {word: more[word] for word in ("begin", "until") if word in more}
    step["request"] = request
    return step if expect is None else step | {"expect": expect}


def scenario(name: str, rule: str, comment: str, *steps: Json, mode: str = "any") -> Json:
    """One entry of the file; its outcome is that of its last step."""
    last = steps[-1]["expect"]
    assert isinstance(last, dict)  # noqa: S101 - the type of what this module has made
    return {
        "name": name,
        "rule": rule,
        "comment": comment,
        "mode": mode,
        "steps": list(steps),
        "expect": last.get("type", "ok"),
    }


class Ticket:
    """The requests of one scenario's ticket."""

    def __init__(self, name: str) -> None:
        secret = Secret(hashlib.sha256(name.encode()).digest())
        self.token = secret.token()
        self.head = MAGIC + secret.token_hash().hex()
        self.path = f"/v1/t/{secret.id}"

    def envelope(self, *, size: int = SIZES[0], fill: str = "00") -> Pieces:
        """Bytes that a relay takes; it cannot know better."""
        return [self.head, [fill, size - len(self.head) // 2]]

    def put(
        self,
        expect: Json,
        body: Pieces | None = None,
        *,
        ttl: str | None = None,
        **more: Unpack[More],
    ) -> Json:
        """Upload."""
        headers = {} if ttl is None else {"Ticket-TTL": ttl}
        more.setdefault("permit", True)
        body = self.envelope() if body is None else body
        return ask("PUT", self.path, expect, body=body, headers=headers, **more)

    def stored(self, *, ttl: int = TTL_DEFAULT) -> Json:
        """Upload with success."""
        text = None if ttl == TTL_DEFAULT else str(ttl)
        return self.put(told(201, "stored", ttl), ttl=text)

    def get(self, expect: Json | None = None, method: str = "GET") -> Json:
        """Fetch; the whole envelope unless something else is expected."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(SIZES[0])}
        whole = done(200, headers=headers) | ({"body": self.envelope()} if method == "GET" else {})
        return ask(method, self.path, expect or whole)

    def post(
        self,
        word: str,
        expect: Json | None = None,
        *,
        token: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Json:
        """Change the state."""
        body: Pieces = [((token or self.token) + word.encode()).hex()]
        path = self.path + "/state"
        return ask("POST", path, expect or done(204), body=body, headers=headers)

    def state(
        self,
        expect: Json | None,
        query: str = "",
        *,
        token: bytes | str | None = None,
        headers: dict[str, str] | None = None,
        **more: Unpack[More],
    ) -> Json:
        """Follow the state; as whoever holds the link unless told otherwise."""
        if headers is None and token is None:
            token = self.token
        path = f"{self.path}/state{query}"
        return ask("GET", path, expect, token=token, headers=headers, **more)


class Channel:
    """The requests of one scenario's channel."""

    def __init__(self, name: str) -> None:
        pairing = PairingSecret(hashlib.sha256(name.encode()).digest())
        self.read_token = pairing.read_token()
        self.write_token = hashlib.sha256(name.encode() + b" wtok").digest()
        self.path = f"/v1/c/{pairing.cid}"
        hashes = [hashlib.sha256(t).hexdigest() for t in (self.read_token, self.write_token)]
        self.registration: Pieces = [b"dsp/v1\r\n".hex(), *hashes]
        self.other: Pieces = [b"dsp/v1\r\n".hex(), *reversed(hashes)]

    def put(self, expect: Json, body: Pieces | None = None, **more: Unpack[More]) -> Json:
        """Register."""
        more.setdefault("permit", True)
        body = self.registration if body is None else body
        return ask("PUT", self.path, expect, body=body, **more)

    def registered(self) -> Json:
        """Register with success."""
        return self.put(done(201))

    def unpair(self, expect: Json | None = None, *, token: bytes | str | None = None) -> Json:
        """Unpair, as the till unless told otherwise."""
        return ask("DELETE", self.path, expect or done(204), token=token or self.write_token)

    def hello(
        self,
        number: int,
        expect: Json | None = None,
        *,
        token: bytes | None = None,
        size: int = 80,
        **more: Unpack[More],
    ) -> Json:
        """Say a hello of so many times one byte."""
        body: Pieces = [(token or self.read_token).hex(), [f"{number:02x}", size]]
        return ask("POST", self.path + "/hello", expect, body=body, **more)

    def poll(
        self,
        expect: Json | None,
        query: str = "?wait=0",
        *,
        token: bytes | str | None = None,
        headers: dict[str, str] | None = None,
        **more: Unpack[More],
    ) -> Json:
        """Poll, as the till unless told otherwise."""
        token = self.write_token if token is None else token
        path = f"{self.path}/hello{query}"
        return ask("GET", path, expect, token=token or None, headers=headers, **more)

    def sees(self, *numbers: int) -> Json:
        """Poll until exactly these hellos are live."""
        body: Pieces = [[f"{number:02x}", 80] for number in numbers]
        return self.poll(done(200, body=body, etag=True), until=True)

    def answer(
        self,
        number: int,
        expect: Json | None = None,
        *,
        size: int = 512,
        token: bytes | str | None = None,
        **more: Unpack[More],
    ) -> Json:
        """Answer a hello."""
        token = self.write_token if token is None else token
        hid = hashlib.sha256(bytes([number]) * 80).hexdigest()[:32]
        path = f"{self.path}/hello/{hid}"
        body: Pieces = [["5e", size]]
        return ask("PUT", path, expect or done(204), body=body, token=token or None, **more)

    def wait(self, number: int) -> list[Json]:
        """Begin to say a hello, and wait until it is live."""
        return [self.hello(number, begin=f"display {number}"), self.sees(number)]


def end(name: str, expect: Json) -> Json:
    """The answer to a request that was begun before."""
    return {"end": name, "expect": expect}


SEALED: Pieces = [["5e", 512]]


def after(seconds: int, step: Json) -> Json:
    """So much time passes before a step."""
    return {"after": seconds} | step


def races() -> Iterator[Json]:
    """What a relay answers as time passes, and when two come at once."""
    yield from _lives()
    yield from _states_in_time()
    yield from _handshakes()


DAY = 86_400


def _lives() -> Iterator[Json]:
    t = Ticket(name := "life_ends_at_its_expiry")
    over = after(1, t.get(gone("expired")))
    yield scenario(name, "R21", "to the second", t.stored(ttl=600), after(599, t.get()), over)
    t = Ticket(name := "tombstone_stays_8_days_after_the_expiry")
    there = after(600 + 8 * DAY - 1, t.get(gone("expired")))
    step = after(1, t.get(refused("absent")))
    yield scenario(name, "R20", "and no longer", t.stored(ttl=600), there, step)
    t = Ticket(name := "tombstone_of_a_revoked_ticket_stays_as_long")
    there = after(600 + 8 * DAY - 1, t.get(gone("revoked")))
    steps = [t.stored(ttl=600), t.post("revoked"), there, after(1, t.get(refused("absent")))]
    yield scenario(name, "R20", "8 days after the expiry that it had", *steps)
    t = Ticket(name := "upload_repeated_prolongs_nothing")
    again = after(300, t.put(told(200, "stored", 300), ttl="600"))
    steps = [t.stored(ttl=600), again, after(300, t.get(gone("expired")))]
    yield scenario(name, "R39", "neither expiry nor state", *steps)
    t = Ticket(name := "upload_repeated_after_its_life")
    steps = [t.stored(ttl=600), after(7 * DAY, t.put(gone("expired"), ttl="600"))]
    yield scenario(name, "R37", "a retry that is late, but not later than 7 days", *steps)


def _states_in_time() -> Iterator[Json]:
    t = Ticket(name := "opened_leaves_a_day")
    steps = [t.stored(), after(60, t.post("opened")), t.state(told(200, "opened", DAY))]
    yield scenario(name, "R66", "of three", *steps)
    t = Ticket(name := "opened_prolongs_nothing")
    steps = [t.stored(ttl=600), after(60, t.post("opened")), t.state(told(200, "opened", 540))]
    yield scenario(name, "R66", "the earlier counts", *steps)
    t = Ticket(name := "opened_again_changes_nothing")
    again = after(3600, t.post("opened"))
    steps = [t.stored(), t.post("opened"), again, t.state(told(200, "opened", DAY - 3600))]
    yield scenario(name, "R65", "the day is that of the first", *steps)
    t = Ticket(name := "received_leaves_15_minutes")
    steps = [t.stored(), after(60, t.post("received")), t.state(told(200, "received", 900))]
    yield scenario(name, "R67", "of three days", *steps)
    t = Ticket(name := "received_prolongs_nothing")
    steps = [t.stored(ttl=600), after(60, t.post("received")), t.state(told(200, "received", 540))]
    yield scenario(name, "R67", "the earlier counts", *steps)
    t = Ticket(name := "opened_after_received_changes_nothing")
    later = after(60, t.post("opened"))
    steps = [t.stored(), t.post("received"), later, t.state(told(200, "received", 840))]
    yield scenario(name, "R65", "states only go up", *steps)
    for word, reason in (("received", "received"), ("opened", "expired")):
        t = Ticket(name := f"reason_of_a_ticket_that_was_{word}")
        steps = [t.stored(ttl=600), t.post(word), after(600, t.get(gone(reason)))]
        yield scenario(name, "R69", "when it expired", *steps)
    t = Ticket(name := "reason_of_a_ticket_that_was_received_and_revoked")
    steps = [t.stored(), t.post("received"), t.post("revoked"), t.get(gone("revoked"))]
    yield scenario(name, "R69", "revoked wins", *steps)
    t = Ticket(name := "state_after_its_expiry")
    steps = [t.stored(ttl=600), after(600, t.post("opened", gone("expired")))]
    yield scenario(name, "R63", "too late", *steps)
    t = Ticket(name := "state_waits_and_nothing_happens")
    waiting = t.state(None, "?since=stored&wait=25", begin="till")
    over = after(25, end("till", told(200, "stored", 575)))
    yield scenario(name, "R7", "25 s", t.stored(ttl=600), waiting, over)
    t = Ticket(name := "state_waits_and_its_ticket_expires")
    waiting = t.state(None, "?since=stored&wait=25", begin="till")
    over = after(10, end("till", told(200, "expired", 0)))
    yield scenario(name, "R73", "that is a change", t.stored(ttl=60), after(50, waiting), over)
    t = Ticket(name := "state_waits_and_its_ticket_is_opened")
    waiting = t.state(None, "?since=stored&wait=25", begin="till")
    woken = end("till", told(200, "opened", DAY))
    yield scenario(name, "R7", "at once", t.stored(), waiting, t.post("opened"), woken)
    t = Ticket(name := "revoke_overtakes_its_upload")
    steps = [t.post("revoked", refused("absent")), t.stored(), t.get(), t.post("revoked")]
    yield scenario(name, "R61", "so the till posts again (R130)", *steps, t.get(gone("revoked")))
    t = Ticket(name := "two_envelopes_of_one_id")
    other = t.put(refused("taken"), t.envelope(fill="01"))
    steps = [t.stored(), other, t.put(told(200, "stored", TTL_DEFAULT)), t.get()]
    yield scenario(name, "R42", "the first stays", *steps)


def _handshakes() -> Iterator[Json]:
    c = Channel(name := "hello_waits_25_s")
    over = after(25, end("display 1", done(204)))
    yield scenario(name, "R91", "and then 204", c.registered(), *c.wait(1), over, c.sees())
    c = Channel(name := "poll_waits_25_s")
    waiting = c.poll(None, "", headers={"If-None-Match": "{etag}"}, begin="till")
    over = after(25, end("till", done(304, etag=True)))
    yield scenario(name, "R7", "its default", c.registered(), c.sees(), waiting, over)
    c = Channel(name := "poll_ends_the_one_before")
    held = {"If-None-Match": "{etag}"}
    waiting = c.poll(None, "?wait=25", headers=held, begin="old till")
    newer = c.poll(None, "?wait=25", headers=held, begin="new till")
    ends = [end("old till", refused("superseded")), after(25, end("new till", done(304)))]
    yield scenario(name, "R102", "two tills", c.registered(), c.sees(), waiting, newer, *ends)
    c = Channel(name := "hello_answered_is_not_live_for_60_s")
    answered = [c.answer(1), end("display 1", done(200, body=SEALED))]
    again = after(59, c.hello(1, done(204)))
    steps: list[Json] = [
        c.registered(),
        *c.wait(1),
        *answered,
        again,
        c.answer(1, refused("answered")),
    ]
    yield scenario(name, "R95", "204 at once, and 409", *steps)
    c = Channel(name := "hello_answered_is_forgotten_after_60_s")
    answered = [c.answer(1), end("display 1", done(200, body=SEALED))]
    late = after(61, c.answer(1, refused("hello-gone")))
    yield scenario(name, "R112", "404", c.registered(), *c.wait(1), *answered, late)
    c = Channel(name := "answer_lost_on_its_way_back")
    answered = [
        c.answer(1),
        end("display 1", done(200, body=SEALED)),
        c.answer(1, refused("answered")),
    ]
    yield scenario(name, "R111", "the till asks again", c.registered(), *c.wait(1), *answered)
    c = Channel(name := "answer_after_the_display_left")
    left: Json = {"leave": "display 1"}
    gone_now = c.answer(1, refused("hello-gone"))
    yield scenario(name, "R92", "404", c.registered(), *c.wait(1), left, c.sees(), gone_now)
    c = Channel(name := "hello_waits_while_its_channel_is_unpaired")
    ended = end("display 1", refused("channel-gone"))
    yield scenario(name, "R86", "410 at once", c.registered(), *c.wait(1), c.unpair(), ended)
    c = Channel(name := "unpaired_for_good")
    later = after(1000 * DAY, c.put(refused("channel-gone")))
    yield scenario(name, "R81", "1000 days later", c.registered(), c.unpair(), later)


def relay() -> Iterator[Json]:
    """Every exchange."""
    yield from _uploads()
    yield from _uploads_refused()
    yield from _fetches()
    yield from _changes()
    yield from _changes_refused()
    yield from _states()
    yield from _registrations()
    yield from _unpairings()
    yield from _hellos()
    yield from _polls()
    yield from _sealed()
    yield from _paths()


# Tickets


def _uploads() -> Iterator[Json]:
    for size in SIZES:
        name = f"upload_of_{size}_bytes"
        t = Ticket(name)
        step = t.put(told(201, "stored", TTL_DEFAULT), t.envelope(size=size))
        yield scenario(name, "R33", "one of the 17 lengths", step)
    for name, comment, fill in (
        ("upload_stored", "stored, and fetched byte for byte", "00"),
        ("upload_of_other_padding", "what follows th is nothing to the relay", "c3"),
    ):
        t = Ticket(name)
        body = t.envelope(fill=fill)
        stored = t.put(told(201, "stored", TTL_DEFAULT), body)
        yield scenario(name, "R41", comment, stored, t.get(done(200, body=body)))
    for ttl in (60, 604_800):
        name = f"upload_for_{ttl}_seconds"
        yield scenario(name, "R34", "a limit of Ticket-TTL", Ticket(name).stored(ttl=ttl))
    t = Ticket("upload_of_another_content_type")
    step = t.put(told(201, "stored", TTL_DEFAULT))
    step["request"]["headers"] = {"Content-Type": "text/html"}  # type: ignore[index]
    yield scenario("upload_of_another_content_type", "R3", "it is ignored", step)
    t = Ticket("upload_repeated")
    again = t.put(told(200, "stored", 600), ttl="604800")
    comment = "the same bytes: the expiry stays what it was"
    yield scenario("upload_repeated", "R39", comment, t.stored(ttl=600), again)
    t = Ticket("upload_repeated_after_opened")
    again = t.put(told(200, "opened", 86_400))
    comment = "the state stays what it was"
    yield scenario(
        "upload_repeated_after_opened", "R39", comment, t.stored(), t.post("opened"), again
    )
    t = Ticket("upload_of_nothing_without_a_permit")
    step = t.put(refused("permit"), [], permit=False, chunked=True, ttl="x")
    comment = "before anything else is looked at"
    yield scenario("upload_of_nothing_without_a_permit", "R10", comment, step, mode="closed")
    t = Ticket("upload_to_an_open_relay")
    step = t.put(told(201, "stored", TTL_DEFAULT), permit=False)
    yield scenario("upload_to_an_open_relay", "R10", "without a permit", step, mode="open")


def _uploads_refused() -> Iterator[Json]:
    for name, value in (
        ("without_a_permit", None),
        ("with_an_unknown_permit", "Bearer " + "A" * 43),
        ("with_a_permit_of_44_characters", "Bearer " + "A" * 44),
        ("with_a_permit_of_another_scheme", "Basic " + "A" * 43),
    ):
        t = Ticket("upload_" + name)
        step = t.put(refused("permit"), permit=False)
        if value is not None:
            step["request"]["headers"] = {"Authorization": value}  # type: ignore[index]
        absent = t.get(refused("absent"))
        steps: list[Json] = [absent, step]
        yield scenario("upload_" + name, "R30", "a closed relay", *steps, mode="closed")
    for name, rule, kind, comment, body in (
        ("permit_first", "R30", "permit", "before everything else", []),
        ("length_second", "R31", "length-required", "before size and TTL", [["00", 99]]),
        ("size_third", "R32", "too-large", "before length and TTL", [["00", SIZES[-1] + 1]]),
        ("one_of_17_fourth", "R33", "bad-length", "before the TTL", [["00", 16_383]]),
        ("ttl_fifth", "R34", "bad-ttl", "before the body is read", [["00", 16_384]]),
    ):
        t = Ticket("upload_" + name)
        more: More = {"permit": kind != "permit", "chunked": kind in {"permit", "length-required"}}
        step = t.put(refused(kind), body, ttl="never", **more)
        mode = "closed" if kind == "permit" else "any"
        yield scenario("upload_" + name, rule, comment, step, mode=mode)
    for size in (0, 1, 16_383, 16_385, 20_480, SIZES[-1] - 1):
        t = Ticket(f"upload_of_{size}_bytes")
        step = t.put(refused("bad-length"), [["00", size]])
        yield scenario(f"upload_of_{size}_bytes", "R33", "none of the 17 lengths", step)
    for word, ttl in (
        ("nothing", ""),
        ("59", "59"),
        ("604801", "604801"),
        ("minus_60", "-60"),
        ("plus_60", "+60"),
        ("a_fraction", "60.0"),
        ("an_exponent", "6e1"),
        ("hex", "0x60"),
        ("a_word", "sixty"),
        ("many_digits", "9" * 40),
    ):
        t = Ticket("upload_for_" + word)
        step = t.put(refused("bad-ttl"), ttl=ttl)
        yield scenario("upload_for_" + word, "R34", "no integer from 60 to 604800", step)
    for word, magic in (
        ("version_2", b"tkt/v2\r\n"),
        ("a_registration", b"dsp/v1\r\n"),
        ("capital_letters", b"TKT/v1\r\n"),
        ("bare_newlines", b"tkt/v1\n\n"),
        ("zeros", bytes(8)),
    ):
        t = Ticket("upload_of_" + word)
        step = t.put(refused("bad-magic"), [magic.hex(), ["00", 16_376]])
        yield scenario("upload_of_" + word, "R36", "another magic", step)
    t = Ticket("upload_magic_before_tombstone")
    step = t.put(refused("bad-magic"), [["00", 16_384]])
    steps = [t.stored(), t.post("revoked"), step]
    yield scenario("upload_magic_before_tombstone", "R36", "the body is looked at first", *steps)
    for word, fill in (("the_same_bytes", "00"), ("other_bytes", "01")):
        t = Ticket(f"upload_of_{word}_to_a_tombstone")
        step = t.put(gone("revoked"), t.envelope(fill=fill))
        name = f"upload_of_{word}_to_a_tombstone"
        yield scenario(name, "R37", "what has been stays", t.stored(), t.post("revoked"), step)
    t = Ticket("upload_where_other_bytes_are")
    step = t.put(refused("taken"), t.envelope(fill="01"))
    comment = "the first stay, and are fetched"
    steps = [t.stored(), step, t.get(), step]
    yield scenario("upload_where_other_bytes_are", "R38", comment, *steps)


def _fetches() -> Iterator[Json]:
    t = Ticket("fetch_changes_nothing")
    steps: list[Json] = [t.stored(), t.get(), t.get(), t.get(method="HEAD")]
    state = t.state(told(200, "stored", TTL_DEFAULT))
    yield scenario("fetch_changes_nothing", "R53", "neither GET nor HEAD", *steps, state)
    t = Ticket("fetch_after_received")
    steps = [t.stored(), t.post("received"), t.get()]
    yield scenario("fetch_after_received", "R52", "until its expiry", *steps)
    t = Ticket("fetch_of_nothing")
    yield scenario("fetch_of_nothing", "R50", "never seen", t.get(refused("absent")))
    t = Ticket("fetch_of_a_revoked_ticket")
    steps = [t.stored(), t.post("revoked"), t.get(gone("revoked"))]
    yield scenario("fetch_of_a_revoked_ticket", "R51", "with its reason", *steps)
    t = Ticket("fetch_of_a_ticket_revoked_after_received")
    steps = [t.stored(), t.post("received"), t.post("revoked"), t.get(gone("revoked"))]
    comment = "revoked goes before received"
    yield scenario("fetch_of_a_ticket_revoked_after_received", "R69", comment, *steps)


def _changes() -> Iterator[Json]:
    for name, rule, comment, ttl, words, state, seconds in (
        ("opened", "R66", "24 h from now", TTL_DEFAULT, "opened", "opened", 86_400),
        ("opened_of_a_short_ticket", "R66", "its expiry is earlier", 600, "opened", "opened", 600),
        ("received", "R67", "15 minutes from now", TTL_DEFAULT, "opened received", "received", 900),
        ("received_at_once", "R65", "opened never came", TTL_DEFAULT, "received", "received", 900),
        ("received_of_a_short_ticket", "R67", "idem", 600, "opened received", "received", 600),
        ("opened_twice", "R65", "repeated", TTL_DEFAULT, "opened opened", "opened", 86_400),
        ("opened_late", "R65", "lower", TTL_DEFAULT, "received opened", "received", 900),
        ("received_twice", "R65", "repeated", TTL_DEFAULT, "received received", "received", 900),
        ("revoked", "R68", "at once", TTL_DEFAULT, "revoked", "revoked", 0),
        ("revoked_after_opened", "R68", "idem", TTL_DEFAULT, "opened revoked", "revoked", 0),
        ("revoked_after_received", "R68", "idem", TTL_DEFAULT, "received revoked", "revoked", 0),
    ):
        t = Ticket("change_" + name)
        steps: list[Json] = [t.post(word) for word in words.split()]
        state_step = t.state(told(200, state, seconds))
        yield scenario("change_" + name, rule, comment, t.stored(ttl=ttl), *steps, state_step)
    t = Ticket("change_of_another_content_type")
    step = t.post("opened", headers={"Content-Type": "application/json"})
    yield scenario("change_of_another_content_type", "R3", "it is ignored", t.stored(), step)


def _changes_refused() -> Iterator[Json]:
    for name, tail in (
        ("to_nothing", b""),
        ("to_stored", b"stored"),
        ("to_expired", b"expired"),
        ("in_capital_letters", b"OPENED"),
        ("with_a_newline", b"opened\n"),
        ("with_33_bytes_of_token", b"-opened"),
        ("of_64_bytes", b"o" * 32),
    ):
        t = Ticket("change_" + name)
        step = ask("POST", t.path + "/state", refused("bad-request"), body=[(t.token + tail).hex()])
        yield scenario("change_" + name, "R60", "no token and word", t.stored(), step)
    for name, kind, comment, body, chunked in (
        ("of_an_empty_body", "bad-request", "before the ticket is looked for", [], False),
        ("of_31_bytes_of_token", "bad-request", "idem", [["aa", 31], b"opened".hex()], False),
        ("of_65_bytes", "too-large", "idem", [["aa", 65]], False),
        ("without_a_length", "length-required", "idem", [["aa", 38]], True),
    ):
        t = Ticket("change_" + name)
        more: More = {"chunked": True} if chunked else {}
        step = ask("POST", t.path + "/state", refused(kind), body=body, **more)
        yield scenario("change_" + name, "R60", comment, step)
    t = Ticket("change_of_nothing")
    step = t.post("opened", refused("absent"))
    yield scenario("change_of_nothing", "R61", "never seen", step)
    t = Ticket("change_by_a_stranger")
    steps: list[Json] = [t.post(w, refused("token"), token=STRANGER) for w in ("opened", "revoked")]
    comment = "who does not know the link changes nothing"
    state = t.state(told(200, "stored", TTL_DEFAULT))
    yield scenario("change_by_a_stranger", "R62", comment, t.stored(), *steps, state, steps[0])
    t = Ticket("change_of_a_tombstone_by_a_stranger")
    step = t.post("opened", refused("token"), token=STRANGER)
    comment = "the token is checked before the tombstone"
    steps = [t.stored(), t.post("revoked"), step]
    yield scenario("change_of_a_tombstone_by_a_stranger", "R62", comment, *steps)
    for word in ("opened", "received", "revoked"):
        t = Ticket(f"change_of_a_tombstone_to_{word}")
        steps = [t.stored(), t.post("revoked"), t.post(word, gone("revoked"))]
        yield scenario(f"change_of_a_tombstone_to_{word}", "R63", "it stays one", *steps)


def _states() -> Iterator[Json]:
    for name, query, comment in (
        ("without_since", "?wait=25", "at once"),
        ("of_another_since", "?since=opened&wait=25", "at once: the till holds another"),
        ("without_a_wait", "?since=stored", "at once: no wait is the default"),
        ("with_a_wait_of_0", "?since=stored&wait=0", "at once"),
    ):
        t = Ticket("state_" + name)
        rule = "R7" if "wait" in name else "R73"
        state = t.state(told(200, "stored", TTL_DEFAULT), query)
        yield scenario("state_" + name, rule, comment, t.stored(), state)
    t = Ticket("state_wakes")
    waiting = t.state(None, "?since=stored&wait=25", begin="till")
    woken = end("till", told(200, "opened", 86_400))
    yield scenario("state_wakes", "R7", "a change", t.stored(), waiting, t.post("opened"), woken)
    t = Ticket("state_of_a_tombstone")
    state = t.state(told(200, "revoked", 0), "?since=stored&wait=25")
    comment = "its reason, with no seconds left"
    yield scenario("state_of_a_tombstone", "R73", comment, t.stored(), t.post("revoked"), state)
    for name, headers in (
        ("without_a_token", {}),
        ("with_an_empty_token", {"Authorization": "Bearer "}),
        ("with_63_digits", {"Authorization": "Bearer " + "a" * 63}),
        ("with_65_digits", {"Authorization": "Bearer " + "a" * 65}),
        ("with_capital_digits", {"Authorization": "Bearer " + "A" * 64}),
        ("with_no_hex", {"Authorization": "Bearer " + "g" * 64}),
        ("with_another_scheme", {"Authorization": "Basic " + "a" * 64}),
    ):
        t = Ticket("state_" + name)
        state = t.state(refused("authorization"), "?since=never", headers=headers)
        yield scenario("state_" + name, "R70", "before everything else", state)
    for name, query in (
        ("an_unknown_since", "?since=sent"),
        ("an_empty_since", "?since="),
        ("a_since_in_capitals", "?since=Stored"),
        ("a_wait_of_26", "?since=stored&wait=26"),
        ("a_wait_below_0", "?since=stored&wait=-1"),
        ("a_wait_of_a_half", "?since=stored&wait=0.5"),
        ("an_empty_wait", "?since=stored&wait="),
        ("a_wait_in_words", "?since=stored&wait=long"),
    ):
        t = Ticket("state_with_" + name)
        rule = "R7" if "wait" in query else "R70"
        state = t.state(refused("bad-request"), query)
        yield scenario("state_with_" + name, rule, "before the ticket is looked for", state)
    t = Ticket("state_of_nothing")
    state = t.state(refused("absent"), "?since=stored&wait=25")
    yield scenario("state_of_nothing", "R71", "never seen: nothing to wait for", state)
    t = Ticket("state_for_a_stranger")
    state = t.state(refused("token"), token=STRANGER)
    yield scenario("state_for_a_stranger", "R72", "another token", t.stored(), state)
    t = Ticket("state_of_a_tombstone_for_a_stranger")
    steps: list[Json] = [t.stored(), t.post("revoked"), t.state(refused("token"), token=STRANGER)]
    yield scenario("state_of_a_tombstone_for_a_stranger", "R72", "idem", *steps)


# Channels


def _registrations() -> Iterator[Json]:
    c = Channel("channel_registered")
    again = c.put(done(200))
    yield scenario("channel_registered", "R83", "twice, the same", c.registered(), again)
    c = Channel("channel_registered_at_an_open_relay")
    step = c.put(done(201), permit=False)
    name = "channel_registered_at_an_open_relay"
    yield scenario(name, "R10", "without a permit", step, mode="open")
    for name, kind, comment, body in (
        ("permit_first", "permit", "before everything else", [["00", 99]]),
        ("without_a_length", "length-required", "chunked", [["00", 72]]),
        ("of_73_bytes", "too-large", "one too many", [["00", 73]]),
        ("of_71_bytes", "bad-request", "one too few", [b"dsp/v1\r\n".hex(), ["00", 63]]),
        ("of_0_bytes", "bad-request", "nothing", []),
        ("of_another_magic", "bad-request", "a digit", [b"dsp/v2\r\n".hex(), ["00", 64]]),
    ):
        c = Channel("channel_" + name)
        more: More = {"permit": kind != "permit", "chunked": kind == "length-required"}
        step = c.put(refused(kind), body, **more)
        mode = "closed" if kind == "permit" else "any"
        yield scenario("channel_" + name, "R80", comment, step, mode=mode)
    c = Channel("channel_of_other_hashes")
    step = c.put(refused("taken"), c.other)
    yield scenario("channel_of_other_hashes", "R82", "the first stay", c.registered(), step)
    for word, other in (("the_same", False), ("other", True)):
        c = Channel(f"channel_unpaired_and_registered_with_{word}_hashes")
        step = c.put(refused("channel-gone"), c.other if other else None)
        name = f"channel_unpaired_and_registered_with_{word}_hashes"
        yield scenario(name, "R81", "gone for good", c.registered(), c.unpair(), step)


def _unpairings() -> Iterator[Json]:
    c = Channel("unpair_without_a_token")
    step = c.unpair(refused("authorization"), token="none")  # noqa: S106 - it is none
    yield scenario("unpair_without_a_token", "R85", "64 hex digits are asked for", step)
    c = Channel("unpair_of_nothing")
    step = c.unpair(refused("channel-absent"))
    yield scenario("unpair_of_nothing", "R85", "never registered", step)
    c = Channel("unpair_by_a_stranger")
    step = c.unpair(refused("token"), token=STRANGER)
    yield scenario("unpair_by_a_stranger", "R85", "another token", c.registered(), step)
    c = Channel("unpair_by_the_display")
    step = c.unpair(refused("token"), token=c.read_token)
    comment = "the read token is not enough"
    yield scenario("unpair_by_the_display", "R85", comment, c.registered(), step)
    c = Channel("unpair_twice")
    steps: list[Json] = [
        c.registered(),
        c.unpair(),
        c.unpair(refused("channel-gone"), token=STRANGER),
    ]
    yield scenario("unpair_twice", "R85", "the tombstone before the token", *steps)
    c = Channel("unpair_ends_a_hello")
    ended = end("display 1", refused("channel-gone"))
    steps = [c.registered(), *c.wait(1), c.unpair(), ended]
    yield scenario("unpair_ends_a_hello", "R86", "the display is told", *steps)
    c = Channel("unpair_ends_a_poll")
    waiting = c.poll(None, "?wait=25", headers={"If-None-Match": "{etag}"}, begin="till")
    steps = [c.registered(), c.sees(), waiting, c.unpair(), end("till", refused("channel-gone"))]
    yield scenario("unpair_ends_a_poll", "R86", "the till is told", *steps)


def _hellos() -> Iterator[Json]:
    for name, kind, comment, number, chunked in (
        ("without_a_length", "length-required", "before the channel is looked for", 80, True),
        ("of_113_bytes", "too-large", "idem", 81, False),
        ("of_111_bytes", "bad-request", "idem", 79, False),
        ("of_32_bytes", "bad-request", "idem", 0, False),
    ):
        c = Channel("hello_" + name)
        more: More = {"chunked": True} if chunked else {}
        step = c.hello(1, refused(kind), size=number, **more)
        yield scenario("hello_" + name, "R90", comment, step)
    c = Channel("hello_to_nothing")
    step = c.hello(1, refused("channel-absent"))
    yield scenario("hello_to_nothing", "R90", "never registered", step)
    c = Channel("hello_to_an_unpaired_channel")
    steps: list[Json] = [
        c.registered(),
        c.unpair(),
        c.hello(1, refused("channel-gone"), token=STRANGER),
    ]
    yield scenario("hello_to_an_unpaired_channel", "R90", "the tombstone before the token", *steps)
    for name, stranger in (("a_stranger", True), ("the_till", False)):
        c = Channel(f"hello_by_{name}")
        step = c.hello(1, refused("token"), token=STRANGER if stranger else c.write_token)
        yield scenario(f"hello_by_{name}", "R90", "another token", c.registered(), step)
    c = Channel("hello_answered")
    answered = end("display 1", done(200, body=SEALED))
    steps = [c.registered(), *c.wait(1), c.answer(1), answered]
    yield scenario("hello_answered", "R91", "the 512 bytes", *steps)
    c = Channel("hello_said_again_after_its_answer")
    again = c.hello(1, done(204))
    steps = [c.registered(), *c.wait(1), c.answer(1), answered, again]
    yield scenario("hello_said_again_after_its_answer", "R95", "not live again", *steps)
    c = Channel("hello_of_a_display_that_left")
    left: Json = {"leave": "display 1"}
    comment = "its connection ends, and another comes"
    seen = c.hello(2, begin="display 2")
    steps = [c.registered(), *c.wait(1), seen, c.sees(1, 2), left, c.sees(2)]
    yield scenario("hello_of_a_display_that_left", "R92", comment, *steps)
    c = Channel("hello_number_five")
    steps = [c.registered()]
    for number in range(1, 5):
        begun = c.hello(number, begin=f"display {number}")
        steps = [*steps, begun, c.sees(*range(1, number + 1))]
    fifth = [c.hello(5, begin="display 5"), c.sees(2, 3, 4, 5), end("display 1", done(204))]
    yield scenario("hello_number_five", "R93", "the oldest is evicted", *steps, *fifth)
    c = Channel("hello_said_twice_at_once")
    twice = c.hello(1, begin="display 1 again")
    ends = [end("display 1", done(204)), c.sees(1), c.answer(1)]
    answered = end("display 1 again", done(200, body=SEALED))
    steps = [c.registered(), *c.wait(1), twice, *ends, answered]
    yield scenario("hello_said_twice_at_once", "R94", "the newer request counts", *steps)


def _polls() -> Iterator[Json]:
    c = Channel("poll_without_a_token")
    step = c.poll(refused("authorization"), "?wait=long", token="")
    yield scenario("poll_without_a_token", "R100", "before everything else", step)
    for word, wait in (("26", "26"), ("minus_1", "-1"), ("nothing", ""), ("a_half", "0.5")):
        c = Channel(f"poll_with_a_wait_of_{word}")
        step = c.poll(refused("bad-request"), f"?wait={wait}")
        comment = "before the channel is looked for"
        yield scenario(f"poll_with_a_wait_of_{word}", "R100", comment, step)
    c = Channel("poll_of_nothing")
    step = c.poll(refused("channel-absent"))
    yield scenario("poll_of_nothing", "R100", "never registered", step)
    c = Channel("poll_of_an_unpaired_channel")
    steps: list[Json] = [
        c.registered(),
        c.unpair(),
        c.poll(refused("channel-gone"), token=STRANGER),
    ]
    yield scenario("poll_of_an_unpaired_channel", "R100", "the tombstone before the token", *steps)
    for name, stranger in (("a_stranger", True), ("the_display", False)):
        c = Channel(f"poll_by_{name}")
        step = c.poll(refused("token"), token=STRANGER if stranger else c.read_token)
        yield scenario(f"poll_by_{name}", "R100", "another token", c.registered(), step)
    c = Channel("poll_of_an_empty_set")
    steps = [c.registered(), c.poll(done(200, body=[], etag=True), "?wait=25")]
    yield scenario("poll_of_an_empty_set", "R101", "the till holds no set: at once", *steps)
    c = Channel("poll_of_a_known_set")
    known = c.poll(done(304, etag=True), headers={"If-None-Match": "{etag}"})
    yield scenario("poll_of_a_known_set", "R101", "nothing new", c.registered(), c.sees(), known)
    for word, listed in (("weakly", "W/{etag}"), ("among_others", '"x", {etag}')):
        c = Channel(f"poll_of_a_set_known_{word}")
        known = c.poll(done(304, etag=True), headers={"If-None-Match": listed})
        comment = "nothing new"
        yield scenario(
            f"poll_of_a_set_known_{word}", "R101", comment, c.registered(), c.sees(), known
        )
    c = Channel("poll_of_any_set")
    step = c.poll(done(200, body=[], etag=True), "?wait=25", headers={"If-None-Match": "*"})
    yield scenario("poll_of_any_set", "R101", "a star names no set", c.registered(), c.sees(), step)
    c = Channel("poll_wakes")
    waiting = c.poll(None, "?wait=25", headers={"If-None-Match": "{etag}"}, begin="till")
    woken = end("till", done(200, body=[["01", 80]], etag=True))
    steps = [c.registered(), c.sees(), waiting, c.hello(1, begin="display 1"), woken]
    yield scenario("poll_wakes", "R7", "a hello came", *steps)
    c = Channel("poll_after_an_answer")
    seen = c.hello(2, begin="display 2")
    steps = [c.registered(), *c.wait(1), seen, c.sees(1, 2), c.answer(1)]
    two = c.poll(done(200, body=[["02", 80]], etag=True))
    yield scenario("poll_after_an_answer", "R103", "an answered hello is no more", *steps, two)


def _sealed() -> Iterator[Json]:
    c = Channel("sealed_without_a_token")
    step = c.answer(1, refused("authorization"), token="", chunked=True)
    yield scenario("sealed_without_a_token", "R110", "before everything else", step)
    for name, kind, size, chunked in (
        ("without_a_length", "length-required", 512, True),
        ("of_513_bytes", "too-large", 513, False),
        ("of_511_bytes", "bad-request", 511, False),
        ("of_0_bytes", "bad-request", 0, False),
    ):
        c = Channel("sealed_" + name)
        more: More = {"chunked": True} if chunked else {}
        step = c.answer(1, refused(kind), size=size, **more)
        yield scenario("sealed_" + name, "R110", "before the channel is looked for", step)
    c = Channel("sealed_to_nothing")
    step = c.answer(1, refused("channel-absent"))
    yield scenario("sealed_to_nothing", "R110", "never registered", step)
    c = Channel("sealed_to_an_unpaired_channel")
    steps: list[Json] = [
        c.registered(),
        c.unpair(),
        c.answer(1, refused("channel-gone"), token=STRANGER),
    ]
    name = "sealed_to_an_unpaired_channel"
    yield scenario(name, "R110", "the tombstone before the token", *steps)
    for name, stranger in (("a_stranger", True), ("the_display", False)):
        c = Channel(f"sealed_by_{name}")
        step = c.answer(1, refused("token"), token=STRANGER if stranger else c.read_token)
        yield scenario(f"sealed_by_{name}", "R110", "another token", c.registered(), step)
    c = Channel("sealed_to_a_hello_that_never_was")
    step = c.answer(1, refused("hello-gone"))
    yield scenario("sealed_to_a_hello_that_never_was", "R112", "not live", c.registered(), step)
    c = Channel("sealed_twice")
    answered = end("display 1", done(200, body=SEALED))
    steps = [c.registered(), *c.wait(1), c.answer(1), answered, c.answer(1, refused("answered"))]
    yield scenario("sealed_twice", "R111", "delivered once", *steps)


# Paths


def _paths() -> Iterator[Json]:
    name = "0123456789abcdef" * 2
    for word, path in (
        ("of_nothing", "/v1/"),
        ("of_another_kind", f"/v1/x/{name}"),
        ("of_31_digits", f"/v1/t/{name[1:]}"),
        ("of_33_digits", f"/v1/t/{name}0"),
        ("of_capital_digits", f"/v1/t/{name.upper()}"),
        ("of_no_hex", f"/v1/t/{name[1:]}g"),
        ("with_a_slash_at_the_end", f"/v1/t/{name}/"),
        ("with_an_encoded_digit", f"/v1/t/%30{name[1:]}"),
        ("with_an_encoded_letter", f"/v1/t/%61{name[1:]}"),
        ("with_an_encoded_word", f"/v1/%74/{name}"),
        ("behind_a_base_path", f"/v1/v1/t/{name}"),
        ("of_a_ticket_with_more", f"/v1/t/{name}/states"),
        ("of_a_channel_with_more", f"/v1/c/{name}/hellos"),
        ("of_a_hello_of_31_digits", f"/v1/c/{name}/hello/{name[1:]}"),
        ("of_a_hello_with_a_slash", f"/v1/c/{name}/hello/"),
        ("of_info_with_a_slash", "/v1/info/"),
    ):
        comment = "not in the specification"
        step = ask("GET", path, refused("unknown-path"))
        yield scenario("path_" + word, "R5", comment, step)
    for word, path in (("a_ticket", f"/v1/t/{name}"), ("info", "/v1/info")):
        step = ask("PATCH", path, refused("method"))
        yield scenario(f"method_that_nothing_has_of_{word}", "R5", "it has no PATCH", step)
    step = ask("PATCH", "/v1/zzz", refused("unknown-path"))
    yield scenario("method_that_nothing_has_of_an_unknown_path", "R5", "the path counts", step)
    for word, path, methods, wrong in (
        ("ticket", f"/v1/t/{name}", ["GET", "PUT"], "POST"),
        ("state", f"/v1/t/{name}/state", ["GET", "POST"], "PUT"),
        ("channel", f"/v1/c/{name}", ["DELETE", "PUT"], "GET"),
        ("hellos", f"/v1/c/{name}/hello", ["GET", "POST"], "DELETE"),
        ("hello", f"/v1/c/{name}/hello/{name}", ["PUT"], "GET"),
        ("info", "/v1/info", ["GET"], "PUT"),
    ):
        step = ask(wrong, path, refused("method", lists={"Allow": methods}))
        comment = "a method that it does not have"
        yield scenario(f"method_of_{word}", "R5", comment, step)
        lists = {
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": [
                "Authorization",
                "Content-Type",
                "If-None-Match",
                "Ticket-TTL",
            ],
        }
        step = ask("OPTIONS", path, done(204, lists=lists))
        yield scenario(f"options_of_{word}", "R9", "no permit, no token", step)
    for mode in ("open", "closed"):
        info = {"version": 1, "mode": mode, "max_envelope": SIZES[-1]}
        info |= {"ttl_default": TTL_DEFAULT, "ttl_max": 604_800}
        step = ask("GET", "/v1/info", done(200, json=info))
        yield scenario(f"info_of_a_relay_that_is_{mode}", "R120", "its limits", step, mode=mode)
