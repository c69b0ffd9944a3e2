"""Following a run by server-sent events."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from agentvm import AgentVM, agent, llm
from agentvm.server import events as streams
from agentvm.server.app import create_app
from agentvm.server.events import Watch, stream
from agentvm.server.settings import Settings
from agentvm.testing import ScriptedLLM
from agentvm_runtime.streams import Bell


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


@agent
async def speaks(topic: str) -> str:
    return await llm(f"speak of {topic}")


class Speaker(ScriptedLLM):
    """Says a piece, and goes on when it is told to."""

    def __init__(self, pieces: list[str]) -> None:
        super().__init__("".join(pieces))
        self._pieces = pieces
        self.on = [anyio.Event() for _ in pieces]

    async def complete(self, call: Any, progress: Any = None) -> Any:
        for number, (piece, on) in enumerate(zip(self._pieces, self.on, strict=True), 1):
            progress(number, piece)
            await on.wait()
        return await super().complete(call)


@pytest.mark.parametrize("late", [False, True])
async def test_a_stream_has_what_models_say_while_they_say_it(late: bool) -> None:
    """Each piece with its place, also for who comes late; the journal has the whole alone."""
    model = Speaker(["one ", "two ", "three"])
    async with AgentVM(store="memory", llm=model) as vm:
        house = create_app(vm, [speaks], Settings()).state.house
        run = await vm.start(speaks, "x")
        watch = Watch(vm, house.reader, house.settings, house.runner.closing)
        said: list[tuple[int, str]] = []
        kinds = []
        if late:
            model.on[0].set()
            while "llm#1" not in run.drafts or "two" not in run.drafts["llm#1"].said()[1]:
                await anyio.lowlevel.checkpoint()
        async for each in stream(watch, run.record, 0):
            kinds.append(each.event)
            if each.event == "text":
                data = json.loads(each.data)
                assert (data["path"], data["draft"]) == ("llm#1", 1)
                said.append((data["at"], data["text"]))
                whole = "".join(text for _, text in said)
                model.on[len(whole.split()) - 1].set()
        assert said == ([(0, "one two ")] if late else [(0, "one "), (4, "two ")]) + [(8, "three")]
        assert kinds[-1] == "end"
        assert all("one " not in json.dumps(event.detail) for event in await vm.store.events(run.id))
        assert (await run.result()) == "one two three"


async def test_what_is_no_text_has_its_turn_while_models_talk() -> None:
    """A bell that rings all the time ends a round when its time is up."""
    text, watch = Bell(), SimpleNamespace(closing=anyio.Event())
    text.tell("said")
    assert await streams._rung(watch, Bell(), text, anyio.current_time() + 3600)  # type: ignore[arg-type]
    text.tell("said")
    assert not await streams._rung(watch, Bell(), text, anyio.current_time() - 1)  # type: ignore[arg-type]
