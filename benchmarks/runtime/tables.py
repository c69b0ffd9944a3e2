"""How the rows are printed: as text, or as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .peers import PEERS

COLUMNS = ("figure", "unit", "goal", "median", "best", "cpu", "floor", "x floor", *PEERS)
WIDTHS = (44, 11, 7, 10, 10, 10, 9, 9, *([18] * len(PEERS)))


class Text:
    """Columns of fixed width; a `!` behind a median that misses its goal."""

    def head(self) -> None:
        self._line(COLUMNS)

    def rows(self, figures: Sequence[Mapping[str, Any]]) -> None:
        for figure in figures:
            self._line(cells(figure))

    def _line(self, each: Sequence[str]) -> None:
        name, *others = (
            f"{cell:<{width}}" if index == 0 else f"{cell:>{width}}"
            for index, (cell, width) in enumerate(zip(each, WIDTHS, strict=True))
        )
        print(name, *others, sep="", flush=True)


class Markdown:
    """A table for a page."""

    def head(self) -> None:
        self._line(COLUMNS)
        self._line(["---"] * len(COLUMNS))

    def rows(self, figures: Sequence[Mapping[str, Any]]) -> None:
        for figure in figures:
            self._line(cells(figure))

    def _line(self, each: Sequence[str]) -> None:
        print(f"| {' | '.join(each)} |".replace("|  |", "| |"), flush=True)


def cells(figure: Mapping[str, Any]) -> list[str]:
    """What stands in a row."""
    missed = " !" if figure["met"] is False else ""
    told = [
        figure["name"],
        figure["unit"],
        number(figure["goal"]),
        number(figure["median"]) + missed,
        number(figure["best"]),
        number(figure["cpu"]),
        number(figure["floor"]),
        number(figure["x floor"]),
    ]
    return told + [_peer(figure, name) for name in PEERS]


def _peer(figure: Mapping[str, Any], name: str) -> str:
    if name not in figure["peers"]:
        return ""
    ratio = figure["x peers"][name]
    return number(figure["peers"][name]) + (f" ({number(ratio)}x)" if ratio else "")


def number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
