"""Small plots as SVG: measured points on linear axes, and the straight line from the origin of growth through them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, TOP, GAP = 250, 150, 62, 34, 96
INK, FAINT, OURS, LINE = "#24292f", "#d0d7de", "#0969da", "#8c959f"


@dataclass(frozen=True, slots=True)
class Plot:
    """One quantity against one size."""

    title: str
    across: str
    points: Sequence[tuple[float, float]]  # by size


def slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(what it is at size 0, growth per unit of size): the straight line that is nearest by least squares."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return mean_y - rise * mean_x, rise


def short(value: float) -> str:
    """An axis label."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def above(value: float) -> float:
    """The next round number."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next(power * step for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if power * step >= value)


def svg(rows: Sequence[Sequence[Plot]]) -> str:
    """The plots as a grid."""
    across, down = max(map(len, rows)), len(rows)
    width, height = across * (WIDTH + GAP) + 10, down * (HEIGHT + GAP)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}" role="img">'
    )
    cells = (
        f'<g transform="translate({LEFT + x * (WIDTH + GAP)},{TOP + y * (HEIGHT + GAP)})">{"".join(_plot(plot))}</g>\n'
        for y, row in enumerate(rows)
        for x, plot in enumerate(row)
    )
    return f'{head}\n<rect width="100%" height="100%" fill="#ffffff"/>\n{"".join(cells)}</svg>\n'


def _plot(plot: Plot) -> Iterable[str]:
    wide, high = above(max(x for x, _ in plot.points)), above(max(y for _, y in plot.points))

    def at(x: float, y: float) -> str:
        return f"{x / wide * WIDTH:.1f},{HEIGHT - y / high * HEIGHT:.1f}"

    yield f'<text x="0" y="-12" font-size="13" font-weight="bold">{escape(plot.title)}</text>'
    for part in range(5):
        y = HEIGHT - part * HEIGHT / 4
        yield f'<line x1="0" y1="{y}" x2="{WIDTH}" y2="{y}" stroke="{FAINT}"/>'
        yield f'<text x="-6" y="{y + 4}" text-anchor="end">{short(round(high * part / 4, 6))}</text>'
        yield f'<text x="{part * WIDTH / 4}" y="{HEIGHT + 16}" text-anchor="middle">{short(wide * part / 4)}</text>'
    yield f'<text x="{WIDTH / 2}" y="{HEIGHT + 34}" text-anchor="middle">{escape(plot.across)}</text>'
    base, rise = slope(plot.points)
    ends = f"{at(0, max(0.0, base))} {at(wide, min(high, base + rise * wide))}"
    yield f'<polyline points="{ends}" fill="none" stroke="{LINE}" stroke-dasharray="4 3"/>'
    line = " ".join(at(x, y) for x, y in plot.points)
    yield f'<polyline points="{line}" fill="none" stroke="{OURS}" stroke-width="2"/>'
    for x, y in plot.points:
        cx, cy = at(x, y).split(",")
        yield f'<circle cx="{cx}" cy="{cy}" r="3.5" fill="{OURS}"/>'
