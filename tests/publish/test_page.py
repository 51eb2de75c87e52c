"""The live page obeys its own policy: nothing inline, nothing from elsewhere, no markup made of data."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from exporter.publish.server import ASSETS, HEADERS
from tests.publish.test_server import serving, site_of
from tests.publish.world import family, view

PAGE = files("exporter") / "publish"
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(1)</script>'


class Elements(HTMLParser):
    """Every start tag with its attributes, and what stands inside script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in {"script", "style"}:
            self.inline += data.strip()


async def test_all_the_page_asks_for_is_served_with_its_type() -> None:
    async with serving(site_of(view())) as (client, _):
        async with client.get("/") as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            elements = Elements(await answer.text())
        wanted = {attrs.get("src") or attrs.get("href") for _, attrs in elements.tags} - {None}
        assert wanted == {"page.css", "page.js"}  # relative: the page also works below a proxy's prefix
        for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
            async with client.get(f"/{name}") as answer:
                assert answer.status == 200
                assert answer.content_type == kind


def test_nothing_inline_that_the_policy_forbids() -> None:
    elements = Elements((PAGE / "page.html").read_text())
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert not elements.inline
    assert not [name for _, attrs in elements.tags for name in attrs if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("name", sorted(ASSETS.values()))
def test_no_outside_address(name: str) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\(", (PAGE / name).read_text())


def test_the_script_makes_no_markup_and_runs_no_text() -> None:
    script = (PAGE / "page.js").read_text()
    assert "textContent" in script
    forbidden = r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(|DOMParser|setAttribute|\.style"
    assert not re.findall(forbidden, script)


def test_every_id_the_script_fills_is_on_the_page() -> None:
    ids = {attrs["id"] for _, attrs in Elements((PAGE / "page.html").read_text()).tags if "id" in attrs}
    used = set(re.findall(r'\b(?:at|fill)\("([a-z]+)"', (PAGE / "page.js").read_text()))
    assert used
    assert used <= ids


async def test_hostile_names_reach_the_page_as_data_only() -> None:
    made = view(family("tokencost_spend_usd_total", {(HOSTILE, HOSTILE, HOSTILE, "output"): 5}))
    async with serving(site_of(made)) as (client, _):
        async with client.get("/api/v1/snapshot") as answer:
            assert answer.content_type == "application/json"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert (await answer.json())["tenants"][0]["tenant"] == HOSTILE
        async with client.get("/") as answer:
            assert await answer.read() == (PAGE / "page.html").read_bytes()
