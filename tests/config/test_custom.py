"""What a hand-written mapping comes to: the table of an engine or a gateway."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from exporter.config.custom import CustomPool
from exporter.config.load import load
from exporter.records import TokenClass
from exporter.sources.custom import custom_engine
from exporter.sources.engine import Engine, Seconds, Signal, Tokens
from exporter.sources.target import targets

CONFIG = load(Path(__file__).parent / "good" / "custom.yml", today=date(2026, 11, 5))


def moves(table: Engine | None) -> dict[TokenClass, dict[TokenClass, int]]:
    assert table
    return {tokens.moves[0][0]: dict(tokens.moves) for tokens in table.tokens}


def test_a_mapping_is_the_table_of_an_engine() -> None:
    table = custom_engine(CONFIG.pools[0].custom)
    assert table == Engine(
        name="custom",
        marks=(),
        required=table.required if table else (),
        model_label="served",
        tokens=(
            Tokens(("house_prompt_tokens_total", "house_in_total"), moves=(("input", 1),)),
            Tokens(("house_hits_total",), skip=(("tier", "none"),), moves=(("cache_read", 1), ("input", -1))),
            Tokens(("house_out_total",), only=(("kind", "text"),), moves=(("output", 1),)),
            Tokens(("house_out_total",), only=(("kind", "thought"),), moves=(("reasoning", 1),)),
        ),
        requests=(Signal(("house_requests_total",), skip=(("code", "500"),)),),
        seconds=(
            Seconds(("house_queue_seconds_sum",), phase="queue"),
            Seconds(("house_prefill_seconds_sum",), phase="prefill"),
            Seconds(("house_decode_seconds_sum",), phase="decode"),
        ),
        running=Signal(("house_running",), only=(("priority", ""),)),
        waiting=Signal(("house_waiting",)),
        kv_cache=Signal(("house_kv_ratio",)),
    )
    assert [set(group) for group in table.required] == [table.names]


def test_a_mapping_is_the_table_of_a_gateway() -> None:
    table = custom_engine(CONFIG.gateways[0].custom)
    assert moves(table) == {
        "input": {"input": 1},
        "cache_write": {"cache_write": 1},
        "output": {"output": 1},
        "reasoning": {"reasoning": 1, "output": -1},
    }
    assert table
    assert (table.model_label, table.alias_label) == ("backend_model", "asked_model")
    assert (table.one_process, table.own_start) == (False, False)


def test_only_a_class_that_is_mapped_is_taken_out_of_another() -> None:
    tokens = {"input": "in", "cache_read": "hit", "output": "out"}
    custom = CustomPool.model_validate({"tokens": tokens, "prompt_includes_cached": False, "one_process": True})
    assert moves(custom_engine(custom)) == {
        "input": {"input": 1},
        "cache_read": {"cache_read": 1},
        "output": {"output": 1},
    }
    assert custom_engine(None) is None


def test_a_target_carries_its_table_and_another_mapping_is_another_target() -> None:
    first, second = targets(CONFIG)
    assert (first.engine, second.engine) == ("custom", "custom")
    assert first.custom == custom_engine(CONFIG.pools[0].custom)
    assert second.custom == custom_engine(CONFIG.gateways[0].custom)
    custom = CONFIG.pools[0].custom
    assert custom
    changed = CONFIG.pools[0].model_copy(update={"custom": custom.model_copy(update={"one_process": False})})
    assert {first} != set(targets(CONFIG.model_copy(update={"pools": (changed,), "gateways": ()})))
