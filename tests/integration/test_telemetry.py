"""The command line exports to a real OTLP endpoint that the environment names."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip(
    "opentelemetry.sdk", reason="OpenTelemetry is not installed: pip install 'agentvm[telemetry]'"
)

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SOURCE = """
from agentvm import agent, llm

answers = ["a word"]

@agent
async def ask(topic: str) -> str:
    return await llm(f"Say something about {topic}.")
"""


class Collector(ThreadingHTTPServer):
    """Keeps what is posted, by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: dict[str, list[bytes]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        self.server.received.setdefault(self.path, []).append(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_run_is_exported_before_the_command_ends(tmp_path: Path, collector: Collector) -> None:
    """Spans and metrics by OTLP, logs as JSON on standard error, the result alone on standard output."""
    file = tmp_path / "ask.py"
    file.write_text(SOURCE)
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_address[1]}",
        "AGENTVM_LOG": "info",
        "AGENTVM_LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "agentvm", "run", f"{file}:ask", "-i", "topic=rain", "--json"]
    command += ["--llm", f"scripted:{file}:answers", "--store", "memory"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["run"]
    spans = [
        (span, resource.resource)
        for body in collector.received["/v1/traces"]
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert {span.name for span, _ in spans} == {"invoke_workflow ask", "chat scripted"}
    service = {each.key: each.value.string_value for each in spans[0][1].attributes}
    assert service["service.name"] == "agentvm"
    metrics = {
        metric.name
        for body in collector.received["/v1/metrics"]
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {"gen_ai.client.token.usage", "agentvm.run.duration"} <= metrics
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [(each["message"], each["run"]) for each in told] == [("run started", run), ("run ended", run)]


def test_an_endpoint_that_is_not_there_does_not_hold_a_run_up(tmp_path: Path) -> None:
    """The run's result and exit code are what they are without telemetry."""
    file = tmp_path / "ask.py"
    file.write_text(SOURCE)
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    command = [sys.executable, "-m", "agentvm", "run", f"{file}:ask", "-i", "topic=rain", "--json"]
    command += ["--llm", f"scripted:{file}:answers", "--store", "memory"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"] == "a word"
