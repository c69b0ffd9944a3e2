"""Kinds of pydantic's models and validation errors, for programs that have imported pydantic.

A model is rebuilt without validation: what was stored had been accepted once.
A `ValidationError` can only be made by pydantic itself, from its error details.
"""

from __future__ import annotations

import sys
from typing import Any

from .instance_kinds import instances, is_cached, slots_of
from .kinds import Kind, family


def _is_model(cls: type) -> bool:
    model = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return isinstance(model, type) and issubclass(cls, model) and cls is not model


def _model_body(model: Any) -> dict[str, Any]:
    cls = type(model)
    return {
        "#fields_set": sorted(model.__pydantic_fields_set__),
        "#extra": model.__pydantic_extra__,
        "#private": model.__pydantic_private__,
        **{k: v for k, v in model.__dict__.items() if not is_cached(cls, k)},
    }


def _fill_model(model: Any, body: dict[str, Any]) -> None:
    fields = dict(body)
    named, extra, private = fields.pop("#fields_set"), fields.pop("#extra"), fields.pop("#private")
    model.__dict__.update(fields)
    cls: type = type(model)
    slots = slots_of(cls)  # behind what a root model's class has under their names
    slots["__pydantic_fields_set__"].__set__(model, set(named))
    slots["__pydantic_extra__"].__set__(model, extra)
    slots["__pydantic_private__"].__set__(model, private)


def _is_validation_error(cls: type) -> bool:
    return cls is getattr(sys.modules.get("pydantic_core"), "ValidationError", None)


def _error_head(error: Any) -> tuple[Any, ...]:
    details = [
        (line["type"], line["loc"], line["input"], line.get("ctx"), line["msg"])
        for line in error.errors(include_url=False)
    ]
    _, _, mode, hides = error.__reduce__()[1]
    return error.title, details, mode, hides


def _make_error(cls: Any, head: tuple[Any, ...]) -> Any:
    core: Any = sys.modules["pydantic_core"]
    title, details, *how = head  # what was recorded before has no more
    lines = []
    for kind, loc, given, context, message in details:
        line: dict[str, Any] = {"type": kind, "loc": loc, "input": given}
        if context is not None:
            line["ctx"] = context
        try:
            core.PydanticKnownError(kind, context)
        except (KeyError, TypeError, ValueError):
            # A type of error the user made up: its message is all there is.
            line = {"type": core.PydanticCustomError(kind, message, context), "loc": loc, "input": given}
        lines.append(line)
    made = cls.from_exception_data(title, lines, *how)
    made.args = ()  # it had none where it was raised
    return made


instances("model", _is_model, _model_body, _fill_model)
family(
    _is_validation_error,
    Kind("validation_error", _error_head, _make_error, _is_validation_error, named=True),
)
