"""Alerts about what makes tokens dear or wrong: they fire, and they are quiet on plan, over resets, without data."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.promtool import (
    DAY,
    Case,
    Fires,
    Series,
    check,
    check_quiet,
    counter,
    firing,
    merged,
    quiet,
    series,
)

pytestmark = pytest.mark.peer

NOTHING = series("tokencost_gpus", "1x600", pool="chat")
CHAT = {"pool": "chat"}
TWO_DAYS = 2 * DAY


def engine(values: str, kind: str) -> dict[str, str]:
    return series("tokencost_engine_tokens_total", values, pool="chat", model_name="m", token_type=kind)


def reported(values: str, kind: str = "input", tenant: str = "acme", model: str = "m") -> dict[str, str]:
    labels = {"tenant": tenant, "model_name": model, "pool": "chat", "token_type": kind}
    return series("tokencost_tokens_total", values, **labels)


def prompts(cached: str, uncached: str, total: str = f"0+10000x{TWO_DAYS + 240}") -> Series:
    return merged(engine(cached, "cache_read"), engine(uncached, "input"), reported(total))


def steps(before: float, after: float, reset: bool = False) -> str:
    return counter((TWO_DAYS, before), *((None,) if reset else ()), (240, after))


COLD = (Fires("20% of the prompt tokens of m in pool chat come from the cache.", {"pool": "chat", "model_name": "m"}),)
CACHE = (
    Case("from 80 % to 20 %", prompts(steps(8000, 2000), steps(2000, 8000)), TWO_DAYS + 150, COLD),
    Case("as a gateway sees it", merged(reported(steps(8000, 2000), "cache_read"), reported(steps(2000, 8000))),
         TWO_DAYS + 150, COLD),
    Case("from 80 % to 60 %", prompts(steps(8000, 6000), steps(2000, 4000)), TWO_DAYS + 240),
    Case("from 10 % to none", prompts(steps(1000, 0), steps(9000, 10000)), TWO_DAYS + 240),
    Case("hardly any tokens", prompts(steps(80, 20), steps(20, 80), f"0+100x{TWO_DAYS + 240}"), TWO_DAYS + 240),
    Case("no tokens any more", prompts(steps(8000, 0), steps(2000, 0)), TWO_DAYS + 240),
    Case("the engine is started anew", prompts(steps(8000, 8000, reset=True), steps(2000, 2000, reset=True)),
         TWO_DAYS + 240),
    Case("an engine that does not count its cache", merged(engine(f"0+9000x{TWO_DAYS}", "input"),
         reported(f"0+9000x{TWO_DAYS}")), TWO_DAYS),
    Case("no data", NOTHING, 600),
)  # fmt: skip


def waiting(values: str) -> dict[str, str]:
    return series("tokencost_requests_waiting", values, **CHAT)


QUEUE = (
    Case("one more every minute", waiting("0x60 1+1x60"), 110, (
        Fires("20 more requests wait at pool chat than 20 minutes before.", CHAT),)),
    Case("a burst that is worked off", waiting("0x60 100-10x10 0x60"), 130),
    Case("always fifty", waiting("50x240"), 240),
    Case("one more in ten minutes", waiting("5+0.1x240"), 240),
    Case("the exporter restarts", waiting("20x60 _x5 20x120"), 180),
    Case("no queue", waiting("0x240"), 240),
    Case("no data", NOTHING, 600),
)  # fmt: skip


def off(percent: str) -> tuple[Fires, ...]:
    return (Fires(f"Gateways report {percent} more or fewer tokens than the engines of pool chat counted.", CHAT),)


GAP = (
    Case("a fifth goes past the gateway", merged(engine("0+10000x300", "input"), reported("0+8000x300"),
         reported("0+2000x300", tenant="_unattributed")), 150, off("20%")),
    Case("the gateway reports nothing", merged(engine("0+10000x300", "input")), 150, off("100%")),
    Case("the gateway reports half as much again", merged(engine("0+10000x300", "input"), reported("0+15000x300")),
         150, off("50%")),
    Case("under other names, all of it", merged(engine("0+10000x300", "input"), reported("0+6000x300", model="alias"),
         reported("0+4000x300", model="lora")), 300),
    Case("a twentieth", merged(engine("0+10000x300", "input"), reported("0+9500x300")), 300),
    Case("a fifth of almost nothing", merged(engine("0+100x300", "input"), reported("0+80x300")), 300),
    Case("answers that take half an hour", merged(engine("0+10000x400", "output"),
         reported("0x29 0+10000x370", "output")), 60),
    Case("a paid API has no engines", reported("0+10000x300"), 300),
    Case("the engine is started anew", merged(engine(counter((100, 10000), None, (200, 10000)), "input"),
         reported("0+10000x300")), 300),
    Case("no data", NOTHING, 600),
)  # fmt: skip

CASES = {"CacheHitDrop": CACHE, "QueueGrowing": QUEUE, "EngineGatewayGap": GAP}


@pytest.mark.parametrize(("alert", "case"), firing(CASES))
def test_it_fires(alert: str, case: Case, tmp_path: Path) -> None:
    check(alert, case, tmp_path)


@pytest.mark.parametrize("alert", CASES)
def test_it_is_quiet(alert: str, tmp_path: Path) -> None:
    """On plan, over resets, and without data."""
    check_quiet(alert, quiet(CASES[alert]), tmp_path)
