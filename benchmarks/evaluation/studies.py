"""The studies: what is served by what, under which policies, at which loads.

A study is a grid of runs, all with all. What it lacks in this version (a policy that
is not there) is left out and said. Seeds begin at 11: policies were tuned on lower ones,
but for what docs/evaluation.md says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agentvm_compiler.errors import ConfigError
from agentvm_serving.bench.jobs import Job, Key
from agentvm_serving.bench.sources import Source
from agentvm_serving.policy import policy_named
from agentvm_serving.workload import Forecast

RESULTS: Final = Path(__file__).parents[1] / "results"
AZURE: Final = "azure_conv_public.csv"
"""In the folder of traces."""
WORKLOADS: Final = RESULTS / "workloads"
"""Those of compiled programs, drawn when they are needed."""
ITEMS: Final = 10_000
"""Requests of one run."""
PAPER: Final = "chat=1,deadline=1,research=1"
WITH_RESEARCH: Final = "chat=1,deadline=1,program:research=1"
"""One program, of two shapes: what its runs before tell is nearly all that there is to know."""
WITH_PLANS: Final = "chat=1,deadline=1,program:planner=1"
"""One program, as long as its first answer says: only the program itself knows."""
WITH_AGENTS: Final = "chat=4,consistency=1,agent=1"
"""Prompts that begin alike: what a router by prefixes lives on."""

A100: Final = "sim:a100?budget=512&cache=1"
H100: Final = "sim:h100?budget=1024&cache=1"
"""Chunks so that a step with one keeps the chats' TBT of 100 ms."""
FOUR: Final = "sim:a100x4?budget=512&cache=1&router="

SUBJECT: Final = "jit"
"""The policy whose gains are looked at."""
OTHERS: Final = ("fcfs", "edf", "edf_drop", "llf", "sjf", "srtf", "plas", "slos_serve", "tempo", "gmax")
ALL: Final = (SUBJECT, *OTHERS, "oracle")
FEW: Final = (SUBJECT, "fcfs", "edf", "sjf", "plas", "slos_serve", "tempo", "oracle")
ABLATED: Final = {
    "jit_no_analyzer": "no analyzer: answers are as long as clients allow",
    "jit_no_density": "no GMAX: who came first is let in, not the densest",
    "jit_no_holding": "no holding: nobody waits outside, prompts are not cut",
    "jit_preempting": "with preemption: late ones give way (the whole policy stops nothing)",
}
"""Variants of the policy, each without a part; preemption is the one that it does without."""
FORECASTS: Final = (
    "opaque",
    "patterns",
    "none",
    "profile",
    "true",
    "profile-site",
    "profile-siblings",
    "profile-stages",
    "profile-lengths",
)
TOLD: Final = FORECASTS[:5]
"""Without those that lack a part."""
FIVE: Final = (11, 12, 13, 14, 15)
THREE: Final = FIVE[:3]


@dataclass(frozen=True)
class Study:
    """A grid of runs."""

    engines: Sequence[str]
    policies: Sequence[str]
    loads: Sequence[float] = (1.0, 1.2, 1.5)
    seeds: Sequence[int] = FIVE
    forecasts: Sequence[Forecast] = ("profile",)
    mix: str = PAPER
    programs: str = ""
    """What its workloads of compiled programs are called, if it serves such."""
    azure: bool = False
    """Whether requests arrive as in Azure's trace, and not as a Poisson process."""
    rate_of: str = ""
    """The engine whose saturation is load 1 for all; by default each engine's own."""
    times: int = 1
    """By how much the engines have more replicas than that one."""
    items: int = ITEMS
    timeline: bool = False
    """Whether rows tell how many ran and waited when."""
    capacity: bool = False
    """Whether loads are searched, and not given (`capacity`)."""

    def source(self, traces: Path | None = None) -> Source:
        """What is served.

        Args:
            traces: the folder of traces, if there is one.
        """
        if self.programs:
            return Source(self.items, workload=str(self.workload("{seed}")), scale="large")
        arrivals = f"trace:{(traces or Path()) / AZURE}" if self.azure else "poisson"
        return Source(self.items, mix=self.mix, arrivals=arrivals, scale="large")

    def workload(self, seed: int | str) -> Path:
        """The file with its workload of compiled programs."""
        return WORKLOADS / f"{self.programs}-{seed}.jsonl.gz"

    def present(self) -> list[str]:
        """Its policies, as far as this version has them."""
        return [each for each in self.policies if _known(each)]

    def jobs(self, source: Source, saturated: dict[str, float], seeds: Sequence[int] = ()) -> Iterator[Job]:
        """All its runs, seed by seed, so that what is done first can be compared.

        Args:
            saturated: requests a second at load 1, by engine.
            seeds: a part of its own.
        """
        for seed in seeds or self.seeds:
            for load in self.loads:
                for engine in self.engines:
                    rate = saturated[self.rate_of or engine] * self.times
                    for policy in self.present():
                        job = Job(engine, source, policy, load, seed, rate, timeline=self.timeline)
                        yield from (replace(job, forecast=each) for each in self.forecasts)

    def keys(self) -> set[Key]:
        """Of all its runs, whatever of them is there."""
        source, rates = self.source(), dict.fromkeys((*self.engines, self.rate_of), 1.0)
        return {job.key for job in self.jobs(source, rates)}


def _known(policy: str) -> bool:
    try:
        policy_named(policy)
    except ConfigError:
        return False
    return True


def sensitive(engine: str) -> list[str]:
    """The engine with other step-time models."""
    from agentvm_serving.bench.claims import variants

    return variants(engine)


STUDIES: Final = {
    "a100": Study([A100], ALL),
    "hints": Study([A100], [SUBJECT], [1.2], THREE, FORECASTS, WITH_RESEARCH, "programs"),
    "hints-plans": Study([A100], [SUBJECT], [1.2], THREE, TOLD, WITH_PLANS, "plans"),
    "ablation": Study([A100], [SUBJECT, *ABLATED], [1.0, 1.2, 1.5], THREE),
    "h100": Study([H100], ALL),
    "a100-azure": Study([A100], ALL, azure=True),
    "h100-azure": Study([H100], ALL, azure=True),
    "plan": Study([A100], [SUBJECT, "fcfs", "edf", "sjf", "plas", "slos_serve"], [], THREE, capacity=True),
    "sensitivity": Study(sensitive(A100), [SUBJECT, "fcfs", "edf", "sjf", "slos_serve"], [1.2], THREE),
    "routers": Study(
        [f"{FOUR}{router}" for router in ("round", "least", "power", "prefix", "slo")],
        [SUBJECT],
        [1.0, 1.2],
        THREE,
        rate_of=A100,
        times=4,
    ),
    "routers-agents": Study(
        [f"{FOUR}{router}" for router in ("round", "least", "power", "prefix", "slo")],
        [SUBJECT],
        [1.0, 1.2],
        THREE,
        mix=WITH_AGENTS,
        rate_of=A100,
        times=4,
        items=3000,
    ),
    "slots": Study([f"{A100}&seqs=32"], FEW, [1.2], THREE),
    "inside": Study([A100], [SUBJECT, "fcfs", "slos_serve"], [1.2], FIVE[:1], timeline=True),
}
"""By name, what matters most first."""
