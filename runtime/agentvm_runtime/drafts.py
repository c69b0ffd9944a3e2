"""What models have said so far in calls that are under way, for whoever looks at a run.

A *draft* is the part of an answer that has come. It is in no journal: the whole
answer is, as soon as it is there. Who looks gets what is new since their last
look in one piece, however much that is, so that nobody who is slow holds a run
up, and nothing waits for them in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from .secret import HELD, redact

KEPT: Final = 32_768
"""Characters of an answer that are kept, from its end."""


@dataclass(slots=True, eq=False)
class Draft:
    """Of one call. A repaired answer comes once more, in a draft of its own."""

    number: int
    """No other draft of the run has it."""
    _pieces: list[str] = field(default_factory=list)
    _length: int = 0
    _gone: int = 0

    def add(self, text: str) -> None:
        """What has come."""
        self._pieces.append(text)
        self._length += len(text)
        if self._length > 2 * KEPT:
            # Redacted first: the cut might leave half of a secret, and readers count what they are told.
            whole = redact("".join(self._pieces))
            self._gone += max(0, len(whole) - KEPT)
            self._pieces = [whole[-KEPT:]]
            self._length = len(self._pieces[0])

    def said(self) -> tuple[int, str]:
        """How many characters are not kept any more, and those after them.

        The values of secrets are replaced, and one that may be half of such a value waits.
        """
        whole = "".join(self._pieces)
        if len(self._pieces) > 1:
            self._pieces = [whole]
        return self._gone, _without_secrets(whole) if HELD else whole


def _without_secrets(text: str) -> str:
    text = redact(text)
    open_end = max((_overlap(text, value) for value in list(HELD)), default=0)
    return text[: len(text) - open_end]


def _overlap(text: str, value: str) -> int:
    """How much of a value the text may end with the beginning of."""
    return next((n for n in range(min(len(value) - 1, len(text)), 0, -1) if text.endswith(value[:n])), 0)


class Drafts(Mapping[str, Draft]):
    """Those of one run, by the paths of calls."""

    def __init__(self) -> None:
        self._drafts: dict[str, Draft] = {}
        self._numbers = 0

    def begin(self, path: str) -> Draft:
        """A call is asked, perhaps again."""
        self._numbers += 1
        draft = self._drafts[path] = Draft(self._numbers)
        return draft

    def end(self, path: str) -> None:
        """Its answer is there, or will not come."""
        self._drafts.pop(path, None)

    def __getitem__(self, path: str) -> Draft:
        return self._drafts[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._drafts)

    def __len__(self) -> int:
        return len(self._drafts)


@dataclass(frozen=True, slots=True)
class News:
    """What is new of a draft."""

    path: str
    number: int
    """Of the draft."""
    at: int
    """Characters of the answer before this text; more than a reader has if some were left out."""
    text: str


class Reader:
    """Somebody who looks at drafts now and then.

    Args:
        most: characters in one piece; of more, the last ones.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[str, tuple[int, int]] = {}
        """Of drafts: their numbers, and how far they were read."""

    def news(self, drafts: Mapping[str, Draft]) -> list[News]:
        """What has come since the last look."""
        self._seen = {path: seen for path, seen in self._seen.items() if path in drafts}
        return [found for path, draft in list(drafts.items()) if (found := self._new(path, draft))]

    def _new(self, path: str, draft: Draft) -> News | None:
        number, seen = self._seen.get(path, (0, 0))
        if number != draft.number:
            seen = 0
        gone, text = draft.said()
        end = gone + len(text)
        if end <= seen:
            return None
        at = max(seen, gone, end - self._most)
        self._seen[path] = draft.number, end
        return News(path, draft.number, at, text[at - gone :])
