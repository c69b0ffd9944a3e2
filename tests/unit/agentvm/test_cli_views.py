"""What the command line shows: the live table, log lines, the summary, the nodes of a run."""

from __future__ import annotations

import io
import json
import math
from types import SimpleNamespace

import pytest
from rich.console import Console

from agentvm import BackendError, DeadlineExceeded, InputError, RunFailed, UncertainWrite
from agentvm.cli.exits import Exit, code_of, code_of_status, internal
from agentvm.cli.live import line, table, worth_a_line
from agentvm.cli.report import deadline, document, shown, summary
from agentvm.cli.show import engine_text, nodes_of
from agentvm.views.jsonable import error_text, jsonable
from agentvm_runtime.drafts import Drafts
from agentvm_runtime.records import Digest, Event, EventKind, RunRecord, RunStatus, Source


def record(**changes):
    """A run that began at 100 and was to end by 130."""
    fields = {"deadline_at": 130.0, "finished_at": 110.0, **changes}
    return RunRecord(id="r1", agent="flow:chain", program="p", inputs=Digest("d"), created_at=100.0, **fields)


def report(**changes):
    """The report of a run that went well."""
    fields = {
        "run": "r1",
        "agent": "flow:chain",
        "status": RunStatus.COMPLETED,
        "result": {"a": 1},
        "error": None,
        "nodes": {"total": 5, "executed": 3, "reused": 2},
        "tokens": {"input": 40, "output": 20},
        "seconds": 10.0,
        "deadline_met": True,
        **changes,
    }
    return SimpleNamespace(**fields)


def progress(**changes):
    """A run in its tenth second."""
    fields = {
        "done": 3,
        "running": 2,
        "total_known": 8,
        "executed": 2,
        "reused": 1,
        "input_tokens": 50,
        "output_tokens": 80,
        "started_at": 100.0,
        "deadline_at": 130.0,
        "running_paths": ("map#1[0]/llm#1", "map#1[1]/llm#1"),
        **changes,
    }
    return SimpleNamespace(**fields)


def drawn(view, now):
    """The live view as plain lines."""
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(table(view, now))
    return [each.rstrip() for each in console.export_text().splitlines()]


def test_the_live_view_shows_nodes_tokens_and_time_left():
    """One line of numbers, then the nodes that run, brackets and all."""
    assert drawn(progress(), 110.0) == [
        "3/8 nodes done, 2 running, 1 reused   80 tokens (8.0/s)   10.0s   20.0s left",
        "  map#1[0]/llm#1",
        "  map#1[1]/llm#1",
    ]


def test_the_live_view_has_the_last_words_of_models():
    """In one line, and without what would move the cursor."""
    drafts = Drafts()
    drafts.begin("map#1[1]/llm#1").add("far too old " * 9 + "\x1b[2Jsaid\r\njust now")
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(progress(), 110.0, drafts=drafts))
    last = console.export_text().splitlines()[-1]
    assert last.startswith("  map#1[1]/llm#1  ") and last.endswith("old [2Jsaid just now")


def test_the_live_view_stays_short():
    """Many running nodes are counted."""
    paths = tuple(f"map#1[{n}]" for n in range(40))
    assert drawn(progress(running_paths=paths), 110.0)[-1] == "  and 34 more"


def test_the_live_view_says_that_the_engine_starts():
    """Or the user would wonder why nothing happens."""
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(progress(), 110.0, starting=True))
    assert "starting the engine" in console.export_text().splitlines()[-1]


@pytest.mark.parametrize(
    ("at", "now", "text"),
    [(None, 110.0, "no deadline"), (130.0, 132.0, "missed by 2.0s"), (130.0, 100.0, "30.0s left")],
)
def test_the_live_view_tells_how_the_deadline_stands(at, now, text):
    """Also before any token, and after the deadline."""
    assert text in drawn(progress(deadline_at=at), now)[0]


def event(kind=EventKind.DONE, path="llm#1", **changes):
    """A node that ran from 101 to 103."""
    fields = {"node": "llm", "started_at": 101.0, "finished_at": 103.0, **changes}
    return Event(kind, path, **fields)


@pytest.mark.parametrize(
    ("happened", "text"),
    [
        (
            event(detail={"input_tokens": 4, "output_tokens": 2}),
            "[   3.00s] done    llm#1 (llm) 2.0s 4 in, 2 out",
        ),
        (event(source=Source.MEMO, node="tool"), "[   3.00s] done    llm#1 (tool) from memo"),
        (event(EventKind.FAILED), "[   3.00s] failed  llm#1 (llm) 2.0s"),
        (event(EventKind.INTENT, node="tool", finished_at=0.0), "[   1.00s] intent  llm#1 (tool)"),
    ],
)
def test_a_log_line_says_when_what_and_how_long(happened, text):
    """Where there is no terminal, each event is a line."""
    assert line(happened, 100.0) == text


def test_a_log_leaves_out_blocks_of_python_that_went_well():
    """They are many and take no time; one that fails is told."""
    assert worth_a_line(event()) and worth_a_line(event(node="tool"))
    assert not worth_a_line(event(node="python"))
    assert not worth_a_line(event(EventKind.INHERITED, path="", node=""))
    assert worth_a_line(event(EventKind.FAILED, node="python"))


def test_the_summary_has_run_nodes_tokens_time_and_deadline():
    """The speed is that of the process that drove the run."""
    assert summary(report(), record(), 5.0).splitlines() == [
        "run      r1  completed",
        "nodes    5 (3 executed, 2 reused)",
        "tokens   40 in, 20 out, 4.0 tokens/s",
        "time     10.0s",
        "deadline met, 20.0s left of 30.0s",
    ]


@pytest.mark.parametrize(
    ("met", "changes", "text"),
    [
        (None, {"deadline_at": None}, "none"),
        (None, {"finished_at": None}, "open"),
        (False, {"finished_at": 131.5}, "missed by 1.5s (30.0s allowed)"),
        (False, {"finished_at": None}, "missed (30.0s allowed)"),
    ],
)
def test_the_deadline_in_words(met, changes, text):
    """None, open, met or missed, and by how much."""
    assert deadline(met, record(**changes)) == text


def test_the_document_has_exactly_the_promised_keys():
    """As design section 8 lists them, in that order."""
    assert document(report(error=ValueError("bad"))) == {
        "run": "r1",
        "agent": "flow:chain",
        "status": "completed",
        "result": {"a": 1},
        "error": "ValueError: bad",
        "nodes": {"total": 5, "executed": 3, "reused": 2},
        "tokens": {"input": 40, "output": 20},
        "seconds": 10.0,
        "deadline_met": True,
    }


def test_every_value_has_a_json_form():
    """NaN as text, bytes as base64, what is unknown or cyclic by its repr."""
    cyclic: list = []
    cyclic.append(cyclic)
    values = {"nan": math.nan, "bytes": b"\xff", "set": {1}, "object": SimpleNamespace(a=1), "key": {1: 2}}
    values["long"] = 10**5000
    assert json.loads(json.dumps(jsonable(values), allow_nan=False)) == {
        "nan": "NaN",
        "bytes": "_w==",
        "set": [1],
        "object": "namespace(a=1)",
        "key": {"1": 2},
        "long": "1" + "0" * 5000,
    }
    assert jsonable(cyclic) == repr(cyclic)


def test_results_are_shown_as_text_or_indented_json():
    """Text is not quoted."""
    assert (shown("hé"), shown(["é"])) == ("hé", '[\n  "é"\n]')


def test_errors_are_shown_with_their_class():
    """Whatever the report has: an exception, its text, or nothing."""
    assert [error_text(each) for each in (None, "x", KeyError("k"))] == [None, "x", "KeyError: 'k'"]


def test_nodes_before_the_last_take_over_were_reused():
    """An intent is shown while its outcome is not known; slack is what was left of the call's deadline."""
    events = [
        event(path="a"),
        event(EventKind.RESUMED, path=""),
        event(path="b", source=Source.MEMO),
        event(EventKind.INTENT, path="c"),
        event(EventKind.RESUMED, path=""),
        event(path="c", detail={"deadline": 104.5, "input_tokens": 1, "output_tokens": 2}),
        event(EventKind.FAILED, path="d"),
        event(EventKind.INTENT, path="e", finished_at=0.0),
    ]
    nodes = nodes_of(events, 100.0)
    assert [(each["path"], each["source"], each["outcome"]) for each in nodes] == [
        ("a", "reused at resume", "done"),
        ("b", "reused at resume", "done"),
        ("c", "executed", "done"),
        ("d", "executed", "failed"),
        ("e", "executed", "intent"),
    ]
    assert (nodes[2]["offset"], nodes[2]["seconds"], nodes[2]["slack"]) == (1.0, 2.0, 1.5)
    assert nodes[2]["tokens"] == {"input": 1, "output": 2}


def test_nodes_tell_what_the_engine_did_with_their_calls():
    """By path, however late it was noted; in words for people."""
    noted = {
        "queued_at": 101.0,
        "started_at": 103.5,
        "held_seconds": 2.0,
        "preempted_at": [104.0, 105.0],
        "outcome": "missed",
        "why": "",
    }
    refused = {"queued_at": 106.0, "finished_at": 106.0, "outcome": "refused", "why": "too late"}
    events = [
        event(EventKind.DONE, path="a"),
        event(EventKind.DONE, path="b"),
        event(EventKind.SCHEDULED, path="", detail={"calls": {"a": [noted, refused]}}),
    ]
    nodes = nodes_of(events, 100.0)
    assert [each["requests"] for each in nodes] == [[noted, refused], []]
    said = "queued 2.5s, held 2.0s, preempted 2x, missed, queued 0ms, refused, too late"
    assert engine_text(nodes[0]["requests"]) == said
    assert not worth_a_line(events[2])


def test_exit_codes_follow_the_status():
    """Every status has one."""
    codes = {status: int(code_of_status(status)) for status in RunStatus}
    assert codes == {
        RunStatus.QUEUED: 0,
        RunStatus.RUNNING: 1,
        RunStatus.COMPLETED: 0,
        RunStatus.FAILED: 1,
        RunStatus.SUSPENDED: 3,
        RunStatus.UNCERTAIN: 3,
        RunStatus.CANCELLED: 1,
        RunStatus.DEADLINE_MISSED: 4,
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), Exit.USAGE),
        (BackendError("x"), Exit.FAILED),
        (RunFailed("x", run_id="r"), Exit.FAILED),
        (DeadlineExceeded("x"), Exit.DEADLINE),
        (UncertainWrite("x"), Exit.SUSPENDED),
    ],
)
def test_exit_codes_follow_the_error(error, code):
    """Mistakes of the user are told from failures."""
    assert code_of(error) is code


def test_a_bug_says_what_to_report():
    """Where it happened, the versions, and the command that shows the traceback."""
    try:
        raise KeyError("k")
    except KeyError as error:
        text = internal(error, ["run", "a b.py:x"])
    assert "KeyError: 'k' at " in text and "bug in AgentVM" in text
    assert "agentvm --traceback run 'a b.py:x'" in text
