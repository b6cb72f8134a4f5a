"""Line plots as SVG, with nothing but strings. Readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, Literal

from msgspec import Struct

WIDTH: Final = 720
HEIGHT: Final = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 44, 52
_COLOURS: Final = ("#3273c8", "#d1495b", "#2a9d6f", "#c98a1b", "#7a5195", "#5c6b73")
_STYLE: Final = """<style>
svg { color: #1f2328; background: #ffffff; font: 13px system-ui, sans-serif }
text { fill: currentColor } .title { font-size: 15px; font-weight: 600 } .grid { stroke: currentColor; opacity: .15 }
.mark { stroke: currentColor; stroke-dasharray: 5 4; opacity: .6 }
@media (prefers-color-scheme: dark) { svg { color: #e6edf3; background: #0d1117 } }
</style>"""

Points = Sequence[tuple[float, float]]


class Line(Struct, frozen=True):
    """A line and its name."""

    name: str
    points: Points


class Axis(Struct, frozen=True):
    """An axis. `log` axes show powers of ten, and nothing at or below 0."""

    title: str
    scale: Literal["linear", "log"] = "linear"
    ticks: tuple[tuple[float, str], ...] = ()
    """Where to write what; chosen from the data if empty."""


class Mark(Struct, frozen=True):
    """A level to stay below, drawn across."""

    level: float
    name: str


def draw(title: str, x: Axis, y: Axis, lines: Sequence[Line], marks: Sequence[Mark] = ()) -> str:
    """The plot as an SVG document. Raises `ValueError` where there is nothing to draw."""
    across = _Scale(x, [point[0] for line in lines for point in line.points], _LEFT, WIDTH - _RIGHT)
    levels = [point[1] for line in lines for point in line.points] + [mark.level for mark in marks]
    up = _Scale(y, levels if y.scale == "log" else [0.0, *levels], HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        _STYLE,
        f'<text class="title" x="{_LEFT}" y="22">{escape(title)}</text>',
        *_grid(across, up),
        *_marks(marks, up),
        *_lines(lines, across, up),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Scale:
    """From values to places."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float) -> None:
        self.axis = axis
        self._log = axis.scale == "log"
        shown = [value for value in values if value > 0 or not self._log]
        if not shown:
            raise ValueError(f"nothing to draw along {axis.title}")
        low, high = min(shown), max(shown)
        self.ticks = axis.ticks or (_log_ticks(low, high) if self._log else _linear_ticks(low, high))
        low, high = min(low, self.ticks[0][0]), max(high, self.ticks[-1][0])
        self._low, self._high = self._at(low), self._at(high if high > low else low + 1)
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Where a value stands, in pixels."""
        share = (self._at(value) - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)

    def _at(self, value: float) -> float:
        return math.log10(max(value, 1e-9)) if self._log else value


def _linear_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Five steps or so of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 5 or 1.0
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return tuple((number * step, f"{number * step:g}") for number in range(first, last + 1))


def _log_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return tuple((10.0**power, f"{10.0**power:g}") for power in range(first, max(last, first + 1) + 1))


def _grid(across: _Scale, up: _Scale) -> Iterator[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    for value, name in up.ticks:
        y = up.place(value)
        yield f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{right}" y2="{y}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{escape(name)}</text>'
    for value, name in across.ticks:
        x = across.place(value)
        yield f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}"/>'
        yield f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{escape(name)}</text>'
    yield f'<text x="{(_LEFT + right) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(across.axis.title)}</text>'
    middle = (_TOP + bottom) / 2
    turned = f'x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})"'
    yield f"<text {turned}>{escape(up.axis.title)}</text>"


def _marks(marks: Sequence[Mark], up: _Scale) -> Iterator[str]:
    for mark in marks:
        y = up.place(mark.level)
        yield f'<line class="mark" x1="{_LEFT}" y1="{y}" x2="{WIDTH - _RIGHT}" y2="{y}"/>'
        yield f'<text x="{WIDTH - _RIGHT - 4}" y="{y - 5}" text-anchor="end">{escape(mark.name)}</text>'


def _lines(lines: Sequence[Line], across: _Scale, up: _Scale) -> Iterator[str]:
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(across.place(x), up.place(y)) for x, y in line.points]
        path = " ".join(f"{x},{y}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'
        if len(places) <= 16:
            yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places)
        y = _TOP + 14 + 18 * number
        yield f'<line x1="{_LEFT + 12}" y1="{y - 4}" x2="{_LEFT + 32}" y2="{y - 4}" stroke="{colour}" stroke-width="3"/>'
        yield f'<text x="{_LEFT + 38}" y="{y}">{escape(line.name)}</text>'
