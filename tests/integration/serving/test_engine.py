"""A real vLLM engine with our scheduler, serving the small model."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from agentvm_compiler.errors import BackendError
from agentvm_compiler.wire import Hints, Message, ModelCall, Sampling

pytestmark = pytest.mark.engine

SLOTS = 4


def ask(
    prompt: str, *, tokens: int = 40, key: str = "", deadline: float | None = None, **rest: Any
) -> ModelCall:
    return ModelCall(
        messages=(Message("user", prompt),),
        sampling=Sampling(temperature=0, max_tokens=tokens),
        hints=Hints(key=key, slo="deadline" if deadline else "best_effort", deadline=deadline),
        **rest,
    )


def fresh(*names: str) -> list[str]:
    """Keys of this test alone: the engine's log is shared."""
    nonce = uuid.uuid4().hex[:8]
    return [f"{nonce}/{name}" for name in names]


async def test_greedy_answer_is_right(engine):
    """A real model answers, with usage, timing and the identity of its weights."""
    seen: list[int] = []
    result = await engine.complete(ask("What is the capital of France?"), lambda *told: seen.append(told[0]))
    assert result.text == "The capital of France is Paris."
    assert (result.finish_reason, result.model) == ("stop", engine.identity(None))
    assert result.usage.input_tokens > 0
    assert seen == sorted(set(seen))
    assert seen[-1] == result.usage.output_tokens
    assert result.timing.sent_at < result.timing.first_token_at <= result.timing.finished_at


async def test_structured_output_follows_an_object_schema(engine):
    """Guided decoding: even a small model answers in the asked form."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "capital": {"type": "boolean"}},
        "required": ["city", "capital"],
    }
    result = await engine.complete(ask("Paris. Answer in JSON.", schema=schema, tokens=60))
    answer = json.loads(result.text)
    assert {name: type(value) for name, value in answer.items()} == {"city": str, "capital": bool}


async def test_structured_output_follows_a_list_schema(engine):
    """A list of strings comes back as a list of strings."""
    schema = {"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 2, "maxItems": 3}
    answer = json.loads((await engine.complete(ask("Name colors in JSON.", schema=schema, tokens=90))).text)
    assert 2 <= len(answer) <= 3
    assert {type(item) for item in answer} == {str}


async def test_concurrent_calls_overlap(engine, events):
    """Four calls are served together: each begins before any ends."""
    keys = fresh("a", "b", "c", "d")
    async with anyio.create_task_group() as group:
        for key in keys:
            group.start_soon(engine.complete, ask(f"Tell a story about {key}.", tokens=60, key=key))
    stages = [event["event"] for event in events.of(*keys)]
    assert stages.index("finished") > max(i for i, stage in enumerate(stages) if stage == "first_scheduled")


async def test_deadlines_reach_the_scheduler(engine, events):
    """What the caller says is what the scheduler orders by."""
    [key] = fresh("call")
    deadline = time.time() + 1000.25
    await engine.complete(ask("Hi", tokens=2, key=key, deadline=deadline))
    found = events.of(key)
    assert [event["event"] for event in found] == ["added", "first_scheduled", "finished"]
    assert {event["deadline"] for event in found} == {deadline}


class Occupied:
    """Holds every slot of the engine with long calls, until left."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> Occupied:
        await self._group.__aenter__()
        self.scopes = [await self._hold(index) for index in range(SLOTS)]
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)

    async def _hold(self, index: int) -> anyio.CancelScope:
        started, scope = anyio.Event(), anyio.CancelScope()
        # The schema keeps the model from ending its answer, the deadline lets nothing wait behind it.
        endless = {"type": "array", "items": {"type": "integer"}, "minItems": 1000}
        call = ask(f"Count from {index}.", tokens=2000, deadline=time.time() + 9000, schema=endless)

        async def hold() -> None:
            with scope:
                await self._engine.complete(call, lambda *_: started.set())

        self._group.start_soon(hold)
        await started.wait()
        return scope


async def until_added(events, *keys: str) -> None:
    """Wait until the scheduler knows these calls, which only its log tells."""
    while {event["key"] for event in events.of(*keys)} != set(keys):
        await anyio.lowlevel.checkpoint()


async def test_tight_deadlines_are_admitted_first(engine, events):
    """With every slot taken, a later call with a tight deadline is served before an earlier loose one."""
    loose, tight = fresh("loose", "tight")
    async with Occupied(engine) as slots, anyio.create_task_group() as group:
        group.start_soon(engine.complete, ask("Hi", tokens=2, key=loose, deadline=time.time() + 900))
        await until_added(events, loose)
        group.start_soon(engine.complete, ask("Hi", tokens=2, key=tight, deadline=time.time() + 60))
        await until_added(events, tight)
        slots.scopes[0].cancel()
    order = [event["key"] for event in events.of(loose, tight) if event["event"] == "first_scheduled"]
    assert order == [tight, loose]


async def test_cancelling_a_call_frees_its_slot(engine, events):
    """With every slot taken by endless calls, cancelling one lets the next in."""
    [key] = fresh("next")
    async with Occupied(engine) as slots:
        slots.scopes[0].cancel()
        await engine.complete(ask("Hi", tokens=2, key=key, deadline=time.time() + 60))
    assert [event["event"] for event in events.of(key)][-1] == "finished"


async def test_wrong_requests_say_what_is_wrong(engine):
    """The engine's refusals come as permanent errors with a remedy."""
    with pytest.raises(BackendError, match=r"was not found .*Models it serves: ") as unknown:
        await engine.complete(ask("Hi", model="nobody/nothing"))
    with pytest.raises(BackendError, match="do not fit the context") as long:
        await engine.complete(ask("word " * 6000))
    assert not unknown.value.transient
    assert not long.value.transient


async def test_half_fetched_weights_say_so(model_folder, tmp_path):
    """A model that does not load is an error with the reason and the log's path."""
    from agentvm_serving.backends.vllm import VllmBackend

    broken = tmp_path / "broken"
    broken.mkdir()
    for file in model_folder.iterdir():
        if file.suffix != ".safetensors":
            (broken / file.name).symlink_to(file)
    whole = (model_folder / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(whole[:1_000_000])
    backend = VllmBackend(str(broken), log_folder=tmp_path / "logs")
    with pytest.raises(BackendError, match=r"could not load the model's weights(.|\n)*Error") as caught:
        await backend.start()
    [log] = (tmp_path / "logs").iterdir()
    assert str(log) in str(caught.value)


OWNER = """
import sys
import anyio
from agentvm_serving.backends.vllm import VllmBackend

async def main():
    backend = VllmBackend(sys.argv[1])
    await backend.start()
    print(backend.engine.pid, flush=True)
    await anyio.sleep_forever()

if __name__ == "__main__":
    anyio.run(main)
"""


def members(group: int) -> list[int]:
    """Live processes of a process group."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, _, pgrp = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(pgrp) == group and state != "Z":
                found.append(int(folder.name))
    return found


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs process descriptors (Linux)")
def test_killing_the_owner_leaves_no_orphan(model_folder):
    """After kill -9 of the process that started it, every process of the engine ends."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", OWNER, str(model_folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as owner:
        group = int(owner.stdout.readline())
        ends = [os.pidfd_open(pid) for pid in members(group)]
        assert len(ends) > 2  # the server, its watchdog, the engine's core
        owner.send_signal(signal.SIGKILL)
        for end in ends:
            ready, _, _ = select.select([end], [], [], 60)
            assert ready
            os.close(end)
    assert members(group) == []
