"""Agents whose runs the browser tests look at."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from agentvm import agent, ask_human, llm, tool


class Review(BaseModel):
    """What a person says of a draft."""

    verdict: Literal["good", "bad"]
    stars: int = Field(ge=1, le=5)
    remark: str = ""


@tool(effect="read")
async def search(query: str) -> list[str]:
    return [f"hit for {query}"]


@agent
async def digest(topic: str) -> str:
    """What one topic has to say."""
    hits = await search(topic)
    return await llm(f"digest {topic} from {hits}")


@agent(deadline="10m")
async def research(question: str, breadth: int = 2, style: Literal["plain", "florid"] = "plain") -> str:
    """A short report on a question."""
    topics = await llm(f"topics of {question}", returns=list[str])
    notes = [await digest(topic) for topic in topics[:breadth]]
    draft = await llm(f"draft {style} of {notes}")
    return await llm(f"polish {draft}")


@agent
async def asks(topic: str) -> str:
    """Asks before it goes on."""
    if not await ask_human(f"Go on with {topic}?", returns=bool):
        return "stopped"
    review = await ask_human(f"How good is {topic}?", returns=Review)
    return f"{review.verdict}, {review.stars} stars, {review.remark}"


@agent
async def breaks(word: str) -> str:
    """Fails with what the model says."""
    said = await llm(f"say {word}")
    raise ValueError(said)


@agent
async def one(number: int) -> str:
    first = await llm(f"first {number}", temperature=0)
    return await llm(f"second {first}", temperature=0)


@agent
async def wide(width: int) -> list[str]:
    """A run of two model calls for each number."""
    return [await one(number) for number in range(width)]


AGENTS = [research, digest, asks, breaks, wide]
