"""Errors of every split against the truth, by load.

The error of a split is the total variation distance between the shares of the tenants that it charges and the true
ones: the part of the money that is on the wrong bill. Beside it each tenant's |charged - true| / true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean

from tests.accuracy.batching import MACHINES, TRUTHS, Engine, Physics, Run
from tests.accuracy.methods import BOOKS, METHODS, booked, charged
from tests.accuracy.traffic import requests

SEED = 7
LOADS = {"idle": "the GPU works 5 % of the time", "half": "half of what it can serve", "saturated": "1.2 times that"}


@dataclass(frozen=True, slots=True)
class World:
    """A machine, its traffic, and the requests per second that are 5 % busy and all that it can serve."""

    machine: str
    mix: str
    idle: float
    capacity: float
    physics: Physics = "operator"

    def run(self, load: str, hours: float = 1.0, seed: int = SEED) -> Run:
        """Serve `hours` of traffic; idle takes four times that, for its requests are few."""
        rate = {"idle": self.idle, "half": self.capacity / 2, "saturated": self.capacity * 1.2}[load]
        seconds = hours * 3600 * (4 if load == "idle" else 1)
        return Engine(MACHINES[self.machine], self.physics).run(requests(self.mix, rate, seconds, seed))

    def __str__(self) -> str:
        return f"{self.machine}, {self.mix} traffic" + (", one roofline a step" if self.physics == "step" else "")


WORLDS = (
    World("8B on H100", "mixed", 0.027, 9.8),
    World("8B on H100", "long", 0.0085, 3.0),
    World("70B on 4 H100", "mixed", 0.013, 6.2),
    World("70B on 4 H100", "long", 0.0045, 2.18),
    World("8B on A100", "mixed", 0.016, 3.9),
    World("8B on A100", "long", 0.0055, 1.42),
    World("8B on H100", "mixed", 0.027, 9.8, "step"),
    World("70B on 4 H100", "long", 0.0045, 2.18, "step"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """One method in one world at one load: its shares, and the true ones by definition."""

    world: World
    load: str
    method: str
    shares: dict[str, float]
    truth: dict[str, dict[str, float]]

    def error(self, definition: str = TRUTHS[0]) -> float:
        """Total variation distance, 0 to 1."""
        truth = self.truth[definition]
        return sum(abs(self.shares.get(tenant, 0.0) - share) for tenant, share in truth.items()) / 2

    def tenants(self) -> dict[str, float]:
        """|charged - true| / true by tenant."""
        truth = self.truth[TRUTHS[0]]
        return {tenant: abs(self.shares.get(tenant, 0.0) / share - 1) for tenant, share in sorted(truth.items())}


def results(worlds: tuple[World, ...] = WORLDS, hours: float = 1.0, seed: int = SEED) -> Iterator[Result]:
    """Every method on every world and load."""
    for world in worlds:
        for load in LOADS:
            run = world.run(load, hours, seed)
            truth = {name: {tenant: cost / run.busy for tenant, cost in by.items()} for name, by in run.truth.items()}
            for name, method in METHODS.items():
                yield Result(world, load, name, charged(run, method(run)), truth)
            yield Result(world, load, BOOKS, booked(run), truth)


def show(found: list[Result], detailed: tuple[World, ...] = WORLDS[:2]) -> Iterator[str]:
    """The tables, as Markdown; of the `detailed` worlds every tenant."""
    yield "Money on the wrong bill, mean of the worlds (worst):\n"
    yield from _table(("split", *(f"{load}: {what}" for load, what in LOADS.items())), _summary(found, TRUTHS[0]))
    for definition in TRUTHS[1:]:
        yield f"\nThe same against another definition of the truth, `{definition}`:\n"
        yield from _table(("split", *LOADS), _summary(found, definition))
    for world in detailed:
        for load in LOADS:
            here = [result for result in found if result.world == world and result.load == load]
            truth = here[0].truth[TRUTHS[0]]
            yield f"\n{world}, {load}: error of each tenant's bill\n"
            yield from _table(
                ("split", *sorted(truth), "on the wrong bill"),
                [("true share", *(f"{truth[tenant]:.1%}" for tenant in sorted(truth)), "")]
                + [
                    (result.method, *(f"{off:.0%}" for off in result.tenants().values()), f"{result.error():.1%}")
                    for result in here
                ],
            )


def _summary(found: list[Result], definition: str) -> list[tuple[str, ...]]:
    rows = []
    for method in (*METHODS, BOOKS):
        cells = []
        for load in LOADS:
            errors = [result.error(definition) for result in found if (result.method, result.load) == (method, load)]
            cells.append(f"{mean(errors):.1%} ({max(errors):.1%})")
        rows.append((method, *cells))
    return rows


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    yield from ("| " + " | ".join(row) + " |" for row in rows)
