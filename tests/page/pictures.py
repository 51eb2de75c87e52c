"""The pictures of the page in docs/images: the demo's fleet after the better part of an hour, which here takes seconds.

The fleet, the exporter, HTTP and the browser are the real ones; only the clock is moved by hand.
Run: make pictures
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from exporter.app import App, Options
from exporter.config.load import load
from exporter.demo.fleet import Fleet, demo_fleet
from exporter.demo.serve import STEP_NS, demo_config, serve_fleet
from exporter.records import NS
from tests.clock import ManualClock

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
AT_LEAST, AT_MOST = 50 * 60, 75 * 60  # seconds; between them the first moment at which an engine is down
INTERVAL_NS = 6 * NS
LIMIT = 150_000  # bytes of a picture
LOOKS: dict[str, dict[str, Any]] = {
    "page-light": {"color_scheme": "light", "viewport": {"width": 1160, "height": 800}},
    "page-dark": {"color_scheme": "dark", "viewport": {"width": 1160, "height": 800}},
    "page-phone": {"color_scheme": "light", "viewport": {"width": 375, "height": 812}, "device_scale_factor": 1.5},
}


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[str]:
    """The address of an exporter that has watched the demo's fleet for that long."""
    begun_ns = time.time_ns() - AT_LEAST * NS
    fleet, clock = demo_fleet(begun_ns / NS), ManualClock(begun_ns)
    async with serve_fleet(fleet) as urls:
        config = folder / "tokencost.yml"
        text = demo_config(fleet, urls).replace("interval: 2s", "interval: 6s").replace("[1m, 5m]", "[5m, 1h]")
        config.write_text(text)
        options = Options(config, listen_address="127.0.0.1:0", storage_path=":memory:")
        app = App(options, load(config, today=datetime.now(UTC).date()), clock)
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(app.run(on_listening=listening.set_result))
        address = await listening
        await live(fleet, clock, sleepers=len(urls) + 1)
        try:
            yield f"http://{address}/"
        finally:
            app.stop()
            await running


async def live(fleet: Fleet, clock: ManualClock, sleepers: int) -> None:
    """Let the time pass; `sleepers`: how many tasks of the exporter wait for the clock."""
    await clock.settled(sleepers)
    begun, down = clock.now().monotonic_ns, 0
    while True:
        for _ in range(INTERVAL_NS // STEP_NS // 4):
            fleet.advance(STEP_NS / NS, clock.now().wall_ns / NS)
        clock.advance(INTERVAL_NS // 4)
        await clock.settled(sleepers)
        passed = (clock.now().monotonic_ns - begun) / NS
        down = 0 if all(map(fleet.up, fleet.engines)) else down + 1
        if passed >= AT_MOST or (passed >= AT_LEAST and down > 5):  # longer than an interval: a tick has seen it
            return


async def take(browser: Browser, url: str, name: str) -> None:
    """One picture."""
    async with await browser.new_context(**LOOKS[name]) as context:
        page = await context.new_page()
        await page.goto(url)
        await expect(page.locator("body")).to_have_attribute("data-state", "live")
        if name == "page-dark":
            await open_a_query(page)
        path = IMAGES / f"{name}.png"
        await page.screenshot(path=path)
        size = path.stat().st_size
        print(f"{path}: {size:,} bytes")
        assert size < LIMIT, f"{path} is too large for a README"


async def open_a_query(page: Page) -> None:
    await page.locator("#models tbody button").first.click()
    await page.mouse.move(0, 0)


async def main() -> None:
    """Take them all."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with async_playwright() as playwright, watched(Path(folder)) as url:
            flags = ["--no-sandbox", "--disable-dev-shm-usage"]
            browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
            for name in LOOKS:
                await take(browser, url, name)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
