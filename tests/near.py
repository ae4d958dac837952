"""A till whose commands run in the test's own process: no program to load for each of them.

What is about the process itself (signals, terminals, how Python starts) runs as one:
`run_apart`.
"""

import contextlib
import gc
import io
import os
import subprocess
import sys

import stage

from e2ee_ticket import cli


class NearTill(stage.Till):
    """A `stage.Till` whose `run` calls `cli.main`; `run_apart` starts a process, as a user does."""

    def run(self, *arguments, stdin="", check=True):
        out, err = (_text_file() for _ in range(2))
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            _typed(stdin),
            _environment(self.environment),
            contextlib.chdir(self.folder),
        ):
            try:
                code = cli.main([str(argument) for argument in arguments])
            except SystemExit as end:
                code = end.code or 0
            finally:
                gc.enable()
        out, err = _written(out), _written(err)
        if check and code != 0:
            raise AssertionError(f"{arguments[0]} ended with {code}: {err}")
        return subprocess.CompletedProcess(arguments, code, out, err)

    def run_apart(self, *arguments, stdin="", check=True):
        return super().run(*arguments, stdin=stdin, check=check)


@contextlib.contextmanager
def _typed(text):
    kept, sys.stdin = sys.stdin, _text_file(text if isinstance(text, bytes) else text.encode())
    try:
        yield
    finally:
        sys.stdin = kept


@contextlib.contextmanager
def _environment(wanted):
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _text_file(data=b""):
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")


def _written(stream):
    stream.flush()
    return stream.buffer.getvalue().decode()
