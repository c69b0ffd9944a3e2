"""Claims: what one policy gains over the others, and whether that survives other step-time models.

Step-time models are fits to published profiles, and some of their terms are not
certain. A gain is a claim only if it holds in all of their ranges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .serving import Interval, Row, interval

RANGES: Final = (("mix", ("0.3", "0.6")), ("prefill", ("1.15", "1.3")), ("overhead", ("1",)))
"""Options of virtual engines and their values besides the default: the cost of decoding beside a prompt as
a share of that of decoding, a factor on prompts, and what an engine's own code takes in a step."""


def variants(spec: str) -> list[str]:
    """An engine with each uncertain term at each end of its range, and all of them at once; itself first."""
    between = "&" if "?" in spec else "?"
    one_by_one = [f"{spec}{between}{name}={value}" for name, values in RANGES for value in values]
    at_once = "&".join(f"{name}={values[-1]}" for name, values in RANGES)
    return [spec, *one_by_one, f"{spec}{between}{at_once}"]


@dataclass(frozen=True, slots=True)
class Claim:
    """By what factor one policy has more in time than another."""

    load: float
    over: str
    """The other policy."""
    ratios: dict[str, Interval]
    """By engine; pairs of runs of the same workload."""

    @property
    def verdict(self) -> str:
        """`holds` or `fails` beyond noise on all engines; `flips` between them; `even` within noise on all,
        `open` on some."""
        signs = {_sign(each) for each in self.ratios.values()}
        if {-1, 1} <= signs:
            return "flips"
        if len(signs) == 1:
            return {1: "holds", -1: "fails", 0: "even"}[signs.pop()]
        return "open"


def claims(rows: Sequence[Row], subject: str, measure: str = "token_goodput") -> Iterator[Claim]:
    """What the rows say of a policy beside each other one, by load."""
    found = {(each.engine, each.load, each.policy, each.seed): getattr(each, measure) for each in rows}
    for load in sorted({each.load for each in rows}):
        for over in dict.fromkeys(each.policy for each in rows if each.policy != subject):
            ratios = {
                engine: interval(pairs)
                for engine in dict.fromkeys(each.engine for each in rows)
                if (pairs := _pairs(found, engine, load, subject, over))
            }
            if ratios:
                yield Claim(load, over, ratios)


def _pairs(
    found: dict[tuple[str, float, str, int], float], engine: str, load: float, subject: str, over: str
) -> list[float]:
    return [
        found[engine, load, subject, seed] / value
        for (of, at, policy, seed), value in found.items()
        if (of, at, policy) == (engine, load, over) and value > 0 and (engine, load, subject, seed) in found
    ]


def _sign(ratio: Interval) -> int:
    return (ratio.low > 1) - (ratio.high < 1)
