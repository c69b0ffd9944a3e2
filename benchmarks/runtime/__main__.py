"""Measure the runtime and print each figure beside its goal, its floor and the peers.

Every measurement is repeated and interleaved with its floor and its peers; shown
are the median (of counts the largest), the best, and the processor time of all threads (`cpu`), which the
machine's other work hardly touches. `goal` is what the project wants on an idle
machine of two cores. A shared or slow disk moves floors, peers and figures alike,
so look at the ratios: `x floor` is how much more we take, the number in brackets how
much more a peer takes than we do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from . import peers, tables
from .figures import Case, Measured, Place
from .postgres import NoServer, server

SECTIONS = ("durable", "skew", "sharing", "resuming", "forks", "space", "long", "gathering", "postgres")


def main() -> None:
    """Measure and print."""
    chosen = options().parse_args()
    rows: list[dict[str, Any]] = []
    print(about(), file=sys.stderr)
    with peers.installed(not chosen.no_peers) as found, ExitStack() as stack:
        show = tables.Markdown() if chosen.markdown else tables.Text()
        if not chosen.json:
            show.head()
        for section in chosen.sections or SECTIONS:
            try:
                new = stack.enter_context(server()) if section == "postgres" else None
            except NoServer as error:
                print(f"PostgreSQL: not measured: {error}")
                continue
            for case in cases(section, chosen):
                measured = asyncio.run(measure(case, chosen.runs, chosen.peer_runs, found, new))
                rows += measured.figures()
                if not chosen.json:
                    show.rows(measured.figures())
    if chosen.json:
        print(json.dumps({"about": about(), "rows": rows}, indent=2))
    else:
        print("\n".join(map(peers.told, peers.PEERS)))


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.runtime", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], help="what to measure (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each measurement (default: 5)")
    parser.add_argument("--peer-runs", type=int, default=2, help="of each peer's (default: 2)")
    parser.add_argument("--only", default="", help="figures whose name has this text")
    parser.add_argument("--thousand", type=int, default=1000, help="nodes for a thousand (default: 1000)")
    parser.add_argument("--no-peers", action="store_true", help="measure no peers")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return parser


def cases(section: str, chosen: argparse.Namespace) -> Iterator[Case]:
    """The section's cases that are wanted."""
    for case in import_module(f".{section}", __package__).cases(chosen.thousand):
        if any(chosen.only in row.name for row in case.rows):
            yield case


async def measure(
    case: Case, runs: int, peer_runs: int, found: peers.Peers, new: Callable[[], str] | None = None
) -> Measured:
    """Measure a case, its floor and its peers in turn, each in an empty place of its own.

    Args:
        new: gives the URL of an empty store; by default each is a SQLite file.
    """
    measured = Measured(case)
    for number in range(runs if case.varies else 1):
        with tempfile.TemporaryDirectory(prefix="agentvm-bench-") as name:
            place = Place(Path(name), new() if new else f"sqlite+aiosqlite:///{name}/runs.db")
            measured.ours.append(await case.ours(place))
            if case.floor is not None:
                measured.floor.append(await case.floor(place))
            if number < peer_runs:
                for peer, asked in case.peers.items():
                    if peer in found.names:
                        taken = await asyncio.to_thread(found.measure, peer, asked, place)
                        measured.peers.setdefault(peer, []).append(taken)
    return measured


def about() -> str:
    """The machine."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores (load {load}), "
        f"Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
