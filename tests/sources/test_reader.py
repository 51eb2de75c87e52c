"""From pages to readings to use: what engines show before their first request, and start times that are not theirs."""

from __future__ import annotations

import pytest

from exporter.columns import nonzero
from exporter.errors import Reason, ScrapeError
from exporter.metering.meter import Meter
from exporter.metering.route import Scope
from exporter.records import NS, Instant
from exporter.sources.reader import Reader
from exporter.sources.registry import ENGINES
from tests.sources.test_engines import page

# From vLLM's production stack: gauges of its engines once more, with their address.
ROUTER = b"""vllm:num_requests_running{server="http://10.0.0.1:8000"} 2.0
vllm:num_requests_waiting{server="http://10.0.0.1:8000"} 0.0
vllm:input_tokens_total{server="http://10.0.0.1:8000",model="m"} 500.0
vllm:output_tokens_total{server="http://10.0.0.1:8000",model="m"} 90.0
"""


class Watched:
    """One target from its pages to the tokens that each of them adds."""

    def __init__(self) -> None:
        self.reader = Reader("auto")
        self.meter: Meter | None = None
        self.now = 2_000_000_000 * NS

    def show(self, body: bytes) -> dict[str, int]:
        """Tokens by class since the last page."""
        self.now += 15 * NS
        reading = self.reader.read("t", body, Instant(self.now, self.now))
        if self.meter is None:
            scope = Scope("any", "m", lambda _, model, __: ("p", "t", model), watched_since_ns=NS)
            self.meter = Meter(ENGINES[reading.engine], scope)
        self.meter.observe(reading)
        usage = self.meter.take().get("p")
        totals: dict[str, int] = {}
        for (_, token), column in nonzero(usage.tokens).items() if usage else ():
            totals[token] = totals.get(token, 0) + sum(column.values())
        return totals


def test_the_first_request_of_an_engine_that_showed_no_counter_is_counted() -> None:
    watched = Watched()
    assert watched.show(page("llm-d-inference-sim-0.10.2-idle")) == {}
    first = watched.show(page("llm-d-inference-sim-0.10.2"))
    assert first == {"input": 320, "cache_read": 160, "output": 220}


def test_a_router_that_repeats_its_engines_gauges_is_no_engine() -> None:
    with pytest.raises(ScrapeError) as refused:
        Reader("auto").read("t", ROUTER, Instant(0, 0))
    assert refused.value.reason is Reason.UNKNOWN_ENGINE


def test_the_start_of_rays_agent_is_not_that_of_the_engines() -> None:
    """It was restarted; the replicas counted on, but for one that is new."""
    watched = Watched()
    before = page("ray-serve-2.49-gauge-and-counter")
    assert watched.show(before) == {}
    after = before.replace(b"process_start_time_seconds 1.7560e+09", b"process_start_time_seconds 2.0e+09")
    after = after.replace(b'WorkerId="6ad5",engine="0",model_name="m-70b"} 300.0', b'WorkerId="6ad5"} 7.0')
    assert watched.show(after) == {"output": 7}
    assert watched.show(after.replace(b"} 500.0\n", b"} 530.0\n")) == {"output": 30, "cache_read": 30}


def test_a_kserve_page_is_kserves_once_it_has_served() -> None:
    body = page("kserve-0.21")
    idle = b"".join(line for line in body.splitlines(keepends=True) if not line.startswith(b"request_"))
    names = [Reader("auto").read("t", text, Instant(0, 0)).engine for text in (idle, body)]
    assert names == ["vllm", "kserve"]
    assert ENGINES["vllm"].names == ENGINES["kserve"].names
