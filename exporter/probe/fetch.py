"""Fetches the page to be probed, once, as serving would: same limits, same checks of the address, same secrets. Whoever
types a link-local address means it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from exporter.clock import Clock
from exporter.config.messages import explain
from exporter.config.schema import Config
from exporter.errors import ScrapeError, StartError
from exporter.probe.page import Page, look, printable
from exporter.sources.fetch import Fetcher
from exporter.sources.target import Target, targets


async def probe(url: str, engine: str, token_file: Path | None, clock: Clock) -> Page:
    """The page at that address. StartError, in one line, for an address that may not be fetched, and for a page that
    cannot be had or read."""
    target = _target(url, token_file)
    try:
        async with Fetcher() as fetcher:
            body = await fetcher.get(target)
        return look(target.name, target.url, engine, body, clock.now())
    except ScrapeError as error:
        text = str(error).removeprefix(f"{target.name}: ")
        raise StartError(printable(f"{target.name}: {text}")) from None


def _target(url: str, token_file: Path | None) -> Target:
    end = {"url": url, "allow_link_local": True} | ({"bearer_token_file": str(token_file)} if token_file else {})
    pool = {"name": "probe", "endpoints": [end], "gpus": {"count": 1}}
    try:
        return targets(Config.model_validate({"pools": [pool]}))[0]
    except ValidationError as error:
        found = [mistake for detail in error.errors(include_url=False) for mistake in explain(detail, "")]
        raise StartError("; ".join(f"{loc[-1]}: {wrong}; {fix}" for loc, wrong, fix in found)) from None
