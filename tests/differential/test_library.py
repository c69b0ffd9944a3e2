"""What is known of the library, tried with aliases, callbacks and user code that break a careless rule."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import heapq
import itertools
import json
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple, TypedDict, cast

import pytest
from pydantic import BaseModel, ValidationError, field_validator

from agentvm import agent, llm, tool

from .harness import Case, model, observe_compiled, observe_plain

SHARED: list[str] = []
CASES: list[Any] = []


class Fresh(list[str]):
    """The log; clearing it for a new run clears what the programs keep in their module, too."""

    def clear(self) -> None:
        super().clear()
        SHARED.clear()
        BOX.items.clear()
        cast(list[str], Shade.DARK.value).clear()


LOG: list[str] = Fresh()


class Box:
    def __init__(self) -> None:
        self.items: list[str] = []


BOX = Box()


class Shade(enum.Enum):
    DARK: Any = []  # noqa: RUF012 - what is tested
    LIGHT = "light"


@dataclass
class Holder:
    box: Box = BOX
    name: str = ""


@dataclass(frozen=True)
class State:
    level: int = 1
    log: tuple[str, ...] = ()

    def heard(self, line: str) -> State:
        return dataclasses.replace(self, level=self.level + 1, log=(*self.log, line))


@dataclass(frozen=True)
class Loose:
    notes: list[str]


@dataclass
class Loud:
    name: str

    def __post_init__(self) -> None:
        LOG.append(f"made {self.name}")


@dataclass(frozen=True)
class Chain:
    name: str
    next: Chain | None = None


class Named:
    """Compares, and writes that it does."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __lt__(self, other: Named) -> bool:
        LOG.append(f"{self.name}<{other.name}")
        return self.name < other.name

    def __str__(self) -> str:
        LOG.append(f"str {self.name}")
        return self.name


class Counting(dict[str, int]):
    """A dictionary that writes what is asked for."""

    def get(self, key: str, default: Any = None) -> Any:
        LOG.append(f"get {key}")
        return super().get(key, default)

    def __missing__(self, key: str) -> int:
        LOG.append(f"missing {key}")
        self[key] = 0
        return 0


class Row(TypedDict):
    name: str
    tags: list[str]


class Point(NamedTuple):
    x: int
    tags: list[str]


class Inner(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def _told(cls, value: int) -> int:
        LOG.append(f"validated {value}")
        return value


class Outer(BaseModel):
    inner: Inner


class Plain(BaseModel):
    name: str
    tags: list[str] = []

    @classmethod
    def parse(cls, text: str) -> Plain:
        LOG.append(f"parse {text}")
        return cls(name=text)


@tool
async def write(text: str) -> int:
    LOG.append(text)
    return len(LOG)


def case(*args: Any) -> Callable[[Any], Any]:
    """Have the agent run with these arguments."""

    def add(program: Any) -> Any:
        CASES.append(pytest.param(program, args, id=program.fn.__name__))
        return program

    return add


# -- containers ------------------------------------------------------------------------


@case()
@agent
async def other_value_in_a_dict() -> object:
    table = {"a": 1}
    words = ["x"]
    table["b"] = words  # type: ignore[assignment]
    table["b"].append(await llm("q"))  # type: ignore[attr-defined]
    return words


@case()
@agent
async def other_element_in_a_list() -> object:
    mixed = [1]
    words = ["x"]
    mixed.append(words)  # type: ignore[arg-type]
    mixed[1].append(await llm("q"))  # type: ignore[attr-defined]
    return words


@case()
@agent
async def other_element_by_another_name() -> object:
    mixed: Any = ["a"]
    same = mixed
    words = ["x"]
    same.append(words)
    mixed[1].append(await llm("q"))
    return words


@case()
@agent
async def other_element_inside() -> object:
    inner = ["a"]
    outer = {"k": inner}
    words = ["x"]
    outer["k"].append(words)  # type: ignore[arg-type]
    taken = inner[1]
    taken.append(await llm("q"))  # type: ignore[attr-defined]
    return words


def put(into: Any, what: Any) -> None:
    into.append(what)


@case()
@agent
async def other_element_by_a_helper() -> object:
    mixed = ["a"]
    words = ["x"]
    put(mixed, words)
    taken: Any = mixed[1]
    taken.append(await llm("q"))
    return words


@case()
@agent
async def other_element_by_extend() -> object:
    mixed = ["a"]
    words = ["x"]
    mixed.extend([words])  # type: ignore[list-item]
    mixed[1].append(await llm("q"))  # type: ignore[attr-defined]
    return words


@case()
@agent
async def other_element_by_slice() -> object:
    rows = [[0]]
    words: Any = ["x"]
    rows[0:1] = [words]
    rows[0].append(await llm("q"))  # type: ignore[arg-type]
    return words


@case()
@agent
async def other_element_by_unpacking() -> object:
    mixed = {"a": 1}
    words: Any = ["x"]
    mixed["b"], first = words, 1
    taken: Any = mixed["b"]
    taken.append(await llm(f"q{first}"))
    return words


@case()
@agent
async def pairs_into_a_dict() -> object:
    words = ["x"]
    table: dict[str, list[str]] = {}
    table.update([("k", words)])
    table["k"].append(await llm("q"))
    more: dict[str, list[str]] = {}
    more |= [("k", words)]
    more["k"].append(await llm("r"))
    return words


@case()
@agent
async def default_of_get() -> object:
    table = {"a": ["b"]}
    words = ["x"]
    table.get("q", words).append(await llm("q"))
    found = table.get("a") or words
    found.append(await llm("r"))
    return [words, table]


@case()
@agent
async def default_of_pop_and_setdefault() -> object:
    table: dict[str, list[str]] = {}
    words = ["x"]
    table.pop("q", words).append(await llm("q"))
    table.setdefault("k", words).append(await llm("r"))
    return [words, table]


@case({"k": ["x"]})
@agent
async def get_of_an_optional(table: dict[str, list[str]] | None) -> object:
    assert table is not None
    words = table.get("k")
    assert words is not None
    words.append(await llm("q"))
    return table


@case()
@agent
async def values_and_items() -> object:
    table = {"a": ["x"], "b": ["y"]}
    for words in table.values():
        words.append(await llm("q"))
    for key, words in table.items():
        words.append(await llm(key))
    return table


@case()
@agent
async def shared_by_fromkeys() -> object:
    table = dict.fromkeys(["a", "b"], [await llm("q")])  # noqa: RUF024 - what is tested
    table["a"].append(await llm("r"))
    return table


@case()
@agent
async def shared_by_repetition() -> object:
    rows = [[await llm("q")]] * 2
    rows[0].append(await llm("r"))
    return rows


@case()
@agent
async def elements_of_a_deque() -> object:
    words = ["x"]
    waiting = deque([words, ["y"]], maxlen=2)
    waiting.rotate(1)
    waiting[1].append(await llm("q"))
    waiting.popleft().append(await llm("r"))
    waiting.extendleft([words])
    waiting[0].append("z")
    return [words, list(waiting)]


@case()
@agent
async def elements_of_an_ordered_dict() -> object:
    words = ["x"]
    table = OrderedDict([("a", words), ("b", ["y"])])
    table.move_to_end("a")
    table["a"].append(await llm("q"))
    return [words, list(table.items())]


@case()
@agent
async def groups_by_default() -> object:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    first = groups["a"]
    first.append(await llm("q"))
    size = len(groups["b"])
    groups["a"].append(await llm("r"))
    return [first, dict(groups), size]


@case()
@agent
async def default_that_writes() -> object:
    groups: defaultdict[str, int] = defaultdict(lambda: LOG.append("made") or 1)  # type: ignore[func-returns-value]
    found = groups["a"]
    await write("before")
    return [found, groups["b"], len(groups)]


@case()
@agent
async def default_that_is_shared() -> object:
    words: list[str] = []
    groups: defaultdict[str, list[str]] = defaultdict(lambda: words)
    groups["a"].append(await llm("q"))
    return [words, dict(groups)]


@case()
@agent
async def default_that_reads_a_name() -> object:
    limit = 1
    groups: defaultdict[str, int] = defaultdict(lambda: limit)
    limit = len(await llm("longer"))
    return [groups["a"], limit]


@case()
@agent
async def counts_of_lists() -> object:
    words = ["x"]
    counts: Any = Counter({"a": words})
    counts["a"].append(await llm("q"))
    other: Any = Counter("ab")
    other["c"] = words
    other["c"].append(await llm("r"))
    return words


@case()
@agent
async def most_common() -> object:
    counts = Counter(answer for answer in [await llm("a"), await llm("b"), await llm("a")])
    counts.update(["b", "b"])
    counts["c"] += 1
    best = max(counts, key=counts.get)  # type: ignore[arg-type]
    top, number = counts.most_common(1)[0]
    counts[top] -= 2
    return [best, top, number, counts.total(), sorted(counts.items()), counts["missing"], len(counts)]


@case()
@agent
async def a_dictionary_with_code() -> object:
    table = Counting()
    first = table.get("a", 1)
    await write("between")
    second = table["b"]
    await write("after")
    return [first, second, dict(table)]


# -- functions that are handed on ------------------------------------------------------


@case([[2], [1]])
@agent
async def mutation_in_a_key(lists: list[list[int]]) -> object:
    found = []
    for hit in ["a", "b"]:
        found.append(await llm(hit))
    first = lists[0]
    ordered = sorted(lists, key=lambda hit: hit.append(1) or hit[0])  # type: ignore[func-returns-value]
    more = await llm("x")
    return [first, ordered, lists, found, more]


@case([[2], [1]])
@agent
async def mutation_in_a_sort(lists: list[list[int]]) -> object:
    mine = [list(each) for each in lists]
    first = mine[0]
    mine.sort(key=lambda each: each.append(len(each)) or each[0])  # type: ignore[func-returns-value]
    return [first, mine, await llm("x")]


@case(["b", "a"])
@agent
async def writes_in_a_key(words: list[str]) -> object:
    await write("before")
    ordered = sorted(words, key=lambda word: LOG.append(word) or word)  # type: ignore[func-returns-value]
    await write("after")
    return ordered


@case(["b", "a"])
@agent
async def given_by_a_lambda(words: list[str]) -> object:
    shared = ["x"]
    lists = list(map(lambda word: shared, words))  # noqa: C417 - what is tested
    lists[0].append(await llm("q"))
    return shared


def the_shared(word: str) -> list[str]:
    return SHARED


@case(["b", "a"])
@agent
async def given_by_a_function(words: list[str]) -> object:
    lists = list(map(the_shared, words))
    lists[0].append(await llm("q"))
    return [len(SHARED), len(lists[1])]


@case(["b", "a"])
@agent
async def reduced_to_a_list(words: list[str]) -> object:
    start: list[str] = []
    found = functools.reduce(lambda held, word: [*held, word] if held else start, words, start)
    found.append(await llm("q"))
    return [start, found]


@case(["b", "a"])
@agent
async def reduced_in_place(words: list[str]) -> object:
    start: list[str] = []
    found = functools.reduce(lambda held, word: (held.append(word), held)[1], words, start)  # type: ignore[func-returns-value]
    found.append(await llm("q"))
    return [start, found]


@case(["b", "a"])
@agent
async def reduced_to_a_number(words: list[str]) -> object:
    total = functools.reduce(lambda held, word: held + len(word), words, 0)
    return [await llm(f"{total}"), total]


@case(["b", "a"])
@agent
async def default_of_max(words: list[str]) -> object:
    kept = ["x"]
    found: Any = max([word for word in words if word > "c"], default=kept)
    found.append(await llm("q"))
    other: Any = next((word for word in words if word > "c"), kept)
    other.append(await llm("r"))
    return kept


@case(["b", "a"])
@agent
async def larger_of_two(words: list[str]) -> object:
    one, two = [words[0]], [words[1]]
    larger = max(one, two, key=lambda each: (each.append("seen"), each[0])[1])  # type: ignore[func-returns-value]
    larger.append(await llm("q"))
    return [one, two]


@case("a1b22")
@agent
async def substituted(text: str) -> object:
    found: list[str] = []
    changed = re.sub(r"\d+", lambda match: found.append(match[0]) or "#", text)  # type: ignore[func-returns-value]
    numbers = [int(each) for each in re.findall(r"\d+", text)]
    first = re.search(r"[a-z]", text)
    return [await llm(changed), found, numbers, first.group() if first else None]


@case(["b", "a", "b"])
@agent
async def called_by_a_helper(words: list[str]) -> object:
    kept: list[Any] = []
    found = twice(lambda word: kept.append(word) or kept, words)  # type: ignore[func-returns-value]
    found.append(await llm("q"))
    return [kept, found, words]


def twice(function: Callable[[Any], Any], value: Any) -> Any:
    function(value)
    return function(value)


@case("a")
@agent
async def kept_by_a_helper(word: str) -> object:
    limit = 1
    kept = held(lambda: limit)
    limit = len(await llm(word * 3))
    return [kept[0](), limit]


def held(function: Callable[[], int]) -> list[Callable[[], int]]:
    return [function]


@case("a")
@agent
async def applied_by_a_helper(word: str) -> object:
    suffix = await llm("s")
    first = twice(lambda text: text + suffix, word)
    suffix = await llm("t")
    return [first, twice(lambda text: text + suffix, word)]


# -- the library -----------------------------------------------------------------------


@case()
@agent
async def heap_of_lists() -> object:
    words = ["b"]
    heap: list[tuple[int, list[str]]] = []
    heapq.heappush(heap, (2, words))
    heapq.heappush(heap, (1, ["a"]))
    first = heapq.heappop(heap)
    heap[0][1].append(await llm("q"))
    first[1].append(await llm("r"))
    return [words, first, heap]


@case()
@agent
async def heap_of_what_compares() -> object:
    heap: list[Named] = []
    for name in ("b", "a", "c"):
        heapq.heappush(heap, Named(name))
    await write("pushed")
    names = [each.name for each in sorted(heap)]
    await write("sorted")
    return names


@case()
@agent
async def text_with_code() -> object:
    named = Named("a")
    text = str(named)
    await write("between")
    return [text, f"{named}"]


@case()
@agent
async def chained_rows() -> object:
    rows = [["a"], ["b"]]
    first = rows[0]
    for row in itertools.chain(rows):
        row.append(await llm("q"))
    for row in itertools.islice(rows, 1):
        row.append(await llm("r"))
    return [first, rows]


@case()
@agent
async def grouped() -> object:
    rows = [("a", 1), ("a", 2), ("b", 3)]
    found = {
        key: [number for _, number in each] for key, each in itertools.groupby(rows, key=lambda row: row[0])
    }
    return [await llm(json.dumps(found)), found]


@case('{"a": {"b": [1]}}')
@agent
async def parts_of_json(text: str) -> object:
    data = json.loads(text)
    inner = data["a"]["b"]
    inner.append(await llm("q"))
    data.get("a", {}).setdefault("c", inner).append(await llm("r"))
    return [data, json.loads(json.dumps(data, sort_keys=True)) == data]


@case()
@agent
async def json_by_a_default_that_writes() -> object:
    def_ = {"a": {1}}
    text = json.dumps(def_, default=told)
    await write("after")
    return text


def told(value: Any) -> list[Any]:
    LOG.append("told")
    return sorted(value)


# -- classes ---------------------------------------------------------------------------


@case()
@agent
async def shared_default_of_a_dataclass() -> object:
    one, two = Holder(), Holder()
    one.box.items.append(await llm("q"))
    return len(two.box.items)


@case()
@agent
async def value_of_an_enum() -> object:
    words = Shade.DARK.value
    words.append(await llm("q"))
    return [len(Shade.DARK.value), Shade.LIGHT.value.upper(), Shade("light").name]


@case()
@agent
async def frozen_states() -> object:
    state = State()
    for word in ("a", "b"):
        state = state.heard(await llm(f"{state.level}{word}"))
    votes = [await llm(f"{name} on {state.log}") for name in ("x", "y")]
    return [state, votes]


@case()
@agent
async def frozen_but_not_deep() -> object:
    one = Loose(["a"])
    two = dataclasses.replace(one)
    two.notes.append(await llm("q"))
    return one


@case()
@agent
async def replaced_with_code() -> object:
    one = Loud("a")
    await write("between")
    two = dataclasses.replace(one, name="b")
    return [one, two]


@case()
@agent
async def frozen_chain() -> object:
    chain = Chain("a", Chain("b"))
    word = await llm(chain.name)
    return [Chain(word, chain), chain.next]


@case()
@agent
async def named_tuples() -> object:
    tags = ["x"]
    point = Point(1, tags)
    moved = point._replace(x=2)
    moved.tags.append(await llm("q"))
    number, same = point
    same.append(await llm(f"{number}"))
    return [tags, point, moved]


@case()
@agent
async def typed_dictionaries() -> object:
    tags = ["x"]
    row = Row(name="a", tags=tags)
    other = Row(**{**row, "name": await llm("b")})  # type: ignore[typeddict-item]
    other["tags"].append(await llm("q"))
    row.get("tags", []).append("r")
    return [tags, row, other]


@case()
@agent
async def validated_inside() -> object:
    await write("before")
    outer = Outer(inner={"number": int(await llm("1"))})  # type: ignore[arg-type]
    await write("between")
    again = Outer.model_validate({"inner": {"number": 2}})
    return [outer, again]


@case()
@agent
async def same_by_validation() -> object:
    one = Plain(name="a")
    two = Plain.model_validate(one)
    two.tags.append(await llm("q"))
    three = one.model_copy()
    three.tags.append(await llm("r"))
    return [one, two, three, one.model_dump()]


@case()
@agent
async def copied_with_an_update() -> object:
    tags = ["x"]
    one = Plain(name="a")
    two = one.model_copy(update={"tags": tags})
    two.tags.append(await llm("q"))
    return [tags, one, two]


@case()
@agent
async def defaults_of_models() -> object:
    one, two = Plain(name="a"), Plain(name="b")
    one.tags.append(await llm("q"))
    return [one, two]


@case()
@agent
async def parsed_by_own_method() -> object:
    await write("before")
    one = Plain.parse(await llm("a"))
    await write("after")
    return one


@case("{}")
@case('{"name": "a"}')
@agent
async def errors_of_validation(text: str) -> object:
    problems: list[str] = []
    try:
        found = Plain.model_validate_json(await llm(text))
    except ValidationError as error:
        problems.append(f"{error.error_count()} {error.errors()[0]['loc']}")
    except ValueError as error:
        problems.append(str(error))
    else:
        return found
    return [problems, await llm(problems[-1])]


@case(["a"])
@agent
async def slices_and_sums(words: list[str]) -> object:
    other: Any = words[:]
    same = other
    kept = ["x"]
    same.append(kept)
    other[1].append(await llm("q"))
    more: Any = words + words
    again = more
    again.append(kept)
    more[2].append(await llm("r"))
    doubled: Any = words * 2
    third = doubled
    third[0] = kept
    doubled[0].append(await llm("s"))
    return kept


@case()
@agent
async def gathered_and_changed() -> object:
    found: Any = await asyncio.gather(llm("a"), llm("b"))
    same = found
    kept = ["x"]
    same.append(kept)
    found[2].append(await llm("q"))
    return kept


@case(["a"])
@agent
async def split_and_changed(words: list[str]) -> object:
    rows: Any = [word.split() for word in words]
    first = rows[0]
    kept = ["x"]
    first.append(kept)
    rows[0][1].append(await llm("q"))
    return kept


@case()
@agent
async def shown_by_format() -> object:
    named = Named("a")
    first = "{}".format(named)  # noqa: UP032 - what is tested
    await write("between")
    second = "%s" % named  # noqa: UP031 - what is tested
    await write("after")
    return [first, second]


@case()
@agent
async def compared_in_methods() -> object:
    names = [Equal("a"), Equal("b")]
    place = names.index(Equal("b"))
    await write("between")
    names.remove(names[1])
    await write("after")
    return [place, len(names)]


class Equal:
    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        LOG.append(f"{self.name}==")
        return isinstance(other, Equal) and other.name == self.name

    __hash__ = None  # type: ignore[assignment]


class Replacing:
    """Replaces, and counts."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def replace(self, match: re.Match[str]) -> str:
        self.seen.append(match[0])
        return "#"


@case("a1b22")
@agent
async def substituted_by_a_method(text: str) -> object:
    replacing = Replacing()
    seen = replacing.seen
    changed = re.sub(r"\d+", replacing.replace, text)
    return [await llm(changed), seen]


class Tagged(Point):
    """A named tuple with attributes of its own."""


@case()
@agent
async def derived_named_tuple() -> object:
    one = Tagged(1, [])
    same = one
    one.note = await llm("q")  # type: ignore[attr-defined]
    return [same.note, same.x]  # type: ignore[attr-defined]


class Refused(Exception):
    def __init__(self, problems: list[str]) -> None:
        super().__init__("refused")
        self.problems = problems


@case(["a"])
@agent
async def raised_and_changed(words: list[str]) -> object:
    problems = [await llm("p")]
    try:
        raise Refused(problems)
    except Refused as error:
        error.problems.append("more")
    answer = await llm(f"{len(problems)}")
    return [problems, answer]


@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize(("program", "args"), CASES)
async def test_compiled_is_plain(program: Any, args: tuple[Any, ...], seed: int | None):
    """Result or exception, writes and output are Python's."""
    module = SimpleNamespace(CASES=[(program, args, {})], LOG=LOG, script=_echo, __name__=__name__)
    found = Case(cast(ModuleType, module), 0)
    plain = await observe_plain(found, model(found, seed))
    compiled = await observe_compiled(found, model(found, seed))
    assert compiled.visible == plain.visible


def _echo(call: Any) -> str:
    return str(call.prompt)
