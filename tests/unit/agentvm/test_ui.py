"""The page's server side: what is served, under which policy, and goodput."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from agentvm.ui import mount
from agentvm.ui.pages import ASSETS
from agentvm.views.accounts import Sums
from agentvm.views.engine import engine_of
from agentvm.views.goodput import Accounts, account_of, spans_of
from agentvm_runtime.records import Digest, Event, EventKind, RunRecord, RunStatus, Source
from agentvm_runtime.store import open_store

NOTHING = Digest("")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    mount(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_the_page_is_served_with_a_policy_that_lets_in_nothing_foreign(
    client: httpx.AsyncClient,
) -> None:
    """`/` leads to the page; each file comes with a policy without exceptions for inline scripts."""
    answer = await client.get("/", follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, "/ui/")
    for name in ("", "app.js", "layout.js", "style.css", "icon.svg"):
        policy = (await client.get(f"/ui/{name}")).headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy
        assert "unsafe" not in policy and "http" not in policy


async def test_no_file_outside_the_assets_is_served(client: httpx.AsyncClient) -> None:
    """A path cannot climb out of the folder."""
    for path in ("/ui/../pages.py", "/ui/%2e%2e/pages.py", "/ui/..%2fpages.py", "/ui/web/package.json"):
        assert (await client.get(path)).status_code == 404


def test_the_page_names_no_other_host() -> None:
    """The built files load nothing: addresses in them are names of XML, or of documentation."""
    named = {
        found
        for file in ASSETS.iterdir()
        for found in re.findall(r"https?://[^\s\"'`)<>]+", file.read_text(encoding="utf-8"))
    }
    assert {each for each in named if "www.w3.org" not in each} == set()


def test_the_page_makes_no_markup_of_text() -> None:
    """No source of the page sets HTML from a string."""
    sources = ASSETS.parent / "web" / "src"
    if not sources.exists():
        pytest.skip("the sources of the page are not installed")
    for file in sources.rglob("*.ts*"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|dangerously|eval\(", file.read_text())


def record(name: str, *, took: float, status: RunStatus = RunStatus.COMPLETED) -> RunRecord:
    return RunRecord(
        name, "m:a", "p", NOTHING, 100.0, status=status, deadline_at=110.0, finished_at=100.0 + took
    )


def call(tokens: int, source: Source = Source.EXECUTED) -> Event:
    return Event(EventKind.DONE, "llm#1", node="llm", source=source, detail={"output_tokens": tokens})


def test_tokens_count_if_their_run_was_in_time() -> None:
    """A run in time makes all its own tokens good; a late or failed one none; reused ones are apart."""
    events = [call(7), call(0, Source.MEMO)]
    good = account_of(record("a", took=4), events)
    assert (good.met, good.slack, good.good_tokens, good.output_tokens, good.reused) == (True, 6.0, 7, 7, 1)
    assert account_of(record("b", took=11), events).good_tokens == 0
    failed = account_of(record("c", took=4, status=RunStatus.FAILED), events)
    assert (failed.met, failed.good_tokens) == (False, 0)


async def test_goodput_adds_up_by_agent() -> None:
    """Sums over the newest runs, all and by agent; older ones are left out."""
    store = open_store("memory")
    await store.open()
    for name, took in (("a", 4.0), ("b", 12.0)):
        await store.create_run(record(name, took=took), {NOTHING: b""})
        await store.append(name, call(7)).wait()
    found = await Accounts().of(store)
    assert (found.total.met, found.total.missed, found.total.good_tokens) == (1, 1, 7)
    assert found.agents["m:a"] == found.total
    assert (await Accounts().of(store, since=101.0)).total.runs == 0
    await store.aclose()


def asked(path: str, slo: str, tokens: int, **more: Any) -> Event:
    """A model call with a class of its own, done at 105."""
    detail = {"output_tokens": tokens, "hints": {"slo": slo}, **more}
    return Event(EventKind.DONE, path, node="llm", finished_at=105.0, detail=detail)


def test_calls_count_by_class_where_their_run_has_no_deadline() -> None:
    """By the deadline they were sent with, or by what the scheduler said; else the run counts as one."""
    events = [
        asked("llm#1", "deadline", 3, deadline=104.0),
        asked("llm#2", "deadline", 5, deadline=109.0),
        asked("llm#3", "latency", 7),
        Event(EventKind.SCHEDULED, "", detail={"calls": {"llm#3": [{"outcome": "met"}]}}),
        replace(call(11), path="llm#4"),
    ]
    loose = replace(record("a", took=4), deadline_at=None)
    assert account_of(loose, events).classes == {
        "deadline": Sums(met=1, missed=1, output_tokens=8, good_tokens=5),
        "latency": Sums(met=1, output_tokens=7, good_tokens=7),
        "best_effort": Sums(others=1, output_tokens=11),
    }
    assert account_of(record("b", took=4), events).classes == {
        "compound": Sums(met=1, output_tokens=26, good_tokens=26)
    }


def test_goodput_over_time_is_told_in_equal_spans() -> None:
    """No more than fit on a page; those without anything decided are left out."""
    ends = [1.0, 2.0, 9.0, 500.0]
    runs = [account_of(record(str(end), took=end), [call(1)]) for end in ends]
    spans = spans_of(runs)
    assert [(each.start, each.end) for each in spans] == [(90.0, 120.0), (600.0, 630.0)]
    assert spans[0].classes == {"compound": Sums(met=3, output_tokens=3, good_tokens=3)}
    assert spans[1].classes == {"compound": Sums(missed=1, output_tokens=1)}
    assert spans_of([]) == []


async def test_a_journal_is_read_once() -> None:
    """A run that goes on is asked for what is new; one that is over for nothing."""
    store = open_store("memory")
    await store.open()
    running = replace(record("a", took=0), status=RunStatus.RUNNING, finished_at=None)
    await store.create_run(running, {NOTHING: b""})
    await store.append("a", call(7)).wait()
    accounts = Accounts()
    assert (await accounts.of(store)).runs[0].output_tokens == 7
    await store.append("a", call(5)).wait()
    assert (await accounts.of(store)).runs[0].output_tokens == 12
    await store.set_status("a", RunStatus.COMPLETED, finished_at=105.0).wait()
    found = await accounts.of(store)
    assert (found.runs[0].output_tokens, found.runs[0].nodes, found.total.met) == (12, 2, 1)
    assert found == await accounts.of(store)
    await store.aclose()


METRICS = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 2.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0"} 0.25
# TYPE agentvm:holding gauge
agentvm:holding 1.0
# TYPE agentvm:step_seconds histogram
agentvm:step_seconds_bucket{le="+Inf"} 4.0
agentvm:step_seconds_count 4.0
agentvm:step_seconds_sum 0.5
# TYPE agentvm:requests counter
agentvm:requests_total{outcome="met",slo="deadline"} 3.0
agentvm:requests_total{outcome="aborted",slo="deadline"} 1.0
agentvm:requests_total{outcome="missed",slo="latency"} 4.0
# TYPE agentvm:goodput_tokens counter
agentvm:goodput_tokens_total{slo="deadline"} 90.0
"""


def test_the_engine_tells_its_goodput_by_its_metrics() -> None:
    """Requests by class and outcome, tokens in time, and how full the engine is."""
    found = engine_of(METRICS)
    assert found is not None and (found.running, found.kv_cache) == (2, 0.25)
    assert (found.holding, found.steps, found.step_seconds) == (True, 4, 0.5)
    assert found.classes == {
        "deadline": Sums(met=3, others=1, good_tokens=90),
        "latency": Sums(missed=4),
    }


def test_an_engine_without_the_scheduler_tells_none() -> None:
    """Stock metrics say nothing of goodput."""
    assert engine_of("") is engine_of("vllm:num_requests_running 2.0\n") is None


def luminance(colour: str) -> float:
    """By WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_words_can_be_read_in_both_themes() -> None:
    """Each colour of words has a contrast of 4.5 to every ground it stands on (WCAG 2, AA)."""
    colours = ASSETS.parent / "web" / "src" / "style" / "colours.css"
    if not colours.exists():
        pytest.skip("the sources of the page are not installed")
    themes = re.findall(r"\{([^{}]*--ground[^{}]*)\}", colours.read_text())
    assert len(themes) == 3  # light; dark, by the system and by choice
    states = ("pending", "running", "waiting", "done", "reused", "given", "failed", "doubt")
    for theme in themes:
        named = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", theme))
        pairs = [
            (word, ground) for word in ("ink", "soft", "accent") for ground in ("ground", "surface", "sunken")
        ]
        pairs += [(each, ground) for each in states for ground in ("surface", f"{each}-soft")]
        pairs += [("accent-ink", "accent"), ("ink", "mark-a"), ("ink", "mark-b"), ("soft", "accent-soft")]
        weak = [each for each in pairs if contrast(named[each[0]], named[each[1]]) < 4.5]
        assert weak == []
