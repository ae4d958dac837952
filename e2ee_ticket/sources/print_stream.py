"""What one connection to a receipt printer sends: what it is, and the jobs in it."""

import re
from collections.abc import Iterator
from typing import Final

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf.check import RECEIPT_MAX_SIZE, check_size, is_truncated
from e2ee_ticket.sources.escpos_jobs import Event, Job, LanguageError, Splitter
from e2ee_ticket.sources.first_bytes import UEL, Kind, tell, tell_language

_PJL: Final = b"@PJL"
_LINE_ENDS: Final = re.compile(rb"[\r\n]+")


class StrangerError(ReceiptError):
    """What came is no till's: a web page's browser, or another program."""


class PrintStream:
    """Tells what comes, and cuts it into jobs; whatever a chunk of it begins or ends with."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._document: bytearray | None = None
        # Of a PJL document: where its wrapping ends, and up to where its end was looked for.
        self._wrapped = self._searched = 0
        self._splitter: Splitter | None = None
        self._is_pjl = False

    @property
    def begun(self) -> bool:
        """Whether there is something of the next job already."""
        if self._splitter is not None:
            return self._splitter.begun
        return bool(self._document if self._document is not None else self._head)

    @property
    def progress(self) -> int:
        """How many bytes have come for jobs; while this stays, the till prints nothing."""
        if self._splitter is not None:
            return self._splitter.progress
        return len(self._document if self._document is not None else self._head)

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take what came, and tell what it means.

        Raises:
            StrangerError: no till sends this.
            LanguageError: a print language that is not read here.
            ReceiptError: one job is larger than any receipt.
        """
        if self._splitter is not None:
            yield from self._splitter.feed(data)
        elif self._document is not None:
            yield from self._take_document(data)
        else:
            self._head += data
            yield from self._begin(tell(bytes(self._head)))

    def pause(self) -> Job | None:
        """Take what is there as a job, if it shows anything: nothing came for a while.

        Raises:
            StrangerError, LanguageError, ReceiptError: as in `feed`.
        """
        if self._document and is_truncated(bytes(self._document)):
            return None
        return self.end()

    def end(self) -> Job | None:
        """Take what is there as a job, if it shows anything: no more will come.

        Raises:
            StrangerError, LanguageError, ReceiptError: as in `feed`.
        """
        if self._splitter is None and self._document is None and self._head:
            for event in self._begin(tell(bytes(self._head), whole=True)):
                if isinstance(event, Job):
                    return event
        if self._splitter is not None:
            return self._splitter.end()
        document, self._document = self._document, None
        self._wrapped = self._searched = 0
        self._head.clear()
        return _receipt(document, is_pjl=self._is_pjl) if document else None

    def _begin(self, kind: Kind | None) -> Iterator[Event]:
        """Begin what the first bytes said it is."""
        if kind is None:
            return
        data = bytes(self._head)
        self._head.clear()
        if kind.kind == "stranger":
            raise StrangerError("this is no till")
        if kind.kind == "other":
            raise LanguageError(kind.name)
        if kind.kind == "escpos":
            self._splitter = Splitter()
            yield from self._splitter.feed(data)
        else:
            self._document, self._is_pjl = bytearray(), kind.kind == "pjl"
            yield from self._take_document(data)

    def _take_document(self, data: bytes) -> Iterator[Event]:
        document = self._document
        assert document is not None  # noqa: S101 - one is begun
        document += data
        if len(document) > RECEIPT_MAX_SIZE + len(UEL) * 64:
            check_size(len(document))
        if self._is_pjl:
            yield from self._unwrap(document)

    def _unwrap(self, document: bytearray) -> Iterator[Job]:
        """Take the jobs of PJL that are whole; each ends with the mark that it began with.

        No byte is looked at anew with every chunk: all who print wait for it.
        """
        while True:
            self._wrapped = _skip_wrapping(document, self._wrapped)
            end = document.find(UEL, max(self._wrapped, self._searched))
            if end < 0:
                self._searched = max(0, len(document) - len(UEL) + 1)
                return
            body = document[:end]
            del document[: end + len(UEL)]
            self._wrapped = self._searched = 0
            if not document.strip(b"\r\n"):
                document.clear()
            job = _receipt(body, is_pjl=True)
            if job is not None:
                yield job


def _skip_wrapping(document: bytearray, at: int) -> int:
    """Return where what PJL is wrapped around begins, or what may still become a part of it."""
    while True:
        if document.startswith(UEL, at):
            at += len(UEL)
        elif document.startswith(_PJL, at):
            end = document.find(b"\n", at)
            mark = document.find(UEL, at, len(document) if end < 0 else end)
            if mark < 0 and end < 0:
                return at
            at = mark if mark >= 0 else end + 1
        elif found := _LINE_ENDS.match(document, at):
            at = found.end()
        else:
            return at


def _receipt(document: bytearray, *, is_pjl: bool) -> Job | None:
    """Make a job of a PDF.

    Raises:
        LanguageError: it is none.
        ReceiptError: it is too large, or not whole.
    """
    body = bytes(document)
    if is_pjl:
        body = body[_skip_wrapping(document, 0) :].partition(UEL)[0]
        if not body.strip():
            return None
        kind = tell_language(body)
        if kind.kind != "pdf":
            raise LanguageError(kind.name or "PJL")
    check_size(len(body))
    if is_truncated(body):
        raise ReceiptError("the receipt ended too early")
    return Job(body, is_pdf=True)
