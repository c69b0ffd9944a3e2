"""The executor: what runs when, what is shared, and how runs end."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from agentvm import AgentVM, DeadlineExceeded, RunCancelled, RunFailed, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime.records import EventKind, RunStatus, Source

LOG: list[str] = []


@pytest.fixture(autouse=True)
def log() -> list[str]:
    """What tools did, in order; empty at the start of a test."""
    LOG.clear()
    return LOG


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(200):
        await anyio.lowlevel.checkpoint()


class Gate:
    """A model that holds each call until the test lets its prompt go."""

    def __init__(self) -> None:
        self.held: dict[str, anyio.Event] = {}
        self.llm = ScriptedLLM(self.answer)

    async def answer(self, call: Any) -> str:
        event = self.held[call.prompt] = anyio.Event()
        try:
            await event.wait()
        finally:
            del self.held[call.prompt]
        if "fail" in call.prompt:
            raise ValueError(call.prompt)
        return call.prompt.upper()

    async def in_flight(self) -> set[str]:
        """Prompts of the calls under way when nothing else can go on."""
        await settle()
        return set(self.held)

    async def let(self, *prompts: str) -> set[str]:
        """Answer these calls, one after the other; what is in flight then."""
        for prompt in prompts:
            assert prompt in await self.in_flight()
            self.held[prompt].set()
        return await self.in_flight()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@tool
async def write(text: str) -> str:
    LOG.append(text)
    return text


@tool(effect="read")
async def read() -> int:
    return len(LOG)


@tool(effect="pure")
async def double(number: int) -> int:
    LOG.append(f"double {number}")
    return 2 * number


# -- concurrency ---------------------------------------------------------------------------


@agent
async def diamond(topic: str) -> str:
    left = await llm(f"left {topic}")
    right = await llm(f"right {topic}")
    more = await llm(f"more {left}")
    return await llm(f"join {more} {right}")


async def test_independent_calls_are_in_flight_together(gate):
    """Calls written one after the other start as soon as what they read is known, and no earlier."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(diamond, "x")
        assert await gate.in_flight() == {"left x", "right x"}
        assert await gate.let("left x") == {"right x", "more LEFT X"}
        assert await gate.let("right x") == {"more LEFT X"}
        assert await gate.let("more LEFT X") == {"join MORE LEFT X RIGHT X"}
        await gate.let("join MORE LEFT X RIGHT X")
        assert await run.result() == "JOIN MORE LEFT X RIGHT X"


@agent
async def two_stages(words: list[str]) -> list[str]:
    found = []
    for word in words:
        first = await llm(f"first {word}")
        found.append(await llm(f"second {first}"))
    return found


async def test_iterations_of_a_fold_overlap(gate):
    """A loop that only collects runs all iterations side by side, each at its own pace."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(two_stages, ["a", "b", "c"])
        assert await gate.in_flight() == {"first a", "first b", "first c"}
        assert await gate.let("first c") == {"first a", "first b", "second FIRST C"}
        await gate.let("second FIRST C", "first a", "first b", "second FIRST B", "second FIRST A")
        assert await run.result() == ["SECOND FIRST A", "SECOND FIRST B", "SECOND FIRST C"]


MANY = 600


@agent
async def gathered(count: int) -> list[str]:
    notes = []
    last = ""
    for number in range(count):
        note = await llm(f"note {number}")
        if number % 3:
            last = note
        notes.append(note)
    return [last, *notes]


async def test_the_first_iteration_may_be_done_last():
    """Then all that waited for it goes on, however many there are."""
    others, held = 0, anyio.Event()

    async def answer(call: Any) -> str:
        nonlocal others
        if call.prompt == "note 0":
            await held.wait()
        others += 1
        if others == MANY - 1:
            held.set()
        return str(call.prompt)

    async with AgentVM(store="memory", llm=ScriptedLLM(answer)) as vm:
        found = await vm.run(gathered, MANY)
    notes = [f"note {number}" for number in range(MANY)]
    assert found == [notes[-1], *notes]


@agent
async def carried(words: list[str]) -> str:
    text = ""
    for word in words:
        note = await llm(f"note {word}")
        text = await llm(f"add {note} to {text}")
    return text


async def test_iterations_wait_only_for_what_they_carry(gate):
    """A chain through the iterations is sequential; the rest of their bodies is not."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(carried, ["a", "b"])
        assert await gate.in_flight() == {"note a", "note b"}
        assert await gate.let("note b") == {"note a"}
        assert await gate.let("note a") == {"add NOTE A to "}
        assert await gate.let("add NOTE A to ") == {"add NOTE B to ADD NOTE A TO "}
        await gate.let("add NOTE B to ADD NOTE A TO ")
        await run.result()


@agent
async def with_break(words: list[str]) -> str:
    for word in words:
        answer = await llm(word)
        if answer == "B":
            break
    return answer


async def test_a_loop_with_break_does_not_look_ahead(gate):
    """An iteration starts when the one before it has not left the loop."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(with_break, ["a", "b", "c"])
        assert await gate.in_flight() == {"a"}
        assert await gate.let("a") == {"b"}
        assert await gate.let("b") == set()
        assert await run.result() == "B"


@agent
async def outer(words: list[str]) -> list[str]:
    return [await diamond(word) for word in words]


async def test_called_agents_overlap(gate):
    """Agents called in a comprehension run side by side."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        await vm.start(outer, ["a", "b"])
        assert await gate.in_flight() == {"left a", "right a", "left b", "right b"}


# -- order of effects and failures -----------------------------------------------------------


@agent
async def writes_last(word: str) -> str:
    first = await llm(f"first {word}")
    await write("one")
    second = await llm("second")
    await write("two")
    return first + second


async def test_a_write_waits_for_everything_before_it(gate):
    """A write that reads nothing of the earlier calls still starts after they have succeeded."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(writes_last, "x")
        assert await gate.in_flight() == {"first x", "second"}
        await gate.let("second")
        assert LOG == []
        await gate.let("first x")
        assert LOG == ["one", "two"]
        assert await run.result() == "FIRST XSECOND"


@agent
async def write_after_failure() -> str:
    slow = await llm("slow fail")
    quick = await llm("quick")
    await write("never")
    return slow + quick


async def test_no_write_starts_after_a_failure(gate):
    """If an earlier call fails, the write does not happen, though all it reads is known."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(write_after_failure)
        await gate.let("quick", "slow fail")
        with pytest.raises(RunFailed):
            await run.result()
    assert LOG == []


@agent
async def two_failures() -> list[str]:
    first = await llm("fail 1")
    second = await llm("fail 2")
    return [first, second]


async def test_the_first_failure_in_program_order_wins(gate):
    """The exception of a later call that failed sooner waits for the earlier one, which is raised."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(two_failures)
        await gate.let("fail 2")
        assert await gate.in_flight() == {"fail 1"}
        await gate.let("fail 1")
        with pytest.raises(RunFailed) as caught:
            await run.result()
    assert caught.value.error.args == ("fail 1",)
    assert caught.value.__cause__ is caught.value.error
    assert run.record.status is RunStatus.FAILED


async def test_a_failure_cancels_later_calls(gate):
    """When the first call fails nothing waits for the second."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(two_failures)
        await gate.let("fail 1")
        with pytest.raises(RunFailed):
            await run.result()
        assert await gate.in_flight() == set()


@agent
async def reads_and_writes(words: list[str]) -> list[int]:
    counts = []
    for word in words:
        counts.append(await read())
        await write(await llm(word))
    counts.append(await read())
    return counts


async def test_reads_see_the_writes_before_them(gate):
    """Over iterations, reads and writes keep program order while the model calls overlap."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(reads_and_writes, ["a", "b", "c"])
        assert await gate.in_flight() == {"a", "b", "c"}
        await gate.let("c", "b", "a")
        assert await run.result() == [0, 1, 2, 3]
    assert LOG == ["A", "B", "C"]


# -- sharing -----------------------------------------------------------------------------------


@agent
async def thrice(temperature: float | None) -> list[str]:
    return [await llm("same", temperature=temperature) for _ in range(3)]


async def test_equal_greedy_calls_are_made_once():
    """Of equal greedy calls in flight together one is made, and each gets its answer."""
    model = ScriptedLLM("answer")
    async with AgentVM(store="memory", llm=model) as vm:
        assert await vm.run(thrice, 0) == ["answer"] * 3
    assert model.prompts == ["same"]


async def test_equal_sampled_calls_are_made_each():
    """Sampling thrice draws thrice."""
    model = ScriptedLLM(["a", "b", "c"])
    async with AgentVM(store="memory", llm=model) as vm:
        assert sorted(await vm.run(thrice, None)) == ["a", "b", "c"]
    assert model.prompts == ["same"] * 3


async def test_runs_in_flight_share_greedy_calls(gate):
    """Two runs that ask the same at the same time make one call."""

    async with AgentVM(store="memory", llm=gate.llm) as vm:
        runs = [await vm.start(thrice, 0) for _ in range(2)]
        await gate.let("same")
        assert [await run.result() for run in runs] == [["SAME"] * 3] * 2
    assert gate.llm.prompts == ["same"]


async def test_a_failed_flight_is_flown_again():
    """Who waited for a call that failed makes it himself."""
    asked = Counter[str]()

    async def script(call: Any) -> str:
        asked[call.prompt] += 1
        first = asked[call.prompt] == 1
        await anyio.lowlevel.checkpoint()
        if first:
            raise ConnectionError("once")
        return "fine"

    async with AgentVM(store="memory", llm=ScriptedLLM(script)) as vm:
        first, second = await vm.start(thrice_alone), await vm.start(thrice_alone)
        with pytest.raises(RunFailed):
            await first.result()
        assert await second.result() == "fine"


@agent
async def thrice_alone() -> str:
    return await llm("same", temperature=0)


@agent
async def computes(number: int) -> list[object]:
    return [await double(number), await llm(f"greedy {number}", seed=1), await llm("sampled")]


async def test_a_second_run_uses_the_memo():
    """Pure tools and seeded calls are not executed again by another run; sampled calls are."""
    model = ScriptedLLM("answer")
    async with AgentVM(store="memory", llm=model) as vm:
        first = await vm.run(computes, 4)
        run = await vm.start(computes, 4)
        assert await run.result() == first == [8, "answer", "answer"]
        events = await vm.store.events(run.id)
    assert LOG == ["double 4"]
    assert Counter(model.prompts) == {"greedy 4": 1, "sampled": 2}
    sources = {each.node: each.source for each in events if each.node == "tool"}
    assert sources == {"tool": Source.MEMO}


@agent
async def twice_pure(number: int) -> list[int]:
    first = [await double(number)]
    second = [await double(number)]
    first.append(0)
    return first + second


async def test_a_pure_tool_is_called_once_in_a_run():
    """Equal calls of a pure tool are one."""
    async with AgentVM(store="memory", llm=ScriptedLLM("")) as vm:
        assert await vm.run(twice_pure, 3) == [6, 0, 6]
    assert LOG == ["double 3"]


# -- how runs end --------------------------------------------------------------------------


async def test_a_missed_deadline_ends_the_run(gate):
    """When the deadline passes the run is stopped, its status says so, and its calls are cancelled."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(diamond, "x", deadline=0.01)
        with pytest.raises(DeadlineExceeded, match=run.id):
            await run.result()
        assert run.record.status is RunStatus.DEADLINE_MISSED
        assert (await vm.get(run.id)).status is RunStatus.DEADLINE_MISSED
        assert (await run.report()).deadline_met is False
        assert gate.held == {}


async def test_a_run_past_its_deadline_can_be_resumed():
    """Resuming after the deadline lets the run finish, with what it had."""

    async def never_joins(call: Any) -> str:
        if call.prompt.startswith("join"):
            await anyio.sleep_forever()
        return call.prompt

    async with AgentVM(store="memory", llm=ScriptedLLM(never_joins)) as vm:
        run = await vm.start(diamond, "x", deadline=0.1)
        with pytest.raises(DeadlineExceeded):
            await run.result()
        store = vm.store
        recorded = {each.path for each in await store.events(run.id)}
    second = ScriptedLLM(lambda call: call.prompt)
    async with AgentVM(store=store, llm=second) as vm:
        assert await (await vm.resume(run.id)).result() == "join more left x right x"
    assert not recorded & {call.path for call in second.calls}


async def test_a_cancelled_run_stops_for_good(gate):
    """Cancelling returns when the run has stopped; nothing goes on, and resume says it was cancelled."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(diamond, "x")
        await gate.in_flight()
        await run.cancel()
        assert gate.held == {}
        assert run.record.status is RunStatus.CANCELLED
        with pytest.raises(RunCancelled):
            await run.result()
        await run.cancel()
        with pytest.raises(RunCancelled):
            await (await vm.resume(run.id)).result()


async def test_closing_the_machine_leaves_runs_resumable(gate):
    """A run that is under way when its machine closes says so, and stays a running one in the store."""
    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(diamond, "x")
        await gate.let("left x")
        store = vm.store
    with pytest.raises(RunCancelled, match="resume"):
        await run.result()
    second = ScriptedLLM(lambda call: call.prompt.upper())
    async with AgentVM(store=store, llm=second) as vm:
        assert (await vm.get(run.id)).status is RunStatus.RUNNING
        assert await (await vm.resume(run.id)).result() == "JOIN MORE LEFT X RIGHT X"
    assert "left x" not in second.prompts


async def test_events_come_as_they_are_journaled(gate):
    """A listener sees every event from its first look to the run's end."""
    seen = []

    async def listen() -> None:
        async for event in run.events():
            seen.append((event.kind, event.path))

    async with AgentVM(store="memory", llm=gate.llm) as vm:
        run = await vm.start(diamond, "x")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await gate.let("right x", "left x")
            await gate.let("more LEFT X", "join MORE LEFT X RIGHT X")
        assert [path for _, path in seen] == ["llm#2", "llm#1", "llm#3", "llm#4"]
        assert {kind for kind, _ in seen} == {EventKind.DONE}
        assert [each async for each in run.events()] == []


async def test_a_failed_run_raises_again_unless_retried():
    """Resuming a failed run executes nothing and raises again; `retry` does the failed work again."""
    broken = ScriptedLLM(lambda call: call.prompt if "left" in call.prompt else 1 / 0)
    async with AgentVM(store="memory", llm=broken) as vm:
        run = await vm.start(diamond, "x")
        with pytest.raises(RunFailed):
            await run.result()
        store = vm.store
    mended = ScriptedLLM(lambda call: call.prompt)
    async with AgentVM(store=store, llm=mended) as vm:
        with pytest.raises(RunFailed) as caught:
            await (await vm.resume(run.id)).result()
        assert type(caught.value.error) is ZeroDivisionError and mended.calls == []
        retried = await vm.resume(run.id, retry=True)
        assert await retried.result() == "join more left x right x"
        assert "left x" not in mended.prompts and "right x" in mended.prompts


async def test_a_finished_run_is_not_run_again():
    """Resuming a completed run gives its result and makes no call."""
    model = ScriptedLLM(lambda call: call.prompt)
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(diamond, "x")
        first = await run.result()
        made = len(model.calls)
        assert await (await vm.resume(run.id)).result() == first
        assert len(model.calls) == made
