"""A comparison of policies as a picture: goodput, attainment, gap to the oracle, slack, a timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import fmean

from .charts import Line, Panel, Point, svg
from .serving import SLACK_STEPS, Row, interval

BELOW = "load, 1 = saturation"
ORACLE = "oracle"


def picture(rows: Sequence[Row]) -> str:
    """Draw the rows as SVG, with 95 % confidence intervals."""
    return svg(list(panels(rows)))


def panels(rows: Sequence[Row]) -> Iterator[Panel]:
    """What there is to be seen in the rows."""
    yield _by_load(rows, "tokens in time, 1/s", lambda row: row.token_goodput)
    yield _by_load(rows, "requests in time, 1/s", lambda row: row.request_goodput)
    for slo in sorted({name for row in rows for name in row.attainment} - {"all"}):
        at = [row for row in rows if slo in row.attainment]
        yield _by_load(at, f"share of {slo} requests in time", partial(_attainment, slo), high=1.0)
    if any(row.policy == ORACLE for row in rows):
        yield _gap(rows)
    if any(row.slack for row in rows):
        yield _slack(rows)
    for row in rows:
        if row.timeline:
            yield _timeline(row)


def _attainment(slo: str, row: Row) -> float:
    return row.attainment[slo]


def _by_load(
    rows: Sequence[Row], title: str, measure: Callable[[Row], float], high: float | None = None
) -> Panel:
    loads = sorted({row.load for row in rows})
    lines = []
    for policy in dict.fromkeys(row.policy for row in rows):
        points = []
        for load in loads:
            if values := [measure(row) for row in rows if (row.policy, row.load) == (policy, load)]:
                found = interval(values)
                points.append(Point(load, found.mean, found.half))
        lines.append(Line(policy, points))
    return Panel(title, BELOW, lines, loads, high=high)


def _gap(rows: Sequence[Row]) -> Panel:
    best = {(row.load, row.seed): row.token_goodput for row in rows if row.policy == ORACLE}
    others = [row for row in rows if row.policy != ORACLE and best.get((row.load, row.seed))]
    title = "tokens in time as a share of the oracle's"
    return _by_load(others, title, lambda row: row.token_goodput / best[row.load, row.seed])


def _slack(rows: Sequence[Row]) -> Panel:
    """The distribution at the highest load; what ended more than once its time late is drawn at -1."""
    load = max(row.load for row in rows)
    lines = []
    for policy in dict.fromkeys(row.policy for row in rows):
        curves = [row.slack for row in rows if (row.policy, row.load) == (policy, load) and row.slack]
        means = [max(-1.0, fmean(values)) for values in zip(*curves, strict=True)]
        lines.append(Line(policy, [Point(x, n / SLACK_STEPS) for n, x in enumerate(means)]))
    below = "time left at the end, as a share of the time allowed"
    return Panel(
        f"share of requests with less, load {load:g}",
        below,
        lines,
        (-1, -0.5, 0, 0.5, 1),
        high=1.0,
        dots=False,
    )


def _timeline(row: Row) -> Panel:
    title = f"calls, {row.policy}, load {row.load:g}, seed {row.seed}"
    lines = [
        Line(name, [Point(sample[0], sample[place]) for sample in row.timeline])
        for place, name in ((1, "running"), (2, "waiting"))
    ]
    return Panel(title, "seconds", lines, dots=False)
