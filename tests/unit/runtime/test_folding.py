"""Folds: what is gathered in a long loop is not recorded anew each time, and is there again on resume."""

from __future__ import annotations

import ast
import asyncio
import builtins
import heapq
import sys
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from agentvm import AgentVM, agent, llm
from agentvm.testing import ScriptedLLM
from agentvm_compiler.calls import Effect
from agentvm_compiler.codegen import Namespace
from agentvm_compiler.ir import UNBOUND, Kind, Node, base
from agentvm_runtime.folding import fold_key
from agentvm_runtime.growing import do_again
from agentvm_runtime.records import EventKind
from agentvm_runtime.store.memory import MemoryStore
from agentvm_runtime.values import copy_value


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


class Posing:
    """Says itself what it is an instance of."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return str


@dataclass
class Note:
    text: str
    tags: list[str] = field(default_factory=list)


@dataclass
class Checked:
    text: str

    def __post_init__(self) -> None:
        self.text = self.text.strip()


class Facts(BaseModel):
    facts: list[Any] = []
    turns: int = 0


class Strict(BaseModel, validate_assignment=True):
    facts: list[Any] = []
    turns: int = 0


UNSET = Facts.model_construct(_fields_set=set(), facts=BIG)
OUTSIDE: list[int] = []
GLOBALS = {"heapq": heapq, "sys": sys, "Note": Note, "Checked": Checked, "OUTSIDE": OUTSIDE}


def done_again(code: str, values: dict[str, Any]) -> dict[str, Any] | None:
    """The names that a fold leaves, done on copies; None if it is none."""
    names = {each.id for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Name)}
    results = tuple(f"{each}.1" for each in sorted(names - GLOBALS.keys() - vars(builtins).keys()))
    node = Node(Kind.PYTHON, "python#1", tuple(f"{name}.0" for name in values), results, code)
    if not fold_key(node, list(values.values())):
        return None
    try:
        found = do_again(node, Namespace(lambda: None, GLOBALS, {}, "agent.py"), list(values.values()))
    except Exception:
        return None
    return {
        base(name): value for name, value in zip(node.results, found, strict=True) if value is not UNBOUND
    }


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
        ("a.append(b.text)", {"a": BIG, "b": Note("x")}),
        ("a.append(Note(b, tags=[c]))", {"a": BIG, "b": "x", "c": "y"}),
        ("a.append(f'{b:{c}}')", {"a": BIG, "b": 1, "c": 3}),
        ("a.append(b + [1])", {"a": BIG, "b": [1]}),
        ("a[b] += c", {"a": BIG[:], "b": 1, "c": 2}),
        ("a[b] += a.pop(0)", {"a": BIG, "b": 0}),  # what is there is looked up first
        ("a.facts.append(b)", {"a": Facts(facts=BIG), "b": 2}),
        ("a.turns += 1", {"a": Facts(facts=BIG)}),
        ("a['x'].append(b)", {"a": {"x": BIG}, "b": 2}),
        ("a.setdefault(b, []).append(c)", {"a": dict.fromkeys(range(100)), "b": "x", "c": 1}),
        ("a[b].append(c)", {"a": defaultdict(list, {n: [n] for n in BIG}), "b": "x", "c": 1}),
        ("a[b] += 1", {"a": Counter(map(str, BIG)), "b": "x"}),
        ("a[b] = a.get(b, 0) + 1", {"a": dict.fromkeys(range(100), 1), "b": 7}),
        ("if b not in a:\n    a.add(b)\n    c.append(b)", {"a": set(BIG), "b": 200, "c": []}),
        ("if b.text:\n    a.append(b)\nelse:\n    OUTSIDE.append(b)", {"a": BIG, "b": Note("x")}),
        ("b = a.pop(0)", {"a": BIG}),
        ("del a[0]", {"a": BIG}),
        ("b = a.popleft()", {"a": deque(BIG)}),
        ("heapq.heappush(a, (b, 'x'))", {"a": [(n, "x") for n in BIG], "b": 3}),
        ("b = heapq.heappop(a)", {"a": BIG}),
        ("for b in c:\n    a.append(b * 2)", {"a": BIG, "c": [1, 2]}),
        ("a.update({b: c})", {"a": dict.fromkeys(BIG), "b": 1, "c": object()}),
        ("c = sorted(a)", {"a": set(map(str, BIG))}),
        ("c = '\\n'.join(a[-8:])", {"a": list(map(str, BIG))}),
        ("c = max(b, len(a))", {"a": BIG, "b": 2}),
        ("c = b if b else a[0]", {"a": BIG, "b": 0}),
        ("b, c = a[0], a[1]", {"a": BIG}),
    ],
)
def test_what_is_a_fold(code: str, values: dict[str, Any]):
    """Code of a few operations that are the same everywhere, on a large value: it does what Python does."""
    python = copy_value(tuple(values.values()))
    names = dict(zip(values, python, strict=True))
    exec(code, {**GLOBALS}, names)
    found = done_again(code, dict(zip(values, copy_value(tuple(values.values())), strict=True)))
    assert repr(found) == repr(dict(sorted(names.items())))
    node = Node(Kind.PYTHON, "p#1", tuple(f"{name}.0" for name in values), code=code, effect=Effect.READ)
    assert not fold_key(node, [*values.values()])


@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("a.append(b)", {"a": [1], "b": 1}),  # small: recorded
        ("a.append(b)", {"a": Odd(BIG), "b": BIG}),
        ("a.append(b())", {"a": BIG, "b": object}),
        ("a.append(b.text)", {"a": BIG, "b": object()}),
        ("a.append(Checked(b))", {"a": BIG, "b": " x "}),  # runs a user's code
        ("a.extend(b)", {"a": BIG, "b": {"x", "y"}}),  # in another order in another process
        ("a.append(list(b))", {"a": BIG, "b": {"x", "y"}}),
        ("c = b.pop()", {"a": BIG, "b": {"x", "y"}}),
        ("for c in b:\n    a.append(c)", {"a": BIG, "b": {"x", "y"}}),
        ("for c in b:\n    a.append(c)", {"a": BIG, "b": list(range(1000))}),  # takes long
        ("a += b", {"a": BIG, "b": Odd([1])}),
        ("a += OTHER", {"a": BIG}),
        ("OUTSIDE.append(a)", {"a": BIG}),
        ("a.append(OUTSIDE)", {"a": BIG}),
        ("a.append(f'{b}')", {"a": BIG, "b": object()}),  # its text may hold an address
        ("a.append(b + c)", {"a": BIG, "b": Odd(), "c": [1]}),  # whatever its `+` does
        ("a.append(*b)", {"a": BIG, "b": [1]}),
        ("a.append([*b])", {"a": BIG, "b": {"x", "y"}}),
        ("a.turns += 1", {"a": Strict(facts=BIG)}),
        ("a.facts += [b]", {"a": UNSET, "b": 1}),  # which is set from then on
        ("a[0] += [b]", {"a": (BIG, 1), "b": 1}),  # which a tuple refuses
        ("a.append(b in c)", {"a": BIG, "b": float("nan"), "c": [float("nan")]}),  # if it is the same object
        ("a.append(isinstance(b, str))", {"a": BIG, "b": Posing()}),
        ("a.append(sys.path)", {"a": BIG}),
        ("a.append(hash(b))", {"a": BIG, "b": "x"}),
        ("a.append(id(b))", {"a": BIG, "b": "x"}),
        ("a.append(b is c)", {"a": BIG, "b": "x", "c": "x"}),
        ("a.append(b == c)", {"a": BIG, "b": object(), "c": 1}),
        ("a.sort(key=len)", {"a": list(map(str, BIG))}),
        ("a.append([c for c in b])", {"a": BIG, "b": [1]}),
        ("a.pop(500)", {"a": BIG}),  # raises: it is recorded with what it raised
        ("if b:\n    a.append(OTHER())", {"a": BIG, "b": 1}),
    ],
)
def test_what_is_not_a_fold(code: str, values: dict[str, Any]):
    """Code that may cost much, may come out otherwise in another process, or runs a user's code."""
    assert done_again(code, values) is None
    assert OUTSIDE == []
