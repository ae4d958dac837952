"""Changing the configuration file without disturbing it.

Comments, order and what somebody wrote by hand stay as they are. A change is judged as a whole
before anything is written, and written at once: the file is the old one or the new one.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tomlkit
import tomlkit.exceptions
from tomlkit.container import Container
from tomlkit.items import AoT, Table

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.sources import Shop, make_source
from e2ee_ticket.till import config
from e2ee_ticket.till.config import Config, TillConfig, judge, make_private_dir, reason
from e2ee_ticket.till.displays import write_private

_HEADING: Final = (
    "What the owner of this till decided.",
    "`e2ee-ticket setup` asks for it, `e2ee-ticket check` tests it; edit it as you like.",
)
_TABLES: Final = ("till", "source")


def edit(path: Path, changes: Mapping[str, object | None]) -> Config:
    """Change keys of the file, make it where there is none, and return what it says now.

    A dotted key is one of a section (`console.pin_hash`); None removes a key or a whole section.
    `till` and `source` take a list of mappings: one whose name is in the file is brought up to
    date where it stands, the others are added, and what the list does not name is removed.

    Raises:
        ConfigError: a value that cannot be, or a file that cannot be; nothing is changed then.
    """
    path = path.resolve()  # a link stays a link
    before = _read(path)
    after = edited(before, changes, path.name)
    settled = judge(after, path, {})
    if "source" in changes:
        try_sources(settled)
    if after != before:
        if _read(path) != before:
            raise ConfigError(f"{path.name} was changed by somebody else just now; try again")
        make_private_dir(path.parent)
        write_private(path, after)
    return settled


def judge_change(path: Path, changes: Mapping[str, object | None]) -> Config:
    """Return what the file would say with these changes, and change nothing.

    Raises:
        ConfigError: as `edit`.
    """
    return judge(edited(_read(path), changes, path.name), path, {})


def edit_table(
    path: Path, section: str, name: str, changes: Mapping[str, object | None] | None
) -> Config:
    """Change keys of the one [[till]] or [[source]] of this name; add it, or remove it with None.

    Raises:
        ConfigError: as `edit`.
    """
    tables = read_tables(path, section)
    kept: list[Mapping[str, object | None]] = []
    found = False
    for table in tables:
        if _same(_name_of(table), name):
            found = True
            if changes is not None:
                kept.append({**table, **changes})
        else:
            kept.append(table)
    if not found and changes is not None:
        kept.append({"name": name, **changes})
    return edit(path, {section: kept})


def read_tables(path: Path, section: str) -> list[dict[str, Any]]:
    """Return the [[till]] or [[source]] sections as they stand in the file.

    Raises:
        ConfigError: the file cannot be read, or is no TOML.
    """
    return tables_of(_read(path), section, path.name)


def tables_of(data: bytes, section: str, file: str) -> list[dict[str, Any]]:
    """Return the [[till]] or [[source]] sections of a text.

    Raises:
        ConfigError: it is no TOML.
    """
    found = _parse(data, file).get(section, [])
    return [dict(table) for table in found.unwrap()] if isinstance(found, AoT) else []


def edited(data: bytes, changes: Mapping[str, object | None], file: str) -> bytes:
    """Return the text of a configuration with these changes; nothing is judged or written.

    Raises:
        ConfigError: the text is no TOML, or a key cannot stand where it is to stand.
    """
    document = _parse(data, file)
    if not data:
        for line in _HEADING:
            document.add(tomlkit.comment(line))
        document.add(tomlkit.nl())
    for key, value in changes.items():
        section, dot, rest = key.partition(".")
        if section in _TABLES and not dot and value is not None:
            _set_tables(document, section, value)
        elif dot:
            _set_in_section(document, section, rest, value)
        else:
            _set(document, key, value)
    text = document.as_string()
    before = data.decode("utf-8-sig")
    return (text if _headers(text) == _headers(before) else _aired(text)).encode("utf-8")


def _headers(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("[")]


def _aired(text: str) -> str:
    """Put one blank line before each section, where tomlkit puts none or two."""
    if '"""' in text or "'''" in text:
        return text  # a blank line may be part of a value
    lines: list[str] = []
    for line in text.splitlines():
        if not line and lines and not lines[-1]:
            continue
        if line.startswith("[") and lines and lines[-1] and not lines[-1].startswith("#"):
            lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"


def till_tables(tills: Iterable[TillConfig]) -> list[Mapping[str, object]]:
    """Write tills as the [[till]] sections of a change; what is the default is left out."""
    usual = TillConfig("")
    return [
        {
            key: value
            for key in TillConfig.__slots__
            if (value := getattr(till, key)) != getattr(usual, key)
        }
        for till in tills
    ]


def try_sources(settled: Config) -> None:
    """Refuse a source whose settings cannot be.

    Raises:
        ConfigError: names the source and the setting.
    """
    shop = Shop(name=settled.shop, lang=settled.lang or "en")
    for source in settled.sources:
        make_source(source.kind, source.name, shop, source.settings)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {reason(error)}") from error


def _parse(data: bytes, file: str) -> tomlkit.TOMLDocument:
    config.judge_syntax(data, file)  # the sentences for what is wrong are there
    try:
        return tomlkit.parse(data.decode("utf-8-sig"))
    except tomlkit.exceptions.TOMLKitError:
        raise ConfigError(f"{file} cannot be changed by this program; edit it by hand") from None


def _set(table: Container | Table, key: str, value: object | None) -> None:
    """Set a key where it stands, or at the end; None removes it."""
    if value is None:
        table.pop(key, None)
    elif key in table and not isinstance(value, Mapping):
        if table[key] != value:
            table[key] = value
    elif isinstance(value, Mapping):
        table.pop(key, None)
        section = tomlkit.table()
        for name, member in value.items():
            _set(section, name, member)
        table.add(key, section)
    else:
        table.add(key, tomlkit.item(value))


def _set_in_section(
    document: tomlkit.TOMLDocument, section: str, key: str, value: object | None
) -> None:
    if section not in document:
        if value is None:
            return
        document.add(section, tomlkit.table())
    table = document[section]
    if not isinstance(table, Table):
        raise ConfigError(f"{section} must be a section")
    _set(table, key, value)


def _set_tables(document: tomlkit.TOMLDocument, section: str, value: object) -> None:
    """Bring an array of tables up to date, each known by its name."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(f"{section} must be a list of sections")
    present = document.get(section)
    known = list(present) if isinstance(present, AoT) else []
    if len(known) == len(value) and all(map(_is_of, known, value)):
        for table, wanted in zip(known, value, strict=True):
            _bring_up_to_date(table, wanted)
        return
    array = tomlkit.aot()
    for wanted in value:
        table = next((old for old in known if _is_of(old, wanted)), None) or tomlkit.table()
        _bring_up_to_date(table, wanted)
        array.append(table)
    if not value:
        document.pop(section, None)
    elif section in document:
        document[section] = array
    else:
        document.add(section, array)


def _is_of(table: Mapping[str, Any], wanted: Mapping[str, object | None]) -> bool:
    """Whether a section of the file is the one that is wanted: names make no case."""
    return _same(_name_of(table), _name_of(wanted))


def _name_of(table: Mapping[str, Any]) -> object:
    return table.get("name", table.get("kind"))


def _bring_up_to_date(table: Table, wanted: Mapping[str, object | None]) -> None:
    for key in _gone(table, wanted):
        table.pop(key)
    for key, member in wanted.items():
        if isinstance(member, Mapping) and table.get(key) != member:
            table.pop(key, None)
            inline = tomlkit.inline_table()
            inline.update(member)
            table.add(key, inline)
        elif not isinstance(member, Mapping):
            _set(table, key, member)


def _gone(table: Table, wanted: Mapping[str, object | None]) -> Iterable[str]:
    return [key for key in table if wanted.get(key) is None]


def _same(left: object, right: object) -> bool:
    return isinstance(left, str) and isinstance(right, str) and left.casefold() == right.casefold()
