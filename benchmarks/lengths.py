"""Output lengths: how well each estimator foretells those of a trace.

A trace's calls come one after the other; each is estimated before it is learnt,
at its start and again when it has 50 and 200 tokens, if it gets so long. Shown are the pinball loss
of the median and of the 0.9-quantile (tokens, smaller is better), the share of
calls that the 0.9-quantile covers, and what an estimate and all training took.

    python benchmarks/lengths.py TRACE [TRACE ...]

Several traces are mixed call by call, each a site; `--one-site` hides which is which.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agentvm_serving.estimate.forest import ForestLengths, fit_forest
from agentvm_serving.estimate.lengths import Lengths
from agentvm_serving.workload.traces import read_trace

SO_FAR = (0, 50, 200)
"""Tokens that are there when the length is estimated."""
FIRST = 1024
"""Calls that are learnt before any is judged."""


class Fixed(Lengths):
    """Knows nothing: the prior alone, whatever was seen."""

    def finished(self, site: str, tokens: int, limit: int | None = None, prompt: int = 0) -> None: ...


class OneSite(Lengths):
    """One sample for all."""

    def finished(self, site: str, tokens: int, limit: int | None = None, prompt: int = 0) -> None:
        super().finished("", tokens, limit, prompt)


ESTIMATORS: dict[str, Callable[[], Lengths]] = {
    "prior": Fixed,
    "one sample": OneSite,
    "quantile": Lengths,
    "forest": lambda: ForestLengths(fit_forest, background=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("traces", nargs="+", type=Path)
    parser.add_argument("--calls", type=int, default=5000, help="at most so many of the mix")
    parser.add_argument("--one-site", action="store_true", help="hide which trace a call is of")
    arguments = parser.parse_args()
    calls = mixed(arguments.traces)[: arguments.calls]
    if arguments.one_site:
        calls = [("", prompt, answer) for _, prompt, answer in calls]
    print(f"{len(calls)} calls, the first {FIRST} only learnt")
    titles = ("so far", "median", "0.9", "covered", "us each", "total s")
    print(f"{'estimator':<12}" + "".join(f"{each:>10}" for each in titles))
    for name, make in ESTIMATORS.items():
        for line in judged(name, make(), calls):
            print(line, flush=True)


def mixed(paths: Sequence[Path]) -> list[tuple[str, int, int]]:
    """Site, prompt and answer of each call; each trace in its order, evenly among the others."""
    draws = random.Random(1)
    calls = []
    for path in paths:
        found = [call for each in read_trace(path) for stage in each.stages for call in stage]
        places = sorted(draws.random() for _ in found)
        calls += [
            (at, path.stem, *(c.input_tokens, c.output_tokens)) for at, c in zip(places, found, strict=True)
        ]
    return [(site, prompt, answer) for _, site, prompt, answer in sorted(calls)]


def judged(name: str, lengths: Lengths, calls: Sequence[tuple[str, int, int]]) -> Iterator[str]:
    """A line for each number of tokens that are there."""
    losses: dict[int, list[tuple[float, float, bool]]] = {tokens: [] for tokens in SO_FAR}
    asking = 0.0
    began = time.process_time()
    for number, (site, prompt, answer) in enumerate(calls):
        if number >= FIRST:
            for tokens in filter(lambda so_far: so_far < answer, SO_FAR):
                started = time.process_time()
                found = lengths.of(site, tokens, None, prompt)
                asking += time.process_time() - started
                middle, upper = pinball(0.5, found.expected, answer), pinball(0.9, found.upper, answer)
                losses[tokens].append((middle, upper, answer <= found.upper))
        lengths.finished(site, answer, None, prompt)
    total = time.process_time() - began
    asked = sum(map(len, losses.values()))
    for tokens, each in losses.items():
        median, upper, covered = (statistics.fmean(column) for column in zip(*each, strict=True))
        cost = f"{asking / asked * 1e6:>10.0f}{total:>10.1f}" if not tokens else ""
        yield f"{name:<12}{tokens:>10}{median:>10.1f}{upper:>10.1f}{covered:>10.1%}{cost}"


def pinball(q: float, said: float, true: float) -> float:
    """The loss that the true q-quantile makes least."""
    return (true - said) * q if true >= said else (said - true) * (1 - q)


if __name__ == "__main__":
    main()
