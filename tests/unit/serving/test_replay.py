"""Virtual-time replay on vLLM's real scheduler."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)

from vllm.v1.core.sched.scheduler import Scheduler

from agentvm_serving.estimate.steps import CPU_135M, Batch, StepModel
from agentvm_serving.goodput import goodput
from agentvm_serving.policy import POLICIES
from agentvm_serving.sim.replay import Engine, replay
from agentvm_serving.vllm import POLICY_VARIABLE, scheduler
from agentvm_serving.workload import Call, Item, mixed

ENGINE = Engine(CPU_135M, max_num_seqs=16)


def test_one_request_takes_its_steps():
    """One for the prompt, one for each further token, each as long as the model says."""
    step = StepModel(base=50.0, per_prefill=1.0, per_pair=0.0, per_decode=2.0, per_context=0.0)
    item = Item("a", "deadline", 1.0, ((Call(100, 4),),), within=9.0)
    result = replay([item], Engine(step), scheduler.create)
    (request,) = result.requests
    times = [1.15, 1.202, 1.254, 1.306]
    assert request.calls[0].token_times == pytest.approx(times)
    assert (request.calls[0].arrival, request.deadline, result.steps) == (1.0, 10.0, 4)
    assert step.seconds(Batch(100)) == 0.15


def test_long_prompts_are_cut():
    """A prompt longer than a step may take gives its first token after several."""
    step = StepModel(base=50.0, per_prefill=1.0, per_pair=0.0, per_decode=0.0, per_context=0.0)
    item = Item("a", "deadline", 0.0, ((Call(250, 1),),), within=9.0)
    result = replay([item], replace(Engine(step), max_num_batched_tokens=100), scheduler.create)
    assert result.steps == 3
    assert result.requests[0].calls[0].token_times == pytest.approx([0.4])


def test_stages_follow_one_another():
    """Each when all calls of the one before are done and the tools between have run."""
    item = Item("a", "compound", 0.0, ((Call(10, 2), Call(10, 8)), (Call(10, 2),)), within=30.0, gap=1.5)
    (request,) = replay([item], ENGINE, scheduler.create).requests
    first, second, last = request.calls
    assert (first.arrival, second.arrival) == (0.0, 0.0)
    assert last.arrival == pytest.approx(second.token_times[-1] + 1.5)


def test_programs_that_tell_only_their_name_are_forecast_by_patterns():
    """The scheduler learns a run's stages, and forecasts the next one's."""
    made = []

    def make(**arguments):
        made.append(scheduler.creator("jit")(**arguments))
        return made[0]

    stages = ((Call(10, 4),), (Call(20, 5), Call(20, 6)))
    items = [Item(f"a{n}", "compound", 100.0 * n, stages, "agent", within=30.0) for n in range(2)]
    replay(items, ENGINE, make, forecast="patterns")
    (pattern,) = made[0]._tracker.patterns.patterns("agent")
    assert [(each.calls, each.input_tokens, each.longest) for each in pattern.stages] == [
        (1, 10, 4),
        (2, 20, 6),
    ]
    first = made[0].records("a1/0")[0]
    assert first["output_tokens"] == 4
    assert [each.hints.siblings for each in made[0]._observer.records.of("a1/1")] == [2, 2]


@pytest.mark.parametrize(
    ("per_decode", "slo", "together"),
    [(6.8, "deadline", 19), (0.1, "deadline", 32), (6.8, "best_effort", 32)],
)
def test_no_more_run_at_once_than_make_the_engine_quicker(per_decode, slo, together):
    """Where each makes the step longer by a fifth of its base: 4 * 33 / 6.8; if anybody minds."""
    widths = []

    def make(**arguments):
        made = scheduler.creator("edf")(**arguments)
        schedule = made.schedule

        def watched():
            output = schedule()
            widths.append(len(output.num_scheduled_tokens))
            return output

        made.schedule = watched
        return made

    step = StepModel(33.0, 0.5, 0.0, per_decode, 0.0)
    items = [Item(f"{n}", slo, 0.0, ((Call(20, 40 + n % 7),),), within=900.0) for n in range(100)]
    replay(items, Engine(step, max_num_seqs=32), make)
    assert max(widths) == 32  # before the engine is known
    assert max(widths[60:]) == together


@pytest.mark.parametrize("policy", ["edf", "fcfs", "jit"])
def test_clients_without_objectives_are_served_as_by_vllm_itself(policy):
    """Token by token, programs that tell their stages too."""
    items = [
        replace(each, slo="best_effort", within=None, ttft=None, tbt=None) for each in mixed(60, 4.0, seed=1)
    ]
    ours = replay(items, ENGINE, scheduler.creator(policy))
    assert ours.requests == replay(items, replace(ENGINE, policy="fcfs"), Scheduler).requests


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_every_policy_serves_everything(policy, monkeypatch):
    """Under overload too nothing is lost, served twice or starved; the same again is the same."""
    monkeypatch.setenv(POLICY_VARIABLE, policy)
    items = mixed(60, 4.0, seed=1)
    one, again = (replay(items, ENGINE, scheduler.create) for _ in range(2))
    assert one.requests == again.requests
    for item, request in zip(items, one.requests, strict=True):
        assert sum(len(call.token_times) for call in request.calls) == item.tokens
    assert goodput(one.requests).served_tokens == sum(item.tokens for item in items)


def test_the_engine_is_never_overfilled(monkeypatch):
    """A KV cache too small for all makes vLLM preempt, and all come to their end."""
    monkeypatch.setenv(POLICY_VARIABLE, "jit")
    items = mixed(30, 50.0, seed=2)
    result = replay(items, replace(ENGINE, kv_tokens=1600, max_model_len=1024), scheduler.create)
    assert result.preemptions
    assert goodput(result.requests).served_tokens == sum(item.tokens for item in items)


def test_past_future_starts_what_the_cache_will_hold():
    """With a cache that is too small for all, nothing is preempted that another order has to preempt."""
    items = mixed(60, 50.0, seed=2)
    engine = replace(ENGINE, kv_tokens=2400, max_model_len=1024)
    greedy, careful = (replay(items, engine, scheduler.creator(each)) for each in ("fcfs", "past_future"))
    assert greedy.preemptions > 3 * careful.preemptions
    assert goodput(careful.requests).served_tokens == sum(item.tokens for item in items)


def test_jit_puts_more_tokens_in_time_than_deadline_order_under_overload(monkeypatch):
    """What the policy is for; where all can be in time the two do the same."""
    served = {}
    for load in (0.5, 3.5):
        for policy in ("edf", "jit"):
            monkeypatch.setenv(POLICY_VARIABLE, policy)
            served[load, policy] = goodput(
                replay(mixed(150, load, seed=1), ENGINE, scheduler.create).requests
            )
    assert served[0.5, "jit"].tokens >= 0.98 * served[0.5, "edf"].tokens
    assert served[3.5, "jit"].tokens > 1.05 * served[3.5, "edf"].tokens
