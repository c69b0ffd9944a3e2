"""Which failures a retry tries again: those that the program ended with, and no others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from agentvm import AgentVM, RunFailed, agent, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime.store.memory import MemoryStore

DONE: list[str] = []
DOWN = {"a", "b"}


def reach(name: str) -> str:
    DONE.append(name)
    if name in DOWN:
        raise ConnectionError("down")
    return f"<{name}>"


@tool(effect="read")
async def ask(name: str) -> str:
    return reach(name)


@tool(effect="read")
def ask_here(name: str) -> str:
    return reach(name)


@tool
async def post(name: str) -> str:
    return reach(name)


class PlanFailed(Exception):
    pass


@agent
async def handles_one(first: str, second: str) -> str:
    try:
        text = await ask(first)
    except ConnectionError:
        text = "nothing"
    return text + await ask(second)


@agent
async def inner(name: str) -> str:
    return await ask(name)


@agent
async def handles_an_agent(first: str, second: str) -> str:
    try:
        text = await inner(first)
    except ConnectionError:
        text = "nothing"
    return text + await inner(second)


@contextlib.asynccontextmanager
async def around() -> AsyncIterator[None]:
    """What is within it is traced."""
    yield


@agent
async def traced(first: str, second: str) -> str:
    async with around():
        text = "nothing"
        with contextlib.suppress(ConnectionError):
            text = await ask(first)
        return text + await ask(second)


@agent
async def traced_here(first: str, second: str) -> str:
    async with around():
        text = "nothing"
        with contextlib.suppress(ConnectionError):
            text = ask_here(first)
        return text + ask_here(second)


@agent
async def traced_within(first: str, second: str) -> str:
    text = "nothing"
    with contextlib.suppress(ConnectionError):
        async with around():
            text = await ask(first)
    return text + await ask(second)


@agent
async def raises_what_it_kept(first: str, second: str) -> str:
    last: Exception | None = None
    for name in [first, second]:
        try:
            return await ask(name)
        except ConnectionError as error:
            last = error
    raise last


@agent
async def side_by_side(first: str, second: str) -> list[str]:
    return await asyncio.gather(ask(first), ask(second))


@agent
async def wraps(first: str, second: str) -> str:
    try:
        text = await ask(first)
    except ConnectionError:
        text = "nothing"
    try:
        return text + await ask(second)
    except ConnectionError as error:
        raise PlanFailed("no plan") from error


@agent
async def a_write_fails(first: str, second: str) -> str:
    try:
        text = await post(first)
    except ConnectionError:
        text = "nothing"
    return text + await post(second)


@pytest.fixture(autouse=True)
def clean():
    DONE.clear()
    DOWN.clear()
    DOWN.update("ab")


async def fail(store: MemoryStore, program) -> str:
    async with AgentVM(store=store, llm=ScriptedLLM(lambda call: "")) as vm:
        run = await vm.start(program, "a", "b")
        with pytest.raises(RunFailed):
            await run.result()
    return run.id


async def retry(store: MemoryStore, run: str):
    async with AgentVM(store=store, llm=ScriptedLLM(lambda call: "")) as vm:
        return await (await vm.resume(run, retry=True)).result()


HANDLED = [handles_one, handles_an_agent, traced, traced_here, traced_within, a_write_fails]


@pytest.mark.parametrize("program", HANDLED, ids=lambda each: each.name)
async def test_a_failure_that_was_handled_stands(program):
    """Though it equals the one that ended the run: that alone is tried again, once and a second time."""
    store = MemoryStore()
    run = await fail(store, program)
    DONE.clear()
    with pytest.raises(RunFailed):
        await retry(store, run)
    assert DONE == ["b"]
    DOWN.clear()
    assert await retry(store, run) == "nothing<b>"
    assert DONE == ["b", "b"]


@pytest.mark.parametrize("program", HANDLED, ids=lambda each: each.name)
@pytest.mark.parametrize("near", [True, False])
async def test_a_fork_tries_again_what_ended_its_parent(program, near: bool):
    """And inherits the equal failure that was handled; that of a write, too, which may have happened."""
    store = MemoryStore()
    store.near = near
    run = await fail(store, program)
    DOWN.clear()
    DONE.clear()
    async with AgentVM(store=store, llm=ScriptedLLM(lambda call: "")) as vm:
        fork = await vm.fork(run)
        if program is a_write_fails:
            with pytest.raises(RunFailed):
                await fork.result()
            assert DONE == []
        else:
            assert await fork.result() == "nothing<b>"
            assert DONE == ["b"]


async def test_what_failed_beside_it_is_tried_again_too():
    """Nothing handled it: otherwise each retry would end with the next of them."""
    store = MemoryStore()
    run = await fail(store, side_by_side)
    DOWN.clear()
    DONE.clear()
    assert await retry(store, run) == ["<a>", "<b>"]
    assert sorted(DONE) == ["a", "b"]


async def test_a_failure_that_was_kept_and_raised_later_is_tried_again():
    """The last of equal ones that were handled."""
    store = MemoryStore()
    run = await fail(store, raises_what_it_kept)
    DOWN.clear()
    DONE.clear()
    assert await retry(store, run) == "<b>"
    assert DONE == ["b"]


async def test_what_an_exception_was_raised_from_is_tried_again():
    """An exception of the agent's own code has no work that could be done again; its cause has."""
    store = MemoryStore()
    run = await fail(store, wraps)
    DOWN.clear()
    DONE.clear()
    assert await retry(store, run) == "nothing<b>"
    assert DONE == ["b"]


@agent
async def inner_wraps(name: str) -> str:
    try:
        return await ask(name)
    except ConnectionError as error:
        raise PlanFailed("no plan") from error


@agent
async def wraps_within(first: str, second: str) -> str:
    return await inner_wraps(second)


@agent
async def wraps_traced(first: str, second: str) -> str:
    async with around():
        try:
            return await ask(second)
        except ConnectionError as error:
            raise PlanFailed("no plan") from error


@pytest.mark.parametrize("program", [wraps_within, wraps_traced], ids=lambda each: each.name)
async def test_code_that_raised_is_run_again_with_what_it_raised_from(program):
    """An agent that was called, or a traced region: to run it again as it was would end as before."""
    store = MemoryStore()
    run = await fail(store, program)
    DOWN.clear()
    DONE.clear()
    assert await retry(store, run) == "<b>"
    assert DONE == ["b"]


def jot(text: str) -> None:
    DONE.append(text)
    raise ValueError(f"no {text}")


@agent
async def breaks_in_code(first: str, second: str) -> str:
    count, items = 0, []
    try:
        count = 1
        items.append("one")
        jot(first)
        count = 2
    except ValueError as error:
        items.append(str(error))
    return f"{count} {items} " + await ask(second)


@agent
async def breaks_in_traced(first: str, second: str) -> str:
    count, items = 0, []
    try:
        async with around():
            count = 1
            items.append(await ask("c"))
            jot(first)
            count = 2
    except ValueError as error:
        items.append(str(error))
    return f"{count} {items} " + await ask(second)


@pytest.mark.parametrize(
    ("program", "items"),
    [(breaks_in_code, ["one", "no a"]), (breaks_in_traced, ["<c>", "no a"])],
    ids=lambda each: getattr(each, "name", ""),
)
async def test_code_with_effects_that_failed_is_not_run_again(program, items: list[str]):
    """Its failure is recorded with what it had assigned by then, and handled again as it was."""
    store = MemoryStore()
    run = await fail(store, program)
    assert DONE.count("a") == 1
    DOWN.clear()
    DONE.clear()
    assert await retry(store, run) == f"1 {items} <b>"
    assert DONE == ["b"]


@agent
async def breaks_for_good(first: str, second: str) -> str:
    text = await ask("c")
    if first in DOWN:
        jot(first)
    return text


async def test_code_that_ended_the_run_is_run_again_by_a_retry():
    """A failure of the agent's own code that nothing handled is tried again like a tool's."""
    store = MemoryStore()
    run = await fail(store, breaks_for_good)
    DOWN.clear()
    DONE.clear()
    with pytest.raises(RunFailed, match="no a"):
        async with AgentVM(store=store, llm=ScriptedLLM(lambda call: "")) as vm:
            await (await vm.resume(run)).result()
    assert DONE == []
    DOWN.add("a")
    with pytest.raises(RunFailed, match="no a"):
        await retry(store, run)
    assert DONE == ["a"]
    DOWN.clear()
    assert await retry(store, run) == "<c>"
