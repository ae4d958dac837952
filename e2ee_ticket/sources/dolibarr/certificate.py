"""The certificate of a Dolibarr that signs its own: shown by its fingerprint, then trusted."""

import hashlib
import socket
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate: its text (PEM), and its fingerprint as browsers show it."""

    pem: str
    fingerprint: str


def unknown_certificate(url: str) -> Certificate | None:
    """Return the certificate at an address that this computer does not trust.

    None where it is trusted, where there is no TLS, and where nothing answers. Nothing is sent.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname is None:
        return None
    at = (parts.hostname, parts.port or 443)
    try:
        with socket.create_connection(at, timeout=SECONDS) as raw:
            ssl.create_default_context().wrap_socket(raw, server_hostname=at[0]).close()
    except ssl.SSLCertVerificationError:
        return _read(at)
    except (OSError, ValueError):
        return None
    return None


def _read(at: tuple[str, int]) -> Certificate | None:
    try:
        pem = ssl.get_server_certificate(at, timeout=SECONDS)
    except (OSError, ValueError):
        return None
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    pairs = (digest[index : index + 2] for index in range(0, len(digest), 2))
    return Certificate(pem, ":".join(pairs))
