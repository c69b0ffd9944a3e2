"""Following a run by server-sent events."""

from __future__ import annotations

from typing import Any

import anyio


async def test_a_stream_has_every_journal_event_once_and_ends_with_the_run(api: Any) -> None:
    """Numbers without gaps, and `end` last."""
    run = await api.start("research", question="why")
    events = await api.events(run)
    numbers = [int(id_) for kind, id_, _ in events if kind == "journal"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert events[-1][0] == "end"
    assert events[-1][2]["status"] == "completed"
    done = [data["node"]["path"] for kind, _, data in events if kind == "journal" and data["node"]]
    assert done == [each["path"] for each in (await api.get(f"/v1/runs/{run}/nodes"))["nodes"]]


async def test_a_stream_goes_on_after_the_last_event_a_client_has(api: Any) -> None:
    """By `Last-Event-ID`, as a browser sends it, or by `after`."""
    run = await api.start("research", question="why")
    await api.ended(run)
    whole = [id_ for kind, id_, _ in await api.events(run) if kind == "journal"]
    answer = await api.client.get(f"/v1/runs/{run}/events", headers={"Last-Event-ID": "3"})
    assert f"id: {whole[3]}" in answer.text
    assert "id: 3\n" not in answer.text
    rest = [id_ for kind, id_, _ in await api.events(run, after=3) if kind == "journal"]
    assert rest == whole[3:]


async def test_a_stream_shows_what_is_under_way_and_what_follows(api: Any, model: Any) -> None:
    """A call that is held is among those running; when it is let go, the stream goes on to the end."""
    run = await api.start("holds", topic="x")
    found: list[Any] = []

    async def follow() -> None:
        found.extend(await api.events(run))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await model.held.wait()
        nodes = (await api.get(f"/v1/runs/{run}/nodes", state="running"))["nodes"]
        assert [each["path"] for each in nodes] == ["llm#2"]
        model.open.set()
    assert found[-1][0] == "end"
