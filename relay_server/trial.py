"""A sale and a display, tried through what stands in front of a relay, as tills and phones do.

Of each thing that a proxy can spoil it is said which setting of which proxy does that.
"""

import functools
import hashlib
import http.client
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import SplitResult

OK, WARN, FAIL = "ok  ", "warn", "FAIL"
CALL_SECONDS = 10.0
LARGEST = 4 * 1024 * 1024
SMALLEST = 16 * 1024
EARLY_SECONDS = 1.0
"""An answer that comes so much before its time was not the relay's."""
ONCE = {
    "Access-Control-Allow-Origin": "*",
    "Cache-Control": "no-store, no-transform",
    "X-Content-Type-Options": "nosniff",
}
_LATE = (
    "nginx: proxy_read_timeout 40s; HAProxy: timeout server 40s; Apache: ProxyTimeout 40; Traefik: "
    "responseHeaderTimeout 40s; Caddy: response_header_timeout 40s; a CDN: its idle limit"
)
_PAGES = "nginx: proxy_intercept_errors off; Apache: ProxyErrorOverride Off; Traefik: errors"
_SIZE = (
    "nginx: client_max_body_size 5m; Caddy: request_body max_size 5MB; Apache: LimitRequestBody "
    "5242880; Traefik: buffering maxRequestBodyBytes"
)
_CHUNKS = (
    "nginx: proxy_request_buffering on; Apache: SetEnv proxy-sendcl 1; HAProxy: option "
    "http-buffer-request; a CDN: body streaming"
)
_CACHE = "the front keeps answers: nginx: proxy_cache off; a CDN: no caching of /v1"

Line = tuple[str, str]


class Answer(NamedTuple):
    """What came back, and after how many seconds."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float


def call(
    url: SplitResult,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    sent: bytes = b"",
    *,
    seconds: float = CALL_SECONDS,
) -> Answer:
    """Make one request on a connection of its own.

    Raises:
        OSError, http.client.HTTPException: there is no answer.
    """
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=seconds)
    begun = time.monotonic()
    try:
        connection.putrequest(method, path)
        lines = dict(headers or {})
        if method in ("PUT", "POST"):
            lines.setdefault("Content-Length", str(len(sent)))
        for name, text in lines.items():
            connection.putheader(name, text)
        connection.endheaders()
        with suppress(ConnectionError, ssl.SSLError):  # refused meanwhile: the answer says why
            connection.send(sent)
        answer = connection.getresponse()
        body = answer.read(LARGEST + 1)
        return Answer(answer.status, answer.headers, body, time.monotonic() - begun)
    finally:
        connection.close()


class Trial:
    """One ticket and one display, which nobody else has; their names are to be removed after."""

    def __init__(self, url: SplitResult, permit: str, *, wait: int) -> None:
        self._call = functools.partial(call, url)
        self._permit = permit
        self._wait = wait
        self.ticket_id = secrets.token_bytes(16)
        self.cid = secrets.token_bytes(16)
        self._token = secrets.token_bytes(32)
        self._read, self._write = secrets.token_bytes(32), secrets.token_bytes(32)
        self._path = f"/v1/t/{self.ticket_id.hex()}"
        self._channel = f"/v1/c/{self.cid.hex()}"

    def run(self) -> Iterator[Line]:
        """Try everything; a line for each thing that is right or wrong."""
        envelope = _envelope(self._token, SMALLEST)
        uploaded = self._call("PUT", self._path, self._bearer(self._permit), envelope)
        line = _judge_upload(uploaded)
        yield line
        if line[0] == FAIL:
            return
        yield from self._try_download(envelope)
        yield from self._try_ends()
        yield from self._try_display()

    def _try_download(self, envelope: bytes) -> Iterator[Line]:
        found = self._call("GET", self._path, {"Accept-Encoding": "gzip, br"})
        if found.status != 200 or found.body != envelope:
            yield (
                FAIL,
                (
                    f"front: an envelope is answered {found.status}, and not as it was sent "
                    "(switch off gzip, brotli and rewriting for /v1)"
                ),
            )
        else:
            yield OK, "front: an envelope comes back byte for byte"
        yield from judge_headers(found.headers)
        asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
        asked["Access-Control-Request-Headers"] = "content-type"
        before = self._call("OPTIONS", self._path + "/state", asked)
        if before.status != 204 or "POST" not in before.headers.get(
            "Access-Control-Allow-Methods", ""
        ):
            yield (
                FAIL,
                (
                    f"front: OPTIONS is answered {before.status}, not by the relay: pages "
                    "elsewhere cannot use it (let OPTIONS through; no CORS of the proxy's own)"
                ),
            )

    def _try_ends(self) -> Iterator[Line]:
        absent = self._call("GET", "/v1/t/" + secrets.token_hex(16))
        waiting = self._later(
            "GET", f"{self._path}/state?since=stored&wait={self._wait}", self._bearer(self._token)
        )
        yield from self._judge_wait("a till's wait", waiting(), 200)
        self._call("POST", self._path + "/state", {}, self._token + b"revoked")
        gone = self._call("GET", self._path)
        wrong = False
        for answer, status, word in ((absent, 404, "absent"), (gone, 410, "gone")):
            if answer.status == 200 and status == 410:
                yield FAIL, f"front: a deleted ticket is still served ({_CACHE})"
                wrong = True
            elif answer.status != status or f"urn:e2ee-ticket:{word}".encode() not in answer.body:
                wrong = True
                yield (
                    FAIL,
                    (
                        f"front: for the relay's {status} comes another page, {answer.status} "
                        f"({_PAGES})"
                    ),
                )
        if not wrong:
            yield OK, "front: 404 and 410 are the relay's own"

    def _try_display(self) -> Iterator[Line]:
        body = b"dsp/v1\r\n" + hashlib.sha256(self._read).digest()
        body += hashlib.sha256(self._write).digest()
        made = self._call("PUT", self._channel, self._bearer(self._permit), body)
        if made.status not in (200, 201):
            yield FAIL, f"front: a display cannot be paired: {made.status} {_kind(made)}"
            return
        hello = secrets.token_bytes(80)
        name = hashlib.sha256(hello).digest()[:16].hex()
        path = self._channel + "/hello"
        empty = self._call("GET", path, self._bearer(self._write))
        etag = empty.headers.get("ETag", "")
        yield from _judge_etag(etag)
        if not etag:
            return
        display = self._later("POST", path, {}, self._read + hello)
        seen = self._call(
            "GET", f"{path}?wait={self._wait}", self._bearer(self._write, etag),
            seconds=self._wait + CALL_SECONDS,
        )  # fmt: skip
        self._call("PUT", f"{path}/{name}", self._bearer(self._write), bytes(512))
        painted = display()
        if hello not in seen.body or isinstance(painted, Exception) or painted.status != 200:
            came = painted if isinstance(painted, Exception) else painted.status
            yield (
                FAIL,
                (
                    f"front: a display and its till do not find each other: {seen.status}, {came} "
                    "(do not hold back requests or answers: nginx: proxy_buffering off)"
                ),
            )
            return
        yield OK, f"front: a display got its answer after {painted.seconds:.1f} s"
        hello = secrets.token_bytes(80)
        name = hashlib.sha256(hello).digest()[:16].hex()
        display = self._later("POST", path, {}, self._read + hello)
        # As long as the relay would let it wait; then it is answered.
        time.sleep(max(0.0, self._wait - EARLY_SECONDS))
        self._call("PUT", f"{path}/{name}", self._bearer(self._write), bytes(512))
        yield from self._judge_wait("a display's wait", display(), 200)

    def _judge_wait(self, what: str, answer: Answer | Exception, status: int) -> Iterator[Line]:
        if isinstance(answer, Exception):
            yield FAIL, f"front: {what} is cut off: {type(answer).__name__} ({_LATE})"
        elif answer.status != status or answer.seconds < self._wait - 2 * EARLY_SECONDS:
            yield (
                FAIL,
                (
                    f"front: {what} of {self._wait} s ends after {answer.seconds:.1f} s with "
                    f"{answer.status} ({_LATE})"
                ),
            )
        else:
            yield OK, f"front: {what} lasts {answer.seconds:.1f} s"

    def _later(
        self, method: str, path: str, headers: dict[str, str], sent: bytes = b""
    ) -> Callable[[], Answer | Exception]:
        """Make a request in a thread of its own; return how to wait for its end."""
        found: list[Answer | Exception] = []

        def run() -> None:
            try:
                seconds = self._wait + CALL_SECONDS
                found.append(self._call(method, path, headers, sent, seconds=seconds))
            except (OSError, http.client.HTTPException) as error:
                found.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def wait() -> Answer | Exception:
            thread.join()
            return found[0]

        return wait

    def _bearer(self, token: str | bytes, etag: str = "") -> dict[str, str]:
        text = token if isinstance(token, str) else token.hex()
        lines = {"Authorization": f"Bearer {text}"} if text else {}
        return lines | ({"If-None-Match": etag} if etag else {})


def _envelope(token: bytes, size: int) -> bytes:
    head = b"tkt/v1\r\n" + hashlib.sha256(token).digest()
    return head + secrets.token_bytes(size - len(head))


def _judge_upload(answer: Answer) -> Line:
    if answer.status in (200, 201):
        return OK, f"front: a ticket was uploaded in {answer.seconds * 1000:.0f} ms"
    if answer.status == 411:
        return FAIL, f"front: takes the length away from uploads, 411 ({_CHUNKS})"
    if answer.status == 413:
        return FAIL, f"front: 16 KiB are too large for it, 413 ({_SIZE})"
    if answer.status in (401, 403):
        why = "it takes Authorization away: nginx: no auth_basic; Apache: CGIPassAuth; a CDN: rules"
        return FAIL, f"front: an upload with a valid permit is answered {answer.status} ({why})"
    if answer.status == 405:
        return FAIL, "front: PUT is answered 405 (let PUT, POST, DELETE and OPTIONS through)"
    return FAIL, f"front: an upload is answered {answer.status} {_kind(answer)}".rstrip()


def judge_large(answer: Answer) -> Line:
    """Judge what came of 4 MiB that the relay itself refuses for another reason."""
    if b"urn:e2ee-ticket:" in answer.body and answer.status == 400:
        return OK, "front: lets 4 MiB through"
    if answer.status == 411:
        return FAIL, f"front: takes the length away from uploads, 411 ({_CHUNKS})"
    if b"urn:e2ee-ticket:" in answer.body and answer.status != 413:
        return OK, "front: lets 4 MiB through"
    return FAIL, f"front: 4 MiB are answered {answer.status} ({_SIZE})"


def judge_headers(headers: http.client.HTTPMessage) -> Iterator[Line]:
    """Judge the fields that the relay sets itself, once each (R1)."""
    for name, value in ONCE.items():
        found = [text.strip().lower() for text in headers.get_all(name, [])]
        if len(found) > 1 or (found and found[0] == f"{value}, {value}"):
            yield (
                FAIL,
                (
                    f"front: sends {name} {max(2, len(found))} times: browsers refuse the answer "
                    "(remove the proxy's: nginx: add_header; Apache: Header set; Traefik: headers)"
                ),
            )
        elif not found:
            yield (
                FAIL,
                (
                    f"front: takes {name} away (nginx: proxy_hide_header; Apache: Header unset; "
                    "a CDN: its rules)"
                ),
            )
        elif found[0] != value:
            yield FAIL, f"front: changes {name} to {found[0]!r} (leave the relay's headers alone)"


def _judge_etag(etag: str) -> Iterator[Line]:
    if not etag:
        yield (
            FAIL,
            (
                "front: takes ETag away: tills then ask without a pause (nginx: no etag off or "
                "more_clear_headers; Apache: no Header unset ETag)"
            ),
        )
    elif etag.startswith("W/"):
        yield FAIL, "front: weakens ETag, as compression does (nginx: gzip off; Apache: no DEFLATE)"


def _kind(answer: Answer) -> str:
    try:
        return str(json.loads(answer.body)["type"]).removeprefix("urn:e2ee-ticket:")
    except (ValueError, KeyError, TypeError):
        return "by something else than the relay"
