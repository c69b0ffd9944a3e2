"""Best of n: samples are scored by several rubrics; ties go to a pairwise comparison."""

import asyncio

from agentvm import agent, llm

LOG: list[str] = []
RUBRICS = ("correct", "clear", "short")


@agent
async def score(question: str, answer: str) -> int:
    marks = [await llm(f"{rubric}? {question} -> {answer}", returns=int) for rubric in RUBRICS]
    return sum(marks)


@agent
async def best_of_n(question: str, n: int = 4) -> tuple[str, int]:
    samples = await asyncio.gather(*[llm(f"Answer {question}", max_tokens=50) for _ in range(n)])
    answers = list(dict.fromkeys(samples))
    if not answers:
        return "no samples", 0
    scores = [await score(question, answer) for answer in answers]
    top = max(scores)
    finalists = [answer for answer, mark in zip(answers, scores, strict=True) if mark == top]
    winner = finalists[0]
    for challenger in finalists[1:]:
        preferred = await llm(f"Better for {question}: (1) {winner} or (2) {challenger}?", temperature=0)
        winner = challenger if preferred == "2" else winner
    return winner, top


_DRAWN = ("forty-two", "42", "four", "42!")


def script(call):
    if call.prompt.startswith("Answer"):
        return _DRAWN[len(call.prompt) % 4]
    if call.prompt.startswith("Better"):
        return str(1 + len(call.prompt) % 2)
    return len(call.prompt) % 3


CASES = [(best_of_n, ("x",), {}), (best_of_n, ("xy", 1), {}), (best_of_n, ("xyz",), {"n": 0})]
