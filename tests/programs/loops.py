"""Loops: nested, with break, continue, early return, else, and a while over a queue."""

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def mark(text: str) -> int:
    LOG.append(text)
    return len(LOG)


@agent
async def find(rows: list[list[int]], wanted: int) -> str:
    looked = 0
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            looked += 1
            if cell < 0:
                continue
            seen = await llm(f"see {cell}", returns=int)
            if seen == wanted:
                await mark(f"found {x},{y}")
                return f"{x},{y} after {looked}"
            if seen > 90:
                break
        else:
            await mark(f"row {y} done")
            continue
        await mark(f"row {y} broken off")
    return f"nothing in {looked}"


@agent
async def crawl(start: str, limit: int = 6) -> list[str]:
    queue, seen = [start], []
    while queue:
        page = queue.pop(0)
        if page in seen:
            continue
        seen.append(page)
        if len(seen) >= limit:
            break
        links = await llm(f"links of {page}", returns=list[str])
        queue.extend(links)
    return seen


@agent
async def totals(groups: dict[str, list[int]]) -> dict[str, int]:
    result = {}
    for name, numbers in groups.items():
        total = 0
        for number in numbers:
            total += await llm(f"cost {number}", returns=int)
        result[name] = total
    return result


def script(call):
    kind, *_, last = call.prompt.split()
    if kind == "links":
        return [last + "a", last + "b", last[:-1]]
    return int(last) * (2 if kind == "cost" else 1)


CASES = [
    (find, ([[1, -1, 95, 3], [4, 5], [6, 7]], 7), {}),
    (find, ([[1, -1], []], 7), {}),
    (find, ([], 7), {}),
    (crawl, ("x",), {}),
    (crawl, ("x", 1), {}),
    (totals, ({"a": [1, 2], "b": [], "c": [3]},), {}),
]
