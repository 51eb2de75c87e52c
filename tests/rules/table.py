"""docs/alert-simulation.md, made from the tables that the rules are made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from exporter.rules.settings import TABLE
from exporter.rules.windows import BURN
from tests.docs import table
from tests.rules.simulation import CONDITIONS, World, caught, firing, worst
from tests.rules.traffic import BATCH, SHAPES, Minutes, months, steady, stepped

PAGE = Path(__file__).resolve().parents[2] / "docs" / "alert-simulation.md"
COUNT = 100
STEPS = (3, 5, 10, 20)
DETECTORS = ("BudgetBurnRateFast", "BudgetBurnRateSlow", "SpendAnomaly", "TokenRateSpike")


def page() -> str:
    """The whole page. Takes minutes."""
    return "\n".join((_HEAD, inputs(), _PLAN, _on_plan(), _STEADY, _steady(), _SHAPES, _in_shapes()))


def inputs() -> str:
    """What the simulation takes from the tables of the rules: when these differ, the page is out of date."""
    rows = []
    for alert in CONDITIONS:
        settings = TABLE[alert]
        values = ", ".join(f"`{name}` {t.value}" for name, t in settings.thresholds.items() if t.kind == "number")
        windows = ", ".join(f"{pair.long} and {pair.short}" for pair in BURN if pair.alert == alert)
        rows.append((f"`{alert}`", settings.severity, windows, values, settings.wait))
    return table(("alert", "severity", "windows", "thresholds", "for"), rows)


def _on_plan() -> str:
    head = ("budget", *(f"burn {p.long} and {p.short}" for p in BURN), *(f"`{alert}`" for alert in CONDITIONS))
    rows = []
    for shape in SHAPES:
        world = World(months(shape, COUNT))
        counts = []
        for alert in CONDITIONS:
            found = int(firing(alert, world).any(axis=1).sum())
            left_out = shape in BATCH and "except" in TABLE[alert].thresholds
            counts.append(f"left out ({found})" if left_out else str(found))
        rows.append((shape, *(f"{worst(world, pair):.1f}" for pair in BURN), *counts))
    return table(head, rows)


def _steady() -> str:
    head = ("step", *(f"`{alert}`" for alert in DETECTORS))
    return table(head, ((f"x{step}", *_cells(steady(), step, worst_too=False)) for step in STEPS))


def _in_shapes() -> str:
    head = ("budget", "step", *(f"`{alert}`" for alert in DETECTORS))
    rows = ((shape, step) for shape in SHAPES if shape not in BATCH for step in STEPS)
    return table(
        head, ((shape, f"x{step}", *_cells(months(shape, COUNT), step, worst_too=True)) for shape, step in rows)
    )


def _cells(spend: Minutes, step: int, *, worst_too: bool) -> Iterator[str]:
    months_after, since = stepped(spend, step)
    world = World(months_after)
    for alert in DETECTORS:
        found = caught(alert, world, since)
        known = [entry for entry in found if entry]
        if not known:
            yield "never"
            continue
        hours, shares = np.array(known).T
        text = f"{_time(np.median(hours))}, {_percent(np.median(shares))}"
        if worst_too:
            text += f" (worst {_time(hours.max())}, {_percent(shares.max())})"
        yield text if len(known) == len(found) else f"{len(known)} of {len(found)}: {text}"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _time(hours: float) -> str:
    return f"{round(hours * 60)} min" if hours < 2 else f"{hours:.1f} h"


_HEAD = """# What the alerts do on simulated traffic

Made by `make alert-sim` from the tables in `exporter/rules/windows.py` and `exporter/rules/settings.py`; the traffic
is in `tests/rules/traffic.py`. Nothing here is measured on a real system. Burn rates, forecasts and baselines are
computed minute by minute, as the exporter and the rules define them, for budgets of a month of 30 days. Floors in
dollars and tokens are left out.
"""

_PLAN = f"""## Months that go to plan

{COUNT} months of each shape. A month spends 99.9 % of its limit; around its shape it varies at random, by hour (16 %)
and by five minutes (41 %). The columns `burn` are the largest burn rates that both windows had at one time; those
after them count the months in which an alert fired at all. A budget that batch jobs spend in bursts is to be left out
(`--set 'Budget*.except=NAME'`); in brackets is what happens if it is not.

Every alert that fires here is false. A page in office hours takes a burn rate of 6 over six hours, and a busy day comes
near it: six working hours burn 4.2 to 4.5 on plan. Forecasts err most where a month has few working days, or ends on a
weekend.
"""

_STEADY = """## Steps from a steady plan

All spend grows by that factor at once and stays there, in a month that spent the same in every minute. Time from the
step to the alert, and the part of the month's budget that is spent in between.
"""

_SHAPES = f"""## Steps in traffic that has a shape

The same in {COUNT} months of each shape, at a random minute in which money is spent: the median, and the worst. In
office hours a step before the evening goes on the next morning, so time is long where the part of the budget is small.
At night a factor of little is little, and the page comes when the day does. An alert that does not fire within three
days counts as never.
"""
