"""asyncio.gather: literal, starred, nested in expressions, with writes in argument order."""

import asyncio

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def save(name: str) -> str:
    LOG.append(name)
    return name.upper()


@tool(effect="pure")
async def double(number: int) -> int:
    return number * 2


@agent
async def literal(a: str, b: str) -> list[object]:
    left, right = await asyncio.gather(llm(f"L {a}"), llm(f"R {b}"))
    more = await asyncio.gather(save(left), double(len(right)), save(right))
    return [left, right, *more]


@agent
async def starred(count: int) -> dict[str, object]:
    answers = await asyncio.gather(*(llm(f"n{n}") for n in range(count)))
    doubled = await asyncio.gather(*[double(len(each)) for each in answers], double(100))
    return {"answers": answers, "sum": sum(doubled), "type": type(answers).__name__}


@agent
async def saved(names: list[str]) -> list[str]:
    return await asyncio.gather(*[save(name) for name in names])


def script(call):
    return call.prompt * 2


CASES = [
    (literal, ("x", "y"), {}),
    (starred, (4,), {}),
    (starred, (0,), {}),
    (saved, (["c", "a", "b"],), {}),
]
