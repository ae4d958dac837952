"""Check a running relay by its address, rule by rule (README.md beside this file).

Needs the standard library only: whoever tests another relay installs nothing.
What must happen at once is never measured: it must happen before a request ends that began earlier
and waits for 23 s, while whatever is not woken waits for 25.
"""

import argparse
import http.client
import json
import re
import secrets
import socket
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

TEXT = Path(__file__).resolve().parents[2] / "spec" / "relay.md"
KIB = 1024
SMALL_SIZES = [n * KIB for n in (16, 24, 32, 48, 64)]
LARGE_SIZES = [n * KIB for n in (96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)]
MAX_SIZE = LARGE_SIZES[-1]
TTL_DEFAULT = 259_200
ANSWER_SECONDS = 40
LATE_SECONDS = 30
STRANGER = bytes(32)
R1 = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
    "Cache-Control": "no-store, no-transform",
    "X-Content-Type-Options": "nosniff",
}
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
    "too-often": 429,
    "internal": 500,
    "overloaded": 503,
    "full": 507,
}
NOT_CHECKED = {
    "R4": "logs are not seen from outside",
    "R6": "what is stored, and how it is compared, is not seen from outside",
    "R8": "nobody may stop the relay from outside",
    "R11": "only its operator can revoke a permit",
    "R12": "the limits are the relay's own, and reaching them would shut others out",
    "R13": "only its operator can name a proxy",
    "R14": "it would take more work than a relay can do",
    "R15": "the limits are the relay's own, and reaching them would shut others out",
    "R17": "the limits are the relay's own, and reaching them would shut others out",
    "R18": "what a relay may do is not checked",
    "R16": "only its operator can limit a permit",
    "R20": "it takes 8 days",
    "R21": "it takes a minute: --slow",
    "R22": "what is stored is not seen from outside",
    "R35": "the limits are the relay's own, and reaching them would shut others out",
    "R40": "it would take filling the relay",
    "R23": "nobody may set the relay's clock from outside",
    "R74": "a rule for phones",
    "R75": "a rule for phones",
    "R84": "it takes 90 days",
    "R121": "this relay serves no pages",
    "R122": "this relay serves no pages",
    "R123": "this relay has no /healthz",
    "R124": "this relay has no page of its own",
    "R126": "this relay has no security.txt",
    "R125": "only its operator can take a ticket down",
    "R130": "a rule for tills",
    "R131": "a rule for tills",
    "R132": "a rule for tills",
}
CLOSED_ONLY = "this relay is open"
PARTLY = {
    "R33": "five of the 17 lengths; all: --slow",
    "R41": "not that it would survive a power cut",
    "R64": "not that it would survive a power cut",
    "R69": "only revoked; expired and received: --slow",
    "R83": "not that it would survive a power cut",
    "R90": "not 429: the limit is the relay's own",
    "R123": "not 503: nobody may break its store from outside",
}


class WrongError(Exception):
    """The relay does something else than its specification says."""


def require(truth, message):
    if not truth:
        raise WrongError(message)


# Talking to the relay


class Answer:
    """What came back."""

    def __init__(self, what, status, headers, body):
        self.what = what
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        try:
            told = json.loads(self.body)
        except ValueError:
            told = None
        require(isinstance(told, dict), f"{self.what}: the body is no JSON object")
        return told

    @property
    def kind(self):
        """The type of a refusal without its prefix."""
        return str(self.json.get("type")).removeprefix("urn:e2ee-ticket:")

    def words(self, name):
        return {word.strip() for word in self.headers.get(name, "").split(",")}

    def is_done(self, status, body=None):
        require(self.status == status, f"{self.what}: expected {status}, got {self}")
        if body is not None:
            require(self.body == body, f"{self.what}: other bytes than expected")
        return self

    def is_refused(self, kind, reason=None):
        expected = f"{STATUSES[kind]} {kind}" + (f" ({reason})" if reason else "")
        require(str(self) == expected, f"{self.what}: expected {expected}, got {self}")
        return self

    def is_state(self, status, state, expires_in):
        self.is_done(status)
        late = expires_in - self.json.get("expires_in", -1)
        right = self.json.get("state") == state and 0 <= late <= LATE_SECONDS
        expected = f"{state} for {expires_in} s"
        require(right, f"{self.what}: expected {expected}, got {self.json}")
        return self

    def __str__(self):
        if self.status < 400 or not self.body:
            return str(self.status)
        try:
            reason = self.json.get("reason")
            return f"{self.status} {self.kind}" + (f" ({reason})" if reason else "")
        except WrongError:
            return f"{self.status} without a problem"


class Pending:
    """A request that was sent, on a connection of its own; its answer comes in a thread."""

    def __init__(self, what, connection, note):
        self.what = what
        self.future = Future()
        self._connection = connection
        self._socket = connection.sock
        self._note = note
        self._rest = b""

    def hold(self, body):
        """Send all but the last byte."""
        self._send(body[:-1])
        self._rest = body[-1:]
        return self

    def release(self):
        self._send(self._rest)
        return self.receive()

    def send(self, body):
        self._send(body)
        return self.receive()

    def receive(self):
        threading.Thread(target=self._receive, daemon=True).start()
        return self

    def _send(self, body):
        # Whoever refuses early may close early; the refusal is what counts.
        with suppress(OSError):
            if body:
                self._connection.send(body)

    def _receive(self):
        try:
            got = self._connection.getresponse()
            answer = Answer(self.what, got.status, got.headers, got.read())
            self._connection.close()
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            self.future.set_exception(WrongError(f"{self.what}: no answer: {error!r}"))
            return
        self._note(answer)
        self.future.set_result(answer)

    @property
    def waits(self):
        return not self.future.done()

    def answer(self):
        try:
            return self.future.result(ANSWER_SECONDS)
        except TimeoutError:
            raise WrongError(f"{self.what}: no answer in {ANSWER_SECONDS} s") from None

    def answer_before(self, other):
        """The answer, which must come before a request that began earlier is over."""
        wait([self.future, other.future], ANSWER_SECONDS, FIRST_COMPLETED)
        require(not self.waits, f"{self.what}: not answered at once")
        return self.answer()

    def leave(self):
        """Close the connection."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self._socket.close()


class Ticket:
    """The requests about one ticket."""

    def __init__(self, relay):
        self._relay = relay
        self.token = secrets.token_bytes(32)
        self.path = f"/v1/t/{secrets.token_hex(16)}"

    def envelope(self, *, size=16 * KIB, fill=b"\x00"):
        """Bytes that a relay takes; it cannot know better."""
        head = b"tkt/v1\r\n" + sha256(self.token).digest()
        return head + fill * (size - len(head))

    def put(self, body=None, *, ttl=None, **more):
        headers = self._relay.permit | ({} if ttl is None else {"Ticket-TTL": str(ttl)})
        body = self.envelope() if body is None else body
        return self._relay.ask("PUT", self.path, body, headers, **more)

    def stored(self, **more):
        self.put(**more).is_state(201, "stored", more.get("ttl", TTL_DEFAULT))
        return self

    def get(self, method="GET"):
        return self._relay.ask(method, self.path)

    def post(self, word, *, token=None, **more):
        body = (token or self.token) + word.encode()
        return self._relay.ask("POST", self.path + "/state", body, **more)

    def revoked(self):
        self.post("revoked").is_done(204)
        return self

    def begin_state(self, query="", *, token=None):
        headers = bearer(token or self.token)
        return self._relay.begin("GET", f"{self.path}/state{query}", headers=headers)

    def state(self, query="", **more):
        return self.begin_state(query, **more).answer()


class Channel:
    """The requests about one channel."""

    def __init__(self, relay):
        self._relay = relay
        self.read_token = secrets.token_bytes(32)
        self.write_token = secrets.token_bytes(32)
        self.path = f"/v1/c/{secrets.token_hex(16)}"
        hashes = [sha256(self.read_token).digest(), sha256(self.write_token).digest()]
        self.registration = b"dsp/v1\r\n" + b"".join(hashes)
        self.other = b"dsp/v1\r\n" + b"".join(reversed(hashes))

    def put(self, body=None, **more):
        body = self.registration if body is None else body
        return self._relay.ask("PUT", self.path, body, self._relay.permit, **more)

    def unpair(self, token=None):
        return self._relay.ask("DELETE", self.path, headers=bearer(token or self.write_token))

    def begin_hello(self, hello, *, token=None, **more):
        body = (token or self.read_token) + hello
        return self._relay.begin("POST", self.path + "/hello", body, **more)

    def hello(self, hello, **more):
        return self.begin_hello(hello, **more).answer()

    def begin_poll(self, query="?wait=0", *, etag=None, token=None):
        headers = bearer(token or self.write_token) | ({"If-None-Match": etag} if etag else {})
        return self._relay.begin("GET", f"{self.path}/hello{query}", headers=headers)

    def poll(self, query="?wait=0", **more):
        return self.begin_poll(query, **more).answer()

    def set(self):
        return self.poll().is_done(200)

    def sees(self, *hellos):
        """Poll until exactly these are live; return the answer."""
        end = time.monotonic() + ANSWER_SECONDS / 2
        while True:
            answer = self.set()
            if answer.body == b"".join(hellos):
                return answer
            if time.monotonic() > end:
                raise WrongError(f"{answer.what}: not the {len(hellos)} hellos that were expected")
            time.sleep(0.05)

    def begin_answer(self, hello, sealed=b"s" * 512, *, token=None, **more):
        path = f"{self.path}/hello/{sha256(hello).hexdigest()[:32]}"
        return self._relay.begin("PUT", path, sealed, bearer(token or self.write_token), **more)

    def answer(self, hello, sealed=b"s" * 512, **more):
        return self.begin_answer(hello, sealed, **more).answer()


class Relay:
    """The relay under test, and what was made there."""

    def __init__(self, url, permit=None):
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self._connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._address = (parts.hostname, parts.port)
        self.permit = {"Authorization": f"Bearer {permit}"} if permit else {}
        self.answers = 0
        self.breaches = {"R1": [], "R2": []}
        self._made = []
        self._shared = None

    def open(self, method, path, headers=None, *, length=None, chunked=False):
        """Send the head of a request."""
        connection = self._connect(*self._address, timeout=ANSWER_SECONDS)
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, text in (headers or {}).items():
            connection.putheader(name, text)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif length is not None:
            connection.putheader("Content-Length", str(length))
        connection.endheaders()
        what = f"{method} {re.sub('[0-9a-f]{32}', '…', path)}"
        return Pending(what, connection, self._note)

    def begin(self, method, path, body=None, headers=None, *, chunked=False):
        """Send a request."""
        length = None if body is None else len(body)
        pending = self.open(method, path, headers, length=length, chunked=chunked)
        if chunked:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        return pending.send(body)

    def ask(self, *args, **more):
        """Send a request and wait for its answer."""
        return self.begin(*args, **more).answer()

    def ticket(self):
        self._made.append(Ticket(self))
        return self._made[-1]

    def channel(self):
        channel = Channel(self)
        channel.put().is_done(201)
        self._made.append(channel)
        return channel

    def quiet_channel(self):
        """A channel on which nothing waits; one is enough for most checks."""
        if self._shared is None:
            self._shared = self.channel()
        self._shared.sees()
        return self._shared

    @contextmanager
    def sentinel(self):
        """A request that waits for 23 s: what is to happen at once happens before it ends."""
        pending = self.ticket().stored().begin_state("?since=stored&wait=23")
        yield pending
        pending.leave()

    def clean(self):
        """Revoke and unpair everything."""
        for made in self._made:
            with suppress(WrongError, OSError):
                made.post("revoked") if isinstance(made, Ticket) else made.unpair()

    def _note(self, answer):
        """Check what holds for every answer."""
        if not re.match(r"[A-Z]+ /v1(/|$)", answer.what):
            return
        self.answers += 1
        for name, text in R1.items():
            if answer.headers.get_all(name) != [text]:
                got = answer.headers.get_all(name)
                self.breaches["R1"].append(f"{answer.what} ({answer.status}): {name} is {got}")
        if answer.status >= 400 and not answer.what.startswith("HEAD"):
            with suppress(WrongError):
                told = answer.json
                right = (
                    answer.headers["Content-Type"] == "application/problem+json"
                    and STATUSES.get(answer.kind) == told.get("status") == answer.status
                    and isinstance(told.get("title"), str)
                    and told["title"] != ""
                )
                if right:
                    return
            self.breaches["R2"].append(f"{answer.what} ({answer.status}): not a problem of R2")


def bearer(token):
    return {"Authorization": "Bearer " + (token if isinstance(token, str) else token.hex())}


def together(*pending):
    """Release the last bytes of several requests at the same time; return the answers."""
    barrier = threading.Barrier(len(pending))

    def release(one):
        barrier.wait()
        return one.release()

    with ThreadPoolExecutor(len(pending)) as threads:
        return [one.answer() for one in threads.map(release, pending)]


# The checks


CHECKS = []


def check(*rules, closed=False, slow=False, background=False, needs=None):
    """Mark a function that shows these rules."""

    def mark(function):
        CHECKS.append((rules, closed, slow, background, needs, function))
        return function

    return mark


@check("R3")
def check_content_types(relay):
    """Whatever a request calls its body."""
    text, ticket = {"Content-Type": "text/html"}, relay.ticket()
    relay.ask("PUT", ticket.path, ticket.envelope(), relay.permit | text).is_done(201)
    ticket.post("opened", headers=text).is_done(204)


@check("R5")
def check_paths(relay):
    name = secrets.token_hex(16)
    for path in (f"/v1/t/{name[1:]}", f"/v1/t/{name}0", f"/v1/t/{name[:-1]}A", f"/v1/t/{name}/",
                 f"/v1/t/{name}/states", f"/v1/x/{name}", f"/v1/c/{name}/hello/",
                 f"/v1/c/{name}/hello/{name[1:]}", "/v1/", "/v1/infos"):  # fmt: skip
        relay.ask("GET", path).is_refused("unknown-path")
    for path, methods in paths(name):
        for method in {"GET", "PUT", "POST", "DELETE", "PATCH"} - methods:
            answer = relay.ask(method, path, b"" if method != "GET" else None)
            answer.is_refused("method")
            listed = answer.words("Allow")
            require(methods <= listed and method not in listed, f"{answer.what}: a wrong Allow")


def paths(name):
    return [
        (f"/v1/t/{name}", {"GET", "PUT"}),
        (f"/v1/t/{name}/state", {"GET", "POST"}),
        (f"/v1/c/{name}", {"DELETE", "PUT"}),
        (f"/v1/c/{name}/hello", {"GET", "POST"}),
        (f"/v1/c/{name}/hello/{name}", {"PUT"}),
        ("/v1/info", {"GET"}),
    ]


@check("R9")
def check_options(relay):
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "PUT"}
    for path, methods in paths(secrets.token_hex(16)):
        answer = relay.ask("OPTIONS", path, headers=asked).is_done(204)
        listed = answer.words("Access-Control-Allow-Methods")
        require(methods <= listed, f"{answer.what}: a method is missing")
        named = {name.lower() for name in answer.words("Access-Control-Allow-Headers")}
        wanted = {"authorization", "content-type", "if-none-match", "ticket-ttl"}
        require(wanted <= named, f"{answer.what}: a header is missing")


@check("R7")
def check_long_polls(relay):
    """A state: at once, after its wait, and woken."""
    with relay.sentinel() as sentinel:
        ticket = relay.ticket().stored()
        for query in ("", "?wait=25", "?since=stored", "?since=stored&wait=0",
                      "?since=opened&wait=25", "?since=stored&wait=1"):  # fmt: skip
            told = ticket.begin_state(query).answer_before(sentinel)
            told.is_state(200, "stored", TTL_DEFAULT)
        waiting = ticket.begin_state("?since=stored&wait=25")
        relay.ask("GET", "/v1/info").is_done(200)
        require(waiting.waits, f"{waiting.what}: it does not wait")
        ticket.post("opened").is_done(204)
        waiting.answer_before(sentinel).is_state(200, "opened", 86_400)
        for text in ("26", "-1", "0.5", "", "long"):
            ticket.state(f"?since=opened&wait={text}").is_refused("bad-request")


@check("R7")
def check_long_polls_of_hellos(relay):
    """A set of hellos: after its wait, and woken."""
    with relay.sentinel() as sentinel:
        channel = relay.quiet_channel()
        etag = channel.set().headers["ETag"]
        channel.begin_poll("?wait=1", etag=etag).answer_before(sentinel).is_done(304)
        waiting = channel.begin_poll("", etag=etag)
        relay.ask("GET", "/v1/info").is_done(200)
        require(waiting.waits, f"{waiting.what}: it does not wait")
        display = channel.begin_hello(b"7" * 80)
        waiting.answer_before(sentinel).is_done(200, b"7" * 80)
        display.leave()


@check("R7", "R91", background=True)
def check_the_ends_of_long_polls(relay):
    """What takes 25 s; begun first, so that it costs no more."""
    start = time.monotonic()
    channel, other = relay.channel(), relay.channel()
    display = channel.begin_hello(b"0" * 80)
    till = other.begin_poll("", etag=other.set().headers["ETag"])
    display.answer().is_done(204, b"")
    till.answer().is_done(304)
    elapsed = time.monotonic() - start
    require(elapsed >= 20, f"hello and poll waited for {elapsed:.0f} s, not 25")


# Tickets


@check("R10", "R30", closed=True)
def check_permits(relay):
    ticket = relay.ticket()
    for headers in ({}, bearer("A" * 43), bearer(""), {"Authorization": "Basic " + "A" * 43}):
        wrong = headers | {"Ticket-TTL": "never"}
        answer = relay.ask("PUT", ticket.path, b"no envelope", wrong, chunked=True)
        answer.is_refused("permit")
    ticket.get().is_refused("absent")


@check("R31")
def check_lengths_are_required(relay):
    relay.ticket().put(b"x", ttl="never", chunked=True).is_refused("length-required")


@check("R32")
def check_sizes(relay):
    relay.ticket().put(bytes(MAX_SIZE + 1), ttl="never").is_refused("too-large")


@check("R33")
def check_small_lengths(relay):
    for size in SMALL_SIZES:
        relay.ticket().stored(body=None) if size == SMALL_SIZES[0] else put_of(relay, size)
    for size in (0, 1, 16 * KIB - 1, 16 * KIB + 1, 20 * KIB, 40 * KIB):
        relay.ticket().put(bytes(size), ttl="never").is_refused("bad-length")


@check("R33", slow=True)
def check_large_lengths(relay):
    for size in LARGE_SIZES:
        put_of(relay, size)
    relay.ticket().put(bytes(MAX_SIZE - 1)).is_refused("bad-length")


def put_of(relay, size):
    ticket = relay.ticket()
    envelope = ticket.envelope(size=size, fill=b"\x5a")
    ticket.put(envelope).is_state(201, "stored", TTL_DEFAULT)
    ticket.get().is_done(200, envelope)
    ticket.revoked()


@check("R34")
def check_ttls(relay):
    for ttl in (60, 604_800):
        relay.ticket().stored(ttl=ttl)
    for ttl in ("", "59", "604801", "-60", "+60", "60.0", "6e1", "0x60", "sixty", "9" * 40):
        relay.ticket().put(bytes(16 * KIB), ttl=ttl).is_refused("bad-ttl")


@check("R36", "R37")
def check_magic_and_tombstones(relay):
    ticket = relay.ticket()
    for magic in (b"tkt/v2\r\n", b"tkt/v1\n\n", b"dsp/v1\r\n", bytes(8)):
        ticket.put(magic + bytes(16 * KIB - 8)).is_refused("bad-magic")
    ticket.stored().revoked()
    ticket.put(bytes(16 * KIB)).is_refused("bad-magic")
    ticket.put().is_refused("gone", "revoked")
    ticket.put(ticket.envelope(fill=b"\x01")).is_refused("gone", "revoked")


@check("R38", "R39")
def check_second_uploads(relay):
    ticket = relay.ticket().stored(ttl=600)
    ticket.put(ticket.envelope(fill=b"\x01")).is_refused("taken")
    ticket.put(ttl=604_800).is_state(200, "stored", 600)
    ticket.post("opened").is_done(204)
    ticket.put().is_state(200, "opened", 600)
    ticket.get().is_done(200, ticket.envelope())


@check("R41", "R52")
def check_storing(relay):
    """The exact bytes come back, and th is where it should be."""
    ticket = relay.ticket()
    envelope = ticket.envelope()[:40] + secrets.token_bytes(16 * KIB - 40)
    ticket.put(envelope).is_state(201, "stored", TTL_DEFAULT)
    answer = ticket.get().is_done(200, envelope)
    require(
        answer.headers["Content-Length"] == str(len(envelope))
        and answer.headers["Content-Type"] == "application/octet-stream",
        f"{answer.what}: wrong Content-Length or Content-Type",
    )
    ticket.state().is_state(200, "stored", TTL_DEFAULT)


@check("R42")
def check_race_of_uploads(relay):
    """Two tills, one id, all but the last byte already there."""
    for fills in (b"ab",) * 5 + (b"aa",) * 3:
        ticket = relay.ticket()
        envelopes = [ticket.envelope(fill=bytes([fill])) for fill in fills]
        held = [
            relay.open("PUT", ticket.path, relay.permit, length=len(each)).hold(each)
            for each in envelopes
        ]
        answers = together(*held)
        statuses = sorted(answer.status for answer in answers)
        expected = [200, 201] if fills == b"aa" else [201, 409]
        require(statuses == expected, f"two uploads at once: expected {expected}, got {statuses}")
        winner = envelopes[[answer.status for answer in answers].index(201)]
        ticket.get().is_done(200, winner)


@check("R50", "R51")
def check_fetches_refused(relay):
    relay.ticket().get().is_refused("absent")
    relay.ticket().stored().revoked().get().is_refused("gone", "revoked")


@check("R53")
def check_fetching_changes_nothing(relay):
    ticket = relay.ticket().stored(ttl=600)
    for method in ("GET", "HEAD", "GET"):
        answer = ticket.get(method).is_done(200)
        require(answer.headers["Content-Length"] == str(16 * KIB), f"{answer.what}: another length")
    ticket.state().is_state(200, "stored", 600)
    ticket.get().is_done(200, ticket.envelope())


@check("R60", "R61")
def check_changes_of_another_form(relay):
    ticket, path = relay.ticket(), relay.ticket().path + "/state"
    token = ticket.token
    for body in (b"", token, token + b"stored", token + b"expired", token + b"OPENED",
                 token + b"opened\n", token[1:] + b"opened", token + bytes(32)):  # fmt: skip
        relay.ask("POST", path, body).is_refused("bad-request")
    relay.ask("POST", path, token + bytes(33)).is_refused("too-large")
    relay.ask("POST", path, token + b"opened", chunked=True).is_refused("length-required")
    ticket.post("opened").is_refused("absent")


@check("R62", "R63", "R64")
def check_changes_refused(relay):
    ticket = relay.ticket().stored()
    for word in ("opened", "received", "revoked"):
        ticket.post(word, token=STRANGER).is_refused("token")
    ticket.state().is_state(200, "stored", TTL_DEFAULT)
    ticket.post("opened").is_done(204, b"")
    ticket.revoked()
    for word in ("opened", "received", "revoked"):
        ticket.post(word, token=STRANGER).is_refused("token")
        ticket.post(word).is_refused("gone", "revoked")


@check("R65", "R66", "R67")
def check_states_go_up(relay):
    ticket = relay.ticket().stored()
    for word, state, expires_in in (
        ("opened", "opened", 86_400),
        ("opened", "opened", 86_400),
        ("received", "received", 900),
        ("opened", "received", 900),
        ("received", "received", 900),
    ):
        ticket.post(word).is_done(204)
        ticket.state().is_state(200, state, expires_in)
    ticket.get().is_done(200, ticket.envelope())
    short = relay.ticket().stored(ttl=600)
    for word in ("opened", "received"):
        short.post(word).is_done(204)
        short.state().is_state(200, word, 600)
    jumped = relay.ticket().stored()
    jumped.post("received").is_done(204)
    jumped.state().is_state(200, "received", 900)


@check("R65")
def check_race_of_states(relay):
    for _ in range(3):
        ticket = relay.ticket().stored()
        held = []
        for word in (b"opened", b"received"):
            body = ticket.token + word
            held.append(relay.open("POST", ticket.path + "/state", length=len(body)).hold(body))
        for answer in together(*held):
            answer.is_done(204)
        ticket.state().is_state(200, "received", 900)


@check("R68", "R69")
def check_revoking(relay):
    for words in ((), ("opened",), ("received",)):
        ticket = relay.ticket().stored()
        for word in words:
            ticket.post(word).is_done(204)
        ticket.revoked()
        ticket.get().is_refused("gone", "revoked")
        ticket.state("?since=stored&wait=25").is_state(200, "revoked", 0)


@check("R21", "R69", slow=True)
def check_expiry(relay):
    """One that was never opened, and one that was received."""
    first, second = relay.ticket().stored(ttl=60), relay.ticket().stored(ttl=60)
    second.post("received").is_done(204)
    waiting = first.begin_state("?since=stored&wait=25")
    end = time.monotonic() + 90
    while first.get().status == 200:
        require(time.monotonic() < end, "a ticket of 60 s is served after 90 s")
        waiting = waiting if waiting.waits else first.begin_state("?since=stored&wait=25")
        time.sleep(1)
    for ticket, reason in ((first, "expired"), (second, "received")):
        ticket.get().is_refused("gone", reason)
        ticket.put().is_refused("gone", reason)
        ticket.post("opened").is_refused("gone", reason)
        ticket.state().is_state(200, reason, 0)


@check("R70", "R71")
def check_states_of_another_form(relay):
    path = relay.ticket().path + "/state"
    for text in ("", "Bearer ", "Bearer " + "a" * 63, "Bearer " + "a" * 65, "Bearer " + "A" * 64,
                 "Bearer " + "g" * 64, "Basic " + "a" * 64):  # fmt: skip
        headers = {"Authorization": text} if text else {}
        answer = relay.ask("GET", path + "?since=never", headers=headers)
        answer.is_refused("authorization")
    for query in ("since=sent", "since=", "since=Stored", "wait=26", "wait=-1", "wait="):
        relay.ask("GET", f"{path}?{query}", headers=bearer(STRANGER)).is_refused("bad-request")
    with relay.sentinel() as sentinel:
        absent = relay.begin("GET", f"{path}?since=stored&wait=25", headers=bearer(STRANGER))
        absent.answer_before(sentinel).is_refused("absent")


@check("R72", "R73")
def check_states(relay):
    ticket = relay.ticket().stored()
    ticket.state(token=STRANGER).is_refused("token")
    for word, expires_in in (("opened", 86_400), ("received", 900), ("revoked", 0)):
        ticket.post(word).is_done(204)
        ticket.state("?since=stored&wait=25").is_state(200, word, expires_in)
    ticket.state("?since=revoked&wait=0").is_state(200, "revoked", 0)
    ticket.state(token=STRANGER).is_refused("token")


# Channels


@check("R80")
def check_registrations_of_another_form(relay):
    channel = Channel(relay)
    body = channel.registration
    channel.put(body, chunked=True).is_refused("length-required")
    channel.put(body + b"x").is_refused("too-large")
    for wrong in (b"", body[:-1], b"tkt/v1\r\n" + body[8:]):
        channel.put(wrong).is_refused("bad-request")


@check("R80", closed=True)
def check_permits_of_channels(relay):
    channel = Channel(relay)
    for headers in ({}, bearer("A" * 43)):
        answer = relay.ask("PUT", channel.path, bytes(99), headers, chunked=True)
        answer.is_refused("permit")


@check("R81", "R82", "R83", "R85", "R86")
def check_a_channels_life(relay):
    channel = relay.channel()
    channel.put().is_done(200)
    channel.put(channel.other).is_refused("taken")
    relay.ask("DELETE", channel.path).is_refused("authorization")
    relay.ask("DELETE", Channel(relay).path).is_refused("authorization")
    Channel(relay).unpair().is_refused("channel-absent")
    for token in (STRANGER, channel.read_token):
        channel.unpair(token).is_refused("token")
    with relay.sentinel() as sentinel:
        display = channel.begin_hello(b"1" * 80)
        etag = channel.sees(b"1" * 80).headers["ETag"]
        till = channel.begin_poll("?wait=25", etag=etag)
        relay.ask("GET", "/v1/info")
        require(display.waits, f"{display.what}: it does not wait")
        require(till.waits, f"{till.what}: it does not wait")
        channel.unpair().is_done(204)
        display.answer_before(sentinel).is_refused("channel-gone")
        till.answer_before(sentinel).is_refused("channel-gone")
    channel.unpair(STRANGER).is_refused("channel-gone")
    channel.put().is_refused("channel-gone")
    channel.put(channel.other).is_refused("channel-gone")
    channel.hello(b"1" * 80, token=STRANGER).is_refused("channel-gone")
    channel.poll(token=STRANGER).is_refused("channel-gone")
    channel.answer(b"1" * 80, token=STRANGER).is_refused("channel-gone")


@check("R90")
def check_hellos_refused(relay):
    absent, channel = Channel(relay), relay.quiet_channel()
    absent.hello(b"1" * 80, chunked=True).is_refused("length-required")
    absent.hello(b"1" * 81).is_refused("too-large")
    for size in (0, 79):
        absent.hello(b"1" * size).is_refused("bad-request")
    absent.hello(b"1" * 80).is_refused("channel-absent")
    for token in (STRANGER, channel.write_token):
        channel.hello(b"1" * 80, token=token).is_refused("token")
    channel.sees()


@check("R91", "R95", "R103", "R111", "R113")
def check_a_handshake(relay):
    channel = relay.quiet_channel()
    one, two = secrets.token_bytes(80), secrets.token_bytes(80)
    with relay.sentinel() as sentinel:
        first = channel.begin_hello(one)
        channel.sees(one)
        second = channel.begin_hello(two)
        etag = channel.sees(one, two).headers["ETag"]
        sealed = secrets.token_bytes(512)
        channel.answer(one, sealed).is_done(204, b"")
        answer = first.answer_before(sentinel).is_done(200, sealed)
        kind = answer.headers["Content-Type"]
        require(kind == "application/octet-stream", f"{answer.what}: sent as {kind}")
        require(second.waits, "the answer to one hello ended another")
        channel.poll(etag=etag).is_done(200, two)
        channel.answer(one).is_refused("answered")
        channel.begin_hello(one).answer_before(sentinel).is_done(204)
        channel.sees(two)
    second.leave()


@check("R92")
def check_a_display_that_leaves(relay):
    """The other one came earlier: it would be the first to end, if the end were its time's."""
    channel = relay.quiet_channel()
    stays = channel.begin_hello(b"1" * 80)
    channel.sees(b"1" * 80)
    leaves = channel.begin_hello(b"2" * 80)
    etag = channel.sees(b"1" * 80, b"2" * 80).headers["ETag"]
    till = channel.begin_poll("?wait=25", etag=etag)
    leaves.leave()
    till.answer_before(stays).is_done(200, b"1" * 80)
    stays.leave()


@check("R93")
def check_a_fifth_hello(relay):
    channel = relay.quiet_channel()
    hellos = [bytes([number]) * 80 for number in range(5)]
    displays = []
    with relay.sentinel() as sentinel:
        for number, hello in enumerate(hellos):
            displays.append(channel.begin_hello(hello))
            channel.sees(*hellos[max(0, number - 3) : number + 1])
        displays[0].answer_before(sentinel).is_done(204)
        require(all(display.waits for display in displays[1:]), "more than one was evicted")
    for display in displays[1:]:
        display.leave()


@check("R94")
def check_a_hello_said_twice(relay):
    channel = relay.quiet_channel()
    with relay.sentinel() as sentinel:
        older = channel.begin_hello(b"3" * 80)
        channel.sees(b"3" * 80)
        newer = channel.begin_hello(b"3" * 80)
        older.answer_before(sentinel).is_done(204)
        channel.sees(b"3" * 80)
        channel.answer(b"3" * 80).is_done(204)
        newer.answer_before(sentinel).is_done(200, b"s" * 512)


@check("R100", "R101")
def check_polls(relay):
    absent, channel = Channel(relay), relay.quiet_channel()
    relay.ask("GET", absent.path + "/hello?wait=long").is_refused("authorization")
    for text in ("26", "-1", "0.5", ""):
        absent.poll(f"?wait={text}").is_refused("bad-request")
    absent.poll("?wait=25").is_refused("channel-absent")
    for token in (STRANGER, channel.read_token):
        channel.poll(token=token).is_refused("token")
    empty = channel.poll("?wait=25").is_done(200, b"")
    held = empty.headers["ETag"]
    require(re.fullmatch('"[^"]+"', held or ""), f"{empty.what}: the ETag {held} is not strong")
    channel.poll(etag=held).is_done(304)
    display = channel.begin_hello(b"5" * 80)
    full = channel.sees(b"5" * 80)
    require(full.headers["ETag"] != held, f"{full.what}: two sets have one ETag")
    channel.poll("?wait=25", etag=held).is_done(200, b"5" * 80)
    display.leave()


@check("R102")
def check_two_polls(relay):
    channel = relay.quiet_channel()
    etag = channel.set().headers["ETag"]
    with relay.sentinel() as sentinel:
        for seconds in (0, 0.5, 5):
            older = channel.begin_poll("?wait=25", etag=etag)
            relay.ask("GET", "/v1/info")
            time.sleep(seconds)
            newer = channel.begin_poll("?wait=25", etag=etag)
            wait([older.future, newer.future, sentinel.future], ANSWER_SECONDS, FIRST_COMPLETED)
            if newer.waits:
                break
            # Nothing says which of two connections a busy relay turns to first: ask it with more
            # time between them.
            older.leave()
        older.answer_before(sentinel).is_refused("superseded")
        require(newer.waits, f"{newer.what}: the newer poll does not wait")
        display = channel.begin_hello(b"6" * 80)
        newer.answer_before(sentinel).is_done(200, b"6" * 80)
        display.leave()


@check("R110", "R112")
def check_answers_refused(relay):
    absent, channel = Channel(relay), relay.quiet_channel()
    hello = secrets.token_bytes(80)
    path = f"{absent.path}/hello/{'0' * 32}"
    relay.ask("PUT", path, bytes(600), chunked=True).is_refused("authorization")
    absent.answer(hello, chunked=True).is_refused("length-required")
    absent.answer(hello, bytes(513)).is_refused("too-large")
    for size in (0, 511):
        absent.answer(hello, bytes(size)).is_refused("bad-request")
    absent.answer(hello).is_refused("channel-absent")
    for token in (STRANGER, channel.read_token):
        channel.answer(hello, token=token).is_refused("token")
    channel.answer(hello).is_refused("hello-gone")


@check("R114")
def check_race_of_answers(relay):
    """Two tills answer one hello, all but the last byte already there."""
    channel = relay.quiet_channel()
    for _ in range(5):
        hello = secrets.token_bytes(80)
        display = channel.begin_hello(hello)
        channel.sees(hello)
        path = f"{channel.path}/hello/{sha256(hello).hexdigest()[:32]}"
        sealed = [b"a" * 512, b"b" * 512]
        headers = bearer(channel.write_token)
        held = [relay.open("PUT", path, headers, length=512).hold(each) for each in sealed]
        answers = together(*held)
        statuses = [answer.status for answer in answers]
        require(sorted(statuses) == [204, 409], f"two answers at once: got {sorted(statuses)}")
        answers[statuses.index(409)].is_refused("answered")
        display.answer().is_done(200, sealed[statuses.index(204)])
        channel.sees()


# About the relay


@check("R120")
def check_info(relay):
    answer = relay.ask("GET", "/v1/info").is_done(200)
    wanted = {"version": 1, "max_envelope": MAX_SIZE, "ttl_default": TTL_DEFAULT}
    wanted["ttl_max"] = 604_800
    told = {name: answer.json.get(name) for name in wanted}
    require(told == wanted, f"{answer.what}: expected {wanted}, got {told}")
    require(answer.json.get("mode") in {"open", "closed"}, f"{answer.what}: another mode")


def serves_pages(relay):
    """At / a relay without pages may have one of its own (R124)."""
    answers = [relay.ask("GET", path) for path in ("/d", "/selftest.html")]
    kinds = [answer.headers.get_content_type() for answer in answers if answer.status == 200]
    return "text/html" in kinds


@check("R121", "R122", needs=serves_pages)
def check_pages(relay):
    bodies = {}
    for path, status in (("/", 200), ("/d", 200), ("/selftest.html", 200), ("/nowhere", 404)):
        answer = relay.ask("GET", path).is_done(status)
        require(answer.headers.get_content_type() == "text/html", f"{answer.what}: no page")
        bodies[path] = answer.body
        head = relay.ask("HEAD", path).is_done(status)
        for each in (answer, head):
            etag = each.headers.get("ETag", "")
            require(re.fullmatch('"[^"]+"', etag), f"{each.what}: no strong ETag")
            for name, text in (("Cache-Control", "no-cache"), ("Referrer-Policy", "no-referrer"),
                               ("X-Content-Type-Options", "nosniff")):  # fmt: skip
                require(each.headers.get(name) == text, f"{each.what}: {name} is not {text}")
    require(bodies["/"] == bodies["/nowhere"], "another path does not give the ticket page")
    require(len(set(bodies.values())) == 3, "two of the three pages are the same")


def tells_its_health(relay):
    return relay.ask("GET", "/healthz").status != 404


@check("R123", needs=tells_its_health)
def check_health(relay):
    for method in ("GET", "HEAD"):
        relay.ask(method, "/healthz").is_done(200)


def tells_about_itself(relay):
    answer = relay.ask("GET", "/about")
    return answer.status == 200 and answer.headers.get_content_type() == "text/html"


@check("R124", needs=tells_about_itself)
def check_about(relay):
    for path in ("/about",) if serves_pages(relay) else ("/about", "/"):
        for method in ("GET", "HEAD"):
            answer = relay.ask(method, path).is_done(200)
            require(answer.headers.get_content_type() == "text/html", f"{answer.what}: no page")


def tells_its_contact(relay):
    answer = relay.ask("GET", "/.well-known/security.txt")
    return answer.status == 200 and answer.headers.get_content_type() == "text/plain"


@check("R126", needs=tells_its_contact)
def check_security_txt(relay):
    answer = relay.ask("GET", "/.well-known/security.txt").is_done(200)
    relay.ask("HEAD", "/.well-known/security.txt").is_done(200)
    text = answer.body.decode("utf-8")
    contact = re.search(r"(?m)^Contact: (?:mailto:|https://)\S+$", text)
    until = re.findall(r"(?m)^Expires: (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z$", text)
    require(contact is not None, f"{answer.what}: no contact")
    require(len(until) == 1, f"{answer.what}: not one end")


# Telling


def rules():
    """The rules of the text, in its order; without the text, those that are known here."""
    if TEXT.exists():
        return re.findall(r"`\[(R[0-9]+)\]`", TEXT.read_text(encoding="utf-8"))
    known = {"R1", "R2", *NOT_CHECKED}
    known |= {rule for listed, *_ in CHECKS for rule in listed}
    return sorted(known, key=lambda rule: int(rule[1:]))


def run(relay, *, closed, slow, only):
    """Do the checks; return what went wrong by rule, and the rules that were looked at."""
    wrong, seen = {}, set()

    def do(listed, function):
        try:
            function(relay)
        except (WrongError, OSError, http.client.HTTPException) as error:
            for rule in listed:
                wrong.setdefault(rule, []).append(str(error) or repr(error))
        seen.update(listed)

    chosen = [
        (listed, background, function)
        for listed, only_closed, only_slow, background, needs, function in CHECKS
        if (closed or not only_closed)
        and (slow or not only_slow)
        and (not only or only & set(listed))
        and (needs is None or needs(relay))
    ]
    with ThreadPoolExecutor() as threads:
        for listed, background, function in chosen:
            if background:
                threads.submit(do, listed, function)
        for listed, background, function in chosen:
            if not background:
                do(listed, function)
    seen |= {"R1", "R2"}
    wrong |= {rule: breaches for rule, breaches in relay.breaches.items() if breaches}
    return wrong, seen


def lines(wrong, seen, *, slow, only):
    """The table: a rule, what came of it, and why or what."""
    told = {rule: text for rule, text in PARTLY.items() if not (slow and "--slow" in text)}
    for rule in rules():
        if only and rule not in only | {"R1", "R2"}:
            yield rule, "not checked", "not asked for"
        elif rule in wrong:
            first, *more = wrong[rule]
            yield rule, "FAILED", first + (f" (and {len(more)} more)" if more else "")
        elif rule in seen:
            yield rule, "passed", told.get(rule, "")
        elif rule in NOT_CHECKED:
            yield rule, "not checked", NOT_CHECKED[rule]
        elif rule in {"R10", "R30"}:
            yield rule, "not checked", CLOSED_ONLY
        else:
            yield rule, "not checked", "this checker does not know it"


def connect(arguments):
    """The relay, and whether it is closed; ends with a sentence when it cannot be asked."""
    permit = arguments.permit_file and arguments.permit_file.read_text(encoding="ascii").strip()
    relay = Relay(arguments.url, permit)
    try:
        mode = relay.ask("GET", "/v1/info").json.get("mode")
    except (WrongError, OSError) as error:
        raise SystemExit(f"no relay answers at {arguments.url}: {error}") from error
    if mode == "closed" and not permit:
        raise SystemExit("this relay is closed: give a permit with --permit-file")
    return relay, mode == "closed"


def main():
    parser = argparse.ArgumentParser(description="Check a relay by its address, rule by rule.")
    parser.add_argument("url", help="https://relay.example")
    parser.add_argument("--permit-file", type=Path, metavar="FILE", help="for a closed relay")
    parser.add_argument("--slow", action="store_true", help="wait for an expiry; all lengths")
    parser.add_argument("--only", action="append", default=[], metavar="RULE", help="repeatable")
    arguments = parser.parse_args()
    only = set(arguments.only)
    if only - set(rules()):
        parser.error(f"no such rule: {', '.join(sorted(only - set(rules())))}")
    relay, closed = connect(arguments)
    try:
        wrong, seen = run(relay, closed=closed, slow=arguments.slow, only=only)
    finally:
        relay.clean()
    counts = {"passed": 0, "FAILED": 0, "not checked": 0}
    for rule, result, text in lines(wrong, seen, slow=arguments.slow, only=only):
        counts[result] += 1
        here = f"not checked here: {text}" if result == "not checked" else f"{result:<8}{text}"
        print(f"{rule:<6}{here.rstrip()}")
    print(
        f"{counts['passed']} passed, {counts['FAILED']} failed, "
        f"{counts['not checked']} not checked here, of {sum(counts.values())} rules; "
        f"{relay.answers} answers looked at"
    )
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
