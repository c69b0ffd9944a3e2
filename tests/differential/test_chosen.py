"""Calls of what is chosen as the program runs, from tables and through variables."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from agentvm import agent, llm, tool
from agentvm_compiler.compile import compile_agent
from agentvm_compiler.ir import Kind

from .crash import assert_resumes, events_of_a_whole_run
from .harness import Case, model, observe_compiled, observe_plain

LOG: list[str] = []


@tool
async def write(text: str) -> str:
    LOG.append(text)
    return f"wrote {text}"


@tool(effect="read")
async def read(text: str) -> str:
    return f"{text} after {len(LOG)}"


@tool
async def grow(words: list[str]) -> int:
    words.append("grown")
    return len(words)


@agent
async def asked(text: str) -> str:
    return await llm(f"about {text}")


async def helped(text: str) -> str:
    """A helper without a decorator."""
    return await write(await llm(f"help with {text}"))


def not_async(text: str) -> str:
    return text


TOOLS: dict[str, Any] = {"write": write, "read": read, "asked": asked, "helped": helped}
LISTED = [write, read]
MIXED: dict[str, Any] = {"write": write, "llm": llm, "plain": not_async}
CHANGING: dict[str, Any] = {"write": write}
GROWING: dict[str, Any] = {"grow": grow, "write": write}
COMPILED: list[Any] = []
CASES: list[Any] = []


def case(*args: Any, compiled: bool = True) -> Callable[[Any], Any]:
    """Have the agent run with these arguments; whether all of it is compiled is checked, too."""

    def add(program: Any) -> Any:
        CASES.append(pytest.param(program, args, id=f"{program.fn.__name__}-{len(CASES)}"))
        if compiled:
            COMPILED.append(program)
        return program

    return add


@case(["read", "write", "asked", "helped", "read"])
@case(["read", "none", "write"])
@agent
async def by_key(names: list[str]) -> list[str]:
    return [await TOOLS[name](name) for name in names]


@case("none")
@agent
async def key_error_before_arguments(name: str) -> str:
    await write("first")
    return await TOOLS[name](await write("argument"))


@case("none")
@case("read")
@agent
async def none_is_not_called(name: str) -> str:
    chosen = TOOLS.get(name)
    return await chosen(await llm("argument"))  # type: ignore[misc]


@case("none")
@agent
async def a_default(name: str) -> str:
    chosen = TOOLS.get(name, asked)
    first = await chosen("x")
    chosen = read if first else write
    return first + await chosen("y")


@case([0, 1, 0])
@agent
async def by_index(numbers: list[int]) -> list[str]:
    found = []
    for number in numbers:
        if number > 1:
            break
        found.append(await LISTED[number](f"{number}"))
    return found


@case(["a", "b"], compiled=False)
@agent
async def chosen_before_the_argument(words: list[str]) -> list[str]:
    name = "write"
    return [await TOOLS[name](name := word) for word in words]


@case("x", compiled=False)
@agent
async def not_all_are_ours(text: str) -> list[object]:
    return [await MIXED[name](text) for name in ("llm", "write")]


@case("x", compiled=False)
@agent
async def not_awaitable(text: str) -> object:
    await write("before")
    return await MIXED["plain"](text)


@case("x")
@agent
async def replaced_meanwhile(text: str) -> list[str]:
    await write("before")
    replace_tools()
    first = await CHANGING["write"](text)
    await write("after")
    return [first]


def replace_tools() -> None:
    CHANGING["write"] = nested


async def nested(text: str) -> str:
    return await write(await llm(text)) + await unknown(text)


async def unknown(text: str) -> str:
    return text


@case("x")
@agent
async def replaced_by_the_model(text: str) -> list[str]:
    replace_by_model()
    first = await CHANGING["write"](text)
    return [first, await write("after")]


def replace_by_model() -> None:
    CHANGING["write"] = llm


@case("grow", compiled=False)
@agent
async def changes_its_argument(name: str) -> list[object]:
    words = ["a"]
    size = await GROWING[name](words)
    return [size, words, await llm("x")]


@case("x")
@agent
async def failing_before(text: str) -> str:
    number = int(await llm("no number"))
    return await TOOLS["write"](f"{text}{number}")


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize(("program", "args"), CASES)
async def test_compiled_is_plain(program: Any, args: tuple[Any, ...], seed: int | None):
    """Result or exception, writes and output are Python's."""
    found = _case(program, *args)
    CHANGING["write"] = write
    plain = await observe_plain(found, model(found, seed))
    CHANGING["write"] = write
    compiled = await observe_compiled(found, model(found, seed))
    assert compiled.visible == plain.visible


@pytest.mark.parametrize("program", dict.fromkeys(COMPILED), ids=lambda each: each.fn.__name__)
def test_nothing_is_traced(program: Any):
    """A call of one of several known callees is a node."""
    nodes = list(compile_agent(program).program.body.walk())
    assert not [node for node in nodes if node.kind is Kind.TRACED]


@pytest.mark.parametrize("args", [["read", "write", "asked", "helped", "read"]])
async def test_resumes_anywhere(args: list[str]):
    """What was chosen and done is not done again."""
    found = _case(by_key, args)
    plain = await observe_plain(found, model(found))
    for point in range(await events_of_a_whole_run(found) + 1):
        await assert_resumes(found, point, plain.outcome, plain.log)


def _case(program: Any, *args: Any) -> Case:
    module = SimpleNamespace(CASES=[(program, args, {})], LOG=LOG, script=_echo, __name__=__name__)
    return Case(cast(ModuleType, module), 0)


def _echo(call: Any) -> str:
    return str(call.prompt)
