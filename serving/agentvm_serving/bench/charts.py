"""Charts: lines in panels, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from math import floor, log10
from typing import Final

WIDTH, HEIGHT = 400, 260
"""Of one panel's drawing area, pixels."""
LEFT, TOP, RIGHT, BOTTOM, LEGEND = 64, 40, 26, 56, 150
"""Room around the panels, pixels."""
COLUMNS: Final = 2
"""Panels beside each other."""
COLOURS: Final = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"),
    *("#7f7f7f", "#8c564b", "#17becf", "#bcbd22", "#9467bd", "#2ca02c", "#d62728"),
)
"""The first seven can be told apart by everybody (Okabe and Ito)."""
ROUND: Final = (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 7.5)
"""What an axis may end at, times a power of ten: fifths of these are round, too."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place on a line, with its confidence interval."""

    x: float
    y: float
    half: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; equal names have equal colours in all panels."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Panel:
    """A drawing area with lines in it."""

    title: str
    below: str
    """What is along the horizontal axis."""
    lines: Sequence[Line]
    marks: Sequence[float] = ()
    """Where the horizontal axis has numbers; by default five round steps."""
    low: float = 0.0
    """Where the vertical axis begins."""
    high: float | None = None
    """Where it ends; by default at a round number above all points and their intervals."""
    dots: bool = True
    span: tuple[float, float] = field(init=False)
    top: float = field(init=False)

    def __post_init__(self) -> None:
        xs = [point.x for line in self.lines for point in line.points] or [0.0, 1.0]
        ys = [point.y + point.half for line in self.lines for point in line.points]
        object.__setattr__(self, "span", (min(xs), max(xs)))
        object.__setattr__(self, "top", self.high or nice(max(ys, default=1.0) or 1.0))

    def x(self, value: float) -> float:
        low, high = self.span
        return LEFT + WIDTH * ((value - low) / (high - low) if high > low else 0.5)

    def y(self, value: float) -> float:
        share = (min(max(self.low, value), self.top) - self.low) / (self.top - self.low)
        return TOP + HEIGHT * (1 - share)


def svg(panels: Sequence[Panel]) -> str:
    """Draw panels, two beside each other, and a legend."""
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    across, down = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM
    columns = min(COLUMNS, len(panels))
    parts: list[str] = []
    for number, panel in enumerate(panels):
        place = f"translate({number % columns * across} {number // columns * down})"
        parts += [f'<g transform="{place}">', *_axes(panel)]
        for line in panel.lines:
            parts += _line(panel, line, colours[line.name])
        parts.append("</g>")
    right = columns * across
    for number, name in enumerate(names):
        y = TOP + 10 + 18 * number
        parts += [_stroke(right, y, right + 18, y, colours[name], 2), _text(right + 24, y + 4, name)]
    height = max(-(-len(panels) // columns) * down, TOP + 20 + 18 * len(names))
    size = f'width="{right + LEGEND}" height="{height}"'
    style = 'font-family="sans-serif" font-size="12"'
    background = '<rect width="100%" height="100%" fill="white"/>'
    body = "\n".join([background, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{body}\n</svg>\n'


def nice(value: float) -> float:
    """The next round number: an axis that ends there has round marks."""
    unit = 10.0 ** floor(log10(value))
    return next((unit * step for step in ROUND if unit * step >= value), unit * 10)


def _axes(panel: Panel) -> list[str]:
    right, bottom = LEFT + WIDTH, TOP + HEIGHT
    parts = [_text(LEFT, TOP - 14, panel.title)]
    for number in range(6):
        value = panel.low + (panel.top - panel.low) * number / 5
        y = panel.y(value)
        parts += [_stroke(LEFT, y, right, y, "#ddd"), _text(LEFT - 8, y + 4, f"{value:g}", "end")]
    low, high = panel.span
    marks = panel.marks or [low + (high - low) * number / 5 for number in range(6)]
    parts += [_text(panel.x(mark), bottom + 20, f"{mark:.4g}", "middle") for mark in marks]
    return [*parts, _text(LEFT + WIDTH / 2, bottom + 40, panel.below, "middle")]


def _line(panel: Panel, line: Line, colour: str) -> list[str]:
    places = " ".join(f"{panel.x(each.x):.1f},{panel.y(each.y):.1f}" for each in line.points)
    parts = [f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for each in line.points if panel.dots else ():
        x = panel.x(each.x)
        parts.append(f'<circle cx="{x:.1f}" cy="{panel.y(each.y):.1f}" r="3" fill="{colour}"/>')
        if each.half:
            parts.append(_stroke(x, panel.y(each.y - each.half), x, panel.y(each.y + each.half), colour))
    return parts


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str, width: int = 1) -> str:
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {place} stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
