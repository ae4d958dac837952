"""Somebody at a terminal: a pseudo-terminal, what stands on it, and what is typed."""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time

import stage

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Person:
    """Runs a command of a till in a terminal; answers what it asks."""

    program = stage.BIN / "e2ee-ticket"

    def __init__(self, till, *arguments, **environment):
        self.screen = ""
        self._read_to = 0
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._terminal, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (50, 100))
        self.process = subprocess.Popen(
            [self.program, *arguments],
            env=till.environment | {"LC_ALL": "C.UTF-8", "TERM": "xterm"} | environment,
            cwd=till.folder, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads
        )  # fmt: skip
        os.close(theirs)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._terminal)

    def sees(self, text, seconds=20.0):
        """Wait until a text stands on the screen, behind what was seen before."""
        end = time.monotonic() + seconds
        while (found := self.screen.find(text, self._read_to)) < 0:
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{text!r} did not come; there is:\n{self.screen}")
        self._read_to = found + len(text)

    def types(self, text=""):
        os.write(self._terminal, text.encode() + b"\n")

    def answers(self, question, text=""):
        self.sees(question)
        self.types(text)

    def presses_ctrl_c(self):
        os.write(self._terminal, b"\x03")

    def stops_and_sees(self, text):
        """Press Ctrl-C at a question; again where it came just before the keyboard was read."""
        for _ in range(10):
            self.presses_ctrl_c()
            with contextlib.suppress(AssertionError):
                self.sees(text, seconds=2.0)
                return
        self.sees(text, seconds=0.1)

    def ends(self, seconds=20.0):
        """Read to the end; return the exit code."""
        end = time.monotonic() + seconds
        while self._read(max(0.0, end - time.monotonic())):
            pass
        return self.process.wait(seconds)

    def _read(self, seconds):
        if not select.select([self._terminal], [], [], seconds)[0]:
            return False
        data = b""
        with contextlib.suppress(OSError):  # the other end is gone
            data = os.read(self._terminal, 65536)
        self.screen += _ESCAPES.sub("", self._decode(data)).replace("\r\n", "\n")
        return bool(data)


def read_code(screen):
    """Read the QR code that is drawn on a screen with half blocks, the last one if several."""
    import PIL.Image
    import zxingcpp

    blocks = set(" ▀▄█")
    rows = [line for line in screen.split("\n") if len(line) > 40 and set(line) <= blocks]
    width = len(rows[-1])
    rows = [row for row in rows if len(row) == width]
    scale = 4
    picture = PIL.Image.new("L", (width, 2 * len(rows)), 255)
    for y, row in enumerate(rows):
        for x, block in enumerate(row):
            if block in "▀█":
                picture.putpixel((x, 2 * y), 0)
            if block in "▄█":
                picture.putpixel((x, 2 * y + 1), 0)
    picture = picture.resize((picture.width * scale, picture.height * scale))
    return zxingcpp.read_barcodes(picture)[-1].text
