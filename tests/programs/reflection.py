"""Reflection: write, review, revise while the review finds fault; a pydantic answer."""

from pydantic import BaseModel

from agentvm import agent, llm

LOG: list[str] = []


class Review(BaseModel):
    ok: bool
    text: str = ""


class Essay(BaseModel):
    topic: str
    body: str
    revisions: int


@agent
async def reflect(topic: str, rounds: int = 3) -> Essay:
    draft = await llm(f"Write about {topic}")
    revisions = 0
    for _ in range(rounds):
        review = await llm(f"Review: {draft}", returns=Review)
        if review.ok:
            break
        draft = await llm(f"Revise {draft} given {review.text}")
        revisions += 1
    else:
        draft += " (unfinished)"
    return Essay(topic=topic, body=draft, revisions=revisions)


@agent
async def reflect_while(topic: str) -> tuple[str, int]:
    draft, count = await llm(f"Write about {topic}"), 0
    while not (review := await llm(f"Review: {draft}", returns=Review)).ok and count < 5:
        count += 1
        draft = await llm(f"Revise {draft} given {review.text}")
    return draft, count


def script(call):
    if call.prompt.startswith("Review"):
        return Review(ok=call.prompt.count("better") >= 2, text="too short")
    if call.prompt.startswith("Revise"):
        return "better " + call.prompt.split()[1] + " " * call.prompt.count("better") + "better"
    return "draft"


CASES = [
    (reflect, ("owls",), {}),
    (reflect, ("owls", 1), {}),
    (reflect, ("owls", 0), {}),
    (reflect_while, ("owls",), {}),
]
