"""Structured output: schema, parsing, and the one repair attempt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from agentvm_compiler.errors import InputError
from agentvm_compiler.wire import Message, ModelCall, ModelResult
from agentvm_runtime.structured import (
    StructuredOutputError,
    adapter_of,
    ask,
    dump,
    parse,
    repair_messages,
    schema_of,
)


class Review(BaseModel):
    ok: bool
    text: str = ""


@dataclass
class Point:
    x: int
    y: int


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(Enum):
    LOW = 1
    HIGH = 2


VALUES = [
    (Review, Review(ok=True, text="fine")),
    (Point, Point(1, 2)),
    (Colour, Colour.RED),
    (Level, Level.HIGH),
    (list[str], ["a", "b"]),
    (list[Point], [Point(0, 1)]),
    (dict[str, int], {"a": 1}),
    (int, 3),
    (float, 2.5),
    (bool, False),
    (int | None, None),
    (Literal["yes", "no"], "no"),
    (Annotated[int, Field(ge=1)], 2),
]


@pytest.mark.parametrize(("returns", "value"), VALUES, ids=str)
def test_a_value_survives_text(returns, value):
    """What is dumped as JSON is parsed back as an equal value of the same class."""
    back = parse(dump(value, returns), returns)
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize("returns", [each for each, _ in VALUES], ids=str)
def test_each_type_but_str_has_a_schema(returns):
    """The schema is what guides the engine."""
    assert isinstance(schema_of(returns), dict)


def test_free_text_has_no_schema_and_is_verbatim():
    """For `str` nothing is parsed, not even JSON."""
    assert schema_of(str) is None
    assert parse(' {"a": 1}\n', str) == ' {"a": 1}\n'


@pytest.mark.parametrize("text", ["red", " red\n", '"red"', '```json\n"red"\n```', "```\nred\n```"])
def test_answers_of_unguided_engines_are_understood(text):
    """Bare enum words and Markdown fences are common without guided decoding."""
    assert parse(text, Colour) is Colour.RED


@pytest.mark.parametrize(
    ("text", "returns", "problem"),
    [
        ("{}", Review, "ok: Field required"),
        ("I think so", Review, "Invalid JSON"),
        ('{"ok": tr', Review, "Invalid JSON"),
        ("", int, "Invalid JSON"),
        ("green", Colour, "Invalid JSON"),
        ('"green"', Colour, "Input should be 'red' or 'blue'"),
        ('[{"x": 1, "y": "a"}]', list[Point], "0.y: Input should be a valid integer"),
        ('"cut', str | None, "Invalid JSON"),
    ],
)
def test_an_invalid_answer_says_what_is_wrong(text, returns, problem):
    """The message has the type, the place, the answer and what to try."""
    with pytest.raises(StructuredOutputError) as caught:
        parse(text, returns)
    message = str(caught.value)
    assert problem in caught.value.problem
    assert problem in message and repr(text) in message and "max_tokens" in message
    assert caught.value.text == text


def test_many_problems_are_counted_not_listed():
    """A wholly wrong answer does not flood the message."""
    with pytest.raises(StructuredOutputError, match="and 2 more"):
        parse('["a","b","c","d","e"]', list[int])


class Opaque:
    pass


@pytest.mark.parametrize("returns", [Opaque, list[Opaque], type(lambda: 0)])
def test_a_type_without_schema_is_refused(returns):
    """The message says which types will do."""
    with pytest.raises(InputError, match=r"no JSON Schema .*\n?.*Use a pydantic model"):
        schema_of(returns)


def test_adapters_are_built_once_also_for_equal_generic_aliases():
    """`list[str]` written twice is one type; unhashable metadata still works."""
    assert adapter_of(list[str]) is adapter_of(list[str])
    assert schema_of(Annotated[int, ["note"]]) == {"type": "integer"}


def test_a_repair_shows_the_answer_and_its_fault():
    """The conversation goes on; nothing of it is lost."""
    start = (Message("system", "s"), Message("user", "u"))
    error = StructuredOutputError("m", text="bad", problem="ok: Field required")
    *before, answer, request = repair_messages(start, "bad", error)
    assert tuple(before) == start
    assert answer == Message("assistant", "bad")
    assert request.role == "user" and "ok: Field required" in request.content


async def _ask(answers: list[str], returns=int):
    asked: list[ModelCall] = []

    async def complete(call: ModelCall) -> ModelResult:
        asked.append(call)
        return ModelResult(answers[len(asked) - 1])

    value, results = await ask(complete, ModelCall((Message("user", "u"),), returns=returns))
    return value, [each.text for each in results], [len(each.messages) for each in asked]


async def test_a_valid_answer_is_taken_at_once():
    """No second call where none is needed."""
    assert await _ask(["4"]) == (4, ["4"], [1])


async def test_an_invalid_answer_is_repaired_once():
    """The second call has the first answer and its fault; both results are reported."""
    assert await _ask(["four", "4"]) == (4, ["four", "4"], [1, 3])


async def test_a_second_invalid_answer_is_an_error():
    """There is one repair attempt, not more."""
    with pytest.raises(StructuredOutputError, match="'five'"):
        await _ask(["four", "five", "5"])
