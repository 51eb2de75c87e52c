"""A hand-written mapping, for pages that no table knows: which metrics count what."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StrictBool, Tag, TypeAdapter
from typing_extensions import TypeAliasType

from exporter.config import types as t
from exporter.config.part import Part
from exporter.config.types import Mistake, refuse
from exporter.records import TOKEN_CLASSES, TokenClass

NO_COUNTS = {
    "_created": "that is when a counter was made, not what it counts",
    "_bucket": "that is how many were small, not how many there were",
}


def _counts(name: str) -> str:
    for end, wrong in NO_COUNTS.items():
        if name.endswith(end):
            raise refuse([((), wrong, "write the counter itself, such as x_total; of a histogram, its x_sum")])
    return name


Names = Annotated[
    tuple[Annotated[t.Metric, AfterValidator(_counts)], ...],
    Field(min_length=1),
    BeforeValidator(t.one_or_more, json_schema_input_type=t.Metric | Annotated[list[t.Metric], Field(min_length=1)]),
]


class Metric(Part):
    """The samples that count one thing."""

    names: Names = Field(description="Whole sample names; of several, the first that is on the page counts.")
    only: dict[t.Label, t.LabelValue] = Field(default={}, description="Series with these labels only.")
    skip: dict[t.Label, t.LabelValue] = Field(default={}, description="Not the series with one of these labels.")


def metric_tag(value: Any) -> str:
    """Which way it was written: a name or a list of names, or a mapping with them and labels."""
    return "metric:labels" if isinstance(value, dict | Metric) else "metric:names"


def _named(value: object) -> Metric:
    return Metric(names=NAMES.validate_python(value))


NAMES = TypeAdapter(Names)
Mapped = TypeAliasType(
    "Mapped",
    Annotated[
        Annotated[Metric, BeforeValidator(_named, json_schema_input_type=Names), Tag("metric:names")]
        | Annotated[Metric, Tag("metric:labels")],
        Discriminator(metric_tag),
    ],
)
WAYS = "a name, names of which the first on the page counts, or {names, only: {label: value}, skip: {label: value}}"


class CustomTokens(Part):
    """Token counters by class."""

    input: Mapped | None = Field(default=None, description=f"Prompt tokens: {WAYS}.")
    cache_read: Mapped | None = Field(default=None, description="Prompt tokens that came from a cache.")
    cache_write: Mapped | None = Field(default=None, description="Prompt tokens that were put into a cache.")
    output: Mapped | None = Field(default=None, description="Tokens of answers.")
    reasoning: Mapped | None = Field(default=None, description="Tokens of reasoning.")

    def given(self) -> dict[TokenClass, Metric]:
        """Those that are mapped, in the order of the classes."""
        found = ((token, getattr(self, token)) for token in TOKEN_CLASSES)
        return {token: metric for token, metric in found if metric is not None}

    def disagreements(self) -> Iterator[Mistake]:
        if not self.given():
            yield (), "no class of tokens is mapped", "add at least one, such as `output: my_generated_tokens_total`"
        for (first, one), (second, other) in combinations(self.given().items(), 2):
            if both := overlap(one, other):
                wrong = f"{both} counts as {first} too"
                yield (second,), wrong, "tell the two apart: {names: ..., only: {label: value}} in both"


def overlap(one: Metric, other: Metric) -> str:
    """A name of which a series can be both; "" where labels tell the two apart or no name is shared."""
    apart = any(one.only[label] != other.only[label] for label in one.only.keys() & other.only.keys())
    apart = apart or bool(one.only.items() & other.skip.items()) or bool(other.only.items() & one.skip.items())
    return "" if apart else next((name for name in one.names if name in other.names), "")


class CustomSeconds(Part):
    """Counters of request-seconds by phase."""

    queue: Mapped | None = Field(default=None, description="Request-seconds of waiting.")
    prefill: Mapped | None = Field(default=None, description="Request-seconds of prefill.")
    decode: Mapped | None = Field(default=None, description="Request-seconds of decoding.")


class Custom(Part):
    """What the samples of a page count."""

    model_label: t.Label | None = Field(default=None, description="The label that names the model; omitted: none does.")
    tokens: CustomTokens
    requests: Mapped | None = Field(default=None, description="Requests that ended.")
    prompt_includes_cached: StrictBool | None = Field(
        default=None, description="`input` contains `cache_read` and `cache_write`. To be said where one is mapped."
    )
    output_includes_reasoning: StrictBool | None = Field(
        default=None, description="`output` contains `reasoning`. To be said where that is mapped."
    )
    one_process: StrictBool = Field(
        description="The page is one process's: its start time is that of the counters, and if one fell, all did."
    )

    def disagreements(self) -> Iterator[Mistake]:
        given = self.tokens.given().keys()
        for parts, whole, key in (
            (("cache_read", "cache_write"), "input", "prompt_includes_cached"),
            (("reasoning",), "output", "output_includes_reasoning"),
        ):
            mapped, contains = [part for part in parts if part in given], getattr(self, key)
            if mapped and contains is None and whole in given:
                wrong = f"the key is missing: tokens.{mapped[0]} is mapped"
                yield (key,), wrong, f"write true if tokens.{whole} contains them, false if it does not"
            elif contains and mapped and whole not in given:
                yield (key,), f"there is no tokens.{whole} to take tokens.{mapped[0]} out of", "map it, or write false"


class CustomPool(Custom):
    """What the samples of an engine's page count."""

    seconds: CustomSeconds = Field(default_factory=CustomSeconds)
    running: Mapped | None = Field(default=None, description="Requests being worked on.")
    waiting: Mapped | None = Field(default=None, description="Requests queued.")
    kv_cache: Mapped | None = Field(default=None, description="KV cache in use, 0 to 1.")


class CustomGateway(Custom):
    """What the samples of a gateway's page count."""

    alias_label: t.Label | None = Field(default=None, description="The label that says what the client called it.")
