"""A simulated LiteLLM proxy: told which requests ended, it shows its counters as a real one would. Pure."""

from __future__ import annotations

from collections import Counter

from exporter.records import TokenClass

Series = tuple[str, str, str]  # (team, model, what the client called it)
GatewayTotals = Counter[tuple[str, str, TokenClass]]  # tokens by team, model and class

# Metric -> what of a request it counts; the first four as a real page of 1.106 spells them.
_METRICS = {
    "litellm_input_tokens_metric": "prompt",
    "litellm_output_tokens_metric": "output",
    "litellm_input_cached_tokens_metric": "cached",
    "litellm_output_reasoning_tokens_metric": "reasoning",
    "litellm_requests_metric": "requests",
}
_LAZY = frozenset({"cached", "reasoning"})  # these appear with the first one that is not zero


class SimGateway:
    """A proxy and its past. A series exists from its first request on; it may be evicted and come back from zero.

    `start` is the process start in Unix seconds; None for a page without it, as with several workers.
    """

    def __init__(self, start: float | None) -> None:
        self.process_start = start
        self.lives: list[GatewayTotals] = [Counter()]  # what each life of the process reported, oldest first
        self._counts: dict[Series, Counter[str]] = {}

    def report(
        self, team: str, model: str, *, alias: str = "", prompt: int = 0, cached: int = 0, output: int = 0,
        reasoning: int = 0, requests: int = 1,
    ) -> None:  # fmt: skip
        """A request ended. `prompt` contains `cached`, `output` contains `reasoning`."""
        classes: tuple[tuple[TokenClass, int], ...] = (
            ("input", prompt - cached), ("cache_read", cached), ("output", output - reasoning), ("reasoning", reasoning)
        )  # fmt: skip
        for token_class, tokens in classes:
            if tokens:
                self.lives[-1][team, model, token_class] += tokens
        counts = self._counts.setdefault((team, model, alias or model), Counter())
        counts.update(prompt=prompt, cached=cached, output=output, reasoning=reasoning, requests=requests)

    def restart(self, at: float | None) -> None:
        """A new process since `at`, counting from zero."""
        self.process_start = at
        self.lives.append(Counter())
        self._counts = {}

    def evict(self, team: str) -> None:
        """That team's series go; its next request starts them from zero."""
        self._counts = {series: counts for series, counts in self._counts.items() if series[0] != team}

    def page(self) -> bytes:
        """What GET /metrics/ answers."""
        lines = ["# HELP litellm_in_flight_requests Requests in flight", "# TYPE litellm_in_flight_requests gauge"]
        lines.append("litellm_in_flight_requests 0.0")
        if self.process_start is not None:
            lines += ["# TYPE process_start_time_seconds gauge", f"process_start_time_seconds {self.process_start!r}"]
        for metric, what in _METRICS.items():
            rows = [
                (series, counts[what]) for series, counts in self._counts.items() if counts[what] or what not in _LAZY
            ]
            if rows:
                lines += [f"# HELP {metric}_total {what}", f"# TYPE {metric}_total counter"]
                lines += [f"{metric}_total{{{_labels(*series)}}} {float(value)}" for series, value in rows]
        return "\n".join([*lines, ""]).encode()


def _labels(team: str, model: str, alias: str) -> str:
    labels = {
        "api_key_alias": "None", "api_provider": "openai", "end_user": "None", "hashed_api_key": f"key-{team}",
        "model": model, "model_id": "1f0f", "requested_model": alias, "team": f"id-{team}" if team else "None",
        "team_alias": team or "None", "user": "None", "user_email": "None",
    }  # fmt: skip
    return ",".join(f'{name}="{value}"' for name, value in labels.items())
