"""The till's configuration: one TOML file, and for every key an environment variable.

The file is `config.toml` in the user's configuration directory, or what `E2EE_TICKET_CONFIG`
names; it need not exist. A variable is `E2EE_TICKET_` and the key in capitals, and it wins over
the file. What the program keeps (paired displays, outbox) is not configuration: it lies in the
state directory, which belongs to the user alone.

Behind the keys stand the sections that the agent alone needs, which have no variables:

    [[till]]       name, display, display_count, printer, printer_dots: one counter of the shop
    [[source]]     kind, name, till, policy, and the settings of its kind: where receipts come from
    [console]      listen, hosts, pin_hash: the cashier's page
    [lan]          listen, host: the display page for tablets without today's TLS
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.pdf.policies import POLICIES, Policy
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

CONSOLE_LISTEN: Final = "127.0.0.1:8422"
LAN_LISTEN: Final = "0.0.0.0:8423"


@dataclass(frozen=True, slots=True)
class TillConfig:
    """One counter of the shop.

    Attributes:
        name: what the cashier calls it; at most 60 characters.
        display: the paired display that faces its customers; None where the code is shown on the
            till's own screen. Two tills may share one.
        display_count: how many screens may listen to that pairing (mirrors), 1 to 4.
        printer: host:port of a receipt printer, for paper; None where paper comes from the browser.
        printer_dots: how many dots it has in a row: 576 on most 80 mm printers, 512 on those with
            180 dpi, 384 on 58 mm ones.
    """

    name: str
    display: str | None = None
    display_count: int = 1
    printer: str | None = None
    printer_dots: int = 576


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One place where receipts come from; `settings` are those of its kind."""

    kind: str
    name: str
    till: str
    policy: Policy = "as-is"
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ConsoleConfig:
    """The cashier's page.

    Attributes:
        listen: host:port.
        hosts: names, besides its own address, by which a browser may call it.
        pin_hash: what a PIN is checked against; without one, other devices are refused.
    """

    listen: str = CONSOLE_LISTEN
    hosts: tuple[str, ...] = ()
    pin_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LanConfig:
    """The display page on the shop's network, in clear (spec/security.md).

    Attributes:
        listen: host:port.
        host: how tablets call this computer; its address unless set.
    """

    listen: str = LAN_LISTEN
    host: str | None = None


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
        paper: `ask` prints where the customer wants it, `always` prints every receipt, too.
        clear_on: the state in which a display thanks and ends the code: `opened` or `received`.
        page_hashes: SHA-256 of ticket pages, besides the released ones, that may open receipts.
        tills: the counters; one called `Till` where none is named.
        sources: where receipts come from.
        console: the cashier's page.
        lan: the display page on the shop's network; None where it is not served.
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
    paper: str = "ask"
    clear_on: str = "opened"
    page_hashes: tuple[str, ...] = ()
    tills: tuple[TillConfig, ...] = (TillConfig("Till"),)
    sources: tuple[SourceConfig, ...] = ()
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    lan: LanConfig | None = None

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


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:  # noqa: ANN401 - judged here
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return read


def _address(value: Any) -> str:  # noqa: ANN401 - judged here
    text = _text(value)
    host, _, port = text.rpartition(":")
    if not host or re.fullmatch(r"[0-9]{1,5}", port) is None or not 0 < int(port) < 65536:
        raise ValueError("must be an address and a port, such as 127.0.0.1:8422")
    return text


def _texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - judged here
    if isinstance(value, str):
        value = [part for part in re.split(r"[\s,]+", value) if part]
    if not isinstance(value, list):
        raise ValueError("must be a list of texts")  # noqa: TRY004 - a value, not a type, to users
    return tuple(_text(part) for part in value)


def _hashes(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - judged here
    found = _texts(value)
    if any(re.fullmatch(r"[0-9a-f]{64}", part) is None for part in found):
        raise ValueError("must be SHA-256 sums of 64 lower-case hex digits each")
    return found


def _between(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:  # noqa: ANN401 - judged here
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return read


def _dots(value: Any) -> int:  # noqa: ANN401 - judged here
    dots = _between(320, 832)(value)
    if dots % 8:
        raise ValueError("must be a multiple of 8, such as 576, 512 or 384")
    return dots


Reader = Callable[[Any], Any]

_KEYS: Final[Mapping[str, Reader]] = {
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
    "paper": _one_of("ask", "always"),
    "clear_on": _one_of("opened", "received"),
    "page_hashes": _hashes,
}

_TILL_KEYS: Final[Mapping[str, Reader]] = {
    "name": _shop,
    "display": _shop,
    "display_count": _between(1, _DISPLAY_COUNT_MAX),
    "printer": _address,
    "printer_dots": _dots,
}
_SOURCE_KEYS: Final[Mapping[str, Reader]] = {
    "kind": _text,
    "name": _shop,
    "till": _shop,
    "policy": _one_of(*POLICIES),
}
_CONSOLE_KEYS: Final[Mapping[str, Reader]] = {
    "listen": _address,
    "hosts": _texts,
    "pin_hash": _text,
}
_LAN_KEYS: Final[Mapping[str, Reader]] = {"listen": _address, "host": _text}
_SECTIONS: Final = ("till", "source", "console", "lan")


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
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {reason(error)}") from error
    return judge(data, path, environment)


def judge(data: bytes, path: Path, environment: Mapping[str, str]) -> Config:
    """Read what is, or is to be, the configuration file at `path`.

    Raises:
        ConfigError: as `load`.
    """
    found: dict[str, Any] = {}
    members = judge_syntax(data, path.name)
    for key, value in members.items():
        if key not in _SECTIONS:
            found[key] = _judge(_KEYS, key, value, f"{key} in {path.name}")
    found |= _read_sections(members, path.name)
    for key in _KEYS:
        variable = PREFIX + key.upper()
        if environment.get(variable):
            found[key] = _judge(_KEYS, key, environment[variable], variable)
    if "permit" not in found and "permit_file" in found:
        found["permit"] = _read_permit(Path(str(found["permit_file"])).expanduser(), path.parent)
    if "state" not in found and environment.get(FILE_VARIABLE):
        found["state"] = str(path.parent)  # a configuration of its own has a state of its own
    return Config(**found)


def judge_syntax(data: bytes, file: str) -> dict[str, Any]:
    """Read a text as TOML.

    Raises:
        ConfigError: it is none; the message says where, and quotes nothing of it.
    """
    import tomllib  # noqa: PLC0415 - idem

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        advice = ""
        if re.search(rb'=\s*"[^"\n]*\\', data):
            # As Windows writes its paths.
            advice = "; a backslash between double quotes begins an escape: write 'C:\\folder'"
        raise ConfigError(f"{file} is not TOML: {_where(error)}{advice}") from None
    except (RecursionError, ValueError):
        # Nested deeper, or a number longer, than is read.
        raise ConfigError(f"{file} is not TOML that a person wrote") from None


def _where(error: Exception) -> str:
    """Say where the fault is; the rest of tomllib's sentence may quote the file."""
    place = re.search(r"\(at (line [0-9]+, column [0-9]+|end of document)\)", str(error))
    return f"look at {place[1]}" if place else "look at its quotes and brackets"


def _judge(keys: Mapping[str, Reader], key: str, value: Any, name: str) -> Any:  # noqa: ANN401
    if key not in keys:
        import difflib  # noqa: PLC0415 - idem

        near = difflib.get_close_matches(key, [*keys, *_SECTIONS], n=1, cutoff=0.5)
        known = f"did you mean {near[0]}?" if near else f"known are {', '.join(keys)}"
        raise ConfigError(f"{name} is no key of the configuration; {known}")
    try:
        return keys[key](value)
    except ValueError as error:
        raise ConfigError(f"{name} {error}") from None


def _read_sections(members: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Read what the agent alone needs, and hold its parts against each other."""
    found: dict[str, Any] = {}
    tills = [
        TillConfig(**_read_table(table, _TILL_KEYS, f"[[till]] {number} in {file}", ("name",)))
        for number, table in enumerate(_tables(members, "till", file), 1)
    ]
    _refuse_twins([till.name for till in tills], "[[till]]", file)
    if tills:
        found["tills"] = tuple(tills)
    names = [till.name for till in tills] or ["Till"]
    sources = [
        _read_source(table, f"[[source]] {number} in {file}", names)
        for number, table in enumerate(_tables(members, "source", file), 1)
    ]
    _refuse_twins([source.name for source in sources], "[[source]]", file)
    if sources:
        found["sources"] = tuple(sources)
    _refuse_a_circle(tills, sources, file)
    if "console" in members:
        place = f"[console] in {file}"
        found["console"] = ConsoleConfig(**_read_table(members["console"], _CONSOLE_KEYS, place))
    if "lan" in members:
        found["lan"] = LanConfig(**_read_table(members["lan"], _LAN_KEYS, f"[lan] in {file}"))
    return found


def _tables(members: Mapping[str, Any], key: str, file: str) -> list[Any]:
    tables = members.get(key, [])
    if not isinstance(tables, list):
        raise ConfigError(f"{key} in {file} must be written [[{key}]], one for each")
    return tables


def _read_table(
    table: Any,  # noqa: ANN401 - judged here
    keys: Mapping[str, Reader],
    place: str,
    required: tuple[str, ...] = (),
) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise ConfigError(f"{place} must be a section")
    for key in required:
        if key not in table:
            raise ConfigError(f"{place} has no {key}")
    return {key: _judge(keys, key, value, f"{key} of {place}") for key, value in table.items()}


def _read_source(table: Any, place: str, tills: list[str]) -> SourceConfig:  # noqa: ANN401 - idem
    if not isinstance(table, dict):
        raise ConfigError(f"{place} must be a section")
    common = {key: value for key, value in table.items() if key in _SOURCE_KEYS}
    found = _read_table(common, _SOURCE_KEYS, place, ("kind",))
    found.setdefault("name", found["kind"])
    found.setdefault("till", tills[0])
    if found["till"] not in tills:
        raise ConfigError(f"till of {place} is none of: {', '.join(tills)}")
    settings = {key: value for key, value in table.items() if key not in _SOURCE_KEYS}
    return SourceConfig(**found, settings=settings)


def _refuse_a_circle(tills: list[TillConfig], sources: list[SourceConfig], file: str) -> None:
    """Paper that this program prints must not come back to it as a receipt."""
    listening = [source for source in sources if source.kind == "printer"]
    printing = [till for till in tills if till.printer is not None]
    if not (listening and printing):
        return
    from e2ee_ticket.sources.listening import PRINTER_LISTEN  # noqa: PLC0415 - idem

    for source in listening:
        listen = str(source.settings.get("listen", PRINTER_LISTEN))
        port = listen.rpartition(":")[2]
        ours = {listen, *(f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]"))}
        for till in printing:
            if till.printer in ours:
                raise ConfigError(
                    f"printer of till {till.name} in {file} is this program's own source"
                    f" {source.name}; name the real printer"
                )


def _refuse_twins(names: list[str], section: str, file: str) -> None:
    if len({name.casefold() for name in names}) < len(names):
        raise ConfigError(f"two {section} in {file} have the same name; give each its own")


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
