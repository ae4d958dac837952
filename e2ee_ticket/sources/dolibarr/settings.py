"""The settings of a Dolibarr source, judged one by one; no message shows a value."""

import ipaddress
import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.pdf.money import is_currency
from e2ee_ticket.sources.dolibarr.webhook import check_secret, read_address

_KEY: Final = re.compile(r"[!-~]{1,200}")
_TEMPLATE: Final = re.compile(r"[A-Za-z0-9_-]{0,60}")
_LOCAL_NAMES: Final = (".local", ".lan", ".home.arpa", ".internal", ".localhost", ".box")
_TILLS: Final = 'tills must name a till for each terminal, such as { 1 = "Till 1" }'
# Any page of it: takepos/index.php?…, compta/facture/card.php, api/index.php/invoices.
_PAGE: Final = re.compile(
    r"(?<=[^/])/(?:(?:takepos|compta|admin|user|societe|product|custom|api|public)(?:/.*)?"
    r"|[^/]*\.php(?:[/?#].*)?)$"
)
_LINES_MAX: Final = 12


def read_receipt_kind(value: object) -> Literal["drawn", "pdf"]:
    """Read which PDF customers are to have.

    Raises:
        ConfigError: neither of the two.
    """
    if value == "drawn":
        return "drawn"
    if value == "pdf":
        return "pdf"
    raise ConfigError("receipt must be drawn or pdf")


def read_template(value: object) -> str:
    """Read the name of a template of Dolibarr's.

    Raises:
        ConfigError: it cannot be one.
    """
    if not isinstance(value, str) or _TEMPLATE.fullmatch(value) is None:
        raise ConfigError("template must be the name of one of Dolibarr's templates")
    return value


def read_url(url: object) -> str:
    """Return Dolibarr's address without what follows it.

    Raises:
        ConfigError: not an address, or one that holds a name, a password or a query.
    """
    text = url.strip() if isinstance(url, str) else ""
    text = _PAGE.sub("", text).rstrip("/")
    try:
        parts = urlsplit(text)
        well = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        well, parts = False, urlsplit("")
    if not well or re.search(r"[\s<>\"'\\]", text):
        raise ConfigError("url must be Dolibarr's address, such as https://shop.example/dolibarr")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("url must not hold a name or a password")
    if parts.query or parts.fragment:
        raise ConfigError("url must be the address without what follows ? or #")
    return text


def read_key(key: object, key_file: object) -> str:
    """Return the API key, given or from its file.

    Raises:
        ConfigError: none, both, unreadable, or with characters that none has.
    """
    known = _read_secret(key, key_file, "key")
    if known is None:
        raise ConfigError("key is missing; or key_file, a file that holds it")
    if _KEY.fullmatch(known) is None:
        raise ConfigError("key must be the API key of a user of Dolibarr, copied whole")
    return known


def _read_secret(given: object, file: object, name: str) -> str | None:
    if given is not None and file is not None:
        raise ConfigError(f"set {name} or {name}_file, not both")
    if file is not None:
        try:
            with Path(str(file)).expanduser().open("rb") as opened:
                given = opened.read(4096).decode("utf-8-sig")
        except OSError as error:
            why = (error.strerror or "unknown reason").lower()
            raise ConfigError(f"{name}_file cannot be read: {why}") from error
        except UnicodeDecodeError:
            raise ConfigError(f"{name}_file does not hold a {name.replace('_', ' ')}") from None
    if given is None:
        return None
    if not isinstance(given, str):
        raise ConfigError(f"{name} must be a text")
    return given.strip()


def read_webhook(
    address: object, secret: object, file: object
) -> tuple[tuple[str, int], str] | None:
    """Read where a webhook is listened at, and its secret; None where there is none.

    Raises:
        ConfigError: no address, or no secret.
    """
    if address is None:
        return None
    if not isinstance(address, str):
        raise ConfigError("webhook must be host:port, such as 127.0.0.1:8112")
    known = _read_secret(secret, file, "webhook_secret")
    if known is None:
        raise ConfigError("webhook_secret is missing; nobody must be able to guess the address")
    return read_address(address), check_secret(known)


def read_tills(tills: object) -> dict[str, str]:
    """Read which terminal is which till.

    Raises:
        ConfigError: not a table of names.
    """
    if tills is None:
        return {}
    if not isinstance(tills, Mapping) or not tills:
        raise ConfigError(_TILLS)
    for terminal, till in tills.items():
        if not isinstance(till, str) or not till.strip() or not str(terminal).strip():
            raise ConfigError(_TILLS)
    return {str(terminal).strip(): till for terminal, till in tills.items()}


def read_lines(value: object, name: str) -> tuple[str, ...]:
    """Read a few lines of text.

    Raises:
        ConfigError: too many, too long, or none.
    """
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, Sequence) or len(value) > _LINES_MAX:
        raise ConfigError(f"{name} must be a list of at most {_LINES_MAX} lines of text")
    if not all(isinstance(line, str) and 0 < len(line.strip()) <= 100 for line in value):
        raise ConfigError(f"{name} must be a list of lines of 1 to 100 characters")
    return tuple(line.strip() for line in value)


def read_currency(value: object) -> str | None:
    """Read the code of a currency; None where there is none.

    Raises:
        ConfigError: it is no currency's.
    """
    if value is None:
        return None
    if isinstance(value, str) and is_currency(value.strip().upper()):
        return value.strip().upper()
    raise ConfigError("currency must be a code of ISO 4217, such as EUR")


def read_ca_file(value: object) -> ssl.SSLContext | None:
    """Read whose certificates are trusted beside the system's, of a file of PEM.

    Raises:
        ConfigError: it cannot be read, or holds no certificate.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise ConfigError("ca_file must be the path of a file of certificates (PEM)")
    trusted = ssl.create_default_context()
    trusted.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it may be the server's own
    try:
        trusted.load_verify_locations(cafile=Path(value).expanduser())
    except ssl.SSLError:
        raise ConfigError("ca_file holds no certificate (PEM)") from None
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise ConfigError(f"ca_file cannot be read: {why}") from error
    return trusted


def is_open_http(url: str) -> bool:
    """Tell whether the key would cross the internet for all to read."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return False
    host = (parts.hostname or "").lower()
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(_LOCAL_NAMES)
