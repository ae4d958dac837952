"""Pictures that a receipt's page names by their address: which are fetched, and from where.

Only from the Dolibarr whose page it is, a few, small, and soon: no receipt waits for a picture, and
nobody else learns that one was printed. A code that Dolibarr would draw is drawn here, from what
its address says. What cannot be had is remarked upon, and never stands as a word on the receipt.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs, urljoin, urlsplit

import aiohttp

from e2ee_ticket.pdf.roll import Code, Picture
from e2ee_ticket.sources.markup import Opening, read_markup
from e2ee_ticket.sources.pictures import DATA_MAX_SIZE, decode_picture, read_data_picture

FETCHED_MAX: Final = 4
FETCH_SECONDS: Final = 2.0
KEPT_SECONDS: Final = 600.0
"""How long a picture that was fetched is used again: a logo is on every receipt."""
MISSING: Final = "a picture on the receipt could not be drawn"

_ADDRESS_MAX: Final = 2_000
_KEPT_MAX: Final = 8
# By Dolibarr's word for it, without what says only that it is a code.
_KINDS: Final = {
    "QR": "qr", "128": "code128", "39": "code39", "EAN13": "ean13", "EAN": "ean13",
    "EAN8": "ean8", "UPC": "upca", "UPCA": "upca",
}  # fmt: skip
_ONLY_A_CODE: Final = re.compile(r"^C(?:ODE)?(?=\d)|CODE(?:,[LMQH])?$")
# What stands for a picture in words, and says nothing to who reads it on paper.
_EMPTY_WORDS: Final = re.compile(
    r"(?i)\W*(?:(?:qr|bar|2d)?[\W_]*code|qr|code[\W_]*(?:qr|[àa][\W_]*barres|barres)|barcode|image"
    r"|img|picture|photo|logo|[\w-]+\.(?:png|jpe?g|gif|webp|svg))?\W*"
)


class PagePictures:
    """The pictures of one page: those inside it, and those that were fetched before.

    Args:
        origins: where the page comes from; pictures are fetched from there alone.
        fetched: bytes by address, of those that could be had.
    """

    def __init__(
        self, origins: Sequence[str] = (), fetched: Mapping[str, bytes] | None = None
    ) -> None:
        self._origins = origins
        self._fetched = fetched or {}
        self.missing = 0

    def read(self, tag: Opening) -> Picture | Code | None:
        """Return what an `img` shows; None, and counted, where that cannot be drawn."""
        source = tag.attributes.get("src", "")
        if (code := _code_of(source)) is not None:
            return code
        width = tag.attributes.get("width", "")
        shown = read_data_picture(source, width)
        if shown is None and source in self._fetched:
            shown = decode_picture(self._fetched[source], width)
        if shown is None and source:
            self.missing += 1
        return shown

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the cashier is told of what is missing."""
        return (MISSING,) if self.missing else ()


def words_for(tag: Opening) -> str:
    """Return the words that stand for a picture which is not drawn; none where they say nothing."""
    alt = tag.attributes.get("alt", "")
    return "" if _EMPTY_WORDS.fullmatch(alt) else alt


def _code_of(address: str) -> Code | None:
    """Read a code that Dolibarr would draw off its address (`viewimage.php?modulepart=barcode`)."""
    try:
        parts = urlsplit(address[: 2 * _ADDRESS_MAX])
        if not parts.path.endswith("/viewimage.php"):
            return None
        query = parse_qs(parts.query, max_num_fields=20)
    except ValueError:
        return None
    given = {name: values[-1] for name, values in query.items()}
    kind = _KINDS.get(_ONLY_A_CODE.sub("", given.get("encoding", "").upper()))
    text = given.get("code", "")
    if given.get("modulepart") != "barcode" or kind is None or not text:
        return None
    readable = kind != "qr" and given.get("readable", "Y").upper() == "Y"
    return Code(kind, text, caption=readable)


class Fetcher:
    """Fetches pictures from the configured Dolibarr, and keeps those that come again."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = tuple(origins)
        self._kept: dict[str, tuple[float, bytes]] = {}

    async def fetch(self, page: str, origin: str | None) -> Mapping[str, bytes]:
        """Return what the page names by address and could be had, by what stands in the page.

        `origin` is whose page it is; None is the only one that is configured.
        """
        base = origin or self._origins[0]
        if base not in self._origins or "<img" not in page.lower():
            return {}
        wanted: dict[str, str] = {}
        for part in read_markup(page):
            if isinstance(part, Opening) and part.name == "img":
                source = part.attributes.get("src", "")
                address = _address(base, source)
                if address is not None and _code_of(source) is None:
                    wanted[source] = address
        chosen = dict(list(wanted.items())[:FETCHED_MAX])
        if not chosen:
            return {}
        now = asyncio.get_running_loop().time()
        found = {
            source: kept[1]
            for source, address in chosen.items()
            if (kept := self._kept.get(address)) and now - kept[0] < KEPT_SECONDS
        }
        missing = [source for source in chosen if source not in found]
        if missing:
            answers = await _fetch_all([chosen[source] for source in missing])
            for source, data in zip(missing, answers, strict=True):
                if data is not None:
                    found[source] = data
                    self._kept[chosen[source]] = (now, data)
            while len(self._kept) > _KEPT_MAX:
                del self._kept[next(iter(self._kept))]
        return found


def _address(origin: str, source: str) -> str | None:
    """Return where a picture of a page lies; None where that is not in the page's own Dolibarr."""
    if not 0 < len(source) <= _ADDRESS_MAX or source.startswith("data:"):
        return None
    try:
        address = urljoin(f"{origin}/takepos/", source)
        parts = urlsplit(address)
    except ValueError:
        return None
    return address if f"{parts.scheme}://{parts.netloc}".lower() == origin else None


async def _fetch_all(addresses: Sequence[str]) -> Sequence[bytes | None]:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    async with aiohttp.ClientSession(
        timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:
        return await asyncio.gather(*(_fetch(session, address) for address in addresses))


async def _fetch(session: aiohttp.ClientSession, address: str) -> bytes | None:
    try:
        async with session.get(
            address, allow_redirects=False, headers={"Accept-Encoding": "identity"}
        ) as response:
            if response.status != 200 or not response.content_type.startswith("image/"):
                return None
            data = bytearray()
            async for chunk in response.content.iter_any():
                data += chunk
                if len(data) > DATA_MAX_SIZE:
                    return None
            return bytes(data)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None
