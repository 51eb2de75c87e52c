"""What an engine's file in this folder says: a table of metric names and what each of them counts.

Names are full sample names as they stand on the page (`..._total`, `..._sum`). Where a name changed over an
engine's life, all its names are listed, newest first: of those on one page only one is ever counted, never two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

from exporter.records import Measure, Phase, TokenClass


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing an engine reports.

    `names` are alternatives, first one present wins. Series that carry a label of `skip` with that value are left
    out; series that carry a label of `only` are taken only with that value (an absent label counts as "").
    """

    names: tuple[str, ...]
    only: tuple[tuple[str, str], ...] = ()
    skip: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Tokens(Signal):
    """A token counter and the classes it moves, per token counted.

    vLLM's prompt counter contains the cached tokens, so there the prompt counter moves `input` by +1 and the cached
    counter moves `cache_read` by +1 and `input` by -1: the classes stay disjoint by construction.
    """

    moves: tuple[tuple[TokenClass, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Seconds(Signal):
    """A counter of request-seconds spent in one phase."""

    phase: Phase = "queue"


@dataclass(frozen=True, slots=True)
class Measured(Signal):
    """A counter that says how the engine spends its time; what the fitted split needs."""

    measure: Measure = "steps"


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine, whole."""

    name: str
    marks: tuple[str, ...]  # a page with a sample of any of these names is this engine's
    required: tuple[tuple[str, ...], ...]  # one name of each group is on every complete page; it may count nothing
    tokens: tuple[Tokens, ...]
    model_label: str | None = None  # None: the page does not name the model
    older_model_label: str | None = None  # what it was called before
    role_label: str | None = None  # the label that says prefill or decode, where the engine has one
    alias_label: str | None = None  # what the client called the model, where that is another label
    requests: tuple[Signal, ...] = ()
    seconds: tuple[Seconds, ...] = ()
    measures: tuple[Measured, ...] = ()
    running: Signal | None = None  # requests being worked on, summed over series
    waiting: Signal | None = None  # requests queued, summed over series
    kv_cache: Signal | None = None  # ratio 0..1, averaged over series
    # True where every counter on the page lives in one process: if one of its token or request counters fell, all
    # of them restarted. False where series come and go one by one (LiteLLM evicts).
    one_process: bool = True
    # True where a counter may fall a little for no reason but the engine's own arithmetic: not all falls are restarts.
    dips: bool = False
    # False where the start time on the page is that of a collector, not of what counted.
    own_start: bool = True
    names: frozenset[str] = field(init=False)  # that a scan must look for
    table: str = field(init=False)  # another text where it counts other series, or counts them as something else

    def __post_init__(self) -> None:
        signals: list[Signal] = [*self.tokens, *self.requests, *self.seconds, *self.measures]
        object.__setattr__(self, "table", blake2b(repr(signals).encode(), digest_size=8).hexdigest())
        signals += [gauge for gauge in (self.running, self.waiting, self.kv_cache) if gauge]
        groups = [*self.required, *(signal.names for signal in signals)]
        object.__setattr__(self, "names", frozenset(name for names in groups for name in names))
