"""All budgets of a config: what is spent goes to those that want it, and into a history that asks for none of them.

Pure but for the history, which is read from disk when there is a budget that has not been there before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from exporter.budgets.book import BudgetBook, Gauge
from exporter.columns import Columns
from exporter.config.schema import Config
from exporter.config.types import HOUR
from exporter.errors import LedgerError
from exporter.ledger.accounts import Family
from exporter.ledger.changes import Changes, Saved, Scope, State
from exporter.ledger.hours import Hours
from exporter.metering.labels import safe
from exporter.records import Instant

# A clock that steps back by no more waits where it was, so that a period that has ended is not begun again.
HELD_NS = HOUR
_CLOCK = ":clock"  # stands among the budgets in the ledger; no name has a colon


@dataclass(slots=True)
class _Route:
    """Who wants to know what is spent on one model in one place."""

    everybody: list[BudgetBook] = field(default_factory=list)
    tenants: dict[str, list[BudgetBook]] = field(default_factory=dict)


class Budgets:
    """Told of each tick: `begin`, then `add` whatever was spent in it, then `settle`."""

    def __init__(self, spend: Family, saved: Saved, now: Instant) -> None:
        clock: Mapping[str, int] = saved.budgets.get(_CLOCK, {"wall_ns": now.wall_ns, "date_ns": now.wall_ns})
        self._wall_ns = now.wall_ns
        # The date of what is spent: the wall clock, but for small steps back.
        self._date_ns = clock["date_ns"]
        self._latest_ns = clock.get("latest_ns", 0)
        # The stopwatch: time since the ledger began, on the monotonic clock while we run.
        self._now_ns = self._last_ns = clock.get("now_ns", 0)
        self._away_ns = max(0, now.wall_ns - clock["wall_ns"])  # since the last tick that was saved
        self._hours = Hours(spend, saved, self._date_ns // HOUR, clock.get("number", 1))
        self._books: dict[str, BudgetBook] = {}
        self._routes: dict[tuple[str, str], _Route] = {}
        self._forgotten = saved.budgets.keys() - {_CLOCK}
        self._saved = saved

    def configure(self, config: Config) -> None:
        """Budgets of a new config. Those that stay the same but for their limit keep what they know."""
        books: dict[str, BudgetBook] = {}
        for budget in config.budgets:
            book = BudgetBook(budget, _scope(budget.tenant, budget.model, budget.pool, config.tenants.aliases))
            known, state = self._books.get(budget.name), self._saved.budgets.get(budget.name)
            if known and known.identity == book.identity:
                book = known
                book.configure(budget)
            elif state and state["identity"] == book.identity:
                book.restore(state, self._saved.moments.get(budget.name, ()))
                self._forgotten.discard(budget.name)
            else:
                self._forgotten.add(budget.name)
            books[budget.name] = book
        self._forgotten |= self._books.keys() - books.keys()
        self._books, self._routes = books, {}
        self._saved = Saved()

    # -- a tick -----------------------------------------------------------------------------------------------------

    def begin(self, at: Instant, elapsed_ns: int) -> None:
        """A tick at that moment, so long after the last one."""
        self._last_ns = self._now_ns
        self._now_ns += elapsed_ns + self._away_ns
        self._away_ns = 0
        self._wall_ns = at.wall_ns
        if not 0 < self._date_ns - at.wall_ns <= HELD_NS:
            self._date_ns = at.wall_ns
        self._hours.enter(self._date_ns // HOUR)
        asked: list[tuple[BudgetBook, int]] = []
        for book in self._books.values():
            book.enter(self._date_ns, self._latest_ns)
            if (since_ns := book.asks_since(self._date_ns)) is not None:
                asked.append((book, since_ns // HOUR))
        self._latest_ns = max(self._latest_ns, self._date_ns)
        if asked:
            past = self._hours.of([(book.scope, since) for book, since in asked], self._date_ns)
            with suppress(LedgerError):  # asked again in the next tick; until then nothing is known
                for (book, _), stretches in zip(asked, past, strict=True):
                    book.adopt(stretches, self._date_ns, self._now_ns)

    def add(self, place: str, spend: Columns) -> None:
        """pico-USD were spent in that pool or at that provider."""
        if not self._books:
            return
        for (model, _), column in spend.items():
            route = self._routes.get((place, model))
            if route is None:
                route = self._routes[place, model] = self._route(place, model)
            if route.everybody:
                amount = sum(column.values())
                for book in route.everybody:
                    book.add(amount)
            for tenant in route.tenants.keys() & column.keys():
                for book in route.tenants[tenant]:
                    book.add(column[tenant])

    def _route(self, place: str, model: str) -> _Route:
        route = _Route()
        for book in self._books.values():
            tenant, *rest = book.scope
            if all(wanted in (None, have) for wanted, have in zip(rest, (model, place), strict=True)):
                (route.everybody if tenant is None else route.tenants.setdefault(tenant, [])).append(book)
        return route

    def settle(self) -> None:
        """All that was spent in the tick has been added."""
        for book in self._books.values():
            book.settle(self._date_ns, self._last_ns, self._now_ns)

    # -- ledger -----------------------------------------------------------------------------------------------------

    def drain(self) -> Changes:
        """What the ledger must write of budgets and of the history."""
        hours = self._hours.drain()
        clock = {
            "wall_ns": self._wall_ns, "date_ns": self._date_ns, "latest_ns": self._latest_ns, "now_ns": self._now_ns,
            "number": self._hours.number,
        }  # fmt: skip
        budgets: dict[str, State] = {_CLOCK: clock}
        moments, expired = [], []
        for name, book in self._books.items():
            if book.trail is None:
                continue
            budgets[name] = book.state()
            moments += [(name, *moment) for moment in book.trail.unsaved]
            expired += [(name, width, book.trail.oldest(width)) for width in {m[0] for m in book.trail.unsaved}]
            book.trail.unsaved = []
        forgotten, self._forgotten = frozenset(self._forgotten), set()
        return Changes(
            hours=hours, budgets=budgets, moments=tuple(moments), expired=tuple(expired), forgotten=forgotten
        )

    def undrain(self, changes: Changes) -> None:
        """These changes did not reach the disk."""
        self._hours.undrain(changes.hours)
        self._forgotten |= changes.forgotten
        for name, width, at, total in changes.moments:
            book = self._books.get(name)
            if book and book.trail and at >= book.trail.oldest(width):
                book.trail.unsaved.append((width, at, total))

    # -- what is published ------------------------------------------------------------------------------------------

    def gauges(self) -> Iterator[Gauge]:
        """Of all budgets, as the last tick left them."""
        for book in self._books.values():
            yield from book.gauges(self._date_ns, self._now_ns)


def _scope(tenant: str | None, model: str | None, pool: str | None, aliases: Mapping[str, str]) -> Scope:
    """Names as they stand in the books."""
    own = None if tenant is None else safe(aliases.get(tenant, tenant))
    return own, None if model is None else safe(model), pool
