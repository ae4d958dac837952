"""The exchanges of spec/vectors/relay.json, played against our relay."""

import http.client
import json
import re
import select
from pathlib import Path

import pytest
import stage
from relay_in_thread import RelayInThread

SPEC = Path(__file__).resolve().parents[2] / "spec"
VECTORS = json.loads((SPEC / "vectors" / "relay.json").read_text(encoding="utf-8"))
RACES = json.loads((SPEC / "vectors" / "relay-races.json").read_text(encoding="utf-8"))
R1 = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
    "Cache-Control": "no-store, no-transform",
    "X-Content-Type-Options": "nosniff",
}
PROBLEMS = dict(
    re.findall(
        r"(?m)^\| `([a-z-]+)` \| ([0-9]{3}) \|", (SPEC / "relay.md").read_text(encoding="utf-8")
    )
)


def expand(pieces):
    return b"".join(
        bytes.fromhex(piece) if isinstance(piece, str) else bytes.fromhex(piece[0]) * piece[1]
        for piece in pieces
    )


class Exchange:
    """One request on a connection of its own, and its answer."""

    def __init__(self, port, request, permit, etag, patience=60):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
        self.method = request["method"]
        self.answer = None
        headers = {
            name: text.replace("{etag}", etag) for name, text in request.get("headers", {}).items()
        }
        if request.get("permit"):
            headers["Authorization"] = f"Bearer {permit}"
        body = expand(request["body"]) if "body" in request else None
        chunked = request.get("chunked", False)
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
            body = [body]
        elif body is not None:
            headers["Content-Length"] = str(len(body))
        self.connection.request(self.method, request["path"], body, headers, encode_chunked=chunked)

    @property
    def waits(self):
        """Whether no answer has come."""
        return not select.select([self.connection.sock], [], [], 0)[0]

    def receive(self):
        try:
            self.answer = self.connection.getresponse()
            self.body = self.answer.read()
        finally:
            self.connection.close()
        return self

    def differences(self, expect):
        """What is not as expected."""
        answer, body = self.answer, self.body
        wanted = {name: [text] for name, text in (R1 | expect.get("headers", {})).items()}
        found = {"status": answer.status}
        wanted["status"] = expect["status"]
        found |= {name: answer.headers.get_all(name) for name in wanted if name != "status"}
        for name, members in expect.get("lists", {}).items():
            listed = {member.strip() for member in answer.headers.get(name, "").split(",")}
            wanted[name], found[name] = [], sorted(set(members) - listed)
        if "body" in expect:
            wanted["body"], found["body"] = expand(expect["body"]), body
        if "etag" in expect:
            wanted["etag"] = True
            found["etag"] = bool(re.fullmatch('"[^"]+"', answer.headers.get("ETag", "")))
        if "json" in expect:
            told = json.loads(body)
            if "expires_in" in told:  # some seconds may have gone by
                wanted["late"] = True
                late = expect["json"]["expires_in"] - told.pop("expires_in")
                found["late"] = 0 <= late <= 30
            wanted["json"] = {k: v for k, v in expect["json"].items() if k != "expires_in"}
            found["json"] = told
        if answer.status >= 400:
            told = json.loads(body)
            wanted["media type"] = "application/problem+json"
            found["media type"] = answer.headers["Content-Type"]
            wanted["type"] = "urn:e2ee-ticket:" + expect.get("type", "?")
            found["type"] = told["type"]
            wanted["told status"], found["told status"] = answer.status, told["status"]
            wanted["title"], found["title"] = True, bool(told["title"])
            wanted["reason"], found["reason"] = expect.get("reason"), told.get("reason")
        return {name: (wanted[name], found[name]) for name in wanted if wanted[name] != found[name]}


def settle(running, begun):
    """Wait until what was begun waits, at a relay that can be asked."""
    if isinstance(running, RelayInThread):
        running.settle(lambda: sum(exchange.waits for exchange in begun.values()))


def play(vector, running):
    """Do the steps of a scenario."""
    begun = {}
    try:
        take_steps(vector, running, begun)
    finally:
        for left in begun.values():
            left.connection.close()


def take_steps(vector, running, begun):
    etag = ""
    for step in vector["steps"]:
        if "after" in step:
            settle(running, begun)
            running.advance(step["after"])
        if "leave" in step:
            begun.pop(step["leave"]).connection.close()
            continue
        if "end" in step:
            exchange = begun[step["end"]].receive()
            del begun[step["end"]]
            assert exchange.differences(step["expect"]) == {}
            continue

        def ask(step=step, etag=etag):
            patience = getattr(running, "patience", 60)
            return Exchange(running.port, step["request"], running.leave, etag, patience)

        if "begin" in step:
            begun[step["begin"]] = ask()
            settle(running, begun)
            continue
        if step.get("until"):
            exchange = stage.wait_for(
                lambda ask=ask, step=step: (
                    exchange
                    if not (exchange := ask().receive()).differences(step["expect"])
                    else None
                ),
                "what the step waits for",
                **({"seconds": running.patience} if hasattr(running, "patience") else {}),
            )
        else:
            exchange = ask().receive()
        assert exchange.differences(step["expect"]) == {}
        etag = exchange.answer.headers.get("ETag", etag)


@pytest.fixture(scope="module")
def relays(tmp_path_factory):
    """A relay of each mode, fresh: the vectors' tickets have never been there."""
    running = {}
    for mode in ("open", "closed"):
        arguments = ["--open"] if mode == "open" else []
        running[mode] = stage.Relay(tmp_path_factory.mktemp(mode), *arguments, pages=False)
        running[mode].leave = running[mode].permit()
        running[mode].start()
    yield running
    for relay in running.values():
        relay.stop()


@pytest.fixture(scope="module")
def relay_in_thread():
    with RelayInThread(closed=True) as running:
        yield running


@pytest.mark.parametrize("vector", [pytest.param(entry, id=entry["name"]) for entry in RACES])
def test_the_relay_lives_through_the_race_as_the_vector_says(vector, relay_in_thread):
    play(vector, relay_in_thread)


@pytest.mark.parametrize("vector", [pytest.param(entry, id=entry["name"]) for entry in VECTORS])
def test_the_relay_answers_as_the_vector_says(vector, relays):
    play(vector, relays["open" if vector["mode"] == "open" else "closed"])


def test_tickets_are_answered_alike_by_an_open_relay(relays):
    """Of channels an open relay takes only so many from one address."""
    for vector in VECTORS:
        paths = {step["request"]["path"][:6] for step in vector["steps"] if "request" in step}
        if vector["mode"] == "any" and paths <= {"/v1/t/"}:
            play(vector, relays["open"])


def test_every_type_that_needs_no_fault_has_a_vector():
    told = {entry["expect"] for entry in VECTORS}
    told |= {step.get("expect", {}).get("type") for entry in VECTORS for step in entry["steps"]}
    # A limit, a fault, a full disk, and what happens only between two polls of one till.
    untold = {"too-often", "internal", "overloaded", "full", "superseded"}

    assert set(PROBLEMS) - told == untold


def test_outcomes_are_those_of_the_last_steps():
    for entry in VECTORS + RACES:
        expect = entry["steps"][-1]["expect"]

        assert entry["expect"] == expect.get("type", "ok")
        assert PROBLEMS.get(entry["expect"]) == (
            str(expect["status"]) if expect["status"] >= 400 else None
        )
