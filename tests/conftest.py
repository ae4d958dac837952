"""What tests of several folders share: a browser, a relay, a till, a phone."""

import signal
from contextlib import contextmanager

import pytest
import redis_servers
import screens
import stage
from cable import Cable
from hypothesis import settings

# What starts the tests in the background (a shell's "&", nohup, some CI systems) makes them ignore
# these, and every program that a test starts would ignore them, too.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(number) is signal.SIG_IGN:
        is_interrupt = number is signal.SIGINT
        signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)

# No test says how long anything takes: a loaded machine is no fault.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

_RELAYS = []
"""The modules' relays that are meant to be there."""


@pytest.fixture(scope="module")
def playwright():
    """One for a module, not for the session: its event loop would be in the way of asyncio's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        yield running


@contextmanager
def launch(playwright, path):
    browser = playwright.chromium.launch(executable_path=path, args=stage.CHROMIUM_ARGUMENTS)
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="module")
def chromium(playwright):
    with launch(playwright, stage.find_headless_chromium()) as browser:
        yield browser


@pytest.fixture
def whole_chromium(playwright):
    """One with everything that a window has, for the few tests that are about it."""
    with launch(playwright, stage.find_chromium()) as browser:
        yield browser


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    """A closed relay that serves the pages too; `relay.leave` is a permit."""
    running = stage.Relay(tmp_path_factory.mktemp("relay"))
    running.leave = running.permit()
    running.start()
    _RELAYS.append(running)
    yield running
    _RELAYS.remove(running)
    running.stop()


@pytest.fixture(autouse=True)
def _relays_go_on():
    """Start the module's relay again that a test has ended, whatever became of that test."""
    yield
    for each in _RELAYS:
        each.go_on()


@pytest.fixture
def cable(relay):
    with Cable(relay.port) as laid:
        yield laid


@pytest.fixture
def till(tmp_path, relay):
    return stage.Till(tmp_path / "till", relay.origin, permit=relay.leave)


@pytest.fixture
def screen(chromium):
    """Make phones and tablets; each must end without a complaint of the browser."""
    made = []

    def make(kind, **options):
        made.append(kind(chromium, **options))
        return made[-1]

    yield make
    complaints = [complaint for one in made for complaint in one.complaints]
    for one in made:
        one.close()
    assert complaints == []


@pytest.fixture
def phone(screen):
    return screen(screens.Phone)


@pytest.fixture
def tablet(screen):
    return screen(screens.Tablet)


@pytest.fixture(scope="session")
def invoice():
    return stage.INVOICE


@pytest.fixture(scope="session")
def redis_single():
    """A Redis that syncs each write before it answers."""
    with redis_servers.single() as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster():
    """Three masters with a replica each."""
    with redis_servers.cluster() as servers:
        yield servers
