"""Traces, metrics and logs: what observers are told of runs, and what they write."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import agentvm
from agentvm import AgentVM, agent, ask_human, llm, tool
from agentvm.telemetry import logs, observe
from agentvm.testing import ScriptedLLM
from agentvm_compiler.errors import ConfigError
from agentvm_runtime.observing import UNOBSERVED

pytest.importorskip(
    "opentelemetry.sdk", reason="OpenTelemetry is not installed: pip install 'agentvm[telemetry]'"
)

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentvm.telemetry import otel


@tool(effect="read")
async def look(word: str) -> str:
    with trace.get_tracer("user").start_as_current_span("the tool's own"):
        return word.upper()


@tool
async def fail(word: str) -> str:
    raise ValueError("a secret word")


@agent
async def inner(word: str) -> str:
    return await look(await llm(f"Name {word}", temperature=0))


@agent(deadline="1h")
async def outer(words: list[str]) -> list[str]:
    return [await inner(word) for word in words]


@agent
async def failing(word: str) -> str:
    return await fail(word)


@agent
async def asking() -> str:
    return await ask_human("Well?")


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    made = InMemoryMetricReader()
    monkeypatch.setattr(metrics._internal, "_METER_PROVIDER", MeterProvider(metric_readers=[made]))
    otel._meters.cache_clear()
    yield made
    otel._meters.cache_clear()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch, reader: InMemoryMetricReader) -> InMemorySpanExporter:
    """What a program with OpenTelemetry set up would export."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


def names(spans: InMemorySpanExporter) -> dict[str, str]:
    """Each span's name with that of the one it lies in."""
    by_id = {each.context.span_id: each.name for each in spans.get_finished_spans()}
    return {
        each.name: "" if each.parent is None else by_id[each.parent.span_id]
        for each in spans.get_finished_spans()
    }


def span(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    return next(each for each in spans.get_finished_spans() if each.name == name)


def test_a_run_is_a_trace_of_what_lies_within_what(spans: InMemorySpanExporter) -> None:
    """Run, agent, model call, tool, and what the tool does with OpenTelemetry itself."""
    assert agentvm.run(outer, ["x"], llm=ScriptedLLM("a word"), store="memory") == ["A WORD"]
    assert names(spans) == {
        "invoke_workflow outer": "",
        "invoke_agent inner": "invoke_workflow outer",
        "chat scripted": "invoke_agent inner",
        "execute_tool look": "invoke_agent inner",
        "the tool's own": "execute_tool look",
    }
    assert len({each.context.trace_id for each in spans.get_finished_spans()}) == 1


def test_model_calls_have_the_attributes_of_the_conventions(spans: InMemorySpanExporter) -> None:
    """Tokens, model, finish reason, deadline; nothing of what was said."""
    agentvm.run(outer, ["x"], llm=ScriptedLLM("a word"), store="memory")
    about = dict(span(spans, "chat scripted").attributes or {})
    assert about["gen_ai.operation.name"] == "chat"
    assert about["gen_ai.response.model"] == "scripted"
    assert (about["gen_ai.usage.input_tokens"], about["gen_ai.usage.output_tokens"]) == (2, 2)
    assert about["gen_ai.response.finish_reasons"] == ("stop",)
    assert about["agentvm.path"] == "map#1[0]/inner#1/llm#1"
    assert "agentvm.deadline" in about
    assert "a word" not in json.dumps([each.to_json() for each in spans.get_finished_spans()])


def test_the_engine_is_told_the_trace(spans: InMemorySpanExporter) -> None:
    """Its own spans can join the call's."""
    model = ScriptedLLM("a word")
    agentvm.run(outer, ["x"], llm=model, store="memory")
    context = span(spans, "chat scripted").context
    assert model.calls[0].trace["traceparent"].split("-")[1:3] == [
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
    ]


def test_a_failure_is_an_error_without_its_message(spans: InMemorySpanExporter) -> None:
    """Messages may hold what prompts and tools say."""
    with pytest.raises(agentvm.RunFailed):
        agentvm.run(failing, "x", llm=ScriptedLLM([]), store="memory")
    for name in ("execute_tool fail", "invoke_workflow failing"):
        assert not span(spans, name).status.is_ok
    assert (span(spans, "execute_tool fail").attributes or {})["error.type"] == "ValueError"
    assert "secret" not in json.dumps([each.to_json() for each in spans.get_finished_spans()])


async def test_a_suspended_run_is_no_error_and_what_is_reused_is_told(
    spans: InMemorySpanExporter, reader: InMemoryMetricReader
) -> None:
    """A shared result is an event of the span that it lies in, and counted."""
    async with AgentVM(llm=ScriptedLLM("a word"), store="memory") as vm:
        run = await vm.start(asking)
        with pytest.raises(agentvm.RunSuspended):
            await run.result()
        await vm.run(outer, ["x"])
        spans.clear()
        await vm.run(outer, ["x"])
    assert [each.name for each in span(spans, "invoke_agent inner").events] == ["reused"]
    found = measured(reader)
    assert found["agentvm.reused"][0].value == 1
    assert sorted(point.attributes["agentvm.run.status"] for point in found["agentvm.run.duration"]) == [
        "completed"
    ]


def measured(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_tokens_and_times_are_measured(spans: InMemorySpanExporter, reader: InMemoryMetricReader) -> None:
    """By the conventions' instruments; a run's slack by one of ours."""
    agentvm.run(outer, ["x", "y"], llm=ScriptedLLM("a word"), store="memory")
    found = measured(reader)
    by_type = {
        point.attributes["gen_ai.token.type"]: point.sum for point in found["gen_ai.client.token.usage"]
    }
    assert by_type == {"input": 4, "output": 4}
    assert found["gen_ai.client.operation.duration"][0].count == 2
    assert found["agentvm.run.slack"][0].count == 1


def test_nobody_looks_unless_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither endpoint, nor provider, nor listener: no observer."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert observe()(None, False) is UNOBSERVED  # type: ignore[arg-type]


def test_telemetry_can_be_switched_off(spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """By OpenTelemetry's own variable; what a tool traces by itself is its own matter."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    agentvm.run(outer, ["x"], llm=ScriptedLLM("a word"), store="memory")
    assert names(spans) == {"the tool's own": ""}


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What was written there since it was last asked for; handlers are taken off afterwards."""
    root = logging.getLogger("agentvm")
    before, level = list(root.handlers), root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = before
    root.setLevel(level)


def test_logs_are_json_objects_with_run_and_path(stderr: Callable[[], str]) -> None:
    """One a line: that a run began, what it did, how it ended."""
    logs.configure({"AGENTVM_LOG": "debug", "AGENTVM_LOG_FORMAT": "json"})
    with pytest.raises(agentvm.RunFailed):
        agentvm.run(failing, "x", llm=ScriptedLLM([]), store="memory")
    agentvm.run(outer, ["x"], llm=ScriptedLLM("a word"), store="memory")
    told = [json.loads(line) for line in stderr().splitlines()]
    assert [(each["message"], each["level"]) for each in told] == [
        ("run started", "info"),
        ("tool failed", "warning"),
        ("run ended", "warning"),
        ("run started", "info"),
        ("llm done", "debug"),
        ("tool done", "debug"),
        ("agent done", "debug"),
        ("run ended", "info"),
    ]
    assert told[1]["error"] == "ValueError: a secret word"
    assert told[4]["path"] == "map#1[0]/inner#1/llm#1"
    assert len({each["run"] for each in told}) == 2


def test_a_text_line_cannot_be_forged(stderr: Callable[[], str]) -> None:
    """Control characters of what was said are shown, not obeyed."""
    logs.configure({"AGENTVM_LOG": "info"})
    logging.getLogger("agentvm.run").info("run ended", extra={"error": "x\n12:00:00 info run started\x1b[2J"})
    assert stderr().endswith(r"error=x\n12:00:00 info run started\x1b[2J" + "\n")


@pytest.mark.parametrize(
    "given", [{"AGENTVM_LOG": "loud"}, {"AGENTVM_LOG": "info", "AGENTVM_LOG_FORMAT": "xml"}]
)
def test_an_unknown_level_or_format_is_refused(given: dict[str, str]) -> None:
    """With those that there are."""
    with pytest.raises(ConfigError, match="use "):
        logs.configure(given)
