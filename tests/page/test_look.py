"""Light and dark, wide and narrow, for eyes and for screen readers; and light on the wire."""

from __future__ import annotations

import time
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, Request, expect

from tests.page.browser import DASH, open_number, poll, shown
from tests.page.world import Served, serving, serving_fleet

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 812}
ONLY_MEANT = {"color-contrast"}  # of what scrolls out of sight axe cannot tell


async def assert_accessible(page: Page) -> None:
    """axe-core finds nothing wrong, of any rule and of any weight."""
    await page.evaluate(AXE)
    found: dict[str, Any] = await page.evaluate("axe.run(document, { resultTypes: ['violations', 'incomplete'] })")
    wrong = [(rule["id"], rule["impact"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]]
    unsure = [rule["id"] for rule in found["incomplete"] if rule["id"] not in ONLY_MEANT]
    assert (wrong, unsure) == ([], [])
    assert len(found["passes"]) > 20


@pytest.mark.parametrize(("scheme", "viewport"), [("light", WIDE), ("dark", PHONE)], ids=SCHEMES)
async def test_axe_has_nothing_to_say(chromium: Browser, scheme: str, viewport: dict[str, int]) -> None:
    look: dict[str, Any] = {"color_scheme": scheme, "viewport": viewport}
    async with serving_fleet(time.time(), tenants=30) as served, shown(chromium, served.url, **look) as page:
        await assert_accessible(page)
        await open_number(page.locator("#totals button").first)
        await assert_accessible(page)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_axe_has_nothing_to_say_when_there_is_nothing_or_nobody_answers(chromium: Browser, scheme: str) -> None:
    refused = "503|ERR_"
    async with (
        serving() as served,
        shown(chromium, served.url, state="waiting", errors=refused, color_scheme=scheme) as page,
    ):
        await assert_accessible(page)
    async with (
        serving_fleet(time.time()) as served,
        shown(chromium, served.url, errors=refused, color_scheme=scheme) as page,
    ):
        await served.server.stop()
        await poll(page)
        await expect(page.locator("body")).to_have_attribute("data-state", "lost")
        await assert_accessible(page)


async def test_dark_is_dark_and_light_is_light(chromium: Browser) -> None:
    async def lightness(served: Served, scheme: str) -> tuple[float, float]:
        async with shown(chromium, served.url, color_scheme=scheme) as page:
            ink, paper = await page.evaluate(
                "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
                ".map((color) => color.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 765)"
            )
            return ink, paper

    async with serving_fleet(time.time()) as served:
        ink, paper = await lightness(served, "light")
        assert ink < 0.2
        assert paper > 0.9
        ink, paper = await lightness(served, "dark")
        assert ink > 0.8
        assert paper < 0.2


async def test_on_a_phone_nothing_hangs_over_the_edge(chromium: Browser) -> None:
    async with serving_fleet(time.time(), tenants=30) as served, shown(chromium, served.url, viewport=PHONE) as page:
        assert await page.evaluate("document.documentElement.scrollWidth") == 375
        outside = (
            "nodes => nodes.filter((node) => node.getBoundingClientRect().right > innerWidth).map((node) => node.id)"
        )
        loose = page.locator("header *, #act *, #totals *, h2, .note, .wide, .tools *, footer *")
        assert await loose.evaluate_all(outside) == []
        wide = page.locator("#models .wide")
        assert await wide.evaluate("node => node.scrollWidth > node.clientWidth")
        head = page.locator("#models tbody th").first
        before = await head.bounding_box()
        await wide.evaluate("node => { node.scrollLeft = 200; }")
        assert await head.bounding_box() == before  # whose the numbers are stays in sight
        small = "nodes => nodes.filter((node) => node.offsetHeight < 24).map((node) => node.textContent)"
        assert await page.locator("button:visible").evaluate_all(small) == []  # room for a finger
        await open_number(page.locator("#models tbody button").last)
        assert await page.evaluate("document.documentElement.scrollWidth") == 375


async def test_digits_stand_below_digits(chromium: Browser) -> None:
    async with serving_fleet(time.time(), tenants=30) as served, shown(chromium, served.url) as page:
        for place in range(2, 8):
            edges = await page.locator(f"#tenants td:nth-child({place}) button").evaluate_all(
                "nodes => nodes.map((node) => Math.round(node.getBoundingClientRect().right))"
            )
            assert len(set(edges)) == 1
        spends = await page.locator("#tenants td:nth-child(2)").all_inner_texts()
        assert len({len(text.partition(".")[2]) for text in spends}) == 1


async def test_what_a_screen_reader_says_of_the_big_numbers(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:
        said = await page.locator("#totals").aria_snapshot()
        assert said.splitlines()[:9] == [
            "- term: Spend now, per hour",
            "- definition:",
            '  - button "$0.26"',
            "- definition:",
            "  - 'img \"last 60 min: from $3.26 to $3.26\"'",
            "- definition:",
            '  - button "$28.26"',
            "  - text: paid per hour, last hour",
            "- term: Spent, month to date",
        ]
        why = "not known: No cached input token with a price was served in the last 5m."
        dashes = page.locator("#models").get_by_role("button", name=why, exact=True)
        assert await dashes.all_inner_texts() == [DASH] * 4


async def test_the_first_paint_is_light_on_the_wire(chromium: Browser) -> None:
    """With a thousand tenants, too: gzip is asked for and given."""
    async with serving_fleet(time.time(), tenants=1000) as served, await chromium.new_context() as context:
        page, requests = await context.new_page(), list[Request]()
        page.on("requestfinished", lambda request: requests.append(request))  # noqa: PLW0108 - it cannot take a method
        await page.goto(served.url)
        await expect(page.locator("body")).to_have_attribute("data-state", "live")
        sizes = {urlsplit(request.url).path: await request.sizes() for request in requests}
        assert sizes.keys() >= {"/", "/page/page.js", "/page/page.css", "/api/v1/snapshot", "/api/v1/history"}
        sent = {path: size["responseBodySize"] + size["responseHeadersSize"] for path, size in sizes.items()}
        assert sum(sent.values()) < 100_000, sent


async def test_an_answer_that_did_not_change_is_not_sent_again(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:
        statuses: list[int] = []
        page.on("response", lambda response: statuses.append(response.status))
        await poll(page)
        await expect(page.locator("#age")).to_contain_text("old")
        await poll(page)
        assert set(statuses) == {304}
