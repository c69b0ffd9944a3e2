"""Properties of the scheduler class over random workloads, on vLLM's real scheduler and KV manager.

Hypothesis draws what clients do. The worker's tokens depend on the KV they are
computed from (`position_true`), so that a block used twice, freed too early or
lost shows. `AGENTVM_EXAMPLES` asks for more examples, other ones each time.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentvm_compiler.wire import Hints, Stage
from agentvm_serving.policy import POLICIES
from agentvm_serving.slo import to_extra_args
from agentvm_serving.vllm.scheduler import creator

from .position_true import EPOCH, Engine, answer, check_blocks

EXAMPLES = int(os.environ.get("AGENTVM_EXAMPLES", "60"))
FUZZING = "AGENTVM_EXAMPLES" in os.environ

chosen = settings(
    max_examples=EXAMPLES,
    derandomize=not FUZZING,
    suppress_health_check=list(HealthCheck),
    deadline=None,
)

seconds = st.one_of(st.floats(-5, 60), st.sampled_from([0.0, 20.0, 1e11, -1e11]))


@st.composite
def hints(draw: st.DrawFn) -> dict[str, Any] | None:
    """What a client sends: sound, odd or broken hints, or none."""
    kind = draw(st.sampled_from(["none", "broken", "sound", "sound", "sound"]))
    if kind == "none":
        return None
    if kind == "broken":
        text = draw(st.sampled_from(["{", '{"slo": "gold"}', '{"deadline": NaN}', '{"tbt": -1e999}', "[]"]))
        return {"agentvm": text}
    run = draw(st.sampled_from(["", "r1", "r2"]))
    stage = st.builds(
        Stage,
        times=st.integers(1, 5),
        calls=st.integers(0, 3),
        output_tokens=st.integers(0, 100),
        tool_seconds=st.floats(0, 5),
    )
    return to_extra_args(
        Hints(
            run=run,
            site=draw(st.sampled_from(["", "a", "b"])),
            slo=draw(st.sampled_from(["latency", "deadline", "best_effort"])),
            deadline=draw(st.none() | seconds.map(lambda after: EPOCH + after)),
            run_deadline=draw(st.none() | seconds.map(lambda after: EPOCH + after)),
            ttft=draw(st.none() | st.floats(0, 5)),
            tbt=draw(st.none() | st.floats(0, 1)),
            siblings=draw(st.integers(1, 4)),
            remaining=tuple(draw(st.lists(stage, max_size=2))),
        )
    )


changes = st.fixed_dictionaries(
    {},
    optional={
        "slo": st.sampled_from(["latency", "deadline", "best_effort"]),
        "deadline": st.none() | seconds.map(lambda after: EPOCH + after),
        "siblings": st.integers(1, 4),
    },
)


@dataclass(frozen=True)
class Shape:
    """An engine."""

    slots: int
    blocks: int
    budget: int
    caching: bool
    asynchronous: bool


shapes = st.builds(
    Shape,
    slots=st.sampled_from([1, 3, 8]),
    blocks=st.sampled_from([8, 14, 60]),  # the smallest holds one of the longest requests
    budget=st.sampled_from([16, 40, 256]),
    caching=st.booleans(),
    asynchronous=st.booleans(),
)

arrivals = st.tuples(
    st.just("add"),
    st.integers(0, 2),  # prompts of a family begin alike
    st.integers(1, 60),
    st.integers(1, 40),
    hints(),
)
events = st.one_of(
    arrivals,
    arrivals,
    arrivals,
    st.tuples(st.just("step"), st.integers(1, 12)),
    st.tuples(st.just("abort"), st.integers(0, 30)),
    st.tuples(st.just("change"), st.sampled_from(["r1", "r2"]), changes),
    st.tuples(st.just("cancel"), st.sampled_from(["r1", "r2"])),
)


def prompt_of(family: int, number: int, length: int) -> list[int]:
    """A prompt that shares up to 32 tokens with its family."""
    return [(family * 7 + at) % 90 if at < 32 else (number * 11 + at) % 90 for at in range(length)]


@dataclass
class Client:
    """Plays the events, and knows what must come of them."""

    engine: Engine
    wanted: dict[str, list[int]] = field(default_factory=dict)
    work: int = 0

    def play(self, event: tuple[Any, ...]) -> None:
        kind, *rest = event
        getattr(self, kind)(*rest)

    def add(self, family: int, prompt: int, length: int, extra: dict[str, Any] | None) -> None:
        name = f"q{len(self.wanted)}"
        tokens = prompt_of(family, len(self.wanted), prompt)
        self.wanted[name] = answer(tokens, length)
        self.work += prompt + length
        self.engine.add(name, tokens, length, extra)

    def step(self, count: int) -> None:
        for _ in range(count):
            self.engine.step()

    def abort(self, number: int) -> None:
        name = f"q{number}"
        if name in self.wanted and name not in self.engine.reasons:
            self.engine.abort(name)

    def change(self, run: str, fields: dict[str, Any]) -> None:
        self.engine.scheduler.update_hints(fields, run=run)

    def cancel(self, run: str) -> None:
        self.engine.scheduler.cancel(run=run)

    def finish(self) -> None:
        """Everything is served in bounded time, and its tokens are those of an undisturbed request."""
        self.engine.run(limit=3 * self.work + 50)
        scheduler = self.engine.scheduler
        for name, tokens in self.wanted.items():
            given = self.engine.given[name]
            if self.engine.reasons[name] == "length":
                assert given == tokens, name
            else:
                assert self.engine.reasons[name] in ("gone", "abort")
                assert given == tokens[: len(given)], name
        check_blocks(scheduler)
        pool = scheduler.kv_cache_manager.block_pool
        assert pool.get_num_free_blocks() == len(pool.blocks) - 1  # vLLM keeps one for itself
        assert not scheduler.requests
        assert not scheduler._tracker.views
        assert not scheduler._observer.records.open


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


def shaken(policy: str, seed: int) -> Any:
    """A factory of schedulers that pull every lever at random before each step."""

    def make(**arguments: Any) -> Any:
        scheduler = creator(policy)(**arguments)
        draws, levers, stock = random.Random(seed), scheduler._levers, scheduler._order

        def order() -> None:
            stock()
            for request in list(scheduler.running):
                chance = draws.random()
                if chance < 0.05:
                    levers.evict(request)
                elif chance < 0.35 and len(scheduler.running) > 1:
                    levers.hold(request)

        scheduler._order = order
        scheduler._most_tokens = lambda: draws.choice([None, 7, 20])
        scheduler._most_running = lambda: draws.choice([None, len(scheduler.running) + 1])
        return scheduler

    return make


@given(shape=shapes, seed=st.integers(0, 10**6), script=st.lists(arrivals, min_size=1, max_size=12))
@chosen
def test_levers_change_no_answer(folder, shape, seed, script):
    """Requests that are held, evicted, cut and admitted late give the tokens of undisturbed ones."""
    client = Client(Engine(folder, shaken("jit", seed), **vars(shape)))
    for event in script:
        client.play(event)
    client.engine.run(limit=20 * client.work + 200)
    client.finish()


@pytest.mark.parametrize("policy", sorted(POLICIES))
@given(shape=shapes, rejects=st.booleans(), script=st.lists(events, min_size=3, max_size=25))
@chosen
def test_nothing_is_lost_doubled_or_starved(folder, policy, shape, rejects, script):
    """Whatever clients do, whatever the policy: blocks, requests and tokens all are accounted for."""
    client = Client(Engine(folder, creator(policy, rejects=rejects), **vars(shape)))
    for event in script:
        client.play(event)
    client.finish()
    counts = client.engine.scheduler.counts
    assert counts.added == counts.finished == len(client.wanted)
