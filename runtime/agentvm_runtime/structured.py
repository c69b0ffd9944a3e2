"""Structured output: `llm(..., returns=T)` as JSON Schema, text and Python value.

The engine is guided by the schema, its text is validated by pydantic, and an
answer that does not fit gets one *repair attempt*: the same conversation with
the answer and what is wrong with it appended.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

from agentvm_compiler.errors import AgentVMError, InputError
from agentvm_compiler.wire import Message, ModelCall, ModelResult

_FENCE = re.compile(r"\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*", re.DOTALL)


class StructuredOutputError(AgentVMError):
    """The model's answer is not a value of the type the program asked for."""

    def __init__(self, message: str, *, text: str = "", problem: str = "") -> None:
        super().__init__(message)
        self.text = text
        """The answer as it came."""
        self.problem = problem
        """What is wrong with it, without the advice."""


def schema_of(returns: Any) -> dict[str, Any] | None:
    """JSON Schema of the type, or `None` for free text.

    Raises:
        InputError: pydantic cannot describe the type.
    """
    return None if returns is str else _schema(returns)


def parse(text: str, returns: Any) -> Any:
    """The value the text stands for.

    A Markdown fence around the JSON is taken off, and a bare word is taken where
    it is a value of the type (an enum's), since engines without guided decoding
    answer so.

    Raises:
        StructuredOutputError: the text is not JSON, or not of that type.
    """
    if returns is str:
        return text
    adapter = adapter_of(returns)
    fenced = _FENCE.fullmatch(text)
    body = (fenced[1] if fenced else text).strip()
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        if body[:1] not in ("", "{", "[", '"') and error.errors()[0]["type"] == "json_invalid":
            try:
                return adapter.validate_python(body)
            except ValidationError:
                pass
        problem = problems(error)
    raise StructuredOutputError(
        f"The model's answer is not a valid {type_name(returns)}: {problem}\n"
        f"It answered: {text!r:.200}\n"
        "Allow more max_tokens if the answer was cut, say in the prompt what is wanted, "
        "or use a larger model.",
        text=text,
        problem=problem,
    )


def dump(value: Any, returns: Any) -> str:
    """The JSON text of a value of the type: the inverse of `parse`."""
    if returns is str:
        return str(value)
    return adapter_of(returns).dump_json(value).decode()


def repair_messages(
    messages: Sequence[Message], text: str, error: StructuredOutputError
) -> tuple[Message, ...]:
    """The conversation of the repair attempt: the bad answer, and what is wrong with it."""
    return (
        *messages,
        Message("assistant", text),
        Message(
            "user",
            f"That answer is not valid: {error.problem}\nAnswer again, with nothing but the corrected JSON.",
        ),
    )


async def ask(
    complete: Callable[[ModelCall], Awaitable[ModelResult]], call: ModelCall
) -> tuple[Any, tuple[ModelResult, ...]]:
    """Complete the call and parse the answer, with one repair attempt.

    Returns:
        The value, and the one or two results it took.

    Raises:
        StructuredOutputError: the second answer is invalid too.
    """
    first = await complete(call)
    try:
        return parse(first.text, call.returns), (first,)
    except StructuredOutputError as error:
        again = replace(call, messages=repair_messages(call.messages, first.text, error))
    second = await complete(again)
    return parse(second.text, call.returns), (first, second)


def adapter_of(returns: Any) -> TypeAdapter[Any]:
    """The type's pydantic adapter; built once per type.

    Raises:
        InputError: pydantic cannot describe the type.
    """
    try:
        return _cached_adapter(returns)
    except TypeError:  # metadata that cannot be hashed, as in Annotated[int, [1]]
        return _adapter(returns)


def type_name(returns: Any) -> str:
    """The type as a user writes it: `Review`, `list[str]`, `int | None`."""
    return returns.__name__ if type(returns) is type else str(returns).replace("typing.", "")


def problems(error: ValidationError, limit: int = 3) -> str:
    """What pydantic found, in one line: `title: Field required; score: ...`."""
    found = [
        ": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"])))
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    more = len(found) - limit
    return "; ".join(found[:limit]) + (f"; and {more} more" if more > 0 else "")


def _adapter(returns: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(returns)
    except (PydanticUserError, NameError) as error:
        raise _undescribable(returns, error) from error


_cached_adapter = lru_cache(maxsize=512, typed=True)(_adapter)


def _schema(returns: Any) -> dict[str, Any]:
    try:
        return adapter_of(returns).json_schema()
    except PydanticInvalidForJsonSchema as error:
        raise _undescribable(returns, error) from error


def _undescribable(returns: Any, error: Exception) -> InputError:
    return InputError(
        f"llm(returns={type_name(returns)}): this type has no JSON Schema ({str(error).splitlines()[0]}). "
        "Use a pydantic model, a dataclass, an enum, a list or dict of such, int, float, bool or str."
    )
