"""Talking to Dolibarr's REST API over HTTP.

One request at a time, answers of a bounded length, no cookies, and never a redirect: the key goes
to the configured origin and nowhere else. Nothing of aiohttp escapes; no message holds the key or
a word of what was answered.
"""

import asyncio
import contextlib
import email.utils
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from e2ee_ticket.errors import SourceError

ANSWER_MAX_SIZE: Final = 4 * 1024 * 1024
TIMEOUT_SECONDS: Final = 25.0
PATIENCE_SECONDS: Final = 60.0
"""For what Dolibarr has to make first, such as a PDF."""

_WAIT_MAX_SECONDS: Final = 600.0
_SHORT_SIZE: Final = 2000
_PHP_MARKS: Final = (b"<b>Warning</b>", b"<b>Notice</b>", b"<b>Deprecated</b>", b"Fatal error</b>")


class DolibarrError(SourceError):
    """Dolibarr did not do its part; `status` is None where its API was not reached."""

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        status: int | None = None,
        wait_seconds: float = 0.0,
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.wait_seconds = wait_seconds

    @property
    def passing(self) -> bool:
        """Whether the same request may well succeed in a while, whatever it was for."""
        return self.status is None or self.status >= 500 or self.status in (401, 429)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said, how long it took, and Dolibarr's clock where it tells."""

    value: Any
    seconds: float
    clock: float | None


class Client:
    """One Dolibarr. Within `async with client.connected()` the connection is kept open."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        trusted: ssl.SSLContext | None = None,
    ) -> None:
        """Speak to one Dolibarr; `trusted` says whose certificates, beside the system's."""
        self.url = url
        self._trusted = trusted
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._turn = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._users = 0

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Keep one connection for all who are within."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,  # invoices are small; a bomb is not
                connector=aiohttp.TCPConnector(
                    limit=1, keepalive_timeout=60, ssl=self._trusted or True
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                skip_auto_headers=("User-Agent",),
                trust_env=False,
            )
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0 and self._session is not None:
                session, self._session = self._session, None
                await session.close()

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, limit: int = ANSWER_MAX_SIZE
    ) -> Answer:
        """Ask for something.

        Raises:
            DolibarrError: no answer, not an answer of Dolibarr's API, or a refusal.
        """
        return await self._call("GET", path, query=query, limit=limit)

    async def put(
        self, path: str, members: Mapping[str, str], *, limit: int = ANSWER_MAX_SIZE
    ) -> Answer:
        """Ask for something to be made.

        Raises:
            DolibarrError: as `get`.
        """
        return await self._call("PUT", path, members=members, limit=limit)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        members: Mapping[str, str] | None = None,
        limit: int,
    ) -> Answer:
        async with self.connected(), self._turn:
            assert self._session is not None  # noqa: S101 - `connected` has just made it
            seconds = max(self._timeout_seconds, PATIENCE_SECONDS if members else 0.0)
            began = time.monotonic()
            try:
                async with self._session.request(
                    method,
                    f"{self.url}/api/index.php/{path}",
                    params=query,
                    json=members,
                    headers={"DOLAPIKEY": self._key},
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=10),
                ) as response:
                    body = await _read(response, limit)
            except TimeoutError:
                raise DolibarrError(
                    f"Dolibarr does not answer within {seconds:.0f} seconds",
                    "is its server overloaded, or the network very slow?",
                ) from None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                # From None: aiohttp's errors may hold the whole request, and the key with it.
                raise _broken(error) from None
        value = _judge(response, body)
        return Answer(value, time.monotonic() - began, _clock(response.headers.get("Date")))


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > limit:
            raise DolibarrError(
                f"Dolibarr's answer is longer than {limit // 1024} KiB",
                "does the address lead to something else than Dolibarr?",
            )
    return bytes(body)


def _clock(date: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, TypeError, OverflowError):
        return None


def _judge(response: aiohttp.ClientResponse, body: bytes) -> Any:  # noqa: ANN401 - JSON
    """Return what a good answer holds, and raise what any other means."""
    status = response.status
    if 300 <= status < 400:
        raise _led_away(response.headers.get("Location", ""))
    try:
        value = json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise _foreign(status, body, response.headers) from None
    if not isinstance(value, dict | list):
        raise _foreign(status, body, response.headers)
    if status == 200 and not (isinstance(value, dict) and set(value) == {"error"}):
        return value
    raise _refusal(status, response.headers)


def _refuse_constant(_: str) -> None:
    raise ValueError


def _refusal(status: int, headers: Mapping[str, str]) -> DolibarrError:
    """Say what a refusal of the API itself means."""
    if status == 401:
        return DolibarrError(
            "Dolibarr does not accept the API key",
            "copy it whole from the user's card (Users & Groups, in French Utilisateurs &"
            " Groupes; field API key, Clé pour l'API); the user must be enabled",
            status=status,
        )
    if status == 403:
        return DolibarrError("Dolibarr says that the user of the API key may not see this",
                             status=status)  # fmt: skip
    if status == 404:
        return DolibarrError("Dolibarr does not know this", status=status)
    if status == 429:
        return DolibarrError(
            "Dolibarr asks for fewer requests", status=status, wait_seconds=_retry_after(headers)
        )
    if status >= 500:
        return DolibarrError(
            f"Dolibarr failed inside ({status})",
            "look into Dolibarr's log and its web server's error log",
            status=status,
        )
    return DolibarrError(f"Dolibarr refuses our request ({status})", status=status)


def _foreign(status: int, body: bytes, headers: Mapping[str, str]) -> DolibarrError:
    """Say what an answer means that is not JSON."""
    start = body[:_SHORT_SIZE]
    page = b"<html" in start.lower() or b"<!doctype" in start.lower()
    if b"DolibarrHasDetectedError" in start or b"InformationToHelpDiagnose" in start:
        return DolibarrError(
            "Dolibarr itself fails: its database does not answer, or it has an error",
            "it is tried again by itself; if it lasts, start the database, or ask whoever runs"
            " the server",
            status=500,
        )
    if b"not allowed from the IP" in start:
        return DolibarrError(
            "Dolibarr's API refuses this computer's address",
            "add it under Home, Setup, Modules, API REST, in the list of allowed IP addresses"
            " (API_RESTRICT_ON_IP)",
        )
    if b"API_ENDPOINT_RULES" in start:
        return DolibarrError(
            "a rule in Dolibarr forbids this part of its API",
            "allow invoices, documents, status and setup in API_ENDPOINT_RULES"
            " (Home, Setup, Other Setup)",
            status=403,
        )
    if any(mark in start for mark in _PHP_MARKS):
        return DolibarrError(
            "Dolibarr's server writes PHP warnings into its answers",
            "set display_errors = Off in its php.ini, and look for the warning in its log",
            status=500,
        )
    if status == 200 and not page and len(body) < _SHORT_SIZE:
        return DolibarrError(
            "Dolibarr answers, but its REST API is switched off",
            "switch it on: Home, Setup, Modules/Applications, API / Web services (REST server);"
            " in French Accueil, Configuration, Modules, API/Web services (serveur REST)",
        )
    if status in (429, 502, 503, 504):
        return DolibarrError(
            f"Dolibarr's server is being maintained or overloaded ({status})",
            "it is tried again by itself; if it lasts, ask whoever runs the server",
            wait_seconds=_retry_after(headers),
        )
    if status == 404:
        return DolibarrError(
            "there is no Dolibarr at this address",
            "url is the address in the browser when Dolibarr is open, without index.php and"
            " what follows",
        )
    if status in (401, 403):
        return DolibarrError(
            f"the web server before Dolibarr refuses us ({status})",
            "it wants a password of its own, or a firewall blocks /api/index.php",
        )
    if status >= 500:
        return DolibarrError(
            f"Dolibarr's server failed ({status})",
            "look into the web server's error log",
            status=status,
        )
    return DolibarrError(
        "a web page answers in the place of Dolibarr's API",
        "does the network want a login? is url Dolibarr's own address?",
    )


def _led_away(location: str) -> DolibarrError:
    parts = urlsplit(location[:300])
    there = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""
    return DolibarrError(
        f"the address leads on{' to ' + there if there else ''}, where the key is not sent",
        "does the network want a login? otherwise set url to the address that it leads to",
    )


def _retry_after(headers: Mapping[str, str]) -> float:
    text = headers.get("Retry-After", "")
    known = text.isascii() and text.isdigit() and len(text) < 8
    return min(float(text), _WAIT_MAX_SECONDS) if known else 0.0


def _broken(error: Exception) -> DolibarrError:
    """Say what failed between here and Dolibarr."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
        return DolibarrError(
            f"Dolibarr's certificate is not valid: {str(why)[:120].lower()}",
            "renew it, or use the name that it is for; if it is one of your own, write its file"
            " into ca_file of this source; a wrong clock of this computer can be the reason too",
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return DolibarrError(
            "no encrypted connection to Dolibarr",
            "is url right? a server without TLS has an http:// address",
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return DolibarrError(
            "Dolibarr's name is not found", "is the network there, and url written right?"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return DolibarrError(
            "nothing answers at Dolibarr's address", "is its server on, and the network there?"
        )
    return DolibarrError(
        "the connection to Dolibarr broke", "is the network there? it is tried again by itself"
    )
