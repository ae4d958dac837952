"""HTML as a flat sequence of tags and texts, read once from front to back.

The standard library's reader goes back over what it has seen: 64 KiB of `<a ` take it a minute.
This one looks at every character a bounded number of times, whatever the page is, and is never
wrong about where a receipt's own text begins and ends, which is all that is asked of it.
"""

import html
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

ATTRIBUTES_MAX: Final = 20

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,30}")
_UNTIL_QUOTE_OR_END = re.compile(r"[^>\"']*")
_ATTRIBUTE = re.compile(
    r"([A-Za-z][A-Za-z0-9_-]{0,31})\s{0,8}=\s{0,8}(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))"
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?")
_UNREAD: Final = {
    name: re.compile(rf"</{name}\b[^>]{{0,64}}>?", re.IGNORECASE)
    for name in (
        "script", "style", "title", "textarea", "noscript", "template", "svg", "iframe", "object",
        "select", "xmp", "noembed", "noframes", "math", "video", "audio", "canvas",
    )
}  # fmt: skip
"""Elements of which nothing is read, and how each ends."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A tag that opens an element; names are in lower case."""

    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Closing:
    """A tag that closes an element."""

    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """What stands between two tags, entities resolved."""

    text: str


def read_markup(page: str) -> Iterator[Opening | Closing | Text]:
    """Read a page; what never ends, such as a comment, ends with the page."""
    position = 0
    while (start := page.find("<", position)) >= 0:
        if start > position:
            yield Text(_resolve(page[position:start]))
        part, position = _read_tag(page, start)
        if part is not None:
            yield part
    if position < len(page):
        yield Text(_resolve(page[position:]))


def _read_tag(page: str, start: int) -> tuple[Opening | Closing | Text | None, int]:
    """Read what begins with a `<`; return it, and where it goes on."""
    if name := _NAME.match(page, start + 1):
        end = _end_of_tag(page, name.end())
        tag = Opening(name[0].lower(), _attributes(page[name.end() : end]))
        if tag.name in _UNREAD:
            closing = _UNREAD[tag.name].search(page, end)
            end = closing.end() if closing else len(page)
        return tag, end
    if page.startswith("</", start):
        name = _NAME.match(page, start + 2)
        return Closing(name[0].lower()) if name else None, _after(page, ">", start)
    if page.startswith("<!--", start):
        return None, _after(page, "-->", start + 4)
    if page.startswith(("<!", "<?"), start):
        return None, _after(page, ">", start)
    return Text("<"), start + 1


def _after(page: str, end: str, position: int) -> int:
    found = page.find(end, position)
    return found + len(end) if found >= 0 else len(page)


def _end_of_tag(page: str, position: int) -> int:
    """Tell where a tag ends; a `>` in quotes does not end it."""
    # A quote that nothing closes is met once: no tag after it can have one of its kind.
    while (found := _UNTIL_QUOTE_OR_END.match(page, position)) and found.end() < len(page):
        end = found.end()
        if page[end] == ">":
            return end + 1
        closing = page.find(page[end], end + 1)
        if closing < 0:
            return _after(page, ">", end)
        position = closing + 1
    return len(page)


def _attributes(text: str) -> dict[str, str]:
    found = itertools.islice(_ATTRIBUTE.finditer(text), ATTRIBUTES_MAX)
    return {match[1].lower(): _resolve(match[2] or match[3] or match[4] or "") for match in found}


def _resolve(text: str) -> str:
    # Numbers of any length are more than the standard library takes: it raises ValueError.
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text) if "&" in text else text
