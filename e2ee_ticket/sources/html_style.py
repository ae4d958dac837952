"""How a page wants its text set: the few things of HTML and CSS that a receipt is made with."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from e2ee_ticket.pdf.roll import Align, Rule
from e2ee_ticket.sources.markup import Opening

_SIZE_MIN, _SIZE_MAX = 0.7, 1.8
_CSS_MAX: Final = 500
_CLASSES_MAX: Final = 10
_HEADINGS: Final = {"h1": 1.6, "h2": 1.4, "h3": 1.2, "h4": 1.0, "h5": 0.9, "h6": 0.9}
_FONT_SIZES: Final = {
    "1": 0.7, "2": 0.85, "3": 1.0, "4": 1.2, "5": 1.5, "6": 1.8, "7": 1.8,
    "-2": 0.7, "-1": 0.85, "+1": 1.2, "+2": 1.5, "+3": 1.8,
}  # fmt: skip
_KEYWORD_SIZES: Final = {
    "xx-small": 0.7, "x-small": 0.75, "small": 0.85, "smaller": 0.85, "medium": 1.0,
    "larger": 1.2, "large": 1.2, "x-large": 1.5, "xx-large": 1.8,
}  # fmt: skip
_UNITS: Final = {"em": 1.0, "rem": 1.0, "%": 0.01, "px": 1 / 16, "pt": 1 / 12}
_LENGTH = re.compile(r"([0-9]{1,4}(?:\.[0-9]{0,4})?|\.[0-9]{1,4})(em|rem|%|px|pt)")
_ALIGNS: Final[Mapping[str, Align]] = {
    "left": "left", "center": "center", "right": "right", "middle": "center", "start": "left",
    "end": "right",
}  # fmt: skip
_BOLD: Final = frozenset({"bold", "bolder", "600", "700", "800", "900"})


@dataclass(frozen=True, slots=True)
class Style:
    """How text is set; `size` 1 is normal."""

    align: Align = "left"
    bold: bool = False
    size: float = 1.0
    hidden: bool = False
    verbatim: bool = False


def style_in(outer: Style, tag: Opening) -> Style:
    """Tell the style inside an element, from the one around it."""
    style = outer
    if by_name := _BY_NAME.get(tag.name):
        style = by_name(style, tag.attributes)
    if word := tag.attributes.get("align"):
        style = replace(style, align=_ALIGNS.get(word.strip().lower(), style.align))
    for word in tag.attributes.get("class", "").lower().split()[:_CLASSES_MAX]:
        align = _ALIGNS.get(word.removeprefix("text-"), style.align)
        bold = style.bold or word in ("bold", "strong", "fw-bold")
        style = replace(style, align=align, bold=bold)
    for key, value in _declarations(tag.attributes.get("style", "")):
        style = _declared(style, key, value)
    return style


def rule_of(tag: Opening, side: str) -> Rule | None:
    """Tell the line that an element has on its `top` or `bottom`."""
    keys = (f"border-{side}", f"border-{side}-style", "border", "border-style")
    for key, value in _declarations(tag.attributes.get("style", "")):
        if key in keys:
            hidden = "none" in value or value.startswith("0")
            return None if hidden else Rule(double="double" in value)
    return None


def _bold(style: Style, _: Mapping[str, str]) -> Style:
    return replace(style, bold=True)


def _centred(style: Style, _: Mapping[str, str]) -> Style:
    return replace(style, align="center")


def _font(style: Style, attributes: Mapping[str, str]) -> Style:
    return replace(style, size=_FONT_SIZES.get(attributes.get("size", ""), style.size))


def _heading(size: float) -> Callable[[Style, Mapping[str, str]], Style]:
    return lambda style, _: replace(style, bold=True, size=size)


def _scaled(factor: float) -> Callable[[Style, Mapping[str, str]], Style]:
    return lambda style, _: replace(style, size=_within(style.size * factor))


def _verbatim(style: Style, _: Mapping[str, str]) -> Style:
    return replace(style, verbatim=True)


_BY_NAME: Final[Mapping[str, Callable[[Style, Mapping[str, str]], Style]]] = {
    "b": _bold,
    "strong": _bold,
    "th": _centred,
    "center": _centred,
    "font": _font,
    "big": _scaled(1.2),
    "small": _scaled(0.85),
    "pre": _verbatim,
    **{name: _heading(size) for name, size in _HEADINGS.items()},
}


def _declarations(css: str) -> Iterator[tuple[str, str]]:
    for declaration in css[:_CSS_MAX].split(";") if css else ():
        key, _, value = declaration.partition(":")
        yield key.strip().lower(), value.strip().lower().removesuffix("!important").strip()


def _declared(style: Style, key: str, value: str) -> Style:
    if key == "text-align":
        return replace(style, align=_ALIGNS.get(value, style.align))
    if key == "font-weight":
        return replace(style, bold=value in _BOLD)
    if key == "font-size":
        return replace(style, size=_font_size(value, style.size))
    if (key, value) in (("display", "none"), ("visibility", "hidden")):
        return replace(style, hidden=True)
    return style


def _font_size(value: str, inherited: float) -> float:
    if value in _KEYWORD_SIZES:
        return _KEYWORD_SIZES[value]
    length = _LENGTH.fullmatch(value)
    if length is None:
        return inherited
    size = float(length[1]) * _UNITS[length[2]]
    return _within(inherited * size if length[2] in ("em", "%") else size)


def _within(size: float) -> float:
    return min(max(size, _SIZE_MIN), _SIZE_MAX)
