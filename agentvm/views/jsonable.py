"""Values and errors as JSON types."""

from __future__ import annotations

import json
from typing import Any


def jsonable(value: Any) -> Any:
    """The value as JSON types; what has no JSON form becomes its `repr`."""
    from pydantic_core import to_json

    try:
        # by way of text: the direct conversion leaves NaN as it is, which is not JSON
        return json.loads(to_json(value, fallback=repr, inf_nan_mode="strings", bytes_mode="base64"))
    except ValueError:  # a cycle, or text that is not Unicode
        return repr(value)


def error_text(error: object) -> str | None:
    """`ValueError: too long`, or `None`."""
    if isinstance(error, BaseException):
        return f"{type(error).__name__}: {error}"
    return None if error is None else str(error)
