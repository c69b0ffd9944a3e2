"""Deep research: a question raises questions, each is looked into, down to a depth.

    agentvm run examples/deep_research.py:investigate -i question="Why do leaves turn red?" --deadline 2m

An agent calls itself. All questions of one level are looked into at the same time,
and so are the searches for each; the source says nothing of it. A deadline of its
own bounds each branch: one that is late is left out, and the report written all the same.
"""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from agentvm import DeadlineExceeded, agent, llm, tool

LIBRARY = {
    "leaf": "Leaves hold chlorophyll, which is green, and carotenoids, which are yellow.",
    "red": "Anthocyanins are red. Many trees make them in autumn, when sugar stays in the leaf.",
    "autumn": "In autumn days are shorter and nights are colder; trees stop making chlorophyll.",
    "sugar": "A layer of cork closes the veins of a leaf in autumn and keeps sugar in it.",
    "light": "Red pigments shade the leaf while the tree takes nutrients back.",
}
Questions = Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=3)]


@dataclass
class Finding:
    question: str
    answer: str
    deeper: list["Finding"] = field(default_factory=list)


@tool(effect="read", ttl="1d", retries=2)
async def search(query: str) -> list[str]:
    """What the library says of a query. Put your own search engine here."""
    words = query.lower()
    return [text for word, text in LIBRARY.items() if word in words][:3]


@agent(deadline="60s")
async def look_into(question: str, depth: int) -> Finding:
    """Answer a question, and the questions that it raises."""
    sources = await search(question)
    answer = await llm(f"Answer in one sentence from {sources}: {question}", temperature=0, max_tokens=60)
    if depth == 0:
        return Finding(question, answer)
    ask = f"Which questions does this raise? {question} {answer}"
    raised = await llm(ask, returns=Questions, temperature=0, max_tokens=90)
    deeper = [await look_if_in_time(each, depth - 1) for each in raised[:2]]
    return Finding(question, answer, [each for each in deeper if each is not None])


@agent
async def look_if_in_time(question: str, depth: int) -> Finding | None:
    """The finding, or nothing if its time is over."""
    try:
        return await look_into(question, depth)
    except DeadlineExceeded:
        return None


@agent(deadline="5m")
async def investigate(question: str, depth: int = 1) -> str:
    """A report on a question."""
    finding = await look_into(question, depth)
    notes = outline(finding)
    return await llm(f"Write three sentences on '{question}' from these notes:\n{notes}", max_tokens=120)


def outline(finding: Finding) -> str:
    """Questions and answers as an indented list."""
    lines: list[str] = []
    pending = [(finding, "")]
    while pending:
        each, indent = pending.pop()
        lines.append(f"{indent}- {each.question} {each.answer}")
        pending += [(deeper, indent + "  ") for deeper in reversed(each.deeper)]
    return "\n".join(lines)
