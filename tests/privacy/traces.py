"""Looking for what must not be there: canaries, secrets, digits, in every spelling we know of.

A needle is some bytes and a sentence that says what they are. A search is told what to look for;
how a careless program could have written it down is decided here: as it is, as UTF-16, in hex, in
base64 at each of its three alignments, as numbers, as Python or JSON escapes.
"""

import base64
import contextlib
import os
import signal
import sys
import urllib.parse
import zlib
from pathlib import Path

import psutil

WINDOW_SIZE = 16
"""Secrets are looked for in pieces of 16 bytes, 8 apart: any 24 bytes of one in a row are found."""

RUN_SIZE = 20
"""Any 20 digits of a link in a row are found; others do not turn up by chance."""

BLOCK_SIZE = 8

_GZIP = b"\x1f\x8b\x08"


class Needles:
    """What to look for."""

    def __init__(self):
        self._spellings = {}
        self._blocks = {}
        self._short = set()

    def text(self, name, text):
        """Look for a text."""
        data = text.encode()
        self._add(f"{name}, as it is", data)
        self._add(f"{name}, in a JSON string", text.encode("unicode_escape"))
        self._add(f"{name}, in an address", urllib.parse.quote(text, safe="").encode())
        self._add(f"{name}, in UTF-16", text.encode("utf-16-le"))
        self._add(f"{name}, in UTF-16, big-endian", text.encode("utf-16-be"))
        self._encoded(name, data)

    def data(self, name, data):
        """Look for any considerable part of some bytes."""
        swapped = b"".join(data[i : i + 2][::-1] for i in range(0, len(data), 2))
        for start in range(0, max(1, len(data) - WINDOW_SIZE + 1), WINDOW_SIZE // 2):
            window = data[start : start + WINDOW_SIZE]
            self._add(f"{name}, as it is", window)
            self._add(f"{name}, reversed", window[::-1])
            self._add(f"{name}, its words swapped", swapped[start : start + WINDOW_SIZE])
            self._add(f"{name}, as Python shows it", repr(window)[2:-1].encode())
            self._encoded(name, window)
            words = [int.from_bytes(window[i : i + 2]) for i in range(0, len(window), 2)]
            for separator in (",", ", ", " "):
                self._add(f"{name}, as bytes", separator.join(map(str, window)).encode())
                self._add(f"{name}, as words", separator.join(map(str, words)).encode())

    def digits(self, name, digits):
        """Look for any run of a link's digits, and for its groups with something between them."""
        for start in range(len(digits) - RUN_SIZE + 1):
            run = digits[start : start + RUN_SIZE]
            self._add(f"{name}, as digits", run.encode())
            self._add(f"{name}, as digits in UTF-16", run.encode("utf-16-le"))
            self._encoded(f"{name}, as digits", run.encode())
        groups = [digits[i : i + 5] for i in range(0, len(digits), 5)]
        for start in range(len(groups) - 3):
            for separator in (" ", "-", ",", ", ", "\n", "\u00a0", '","', '", "', "', '"):
                text = separator.join(groups[start : start + 4])
                self._add(f"{name}, as groups", text.encode())
                self._add(f"{name}, as groups in UTF-16", text.encode("utf-16-le"))
                self._encoded(f"{name}, as groups", text.encode())

    def _encoded(self, name, data):
        self._add(f"{name}, in hex", data.hex().encode())
        self._add(f"{name}, in hex", data.hex().upper().encode())
        for alignment in range(3):
            text = base64.b64encode(bytes(alignment) + data)
            # Leave out the characters that what stands before or behind has a part in.
            text = text[-(-alignment * 8 // 6) : (alignment + len(data)) * 8 // 6]
            self._add(f"{name}, in base64", text)
            self._add(f"{name}, in base64", text.replace(b"+", b"-").replace(b"/", b"_"))

    def _add(self, name, data):
        if data in self._spellings:
            return
        self._spellings[data] = name
        if len(data) < 2 * BLOCK_SIZE - 1:
            self._short.add(data)
            return
        for start in range(BLOCK_SIZE):
            block = int.from_bytes(data[start : start + BLOCK_SIZE], sys.byteorder)
            self._blocks.setdefault(block, set()).add(data)

    def find(self, haystack):
        """Return what was found, as sorted sentences without repetition.

        Wherever a needle of 15 bytes or more lies, it covers one of the haystack's blocks of 8
        whole: one pass over these blocks leaves few needles to look for, and 100 MB take a second
        instead of a minute.
        """
        blocks = memoryview(haystack)[: len(haystack) // BLOCK_SIZE * BLOCK_SIZE].cast("Q")
        met = set(self._blocks).intersection(blocks)
        likely = self._short.union(*(self._blocks[block] for block in met))
        found = {self._spellings[data] for data in likely if data in haystack}
        return sorted(found)


def find_in(places, needles):
    """Search places, a dictionary of name → bytes; return those where something was found."""
    found = {name: needles.find(data) for name, data in places.items()}
    return {name: what for name, what in found.items() if what}


def files_in(folder):
    """Read every file of a folder, those in folders of it too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def processes():
    """Read what everybody on this computer can see of every process, and its owner besides."""
    seen = {}
    for process in psutil.process_iter():
        for what in ("cmdline", "environ", "open_files"):
            try:
                seen[f"{process.pid} {what}"] = repr(getattr(process, what)()).encode()
            except (psutil.Error, OSError):
                continue  # another user's, or over
    return seen


def inflated(data):
    """Return what was compressed with gzip anywhere in some bytes, one after the other."""
    found, start = b"", data.find(_GZIP)
    while start >= 0:
        with contextlib.suppress(zlib.error):  # these three bytes were no beginning
            found += zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data[start:])
        start = data.find(_GZIP, start + 1)
    return found


def memory_of(pid):
    """Read the memory of a child process while it stands still, as a core would have it.

    What is mapped from a file and cannot be written, such as a library, is that file.
    """
    process = Path(f"/proc/{pid}")
    areas = {}
    os.kill(pid, signal.SIGSTOP)
    try:
        with (process / "mem").open("rb", buffering=0) as memory:
            for line in (process / "maps").read_text().splitlines():
                span, rights, *_, inode = line.split(maxsplit=5)[:5]
                if rights[0] != "r" or (inode != "0" and rights[1] != "w") or "[v" in line:
                    continue
                start, end = (int(part, 16) for part in span.split("-"))
                memory.seek(start)
                areas[span] = memory.read(end - start)
    finally:
        os.kill(pid, signal.SIGCONT)
    return areas
