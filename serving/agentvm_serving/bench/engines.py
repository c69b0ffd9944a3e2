"""What a benchmark serves its workloads with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Protocol

from agentvm_compiler.errors import ConfigError
from agentvm_serving.estimate.steps import CPU_135M, StepModel
from agentvm_serving.goodput import ServedRequest
from agentvm_serving.policy import POLICIES
from agentvm_serving.workload import FORECASTS, Forecast, Item

PROFILES: Final[Mapping[str, StepModel]] = MappingProxyType({"cpu135m": CPU_135M})
"""Step models by name."""
STOCK: Final = ("stock", "priority")
"""vLLM's own scheduler: first come, first served; and with deadlines as priorities."""


@dataclass(frozen=True, slots=True)
class Served:
    """What came of one workload under one policy."""

    requests: Sequence[ServedRequest]
    seconds: float
    """From the first arrival to the last token."""
    preemptions: int = 0
    scheduling: float | None = None
    """Seconds of scheduling in a step, on average."""


class BenchEngine(Protocol):
    """Serves workloads."""

    def serve(self, items: Sequence[Item], policy: str) -> Served:
        """Serve a workload to its end under a policy: one of ours, or of `STOCK`."""
        ...

    def close(self) -> None:
        """Stop what was started. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class ReplayEngine:
    """vLLM's real scheduler and KV manager in virtual time."""

    step: StepModel
    max_num_seqs: int = 32
    forecast: Forecast = "profile"
    """What the hints tell of stages to come."""

    def serve(self, items: Sequence[Item], policy: str) -> Served:
        from agentvm_serving.sim.replay import Engine, replay
        from agentvm_serving.vllm.scheduler import creator

        engine = Engine(self.step, max_num_seqs=self.max_num_seqs)
        if policy in STOCK:
            from vllm.v1.core.sched.scheduler import Scheduler

            own = "priority" if policy == "priority" else "fcfs"
            result = replay(items, replace(engine, policy=own), Scheduler, forecast=self.forecast)
        else:
            result = replay(items, engine, creator(policy), forecast=self.forecast)
        return Served(
            result.requests, result.seconds, result.preemptions, result.scheduling / max(1, result.steps)
        )

    def close(self) -> None:
        """Nothing was started."""


def engine_named(spec: str, find: Callable[[str], str] = str, forecast: str = "profile") -> BenchEngine:
    """The engine of a spec such as `replay:cpu135m` or `vllm:MODEL`.

    Args:
        find: gives the folder of a model's name.
        forecast: what the hints tell of stages to come.

    Raises:
        ConfigError: there is none, or vLLM is not installed; says what to do.
    """
    kind, _, name = spec.partition(":")
    if not ((kind == "vllm" and name) or (kind == "replay" and name in PROFILES)):
        known = ", ".join(f"replay:{each}" for each in PROFILES)
        raise ConfigError(f"no engine is called {spec!r}. Choose one of: {known}, vllm:MODEL")
    told = next((each for each in FORECASTS if each == forecast), None)
    if told is None:
        raise ConfigError(f"no forecast is called {forecast!r}. Choose one of: {', '.join(FORECASTS)}")
    from agentvm_serving.vllm.environment import prepare_imports, vllm_version

    if vllm_version() is None:
        raise ConfigError("serving needs vLLM. Install it: pip install 'agentvm[cpu]'")
    if kind == "vllm":
        from .live import LiveEngine

        return LiveEngine(name, find(name), forecast=told)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # one scheduler after the other says the same
    prepare_imports()
    return ReplayEngine(PROFILES[name], forecast=told)


def known_policies() -> list[str]:
    """Names of the policies a benchmark can compare."""
    return [*STOCK, *sorted(POLICIES)]
