"""The detail of an event as JSON text. Most events have the same few."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any


def detail_text(detail: dict[str, Any]) -> str | None:
    """An event's detail as JSON; None for an empty one."""
    if len(detail) == 1:
        [(name, value)] = detail.items()
        if type(value) is str:  # such as why a call was made, of most events
            return _pair_text(name, value)
    return json.dumps(detail) if detail else None


@lru_cache(maxsize=256)
def _pair_text(name: str, value: str) -> str:
    return json.dumps({name: value})
