"""Agents that call themselves and each other."""

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def visit(name: str) -> None:
    LOG.append(name)


@agent
async def decompose(task: str, depth: int = 3) -> dict[str, object]:
    parts = await llm(f"Split {task}", returns=list[str])
    if not parts or depth == 0:
        return {"task": task, "answer": await llm(f"Solve {task}")}
    children = [await decompose(part, depth - 1) for part in parts]
    return {"task": task, "children": children}


@agent
async def even(number: int) -> bool:
    if number == 0:
        return True
    await visit(f"even {number}")
    return await odd(number - 1)


@agent
async def odd(number: int) -> bool:
    if number == 0:
        return False
    if number < 0:
        raise ValueError(f"{number} is negative")
    await llm(f"odd {number}?")
    return await even(number - 1)


def script(call):
    if call.prompt.startswith("Split"):
        task = call.prompt.split()[1]
        return [task[: len(task) // 2], task[len(task) // 2 :]] if len(task) > 1 else []
    return call.prompt.lower()


CASES = [(decompose, ("abcde",), {}), (decompose, ("abcd", 1), {}), (even, (5,), {}), (odd, (-1,), {})]
