"""An IPP printer that keeps what it is given as a receipt (RFC 8011, PWG 5100.12); no network.

A job is over when its document is durable: there is no queue to look into. Of a job the little
that the protocol asks back is kept for an hour, in memory: not its name, which may be a customer's.
"""

import itertools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from e2ee_ticket.errors import OutboxError, ReceiptError
from e2ee_ticket.pdf.check import RECEIPT_MAX_SIZE
from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.ipp_attributes import (
    DATABASE,
    DESCRIPTION,
    OPEN_SECONDS,
    TEMPLATE,
    unsupported,
    values,
)
from e2ee_ticket.sources.ipp_documents import DOCUMENT_MAX_SIZE, FORMATS, is_picture
from e2ee_ticket.sources.ipp_message import Content, Group, Message, Tag, Value, Values

PATH: Final = "/ipp/print"
JOBS_MAX: Final = 100
JOB_SECONDS: Final = 3600.0
_USER_LIMIT: Final = 63
_TITLE_LIMIT: Final = 255
_TEXT_LIMIT: Final = 127
_ID_BITS: Final = 0x3FFFFFFF


class Status(IntEnum):
    """How a request ends."""

    OK = 0x0000
    OK_SUBSTITUTED = 0x0001
    BAD_REQUEST = 0x0400
    NOT_POSSIBLE = 0x0404
    NOT_FOUND = 0x0406
    TOO_LARGE = 0x0408
    FORMAT_NOT_SUPPORTED = 0x040A
    VALUES_NOT_SUPPORTED = 0x040B
    CHARSET_NOT_SUPPORTED = 0x040D
    COMPRESSION_NOT_SUPPORTED = 0x040F
    FORMAT_ERROR = 0x0411
    OPERATION_NOT_SUPPORTED = 0x0501
    VERSION_NOT_SUPPORTED = 0x0503
    BUSY = 0x0507
    ONE_DOCUMENT_ONLY = 0x0509


class Operation(IntEnum):
    """What can be asked."""

    PRINT_JOB = 0x0002
    VALIDATE_JOB = 0x0004
    CREATE_JOB = 0x0005
    SEND_DOCUMENT = 0x0006
    CANCEL_JOB = 0x0008
    GET_JOB_ATTRIBUTES = 0x0009
    GET_JOBS = 0x000A
    GET_PRINTER_ATTRIBUTES = 0x000B
    CLOSE_JOB = 0x003B


class State(IntEnum):
    """What becomes of a job."""

    HELD = 4
    PROCESSING = 5
    CANCELED = 7
    ABORTED = 8
    COMPLETED = 9


_REASONS: Final = {
    State.HELD: "job-incoming",
    State.PROCESSING: "none",
    State.CANCELED: "job-canceled-by-user",
    State.ABORTED: "aborted-by-system",
    State.COMPLETED: "job-completed-successfully",
}
_JOB_TEMPLATE: Final = frozenset({"all", "job-template"})


class _Refusal(Exception):  # noqa: N818 - it is an answer, not an error
    """Ends a request with a status."""

    def __init__(
        self, status: Status, text: str, refused: Mapping[str, Values] | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.refused = refused or {}


@dataclass(slots=True)
class _Job:
    """A job; its title is forgotten as soon as it is over."""

    id: int
    user: str
    title: str
    created: float
    state: State = State.HELD
    over: float | None = None
    size: int = 0
    digest: bytes = b""


class _Request:
    """What every request says, checked in the order of RFC 8011, 4.1."""

    def __init__(self, message: Message, document: bytes | None, authority: str) -> None:
        self.document = document
        self.printer = f"ipp://{authority}{PATH}"
        self.page = f"http://{authority}/"
        if message.version[0] not in (1, 2):
            raise _Refusal(Status.VERSION_NOT_SUPPORTED, "this printer speaks IPP/1.1 and IPP/2.0")
        if not 0 < message.request_id < 2**31:
            raise _Refusal(Status.BAD_REQUEST, "the request has no number")
        if not message.groups or message.groups[0].tag != Tag.OPERATION:
            raise _Refusal(Status.BAD_REQUEST, "the request has no operation attributes")
        self.attributes = message.groups[0].attributes
        first = list(self.attributes)[:2]
        if first != ["attributes-charset", "attributes-natural-language"]:
            raise _Refusal(Status.BAD_REQUEST, "charset and language must come first")
        charset = self.text("attributes-charset", Tag.CHARSET)
        self.text("attributes-natural-language", Tag.LANGUAGE)
        if (charset or "").lower() not in ("utf-8", "us-ascii"):
            raise _Refusal(Status.CHARSET_NOT_SUPPORTED, "only utf-8 is understood")
        self.wishes = next((g.attributes for g in message.groups if g.tag == Tag.JOB), {})
        self.id = self._target()

    def one(self, name: str, *tags: Tag) -> Content:
        """Return an attribute's only value, or None where it is not given."""
        given = self.attributes.get(name)
        if given is None:
            return None
        if len(given) != 1 or given[0].tag not in tags:
            raise _Refusal(Status.BAD_REQUEST, f"{name} has not one value of its kind")
        return given[0].content

    def text(self, name: str, *tags: Tag) -> str | None:
        """Return a text, or None where it is not given."""
        content = self.one(name, *tags)
        return content if isinstance(content, str) else None

    def name(self, name: str) -> str:
        """Return a name, empty where it is not given."""
        return self.text(name, Tag.NAME, Tag.NAME_WITH_LANGUAGE) or ""

    def flag(self, name: str) -> bool:
        """Return a boolean, false where it is not given."""
        return self.one(name, Tag.BOOLEAN) is True

    @property
    def title(self) -> str:
        """What the document is called, as far as it is."""
        return (self.name("document-name") or self.name("job-name"))[:_TITLE_LIMIT]

    @property
    def user(self) -> str:
        """Who asks, as far as it says so."""
        return self.name("requesting-user-name")[:_USER_LIMIT] or "anonymous"

    @property
    def wanted(self) -> frozenset[str] | None:
        """The names of the attributes asked for, or None where all are."""
        given = self.attributes.get("requested-attributes")
        if given is None:
            return None
        return frozenset(str(value.content) for value in given)

    def _target(self) -> int | None:
        """Find which job is meant, if any; the printer is this one whatever it is called."""
        job_uri = self.text("job-uri", Tag.URI)
        if job_uri is not None:
            last = job_uri.rstrip("/").rpartition("/")[2]
            return int(last) if last.isascii() and last.isdigit() and len(last) < 12 else -1
        if self.text("printer-uri", Tag.URI) is None:
            raise _Refusal(Status.BAD_REQUEST, "the request names no printer")
        number = self.one("job-id", Tag.INTEGER)
        return number if isinstance(number, int) else None


class IppPrinter:
    """Answers messages; what it is given to print goes to `keep(receipt, title)`."""

    def __init__(
        self, name: str, shop: Shop, keep: Callable[[bytes, str], Awaitable[None]]
    ) -> None:
        self._name = name
        self._shop = shop
        self._keep = keep
        self._started = shop.now()
        self._jobs: OrderedDict[int, _Job] = OrderedDict()
        # A client that asks for a job of yesterday's run must not find another's.
        self._ids = itertools.count((int(self._started) & _ID_BITS) + 1)
        self._operations = {
            Operation.PRINT_JOB: self._print_job,
            Operation.VALIDATE_JOB: self._validate_job,
            Operation.CREATE_JOB: self._create_job,
            Operation.SEND_DOCUMENT: self._send_document,
            Operation.CANCEL_JOB: self._cancel_job,
            Operation.GET_JOB_ATTRIBUTES: self._get_job_attributes,
            Operation.GET_JOBS: self._get_jobs,
            Operation.GET_PRINTER_ATTRIBUTES: self._get_printer_attributes,
            Operation.CLOSE_JOB: self._close_job,
        }

    async def answer(self, message: Message, document: bytes | None, authority: str) -> Message:
        """Do what a request asks; a document that is too large comes as None.

        `authority` is how the client calls this machine, host and port.
        """
        groups: tuple[Group, ...] = ()
        refused: Mapping[str, Values] = {}
        text = None
        try:
            request = _Request(message, document, authority)
            act = self._operations.get(message.code)  # type: ignore[call-overload]
            if act is None:
                raise _Refusal(Status.OPERATION_NOT_SUPPORTED, "this is not known here")
            self._sweep()
            status, refused, groups = await act(request)
        except _Refusal as refusal:
            status, text, refused = refusal.status, str(refusal), refusal.refused
        return respond(message, status, text, groups, refused)

    # Print-Job, Validate-Job, Create-Job, Send-Document

    async def _print_job(self, request: _Request) -> "_Answer":
        status, refused = self._validate(request)
        receipt = _receipt_of(request)
        await self._deliver(receipt, request.title)
        job = self._begin(request)
        self._finish(job, receipt)
        return status, refused, (self._told(job, request),)

    async def _validate_job(self, request: _Request) -> "_Answer":
        status, refused = self._validate(request)
        return status, refused, ()

    async def _create_job(self, request: _Request) -> "_Answer":
        status, refused = self._validate(request)
        return status, refused, (self._told(self._begin(request), request),)

    async def _send_document(self, request: _Request) -> "_Answer":
        job = self._find(request)
        if "last-document" not in request.attributes:
            raise _Refusal(Status.BAD_REQUEST, "last-document is missing")
        if request.document == b"":
            return self._close(job, request)
        _check_document(request)
        if job.state is not State.HELD:
            # A client whose answer was lost sends the same again: it is not printed twice.
            if job.state is State.COMPLETED and job.digest == _digest(request.document):
                return Status.OK, {}, (self._told(job, request),)
            if job.state is State.COMPLETED:
                raise _Refusal(Status.ONE_DOCUMENT_ONLY, "a job has one document")
            raise _Refusal(Status.NOT_POSSIBLE, "the job is over")
        job.state = State.PROCESSING
        try:
            receipt = _receipt_of(request)
            await self._deliver(receipt, request.title or job.title)
        except _Refusal as refusal:
            self._end(job, State.HELD if refusal.status is Status.BUSY else State.ABORTED)
            raise
        except BaseException:
            self._end(job, State.HELD)
            raise
        self._finish(job, receipt)
        return Status.OK, {}, (self._told(job, request),)

    async def _close_job(self, request: _Request) -> "_Answer":
        return self._close(self._find(request), request)

    async def _cancel_job(self, request: _Request) -> "_Answer":
        job = self._find(request)
        if job.state is not State.HELD:
            raise _Refusal(Status.NOT_POSSIBLE, "the job is over")
        self._end(job, State.CANCELED)
        return Status.OK, {}, ()

    def _close(self, job: _Job, request: _Request) -> "_Answer":
        """End a job without a (further) document."""
        if job.state is State.HELD:
            self._end(job, State.ABORTED)
        return Status.OK, {}, (self._told(job, request),)

    def _validate(self, request: _Request) -> tuple[Status, Mapping[str, Values]]:
        _check_document(request)
        refused = unsupported(request.wishes)
        if refused and request.flag("ipp-attribute-fidelity"):
            raise _Refusal(Status.VALUES_NOT_SUPPORTED, "not as wished", refused)
        return (Status.OK_SUBSTITUTED if refused else Status.OK), refused

    async def _deliver(self, receipt: bytes, title: str) -> None:
        try:
            await self._keep(receipt, title)
        except ReceiptError as error:
            raise _Refusal(Status.FORMAT_ERROR, str(error)) from error
        except OutboxError as error:
            raise _Refusal(Status.BUSY, f"try again later: {error}") from error

    # Jobs

    def _begin(self, request: _Request) -> _Job:
        job = _Job(next(self._ids), request.user, request.title, self._shop.now())
        self._jobs[job.id] = job
        if len(self._jobs) > JOBS_MAX:
            self._jobs.popitem(last=False)
        return job

    def _finish(self, job: _Job, receipt: bytes) -> None:
        job.size, job.digest = len(receipt), _digest(receipt)
        self._end(job, State.COMPLETED)

    def _end(self, job: _Job, state: State) -> None:
        job.state = state
        if state is State.HELD:
            return
        job.over = self._shop.now()
        job.title = ""

    def _find(self, request: _Request) -> _Job:
        if request.id is None:
            raise _Refusal(Status.BAD_REQUEST, "the request names no job")
        job = self._jobs.get(request.id)
        if job is None:
            raise _Refusal(Status.NOT_FOUND, "there is no such job, or it was long ago")
        return job

    def _sweep(self) -> None:
        """Give up jobs whose document never came, and forget those that are long over."""
        now = self._shop.now()
        for job in list(self._jobs.values()):
            if job.state is State.HELD and not 0 <= now - job.created <= OPEN_SECONDS:
                self._end(job, State.ABORTED)
            elif job.over is not None and not 0 <= now - job.over <= JOB_SECONDS:
                del self._jobs[job.id]

    # What is told

    async def _get_job_attributes(self, request: _Request) -> "_Answer":
        return Status.OK, {}, (self._described(self._find(request), request, request.wanted),)

    async def _get_jobs(self, request: _Request) -> "_Answer":
        which = request.text("which-jobs", Tag.KEYWORD) or "not-completed"
        if which not in ("completed", "not-completed"):
            refused = {"which-jobs": request.attributes["which-jobs"]}
            raise _Refusal(Status.VALUES_NOT_SUPPORTED, "completed or not-completed", refused)
        limit = request.one("limit", Tag.INTEGER)
        count = limit if isinstance(limit, int) and limit > 0 else JOBS_MAX
        mine = request.flag("my-jobs")
        wanted = request.wanted or frozenset({"job-id", "job-uri"})
        chosen = [
            job
            for job in reversed(self._jobs.values())
            if (job.over is not None) == (which == "completed")
            and not (mine and job.user != request.user)
        ]
        groups = (self._described(job, request, wanted) for job in chosen[:count])
        return Status.OK, {}, tuple(groups)

    async def _get_printer_attributes(self, request: _Request) -> "_Answer":
        _check_format(request)
        description = {**DESCRIPTION, **self._current(request)}
        attributes = _choose(
            request.wanted,
            ({"all", "printer-description"}, description),
            ({"all", "job-template"}, TEMPLATE),
            (set(), DATABASE),
        )
        return Status.OK, {}, (Group(Tag.PRINTER, attributes),)

    def _current(self, request: _Request) -> dict[str, Values]:
        info = (self._shop.name or self._name)[:_TEXT_LIMIT]
        uuid = uuid5(NAMESPACE_URL, request.printer + "#" + self._name)
        return {
            "operations-supported": values(Tag.ENUM, *map(int, Operation)),
            "printer-info": values(Tag.TEXT, info),
            "printer-more-info": values(Tag.URI, request.page),
            "printer-name": values(Tag.NAME, self._name[:_TEXT_LIMIT]),
            "printer-up-time": values(Tag.INTEGER, self._up_time(self._shop.now())),
            "printer-uri-supported": values(Tag.URI, request.printer),
            "printer-uuid": values(Tag.URI, f"urn:uuid:{uuid}"),
        }

    def _told(self, job: _Job, request: _Request) -> Group:
        wanted = frozenset({"job-id", "job-uri", "job-state", "job-state-reasons"})
        return self._described(job, request, wanted)

    def _described(self, job: _Job, request: _Request, wanted: frozenset[str] | None) -> Group:
        over = self._time(job.over)
        description: dict[str, Values] = {
            "attributes-charset": values(Tag.CHARSET, "utf-8"),
            "attributes-natural-language": values(Tag.LANGUAGE, "en"),
            "job-id": values(Tag.INTEGER, job.id),
            "job-uri": values(Tag.URI, f"{request.printer}/{job.id}"),
            "job-printer-uri": values(Tag.URI, request.printer),
            "job-name": values(Tag.NAME, f"receipt {job.id}"),
            "job-originating-user-name": values(Tag.NAME, job.user),
            "job-state": values(Tag.ENUM, int(job.state)),
            "job-state-reasons": values(Tag.KEYWORD, _REASONS[job.state]),
            "job-k-octets": values(Tag.INTEGER, -(-job.size // 1024)),
            "number-of-intervening-jobs": values(Tag.INTEGER, 0),
            "time-at-creation": values(Tag.INTEGER, self._up_time(job.created)),
            "time-at-processing": over,
            "time-at-completed": over,
            "job-printer-up-time": values(Tag.INTEGER, self._up_time(self._shop.now())),
        }
        chosen = _choose(wanted, ({"all", "job-description"}, description))
        return Group(Tag.JOB, chosen)

    def _up_time(self, moment: float) -> int:
        """Count seconds since the start, from one; a clock that is set back changes no sign."""
        return max(1, min(int(moment - self._started) + 1, 2**31 - 1))

    def _time(self, moment: float | None) -> Values:
        if moment is None:
            return (Value(Tag.NO_VALUE),)
        return values(Tag.INTEGER, self._up_time(moment))


_Answer = tuple[Status, Mapping[str, Values], tuple[Group, ...]]


def respond(
    message: Message,
    status: Status,
    text: str | None = None,
    groups: tuple[Group, ...] = (),
    refused: Mapping[str, Values] | None = None,
) -> Message:
    """Write the answer to a message."""
    head = {
        "attributes-charset": values(Tag.CHARSET, "utf-8"),
        "attributes-natural-language": values(Tag.LANGUAGE, "en"),
    }
    if text is not None:
        head["status-message"] = values(Tag.TEXT, text[:_TEXT_LIMIT])
    all_groups = [Group(Tag.OPERATION, head)]
    if refused:
        all_groups.append(Group(Tag.UNSUPPORTED, refused))
    version = (2, 0) if message.version[0] == 2 else (1, 1)
    return Message(version, status, message.request_id, (*all_groups, *groups))


def _check_document(request: _Request) -> None:
    """Refuse what a document is said to be, before it is looked at."""
    compression = request.text("compression", Tag.KEYWORD)
    if compression not in (None, "none"):
        refused = {"compression": request.attributes["compression"]}
        raise _Refusal(Status.COMPRESSION_NOT_SUPPORTED, "send it uncompressed", refused)
    _check_format(request)


def _check_format(request: _Request) -> None:
    document_format = request.text("document-format", Tag.MIME)
    if document_format is not None and document_format.lower() not in FORMATS:
        refused = {"document-format": request.attributes["document-format"]}
        raise _Refusal(
            Status.FORMAT_NOT_SUPPORTED,
            "this printer takes PDF, PNG, JPEG, PWG Raster and URF",
            refused,
        )


def _receipt_of(request: _Request) -> bytes:
    document = request.document
    limit = RECEIPT_MAX_SIZE
    if document is None or is_picture(document):
        limit = DOCUMENT_MAX_SIZE
    if document is None or len(document) > limit:
        size = f"{limit / 2**20:.1f}".rstrip("0").rstrip(".")
        raise _Refusal(Status.TOO_LARGE, f"the document is larger than {size} MiB")
    return document


def _digest(receipt: bytes | None) -> bytes:
    return sha256(receipt or b"").digest()


def _choose(
    wanted: frozenset[str] | None, *named: tuple[set[str], Mapping[str, Values]]
) -> dict[str, Values]:
    """Pick the attributes asked for, by their own name or that of their group."""
    return {
        name: found
        for groups, attributes in named
        for name, found in attributes.items()
        if (wanted is None and groups)
        or (wanted is not None and (name in wanted or groups & wanted))
    }
