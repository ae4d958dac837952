"""What the IPP printer says of itself, and which wishes of a print job it can fulfil.

It prints nothing: a PDF is delivered byte for byte, and of pictures a PDF is made. So it offers
every size of paper and nothing that would change the document, such as two sides; copies are
taken for granted, because a receipt is one however often it is printed.
"""

from collections.abc import Mapping
from typing import Final

from e2ee_ticket.pdf.check import RECEIPT_MAX_SIZE
from e2ee_ticket.sources.ipp_documents import DOCUMENT_MAX_SIZE, FORMATS, PDF
from e2ee_ticket.sources.ipp_message import Content, Tag, Value, Values

MODEL: Final = "e2ee-ticket e-ticket printer"
OPEN_SECONDS: Final = 60
"""How long a job waits for its document."""

_NONE, _PORTRAIT, _NORMAL, _DOTS_PER_INCH = 3, 3, 4, 3
_HUNDREDTHS_OF_MM = 100
_MEDIA: Final = {
    "iso_a4_210x297mm": (21_000, 29_700),
    "iso_a5_148x210mm": (14_800, 21_000),
    "na_letter_8.5x11in": (21_590, 27_940),
    "om_receipt-80mm_80x297mm": (8_000, 29_700),
    "om_receipt-58mm_58x297mm": (5_800, 29_700),
}
_DOTS: Final = 300
_KIB: Final = 1024
_COPIES_MAX: Final = 999
_CUSTOM: Final = {"custom_min_40x40mm": (40, 40), "custom_max_300x2000mm": (300, 2000)}
# A hundredth of a millimetre: with none at all, CUPS calls every size borderless and has no A4.
_MARGIN: Final = 1
_MARGINS: Final = ("bottom", "left", "right", "top")


def values(tag: Tag, *contents: Content) -> Values:
    """Make the values of an attribute, all of one kind."""
    return tuple(Value(tag, content) for content in contents)


_YES: Final = (Value(Tag.BOOLEAN, content=True),)
_NO: Final = (Value(Tag.BOOLEAN, content=False),)


def _size(name: str) -> Values:
    across, down = _MEDIA[name]
    return values(
        Tag.COLLECTION,
        {"x-dimension": values(Tag.INTEGER, across), "y-dimension": values(Tag.INTEGER, down)},
    )


def _any_size() -> Values:
    (across, down), (across_max, down_max) = _CUSTOM.values()
    factor = _HUNDREDTHS_OF_MM
    return values(
        Tag.COLLECTION,
        {
            "x-dimension": values(Tag.RANGE, (across * factor, across_max * factor)),
            "y-dimension": values(Tag.RANGE, (down * factor, down_max * factor)),
        },
    )


def _media(size: Values) -> Values:
    margins = {f"media-{side}-margin": values(Tag.INTEGER, _MARGIN) for side in _MARGINS}
    return values(Tag.COLLECTION, {"media-size": size, **margins})


_DEFAULT: Final = next(iter(_MEDIA))

TEMPLATE: Final[Mapping[str, Values]] = {
    "copies-default": values(Tag.INTEGER, 1),
    "copies-supported": values(Tag.RANGE, (1, _COPIES_MAX)),
    "finishings-default": values(Tag.ENUM, _NONE),
    "finishings-supported": values(Tag.ENUM, _NONE),
    "media-default": values(Tag.KEYWORD, _DEFAULT),
    "media-supported": values(Tag.KEYWORD, *_MEDIA, *_CUSTOM),
    "media-ready": values(Tag.KEYWORD, *_MEDIA),
    "media-col-default": _media(_size(_DEFAULT)),
    "media-col-ready": tuple(value for name in _MEDIA for value in _media(_size(name))),
    "media-col-supported": values(
        Tag.KEYWORD, "media-size", *(f"media-{side}-margin" for side in _MARGINS)
    ),
    "media-size-supported": (*(value for name in _MEDIA for value in _size(name)), *_any_size()),
    **{f"media-{side}-margin-supported": values(Tag.INTEGER, _MARGIN) for side in _MARGINS},
    "number-up-default": values(Tag.INTEGER, 1),
    "number-up-supported": values(Tag.INTEGER, 1),
    "orientation-requested-default": values(Tag.ENUM, _PORTRAIT),
    "orientation-requested-supported": values(Tag.ENUM, 3, 4, 5, 6),
    "output-bin-default": values(Tag.KEYWORD, "face-up"),
    "output-bin-supported": values(Tag.KEYWORD, "face-up"),
    "print-color-mode-default": values(Tag.KEYWORD, "auto"),
    "print-color-mode-supported": values(Tag.KEYWORD, "auto", "color", "monochrome"),
    "print-quality-default": values(Tag.ENUM, _NORMAL),
    "print-quality-supported": values(Tag.ENUM, 3, 4, 5),
    "printer-resolution-default": values(Tag.RESOLUTION, (_DOTS, _DOTS, _DOTS_PER_INCH)),
    "printer-resolution-supported": values(Tag.RESOLUTION, (_DOTS, _DOTS, _DOTS_PER_INCH)),
    "sides-default": values(Tag.KEYWORD, "one-sided"),
    "sides-supported": values(Tag.KEYWORD, "one-sided"),
}
"""What a job may wish for (`job-template`)."""

DATABASE: Final[Mapping[str, Values]] = {
    "media-col-database": (
        *(value for name in _MEDIA for value in _media(_size(name))),
        *_media(_any_size()),
    )
}
"""What is told only where it is asked for by its name."""

# The document has its own size and resolution; whatever a job says of them changes nothing.
_WITHOUT_EFFECT: Final = frozenset({"media", "media-col", "orientation-requested"})
_CREATION: Final = sorted(
    _WITHOUT_EFFECT
    | {name.removesuffix("-default") for name in TEMPLATE if name.endswith("-default")}
)

DESCRIPTION: Final[Mapping[str, Values]] = {
    "charset-configured": values(Tag.CHARSET, "utf-8"),
    "charset-supported": values(Tag.CHARSET, "utf-8", "us-ascii"),
    "color-supported": _YES,
    "compression-supported": values(Tag.KEYWORD, "none"),
    "document-format-default": values(Tag.MIME, PDF),
    "document-format-supported": values(Tag.MIME, *FORMATS),
    "generated-natural-language-supported": values(Tag.LANGUAGE, "en"),
    "ipp-versions-supported": values(Tag.KEYWORD, "1.1", "2.0"),
    "job-creation-attributes-supported": values(Tag.KEYWORD, *_CREATION),
    "job-ids-supported": _YES,
    "job-k-octets-supported": values(Tag.RANGE, (0, DOCUMENT_MAX_SIZE // _KIB)),
    "jpeg-k-octets-supported": values(Tag.RANGE, (0, DOCUMENT_MAX_SIZE // _KIB)),
    "multiple-document-jobs-supported": _NO,
    "multiple-operation-time-out": values(Tag.INTEGER, OPEN_SECONDS),
    "multiple-operation-time-out-action": values(Tag.KEYWORD, "abort-job"),
    "natural-language-configured": values(Tag.LANGUAGE, "en"),
    "page-ranges-supported": _NO,
    "pages-per-minute": values(Tag.INTEGER, 60),
    "pages-per-minute-color": values(Tag.INTEGER, 60),
    "pdf-k-octets-supported": values(Tag.RANGE, (0, RECEIPT_MAX_SIZE // _KIB)),
    "pdl-override-supported": values(Tag.KEYWORD, "not-attempted"),
    "preferred-attributes-supported": _NO,
    "printer-device-id": values(
        Tag.TEXT, "MFG:e2ee-ticket;MDL:e-ticket printer;CMD:PDF,PWGRaster,AppleRaster,URF,JPEG,PNG;"
    ),
    "printer-get-attributes-supported": values(Tag.KEYWORD, "document-format"),
    "printer-is-accepting-jobs": _YES,
    "printer-location": values(Tag.TEXT, ""),
    "printer-make-and-model": values(Tag.TEXT, MODEL),
    "printer-state": values(Tag.ENUM, 3),
    "printer-state-reasons": values(Tag.KEYWORD, "none"),
    "pwg-raster-document-resolution-supported": values(
        Tag.RESOLUTION, (_DOTS, _DOTS, _DOTS_PER_INCH)
    ),
    "pwg-raster-document-sheet-back": values(Tag.KEYWORD, "normal"),
    "pwg-raster-document-type-supported": values(Tag.KEYWORD, "black_1", "sgray_8", "srgb_8"),
    "queued-job-count": values(Tag.INTEGER, 0),
    "uri-authentication-supported": values(Tag.KEYWORD, "none"),
    "uri-security-supported": values(Tag.KEYWORD, "none"),
    "urf-supported": values(Tag.KEYWORD, "V1.4", "CP1", f"RS{_DOTS}", "W8", "SRGB24", "PQ4", "DM1"),
    "which-jobs-supported": values(Tag.KEYWORD, "completed", "not-completed"),
}
"""What does not change (`printer-description`)."""


def unsupported(wishes: Mapping[str, Values]) -> dict[str, Values]:
    """Return those wishes of a job that are not fulfilled."""
    refused: dict[str, Values] = {}
    for name, wished in wishes.items():
        supported = TEMPLATE.get(f"{name}-supported")
        if name in _WITHOUT_EFFECT:
            continue
        if supported is None or f"{name}-default" not in TEMPLATE:
            refused[name] = (Value(Tag.NO_SUCH),)
            continue
        missed = tuple(value for value in wished if not _fulfilled(value, supported))
        if missed:
            refused[name] = missed
    return refused


def _fulfilled(value: Value, supported: Values) -> bool:
    for offer in supported:
        if offer == value:
            return True
        if offer.tag == Tag.RANGE and isinstance(offer.content, tuple):
            low, high = offer.content
            if isinstance(value.content, int) and low <= value.content <= high:
                return True
    return False
