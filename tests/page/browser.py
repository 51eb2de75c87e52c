"""The page in the browser, and what somebody who reads it sees."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, expect

POLL_MS = 6_000  # the page asks again every five seconds
DASH = "—"
LIVE = 'body[data-state="live"]'


@asynccontextmanager
async def shown(
    browser: Browser, url: str, *, state: str = "live", errors: str = "(?!)", **options: Any
) -> AsyncIterator[Page]:
    """The page once it is in that state, its clock in our hands. It may complain of nothing but `errors`."""
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    try:
        page = await context.new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        await page.clock.install()
        await page.goto(url)
        await expect(page.locator("body")).to_have_attribute("data-state", state)
        yield page
    finally:
        await context.close()
    assert [text for text in complaints if not re.search(errors, text)] == []


async def poll(page: Page) -> None:
    """Let the page ask again now."""
    await page.clock.run_for(POLL_MS)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table, or a big number."""

    text: str
    title: str  # of a number: all of it, or why there is none
    label: str | None  # what a screen reader says instead of the text
    act: bool  # it is red


_CELLS = """
(root) => [...root.querySelectorAll("tbody tr")].map((line) => Object.fromEntries([...line.cells].map((cell, place) => {
  const number = cell.querySelector("button"), text = number ?? cell.querySelector(".text");
  return [root.querySelectorAll("thead th")[place].textContent, {
    text: text.textContent, title: text.title, label: text.ariaLabel, act: text.classList.contains("act"),
  }];
})))
"""


async def table(page: Page, section: str) -> list[dict[str, Cell]]:
    """The rows of a table, as they stand: column -> cell."""
    rows = await page.locator(f"#{section} table").evaluate(_CELLS)
    return [{label: Cell(**cell) for label, cell in row.items()} for row in rows]


async def open_number(number: Locator) -> dict[str, str]:
    """What opens when a number is selected: its name, exact value, why, and query."""
    page = number.page
    await number.click()
    await expect(page.locator("#query")).to_be_visible()
    return {part: await page.locator(f"#query-{part}").inner_text() for part in ("name", "value", "why", "text")}


_SCALES = {"K": 1e3, "M": 1e6, "B": 1e9, "%": 0.01, "ms": 1e-3, "GiB": 2.0**30, "kWh": 3.6e6}


def number(text: str) -> float:
    """The number that a text says, in its metric's unit; dollars per million tokens as dollars per token."""
    if text.endswith("UTC"):
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp()
    found = re.fullmatch(r"<?(-?)\$?([\d,]+(?:\.\d+)?)\s*(.*)", text)
    assert found, text
    sign, digits, unit = found.groups()
    scale = 1e-6 if unit == "per million tokens" else _SCALES.get(unit, 1.0)
    return float(f"{sign}{digits.replace(',', '')}") * scale


def places(text: str) -> float:
    """Half of what the last digit shown is worth."""
    unit = re.sub(r"^<?-?\$?[\d,.]+\s*", "", text)
    _, _, decimals = re.sub(r"[^\d.]", "", text).partition(".")
    return 0.5 * 10.0 ** -len(decimals) * _SCALES.get(unit, 1.0)
