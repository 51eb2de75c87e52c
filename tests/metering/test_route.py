"""What one series counts for: one thing or several, and in which role."""

from __future__ import annotations

import pytest

from exporter.metering.route import Route, Router, Scope
from exporter.records import Role, Series
from exporter.sources.engine import Engine, Measured, Seconds, Signal, Tokens
from exporter.sources.registry import ENGINES

ENDED = "vllm:request_success_total"


def route(table: Engine, name: str, role: Role = "any", **labels: str) -> Route | None:
    """The only route of that series; None where it counts for nothing."""
    series = Series(name, tuple(sorted(labels.items())), name)
    router = Router(table, Scope(role, "config", lambda _, model, __: ("p", "t", model), watched_since_ns=0))
    found = [one for _, one, _ in router.counters({series: 1.0}, {series: 1.0}, set())]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("role", "reason", "requested", "measure"),
    [
        ("any", "stop", True, None),
        ("any", "abort", True, "aborted"),
        ("decode", "abort", True, "aborted"),
        ("prefill", "abort", None, None),  # counted where its answer was made
    ],
)
def test_an_aborted_request_is_a_request_and_aborted(
    role: Role, reason: str, requested: bool | None, measure: str | None
) -> None:
    found = route(ENGINES["vllm"], ENDED, role, finished_reason=reason, model_name="m", engine="0")
    assert (found and (found.request, found.measure)) == (None if requested is None else (requested, measure))


def test_what_the_fit_needs_is_not_taken_from_disaggregated_servers() -> None:
    steps = "vllm:iteration_tokens_total_count"
    found = route(ENGINES["vllm"], steps, model_name="m", engine="0")
    assert found
    assert (found.measure, found.more) == ("steps", True)
    assert route(ENGINES["vllm"], steps, "decode", model_name="m", engine="0") is None


def test_of_each_kind_the_first_signal_that_takes_a_series_counts() -> None:
    both = Engine(
        "e", (), (),
        tokens=(Tokens(("n",), only=(("k", "a"),), moves=(("input", 1),)), Tokens(("n",), moves=(("output", 1),))),
        requests=(Signal(("n",)),),
        measures=(Measured(("n",), measure="done_output"),),
    )  # fmt: skip
    first, second = route(both, "n", k="a"), route(both, "n", k="b")
    assert first
    assert second
    assert [cell[0][2] for cell in first.cells] == ["input"]
    assert [cell[0][2] for cell in second.cells] == ["output"]
    for found in (first, second):
        assert (found.request, found.measure, found.whole, found.more) == (True, "done_output", True, True)


def test_seconds_that_are_two_things_are_nanoseconds_in_both() -> None:
    timer = Engine(
        "e", (), (), (),
        seconds=(Seconds(("s",), phase="decode"),), measures=(Measured(("s",), measure="inter_token_seconds"),),
    )  # fmt: skip
    found = route(timer, "s")
    assert found
    assert (found.phase, found.measure, found.whole) == ("decode", "inter_token_seconds", False)


def test_a_model_may_stand_under_an_older_label() -> None:
    name = "xinference:input_tokens_total_counter"
    for uid, older, model in [("chat", "old", "chat"), ("", "old", "old"), ("None", "", "config")]:
        found = route(ENGINES["xinference"], name, model_uid=uid, model=older)
        assert found
        assert found.account[2] == model
