"""Play the scenarios of till.json and display.json against an implementation (README.md)."""

import json
from hashlib import sha256

import handshake

TICK = 1000
STRANGER = sha256(b"a session of nobody").digest()


def seed(name):
    return sha256(name.encode()).digest()


def pack(text):
    data = text.encode()
    return (len(data).to_bytes(2) + data).ljust(464, b"\0")


def unpack(payload):
    """The members of a sealed's JSON; None where it is no payload."""
    size = int.from_bytes(payload[:2])
    if size > 462 or any(payload[2 + size :]):
        return None
    return json.loads(payload[2 : 2 + size])


# Tills


class TillPlayer:
    """Plays the displays and the relay."""

    def __init__(self, implementation, vector):
        self.ask = implementation.ask
        self.vector = vector
        self.psk = handshake.derive(bytes.fromhex(vector["pairing"]), "dsp/v1 psk")
        self.hellos = {}
        self.sessions = {}
        self.sealed = {}

    def hello(self, name):
        if name not in self.hellos:
            told = self.vector["hellos"][name]
            private = seed(f"{self.vector['name']} hello {name}")
            broken = told.get("broken")
            public = bytes(32) if broken == "order" else None
            made = handshake.Hello(self.psk, private, self.named(told.get("names")), public)
            if broken == "length":
                made.bytes = made.bytes[:-1]
            if broken == "tag":
                made.bytes = made.bytes[:-1] + bytes([made.bytes[-1] ^ 1])
            self.hellos[name] = made
        return self.hellos[name]

    def named(self, name):
        if name is None:
            return bytes(32)
        return STRANGER if name == "stranger" else self.sessions[name]

    def play(self):
        """What differs first, in words; and the last answer."""
        vector = self.vector
        begin = {"op": "till", "do": "begin", "pairing": vector["pairing"],
                 "displays": vector["displays"], "idle": vector["idle"]}  # fmt: skip
        got = self.ask(**begin)
        if got.get("outcome") == "unsupported":
            return got, None
        for number, step in enumerate(vector["steps"]):
            if step["event"] == "restart":
                self.sealed = {}
                got = self.ask(**begin)
            else:
                got = self.ask(**self.request(step))
            wrong = self.compare(step["expect"], got)
            if wrong:
                return got, f"step {number} ({step['event']} at {step['at']} ms): {wrong}"
        return got, None

    def request(self, step):
        request = {"op": "till", "do": step["event"], "at": step["at"]}
        if step["event"] == "poll":
            request["hellos"] = [self.hello(name).bytes.hex() for name in step["hellos"]]
        elif step["event"] == "show":
            request["content"] = step["content"]
        elif step["event"] == "fate":
            request |= {"hid": self.hello(step["hello"]).hid, "what": step["what"]}
        return request

    def compare(self, expect, got):
        names = {hello.hid: name for name, hello in self.hellos.items()}
        found = []
        for answer in got.get("answers", []):
            name = names.get(answer["hid"], answer["hid"])
            told = {"to": name}
            if self.sealed.get(name) == answer["sealed"]:
                told["again"] = True
            hello = self.hello(name)
            sealed = bytes.fromhex(answer["sealed"])
            if len(sealed) != 512:
                return f"a sealed of {len(sealed)} bytes"
            reader = handshake.Hello(self.psk, hello.private, self.named(
                self.vector["hellos"][name].get("names")))  # fmt: skip
            try:
                payload, session = reader.read(sealed)
            except handshake.BrokenError:
                return f"the sealed for {name} does not open"
            self.sealed[name], self.sessions[name] = answer["sealed"], session
            found.append(told | {"content": unpack(payload)})
        found.sort(key=lambda answer: answer["to"])
        wanted = sorted(expect["answers"], key=lambda answer: answer["to"])
        if found != wanted:
            return f"answers: expected {wanted}, got {found}"
        for word in ("present", "shown", "warn", "crowded"):
            if got.get(word) != expect[word]:
                return f"{word}: expected {expect[word]}, got {got.get(word)}"
        return None


# Displays


class DisplayPlayer:
    """Plays the till, the relay and the clocks."""

    def __init__(self, implementation, vector):
        self.ask = implementation.ask
        self.vector = vector
        self.psk = handshake.derive(bytes.fromhex(vector["pairing"]), "dsp/v1 psk")
        self.hellos = {}
        self.sessions = {}
        self.waiting = None

    def play(self):
        """What differs first, in words; and the last answer."""
        clock = None
        for number, step in enumerate(self.vector["steps"]):
            if clock is not None and not step.get("jumps"):
                for wall, mono in ticks(clock, (step["wall"], step["mono"])):
                    self.ask(op="display", do="time", wall=wall, mono=mono)
            clock = step["wall"], step["mono"]
            got = self.ask(**self.request(step, number))
            if got.get("outcome") == "unsupported":
                return got, None
            wrong = self.compare(step, got, number)
            if wrong:
                return got, f"step {number} ({step['event']} at {step['wall']} ms): {wrong}"
        return got, None

    def request(self, step, number):
        request = {"op": "display", "do": step["event"], "wall": step["wall"], "mono": step["mono"]}
        if step["event"] == "load":
            request |= {"pairing": self.vector["pairing"], "origin": self.vector["origin"]}
        elif step["event"] == "answer":
            request["status"] = step["status"]
            if "retry_after" in step:
                request["retry_after"] = step["retry_after"]
            if step["status"] == 200:
                request["sealed"] = self.seal(step, number).hex()
        return request

    def seal(self, step, number):
        text = step.get("text") or json.dumps(
            step["content"], ensure_ascii=False, separators=(",", ":")
        )
        name = step.get("to", self.waiting)
        _, sealed, session = handshake.answer(
            self.psk, self.hellos[name], seed(f"{self.vector['name']} till {number}"), pack(text)
        )
        self.sessions[name] = session
        changed = bytearray(sealed)
        if "xor" in step:
            changed[step["xor"][0]] ^= int(step["xor"][1], 16)
        return bytes(changed)

    def compare(self, step, got, number):
        expect = step["expect"]
        if step["event"] == "hello":
            wrong = self.compare_hello(step, got, number)
            if wrong:
                return wrong
        shows = got.get("shows")
        if shows != expect["shows"]:
            return f"shows: expected {expect['shows']}, got {shows}"
        if got.get("paired") != expect["paired"]:
            return f"paired: expected {expect['paired']}, got {got.get('paired')}"
        digits = expect["shows"].get("tkt")
        code = f"{self.vector['origin']}/#{digits}" if digits else None
        if got.get("code") != code:
            return f"code: expected {code}, got {got.get('code')}"
        span, due = expect["next"], got.get("next")
        if (span is None) != (due is None) or (span and not span[0] <= due <= span[1]):
            return f"next: expected {span} ms, got {due}"
        return None

    def compare_hello(self, step, got, number):
        hello = got.get("hello")
        if bool(hello) != step["expect"]["hello"]:
            return f"hello: expected {step['expect']['hello']}, got {bool(hello)}"
        if not hello:
            return None
        data = bytes.fromhex(hello)
        if data[:32] in {other[:32] for other in self.hellos.values()}:
            return "a key that was used before"
        try:
            named, _, _ = handshake.answer(self.psk, data, seed(f"look {number}"), bytes(464))
        except handshake.BrokenError:
            return "the hello does not open"
        wanted = step["expect"]["names"]
        session = self.sessions[wanted] if wanted else bytes(32)
        if named != session:
            return f"names: expected {'the session of ' + wanted if wanted else 'none'}"
        self.hellos[step["name"]] = data
        self.waiting = step["name"]
        return None


def ticks(before, after):
    """The readings between two, a second apart, where both clocks go on alike."""
    wall, mono = after[0] - before[0], None if after[1] is None else after[1] - before[1]
    if mono is not None and mono != wall:
        return
    for passed in range(TICK, wall, TICK):
        yield before[0] + passed, None if mono is None else before[1] + passed


def check_till(implementation, vector):
    return TillPlayer(implementation, vector).play()


def check_display(implementation, vector):
    return DisplayPlayer(implementation, vector).play()
