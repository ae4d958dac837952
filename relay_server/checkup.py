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
from relay_server.config import DAY, Config
from relay_server.errors import StartError
from relay_server.owner import become_owner
from relay_server.pages import PATHS, packaged
from relay_server.settings import PACKAGED, find_database, read_service_file
from relay_server.store.beside import Beside
from relay_server.store.place import find_file_system, is_network, is_running
from relay_server.store.upkeep import Guest, count, find_fault
from relay_server.stores import store_limits
from relay_server.trial import (
    CALL_SECONDS,
    FAIL,
    LARGEST,
    OK,
    WARN,
    Line,
    Trial,
    call,
    judge_headers,
    judge_large,
)
from relay_server.voice import MisuseError, Parser, parse_count, show, show_amount

CERTIFICATE_DAYS = 14
WAIT_SECONDS = 25
FILES_WANTED = 10_000
FREE_BYTES = 2**30


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
        "--wait",
        metavar="SECONDS",
        default=str(WAIT_SECONDS),
        help=f"how long it waits as tills and displays do (default {WAIT_SECONDS})",
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
    wait = parse_count(given.wait, "--wait")
    if wait > WAIT_SECONDS:
        raise MisuseError(f"--wait is {WAIT_SECONDS} at most", hint="no relay waits for longer")
    pages = None
    if given.pages is not None:
        pages = packaged() if given.pages == PACKAGED else Path(given.pages)
    steps: list[Callable[[], Iterator[Line]]] = [
        lambda: _check_machine(db),
        lambda: _check_clock(db),
        lambda: _check_database(db, thorough=given.thorough),
        lambda: _check_disk(db),
    ]
    if pages is not None:
        steps.append(lambda: _check_pages(pages))
    if front is not None:
        steps.append(lambda: _check_front(front, pages, db, wait))
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


def _check_machine(db: Path) -> Iterator[Line]:
    about = Beside(db).read_about() if is_running(db) else {}
    connections = about.get("connections_max")
    if isinstance(connections, int):
        what = f"connections: the relay that runs takes {connections:,}; a display needs one"
        few = connections < FILES_WANTED
        yield (WARN if few else OK), what + few * " (systemd: LimitNOFILE=65536, MemoryMax)"
        yield from _compare_settings(about.get("settings"))
        return
    with suppress(ImportError):
        import resource  # noqa: PLC0415 - Windows has none

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < FILES_WANTED:
            what = f"open files: {hard} allowed here; a display needs one"
            yield WARN, what + " (systemd: LimitNOFILE=65536)"
        else:
            yield OK, "open files: enough for displays, here"


def _compare_settings(runs: object) -> Iterator[Line]:
    """Compare what the service's file says with what runs."""
    written = {
        name: text
        for name, text in read_service_file(os.environ).items()
        if name.startswith("RELAY_") and name != "RELAY_STORE"
    }
    if not written or not isinstance(runs, dict):
        return
    other = sorted(name for name, text in written.items() if runs.get(name) != text)
    if other:
        what = f"settings: {', '.join(other)} as written is not what runs"
        yield WARN, what + " (systemctl restart relay-server; reload does not read the file)"
    else:
        yield OK, "settings: what is written is what runs"


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
    if counts.free_bytes > FREE_BYTES and 2 * counts.free_bytes > counts.file_bytes:
        yield WARN, f"database: {show_amount(counts.free_bytes)} are free (relay-server compact)"
    file_system = find_file_system(db)
    if is_network(file_system):
        yield WARN, f"database: {db} is on {file_system}; it must be on a disk of this machine"
    yield OK, f"database: {db}, whole; {living:,} tickets, {counts.permits:,} permits; {state}"
    if os.name == "posix" and db.stat().st_mode & 0o077:
        yield WARN, f"database: others may read {db} (chmod 600)"


def _check_disk(db: Path) -> Iterator[Line]:
    if not db.parent.is_dir():
        return
    effective = os.access in os.supports_effective_ids
    if not os.access(db.parent, os.W_OK, effective_ids=effective):
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


def _check_front(url: SplitResult, pages: Path | None, db: Path, wait: int) -> Iterator[Line]:
    try:
        if url.scheme == "https":
            yield from _check_certificate(url)
        else:
            yield WARN, "front: plain http; phones and tills want https"
        yield from _check_answers(url)
        yield from _check_large_body(url)
        yield from _check_sale(url, db, wait)
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
        socket.create_connection(address, CALL_SECONDS) as plain,
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
    status, headers, body, _ = call(url, "GET", "/v1/info")
    try:
        info = json.loads(body)
        version = info["version"]
    except (ValueError, KeyError, TypeError):
        yield FAIL, f"front: /v1/info is answered {status}, and not by a relay"
        return
    yield OK, f"front: a relay of version {version}, {info.get('mode')}"
    yield from judge_headers(headers)


def _check_sale(url: SplitResult, db: Path, wait: int) -> Iterator[Line]:
    """Upload, download, pair and wait through the front, with a permit for this moment."""
    try:
        guest = Guest(db, int(time.time()) // DAY)
    except StartError as error:
        yield WARN, f"front: no sale was tried: {error}"
        return
    trial = Trial(url, guest.permit, wait=wait)
    try:
        yield from trial.run()
    finally:
        guest.leave(trial.ticket_id, trial.cid)


def _check_large_body(url: SplitResult) -> Iterator[Line]:
    """Send as much as there can be, in a way that the relay refuses (R30, R34)."""
    headers = {"Content-Length": str(LARGEST), "Ticket-TTL": "0"}
    path = "/v1/t/" + secrets.token_hex(16)
    yield judge_large(call(url, "PUT", path, headers, bytes(LARGEST)))


def _check_served_pages(url: SplitResult, pages: Path) -> Iterator[Line]:
    for path, name in PATHS.items():
        status, _, body, _ = call(url, "GET", path)
        if status == 200 and body == (pages / name).read_bytes():
            yield OK, f"front: {path} is the page of this release"
        else:
            yield (
                FAIL,
                (
                    f"front: {path} is answered {status}, with another page: tills show no code "
                    "(no injected scripts, no minifying, no cache; is it another release?)"
                ),
            )
