"""What the agents API shows of runs."""

from __future__ import annotations

from typing import Any


async def test_agents_are_listed_with_the_schemas_of_their_inputs(api: Any) -> None:
    """Whoever wants to start a run learns what to send."""
    found = {each["name"]: each for each in await api.get("/v1/agents")}
    assert list(found) == ["research", "asks", "holds", "breaks"]
    assert found["research"]["doc"] == "Find out."
    assert found["research"]["deadline"] == 30
    assert found["research"]["input_schema"] == {
        "type": "object",
        "properties": {"question": {"type": "string"}, "breadth": {"type": "integer", "default": 2}},
        "required": ["question"],
        "additionalProperties": False,
    }


async def test_a_finished_run_is_shown_with_inputs_result_and_tokens(api: Any) -> None:
    """The classes of the values are not needed to show them."""
    run = await api.ended(await api.start("research", question="why"))
    assert run["status"] == "completed"
    assert run["inputs"] == {"question": "why", "breadth": 2}
    assert run["result"] == {"question": "why", "body": "Revised"}
    assert run["deadline_met"] is True
    assert run["tokens"]["output"] > 0
    assert run["served"] is True


async def test_runs_are_paged_newest_first(api: Any) -> None:
    """Pages together are the list, each run once, and the last has no next."""
    runs = [await api.start("breaks", topic=str(number)) for number in range(5)]
    for each in runs:
        await api.ended(each)
    runs = [each["id"] for each in (await api.get("/v1/runs"))["runs"]]
    seen, after = [], {}
    while True:
        page = await api.get("/v1/runs", limit=2, **after)
        seen += [each["id"] for each in page["runs"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == runs
    assert len(runs) == 5


async def test_runs_are_filtered_by_agent_and_status(api: Any) -> None:
    """By the agent's name or reference, and by how the run stands."""
    failed = await api.start("breaks", topic="x")
    done = await api.start("research", question="y")
    await api.ended(failed)
    await api.ended(done)

    async def ids(**query: Any) -> list[str]:
        return [each["id"] for each in (await api.get("/v1/runs", **query))["runs"]]

    assert await ids(status="failed") == [failed]
    assert await ids(agent="research") == [done]
    assert await ids(agent="research", status="failed") == []
    refused = await api.client.get("/v1/runs", params={"status": "odd"})
    assert refused.status_code == 422
    assert "suspended" in refused.json()["detail"]


async def test_a_node_is_shown_with_what_it_read_and_gave(api: Any) -> None:
    """Inputs are followed through maps and loops; the prompt is put together from them."""
    run = (await api.ended(await api.start("research", question="why")))["id"]
    nodes = (await api.get(f"/v1/runs/{run}/nodes"))["nodes"]
    paths = [each["path"] for each in nodes if each["kind"] in ("llm", "tool")]
    assert paths == [
        "llm#1",
        "map#1[0]/search#1",
        "map#1[1]/search#1",
        "llm#2",
        "for#1[0]/llm#3",
        "for#1[0]/llm#4",
        "for#1[1]/llm#3",
    ]
    tool = await api.get(f"/v1/runs/{run}/node", path="map#1[1]/search#1")
    assert tool["inputs"] == [{"name": "q", "known": True, "value": "b"}]
    assert tool["output"] == ["hit for b"]
    writes = await api.get(f"/v1/runs/{run}/node", path="llm#2")
    assert writes["prompt"] == "Write on why from [['hit for a'], ['hit for b']]"
    again = await api.get(f"/v1/runs/{run}/node", path="for#1[1]/llm#3")
    assert again["prompt"] == "Review: Revised"
    assert again["output"] == "ok"
    assert again["hints"]["deadline"] is not None
    assert again["line"] > 0 and "executed" in again["why"]


async def test_the_graph_has_regions_within_nodes(api: Any) -> None:
    """Of an agent and of a run it is the same program."""
    run = (await api.ended(await api.start("research", question="why")))["id"]
    graph = await api.get(f"/v1/runs/{run}/graph")
    assert graph == await api.get("/v1/agents/research/graph")
    body = graph["programs"][0]["body"]
    mapped = next(each for each in body["nodes"] if each["kind"] == "map")
    assert [each["site"] for each in mapped["regions"][0]["nodes"]] == ["search#1"]
    assert {"source": "llm#1", "target": "map#1", "kind": "value"} in body["edges"]


async def test_the_first_of_a_failed_runs_errors_is_shown_where_it_was_raised(api: Any) -> None:
    """The run says how it ended in words."""
    run = await api.ended(await api.start("breaks", topic="luck"))
    assert run["status"] == "failed"
    assert run["error"] == "ValueError: no luck"


async def test_what_is_not_there_is_a_problem_with_a_remedy(api: Any) -> None:
    """Runs, nodes and agents alike."""
    run = (await api.ended(await api.start("breaks", topic="x")))["id"]
    for url in (
        "/v1/runs/nope",
        f"/v1/runs/{run}/node?path=llm%239",
        "/v1/agents/nope/graph",
        "/v1/diff?a=x&b=y",
    ):
        answer = await api.client.get(url)
        assert answer.status_code == 404, url
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.json()) == {"type", "title", "status", "detail"}
