"""What root's commands do in a directory of the relay's user, or of whoever took that user over."""

import os
import tempfile
from pathlib import Path

import pytest
import relay_fakes
from relays import run_command

from relay_server.config import Config
from relay_server.errors import StartError
from relay_server.owner import find_owner
from relay_server.store.place import is_running
from relay_server.stores import open_store

NOBODY = 65534


async def open_and_close(path):
    await open_store(Config(), path, relay_fakes.Clock()).close()


async def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"somebody's")
    (tmp_path / "relay.sqlite.lock").symlink_to(other)

    with pytest.raises(StartError, match="cannot open the database"):
        await open_and_close(tmp_path / "relay.sqlite")

    assert other.read_bytes() == b"somebody's"
    assert not is_running(tmp_path / "relay.sqlite")


async def test_what_is_in_the_lock_file_is_left_as_it_is(tmp_path):
    lock = tmp_path / "relay.sqlite.lock"
    lock.write_bytes(b"somebody's")

    await open_and_close(tmp_path / "relay.sqlite")

    assert lock.read_bytes() == b"somebody's"


async def test_no_file_is_made_behind_a_link_in_the_place_of_the_database(tmp_path):
    (tmp_path / "relay.sqlite").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StartError, match="cannot open the database"):
        await open_and_close(tmp_path / "relay.sqlite")

    assert not (tmp_path / "elsewhere").exists()


async def test_a_database_that_its_operator_put_elsewhere_is_found(tmp_path):
    (tmp_path / "disk").mkdir()
    await open_and_close(tmp_path / "disk/relay.sqlite")
    (tmp_path / "relay.sqlite").symlink_to(tmp_path / "disk/relay.sqlite")

    await open_and_close(tmp_path / "relay.sqlite")


def owners(**names):
    """Say who owns what: a name's user, and root whatever else there is."""

    def lstat(path):
        user = names.get(path.name, 0)
        return os.stat_result((0o40700, 0, 0, 1, user, user, 0, 0, 0, 0))

    return lstat


@pytest.mark.parametrize(
    ("names", "user"),
    [
        ({}, None),
        ({"relay": 4_000_042}, 4_000_042),
        ({"file": 4_000_042}, 4_000_042),
        ({"below": 4_000_042, "relay": 4_000_043}, 4_000_043),
    ],
)
def test_who_decides_where_a_path_leads_is_the_first_on_it_who_is_not_root(names, user):
    found = find_owner(Path("/var/lib/relay/below/file"), owners(**names))

    assert found == (None if user is None else (user, user))


def test_a_command_of_root_has_no_rights_but_those_of_the_directorys_owner(tmp_path):
    """The relay's user has put a link to somebody else's database in the place of its own."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    assert (
        run_command(
            "permit", "add", "--new", "one", "--db", str(theirs / "relay.sqlite")
        ).returncode
        == 0
    )
    (ours / "relay.sqlite").symlink_to(theirs / "relay.sqlite")
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(ours, NOBODY, NOBODY)

    done = run_command("permit", "add", "two", "--db", str(ours / "relay.sqlite"))
    listed = run_command("permit", "list", "--db", str(theirs / "relay.sqlite")).stdout

    # Whoever is not root follows a link as far as their own rights go.
    assert done.returncode == (1 if is_root else 0)
    assert ("two" in listed) is not is_root
    assert "one" in listed


def test_what_a_command_of_root_makes_belongs_to_the_directorys_owner():
    # Whoever it is must be able to go there, and to a folder of pytest's only its user can.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)

        done = run_command("permit", "add", "--new", "one", "--db", str(folder / "relay.sqlite"))

        assert done.returncode == 0, done.stderr
        assert {file.stat().st_uid for file in folder.iterdir()} == {folder.stat().st_uid}


def test_a_command_of_root_reaches_a_folder_behind_one_that_root_alone_may_enter():
    """As systemd keeps that of a DynamicUser in /var/lib/private."""
    with tempfile.TemporaryDirectory() as name:
        private, link = Path(name) / "private", Path(name) / "relay-server"
        folder = private / "relay-server"
        folder.mkdir(parents=True)
        link.symlink_to(folder)
        private.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        db = str(link / "relay.sqlite")

        added = run_command("permit", "add", "--new", "one", "--db", db)
        listed = run_command("permit", "list", "--db", db)
        checked = run_command("check", "--db", db)

        assert added.returncode == 0, added.stderr
        assert listed.stdout.endswith("one\n")
        assert "ok    disk" in checked.stdout
        assert {file.stat().st_uid for file in folder.iterdir()} == {folder.stat().st_uid}


def test_what_it_keeps_of_roots_rights_writes_nothing_of_roots():
    with tempfile.TemporaryDirectory() as name:
        private, ours = Path(name) / "private", Path(name) / "private" / "relay-server"
        ours.mkdir(parents=True)
        private.chmod(0o700)
        theirs = Path(name) / "theirs.sqlite"
        assert run_command("permit", "add", "--new", "one", "--db", str(theirs)).returncode == 0
        theirs.chmod(0o644)
        (ours / "relay.sqlite").symlink_to(theirs)
        is_root = os.geteuid() == 0
        if is_root:
            os.chown(ours, NOBODY, NOBODY)

        done = run_command("permit", "add", "two", "--db", str(ours / "relay.sqlite"))

        assert done.returncode == (1 if is_root else 0)
