"""Pages that no table knows, mapped by hand: read, counted and kept like any other, whatever happens to the mapping.

What an old mapping left out is no news to a new one: counters that were there all along are baselines then, and what
both of them read goes on without a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.books import Books
from exporter.config.schema import Config
from exporter.errors import Reason, ScrapeError
from exporter.ledger import families as f
from exporter.ledger.store import Store
from exporter.records import NS, Instant
from exporter.sources.reader import Reader
from exporter.sources.registry import ENGINES, GATEWAYS
from exporter.sources.target import targets

PLAIN = {"model_label": "served", "tokens": {"input": "in_total", "output": "out_total"}, "one_process": True}
CACHED = PLAIN | {
    "tokens": {"input": "in_total", "cache_read": "hit_total", "output": "out_total"},
    "prompt_includes_cached": True,
}
GATEWAY = {
    "model_label": "model",
    "alias_label": "asked",
    "tokens": {
        "input": {"names": "tokens_total", "only": {"type": "prompt"}},
        "output": {"names": "tokens_total", "only": {"type": "answer"}},
    },
    "one_process": False,
}
TENANT, ENGINE, DOOR = "team", "http://house:80/metrics", "http://door:80/metrics"


def pool(custom: dict[str, Any] | None = None, engine: str = "custom") -> dict[str, Any]:
    mapping = {"custom": custom} if custom else {}
    end = {"url": ENGINE, "model": "m"}
    price = {"gpus": {"count": 1}, "usd_per_gpu_hour": 3600}
    return {"name": "house", "engine": engine, "endpoints": [end], "tenant_label": TENANT, **price, **mapping}


class Exporter:
    """Books on a ledger, and what they are shown, one page every 15 s."""

    def __init__(self, ledger: Path, **config: Any) -> None:
        self.ledger, self.now = ledger, 2_000_000_000 * NS
        self._start(Config.model_validate(config))

    def _start(self, config: Config, *, older: bool = False) -> None:
        self.store = Store(str(self.ledger))
        saved = self.store.open()
        if older:
            del saved.targets[ENGINE]["table"]
        self.books = Books(config, saved, self._instant())
        self._targets(config)

    def _targets(self, config: Config) -> None:
        self.readers = {
            target.name: Reader(target.custom or target.engine, GATEWAYS if target.kind == "gateway" else ENGINES)
            for target in targets(config)
        }

    def _instant(self) -> Instant:
        return Instant(self.now - 10**9, self.now)

    def look(self, page: str, target: str = ENGINE) -> None:
        """Read a page that no tick has booked yet."""
        self.now += 15 * NS
        self.books.observe(self.readers[target].read(target, page.encode(), self._instant()))

    def show(self, page: str, target: str = ENGINE) -> dict[tuple[str, str], int]:
        """What this page adds: tokens by (tenant, class)."""
        before = self.tokens()
        self.look(page, target)
        self.books.tick(self._instant())
        self.store.save(self.books.drain())
        return {key: value - before.get(key, 0) for key, value in self.tokens().items() if value != before.get(key, 0)}

    def tokens(self) -> dict[tuple[str, str], int]:
        family = self.books.accounts[f.TOKENS]
        found: dict[tuple[str, str], int] = {}
        for (tenant, _, _, token), value in zip(family.labels, family.values, strict=True):
            found[tenant, token] = found.get((tenant, token), 0) + value
        return found

    def restart(self, *, older: bool = False, **config: Any) -> None:
        """Killed and started again, perhaps with another config, or on a ledger from before tables had names."""
        self.store.close()
        self._start(Config.model_validate(config), older=older)

    def reload(self, **config: Any) -> None:
        new = Config.model_validate(config)
        self.books.configure(new, self._instant())
        self._targets(new)
        self.books.tick(self._instant())
        self.store.save(self.books.drain())


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[Exporter]:
    """Watching a house engine that was there before, by a mapping that knows nothing of cached tokens."""
    one = Exporter(tmp_path / "ledger.db", pools=[pool(PLAIN)])
    assert one.show(page(1000, 400, 50)) == {}
    yield one
    one.store.close()


def page(prompt: int, hits: int, output: int, *, start: float = 1_000_000.0, more: str = "") -> str:
    labels = '{served="m",team="acme"}'
    counted = f"in_total{labels} {prompt}\nhit_total{labels} {hits}\nout_total{labels} {output}\n"
    return f"process_start_time_seconds {start}\n{counted}{more}"


def test_a_mapped_page_is_counted_by_model_tenant_and_class(exporter: Exporter) -> None:
    assert exporter.show(page(1100, 440, 60)) == {("acme", "input"): 100, ("acme", "output"): 10}
    more = 'out_total{served="m",team="globex"} 7\n'
    assert exporter.show(page(1100, 440, 60, more=more)) == {("globex", "output"): 7}
    family = exporter.books.accounts[f.TOKENS]
    assert {labels[1:3] for labels in family.labels} == {("m", "house")}


def test_a_page_without_any_of_the_names_is_a_failed_scrape(exporter: Exporter) -> None:
    with pytest.raises(ScrapeError, match="no in_total or out_total") as refused:
        exporter.show("process_start_time_seconds 1\nout_totals 5\n")
    assert refused.value.reason is Reason.MISSING_SERIES


def test_it_is_taken_up_again_after_a_restart(exporter: Exporter) -> None:
    exporter.restart(pools=[pool(PLAIN)])
    assert exporter.show(page(1250, 440, 60)) == {("acme", "input"): 250, ("acme", "output"): 10}


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_mapping_that_learns_a_counter_takes_its_past_for_a_baseline(exporter: Exporter, how: str) -> None:
    """400 cached tokens were there all along; taken for new, they would be booked, and 400 prompt tokens unbooked."""
    getattr(exporter, how)(pools=[pool(CACHED)])
    assert exporter.show(page(1100, 440, 60)) == {("acme", "input"): 100, ("acme", "output"): 10}
    assert exporter.show(page(1200, 470, 60)) == {("acme", "input"): 70, ("acme", "cache_read"): 30}


def test_a_kill_between_a_reload_and_the_next_page_changes_nothing_of_that(exporter: Exporter) -> None:
    exporter.look(page(1050, 420, 55))
    exporter.reload(pools=[pool(CACHED)])
    exporter.restart(pools=[pool(CACHED)])
    assert exporter.show(page(1100, 440, 60)) == {("acme", "input"): 50, ("acme", "output"): 5}
    assert exporter.show(page(1200, 470, 60)) == {("acme", "input"): 70, ("acme", "cache_read"): 30}


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_series_that_a_mapping_left_out_by_a_label_are_no_news_either(tmp_path: Path, how: str) -> None:
    text = {"tokens": {"output": {"names": "out_total", "only": {"kind": "text"}}}, "one_process": True}
    every = {"tokens": {"output": "out_total"}, "one_process": True}
    one = Exporter(tmp_path / "ledger.db", pools=[pool(text)])
    assert one.show('out_total{kind="text"} 10\nout_total{kind="tool"} 5000\n') == {}
    getattr(one, how)(pools=[pool(every)])
    added = one.show('out_total{kind="text"} 11\nout_total{kind="tool"} 5002\n')
    assert added == {("_unattributed", "output"): 1}
    added = one.show('out_total{kind="text"} 11\nout_total{kind="tool"} 5005\nout_total{kind="new"} 2\n')
    assert added == {("_unattributed", "output"): 5}
    one.store.close()


@pytest.mark.parametrize("told", [True, False], ids=["by its start time", "by a fall"])
def test_an_engine_that_started_anew_meanwhile_is_counted_from_zero(exporter: Exporter, *, told: bool) -> None:
    exporter.restart(pools=[pool(CACHED)])
    anew = page(30, 10, 4, start=exporter.now / NS + 5)
    assert exporter.show(anew if told else anew.partition("\n")[2]) == {
        ("acme", "input"): 20, ("acme", "cache_read"): 10, ("acme", "output"): 4,
    }  # fmt: skip


def test_a_class_that_is_counted_as_another_one_is_so_from_there_on(exporter: Exporter) -> None:
    swapped = PLAIN | {"tokens": {"output": "in_total", "input": "out_total"}}
    exporter.reload(pools=[pool(swapped)])
    assert exporter.show(page(1100, 440, 60)) == {("acme", "output"): 100, ("acme", "input"): 10}


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_from_a_mapping_to_a_table_of_ours_no_token_is_lost_nor_counted_twice(tmp_path: Path, how: str) -> None:
    """The engine started while it was being watched: taken for a new target, all of it would be counted again."""
    by_hand = PLAIN | {
        "model_label": "model_name",
        "tokens": {"input": "vllm:prompt_tokens_total", "output": "vllm:generation_tokens_total"},
    }
    one = Exporter(tmp_path / "ledger.db", pools=[pool(by_hand)])
    start = one.now / NS + 1
    vllm = (
        "process_start_time_seconds {start}\n"
        'vllm:prompt_tokens_total{{model_name="m"}} {0}\nvllm:generation_tokens_total{{model_name="m"}} {1}\n'
        'vllm:prefix_cache_hits_total{{model_name="m"}} {2}\n'
    ).format
    assert one.show(vllm(500, 60, 200, start=start)) == {
        ("_unattributed", "input"): 500,
        ("_unattributed", "output"): 60,
    }
    getattr(one, how)(pools=[pool(engine="vllm")])
    assert one.show(vllm(510, 61, 204, start=start)) == {("_unattributed", "input"): 10, ("_unattributed", "output"): 1}
    getattr(one, how)(pools=[pool(by_hand)])
    assert one.show(vllm(520, 61, 204, start=start)) == {("_unattributed", "input"): 10}
    one.store.close()


def test_a_ledger_that_does_not_say_by_which_table_it_was_read_may_have_left_counters_out(exporter: Exporter) -> None:
    """An older version wrote it."""
    exporter.restart(older=True, pools=[pool(CACHED)])
    assert exporter.show(page(1100, 440, 60)) == {("acme", "input"): 100, ("acme", "output"): 10}


def test_a_mapped_gateway_says_whose_tokens_of_a_pool_they_were(tmp_path: Path) -> None:
    gateway = {
        "name": "door", "engine": "custom", "custom": GATEWAY, "endpoints": [{"url": DOOR}], "tenant_label": "customer",
        "routes": [{"model": "chat", "pool": "house"}],
    }  # fmt: skip
    unlabelled = {key: value for key, value in pool(PLAIN).items() if key != "tenant_label"}
    one = Exporter(tmp_path / "ledger.db", pools=[unlabelled], gateways=[gateway])
    said = 'tokens_total{{model="m",asked="chat",customer="{0}",type="{1}"}} {2}\n'.format
    first = said("acme", "prompt", 10) + said("acme", "answer", 1) + said("acme", "total", 11)
    assert one.show(page(1000, 0, 50)) == one.show(first, DOOR) == {}
    assert one.show(page(1100, 0, 70)) == {}
    second = said("acme", "prompt", 110) + said("globex", "answer", 20) + said("acme", "total", 230)
    assert one.show(second, DOOR) == {("acme", "input"): 100, ("globex", "output"): 20}
    one.store.close()
