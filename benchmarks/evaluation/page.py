"""The page: docs/evaluation.md, whose tables are those of the results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from . import capacity, tables
from .studies import RESULTS, STUDIES
from .targets import of_study, targets

PAGE: Final = RESULTS.parents[1] / "docs" / "evaluation.md"
NOT_YET: Final = "Not run yet."
KINDS: Final[dict[str, Callable[[Sequence[Any]], Iterable[str]]]] = {
    "comparison": tables.comparison,
    "gains": tables.gains,
    "ablation": tables.ablation,
    "routed": tables.routed,
    "inside": tables.inside,
    "survival": tables.survival,
    "told": tables.told,
    "capacity": tables.capacity,
}
"""Tables by name."""


def with_tables(page: str, results: Path = RESULTS) -> str:
    """The page with its tables written anew: `<!-- table STUDY KIND -->`, `<!-- table targets -->`."""

    def filled(found: re.Match[str]) -> str:
        lines = _lines(found[1], found[2], results)
        return f"{found[0].splitlines()[0]}\n\n" + "\n".join(lines) + "\n<!-- end -->"

    return re.sub(r"<!-- table ([\w-]+) ?(\w*) -->.*?<!-- end -->", filled, page, flags=re.DOTALL)


def _lines(name: str, kind: str, results: Path) -> list[str]:
    if name == "targets":
        return list(targets(results))
    path = results / f"{name}.json"
    rows: Sequence[Any] = capacity.read(path) if STUDIES[name].capacity else of_study(results, name)
    if not rows:
        return [NOT_YET, ""]
    # A comparison says it itself, load by load.
    said = [] if kind == "comparison" else [f"{tables.seeds(rows).capitalize()}:", ""]
    return [*said, *KINDS[kind](rows)]
