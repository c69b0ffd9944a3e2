"""Values and errors as JSON types."""

from __future__ import annotations

import json
from typing import Any


def jsonable(value: Any) -> Any:
    """The value as JSON types; what has no JSON form becomes its `repr`."""
    from pydantic_core import to_json

    try:
        # by way of text: the direct conversion leaves NaN as it is, which is not JSON
        text = to_json(value, fallback=repr, inf_nan_mode="strings", bytes_mode="base64")
        return json.loads(text, parse_int=_integer)
    except ValueError:  # a cycle, or text that is not Unicode
        return repr(value)


def _integer(digits: str) -> int | str:
    """An integer; as text if it is too long for Python to write again (`sys.get_int_max_str_digits`)."""
    try:
        return int(digits)
    except ValueError:
        return digits


def error_text(error: object) -> str | None:
    """`ValueError: too long`, or `None`."""
    if isinstance(error, BaseException):
        return f"{type(error).__name__}: {error}"
    return None if error is None else str(error)
