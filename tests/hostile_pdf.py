"""PDFs that mean harm, made on the spot: each a function that returns the bytes."""

import zlib


def build(objects: dict[int, bytes], *, trailer: bytes = b"", root: int = 1) -> bytes:
    """Write numbered objects with a right cross-reference table."""
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = {}
    for number, body in objects.items():
        offsets[number] = len(out)
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    size = max(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % size
    for number in range(1, size):
        out += b"%010d 00000 n \n" % offsets.get(number, 0)
    out += b"trailer\n<</Size %d/Root %d 0 R%b>>\n" % (size, root, trailer)
    out += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(out)


def stream(body: bytes, members: bytes = b"") -> bytes:
    return b"<</Length %d%b>>\nstream\n%b\nendstream" % (len(body), members, body)


def zeros(mebibytes: int) -> bytes:
    """Write a zlib stream of so many MiB of zeros, a thousandth as long, at once."""
    block = zlib.compressobj(9, wbits=-15)
    repeated = block.compress(bytes(1024 * 1024)) + block.flush(zlib.Z_FULL_FLUSH)
    adler = (mebibytes * 1024 * 1024 % 65521) << 16 | 1
    return b"\x78\xda" + repeated * mebibytes + b"\x03\x00" + adler.to_bytes(4)


def one_page(
    content: bytes = b"", *, box: bytes = b"0 0 227 400", page: bytes = b"", catalog: bytes = b""
) -> bytes:
    return build(
        {
            1: b"<</Type/Catalog/Pages 2 0 R%b>>" % catalog,
            2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            3: b"<</Type/Page/Parent 2 0 R/MediaBox[%b]/Contents 4 0 R%b>>" % (box, page),
            4: stream(content),
        }
    )


def nested_arrays(depth: int = 200_000) -> bytes:
    return one_page(catalog=b"/Deep " + b"[" * depth + b"]" * depth)


def pages_that_are_their_own_parent() -> bytes:
    return build(
        {1: b"<</Type/Catalog/Pages 2 0 R>>", 2: b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 9>>"}
    )


def form_that_draws_itself() -> bytes:
    return build(
        {
            1: b"<</Type/Catalog/Pages 2 0 R>>",
            2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R"
            b"/Resources<</XObject<</X 5 0 R>>>>>>",
            4: stream(b"/X Do"),
            5: stream(
                b"/X Do /X Do",
                b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>>>",
            ),
        }
    )


def huge_page() -> bytes:
    return one_page(b"0 0 14400 14400 re f", box=b"0 0 14400 14400")


def ten_thousand_pages() -> bytes:
    count = 10_000
    kids = b" ".join(b"%d 0 R" % (n + 3) for n in range(count))
    pages = {n + 3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 227 400]>>" for n in range(count)}
    return build(
        {
            1: b"<</Type/Catalog/Pages 2 0 R>>",
            2: b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, count),
            **pages,
        }
    )


def broken_xref() -> bytes:
    return one_page(b"0 0 100 100 re f").replace(b"startxref\n", b"startxref\n99")


def garbage() -> bytes:
    return b"%PDF-1.7\n" + bytes(range(256)) * 64 + b"\n%%EOF\n"


def image_bomb(side: int = 30_000) -> bytes:
    """Announce 900 million pixels, and deliver them in less than a megabyte."""
    data = zeros(859)
    return build(
        {
            1: b"<</Type/Catalog/Pages 2 0 R>>",
            2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R"
            b"/Resources<</XObject<</X 5 0 R>>>>>>",
            4: stream(b"200 0 0 200 0 0 cm /X Do"),
            5: stream(
                data,
                b"/Type/XObject/Subtype/Image/Width %d/Height %d/BitsPerComponent 8"
                b"/ColorSpace/DeviceGray/Filter/FlateDecode" % (side, side),
            ),
        }
    )


def endless_drawing() -> bytes:
    """Draw half a million large shapes, each clipped by all before it."""
    content = zlib.compress(
        b"0 0 200 200 re W n 1 0 0 RG 0 0 m 10 190 190 10 200 200 c B\n" * 500_000
    )
    return build(
        {
            1: b"<</Type/Catalog/Pages 2 0 R>>",
            2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R>>",
            4: stream(content, b"/Filter/FlateDecode"),
        }
    )


def metadata_bomb() -> bytes:
    return build(
        {
            1: b"<</Type/Catalog/Pages 2 0 R/Metadata 4 0 R>>",
            2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>",
            4: stream(
                zlib.compress(zeros(2000)), b"/Type/Metadata/Filter[/FlateDecode/FlateDecode]"
            ),
        }
    )


ALL = [
    nested_arrays,
    pages_that_are_their_own_parent,
    form_that_draws_itself,
    huge_page,
    ten_thousand_pages,
    broken_xref,
    garbage,
    image_bomb,
    endless_drawing,
    metadata_bomb,
]
