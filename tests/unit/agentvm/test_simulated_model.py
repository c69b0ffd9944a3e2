"""A model that is simulated: `sim:PROFILE` answers when the simulated engine would have."""

from __future__ import annotations

import asyncio
import json

import pytest
from pydantic import BaseModel

from agentvm import AgentVM, DeadlineExceeded, agent, llm
from agentvm.simulating.clock import EPOCH, run_virtually
from agentvm_compiler.errors import BackendError
from agentvm_compiler.wire import Hints, Message, ModelCall, Sampling
from agentvm_serving.backends import open_backend
from agentvm_serving.sim.simulator import simulate
from agentvm_serving.workload import Call, Item


def call(words: int, most: int | None = None, path: str = "", **more) -> ModelCall:
    said = (Message("user", " ".join(["word"] * words)),)
    return ModelCall(said, sampling=Sampling(max_tokens=most), path=path, **more)


def test_answers_come_when_the_simulator_has_them():
    """Calls at several moments have the token times that a simulated workload has."""
    spec = "cpu135m?seqs=2&tokens=30&policy=fcfs"
    arrivals = (0.0, 0.1, 0.15, 2.0)

    async def main():
        backend = open_backend(f"sim:{spec}")

        async def asked(at):
            await asyncio.sleep(at)
            return await backend.complete(call(100))

        return backend.engine, await asyncio.gather(*map(asked, arrivals))

    engine, results = run_virtually(main())
    items = [Item(str(n), "deadline", at, ((Call(130, 30),),), within=60.0) for n, at in enumerate(arrivals)]
    wanted = [each.calls[0].token_times for each in simulate(items, engine, "fcfs").requests]
    for result, times in zip(results, wanted, strict=True):
        assert result.usage.input_tokens == 130 and result.usage.output_tokens == 30
        assert result.timing.first_token_at - EPOCH == pytest.approx(times[0], abs=1e-4)
        assert result.timing.finished_at - EPOCH == pytest.approx(times[-1], abs=1e-4)


def test_speed_scales_the_time():
    """Ten times faster, an answer takes a tenth."""

    async def main(spec):
        return (await open_backend(spec).complete(call(100))).timing.ttlt

    one, ten = (run_virtually(main(f"sim:cpu135m?tokens=50{more}")) for more in ("", "&speed=10"))
    assert ten == pytest.approx(one / 10, rel=0.01)


def test_tokens_are_told_as_they_come():
    """What is reported is, in the end, the answer."""
    told: list[tuple[int, str]] = []

    async def main():
        backend = open_backend("sim:cpu135m?tokens=64")
        return await backend.complete(call(10), lambda tokens, text: told.append((tokens, text)))

    result = run_virtually(main())
    assert "".join(text for _, text in told) == result.text
    assert [tokens for tokens, _ in told][-1] == 64 and len(told) > 2


def test_a_cancelled_call_frees_its_slot():
    """With one slot, the next one starts when the first one is given up."""

    async def main():
        backend = open_backend("sim:cpu135m?seqs=1&tokens=400")
        first = asyncio.create_task(backend.complete(call(10)))
        await asyncio.sleep(1.0)
        second = asyncio.create_task(backend.complete(call(10)))
        third = asyncio.create_task(backend.complete(call(10)))
        await asyncio.sleep(1.0)
        third.cancel()
        first.cancel()
        result = await second
        assert backend._replica.open == 0 and backend._replica.owed == 0
        return result.timing.first_token_at - EPOCH

    assert 2.0 < run_virtually(main()) < 2.5


def test_equal_seeds_make_equal_answers():
    """Equal calls at one place have one answer; elsewhere in a run, or with another seed, another."""

    async def main(spec, **more):
        return (await open_backend(spec).complete(call(10, **more))).text

    first = run_virtually(main("sim:cpu135m", path="a"))
    assert run_virtually(main("sim:cpu135m", path="a")) == first
    others = [run_virtually(main("sim:cpu135m", path=f"b{n}")) for n in range(5)]
    others += [run_virtually(main(f"sim:cpu135m?seed={n}", path="a")) for n in range(1, 5)]
    assert len({first, *others}) > 3


def test_limits_hold():
    """No answer is longer than its call allows, and says so; a prompt that has no room is refused."""

    async def main():
        backend = open_backend("sim:cpu135m?tokens=500&len=1000")
        cut = await backend.complete(call(10, most=5))
        assert (cut.usage.output_tokens, cut.finish_reason) == (5, "length")
        with pytest.raises(BackendError, match="takes 1000 with the answer"):
            await backend.complete(call(1000))

    run_virtually(main())


def test_deadlines_are_in_the_engines_time():
    """At double speed a deadline in ten seconds is twenty away for the scheduler."""

    async def main():
        backend = open_backend("sim:cpu135m?speed=2")
        await asyncio.sleep(5.0)
        hints = Hints(slo="deadline", deadline=EPOCH + 15.0)
        asked, _ = backend._asked(call(10, hints=hints))
        return asked.hints.deadline - EPOCH, asked.due

    assert run_virtually(main()) == pytest.approx((30.0, 30.0))


class Plan(BaseModel):
    steps: list[str]
    sure: bool


@agent
async def report(topic: str) -> str:
    plan = await llm(f"Plan {topic}", returns=Plan)
    notes = [await llm(f"Note {step}", max_tokens=50) for step in plan.steps]
    return await llm(f"Write {notes}", max_tokens=100)


def test_an_agent_runs_and_may_be_late():
    """A program runs on it, answers of types included; with too short a deadline it is late."""

    async def main(deadline):
        async with AgentVM(llm="sim:cpu135m") as vm:
            return await vm.run(report, "stars", deadline=deadline)

    assert "simulated answer" in run_virtually(main("120s"))
    with pytest.raises(DeadlineExceeded):
        run_virtually(main("2s"))


def test_made_up_values_are_json():
    """An answer with a schema is of it."""

    async def main():
        backend = open_backend("sim:cpu135m")
        return (await backend.complete(call(10, schema=Plan.model_json_schema()))).text

    assert Plan.model_validate(json.loads(run_virtually(main())))
