"""HTML that cannot be broken by what stands in it.

Every text becomes markup through `tag`, which escapes it; `Html` alone is taken as it is, and only
`tag`, `join` and `raw` make one. Receipts come from anywhere: what could reorder or hide letters
is taken out of a text as well.
"""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Union

TEXT_LIMIT: Final = 300
"""A longer text of a receipt is cut: the page stays readable, whatever comes."""

_VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta"})
# Control characters, and those that turn the direction of what follows.
_STEERING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]"
)


@dataclass(frozen=True, slots=True)
class Html:
    """Markup."""

    text: str


Child = Union[str, int, Html, None, Iterable["Child"]]  # noqa: UP007 - it names itself
Attribute = str | int | bool | None


def plain(text: str, limit: int = TEXT_LIMIT) -> str:
    """Make one harmless line of a text that came from elsewhere."""
    cut = text[: limit + 1]
    cut = " ".join(_STEERING.sub(" ", cut).split())
    return cut if len(cut) <= limit else cut[: limit - 1] + "…"


def raw(text: str) -> Html:
    """Take markup as it is; for what this program wrote itself."""
    return Html(text)


def join(*children: Child) -> Html:
    """Put markup together, escaping what is text."""
    return Html("".join(_pieces(children)))


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """Make an element; `class_` is written class, `aria_label` aria-label, None and False not."""
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children).text}</{name}>")


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    key = key.rstrip("_").replace("_", "-")
    return f" {key}" if value is True else f' {key}="{html.escape(str(value), quote=True)}"'


def _pieces(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            yield child.text
        elif isinstance(child, str | int):
            yield html.escape(str(child), quote=True)
        else:
            yield from _pieces(child)
