"""A real Chromium, started once for the whole run."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.conftest import require_peer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser lives in the loop of the session, so its tests do, too."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.peer)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The browser; the test is skipped, loudly, where it cannot be had."""
    found = shutil.which("chromium")
    require_peer(found, "Chromium (Debian: apt-get install chromium)")
    async with async_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]  # a container's root, and its small /dev/shm
        browser = await playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        await browser.close()
