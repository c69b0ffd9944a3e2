"""A comparison of policies as a picture: goodput by load, in tokens and in requests, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10
from typing import Final

from .serving import Interval, Row, summarised

WIDTH, HEIGHT = 460, 300
"""Of one panel's drawing area, pixels."""
LEFT, TOP, BETWEEN, LEGEND = 64, 40, 90, 130
"""Room around the panels, pixels."""
COLOURS: Final = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"),
    *("#7f7f7f", "#8c564b", "#17becf", "#bcbd22", "#9467bd", "#2ca02c", "#d62728"),
)
"""The first seven can be told apart by everybody (Okabe and Ito)."""
PANELS: Final = (("token_goodput", "tokens in time, 1/s"), ("request_goodput", "requests in time, 1/s"))


@dataclass(frozen=True, slots=True)
class _Panel:
    """One drawing area, and what its axes span."""

    left: float
    loads: tuple[float, float]
    top: float

    def x(self, load: float) -> float:
        low, high = self.loads
        return self.left + WIDTH * ((load - low) / (high - low) if high > low else 0.5)

    def y(self, value: float) -> float:
        return TOP + HEIGHT * (1 - value / self.top)


def svg(rows: Sequence[Row]) -> str:
    """Draw the rows: a line for each policy, with 95 % confidence intervals."""
    found = summarised(rows)
    loads = sorted({load for load, _ in found})
    policies = list(dict.fromkeys(policy for _, policy in found))
    parts = []
    for number, (measure, title) in enumerate(PANELS):
        means = {key: each[measure] for key, each in found.items()}
        top = _nice(max((each.mean + each.half for each in means.values()), default=1.0) or 1.0)
        panel = _Panel(LEFT + number * (WIDTH + BETWEEN), (loads[0], loads[-1]), top)
        parts += _axes(panel, loads, title)
        for policy, colour in _coloured(policies):
            points = [(load, means[load, policy]) for load in loads if (load, policy) in means]
            parts += _line(panel, points, colour)
    right = LEFT + len(PANELS) * (WIDTH + BETWEEN) - BETWEEN + 20
    for number, (policy, colour) in enumerate(_coloured(policies)):
        y = TOP + 10 + 18 * number
        parts += [_stroke(right, y, right + 18, y, colour, 2), _text(right + 24, y + 4, policy)]
    size = f'width="{right + LEGEND}" height="{max(TOP + HEIGHT + 50, TOP + 20 + 18 * len(policies))}"'
    style = 'font-family="sans-serif" font-size="12"'
    body = "\n".join(parts)
    background = '<rect width="100%" height="100%" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{background}\n{body}\n</svg>\n'


def _axes(panel: _Panel, loads: Sequence[float], title: str) -> list[str]:
    low, right, bottom = panel.left, panel.left + WIDTH, TOP + HEIGHT
    parts = [_text(low, TOP - 14, title)]
    for number in range(6):
        value = panel.top * number / 5
        y = panel.y(value)
        parts += [_stroke(low, y, right, y, "#ddd"), _text(low - 8, y + 4, f"{value:g}", "end")]
    parts += [_text(panel.x(load), bottom + 20, f"{load:g}", "middle") for load in loads]
    parts.append(_text(low + WIDTH / 2, bottom + 40, "load, 1 = saturation", "middle"))
    return parts


def _line(panel: _Panel, points: Sequence[tuple[float, Interval]], colour: str) -> list[str]:
    places = " ".join(f"{panel.x(load):.1f},{panel.y(each.mean):.1f}" for load, each in points)
    parts = [f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for load, each in points:
        x, low, high = panel.x(load), panel.y(max(0.0, each.mean - each.half)), panel.y(each.mean + each.half)
        parts.append(f'<circle cx="{x:.1f}" cy="{panel.y(each.mean):.1f}" r="3" fill="{colour}"/>')
        if each.half:
            parts.append(_stroke(x, low, x, high, colour))
    return parts


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str, width: int = 1) -> str:
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {place} stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _coloured(policies: Sequence[str]) -> list[tuple[str, str]]:
    return [(policy, COLOURS[number % len(COLOURS)]) for number, policy in enumerate(policies)]


def _nice(value: float) -> float:
    """The next round number: an axis that ends there has round marks."""
    unit = 10.0 ** floor(log10(value))
    return next((unit * step for step in (1, 2, 2.5, 5) if unit * step >= value), unit * 10)
