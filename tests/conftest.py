"""What tests of several folders share: a browser."""

import pytest
import stage


@pytest.fixture(scope="module")
def playwright():
    """One for a module, not for the session: its event loop would be in the way of asyncio's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def chromium(playwright):
    browser = playwright.chromium.launch(
        executable_path=stage.find_chromium(), args=stage.CHROMIUM_ARGUMENTS
    )
    yield browser
    browser.close()
