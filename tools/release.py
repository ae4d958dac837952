"""Makes a release out of the committed sources: everything that is published, and its signature.

    release.py KEY [--out FOLDER] [--no-debs]

KEY is the maintainer's SSH key (the public half is enough where an agent has the other); it must be
one of `allowed_signers`. RELEASES.md says what is made, and how anybody verifies it.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any, Final

from fontTools.ttLib import TTFont

ROOT: Final = Path(__file__).resolve().parents[1]
NAMESPACE: Final = "e2ee-ticket-release"
PRINCIPAL: Final = "releases@e2ee-ticket"
SUMS: Final = "SHA256SUMS"
NPM_INTEGRITY: Final = "sha512-"


class ReleaseError(Exception):
    """This is not to be released; the message says why."""


def check(source: Path) -> str:
    """Hold the places of the version against each other, and return it.

    Raises:
        ReleaseError: they differ, or something that is made of the sources is not.
    """
    project = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"]
    version = str(project["version"])
    for package in ("e2ee_ticket", "relay_server"):
        text = (source / package / "__init__.py").read_text("utf-8")
        if f'__version__ = "{version}"' not in text:
            raise ReleaseError(f"{package}/__init__.py has another version than pyproject.toml")
    changes = (source / "CHANGELOG.md").read_text("utf-8")
    if not re.search(rf"(?m)^## {re.escape(version)}(?: |$)", changes):
        raise ReleaseError(f"CHANGELOG.md has no heading {version}")
    for made in ("display_web/build.py", "tools/manuals.py"):
        done = subprocess.run(
            [sys.executable, made, "--check"],
            cwd=source, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise ReleaseError((done.stdout + done.stderr).strip())
    return version


def build(source: Path, out: Path, *, debs: bool) -> None:
    """Make every file of the release, but the sums and their signature."""
    out.mkdir(parents=True)
    # As tools/build-wheel does: what builds is of the lock, and nothing is fetched for it.
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", out],
        cwd=source, check=True, stdout=subprocess.DEVNULL, umask=0o022,
    )  # fmt: skip
    (wheel,) = out.glob("*.whl")
    if debs:
        for arch in ("amd64", "arm64"):
            subprocess.run(
                [sys.executable, source / "tools/make_debs.py", wheel, out, "--arch", arch],
                check=True,
            )
    shutil.copyfile(source / "requirements-till.lock", out / "requirements-till.lock")
    shutil.copyfile(source / "deploy/relay/requirements.lock", out / "requirements-relay.lock")
    shutil.copyfile(source / "display_web/dist/SHA256SUMS", out / "pages-SHA256SUMS")
    bom = json.dumps(bill_of_materials(source), indent=1, sort_keys=True, ensure_ascii=False)
    (out / "sbom.cdx.json").write_text(bom + "\n", encoding="utf-8")


def bill_of_materials(source: Path) -> dict[str, Any]:
    """List what the release is made of, as CycloneDX has it: the locks, the vendored, the fonts."""
    version = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    found: dict[str, dict[str, Any]] = {}
    bom: dict[str, Any] = {}
    for lock in ("requirements-till.lock", "deploy/relay/requirements.lock"):
        done = subprocess.run(
            [
                sys.executable, "-m", "cyclonedx_py", "requirements", source / lock,
                "--output-reproducible", "--output-format", "JSON", "--spec-version", "1.6",
            ],
            capture_output=True, check=True,
        )  # fmt: skip
        bom = json.loads(done.stdout)
        for component in bom["components"]:
            component["bom-ref"] = component["purl"]
            component.pop("description", None)  # "requirements line 3: …": of the lock, not of it
            found.setdefault(component["purl"], component)
    for component in (*_vendored(source), *_fonts(source)):
        found[component["bom-ref"]] = component
    own = f"pkg:pypi/e2ee-ticket@{version}"
    bom["metadata"] = {
        "component": {
            "bom-ref": own,
            "type": "application",
            "name": "e2ee-ticket",
            "version": version,
            "purl": own,
            "licenses": [{"expression": "Apache-2.0 AND MIT AND OFL-1.1"}],
        }
    }
    bom["components"] = [found[ref] for ref in sorted(found)]
    bom["dependencies"] = [
        {"ref": own, "dependsOn": sorted(found)},
        *({"ref": ref} for ref in sorted(found)),
    ]
    bom.pop("serialNumber", None)
    return bom


def _vendored(source: Path) -> list[dict[str, Any]]:
    """List the scripts that are in the pages, and not the tools that they are made with."""
    packages = json.loads((source / "display_web/vendor/package-lock.json").read_bytes())[
        "packages"
    ]
    components = []
    for path, entry in packages.items():
        if not path or entry.get("dev"):
            continue
        name = path.rpartition("node_modules/")[2]
        group, _, plain = name.rpartition("/")
        purl = f"pkg:npm/{name.replace('@', '%40')}@{entry['version']}"
        digest = base64.b64decode(entry["integrity"].removeprefix(NPM_INTEGRITY)).hex()
        component: dict[str, Any] = {
            "bom-ref": purl,
            "type": "library",
            "name": plain,
            "version": entry["version"],
            "purl": purl,
            "hashes": [{"alg": "SHA-512", "content": digest}],
            "licenses": [{"license": {"id": entry["license"]}}],
        }
        components.append(component | ({"group": group} if group else {}))
    return components


def _fonts(source: Path) -> list[dict[str, Any]]:
    components = []
    for path in sorted((source / "e2ee_ticket/pdf/fonts").glob("*.ttf")):
        version, licence = _named_in_font(path)
        components.append(
            {
                "bom-ref": f"font:{path.stem}@{version}",
                "type": "data",
                "name": path.name,
                "version": version,
                "hashes": [
                    {"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}
                ],
                "licenses": [{"license": {"id": licence}}],
            }
        )
    return components


def _named_in_font(path: Path) -> tuple[str, str]:
    """Return a font's version and the SPDX name of its licence, as the font itself has them.

    Raises:
        ReleaseError: it has another licence than those that this project knows.
    """
    with TTFont(path) as font:
        version, licence = (font["name"].getDebugName(entry) or "" for entry in (5, 13))
    known = {"SIL Open Font Licen": "OFL-1.1", "Apache License, Version 2.0": "Apache-2.0"}
    for words, name in known.items():
        if words in licence:
            return version.removeprefix("Version ").partition(";")[0], name
    raise ReleaseError(f"{path.name} has a licence that is not known here: {licence!r}")


def sign(out: Path, key: Path, signers: Path) -> None:
    """Write the sums of all files, sign them, and verify that as a stranger would.

    Raises:
        ReleaseError: the key is none that is known.
    """
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(out.iterdir())
        if not path.name.startswith(SUMS)
    ]
    (out / SUMS).write_text("".join(lines), encoding="ascii")
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", NAMESPACE, out / SUMS],
        check=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    with (out / SUMS).open("rb") as sums:
        done = subprocess.run(
            [
                "ssh-keygen", "-Y", "verify", "-f", signers, "-I", PRINCIPAL,
                "-n", NAMESPACE, "-s", out / f"{SUMS}.sig",
            ],
            stdin=sums, capture_output=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise ReleaseError(
            f"{key.name} is none of the keys in {signers.name}, so nobody could verify"
        )


def export(folder: Path) -> None:
    """Take the committed sources out of the repository, and nothing that lies beside them.

    Raises:
        ReleaseError: something is not committed.
    """
    git = ("git", "-C", str(ROOT))
    if subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True).stdout:
        raise ReleaseError("something is not committed: git status")
    archive = folder / "sources.tar"
    subprocess.run([*git, "archive", "-o", archive, "HEAD"], check=True)
    with tarfile.open(archive) as sources:
        sources.extractall(folder / "sources", filter="data")


def main() -> int:
    """Make a release."""
    parser = argparse.ArgumentParser(description="make a release of what is committed")
    parser.add_argument("key", type=Path, help="the maintainer's SSH key")
    parser.add_argument("--out", type=Path, default=ROOT / "build/release", help="where to")
    parser.add_argument("--no-debs", action="store_true", help="leave the Debian packages out")
    given = parser.parse_args()
    os.umask(0o022)
    try:
        with tempfile.TemporaryDirectory() as folder:
            export(Path(folder))
            source = Path(folder) / "sources"
            version = check(source)
            out = given.out / version
            if out.exists():
                raise ReleaseError(f"{out} is there already: a release is made once")
            build(source, out, debs=not given.no_debs)
            sign(out, given.key, source / "allowed_signers")
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print(f"release {version} is in {out}; RELEASES.md says how it is published")
    return 0


if __name__ == "__main__":
    sys.exit(main())
