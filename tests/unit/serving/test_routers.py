"""Several replicas, and which of them a call goes to."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from agentvm_serving.bench.engines import engine_named
from agentvm_serving.estimate.steps import CPU_135M
from agentvm_serving.goodput import goodput
from agentvm_serving.sim.engine import Engine
from agentvm_serving.sim.routers import ROUTERS, router_named
from agentvm_serving.sim.simulator import simulate
from agentvm_serving.workload import Call, Item, mixed

from .simulated import sessions

ENGINE = Engine(CPU_135M, max_num_seqs=4, prefix_cache=True)


def calls(*made: tuple[float, int, int, float], prefix: tuple[tuple[str, int], ...] = ()) -> list[Item]:
    """Calls by arrival, prompt, answer and seconds to their deadline."""
    return [
        Item(str(n), "deadline", at, ((Call(prompt, answer, prefix),),), within=within)
        for n, (at, prompt, answer, within) in enumerate(made)
    ]


def where(items: list[Item], router: str, replicas: int = 2, engine: Engine = ENGINE) -> list[int]:
    """The replica that each call went to."""
    found: list[int] = []
    made = router_named(router)

    class Watched:
        def choose(self, asked, among):
            found.append(made.choose(asked, among))
            return found[-1]

    simulate(items, engine, "edf", replicas=replicas, router=Watched())
    return found


def test_one_after_the_other():
    """Whatever they have to do."""
    assert where(calls(*[(0.0, 9, 9, 9.0)] * 5), "round", 3) == [0, 1, 2, 0, 1]


def test_the_least_loaded():
    """By calls, then by the prompts they have still to read; what is done counts no more."""
    items = calls((0.0, 500, 900, 60.0), (0.1, 9, 2, 60.0), (0.2, 9, 90, 60.0), (9.0, 9, 2, 60.0))
    assert where(items, "least") == [0, 1, 1, 1]


def test_the_least_loaded_of_a_few_that_are_drawn():
    """With two of two it is the least loaded; the draws are by seed."""
    items = calls((0.0, 500, 90, 60.0), (0.1, 9, 90, 60.0), (0.2, 9, 90, 60.0))
    assert where(items, "power") == [0, 1, 1]
    many = mixed(50, 20.0, seed=1)
    assert where(many, "power", 5) == where(many, "power", 5) != where(many, "least", 5)


def test_calls_that_begin_alike_meet():
    """In one of two places, where the beginning is in the cache; elsewhere if they would wait too long."""
    document = (("doc", 64),)
    apart = [(5.0 * n, 100, 2, 60.0) for n in range(6)]
    assert len(set(where(calls(*apart, prefix=document), "prefix", 8))) == 1
    # Prompts that take ten seconds to read: too long for a first token in two.
    crowded = [(0.0, 100, 2, 60.0), *[(1.0, 4_000, 2, 99.0)] * 3]
    engine = replace(ENGINE, max_model_len=8192)
    assert len(set(where(calls(*crowded, prefix=document), "prefix", 8, engine))) == 2


def test_what_is_due_later_does_not_delay():
    """A call goes where fewer prompts that are due before it wait, though more wait in all."""
    items = calls((0.0, 2000, 2, 900.0), (0.0, 900, 2, 5.0), (0.0, 100, 2, 9.0))
    assert where(items, "slo") == [0, 1, 0]
    assert where(items, "least") == [0, 1, 1]


def test_what_is_late_already_does_not_delay():
    """A call goes where more wait, if they cannot be in time any more; if they can, it goes elsewhere."""
    late, own = (0.0, 2000, 2, 0.2), [(0.1, 1900, 2, 50.0), (0.3, 100, 2, 60.0)]
    assert where(calls(late, *own), "slo") == [0, 1, 0]
    assert where(calls((0.0, 2000, 2, 40.0), *own), "slo") == [0, 1, 1]


def test_answers_take_longer_in_company():
    """Nothing is left to be read at either, and the call goes where fewer answers are being made."""
    items = calls((0.0, 9, 900, 60.0), (0.1, 9, 900, 60.0), (0.2, 9, 900, 60.0), (9.0, 9, 9, 60.0))
    assert where(items, "slo") == [0, 1, 0, 1]


@pytest.mark.parametrize("router", sorted(ROUTERS))
def test_every_router_serves_everything(router):
    """Whole workloads, and the same again is the same."""
    items = mixed(60, 12.0, seed=4) + sessions(6, seed=4)
    engine = engine_named(f"sim:cpu135mx3?router={router}&cache=1&seqs=8")
    one, again = engine.serve(items, "jit"), engine.serve(items, "jit")
    assert one == again
    assert goodput(one.requests).served_tokens == sum(item.tokens for item in items)
    assert sum(one.by_replica) == sum(len(stage) for item in items for stage in item.stages)
    assert min(one.by_replica) > 0


def test_replicas_do_not_disturb_each_other():
    """Two that get every second call are two engines of their own."""
    draws = random.Random(3)
    items = calls(*[(0.7 * n, draws.randrange(5, 300), draws.randrange(2, 60), 9.0) for n in range(40)])
    both = simulate(items, ENGINE, "stock", replicas=2).requests
    for number in range(2):
        alone = simulate(items[number::2], ENGINE, "stock").requests
        for one, other in zip(both[number::2], alone, strict=True):
            assert one.calls[0].token_times == pytest.approx(other.calls[0].token_times)
