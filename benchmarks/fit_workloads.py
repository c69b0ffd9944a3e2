"""Fit the generators of workloads to published traces.

    python benchmarks/fit_workloads.py FOLDER [--out serving/agentvm_serving/workload/fitted.json]

The folder has the traces under the names below; what is written are quantiles,
counts and correlations, no row of a trace.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

AT = (0, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 1)
"""Probabilities of the quantiles."""
OUT = Path(__file__).parents[1] / "serving/agentvm_serving/workload/fitted.json"
AZURE = "AzurePublicDataset AzureLLMInferenceTrace_{}.csv, CC-BY-4.0, Splitwise (ISCA'24)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    found = {
        "at": AT,
        "azure_conv": {"source": AZURE.format("conv"), **calls(folder / "azure_conv_public.csv")},
        "azure_code": {"source": AZURE.format("code"), **calls(folder / "azure_code_public.csv")},
        "arxiv": {"source": "microsoft/vidur, MIT", **calls(folder / "vidur_arxiv_public.csv")},
        "research": research(folder / "deepresearch_public.jsonl"),
        "agent": agent(folder / "agent_coding_sessions_public.jsonl.gz"),
        "tools": tools(folder / "tool_latency_params.json"),
    }
    lines = (f"{json.dumps(name)}: {json.dumps(fit)}" for name, fit in found.items())
    arguments.out.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def calls(path: Path) -> dict[str, Any]:
    """Prompts, answers, how they go together, and how bursty arrivals are."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    inputs = [int(row["input_tokens"]) for row in rows]
    outputs = [int(row["output_tokens"]) for row in rows]
    found = {**pair(inputs, outputs), "rows": len(rows)}
    if "arrival_s" in rows[0]:
        times = [float(row["arrival_s"]) for row in rows]
        gaps = [after - before for before, after in itertools.pairwise(times)]
        found["gap_deviation"] = round(statistics.stdev(gaps) / statistics.mean(gaps), 2)
    return found


def research(path: Path) -> dict[str, Any]:
    """By role: the first call plans, odd stages search, even ones assess, the last one writes."""
    programs = [json.loads(line)["stages"] for line in path.read_text().splitlines()]
    searches = [stage for program in programs for stage in program[1:-1:2]]
    ratios, less = [], []
    for program in programs:
        seen = 0
        for search, assess in zip(program[1:-1:2], program[2:-1:2], strict=True):
            seen += sum(answer for _, answer in search)
            ratios.append(assess[0][0] / seen)
        less.append(program[-2][0][0] - program[-1][0][0])
    return {
        "source": "UIUC-MLSys/JITServe, Apache-2.0",
        "programs": len(programs),
        "stages": counts(len(program) for program in programs),
        "calls": counts(len(stage) for stage in searches),
        "plan": pair(*zip(*(program[0][0] for program in programs), strict=True)),
        "search": pair(*zip(*(call for stage in searches for call in stage), strict=True)),
        # Its prompt is what was found: so many times the answers of all searches so far.
        "assess": {
            "ratio": quantiles(ratios, 3),
            "output": quantiles([stage[0][1] for program in programs for stage in program[2:-1:2]]),
        },
        "write": {
            "less": round(statistics.median(less)),
            "output": quantiles([program[-1][0][1] for program in programs]),
        },
    }


def agent(path: Path) -> dict[str, Any]:
    with gzip.open(path, "rt") as file:
        sessions = [json.loads(line)["turns"] for line in file]
    later = [turn for session in sessions for turn in session[1:] if turn[5] == "t"]
    return {
        "source": "callanjfox/kv-cache-tester, Apache-2.0",
        "sessions": len(sessions),
        "turns": quantiles([len(session) for session in sessions]),
        "opening": quantiles([session[0][0] for session in sessions]),
        "new": quantiles([turn[1] for turn in later]),
        "output": quantiles([turn[2] for session in sessions for turn in session]),
    }


def tools(path: Path) -> dict[str, Any]:
    fit = json.loads(path.read_text())["tracelab_lognormal"]
    return {
        "source": "lognormal by the published median and 0.9-quantile of uw-syfi/TraceLab, CC-BY-4.0",
        "mu": fit["mu"],
        "sigma": fit["sigma"],
    }


def pair(inputs: Sequence[int], outputs: Sequence[int]) -> dict[str, Any]:
    # The correlation of a Gaussian copula, from Spearman's.
    rank = statistics.correlation(ranks(inputs), ranks(outputs))
    return {
        "input": quantiles(inputs),
        "output": quantiles(outputs),
        "correlation": round(2 * math.sin(math.pi * rank / 6), 3),
    }


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks, equal ones sharing theirs."""
    places: dict[float, list[int]] = {}
    for place, value in enumerate(sorted(values)):
        places.setdefault(value, []).append(place)
    return [statistics.fmean(places[value]) for value in values]


def quantiles(values: Sequence[float], digits: int = 0) -> list[float]:
    ordered = sorted(values)
    found = []
    for at in AT:
        place = at * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        found.append(round(ordered[low] + (place - low) * (ordered[high] - ordered[low]), digits or None))
    return found


def counts(values: Any) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items())}


if __name__ == "__main__":
    main()
