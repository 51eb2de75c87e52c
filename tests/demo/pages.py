"""Reading a page independently of the exporter: with prometheus_client's own parser."""

from __future__ import annotations

from collections import Counter
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from exporter.demo.engine import SimEngine, Totals
from exporter.records import TokenClass


def families(page: bytes) -> dict[str, Any]:
    """prometheus_client's metric families by name."""
    return {family.name: family for family in text_string_to_metric_families(page.decode())}


def samples(page: bytes, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Every sample of exactly that name, by its sorted labels; a series that stands twice fails."""
    found: dict[tuple[tuple[str, str], ...], float] = {}
    for family in families(page).values():
        for sample in family.samples:
            if sample.name == name:
                labels = tuple(sorted(sample.labels.items()))
                assert labels not in found, f"{name}{labels} stands twice"
                found[labels] = sample.value
    return found


def value(page: bytes, name: str, **labels: str) -> float:
    """The sum over the samples of that name with those labels; at least one must be there."""
    wanted = set(labels.items())
    values = [each for key, each in samples(page, name).items() if wanted <= set(key)]
    assert values, f"no {name}{labels}"
    return sum(values)


VLLM_TOKENS: tuple[tuple[str, TokenClass, int], ...] = (
    ("vllm:prompt_tokens_total", "input", 1),
    ("vllm:prompt_tokens_cached_total", "input", -1),
    ("vllm:prompt_tokens_cached_total", "cache_read", 1),
    ("vllm:generation_tokens_total", "output", 1),
)


def observed(engine: SimEngine, tenant_label: str = "") -> Totals:
    """What a vLLM page says its process has served."""
    totals: Totals = Counter()
    for name, token_class, sign in VLLM_TOKENS:
        for labels, tokens in samples(engine.page(), name).items():
            by_label = dict(labels)
            totals[by_label["model_name"], by_label.get(tenant_label, ""), token_class] += sign * int(tokens)
    return totals


def same(left: Totals, right: Totals) -> bool:
    """Equal where one of them is not 0."""
    return all(left[key] == right[key] for key in left.keys() | right.keys())
