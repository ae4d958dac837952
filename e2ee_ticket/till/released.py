"""Where the pages of this release are: in the wheel beside this package, else in the repository."""

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_PLACES: Final = (_PACKAGE / "pages", _PACKAGE.parent / "display_web/dist")


def page_file(name: str) -> Path:
    """Return the path of a released page or of `SHA256SUMS`, also where there is no such file."""
    return next((place / name for place in _PLACES if place.is_dir()), _PLACES[0] / name)
