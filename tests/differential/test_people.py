"""Programs that ask people do as ordinary Python does, answered at once or suspended for each answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from agentvm import AgentVM, RunFailed, RunSuspended, agent, ask_human, llm, now, tool
from agentvm.testing import ScriptedLLM, plain

WRITES: list[str] = []


@tool
async def publish(text: str) -> str:
    WRITES.append(text)
    return f"published {text}"


@tool(effect="read")
async def written() -> int:
    return len(WRITES)


@dataclass
class Edit:
    text: str
    done: bool


class Rude(Exception):
    """The person was."""


@agent
async def second_opinion(text: str) -> bool:
    return await ask_human(f"And {text}?", returns=bool)


@agent
async def editing(topic: str) -> str:
    """Questions in a loop, each depending on the answer before."""
    draft = await llm(f"draft {topic}")
    for number in range(4):
        edit = await ask_human(f"{number}: {draft}", returns=Edit)
        if edit.done:
            break
        draft = await llm(f"{draft} with {edit.text}")
    return await publish(draft)


@agent
async def polling(names: list[str]) -> dict[str, bool]:
    """One question for each item, and a write for each yes."""
    votes = {name: await ask_human(f"{name}?", returns=bool) for name in names}
    for name in names:
        if votes[name]:
            await publish(name)
    return votes


@agent
async def gathered(topic: str) -> list[Any]:
    """Questions, a sub-agent and the model side by side."""
    found = await asyncio.gather(
        ask_human(f"one {topic}?"),
        second_opinion(topic),
        llm(f"facts {topic}"),
        ask_human(f"two {topic}?", returns=int),
    )
    return [*found, await written()]


@agent
async def handled(topic: str) -> str:
    """An answer that makes the program raise, and one after a write."""
    try:
        mood = await ask_human("How are you?")
        if "bad" in mood:
            raise Rude(mood)
        await publish(mood)
    except Rude as error:
        await publish(f"sorry: {error}")
    finally:
        more = await ask_human("More?", returns=bool)
    return f"{topic} {more} {await written()}"


@agent
async def raising(topic: str) -> str:
    """What it asks before it fails is asked, what comes after is not."""
    first = await ask_human("First?")
    await publish(first)
    raise Rude(f"{topic} {first}")


@agent
async def in_traced_code(topic: str) -> list[str]:
    """An await under a name the compiler does not follow, and a task group."""
    found: list[str] = []

    async def put(question: str) -> None:
        found.append(await ask_human(question))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(put(f"a {topic}"))
        tasks.create_task(put(f"b {topic}"))
    ask: Callable[..., Any] = ask_human
    found.append(await ask("late"))
    return sorted(found)


@agent
async def conditional(topic: str) -> tuple[str, bool]:
    """Asked only if it must be, within an expression."""
    begun = now()
    sure = "sure" in topic or await ask_human("Sure?", returns=bool)
    answer = (await ask_human("Why?")).upper() if sure else await llm("why not")
    return answer, now() >= begun


def answer(request: Any) -> Any:
    """A person whose answers depend on the question alone."""
    if request.returns is bool:
        return len(request.question) % 2 == 0
    if request.returns is int:
        return len(request.question)
    if request.returns is Edit:
        return Edit("more salt", request.question.startswith("2"))
    return f"bad {request.question}" if "are you" in request.question else f"re {request.question}"


def model() -> ScriptedLLM:
    return ScriptedLLM(lambda call: call.prompt.upper())


CASES = [
    (editing, "soup"),
    (polling, ["Ada", "Bob", "Cy", "Dora"]),
    (gathered, "tea"),
    (handled, "x"),
    (raising, "y"),
    (in_traced_code, "z"),
    (conditional, "sure"),
    (conditional, "not so"),
]


async def outcome(run: Any) -> tuple[Any, ...]:
    """Result or exception, and what was written."""
    WRITES.clear()
    try:
        return ("result", await run, list(WRITES))
    except RunFailed as failed:
        return ("raised", repr(failed.error), list(WRITES))
    except Rude as error:
        return ("raised", repr(error), list(WRITES))


async def suspending(program: Any, argument: Any, store: str) -> Any:
    """Run it in one process for each answer."""
    identity = ""
    for _ in range(20):
        async with AgentVM(store=store, llm=model()) as vm:
            handle = await (vm.resume(identity) if identity else vm.start(program, argument))
            identity = handle.id
            try:
                return await handle.result()
            except RunSuspended:
                question = (await vm.questions(identity))[0]
                await vm.answer(identity, question.path, reply(question))
    raise AssertionError("it asks for ever")


def reply(question: Any) -> Any:
    """The same answer, from what is known of the question without the program."""
    kinds = {"boolean": bool, "integer": int, "object": Edit}
    kind = kinds.get(question.schema.get("type"), str)
    given = answer(type("Request", (), {"question": question.text, "returns": kind}))
    return vars(given) if isinstance(given, Edit) else given


@pytest.mark.parametrize(("program", "argument"), CASES, ids=[each.name for each, _ in CASES])
async def test_asking_is_plain(program, argument, tmp_path):
    """Result, exception and writes are those of plain Python, however the answers come."""
    with plain(llm=model(), human=answer):
        expected = await outcome(program(argument))
    async with AgentVM(store="memory", llm=model(), human=answer) as vm:
        assert await outcome(vm.run(program, argument)) == expected
    assert await outcome(suspending(program, argument, f"sqlite:///{tmp_path}/runs.db")) == expected
