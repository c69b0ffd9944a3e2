"""OpenTelemetry: a run as a trace, its calls as spans and metrics, by the GenAI semantic conventions.

A run is an `invoke_workflow` span; in it agents (`invoke_agent`), model calls
(`chat`) and tools (`execute_tool`) are spans within each other as they are in the
program. What prompts and answers say is never recorded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from opentelemetry import context, metrics, propagate, trace
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from agentvm_runtime.observing import Ending, RunObserver
from agentvm_runtime.records import RunRecord, RunStatus, Source
from agentvm_runtime.work import Outcome, Work

from . import Observe

SCOPE = "agentvm"
OPERATIONS = {"llm": "chat", "tool": "execute_tool", "agent": "invoke_agent"}
"""Operation names of the conventions, by kind of node."""
# Buckets of the conventions: GenAI client metrics.
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)


def observe_traces(*, export: bool) -> Observe:
    """Observers that write spans and metrics.

    Args:
        export: set up the export to the endpoint that the environment names, unless the program has
            set up providers of its own.
    """
    if export:
        _set_up()
    return _Traces


@cache
def _set_up() -> None:
    """Once in a process: OpenTelemetry's own variables say where to, and as which service."""
    os.environ.setdefault("OTEL_SERVICE_NAME", "agentvm")
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    if "Proxy" in type(metrics.get_meter_provider()).__name__:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))


class _Meters:
    """The instruments, by the conventions and some of our own."""

    def __init__(self) -> None:
        meter = metrics.get_meter(SCOPE)

        def histogram(name: str, unit: str, about: str, buckets: tuple[float, ...]) -> Histogram:
            return meter.create_histogram(
                name, unit, about, explicit_bucket_boundaries_advisory=list(buckets)
            )

        self.duration = histogram(
            "gen_ai.client.operation.duration", "s", "GenAI operation duration.", SECONDS
        )
        self.tokens = histogram("gen_ai.client.token.usage", "{token}", "Number of tokens used.", TOKENS)
        self.first = histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s", "Time to the first token.", SECONDS
        )
        self.run = histogram("agentvm.run.duration", "s", "Duration of runs.", SECONDS)
        self.slack = histogram("agentvm.run.slack", "s", "Time left to the deadline of runs.", SECONDS)
        self.reused = meter.create_counter("agentvm.reused", "{call}", "Results that came from elsewhere.")


_meters = cache(_Meters)


class _Traces(RunObserver):
    """One run's trace."""

    def __init__(self, record: RunRecord, resumed: bool) -> None:
        self._tracer = trace.get_tracer(SCOPE)
        self._started = record.created_at
        name = record.agent.rpartition(":")[2]
        about: dict[str, Any] = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": name,
            "gen_ai.conversation.id": record.id,
            "agentvm.run.id": record.id,
            "agentvm.run.resumed": resumed,
            "agentvm.program": record.program,
        }
        if record.parent:
            about["agentvm.run.forked_from"] = record.parent
        if record.deadline_at is not None:
            about["agentvm.run.deadline"] = record.deadline_at
        self._span = self._tracer.start_span(f"invoke_workflow {name}", attributes=about)
        self._within: dict[str, Span] = {}
        """Agents under way, by path."""

    def begin(self, work: Work) -> Ending:
        operation = OPERATIONS.get(work.node, work.node)
        name = work.site.rpartition("#")[0]
        about: dict[str, Any] = {
            "gen_ai.operation.name": operation,
            "agentvm.path": work.path,
            "agentvm.site": work.site,
        }
        if work.node == "tool":
            about["gen_ai.tool.name"] = name
            about["agentvm.tool.write"] = work.write
        elif work.node == "agent":
            about["gen_ai.agent.name"] = name
        kind = SpanKind.CLIENT if work.node == "llm" else SpanKind.INTERNAL
        around = trace.set_span_in_context(self._around(work.path))
        span = self._tracer.start_span(f"{operation} {name}", around, kind, about)
        token = context.attach(trace.set_span_in_context(span, around))
        if work.node == "agent":
            self._within[work.path] = span

        def end(outcome: Outcome | None, error: BaseException | None) -> None:
            context.detach(token)
            self._within.pop(work.path, None)
            if outcome is not None and work.node == "llm":
                _answered(span, outcome.detail)
            _finish(span, error)

        return end

    def reused(self, work: Work, source: Source) -> None:
        operation = OPERATIONS.get(work.node, work.node)
        about = {"agentvm.path": work.path, "agentvm.source": source.value}
        self._around(work.path).add_event("reused", {"gen_ai.operation.name": operation, **about})
        _meters().reused.add(1, {"gen_ai.operation.name": operation, "agentvm.source": source.value})

    def headers(self) -> Mapping[str, str]:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier

    def end(self, record: RunRecord, error: BaseException | None) -> None:
        self._span.set_attribute("agentvm.run.status", record.status.value)
        if record.finished_at is not None and record.status is not RunStatus.SUSPENDED:
            name = record.agent.rpartition(":")[2]
            about = {"gen_ai.workflow.name": name, "agentvm.run.status": record.status.value}
            _meters().run.record(record.finished_at - self._started, about)
            if record.deadline_at is not None:
                slack = record.deadline_at - record.finished_at
                self._span.set_attribute("agentvm.run.slack", slack)
                _meters().slack.record(max(0.0, slack), about)
        fine = record.status in (RunStatus.COMPLETED, RunStatus.SUSPENDED)
        _finish(self._span, None if fine else error)

    def _around(self, path: str) -> Span:
        """The span of the innermost agent under way that a path lies in."""
        if self._within:
            while path := path.rpartition("/")[0]:
                found = self._within.get(path)
                if found is not None:
                    return found
        return self._span


def _answered(span: Span, detail: Mapping[str, Any]) -> None:
    """What a model call took, on its span and in the metrics."""
    model = str(detail.get("model", ""))
    about = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "agentvm",
        "gen_ai.response.model": model,
    }
    span.update_name(f"chat {model}")
    span.set_attributes(about)
    used = {"input": detail.get("input_tokens", 0), "output": detail.get("output_tokens", 0)}
    for kind, number in used.items():
        span.set_attribute(f"gen_ai.usage.{kind}_tokens", number)
        _meters().tokens.record(number, {**about, "gen_ai.token.type": kind})
    span.set_attribute("gen_ai.usage.cache_read.input_tokens", detail.get("cached_tokens", 0))
    span.set_attribute("gen_ai.response.finish_reasons", [str(detail.get("finish_reason", ""))])
    span.set_attribute("agentvm.repaired", bool(detail.get("repaired")))
    if detail.get("deadline") is not None:
        span.set_attribute("agentvm.deadline", detail["deadline"])
    if detail.get("ttft") is not None:
        span.set_attribute("gen_ai.response.time_to_first_chunk", detail["ttft"])
        _meters().first.record(detail["ttft"], about)
    if detail.get("ttlt") is not None:
        _meters().duration.record(detail["ttlt"], about)


def _finish(span: Span, error: BaseException | None) -> None:
    if error is not None:
        span.set_attribute("error.type", type(error).__qualname__)
        span.set_status(Status(StatusCode.ERROR, type(error).__name__))
    span.end()
