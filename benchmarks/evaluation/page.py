"""The pages whose tables are those of the results: docs/evaluation.md, docs/simulator.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from . import capacity, tables, validated
from .studies import RESULTS, STUDIES
from .targets import of_study, targets

DOCS: Final = RESULTS.parents[1] / "docs"
PAGES: Final = (DOCS / "evaluation.md", DOCS / "simulator.md")
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
OTHERS: Final[dict[str, Callable[[Any], Iterable[str]]]] = {
    "speed": validated.speed,
    "replayed": validated.replayed,
    "recorded": validated.recorded,
    "predicted": validated.predicted,
    "ranked": validated.ranked,
    "beside": validated.beside,
}
"""Tables of results that are no studies."""


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
    if kind in OTHERS:
        return [*OTHERS[kind](json.loads(path.read_text())), ""] if path.exists() else [NOT_YET, ""]
    rows: Sequence[Any] = capacity.read(path) if STUDIES[name].capacity else of_study(results, name)
    if not rows:
        return [NOT_YET, ""]
    # A comparison says it itself, load by load.
    said = [] if kind == "comparison" else [f"{tables.seeds(rows).capitalize()}:", ""]
    return [*said, *KINDS[kind](rows)]
