"""The live page obeys its own policy: nothing inline, nothing from elsewhere, no markup made of data; it is light."""

from __future__ import annotations

import gzip
import re
from html.parser import HTMLParser

import pytest

from exporter.publish.assets import PAGE
from exporter.publish.headers import HEADERS
from tests.publish.test_history import books, pool
from tests.publish.test_server import serving, site_of
from tests.publish.world import family, fleet, view

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(1)</script>'
FILES = {asset.name: asset.read_text(encoding="utf-8") for asset in PAGE.iterdir() if asset.is_file()}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}
KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
SVG = "http://www.w3.org/2000/svg"  # a name, not an address that is asked


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


PAGE_TAGS = Elements(FILES["page.html"]).tags


def imports(script: str) -> set[str]:
    return set(re.findall(r'from "\./([a-z]+\.js)"', SCRIPTS[script]))


async def test_all_the_page_asks_for_is_served_with_its_type() -> None:
    asked = {attrs.get("src") or attrs.get("href") for tag, attrs in PAGE_TAGS if tag in {"link", "script"}}
    assert asked == {f"page/{name}" for name in FILES if name != "page.html"}  # relative: works below a proxy's prefix
    async with serving(site_of(view())) as (client, _):
        for name, text in FILES.items():
            async with client.get("/" if name == "page.html" else f"/page/{name}") as answer:
                assert answer.status == 200
                assert answer.headers["Content-Type"] == f"{KINDS[name.rpartition('.')[2]]}; charset=utf-8"
                assert await answer.text() == text


def test_every_module_is_asked_for_at_once_and_none_for_nothing() -> None:
    """Else the browser finds out about the last one only when it has read the one before."""
    assert set().union(*map(imports, SCRIPTS)) == SCRIPTS.keys() - {"page.js"}
    preloaded = {attrs["href"] for _, attrs in PAGE_TAGS if attrs.get("rel") == "modulepreload"}
    assert preloaded == {f"page/{name}" for name in SCRIPTS.keys() - {"page.js"}}


def test_nothing_inline_that_the_policy_forbids() -> None:
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in HEADERS["Content-Security-Policy"]
    assert not Elements(FILES["page.html"]).inline
    assert not [name for _, attrs in PAGE_TAGS for name in attrs if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_outside_address(name: str) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\(", FILES[name].replace(SVG, ""))


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_the_scripts_make_no_markup_and_run_no_text(name: str) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(|DOMParser|\.style\b|javascript:"
    assert not re.findall(forbidden, SCRIPTS[name])
    assert name == "spark.js" or "setAttribute" not in SCRIPTS[name]  # only drawings have attributes without a property
    assert max(map(len, SCRIPTS[name].splitlines())) <= 120


def test_every_id_the_scripts_use_is_on_the_page() -> None:
    ids = [attrs["id"] for _, attrs in PAGE_TAGS if "id" in attrs]
    assert len(ids) == len(set(ids))
    used = {name for text in SCRIPTS.values() for name in re.findall(r'\b(?:at|guard)\("([a-z-]+)"', text)}
    tables = {name for text in SCRIPTS.values() for name in re.findall(r'\bid: "([a-z]+)"', text)}
    linked = {str(attrs["href"])[1:] for tag, attrs in PAGE_TAGS if tag == "a" and str(attrs["href"]).startswith("#")}
    assert tables == linked == {"models", "tenants", "budgets", "pools", "books", "gpus", "targets"}
    assert used | tables <= set(ids)


async def test_hostile_names_reach_the_page_as_data_only() -> None:
    made = view(family("tokencost_spend_usd_total", {(HOSTILE, HOSTILE, HOSTILE, "output"): 5}))
    async with serving(site_of(made)) as (client, _):
        async with client.get("/api/v1/snapshot") as answer:
            assert answer.content_type == "application/json"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert (await answer.json())["tenants"][0]["tenant"] == HOSTILE
        async with client.get("/") as answer:
            assert await answer.text() == FILES["page.html"]


PATHS = ("/", *(f"/page/{name}" for name in FILES if name != "page.html"), "/api/v1/snapshot", "/api/v1/history")


@pytest.mark.parametrize("path", PATHS)
async def test_what_a_browser_has_is_not_sent_again(path: str) -> None:
    site = site_of(fleet())
    for minute in range(3):
        site.history.update(books(minute * 60, pool(minute / 60)))
    async with serving(site) as (client, _):
        async with client.get(path) as first, client.get(path, headers={"Accept-Encoding": "gzip"}) as squeezed:
            tag = first.headers["ETag"]
            assert gzip.decompress(await squeezed.read()) == await first.read()
            assert squeezed.headers["ETag"] == tag
            assert first.headers["Vary"] == squeezed.headers["Vary"] == "Accept-Encoding"
        for known, status in ((tag, 304), (f'"other", {tag}', 304), ('W/"other"', 200), ("nonsense", 200), ('"', 200)):
            async with client.get(path, headers={"If-None-Match": known}) as answer:
                assert answer.status == status, known
                assert answer.headers["ETag"] == tag
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert bool(await answer.read()) == (status == 200)


async def test_the_next_tick_is_sent() -> None:
    site = site_of(fleet())
    async with serving(site) as (client, _):
        async with client.get("/api/v1/snapshot") as answer:
            tag = answer.headers["ETag"]
        site.snapshot = site_of(books(90, pool(1))).snapshot
        async with client.get("/api/v1/snapshot", headers={"If-None-Match": tag}) as answer:
            assert answer.status == 200


async def test_the_first_paint_is_light() -> None:
    async with serving(site_of(fleet())) as (client, _):
        sizes = {}
        for path in PATHS:
            async with client.get(path, headers={"Accept-Encoding": "gzip"}) as answer:
                sizes[path] = len(await answer.read())
    assert sum(sizes.values()) < 30_000, sizes


async def test_there_is_no_history_before_there_is_one() -> None:
    async with serving(site_of(view())) as (client, _), client.get("/api/v1/history") as answer:
        assert answer.status == 503
