"""Agents with classes and functions of which code runs, or what is shared, where nothing shows it.

What `GLOBAL` lists changes what the module holds; `reset` makes it as it was.
"""

import functools
import operator
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def put(text: str) -> int:
    LOG.append(str(text))
    return len(LOG)


class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __add__(self, other: "Money") -> "Money":
        print("add", self.amount, other.amount)
        return Money(self.amount + other.amount)


@agent
async def added() -> int:
    total = Money(1)
    for number in range(3):
        word = await llm(f"word {number}")
        total += Money(number)
        print("beside", word)
    return total.amount


@dataclass
class Counting:
    number: int

    @property
    def next(self) -> int:
        print("next", self.number)
        self.number += 1
        return self.number

    @property
    def last(self) -> int:
        return self.number

    @last.setter
    def last(self, number: int) -> None:
        print("set", number)
        self.number = number


class Plain:
    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def next(self) -> int:
        print("next", self.number)
        self.number += 1
        return self.number


@dataclass(frozen=True)
class Fixed:
    number: int

    @property
    def shown(self) -> int:
        print("shown", self.number)
        return self.number


class Kind(Enum):
    A = "a"

    @property
    def shown(self) -> str:
        print("shown", self.value)
        return self.value.upper()


def counting(number: int):  # type: ignore[no-untyped-def]
    return Counting(number)


@agent
async def properties() -> list[Any]:
    one = Counting(1)
    for number in range(2):
        word = await llm(f"word {number}")
        found = one.next
        print("beside", word)
        last = one.next
        print("after")
    return [found, last, one]


@agent
async def properties_of_a_class_without_fields() -> list[Any]:
    one = Plain(1)
    for number in range(2):
        word = await llm(f"word {number}")
        found = one.next
        print("beside", word)
        last = one.next
        print("after")
    return [found, last, one.number]


@agent
async def properties_of_what_cannot_change() -> list[Any]:
    fixed, kind = Fixed(1), Kind.A
    for number in range(2):
        word = await llm(f"word {number}")
        one = fixed.shown
        print("beside", word)
        two = kind.shown
        print("after")
    return [one, two]


@agent
async def a_property_of_what_has_no_type() -> list[Any]:
    one = counting(1)
    found = []
    for number in range(2):
        word = await llm(f"word {number}")
        last = one.next
        print("beside", word)
        found.append(last)
    last = one.next
    return [found, last, one]


@agent
async def setters() -> list[Any]:
    one = Counting(1)
    for number in range(2):
        word = await llm(f"word {number}")
        one.last = number
        print("beside", word)
        one.last += 5
        print("after")
    for one.last in (7, 8):
        print("loop", await llm(f"word {one.number}"))
    return [one, word]


@dataclass
class Open:
    number: int

    def __getattr__(self, name: str) -> int:
        if name.startswith("_"):
            raise AttributeError(name)
        print("get", name)
        return len(name)


@agent
async def attributes_made_up() -> list[Any]:
    one = Open(1)
    word = await llm("word")
    found = [one.foo]
    print("beside", word)
    found.append(one.other)
    print("after")
    return found


@dataclass
class Indexed:
    words: list[str]

    @functools.cached_property
    def index(self) -> dict[str, int]:
        print("index")
        return {each: number for number, each in enumerate(self.words)}


@agent
async def computed_once() -> list[Any]:
    one = Indexed(["a"])
    one.index["b"] = 7
    one.words.append(await llm("word"))
    one.index["c"] = await put(str(len(one.words)))
    return [one.index, one.words]


@dataclass
class Holder:
    parts: list[str] = field(default_factory=list)

    def drop(self) -> None:
        del self.parts


@agent
async def looped_into_a_part() -> Holder:
    holder = Holder()
    for holder.parts in [["a"], ["b"]]:
        holder.parts.append(await llm("word"))
    return holder


def shown(text: str) -> str:
    print("shown", text)
    return text


@agent
async def a_part_deleted() -> str:
    holder = Holder()
    try:
        for number in range(3):
            word = await llm(f"word {number}")
            holder.parts.append(shown(word))
            if number == 1:
                holder.drop()
    except AttributeError as error:
        return str(error)
    return ""


class Checked(BaseModel):
    model_config = ConfigDict(validate_assignment=True, hide_input_in_errors=True)
    number: int


@tool(effect="read")
async def check(word: str) -> int:
    checked = Checked(number=1)
    checked.number = word  # type: ignore[assignment]
    return checked.number


@agent
async def refused() -> int:
    number = await check(await llm("word"))
    await put(await llm("end"))
    return number


@agent
async def refused_and_kept() -> list[Any]:
    word = await llm("word")
    try:
        await check(word)
    except ValidationError as error:
        kept = error
    await put(await llm("end"))
    return [str(kept), kept.args, kept.error_count()]


@dataclass(eq=False)
class Lonely:
    text: str


@tool(effect="read")
async def second(all: list[Lonely]) -> Lonely:
    return all[1]


@agent
async def equal_to_nothing_else() -> list[Any]:
    everyone = [Lonely("a"), Lonely(await llm("word"))]
    found = await second(everyone)
    return [found in everyone, {each: each.text for each in everyone}.get(found)]


append_one = operator.methodcaller("append", 1)


@agent
async def appended_by_an_object() -> list[Any]:
    words: list[Any] = [await llm("one")]
    same = words
    append_one(words)
    return [words, same, await llm("two")]


@agent
async def classes_of_values() -> list[str]:
    word = await llm("word")
    found = [type(shown(word)).__name__]
    print("beside")
    found.append(shown(word).__class__.__name__)
    print("after")
    return found


def popped(words: list[str]) -> str:
    print("popped")
    return words.pop()


@agent
async def places_computed() -> list[Any]:
    words = ["a", "b", "a", "b"]
    numbers = {"a": 1, "b": 2}
    for number in range(2):
        await llm(f"word {number}")
        numbers[popped(words)] += number
        print("beside")
    del numbers[popped(words)], numbers[popped(words)]
    return [words, numbers]


def sized(words: list[str]) -> Callable[[], int]:
    return lambda: len(words)


def counted(words: list[str]) -> Callable[[str], int]:
    def count(word: str) -> int:
        return words.count(word)

    return count


def joined(words: list[str], ends: list[str]) -> Iterator[str]:
    return (word + ends[-1] for word in words)


def methods(words: list[str]) -> dict[str, Callable[[], None]]:
    return {"more": lambda: words.append("more")}


def made_of(words: list[str]) -> Any:
    class Local:
        def size(self) -> int:
            return len(words)

    return Local()


@agent
async def functions_that_hold_a_list() -> list[int]:
    words = ["a"]
    size = sized(words)
    words.append(await llm("word"))
    first: int = size()
    return [first, len(words)]


@agent
async def nested_functions_that_hold_a_list() -> list[int]:
    words = ["a"]
    count = counted(words)
    words.append(await llm("word"))
    first: int = count("word")
    return [first, len(words)]


@agent
async def generators_that_hold_lists() -> list[Any]:
    words, ends = ["a"], ["x"]
    rest = joined(words, ends)
    words.append(await llm("word"))
    ends.append("y")
    return [list(rest), words, ends]


@agent
async def tables_of_functions() -> list[str]:
    words = ["a"]
    table = methods(words)
    word = await llm("word")
    table["more"]()
    words.append(word)
    return words


@agent
async def objects_of_a_class_that_holds_a_list() -> list[int]:
    words = ["a"]
    one = made_of(words)
    words.append(await llm("word"))
    size: int = one.size()
    return [size, len(words)]


# -- what the module holds -------------------------------------------------------------

BAG: list[Any] = []
SETTINGS = types.SimpleNamespace(text="")


@functools.lru_cache
def cached(number: int) -> list[int]:
    return [number]


@agent
async def cached_by_a_decorator() -> list[list[int]]:
    records: list[list[int]] = []
    for number in range(2):
        await llm(f"word {number}")
        records.append(cached(1))
        records[0].append(number)
    return records


def default(number: int, into: list[str] = []) -> list[str]:  # noqa: B006 - it is what is tried
    return into


def numbered(text: str, *, seen: dict[str, int] = {}) -> int:  # noqa: B006
    return seen.setdefault(text, len(seen))


def put_by_default(text: list[str], *, seen: list[list[str]] = []) -> int:  # noqa: B006
    seen.append(text)
    return len(seen[0])


@agent
async def defaults_shared() -> list[Any]:
    one = default(1)
    two = default(2)
    word = await llm("word")
    one.append(word)
    return [one, two]


@agent
async def defaults_changed() -> list[int]:
    word = await llm("word")
    one = numbered(word)
    two = numbered("first")
    return [one, two]


@agent
async def defaults_that_keep() -> list[int]:
    words = [await llm("word")]
    one = put_by_default(words)
    words.append("two")
    return [one, put_by_default([]), len(words)]


class Words:
    def __init__(self, words: list[str] = []) -> None:  # noqa: B006
        self.words = words


@agent
async def defaults_of_a_class() -> list[int]:
    one = Words()
    two = Words()
    one.words.append(await llm("word"))
    size: int = len(two.words)
    return [size, len(one.words)]


async def gathered(word: str, into: list[str] = []) -> list[str]:  # noqa: B006
    into.append(await llm(word))
    return into


@agent
async def defaults_of_a_helper() -> list[Any]:
    one = await gathered("one")
    two = await gathered("two")
    one.append("three")
    return [len(one), len(two), len(await gathered("four"))]


current: list[str] = []


def make_current(words: list[str]) -> None:
    global current
    current = words


def size_of_current() -> int:
    return len(current)


@agent
async def held_by_a_global() -> list[int]:
    words: list[str] = []
    make_current(words)
    words.append(await llm("word"))
    return [size_of_current(), len(words)]


def bagged(bag: list[Any], item: Any) -> int:
    bag.append(item)
    return len(bag)


bag_it = functools.partial(bagged, BAG)


@agent
async def bagged_by_an_object() -> list[Any]:
    first = bag_it("early")
    word = await llm("word")
    second = bag_it(word)
    third = len(BAG)
    return [first, second, third, bag_it("late")]


class Shared:
    number: ClassVar[int] = 0

    def __init__(self, text: str) -> None:
        type(self).number += 1
        self.own = f"{text} {self.number}"


@dataclass
class Record:
    text: str
    all: ClassVar[list[str]] = []


@agent
async def held_by_a_class() -> list[Any]:
    one = Record("one")
    two = Record("two")
    found = []
    for number in range(2):
        word = await llm(f"word {number}")
        one.all.append(word)
        found.append(len(two.all))
    return [found, list(two.all), one]


@agent
async def counted_by_a_class() -> list[Any]:
    one = Shared(await llm("word"))
    two = Shared("two")
    Shared.number += 3
    return [one.own, two.own, Shared("three").own, Shared.number]


def keeper() -> tuple[Callable[[list[str]], None], Callable[[], int]]:
    kept: list[str] = []

    def keep(words: list[str]) -> None:
        nonlocal kept
        kept = words

    def size() -> int:
        return len(kept)

    return keep, size


keep, size_of_kept = keeper()


@agent
async def kept_by_a_closure() -> list[int]:
    words: list[str] = []
    keep(words)
    words.append(await llm("word"))
    return [size_of_kept(), len(words)]


def counter() -> tuple[Callable[[], None], Callable[[], int], Callable[[], None]]:
    number = 0

    def step() -> None:
        nonlocal number
        number += 1

    def get() -> int:
        return number

    def restart() -> None:
        nonlocal number
        number = 0

    return step, get, restart


step, get, restart = counter()


@agent
async def held_by_a_closure() -> list[Any]:
    found: list[Any] = []
    for number in range(2):
        word = await llm(f"word {number}")
        step()
        found.append((get(), word))
        step()
        found.append(get())
    return found


def said(text: str) -> None:
    SETTINGS.text = text


@agent
async def held_by_a_namespace() -> list[str]:
    found = []
    for number in range(2):
        said(await llm(f"word {number}"))
        found.append(SETTINGS.text)
    return found


def reset() -> None:
    BAG.clear()
    Shared.number, SETTINGS.text = 0, ""
    Record.all.clear()
    cached.cache_clear()
    restart()
    make_current([])
    for function in (default, numbered, put_by_default, Words.__init__, gathered):
        for held in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            held.clear()


AGENTS = (
    *(added, properties, properties_of_a_class_without_fields),
    *(properties_of_what_cannot_change, a_property_of_what_has_no_type, setters, attributes_made_up),
    *(computed_once, looped_into_a_part, a_part_deleted, refused, refused_and_kept, appended_by_an_object),
    *(classes_of_values, places_computed, functions_that_hold_a_list, nested_functions_that_hold_a_list),
    *(generators_that_hold_lists, tables_of_functions, objects_of_a_class_that_holds_a_list),
    equal_to_nothing_else,
)
GLOBAL = (
    *(cached_by_a_decorator, defaults_shared, defaults_changed, defaults_that_keep, bagged_by_an_object),
    *(held_by_a_class, counted_by_a_class, held_by_a_closure, held_by_a_namespace, defaults_of_a_class),
    *(defaults_of_a_helper, held_by_a_global, kept_by_a_closure),
)
CASES = [(each, (), {}) for each in (*AGENTS, *GLOBAL)]


def script(call: Any) -> str:
    return str(call.prompt)
