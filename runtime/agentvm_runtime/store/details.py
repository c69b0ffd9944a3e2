"""The detail of an event as JSON text, and back. Most events have the same few."""

from __future__ import annotations

import json
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any


def detail_text(detail: dict[str, Any]) -> str | None:
    """An event's detail as JSON; None for an empty one."""
    if len(detail) == 1:
        [(name, value)] = detail.items()
        if type(value) is str:  # such as why a call was made, of most events
            return f"{{{quoted(name)}: {quoted(value)}}}"
    return json.dumps(detail) if detail else None


_SHORT = 64
"""Characters of a text that is worth remembering."""


def detail_of(text: str | None) -> dict[str, Any]:
    """The detail that a text is of: an object of its own."""
    if not text:
        return {}
    pair = _pair(text) if len(text) <= _SHORT else None
    if pair is not None:
        return {pair[0]: pair[1]}
    detail: dict[str, Any] = json.loads(text)
    return detail


@lru_cache(maxsize=64)
def _pair(text: str) -> tuple[str, str] | None:
    """Name and value, if that is a text, of a detail that has no other."""
    detail = json.loads(text)
    if len(detail) == 1:
        [(name, value)] = detail.items()
        if type(value) is str:
            return name, value
    return None
