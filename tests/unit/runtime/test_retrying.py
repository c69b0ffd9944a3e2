"""Trying again: how often, after which errors, and across processes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import anyio
import pytest

from agentvm import AgentVM, BackendError, Budget, ConfigError, Retry, RunFailed, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime.records import EventKind

LOG: list[str] = []
BLOCK: list[anyio.Event] = []
"""Set when an attempt hangs; an attempt hangs if there is one that is not set."""


@pytest.fixture(autouse=True)
def log() -> list[str]:
    LOG.clear()
    BLOCK.clear()
    return LOG


MODEL = ScriptedLLM("unused")


@tool(effect="read", retries=Retry(attempts=4, backoff=0.001, on=ConnectionError))
async def flaky(name: str, failures: int, error: type[Exception] = ConnectionError) -> str:
    LOG.append(name)
    if BLOCK and not BLOCK[0].is_set() and len(LOG) == 3:
        BLOCK[0].set()
        await asyncio.Event().wait()
    if LOG.count(name) <= failures:
        raise error(f"no {LOG.count(name)}")
    return f"{name} after {LOG.count(name)}"


@agent
async def once(name: str, failures: int) -> str:
    return await flaky(name, failures)


@agent
async def wrong() -> str:
    return await flaky("x", 3, ValueError)


async def test_a_tool_is_tried_again_after_the_errors_of_its_policy():
    """Failed attempts are in the journal, with the reason; the last error is the tool's."""
    async with AgentVM(store="memory", llm=MODEL) as vm:
        handle = await vm.start(once, "a", 2)
        assert await handle.result() == "a after 3"
        attempts = [each for each in await vm.store.events(handle.id) if each.kind is EventKind.ATTEMPT]
        assert [(each.path, each.detail["attempt"], each.detail["error"]) for each in attempts] == [
            ("flaky#1", 1, "ConnectionError: no 1"),
            ("flaky#1", 2, "ConnectionError: no 2"),
        ]
        with pytest.raises(RunFailed, match="no 4"):
            await vm.run(once, "b", 9)
        assert LOG.count("b") == 4


async def test_another_error_is_not_tried_again():
    """`on` names what may pass."""
    async with AgentVM(store="memory", llm=MODEL) as vm:
        with pytest.raises(RunFailed, match="no 1"):
            await vm.run(wrong)
    assert LOG == ["x"]


async def test_a_resumed_run_goes_on_counting(tmp_path):
    """Attempts of an earlier process count; the one that was cut off is made again."""
    store = f"sqlite:///{tmp_path}/runs.db"
    BLOCK.append(anyio.Event())
    async with AgentVM(store=store, llm=MODEL) as vm:
        handle = await vm.start(once, "a", 9)
        await BLOCK[0].wait()
    assert len(LOG) == 3
    async with AgentVM(store=store, llm=MODEL) as vm:
        with pytest.raises(RunFailed, match="no 5"):
            await (await vm.resume(handle.id)).result()
        assert len(LOG) == 5, "two failed before, one was cut off, two of four were left"
        with pytest.raises(RunFailed, match="no 9"):
            await (await vm.resume(handle.id, retry=True)).result()
        assert len(LOG) == 9, "trying the failed run again gives all attempts anew"


@agent
async def asks() -> str:
    return await llm("question", retries=Retry(attempts=3), timeout=0.05)


async def test_a_model_call_is_tried_again_after_what_may_pass():
    """A transient error and a timeout of the attempt; nothing else."""

    async def script(call):
        LOG.append(call.prompt)
        if len(LOG) == 1:
            raise BackendError("busy", transient=True)
        if len(LOG) == 2:
            await asyncio.Event().wait()
        return "answer"

    async with AgentVM(store="memory", llm=ScriptedLLM(script)) as vm:
        assert await vm.run(asks) == "answer"
    assert len(LOG) == 3


@tool(effect="read", retries=2)
def blocking() -> int:
    LOG.append("call")
    if len(LOG) < 3:
        raise OSError("not yet")
    return len(LOG)


@agent
async def traced() -> list[int]:
    found = []
    async with asyncio.TaskGroup():
        found.append(blocking())
    return found


async def test_a_synchronous_tool_in_traced_code_is_tried_again():
    """The policy holds however the tool is called."""
    async with AgentVM(store="memory", llm=MODEL) as vm:
        assert await vm.run(traced) == [3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Retry(attempts=0), "at least one attempt"),
        (lambda: Retry(backoff=-1), "cannot be negative"),
        (lambda: Retry(on=("OSError",)), "name exception classes"),
        (lambda: tool(retries="3", effect="read")(lambda: 1), "neither a number nor a Retry"),
        (lambda: tool(retries=Retry())(lambda: 1), "only if repeating it is harmless"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(make, message):
    """Where it is written."""
    with pytest.raises(ConfigError, match=message):
        make()


def test_pauses_grow_up_to_the_longest():
    """Exponential backoff."""
    policy = Retry(backoff=1, factor=3, longest=5)
    assert [policy.pause(failures) for failures in (1, 2, 3)] == [1, 3, 5]
    assert 2 <= Retry(backoff=2, jitter=0.5).pause(1) <= 3


@dataclass(frozen=True)
class Refused(Exception):
    """An exception that refuses assignments, also of its traceback."""

    why: str


@tool(effect="read", timeout=500, retries=1)
async def refuses() -> str:
    raise Refused("no")


@agent(deadline=6000)
async def handles() -> str:
    try:
        return await refuses()
    except Refused as error:
        return error.why


@agent(deadline=6000)
async def passes_on() -> str:
    return f"handled {await handles()}, {await refuses()}"


async def test_no_limit_touches_an_exception_on_its_way():
    """Timeouts, retries, deadlines and budgets let through what refuses assignments."""
    async with AgentVM(store="memory", llm=MODEL) as vm:
        with pytest.raises(RunFailed) as raised:
            await vm.run(passes_on, deadline=6000, budget=Budget(seconds=6000), concurrency=1)
    assert raised.value.error == Refused("no")
