"""Writes in program order, among reads and model calls, in loops, maps and branches."""

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def put(key: str, value: str) -> None:
    LOG.append(f"{key}={value}")


@tool(effect="read")
async def count() -> int:
    return len(LOG)


@tool
def put_now(key: str) -> int:
    LOG.append(key)
    return len(LOG)


@agent
async def in_order(names: list[str]) -> list[object]:
    before = await count()
    slow = await llm("slow thing")
    await put("first", "1")
    middle = await count()
    written = [await put(name, await llm(f"value {name}")) for name in names]
    after = await count()
    for name in names:
        if name != "b":
            await put(f"again {name}", slow)
    number = put_now("sync")
    numbers = [put_now(each) for each in names]
    return [before, middle, written, after, number, numbers, await count()]


@agent
async def stops(names: list[str]) -> int:
    for name in names:
        answer = await llm(f"check {name}")
        if "b" in answer:
            raise LookupError(name, answer)
        await put(name, answer)
    return await count()


def script(call):
    return call.prompt.title().lower()


CASES = [(in_order, (["a", "b", "c"],), {}), (stops, (["x", "y"],), {}), (stops, (["x", "b", "y"],), {})]
