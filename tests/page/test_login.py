"""The page behind TLS and a password: it is sent with every poll, and the page says when it no longer holds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, expect

from tests.page.browser import poll, shown, table
from tests.page.world import HOUR, TICK, budgets, fleet, serving_fleet
from tests.publish.guarded import HASH, PASSWORD, TLS, USERS, Desk, guarding

ME: dict[str, Any] = {
    "ignore_https_errors": True,  # an authority made up for the test
    "http_credentials": {"username": "prometheus", "password": PASSWORD},
}


async def test_the_page_polls_on_with_the_password_and_says_when_it_no_longer_holds(
    chromium: Browser, tmp_path: Path
) -> None:
    now = time.time()
    desk = Desk(tmp_path)
    desk.issue()
    desk.write(TLS, USERS)
    async with (
        serving_fleet(now) as served,
        guarding(desk, served.site) as address,
        shown(chromium, f"https://{address}/", errors="401", **ME) as page,
    ):
        before = await table(page, "tenants")
        served.publish(fleet(int(now) - HOUR, HOUR + TICK), budgets(now))
        await poll(page)
        await expect(page.locator("body")).to_have_attribute("data-state", "live")
        assert await table(page, "tenants") != before

        desk.write(TLS, {"basic_auth_users": {"somebody": HASH}})
        await poll(page)
        await expect(page.locator("body")).to_have_attribute("data-state", "lost")
        await expect(page.locator("#state")).to_contain_text("HTTP status 401")
        assert len(await table(page, "tenants")) == len(before)  # what it knew stays

        desk.write(TLS, USERS)
        await poll(page)
        await expect(page.locator("body")).to_have_attribute("data-state", "live")
