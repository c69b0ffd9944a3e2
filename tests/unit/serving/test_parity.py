"""The simulator against vLLM's real scheduler and KV manager: the same decisions, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)

from agentvm_serving.bench.engines import STOCK
from agentvm_serving.goodput import goodput
from agentvm_serving.policy import POLICIES
from agentvm_serving.sim.engine import Engine
from agentvm_serving.sim.replay import replay
from agentvm_serving.sim.simulator import simulate
from agentvm_serving.vllm.environment import vllm_version
from agentvm_serving.vllm.scheduler import creator
from agentvm_serving.workload import Item, mixed

from .simulated import TIGHT, sessions


def both(policy: str, items: list[Item], engine: Engine) -> None:
    """Serve with each, and compare who ran in each step with how many tokens."""
    if policy in STOCK:
        from vllm.v1.core.sched.scheduler import Scheduler as make

        own = replace(engine, policy="priority" if policy == "priority" else "fcfs")
    else:
        make, own = creator(policy), engine
    real: list[dict[str, int]] = []
    simulated: list[dict[str, int]] = []
    judge = replay(items, own, make, log=real)
    result = simulate(items, engine, policy, watch=lambda replica: setattr(replica, "log", simulated))
    assert simulated == real
    assert (result.steps, result.preemptions) == (judge.steps, judge.preemptions)
    assert result.seconds == pytest.approx(judge.seconds)
    assert goodput(result.requests) == goodput(judge.requests)


@pytest.mark.parametrize("policy", [*STOCK, *sorted(POLICIES)])
def test_every_policy_decides_alike(policy):
    """Where prompts are cut and the KV cache is too small for all that may run."""
    if policy == "priority" and not (vllm_version() or "").startswith("0.32"):
        pytest.skip(
            "the simulator has 0.32's own priorities; 0.33 goes on with the others after a preemption"
        )
    both(policy, mixed(30, 8.0, seed=2), TIGHT)


@pytest.mark.parametrize("policy", ["edf", "jit"])
def test_prompts_are_read_beside_decoding_alike(policy):
    """Where there is KV for all, so that who decodes goes before prompts however urgent these are."""
    both(policy, mixed(40, 8.0, seed=2), replace(TIGHT, kv_tokens=60_000, max_num_batched_tokens=64))


@pytest.mark.parametrize("policy", ["stock", "edf", "jit"])
@pytest.mark.parametrize("kv_tokens", [1600, 60_000])
def test_prompts_find_their_beginnings_alike(policy, kv_tokens):
    """Sessions that share system prompts and grow by turns, in a cache that forgets and in a large one."""
    both(policy, sessions(12, seed=1), replace(TIGHT, kv_tokens=kv_tokens, prefix_cache=True))
