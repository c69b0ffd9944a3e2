"""Small agents in which each pass finds something, and things it must leave alone."""

from __future__ import annotations

from typing import Final

from agentvm import agent, llm, tool

STYLE: Final = "terse"
LIMIT: Final[int] = 3
TONE = "calm"
RULES = "never said to be final"


@tool(effect="pure")
async def parts(text: str) -> list[str]:
    return text.split()


@tool(effect="read")
async def look(where: str) -> str:
    return where


@agent
async def unread(topic: str) -> str:
    draft = await llm("Write something")
    await llm(f"Rate {draft}")
    await llm(f"Rate {topic}")  # calls stay: if one fails, nothing after it may be written
    await llm("A number", returns=int)
    await look(topic)  # stays: a tool
    _spare = [draft, ""]
    kept = "x"
    for word in [topic]:
        kept, _last = await llm(f"About {word} and {kept}"), word
    return kept


@agent
async def handled(topic: str) -> str:
    try:
        draft = await llm("Write something")
        await llm(f"Rate {draft}")  # stays: the handler may be waiting for its error
    except OSError:
        return "failed"
    return topic


@agent
async def half_way(words: list[str]) -> str:
    seen = tried = "none"
    try:
        for word in words:
            seen = word  # read by the handler, if what follows fails
            tried += word  # read by nobody
            note = await llm(f"Note {word}")
            await llm(f"Rate {note}")
    except OSError:
        return seen
    return "done"


@agent
async def repeated(topic: str, hard: bool) -> list[object]:
    first = await llm(f"Name {topic}", temperature=0)
    again = await llm(f"Name {topic}", temperature=0)
    votes = [await llm(f"Vote on {topic}"), await llm(f"Vote on {topic}")]  # sampled: two votes
    words = await parts(topic)
    if hard:
        more = await parts(topic)
        more.append(await llm(f"Name {topic}", temperature=0))
    else:
        more = [await look(topic), await look(topic)]  # a read is asked again
    return [first, again, votes, words, more]


@agent
async def constant(topic: str) -> list[str]:
    first = await llm(f"In a {STYLE} style, {'at most'} {LIMIT:>2} words: {topic}" + "\nNo more." + f"{TONE}")
    second = await llm("Be " + STYLE + f" on {f'the {topic!r}'} {3.0!r} {topic:>{LIMIT}}", max_tokens=LIMIT)
    return [first, second]


@agent
async def prefixed(topics: list[str], paper: str) -> list[str]:
    notes = [await llm(f"{paper}\nWhat does it say about {topic}?") for topic in topics]
    short = [await llm(f"Sum up {topic}") for topic in topics]
    task = f"You are a reviewer who reads papers with great care and answers in few words. On {paper}"
    review = await llm(task)
    other = await llm(
        f"You are a reviewer who reads papers with great care and answers in few words: {topics}"
    )
    alone = await llm(f"A title for {paper}")
    same = await llm(f"A title for {paper}, but longer", max_tokens=9)
    return [*notes, *short, review, other, alone, same]


AGENTS = {
    "dead": (unread, handled, half_way),
    "common": (repeated,),
    "fold": (constant,),
    "prefix": (prefixed,),
}
