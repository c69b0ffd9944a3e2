"""What clients do to runs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from agentvm import AgentVM
from agentvm.server.app import create_app
from agentvm.server.settings import Settings
from agentvm_runtime.records import RunStatus


async def test_starting_a_run_says_where_it_is(api: Any) -> None:
    """By its own id if one is given, with the options asked for."""
    body = {
        "agent": "holds",
        "inputs": {"topic": "x"},
        "id": "mine",
        "deadline": "1h",
        "budget": {"calls": 9},
    }
    answer = await api.client.post("/v1/runs", json=body)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/runs/mine"
    record = await api.vm.get("mine")
    assert record.deadline_at - record.created_at == pytest.approx(3600)
    assert record.meta["budget"]["calls"] == 9


async def test_an_id_starts_one_run_however_often_it_is_sent(api: Any) -> None:
    """A client that got no answer may send the same again."""
    body = {"agent": "breaks", "inputs": {"topic": "x"}, "id": "mine"}
    assert (await api.client.post("/v1/runs", json=body)).status_code == 201
    again = await api.client.post("/v1/runs", json=body)
    assert again.status_code == 409
    assert again.headers["location"] == "/v1/runs/mine"
    assert len(await api.vm.list()) == 1


async def test_inputs_that_do_not_fit_are_named(api: Any) -> None:
    """All of them in one answer, with the signature."""
    body = {"agent": "research", "inputs": {"quest": "x", "breadth": "many"}}
    answer = await api.client.post("/v1/runs", json=body)
    assert answer.status_code == 422
    for part in ("did you mean question?", "breadth", "missing: question", "research(question: str"):
        assert part in answer.json()["detail"]


async def test_an_answered_run_goes_on(api: Any) -> None:
    """The server that holds the run suspended takes it up again."""
    run = await api.start("asks", topic="it")
    asked = await api.ended(run)
    assert asked["status"] == "suspended"
    assert asked["finished_at"] is None and asked["error"] is None
    [question] = asked["questions"]
    assert question["question"] == "Publish it?"
    assert question["answer_schema"] == {"type": "boolean"}
    refused = await api.client.post(f"/v1/runs/{run}/answer", json={"value": "perhaps"})
    assert refused.status_code == 422
    await api.post(f"/v1/runs/{run}/answer", {"value": True, "node": question["path"]})
    events = await api.events(run)
    assert events[-1][0] == "end"
    assert (await api.get(f"/v1/runs/{run}"))["result"] == "published it"


async def test_a_cancelled_run_stays_cancelled(api: Any, model: Any) -> None:
    """Cancelling twice is no error."""
    run = await api.start("holds", topic="x")
    await model.held.wait()
    assert (await api.post(f"/v1/runs/{run}/cancel"))["run"]["status"] == "cancelled"
    assert (await api.post(f"/v1/runs/{run}/cancel"))["run"]["status"] == "cancelled"


async def test_a_fork_with_an_edited_value_does_only_what_depends_on_it(api: Any) -> None:
    """The rest is inherited, the tree has both, and the diff shows where they parted."""
    run = (await api.ended(await api.start("research", question="why")))["id"]
    forked = await api.post(f"/v1/runs/{run}/fork", {"set": {"map#1[0]/search#1": ["other"]}, "id": "f"}, 201)
    assert forked["run"]["parent"] == run
    child = await api.ended("f")
    assert child["status"] == "completed"
    assert child["inherited"] >= 2
    nodes = {each["path"]: each for each in (await api.get("/v1/runs/f/nodes"))["nodes"]}
    assert (nodes["llm#1"]["source"], nodes["llm#1"]["run"]) == ("inherited", run)
    assert nodes["map#1[0]/search#1"]["state"] == "given"
    assert nodes["llm#2"]["source"] == "executed"
    tree = await api.get(f"/v1/runs/{run}/tree")
    assert tree["run"] == run and [each["run"] for each in tree["forks"]] == ["f"]
    diff = await api.get("/v1/diff", a=run, b="f")
    assert [row["path"] for row in diff["rows"] if row["parted"]] == ["map#1[0]/search#1"]
    assert diff["same_inputs"] and diff["same"] >= 2


async def test_a_failed_run_is_tried_again_when_that_is_asked(api: Any) -> None:
    """Without `retry` resuming it changes nothing."""
    run = await api.start("breaks", topic="x")
    failed = await api.ended(run)
    await api.post(f"/v1/runs/{run}/resume")
    assert (await api.get(f"/v1/runs/{run}"))["events"] == failed["events"]
    await api.post(f"/v1/runs/{run}/resume", {"retry": True})
    assert (await api.ended(run))["events"] > failed["events"]


async def test_runs_over_the_limit_wait_and_are_then_driven(model: Any, serving: Any) -> None:
    """They are queued, durably, and none is lost."""
    async with serving("memory", Settings(poll=0.01, concurrency=1)) as api:
        first = await api.start("holds", topic="x")
        await model.held.wait()
        more = [await api.start("breaks", topic=str(number)) for number in range(3)]
        assert [(await api.get(f"/v1/runs/{each}"))["status"] for each in more] == ["queued"] * 3
        model.open.set()
        for each in (first, *more):
            assert (await api.events(each))[-1][0] == "end"
        assert [(await api.get(f"/v1/runs/{each}"))["status"] for each in more] == ["failed"] * 3


async def test_a_run_of_an_agent_that_is_not_served_cannot_go_on_here(api: Any) -> None:
    """What needs its code says so; what does not is done."""
    async with AgentVM(store=api.vm.store, llm=api.vm.backend) as vm:
        other = create_app(vm, [], Settings())
        transport = httpx.ASGITransport(other)
        run = (await api.ended(await api.start("research", question="why")))["id"]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.get(f"/v1/runs/{run}")).json()["served"] is False
            for what in ("fork", "resume"):
                answer = await client.post(f"/v1/runs/{run}/{what}", json={})
                assert answer.status_code == 422
                assert "is not registered with this server" in answer.json()["detail"]


async def test_a_stopped_server_leaves_runs_that_the_next_one_finishes(
    model: Any, serving: Any, tmp_path: Any
) -> None:
    """What was done is not done again."""
    url = f"sqlite+aiosqlite:///{tmp_path}/runs.db"
    async with serving(url) as api:
        run = await api.start("holds", topic="x")
        await model.held.wait()
    assert model.prompts == ["first x", "hold text of first x"]
    model.open.set()
    async with serving(url) as api:
        assert (await api.events(run))[-1][0] == "end"
        assert (await api.get(f"/v1/runs/{run}"))["status"] == "completed"
    assert model.prompts[2:] == ["hold text of first x"]


async def test_statuses_are_those_of_the_runtime() -> None:
    """A status that is added there must be shown here."""
    from typing import get_args

    from agentvm.server.models import Status

    assert set(get_args(Status)) == {*RunStatus, "interrupted"}
