"""A page mapped by hand, in the real process: counted, and counted on when the mapping changes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from exporter.demo.engine import SimEngine
from tests.process.engines import LABEL, dice, serving, traffic, truth, vllm
from tests.process.exporter import Tokens, booked, config, exporter, pool, write_config

NAMES = {"input": "vllm:prompt_tokens_total", "output": ["renamed_total", "vllm:generation_tokens_total"]}
HITS = {"cache_read": "vllm:prompt_tokens_cached_total"}
BLIND: dict[str, Any] = {"model_label": "model_name", "tokens": NAMES, "one_process": True}
KEEN = {**BLIND, "tokens": NAMES | HITS, "prompt_includes_cached": True}


def blind(engine: SimEngine) -> Tokens:
    """What one must book who does not see that tokens were cached."""
    found: Counter[tuple[str, str, str]] = Counter()
    for (model, tenant, token), amount in truth(engine).items():
        found[model, tenant, "output" if token == "output" else "input"] += amount  # noqa: S105 - not a secret
    return dict(found)


async def test_a_mapping_counts_and_a_changed_one_counts_on(tmp_path: Path) -> None:
    engine, random = vllm(), dice(7)
    async with serving(engine) as url:

        def mapped(custom: dict[str, Any]) -> dict[str, Any]:
            return config(pool("chat", url, engine="custom", custom=custom, tenant_label=LABEL))

        async with exporter(tmp_path, mapped(BLIND), "--web.enable-lifecycle") as running:
            traffic(engine, random)
            before = await running.page_with(blind(engine))
            assert before.total("tokencost_target_up", engine="custom") == 1

            seen = truth(engine)
            write_config(tmp_path, mapped(KEEN))
            assert (await running.post("/-/reload"))[0] == 200
            scrapes = before.total("tokencost_target_scrapes_total") + 1  # the first page under it is past
            await running.page_when(
                lambda page: page.total("tokencost_target_scrapes_total") > scrapes, "pages read with the new mapping"
            )
            traffic(engine, random)
            since = {key: tokens - seen.get(key, 0) for key, tokens in truth(engine).items()}
            expected = Counter(booked(before, "chat")) + Counter(since)
            last = await running.page_with(dict(expected))
            assert last.fell_from(before) == []
