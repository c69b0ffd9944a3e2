"""One answer gathered from the chunks of a streamed chat completion."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from agentvm_compiler.wire import Usage

Progress: TypeAlias = Callable[[int, str], None]
"""Called with the number of output tokens so far, and the text since the last time."""


class StreamedAnswer:
    """Gathers one streamed answer."""

    def __init__(self, progress: Progress | None) -> None:
        self.parts: list[str] = []
        self.finish_reason: str | None = None
        self.usage = Usage()
        self.first_token_at: float | None = None
        self._progress = progress
        self._tokens = 0
        self._told = 0
        """Parts of the text that `progress` was given."""

    def take(self, chunk: Any) -> None:
        """Add one chunk of the stream."""
        grew = False
        for choice in chunk.choices[:1]:
            if choice.delta.content:
                self.parts.append(choice.delta.content)
            # A reasoning model's thoughts are output tokens, though no part of the answer.
            grew = bool(choice.delta.content or getattr(choice.delta, "reasoning_content", None))
            self.finish_reason = choice.finish_reason or self.finish_reason
        if grew and self.first_token_at is None:
            self.first_token_at = time.time()
        before = self._tokens
        if chunk.usage is not None:
            details = getattr(chunk.usage, "prompt_tokens_details", None)
            self._tokens = max(self._tokens, chunk.usage.completion_tokens or 0)
            self.usage = Usage(
                chunk.usage.prompt_tokens or 0, self._tokens, getattr(details, "cached_tokens", None) or 0
            )
        elif grew:
            self._tokens += 1  # the best there is to know without usage: a chunk is at least a token
            self.usage = replace(self.usage, output_tokens=self._tokens)
        if self._progress is not None and self._tokens > before:
            text, self._told = "".join(self.parts[self._told :]), len(self.parts)
            self._progress(self._tokens, text)
