"""What a phone's browser keeps on its disk of a receipt that was opened, saved and closed.

The page can promise that it stores nothing itself. It cannot promise what the browser does with
the address that it was asked to open: that is measured, written to build/phone_profile.json, and
told in spec/security.md. A place that a new Chromium adds makes this fail, to be looked at.
"""

import json
from pathlib import Path

import pytest
import screens
import stage
from privacy import traces
from privacy.profiles import Profile, canary_ticket, found_in_tables

pytestmark = pytest.mark.browser

REPORT = Path(__file__).resolve().parents[2] / "build" / "phone_profile.json"

# Where Chromium keeps the link: the history, the open tabs (to restore them after a crash), and
# its statistics of use.
THE_BROWSERS_OWN = {
    "Default/History",
    "Default/History-journal",
    "Default/Sessions/Session_*",
    "Default/Sessions/Tabs_*",
    "segmentation_platform/ukm_db",
    "segmentation_platform/ukm_db-wal",
}
OF_THE_HISTORY = {"urls", "visited_links", "clusters_and_visits", "segments", "downloads"}
STORES_OF_PAGES = (
    "Cache", "Code Cache", "Cookies", "IndexedDB", "Local Storage", "Service Worker",
    "Session Storage", "WebStorage", "File System", "blob_storage", "databases", "Favicons",
    "Network Persistent State", "Reporting and NEL", "Shared Dictionary", "Web Data",
)  # fmt: skip


@pytest.fixture(scope="module")
def profile(playwright, tmp_path_factory):
    """Open, save and close as a customer does, in a browser with a profile on disk."""
    folder = tmp_path_factory.mktemp("phone")
    relay = stage.Relay(folder / "relay")
    permit = relay.permit()
    relay.start()
    ticket = canary_ticket()
    link = relay.keep(ticket, permit=permit)
    _, envelope = relay.request("GET", f"/v1/t/{link.secret.id}")
    context = playwright.chromium.launch_persistent_context(
        folder / "profile",
        executable_path=stage.find_chromium(),
        args=stage.CHROMIUM_ARGUMENTS,
        **screens.PHONE,
    )
    page = context.pages[0]
    page.goto(link.reveal())
    page.wait_for_selector("html[data-state=ready]")
    with page.expect_download() as download:
        page.click("#save")
    assert Path(download.value.path()).read_bytes() == ticket.receipt
    page.wait_for_selector("html.noted")
    kept = page.evaluate(
        """async () => ({
            address: location.href,
            cookie: document.cookie,
            local: localStorage.length,
            session: sessionStorage.length,
            databases: (await indexedDB.databases()).length,
            caches: (await caches.keys()).length,
            workers: (await navigator.serviceWorker.getRegistrations()).length,
        })"""
    )
    context.close()
    relay.stop()
    found = Profile(folder / "profile", link, ticket, envelope, kept)
    report = {"files": found.count(), "tables": found_in_tables(found)}
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    return found


def test_the_page_stores_nothing(profile):
    address = profile.kept.pop("address")

    assert "#" not in address
    assert profile.kept == {
        "cookie": "", "local": 0, "session": 0, "databases": 0, "caches": 0, "workers": 0,
    }  # fmt: skip


def test_no_store_of_pages_holds_the_link(profile):
    found = traces.find_in(profile.files, profile.digits())

    assert [name for name in found if name.split("/")[1:2] in [[s] for s in STORES_OF_PAGES]] == []


def test_the_link_is_where_chromium_keeps_addresses_and_nowhere_else(profile):
    assert traces.find_in(profile.files, profile.digits()).keys() <= THE_BROWSERS_OWN
    assert set(found_in_tables(profile)) <= {
        *(f"Default/History {table}" for table in OF_THE_HISTORY),
        "segmentation_platform/ukm_db urls",
    }


def test_the_receipt_is_nowhere(profile):
    """Neither envelope nor receipt nor preview was cached, and no field became a page's title."""
    assert traces.find_in(profile.files, profile.receipt()) == {}
    assert traces.find_in(profile.tables, profile.receipt()) == {}


def test_the_search_finds_the_address_that_was_opened(profile):
    """Until the day on which Chromium keeps no history, the search cannot be blind."""
    assert profile.count()["Default/History"] > 0
    assert "Default/History urls" in found_in_tables(profile)
