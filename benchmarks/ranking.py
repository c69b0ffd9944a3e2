"""Does the simulator rank policies as real vLLM on a CPU does?

    python -m benchmarks.ranking FILE ...    # rows of `agentvm bench serving --engine vllm:MODEL --json FILE`

The same workloads are served by the profile of the small model. One number is fitted: how much slower the
machine is than the profile's, so that both engines saturate at the same rate. Then each gap between two
policies at a load that is significant on the real engine is looked at: what the simulator makes of it.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from agentvm_serving.bench.comparing import SATURATION_SEEDS
from agentvm_serving.bench.engines import SimEngine
from agentvm_serving.bench.results import read_json
from agentvm_serving.bench.serving import Row, interval, row, saturation
from agentvm_serving.bench.sources import Source
from agentvm_serving.bench.specs import virtual

from .validation_runs import scaled

RESULT: Final = Path(__file__).parent / "results" / "ranking.json"
PROFILE: Final = "cpu135m?seqs=32"
ITEMS: Final = 180
MEASURES: Final = {"token_goodput": "tokens", "request_goodput": "requests"}
CLOSE: Final = 1e-3
"""How near the rates of saturation are to be."""

Runs = Mapping[tuple[str, float, int], Row]
"""By policy, load and seed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="rows of real runs")
    parser.add_argument("--items", type=int, default=ITEMS, help="requests of a run")
    parser.add_argument("--json", type=Path, default=RESULT)
    arguments = parser.parse_args()
    found = [compared(path.stem, read_json(path), arguments.items) for path in arguments.files]
    arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for each in found:
        print(f"{each['runs']}: {each['slower']:.2f} times as slow as the profile's machine")
        for gap in each["gaps"]:
            print(f"  {gap['load']:g} {gap['policies']} {gap['measure']}: {gap['real']} {gap['simulated']}")


def compared(name: str, rows: Sequence[Row], items: int = ITEMS) -> dict[str, Any]:
    """Real runs beside simulated ones: means, and the gaps that are significant on the real engine."""
    first = rows[0]
    source = Source(items, stretch=first.stretch)
    slower = factor(source, first.rate / first.load, sorted({each.seed for each in rows}))
    engine = slowed(slower)
    real = {(each.policy, each.load, each.seed): each for each in rows}
    simulated = {key: _served(engine, source, each) for key, each in real.items()}
    return {
        "runs": name,
        "slower": round(slower, 3),
        "means": list(_means(real, simulated)),
        "gaps": list(gaps(real, simulated)),
    }


def gaps(real: Runs, simulated: Runs) -> Iterator[dict[str, Any]]:
    """Where one policy is certainly better than another on the real engine: by how much there, and simulated.

    A gap is a share of the second policy's goodput, the mean of the seeds. It is certain if its 95 % interval
    (Student's t over the seeds) is beyond zero.
    """
    policies = list(dict.fromkeys(policy for policy, _, _ in real))
    for load, measure in itertools.product(sorted({load for _, load, _ in real}), MEASURES):
        for one, other in itertools.combinations(policies, 2):
            seeds = [seed for policy, at, seed in real if (policy, at) == (one, load)]
            both = [seed for seed in seeds if (other, load, seed) in real]
            if len(both) < 2:
                continue
            there, here = (
                [
                    getattr(runs[one, load, seed], measure) / getattr(runs[other, load, seed], measure) - 1
                    for seed in both
                ]
                for runs in (real, simulated)
            )
            gap = interval(there)
            if gap.low > 0 or gap.high < 0:
                yield {
                    "load": load,
                    "policies": [one, other],
                    "measure": MEASURES[measure],
                    "real": [round(gap.mean, 3), round(gap.half, 3)],
                    "simulated": round(fmean(here), 3),
                }


def _means(real: Runs, simulated: Runs) -> Iterator[dict[str, Any]]:
    for load, policy in sorted({(load, policy) for policy, load, _ in real}):
        sides = [
            [each for key, each in runs.items() if key[:2] == (policy, load)] for runs in (real, simulated)
        ]
        yield {
            "load": load,
            "policy": policy,
            **{
                said: [round(fmean(getattr(each, measure) for each in side), 3) for side in sides]
                for measure, said in MEASURES.items()
            },
        }


def slowed(slower: float) -> SimEngine:
    """The profile's engine with steps that take so many times as long."""
    spec = virtual(PROFILE)
    return SimEngine(replace(spec, engine=scaled(spec.engine, [slower] * 3)))


def factor(source: Source, rate: float, seeds: Sequence[int]) -> float:
    """By how much longer the steps are to be for an engine that saturates at so many items a second."""
    relaxed = replace(source, stretch=1.0)

    def saturated(slower: float) -> float:
        return saturation(slowed(slower), relaxed, seeds[:SATURATION_SEEDS])

    # All there at once, under vLLM's order: twice as long steps, half the rate.
    slower = 1.0
    while abs((found := saturated(slower)) / rate - 1) > CLOSE:
        slower *= found / rate
    return slower


def _served(engine: SimEngine, source: Source, real: Row) -> Row:
    items = source.draw(real.rate, real.seed)
    return row(real.policy, real.load, real.seed, items, engine.serve(items, real.policy))


if __name__ == "__main__":
    main()
