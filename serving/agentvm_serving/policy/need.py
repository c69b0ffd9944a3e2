"""What a request needs from now on to be in time: JITServe's minimum bandwidth, in tokens.

An engine has two things to give: room for prompt tokens beside the decoding of
each step, and the pace of its steps, which all that run share. So a request's need is

- its *pace*: the longest step, seconds, with which it is in time. It is the time that is left,
  without the tools and the prompts to come, over the output tokens that it and the stages
  after it must make one after the other;
- its *rate*: the prompt tokens a second that it and the stages after it bring;
- its *share*: the part of the time in which it, or a later call, decodes.

After JITServe (NSDI'26, section 4.2), where the bandwidth is the rest of a request's tokens
over the time that is left, and is not yet told apart into prompts and steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from agentvm_compiler.wire import Hints

from .views import EngineView, RequestView

READING: Final = 2.0
"""How much longer a prompt takes that is read in pieces than one that is read at once."""
SHORTEST: Final = 0.2
"""Seconds in which a prompt that is nearly due is reckoned to be read."""


@dataclass(slots=True, eq=False)
class Need:
    """Of one request."""

    view: RequestView
    missing: int
    """Tokens of its own prompt that are not in the cache."""
    left: int
    """Output tokens of its own to come, expected."""
    goodput: float = 0.0
    """Tokens at stake, those its program has made included; 0 without an objective, or if it is lost."""
    chat: bool = False
    begun: bool = False
    """Whether it runs, or its program has made calls already."""
    due: float = math.inf
    """When its next token (`chat`) or its last one is due: Unix seconds."""
    pace: float = math.inf
    """Longest step with which it is in time, seconds."""
    in_a_row: float = 0.0
    """Output tokens that come one after the other, with those of later stages."""
    outputs: float = 0.0
    """Output tokens, with those of later stages and of calls side by side."""
    later: float = 0.0
    """Prompt tokens of later stages."""
    seconds: float = math.inf
    """Until its last token is due, without tools."""
    follows: float = 0.0
    """Prompt tokens, for each of its output tokens, of the one that comes when it is done."""
    density: float = 0.0
    """Tokens at stake for a second of the engine (goodput density, JITServe, section 4.2)."""

    @property
    def firm(self) -> bool:
        """Whether it is let in before others are looked at."""
        return self.begun or self.chat

    def rate(self, step: float) -> float:
        """Prompt tokens a second, if steps are so long."""
        rate = self.follows / step
        if self.missing:
            slack = self.seconds if self.chat else max(1.0, self.seconds - self.in_a_row * step)
            rate += self.missing / slack
        return rate + self.later / self.seconds if self.later else rate

    def share(self, step: float) -> float:
        """How many requests decode for it, on average."""
        return 1.0 if self.view.running else self.outputs * step / self.seconds

    def starts(self, engine: EngineView, step: float) -> float:
        """When it must go on at the latest: Unix seconds."""
        return engine.now + self.seconds - self.in_a_row * step


def need_of(view: RequestView, engine: EngineView, per_request: float = 0.0) -> Need:
    """What a request needs. O(1).

    Args:
        per_request: tokens that it is worth to meet an objective, beside its own.
    """
    hints, made = view.hints, view.output_tokens
    missing = view.prompt_tokens + made - view.cached_tokens
    left = max(1, engine.length(view).expected - made)
    need = Need(view, missing if missing > 1 else 0, left, begun=view.running)
    if hints is None:
        return need
    slo = hints.slo
    if slo == "best_effort":
        return need
    if slo == "latency":
        _chat(need, engine)
    else:
        _program(need, hints, engine)
    if need.goodput:
        need.goodput += per_request / hints.siblings
    cost = (need.missing + need.later) * engine.per_prefill + need.outputs * engine.marginal
    need.density = need.goodput / max(1e-6, cost)
    return need


def _chat(need: Need, engine: EngineView) -> None:
    view = need.view
    made, left, pace = view.output_tokens, need.left, view.pace
    need.due = view.next_due
    due = need.due - engine.now
    need.chat = True
    need.outputs = need.in_a_row = left
    # Late tokens do not count, but a faster engine than asked for catches up.
    need.goodput = float(left) if due >= 0 or made else 0.0
    need.pace = pace + max(0.0, due) / left if made else pace
    need.seconds = max(SHORTEST, due)
    need.follows = view.prompt_tokens / (left + made)


def _program(need: Need, hints: Hints, engine: EngineView) -> None:
    """A call that is due at its end, or before the stages that wait for it."""
    view = need.view
    made, left, later = view.output_tokens, need.left, view.later
    attained = engine.attained.get(view.program, 0)
    need.begun = view.running or attained > 0
    need.later = later.prompts
    need.outputs = left + later.outputs
    need.in_a_row = left + later.longest_in_a_row
    need.goodput = made + need.outputs + attained / hints.siblings
    need.due = view.deadline
    seconds = need.due - engine.now - later.tool_seconds
    reading = READING * engine.per_prefill * (need.missing + later.prompts_in_a_row)
    need.pace = (seconds - reading) / need.in_a_row
    need.seconds = max(SHORTEST, seconds)
    if need.begun and not hints.remaining and not attained:
        need.follows = view.prompt_tokens / (left + made)
