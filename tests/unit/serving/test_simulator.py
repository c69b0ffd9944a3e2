"""The simulator: what it does step by step, and what holds of it whatever it serves."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentvm_compiler.errors import InputError
from agentvm_serving.estimate.steps import CPU_135M, Batch, StepModel
from agentvm_serving.goodput import goodput
from agentvm_serving.policy import POLICIES
from agentvm_serving.sim.engine import BLOCK, Engine
from agentvm_serving.sim.profiles import Options, profiles
from agentvm_serving.sim.replica import Replica
from agentvm_serving.sim.simulator import simulate
from agentvm_serving.workload import Call, Item, mixed

from .simulated import TIGHT, sessions

ENGINE = Engine(CPU_135M, max_num_seqs=16)
GOLDEN = Path(__file__).with_name("golden_simulation.txt")


def once(arrival: float, prompt: int, answer: int, name: str = "a") -> Item:
    return Item(name, "deadline", arrival, ((Call(prompt, answer),),), within=9.0)


def test_one_request_takes_its_steps():
    """One for the prompt, one for each further token, each as long as the model says."""
    step = StepModel(base=50.0, per_prefill=1.0, per_pair=0.0, per_decode=2.0, per_context=1.0)
    result = simulate([once(1.0, 100, 4)], Engine(step), "fcfs")
    (call,) = result.requests[0].calls
    assert call.token_times == pytest.approx([1.15, 1.303, 1.457, 1.612])
    assert (call.arrival, result.requests[0].deadline, result.steps) == (1.0, 10.0, 4)
    assert result.seconds == pytest.approx(0.612)


def test_a_request_is_seen_when_the_step_under_way_is_over():
    """However many steps were passed at once; its wait counts from when it came."""
    step = StepModel(base=100.0, per_prefill=0.0, per_pair=0.0, per_decode=0.0, per_context=0.0)
    result = simulate([once(0.0, 10, 50), once(1.23, 10, 1, "b")], Engine(step), "stock")
    (late,) = result.requests[1].calls
    assert (late.arrival, late.token_times) == (1.23, pytest.approx([1.4]))
    assert result.steps == 50


def test_long_prompts_are_cut_and_others_decode_beside_them():
    """Who decodes is served first; the prompt gets what is left of the budget."""
    log: list[dict[str, int]] = []
    engine = replace(ENGINE, max_num_batched_tokens=100)
    items = [once(0.0, 10, 6), once(0.01, 250, 2, "b")]
    simulate(items, engine, "stock", watch=lambda replica: setattr(replica, "log", log))
    a, b = "a/0/0", "b/0/0"
    assert log == [{a: 10}, {a: 1, b: 99}, {a: 1, b: 99}, {a: 1, b: 52}, {a: 1, b: 1}, {a: 1}]


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_nobody_who_decodes_waits_for_a_prompt(policy):
    """However urgent the prompt is, and though its pieces could take the whole budget."""
    log: list[dict[str, int]] = []
    engine = replace(ENGINE, max_num_batched_tokens=100)
    urgent = replace(once(0.02, 250, 2, "b"), within=2.0)
    simulate([once(0.0, 10, 30), urgent], engine, policy, watch=lambda replica: setattr(replica, "log", log))
    assert ["a/0/0" in step for step in log[:30]] == [True] * 30
    assert any("b/0/0" in step for step in log[:30])


def test_when_no_block_is_free_the_last_one_waits_and_is_computed_anew():
    """Of two that outgrow the cache, the one that came later."""
    log: list[dict[str, int]] = []
    engine = replace(ENGINE, kv_tokens=5 * BLOCK)  # vLLM keeps one of them
    items = [once(0.0, 16, 30), once(0.0, 16, 30, "b")]
    result = simulate(items, engine, "stock", watch=lambda replica: setattr(replica, "log", log))
    assert result.preemptions == 1
    assert log[17] == {"a/0/0": 1}  # both need a third block
    assert [each["b/0/0"] for each in log if each.get("b/0/0", 0) > 1] == [16, 16 + 17]
    assert goodput(result.requests).served_tokens == 60


def test_swapped_kv_comes_back_for_the_time_of_its_transfer():
    """Nothing is computed twice; both ways take time."""
    log: list[dict[str, int]] = []
    engine = replace(ENGINE, kv_tokens=5 * BLOCK, preemption="swap")
    items = [once(0.0, 16, 30), once(0.0, 16, 30, "b")]
    fast = simulate(items, engine, "stock", watch=lambda replica: setattr(replica, "log", log))
    slow = simulate(items, replace(engine, swap_per_token=0.001), "stock")
    assert fast.preemptions == 1
    assert sum(sum(each.values()) for each in log) == 2 * (16 + 29)
    assert slow.seconds - fast.seconds == pytest.approx(2 * 32 * 0.001)


def test_a_prompt_finds_its_beginning_in_the_cache():
    """In full blocks, but for its last token; of an earlier turn the answer too."""
    shared = (("doc", 64),)
    items = [
        Item("a", "deadline", 0.0, ((Call(64, 20, shared),), (Call(100, 2, (("doc", 90),)),)), within=60.0),
        Item("b", "deadline", 30.0, ((Call(64, 2, shared),),), within=60.0),
    ]
    result = simulate(items, replace(ENGINE, prefix_cache=True), "fcfs")
    assert result.reused == 80 + 48
    assert simulate(items, ENGINE, "fcfs").reused == 0


def test_what_was_unused_longest_is_forgotten_first():
    """And of a prompt its last blocks: nine hold two of three, after one of four all of y and one of x."""
    calls = [Call(49, 1, ((name, 49),)) for name in "xy"]
    other, again = Call(64, 1), [Call(49, 1, ((name, 49),)) for name in "yx"]
    items = [once(10.0 * n, 1, 1, str(n)) for n in range(5)]
    stages = [*calls, other, *again]
    items = [replace(item, stages=((call,),)) for item, call in zip(items, stages, strict=True)]
    result = simulate(items, replace(ENGINE, kv_tokens=10 * BLOCK, prefix_cache=True), "stock")
    assert result.reused == 48 + 16


def test_a_prompt_that_the_engine_cannot_take_is_an_error():
    """Before anything is served wrongly."""
    with pytest.raises(InputError, match="call a/0/0 has a prompt of 5000 tokens, the engine takes 4096"):
        simulate([once(0.0, 5000, 1)], ENGINE, "fcfs")


def test_the_golden_trace_is_as_it_was():
    """Three workloads by seed on one A100: when each call came, and had its first and last token."""
    engine = profiles()["a100"].engine(Options(overhead=True))
    engine = replace(engine, kv_tokens=2_000, max_model_len=1_000, max_num_seqs=24, prefix_cache=True)
    lines = []
    for policy, items in (
        ("stock", mixed(30, 40.0, seed=5)),
        ("jit", mixed(30, 40.0, seed=6)),
        ("edf", sessions(8, seed=7)),
    ):
        result = simulate(items, engine, policy)
        lines.append(f"{policy}: {result.steps} steps, {result.preemptions} preempted, {result.reused} found")
        for item, request in zip(items, result.requests, strict=True):
            times = [f"{c.arrival:.6f} {c.token_times[0]:.6f} {c.token_times[-1]:.6f}" for c in request.calls]
            lines.append(f"{item.id}: " + ", ".join(times))
    assert lines == GOLDEN.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("policy", ["stock", "priority", *sorted(POLICIES)])
def test_steps_passed_at_once_are_the_steps_one_by_one(policy, monkeypatch):
    """Passing many decoding steps changes nothing that can be seen."""
    items = mixed(40, 4.0, seed=3) + sessions(5, seed=3)
    engine = replace(TIGHT, prefix_cache=True)
    found = simulate(items, engine, policy)
    monkeypatch.setattr(Replica, "_start_stretch", lambda self, limit: False)
    each = simulate(items, engine, policy)
    assert (found.steps, found.preemptions, found.reused) == (each.steps, each.preemptions, each.reused)
    for one, other in zip(found.requests, each.requests, strict=True):
        for a, b in zip(one.calls, other.calls, strict=True):
            assert a.token_times == pytest.approx(b.token_times, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    policy=st.sampled_from(["stock", "priority", *sorted(POLICIES)]),
    seqs=st.integers(1, 24),
    budget=st.sampled_from([32, 100, 2048]),
    blocks=st.integers(66, 300),
    cache=st.booleans(),
    preemption=st.sampled_from(["recompute", "swap"]),
    replicas=st.integers(1, 3),
)
def test_nothing_is_lost(seed, policy, seqs, budget, blocks, cache, preemption, replicas):
    """Every token comes, in order; no step is overfilled; no block leaks; the same again is the same."""
    engine = Engine(
        CPU_135M,
        max_num_seqs=seqs,
        max_num_batched_tokens=budget,
        max_model_len=1024,
        kv_tokens=blocks * BLOCK,
        prefix_cache=cache,
        preemption=preemption,
        swap_per_token=1e-4,
    )
    items = mixed(8, random.Random(seed).choice((1.0, 50.0)), seed) + sessions(3, seed)
    seen: list[Replica] = []

    def watch(replica: Replica) -> None:
        replica.log = []
        seen.append(replica)

    result = simulate(items, engine, policy, replicas=replicas, watch=watch)
    for item, request in zip(items, result.requests, strict=True):
        assert sum(len(call.token_times) for call in request.calls) == item.tokens
        for call in request.calls:
            assert call.arrival < call.token_times[0]
            assert list(call.token_times) == sorted(set(call.token_times))
    worked = 0
    for replica in seen:
        assert replica.memory.free == blocks - 1
        assert replica.log is not None
        worked += sum(sum(step.values()) for step in replica.log)
        assert all(len(step) <= seqs and 0 < sum(step.values()) <= budget for step in replica.log)
    calls = [call for item in items for stage in item.stages for call in stage]
    needed = sum(call.input_tokens + call.output_tokens - 1 for call in calls)
    if not result.preemptions:
        assert worked + result.reused == needed
    elif preemption == "swap":
        assert worked + result.reused <= needed
    else:
        assert worked + result.reused >= needed
    assert simulate(items, engine, policy, replicas=replicas).requests == result.requests


def test_models_are_what_the_profiles_measured():
    """The table form meets operator sums to 2 % on the median point, the knee form to 4 % (their sources)."""
    points = {  # milliseconds, from the profiles themselves
        "a100": [(Batch(decodes=1, context=1024), 10.599), (Batch(decodes=64, context=131_072), 23.2)],
        "h100": [(Batch(decodes=1, context=1024), 6.81), (Batch(decodes=64, context=131_072), 13.022)],
    }
    prompts = {"a100": (154.978, 662.2), "h100": (45.279, 206.989)}
    for name, known in points.items():
        model = profiles()[name].engine(Options())
        for batch, milliseconds in known:
            assert model.seconds(batch) * 1000 == pytest.approx(milliseconds, rel=0.05)
        for tokens, milliseconds in zip((2048, 8192), prompts[name], strict=True):
            batch = Batch(tokens, tokens * tokens / 2, prompts=1)
            assert model.seconds(batch) * 1000 == pytest.approx(milliseconds, rel=0.05)
        # Far beyond the grid it goes on as it was.
        beyond = [model.seconds(Batch(n, prompts=1)) for n in (16_384, 32_768, 65_536)]
        assert beyond[2] - beyond[1] == pytest.approx(2 * (beyond[1] - beyond[0]))


def test_options_vary_a_profile():
    """Prompts that cost more, KV that costs more beside them, and vLLM's own time."""
    profile = profiles()["h100"]
    plain = profile.engine(Options())
    mixed_batch, decode = Batch(512, 512 * 256, 32, 32_768, 1), Batch(decodes=32, context=32_768)
    over = profile.engine(Options(overhead=True))
    assert over.seconds(decode) - plain.seconds(decode) == pytest.approx(1.1531e-3 + 32 * 4.41684e-6)
    more = profile.engine(Options(prefill=1.3))
    assert more.seconds(decode) == plain.seconds(decode)
    extra = plain.seconds(mixed_batch) - plain.seconds(decode)
    assert more.seconds(mixed_batch) - plain.seconds(mixed_batch) == pytest.approx(0.3 * extra)
    mix = profile.engine(Options(mix=0.3))
    assert mix.seconds(decode) == plain.seconds(decode)
    assert mix.seconds(mixed_batch) - plain.seconds(mixed_batch) == pytest.approx(
        0.3 * 4.2218e-8 * 32_768, rel=1e-3
    )
    knee = profile.engine(Options(form="knee"))
    assert knee.seconds(mixed_batch) == pytest.approx(plain.seconds(mixed_batch), rel=0.15)
