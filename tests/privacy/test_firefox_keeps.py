"""What Firefox keeps on its disk of a receipt that was opened, saved and closed.

As test_phone_keeps.py does for Chromium: what is found is told in spec/security.md, and a place
that a new Firefox adds makes this fail, to be looked at.
"""

import json
from pathlib import Path

import engines
import pytest
import stage
from privacy import traces
from privacy.profiles import Profile, canary_ticket, found_in_tables

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

REPORT = Path(__file__).resolve().parents[2] / "build" / "firefox_profile.json"
# Firefox under test leaves out what these bring back: it is to behave as on somebody's desk.
HISTORY = {"places.sqlite", "places.sqlite-wal"}
AS_AT_HOME = {
    "remote.prefs.recommended": False,
    "browser.sessionstore.resume_from_crash": True,
    "browser.sessionstore.interval": 500,  # rather than to wait for 15 seconds
    "places.history.enabled": True,
    "browser.pagethumbnails.capturing_disabled": False,
}


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """Open, save and close as a customer does; searched while it runs, and when it has ended."""
    folder = tmp_path_factory.mktemp("firefox")
    relay = stage.Relay(folder / "relay")
    permit = relay.permit()
    relay.start()
    ticket = canary_ticket()
    link = relay.keep(ticket, permit=permit)
    _, envelope = relay.request("GET", f"/v1/t/{link.secret.id}")
    with engines.firefox(folder / "browser", **AS_AT_HOME) as browser:
        browser.open(link.reveal()).wait("ready")
        saved, _ = browser.save()
        assert saved == ticket.receipt
        stage.wait_for(lambda: relay.state(link) == "opened", "the relay's state")
        kept = browser.run(
            """return {
                address: location.href, cookie: document.cookie,
                local: localStorage.length, session: sessionStorage.length,
            };"""
        )
        session = browser.profile / "sessionstore-backups/recovery.jsonlz4"

        def told():
            running = Profile(browser.profile, link, ticket, envelope, kept)
            return session.exists() and relay.origin.encode() in _text(running, session) and running

        running = stage.wait_for(told, "the saving of the session")
    relay.stop()
    found = Profile(browser.profile, link, ticket, envelope, kept)
    found.running = running
    report = {
        "version": browser.version,
        "running": running.count(),
        "files": found.count(),
        "tables": found_in_tables(found),
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    return found


def _text(profile, file):
    return profile.files.get(f"sessionstore-backups/{file.name}", b"")


def places(profile, needles):
    return set(traces.find_in(profile.files, needles))


def test_the_page_stores_nothing(profile):
    address = profile.kept.pop("address")

    assert "#" not in address
    assert profile.kept == {"cookie": "", "local": 0, "session": 0}


def test_the_link_is_in_the_history_and_the_open_tabs_and_nowhere_else(profile):
    running, ended = (places(one, one.digits()) for one in (profile.running, profile))

    assert running <= {*HISTORY, "sessionstore-backups/recovery.jsonlz4"}
    assert ended <= {*HISTORY, "sessionstore.jsonlz4"}
    assert found_in_tables(profile) == ["places.sqlite moz_places"]


def test_the_receipt_is_nowhere(profile):
    for one in (profile.running, profile):
        assert traces.find_in(one.files, one.receipt()) == {}
        assert traces.find_in(one.tables, one.receipt()) == {}


def test_the_search_finds_the_address_that_was_opened(profile):
    """Until the day on which Firefox keeps no history or session, the search cannot be blind."""
    assert profile.count()["places.sqlite"] > 0
    assert "sessionstore.jsonlz4" in places(profile, profile.digits())
