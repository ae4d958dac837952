"""Makes the three pages in dist/ from src/, vendor/ and words/: the same bytes on every machine.

    build.py                                   writes dist/, with the ticket page also in Brotli
    build.py --check                           says whether dist/ is what the sources make, and ES5
    build.py --relay ORIGIN --page ORIGIN --out DIR    pages that name another relay or page host

A template's `{{name}}` is replaced by a file of src/, by a script or by the hashes of both; what is
inserted loses its comments and its indentation, and nothing else changes.
"""

import argparse
import base64
import functools
import hashlib
import html
import json
import re
import shutil
import string
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGES: dict[str, dict[str, tuple[str, ...]]] = {
    "ticket": {
        "opening": ("vendor/hash.js", "src/link.js", "src/opening.js"),
        "script": (
            "packed:ticket",
            "vendor/opener.js",
            "src/protocol.js",
            "src/paper.js",
            "src/lines.js",
            "src/dom.js",
            "src/ticket.js",
        ),
    },
    "display": {
        "script": (
            "vendor/hash.js",
            "vendor/cipher.js",
            "vendor/x25519.js",
            "vendor/qrcode.js",
            "src/link.js",
            "src/protocol.js",
            "src/channel.js",
            "src/machine.js",
            "src/dom.js",
            "words:display,notices",
            "src/display.js",
        ),
    },
    "selftest": {
        "script": (
            "vendor/hash.js",
            "vendor/cipher.js",
            "vendor/x25519.js",
            "vendor/qrcode.js",
            "src/link.js",
            "src/protocol.js",
            "src/lines.js",
            "src/channel.js",
            "src/machine.js",
            "words:selftest",
            "vectors",
            "src/vectors.js",
            "src/selftest.js",
        ),
    },
}
"""The scripts of each page, in their order; those of one page share one scope."""
# Browsers that know hashes ignore 'unsafe-inline' beside one; those of the first version of these
# policies, such as an iPad with iOS 9, know no hash and would not run the page without it.
CSP = (
    "default-src 'none'; script-src {script} 'unsafe-inline'; "
    "style-src {style} 'unsafe-inline'; "
    "connect-src 'self' {relay}; img-src blob: data:; base-uri 'none'; form-action 'none'"
)
BUDGET = 14 * 1024
"""The ticket page, compressed with Brotli, in bytes: about what a server may send at once."""
BROTLI = """
const { brotliCompressSync, constants: c } = require('zlib');
const page = require('fs').readFileSync(0);
let smallest = null; // one way to write distances is some bytes shorter; which, only trying tells
for (let postfix = 0; postfix < 4; postfix++) {
  for (let direct = 0; direct < 4; direct++) {
    const made = brotliCompressSync(page, { params: {
      [c.BROTLI_PARAM_MODE]: c.BROTLI_MODE_TEXT,
      [c.BROTLI_PARAM_QUALITY]: 11,
      [c.BROTLI_PARAM_LGWIN]: 22,
      [c.BROTLI_PARAM_NPOSTFIX]: postfix,
      [c.BROTLI_PARAM_NDIRECT]: direct << postfix,
    }});
    if (!smallest || made.length < smallest.length) smallest = made;
  }
}
process.stdout.write(smallest);
"""
SHORT_NAME = 2
# What a name follows in its declaration, texts and patterns (whose letters are no names), and names
# with a dot before or a colon behind them.
DECLARED = re.compile(r"\bfunction ([\w$]+)|\bvar ([\w$]+)|\bfunction(?: [\w$]+)?\(([\w$,]*)\)")
IDENTIFIERS = re.compile(
    r"""'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*\""""
    r"|(?<=[(,=:[!&|?{};])/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+/"
    r"|(\.?)([A-Za-z_$][\w$]*)( *:)?"
)


# Texts, patterns where one can stand, and signs with the blanks beside them.
TOKENS = re.compile(
    r"""'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*\""""
    r"|(?:(?<=[(,=:[!&|?{};])|(?<=return)|^)[ ]*/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+/"
    r"|[ ]*([-+=*<>&|^%!?:;,(){}[\]]+)(?:[ ]+(?!/))?",
    re.MULTILINE,
)


def strip_script(text: str) -> str:
    """Leave out comments, blanks, line ends and last semicolons, and quote texts as JSON does.

    Every statement ends with a semicolon or a brace; a test compares the syntax trees.
    """
    lines = TOKENS.sub(_shorten_token, strip(text))
    return re.sub(r"(?<=[\w$])\n(?=[\w$])", " ", lines).replace("\n", "").replace(";}", "}")


def _shorten_token(match: re.Match[str]) -> str:
    token = match[1] or match[0].strip(" ")
    return f'"{token[1:-1]}"' if token[0] == "'" and '"' not in token else token


def rename(code: str) -> str:
    """Give what the ticket page declares a short name, the same one in every page.

    A name that is a member or a key anywhere keeps its own; a test compares the syntax trees.
    """
    names = short_names()
    return IDENTIFIERS.sub(
        lambda match: names.get(match[2], match[2]) if _is_free(match) else match[0], code
    )


def _is_free(match: re.Match[str]) -> bool:
    return bool(match[2]) and not match[1] and not match[3]


@functools.cache
def short_names() -> dict[str, str]:
    """Choose the short names: the shortest for what is written most often."""
    texts = {
        file.name: strip_script(file.read_text(encoding="utf-8"))
        for file in sorted((HERE / "src").glob("*.js"))
    }
    own = [
        Path(part).name for parts in PAGES["ticket"].values() for part in parts if "src/" in part
    ]
    declared: set[str] = set()
    for name in own:
        for found in DECLARED.finditer(texts[name]):
            declared.update(part for part in ",".join(filter(None, found.groups())).split(","))
    kept = set()
    counts: Counter[str] = Counter()
    for name, text in texts.items():
        for match in IDENTIFIERS.finditer(text):
            if match[2] and not _is_free(match):
                kept.add(match[2])
            elif match[2] and name in own:
                counts[match[2]] += 1
    # What vendor/ calls its own is out of the reach of src/.
    taken = set(re.findall(r"[A-Za-z_$][\w$]*", "\n".join(texts.values())))
    letters = string.ascii_letters
    free = map("".join, product(letters, repeat=2))
    short = (name for name in free if name not in taken)
    long = sorted(counts, key=lambda name: (-counts[name], name))
    return {
        name: next(short) for name in long if name in declared - kept and len(name) > SHORT_NAME
    }


def strip_style(text: str) -> str:
    """Leave out comments, line ends, and blanks beside braces, colons and commas."""
    text = strip(text).replace("\n", "").replace(";}", "}").replace("; }", "}")
    return re.sub(r" *([{}]) *|(?<=[:,;]) ", lambda match: match[1] or "", text)


def strip(text: str) -> str:
    """Leave out comments, indentation and empty lines; a test compares the syntax trees.

    A comment is taken for one only where it cannot be part of a text: a whole line, or behind a
    blank and without a quotation mark up to the end of its line. What may be either is refused.
    """
    text = re.sub(r"(?ms)^[ \t]*/\*.*?\*/[ \t]*$", "", text)
    text = re.sub(r"(?m)(?:^|[ \t])//(?: .*)?$", _unless_quoted, text)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _unless_quoted(match: re.Match[str]) -> str:
    whole_line = not match.string[: match.start()].rpartition("\n")[2].strip()
    if re.search("['\"]", match[0]) and not whole_line:
        raise ValueError(f"a comment behind code must not hold a quotation mark:{match[0]}")
    return ""


def scripts(name: str) -> dict[str, str]:
    """Join the parts of each script of a page: a file, words, or the vectors.

    A page's only script gets a scope of its own; two share the page's, which holds nothing else.
    """
    joined = {
        script: "\n".join(["'use strict';", *map(_part, parts)])
        for script, parts in PAGES[name].items()
    }
    if len(joined) == 1:
        return {script: f"(function () {{\n{code}\n}})();" for script, code in joined.items()}
    return joined


def _part(name: str) -> str:
    if name.startswith("words:"):
        return f"var words = {_literal(words(name.removeprefix('words:').split(',')))};"
    if name.startswith("packed:"):
        return _packed(name.removeprefix("packed:"))
    if name == "vectors":
        return f"var vectors = {_literal(vectors())};"
    code = strip_script((HERE / name).read_text(encoding="utf-8"))
    return rename(code) if name.startswith("src/") else code


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


def _packed(section: str) -> str:
    """Write words without their names: one text a language, in the order of one list of names."""
    languages = words([section])
    names = sorted(set(languages["en"]) - {"noscript"})
    texts = {
        language: "|".join(str(found[name]) for name in names)
        for language, found in languages.items()
    }
    if any(text.count("|") != len(names) - 1 for text in texts.values()):
        raise ValueError(f"{section}: a word must not hold a vertical bar")
    return f"var NAMES={_literal('|'.join(names))};\nvar TEXTS={_literal(texts)};"


def _noscript(section: str) -> str:
    """Write what is shown where scripts are off, in every language."""
    return "".join(
        f'<p lang="{language}">{html.escape(str(found["noscript"]))}</p>'
        for language, found in words([section]).items()
        if "noscript" in found
    )


def vectors() -> dict[str, object]:
    """Read the specification's vectors, file by file; but a page is no relay and no till."""
    files = sorted((HERE.parent / "spec/vectors").glob("*.json"))
    return {
        file.stem: json.loads(file.read_text(encoding="utf-8"))
        for file in files
        if file.stem not in {"relay", "relay-races", "till"}
    }


def build(name: str, relay: str = "", page: str = "") -> str:
    """Make one page."""
    text = (HERE / f"src/{name}.html").read_text(encoding="utf-8")
    style = strip_style((HERE / f"src/{name}.css").read_text(encoding="utf-8"))
    codes = scripts(name)
    if any("</script" in code or "<!--" in code for code in codes.values()):
        raise ValueError(f"{name}: a script must not hold the end of its own element")
    policy = CSP.format(
        script=" ".join(_hash(f"\n{code}\n") for code in codes.values()),
        style=_hash(f"\n{style}\n"),
        # The released page does not know its relay; a page that does talks to nobody else.
        relay=relay or "https:",
    )
    inserted = {
        "csp": policy,
        f"{name}.css": style,
        f"{name}.noscript": _noscript(name),
        **{f"{name}.{script}": code for script, code in codes.items()},
    }
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


def compress(page: bytes) -> bytes | None:
    """Compress a page with the Brotli of Node.js, where there is one; Python has none."""
    node = find_node()
    if node is None:
        return None
    run = subprocess.run([node, "-e", BROTLI], input=page, check=True, capture_output=True)
    return run.stdout


def find_node() -> str | None:
    """Find Node.js on this computer or in this environment; the pages do not need it."""
    here = shutil.which("node", path=str(Path(sys.executable).parent))
    return here or shutil.which("node")


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
    node = find_node()
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
    write_compressed(options.out, "ticket")
    return 0


def write_compressed(folder: Path, name: str) -> None:
    """Put a compressed page beside the page, named by its digest, and take away older ones."""
    for old in folder.glob(f"{name}.*.br"):
        old.unlink()
    page = (folder / f"{name}.html").read_bytes()
    compressed = compress(page)
    if compressed is None:
        print(f"{name}.html is not compressed with Brotli: there is no Node.js", file=sys.stderr)
    else:
        digest = hashlib.sha256(page).hexdigest()
        (folder / f"{name}.{digest[:16]}.br").write_bytes(compressed)


if __name__ == "__main__":
    sys.exit(main())
