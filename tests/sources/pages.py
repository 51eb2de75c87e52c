"""Pages for the tests: what the reference parser reads on one, pages made by hypothesis, and which are of GPUs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporter.records import Samples
from exporter.sources.gpus import GPUS

Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]

WANTED = ("a:x_total", "a:x_total_sum", "a:xy_total", "h_sum", "g")
UNWANTED = ("a:x", "a:x_total_created", "h", "gg", "z_total")


def reference(body: bytes, names: frozenset[str]) -> Found:
    """What prometheus_client reads: the finite, non-negative samples of these names."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name in names and 0 <= sample.value < inf
    }


def found(samples: Samples) -> Found:
    return {(series.name, series.labels): value for series, value in samples.items()}


def names_on(body: bytes) -> frozenset[str]:
    families = text_string_to_metric_families(body.decode())
    return frozenset(sample.name for family in families for sample in family.samples)


@dataclass(frozen=True)
class Family:
    """One metric of a made page: its series (label text -> value text) under its comments."""

    name: str
    series: tuple[tuple[str, str], ...]
    comments: bool = True

    def lines(self) -> list[str]:
        head = [f"# HELP {self.name} some text # with {{signs}}", f"# TYPE {self.name} gauge"] if self.comments else []
        return head + [f"{self.name}{labels} {value}" for labels, value in self.series]


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


LABEL_VALUES = st.text(st.sampled_from('ab \\"\n{}#,=é😀\t'), max_size=6) | st.sampled_from(
    ["0", "stop", "} 5", " # {"]
)
VALUES = (
    st.integers(0, 10**7).map(str)
    | st.floats(0, 1e12).map(repr)
    | st.sampled_from(["NaN", "+Inf", "-Inf", "-1", "1e+06", "1.5e-07", "0", "0.0", "+3", "1e400"])
)


@st.composite
def label_sets(draw: st.DrawFn) -> str:
    labels = draw(st.dictionaries(st.sampled_from(["m", "engine", "le", "_k"]), LABEL_VALUES, max_size=3))
    if not labels:
        return draw(st.sampled_from(["", "{}"]))
    gap = draw(st.sampled_from(["", " "]))
    text = f",{gap}".join(f"{name}{gap}={gap}{quoted(value)}" for name, value in labels.items())
    return draw(st.sampled_from(["{%s}", "{%s,}", " {%s}", "\t{ %s }"])) % text


def family(name: str) -> st.SearchStrategy[Family]:
    def one_of_each(rows: list[tuple[str, str]]) -> Family:
        kept: dict[object, tuple[str, str]] = {}
        for labels, value in rows:
            (identity,) = reference(f"n{labels} 1\n".encode(), frozenset("n"))
            kept.setdefault(identity, (labels, value))
        return Family(name, tuple(kept.values()))

    return st.lists(st.tuples(label_sets(), VALUES), max_size=4).map(one_of_each)


@st.composite
def page_sequences(draw: st.DrawFn) -> list[bytes]:
    """Successive pages of one server: values move, series and groups come, go, move, split or lose their comments."""
    names = draw(st.lists(st.sampled_from(WANTED + UNWANTED), unique=True, min_size=1))
    families = [draw(family(name)) for name in names]
    pages = [render(draw, families)]
    for _ in range(draw(st.integers(1, 5))):
        step = draw(st.sampled_from(["values", "values", "series", "order", "comments", "split", "lines", "again"]))
        at = draw(st.integers(0, len(families) - 1))
        if step == "values":
            families = [replace(f, series=tuple((labels, draw(VALUES)) for labels, _ in f.series)) for f in families]
        elif step == "series":
            new = draw(family(families[at].name))  # all of its series: what was split off must not double one of them
            families = [
                new if one is families[at] else one for one in families if one.name != new.name or one is families[at]
            ]
        elif step == "order":
            families = draw(st.permutations(families))
        elif step == "comments":
            families[at] = replace(families[at], comments=not families[at].comments)
        elif step == "split":
            whole = families[at]
            families[at] = replace(whole, series=whole.series[1:])
            families.append(replace(whole, series=whole.series[:1]))
        pages.append(render(draw, families, shuffled=step == "lines"))
    return pages


def render(draw: st.DrawFn, families: list[Family], *, shuffled: bool = False) -> bytes:
    lines = [line for one in families for line in one.lines()]
    if shuffled:
        lines = draw(st.permutations([line for line in lines if not line.startswith("#")]))
    # One sample that is always there, so that no page is empty.
    return "".join(f"{line}\n" for line in [*lines, "always 1"]).encode()


def of_gpus(name: str) -> bool:
    """Is the page of this name an exporter's of GPUs? Its file is named after what the config calls that one."""
    return name.replace("-", "_").startswith(tuple(GPUS))
