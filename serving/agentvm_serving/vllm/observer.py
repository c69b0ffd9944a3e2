"""What is noted of each request on its way: views for the policy, records, events, metrics.

It reads vLLM's requests and what its scheduler puts out, and changes neither.
"""

from __future__ import annotations

from typing import Any

from agentvm_serving.estimate.steps import Batch
from agentvm_serving.order.tracker import Tracker
from agentvm_serving.policy import RequestView
from agentvm_serving.slo import from_extra_args, true_length_of

from .journal import Counts, EventLog, unix_seconds
from .metrics import Metrics, metrics
from .programs import Programs, program_of
from .records import ENDED_BY_ITSELF, Record, Records

SAMPLED = 16
"""Of so many steps the expected duration of one is compared with the true one."""


class Observer:
    """Notes what happens to requests.

    Args:
        tracker: keeps the views.
        measure: whether to keep Prometheus metrics.
    """

    def __init__(self, tracker: Tracker, measure: bool) -> None:
        self.tracker = tracker
        self.records = Records()
        self.counts = Counts()
        self._events = EventLog.from_environment()
        self._metrics: Metrics | None = metrics() if measure else None
        self._programs = Programs()
        self._unscheduled: dict[str, float] = {}
        """Those that never ran; how long had been held back in all when they came."""
        self._held = 0.0
        self._held_since: float | None = None
        self._paced: dict[str, tuple[Any, Record]] = {}
        self._steps = 0

    def arrived(self, request: Any) -> tuple[RequestView, Record]:
        """A new request."""
        name = request.request_id
        told = getattr(request.sampling_params, "extra_args", None)
        view = self.tracker.introduce(
            name,
            unix_seconds(request.arrival_time),
            from_extra_args(told, request=name),
            prompt_tokens=request.num_prompt_tokens,
            limit=request.max_tokens,
            true_length=true_length_of(told),
        )
        expected = self.tracker.expected(view)
        record = self.records.open[name] = Record(
            name, view.arrival, view.hints, view.prompt_tokens, expected
        )
        self._pace(request, record)
        if self._metrics is not None and (hints := program_of(view.hints)) is not None:
            self._programs.began(hints, view.arrival)
        self._unscheduled[name] = self._held
        self.counts.added += 1
        self.counts.with_hints += view.hints is not None
        self._log("added", name)
        return view, record

    def judged(self, name: str, why: str | None, rejected: bool) -> None:
        """A request that cannot meet its objective, and why; or that may now, though it could not."""
        record = self.records.open[name]
        if why is None and not record.why:
            return
        record.why = why or ""
        if why is None:
            self._log("restored", name)
            return
        self._log("rejected" if rejected else "degraded", name, why=why)
        if self._metrics is not None:
            (self._metrics.rejected if rejected else self._metrics.degraded).inc()

    def updated(self, request: Any) -> None:
        """A request's hints were changed."""
        name = request.request_id
        record = self.records.open[name]
        self._pace(request, record)
        record.updates += 1
        self._log("updated", name)
        if self._metrics is not None:
            self._metrics.updates.inc()

    def holding(self, holds: bool, now: float) -> None:
        """Whether, from now on, nobody that waits is started though there is a slot."""
        if self._metrics is not None and holds != (self._held_since is not None):
            self._metrics.holding.set(holds)
        if self._held_since is not None:
            self._held += now - self._held_since
        self._held_since = now if holds else None

    def scheduled(self, output: Any, now: float, seconds: float) -> bool:
        """A step was planned, which took so long. Whether requests were admitted."""
        for name in sorted(getattr(output, "preempted_req_ids", None) or ()):
            if name in self.records.open:
                self.records.open[name].preempted_at.append(now)
                self._log("preempted", name)
                if self._metrics is not None:
                    self._metrics.preempted.inc()
        if self._metrics is not None:
            self._metrics.scheduling.observe(seconds)
            for program in self._programs.decided(now):
                self._metrics.decided(program)
        if self._unscheduled:
            for new in output.scheduled_new_reqs:  # a resumed request may appear here again
                if new.req_id in self._unscheduled:
                    self._begun(new.req_id, now)
        return bool(
            output.scheduled_new_reqs or getattr(output.scheduled_cached_reqs, "resumed_req_ids", None)
        )

    def stepped(self, batch: Batch, seconds: float) -> None:
        """A step was made, which took so long."""
        self._steps += 1
        if self._metrics is not None:
            self._metrics.steps.observe(seconds)
        if self._metrics is not None and self._steps % SAMPLED == 0 and seconds > 0:
            self._metrics.step_error.observe(abs(self.tracker.steps.seconds(batch) / seconds - 1))
        self.tracker.measured(batch, seconds)

    def produced(self, now: float) -> None:
        """A step's tokens are out."""
        for request, record in self._paced.values():
            record.produced(request.num_output_tokens, now)

    def decoding(self) -> list[str]:
        """Names of the `latency` requests whose tokens are coming."""
        return [name for name, (_, record) in self._paced.items() if record.output_tokens]

    def ended(self, request: Any, now: float) -> None:
        """A request is finished or aborted."""
        name, status = request.request_id, request.status.name
        record = self.records.open.get(name)
        if record is None:
            return
        record.produced(request.num_output_tokens, now)
        good = record.ended(status, now)
        self.counts.finished += 1
        self._log(
            "finished",
            name,
            status=status,
            slo=record.slo,
            prompt_tokens=record.prompt_tokens,
            output_tokens=record.output_tokens,
        )
        self.tracker.forget(name, request.num_output_tokens, by_itself=status in ENDED_BY_ITSELF, now=now)
        if (since := self._unscheduled.pop(name, None)) is not None:
            record.held_seconds = self._held - since
        self._paced.pop(name, None)
        self.records.close(record)
        if self._metrics is not None:
            self._metrics.ended(record, good)
            if (hints := program_of(record.hints)) is not None:
                by_itself = status in ENDED_BY_ITSELF
                self._programs.ended(hints, request.num_output_tokens, by_itself, now)

    def close(self) -> None:
        """Close the event log. Idempotent."""
        self._events.close()

    def _pace(self, request: Any, record: Record) -> None:
        """Note the moment of each of its tokens, if that is what counts."""
        if record.slo == "latency":
            self._paced[record.request] = request, record
        else:
            self._paced.pop(record.request, None)

    def _begun(self, name: str, now: float) -> None:
        self.counts.first_scheduled += 1
        record = self.records.open[name]
        record.held_seconds = self._held - self._unscheduled.pop(name)
        record.first_scheduled_at = now
        self._log("first_scheduled", name)
        if self._metrics is not None:
            self._metrics.queued.labels(record.slo).observe(max(0.0, now - record.arrival))

    def _log(self, event: str, name: str, **fields: Any) -> None:
        record, view = self.records.open[name], self.tracker.views[name]
        self._events.write(event, name, record.key, deadline=view.deadline, arrival=record.arrival, **fields)
