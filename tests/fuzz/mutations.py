"""Bytes that are nearly right: seeds that are known to be read, cut, doubled, spliced and sprinkled with words."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# `make fuzz` sets it to a great many.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
LARGEST = 10_000  # bytes of a seed that is mutated: enough to hold everything, and small enough for many tries


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """One of the seeds after some mutations, or no seed at all."""
    word = st.sampled_from(words) | st.binary(max_size=8)
    body = draw(st.sampled_from(seeds) | st.lists(word, max_size=30).map(b"".join))
    for _ in range(draw(st.integers(0, 6))):
        at, end = sorted((draw(st.integers(0, len(body))), draw(st.integers(0, len(body)))))
        match draw(st.sampled_from(["put", "put", "over", "cut", "double", "splice", "lines"])):
            case "put":
                body = body[:at] + draw(word) + body[at:]
            case "over":
                new = draw(word)
                body = body[:at] + new + body[at + len(new) :]
            case "cut":
                body = body[:at] + body[min(end, at + 200) :]
            case "double":
                body = body[:end] + body[max(at, end - 200) : end] * draw(st.integers(1, 3)) + body[end:]
            case "splice":
                other = draw(st.sampled_from(seeds))
                begin = draw(st.integers(0, len(other)))
                body = body[:at] + other[begin : begin + 300] + body[end:]
            case "lines":
                lines = body.split(b"\n")
                first, second = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
                lines[first], lines[second] = lines[second], lines[first]
                body = b"\n".join(lines)
    return body
