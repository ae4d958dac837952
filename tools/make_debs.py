"""Makes the Debian packages of both programs from the wheel and their locks.

    make_debs.py WHEEL FOLDER [--arch amd64] [--python 3.11] [--only till|relay]

Each package has its libraries to itself in /usr/lib, for every Python that it runs with. So one
file serves Debian 12 and 13 and Ubuntu 24.04, and goes on working when the system is brought up to
the next. The libraries are wheels of the lock, whose hashes are compared, and stay as they are.
Nothing else is fetched, nothing is built, and the same input makes the same bytes.
"""

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DEBIAN: Final = ROOT / "deploy/debian"
# Whoever builds packages for others names themselves, as Debian's own tools have it.
MAINTAINER: Final = (
    f"{os.environ.get('DEBFULLNAME', 'e2ee-ticket maintainers')}"
    f" <{os.environ.get('DEBEMAIL', 'maintainers@e2ee-ticket.invalid')}>"
)
# Debian 12, Ubuntu 24.04, Debian 13, and what comes next.
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS: Final = {"amd64": "x86_64-manylinux_2_36", "arm64": "aarch64-manylinux_2_36"}
EPOCH: Final = 1_580_601_600  # the moment that hatchling gives the files of a wheel


@dataclass(frozen=True, slots=True)
class Program:
    """What one package holds."""

    package: str
    command: str
    module: str
    lock: Path
    user: str
    units: tuple[Path, ...]
    conffile: tuple[Path, str]
    action: str
    environment: str = ""


PROGRAMS: Final = {
    "till": Program(
        "e2ee-ticket-till", "e2ee-ticket", "e2ee_ticket", ROOT / "requirements-till.lock",
        "e2ee-ticket",
        (ROOT / "deploy/e2ee-ticket-agent.socket", ROOT / "deploy/e2ee-ticket-agent.service"),
        (DEBIAN / "e2ee-ticket-agent", "etc/default/e2ee-ticket-agent"), "restart",
    ),
    "relay": Program(
        "e2ee-ticket-relay", "relay-server", "relay_server",
        ROOT / "deploy/relay/requirements.lock",
        "relay-server",
        (ROOT / "deploy/relay/relay-server.socket", ROOT / "deploy/relay/relay-server.service"),
        (ROOT / "deploy/relay/relay-server.env", "etc/relay-server.env"), "restart",
        "# The service's store, as /etc/relay-server.env names it, unless another is named.\n"
        'if [ -z "${RELAY_DB-}${RELAY_STORE-}" ]; then\n'
        "    RELAY_DB=/var/lib/relay-server/relay.sqlite RELAY_ENV_FILE=/etc/relay-server.env\n"
        "    export RELAY_DB RELAY_ENV_FILE\nfi\n",
    ),
}  # fmt: skip


def make(
    program: Program,
    wheel: Path,
    out: Path,
    arch: str,
    pythons: tuple[str, ...],
    *,
    level: int,
) -> Path:
    """Make one package; return its file."""
    version = wheel.name.split("-")[1]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        _put_libraries(program, wheel, root, arch, pythons)
        _put_files(program, root, version)
        _put_licences(program, wheel, root)
        _put_control(program, root, version, arch)
        _make_alike(root)
        deb = out / f"{program.package}_{version}_{arch}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", f"-z{level}", "--build", root, deb],
            check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)},
        )  # fmt: skip
    return deb


def _put_libraries(
    program: Program, wheel: Path, root: Path, arch: str, pythons: tuple[str, ...]
) -> None:
    """Make an environment of the system's Python that has the libraries of the lock."""
    home = root / "usr/lib" / program.package
    (home / "bin").mkdir(parents=True)
    (home / "bin/python3").symlink_to("/usr/bin/python3")
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    for python in pythons:
        target = home / f"lib/python{python}/site-packages"
        common = (
            uv, "pip", "install", "-q", "--no-config", "--no-deps", "--target", target,
            "--python-version", python, "--python-platform", PLATFORMS[arch],
            "--only-binary", ":all:", "--link-mode", "copy",
        )  # fmt: skip
        subprocess.run([*common, "--require-hashes", "-r", program.lock], check=True)
        subprocess.run([*common, "--no-index", wheel], check=True)
        # Commands and manuals have their own places here; a library's tests have none.
        for name in ("bin", "share", "tests"):
            shutil.rmtree(target / name, ignore_errors=True)
        (target / ".lock").unlink(missing_ok=True)
        other = {"e2ee_ticket", "relay_server"} - {program.module}
        shutil.rmtree(target / other.pop())
        for info in target.glob("*.dist-info"):
            for name in ("REQUESTED", "direct_url.json", "uv_cache.json", "INSTALLER"):
                (info / name).unlink(missing_ok=True)
    _link_equals(home / "lib")


def _link_equals(folder: Path) -> None:
    """Keep what several Pythons share once."""
    seen: dict[tuple[Path, str], Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            inside = Path(*path.relative_to(folder).parts[1:])
            first = seen.setdefault((inside, hashlib.sha256(path.read_bytes()).hexdigest()), path)
            if first != path:
                path.unlink()
                path.hardlink_to(first)


def _put_files(program: Program, root: Path, version: str) -> None:
    """Put the command, the units, the settings, the manual and the completions in their places."""
    home = f"/usr/lib/{program.package}"
    _write(
        root / "usr/bin" / program.command,
        f'#!/bin/sh\n{program.environment}exec {home}/bin/python3 -P -m {program.module} "$@"\n',
    )
    for unit in program.units:
        text = unit.read_text("utf-8")
        text = text[text.index("[Unit]") :]
        text = re.sub(
            r"(?m)^ExecStart=\S+", f"ExecStart={home}/bin/python3 -P -m {program.module}", text
        )
        # The package makes the user; what root wrote beside the service before it ran is its own.
        text = text.replace("[Unit]\n", f"[Unit]\nDocumentation=man:{program.command}(1)\n", 1)
        text = text.replace(
            "DynamicUser=yes\n",
            f"User={program.user}\nGroup={program.user}\n"
            f"ExecStartPre=+/bin/chown -R {program.user}: /var/lib/{program.user}\n",
        )
        if program.module == "e2ee_ticket":
            condition = f"ConditionPathExists=/var/lib/{program.user}/config.toml\n"
            text = text.replace("\n[Service]\n", f"{condition}\n[Service]\n")
            text = text.replace(
                "[Service]\n", "[Service]\nEnvironmentFile=-/etc/default/e2ee-ticket-agent\n"
            )
        _write(root / "usr/lib/systemd/system" / unit.name, text)
    source, place = program.conffile
    _write(root / place, source.read_text("utf-8"))
    share = root / "usr/share"
    manual = (ROOT / f"docs/man/{program.command}.1").read_bytes()
    _write(share / f"man/man1/{program.command}.1.gz", gzip.compress(manual, 9, mtime=0))
    for shell, target in (
        ("bash", f"bash-completion/completions/{program.command}"),
        ("zsh", f"zsh/vendor-completions/_{program.command}"),
        ("fish", f"fish/vendor_completions.d/{program.command}.fish"),
    ):
        text = (ROOT / f"docs/completion/{program.command}.{shell}").read_text("utf-8")
        _write(share / target, text)
    changes = (
        f"{program.package} ({version}) stable; urgency=medium\n\n"
        f"  * Release {version}; what changed is in CHANGELOG.md of the sources.\n\n"
        f" -- {MAINTAINER}  Sun, 02 Feb 2020 00:00:00 +0000\n"
    )
    doc = share / "doc" / program.package
    _write(doc / "changelog.gz", gzip.compress(changes.encode(), 9, mtime=0))
    overrides = (DEBIAN / "lintian-overrides").read_text("utf-8")
    _write(share / "lintian/overrides" / program.package, overrides)


def _put_licences(program: Program, wheel: Path, root: Path) -> None:
    """Write the licence of the program and of each library, with the notices they ask for."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("dist-info/METADATA"))
        expression = message_from_bytes(archive.read(name))["License-Expression"]
        own = [
            archive.read(name).decode("utf-8")
            for name in archive.namelist()
            if "/licenses/" in name and not name.endswith("/LICENSE")
        ]
    lines = [
        f"{program.package}: {expression}",
        "The text of Apache-2.0 is in /usr/share/common-licenses/Apache-2.0.",
        "",
        *own,
    ]
    site = min((root / "usr/lib" / program.package / "lib").iterdir()) / "site-packages"
    for info in sorted(site.glob("*.dist-info")):
        metadata = message_from_bytes((info / "METADATA").read_bytes())
        if metadata["Name"] == "e2ee-ticket":
            continue
        licence = metadata["License-Expression"] or metadata["License"] or ""
        classifiers = [
            line.rsplit(" :: ", 1)[1]
            for line in metadata.get_all("Classifier", [])
            if line.startswith("License :: ")
        ]
        said = licence if licence and "\n" not in licence else ", ".join(classifiers)
        texts = [
            path.relative_to(root)
            for path in sorted(info.rglob("*"))
            if path.is_file() and re.match(r"(?i)licen|copying|notice|authors", path.name)
        ]
        lines += ["-" * 72, f"{metadata['Name']} {metadata['Version']}: {said}"]
        lines += [f"  /{path}" for path in texts]
    text = "\n".join(lines) + "\n"
    _write(root / "usr/share/doc" / program.package / "copyright", text)


def _put_control(program: Program, root: Path, version: str, arch: str) -> None:
    control = root / "DEBIAN"
    size = sum(
        path.stat().st_size // path.stat().st_nlink
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    kind = "till" if program.module == "e2ee_ticket" else "relay"
    text = (DEBIAN / f"{kind}.control").read_text("utf-8")
    head = (
        f"Version: {version}\nArchitecture: {arch}\nMaintainer: {MAINTAINER}\n"
        f"Installed-Size: {-(-size // 1024)}\n"
    )
    _write(control / "control", text.replace("Section:", head + "Section:", 1))
    _write(control / "conffiles", f"/{program.conffile[1]}\n")
    words = {
        "@package@": program.package,
        "@user@": program.user,
        "@units@": " ".join(unit.name for unit in program.units),
        "@action@": program.action,
    }
    for script in ("postinst", "prerm", "postrm"):
        text = (DEBIAN / script).read_text("utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        _write(control / script, text)
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  "
        f"{path.relative_to(root)}\n"
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink() and control not in path.parents
    ]
    _write(
        control / "md5sums",
        "".join(line for line in sums if not line.endswith(program.conffile[1] + "\n")),
    )


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _make_alike(root: Path) -> None:
    """Give every file the modes and the moment that no machine and no day changes.

    The relay's settings may hold the password of a Redis, so root alone reads them.
    """
    for path in [root, *root.rglob("*")]:
        if path.is_symlink():
            continue
        runs = path.is_dir() or path.parent in (root / "usr/bin", root / "DEBIAN")
        runs = runs and path.name not in ("control", "conffiles", "md5sums")
        path.chmod(0o755 if runs else 0o640 if path.name == "relay-server.env" else 0o644)
    for path in [*root.rglob("*"), root]:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def main() -> int:
    """Make what the command line asks for."""
    parser = argparse.ArgumentParser(description="make the Debian packages")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arch", choices=PLATFORMS, action="append")
    parser.add_argument("--python", choices=PYTHONS, action="append")
    parser.add_argument("--fast", action="store_true", help="hardly compressed, for a look at it")
    parser.add_argument("--only", choices=PROGRAMS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, program in PROGRAMS.items():
        if given.only in (None, name):
            for arch in given.arch or ("amd64",):
                pythons = tuple(given.python or PYTHONS)
                print(
                    make(
                        program, given.wheel.resolve(), given.folder, arch, pythons,
                        level=0 if given.fast else 6,
                    )
                )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
