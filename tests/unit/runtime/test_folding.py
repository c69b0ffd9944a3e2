"""Folds: what is gathered in a long loop is not recorded anew each time, and is there again on resume."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from agentvm import AgentVM, agent, llm
from agentvm.testing import ScriptedLLM
from agentvm_compiler.calls import Effect
from agentvm_compiler.ir import Kind, Node
from agentvm_runtime.folding import fold_key
from agentvm_runtime.records import EventKind
from agentvm_runtime.store.memory import MemoryStore


@agent
async def gather(count: int) -> dict[str, Any]:
    notes: list[str] = []
    seen: dict[str, int] = {}
    text = ""
    last = "start"
    for _ in range(count):
        last = await llm(f"after {len(last)}", temperature=1.0)
        notes.append(last)
        seen[last] = len(last)
        text += f"{last}, "
    return {"notes": notes, "seen": seen, "text": text}


def longer() -> ScriptedLLM:
    return ScriptedLLM(lambda call: "x" * (int(call.prompt.split()[1]) + 1))


def expected(count: int) -> dict[str, Any]:
    notes = ["x" * (len("start") + number + 1) for number in range(count)]
    return {
        "notes": notes,
        "seen": {each: len(each) for each in notes},
        "text": "".join(f"{each}, " for each in notes),
    }


async def stored(count: int) -> int:
    """Bytes of the values of a run."""
    store = MemoryStore()
    async with AgentVM(store=store, llm=ScriptedLLM(lambda call: "a note of the same length")) as vm:
        await vm.run(gather, count)
        events = [each for record in await store.list_runs() for each in await store.events(record.id)]
        values = await store.values([each.value for each in events if each.value is not None])
    return sum(map(len, values.values()))


async def test_what_is_gathered_takes_space_once():
    """Ten times as many steps take ten times the space, not a hundred times."""
    assert await stored(1000) < 12 * await stored(100)


@pytest.mark.parametrize("at", [5, 40])
async def test_an_interrupted_run_gathers_the_same(at: int):
    """Nothing is asked again, the containers are as they were, and no event is journaled twice."""
    store, held, model = MemoryStore(), asyncio.Event(), longer()

    async def hold(call: Any) -> str:
        if call.path == f"for#1[{at}]/llm#1":
            held.set()
            await asyncio.Event().wait()
        return "x" * (int(call.prompt.split()[1]) + 1)

    async with AgentVM(store=store, llm=ScriptedLLM(hold)) as vm:
        run = await vm.start(gather, 60)
        await held.wait()
    async with AgentVM(store=store, llm=model) as vm:
        again = await vm.resume(run.id)
        assert await again.result() == expected(60)
    assert [call.path for call in model.calls] == [f"for#1[{number}]/llm#1" for number in range(at, 60)]
    done = Counter(each.path for each in await store.events(run.id) if each.kind is EventKind.DONE)
    assert [path for path, times in done.items() if times > 1 and "append" in path] == []


async def test_a_fork_in_the_middle_gathers_what_came_before():
    """An override in a late iteration finds what the parent had gathered by then."""
    store, model = MemoryStore(), longer()
    async with AgentVM(store=store, llm=model) as vm:
        run = await vm.start(gather, 50)
        await run.result()
        model.calls.clear()
        fork = await vm.fork(run.id, set={"for#1[30]/llm#1": "y" * 100})
        found = await fork.result()
    whole = expected(50)["notes"]
    assert found["notes"][:31] == [*whole[:30], "y" * 100]
    assert [len(each) for each in found["notes"][31:]] == list(range(101, 120))
    assert [call.path for call in model.calls] == [f"for#1[{number}]/llm#1" for number in range(31, 50)]


BIG: list[int] = list(range(100))


class Odd(list[int]):
    """A list whose `append` may do anything."""


@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("a.append(b)", {"a": BIG, "b": object()}),
        ("a.add(b)", {"a": set(BIG), "b": 1}),
        ("a[b] = (b, c)", {"a": dict.fromkeys(BIG), "b": 1, "c": object()}),
        ("a += b", {"a": BIG, "b": [1]}),
        ("a += f'{b}: {c!r}'", {"a": "x" * 2000, "b": 1, "c": "y"}),
        ("a.extend([b, c])", {"a": BIG, "b": 1, "c": 2}),
        ("a.append(b + '!' * 3)", {"a": BIG, "b": "x"}),
        ("a += b + '\\n'", {"a": "x" * 2000, "b": "y"}),
        ("a = a + [{'role': b}]", {"a": BIG, "b": "user"}),
    ],
)
def test_what_is_a_fold(code: str, values: dict[str, Any]):
    """Code that only puts something into a large container, or at its end."""
    node = Node(Kind.PYTHON, "python#1", tuple(f"{name}.0" for name in values), code=code)
    assert fold_key(node, list(values.values()))
    assert not fold_key(
        Node(Kind.PYTHON, "p#1", node.operands, code=code, effect=Effect.READ), [*values.values()]
    )


@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("a.append(b)", {"a": [1], "b": 1}),  # small: recorded
        ("a.append(b)", {"a": Odd(BIG), "b": 1}),
        ("a.append(b())", {"a": BIG, "b": int}),
        ("a.append(b.text)", {"a": BIG, "b": object()}),
        ("a.extend(b)", {"a": BIG, "b": {"x", "y"}}),  # in another order in another process
        ("a += b", {"a": BIG, "b": {"x": 1}.keys()}),
        ("a += OTHER", {"a": BIG}),
        ("a.append(f'{b}')", {"a": BIG, "b": object()}),  # its text may hold an address
        ("a.append(f'{b:{c}}')", {"a": BIG, "b": 1, "c": 3}),
        ("a.sort()", {"a": BIG}),
        ("a.append(b + c)", {"a": BIG, "b": Odd(), "c": [1]}),  # whatever its `+` does
        ("a.append(b + [1])", {"a": BIG, "b": [1]}),
        ("a.append(*b)", {"a": BIG, "b": [1]}),
        ("a.append([*b])", {"a": BIG, "b": {"x", "y"}}),
        ("a[b] += c", {"a": BIG, "b": 1, "c": 2}),
        ("a.b.append(c)", {"a": BIG, "c": 2}),
        ("c = len(a)", {"a": BIG}),
    ],
)
def test_what_is_not_a_fold(code: str, values: dict[str, Any]):
    """Code that may cost much, may come out otherwise in another process, or runs a user's code."""
    node = Node(Kind.PYTHON, "python#1", tuple(f"{name}.0" for name in values), code=code)
    assert fold_key(node, list(values.values())) == ""
