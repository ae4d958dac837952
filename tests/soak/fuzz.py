"""Coverage-guided fuzzing of everything that reads a stranger's bytes: `make soak`.

    python tests/soak/fuzz.py TARGET [libFuzzer options, such as -max_total_time=600]

Every target turns bytes into a value or a ProtocolError; anything else is a finding. Envelopes and
sealed are fuzzed behind the cipher too, as plaintexts: no fuzzer finds a tag.
"""

import json
import sys
from pathlib import Path

from fuzzing import instrumented, run

with instrumented("e2ee_ticket"):
    from e2ee_ticket.errors import ProtocolError
    from e2ee_ticket.protocol import channel, envelope, link, strict_json
    from e2ee_ticket.protocol.content import Content
    from e2ee_ticket.protocol.secret import Secret
    from e2ee_ticket.protocol.ticket import Ticket

VECTORS = Path(__file__).resolve().parents[2] / "spec" / "vectors"
SECRET = Secret(bytes(range(32)))
PAIRING = channel.PairingSecret(bytes(range(32)))


def fuzz_envelope(data):
    """Any bytes, and any bytes padded to the smallest envelope."""
    for candidate in (data, data.ljust(16384, b"\0")[:16384]):
        try:
            envelope.unseal(candidate, SECRET)
        except ProtocolError:
            continue


def fuzz_plaintext(data):
    ticket = Ticket.from_bytes(data.ljust(16316, b"\0")[:16316])
    assert Ticket.from_bytes(ticket.to_bytes().ljust(16316, b"\0")) == ticket


def fuzz_header(data):
    """A header between right lengths: where the fuzzer's time is best spent."""
    data = data[:4096]
    Ticket.from_bytes((len(data).to_bytes(4) + bytes(4) + data).ljust(16316, b"\0"))


def fuzz_json(data):
    value = strict_json.parse_object(data)
    assert isinstance(value, dict)
    json.dumps(value)


def fuzz_link(data):
    text = data.decode("utf-8", "replace")
    secret = link.parse_fragment(text, link.CHECK_LABEL)
    assert text.startswith("#" + link.format_digits(secret, link.CHECK_LABEL))


def fuzz_hello(data):
    responder = channel.read_hello(PAIRING.psk(), data.ljust(80, b"\0")[:80])
    responder.seal(bytes(range(32)), Content.idle().to_payload())


def fuzz_sealed(data):
    display = channel.make_hello(PAIRING.psk(), bytes(range(32)), bytes(32))
    channel.read_sealed(display, data.ljust(512, b"\0")[:512])


def fuzz_content(data):
    content = Content.from_payload(data.ljust(464, b"\0")[:464])
    again = Content.from_payload(content.to_payload())
    assert (again.kind, again.secret) == (content.kind, content.secret)


TARGETS = {
    name.removeprefix("fuzz_"): function
    for name, function in list(globals().items())
    if name.startswith("fuzz_")
}


def seeds(target):
    """Start from the specification's vectors."""
    for entry in json.loads((VECTORS / "envelopes.json").read_text("utf-8")):
        pieces = [piece for piece in entry["plaintext"] if isinstance(piece, str)]
        data = bytes.fromhex("".join(pieces))
        if target in {"header", "json"}:
            data = data[8 : 8 + int.from_bytes(data[:4])]
        if target in {"plaintext", "header", "json"}:
            yield data
    for entry in json.loads((VECTORS / "links.json").read_text("utf-8")):
        if target == "link" and "fragment" in entry:
            yield entry["fragment"].encode()
    for entry in json.loads((VECTORS / "channel.json").read_text("utf-8")):
        name = {"hello": "hello", "sealed": "sealed", "content": "payload"}.get(target)
        if name in entry:
            yield bytes.fromhex(entry[name])


if __name__ == "__main__":
    run(sys.argv, TARGETS, seeds, ignored=ProtocolError)
