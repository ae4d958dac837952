"""``relay-server check``: a line for each thing that must be right, and what to do about it."""

import hashlib
import http.client
import json
import os
import secrets
import shutil
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from relay_server.clock import say_doubt
from relay_server.commands import common_flags, find_doubt
from relay_server.config import Config
from relay_server.errors import StartError
from relay_server.owner import become_owner
from relay_server.pages import PATHS, packaged
from relay_server.settings import PACKAGED, find_database
from relay_server.store.place import is_running
from relay_server.store.upkeep import count, find_fault
from relay_server.stores import store_limits
from relay_server.voice import MisuseError, Parser, show, show_amount

OK, WARN, FAIL = "ok  ", "warn", "FAIL"
FRONT_SECONDS = 10.0
CERTIFICATE_DAYS = 14
FILES_WANTED = 10_000
LARGEST = 4 * 1024 * 1024

Line = tuple[str, str]


def check_parser() -> Parser:
    """Return what can be said to `relay-server check`."""
    parser = Parser(
        prog="relay-server check",
        description="Look whether everything is right: one line each; exit 1 if something is not.",
        parents=[common_flags()],
        allow_abbrev=False,
    )
    parser.add_argument("--pages", nargs="?", const=PACKAGED, metavar="DIR", help="its pages, too")
    parser.add_argument(
        "--url", metavar="URL", help="what tills and phones call: https://tickets.example.org"
    )
    parser.add_argument(
        "--thorough", action="store_true", help="read the whole database; may take long"
    )
    return parser


def check(arguments: list[str]) -> int:
    """Look at everything that must be right; 1 when something is not."""
    given = check_parser().parse_args(arguments)
    db = find_database(given.db, given.store, os.environ)
    front = None if given.url is None else _parse_url(given.url)
    pages = None
    if given.pages is not None:
        pages = packaged() if given.pages == PACKAGED else Path(given.pages)
    steps: list[Callable[[], Iterator[Line]]] = [
        _check_machine,
        lambda: _check_clock(db),
        lambda: _check_database(db, thorough=given.thorough),
        lambda: _check_disk(db),
    ]
    if pages is not None:
        steps.append(lambda: _check_pages(pages))
    if front is not None:
        steps.append(lambda: _check_front(front, pages))
    failed = False
    for step in steps:
        for verdict, text in step():
            failed = failed or verdict == FAIL
            show(f"{verdict}  {text}")
    return 1 if failed else 0


def _parse_url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        url.port  # noqa: B018 - looking at it is what checks it
    except ValueError:
        url = urlsplit("")
    if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/"):
        raise MisuseError(
            f"{text!r} is not where a relay can be", hint="for example https://tickets.example.org"
        )
    return url


# This machine


def _check_machine() -> Iterator[Line]:
    with suppress(ImportError):
        import resource  # noqa: PLC0415 - Windows has none

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < FILES_WANTED:
            yield (
                WARN,
                f"open files: {hard} allowed; a display needs one (systemd: LimitNOFILE=65536)",
            )
        else:
            yield OK, "open files: enough for displays"


def _check_clock(db: Path) -> Iterator[Line]:
    doubt = find_doubt(db)
    if doubt:
        what = f"clock: this machine's clock is {say_doubt(doubt)}; nothing is deleted by it"
        yield FAIL, f"{what} (set it right, or: relay-server clock accept)"
    else:
        yield OK, "clock: nothing speaks against it"


def _check_database(db: Path, *, thorough: bool) -> Iterator[Line]:
    become_owner(db)
    try:
        running = is_running(db)
        fault = find_fault(db, thorough=thorough)
        counts = None if fault else count(db, now=int(time.time()))
    except StartError as error:
        yield FAIL, f"database: {error}" + (f" ({error.hint})" if error.hint else "")
        return
    if counts is None:
        yield FAIL, f"database: damaged, {fault} (restore it from a backup)"
        return
    living = counts.stored + counts.opened + counts.received
    state = "a relay runs on it" if running else "no relay runs on it"
    yield OK, f"database: {db}, whole; {living:,} tickets, {counts.permits:,} permits; {state}"
    if os.name == "posix" and db.stat().st_mode & 0o077:
        yield WARN, f"database: others may read {db} (chmod 600)"


def _check_disk(db: Path) -> Iterator[Line]:
    if not db.parent.is_dir():
        return
    if not os.access(db.parent, os.W_OK):
        yield FAIL, f"disk: {db.parent} cannot be written (the relay must own it)"
        return
    limits = store_limits(Config())
    free = shutil.disk_usage(db.parent).free
    if free < limits.disk_reserve_bytes:
        yield FAIL, f"disk: {show_amount(free)} free, uploads are refused (make room)"
    elif free < 10 * limits.disk_reserve_bytes:
        yield WARN, f"disk: only {show_amount(free)} free"
    else:
        yield OK, f"disk: {show_amount(free)} free"


# Pages


def _check_pages(directory: Path) -> Iterator[Line]:
    try:
        sums = _read_sums(directory / "SHA256SUMS")
        for name in sorted(PATHS.values()):
            digest = hashlib.sha256((directory / name).read_bytes()).hexdigest()
            if sums.get(name) == digest:
                yield OK, f"page {name}: {digest}"
            else:
                yield FAIL, f"page {name}: {digest} is not what SHA256SUMS says (install again)"
    except OSError as error:
        yield FAIL, f"pages: cannot read {error.filename}: {error.strerror}"


def _read_sums(path: Path) -> dict[str, str]:
    rows = [line.split() for line in path.read_text("ascii").splitlines()]
    return {row[1]: row[0] for row in rows if len(row) == 2}


# What stands in front


def _check_front(url: SplitResult, pages: Path | None) -> Iterator[Line]:
    try:
        if url.scheme == "https":
            yield from _check_certificate(url)
        else:
            yield WARN, "front: plain http; phones and tills want https"
        yield from _check_answers(url)
        yield from _check_large_body(url)
        if pages is not None:
            yield from _check_served_pages(url, pages)
    except ssl.SSLCertVerificationError as error:
        yield FAIL, f"front: the certificate is not trusted: {error.verify_message}"
    except ssl.SSLError as error:
        yield FAIL, f"front: TLS does not work: {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        what = getattr(error, "strerror", None) or str(error) or type(error).__name__
        yield FAIL, f"front: {url.netloc} does not answer: {what}"


def _check_certificate(url: SplitResult) -> Iterator[Line]:
    import socket  # noqa: PLC0415 - only here

    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    address = (url.hostname or "", url.port or 443)
    with (
        socket.create_connection(address, FRONT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=url.hostname) as line,
    ):
        certificate = line.getpeercert() or {}
        protocol, alpn = line.version(), line.selected_alpn_protocol()
    days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86_400
    verdict = OK if days >= CERTIFICATE_DAYS else WARN
    yield verdict, f"front: {protocol}, certificate good for {days:.0f} days"
    if alpn == "h2":
        yield OK, "front: HTTP/2"
    else:
        yield WARN, "front: no HTTP/2; a phone's page and receipt then take turns"


def _check_answers(url: SplitResult) -> Iterator[Line]:
    status, headers, body = _call(url, "GET", "/v1/info")
    try:
        info = json.loads(body)
        version = info["version"]
    except (ValueError, KeyError, TypeError):
        yield FAIL, f"front: /v1/info is answered {status}, and not by a relay"
        return
    yield OK, f"front: a relay of version {version}, {info.get('mode')}"
    missing = [
        name
        for name, value in (
            ("Access-Control-Allow-Origin", "*"),
            ("Cache-Control", "no-store, no-transform"),
            ("X-Content-Type-Options", "nosniff"),
        )
        if headers.get(name, "").lower() != value
    ]
    if missing:
        yield FAIL, f"front: changes or doubles {', '.join(missing)} (R1: leave headers alone)"
    status, headers, body = _call(url, "GET", "/v1/t/" + secrets.token_hex(16))
    if status != 404 or b"urn:e2ee-ticket:absent" not in body:
        yield FAIL, f"front: a ticket that is not there is answered {status}, not by the relay"


def _check_large_body(url: SplitResult) -> Iterator[Line]:
    """Send as much as there can be, in a way that the relay refuses (R30, R34)."""
    headers = {"Content-Length": str(LARGEST), "Ticket-TTL": "0"}
    path = "/v1/t/" + secrets.token_hex(16)
    status, _, body = _call(url, "PUT", path, headers, bytes(LARGEST))
    if b"urn:e2ee-ticket:" in body:
        yield OK, "front: lets 4 MiB through"
    else:
        yield FAIL, f"front: 4 MiB are answered {status} (nginx: client_max_body_size 5m)"


def _check_served_pages(url: SplitResult, pages: Path) -> Iterator[Line]:
    for path, name in PATHS.items():
        status, _, body = _call(url, "GET", path)
        if status == 200 and body == (pages / name).read_bytes():
            yield OK, f"front: {path} is the page of this release"
        else:
            yield FAIL, f"front: {path} is answered {status}, with another page"


def _call(
    url: SplitResult,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    sent: bytes = b"",
) -> tuple[int, http.client.HTTPMessage, bytes]:
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=FRONT_SECONDS)
    try:
        connection.putrequest(method, path)
        for name, text in (headers or {}).items():
            connection.putheader(name, text)
        connection.endheaders()
        with suppress(ConnectionError, ssl.SSLError):  # refused meanwhile: the answer says why
            connection.send(sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read(2**20)
    finally:
        connection.close()
