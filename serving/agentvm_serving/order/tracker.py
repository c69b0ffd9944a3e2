"""The SLO tracker: what is known of an engine's requests, kept for the policy.

It reads the engine's requests and never changes them.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from agentvm_compiler.wire import Hints
from agentvm_serving.estimate.forest import lengths_named
from agentvm_serving.estimate.patterns import Patterns, forecastable
from agentvm_serving.estimate.steps import Batch, StepTimes
from agentvm_serving.policy import EngineView, RequestView
from agentvm_serving.slo import changed
from agentvm_serving.vllm import LENGTHS_VARIABLE

from .prefixes import Prefixes

PROGRAMS: Final = 10_000
"""Programs whose attained service is remembered."""
EARLY: Final = 1_000
"""Changes kept for requests that are still on their way here."""
MEASURED_A_STEP: Final = 32
"""Requests that are looked at for each step, on average, to learn how long steps take."""
KNOWN: Final = 20
"""Steps after which the engine's pace is known well enough to judge a request by."""


class Tracker:
    """Views of the requests, and the estimates that their ends and the engine's steps teach.

    Args:
        slots: requests that may run at once.
        kv_tokens: tokens that the KV cache holds; 0 if unknown.
        budget: most tokens of a step.
    """

    def __init__(self, slots: int, kv_tokens: int = 0, budget: int = 2048) -> None:
        self.slots = slots
        self.kv_tokens = kv_tokens
        self.budget = budget
        self.views: dict[str, RequestView] = {}
        self.lengths = lengths_named(os.environ.get(LENGTHS_VARIABLE) or "quantile")
        self.steps = StepTimes()
        self.patterns = Patterns()
        self._attained: OrderedDict[str, int] = OrderedDict()
        self._names: dict[tuple[str, str], dict[str, None]] = {}
        """By key and by run of the callers', vLLM's names of requests, in the order they came."""
        self._early: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._stood: dict[str, Any] = {}
        self._held = 0
        self._ordinal = 0
        self._prefixes = Prefixes()
        self._measured = 0

    def introduce(
        self,
        name: str,
        arrival: float,
        hints: Hints | None,
        prompt_tokens: int,
        limit: int | None = None,
        true_length: int | None = None,
    ) -> RequestView:
        """Begin to track a request.

        Args:
            arrival: Unix seconds.
        """
        view = self.views[name] = RequestView(
            ordinal=self._prefixes.ordinal(hints, arrival, self._ordinal),
            arrival=arrival,
            hints=hints,
            prompt_tokens=prompt_tokens,
            limit=limit,
            true_length=true_length,
        )
        self._ordinal += 1
        if view.hints is not None and (early := self._early.pop(view.hints.key, None)) is not None:
            view.change(changed(view.hints, early))
        if view.hints is not None and forecastable(view.hints):
            view.change(self.patterns.arrived(view.hints, name, view.prompt_tokens, view.arrival))
        self._index(name, view)
        return view

    def chosen(self, key: str, run: str) -> list[str]:
        """Names of the requests with that key, or of that run, of the caller's."""
        places = [place for place in (("key", key), ("run", run)) if place[1]]
        return list(dict.fromkeys(name for place in places for name in self._names.get(place, ())))

    def change(self, name: str, hints: Hints) -> None:
        """Give a request other hints."""
        view = self.views[name]
        self._unindex(name, view)
        view.change(hints)
        self._index(name, view)

    def _index(self, name: str, view: RequestView) -> None:
        for place in _places(view):
            self._names.setdefault(place, {})[name] = None

    def _unindex(self, name: str, view: RequestView) -> None:
        for place in _places(view):
            del self._names[place][name]
            if not self._names[place]:
                del self._names[place]

    def keep_early(self, key: str, fields: Mapping[str, Any]) -> None:
        """Keep a change for a request that is not here yet: its prompt may still be read."""
        self._early[key] = {**self._early.pop(key, {}), **fields}
        if len(self._early) > EARLY:
            self._early.popitem(last=False)

    def measured(self, batch: Batch, seconds: float) -> None:
        """Learn from a step."""
        self.steps.measured(batch, seconds)
        self._measured += 1

    def forget(self, name: str, produced: int, by_itself: bool, now: float) -> None:
        """Stop tracking a request, and learn from it if it came to its end by itself.

        Args:
            produced: output tokens.
            now: Unix seconds.
        """
        view = self.views.pop(name)
        self._unindex(name, view)
        self._stood.pop(name, None)
        if by_itself:
            self.lengths.finished(view.site, produced, view.limit, view.prompt_tokens)
        if view.program:
            self.patterns.ended(view.program, name, produced, now)
            self._attained[view.program] = self._attained.pop(view.program, 0) + produced
            if len(self._attained) > PROGRAMS:
                self._attained.popitem(last=False)

    def refresh(self, running: Iterable[Any]) -> None:
        """Bring the views up to date. O(running): what waits does not change."""
        views = self.views
        before, self._stood = self._stood, {}
        self._held = 0
        for request in running:
            name = request.request_id
            view = views[name]
            view.output_tokens = request.num_output_tokens
            view.cached_tokens = request.num_computed_tokens
            view.running = True
            self._held += view.cached_tokens
            self._stood[name] = request
            before.pop(name, None)
        for name, request in before.items():  # preempted since
            view = views[name]
            view.output_tokens = request.num_output_tokens
            view.cached_tokens = request.num_computed_tokens
            view.running = False

    @property
    def places(self) -> int:
        """Requests to run at once where some have objectives: fewer than may, if more only slow all."""
        if self._measured < KNOWN:
            return self.slots
        return max(1, int(min(self.slots, self.steps.crowd)))

    def engine(self, now: float, last_tier: int = 0) -> EngineView:
        """The engine with as many requests decoding as it can, or as there are."""
        slots = self.places
        decoding = min(slots, len(self.views))
        return self._engine(now, slots, Batch(decodes=decoding, context=self._held), last_tier)

    def _engine(self, now: float, slots: int, batch: Batch, last_tier: int = 0) -> EngineView:
        base = self.steps.seconds(Batch())
        running = len(self._stood)
        decode = self.steps.seconds(Batch(decodes=running, context=self._held))
        return EngineView(
            now=now,
            requests=len(self.views),
            last_tier=last_tier,
            slots=slots,
            step=self.steps.seconds(batch),
            base=base,
            decode=decode,
            marginal=(decode - base) / running if running else self.steps.per_decode,
            per_prefill=self.steps.per_prefill,
            budget=self.budget,
            kv_tokens=self.kv_tokens,
            lengths=self.lengths,
            attained=self._attained,
        )

    def expected(self, view: RequestView) -> int:
        """Output tokens that a request is expected to have in all."""
        return self.lengths.of(view.site, view.output_tokens, view.limit, view.prompt_tokens).expected

    def alone(self, now: float, view: RequestView) -> EngineView | None:
        """The engine with one request and nothing else; `None` until its pace is known."""
        if self._measured < KNOWN:
            return None
        return self._engine(now, self.places, Batch(decodes=1, context=view.prompt_tokens))


def _places(view: RequestView) -> list[tuple[str, str]]:
    """Under what a request is found."""
    if view.hints is None:
        return []
    return [each for each in (("key", view.hints.key), ("run", view.hints.run)) if each[1]]


def batch_of(requests: Mapping[str, Any], scheduled: Mapping[str, int]) -> Batch:
    """What a step worked on, by what was scheduled: new tokens by request.

    Called when `num_computed_tokens` counts them already.
    """
    prefill = decodes = context = prompts = 0
    attention = 0.0
    for name, new in scheduled.items():
        request = requests.get(name)
        if request is None:
            continue
        if new == 1 and request.num_output_tokens:
            decodes += 1
            context += request.num_computed_tokens
        else:
            prefill += new
            prompts += 1
            attention += new * (request.num_computed_tokens - new / 2)
    return Batch(prefill, attention, decodes, context, prompts)
