"""Answers made up: of the type that was asked for, and of a length in tokens that prompts can tell.

A made-up text is a *mark*, `<523>`: it stands for so many tokens, so that the
length of a prompt follows from the answers it is made of.
"""

from __future__ import annotations

import json
import random
import re
from itertools import cycle, islice
from typing import Any

_MARK = re.compile(r"<(\d+)>")
TOKENS_A_WORD = 1.3
"""Of English text, roughly."""
WORDS = ("simulated", "answer", "without", "a", "model")


def mark(tokens: int) -> str:
    """A text of so many tokens."""
    return f"<{tokens}>"


def tokens_of(text: str) -> int:
    """How long a text with marks is."""
    marked = sum(int(each) for each in _MARK.findall(text))
    return marked + round(TOKENS_A_WORD * len(_MARK.sub(" ", text).split()))


def made_up(schema: dict[str, Any], draws: random.Random, root: dict[str, Any] | None = None) -> Any:
    """A value that a JSON Schema allows; of texts, a short mark."""
    root = root or schema
    if "$ref" in schema:
        return made_up(root["$defs"][schema["$ref"].rpartition("/")[2]], draws, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draws.choice(schema["enum"])
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return made_up(draws.choice(several), draws, root)
    kind = schema.get("type", "object")
    if kind == "array":
        return _array(schema, draws, root)
    if kind == "object":
        return {name: made_up(each, draws, root) for name, each in schema.get("properties", {}).items()}
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", 0), schema.get("maximum", 10)
        return draws.randint(int(low), int(high)) if kind == "integer" else draws.uniform(low, high)
    return {"boolean": draws.random() < 0.5, "null": None}.get(kind, mark(10))


def _array(schema: dict[str, Any], draws: random.Random, root: dict[str, Any]) -> list[Any]:
    if "prefixItems" in schema:
        return [made_up(each, draws, root) for each in schema["prefixItems"]]
    least = schema.get("minItems", 1)
    count = draws.randint(least, max(least, schema.get("maxItems", least + 2)))
    return [made_up(schema.get("items", {"type": "string"}), draws, root) for _ in range(count)]


def json_of(schema: dict[str, Any], draws: random.Random) -> str:
    """A value that a JSON Schema allows, as JSON."""
    return json.dumps(made_up(schema, draws))


def prose(tokens: int) -> str:
    """Words of so many tokens that nobody takes for an answer."""
    words = max(1, round(tokens / TOKENS_A_WORD))
    return " ".join(islice(cycle(WORDS), words))
