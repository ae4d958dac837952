"""What a receipt printer's bytes of letters mean: its code pages, by the maker's numbers.

The tables and numbers are read from code_pages.json, which tools/make_code_pages.mjs writes.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from e2ee_ticket.errors import ConfigError

PRINTER: Final = "epson"
CODE_PAGE: Final = "cp858"
ASIAN: Final[Mapping[str, str]] = {
    "gb18030": "gb18030", "gbk": "gb18030", "gb2312": "gb18030",
    "shift_jis": "cp932", "cp932": "cp932", "big5": "cp950", "cp950": "cp950",
    "euc-kr": "cp949", "euc_kr": "cp949", "cp949": "cp949", "utf-8": "utf-8", "utf8": "utf-8",
}  # fmt: skip
"""Codes of several bytes a letter, by the configuration's words, and what Python calls them."""

_LANGUAGES: Final = {"ja": "cp932", "ko": "cp949", "zh-tw": "cp950", "zh-hk": "cp950"}
_UNDEFINED: Final = "\ufffd"


@functools.cache
def _tables() -> Mapping[str, Any]:
    path = Path(__file__).with_name("code_pages.json")
    tables: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return tables


def printers() -> tuple[str, ...]:
    """Return the families of printers whose numbers are known."""
    return tuple(_tables()["families"])


def check_printer(printer: object) -> str:
    """Return the family of a printer.

    Raises:
        ConfigError: it is none that is known.
    """
    if printer not in printers():
        raise ConfigError(f"printer must be one of {', '.join(printers())}")
    return str(printer)


def check_code_page(code_page: object) -> str:
    """Return a code page that a printer can start with.

    Raises:
        ConfigError: it is none.
    """
    name = str(code_page).lower() if isinstance(code_page, str) else ""
    if name in ASIAN:
        return ASIAN[name]
    if name not in _tables()["pages"]:
        for old, new in (("cp", "windows"), ("windows-", "windows"), ("iso-8859", "iso8859")):
            if (other := name.replace(old, new, 1)) in _tables()["pages"]:
                return other
        raise ConfigError(
            "code_page must be one such as cp437, cp850, cp858, windows1252, utf-8, gb18030,"
            " shift_jis, big5 or euc-kr"
        )
    return name


def page_of(number: int, printer: str) -> str | None:
    """Return the code page that a printer's ESC t means; None where its maker has none there."""
    page: str | None = _tables()["families"][printer].get(str(number))
    return page


def code_of(code_page: str, lang: str) -> str:
    """Choose the code of several bytes that "Kanji mode" means: the setting's or the shop's."""
    if code_page in ASIAN.values() and code_page != "utf-8":
        return code_page
    lang = lang.lower()
    return _LANGUAGES.get(lang) or _LANGUAGES.get(lang.partition("-")[0]) or "gb18030"


def decode(raw: bytes, page: str) -> tuple[str, int]:
    """Read letters; also tell how many bytes mean nothing there, which become `?`."""
    if raw.isascii():
        return raw.decode("ascii"), 0
    if page in ASIAN.values():
        text = raw.decode(page, "replace")
    else:
        letters = _translation(page)
        text = raw.decode("latin-1").translate(letters)
    wrong = text.count(_UNDEFINED)
    return (text.replace(_UNDEFINED, "?") if wrong else text), wrong


@functools.cache
def _translation(page: str) -> Mapping[int, str]:
    return dict(enumerate(_tables()["pages"][page], 128))


def readings(raw: bytes, printer: str = PRINTER) -> Iterator[tuple[str, str]]:
    """Give what a line of bytes means in each code page: the page's name and the text.

    Those first that a printer of the family has, then the codes of several bytes; of several pages
    that read the same the first, and none in which a byte means nothing. `setup` shows them and
    asks which one is right.
    """
    seen: set[str] = set()
    numbers = _tables()["families"][printer]
    pages = (CODE_PAGE, *numbers.values(), *dict.fromkeys(ASIAN.values()))
    for page in dict.fromkeys(pages):
        text, wrong = decode(raw, page)
        text = text.strip()
        if text and not wrong and text.isprintable() and text not in seen:
            seen.add(text)
            yield page, text
