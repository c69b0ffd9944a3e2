"""Three times as much work as an engine can do, with memory for a third of its slots: nothing gets stuck."""

from __future__ import annotations

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)

from agentvm_compiler.wire import Hints, Stage
from agentvm_serving.policy import POLICIES
from agentvm_serving.slo import to_extra_args
from agentvm_serving.vllm.scheduler import creator

from .position_true import EPOCH, STEP, Engine, answer, check_blocks

SLOTS, BLOCKS = 6, 10
"""Nine blocks are usable: memory for two of the requests at their ends."""
REQUESTS, PROMPT, LENGTH = 40, 40, 24
EVERY = 4
"""Steps between two arrivals: a third of what two requests at a time take for each."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


def hints_of(number: int, now: float) -> Hints | None:
    """A plain client's, a chat's, one with little time, and calls of programs that join three."""
    match number % 4:
        case 0:
            return None
        case 1:
            return Hints(slo="latency", ttft=0.5, tbt=0.06, site="chat")
        case 2:
            return Hints(slo="deadline", deadline=now + 2.0, site="short")
    group = number // 12
    return Hints(
        run=f"r{group}",
        site="program",
        slo="deadline",
        deadline=EPOCH + (group * 12 + 60) * EVERY * STEP,
        siblings=3,
        remaining=(Stage(output_tokens=20),),
    )


@pytest.mark.parametrize(
    "policy, rejects",
    [*((each, False) for each in sorted(POLICIES)), ("fcfs", True), ("edf", True), ("jit", True)],
)
def test_overload_never_deadlocks(folder, policy, rejects):
    """Every request ends, with the tokens of an undisturbed one or refused; no block is leaked."""
    engine = Engine(folder, creator(policy, rejects=rejects), slots=SLOTS, blocks=BLOCKS, budget=48)
    wanted = {}
    for number in range(REQUESTS):
        prompt = [(number * 7 + at) % 90 for at in range(PROMPT)]
        wanted[f"q{number}"] = answer(prompt, LENGTH)
        hints = hints_of(number, engine.scheduler.clock())
        engine.add(f"q{number}", prompt, LENGTH, None if hints is None else to_extra_args(hints))
        for _ in range(EVERY):
            engine.step()
    done = list(engine.reasons.values()).count("length")
    assert done <= REQUESTS / 2, "this was no overload"
    engine.run(limit=REQUESTS * (PROMPT + LENGTH))
    check_blocks(engine.scheduler)
    pool = engine.scheduler.kv_cache_manager.block_pool
    assert pool.get_num_free_blocks() == BLOCKS - 1
    for name, tokens in wanted.items():
        if engine.reasons[name] == "length":
            assert engine.given[name] == tokens
        else:
            assert rejects and engine.reasons[name] == "abort"
            assert engine.told[name].startswith("agentvm: it cannot be in time")
    refused = [name for name, reason in engine.reasons.items() if reason == "abort"]
    assert bool(refused) == rejects
