"""Containers that grow in place: what is read late, shared, failed or resumed is what it is in Python.

Everything counts as large here, so that every fold of every program is done in place if it can be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from agentvm_runtime import slots

from .crash import CrashingStore, assert_resumes
from .generate import Generator
from .harness import Case, cases, model, observe_compiled, observe_plain
from .modules import INPUTS, imported
from .test_property import EXAMPLES, FUZZING

FOLDS = [
    "xs.append(a)",
    "xs += [a, b]",
    "xs = xs + [b]",
    "xs.insert(n % 3, a)",
    "xs[0] = a",
    "xs[9] = a",  # may fail
    "d[a] = n",
    "d['k'] = b",
    "seen.add(n)",
    "t += a",
    "t = t + f'{n}'",
    "t += a + b * 2",
    "xs.append(a + '!')",
    "d[a + b] = n + m",
    "xs.append(a); d[b] = n; m += 1",
    "rows.append(xs)",
    "rows.append([a])",
    "rows[0].append(b)",
    "pairs.append((a, xs))",
    "if a not in seen:\n    seen.add(a)\n    xs.append(a)",
    "if n % 2:\n    xs.append(a)\nelse:\n    rows.append([a, b])",
    "d.setdefault(a, []).append(b)",
    "d[a] = d.get(a, 0) + 1",  # may fail
    "count[a] += 1",
    "groups[n % 2].append(a)",
    "groups[n % 2] += [a, n]",
    "state.notes.append(a)",
    "state.seen[a] = n",
    "state.turns += 1",
    "state.notes = state.notes[-3:]",
    "memory.facts.extend([a, b])",
    "memory.turns = n",
    "records.append(Hit(a, n))",
    "records[-1].tags.append(b)",  # may fail
    "records[0].score += 1",  # may fail
    "t += records[-1].text",  # may fail
    "b = xs.pop()",  # may fail
    "del xs[0]",  # may fail
    "b = xs.pop(0); xs.extend([a, b])",  # may fail
    "queue.append(n)",
    "n = queue.popleft()",  # may fail
    "heapq.heappush(heap, (n, a))",
    "n, b = heapq.heappop(heap)",  # may fail
    "d.update({a: n, b: m})",
    "d.pop(a, None)",
    "seen.discard(n)",
    "m = max(m, len(t))",
    "for k in range(n % 4):\n    xs.append(f'{a} {k}')",
    "messages.append({'role': 'user', 'content': a})",
    "messages[-1]['content'] += b",
    "rows[-1] = xs",
    "xs.sort(); xs.reverse()",
    "ys, xs = xs, xs + [b]",
    "if n % 2:\n    ys = xs\n    xs = xs + [a]",
    "xs[-1] += xs.pop()",  # may fail
    "state.notes[0] += state.notes.pop(0)",  # may fail
    "count[b] += count.pop(b, 2)",
    "n = count.pop(b)",  # may fail
    "b = groups.pop(m)[0]",  # may fail
    "del groups[m]",  # may fail
    "frozen.notes += [a]",  # fails
    "memory.facts += [a]; b = f'{sorted(memory.model_fields_set)}'",
]
OPAQUE = [
    "xs.append(clean(a))",
    "xs.append(clean(a) if n % 2 else b)",
    "xs.append(n % 2 and clean(b))",
    "xs.insert(graded(n), clean(a))",  # may fail
    "xs.append(b := clean(a))",
    "xs += [clean(a), same(b)]",
    "xs = xs + [clean(b)]",
    "t += clean(a) + b",
    "t = t + shown(records)",
    "rows.append(same(xs))",
    "rows.append(same(rows[0]))",
    "rows.append([clean(x) for x in xs])",
    "rows.append([*xs, clean(a)])",
    "rows.append(longer(xs))",
    "rows.append(sorted(xs, key=str))",
    "rows.extend(map(same, rows[:1]))",
    "d[clean(a)] = same(n)",
    "d[a] = graded(n)",  # may fail
    "d[graded(n)] = clean(a)",  # may fail
    "seen.add(clean(a))",
    "seen.update([clean(a), graded(n)])",  # may fail
    "if clean(a) not in seen:\n    seen.add(clean(a))\n    xs.append(a)",
    "if graded(n):\n    xs.append(clean(a))\nelse:\n    rows.append([clean(b)])",  # may fail
    "if len(xs) % 2 and same(n):\n    b = clean(a)\n    xs.append(b)",
    "count[clean(a)] += graded(n)",  # may fail
    "groups[n % 2].append(clean(a))",
    "groups[n % 2].append(graded(n))",  # may fail
    "groups[n % 2] += [graded(n)]",  # may fail
    "d.setdefault(a, graded(n))",  # may fail
    "e.setdefault(n, []).append(graded(n))",  # may fail
    "state.notes.append(clean(a))",
    "state.seen[clean(a)] = graded(n)",  # may fail
    "state.turns = graded(n)",  # may fail
    "memory.facts.extend([clean(x) for x in xs])",
    "records.append(hit_of(a, n))",
    "records.append(same(records[0]))",  # may fail
    "records.append(Note(text=a, number=len(records)))",
    "records.append(Short(text=a))",  # may fail
    "records.append(Note.model_validate({'text': a, 'number': n}))",
    "records.append(Note(text=shown(xs), number=m).model_copy(update={'text': b}))",
    "records.append(hit_of(records[-1].text, len(xs)))",  # may fail
    "records.append(hit_of(a, n)); records[-1].tags.append(clean(b))",
    "heapq.heappush(heap, (graded(n), clean(a)))",  # may fail
    "messages.append({**messages[-1], 'content': clean(a)})",
    "messages[-1]['content'] += clean(a)",
    "queue.append(same(n))",
    "for y in xs[:3]:\n    records.append(hit_of(y, n))",
    "for y, z in enumerate(xs[:3]):\n    if same(y):\n        records.append(hit_of(z, y))",
    "for y in range(n % 5):\n    seen.add(graded(y))",  # may fail
    "for y in rows:\n    records.append(same(y))",
    "for y in records[:2]:\n    records.append(same(y))",
    "for y in xs:\n    e[y] = clean(y)",
    "for last in xs:\n    records.append(clean(last))\nb = last",  # may fail
    "records.extend(hit_of(y, n) for y in xs[:2])",
    "records.extend(graded(y) for y in range(1, n % 5))",  # may fail
    "if n % 2:\n    xs.append(clean(a))\n    continue",
    "if clean(a) in seen:\n    continue\nseen.add(clean(a))",
    "if n % 2:\n    if same(n):\n        xs.append(clean(a))\n    elif graded(n):\n        seen.add(b)",
    "if n % 2:\n    y = clean(a)\nelse:\n    xs.append(clean(a))\nxs.append(y)",  # may fail
    "records.append(same(xs)); xs.append(clean(a))",
    "y = hit_of(a, n); records.append(same(y)); y.score = n",
    "y = Note(text=a, number=n); records.append(y.model_copy()); y.tags.append(clean(b))",
    "rows.append([same(y) for y in rows]); rows[0].append(clean(a))",
    "for y in xs:\n    records.append(hit_of(y, n))\nrecords[0].tags.append(a)",  # may fail
    "xs.append(clean(xs.pop()))",  # may fail
    "xs.append(absent(a))",  # fails
    "state.notes.append(clean(a)); ys = state.notes; ys.append(clean(b))",
]
"""Of what these do the runtime does not know all."""
ORDERED = [
    "e.setdefault(n, []).append(hit_of(a, len(e)))",
    "f = e; e.setdefault(n, []).append(hit_of(a, len(f)))",
    "groups[n].append(hit_of(a, len(groups)))",
    "groups[n].append((len(groups), clean(a)))",
    "groups[n] += [hit_of(a, len(groups))]",
    "tally[a] += same(len(tally))",
    "tally[a] += await put(a) + same(len(tally))",
    "groups[n].append((await put(a), hit_of(b, len(groups))))",
    "for y in xs[: n % 2]:\n    groups[n].append(clean(y))",
    "for y in xs[: n % 2]:\n    e.setdefault(a, []).append(clean(y))",
    "for y in range(3):\n    seen.add(odd(y))",
    "seen.update(odd(y) for y in range(3))",
    "for y in 'pq':\n    await put(a)\n    for y in [*xs, 1]:\n        records.append(same(y))\nb = y",
    "records.append({'number': len(records), **same(n), 'text': odd(1)})",
    "unmade[n].append(odd(n))",
    "given[n] += [odd(n)]",
    "late.notes.append(odd(n))",
    "records.extend(capital(y) for y in [a])",
    "records.append(said(a).scored(graded(n), len(records)))",  # may fail
    "records.append(_1(a))",
    "if a not in d:\n    y = said(a)\n    records.append(y.raised())\n    records.append(y.score)",
]
"""Where making a part before the rest of the statement would be told."""
READS = [
    "ys = xs",
    "ys = list(xs)",
    "e = d",
    "xs, ys = ys, xs",
    "d = {**d}",
    "n = len(xs) + m",
    "b = await llm(f'{xs} {n}')",
    "b = await llm(f'{sorted(d)} {len(t)}')",
    "b = await late(ys, await llm(a))",
    "b = await late(rows, await llm(b))",
    "m = await put(f'{len(xs)} {len(d)}')",
    "a = await llm(messages=messages)",
    "a = await late(messages, b)",
    "ys = state.notes",
    "records.append(records[0])",  # may fail
    "b = await late(state.notes, await llm(f'{len(records)} {memory.turns}'))",
    "state = State(list(xs))",
    "d = {k: v for k, v in d.items() if k != a}",
]
BLOCKS = [
    "if n % 2:\n    {0}\nelse:\n    {1}",
    "try:\n    {0}\n    await risky(n)\n    {1}\nexcept ValueError:\n    {2}",
    "try:\n    {0}\n    {1}\nexcept (LookupError, AttributeError):\n    a = 'lost'\nfinally:\n    {2}",
    "for k in range(3):\n    a = await llm(f'k {{k}} {{n}}')\n    {0}\n    {1}",
    "while len(xs) < n % 5:\n    xs.append(await llm(f'w {{len(xs)}}'))\n    {0}",
]
HEAD = """\
import heapq
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

from pydantic import BaseModel, field_validator

from agentvm import agent, llm, tool

LOG = []


@dataclass
class Hit:
    text: str
    score: int
    tags: list[str] = field(default_factory=list)


    def raised(self) -> int:
        self.score += 1
        return self.score

    def scored(self, score: int, number: int) -> str:
        return f"{self.text} {score} {number}"


@dataclass
class State:
    notes: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    turns: int = 0


@dataclass
class Late:
    notes: list[str] = field(init=False)


@dataclass(frozen=True)
class Frozen:
    notes: list[str]


class Memory(BaseModel):
    facts: list[str] = []
    turns: int = 0


class Note(BaseModel):
    text: str
    number: int
    score: int = 0
    tags: list[str] = []


class Short(Note):
    number: int = 0

    @field_validator("text")
    @classmethod
    def is_short(cls, text: str) -> str:
        if len(text) > 12:
            raise ValueError("too long")
        return text.upper()


def clean(text) -> str:
    return str(text).upper()


def same(value):
    return value


_1 = clean


def shown(values) -> str:
    return f"{len(values)}{values[-1:]}"


def graded(number: int) -> int:
    if number % 3 == 0:
        raise ValueError(f"grade {number}")
    return number * 2


def odd(number: int):
    print("odd", number)
    return [number] if number % 2 else number


def said(text: str) -> Hit:
    print("said", text)
    return Hit(text, 1)


def made() -> list:
    print("made")
    return []


def capital(text: str) -> str:
    return next(each for each in text if each.isupper())


def longer(values: list) -> list:
    values.append("longer")
    return values


def hit_of(text: str, number: int) -> Hit:
    return Hit(str(text), number, [str(text)])


@tool
async def put(text: str) -> int:
    LOG.append(str(text))
    return len(LOG)


@tool(effect="read")
async def late(values: list, text: str) -> str:
    return f"{len(values)} {values[-1:]} {text}"[:40]


@tool(effect="read")
async def risky(number: int) -> int:
    if number % 3 == 0:
        raise ValueError(number)
    return number


@agent
async def program(n: int, b: str, xs: list[str]):
    a, t, m = "a", "", 0
    ys = xs[1:]
    d = {}
    e = {}
    seen = set()
    rows = [[]]
    pairs = []
    state = State()
    memory = Memory()
    records = []
    queue = deque()
    heap = []
    frozen = Frozen(xs[:2])
    count = Counter()
    groups = defaultdict(list)
    messages = [{"role": "user", "content": "begin"}]
    tally: defaultdict[str, int] = defaultdict(int)
    unmade: defaultdict[int, list] = defaultdict(None)
    given: defaultdict[int, list] = defaultdict(made)
    late = Late()
    for n in range(n, n + 4):
        a = await llm(f"next {n}")
"""
TAIL = """\
    return (
        xs, ys, n, a, b, t, m, list(d.items()), list(e.items()), sorted(map(str, seen)), rows, pairs, state,
        memory, records, list(queue), heap, list(count.items()), list(groups.items()), messages,
        frozen, list(tally.items()), list(given.items()),
    )
"""


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "LARGE", 0)
    monkeypatch.setattr(slots, "LONG", 0)


@pytest.mark.parametrize("case", cases())
async def test_programs_do_what_python_does(case: Case):
    """With answers in another order, and resumed from the middle."""
    with redirect_stdout(StringIO()):
        plain = await observe_plain(case, model(case))
        store = CrashingStore()
        compiled = await observe_compiled(case, model(case, 3), store)
        await assert_resumes(case, store.appended // 2, plain.outcome, plain.log, 1)
    assert compiled.visible == plain.visible


@pytest.mark.parametrize("seed", range(1000, 1030))
async def test_random_programs_do_what_python_does(seed: int, tmp_path: Path):
    """Programs over a few names, of which many share something."""
    with imported(Generator.seeded(seed).source(), f"agentvm_growing_{seed}", tmp_path) as module:
        for number in range(len(INPUTS)):
            await assert_like_python(Case(module, number), seed, 50)


@st.composite
def gathering(draw: st.DrawFn, folds: Sequence[str]) -> str:
    """Source of an agent that puts things into containers, and looks at older versions of them."""

    def statement(depth: int) -> str:
        kind = draw(st.integers(0, 5))
        if kind == 5 and depth < 2:
            block = draw(st.sampled_from(BLOCKS))
            return block.format(*(indented(statement(depth + 1), "    ").lstrip() for _ in range(3)))
        return draw(st.sampled_from(folds if kind < 3 else READS))

    body = [statement(0) for _ in range(draw(st.integers(2, 7)))]
    return HEAD + "".join(indented(each, " " * 8) + "\n" for each in body) + TAIL


def indented(code: str, by: str) -> str:
    return "\n".join(by + line for line in code.splitlines())


@given(
    source=gathering(FOLDS) | gathering(OPAQUE),
    number=st.integers(0, len(INPUTS) - 1),
    seed=st.none() | st.integers(0, 1000),
    share=st.integers(0, 100),
)
@settings(
    max_examples=EXAMPLES // 2,
    derandomize=not FUZZING,
    suppress_health_check=list(HealthCheck),
    deadline=None,
)
async def test_what_is_gathered_is_what_python_gathers(
    tmp_path_factory: Any, source: str, number: int, seed: int | None, share: int
):
    """Folds and late readers of all kinds, within branches, handlers and loops."""
    note(source[source.index("async def program") :])
    name = f"agentvm_gathering_{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    with imported(source, name, tmp_path_factory.getbasetemp()) as module:
        await assert_like_python(Case(module, number), seed, share)


@pytest.mark.parametrize("statement", ORDERED)
async def test_what_is_set_apart_is_what_nobody_can_tell(statement: str, tmp_path: Path):
    """Parts that see a new item, fail after something else, or are not made at all."""
    source = HEAD + indented(statement, " " * 8) + "\n" + TAIL
    name = f"agentvm_ordered_{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    with imported(source, name, tmp_path) as module:
        for number in range(len(INPUTS)):
            for share in (30, 50, 70, 90):
                await assert_like_python(Case(module, number), None, share)


async def assert_like_python(case: Case, seed: int | None, share: int) -> None:
    """At once, with answers in an order of its own, and after a stop in the journal."""
    plain = await observe_plain(case, model(case))
    store = CrashingStore()
    assert (await observe_compiled(case, model(case, seed), store)).visible == plain.visible
    with redirect_stdout(StringIO()):
        await assert_resumes(case, store.appended * share // 100, plain.outcome, plain.log, seed)
