"""The evaluation: the commands behind docs/evaluation.md, and its tables from their results.

    python benchmarks/evaluation.py run [STUDY ...] [--traces FOLDER] [--jobs N]
    python benchmarks/evaluation.py tables

`run` goes on where it was interrupted: results are rows in benchmarks/results/STUDY.json,
and what is there is not run again (delete the file for that). `--traces` is a folder
with `azure_conv_public.csv`, whose arrivals one study takes; without it that study is
left out. `tables` writes the tables of docs/evaluation.md anew from the results.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from agentvm_serving.bench.claims import claims
from agentvm_serving.bench.results import read_json
from agentvm_serving.bench.serving import Interval, Row, interval

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "evaluation.md"
AZURE = "azure_conv_public.csv"
ALL = "fcfs,edf,edf_drop,llf,sjf,srtf,plas,slos_serve,tempo,gmax,jit,jit_dense,oracle"
FORECASTS = "opaque,patterns,none,profile,true,profile-site,profile-siblings,profile-stages,profile-lengths"
A100 = "sim:a100?budget=512&cache=1"
H100 = "sim:h100?budget=1024&cache=1"
"""Chunks so that a step with one keeps the chats' TBT of 100 ms."""
SEEDS = "1,2,3,4,5"
ITEMS = "1000"
"""Requests of one run."""


@dataclass(frozen=True)
class Study:
    """One command, and the tables that its rows give."""

    arguments: Sequence[str]
    tables: Sequence[Callable[[Sequence[Row]], Iterable[str]]] = ()
    command: str = "bench serving"


def compared(
    engine: str, loads: str, policies: str, *more: str, seeds: str = SEEDS, items: str = ITEMS
) -> list[str]:
    said = ["--engine", engine, "--loads", loads, "--items", items, "--policies", policies]
    return [*said, "--seeds", seeds, *more]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("studies", nargs="*", choices=[[], *STUDIES])
    running.add_argument("--traces", type=Path)
    running.add_argument("--jobs", type=int)
    commands.add_parser("tables")
    arguments = parser.parse_args()
    if arguments.command == "run":
        run(arguments.studies or list(STUDIES), arguments.traces, arguments.jobs)
    else:
        PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def run(studies: Sequence[str], traces: Path | None, jobs: int | None) -> None:
    RESULTS.mkdir(exist_ok=True)
    for name in studies:
        study = STUDIES[name]
        if any(AZURE in each for each in study.arguments) and traces is None:
            print(f"{name}: left out, it needs --traces")
            continue
        said = [each.replace(AZURE, str(traces and traces / AZURE)) for each in study.arguments]
        if name == "hints":
            programs()
        command = [sys.executable, "-m", "agentvm", *study.command.split(), *said]
        command += ["--json", str(RESULTS / f"{name}.json")]
        subprocess.run([*command, *(["--jobs", str(jobs)] if jobs else [])], check=True)


def programs() -> None:
    """The workloads of compiled programs, one for each seed."""
    PROGRAMS.parent.mkdir(exist_ok=True)
    for seed in ("1", "2", "3"):
        out = Path(str(PROGRAMS).replace("{seed}", seed))
        if not out.exists():
            said = ["bench", "workload", str(out), "--mix", MIX, "--items", ITEMS, "--seed", seed]
            subprocess.run([sys.executable, "-m", "agentvm", *said], check=True)


# Tables


def comparison(rows: Sequence[Row]) -> Iterable[str]:
    """By load: tokens and requests in time, and the share of each class."""
    for load in sorted({row.load for row in rows}):
        at = [row for row in rows if row.load == load]
        best = max(at, key=lambda row: mean(at, row.policy, tokens)).policy
        yield f"Load {load:g} ({fmean(row.rate for row in at):.2f} requests/s):"
        yield ""
        yield "| policy | tokens in time | requests in time | chats | deadlines | programs | all tokens |"
        yield "| --- | --- | --- | --- | --- | --- | --- |"
        for policy in sorted({row.policy for row in at}, key=lambda each: -mean(at, each, tokens)):
            shares = (
                f"{mean(at, policy, share(each)):.0%}".replace("%", " %")
                for each in ("latency", "deadline", "compound")
            )
            name = f"**`{policy}`**" if policy == best else f"`{policy}`"
            cells = [name, shown(at, policy, tokens, 0), shown(at, policy, requests, 2), *shares]
            yield f"| {' | '.join([*cells, f'{mean(at, policy, lambda row: row.throughput):.0f}'])} |"
        yield ""


def gains(rows: Sequence[Row], subject: str = "jit") -> Iterable[str]:
    """Of one policy over each other one, pairs of runs of one workload."""
    found = list(claims(rows, subject))
    loads = sorted({claim.load for claim in found})
    yield f"| `{subject}` over | {' | '.join(f'load {load:g}' for load in loads)} |"
    yield f"| --- |{' --- |' * len(loads)}"
    for over in dict.fromkeys(claim.over for claim in found):
        cells = []
        for load in loads:
            (ratio,) = next(each for each in found if (each.load, each.over) == (load, over)).ratios.values()
            cells.append(f"{ratio.mean:.2f} ± {ratio.half:.2f}")
        yield f"| `{over}` | {' | '.join(cells)} |"
    yield ""


def inside(rows: Sequence[Row]) -> Iterable[str]:
    """How full the engine was."""
    yield "| policy | decoding, at most | on average | before their first token, at most | on average |"
    yield "| --- | --- | --- | --- | --- |"
    for row in rows:
        running, waiting = ([sample[place] for sample in row.timeline] for place in (1, 2))
        cells = (
            f"{most:.0f} | {mean:.0f}" for most, mean in ((max(x), fmean(x)) for x in (running, waiting))
        )
        yield f"| `{row.policy}` | {' | '.join(cells)} |"
    yield ""


def survival(rows: Sequence[Row]) -> Iterable[str]:
    """Of gains, over step-time models."""
    yield "| load | `jit` over | lowest and highest mean of all step-time models | on all of them |"
    yield "| --- | --- | --- | --- |"
    for claim in claims(rows, "jit"):
        means = [each.mean for each in claim.ratios.values()]
        yield f"| {claim.load:g} | `{claim.over}` | {min(means):.2f} to {max(means):.2f} | {claim.verdict} |"
    yield ""


def told(rows: Sequence[Row]) -> Iterable[str]:
    """What hints are worth: tokens of programs in time, over those without hints."""
    yield "| policy | hints | tokens in time, 1/s | of programs | programs in time | over `opaque` |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for policy in dict.fromkeys(row.policy for row in rows):
        at = [row for row in rows if row.policy == policy]
        base = {row.seed: compound(row) for row in at if row.forecast == "opaque"}
        for forecast in dict.fromkeys(row.forecast for row in at):
            of = [row for row in at if row.forecast == forecast]
            ratio = interval([compound(row) / base[row.seed] for row in of if base.get(row.seed)])
            cells = [text(interval([measure(row) for row in of]), 0) for measure in (tokens, compound)]
            met = f"{fmean(row.attainment['compound'] for row in of):.0%}".replace("%", " %")
            yield f"| `{policy}` | `{forecast}` | {' | '.join(cells)} | {met} | {text(ratio, 2)} |"
    yield ""


def capacity(found: Sequence[dict[str, object]]) -> Iterable[str]:
    yield "| engine | policy | requests/s with 95 % in time | load | engines saved beside `fcfs` |"
    yield "| --- | --- | --- | --- | --- |"
    first = {each["engine"]: each["rate"] for each in reversed(found)}
    for each in found:
        rate = float(str(each["rate"]))
        saved = 1 - float(str(first[each["engine"]])) / rate if rate else 0.0
        yield (
            f"| `{each['engine']}` | `{each['policy']}` | {rate:.2f} | {float(str(each['load'])):.2f} | "
            f"{saved:.0%}".replace("%", " %")
            + " |"
        )
    yield ""


def with_tables(page: str) -> str:
    """The page with its tables written anew."""

    def filled(found: re.Match[str]) -> str:
        name, number = found[1], int(found[2] or 0)
        path = RESULTS / f"{name}.json"
        if STUDIES[name].command == "plan":
            lines = list(capacity(json.loads(path.read_text(encoding="utf-8"))))
        else:
            lines = list(STUDIES[name].tables[number](read_json(path)))
        return f"{found[0].splitlines()[0]}\n\n" + "\n".join(lines) + "\n<!-- end -->"

    return re.sub(r"<!-- table ([\w-]+) ?(\d*) -->.*?<!-- end -->", filled, page, flags=re.DOTALL)


def tokens(row: Row) -> float:
    return row.token_goodput


def requests(row: Row) -> float:
    return row.request_goodput


def compound(row: Row) -> float:
    return row.goodput.get("compound", 0.0)


def share(slo: str) -> Callable[[Row], float]:
    return lambda row: row.attainment.get(slo, 0.0)


def mean(rows: Sequence[Row], policy: str, of: Callable[[Row], float]) -> float:
    return fmean(of(row) for row in rows if row.policy == policy)


def shown(rows: Sequence[Row], policy: str, of: Callable[[Row], float], digits: int) -> str:
    return text(interval([of(row) for row in rows if row.policy == policy]), digits)


def text(found: Interval, digits: int) -> str:
    return f"{found.mean:.{digits}f} ± {found.half:.{digits}f}"


PROGRAMS = RESULTS / "workloads" / "programs-{seed}.jsonl.gz"
MIX = "chat=1,deadline=1,program:research=1"
FEW = "fcfs,edf,sjf,plas,slos_serve,tempo,jit,jit_dense,oracle"
STUDIES = {
    "a100": Study(
        compared(A100, "1.0,1.2,1.5", ALL), (comparison, gains, partial(gains, subject="jit_dense"))
    ),
    "inside": Study(compared(A100, "1.2", "fcfs,slos_serve,jit", "--timeline", seeds="1"), (inside,)),
    "slots": Study(compared(f"{A100}&seqs=32", "1.3", FEW, seeds="1,2,3"), (comparison,)),
    "hints": Study(
        compared(
            A100, "1.2", "jit,jit_dense", "--workload", str(PROGRAMS), "--forecast", FORECASTS, seeds="1,2,3"
        ),
        (told,),
    ),
    "h100": Study(compared(H100, "1.2", FEW, seeds="1,2,3", items="3000"), (comparison, gains)),
    "a100-azure": Study(
        compared(A100, "1.2", FEW, "--arrivals", f"trace:{AZURE}", seeds="1,2,3"), (comparison, gains)
    ),
    "sensitivity": Study(
        compared(A100, "1.2", "edf,sjf,slos_serve,jit", "--sensitivity", seeds="1,2,3"), (survival,)
    ),
    "plan": Study(
        [
            "--engines",
            A100,
            "--policies",
            "fcfs,slos_serve,jit,jit_dense",
            "--items",
            ITEMS,
            "--seeds",
            "1",
        ],
        command="plan",
    ),
}

if __name__ == "__main__":
    main()
