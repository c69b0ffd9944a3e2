"""A request on a simulated engine.

While it decodes, one token with each step, nothing of it is touched: what it has
follows from the number of steps made.
"""

from __future__ import annotations

from agentvm_serving.policy import RequestView

from .clients import Asked
from .engine import BLOCK
from .memory import Holding


class Steps:
    """The steps that a replica has made."""

    __slots__ = ("ends", "made")

    def __init__(self) -> None:
        self.made = 0
        self.ends: list[float] = []
        """When each ended, virtual seconds."""


class Request:
    """One request. The desk reads it by the names that vLLM's requests have."""

    __slots__ = (
        "asked",
        "began",
        "computed",
        "ends_with",
        "holding",
        "length",
        "made",
        "moved",
        "preemptions",
        "prompt",
        "request_id",
        "since",
        "steps",
        "times",
        "view",
    )

    def __init__(self, asked: Asked, steps: Steps, holding: Holding) -> None:
        self.asked = asked
        self.request_id = asked.name
        self.steps = steps
        self.holding = holding
        self.prompt = asked.call.input_tokens
        self.length = asked.length
        """Output tokens that it will have."""
        self.made = 0
        """Output tokens, before it began to decode last."""
        self.computed = 0
        """Tokens whose KV is in the cache, unless it decodes."""
        self.moved = 0
        """Tokens whose KV waits on the host."""
        self.since = -1
        """Steps that were made when it began to decode; -1 if it does not."""
        self.ends_with = -1
        """Steps that are made when it is done, if it decodes."""
        self.began: float | None = None
        """When it was first scheduled, virtual seconds."""
        self.preemptions = 0
        self.view: RequestView | None = None
        """What the policy knows of it; `None` under vLLM's own orders."""
        self.times: list[float] = []
        """When its tokens came, before it began to decode last."""

    @property
    def num_output_tokens(self) -> int:
        """Made so far."""
        return self.made if self.since < 0 else self.made + self.steps.made - self.since

    @property
    def num_computed_tokens(self) -> int:
        """Tokens whose KV is in the cache."""
        if self.since < 0:
            return self.computed
        return self.prompt - 1 + self.made + self.steps.made - self.since

    @property
    def num_tokens(self) -> int:
        """Of prompt and answer."""
        return self.prompt + self.num_output_tokens

    def decode(self) -> None:
        """From now on it gets a token with each step."""
        self.since = self.steps.made
        self.ends_with = self.since + self.length - self.made

    def halt(self) -> None:
        """It decodes no more; what it made meanwhile is noted."""
        if self.since < 0:
            return
        self.computed = self.num_computed_tokens
        self.times += self.steps.ends[self.since : self.steps.made]
        self.made += self.steps.made - self.since
        self.since = -1

    @property
    def phase(self) -> int:
        """The number, modulo the size of a block, of the steps in which it needs a new block."""
        return (self.since - self.prompt + 1 - self.made) % BLOCK
