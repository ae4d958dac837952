"""The part of `setup` that asks where receipts come from, and lets each source test itself."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from e2ee_ticket.cli import currencies
from e2ee_ticket.cli.questions import NONE
from e2ee_ticket.errors import ConfigError
from e2ee_ticket.pdf.money import currency_of
from e2ee_ticket.sources.listening import IPP_LISTEN, PRINTER_LISTEN, TAKEPOS_LISTEN
from e2ee_ticket.till import settings_file
from e2ee_ticket.till.checks import check_source
from e2ee_ticket.till.config import SourceConfig
from e2ee_ticket.till.displays import write_private
from e2ee_ticket.till.network import addresses, split_listen

if TYPE_CHECKING:
    from e2ee_ticket.cli.setup import Setup

PROGRAMS: Final = ("takepos", "dolibarr", "ipp", "printer", "folder", "none")
_NAMES: Final = {
    "takepos": "TakePOS",
    "dolibarr": "Dolibarr",
    "ipp": "e-ticket",
    "printer": "ESC/POS",
    "folder": "PDF",
}
_LOOKED_AT: Final = 1000
_PRINTER_IN_THE_NETWORK: Final = "0.0.0.0:9100"

Settings = dict[str, Any]


def ask(setup: "Setup") -> None:
    """Ask for one source after the other."""
    asking = setup.asking
    asking.say("program.why")
    present = setup.config.sources
    if present:
        asking.say("program.present", names=", ".join(source.name for source in present))
    options = ("keep", *PROGRAMS) if present else PROGRAMS
    number = 1
    while True:
        default = options[0] if not asking.alone or present else "none"
        program = asking.choose(
            "program", options, default=default, key="program" if number == 1 else None
        )
        if program in ("keep", "none") or not _add(setup, program):
            return
        if asking.alone or not asking.yes("more", default=False):
            return
        options = ("keep", *PROGRAMS[:-1])
        number += 1


def rename(source: Mapping[str, Any], renamed: Mapping[str, str], tills: Sequence[str]) -> Settings:
    """Follow the tills of a source to their new names; one whose till is gone gets the first."""

    def follow(name: str) -> str:
        new = renamed.get(name, name)
        return new if new in tills else tills[0]

    moved = dict(source)
    if isinstance(moved.get("till"), str):
        moved["till"] = follow(moved["till"])
    if isinstance(moved.get("tills"), Mapping):
        moved["tills"] = {number: follow(name) for number, name in moved["tills"].items()}
    return moved


def _add(setup: "Setup", kind: str) -> bool:
    """Ask for a source's settings, test them, write them; tell whether it was written."""
    asking = setup.asking
    name = _free_name(setup, _NAMES[kind])
    while True:
        settings = _ASK[kind](setup)
        till = _till(setup, settings)
        source = SourceConfig(kind=kind, name=name, till=till, settings=settings)
        choice = _test(setup, source)
        if choice == "drop":
            return False
        if choice in ("well", "keep"):
            break
    table = {"kind": kind, "name": name, "till": till, **settings}
    settings_file.edit_table(setup.path, "source", name, table)
    setup.reload()
    if kind in _HOW:
        asking.tell()
        _HOW[kind](setup, settings)
        asking.tell()
    return True


def _test(setup: "Setup", source: SourceConfig) -> str:
    """Let a source test itself until it is well or somebody decides otherwise."""
    asking = setup.asking
    while True:
        asking.say("trying")
        findings = setup.wait(check_source(setup.config, source))
        if source.kind in _HOW:  # what to do there is told next, in full
            findings = [replace(each, hint=None) if each.ok else each for each in findings]
        asking.findings(findings)
        wrong = [finding for finding in findings if not finding.ok]
        if not wrong:
            asking.well("source.ok")
            return "well"
        if asking.alone and asking.given("source") != "keep":
            raise ConfigError(f"{source.name}: {wrong[0].text}")
        choice = asking.choose("source", ("again", "change", "keep", "drop"), default="again")
        if choice != "again":
            return choice


def _free_name(setup: "Setup", wanted: str) -> str:
    taken = {source.name.casefold() for source in setup.config.sources}
    name, number = wanted, 2
    while name.casefold() in taken:
        name, number = f"{wanted} {number}", number + 1
    return name


def _till(setup: "Setup", settings: Settings) -> str:
    """Say which till the receipts belong to; Dolibarr names several by itself."""
    names = [till.name for till in setup.config.tills]
    if len(names) == 1 or settings.get("tills"):
        return names[0]
    return setup.asking.pick("which_till", names)


# TakePOS


def _ask_takepos(setup: "Setup") -> Settings:
    setup.asking.say("origin.why")
    settings: Settings = {"origin": setup.asking.ask("origin", _read_web_origin)}
    currency = currencies.sign_of(setup.config.notice)
    if currency is not None:
        settings["currency"] = currency
    return settings


def _tell_takepos(setup: "Setup", settings: Settings) -> None:
    listen = settings.get("listen", TAKEPOS_LISTEN)
    host = listen.rpartition(":")[0]
    if currencies.is_sign_first(setup.config.notice):
        setup.asking.say("takepos.how_url", url=f"http://{listen}")
    else:
        setup.asking.say("takepos.how", host=host, url=f"http://{listen}")


def _read_web_origin(text: str) -> str:
    """Take the origin of whatever was copied from the address bar.

    Raises:
        ConfigError: there is none in it.
    """
    parts = _split(text)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _split(text: str) -> Any:  # noqa: ANN401 - urllib's own class
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        well = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        well, parts = False, None
    if not well or parts is None or parts.username is not None or " " in text:
        raise ConfigError("")
    return parts


# Dolibarr


def _ask_dolibarr(setup: "Setup") -> Settings:
    asking = setup.asking
    known = next((s.settings for s in setup.config.sources if s.kind == "dolibarr"), {})
    url = asking.ask("url", _read_url, default=known.get("url"))
    trusted = _ask_trust(setup, url) or known.get("ca_file")
    asking.say("key.why")
    file = setup.path.resolve().parent / f"{_free_name(setup, 'dolibarr').lower()}.key"
    key = asking.ask("key", _read_key, hidden=True)
    write_private(file, key.encode("ascii") + b"\n")
    settings: Settings = {"url": url, "key_file": str(file)}
    if trusted is not None:
        settings["ca_file"] = trusted
    currency = setup.config.notice and currency_of(setup.config.notice)
    if currency:
        settings["currency"] = currency
    receipt = asking.choose("receipt", ("drawn", "pdf"), default="drawn")
    if receipt == "drawn":
        settings |= _ask_company(setup, url, key, known)
    else:
        settings["receipt"] = receipt
    tills = [till.name for till in setup.config.tills]
    if len(tills) > 1:
        asking.say("terminal.why")
        settings["tills"] = {
            asking.ask(
                "terminal", _read_terminal, default=str(number), key=f"terminal_{number}", till=till
            ): till
            for number, till in enumerate(tills, 1)
        }
    return settings


def _ask_trust(setup: "Setup", url: str) -> str | None:
    """Ask whether a certificate that nobody knows is Dolibarr's; return the file it is kept in."""
    from e2ee_ticket.sources.dolibarr.certificate import unknown_certificate  # noqa: PLC0415

    asking = setup.asking
    if asking.alone or (certificate := unknown_certificate(url)) is None:
        return None
    asking.say("trust.why", fingerprint=certificate.fingerprint)
    if not asking.yes("trust", default=False):
        return None
    file = setup.path.resolve().parent / f"{_free_name(setup, 'dolibarr').lower()}.pem"
    write_private(file, certificate.pem.encode("ascii"))
    return str(file)


def _ask_company(setup: "Setup", url: str, key: str, known: Mapping[str, Any]) -> Settings:
    """Ask who sells, as receipts that are drawn here say it; Dolibarr may know."""
    from e2ee_ticket.sources.dolibarr import read_company  # noqa: PLC0415 - only here

    asking = setup.asking
    asking.say("company.why")
    address, details = list(known.get("company", ()))[1:], known.get("company_details", ())
    if not address and not details and (found := setup.wait(read_company(url, key))) is not None:
        address, details = list(found.address), found.details
    address = asking.ask("company", _read_lines(11), default=", ".join(address) or NONE)
    details = asking.ask("details", _read_lines(12), default=", ".join(details) or NONE)
    settings: Settings = {}
    if address or details:
        settings["company"] = [setup.config.shop or _NAMES["dolibarr"], *address]
    if details:
        settings["company_details"] = details
    return settings


def _read_lines(most: int) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        lines = [] if text == NONE else [line.strip() for line in text.split(",") if line.strip()]
        if len(lines) > most or any(len(line) > 100 or not line.isprintable() for line in lines):
            raise ConfigError("")
        return lines

    return read


def _read_url(text: str) -> str:
    """Take the address of that Dolibarr off whatever page of it was copied.

    Raises:
        ConfigError: there is none in it.
    """
    from e2ee_ticket.sources.dolibarr.settings import read_url  # noqa: PLC0415 - only here

    _split(text.strip())
    return read_url(text if "://" in text else f"https://{text.strip()}")


def _read_key(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError("")
    return text


def _read_terminal(text: str) -> str:
    if not text.isascii() or not text.isdigit():
        raise ConfigError("")
    return str(int(text))


# Programs that print


def _ask_ipp(setup: "Setup") -> Settings:
    del setup  # nothing needs to be asked: this computer only, at the port of its own
    return {}


def _tell_ipp(setup: "Setup", settings: Settings) -> None:
    from e2ee_ticket.sources.ipp_printer import PATH  # noqa: PLC0415 - only here

    at = settings.get("listen", IPP_LISTEN) + PATH
    setup.asking.say("ipp.how", address=f"ipp://{at}", http=f"http://{at}", queue="e-ticket")


def _ask_printer(setup: "Setup") -> Settings:
    setup.asking.say("here.why")
    here = setup.asking.yes("here", default=True)
    settings: Settings = {} if here else {"listen": _PRINTER_IN_THE_NETWORK}
    currency = currencies.sign_of(setup.config.notice)
    if currency is not None:
        settings["currency"] = currency
    return settings


def _tell_printer(setup: "Setup", settings: Settings) -> None:
    host, port = split_listen(settings.get("listen", PRINTER_LISTEN))
    setup.asking.say("printer_source.how", address=addresses(host)[0], port=port)


def _ask_folder(setup: "Setup") -> Settings:
    path = setup.asking.ask("folder", _read_folder)
    if not _has_documents(Path(path)):
        return {"path": path}
    setup.asking.say("folder.documents")
    return {"path": path, "recurse": True}


def _has_documents(path: Path) -> bool:
    """Tell whether a folder is kept as Dolibarr keeps its documents: `REF/REF.pdf`."""
    try:
        found = itertools.islice(path.glob("*/*.pdf"), _LOOKED_AT)
        return any(file.stem == file.parent.name for file in found)
    except OSError:
        return False


def _read_folder(text: str) -> str:
    path = Path(text).expanduser()
    if not path.is_dir():
        raise ConfigError("")
    return str(path.absolute())


_ASK: Final = {
    "takepos": _ask_takepos,
    "dolibarr": _ask_dolibarr,
    "ipp": _ask_ipp,
    "printer": _ask_printer,
    "folder": _ask_folder,
}
_HOW: Final = {"takepos": _tell_takepos, "ipp": _tell_ipp, "printer": _tell_printer}
