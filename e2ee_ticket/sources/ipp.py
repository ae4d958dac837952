"""A printer on this computer: what any program prints on it becomes a ticket.

Add it once, then choose it in the print dialog:

* Linux: `lpadmin -p e-ticket -E -v ipp://127.0.0.1:8631/ipp/print -m everywhere`
* macOS: the same command in a terminal.
* Windows: add a printer by its address, as an IPP device: `http://127.0.0.1:8631/ipp/print`
* any program that can print to an IPP address itself: `ipp://127.0.0.1:8631/ipp/print`

It takes PDF, which CUPS (Linux, macOS) makes of whatever a program prints, and what the print
dialogs of Windows and of phones send: PWG Raster, URF, JPEG and PNG, of which a PDF is made. It is
not announced in the network: nobody but this shop need know of it.

A job is answered with "successful" once the receipt is durable, and not before. A web page open in
this computer's browser can neither print nor ask here: a request with an Origin is refused, so is
one for a host's name that is not this computer's, and one that is not `application/ipp`, which a
page may not send without asking first.
"""

import asyncio
import contextlib
import errno
import re
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Final

import aiohttp
from aiohttp import web

from e2ee_ticket.errors import ConfigError, OutboxError, ReceiptError, SourceError
from e2ee_ticket.pdf.check import check_receipt
from e2ee_ticket.protocol.ticket import Ticket, short_name
from e2ee_ticket.sources import Arrival, Finding, Intake, Shop
from e2ee_ticket.sources.connections import TOO_MANY, Bodies, Limits
from e2ee_ticket.sources.facts import issued_at, number_in
from e2ee_ticket.sources.http_server import HttpServer, serving
from e2ee_ticket.sources.ipp_attributes import MODEL, values
from e2ee_ticket.sources.ipp_documents import (
    DOCUMENT_MAX_SIZE,
    as_it_was,
    is_picture,
    to_pdf,
)
from e2ee_ticket.sources.ipp_message import (
    ATTRIBUTES_MAX_SIZE,
    Group,
    MalformedError,
    Message,
    Tag,
    Value,
    read_head,
    read_message,
)
from e2ee_ticket.sources.ipp_printer import PATH, IppPrinter, Operation, Status, respond
from e2ee_ticket.sources.ipp_resent import Resent
from e2ee_ticket.sources.listening import (
    IPP_LISTEN,
    explain,
    is_address,
    is_loopback,
    join,
    parse_listen,
    try_listening,
)

BODY_SECONDS: Final = 60.0
BODIES_MAX: Final = 8
BODIES_PER_ADDRESS: Final = 3
REPORT_SECONDS: Final = 60.0
LIMITS: Final = Limits(connections=64, busy_seconds=240.0)
_TYPE: Final = "application/ipp"
_BODY_MAX_SIZE: Final = ATTRIBUTES_MAX_SIZE + DOCUMENT_MAX_SIZE
_DISCARDED_MAX_SIZE: Final = 64 * 1024 * 1024
_PROBE_SECONDS: Final = 5.0
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PRINTING: Final = frozenset((Operation.PRINT_JOB, Operation.CREATE_JOB, Operation.SEND_DOCUMENT))
# What is tried again is told as a trouble of this computer.
_NOT_REFUSED: Final = frozenset((Status.OK, Status.OK_SUBSTITUTED, Status.BUSY))
_PICTURE_NAME: Final = re.compile(r"\.(?:png|jpe?g)$", re.IGNORECASE)
_JOB_PATH: Final = re.compile(re.escape(PATH) + r"/[^/]+")
_PRINT_HINT: Final = "print it again; if that does not help, hand out paper"
_PAGE_HINT: Final = "receipts are printed by a program, not by a page"
_TAKEN_HINT: Final = "end that program, or choose another port in listen"
_ADDRESS_HINT: Final = f"listen must be an address of this computer, such as {IPP_LISTEN}"


class Ipp:
    """A printer that takes PDF and pictures over IPP.

    Args:
        name: the source's name, which is also the printer's.
        shop: whose receipts they are.
        listen: the address and port it answers at; other computers can print here only if it is
            not a loopback address.
        hosts: other names by which the programs that print call this computer.
    """

    tills: Sequence[str] = ()

    def __init__(
        self, name: str, shop: Shop, *, listen: str = IPP_LISTEN, hosts: Sequence[str] = ()
    ) -> None:
        self.name = name
        self._shop = shop
        self._host, self._port = parse_listen(listen, IPP_LISTEN)
        self._at = join(self._host, self._port)
        names = _parse_hosts(hosts)
        own = () if self._is_local else _own_names()
        self._hosts = frozenset(host.lower().rstrip(".") for host in (*_LOOPBACK, *own, *names))
        self._bodies = Bodies(BODIES_MAX, BODIES_PER_ADDRESS)
        # One at a time: a page as dots takes much memory, and so may what opens a PDF.
        self._drawing = asyncio.Lock()
        self._told_at: float | None = None
        self._resent = Resent()

    @property
    def _is_local(self) -> bool:
        return is_loopback(self._host)

    @property
    def address(self) -> str:
        """The printer's address for the programs on this computer."""
        host = self._host if self._is_local else "127.0.0.1"
        return f"ipp://{join(host, self._port)}{PATH}"

    async def run(self, intake: Intake) -> None:
        """Print until cancelled.

        Raises:
            SourceError: the port cannot be listened on.
        """
        await self._resent.load(intake)
        printer = IppPrinter(self.name, self._shop, lambda *job: self._keep(intake, *job))
        async with self._listening(printer, intake):
            intake.report(None)
            await asyncio.Event().wait()

    async def check(self) -> Sequence[Finding]:
        """See whether the port is free, or this very printer's."""
        findings = [await self._check_port()]
        if not self._is_local:
            findings.append(
                Finding(
                    ok=True,
                    text=f"{self._at} is open to the network: anyone in it can print receipts",
                    hint=f"unless other computers print here: listen = {IPP_LISTEN!r}",
                )
            )
        return findings

    async def _keep(self, intake: Intake, receipt: bytes, title: str) -> None:
        """Hand a printed document over.

        Raises:
            ReceiptError: it is no receipt.
            OutboxError: this computer cannot keep it.
        """
        key, began = self._resent.key(receipt, title), self._shop.now()
        try:
            drawn = is_picture(receipt)
            async with self._drawing:
                receipt = await (to_pdf(receipt) if drawn else as_it_was(receipt))
            check_receipt(receipt)
            ticket = Ticket(
                receipt=receipt,
                name=short_name(_PICTURE_NAME.sub("", title)),
                title=self._shop.name,
                number=number_in(_PICTURE_NAME.sub("", title)),
                issued=issued_at(self._shop.now()),
            )
            await intake.accept(Arrival(ticket, ours=drawn, key=key, began=began))
        except ReceiptError as error:
            text = f"a printed document was refused: {error}"
            intake.refuse(Finding(ok=False, text=text, hint=_PRINT_HINT))
            raise
        except OutboxError as error:
            hint = "the program that prints tries again; until then hand out paper"
            intake.report(
                Finding(ok=False, text=f"a printed receipt could not be kept: {error}", hint=hint)
            )
            raise
        intake.report(None)

    # HTTP

    @contextlib.asynccontextmanager
    async def _listening(self, printer: IppPrinter, intake: Intake) -> AsyncIterator[None]:

        async def answer(request: web.BaseRequest) -> web.Response:
            return await self._answer(request, printer, intake)

        server = HttpServer(answer, LIMITS, refused=lambda: intake.refuse(TOO_MANY))
        try:
            async with serving(server, self._host, self._port):
                yield
        except OSError as error:
            raise SourceError(*self._refused(error)) from error

    def _is_ours(self, authority: str) -> bool:
        host = _host_in(authority).lower().rstrip(".")
        if host in self._hosts:
            return True
        # No name leads to an address that is written out: there is nothing to rebind.
        return not self._is_local and is_address(host)

    async def _answer(
        self, request: web.BaseRequest, printer: IppPrinter, intake: Intake
    ) -> web.Response:
        """Answer one request; what was to be printed and is refused is told."""
        # `request.host` would ask the name service where the client names no host.
        host = request.headers.get("Host", "")
        if "Origin" in request.headers or not self._is_ours(host):
            # A page's browser sends this, and any page could: it is told once a minute at most.
            if request.method == "POST":
                self._tell_page(intake)
            return _plain(403, "a web page cannot print here")
        path = request.raw_path.partition("?")[0]
        if path == "/" and request.method in ("GET", "HEAD"):
            return self._page(host)
        if path != PATH and not _JOB_PATH.fullmatch(path):
            return _plain(404, "there is nothing here")
        if request.method != "POST":
            return _plain(405, "a printer is asked with POST")
        if request.content_type != _TYPE or "Content-Encoding" in request.headers:
            return _not_taken(intake, 415, f"send {_TYPE}, and nothing packed")
        async with self._bodies.one_of(request.remote or ""):
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    body, whole = await _read(request)
            except TimeoutError:
                return _not_taken(intake, 408, "the rest of the request did not come")
            except (OSError, web.RequestPayloadError):
                return _not_taken(intake, 400, "the request ended too early")
            self._resent.begin()
            return await self._converse(body, printer, host, intake, whole=whole)

    def _page(self, host: str) -> web.Response:
        address = f"ipp://{host}{PATH}"
        return _plain(
            200,
            "This is a printer: what is printed on it becomes an e-ticket.\n\n"
            "Linux and macOS, in a terminal:\n"
            f"    lpadmin -p e-ticket -E -v {address} -m everywhere\n\n"
            f"Elsewhere, add a printer by its address:\n    {address}\n",
        )

    def _tell_page(self, intake: Intake) -> None:
        now = self._shop.now()
        if self._told_at is None or not 0 <= now - self._told_at < REPORT_SECONDS:
            self._told_at = now
            text = "a web page tried to print here and was refused"
            intake.refuse(Finding(ok=False, text=text, hint=_PAGE_HINT))

    async def _converse(
        self, body: bytes, printer: IppPrinter, authority: str, intake: Intake, *, whole: bool
    ) -> web.Response:
        try:
            head = read_head(body)
        except MalformedError as error:
            return _not_taken(intake, 400, str(error))
        try:
            message, start = read_message(body)
        except MalformedError as error:
            answer = respond(head, Status.BAD_REQUEST, str(error))
        else:
            answer = await printer.answer(message, body[start:] if whole else None, authority)
        if head.code in _PRINTING and answer.code not in _NOT_REFUSED:
            _tell_refused(intake, answer)
        response = self._resent.response(intake, body=answer.to_bytes(), content_type=_TYPE)
        response.headers["Cache-Control"] = "no-store"
        if not whole:
            response.force_close()
        return response

    # Checking

    async def _check_port(self) -> Finding:
        error = await try_listening(self._host, self._port)
        if error is None:
            return Finding(ok=True, text=f"the printer can listen at {self.address}")
        if error.errno == errno.EADDRINUSE and await self._is_running():
            return Finding(ok=True, text=f"the printer answers at {self.address}")
        text, hint = self._refused(error)
        return Finding(ok=False, text=text, hint=hint)

    async def _is_running(self) -> bool:
        """Ask whoever listens there whether it is this printer."""
        group = Group(
            Tag.OPERATION,
            {
                "attributes-charset": values(Tag.CHARSET, "utf-8"),
                "attributes-natural-language": values(Tag.LANGUAGE, "en"),
                "printer-uri": values(Tag.URI, self.address),
                "requested-attributes": values(
                    Tag.KEYWORD, "printer-name", "printer-make-and-model"
                ),
            },
        )
        asked = Message((1, 1), Operation.GET_PRINTER_ATTRIBUTES, 1, (group,))
        timeout = aiohttp.ClientTimeout(total=_PROBE_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.post(
                    "http" + self.address.removeprefix("ipp"),
                    data=asked.to_bytes(),
                    headers={"Content-Type": _TYPE},
                    allow_redirects=False,
                ) as response,
            ):
                message, _ = read_message(await response.content.read(ATTRIBUTES_MAX_SIZE))
        except (aiohttp.ClientError, OSError, TimeoutError, MalformedError):
            return False
        told = message.groups[-1].attributes if message.groups else {}
        return told.get("printer-make-and-model") == (Value(Tag.TEXT, MODEL),) and told.get(
            "printer-name"
        ) == (Value(Tag.NAME, self.name),)

    def _refused(self, error: OSError) -> tuple[str, str]:
        return explain(error, self._at, taken_hint=_TAKEN_HINT, other_hint=_ADDRESS_HINT)


def _not_taken(intake: Intake, status: int, why: str) -> web.Response:
    """Refuse a request that a printing program sent, and tell the cashier."""
    text = f"a printed document was refused: {why}"
    intake.refuse(Finding(ok=False, text=text, hint=_PRINT_HINT))
    return _plain(status, why)


def _tell_refused(intake: Intake, answer: Message) -> None:
    """Tell of a print job that was answered with an error: programs show it in no place."""
    said = answer.groups[0].attributes.get("status-message", ())
    why = str(said[0].content) if said else "unknown reason"
    text = f"a printed document was refused: {why}"
    intake.refuse(Finding(ok=False, text=text, hint=_PRINT_HINT))


async def _read(request: web.BaseRequest) -> tuple[bytes, bool]:
    """Read a body, keeping no more than fits; tell whether that was all.

    What is too large is read to its end, within reason: most clients do not listen before.
    """
    body = bytearray()
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        body += chunk[: _BODY_MAX_SIZE - len(body)]
        if size > _DISCARDED_MAX_SIZE:
            break
    return bytes(body), size <= _BODY_MAX_SIZE


def _plain(status: int, text: str) -> web.Response:
    return web.Response(
        status=status,
        text=text,
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )


def _parse_hosts(hosts: object) -> tuple[str, ...]:
    """Read a list of names.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(hosts, list | tuple):
        names = tuple(host for host in hosts if isinstance(host, str) and host)
        if len(names) == len(hosts):
            return names
    raise ConfigError("hosts must be a list of names")


def _host_in(authority: str) -> str:
    """Read the host of a Host header, with or without a port."""
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host = authority
    return host.removeprefix("[").removesuffix("]")


def _own_names() -> tuple[str, ...]:
    name = socket.gethostname()
    short = name.partition(".")[0]
    return (name, short, f"{short}.local")
