"""A service that lists targets in Prometheus' http_sd format, asked as Prometheus asks."""

from __future__ import annotations

import orjson

from exporter.config.discovery import HttpSd
from exporter.discovery.found import MOST_BYTES, Found
from exporter.discovery.groups import addresses
from exporter.errors import Reason, ScrapeError
from exporter.records import NS
from exporter.sources.fetch import Fetcher
from exporter.sources.target import addressed

JSON = "application/json"


class HttpService:
    """One address. `look` asks it."""

    def __init__(self, config: HttpSd, timeout_ns: int, fetcher: Fetcher) -> None:
        self._target = addressed(config, "http_sd", config.interval, timeout_ns, MOST_BYTES)
        seconds = f"{config.interval / NS:g}"
        self._headers = {"Accept": JSON, "X-Prometheus-Refresh-Interval-Seconds": seconds}
        self._fetcher = fetcher

    async def look(self) -> Found:
        """What it lists now. ScrapeError as of any page, and invalid."""
        body = await self._fetcher.get(self._target, self._headers, media_type=JSON)
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ScrapeError(Reason.INVALID, f"{self._target.name}: the answer is not JSON") from error
        return Found(addresses(data))
