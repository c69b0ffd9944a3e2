"""The simulator: a workload served by replicas in virtual time, event by event.

An event is the end of what a replica has under way, or calls that clients make; in
between nothing is decided. Whatever ends at a moment ends before what comes then is
seen, and replicas act in their order, so a workload, a policy and a seed have one
outcome. The next event is found by looking at the replicas: they are few.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from agentvm_serving.goodput import ServedRequest
from agentvm_serving.policy import policy_named
from agentvm_serving.workload import Forecast, Item, Profile

from .clients import Asked, Clients
from .engine import Engine
from .orders import ByPolicy, Fcfs, Order, Priority
from .replica import Replica
from .request import Request
from .routers import RoundRobin, Router

SAMPLES: Final = 1000
"""Samples of a timeline, at most."""


@dataclass(frozen=True, slots=True)
class Sample:
    """All replicas at one moment."""

    at: float
    """Virtual seconds."""
    running: int
    waiting: int
    kv_tokens: int
    """Tokens of KV blocks in use."""


@dataclass(slots=True)
class Simulated:
    """What came of a workload."""

    requests: list[ServedRequest] = field(default_factory=list)
    """By item, in their order."""
    steps: int = 0
    """Of all replicas."""
    seconds: float = 0.0
    """Virtual time from the first arrival to the end."""
    preemptions: int = 0
    reused: int = 0
    """Tokens of prompts that were found in the cache."""
    timeline: list[Sample] = field(default_factory=list)
    by_replica: list[int] = field(default_factory=list)
    """Calls that each replica served."""


def orders(policy: str, engine: Engine) -> Callable[[Callable[[], float]], Order]:
    """What makes a replica's order: `stock` and `priority` are vLLM's own, all others our policies.

    Raises:
        ConfigError: there is no policy of that name.
    """
    if policy == "stock":
        return lambda clock: Fcfs()
    if policy == "priority":
        return lambda clock: Priority()
    found = policy_named(policy)
    return lambda clock: ByPolicy(found, engine, clock)


def simulate(
    items: Sequence[Item],
    engine: Engine,
    policy: str,
    *,
    replicas: int = 1,
    router: Router | None = None,
    profile: Profile | None = None,
    forecast: Forecast = "profile",
    watch: Callable[[Replica], None] | None = None,
) -> Simulated:
    """Serve a workload to its end.

    Args:
        router: which replica a call goes to; by default one after the other.
        profile: what the hints know of lengths; by default what the whole workload tells.
        forecast: what the hints tell of the stages to come.
        watch: is shown each replica before it begins, and may set its `log`.
    """
    make = orders(policy, engine)
    made = [Replica(engine, make) for _ in range(replicas)]
    for replica in made:
        if watch is not None:
            watch(replica)
    clients = Clients(items, profile, forecast, engine.max_model_len)
    return _Simulation(clients, made, router or RoundRobin()).run()


class _Simulation:
    def __init__(self, clients: Clients, replicas: Sequence[Replica], router: Router) -> None:
        self.clients = clients
        self.replicas = replicas
        self.router = router
        self.result = Simulated(by_replica=[0] * len(replicas))
        self._sampled = -math.inf
        self._every = 0.0

    def run(self) -> Simulated:
        clients, replicas = self.clients, self.replicas
        while True:
            now = min([clients.next_at, *[each.end for each in replicas]])
            if now == math.inf:
                break
            touched = [each for each in replicas if each.end <= now]
            for replica in touched:
                replica.complete(self._done)
            for asked in clients.asking(now):
                chosen = self._place(asked)
                if chosen.end == math.inf and chosen not in touched:
                    touched.append(chosen)
            for replica in touched:
                replica.start(now)
            self._sample(now)
        result = self.result
        result.steps = sum(each.steps.made - each.idle for each in replicas)
        result.preemptions = sum(each.preemptions for each in replicas)
        result.reused = sum(each.reused for each in replicas)
        result.seconds = max((each.now for each in replicas), default=0.0) - clients.first
        result.requests = clients.served()
        return result

    def _place(self, asked: Asked) -> Replica:
        where = self.router.choose(asked, self.replicas)
        self.result.by_replica[where] += 1
        replica = self.replicas[where]
        replica.offer(asked)
        return replica

    def _done(self, request: Request) -> None:
        self.clients.finished(request.asked, request.times, request.steps.ends[-1])

    def _sample(self, now: float) -> None:
        """Note how things are, less and less often."""
        if now < self._sampled + self._every:
            return
        self._sampled = now
        timeline = self.result.timeline
        running = sum(len(each.running) for each in self.replicas)
        waiting = sum(each.open for each in self.replicas) - running
        timeline.append(Sample(now, running, waiting, sum(each.used for each in self.replicas)))
        if len(timeline) >= SAMPLES:
            del timeline[1::2]
            self._every = 2 * (timeline[-1].at - timeline[0].at) / len(timeline)
