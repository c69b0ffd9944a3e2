"""Research: name the parts of a question, look at each, draft, review, revise.

    agentvm run examples/research.py:research -i question="Why is the sky dark at night?"

The notes do not depend on each other, so they are taken at the same time though
the source says one after the other; each draft waits for the one before.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from agentvm import agent, llm

Topics = Annotated[list[Annotated[str, Field(max_length=60)]], Field(min_length=2, max_length=4)]
Verdict = Literal["good", "vague"]


@dataclass
class Report:
    question: str
    topics: list[str]
    body: str


@agent
async def note(question: str, topic: str) -> str:
    """What one topic has to do with the question."""
    prompt = f"Explain in one sentence what '{topic}' has to do with this question: {question}"
    return await llm(prompt, temperature=0.3, max_tokens=48)


@agent(deadline="5m")
async def research(question: str, breadth: int = 3) -> Report:
    """A short report on a question."""
    ask = f"Name {breadth} different things that have to do with this question: {question}"
    topics = await llm(ask, returns=Topics, temperature=0, max_tokens=100)
    notes = [await note(question, topic) for topic in topics[:breadth]]

    facts = "\n".join(f"- {each}" for each in notes)
    ask = f"Use these notes to answer in two sentences: {question}\n{facts}"
    draft = await llm(ask, temperature=0.3, max_tokens=90)
    for _ in range(2):
        ask = f"Is this a good answer to the question '{question}'? Answer good or vague. Answer: {draft}"
        verdict = await llm(ask, returns=Verdict, temperature=0, max_tokens=16)
        if verdict == "good":
            break
        draft = await llm(f"Say this more clearly: {draft}", temperature=0.3, max_tokens=90)
    return Report(question, topics[:breadth], draft)
