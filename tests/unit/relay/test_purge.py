"""What purging the Debian package takes away, and what it must not."""

import os
import pwd
import subprocess
import tempfile
from pathlib import Path

import pytest

DEBIAN = Path(__file__).resolve().parents[3] / "deploy/debian"
IS_ROOT = os.geteuid() == 0
# Whose data they are: of another user where this is root, and else our own.
USER = "nobody" if IS_ROOT else pwd.getpwuid(os.geteuid()).pw_name


class Machine:
    """A folder that the scripts take for a machine's root, with programs that only write down."""

    def __init__(self, folder):
        self.root = folder
        self.said = folder / "said"
        self.bin = folder / "bin"
        self.state = folder / f"var/lib/{USER}"
        self.mark = folder / "var/lib/e2ee-ticket-relay/user"
        self.known = True
        self.bin.mkdir()
        self.state.parent.mkdir(parents=True)
        for name in ("userdel", "groupdel", "adduser", "deb-systemd-helper", "systemctl"):
            self.program(name, f'echo {name} "$@" >> {self.said}')
        if not IS_ROOT:
            self.program("setpriv", 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"')

    def program(self, name, text):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def own(self, *paths):
        if IS_ROOT:
            found = pwd.getpwnam(USER)
            for path in paths:
                os.chown(path, found.pw_uid, found.pw_gid, follow_symlinks=False)

    def run(self, script, *arguments):
        text = (DEBIAN / script).read_text("utf-8")
        for word, value in {
            "@user@": USER,
            "@package@": "e2ee-ticket-relay",
            "@units@": "relay-server.service",
            "@action@": "restart",
            "/var/lib/": f"{self.root}/var/lib/",
            "/usr/lib/": f"{self.root}/usr/lib/",
            "/run/systemd/system": f"{self.root}/none",
        }.items():
            text = text.replace(word, value)
        if not self.known:
            self.program("getent", "exit 2")
        path = os.environ["PATH"]
        done = subprocess.run(
            ["sh", "-c", text, script, *arguments], env={"PATH": f"{self.bin}:{path}"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr

    def calls(self):
        return self.said.read_text().split("\n") if self.said.exists() else []


@pytest.fixture
def machine():
    # Another user must be able to go there.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Machine(Path(name))


def make_data(machine, folder):
    folder.mkdir()
    (folder / "sub").mkdir()
    for name in ("relay.sqlite", "sub/file"):
        (folder / name).write_bytes(b"data")
        machine.own(folder / name)
    machine.own(folder, folder / "sub")


def test_purging_leaves_nothing(machine):
    make_data(machine, machine.state)
    (machine.state / "of-root").write_bytes(b"a backup")

    said = machine.run("postrm", "purge")

    assert not machine.state.exists()
    assert said == ""


def test_wherever_names_in_there_lead_nothing_is_lost_that_was_not_the_users_own(machine):
    make_data(machine, machine.state)
    victim = machine.root / "victim"
    victim.write_bytes(b"somebody's")
    victim.chmod(0o400)
    other = machine.root / "other"
    other.mkdir()
    (other / "file").write_bytes(b"somebody's")
    (machine.state / "hard").hardlink_to(victim)
    (machine.state / "soft").symlink_to(victim)
    (machine.state / "folder").symlink_to(other)

    machine.run("postrm", "purge")

    assert victim.read_bytes() == b"somebody's"
    assert (other / "file").read_bytes() == b"somebody's"
    assert not machine.state.exists()


def test_every_byte_is_overwritten_by_the_user_and_never_by_root(machine):
    """Between finding a file and writing to it, its user can put a link in a folder's place."""
    make_data(machine, machine.state)
    machine.program("shred", f'id -un >> {machine.root}/who; while [ "$1" != -- ]; do shift; done')
    (machine.root / "who").touch()
    machine.own(machine.root / "who")

    machine.run("postrm", "purge")

    assert set((machine.root / "who").read_text().split()) == {USER}


def test_data_behind_a_link_of_the_operators_go_too(machine):
    make_data(machine, machine.root / "disk")
    machine.state.symlink_to(machine.root / "disk")

    machine.run("postrm", "purge")

    assert not (machine.root / "disk").exists()
    assert not machine.state.is_symlink()


def test_what_a_link_leads_to_and_is_not_the_services_stays_and_is_named(machine):
    (machine.root / "disk").mkdir()
    (machine.root / "disk/file").write_bytes(b"somebody's")
    machine.program("stat", "echo somebody")
    machine.state.symlink_to(machine.root / "disk")

    said = machine.run("postrm", "purge")

    assert (machine.root / "disk/file").exists()
    assert str(machine.root / "disk") in said


def test_a_folder_that_cannot_go_such_as_a_mount_point_is_emptied(machine):
    make_data(machine, machine.state)
    machine.program("rmdir", "exit 1")
    machine.mark.parent.mkdir()
    machine.mark.touch()

    machine.run("postrm", "purge")

    assert list(machine.state.iterdir()) == []
    assert f"userdel --force {USER}" in machine.calls()


def test_a_user_that_was_there_before_is_not_deleted(machine):
    machine.run("postinst", "configure")
    machine.run("postrm", "purge")

    assert not [call for call in machine.calls() if call.startswith(("userdel", "adduser"))]


def test_a_user_that_was_made_is_deleted(machine):
    machine.known = False
    machine.run("postinst", "configure")
    marked = machine.mark.exists()
    (machine.bin / "getent").unlink()
    machine.known = True
    machine.run("postrm", "purge")

    assert marked
    assert f"userdel --force {USER}" in machine.calls()
    assert not machine.mark.parent.exists()
