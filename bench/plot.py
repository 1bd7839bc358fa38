"""Plots as SVG, made by hand: both axes logarithmic, each line named at its end, readable on light and on dark."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 236, 48, 48
_LINE = 15  # between two names

# Told apart without colour vision as well, and on either ground.
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
.title { font-size: 15px; font-weight: 600; fill: #24292f }
.grid { stroke: #8c959f; stroke-opacity: .25 }
.s0 { --c: #0969da } .s1 { --c: #57606a } .s2 { --c: #bc4c00 } .s3 { --c: #8250df } .s4 { --c: #bf3989 } .s5 { --c: #9a6700 } .s6 { --c: #1a7f37 }
@media (prefers-color-scheme: dark) {
text { fill: #9198a1 } .title { fill: #f0f6fc }
.s0 { --c: #58a6ff } .s1 { --c: #9198a1 } .s2 { --c: #f0883e } .s3 { --c: #bc8cff } .s4 { --c: #f778ba } .s5 { --c: #d29922 } .s6 { --c: #3fb950 }
}
path { fill: none; stroke: var(--c); stroke-width: 1.8 } .s0 path { stroke-width: 3 }
circle { fill: var(--c) } .name { fill: var(--c) } .s0 .name { font-weight: 600 }
.whisker { stroke-width: 1 }
"""


@dataclass(frozen=True)
class Point:
    """A figure at a size, with the smallest and the largest that were measured."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Series:
    """A line. The first of a plot is the one that it is about."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis over whole powers of ten, from `start` to `end` in pixels."""

    low: int
    high: int
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> "Axis":
        """One that all of these lie on."""
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return cls(low, max(high, low + 1), start, end)

    def at(self, value: float) -> float:
        """Where a value is."""
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[float]:
        """The powers of ten."""
        return [10.0**exponent for exponent in range(self.low, self.high + 1)]


def plot(title: str, x_label: str, y_label: str, series: Sequence[Series]) -> str:
    """The picture, as a file of its own. Raises ValueError when there is nothing to show."""
    points = [point for line in series for point in line.points]
    if not points:
        raise ValueError(f"nothing was measured for {title!r}")
    x = Axis.over([point.x for point in points], _LEFT, _WIDTH - _RIGHT)
    y = Axis.over([value for point in points for value in (point.low, point.high)], _HEIGHT - _BOTTOM, _TOP)
    places = _apart(
        {line.name: (x.at(line.points[-1].x), y.at(line.points[-1].y)) for line in series if line.points}
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="{_LEFT}" y="22">{escape(title)}</text>',
        *_grid(x, y),
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text x="{_LEFT - 40}" y="{_TOP - 10}">{escape(y_label)}</text>',
    ]
    for number, line in enumerate(series):
        if line.points:
            parts += [f'<g class="s{number % 7}">', *_line(line, x, y, places[line.name]), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _grid(x: Axis, y: Axis) -> list[str]:
    parts = []
    for tick in x.ticks:
        at = x.at(tick)
        parts.append(f'<line class="grid" x1="{at}" y1="{y.start}" x2="{at}" y2="{y.end}"/>')
        parts.append(f'<text x="{at}" y="{y.start + 18}" text-anchor="middle">{_number(tick)}</text>')
    for tick in y.ticks:
        at = y.at(tick)
        parts.append(f'<line class="grid" x1="{x.start}" y1="{at}" x2="{x.end}" y2="{at}"/>')
        parts.append(f'<text x="{x.start - 8}" y="{at + 4}" text-anchor="end">{_number(tick)}</text>')
    return parts


def _line(line: Series, x: Axis, y: Axis, name_at: float) -> list[str]:
    places = [(x.at(point.x), y.at(point.y)) for point in line.points]
    path = " L".join(f"{left} {top}" for left, top in places)
    parts = [f'<path d="M{path}"/>']
    for point, (left, top) in zip(line.points, places, strict=True):
        parts.append(f'<circle cx="{left}" cy="{top}" r="3"/>')
        if point.high > point.low:
            parts.append(f'<path class="whisker" d="M{left} {y.at(point.low)} V{y.at(point.high)}"/>')
    right = places[-1][0]
    parts.append(f'<text class="name" x="{right + 9}" y="{name_at + 4}">{escape(line.name)}</text>')
    return parts


def _apart(ends: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """How high the names stand: as near to their lines' ends as they can, and none over another beside it."""
    places: dict[str, float] = {}
    above: dict[float, float] = {}
    for name, (column, place) in sorted(ends.items(), key=lambda item: item[1][1]):
        above[column] = max(place, above.get(column, -math.inf) + _LINE)
        places[name] = round(above[column], 1)
    return places


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
