"""Who may ask a server that listens on this computer for the browser's sake: one web page's origin.

Any page open in the browser can send requests to 127.0.0.1, and the browser says which page it was:

* `Host` must be this computer. A foreign name that was made to lead here (DNS rebinding) is not.
* `Origin` must be exactly the configured one. Browsers send it with every POST, and with every GET
  of a script to another origin; no page can write it.
* A request without `Origin` is no till's. It may be an image or a link of any page, so nothing is
  done for it, and only who was not sent by another page (`Sec-Fetch-Site`) is told anything.

Whoever runs programs on this computer could write any header; the doorman is not against them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from e2ee_ticket.errors import ConfigError

_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]{1,100}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
_FROM_NO_OTHER_PAGE: Final = ("none", "same-origin")
_PORTS: Final = {"http": 80, "https": 443}


class Headers(Protocol):
    """A request's headers, each of which may have come more than once."""

    def getall(self, name: str, default: list[str], /) -> list[str]:
        """Return every value of a header."""
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served; `origin` is the page's, where it is fit to be shown."""

    text: str
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Doorman:
    """The rules for one server."""

    origins: frozenset[str]
    port: int
    _hosts: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        names = (f"{host}:{self.port}" for host in ("127.0.0.1", "localhost", "[::1]"))
        object.__setattr__(self, "_hosts", frozenset(names))

    def refuse(self, headers: Headers, *, asks_only: bool = False) -> Refusal | None:
        """Return why a request may not be served; `asks_only` is one that changes nothing."""
        host = headers.getall("Host", [])
        origin = headers.getall("Origin", [])
        if len(host) != 1 or host[0].lower() not in self._hosts:
            return Refusal("this computer is not called by that name here", _shown(origin))
        if origin and (len(origin) != 1 or origin[0] not in self.origins):
            return Refusal("this page may not print here", _shown(origin))
        if origin:
            return None
        site = headers.getall("Sec-Fetch-Site", [])
        if not asks_only or any(one not in _FROM_NO_OTHER_PAGE for one in site):
            return Refusal("only TakePOS' own page may print here")
        return None

    def answer_headers(self, headers: Headers, *, preflight: bool = False) -> Mapping[str, str]:
        """Say with an answer who may read it: the page that asked, and none where none is named."""
        answer = {
            "Cache-Control": "no-store",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Vary": "Origin",
            "X-Content-Type-Options": "nosniff",
        }
        origin = headers.getall("Origin", [])
        if self.refuse(headers) is not None:
            return answer
        answer["Access-Control-Allow-Origin"] = origin[0]
        if preflight:
            answer["Access-Control-Allow-Methods"] = "GET, POST"
            answer["Access-Control-Allow-Headers"] = "Content-Type, X-Requested-With"
            answer["Access-Control-Max-Age"] = "600"
            # Asked by Chrome 104 to 141 for a page from outside; later ones ask the user instead.
            if headers.getall("Access-Control-Request-Private-Network", []) == ["true"]:
                answer["Access-Control-Allow-Private-Network"] = "true"
        return answer


def parse_origins(given: object) -> tuple[str, ...]:
    """Read one address of a web site, or several, as a browser names its origin.

    Raises:
        ConfigError: it is none.
    """
    many: Sequence[object] = given if isinstance(given, list | tuple) else (given,)
    origins = tuple(_parse_origin(one) for one in many)
    if not origins:
        raise ConfigError("origin must be the address of your Dolibarr")
    return origins


def _parse_origin(given: object) -> str:
    wrong = ConfigError(
        "origin must be the address of your Dolibarr, such as https://dolibarr.example"
    )
    if not isinstance(given, str):
        raise wrong
    try:
        parts = urlsplit(given.strip())
        host = (parts.hostname or "").encode("idna").decode("ascii")
        port = parts.port
    except ValueError:  # UnicodeError is one
        raise wrong from None
    if parts.scheme not in _PORTS or parts.username is not None:
        raise wrong
    host = f"[{host}]" if ":" in host else host
    tail = "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    origin = f"{parts.scheme}://{host}{tail}".lower()
    if not _ORIGIN.fullmatch(origin):
        raise wrong
    return origin


def _shown(origins: Iterable[str]) -> str | None:
    """Choose what may be shown of the origin of an unknown page: a plain address, or nothing."""
    return next((origin for origin in origins if _ORIGIN.fullmatch(origin)), None)
