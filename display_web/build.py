"""Makes the three pages in dist/ from src/, vendor/ and words/: the same bytes on every machine.

    build.py                                   writes dist/
    build.py --check                           says whether dist/ is what the sources make, and ES5
    build.py --relay ORIGIN --page ORIGIN --out DIR    pages that name another relay or page host

A template's `{{name}}` is replaced by a file of src/, by a script or by the hashes of both; what is
inserted loses its comments and its indentation, and nothing else changes.
"""

import argparse
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGES = {
    "ticket": (
        "vendor/cipher.js",
        "src/protocol.js",
        "src/dom.js",
        "words:ticket",
        "src/ticket.js",
    ),
    "display": (
        "vendor/cipher.js",
        "vendor/x25519.js",
        "vendor/qrcode.js",
        "src/protocol.js",
        "src/channel.js",
        "src/dom.js",
        "words:display,notices",
        "src/display.js",
    ),
    "selftest": (
        "vendor/cipher.js",
        "vendor/x25519.js",
        "vendor/qrcode.js",
        "src/protocol.js",
        "src/channel.js",
        "words:selftest",
        "vectors",
        "src/vectors.js",
        "src/selftest.js",
    ),
}
# Browsers that know hashes ignore 'unsafe-inline' beside one; those of the first version of these
# policies, such as an iPad with iOS 9, know no hash and would not run the page without it.
CSP = (
    "default-src 'none'; script-src {script} 'unsafe-inline'; "
    "style-src {style} 'unsafe-inline'; "
    "connect-src 'self' https:; img-src blob: data:; base-uri 'none'; form-action 'none'"
)
BUDGET = 14 * 1024
"""The ticket page, compressed, in bytes: what arrives in the first round trip."""


def strip(text: str) -> str:
    """Leave out comments, indentation and empty lines; a test compares the syntax trees.

    A comment is taken for one only where it cannot be part of a text: a whole line, or behind a
    blank and without a quotation mark up to the end of its line.
    """
    text = re.sub(r"(?ms)^[ \t]*/\*.*?\*/[ \t]*$", "", text)
    text = re.sub(r"(?m)(?:^|[ \t])//(?: .*)?$", _unless_quoted, text)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _unless_quoted(match: re.Match[str]) -> str:
    whole_line = not match.string[: match.start()].rpartition("\n")[2].strip()
    return match[0] if re.search("['\"]", match[0]) and not whole_line else ""


def script(parts: tuple[str, ...]) -> str:
    """Join the parts of a page's script, each a file, words, or the vectors, in one scope."""
    lines = ["(function () {", "'use strict';", *(_part(part) for part in parts), "})();"]
    return "\n".join(lines)


def _part(name: str) -> str:
    if name.startswith("words:"):
        return f"var words = {_literal(words(name.removeprefix('words:').split(',')))};"
    if name == "vectors":
        return f"var vectors = {_literal(vectors())};"
    return strip((HERE / name).read_text(encoding="utf-8"))


def _literal(value: object) -> str:
    """Write JSON that is also ES5 and cannot end its script element."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    for character in "<\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def words(sections: list[str]) -> dict[str, dict[str, object]]:
    """Read the words of every language, of these sections only."""
    found: dict[str, dict[str, object]] = {}
    for file in sorted((HERE / "src/words").glob("*.json")):
        language = json.loads(file.read_text(encoding="utf-8"))
        chosen = dict(language[sections[0]])
        for section in sections[1:]:
            chosen[section] = language[section]
        found[file.stem] = chosen
    return found


def vectors() -> dict[str, object]:
    """Read the specification's vectors, file by file; but a page is no relay."""
    files = sorted((HERE.parent / "spec/vectors").glob("*.json"))
    return {
        file.stem: json.loads(file.read_text(encoding="utf-8"))
        for file in files
        if file.stem != "relay"
    }


def build(name: str, relay: str = "", page: str = "") -> str:
    """Make one page."""
    text = (HERE / f"src/{name}.html").read_text(encoding="utf-8")
    style = strip((HERE / f"src/{name}.css").read_text(encoding="utf-8"))
    code = script(PAGES[name])
    if "</script" in code or "<!--" in code:
        raise ValueError(f"{name}: a script must not hold the end of its own element")
    policy = CSP.format(script=_hash(f"\n{code}\n"), style=_hash(f"\n{style}\n"))
    inserted = {"csp": policy, f"{name}.css": style, f"{name}.script": code}
    text = re.sub(r"\{\{([a-z.]+)\}\}", lambda match: inserted[match[1]], text)
    for meta, value in (("relay", relay), ("page", page)):
        text = text.replace(
            f'<meta name="{meta}" content="">', f'<meta name="{meta}" content="{value}">'
        )
    return text


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def build_all(relay: str = "", page: str = "") -> Iterator[tuple[str, bytes]]:
    """Make every file of dist/."""
    sums = ""
    for name in sorted(PAGES):
        data = build(name, relay, page).encode()
        sums += f"{hashlib.sha256(data).hexdigest()}  {name}.html\n"
        yield f"{name}.html", data
    yield "SHA256SUMS", sums.encode()


def check() -> list[str]:
    """Compare dist/ with what the sources make, and ask acorn whether every script is ES5."""
    troubles = []
    for name, data in build_all():
        file = HERE / "dist" / name
        if not file.exists() or file.read_bytes() != data:
            troubles.append(f"dist/{name} is not what the sources make: run display_web/build.py")
    return troubles + not_es5()


def not_es5() -> list[str]:
    """Ask acorn, where it is installed, which scripts are not ES5."""
    node = shutil.which("node")
    if node is None or not (HERE / "vendor/node_modules/acorn").exists():
        print("ES5 not checked: run npm ci in display_web/vendor", file=sys.stderr)
        return []
    pages = [str(HERE / f"dist/{name}.html") for name in PAGES]
    gate = subprocess.run(
        [node, str(HERE / "vendor/es5.mjs"), *pages], check=False, capture_output=True, text=True
    )
    return gate.stderr.strip().splitlines() if gate.returncode else []


def origin(text: str) -> str:
    """Accept an origin, as T5 has it."""
    host = r"[a-z0-9.-]+|\[[0-9a-f:]+\]"
    if re.fullmatch(rf"https?://(?:{host})(?::[0-9]{{1,5}})?", text) is None:
        raise argparse.ArgumentTypeError("an origin is https://host or https://host:port")
    return text


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description="build the pages")
    parser.add_argument("--check", action="store_true", help="only compare dist/ with the sources")
    parser.add_argument("--relay", type=origin, help="the relay that the pages call")
    parser.add_argument("--page", type=origin, help="the page host of the links")
    parser.add_argument("--out", type=Path, default=HERE / "dist", help="where to write")
    options = parser.parse_args()
    if options.check:
        troubles = check()
        print("\n".join(troubles) or "dist/ is what the sources make", file=sys.stderr)
        return 1 if troubles else 0
    options.out.mkdir(parents=True, exist_ok=True)
    for name, data in build_all(options.relay or "", options.page or ""):
        temporary = options.out / f".{name}.new"
        temporary.write_bytes(data)
        temporary.replace(options.out / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
