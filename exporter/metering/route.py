"""What each series of a page counts for, worked out once per series from the engine's table and the config."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from exporter.metering.labels import given, safe
from exporter.metering.usage import Account
from exporter.records import PROMPT_CLASSES, Measure, Phase, Role, Samples, Series, TokenClass
from exporter.sources.engine import Engine, Measured, Seconds, Signal, Tokens

# The phase that is another server's in disaggregated serving.
_ELSEWHERE: dict[Role, Phase | None] = {"any": None, "prefill": "decode", "decode": "prefill"}
# Measures of answers, counted like requests where answers are made; the others say how one server does both phases.
_OF_ANSWERS: frozenset[Measure] = frozenset({"drafted", "accepted", "aborted"})


@dataclass(frozen=True, slots=True)
class Scope:
    """What the config says about a target, as far as metering cares."""

    role: Role
    model: str  # the model's name when the page has none
    # Whose a series is: (series, model, what the client called it). None: another exporter counts it.
    account: Callable[[Series, str, str], Account | None]
    watched_since_ns: int  # Unix: since when its pool is being watched
    custom: Engine | None = None  # the table that the config itself holds


Cell = tuple[str, str, TokenClass]  # (place, model, class): the column that a tenant's tokens go to


@dataclass(frozen=True, slots=True)
class Route:
    """Where one series' growth goes; at least one of the four is set."""

    account: Account
    cells: tuple[tuple[Cell, int], ...] = ()  # +1 or -1
    request: bool = False
    phase: Phase | None = None
    measure: Measure | None = None
    more: bool = False  # than tokens
    whole: bool = True  # counts whole things, not seconds


Counters = Iterator[tuple[Series, Route, float]]


class Router:
    """The table of one engine, read for one target."""

    def __init__(self, engine: Engine, scope: Scope) -> None:
        self._engine = engine
        self._scope = scope
        counters: tuple[Signal, ...] = (*engine.tokens, *engine.requests, *engine.seconds, *engine.measures)
        self._signals: dict[str, list[Signal]] = {}  # several of one kind and name are told apart by `only`
        for signal in counters:
            for name in signal.names:
                self._signals.setdefault(name, []).append(signal)
        self._alternatives = tuple(signal.names for signal in counters if len(signal.names) > 1)
        self._routes: dict[Series, Route | None] = {}
        self._page_size = -1  # of the page for which `_unwanted` was chosen
        self._unwanted: set[str] = set()

    def counters(self, samples: Samples, page: Samples, known: set[str]) -> Counters:
        """The counters among `samples`, a part of `page`, with where they go; tokens and requests as whole numbers.

        Where one signal stands on the page under several names, the name already being counted (`known`) goes on
        being counted, else the newest: never both.
        """
        if len(self._routes) > 2 * len(page) + 1024:
            self._routes.clear()  # series that went away
        if len(samples) == len(page) != 0 or len(page) != self._page_size:
            self._page_size, self._unwanted = len(page), self._choose(page, known)
        unwanted, routes = self._unwanted, self._routes
        for series, value in samples.items():
            try:
                route = routes[series]
            except KeyError:
                route = routes[series] = self._route(series)
            if route is None or (unwanted and series.name in unwanted):
                continue
            yield series, route, float(round(value)) if value % 1 and route.whole else value

    def _choose(self, page: Samples, known: set[str]) -> set[str]:
        """Names on the page whose signal is counted under another name."""
        names = {series.name for series in page} if self._alternatives else set()
        unwanted: set[str] = set()
        for alternatives in self._alternatives:
            present = [name for name in alternatives if name in names]
            if len(present) > 1:
                keep = next((name for name in present if name in known), present[0])
                unwanted.update(name for name in present if name != keep)
        return unwanted

    def gauge(self, signal: Signal | None, samples: Samples) -> list[float]:
        """The page's values of a gauge, under the first of its names that is there."""
        for name in signal.names if signal else ():
            values = [value for series, value in samples.items() if series.name == name and _takes(signal, series)]
            if values:
                return values
        return []

    def _route(self, series: Series) -> Route | None:
        """A series may count for several things, but for one of each kind: the first signal that takes it."""
        engine, role = self._engine, self._scope.role
        signals = [one for one in self._signals.get(series.name, ()) if _takes(one, series)]
        if not signals:
            return None
        if role == "any" and engine.role_label and series.label(engine.role_label) == "prefill":
            return None  # the decode side counts the same prompt again; configure roles to split them
        model = _first(series, engine.model_label, engine.older_model_label) or self._scope.model
        account = self._scope.account(series, model, _first(series, engine.alias_label) or model)
        if account is None:
            return None
        moves = next((_role_moves(one.moves, role) for one in signals if isinstance(one, Tokens)), [])
        phase = next((one.phase for one in signals if isinstance(one, Seconds)), None)
        measure = next((one.measure for one in signals if isinstance(one, Measured)), None)
        request = role != "prefill" and any(type(one) is Signal for one in signals)
        timed = phase is not None and phase != _ELSEWHERE[role]
        measured = role == "any" or (role == "decode" and measure in _OF_ANSWERS)
        route = Route(
            account,
            cells=tuple(((account[0], account[2], token), sign) for token, sign in moves),
            request=request,
            phase=phase if timed else None,
            measure=measure if measured else None,
            more=request or timed or (measured and measure is not None),
            whole=phase is None and measure != "inter_token_seconds",
        )
        return route if route.cells or route.more else None


def _first(series: Series, *labels: str | None) -> str:
    """What the first of these labels that is set says; "" where none is."""
    return safe(next((value for label in labels if label and (value := given(series.label(label)))), ""))


def _takes(signal: Signal | None, series: Series) -> bool:
    return (
        signal is not None
        and all(series.label(label) == value for label, value in signal.only)
        and not any(series.label(label) == value for label, value in signal.skip)
    )


def _role_moves(moves: Iterable[tuple[TokenClass, int]], role: Role) -> list[tuple[TokenClass, int]]:
    # Disaggregated serving counts the prompt on both sides and one output token on the prefill side: the prompt is
    # taken from where it was computed, the output from where it was generated.
    if role == "any":
        return list(moves)
    return [(token, sign) for token, sign in moves if (token in PROMPT_CLASSES) == (role == "prefill")]
