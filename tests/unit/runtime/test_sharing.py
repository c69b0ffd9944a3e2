"""What runs share with each other, and what they must not."""

from __future__ import annotations

import asyncio
import time

from agentvm import AgentVM, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm.views.why import why
from agentvm_runtime.store.memory import MemoryStore

READS: list[str] = []
STATE = {"price": 1}


@tool(effect="read", ttl="1h")
async def price(name: str) -> int:
    READS.append(name)
    return STATE["price"]


@tool(effect="read")
async def look(name: str) -> int:
    READS.append(name)
    return STATE["price"]


@tool
async def set_price(value: int) -> None:
    STATE["price"] = value


@agent
async def asks(name: str) -> int:
    return await price(name)


@agent
async def looks(name: str) -> int:
    return await look(name)


@agent
async def writes_between(name: str) -> list[int]:
    before = await price(name)
    await set_price(before + 1)
    return [before, await price(name)]


@agent
async def greedy(topic: str) -> str:
    return await llm(topic, temperature=0)


@agent
async def sampled(topic: str) -> str:
    return await llm(topic)


async def twice(program, *args):
    """Run an agent twice on one store; both results, and the model that was asked."""
    model = ScriptedLLM(lambda call: call.prompt)
    async with AgentVM(store=MemoryStore(), llm=model) as vm:
        return [await vm.run(program, *args), await vm.run(program, *args)], model


async def test_a_read_is_shared_within_its_ttl():
    """Another run takes the result of a read that is still fresh."""
    READS.clear()
    await twice(asks, "tea")
    assert READS == ["tea"]


async def test_a_read_that_is_too_old_is_made_again_and_why_is_said():
    """What was recorded longer ago than the ttl is not said to have never been recorded."""
    READS.clear()
    hours = 0.0
    store = MemoryStore(clock=lambda: time.time() + hours * 3600)
    async with AgentVM(store=store, llm=ScriptedLLM(str)) as vm:
        await vm.run(asks, "tea")
        hours = 2
        run = await vm.start(asks, "tea")
        await run.result()
        reason = await why(store, await vm.get(run.id), "price")
    assert READS == ["tea", "tea"]
    expected = "executed: nothing was recorded under its key within its ttl, by this run or any other"
    assert [each["why"] for each in reason] == [expected]


async def test_a_read_without_ttl_is_made_by_each_run():
    """Without a ttl, no run relies on what another has read."""
    READS.clear()
    await twice(looks, "tea")
    assert READS == ["tea", "tea"]


async def test_a_run_sees_its_own_writes_whatever_the_ttl():
    """After a write, a run reads anew."""
    STATE["price"] = 1
    results, _ = await twice(writes_between, "coffee")
    assert results[0] == [1, 2]


async def test_a_greedy_answer_is_shared_and_a_sampled_one_is_not():
    """Equal greedy calls of two runs are asked once, sampled ones each time."""
    _, model = await twice(greedy, "a")
    assert model.prompts == ["a"]
    _, model = await twice(sampled, "a")
    assert model.prompts == ["a", "a"]


@agent
async def reviews(text: str, topic: str) -> list[str]:
    tone = await llm(f"Text: {text} Judge its tone.")
    facts = await llm(f"Text: {text} Check its facts.")
    other = await llm(f"Write on {topic}.")
    return [tone, facts, other]


async def test_calls_that_begin_alike_say_so_to_the_scheduler():
    """Calls with a common beginning carry one group, the same only where the text in it is the same."""
    model = ScriptedLLM(lambda call: "ok")
    async with AgentVM(store=MemoryStore(), llm=model) as vm:
        await vm.run(reviews, "one", "x")
        await vm.run(reviews, "two", "x")
    groups = {call.prompt: call.hints.prefix_group for call in model.calls}
    first = groups["Text: one Judge its tone."]
    assert first and first == groups["Text: one Check its facts."]
    assert first != groups["Text: two Judge its tone."]
    assert groups["Write on x."] == ""


@agent
async def marks_what_it_shares(topic: str) -> list[list[str]]:
    async def marked(mark: str) -> list[str]:
        lines = await llm(topic, returns=list[str], temperature=0)
        lines.append(mark)
        return lines

    tasks = {mark: asyncio.ensure_future(marked(mark)) for mark in "abc"}  # is traced
    results = []
    for mark in sorted(tasks):
        results.append(await tasks[mark])
    return results


@tool(effect="pure")
async def split(text: str) -> list[str]:
    READS.append(text)
    return text.split()


@agent
async def marks_what_a_tool_gives(topic: str) -> list[list[str]]:
    async def marked(mark: str) -> list[str]:
        lines = await split(text=topic)
        lines.append(mark)
        return lines

    tasks = {mark: asyncio.ensure_future(marked(mark)) for mark in "abc"}  # is traced
    results = []
    for mark in sorted(tasks):
        results.append(await tasks[mark])
    return results


async def test_who_waits_for_a_result_gets_it_as_it_was_made():
    """Of equal calls at the same time one is made, and what its caller does to the result is its own."""

    async def slowly(call):
        await asyncio.sleep(0.01)
        return ["line"]

    model = ScriptedLLM(slowly)
    async with AgentVM(store=MemoryStore(), llm=model) as vm:
        assert await vm.run(marks_what_it_shares, "t") == [["line", mark] for mark in "abc"]
    assert len(model.calls) == 1


async def test_a_pure_tool_is_shared_in_traced_code_too():
    """Unless it is given something that it could change, by position or by name."""
    READS.clear()
    results, _ = await twice(marks_what_a_tool_gives, "tea")
    assert results == [[["tea", mark] for mark in "abc"]] * 2
    assert READS == ["tea"]


class Asked(MemoryStore):
    """A store that counts how often its memo is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    async def shared_result(self, key, *, ahead=False):
        self.times += 1
        return await super().shared_result(key)


@tool(effect="pure")
async def slowly(number: int) -> int:
    READS.append("slowly")
    await asyncio.sleep(0)
    return number


@agent
async def repeats(count: int) -> list[int]:
    return [await slowly(count * 0) for _ in range(count)]


async def test_equal_calls_ask_the_memo_once():
    """Who follows a call under way takes its result, whether that is done now or found in the memo."""
    READS.clear()
    store = Asked()
    async with AgentVM(store=store, llm=ScriptedLLM("unused")) as vm:
        assert await vm.run(repeats, 20) == [0] * 20
        assert (READS, store.times) == (["slowly"], 1)
        assert await vm.run(repeats, 20) == [0] * 20
    assert READS == ["slowly"]
