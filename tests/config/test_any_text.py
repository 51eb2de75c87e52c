"""Whatever stands in the file, load() returns a Config or raises ConfigError, in words of ours."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config import document, messages
from exporter.config.load import load
from exporter.errors import ConfigError, Problem

HERE = Path(__file__).parent
FULL = (HERE / "good" / "full.yml").read_text()
SEEDS = [
    document.read((HERE / name).read_text()).data
    for name in ("good/full.yml", "good/gpus.yml", "good/custom.yml", "good/everything.yml")
]

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates().map(str),
    st.sampled_from(["5m", "http://h:1/m", "http://[", "nvml", "dcgm", "vllm", "_other", "{", "\x85", "UTC", "[key]"]),
    st.sampled_from(["spot", "owned", "all", "0", "GPU-1"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "tokencost.yml"


def attempt(path: Path, content: bytes) -> tuple[Problem, ...]:
    """The problems of that file, none if it is good; any other error is the test's failure."""
    path.write_bytes(content)
    try:
        load(path, today=date(2026, 11, 5))
    except ConfigError as error:
        return error.problems
    return ()


@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
def test_any_bytes(path: Path, content: bytes) -> None:
    attempt(path, content)


@given(
    st.lists(st.sampled_from([*"{}[]:,-?&*!|>'\"%@` \n\t#", "a", "<<: ", "---\n", "no", "1.5", "pools"]), max_size=24)
)
def test_any_punctuation(path: Path, pieces: list[str]) -> None:
    attempt(path, "".join(pieces).encode())


@given(st.integers(0, len(FULL)), st.integers(0, len(FULL)), st.text(max_size=4))
@settings(max_examples=200)
def test_a_good_file_with_a_part_cut_out(path: Path, start: int, end: int, junk: str) -> None:
    attempt(path, (FULL[:start] + junk + FULL[max(start, end) :]).encode(errors="replace"))


def locations(data: Any) -> list[tuple[Any, Any]]:
    """Every place of a document: its container and its key or index there."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found = [(data, key) for key, _ in items]
    return found + [place for container, key in found for place in locations(container[key])]


@given(st.data())
@settings(max_examples=300)
def test_any_value_in_any_place_is_explained_in_words_of_ours(path: Path, draw: st.DataObject) -> None:
    data = json.loads(json.dumps(draw.draw(st.sampled_from(SEEDS)), default=str))
    for _ in range(draw.draw(st.integers(1, 3))):
        container, key = draw.draw(st.sampled_from(locations(data)))
        container[key] = draw.draw(VALUES)
        if isinstance(container, dict) and draw.draw(st.booleans()):
            container[draw.draw(st.text(max_size=8))] = container.pop(key)
    for problem in attempt(path, json.dumps(data).encode()):
        assert problem.wrong != messages.FALLBACK[0], problem
        assert not any(tag in problem.key for tag in messages.TAGS - {"[key]"}), problem
        assert "{" not in problem.wrong.replace("'{'", ""), problem
