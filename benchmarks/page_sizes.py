"""The size of each page: as it is, with gzip -9, with Brotli 11 (by Node.js, where there is one).

The ticket page is to fit into one TCP initial window, 14 KiB, as a server compresses it.
"""

import gzip
import hashlib
import shutil
import subprocess

import bench

WINDOW_SIZE = 14 * 1024
BROTLI = """
const zlib = require('zlib');
const sizes = process.argv.slice(1).map(file => zlib.brotliCompressSync(
    require('fs').readFileSync(file),
    {params: {[zlib.constants.BROTLI_PARAM_LGWIN]: 22, [zlib.constants.BROTLI_PARAM_QUALITY]: 11}},
).length);
console.log(sizes.join(' '));
"""


def main():
    pages = sorted((bench.ROOT / "display_web" / "dist").glob("*.html"))
    brotli = brotli_sizes(pages)
    rows = []
    for page, small in zip(pages, brotli, strict=True):
        body = page.read_bytes()
        zipped = len(gzip.compress(body, 9, mtime=0))
        digest = hashlib.sha256(body).hexdigest()[:8]
        rows.append([page.name, digest, len(body), zipped, small, f"{zipped / WINDOW_SIZE:.2f}"])
    bench.table(["page", "SHA-256", "plain", "gzip -9", "Brotli 11", "gzip / 14 KiB"], rows)


def brotli_sizes(pages):
    node = shutil.which("node") or str(bench.ROOT / ".venv" / "bin" / "node")
    try:
        done = subprocess.run(
            [node, "-e", BROTLI, *map(str, pages)], check=True, capture_output=True, text=True
        )
    except OSError:
        return ["no Node.js"] * len(pages)
    return [int(size) for size in done.stdout.split()]


main()
