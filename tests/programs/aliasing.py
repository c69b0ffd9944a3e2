"""Two names for one object that is changed through one of them."""

import copy

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool(effect="read")
async def extend(values: list[str]) -> int:
    """A tool that changes what it is given."""
    values.append("by the tool")
    return len(values)


def push(values: list[str], value: str) -> None:
    values.append(value)


@agent
async def two_names(topic: str) -> list[list[str]]:
    first = [topic]
    second = first
    second.append(await llm(f"more on {topic}"))
    first.append(await llm(f"again {second}"))
    return [first, second]


@agent
async def elements(topic: str) -> list[list[str]]:
    row = [topic]
    grid = [row, row, list(row)]
    grid[0].append(await llm("one"))
    row.append("two")
    await llm(f"see {grid}")
    return grid


@agent
async def by_helper(topic: str) -> list[object]:
    notes: list[str] = []
    kept = notes
    push(notes, topic)
    answer = await llm(f"notes {notes}")
    push(kept, answer)
    length = await extend(notes)
    return [notes, kept, length, notes is kept]


@agent
async def in_loop(words: list[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    current: list[str] = []
    for word in words:
        kind = await llm(f"kind of {word}")
        current = groups.setdefault(kind, [])
        current.append(word)
    current.append("last")
    return groups


@agent
async def copied(words: list[str]) -> list[object]:
    snapshot = copy.deepcopy(words)
    more = words[:]
    words.append(await llm("w"))
    more += [await llm("m")]
    nested = {"words": words}
    nested["words"].append("n")
    return [words, more, snapshot]


@agent
async def default_is_shared(topic: str, seen: list[str] | None = None) -> list[str]:
    seen = seen or []
    other = seen
    seen = [*seen, topic]
    other.append(await llm(f"x {seen}"))
    return seen + other


@agent
async def child(values: list[str]) -> int:
    values.append(await llm(f"child {len(values)}"))
    return len(values)


@agent
async def parent(topic: str) -> tuple[list[str], int, int]:
    values = [topic]
    first = await child(values)
    second = await child(values)
    return values, first, second


@agent
async def swapped(a: list[str], b: list[str]) -> list[list[str]]:
    a, b = b, a
    a.append(await llm("to b"))
    b.insert(0, await llm("to a"))
    return [a, b]


def script(call):
    return call.prompt[-1] if call.prompt.startswith("kind") else f"<{call.prompt}>"


CASES = [
    (two_names, ("t",), {}),
    (elements, ("t",), {}),
    (by_helper, ("t",), {}),
    (in_loop, (["ab", "cb", "cd"],), {}),
    (copied, (["a", "b"],), {}),
    (default_is_shared, ("t",), {}),
    (default_is_shared, ("t", ["old"]), {}),
    (parent, ("t",), {}),
    (swapped, (["a"], ["b"]), {}),
]
