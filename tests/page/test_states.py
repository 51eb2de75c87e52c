"""Before there is anything, with nothing to show, when it grows old, when the exporter is gone; and hostile names."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from playwright.async_api import Browser, expect

from exporter.publish.answer import Answer
from exporter.records import NS, Instant
from tests.page.browser import open_number, poll, shown, table
from tests.page.world import HOSTILE, HOUR, fleet, serving, serving_fleet
from tests.publish.world import view

REFUSED = "ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET"
SECTIONS = ("models", "tenants", "budgets", "pools", "books", "gpus", "targets")


async def test_until_the_first_tick_it_waits_and_then_shows(chromium: Browser) -> None:
    now = time.time()
    async with serving() as served, shown(chromium, served.url, state="waiting", errors="503") as page:
        await expect(page.locator("#state")).to_have_text(
            "Nothing has been measured yet: the first tick is still running."
        )
        await expect(page.locator("#models .none")).to_have_text("Loading…")
        served.publish(fleet(int(now) - HOUR))
        await poll(page)
        await expect(page.locator("body")).to_have_attribute("data-state", "live")
        await expect(page.locator("#state")).to_be_hidden()
        assert len(await table(page, "tenants")) == 4


async def test_with_nothing_to_show_every_section_says_so(chromium: Browser) -> None:
    async with serving() as served:
        served.publish(replace(view(), at=Instant(NS, int(time.time()) * NS)))
        async with shown(chromium, served.url) as page:
            said = {section: await page.locator(f"#{section} .none").inner_text() for section in SECTIONS}
            assert len(set(said.values())) == len(SECTIONS)
            assert "Loading…" not in said.values()
            assert said["budgets"] == "The config has no budgets; they stand under the key budgets."
            assert await page.locator("table:visible").count() == 0
            assert set(await page.locator("#totals dd:nth-of-type(1)").all_inner_texts()) == {"—"}
            opened = await open_number(page.locator("#totals button").nth(4))
            assert opened["why"] == "Watching has just begun."
            assert await page.title() == "tokencost"


async def test_when_the_exporter_stops_the_page_says_since_when_and_comes_back_by_itself(chromium: Browser) -> None:
    now = time.time()
    async with serving_fleet(now) as served, shown(chromium, served.url, errors=REFUSED) as page:
        before = await table(page, "tenants")
        await served.server.stop()
        await poll(page)
        await expect(page.locator("body")).to_have_attribute("data-state", "lost")
        state = page.locator("#state")
        assert (await state.inner_text()).startswith("The exporter does not answer. The numbers below are of ")
        assert await state.get_attribute("role") == "status"
        assert await table(page, "tenants") == before
        assert (await page.title()).startswith("stale: ")
        await page.clock.run_for(120_000)
        await expect(page.locator("#age")).to_contain_text("data 2 min old")
        await served.restart()
        await poll(page)
        await expect(page.locator("body")).to_have_attribute("data-state", "live")
        await expect(state).to_be_hidden()


async def test_numbers_that_nobody_renews_are_called_old(chromium: Browser) -> None:
    ago = time.time() - 2 * HOUR
    async with serving_fleet(ago) as served, shown(chromium, served.url, state="stale") as page:
        await expect(page.locator("#state")).to_contain_text("The exporter answers, but has counted nothing since ")
        await expect(page.locator("#age")).to_contain_text("data 2 h old")
        served.publish(fleet(int(time.time()) - HOUR))
        await poll(page)
        await expect(page.locator("body")).to_have_attribute("data-state", "live")


async def test_another_answer_than_numbers_is_told(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served, shown(chromium, served.url, errors="500") as page:
        served.site.snapshot = Answer("broken", lambda: bytes(1 // 0))
        await poll(page)
        await expect(page.locator("#state")).to_contain_text(
            "The exporter answers with HTTP status 500. The numbers below"
        )


async def test_without_the_last_hour_the_rest_is_there(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served:
        served.site.history.latest = None
        async with shown(chromium, served.url, errors="503") as page:
            assert len(await table(page, "tenants")) == 4
            idle = (await table(page, "pools"))[0]["Idle"]
            assert (idle.text, idle.title) == ("—", "Watching has just begun.")
            assert await page.locator("#totals svg[role=img]").count() == 0


async def test_a_part_that_cannot_be_drawn_costs_no_other(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served:
        served.say(served.json | {"gpus": [None]})
        async with shown(chromium, served.url, errors="TypeError") as page:
            await expect(page.locator("#gpus")).to_have_class("broken")
            assert len(await table(page, "targets")) == 2


async def test_a_hostile_name_is_text(chromium: Browser) -> None:
    """Scripts and pictures in it would be complaints of `shown`: a dialog, or the policy's refusal."""
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:
        scripts = await page.locator("script").count()
        row = page.locator("#tenants tbody tr", has_text="onerror")
        assert await row.locator(".text").evaluate("node => node.textContent") == HOSTILE
        opened = await open_number(row.locator("button").first)
        assert "onerror=alert(1)" in opened["name"]
        quoted = HOSTILE.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
        assert opened["text"] == f'sum(tokencost_spend_usd_total{{tenant="{quoted}"}})'
        assert await page.locator("img").count() == 0
        assert await page.locator("script").count() == scripts


def poisoned(value: Any) -> Any:
    """The same JSON with that name in every string, and for a key that is a name."""
    if isinstance(value, dict):
        return {HOSTILE if key in {"acme", "fitted"} else key: poisoned(each) for key, each in value.items()}
    if isinstance(value, list):
        return [poisoned(each) for each in value]
    return value + HOSTILE if isinstance(value, str) else value


async def test_hostile_names_everywhere(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served:
        served.say(poisoned(served.json))
        async with shown(chromium, served.url) as page:
            assert {section: len(await table(page, section)) for section in SECTIONS} == {
                "models": 4, "tenants": 4, "budgets": 4, "pools": 3, "books": 3, "gpus": 3, "targets": 2,
            }  # fmt: skip
            assert await page.locator("img").count() == 0
