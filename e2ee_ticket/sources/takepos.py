"""TakePOS prints here: the till's browser posts each receipt to this computer.

Nothing of Dolibarr is changed but three constants (Setup, Other setup; no page of 20.0.2 and
22.0.4 draws fields for the first two): `TAKEPOS_PRINT_METHOD=takeposconnector`,
`TAKEPOS_PRINT_SERVER`, and automatic printing, `TAKEPOS_AUTO_PRINT_TICKETS=1`. Saving TakePOS' tab
Receipt erases `TAKEPOS_PRINT_SERVER`. TakePOS speaks two dialects:

* `TAKEPOS_PRINT_SERVER=127.0.0.1`: the receipt's page (HTML) to port 8111; typeset anew here.
* `TAKEPOS_PRINT_SERVER=http://127.0.0.1:8111`: what a receipt printer would get (ESC/POS), by the
  template that `TAKEPOS_TEMPLATE_TO_USE_FOR_INVOICES<n>` names; and, with
  `TAKEPOS_CUSTOMER_DISPLAY=1`, each item, one at a time, and the total when it is paid.

TakePOS' page listens to no answer: what was not taken is reported here, to be printed on paper.
"""

import asyncio
import base64
import binascii
import contextlib
import ipaddress
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs, unquote_plus, urlsplit

import aiohttp
from aiohttp import web

from e2ee_ticket.errors import ConfigError, OutboxError, ReceiptError, SourceError
from e2ee_ticket.sources import Arrival, Finding, Intake, Shop
from e2ee_ticket.sources.code_pages import CODE_PAGE, PRINTER, check_code_page, check_printer
from e2ee_ticket.sources.connections import TOO_MANY, Limits
from e2ee_ticket.sources.doorman import Doorman, Refusal, parse_origins
from e2ee_ticket.sources.http_server import HttpServer, serving
from e2ee_ticket.sources.listening import (
    TAKEPOS_LISTEN,
    explain,
    is_loopback,
    join,
    parse_listen,
    try_listening,
)
from e2ee_ticket.sources.page_pictures import Fetcher, PagePictures
from e2ee_ticket.sources.settings import read_sign
from e2ee_ticket.sources.takepos_receipts import (
    NoReceiptError,
    check_answer,
    read_job,
    read_receipt_page,
)
from e2ee_ticket.sources.takepos_trap import UNPRINTED, UNPRINTED_MAX

PAGE_MAX_SIZE: Final = 1 << 20
JOB_MAX_SIZE: Final = 4 << 20
BODY_SECONDS: Final = 20.0
LIMITS: Final = Limits(connections=64, busy_seconds=120.0)
BODIES_MAX: Final = 8
REPORT_SECONDS: Final = 60.0
TOTAL_SECONDS: Final = 20.0
"""How long after its total a sale is printed, at the latest."""
DISPLAY_COLUMNS: Final = 20
DISPLAY_LINES: Final = 2

_FORM_MAX_SIZE: Final = JOB_MAX_SIZE * 4 // 3 + 64
_QUERY_MAX: Final = 2_000
_PORT_SECONDS: Final = 1.0
_SITE_SECONDS: Final = 5.0
_WAITING: Final = "e2ee-ticket takepos: nothing has come yet\n"
_WORKING: Final = "e2ee-ticket takepos: receipts come\n"
_ORDER_PATHS: Final = frozenset({"/print2", "/print3"})
_TOTAL = re.compile(r"(?i)(?:total|summe|gesamt|importe|net à payer|à payer)")
_LIKE_AN_AMOUNT = re.compile(r"\s\S*\d\S*(?:\s[^\s\d]{1,3})?$")
_PRICE = re.compile(r"[^\d\s-]{0,4} ?-?\d[\d.,' \u00a0\u202f]{0,15} ?[^\d\s]{0,4}")
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]*")
_WEB_PAGE: Final = re.compile(rb"(?:<|%3C)(?:!|%21)?(?:doctype|html|head|body)", re.IGNORECASE)
_LOCAL_NAMES: Final = (".local", ".lan", ".home", ".internal", ".test", ".localhost", ".home.arpa")
_PAPER: Final = "print this one on paper"
_TAKEN_HINT: Final = "end that program; another connector for TakePOS is the likeliest"
_ADDRESS_HINT: Final = f"set listen = {TAKEPOS_LISTEN!r}"

logger = logging.getLogger(__name__)


class _AnswerError(Exception):
    """A request ends here: with a status, and a sentence for whoever looks at it.

    `told` is what the cashier reads of it: TakePOS' page listens to no answer.
    """

    def __init__(self, status: int, text: str, told: Finding | None) -> None:
        super().__init__(text)
        self.status, self.told = status, told


class TakePos:
    """What TakePOS' browser prints on this computer.

    Args:
        name: the source's name.
        shop: whose receipts they are.
        origin: the address of the Dolibarr whose pages may print here, or several.
        listen: the address and port TakePOS is told; only this computer can reach it.
        code_page: how a receipt printer's letters beyond ASCII are written.
        printer: the family of the printer that TakePOS is set up for, such as `epson` or `star`.
        currency: the sign to put behind amounts that come without one, such as `€`.
    """

    tills: Sequence[str] = ()

    def __init__(
        self,
        name: str,
        shop: Shop,
        *,
        origin: str | Sequence[str],
        listen: str = TAKEPOS_LISTEN,
        code_page: str = CODE_PAGE,
        printer: str = PRINTER,
        currency: str = "",
    ) -> None:
        self.name = name
        self._shop = shop
        self._origins = parse_origins(origin)
        self._host, self._port = _parse_listen(listen)
        self._at = join(self._host, self._port)
        self._fetcher = Fetcher(self._origins)
        self._door = Doorman(frozenset(self._origins), self._port)
        self._code_page = check_code_page(code_page)
        self._printer = check_printer(printer)
        self._currency = read_sign(currency)
        self._has_received = False
        self._unprinted = 0
        self._total_at: float | None = None
        self._reported_at: float | None = None
        self._body_seconds = BODY_SECONDS
        self._limits = LIMITS
        self._bodies = asyncio.Semaphore(BODIES_MAX)
        # One receipt is drawn at a time: two would not be ready any sooner.
        self._drawing = asyncio.Lock()

    async def run(self, intake: Intake) -> None:
        """Take what TakePOS prints until cancelled.

        Raises:
            SourceError: the port cannot be listened on.
        """

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            return await self._answer(request, intake)

        server = HttpServer(answer, self._limits, refused=lambda: intake.refuse(TOO_MANY))
        try:
            async with serving(server, self._host, self._port):
                intake.report(None)
                await asyncio.Event().wait()
        except OSError as error:
            raise SourceError(*self._unavailable(error)) from error

    async def check(self) -> Sequence[Finding]:
        """See whether TakePOS could print here, and tell how it is told to."""
        return [
            *await self._check_port(),
            *[await _check_site(origin) for origin in self._origins],
            *[finding for origin in self._origins for finding in _check_chrome(origin)],
        ]

    # Answering

    async def _answer(self, request: web.BaseRequest, intake: Intake) -> web.StreamResponse:
        headers = request.headers
        path = "/" + request.raw_path.partition("?")[0].lstrip("/")
        asks_only = path == "/" and request.method in ("GET", "HEAD")
        refusal = self._door.refuse(headers, asks_only=asks_only)
        is_preflight = request.method == "OPTIONS"
        status, text = 200, "ok\n"
        try:
            if refusal is not None:
                if not asks_only:
                    self._report_refusal(refusal, intake)
                raise _AnswerError(403, refusal.text, None)
            if asks_only:
                text = _WORKING if self._has_received else _WAITING
            elif is_preflight:
                status, text = 204, ""
            else:
                await self._serve(request, path, intake)
        except _AnswerError as error:
            status, text = error.status, f"{error}\n"
            if error.told is not None:
                intake.refuse(error.told)
        response = web.Response(status=status, text=text)
        response.headers.update(self._door.answer_headers(headers, preflight=is_preflight))
        # What is left of a body that nobody wants need not be read to its end.
        if status >= 400 and not request.content.is_eof():
            response.force_close()
        return response

    async def _serve(self, request: web.BaseRequest, path: str, intake: Intake) -> None:
        """Do what one of TakePOS' own requests asks for.

        Raises:
            _AnswerError: it was not done.
        """
        query, began = _read_query(request), self._shop.now()
        if path in _ORDER_PATHS or query.get("printer", "1") != "1":
            self._refuse_order()
        if path == "/display/index.php" and request.method == "GET":
            lines = _display_lines(query.get("text", ""))
            self._note_shown(lines, intake)
            intake.live(lines)
        elif path == "/printer/drawer.php" and request.method in ("GET", "POST"):
            intake.drawer()
        elif path == "/print" and request.method == "POST":
            body = await self._read_body(request, PAGE_MAX_SIZE)
            if body.strip() == b"opendrawer":
                intake.drawer()
            else:
                page = _decode(body)
                origin = request.headers.get("Origin")
                fetched = await self._fetcher.fetch(page, origin)
                pictures = PagePictures(self._origins, fetched)
                await self._take(lambda: self._read_page(page, pictures), intake, began)
        elif path == "/printer/index.php" and request.method == "POST":
            job = _parse_form(await self._read_body(request, _FORM_MAX_SIZE))
            await self._take(lambda: self._read_job(job), intake, began)
        elif path in ("/print", "/printer/index.php", "/printer/drawer.php", "/display/index.php"):
            raise _not_taken(405, "this address is asked in another way")
        else:
            raise _not_taken(404, "TakePOS asks for nothing here")

    async def _read_body(self, request: web.BaseRequest, max_size: int) -> bytes:
        """Read a body that fits, and comes in time.

        Raises:
            _AnswerError: it does not.
        """
        if "Content-Encoding" in request.headers:
            raise _not_taken(415, "send the receipt as it is, not packed")
        if (request.content_length or 0) > max_size:
            raise _not_taken(413, "this is larger than any receipt")
        body = bytearray()
        async with self._bodies:
            try:
                async with asyncio.timeout(self._body_seconds):
                    async for chunk in request.content.iter_any():
                        body += chunk
                        if len(body) > max_size:
                            raise _not_taken(413, "this is larger than any receipt")
            except TimeoutError:
                raise _not_taken(408, "the rest of the receipt did not come") from None
            except (OSError, aiohttp.ClientError, web.RequestPayloadError):
                raise _not_taken(400, "the receipt ended too early") from None
        return bytes(body)

    async def _take(self, read: Callable[[], Arrival], intake: Intake, began: float) -> None:
        """Hand one receipt over that began to come at a time; only then it is answered.

        Raises:
            _AnswerError: it was not taken.
        """
        try:
            async with self._drawing:
                arrival = await asyncio.to_thread(read)
            await intake.accept(replace(arrival, began=began))
        except ReceiptError as error:
            text = f"what TakePOS printed did not become a ticket: {error}"
            told = Finding(ok=False, text=text, hint=_hint(error))
            raise _AnswerError(422, str(error), told) from error
        except OutboxError as error:
            text = f"what TakePOS printed could not be kept: {error}"
            told = Finding(ok=False, text=text, hint=_PAPER)
            raise _AnswerError(503, "this computer cannot keep the receipt now", told) from error
        except Exception as error:
            # A fault of ours must not be the end of a receipt that nobody is told of.
            text = "what TakePOS printed did not become a ticket: it could not be drawn"
            told = Finding(ok=False, text=text, hint=_PAPER)
            # Not its message: it may quote the receipt.
            logger.error("a receipt of TakePOS could not be drawn: %s", type(error).__name__)  # noqa: TRY400
            raise _AnswerError(500, "the receipt could not be drawn", told) from error
        self._has_received = True
        self._unprinted, self._total_at = 0, None
        intake.report(None)

    def _read_page(self, page: str, pictures: PagePictures) -> Arrival:
        told: list[str] = []
        ticket = read_receipt_page(page, self._shop, self._currency, pictures, tell=told.append)
        return Arrival(ticket, ours=True, remarks=(*pictures.remarks, *told))

    def _read_job(self, job: bytes) -> Arrival:
        told: list[str] = []
        ticket = read_job(
            job,
            self._shop,
            self._currency,
            code_page=self._code_page,
            printer=self._printer,
            tell=told.append,
        )
        return Arrival(ticket, ours=True, paper=job, remarks=tuple(told))

    def _note_shown(self, lines: Sequence[str], intake: Intake) -> None:
        """Tell where totals are shown to customers one after another, and none is printed."""
        now = self._shop.now()
        since, self._total_at = self._total_at, None
        if lines and since is not None and not 0 <= now - since < TOTAL_SECONDS:
            self._unprinted += 1
            if self._unprinted > UNPRINTED_MAX:
                intake.report(UNPRINTED)
            since = None
        is_total = _TOTAL.match(lines[0]) is not None if lines else False
        self._total_at = now if is_total and since is None else since

    # Refusing

    def _refuse_order(self) -> None:
        text = "TakePOS sent an order for the kitchen here, and it was not printed"
        hint = "give the kitchen a printer of its own in Dolibarr, TakePOS, Order printers"
        raise _AnswerError(422, "an order is no receipt", Finding(ok=False, text=text, hint=hint))

    def _report_refusal(self, refusal: Refusal, intake: Intake) -> None:
        """Tell of a page that tried to print, at most once a minute."""
        now = self._shop.now()
        # The clock may have been set back.
        if self._reported_at is not None and 0 <= now - self._reported_at < REPORT_SECONDS:
            return
        self._reported_at = now
        page = f"a page of {refusal.origin}" if refusal.origin else "an unknown page or program"
        hint = f"if this is your Dolibarr, run e2ee-ticket setup and give it {refusal.origin}"
        text = f"{page} tried to print here and was refused"
        intake.refuse(Finding(ok=False, text=text, hint=hint if refusal.origin else None))

    # Checking

    async def _check_port(self) -> Sequence[Finding]:
        at = self._at
        error = await try_listening(self._host, self._port)
        if error is None:
            return [Finding(ok=True, text=f"{at} is free for TakePOS"), self._tell_settings()]
        said = await _ask(f"http://{at}/")
        if said == _WORKING:
            return [Finding(ok=True, text=f"TakePOS prints on {at}")]
        if said == _WAITING:
            return [Finding(ok=True, text=f"{at} listens for TakePOS"), self._tell_settings()]
        text, hint = self._unavailable(error)
        return [Finding(ok=False, text=text, hint=hint)]

    def _tell_settings(self) -> Finding:
        is_usual = (self._host, self._port) == ("127.0.0.1", 8111)
        address = "127.0.0.1" if is_usual else f"http://{self._at}"
        return Finding(
            ok=True,
            text="TakePOS has printed nothing here yet",
            hint=(
                "in Dolibarr, Setup, Other setup: TAKEPOS_PRINT_METHOD = takeposconnector,"
                f" TAKEPOS_PRINT_SERVER = {address}, TAKEPOS_AUTO_PRINT_TICKETS = 1;"
                " whoever saves TakePOS' tab Receipt afterwards erases TAKEPOS_PRINT_SERVER"
            ),
        )

    def _unavailable(self, error: OSError) -> tuple[str, str]:
        return explain(error, self._at, taken_hint=_TAKEN_HINT, other_hint=_ADDRESS_HINT)


def _read_query(request: web.BaseRequest) -> Mapping[str, str]:
    text = request.raw_path.partition("?")[2][:_QUERY_MAX]
    try:
        found = parse_qs(text, keep_blank_values=True, max_num_fields=8, errors="replace")
    except ValueError:
        raise _not_taken(400, "TakePOS asks for less") from None
    return {name: values[-1] for name, values in found.items()}


def _display_lines(text: str) -> Sequence[str]:
    """Cut what a customer display of two lines would show; none where it would be dark."""
    shown = "".join(one if one.isprintable() else " " for one in text)
    lines = (
        shown[index * DISPLAY_COLUMNS : (index + 1) * DISPLAY_COLUMNS].strip()
        for index in range(DISPLAY_LINES)
    )
    shown_lines = [line for line in lines if line]
    # A label that ends like an amount, as `33 cl`, is no amount where the price stands below it.
    if len(shown_lines) == 2 and _LIKE_AN_AMOUNT.search(shown_lines[0]):
        label, amount = shown_lines
        if _PRICE.fullmatch(amount):
            return [f"{label}  {amount}"]
    return shown_lines


def _parse_form(body: bytes) -> bytes:
    """Read `invoice=` and the printer's bytes behind it.

    Raises:
        _AnswerError: it is another form.
    """
    name, _, value = body.partition(b"&")[0].partition(b"=")
    value = value.strip().replace(b"%3D", b"").rstrip(b"=")
    value = value.translate(bytes.maketrans(b"+/", b"-_"))
    if name == b"invoice" and not value:
        text = "TakePOS sent a receipt with nothing in it"
        hint = (
            "in Dolibarr, TakePOS, tab of the terminal: choose a main template for receipts"
            " (TAKEPOS_TEMPLATE_TO_USE_FOR_INVOICES and the terminal's number); then print it again"
        )
        told = Finding(ok=False, text=text, hint=hint)
        raise _AnswerError(400, "there is nothing in this receipt", told)
    if name == b"invoice" and not _BASE64URL.fullmatch(value):
        try:
            check_answer(unquote_plus(value.decode("utf-8", "replace")))
        except NoReceiptError as error:
            text = f"what TakePOS printed did not become a ticket: {error}"
            told = Finding(ok=False, text=text, hint=error.hint)
            raise _AnswerError(422, str(error), told) from error
    if name == b"invoice" and _WEB_PAGE.match(value):
        text = "Dolibarr sent a web page in place of a receipt"
        hint = "log in to Dolibarr again, then print the receipt again"
        told = Finding(ok=False, text=text, hint=hint)
        raise _AnswerError(422, "this is a web page", told)
    if name != b"invoice" or not _BASE64URL.fullmatch(value):
        raise _not_taken(400, "this is not what TakePOS sends to a printer")
    try:
        job = base64.urlsafe_b64decode(value + b"=" * (-len(value) % 4))
    except binascii.Error:
        raise _not_taken(400, "this is not what TakePOS sends to a printer") from None
    return job


def _hint(error: ReceiptError) -> str:
    return error.hint if isinstance(error, NoReceiptError) else _PAPER


def _not_taken(status: int, why: str) -> _AnswerError:
    text = f"what TakePOS printed did not become a ticket: {why}"
    return _AnswerError(status, why, Finding(ok=False, text=text, hint=_PAPER))


def _decode(body: bytes) -> str:
    # TakePOS writes UTF-8; a template that was edited by hand may hold anything.
    with contextlib.suppress(UnicodeDecodeError):
        return body.decode("utf-8")
    return body.decode("cp1252", errors="replace")


def _parse_listen(listen: object) -> tuple[str, int]:
    """Read an address and a port of this computer alone.

    Raises:
        ConfigError: it is none.
    """
    with contextlib.suppress(ConfigError):
        host, port = parse_listen(listen, TAKEPOS_LISTEN)
        if is_loopback(host):
            return host, port
    raise ConfigError(
        f"listen must be an address of this computer alone, and a port, such as {TAKEPOS_LISTEN}"
    )


@contextlib.asynccontextmanager
async def _asking(url: str, seconds: float) -> AsyncIterator[aiohttp.ClientResponse]:
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with (
        aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
        session.get(url, allow_redirects=False) as response,
    ):
        yield response


async def _ask(url: str) -> str | None:
    """Ask what answers at an address; None where it is no text, or no answer."""
    try:
        async with _asking(url, _PORT_SECONDS) as response:
            return (await response.content.read(len(_WAITING) + 1)).decode("ascii")
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None


async def _check_site(origin: str) -> Finding:
    """See whether anything answers where Dolibarr is said to be."""
    try:
        async with _asking(origin + "/", _SITE_SECONDS):
            return Finding(ok=True, text=f"{origin} answers")
    except aiohttp.ClientSSLError:
        text = f"the certificate of {origin} is not one that this computer trusts"
        hint = "see whether TakePOS opens there in this computer's browser without a warning"
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        text = f"{origin} does not answer"
        hint = (
            "is it the address that the browser shows while TakePOS is open, and the network there?"
        )
    return Finding(ok=False, text=text, hint=hint)


def _check_chrome(origin: str) -> Sequence[Finding]:
    """Tell what the browser will say to a page that prints on this computer."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if _is_near(host):
        return []
    if parts.scheme == "http":
        text = f"browsers let no page of {origin} print on this computer, because it is not https"
        return [Finding(ok=False, text=text, hint="let Dolibarr be served with https")]
    text = "Chrome may ask once whether the page may reach this computer's own network"
    return [Finding(ok=True, text=text, hint="answer Allow")]


def _is_near(host: str) -> bool:
    """Tell whether a site is on this computer or in the shop's own network."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_NAMES)
