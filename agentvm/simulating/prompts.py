"""Prompts of one run: which begin alike, so that a prefix cache can act."""

from __future__ import annotations

import os.path
from dataclasses import dataclass

from agentvm_serving.workload.answers import tokens_of
from agentvm_serving.workload.items import Part


@dataclass(slots=True)
class _Seen:
    text: str
    parts: tuple[Part, ...]
    continued: bool = False
    """Whether another prompt continues its last part."""


class Prompts:
    """The prompts of a run, so far."""

    def __init__(self) -> None:
        self._seen: list[_Seen] = []

    def parts(self, text: str, tokens: int) -> tuple[Part, ...]:
        """What a prompt of so many tokens begins with, as `Call.prefix` has it.

        The first prompt that has all of an earlier one, and more, continues it, answer included;
        any other has a part of its own after what it has in common with the most similar one.
        """
        name = f"p{len(self._seen)}"
        best = max(self._seen, key=lambda each: _common(each.text, text), default=None)
        if best is None:
            found: tuple[Part, ...] = ((name, tokens),)
        elif len(text) > len(best.text) and text.startswith(best.text) and not best.continued:
            best.continued = True
            before = _clip(best.parts[:-1], tokens)
            found = (*before, (best.parts[-1][0], tokens - sum(n for _, n in before)))
        else:
            # The last token is each one's own: answers to equal prompts go their own ways.
            shared = _clip(best.parts, min(tokens - 1, tokens_of(_words(best.text, text))))
            found = (*shared, (name, tokens - sum(n for _, n in shared)))
        self._seen.append(_Seen(text, found))
        return found


def _common(one: str, other: str) -> int:
    return len(_beginning(one, other))


def _beginning(one: str, other: str) -> str:
    return os.path.commonprefix((one, other))  # noqa: RUF071 -- characters of texts, not paths


def _words(one: str, other: str) -> str:
    """What two texts begin with, in whole words."""
    common = _beginning(one, other)
    whole = len(common) == min(len(one), len(other))
    return common if whole else common[: common.rfind(" ") + 1]


def _clip(parts: tuple[Part, ...], tokens: int) -> tuple[Part, ...]:
    found: list[Part] = []
    for name, length in parts:
        if tokens > 0:
            found.append((name, min(length, tokens)))
            tokens -= length
    return tuple(found)
