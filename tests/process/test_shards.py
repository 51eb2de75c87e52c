"""Two processes that divide a config: their pages add up, and each says which part it is."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from tests.process.engines import LABEL, dice, serving, traffic, truth, vllm
from tests.process.exporter import booked, config, exporter, pool

POOLS = 6


async def test_two_shards_count_what_one_exporter_would(tmp_path: Path) -> None:
    engines = {f"p{number}": vllm() for number in range(POOLS)}
    async with AsyncExitStack() as stack:
        urls = {name: await stack.enter_async_context(serving(engine)) for name, engine in engines.items()}
        pools = [pool(name, url, tenant_label=LABEL) for name, url in urls.items()]
        whole = config(*pools, budgets=[{"name": "all", "limit_usd": 100, "period": "month"}])
        shards = []
        for index in range(2):
            folder = tmp_path / str(index)
            folder.mkdir()
            shards.append(await stack.enter_async_context(exporter(folder, whole, f"--shard={index}/2")))
        for engine in engines.values():
            traffic(engine, dice(5))

        pages = []
        for index, shard in enumerate(shards):
            page = await shard.page()
            mine = [name for name in engines if page.total("tokencost_gpus", pool=name)]
            for name in mine:
                page = await shard.page_with(truth(engines[name]), name)
            assert 0 < len(mine) < POOLS
            assert page.total("tokencost_shard_info", shard=str(index), shards="2") == 1
            assert page.total("tokencost_budget_limit_usd", budget="all", shard=str(index)) == 100
            assert page.total("tokencost_budget_exhaustion_timestamp_seconds") == 0
            pages.append(page)
        for name, engine in engines.items():
            (found,) = [booked(page, name) for page in pages if page.total("tokencost_gpus", pool=name)]
            assert found == truth(engine)
        ledgers = {
            dict(labels)["ledger"] for page in pages for name, labels in page.samples if name.endswith("ledger_info")
        }
        assert len(ledgers) == 2


async def test_one_that_has_it_all_does_not_speak_of_shards(tmp_path: Path) -> None:
    async with serving(vllm()) as url:
        budgets = [{"name": "all", "limit_usd": 100, "period": "month"}]
        async with exporter(tmp_path, config(pool("chat", url), budgets=budgets)) as running:
            page = await running.page_when(lambda page: page.total("tokencost_budget_limit_usd"), "the budget is there")
            assert not [sample for sample, labels in page.samples if "shard" in sample or "shard" in dict(labels)]
