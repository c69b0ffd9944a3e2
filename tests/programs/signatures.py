"""Agents with positional-only, keyword-only, variable and default parameters."""

from agentvm import agent, llm

LOG: list[str] = []


@agent
async def join(*parts: str, sep: str = "-", **extra: int) -> str:
    joined = sep.join(parts)
    answer = await llm(f"join {joined} {sorted(extra.items())}")
    return f"{answer}:{len(parts)}:{sum(extra.values())}"


@agent
async def strict(first: int, /, second: int, *, third: int = 3) -> list[int]:
    return [await llm(f"n {each}", returns=int) for each in (first, second, third)]


@agent
async def caller(values: list[str], options: dict[str, int]) -> list[object]:
    one = await join(*values, **options)
    two = await join("x", *values, "y", sep="+", **{**options, "z": 9})
    three = await strict(1, 2)
    four = await strict(*[4, 5], third=await llm("n 6", returns=int))
    return [one, two, three, four]


@agent
async def wrong_call() -> list[int]:
    await llm("n 1")
    return await strict(1)


def script(call):
    return call.prompt.split()[-1] if call.prompt.startswith("n ") else call.prompt


CASES = [
    (join, ("a", "b"), {"sep": "/", "x": 1}),
    (join, (), {}),
    (strict, (1,), {"second": 2}),
    (caller, (["p", "q"], {"k": 1}), {}),
    (wrong_call, (), {}),
]
