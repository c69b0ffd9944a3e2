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
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest

from agentvm import AgentVM, agent, llm
from agentvm_compiler.errors import BackendError, InputError
from agentvm_compiler.wire import Hints, Message, ModelCall, Sampling
from agentvm_runtime import updates
from agentvm_runtime.records import CALLS, EventKind
from agentvm_serving.backends.http import client_module

pytestmark = pytest.mark.engine

SLOTS = 4
LIMIT = 600.0
"""Seconds after which a wait has failed; no machine is that slow."""


def ask(
    prompt: str, *, tokens: int = 40, key: str = "", deadline: float | None = None, **rest: Any
) -> ModelCall:
    return ModelCall(
        messages=(Message("user", prompt),),
        sampling=Sampling(temperature=0, max_tokens=tokens),
        hints=Hints(key=key, slo="deadline" if deadline else "best_effort", deadline=deadline),
        **rest,
    )


def endless(key: str = "") -> ModelCall:
    """A call that would take minutes: the schema keeps the model from ending its answer.

    Its deadline is so late that nothing waits behind it.
    """
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 2000}
    return ask("Count.", tokens=3800, key=key, deadline=time.time() + 1_000_000, schema=schema)


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
        "properties": {"city": {"type": "string", "maxLength": 20}, "capital": {"type": "boolean"}},
        "required": ["city", "capital"],
    }
    result = await engine.complete(ask("Paris. Answer in JSON.", schema=schema, tokens=300))
    answer = json.loads(result.text)
    assert {name: type(value) for name, value in answer.items()} == {"city": str, "capital": bool}


async def test_structured_output_follows_a_list_schema(engine):
    """A list of strings comes back as a list of strings."""
    schema = {"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 2, "maxItems": 3}
    answer = json.loads((await engine.complete(ask("Name colors in JSON.", schema=schema, tokens=600))).text)
    assert 2 <= len(answer) <= 3
    assert {type(item) for item in answer} == {str}


async def test_concurrent_calls_overlap(engine, events):
    """Four calls are served together: each begins before any ends."""
    keys = fresh("a", "b", "c", "d")
    begun = {key: anyio.Event() for key in keys}
    async with anyio.create_task_group() as group:
        for key in keys:
            group.start_soon(engine.complete, endless(key), lambda *_, key=key: begun[key].set())
        for each in begun.values():
            await each.wait()
        group.cancel_scope.cancel()
    first = events.of(*keys)[: 2 * SLOTS]
    assert sorted(event["event"] for event in first) == ["added"] * SLOTS + ["first_scheduled"] * SLOTS


async def test_deadlines_reach_the_scheduler(engine, events):
    """What the caller says is what the scheduler orders by."""
    [key] = fresh("call")
    deadline = time.time() + 9000.25
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
        self.scopes = [await self._hold() for _ in range(SLOTS)]
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)

    async def _hold(self) -> anyio.CancelScope:
        started, scope = anyio.Event(), anyio.CancelScope()

        async def hold() -> None:
            with scope:
                await self._engine.complete(endless(), lambda *_: started.set())

        self._group.start_soon(hold)
        await started.wait()
        return scope


async def until_added(events, *keys: str) -> None:
    """Wait until the scheduler knows these calls, which only its log tells."""
    with anyio.fail_after(LIMIT):
        while {event["key"] for event in events.of(*keys)} != set(keys):  # noqa: ASYNC110 - a file has no event
            await anyio.sleep(0.01)


async def test_tight_deadlines_are_admitted_first(engine, events):
    """With every slot taken, a later call with a tight deadline is served before an earlier loose one."""
    loose, tight = fresh("loose", "tight")
    async with Occupied(engine) as slots, anyio.create_task_group() as group:
        group.start_soon(engine.complete, ask("Hi", tokens=2, key=loose, deadline=time.time() + 90_000))
        await until_added(events, loose)
        group.start_soon(engine.complete, ask("Hi", tokens=2, key=tight, deadline=time.time() + 9000))
        await until_added(events, tight)
        slots.scopes[0].cancel()
    order = [event["key"] for event in events.of(loose, tight) if event["event"] == "first_scheduled"]
    assert order == [tight, loose]


async def test_cancelling_a_call_frees_its_slot(engine, events):
    """With every slot taken by endless calls, cancelling one lets the next in."""
    [key] = fresh("next")
    async with Occupied(engine) as slots:
        slots.scopes[0].cancel()
        await engine.complete(ask("Hi", tokens=2, key=key, deadline=time.time() + 9000))
    assert [event["event"] for event in events.of(key)][-1] == "finished"


async def test_changed_hints_move_a_waiting_call(engine, events):
    """A deadline that is tightened while the call waits lets it overtake."""
    first, second = fresh("first", "second")
    async with Occupied(engine) as slots, anyio.create_task_group() as group:
        for key, after in ((first, 900), (second, 1800)):
            group.start_soon(engine.complete, ask("Hi", tokens=2, key=key, deadline=time.time() + after))
            await until_added(events, key)
        assert await engine.scheduler.update_hints({"deadline": time.time() + 600}, key=second) == 1
        slots.scopes[0].cancel()
    order = [event["key"] for event in events.of(first, second) if event["event"] == "first_scheduled"]
    assert order == [second, first]
    [record] = await engine.scheduler.records(second)
    assert (record["updates"], record["status"], record["in_time"]) == (1, "FINISHED_LENGTH_CAPPED", True)


async def test_a_cancelled_call_says_so(engine, events):
    """Whoever still waits for it is told."""
    [key] = fresh("call")
    raised: list[BackendError] = []

    async def call() -> None:
        try:
            await engine.complete(ask("Hi", tokens=2, key=key))
        except BackendError as error:
            raised.append(error)

    async with Occupied(engine), anyio.create_task_group() as group:
        group.start_soon(call)
        await until_added(events, key)
        assert await engine.scheduler.cancel(key=key) == 1
    assert [(error.transient, "(cancelled)" in str(error)) for error in raised] == [(False, True)]


async def test_wrong_changes_are_refused(engine):
    """With the reason, over HTTP as in Python."""
    with pytest.raises(InputError, match="hints have no field 'dedline'"):
        await engine.scheduler.update_hints({"dedline": 1}, key="any")


async def test_clients_without_hints_are_served_in_order_of_arrival(engine, events):
    """As by vLLM's own scheduler."""
    names = fresh("a", "b", "c")
    http = client_module()
    body = {"model": engine.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}

    def stages(name: str) -> list[str]:
        found = [json.loads(line) for line in events.path.read_text().splitlines()]
        return [each["event"] for each in found if name in each["request"]]

    async with http.AsyncClient(transport=engine.engine.transport(), base_url="http://engine") as client:

        async def plain(name: str) -> None:
            asked = {"X-Request-Id": name}
            answer = await client.post("/v1/chat/completions", json=body, headers=asked, timeout=None)
            assert answer.status_code == 200

        async with Occupied(engine) as slots, anyio.create_task_group() as group:
            for name in (each.replace("/", "-") for each in names):
                group.start_soon(plain, name)
                while not stages(name):  # noqa: ASYNC110 - a file has no event
                    await anyio.sleep(0.02)
            slots.scopes[0].cancel()
    begun = [event["request"] for event in events.of("") if event["event"] == "first_scheduled"]
    order = [name for request in begun for name in names if name.replace("/", "-") in request]
    assert order == names


@agent
async def two_questions(name: str) -> str:
    first = await llm(f"Say {name}", temperature=0, max_tokens=4)
    return await llm(f"Say {first} again", temperature=0, max_tokens=4)


async def test_a_run_journals_what_the_engines_scheduler_noted(engine, monkeypatch):
    """When each of its calls was queued and begun, and how it ended."""
    monkeypatch.setattr(updates, "LAST", LIMIT)  # however slow the machine
    async with AgentVM(store="memory", llm=Kept(engine)) as vm:
        run = await vm.start(two_questions, "blue", deadline=900)
        await run.result()
        events = await vm.store.events(run.id)
    noted: dict[str, list[dict[str, Any]]] = {}
    for each in events:
        if each.kind is EventKind.SCHEDULED:
            noted |= each.detail[CALLS]
    asked = [each.path for each in events if each.node == "llm"]
    assert list(noted) == asked
    for [record] in noted.values():
        assert record["outcome"] == "met"
        assert record["queued_at"] <= record["started_at"] <= record["finished_at"]


class Kept:
    """The engine, which a machine that ends leaves running."""

    def __init__(self, engine: Any) -> None:
        self.identity, self.complete, self.scheduler = engine.identity, engine.complete, engine.scheduler

    async def aclose(self) -> None:
        pass


async def test_metrics_are_beside_the_engines_own(engine):
    """One `/metrics` has vLLM's metrics and the scheduler's."""
    [key] = fresh("call")
    await engine.complete(ask("Hi", tokens=2, key=key, deadline=time.time() + 1000))
    found = await metrics(engine)
    assert found['agentvm:requests_total{outcome="met",slo="deadline"}'] >= 1
    assert found['agentvm:goodput_tokens_total{slo="deadline"}'] >= 2
    assert found["agentvm:scheduling_seconds_count"] > 0
    assert found["agentvm:slack_seconds_count"] >= 1
    assert found["agentvm:step_seconds_count"] > 0 and found["agentvm:step_seconds_sum"] > 0
    assert found["agentvm:holding"] == 0  # it has slots for all
    assert any(name.startswith("vllm:generation_tokens_total") for name in found)


async def metrics(engine: Any) -> dict[str, float]:
    """What the server's `/metrics` says."""
    http = client_module()
    async with http.AsyncClient(transport=engine.engine.transport(), base_url="http://engine") as client:
        text = (await client.get("/metrics/", follow_redirects=True)).text
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def test_prompts_are_cut_and_prefixes_cached(engine):
    """A prompt longer than a step takes several; the second time most of it is in the cache."""
    story = " ".join(f"Item {number} costs {number * 7 % 50} coins." for number in range(60))
    first = await engine.complete(ask(f"{story} What is the capital of France?", tokens=8))
    assert first.usage.input_tokens > 2 * 256
    before = sum(
        v for k, v in (await metrics(engine)).items() if k.startswith("vllm:prefix_cache_hits_total")
    )
    second = await engine.complete(ask(f"{story} What is the capital of France?", tokens=8))
    after = sum(v for k, v in (await metrics(engine)).items() if k.startswith("vllm:prefix_cache_hits_total"))
    assert after - before > 256
    assert second.text == first.text


async def test_speculation_preemption_and_pauses_change_no_answer(engine, strict, held):
    """Greedy answers are those of an engine that has memory for all, pauses nobody and guesses nothing."""
    prompts = [f"Write the numbers from {first} to 99, with commas." for first in (1, 11, 21, 31)]
    answers: dict[tuple[Any, str], str] = {}

    async def one(backend: Any, prompt: str) -> None:
        answers[backend, prompt] = (await backend.complete(ask(prompt, tokens=64))).text

    async def all_at_once(backend: Any) -> None:
        async with anyio.create_task_group() as group:
            for prompt in prompts:
                group.start_soon(one, backend, prompt)

    await all_at_once(engine)
    await all_at_once(strict)
    for _ in range(20):  # a busy machine may have sent them one after the other
        if (await metrics(strict)).get("agentvm:preemptions_total") and held.exists():
            break
        await all_at_once(strict)
    assert [answers[strict, prompt] for prompt in prompts] == [answers[engine, prompt] for prompt in prompts]
    found = await metrics(strict)
    assert sum(v for k, v in found.items() if k.startswith("vllm:spec_decode_num_accepted_tokens_total")) > 0
    assert found["agentvm:preemptions_total"] > 0
    assert held.stat().st_size > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hopeless_request_of_an_openai_client_is_refused(strict, stream):
    """It gets the reason: as the answer's stop reason, or as an error of its stream. Others are served."""
    # Thirty steps or more, four tokens each at most: the engine's pace is known from here.
    await strict.complete(ask("Write the numbers from 1 to 99, with commas.", tokens=120))
    hints = {"version": 1, "slo": "deadline", "deadline": time.time() + 0.001, "site": "refused"}
    asked = {"model": strict.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 200}
    xargs = {"vllm_xargs": {"agentvm": json.dumps(hints)}}
    async with openai_client(strict) as client:
        if stream:
            with pytest.raises(openai.APIError, match="could not be in time") as caught:
                async for _ in await client.chat.completions.create(**asked, stream=True, extra_body=xargs):
                    pass
            assert caught.value.type == "agentvm_refused"
        else:
            [choice] = (await client.chat.completions.create(**asked, extra_body=xargs)).choices
            assert choice.finish_reason == "abort"
            assert choice.stop_reason.startswith("agentvm: it cannot be in time: it has ")
        served = await client.chat.completions.create(**{**asked, "max_tokens": 2})
        assert served.choices[0].finish_reason == "length"


def openai_client(backend: Any) -> openai.AsyncOpenAI:
    """The official client of an engine of ours."""
    http = client_module().AsyncClient(transport=backend.engine.transport())
    return openai.AsyncOpenAI(
        base_url="http://engine/v1", api_key="none", http_client=http, max_retries=0, timeout=LIMIT
    )


@agent
async def one_question(name: str) -> str:
    return await llm(f"Say {name}", temperature=0, max_tokens=2)


async def test_a_run_whose_deadline_is_brought_forward_overtakes(engine, events, monkeypatch):
    """Its waiting call is told at the engine; cancelled, its call is ended there."""
    monkeypatch.setattr(updates, "PAUSE", 0.0)
    [other] = fresh("other")
    async with AgentVM(store="memory", llm=Kept(engine)) as vm, Occupied(engine) as slots:
        hurried, dropped = [await vm.start(one_question, each, deadline=9000) for each in ("a", "b")]
        keys = [f"{each.id}/llm#1" for each in (hurried, dropped)]
        await until_added(events, *keys)
        async with anyio.create_task_group() as group:
            group.start_soon(engine.complete, ask("Hi", tokens=2, key=other, deadline=time.time() + 3000))
            await until_added(events, other)
            await hurried.tighten(1000)
            await dropped.cancel()
            with anyio.fail_after(LIMIT):
                while not (await engine.scheduler.records(keys[0]))[0]["updates"]:  # noqa: ASYNC110 - of another process
                    await anyio.sleep(0.01)
            slots.scopes[0].cancel()
            await hurried.result()
        [record] = await engine.scheduler.records(keys[0])
        assert (record["deadline"], record["outcome"]) == (hurried.record.deadline_at, "met")
        assert (await engine.scheduler.records(keys[1]))[0]["outcome"] in ("refused", "aborted")
    order = [each["key"] for each in events.of(*keys, other) if each["event"] == "first_scheduled"]
    assert order == [keys[0], other]


async def test_vllms_priority_is_taken_and_ignored(engine):
    """A client that sends one is served by our order, not refused."""
    async with openai_client(engine) as client:
        asked = {"model": engine.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
        answer = await client.chat.completions.create(**asked, extra_body={"priority": 7})
        assert answer.choices[0].finish_reason == "length"


async def test_hopeless_calls_are_rejected_with_the_reason(strict):
    """At once, and not to be tried again."""
    # Thirty steps or more, four tokens each at most: the engine's pace is known from here.
    await strict.complete(ask("Write the numbers from 1 to 99, with commas.", tokens=120))
    with pytest.raises(BackendError, match=r"it cannot be in time: it has .* s, its prompt takes") as caught:
        await strict.complete(ask("Hi", tokens=200, key="hopeless", deadline=time.time() + 0.001))
    assert not caught.value.transient
    assert (await strict.complete(ask("Hi", tokens=2))).finish_reason == "length"


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


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc (Linux)")
def test_killing_the_owner_leaves_no_orphan(model_folder):
    """After kill -9 of the process that started it, every process of the engine ends."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", OWNER, str(model_folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as owner:
        group = int(owner.stdout.readline())
        assert len(members(group)) > 2  # the server, its watchdog, the engine's core
        owner.send_signal(signal.SIGKILL)
    end = time.monotonic() + LIMIT
    while left := members(group):
        with suppress(ProcessLookupError):  # it has ended since
            process = os.pidfd_open(left[0])
            ended, _, _ = select.select([process], [], [], max(0.0, end - time.monotonic()))
            os.close(process)
            assert ended, f"still there: {left}"
