"""What a call did to the objects it was given is done again to equal ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from agentvm_runtime.restoring import before, change, redo


@dataclass
class Row:
    name: str
    parts: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Pair:
    left: Any
    right: Any


@dataclass(slots=True)
class Slim:
    items: list[int]


class Model(BaseModel):
    tags: list[str]


def append(rows: list[Any]) -> Any:
    rows.append("new")
    return len(rows)


def pick(rows: list[Any]) -> Any:
    return rows[0]


def insert_first(rows: list[Any]) -> Any:
    rows.insert(0, ["new"])
    return rows[0]


def swap(rows: list[Any]) -> Any:
    rows[0], rows[1] = rows[1], rows[0]
    rows[0].append("swapped")


def move(rows: list[Any]) -> Any:
    rows[1].append(rows.pop(0))
    return (rows[0], {"again": rows[0]})


def cycle(rows: list[Any]) -> Any:
    rows.append(rows)
    return rows


def raised(rows: list[Any]) -> Any:
    rows.clear()
    return None


CALLS = (append, pick, insert_first, swap, move, cycle, raised)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_is_done_again(call: Callable[..., Any]):
    """The same objects are where they were or went, and the result is made of them."""
    was, one = _lists()
    seen = before((one,))
    result = call(one)
    found = change(seen, result)
    again_was, again = _lists()
    assert found is not None
    redone = redo((again,), *found)
    assert _shape(redone, again, again_was) == _shape(result, one, was)


def _lists() -> tuple[list[Any], list[Any]]:
    """Two lists within one, and the same two for whoever else has them."""
    a, b = ["a"], ["b"]
    return [a, b], [a, b]


def _shape(*values: Any) -> Any:
    """The values with each list told by the position at which it was first met."""
    met: dict[int, int] = {}

    def shape(value: Any) -> Any:
        if isinstance(value, list):
            if id(value) in met:
                return f"list {met[id(value)]}"
            met[id(value)] = len(met)
            return [shape(each) for each in value]
        if isinstance(value, dict):
            return {key: shape(each) for key, each in value.items()}
        return tuple(shape(each) for each in value) if isinstance(value, tuple) else value

    return [shape(each) for each in values]


def test_a_call_that_changes_nothing_has_no_change():
    """And whose result is its own."""
    seen = before(([1, 2], {"a": [3]}))
    assert change(seen, [1, 2]) is None
    assert change(seen, None) is None


@pytest.mark.parametrize(
    ("make", "act", "look"),
    [
        pytest.param(
            lambda: Row("a", [1]), lambda row: row.parts.append(2), lambda row: row.parts, id="dataclass"
        ),
        pytest.param(
            lambda: Pair([1], [2]), lambda pair: pair.right.append(3), lambda pair: pair.right, id="frozen"
        ),
        pytest.param(
            lambda: Slim([1]), lambda slim: slim.items.append(2), lambda slim: slim.items, id="slots"
        ),
        pytest.param(
            lambda: Model(tags=["a"]),
            lambda model: model.tags.append("b"),
            lambda model: model.tags,
            id="model",
        ),
        pytest.param(lambda: {1, 2}, lambda these: these.add(3), lambda these: these, id="set"),
        pytest.param(lambda: bytearray(b"a"), lambda data: data.extend(b"b"), lambda data: data, id="bytes"),
        pytest.param(
            lambda: Row("a"), lambda row: setattr(row, "late", [1]), lambda row: row.late, id="new attribute"
        ),
        pytest.param(lambda: {"k": [1]}, lambda d: d.update(z=d.pop("k")), lambda d: d["z"], id="dict"),
    ],
)
def test_every_kind_of_object(make, act, look):
    """Found, changed in place, and the same object for whoever holds a part of it."""
    one, again = make(), make()
    seen = before((one,))
    act(one)
    found = change(seen, one)
    assert found is not None
    assert redo((again,), *found) is again
    assert look(again) == look(one)
    assert again == one
