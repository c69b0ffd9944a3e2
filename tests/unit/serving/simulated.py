"""Small workloads for the simulator, and its checks."""

from __future__ import annotations

import random

from agentvm_serving.estimate.steps import CPU_135M
from agentvm_serving.sim.engine import Engine
from agentvm_serving.workload import Call, Item

TIGHT = Engine(CPU_135M, max_num_seqs=16, max_num_batched_tokens=128, kv_tokens=1600, max_model_len=1024)
"""Prompts are cut, and the KV cache is too small for all that may run."""


def sessions(count: int, seed: int, turns: int = 4) -> list[Item]:
    """Agents whose prompts grow by turns, after one of two system prompts; some turns make two calls."""
    draws = random.Random(seed)
    items = []
    at = 0.0
    for number in range(count):
        at += draws.expovariate(1.0)
        system, length = draws.choice((("s1", 50), ("s2", 60)))
        context = 0
        stages = []
        for _ in range(turns):
            context += draws.randrange(5, 90)
            answer = draws.randrange(3, 40)
            prefix = ((system, length), (f"own{number}", context))
            calls = [Call(length + context, answer, prefix)]
            if draws.random() < 0.4:
                calls.append(Call(length + context + 7, answer + 3, prefix))
            stages.append(tuple(calls))
            context += answer
        items.append(Item(f"i{number}", "compound", at, tuple(stages), "agent", within=40.0, gap=0.5))
    return items
