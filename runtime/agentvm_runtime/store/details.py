"""The detail of an event as JSON text. Most events have the same few."""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii as quoted
from typing import Any


def detail_text(detail: dict[str, Any]) -> str | None:
    """An event's detail as JSON; None for an empty one."""
    if len(detail) == 1:
        [(name, value)] = detail.items()
        if type(value) is str:  # such as why a call was made, of most events
            return f"{{{quoted(name)}: {quoted(value)}}}"
    return json.dumps(detail) if detail else None
