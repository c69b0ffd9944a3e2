"""What a benchmark serves its workloads with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from agentvm_compiler.errors import ConfigError
from agentvm_serving.goodput import ServedRequest
from agentvm_serving.policy import POLICIES, policy_named
from agentvm_serving.sim.profiles import profiles
from agentvm_serving.sim.routers import router_named
from agentvm_serving.sim.simulator import Sample, simulate
from agentvm_serving.workload import FORECASTS, Forecast, Item

from .specs import Spec, virtual

STOCK: Final = ("stock", "priority")
"""vLLM's own scheduler: first come, first served; and with deadlines as priorities."""


@dataclass(frozen=True, slots=True)
class Served:
    """What came of one workload under one policy."""

    requests: Sequence[ServedRequest]
    """By item, in their order."""
    seconds: float
    """From the first arrival to the last token."""
    preemptions: int = 0
    scheduling: float | None = None
    """Seconds of scheduling in a step, on average."""
    steps: int = 0
    """Engine iterations, of all replicas; 0 if unknown."""
    reused: int = 0
    """Tokens of prompts that were found in the KV cache (simulator)."""
    timeline: Sequence[Sample] = ()
    """How many ran and waited, at moments (simulator)."""
    by_replica: Sequence[int] = ()
    """Calls that each replica served (simulator)."""
    speeds: Sequence[float] = ()
    """How fast the machine was before and after, in any unit (real engines)."""


class BenchEngine(Protocol):
    """Serves workloads."""

    def serve(self, items: Sequence[Item], policy: str) -> Served:
        """Serve a workload to its end under a policy: one of ours, or of `STOCK`."""
        ...

    def close(self) -> None:
        """Stop what was started. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class SimEngine:
    """The simulator."""

    spec: Spec
    forecast: Forecast = "profile"
    """What the hints tell of stages to come."""

    def serve(self, items: Sequence[Item], policy: str) -> Served:
        result = simulate(
            items,
            self.spec.engine,
            policy,
            replicas=self.spec.replicas,
            router=router_named(self.spec.router),
            forecast=self.forecast,
        )
        return Served(
            result.requests,
            result.seconds,
            result.preemptions,
            steps=result.steps,
            reused=result.reused,
            timeline=result.timeline,
            by_replica=result.by_replica,
        )

    def close(self) -> None:
        """Nothing was started."""


@dataclass(frozen=True, slots=True)
class ReplayEngine:
    """vLLM's real scheduler and KV manager in virtual time."""

    spec: Spec
    forecast: Forecast = "profile"
    """What the hints tell of stages to come."""

    def serve(self, items: Sequence[Item], policy: str) -> Served:
        from agentvm_serving.sim.replay import replay
        from agentvm_serving.vllm.scheduler import creator

        engine = self.spec.engine
        if policy in STOCK:
            from vllm.v1.core.sched.scheduler import Scheduler

            own = "priority" if policy == "priority" else "fcfs"
            result = replay(items, replace(engine, policy=own), Scheduler, forecast=self.forecast)
        else:
            result = replay(items, engine, creator(policy), forecast=self.forecast)
        return Served(
            result.requests,
            result.seconds,
            result.preemptions,
            result.scheduling / max(1, result.steps),
            result.steps,
        )

    def close(self) -> None:
        """Nothing was started."""


def engine_named(spec: str, find: Callable[[str], str] = str, forecast: str = "profile") -> BenchEngine:
    """The engine of a spec such as `sim:a100`, `sim:h100x4?router=slo`, `replay:cpu135m` or `vllm:MODEL`.

    Args:
        find: gives the folder of a model's name.
        forecast: what the hints tell of stages to come.

    Raises:
        ConfigError: there is none, or vLLM is not installed; says what to do.
    """
    kind, _, name = spec.partition(":")
    if kind not in ("sim", "replay", "vllm") or not name:
        known = ", ".join(f"{each}:{profile}" for each in ("sim", "replay") for profile in profiles())
        raise ConfigError(f"no engine is called {spec!r}. Choose one of: {known}, vllm:MODEL")
    told = next((each for each in FORECASTS if each == forecast), None)
    if told is None:
        raise ConfigError(f"no forecast is called {forecast!r}. Choose one of: {', '.join(FORECASTS)}")
    if kind == "sim":
        return SimEngine(virtual(name), told)
    from agentvm_serving.vllm.environment import prepare_imports, vllm_version

    if kind == "replay":
        found = virtual(name)
        if found.replicas > 1 or found.engine.preemption == "swap":
            raise ConfigError("replay drives one of vLLM's schedulers, which never swaps: use sim")
    if vllm_version() is None:
        raise ConfigError("serving needs vLLM. Install it: pip install 'agentvm[cpu]'")
    if kind == "vllm":
        from .live import LiveEngine

        return LiveEngine(name, find(name), forecast=told)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # one scheduler after the other says the same
    prepare_imports()
    return ReplayEngine(found, forecast=told)


def check_policy(name: str) -> None:
    """See that a benchmark can compare that policy.

    Raises:
        ConfigError: it cannot; says which it can.
    """
    bare = name.partition("?")[0]
    if bare in STOCK and bare != name:
        raise ConfigError(f"policy {name!r}: vLLM's own have no options")
    if bare not in STOCK and bare not in POLICIES:
        known = ", ".join([*STOCK, *sorted(POLICIES)])
        raise ConfigError(f"no scheduling policy is called {name!r}. Choose from: {known}")
    if bare not in STOCK:
        policy_named(name)
