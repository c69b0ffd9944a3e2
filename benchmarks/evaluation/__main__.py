"""The evaluation's commands.

    python -m benchmarks.evaluation run [STUDY ...] [--seeds N,M] [--policies A,B] [--jobs N] [--traces DIR]
    python -m benchmarks.evaluation drop POLICY,... [STUDY ...]
    python -m benchmarks.evaluation tables

`run` goes on where it was interrupted: results are rows in benchmarks/results/STUDY.json, and what is
there is not run again. `--seeds` and `--policies` run a part. `drop` throws away what a policy did that
has changed since. `--traces` is a folder with `azure_conv_public.csv`, whose arrivals some studies take;
without it those are left out. `tables` writes the tables of docs/evaluation.md and docs/simulator.md
anew from the results.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .page import PAGES, with_tables
from .running import Slice
from .studies import STUDIES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="run studies, or what is missing of them")
    running.add_argument("--seeds", type=_numbers, default=(), metavar="N,M", help="by default a study's own")
    running.add_argument("--policies", type=_names, default=(), metavar="A,B", help="the same")
    running.add_argument("--traces", type=Path, metavar="DIR", help="has azure_conv_public.csv")
    running.add_argument("--jobs", type=int, metavar="N", help="processes; by default the processors")
    dropping = commands.add_parser("drop", help="throw away what policies did")
    dropping.add_argument("policies", type=_names, metavar="POLICY,...")
    for each in (running, dropping):
        each.add_argument(
            "studies", nargs="*", metavar="STUDY", help=f"of {', '.join(STUDIES)}; default: all"
        )
    commands.add_parser("tables", help="write the tables of the pages")
    arguments = parser.parse_args()
    if arguments.command == "tables":
        for page in PAGES:
            page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
        return
    if unknown := set(arguments.studies) - set(STUDIES):
        parser.error(f"there is no study {', '.join(sorted(unknown))}. Choose from: {', '.join(STUDIES)}")
    names = arguments.studies or list(STUDIES)
    if arguments.command == "drop":
        Slice().drop(names, arguments.policies)
        return
    jobs = arguments.jobs or len(os.sched_getaffinity(0))
    Slice(arguments.traces, jobs, arguments.seeds, arguments.policies).run(names)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


if __name__ == "__main__":
    main()
