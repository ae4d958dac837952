"""What must be true of a request before anything is done for it.

The checks stand in this order: the name that the browser calls (DNS rebinding), who asks (another
device), from which page (another origin), with which session. Whatever is refused is refused
before a body is read.
"""

from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from e2ee_ticket.errors import TicketError
from e2ee_ticket.sources.connections import is_loopback, neighbourhood
from e2ee_ticket.sources.listening import join
from e2ee_ticket.till.network import ANY, split_listen

CONTENT_SECURITY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The print dialog is opened for a frame, so that one page may hold this answer: our own.
PAPER_SECURITY: Final = "default-src 'none'; base-uri 'none'; frame-ancestors 'self'"

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_SECURITY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Not no-referrer: a browser then names no origin where it posts a form. No path holds a secret.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Every answer has them; an answer may bring its own instead."""

_LOCALHOST: Final = "localhost"
_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP")

Peer = Callable[[web.BaseRequest], str | None]


class StrangerError(TicketError):
    """This request is not answered; `key` names the page that says why, `status` is HTTP's."""

    def __init__(self, key: str, status: int) -> None:
        super().__init__(f"the console refused a request: {key}")
        self.key = key
        self.status = status


def names_for(listen: str, hosts: tuple[str, ...]) -> frozenset[str]:
    """Return what a browser may call this console, as its Host header says it.

    It may always call it by the address that it has reached. `localhost` is no name: it stands for
    two addresses, and another program at the other one would be asked first, and sent the cookie.
    """
    host, port = split_listen(listen)
    names = set()
    if host not in (*ANY, _LOCALHOST):
        names.add(join(host, port).lower())
    for name in hosts:
        names.add(name.lower() if _has_port(name) else f"{name.lower()}:{port}")
    if port == 80:
        names |= {name.removesuffix(":80") for name in names}
    return frozenset(names)


def check_name(request: web.BaseRequest, names: frozenset[str]) -> None:
    """Refuse a name that is not ours: a page of another site made the browser call us by its own.

    Raises:
        StrangerError: another name.
        HTTPSeeOther: `localhost`, where it is none of its names.
    """
    host = request.headers.get("Host", "").lower()
    own = _own_address(request) or ""
    if host and (host in names or host in _written(own)):
        return
    if (
        own
        and request.method == "GET"
        and host in _written(f"{_LOCALHOST}:{own.rpartition(':')[2]}")
    ):
        raise web.HTTPSeeOther(f"http://{own}/")
    raise StrangerError("absent", 421)


def is_local(request: web.BaseRequest, peer: Peer) -> bool:
    """Tell whether a request comes from this computer, and not through a proxy on it."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    return is_loopback(peer(request) or "")


def caller(request: web.BaseRequest, peer: Peer) -> str:
    """Name who asks, for counting wrong PINs; an IPv6 network is one caller."""
    return neighbourhood(peer(request) or "?")


def peer_of(request: web.BaseRequest) -> str | None:
    """Return the address at the other end of the connection."""
    return request.remote


def check_origin(request: web.BaseRequest) -> None:
    """Refuse what another page asks for.

    To post, a browser must say that our own page does it. To look, it may come from anywhere, but
    only as a page of its own: not in a frame, not as a picture or a script of another page.

    Raises:
        StrangerError: another origin.
    """
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site")
    own = f"{_scheme(request)}://{request.headers.get('Host', '')}".lower()
    if origin is not None and origin.lower() != own:
        raise StrangerError("origin", 403)
    if request.method not in ("GET", "HEAD"):
        if site not in (None, "same-origin") or (site is None and origin is None):
            raise StrangerError("origin", 403)
    elif site not in (None, "same-origin", "none"):
        mode = request.headers.get("Sec-Fetch-Mode")
        destination = request.headers.get("Sec-Fetch-Dest", "document")
        if mode != "navigate" or destination != "document":
            raise StrangerError("origin", 403)


def is_secure(request: web.BaseRequest) -> bool:
    """Tell whether the browser came by https, through a proxy."""
    return _scheme(request) == "https"


def _scheme(request: web.BaseRequest) -> str:
    told = request.headers.get("X-Forwarded-Proto", "").lower()
    return told if told == "https" else request.scheme


def _own_address(request: web.BaseRequest) -> str | None:
    """Return the address that the caller reached; a rebound name is never written as one."""
    transport = request.transport
    name = None if transport is None else transport.get_extra_info("sockname")
    if not name:
        return None
    host = name[0].removeprefix("::ffff:")
    return join(host, name[1])


def _written(name: str) -> tuple[str, str]:
    """Say how browsers write a name and a port: without the one of HTTP."""
    return name, name.removesuffix(":80")


def _has_port(name: str) -> bool:
    return ":" in name.rpartition("]")[2]
