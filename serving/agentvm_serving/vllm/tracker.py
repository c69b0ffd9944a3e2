"""The SLO tracker: what the plug-in knows of the engine's requests, kept for the policy.

It reads vLLM's requests and never changes them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from agentvm_serving.estimate.lengths import Lengths
from agentvm_serving.estimate.steps import Batch, StepTimes
from agentvm_serving.policy import EngineView, RequestView
from agentvm_serving.slo import from_extra_args

from .journal import unix_seconds

PROGRAMS: Final = 10_000
"""Programs whose attained service is remembered."""


class Tracker:
    """Views of the requests, and the estimates that their ends and the engine's steps teach.

    Args:
        slots: requests that may run at once.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.views: dict[str, RequestView] = {}
        self.lengths = Lengths()
        self.steps = StepTimes()
        self._attained: OrderedDict[str, int] = OrderedDict()
        self._ordinal = 0

    def introduce(self, request: Any) -> RequestView:
        """Begin to track a request."""
        name = request.request_id
        view = self.views[name] = RequestView(
            ordinal=self._ordinal,
            arrival=unix_seconds(request.arrival_time),
            hints=from_extra_args(getattr(request.sampling_params, "extra_args", None), request=name),
            prompt_tokens=request.num_prompt_tokens,
            limit=request.max_tokens,
        )
        self._ordinal += 1
        return view

    def forget(self, request: Any, by_itself: bool) -> RequestView | None:
        """Stop tracking a request, and learn from it if it came to its end by itself."""
        view = self.views.pop(request.request_id, None)
        if view is not None:
            produced = request.num_output_tokens
            if by_itself:
                self.lengths.finished(view.site, produced)
            if view.program:
                self._attained[view.program] = self._attained.pop(view.program, 0) + produced
                if len(self._attained) > PROGRAMS:
                    self._attained.popitem(last=False)
        return view

    def refresh(self, requests: Mapping[str, Any], running: Iterable[Any]) -> None:
        """Bring the views up to date. O(N)."""
        for name, view in self.views.items():
            request = requests[name]
            view.output_tokens = request.num_output_tokens
            view.cached_tokens = request.num_computed_tokens
            view.running = False
        for request in running:
            self.views[request.request_id].running = True

    def engine(self, now: float) -> EngineView:
        """The engine with as many requests decoding as it can, or as there are."""
        decoding = min(self.slots, len(self.views))
        held = sum(view.cached_tokens for view in self.views.values() if view.running)
        return EngineView(
            now=now,
            slots=self.slots,
            step=self.steps.seconds(Batch(decodes=decoding, context=held)),
            per_prefill=self.steps.per_prefill,
            lengths=self.lengths,
            attained=self._attained,
        )


def batch_of(requests: Mapping[str, Any], scheduled: Mapping[str, int]) -> Batch:
    """What a step worked on, by what was scheduled: new tokens by request.

    Called when `num_computed_tokens` counts them already.
    """
    prefill = decodes = context = 0
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
            attention += new * (request.num_computed_tokens - new / 2)
    return Batch(prefill, attention, decodes, context)
