"""The layers of ARCHITECTURE.md, checked by import-linter, and what an import costs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_import_contract_is_kept():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_library_loads_no_network():
    code = (
        "import sys, e2ee_ticket; "
        "print([m for m in ('aiohttp', 'asyncio', 'ssl') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_running_relay_has_loaded_no_cipher_library():
    code = (
        "import sys, relay_server.app, relay_server.cli; "
        "print([m for m in sys.modules if m.split('.')[0] in ('nacl', 'e2ee_ticket')])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
