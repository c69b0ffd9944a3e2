"""The types that are inferred: what holds at run time, and no more."""

# ruff: noqa: F841, RUF059 - the names are what is tested

from __future__ import annotations

import collections
import dataclasses
import itertools
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

import pytest
from pydantic import BaseModel, ValidationError

from agentvm_compiler.frontend.infer import Types
from agentvm_compiler.frontend.scope import Scope
from agentvm_compiler.frontend.source import source_of

TABLE: dict[str, int] = {}
PAIR = ("a", 1)


class Model(BaseModel):
    name: str


class Point(NamedTuple):
    x: int
    name: str


@dataclass(frozen=True)
class State:
    level: int = 0

    def next(self) -> State:
        return dataclasses.replace(self, level=self.level + 1)


def counted(words: list[str]) -> None:
    counts = Counter(words)
    best = max(counts.items(), key=lambda pair: pair[1])
    top = counts.most_common(1)
    counts["x"] += 1


def counted_otherwise(words: list[str]) -> None:
    counts = Counter(words)
    counts["x"] = words  # type: ignore[assignment]
    number = counts["a"]


def grown(words: list[str]) -> None:
    found = []
    for word in words:
        found.append(len(word))
    table = {}
    table["a"] = found
    groups = defaultdict(list)
    groups["a"].append(1)
    waiting = deque([1])
    waiting.append("a")  # type: ignore[arg-type]
    first = waiting.popleft()


def seen_by_two_names() -> None:
    found = ["a"]
    same = found
    same.append(1)  # type: ignore[arg-type]


def seen_by_two_names_and_kept_alike() -> None:
    found = ["a"]
    same = found
    same.append("b")


def optional(table: Optional[dict[str, list[str]]], names: list[str] | None) -> None:  # noqa: UP045 - either form
    found = table.get("a")  # type: ignore[union-attr]
    for name in names:  # type: ignore[union-attr]
        print(name)


def searched(text: str) -> None:
    found = re.search("a", text)
    each = found.group() if found else ""
    several = re.findall("a", text)
    changed = re.sub("a", lambda match: match[0], text)


def iterated(words: list[str], rows: list[list[int]]) -> None:
    for number, word in enumerate(words):
        print(number, word)
    flat = list(itertools.chain.from_iterable(rows))
    lengths = list(map(len, words))
    pairs = dict(zip(words, lengths, strict=True))


def made(state: State, point: Point) -> None:
    later = state.next()
    model = Model.model_validate_json("{}")
    x, name = point
    pair = PAIR
    number = TABLE["a"]
    try:
        copied = model.model_copy()
    except ValidationError as error:
        problems = error.error_count()


def shadowing(words: list[str], lists: list[list[int]]) -> None:
    for each in words:
        print(each)
    ordered = sorted(lists, key=lambda each: each[0])


EXPECTED: list[tuple[Callable[..., Any], str, Any]] = [
    (counted, "counts", Counter[str]),
    (counted, "best", tuple[str, int]),
    (counted, "top", list[tuple[str, int]]),
    (counted_otherwise, "counts", Counter),
    (counted_otherwise, "number", Any),
    (grown, "found", list[Any]),
    (grown, "groups", collections.defaultdict[str, list]),  # type: ignore[type-arg]
    (grown, "first", int | str),
    (seen_by_two_names, "found", list),
    (seen_by_two_names_and_kept_alike, "found", list[str]),
    (optional, "found", list[str] | None),
    (optional, "name", str),
    (searched, "found", re.Match[str] | None),
    (searched, "each", str | None),
    (searched, "several", list[str | tuple[str, ...]]),
    (searched, "changed", str),
    (iterated, "number", int),
    (iterated, "word", str),
    (iterated, "flat", list[int]),
    (iterated, "lengths", list[int]),
    (iterated, "pairs", dict[str, int]),
    (made, "later", State),
    (made, "model", Model),
    (made, "name", str),
    (made, "pair", tuple[str, int]),
    (made, "number", int),
    (made, "copied", Model),
    (made, "problems", int),
    (shadowing, "each", Any),
    (shadowing, "ordered", list[list[int]]),
]


@pytest.mark.parametrize(
    ("fn", "name", "expected"), [pytest.param(*each, id=f"{each[0].__name__}-{each[1]}") for each in EXPECTED]
)
def test_type_of_a_name(fn: Callable[..., Any], name: str, expected: Any):
    """A name has the type that covers all it may hold."""
    source = source_of(fn)
    assert source is not None
    assert Types(Scope(source)).names[name] == expected
