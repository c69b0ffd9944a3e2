"""JSON Schemas in the form engines accept, and answers back in the form asked for.

OpenAI's structured output takes a closed object at the top and nothing else. A
schema of any other type travels inside one, under `value`, and its answer is
taken out again, so the caller never sees the difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

WRAPPER = "value"
"""The property that holds an answer whose type is not an object."""


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """How one call asks for structured output."""

    response_format: dict[str, Any]
    """The request's `response_format`."""
    wrapped: bool
    """Whether the answer arrives inside an object."""

    def unwrap(self, text: str) -> str:
        """The answer as JSON text of the asked type; text cut short is returned as it came."""
        if not self.wrapped:
            return text
        try:
            return json.dumps(json.loads(text)[WRAPPER], ensure_ascii=False)
        except (ValueError, KeyError, TypeError):
            return text  # the caller sees `finish_reason`, and what little there is


def answer_format(schema: dict[str, Any]) -> AnswerFormat:
    """Make a schema acceptable to OpenAI-compatible engines."""
    wrapped = schema.get("type") != "object" or "$ref" in schema or "anyOf" in schema
    if wrapped:
        inner = {name: part for name, part in schema.items() if name not in ("$defs", "definitions")}
        # References point at "#/$defs/...", so the definitions must stay at the top.
        outer = {name: part for name, part in schema.items() if name not in inner}
        schema = {"type": "object", "properties": {WRAPPER: inner}, "required": [WRAPPER], **outer}
    closed = _close(schema)
    return AnswerFormat(
        {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": closed, "strict": _all_required(closed)},
        },
        wrapped,
    )


def _close(part: Any) -> Any:
    """Forbid properties an object does not name, unless it says otherwise: strict mode wants it said."""
    if isinstance(part, list):
        return [_close(item) for item in part]
    if not isinstance(part, dict):
        return part
    closed = {name: _within(_close, name, inner) for name, inner in part.items()}
    if part.get("type") == "object" and "properties" in part:
        closed.setdefault("additionalProperties", False)
    return closed


def _all_required(part: Any) -> bool:
    """Whether every object requires all it names, without which OpenAI refuses strict mode."""
    if isinstance(part, list):
        return all(map(_all_required, part))
    if not isinstance(part, dict):
        return True
    if part.get("type") == "object" and (
        part.get("additionalProperties") is not False
        or set(part.get("properties", ())) != set(part.get("required", ()))
    ):
        return False
    below = (inner for name, inner in part.items() if name not in _LITERAL and name not in _NAMED)
    named = (inner for name in _NAMED for inner in dict(part.get(name, {})).values())
    return all(map(_all_required, chain(below, named)))


def _within(visit: Callable[[Any], Any], keyword: str, value: Any) -> Any:
    """Visit the schemas below one keyword, and leave what is data or a name alone."""
    if keyword in _LITERAL:
        return value
    if keyword in _NAMED and isinstance(value, dict):
        return {name: visit(schema) for name, schema in value.items()}
    return visit(value)


_LITERAL = frozenset({"const", "default", "enum", "examples", "required"})
"""Keywords whose values are data, not schemas."""

_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions"})
"""Keywords whose values map names to schemas; a name may look like a keyword."""
