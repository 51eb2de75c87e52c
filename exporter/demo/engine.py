"""One simulated engine process: told exactly what it served, it shows that on a page as a real engine would.

Pure: no clock, no randomness, no I/O. What it is told is the truth that tests hold the books against.
"""

from __future__ import annotations

from collections import Counter
from itertools import product

from exporter.demo.exposition import Counts, Flavour, Histogram, Labels, Page
from exporter.demo.tables import VLLM
from exporter.records import TokenClass

Totals = Counter[tuple[str, str, TokenClass]]  # tokens by model, tenant and class (input, cache_read, output)


class SimEngine:
    """An engine with a page and a past.

    `start` is the process start in Unix seconds. With `tenant_label` the token and request counters of a vLLM or
    SGLang page carry the tenant under that label: those in `tenants` from the start, others from their first request
    on. Without it tenants exist in the truth only. `cores` are the data-parallel engine indices (label `engine`, vLLM
    only). Without `process_metrics` the page has neither `process_*` nor `_created`, as in Python's multiprocess mode.
    """

    def __init__(
        self,
        *models: str,
        start: float,
        flavour: Flavour = VLLM,
        tenant_label: str = "",
        tenants: tuple[str, ...] = ("",),
        cores: tuple[str, ...] = ("0",),
        process_metrics: bool = True,
    ) -> None:
        self.flavour = flavour
        self.models = models
        self.process_start = start
        self.lives: list[Totals] = [Counter()]  # what each life of the process served, oldest first
        self.tenants = tenants
        self.cores = cores
        self._tenant_label = tenant_label
        self._process_metrics = process_metrics and bool(flavour.process)
        self._begin()

    def _begin(self) -> None:
        self._cores: dict[tuple[str, str], Counts] = {}
        self._owners: dict[tuple[str, str, str], Counts] = {}
        self._page: Page | None = None
        for model, core, tenant in product(self.models, self.cores, self.tenants):
            self._core(model, core)
            self._owner(model, core, tenant)

    def _core(self, model: str, core: str) -> Counts:
        """The numbers of that model on that core, of all tenants; new series start at 0."""
        if (model, core) not in self._cores:
            tables = ((metric.cells[0].stat, metric.bounds) for metric in self.flavour.metrics if metric.bounds)
            counts = Counts(histograms={stat: Histogram(bounds) for stat, bounds in tables})
            counts.stats["awake"] = 1
            self._cores[model, core] = counts
            self._page = None
        return self._cores[model, core]

    def _owner(self, model: str, core: str, tenant: str) -> Counts:
        """The same of one tenant."""
        if (model, core, tenant) not in self._owners:
            self._owners[model, core, tenant] = Counts()
            self._page = None
        return self._owners[model, core, tenant]

    @property
    def truth(self) -> Totals:
        """Every token ever served, over all lives."""
        total: Totals = Counter()
        for life in self.lives:
            total.update(life)
        return total

    def count(
        self, model: str, *, tenant: str = "", core: str = "0", prompt: int = 0, cached: int = 0, external: int = 0,
        output: int = 0,
    ) -> None:  # fmt: skip
        """Count tokens. `prompt` contains `cached`, which contains `external` (came by KV transfer)."""
        if not (0 <= external <= cached <= prompt and output >= 0):
            raise ValueError(f"no engine serves {prompt=} {cached=} {external=} {output=}")
        classes: tuple[tuple[TokenClass, int], ...] = (
            ("input", prompt - cached), ("cache_read", cached), ("output", output)
        )  # fmt: skip
        for token_class, tokens in classes:
            if tokens:
                self.lives[-1][model, tenant, token_class] += tokens
        whole, own = self._core(model, core), self._owner(model, core, tenant)
        for stats in (whole.stats, own.stats):
            stats["prompt"] += prompt
            stats["computed"] += prompt - cached
            stats["cached"] += cached
            stats["local_hit"] += cached - external
            stats["external"] += external
            stats["output"] += output
        if step := whole.histograms.get("step_tokens"):
            step.observe(prompt - cached + output)

    def finish(
        self, model: str, *, tenant: str = "", core: str = "0", requests: int = 1, reason: str = "stop",
        prompt: int = 0, cached: int = 0, output: int = 0,
        queue_seconds: float = 0.0, prefill_seconds: float = 0.0, decode_seconds: float = 0.0,
    ) -> None:  # fmt: skip
        """Count requests that ended, with the tokens and seconds of all of them together. An aborted request on a
        real vLLM has its tokens counted and never finishes."""
        whole, own = self._core(model, core), self._owner(model, core, tenant)
        for stats in (whole.stats, own.stats):
            stats[reason] += requests
            stats["requests"] += requests
            stats["prefill_seconds"] += prefill_seconds
            stats["decode_seconds"] += decode_seconds
        sums: tuple[tuple[str, float], ...] = (
            ("prompt_length", prompt),
            ("output_length", output),
            ("computed_length", prompt - cached),
            ("n", requests),
            ("ttft", queue_seconds + prefill_seconds),
            ("tpot", decode_seconds / max(1, output / requests - 1)),
            ("e2e", queue_seconds + prefill_seconds + decode_seconds),
            ("queue", queue_seconds),
            ("inference", prefill_seconds + decode_seconds),
            ("prefill", prefill_seconds),
            ("decode", decode_seconds),
        )
        for stat, total in sums:
            if histogram := whole.histograms.get(stat):
                histogram.observe(total / requests, requests)
        if output > requests and (latency := whole.histograms.get("itl")):
            latency.observe(decode_seconds / (output - requests), output - requests)

    def serve(
        self, model: str, *, tenant: str = "", core: str = "0", prompt: int = 0, cached: int = 0, external: int = 0,
        output: int = 0, queue_seconds: float = 0.0, prefill_seconds: float = 0.0, decode_seconds: float = 0.0,
        finished: int = 1,
    ) -> None:  # fmt: skip
        """Count tokens and, with `finished` requests, their end, at once."""
        self.count(model, tenant=tenant, core=core, prompt=prompt, cached=cached, external=external, output=output)
        if finished:
            self.finish(
                model, tenant=tenant, core=core, requests=finished, prompt=prompt, cached=cached, output=output,
                queue_seconds=queue_seconds, prefill_seconds=prefill_seconds, decode_seconds=decode_seconds,
            )  # fmt: skip

    def load(self, model: str, *, core: str = "0", running: int = 0, waiting: int = 0, kv: float = 0.0) -> None:
        """Set the gauges: requests being worked on, requests queued, KV cache in use (ratio 0..1)."""
        self._core(model, core).stats.update(running=running, waiting=waiting, kv=kv)

    def restart(self, at: float, keep: bool = False) -> None:
        """A new process since `at` (Unix seconds), counting from zero.

        With `keep` its counters go on where they stood, as on vLLM when PROMETHEUS_MULTIPROC_DIR was not emptied.
        """
        self.process_start = at
        self.lives.append(Counter())
        if keep:
            self._page = None
        else:
            self._begin()

    def page(self) -> bytes:
        """What GET /metrics answers."""
        if self._page is None:
            names = (self.flavour.model_label, self.flavour.engine_label, self._tenant_label)
            cores = [(_labels(names, key), counts) for key, counts in self._cores.items()]
            owners = [(_labels(names, key), counts) for key, counts in self._owners.items()]
            start = self.process_start if self._process_metrics else None
            self._page = Page(self.flavour, start, cores, owners if self._tenant_label else cores)
        return self._page.render()


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> Labels:
    return tuple(zip(names, values, strict=False))
