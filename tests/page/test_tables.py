"""Tables sort, search and stay usable with a thousand tenants, by mouse and by keyboard; a number opens its query."""

from __future__ import annotations

import time
from itertools import pairwise

from playwright.async_api import Browser, Page, expect

from tests.page.browser import DASH, number, open_number, shown, table
from tests.page.world import HOUR, budgets, fleet, serving_fleet

TENANTS = 1000


async def column(page: Page, section: str, label: str) -> list[str]:
    """What the rows of that table say there, from the top; of numbers, all of them."""
    return [row[label].title or row[label].text for row in await table(page, section)]


async def test_sorting_by_any_column_both_ways(chromium: Browser) -> None:
    async with serving_fleet(time.time(), tenants=40) as served, shown(chromium, served.url) as page:
        head = page.locator("#tenants thead")

        async def press(label: str) -> str | None:
            await head.get_by_role("button", name=label, exact=True).click()
            return await head.get_by_role("columnheader", name=label, exact=True).get_attribute("aria-sort")

        spends = sorted((row["spend_usd"] for row in served.json["tenants"]), reverse=True)
        assert list(map(number, await column(page, "tenants", "Spend"))) == spends[:15]  # the contract's order
        assert await press("Spend") == "ascending"
        assert list(map(number, await column(page, "tenants", "Spend"))) == spends[::-1][:15]
        assert await press("Tenant") == "ascending"
        names = await column(page, "tenants", "Tenant")
        assert names[-2:] == ["team-0013", "team-0014"]
        assert await press("Tenant") == "descending"
        assert (await column(page, "tenants", "Tenant"))[0] == "team-0039"
        assert await press("Tokens") == "descending"
        assert await head.locator('[aria-sort="ascending"], [aria-sort="descending"]').count() == 1


async def test_what_is_undefined_comes_last_both_ways(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:
        button = page.locator("#budgets thead").get_by_role("button", name="Forecast")
        for up in (False, True):
            await button.click()
            *known, last = [row["Forecast"].text for row in await table(page, "budgets")]
            assert last == DASH
            amounts = [number(text) for text in known]
            assert all((a < b) == up for a, b in pairwise(amounts))


async def test_the_order_is_kept_when_the_next_tick_comes(chromium: Browser) -> None:
    now = time.time()
    async with serving_fleet(now) as served, shown(chromium, served.url) as page:
        await page.locator("#tenants thead").get_by_role("button", name="Tenant").click()
        before = await column(page, "tenants", "Tenant")
        served.publish(fleet(int(now) - HOUR, HOUR + 60), budgets(now))
        await page.clock.run_for(6000)
        assert await column(page, "tenants", "Tenant") == before


async def test_a_thousand_tenants(chromium: Browser) -> None:
    async with serving_fleet(time.time(), tenants=TENANTS) as served, shown(chromium, served.url) as page:
        rows, said = page.locator("#tenants tbody tr"), page.locator("#tenants .count")
        await expect(rows).to_have_count(15)
        await expect(said).to_have_text(f"15 of {TENANTS} tenants")
        search = page.get_by_role("searchbox", name="Search tenants")
        await search.fill(" TEAM-07 ")
        await expect(said).to_have_text("15 of 100 tenants found")
        assert all("team-07" in name for name in await column(page, "tenants", "Tenant"))
        await page.locator("#tenants").get_by_role("button", name="Show 85 more").click()
        await expect(rows).to_have_count(100)
        await search.fill("team-0999")
        await expect(said).to_have_text("1 tenants found")
        assert await column(page, "tenants", "Tenant") == ["team-0999"]
        await search.fill("nobody")
        await expect(page.locator("#tenants .none")).to_have_text("There are no tenants like that.")
        await search.fill("")
        await expect(rows).to_have_count(115)
        assert await page.locator("#tenants svg").count() == 115


async def test_few_rows_need_no_search(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:
        assert await page.locator("input[type=search]:visible, .more:visible, .count:visible").count() == 0


async def test_a_number_opens_its_query_which_can_be_copied(chromium: Browser) -> None:
    grants = ["clipboard-read", "clipboard-write"]
    async with serving_fleet(time.time()) as served, shown(chromium, served.url, permissions=grants) as page:
        opened = await open_number(page.get_by_role("row", name="globex").get_by_role("button").first)
        row = next(row for row in served.json["tenants"] if row["tenant"] == "globex")
        assert opened["name"] == "Spend, tenant globex"
        assert number(opened["value"]) == row["spend_usd"]
        assert opened["text"] == 'sum(tokencost_spend_usd_total{tenant="globex"})'
        await page.get_by_role("button", name="Copy query").click()
        await expect(page.locator("#query-done")).to_have_text("Copied.")
        assert await page.evaluate("navigator.clipboard.readText()") == opened["text"]
        await page.get_by_role("button", name="Close").click()
        await expect(page.locator("#query")).to_be_hidden()


async def test_without_a_clipboard_the_query_is_copied_all_the_same(chromium: Browser) -> None:
    """A page over plain HTTP, from another machine, has none."""
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:
        await page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        opened = await open_number(page.locator("#totals button").first)
        await page.get_by_role("button", name="Copy query").click()
        await expect(page.locator("#query-done")).to_have_text("Copied.")
        assert await page.evaluate("String(getSelection())") == opened["text"]


async def test_the_keyboard_reaches_every_number_and_comes_back(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:

        async def focused() -> str:
            found: str = await page.evaluate("document.activeElement.title || document.activeElement.textContent")
            return found

        numbers = page.locator("#gpus tbody button")
        assert await page.locator('#gpus tbody button[tabindex="0"]').count() == 1  # one stop of the Tab key
        await page.locator("#gpus thead button").last.focus()
        await page.keyboard.press("Tab")
        assert await focused() == "40%"
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        assert await focused() == "Its source does not say."
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("ArrowRight")
        assert await focused() == "66,571,993,088 bytes"
        await page.keyboard.press("Enter")
        await expect(page.locator("#query-text")).to_have_text('tokencost_gpu_memory_used_bytes{pool="chat",gpu="2"}')
        assert await focused() == "Copy query"
        await page.keyboard.press("Escape")
        await expect(page.locator("#query")).to_be_hidden()
        assert await focused() == "66,571,993,088 bytes"
        await page.keyboard.press("End")
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("ArrowDown")
        assert await focused() == "7,200,000 J"  # the corner: there is no further
        await page.keyboard.press("Home")
        assert await focused() == await numbers.nth(2 * 7).get_attribute("title")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.closest('section').id") == "targets"


async def test_headers_sort_by_keyboard(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:
        await page.locator("#books thead button").first.focus()
        await page.keyboard.press("Enter")
        assert await column(page, "books", "Pool") == ["chat", "lab", "openai"]


async def test_a_name_that_is_no_name_of_an_object(chromium: Browser) -> None:
    """Names are keys of maps, never of the script's own objects."""
    async with serving_fleet(time.time()) as served:
        names = ("__proto__", "constructor", "toString")
        tenants = [served.json["tenants"][0] | {"tenant": name} for name in names]
        pools = [served.json["pools"][0] | {"pool": name} for name in names]
        served.say(served.json | {"tenants": tenants, "pools": pools})
        async with shown(chromium, served.url) as page:
            assert sorted(await column(page, "tenants", "Tenant")) == sorted(names)
            unknown = {(row["Idle"].text, row["Idle"].title) for row in await table(page, "pools")}
            assert unknown == {(DASH, "It is not among the pools whose last hour is kept.")}
