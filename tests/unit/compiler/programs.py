"""Small agents, one for each kind of node, whose IR is kept as text."""

from __future__ import annotations

import asyncio

from agentvm import agent, llm, tool


@tool(effect="pure")
async def double(number: int) -> int:
    return number * 2


@tool(effect="read")
async def look(where: str) -> str:
    return where


@tool
async def put(where: str, what: str) -> None: ...


@agent
async def chain(topic: str) -> str:
    draft = await llm(f"Write on {topic}")
    return await llm(f"Shorten {draft.strip()}", max_tokens=50)


@agent
async def tools(topic: str) -> str:
    found = await look(topic)
    size = await double(len(found))
    await put(topic, found)
    again = await look(topic)
    return f"{again} {size}"


@agent
async def branch(question: str) -> str:
    kind = await llm(f"Kind of {question}")
    if kind == "hard":
        answer = await llm(f"Think about {question}")
    elif kind == "empty":
        return "nothing"
    else:
        answer = question
    return answer.upper()


@agent
async def loop(topic: str) -> str:
    draft = topic
    for number in range(3):
        review = await llm(f"Review {number}: {draft}")
        if review == "ok":
            break
        draft = await llm(f"Revise {draft} given {review}")
    return draft


@agent
async def fold(topics: list[str]) -> list[str]:
    notes: list[str] = []
    for topic in topics:
        notes.append(await llm(f"Note on {topic}"))
    return notes


@agent
async def until(question: str) -> str:
    answer = ""
    while "done" not in answer:
        answer = await llm(f"{question} after {answer}")
    return answer


@agent
async def mapped(topics: list[str]) -> list[str]:
    notes = [await llm(f"Note on {topic}") for topic in topics if topic]
    return sorted(notes)


@agent
async def gathered(left: str, right: str, rest: list[str]) -> list[str]:
    pair = await asyncio.gather(llm(left), llm(right))
    more = await asyncio.gather(*[look(each) for each in rest])
    return [*pair, *more]


@agent
async def calls_agents(topic: str) -> tuple[str, str]:
    first = await chain(topic)
    second = await tools(topic=first)
    return first, second


@agent
async def guarded(where: str) -> str:
    try:
        found = await look(where)
    except OSError as error:
        found = str(error)
    return await llm(found)


@agent
async def half_way(places: list[str]) -> str:
    found = "none"
    tried = 0
    try:
        for where in places:
            tried += 1
            if tried > 1:
                found = await look(where)
            await look(found)
    except OSError as error:
        found = f"{error} after {found}"
    return found


@agent
async def aliased(topic: str) -> list[str]:
    notes = [topic]
    same = notes
    same.append(await llm(topic))
    return notes


@agent
async def kept_method(topic: str) -> list[str]:
    notes = [topic]
    note = notes.append
    note(await llm(topic))
    return notes


@agent
async def changed_items(topics: list[str]) -> list[list[str]]:
    notes = [[topic] for topic in topics]
    for note in notes:
        note.append(await llm(note[0]))
    return notes


AGENTS = (
    *(chain, tools, branch, loop, fold, until, mapped, gathered, calls_agents, guarded, half_way, aliased),
    *(kept_method, changed_items),
)
