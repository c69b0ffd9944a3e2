"""`agentvm top`: what is drawn, what keys do, and where it looks."""

from __future__ import annotations

import io
from functools import partial

import httpx
import pytest
from rich.console import Console

from agentvm import AgentVM, agent, llm
from agentvm.server.app import create_app
from agentvm.testing import ScriptedLLM
from agentvm.top.app import App
from agentvm.top.keys import named
from agentvm.top.rows import NodeRow, RunRow, Snapshot, step_seconds
from agentvm.top.screen import screen
from agentvm.top.sources import ServerSource, StoreSource, Unreachable
from agentvm.top.state import State
from agentvm.views.accounts import Sums
from agentvm.views.engine import Engine

NOW = 1000.0


def row(run: str, **changes) -> RunRow:
    """A run in its tenth second, with twenty left."""
    fields = {
        "agent": "flow:chain",
        "status": "running",
        "nodes": 3,
        "running": 2,
        "started_at": NOW - 10,
        "finished_at": None,
        "deadline_at": NOW + 20,
        "met": None,
        "input_tokens": 1000,
        "output_tokens": 2000,
        "cost": 0.25,
    }
    return RunRow(run=run, **{**fields, **changes})


ROWS = [
    row("done-1", status="completed", finished_at=NOW - 5, met=True, running=None),
    row("late-1", status="deadline_missed", finished_at=NOW, deadline_at=NOW - 3, met=False, running=None),
    row("slow-1", deadline_at=NOW + 50),
    row("fast-1", deadline_at=NOW + 5, output_tokens=7),
]
ENGINE = Engine(running=2, waiting=3, kv_cache=0.5, preemptions=1, holding=True)
SEEN = Snapshot(NOW, "memory", ROWS, {"deadline": Sums(met=3, missed=1, good_tokens=90)}, ENGINE, 0.02)


def state(**changes) -> State:
    return State(**{"seen": SEEN, "now": NOW, **changes})


def drawn(shown: State, width: int = 110, height: int = 16, **options) -> list[str]:
    """The lines of the terminal."""
    console = Console(width=width, height=height, file=io.StringIO(), record=True, **options)
    console.print(screen(shown, width, height))
    return [each.rstrip() for each in console.export_text().splitlines()]


class Nowhere:
    """Sees the same again, and notes what is to be cancelled."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    async def look(self) -> Snapshot:
        return SEEN

    async def nodes(self, run: str) -> list[NodeRow]:
        return [NodeRow("map#1[0]/llm#1", "llm", "done", NOW - 5, NOW - 3, 12, 4.0)]

    async def cancel(self, run: str) -> str:
        self.cancelled.append(run)
        return "cancelled"


def app(shown: State | None = None) -> App:
    return App(Nowhere(), shown or state(), 1.0)


def test_the_screen_has_the_scheduler_the_runs_and_the_keys():
    """Runs that may go on come first; of each its deadline, time, tokens and cost."""
    lines = drawn(state())
    assert "4 runs: 2 running" in lines[0]
    assert lines[1] == "engine   2 running, 3 waiting, 3 held, step 20 ms, KV 50%, 1 preempted"
    assert lines[2] == "goodput  deadline 75% (3/4, 90 tok)"
    cells = [each.split() for each in lines[3:8]]
    assert cells[0] == ["RUN", "AGENT", "STATUS▾", "NODES", "LEFT", "TIME", "IN", "OUT", "COST"]
    assert cells[1] == [">slow-1", "chain", "running", "3+2", "50.0s", "10.0s", "1,000", "2,000", "0.25"]
    assert [each[0] for each in cells[2:]] == ["fast-1", "done-1", "late-1"]
    assert cells[4][2:6] == ["missed", "3", "3.0s", "late"]
    assert "q quit" in lines[-1]


@pytest.mark.parametrize("width", [30, 40, 60, 80])
def test_a_narrow_terminal_has_what_matters_most(width):
    """No line is longer than the terminal; how runs stand and what they have left is always there."""
    lines = drawn(state(), width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "fast-1" in text and "running" in text
    assert ("5.0s" in text) == (width >= 36)


def test_many_runs_are_scrolled_through():
    """As many lines as the terminal has; the marked run among them."""
    runs = [row(f"run-{n:03}", started_at=NOW - n) for n in range(200)]
    shown = state(seen=Snapshot(NOW, "memory", runs))
    shown.move(150)
    lines = drawn(shown, height=12)
    assert len(lines) <= 12
    assert any(each.startswith(">run-150") for each in lines)


def test_nothing_that_programs_say_moves_the_cursor():
    """Names and paths are cleaned of control characters."""
    evil = "x\x1b[2J\r\n"
    shown = state(seen=Snapshot(NOW, "memory", [row(evil, agent=f"m:{evil}")]), problem=evil)
    assert "\x1b" not in "\n".join(drawn(shown, color_system=None))
    shown = state(opened="slow-1", nodes=[NodeRow(evil, evil, "done", None, None, None, None)])
    assert "x?[2J??" in "\n".join(drawn(shown))


def test_keys_sort_filter_and_choose():
    """By what is left; the other way round; without what is over; by what is typed."""
    top = app()
    shown = top.state
    top.press("s")
    assert (shown.sort, [each.run for each in shown.runs()][:2]) == ("slack", ["fast-1", "slow-1"])
    top.press("r")
    assert [each.run for each in shown.runs()][-1] == "fast-1"
    top.press("a")
    assert {each.run for each in shown.runs()} == {"fast-1", "slow-1"}
    for key in ("/", "s", "l", "x", "backspace", "o", "enter"):
        top.press(key)
    assert (shown.text, [each.run for each in shown.runs()]) == ("slo", ["slow-1"])
    top.press("escape")
    assert shown.text == ""


async def test_a_run_is_opened_and_left_again():
    """Its nodes, with state, time, tokens and slack."""
    top = app()
    top.press("down")
    top.press("enter")
    await top.look()
    lines = drawn(top.state)
    assert "fast-1  flow:chain  running" in lines
    assert lines[5].split() == [">map#1[0]/llm#1", "llm", "done", "2.0s", "12", "4.0s"]
    top.press("escape")
    assert top.state.opened is None and top.state.chosen == "fast-1"


async def test_a_run_is_cancelled_only_when_that_is_confirmed():
    """Any other key than y leaves it as it is."""
    top = app()
    top.press("c")
    assert "Cancel run slow-1 for good? y/n" in drawn(top.state)[-1]
    top.press("enter")
    assert top.source.cancelled == []  # type: ignore[attr-defined]
    top.press("c")
    top.press("y")
    for task in list(top._tasks):
        await task
    assert top.source.cancelled == ["slow-1"]  # type: ignore[attr-defined]
    assert "Run slow-1 is cancelled." in drawn(top.state)[-1]


def test_keys_have_names():
    """Also several that came at once; what is no key is left out."""
    assert list(named("s\x1b[A\x1b[6~\r\x1b\x7f\x00é")) == [
        "s",
        "up",
        "page down",
        "enter",
        "escape",
        "backspace",
        "é",
    ]


def test_a_step_is_as_long_as_they_were_lately():
    """Since the last look; else since the start; an engine that has made none tells none."""
    engine = Engine(steps=10, step_seconds=1.0)
    assert step_seconds(engine, None) == 0.1
    assert step_seconds(Engine(steps=20, step_seconds=4.0), engine) == pytest.approx(0.3)
    assert step_seconds(Engine(), None) is None


@agent(deadline="10m")
async def two(topic: str) -> str:
    return await llm(f"second {await llm(f'first {topic}')}")


async def test_a_store_and_a_server_show_the_same():
    """Runs with nodes, tokens and deadlines; the nodes of one."""
    async with AgentVM(store="memory", llm=ScriptedLLM("three words here")) as vm:
        await vm.run(two, "x", run_id="r1")
        server = create_app(vm, [two])
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            sources = StoreSource(vm.store, "memory", 10), ServerSource(client, "localhost", 10)
            one, other = [(await each.look()).runs for each in sources]
            assert one == other
            assert (one[0].run, one[0].status, one[0].nodes, one[0].output_tokens) == (
                "r1",
                "completed",
                2,
                6,
            )
            assert one[0].met is True
            nodes, same = [await each.nodes("r1") for each in sources]
            assert nodes == same
            assert [each.path for each in nodes if each.kind == "llm"] == ["llm#1", "llm#2"]


METRICS = """# TYPE agentvm:requests counter
agentvm:requests_total{outcome="met",slo="latency"} 3.0
# TYPE agentvm:holding gauge
agentvm:holding 1.0
# TYPE agentvm:step_seconds histogram
agentvm:step_seconds_count %d.0
agentvm:step_seconds_sum %f
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0"} 4.0
"""


async def test_an_engine_is_looked_at_beside_a_store(monkeypatch: pytest.MonkeyPatch):
    """By its metrics: what waits and is held, goodput by class, and how long steps took lately."""
    looks = iter([(10, 1.0), (20, 1.5)])

    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "http://engine/metrics"
        return httpx.Response(200, text=METRICS % next(looks))

    client = partial(httpx.AsyncClient, transport=httpx.MockTransport(answer))
    monkeypatch.setattr("agentvm.top.sources.httpx.AsyncClient", client)
    async with AgentVM(store="memory", llm=ScriptedLLM("x")) as vm:
        source = StoreSource(vm.store, "memory", 10, "http://engine/metrics")
        first, second = await source.look(), await source.look()
    assert first.engine is not None and (first.engine.waiting, first.engine.held) == (4, 4)
    assert first.classes == {"latency": Sums(met=3)}
    assert (first.step, second.step) == (0.1, pytest.approx(0.05))


async def test_what_cannot_be_seen_is_shown_as_it_was():
    """With the reason; a server that wants a token says which."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://there") as client:
        source = ServerSource(client, "there", 10)
        with pytest.raises(Unreachable, match="AGENTVM_TOKEN"):
            await source.look()
        top = App(source, state(), 1.0)
        await top.look()
        lines = drawn(top.state)
        assert "! http://there/v1/goodput wants a token" in "\n".join(lines)
        assert any("slow-1" in each for each in lines)
