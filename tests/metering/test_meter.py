"""One target's meter: what is a baseline, what is a reset, and what is refused (laws 3 and 4)."""

from __future__ import annotations

import pytest

from exporter.columns import nonzero
from exporter.errors import Reason, ScrapeError
from exporter.metering.meter import Meter
from exporter.metering.route import Scope
from exporter.metering.usage import Usage
from exporter.records import NS, Instant, Reading, Role, Series
from exporter.sources.engine import Engine, Seconds, Signal, Tokens
from exporter.sources.registry import ENGINES
from tests.columns import flat

VLLM = ENGINES["vllm"]
WATCHED_SINCE = 1_000.0
PROMPT, CACHED, OUTPUT = "vllm:prompt_tokens_total", "vllm:prompt_tokens_cached_total", "vllm:generation_tokens_total"
HITS = "vllm:prefix_cache_hits_total"


class Target:
    """A meter and the pages it is shown, one every 15 s."""

    def __init__(self, engine: Engine = VLLM, role: Role = "any", **labels: str) -> None:
        scope = Scope(
            role=role,
            model="fallback",
            account=lambda _series, model, _alias: ("p", "t", model),
            watched_since_ns=round(WATCHED_SINCE * NS),
        )
        self.meter = Meter(engine, scope)
        self.labels = labels or {"model_name": "m"}
        self.now = 2_000 * NS

    def show(self, start: float | None = 500.0, /, step: float = 15, **counters: float) -> dict[str, int]:
        """Observe a page with those counters (names without the engine's prefix); tokens by class."""
        labels = tuple(sorted(self.labels.items()))
        names = {"prompt": PROMPT, "cached": CACHED, "output": OUTPUT, "hits": HITS}
        return self.observe(
            start, step, {_series(names.get(name, name), labels): value for name, value in counters.items()}
        )

    def observe(self, start: float | None, step: float, samples: dict[Series, float]) -> dict[str, int]:
        self.now += round(step * NS)
        at = Instant(self.now - 7 * NS, self.now)
        self.meter.observe(Reading("http://e", self.meter.engine.name, at, start, samples))
        self.usage = self.meter.take().get("p", Usage())
        self.resets, self.meter.resets = self.meter.resets, 0
        found: dict[str, int] = {}
        for (_, token), column in nonzero(self.usage.tokens).items():
            found[token] = found.get(token, 0) + sum(column.values())
        return found


def _series(name: str, labels: tuple[tuple[str, str], ...]) -> Series:
    return Series(name, labels, name + "{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}")


def test_the_first_sight_is_a_baseline_and_opens_the_accounts_at_zero() -> None:
    target = Target()
    assert target.show(prompt=100, cached=40, output=7) == {}
    assert flat(target.usage.tokens) == {("t", "m", token): 0 for token in ("input", "cache_read", "output")}
    assert target.show(prompt=150, cached=60, output=8) == {"input": 30, "cache_read": 20, "output": 1}


def test_a_replica_that_began_while_its_pool_was_watched_counts_from_zero() -> None:
    assert Target().show(WATCHED_SINCE + 1, prompt=100, cached=40) == {"input": 60, "cache_read": 40}
    assert Target().show(WATCHED_SINCE - 1, prompt=100, cached=40) == {}
    assert Target().show(None, prompt=100, cached=40) == {}


def test_a_new_series_on_a_watched_page_counts_from_zero_and_a_returning_one_from_its_baseline() -> None:
    target = Target()
    target.show(prompt=10)
    assert target.show(prompt=10, output=5) == {"output": 5}
    assert target.show(prompt=12) == {"input": 2}
    assert target.show(prompt=12, output=9) == {"output": 4}


def test_a_new_process_means_the_new_value_is_the_delta_even_above_the_old_one() -> None:
    target = Target()
    target.show(500.0, prompt=10, output=10)
    assert target.show(2_020.0, prompt=30, output=4) == {"input": 30, "output": 4}
    assert target.resets == 1
    assert target.show(2_020.0, prompt=31, output=4) == {"input": 1}


def test_without_a_start_time_one_counter_that_fell_restarts_the_whole_page() -> None:
    target = Target()
    target.show(None, prompt=10, output=10)
    assert target.show(None, prompt=3, output=25) == {"input": 3, "output": 25}
    assert target.resets >= 1


def test_with_the_same_start_time_a_fall_resets_that_series_alone() -> None:
    target = Target()
    target.show(prompt=10, output=10)
    assert target.show(prompt=3, output=25) == {"input": 3, "output": 15}


def test_where_series_live_one_by_one_a_fall_resets_that_series_alone() -> None:
    counters = (Tokens((PROMPT,), moves=(("input", 1),)), Tokens((OUTPUT,), moves=(("output", 1),)))
    gateway = Engine("gateway", (), (), counters, one_process=False)
    target = Target(gateway)
    target.show(None, prompt=10, output=10)
    assert target.show(None, prompt=3, output=25) == {"input": 3, "output": 15}


def test_float_noise_in_a_sum_is_no_reset() -> None:
    seconds = Engine("e", (), (), (), seconds=(Seconds(("s_sum",), phase="decode"),))
    target = Target(seconds)
    target.observe(None, 15, {_series("s_sum", ()): 1e6})
    target.observe(None, 15, {_series("s_sum", ()): 1e6 - 1e-7})
    assert (target.resets, sum(target.usage.nanoseconds.values())) == (0, 0)
    target.observe(None, 15, {_series("s_sum", ()): 1e6 + 1})
    assert sum(target.usage.nanoseconds.values()) == NS


def test_an_address_that_answers_for_two_processes_is_refused_and_counts_nothing() -> None:
    """Two replicas behind one address: their start times alternate, and neither began after the last scrape."""
    target = Target()
    target.show(100.0, prompt=1000)
    for _ in range(4):
        with pytest.raises(ScrapeError) as refused:
            target.show(600.0, prompt=9000)
        assert refused.value.reason is Reason.SEVERAL_PROCESSES
        assert target.show(100.0, prompt=1000) == {}


def test_a_restart_does_not_go_back_in_time() -> None:
    """Two replicas that both started in the last minute: the younger may follow the older, not the other way round."""
    target = Target()
    target.show(2_010.0, prompt=10)
    target.show(2_020.0, prompt=20)
    with pytest.raises(ScrapeError):
        target.show(2_010.0, prompt=11)


def test_an_engine_whose_clock_is_off_is_believed_in_the_end_as_a_baseline() -> None:
    target = Target()
    target.show(100.0, prompt=1000)
    for _ in range(9):
        with pytest.raises(ScrapeError):
            target.show(600.0, prompt=50)
    assert target.show(600.0, prompt=60) == {}
    assert target.show(600.0, prompt=65) == {"input": 5}


def test_a_start_time_that_wobbles_with_the_machines_clock_is_the_same_process() -> None:
    target = Target()
    target.show(100.0, prompt=1000)
    assert target.show(101.5, prompt=1001) == {"input": 1}


@pytest.mark.parametrize("step", [-3600, 3600])
def test_our_own_clock_stepping_does_not_hide_a_restart(step: int) -> None:
    target = Target()
    target.show(100.0, prompt=1000)
    at = Instant(target.now + 8 * NS, target.now + (15 + step) * NS)  # 15 s later, the wall clock an hour off
    samples = {_series(PROMPT, (("model_name", "m"),)): 7.0}
    target.meter.observe(Reading("http://e", "vllm", at, (target.now + 10 * NS) / NS, samples))
    assert target.meter.take()["p"].tokens["m", "input"] == {"t": 7}


def test_old_and_new_names_on_one_page_are_never_added() -> None:
    target = Target()
    target.show(prompt=0, cached=0, hits=0)
    assert target.show(prompt=10, cached=4, hits=4) == {"input": 6, "cache_read": 4}


def test_the_name_being_counted_goes_on_being_counted_when_a_newer_one_joins_it() -> None:
    target = Target()
    target.show(prompt=10, hits=4)
    assert target.show(prompt=20, hits=8, cached=8) == {"input": 6, "cache_read": 4}


def test_a_cached_counter_that_runs_ahead_is_owed_and_paid_back() -> None:
    target = Target()
    target.show(prompt=0, cached=0)
    assert target.show(prompt=2, cached=5) == {"cache_read": 5}
    assert target.meter.owed == {("p", "m", "input"): {"t": -3}}
    assert target.show(prompt=10, cached=5) == {"input": 5}


@pytest.mark.parametrize(
    ("role", "tokens", "requests"),
    [
        ("any", {"input": 7, "cache_read": 3, "output": 2}, 1),
        ("prefill", {"input": 7, "cache_read": 3}, 0),
        ("decode", {"output": 2}, 1),
    ],
)
def test_disaggregated_roles_bill_each_token_once(role: Role, tokens: dict[str, int], requests: int) -> None:
    target = Target(role=role)
    counters = {"vllm:request_success_total": 0.0, "prompt": 0.0, "cached": 0.0, "output": 0.0}
    target.show(500.0, **counters)
    assert target.show(500.0, **{"vllm:request_success_total": 1.0}, prompt=10, cached=3, output=2) == tokens
    assert sum(sum(column.values()) for column in target.usage.requests.values()) == requests


def test_a_prefill_server_that_says_so_is_not_billed_beside_its_decode_server() -> None:
    sglang = ENGINES["sglang"]
    name = "sglang:prompt_tokens_total"
    target = Target(sglang)
    for value in (0.0, 9.0):
        found = target.observe(
            None,
            15,
            {
                _series(name, (("engine_type", "prefill"), ("model_name", "m"))): value,
                _series(name, (("engine_type", "decode"), ("model_name", "m"))): value,
            },
        )
    assert found == {"input": 9}


def test_a_page_without_a_model_uses_the_configured_name() -> None:
    target = Target(ENGINES["llamacpp"], none="")
    target.labels = {}
    target.show(None, **{"llamacpp:prompt_tokens_total": 0.0})
    target.show(None, **{"llamacpp:prompt_tokens_total": 5.0})
    assert target.usage.tokens == {("fallback", "input"): {"t": 5}}


def test_a_refused_reading_changes_nothing() -> None:
    target = Target()
    target.show(100.0, prompt=1000)
    before = (dict(target.meter.baselines), target.meter.process_start, target.meter.last_seen_ns)
    target.meter.unsaved.clear()
    with pytest.raises(ScrapeError):
        target.show(600.0, prompt=9000)
    assert (dict(target.meter.baselines), target.meter.process_start, target.meter.last_seen_ns) == before
    assert not target.meter.unsaved


def test_gauges_are_summed_and_totals_beside_their_parts_are_not_added() -> None:
    gauge = Engine("e", (), (), (), running=Signal(("r",), only=(("priority", ""),)))
    target = Target(gauge)
    target.observe(None, 15, {
        _series("r", (("core", "0"), ("priority", ""))): 3.0, _series("r", (("core", "1"), ("priority", ""))): 1.0,
        _series("r", (("core", "0"), ("priority", "5"))): 3.0,
    })  # fmt: skip
    assert target.meter.gauges.running == 4.0
    assert target.meter.gauges.waiting is None


def test_what_an_old_process_owed_dies_with_it() -> None:
    target = Target()
    target.show(500.0, prompt=0, cached=0)
    target.show(500.0, prompt=2, cached=5)
    assert target.show(2_060.0, prompt=10, cached=4) == {"input": 6, "cache_read": 4}


def test_a_restart_that_only_a_fall_betrays_counts_what_stands_where_it_stood_before() -> None:
    """Whatever shows the same value as before has counted up to it again."""
    target = Target()
    target.show(None, prompt=10, output=10)
    assert target.show(None, prompt=3, output=10) == {"input": 3, "output": 10}


def test_a_sum_that_the_engine_itself_takes_from_dips_and_does_not_start_again() -> None:
    """Triton with TensorRT-LLM takes the prompt of a failed request off its output."""
    target, output = Target(ENGINES["triton"], model="m"), "nv_llm_output_token_len_sum"
    target.show(None, **{output: 5000.0})
    assert target.show(None, **{output: 4800.0}) == {}
    assert target.show(None, **{output: 4830.0}) == {"output": 30}
    assert target.resets == 0
    assert target.show(None, **{output: 20.0}) == {"output": 20}, "a model that was loaded anew"
    assert target.resets == 1


def test_six_digits_of_a_large_counter_lose_when_but_not_how_much() -> None:
    """llama.cpp prints 1.23457e+06: what was counted is never off by more than half of its last digit."""
    target = Target(ENGINES["llamacpp"], none="")
    target.labels = {}
    true, counted, begin, resets = 999_990, 0, 999_990, 0
    target.show(None, **{"llamacpp:tokens_predicted_total": float(f"{true:.6g}")})
    for step in range(4000):
        true += (3, 0, 1, 17, 250)[step % 5] * (400 if step > 3000 else 1)
        counted += target.show(None, **{"llamacpp:tokens_predicted_total": float(f"{true:.6g}")}).get("output", 0)
        resets += target.resets
        assert abs(counted - (true - begin)) <= (5 if true < 10**7 else 50)
    assert true > 10**7
    assert resets == 0
