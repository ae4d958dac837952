"""A lost till's computer, a new permit, a page looked at by hand, and a clean end."""

import os
import stat

import pytest
import stage
from near import NearTill

from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.till.clock import SystemClock
from e2ee_ticket.till.displays import Displays
from e2ee_ticket.till.lock import lock
from e2ee_ticket.till.outbox import FILE_NAME, Outbox

PASSPHRASE = "four words do it\n"


@pytest.fixture
def till(relay, tmp_path):
    till = NearTill(tmp_path / "till")
    till.file.write_text(f'relay = "{relay.origin}"\npermit = "{relay.leave}"\nshop = "Shop"\n')
    return till


@pytest.fixture
def other(tmp_path):
    """A new computer."""
    other = NearTill(tmp_path / "other")
    other.file.unlink()
    return other


def refused(done, code, message, hint=""):
    assert done.returncode == code, done.stderr
    assert message in done.stderr, done.stderr
    assert hint in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


# Export and import


def test_a_till_moves_with_its_displays_and_its_permit(till, other, relay, tmp_path):
    stage.pair(till.folder, relay)
    file = str(tmp_path / "till.sealed")
    exported = till.run_apart("config", "export", "--passphrase-stdin", file, stdin=PASSPHRASE)
    imported = other.run_apart("config", "import", "--passphrase-stdin", file, stdin=PASSPHRASE)

    assert other.run("check", check=False).returncode == 0
    assert other.run("display", "list").stdout == "Front\n"
    assert "stop the agent" in imported.stderr
    assert relay.leave not in exported.stderr + imported.stderr
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "till.sealed").stat().st_mode) == 0o600


def test_nothing_is_overwritten_without_force(till, other, tmp_path):
    file = str(tmp_path / "till.sealed")
    till.run("config", "export", "--passphrase-stdin", file, stdin=PASSPHRASE)
    again = ("config", "export", "--passphrase-stdin", file)
    back = ("config", "import", "--passphrase-stdin", file)

    refused(till.run(*again, stdin=PASSPHRASE, check=False), 2, "is there already")
    till.run(*again, "--force", stdin=PASSPHRASE)
    refused(till.run(*back, stdin=PASSPHRASE, check=False), 2, "config.toml is here already")
    other.run(*back, stdin=PASSPHRASE)


def test_a_wrong_or_short_passphrase_is_refused(till, other, tmp_path):
    file = str(tmp_path / "till.sealed")
    export = ("config", "export", "--passphrase-stdin", file)
    refused(till.run(*export, stdin="short\n", check=False), 2, "at least 8")
    refused(till.run(*export, stdin="", check=False), 2, "no passphrase")
    till.run(*export, stdin=PASSPHRASE)

    done = other.run("config", "import", "--passphrase-stdin", file, stdin="xxxxxxxxx", check=False)

    refused(done, 2, "another passphrase, or a damaged file")
    assert list(other.folder.iterdir()) == []


def test_the_passphrase_is_asked_twice_and_never_shown(till, tmp_path):
    pytest.importorskip("pty", reason="a pseudo-terminal is POSIX")
    from person import Person

    file = str(tmp_path / "till.sealed")
    with Person(till, "config", "export", file) as person:
        person.answers("Passphrase", "four words do it")
        person.answers("once more", "four words do not")
        person.sees("two different passphrases")
        assert person.ends() == 2
    with Person(till, "config", "export", file) as person:
        person.answers("Passphrase", "four words do it")
        person.answers("once more", "four words do it")
        assert person.ends() == 0

    assert "four words do it" not in person.screen


# A new permit


def test_a_new_permit_is_tried_before_it_takes_the_old_ones_place(till, relay):
    new = relay.permit("second")

    refused(till.run("config", "permit", stdin="x" * 43 + "\n", check=False), 1, "does not take")
    assert relay.leave in till.file.read_text()
    done = till.run_apart("config", "permit", stdin=new + "\n")

    assert new not in till.file.read_text() + done.stderr + done.stdout
    assert (till.folder / "permit").read_text() == new + "\n"
    assert 'permit_file = "permit"' in till.file.read_text()
    assert till.run("check", check=False).returncode == 0


def test_no_permit_at_all_leaves_the_old_one(till, relay):
    refused(till.run("config", "permit", stdin="\n", check=False), 2, "the old one stays")
    assert relay.leave in till.file.read_text()


def test_a_permit_in_the_environment_is_said_to_win(till, relay):
    till.environment["E2EE_TICKET_PERMIT"] = relay.leave

    done = till.run("config", "permit", stdin=relay.permit("third") + "\n")

    assert "E2EE_TICKET_PERMIT is set here, and wins" in done.stderr


# The page, by hand


def test_a_page_is_verified_by_hand(till, relay):
    done = till.run_apart("page", "verify")

    assert len(done.stdout.splitlines()) == 2
    assert "released with" in done.stdout
    assert till.run("page", "verify", relay.origin, "--relay", relay.origin).returncode == 0


def test_a_page_for_another_relay_is_not_the_released_one(till, relay):
    done = till.run("page", "verify", relay.origin, "--relay", "https://x.example", check=False)

    refused(done, 1, "names no relay", "hint:")


def test_a_page_that_is_away_is_for_later(till):
    done = till.run("page", "verify", f"http://127.0.0.1:{stage.free_port()}", check=False)

    refused(done, 75, "nothing answers")


def test_an_address_that_is_none_is_misuse(till):
    refused(till.run("page", "verify", "receipts.example", check=False), 2, "https://host")


# The end


def test_nothing_stays_of_a_till_that_is_removed(till, relay):
    pairing = stage.pair(till.folder, relay)
    till.run("config", "permit", stdin=relay.permit("last") + "\n")
    (till.folder / "receipt.pdf").write_bytes(b"%PDF-1.7\n%%EOF\n")
    till.run("send", "receipt.pdf")
    done = till.run_apart("uninstall", "--yes")

    assert [path.name for path in till.folder.iterdir()] == ["receipt.pdf"]
    assert "Front is unpaired" in done.stderr
    path = f"/v1/c/{pairing.secret.cid}"
    gone = relay.request("DELETE", path, Authorization=f"Bearer {pairing.token.reveal().hex()}")
    assert gone[0] == 410


def test_what_waits_is_delivered_first(till, relay):
    with Outbox(till.folder / FILE_NAME, SystemClock().now) as outbox:
        number = outbox.accept(Ticket(receipt=b"%PDF-1.7\n%%EOF\n"), "A")
        from e2ee_ticket import Secret, seal

        secret = Secret.generate()
        outbox.keep(number, secret, seal(outbox.receipt(number), secret), None)
        outbox.release(secret.id)

    till.run("uninstall", "--yes")

    assert relay.request("GET", f"/v1/t/{secret.id}")[0] == 200


def test_a_relay_that_is_away_keeps_everything_unless_it_is_given_up(till, relay):
    stage.pair(till.folder, relay)
    till.environment["E2EE_TICKET_RELAY"] = f"http://127.0.0.1:{stage.free_port()}"

    done = till.run("uninstall", "--yes", check=False)
    refused(done, 75, "Front could not be unpaired", "--forget")
    assert Displays(till.folder).all() != []

    till.run("uninstall", "--yes", "--forget")
    assert list(till.folder.iterdir()) == []


def test_the_configuration_can_stay(till, relay):
    stage.pair(till.folder, relay)

    till.run("uninstall", "--yes", "--keep-config")

    assert [path.name for path in till.folder.iterdir()] == ["config.toml"]


def test_it_asks_first(till):
    done = till.run("uninstall", stdin="maybe\n", check=False)

    refused(done, 1, "nothing was removed")
    assert till.file.exists()


def test_an_agent_that_runs_is_not_pulled_from_under(till):
    with lock(till.folder):
        refused(till.run("uninstall", "--yes", check=False), 2, "the agent still runs")

    assert till.file.exists()
