"""Growing in place: a fold changes a container that its slot alone holds; every version stays what it was."""

from __future__ import annotations

import copy
import heapq
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agentvm_runtime.computing
import agentvm_runtime.frames
from agentvm import AgentVM, RunFailed, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_compiler.codegen import Namespace
from agentvm_compiler.ir import Kind, Node
from agentvm_runtime.folding import holds_large
from agentvm_runtime.growing import grow
from agentvm_runtime.slots import Slot
from benchmarks.runtime.gathering import SHAPES


def fold(code: str, version: int, **given: Slot) -> tuple[Node, dict[str, Slot], Slot]:
    """A node that changes `a`, the slots it finds, and the one of the new `a`."""
    newer = Slot()
    operands = ("a.0", *(f"{name}.0" for name in given if name != "a"))
    node = Node(Kind.PYTHON, f"python#{version}", operands, ("a.1",), code=code)
    return node, {**{f"{name}.0": slot for name, slot in given.items()}, "a.1": newer}, newer


def added(code: str, **given: Any) -> tuple[list[Any] | None, Slot, Slot]:
    """What a fold in place gives, and the slots of the versions of `a` before and after it."""
    slots = {name: value if isinstance(value, Slot) else Slot(value) for name, value in given.items()}
    before = slots["a"]
    node, env, newer = fold(code, 1, **slots)
    del slots, given
    namespace = Namespace(lambda: None, {"heapq": heapq}, {}, "agent.py")
    try:
        results = grow(node, env, namespace)
    except Exception:
        results = None  # which is for ordinary code to do, as if somebody else held it
    return results, before, newer


def fresh(value: Any) -> Any:
    """A copy that nobody else holds, of a text too."""
    return "".join(list(value)) if isinstance(value, str) else copy.copy(value)


FORMS = [
    ("a.append(b)", [1, 2], 3),
    ("a.append({'b': [b]})", [1, 2], 3),
    ("a.extend(b)", [1, 2], [3, 4]),
    ("a.insert(1, b)", [1, 2], 3),
    ("a.insert(-9, b)", [1, 2], 3),
    ("a.insert(9, b)", [1, 2], 3),
    ("a += b", [1, 2], (3, 4)),
    ("a = a + b", [1, 2], [3, 4]),
    ("a[-1] = b", [1, 2], 3),
    ("a[b] = 1", {1: 2}, 3),
    ("a[1] = b", {1: 2, 3: 4}, 5),
    ("a[True] = b", {1: 2}, 5),
    ("a[(b, 'x')] = b", {1: 2}, 5),
    ("a.add(b)", {1, 2}, 3),
    ("a.add(b)", {1, 2}, 2),
    ("a.append(b)", deque([1, 2]), 3),
    ("a.appendleft(b)", deque([1, 2]), 3),
    ("a.append(b)\na.append(1)\na += [b]", [1, 2], 3),
    ("a[1] = b\na[3] = b\na[1] = 7", {1: 2}, 5),
    ("a += b", [1], "text"),
    ("a.pop(0)", [1, 2, 3], None),
    ("a.pop()\na.pop(-2)", [1, 2, 3], None),
    ("del a[1]", [1, 2, 3], None),
    ("a.remove(b)", [1, 2, 3, 2], 2),
    ("a.sort(reverse=True)", [1, 3, 2], None),
    ("a.reverse()\na.append(b)", [1, 2, 3], 4),
    ("a.clear()\na.append(b)", [1, 2, 3], 4),
    ("a.setdefault(b, []).append(1)", {1: [2]}, 5),
    ("a.setdefault(b, []).append(1)", {5: [2]}, 5),
    ("a[b].append(1)\na[b] += [3]\na[7] = a[b][0]", {5: [2]}, 5),
    ("a[b][0][1] = 7\na[b].pop()", {5: [[2, 3], 4]}, 5),
    ("a[b] = a.get(b, 0) + 1", {1: 2}, 5),
    ("a.pop(b)", {5: 1, 6: 2, 7: 3}, 5),
    ("a.pop(b, None)", {5: 1, 6: 2, 7: 3}, 6),
    ("a.pop(b)\na[b] = 1", {5: 1, 6: 2, 7: 3}, 7),
    ("del a[b]", {5: 1, 6: 2, 7: 3}, 6),
    ("a.update({b: 1, 6: 8})", {5: 1, 6: 2, 7: 3}, 9),
    ("a.clear()", {5: 1, 6: 2}, None),
    ("a |= {6: 1, b: 2}", {5: 1, 6: 2}, 7),
    ("a[b].append(1)", defaultdict(list, {5: [1]}), 6),
    ("a[b] += 1", Counter({5: 1}), 6),
    ("a[b] = 1\ndel a[5]", OrderedDict({5: 1, 7: 2}), 6),
    ("a.discard(b)", {1, 2, 3}, 3),
    ("a.remove(b)\na.add('z')", {"x", "y"}, "x"),
    ("a.update([b, 1], {7})", {1, 2, 3}, 9),
    ("a |= {b}", {1, 2, 3}, 9),
    ("a.clear()", {1, 2, 3}, None),
    ("a.popleft()\na.append(b)", deque([1, 2]), 3),
    ("a.pop()\na.extend([b, 4])", deque([1, 2]), 3),
    ("a.clear()", deque([1, 2]), None),
    ("heapq.heappush(a, b)", [1, 4, 2, 9], 3),
    ("heapq.heappop(a)\nheapq.heappop(a)", [1, 4, 2, 9], None),
    ("a[b] += 1\na[b] += a[0]", [1, 2, 3], 1),
    ("if b in a:\n    a.append(9)\nelse:\n    a.append(8)", [1, 2], 2),
    ("for c in b:\n    if c > 3:\n        break\n    a.append(c)", [1, 2], [1, 9, 2]),
]


@pytest.mark.parametrize(("code", "before", "b"), FORMS)
def test_the_container_itself_is_changed(code: str, before: Any, b: Any):
    """It is the new version then, and the older one is as it was, whenever that is read."""
    old, new, slot = copy.deepcopy(before), {"a": copy.deepcopy(before), "b": b}, Slot(copy.deepcopy(before))
    name = id(slot.value)
    exec(code, {"heapq": heapq}, new)
    results, older, newer = added(code, a=slot, b=b)
    assert results is not None
    assert id(newer.value) == name
    assert newer.value == new["a"]
    assert older.value == old
    if not isinstance(old, set):  # A copy of a set has an order of its own, in Python too.
        assert list(newer.value) == list(new["a"])
        assert list(older.value) == list(old)
    assert older.value is older.value
    assert older.value is not newer.value or old == new["a"]


def test_a_text_grows_too():
    """The older text is the beginning of the newer one."""
    text = "x" * 2_000
    results, older, newer = added("a += f'{b}!'", a=Slot(fresh(text)), b="y")
    assert results == [text + "y!"]
    assert (newer.value, older.value) == (text + "y!", text)


@pytest.mark.parametrize(
    ("code", "a", "b"),
    [
        ("a.append(a)", [1], None),
        ("a.add(b)", [1], 1),
        ("a.append(b, b)", [1], 1),
        ("a += b", [1], {"text"}),
        ("a = a + b", [1], (1,)),
        ("a[b] = 1", [1], 7),
        ("a[b] = 1", [1], True),
        ("a[b] = 1", {1: 1}, [1]),
        ("a[b] = 1", {1: 1}, object()),
        ("a.add(b)", {1}, [1]),
        ("a.append(b)", deque([1, 2], maxlen=2), 3),
        ("a.append(1)\na.append(b, b)", [1], 2),
        ("a.append(1)\na[b] = 1", [1], 7),
        ("a.sort(key=len)", [2, 1], 1),
        ("a.append(1)\na.sort()", [2, 1, "x"], 1),
        ("a.append(1)\nb(a)", [2, 1], lambda a: a.append(9)),
        ("a.append(1)\nheapq.heappush(a, 'x')", [1, 2, 3], 1),
        ("a += b", "x" * 2_000, 1),
        ("a.pop(b)", Counter({1: 1}), 2),
        ("a.pop(b)", defaultdict(list, {1: []}), 2),
        ("del a[b]", defaultdict(list, {1: []}), 2),
        ("a[0] += [b]", (list(range(20)),), 1),
    ],
)
def test_what_might_do_anything_else_is_left_to_ordinary_code(code: str, a: Any, b: Any):
    """Nothing has changed then."""
    results, older, newer = added(code, a=Slot(fresh(a)), b=b)
    assert results is None
    assert older.value == a
    assert not newer.ready


def test_what_others_hold_is_not_changed():
    """Another name, an object it lies in, a second slot: each is somebody who would see it."""
    held = [1, 2]
    assert added("a.append(b)", a=Slot(held), b=1)[0] is None
    inside = Slot(([1, 2],))
    assert added("a.append(b)", a=Slot(inside.value[0]), b=1)[0] is None
    one = Slot([1, 2])
    assert added("a.append(b)", a=Slot(one.value), b=1)[0] is None
    assert (held, inside.value, one.value) == ([1, 2], ([1, 2],), [1, 2])


def test_who_was_passed_the_value_keeps_its_version():
    """A slot that fed the one whose value grows, and one that is read only after several changes."""
    first, second = Slot(list(range(20))), Slot()
    first.feed(second)
    assert first.value is second.value
    _, _, third = added("a.append(b)", a=second, b="new")
    _, _, fourth = added("a.append(b)", a=third, b="newer")
    assert fourth.value == [*range(20), "new", "newer"]
    assert first.value == list(range(20))
    assert first.value is second.value
    assert third.value == [*range(20), "new"]


class Versions:
    """Slots as they are, and what each should hold."""

    def __init__(self, start: Any) -> None:
        self.slots = [Slot(copy.deepcopy(start))]
        self.model = [copy.deepcopy(start)]

    def add(self, at: int, code: str, b: Any) -> None:
        """A fold: in place if that can be, else on a copy, as the executor does."""
        value = copy.deepcopy(self.model[at])
        names = {"a": value, "b": b}
        try:
            exec(code, {"heapq": heapq}, names)
        except (IndexError, KeyError, TypeError):  # what is done in place before is taken back
            assert added(code, a=self.slots[at], b=b)[0] is None
            return
        self.model.append(names["a"])
        results, _, newer = added(code, a=self.slots[at], b=b)
        if results is None:
            newer.set(copy.deepcopy(names["a"]))
        self.slots.append(newer)

    def feed(self, at: int) -> None:
        new = Slot()
        self.slots[at].feed(new)
        self.slots.append(new)
        self.model.append(self.model[at])

    def read(self, at: int) -> None:
        assert self.slots[at].value == self.model[at]
        assert list(self.slots[at].value) == list(self.model[at])


STEPS = {
    list: [
        "a.append(b)",
        "a.insert(1, b)",
        "a += [b, b]",
        "a[0] = b",
        "a.pop(3)",
        "a.sort()",
        "heapq.heappush(a, b)",
    ],
    dict: [
        "a[b] = 0",
        "a[0] = b",
        "a.pop(b - 1, None)",
        "a.update({b: 1, 3: b})",
        "a.setdefault(9, b)",
        "a.pop(0, 0)",
    ],
    deque: ["a.append(b)", "a.appendleft(b)", "a.popleft()", "a.pop()", "a.extend([b, b])"],
    list[list]: ["a[-1].append(b)", "a.append([b])", "a[0][0] = b", "a[3].pop()\na[3].append(b)", "a.pop(0)"],
}


STARTS = [list(range(40)), dict.fromkeys(range(20)), deque(range(40)), [[n] for n in range(40)]]


@given(
    start=st.sampled_from(STARTS),
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1000), st.integers(0, 30)), max_size=30),
)
def test_every_version_stays_what_it_was(start: Any, steps: list[tuple[int, int, int]]):
    """Whatever is put in, passed on or read late, in whichever order, also of versions long past."""
    versions = Versions(start)
    for number, (kind, where, which) in enumerate(steps):
        at = -1 - where % min(3, len(versions.slots)) if kind == 3 else where % len(versions.slots)
        at %= len(versions.slots)
        if kind == 0:
            versions.feed(at)
        elif kind == 1:
            versions.read(at)
        else:
            codes = STEPS[list[list] if start[0] == [0] else type(start)]
            versions.add(at, codes[which % len(codes)], number + 100)
    for at in range(len(versions.slots)):
        versions.read(at)


def test_a_version_that_is_a_result_too_does_not_get_longer():
    """`b, a = a, a + [3]`, be it in one statement or in two: the list before is `b`."""
    for code in ("b, a = a, a + [3]", "b = a\na = a + [3]"):
        node = Node(Kind.PYTHON, "python#1", ("a.0",), ("b.1", "a.1"), code=code)
        env = {"a.0": Slot([1, 2]), "a.1": Slot(), "b.1": Slot()}
        assert grow(node, env, Namespace(lambda: None, {}, {}, "agent.py")) is None
        assert env["a.0"].value == [1, 2]


# -- in programs --------------------------------------------------------------------------


@tool(effect="read")
async def note(number: int) -> str:
    return f"note {number}"


@agent
async def gathers(count: int) -> tuple[Any, ...]:
    notes, seen, text, total = [], {}, "", 0
    for number in range(count):
        found = await note(number)
        notes.append(found)
        seen[found] = number
        text += f"{found}, "
        total += 1
    return notes, seen, text, total


@agent
async def within_branches(count: int) -> list[str]:
    notes: list[str] = []
    for number in range(count):
        if number % 3:
            notes.append(await note(number))
        elif number % 2:
            notes.append(await llm(f"odd {number}"))
    return notes


@agent
async def within_tries(count: int) -> list[str]:
    notes: list[str] = []
    for outer in range(count // 10):
        for number in range(10):
            try:
                notes.append(await note(number))
                if number == 7:
                    raise ValueError(outer)
            except ValueError:
                notes.append(f"{outer} failed")
    return notes


@agent
async def until_enough(count: int) -> list[str]:
    notes: list[str] = []
    while len(notes) < count:
        notes.append(await note(len(notes)))
    return notes


@agent
async def talks(count: int) -> list[dict[str, str]]:
    messages = [{"role": "user", "content": "begin"}]
    for number in range(count):
        answer = await llm(f"{messages[-1]}")
        messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": f"and {number}?"})
    return messages


@agent
async def asks_in_turns(count: int) -> int:
    """A chat: the model gets the whole history each time."""
    messages = [{"role": "user", "content": "begin"}]
    for number in range(count):
        answer = await llm(messages=messages)
        messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": f"and {number}?"})
    return len(messages)


@pytest.mark.parametrize(
    "program",
    [gathers, within_branches, within_tries, until_enough, talks, asks_in_turns, *SHAPES.values()],
    ids=lambda program: program.fn.__name__,
)
async def test_a_loop_that_gathers_copies_and_records_nothing_large(
    program: Any, monkeypatch: pytest.MonkeyPatch
):
    """Whatever code gathers, and however the container comes to the next iteration."""
    copied, stored = [], []
    copying, encoding = agentvm_runtime.frames.copy_value, agentvm_runtime.computing.encode

    def noted(values: Any) -> Any:
        copied.extend(type(each) for each in values if holds_large(each))
        return copying(values)

    def recorded(kept: Any) -> bytes:
        stored.extend(type(each) for each in kept.values() if holds_large(each))
        return encoding(kept)

    monkeypatch.setattr(agentvm_runtime.frames, "copy_value", noted)
    monkeypatch.setattr(agentvm_runtime.computing, "encode", recorded)
    async with AgentVM(store="memory", llm=ScriptedLLM(lambda call: call.prompt)) as vm:
        await vm.run(program, 100)
    # The first change of a container that has become large may be of one that others still hold.
    assert len(copied) <= 2
    assert len(stored) <= 2


@pytest.mark.parametrize("late", [1, 40])
async def test_a_call_that_begins_late_gets_the_version_of_its_place(late: int):
    """It waits for something else while the list grows, and is given the list as it was."""
    async with AgentVM(store="memory", llm=ScriptedLLM(lambda call: call.prompt)) as vm:
        found = await vm.run(looks_back, 60, late)
    assert found == (60, [f"{late} seen of {late}"])


@tool(effect="pure")
async def measure(notes: list[str], known: str) -> str:
    return f"{len(notes)} {known}"


@agent
async def looks_back(count: int, late: int) -> tuple[int, list[str]]:
    notes: list[str] = []
    views: list[str] = []
    for number in range(count):
        notes.append(await llm(f"note {number}"))
        if number == late - 1:
            first = await llm(f"seen of {late}")
            views.append(await measure(notes, await llm(first)))
    return len(notes), views


def tidied(text: str) -> str:
    return text.upper()


FAILING: set[int] = set()
"""Numbers of which `fragile` fails."""


@tool(effect="read")
async def fragile(number: int) -> str:
    if number in FAILING:
        raise ConnectionError(number)
    return f"note {number}"


@agent
async def tidies(count: int) -> list[dict[str, str]]:
    notes: list[dict[str, str]] = []
    for number in range(count):
        notes.append({"text": tidied(await fragile(number)), "place": str(len(notes))})
    return notes


def tidy(texts: Any) -> list[dict[str, str]]:
    return [{"text": text, "place": str(place)} for place, text in enumerate(texts)]


async def test_what_other_code_made_is_not_made_again(monkeypatch: pytest.MonkeyPatch):
    """On resume what it made of each item is read, and gathered again."""
    made: list[str] = []
    monkeypatch.setitem(tidies.fn.__globals__, "FAILING", {45})
    async with AgentVM(store="memory", llm=ScriptedLLM("unused")) as vm:
        run = await vm.start(tidies, 60, run_id="run")
        with pytest.raises(RunFailed):
            await run.result()
        monkeypatch.setitem(tidies.fn.__globals__, "FAILING", set())
        monkeypatch.setitem(tidies.fn.__globals__, "tidied", lambda text: made.append(text) or text.upper())
        found = await (await vm.resume("run", retry=True)).result()
    assert found == tidy(f"NOTE {number}" for number in range(60))
    assert made == [f"note {number}" for number in range(45, 60)]


async def test_a_fork_late_in_a_loop_has_what_was_gathered_before():
    """And what comes after, with what the fork sets in between."""
    async with AgentVM(store="memory", llm=ScriptedLLM("unused")) as vm:
        run = await vm.start(tidies, 60)
        await run.result()
        fork = await vm.fork(run.id, set={"for#1[50]/fragile#1": "other"})
        found = await fork.result()
    texts = ["OTHER" if number == 50 else f"NOTE {number}" for number in range(60)]
    assert found == tidy(texts)
