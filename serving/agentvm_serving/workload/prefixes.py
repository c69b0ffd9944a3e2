"""Shared beginnings of prompts: as keys of KV blocks, and as tokens.

Two calls' keys of a block are equal exactly if their tokens are, up to the end
of that block; so a simulator that goes by keys and an engine that goes by
tokens find the same in their caches.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

from .items import Call


def block_keys(call: Call, block: int, tokens: int | None = None) -> list[str]:
    """The keys of the full blocks that others can share, first block first.

    Args:
        block: tokens of a block.
        tokens: how many of prompt and answer there are; by default the prompt's.
    """
    have = call.input_tokens if tokens is None else tokens
    keys: list[str] = []
    for base, start, end in _spans(call, have):
        while (upto := (len(keys) + 1) * block) <= end:
            # A block that began in the part before ends in this one, and its key says both.
            keys.append(f"{base}@{upto - start}")
    return keys


def text_of(call: Call, name: str, vocabulary: int, tokens: int | None = None, salt: str = "") -> list[int]:
    """Token ids of the prompt (and, with more `tokens`, of the answer), each from 1 to `vocabulary`.

    Args:
        name: of the call, which makes its own text different from any other's.
        salt: makes all text different from that of another salt.
    """
    have = call.input_tokens if tokens is None else tokens
    found: list[int] = []
    for base, start, end in _spans(call, have):
        found += _stream(salt + base, vocabulary, end - start)
    return found + _stream(f"{salt}own {name}", vocabulary, have - len(found))


def _spans(call: Call, have: int) -> Iterator[tuple[str, int, int]]:
    """Of each part: a name that says what came before too, and where it starts and ends."""
    base, start = "", 0
    shared = sum(tokens for _, tokens in call.prefix)
    for number, (name, tokens) in enumerate(call.prefix, 1):
        last = number == len(call.prefix)
        # An answer continues the last part, if that is all there is to the prompt.
        end = have if last and shared >= call.input_tokens else min(start + tokens, have)
        base = f"{base}/{name}"
        yield base, start, end
        base, start = f"{base}:{tokens}", end


def _stream(name: str, vocabulary: int, tokens: int) -> list[int]:
    # Drawn one by one from a seed, a longer text begins with the shorter one.
    return random.Random(zlib.crc32(name.encode())).choices(range(1, vocabulary + 1), k=max(0, tokens))
