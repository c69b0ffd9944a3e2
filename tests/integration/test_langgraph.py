"""LangGraph: its checkpoints in AgentVM's stores, by its own tests; its model calls through our backends."""

from __future__ import annotations

import operator
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

pytest.importorskip("langgraph", reason="LangGraph is not installed: pip install 'agentvm[langgraph]'")

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from agentvm import AgentVM, agent
from agentvm.integrations.langgraph import AgentVMSaver, ChatAgentVM, deadline
from agentvm.testing import ScriptedLLM
from agentvm_compiler.errors import ConfigError, InputError

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@pytest.fixture(params=["sqlite", "encrypted", "memory", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Gives the URL of a new store at each call."""
    if request.param == "postgres":
        made: Callable[[], str] = request.getfixturevalue("postgres_url")
        return made
    if request.param == "encrypted":
        monkeypatch.setenv("AGENTVM_ENCRYPTION_KEY", KEY)
    names = iter(range(100))
    return lambda: "memory" if request.param == "memory" else f"{tmp_path}/{next(names)}.db"


async def test_langgraphs_own_conformance_tests_pass(url: Callable[[], str]) -> None:
    """All capabilities, the optional ones too: writing, reading, listing, deleting, copying, pruning."""
    conformance = pytest.importorskip("langgraph.checkpoint.conformance.initializer")
    from langgraph.checkpoint.conformance.capabilities import Capability
    from langgraph.checkpoint.conformance.validate import validate

    async def made() -> AsyncIterator[AgentVMSaver]:
        saver = AgentVMSaver(url())
        yield saver
        saver.close()

    report = await validate(conformance.checkpointer_test(name="AgentVMSaver")(made))
    assert set(report.results) == {each.value for each in Capability}
    failures = {name: each.failures for name, each in report.results.items() if not each.passed}
    assert failures == {}


class State(TypedDict):
    steps: Annotated[list[str], operator.add]
    constant: str


def build(saver: AgentVMSaver, length: int = 3) -> Any:
    graph = StateGraph(State)
    for number in range(length):
        graph.add_node(f"n{number}", lambda state, number=number: {"steps": [f"step {number}"]})
        graph.add_edge(START if number == 0 else f"n{number - 1}", f"n{number}")
    graph.add_edge(f"n{length - 1}", END)
    return graph.compile(checkpointer=saver)


def asking(saver: AgentVMSaver) -> Any:
    graph = StateGraph(State)
    graph.add_node("ask", lambda state: {"steps": [interrupt("go on?")]})
    graph.add_edge(START, "ask")
    return graph.compile(checkpointer=saver)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
def saver(path: Path) -> Iterator[AgentVMSaver]:
    with AgentVMSaver(path) as made:
        yield made


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


def test_a_graph_is_interrupted_and_goes_on_in_another_saver(path: Path, saver: AgentVMSaver) -> None:
    """Its state is in the file, not in the saver."""
    asking(saver).invoke({"steps": ["begun"], "constant": "x"}, thread("1"))
    with AgentVMSaver(path) as other:
        assert asking(other).invoke(Command(resume="yes"), thread("1"))["steps"] == ["begun", "yes"]


async def test_asynchronous_and_synchronous_use_see_the_same(saver: AgentVMSaver) -> None:
    """One saver serves both, from any loop."""
    graph = build(saver)
    await graph.ainvoke({"steps": [], "constant": "x"}, thread("1"))
    found = [each async for each in saver.alist(thread("1"))]
    assert [each.config for each in saver.list(thread("1"))] == [each.config for each in found]
    assert graph.get_state(thread("1")).values["steps"] == ["step 0", "step 1", "step 2"]
    assert len(list(saver.list(None, limit=2))) == 2


def test_an_earlier_state_is_changed_and_gone_on_from(saver: AgentVMSaver) -> None:
    """A branch of the thread: both have their own values of the same channels."""
    graph = build(saver)
    graph.invoke({"steps": [], "constant": "x"}, thread("1"))
    before = next(each for each in graph.get_state_history(thread("1")) if each.next == ("n1",))
    changed = graph.update_state(before.config, {"steps": ["changed"]})
    assert graph.invoke(None, changed)["steps"] == ["step 0", "changed", "step 1", "step 2"]
    first = next(each for each in graph.get_state_history(thread("1")) if each.next == ("n2",))
    assert first.values["steps"][1] == "changed", "the newest branch comes first"


def test_a_constant_value_is_kept_once(path: Path, saver: AgentVMSaver) -> None:
    """Forty checkpoints of a state with 200 kB that does not compress take little more than that."""
    constant = os.urandom(100_000).hex()
    build(saver, length=40).invoke({"steps": [], "constant": constant}, thread("1"))
    saver.close()
    assert path.stat().st_size < 4 * len(constant)


def test_pruning_gives_the_space_of_old_states_back(saver: AgentVMSaver) -> None:
    """What only removed checkpoints had is gone; the newest state is whole."""
    graph = build(saver)
    graph.invoke({"steps": [], "constant": "x"}, thread("1"))
    graph.invoke({"steps": ["again"], "constant": "y"}, thread("1"))
    state = graph.get_state(thread("1")).values
    saver.prune(["1"])
    assert len(list(saver.list(thread("1")))) == 1
    assert graph.get_state(thread("1")).values == state
    with pytest.raises(ConfigError, match="keep_latest"):
        saver.prune(["1"], strategy="all")


@agent
async def nothing() -> int:
    return 1


async def test_runs_and_checkpoints_share_a_store(path: Path, saver: AgentVMSaver) -> None:
    """Whichever comes first; collecting old runs leaves checkpoints alone."""
    graph = build(saver)
    await graph.ainvoke({"steps": [], "constant": "x"}, thread("1"))
    async with AgentVM(store=path, llm=ScriptedLLM([])) as vm:
        run = await vm.start(nothing)
        assert await run.result() == 1
        await vm.store.collect([run.id])
    assert graph.get_state(thread("1")).values["constant"] == "x"


def test_an_encrypted_store_has_no_readable_state(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither values nor checkpoints nor their metadata."""
    monkeypatch.setenv("AGENTVM_ENCRYPTION_KEY", KEY)
    with AgentVMSaver(path) as saver:
        build(saver).invoke({"steps": ["hidden words"], "constant": "hidden words"}, thread("1"))
        assert build(saver).get_state(thread("1")).values["constant"] == "hidden words"
    assert b"hidden words" not in b"".join(each.read_bytes() for each in path.parent.iterdir())


class Verdict(BaseModel):
    good: bool


def test_a_graphs_model_calls_carry_deadline_program_run_and_node() -> None:
    """The engine learns when an answer is wanted, and what belongs together."""
    backend = ScriptedLLM(["an answer", Verdict(good=True)])
    model = ChatAgentVM(llm=backend, program="support", temperature=0)

    def answer(state: State) -> Any:
        return {"steps": [model.invoke("Answer.").text]}

    def judge(state: State) -> Any:
        return {"steps": [str(model.with_structured_output(Verdict).invoke("Judge."))]}

    graph = StateGraph(State)
    graph.add_node("answer", answer)
    graph.add_node("judge", judge)
    graph.add_edge(START, "answer")
    graph.add_edge("answer", "judge")
    with deadline("1h", run="r1"), deadline("2h"):
        made = graph.compile().invoke({"steps": [], "constant": ""})
    assert made["steps"] == ["an answer", "good=True"]
    hints = [each.hints for each in backend.calls]
    assert [each.path for each in hints] == ["answer", "judge"]
    assert {(each.program, each.run, each.slo) for each in hints} == {("support", "r1", "deadline")}
    assert hints[0].deadline == hints[1].deadline == hints[0].run_deadline
    assert len({each.key for each in hints}) == 2
    assert backend.calls[1].schema == Verdict.model_json_schema()


async def test_a_chat_model_tells_tokens_and_takes_options() -> None:
    """Outside of a deadline a call is best effort; a JSON Schema gives a dict."""
    backend = ScriptedLLM(["four words are here", '{"a": 1}'])
    model = ChatAgentVM(llm=backend)
    message = await model.ainvoke([("system", "Be brief."), ("user", "Hello")], max_tokens=5, stop=["."])
    assert message.usage_metadata == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    call = backend.calls[0]
    assert [each.role for each in call.messages] == ["system", "user"]
    assert (call.sampling.max_tokens, call.sampling.stop) == (5, (".",))
    assert (call.hints.slo, call.hints.deadline) == ("best_effort", None)
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert await model.with_structured_output(schema).ainvoke("x") == {"a": 1}
    with pytest.raises(InputError, match="does not know the option 'top_k'"):
        await model.ainvoke("x", top_k=3)
    with pytest.raises(InputError, match="of type 'tool'"):
        await model.ainvoke([{"role": "tool", "content": "x", "tool_call_id": "1"}])


KILLED = """
import os, sys
from langgraph.graph import START, StateGraph
from agentvm.integrations.langgraph import AgentVMSaver

def first(state):
    return {"steps": 1}

def second(state):
    if os.environ.get("KILLED"):
        os.kill(os.getpid(), 9)
    return {"steps": state["steps"] + 1}

graph = StateGraph(dict)
graph.add_node("first", first)
graph.add_node("second", second)
graph.add_edge(START, "first")
graph.add_edge("first", "second")
config = {"configurable": {"thread_id": "1"}}
with AgentVMSaver(sys.argv[1]) as saver:
    app = graph.compile(checkpointer=saver)
    print(app.invoke({"steps": 0} if os.environ.get("KILLED") else None, config, durability="sync"))
"""


def test_a_killed_graph_goes_on_from_its_last_checkpoint(path: Path) -> None:
    """A process that is killed in the second node leaves what the first did."""
    command = [sys.executable, "-c", KILLED, str(path)]
    killed = subprocess.run(command, env={**os.environ, "KILLED": "1"}, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    resumed = subprocess.run(command, capture_output=True, text=True)
    assert resumed.stdout == "{'steps': 2}\n", resumed.stderr
