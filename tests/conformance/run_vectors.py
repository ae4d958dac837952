"""Drive an implementation through the specification's vectors (README.md beside this file).

Needs the standard library only: whoever tests another implementation installs nothing.
"""

import argparse
import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # wherever it is called from
from playing import check_display, check_till

FOLDER = Path(__file__).resolve().parents[2] / "spec" / "vectors"


class Implementation:
    """The command under test: one JSON object a line, both ways."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the command ended while it was asked for {request['op']!r}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        return self.process.wait(10)


def base64_of(data):
    return base64.b64encode(data).decode()


def expand(pieces):
    return b"".join(
        bytes.fromhex(piece) if isinstance(piece, str) else bytes.fromhex(piece[0]) * piece[1]
        for piece in pieces
    )


def difference(expected, got):
    """The first thing that differs, in words; None when nothing does."""
    if got.get("outcome") == "unsupported":
        return None
    for name, value in expected.items():
        if got.get(name) != value:
            return f"{name}: expected {value!r}, got {got.get(name)!r}"
    return None


def check_link(implementation, vector):
    if vector["op"] == "qr":
        return {"outcome": "unsupported"}, None  # what a camera reads is not asked for here
    if vector["op"] == "whole":
        got = implementation.ask(op="link", do="whole", kind=vector["kind"], text=vector["text"])
        expected = {"outcome": vector["expect"]}
        if vector["expect"] == "ok":
            expected |= {"origin": vector["origin"], "secret": vector["secret"]}
        return got, difference(expected, got)
    request = {"label": vector["label"], "do": vector["op"]}
    if vector["op"] == "format":
        got = implementation.ask(op="link", secret=vector["secret"], **request)
        return got, difference({"outcome": "ok", "digits": vector["digits"]}, got)
    got = implementation.ask(op="link", fragment=vector["fragment"], **request)
    expected = {"outcome": vector["expect"]}
    if vector["expect"] == "ok":
        expected["secret"] = vector["secret"]
    return got, difference(expected, got)


def check_keys(implementation, vector):
    got = implementation.ask(op="keys", kind=vector["op"], secret=vector["secret"])
    names = ("id", "key", "nkey", "tok", "th", "cid", "rtok", "psk")
    expected = {name: vector[name] for name in names if name in vector}
    return got, difference({"outcome": "ok"} | expected, got)


def check_envelope(implementation, vector):
    plaintext = expand(vector["plaintext"]).ljust(vector["size"] - 68, b"\0")
    got = implementation.ask(op="seal", secret=vector["secret"], plaintext=base64_of(plaintext))
    if got["outcome"] == "unsupported":
        return got, None
    sealed = base64.b64decode(got.get("envelope", ""))
    if hashlib.sha256(sealed).hexdigest() != vector["sha256"]:
        return got, "the envelope differs from the first byte on that the vector lets you find"
    received = bytearray(sealed)
    for offset, change in vector.get("xor", []):
        for i, value in enumerate(bytes.fromhex(change)):
            received[offset + i] ^= value
    received = bytes(received)[: vector.get("cut")] + bytes.fromhex(vector.get("append", ""))
    reader = vector.get("reader", vector["secret"])
    got = implementation.ask(op="open", secret=reader, envelope=base64_of(received))
    expected = {"outcome": vector["expect"]}
    if vector["expect"] == "ok":
        expected["ticket"] = vector["ticket"]
    return got, difference(expected, got)


def check_channel(implementation, vector):
    if vector["op"] == "hello":
        idle = b'{"idle":true}'
        payload = (len(idle).to_bytes(2) + idle).ljust(464, b"\0")
        got = implementation.ask(op="answer", pairing=vector["pairing"], hello=vector["hello"],
                                 private=vector["till_private"], payload=payload.hex())  # fmt: skip
        return got, difference({"outcome": vector["expect"]}, got)
    display = {"pairing": vector["pairing"], "private": vector["display_private"],
               "last": vector["last"]}  # fmt: skip
    got = implementation.ask(op="hello", **display)
    wrong = difference({"outcome": "ok", "hello": vector["hello"], "hid": vector["hid"]}, got)
    if wrong:
        return got, wrong
    payload = bytes.fromhex(vector["payload"]).ljust(464, b"\0")
    got = implementation.ask(op="answer", pairing=vector["pairing"], hello=vector["hello"],
                             private=vector["till_private"], payload=payload.hex())  # fmt: skip
    wrong = difference({"outcome": "ok", "last": vector["last"], "sealed": vector["sealed"],
                        "session": vector["session"]}, got)  # fmt: skip
    if wrong:
        return got, wrong
    received = bytearray(bytes.fromhex(vector["sealed"]))
    if "replace_key" in vector:
        received[:32] = bytes.fromhex(vector["replace_key"])
    if "xor" in vector:
        received[vector["xor"][0]] ^= int(vector["xor"][1], 16)
    received = bytes(received)[: vector.get("cut")] + bytes.fromhex(vector.get("append", ""))
    got = implementation.ask(op="accept", sealed=received.hex(), **display)
    expected = {"outcome": vector["expect"]}
    if vector["expect"] == "ok":
        expected |= {"session": vector["session"], "content": vector["content"]}
    return got, difference(expected, got)


def check_accumulated(implementation, count):
    """One SHA-256 over the answers to `count` derived cases."""
    total = hashlib.sha256()
    for number in range(count):
        seed = hashlib.sha256(b"accumulated" + number.to_bytes(4)).digest()
        secret = seed.hex()
        keys = implementation.ask(op="keys", kind="ticket", secret=secret)
        digits = implementation.ask(op="link", do="format", label="tkt/v1 check", secret=secret)
        if "unsupported" in (keys["outcome"], digits["outcome"]):
            return None
        total.update(bytes.fromhex(keys["id"] + keys["key"] + keys["nkey"] + keys["th"]))
        total.update(digits["digits"].encode())
        if number % 100 == 0:
            plaintext = (seed * 510)[: 16384 - 68]
            sealed = implementation.ask(op="seal", secret=secret, plaintext=base64_of(plaintext))
            total.update(hashlib.sha256(base64.b64decode(sealed["envelope"])).digest())
    return total.hexdigest()


CHECKS = {
    "links": check_link,
    "keys": check_keys,
    "envelopes": check_envelope,
    "channel": check_channel,
    "till": check_till,
    "display": check_display,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="how many derived cases")
    parser.add_argument("command", nargs="+", help="the command that runs your implementation")
    arguments = parser.parse_args()
    implementation = Implementation(arguments.command)
    failures = []
    print(f"{'vectors':<14}{'passed':>8}{'failed':>8}{'not asked':>11}")
    for name, check in CHECKS.items():
        counts = {"passed": 0, "failed": 0, "not asked": 0}
        for vector in json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")):
            got, wrong = check(implementation, vector)
            if wrong:
                failures.append(f"{name}: {vector['name']} [{vector['rule']}]: {wrong}")
            unsupported = got.get("outcome") == "unsupported"
            key = "not asked" if unsupported else "failed" if wrong else "passed"
            counts[key] += 1
        print(f"{name:<14}{counts['passed']:>8}{counts['failed']:>8}{counts['not asked']:>11}")
    known = json.loads((FOLDER / "accumulated.json").read_text(encoding="utf-8"))
    expected = {case["cases"]: case["sha256"] for case in known}.get(arguments.cases)
    if expected is None:
        parser.error(f"--cases is one of {sorted(case['cases'] for case in known)}")
    digest = check_accumulated(implementation, arguments.cases)
    word = "not asked" if digest is None else "passed" if digest == expected else "failed"
    print(f"{arguments.cases} derived cases: {word}")
    if word == "failed":
        failures.append(f"accumulated: expected {expected}, got {digest}")
    implementation.close()
    print(*failures, sep="\n", end="\n" if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
