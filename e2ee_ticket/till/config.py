"""The till's configuration: one TOML file, and for every key an environment variable.

The file is `config.toml` in the user's configuration directory, or what `E2EE_TICKET_CONFIG`
names; it need not exist. A variable is `E2EE_TICKET_` and the key in capitals, and it wins over
the file. What the program keeps (paired displays, outbox) is not configuration: it lies in the
state directory, which belongs to the user alone.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.protocol import link

APPLICATION: Final = "e2ee-ticket"
PREFIX: Final = "E2EE_TICKET_"
FILE_VARIABLE: Final = PREFIX + "CONFIG"
TTL_MIN_SECONDS: Final = 60
TTL_MAX_SECONDS: Final = 604_800

# Tickets need these; they are the specification's limits of what a display shows.
_TICKET_SECONDS_MAX: Final = 120
_DISPLAY_COUNT_MAX: Final = 4
_SHOP_LIMIT: Final = 60


@dataclass(frozen=True, slots=True)
class Config:
    """What the owner of the till decided.

    Attributes:
        relay: the relay's origin; None where none is configured.
        page: the origin of the pages that customers and displays open; the relay's unless set.
        permit: what lets this till upload to a closed relay.
        permit_file: a file that holds the permit, so that this one need not.
        shop: the shop's name, on tickets and on the idle display; at most 60 characters.
        lang: the language of receipts and displays, BCP 47.
        notice: the country whose legal notice the idle display shows, two capital letters.
        ticket_seconds: how long a display shows a ticket, 1 to 120.
        display_count: how many screens may listen to one pairing, 1 to 4.
        keep_seconds: how long the relay keeps what nobody opened; the relay's default unless set.
        state: the directory of paired displays and outbox.
    """

    relay: str | None = None
    page: str | None = None
    permit: str | None = field(default=None, repr=False)
    permit_file: str | None = None
    shop: str | None = None
    lang: str | None = None
    notice: str | None = None
    ticket_seconds: int = 90
    display_count: int = 1
    keep_seconds: int | None = None
    state: str | None = None

    @property
    def page_origin(self) -> str:
        """The pages' origin.

        Raises:
            ConfigError: neither page nor relay is configured.
        """
        return self.page or self.relay_origin

    @property
    def relay_origin(self) -> str:
        """The relay's origin.

        Raises:
            ConfigError: none is configured.
        """
        if self.relay is None:
            raise ConfigError(f"no relay is configured; set {PREFIX}RELAY, or relay in the file")
        return self.relay

    @property
    def state_dir(self) -> Path:
        """The directory of paired displays and outbox, whether it exists or not."""
        if self.state is not None:
            return Path(self.state)
        import platformdirs  # noqa: PLC0415 - not before it is needed: the QR code comes first

        return platformdirs.user_data_path(APPLICATION, appauthor=False)


def _origin(value: Any) -> str:  # noqa: ANN401 - judged here
    text = _text(value).removesuffix("/")
    if not link.is_origin(text):
        raise ValueError(
            "must be https://host or https://host:port in lower case, without a path;"
            " http:// is accepted for this computer itself only"
        )
    return text


def _text(value: Any) -> str:  # noqa: ANN401 - judged here
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text")
    return value.strip()


def _shop(value: Any) -> str:  # noqa: ANN401 - judged here
    text = _text(value)
    if len(text) > _SHOP_LIMIT:
        raise ValueError(f"must have at most {_SHOP_LIMIT} characters")
    return text


def _permit(value: Any) -> str:  # noqa: ANN401 - judged here
    text = _text(value)
    if re.fullmatch(r"[A-Za-z0-9_-]{43}", text) is None:
        raise ValueError("must be the 43 characters that relay-server permit add printed")
    return text


def _lang(value: Any) -> str:  # noqa: ANN401 - judged here
    text = _text(value)
    if re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}", text) is None:
        raise ValueError("must be a language such as fr or de-AT")
    return text


def _notice(value: Any) -> str:  # noqa: ANN401 - judged here
    text = _text(value)
    if re.fullmatch(r"[A-Z]{2}", text) is None:
        raise ValueError("must be a country in two capital letters, such as FR")
    return text


def _between(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:  # noqa: ANN401 - judged here
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return read


_KEYS: Final[Mapping[str, Callable[[Any], str | int]]] = {
    "relay": _origin,
    "page": _origin,
    "permit": _permit,
    "permit_file": _text,
    "shop": _shop,
    "lang": _lang,
    "notice": _notice,
    "ticket_seconds": _between(1, _TICKET_SECONDS_MAX),
    "display_count": _between(1, _DISPLAY_COUNT_MAX),
    "keep_seconds": _between(TTL_MIN_SECONDS, TTL_MAX_SECONDS),
    "state": _text,
}


def config_path(environment: Mapping[str, str]) -> Path:
    """Say where the configuration file is, whether it exists or not."""
    named = environment.get(FILE_VARIABLE)
    if named:
        return Path(named)
    import platformdirs  # noqa: PLC0415 - idem

    return platformdirs.user_config_path(APPLICATION, appauthor=False) / "config.toml"


def load(environment: Mapping[str, str] = os.environ) -> Config:
    """Read file and environment.

    Raises:
        ConfigError: an unreadable file, an unknown key, a value that cannot be. The message names
            the key and never shows a value, which may be a permit.
    """
    path = config_path(environment)
    found: dict[str, str | int] = {}
    for key, value in _read(path).items():
        found[key] = _judge(key, value, f"{key} in {path.name}")
    for key in _KEYS:
        variable = PREFIX + key.upper()
        if environment.get(variable):
            found[key] = _judge(key, environment[variable], variable)
    if "permit" not in found and "permit_file" in found:
        found["permit"] = _read_permit(Path(str(found["permit_file"])).expanduser(), path.parent)
    if "state" not in found and environment.get(FILE_VARIABLE):
        found["state"] = str(path.parent)  # a configuration of its own has a state of its own
    return Config(**found)  # type: ignore[arg-type]


def _read(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {reason(error)}") from error
    import tomllib  # noqa: PLC0415 - idem

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(f"{path.name} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name} is not TOML: {_where(error)}") from None


def _where(error: Exception) -> str:
    """Say where the fault is; the rest of tomllib's sentence may quote the file."""
    place = re.search(r"\(at (line [0-9]+, column [0-9]+|end of document)\)", str(error))
    return f"look at {place[1]}" if place else "look at its quotes and brackets"


def _judge(key: str, value: Any, name: str) -> str | int:  # noqa: ANN401 - judged by the key
    if key not in _KEYS:
        import difflib  # noqa: PLC0415 - idem

        near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.5)
        known = f"did you mean {near[0]}?" if near else f"known are {', '.join(_KEYS)}"
        raise ConfigError(f"{name} is no key of the configuration; {known}")
    try:
        return _KEYS[key](value)
    except ValueError as error:
        raise ConfigError(f"{name} {error}") from None


def _read_permit(path: Path, base: Path) -> str:
    try:
        return _permit((base / path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the permit file cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise ConfigError(f"the permit file {error}") from None


def reason(error: OSError) -> str:
    """Say why the operating system refused, in its own words, without the path."""
    return (error.strerror or type(error).__name__).lower()


def make_private_dir(path: Path) -> None:
    """Make a directory that belongs to the user alone (on Windows, profiles already do).

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the state directory cannot be made: {reason(error)}") from error
