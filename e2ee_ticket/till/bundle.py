r"""A till's configuration as one file, sealed with a passphrase: for the day its computer is lost.

In it are the configuration, the permit, the key files that the configuration names and the paired
displays: all that makes this till this till. Not in it is the outbox, which holds receipts.

    magic     28  "e2ee-ticket configuration 1\n"
    passes     4  of argon2id, big-endian
    memory     4  of argon2id in KiB, big-endian
    salt      16  random
    ciphertext    ChaCha20-Poly1305 with tag, nonce of zeros, all of the above as associated data

    key = argon2id(passphrase as UTF-8 in NFC, salt, passes, memory), 32 bytes

The key is for one file alone, since the salt is; so the nonce may be fixed. The plaintext is JSON:
`{"version": 1, "config": text, "displays": text or null, "files": {name: base64}}`, where `files`
are what the configuration names by a setting that ends in `_file`, by names that begin with
`FILES/`. A reader takes no more passes and memory than `PASSES_MAX` and `MEMORY_MAX`, and no more
than `MAX_SIZE` bytes.
"""

import base64
import json
import re
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from e2ee_ticket.errors import AuthenticationError, ConfigError
from e2ee_ticket.protocol import primitives
from e2ee_ticket.till import config, displays, settings_file
from e2ee_ticket.till.config import FILE_VARIABLE, PREFIX, Config, make_private_dir, reason
from e2ee_ticket.till.displays import Displays, write_private

MAGIC: Final = b"e2ee-ticket configuration 1\n"
PASSES: Final = 4
MEMORY: Final = 128 * 1024 * 1024
PASSES_MAX: Final = 16
MEMORY_MAX: Final = 1024 * 1024 * 1024
MAX_SIZE: Final = 4 * 1024 * 1024
PASSPHRASE_MIN: Final = 8

_ANY_MAGIC: Final = re.compile(rb"e2ee-ticket configuration ([0-9]{1,6})\n")
_COSTS: Final = struct.Struct(">II16s")
_KEY_FILE_MAX_SIZE: Final = 64 * 1024
_FILES: Final = "FILES/"
_SHARED: Final = ("relay", "page", "permit", "shop", "lang", "notice", "ticket_seconds",
                  "display_count", "keep_seconds", "paper", "clear_on")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a till is made of; `files` are key files by their names in `text`."""

    text: str = field(repr=False)
    displays: str | None = field(default=None, repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def collect(path: Path, environment: Mapping[str, str]) -> Bundle:
    """Gather what makes this till; what environment variables say is written into the text.

    Raises:
        ConfigError: a file that is named cannot be read.
    """
    settled = config.load(environment)
    data = _read(path, MAX_SIZE) if path.exists() else b""
    changes: dict[str, object | None] = {"state": None}  # the other computer has its own place
    for key in _SHARED:
        if environment.get(PREFIX + key.upper()):
            changes[key] = getattr(settled, key)
    if environment.get(f"{PREFIX}PAGE_HASHES"):
        changes["page_hashes"] = list(settled.page_hashes)
    if settled.permit is not None:
        changes |= {"permit": settled.permit, "permit_file": None}
    files: dict[str, bytes] = {}
    tables = settings_file.tables_of(data, "source", path.name)
    for number, table, key in _named_files(tables):
        name = f"{_FILES}source-{number}-{key}"
        files[name] = _read(path.parent / Path(table[key]).expanduser(), _KEY_FILE_MAX_SIZE)
        table[key] = name
    if files:
        changes["source"] = tables
    text = settings_file.edited(data, changes, path.name).decode("utf-8")
    Displays(settled.state_dir).all()  # a damaged file is told here, not on the day it is needed
    known = settled.state_dir / displays.FILE_NAME
    return Bundle(text, _read(known, MAX_SIZE).decode("utf-8") if known.exists() else None, files)


def _named_files(tables: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any], str]]:
    for number, table in enumerate(tables, 1):
        for key, value in table.items():
            if key.endswith("_file") and isinstance(value, str) and value:
                yield number, table, key


def seal(bundle: Bundle, passphrase: str, *, passes: int = PASSES, memory: int = MEMORY) -> bytes:
    """Seal a bundle with a passphrase.

    Raises:
        ConfigError: the passphrase is too short, or this computer has too little memory.
    """
    if len(passphrase) < PASSPHRASE_MIN:
        raise ConfigError(f"a passphrase has at least {PASSPHRASE_MIN} characters; four words do")
    members = {
        "version": 1,
        "config": bundle.text,
        "displays": bundle.displays,
        "files": {name: base64.b64encode(data).decode() for name, data in bundle.files.items()},
    }
    plaintext = json.dumps(members, ensure_ascii=False).encode("utf-8")
    header = MAGIC + _COSTS.pack(passes, memory // 1024, primitives.random_bytes(16))
    key = _key(passphrase, header)
    return header + primitives.aead_seal(key, bytes(primitives.NONCE_SIZE), header, plaintext)


def unseal(data: bytes, passphrase: str) -> Bundle:
    """Open what `seal` made.

    Raises:
        ConfigError: no such file, another version, damaged, or another passphrase.
    """
    found = _ANY_MAGIC.match(data)
    if found is None:
        raise ConfigError("this file is no exported configuration")
    if found[0] != MAGIC:
        raise ConfigError("a newer version of e2ee-ticket exported this; install it first")
    size = len(MAGIC) + _COSTS.size
    if len(data) < size + primitives.TAG_SIZE:
        raise ConfigError("this file is not whole; copy it again")
    key = _key(passphrase, data[:size])
    try:
        nonce = bytes(primitives.NONCE_SIZE)
        plaintext = primitives.aead_open(key, nonce, data[:size], data[size:])
    except AuthenticationError:
        raise ConfigError("another passphrase, or a damaged file; try both again") from None
    try:
        return _parse(json.loads(plaintext))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError("this file opens, but is not made as this version makes it") from None


def install(bundle: Bundle, path: Path, environment: Mapping[str, str], *, force: bool) -> Config:
    """Write a bundle's files to where this computer keeps them, the configuration last.

    Raises:
        ConfigError: something is there already, or it cannot be written.
    """
    path = path.resolve()
    changes = _rename_files(bundle, path)
    after = settings_file.edited(bundle.text.encode("utf-8"), changes, path.name)
    settled = config.judge(after, path, _place(environment))
    keep = settled.state_dir / displays.FILE_NAME
    written = [*(path.parent / _key_name(name) for name in bundle.files), keep, path]
    if not force:
        for there in written:
            if there.exists() and there.stat().st_size > 0:
                raise ConfigError(f"{there.name} is here already; --force replaces it")
    make_private_dir(path.parent)
    make_private_dir(settled.state_dir)
    for name, data in bundle.files.items():
        write_private(path.parent / _key_name(name), data)
    if bundle.displays is not None:
        write_private(keep, bundle.displays.encode("utf-8"))
    write_private(path, after)
    return settled


def _rename_files(bundle: Bundle, path: Path) -> dict[str, object | None]:
    tables = settings_file.tables_of(bundle.text.encode("utf-8"), "source", path.name)
    named = False
    for _, table, key in _named_files(tables):
        if table[key] in bundle.files:
            table[key] = str(path.parent / _key_name(table[key]))
            named = True
    return {"source": tables} if named else {}


def _key_name(name: str) -> str:
    """Name a key file beside the configuration; nothing in a bundle chooses another place."""
    return re.sub(r"[^a-z0-9_-]", "", name.removeprefix(_FILES).lower())[:60] + ".key"


def _place(environment: Mapping[str, str]) -> dict[str, str]:
    """Keep of the environment what says where things are."""
    names = (FILE_VARIABLE, f"{PREFIX}STATE")
    return {name: environment[name] for name in names if environment.get(name)}


def _parse(members: Any) -> Bundle:  # noqa: ANN401 - judged here
    if members["version"] != 1:
        raise ValueError("version")
    text, known = members["config"], members["displays"]
    if not isinstance(text, str) or not isinstance(known, str | None):
        raise TypeError("text")
    files = {
        str(name): base64.b64decode(data, validate=True) for name, data in members["files"].items()
    }
    return Bundle(text, known, files)


def _key(passphrase: str, header: bytes) -> bytes:
    passes, kibibytes, salt = _COSTS.unpack(header[len(MAGIC) :])
    memory = kibibytes * 1024
    if not 1 <= passes <= PASSES_MAX or not 8192 <= memory <= MEMORY_MAX:
        raise ConfigError("this file asks for more than any version of e2ee-ticket writes")
    normal = unicodedata.normalize("NFC", passphrase).encode("utf-8")
    try:
        return primitives.stretch(normal, salt, passes, memory)
    except MemoryError:
        raise ConfigError("this computer has too little memory free for the passphrase") from None


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {reason(error)}") from error
    if len(data) > limit:
        raise ConfigError(f"{path.name} is too large to be what it should be")
    return data


def read(path: Path) -> bytes:
    """Read a sealed file.

    Raises:
        ConfigError: it cannot be read, or is no such file by its size.
    """
    return _read(path, MAX_SIZE)
