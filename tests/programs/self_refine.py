"""Self-refine: critique and revision until nothing is left to say, keeping the best draft seen."""

from typing import NamedTuple

from agentvm import agent, llm

LOG: list[str] = []


class Draft(NamedTuple):
    text: str
    score: int


@agent
async def refine(task: str, patience: int = 2) -> tuple[Draft, int]:
    text = await llm(f"Draft: {task}")
    best = Draft(text, await llm(f"Score: {text}", returns=int))
    stale = rounds = 0
    while stale < patience and best.score < 9:
        feedback = await llm(f"Critique: {text}")
        if feedback == "fine":
            break
        text = await llm(f"Revise: {text} / {feedback}")
        if (score := await llm(f"Score: {text}", returns=int)) > best.score:
            best, stale = Draft(text, score), 0
        else:
            stale += 1
        rounds += 1
    return best, rounds


def script(call):
    kind, _, rest = call.prompt.partition(": ")
    if kind == "Score":
        return min(len(rest) // 4, 9) if "poem" in rest else 1
    if kind == "Critique":
        return "fine" if len(rest) > 40 and "haiku" in rest else "more"
    return rest.replace(" / ", ", and ")


CASES = [(refine, ("a poem",), {}), (refine, ("a haiku",), {"patience": 9}), (refine, ("x", 1), {})]
