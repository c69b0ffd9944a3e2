"""The end of a run: the answer, and what it took."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

from agentvm.durations import readable
from agentvm.views.jsonable import error_text, jsonable
from agentvm_runtime.errors import BudgetExceeded
from agentvm_runtime.records import RunStatus

from .exits import fail, tell
from .options import resume_command, store_option

if TYPE_CHECKING:
    from agentvm.handle import RunReport
    from agentvm_compiler.errors import AgentVMError
    from agentvm_runtime.records import RunRecord


def print_report(
    report: RunReport,
    record: RunRecord,
    result: Any,
    failure: AgentVMError | None,
    *,
    as_json: bool,
    out: TextIO,
    store: str | None,
    seconds: float,
) -> None:
    """The JSON document, or the answer on `out` and a summary on standard error.

    Args:
        seconds: time this process drove the run, which its tokens were made in.
    """
    if as_json:
        tell(document(report), out)
    elif failure is None and report.status == RunStatus.COMPLETED:
        print(shown(result), file=out, flush=True)
    if failure is not None:
        fail(str(failure))
    if not as_json:
        print(summary(report, record, seconds), file=sys.stderr)
    if report.status in (RunStatus.SUSPENDED, RunStatus.UNCERTAIN):
        option = store_option(store)
        print(f"Look at it: agentvm show {report.run}{option}", file=sys.stderr)
        if option:
            print(f"The commands above need{option}, too.", file=sys.stderr)
    if report.status == RunStatus.FAILED and not isinstance(failure, BudgetExceeded):
        retry = resume_command(report.run, store)
        print(f"Try again from where it failed: {retry} --retry", file=sys.stderr)


def document(report: RunReport) -> dict[str, Any]:
    """The JSON document of `run` and `resume`."""
    return {
        "run": report.run,
        "agent": report.agent,
        "status": str(report.status),
        "result": jsonable(report.result),
        "error": error_text(report.error),
        "nodes": jsonable(report.nodes),
        "tokens": jsonable(report.tokens),
        "seconds": round(report.seconds, 3),
        "deadline_met": report.deadline_met,
    }


def summary(report: RunReport, record: RunRecord, seconds: float) -> str:
    """What the run took, in a few lines."""
    nodes, tokens = jsonable(report.nodes), jsonable(report.tokens)
    speed = f", {tokens['output'] / seconds:.1f} tokens/s" if seconds > 0 else ""
    lines = {
        "run": f"{report.run}  {report.status}",
        "nodes": f"{nodes['total']} ({nodes['executed']} executed, {nodes['reused']} reused)",
        "tokens": f"{tokens['input']} in, {tokens['output']} out{speed}",
        "time": readable(report.seconds),
        "deadline": deadline(report.deadline_met, record),
    }
    return "\n".join(f"{name:<9}{text}" for name, text in lines.items())


def deadline(met: bool | None, record: RunRecord) -> str:
    """Whether the deadline was met, and by how much."""
    if met is None or record.deadline_at is None:
        return "none" if record.deadline_at is None else "open"
    allowed = readable(record.deadline_at - record.created_at)
    if record.finished_at is None:
        return f"{'met' if met else 'missed'} ({allowed} allowed)"
    slack = record.deadline_at - record.finished_at
    if met:
        return f"met, {readable(slack)} left of {allowed}"
    if slack > 0:
        return f"not met: {record.status} with {readable(slack)} left of {allowed}"
    return f"missed by {readable(-slack)} ({allowed} allowed)"


def shown(value: Any) -> str:
    """A result for people: text as it is, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(jsonable(value), indent=2, ensure_ascii=False)
