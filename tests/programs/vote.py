"""Self-consistency: several equal sampled calls, and the majority among them."""

from collections import Counter

from agentvm import agent, llm

LOG: list[str] = []


@agent
async def vote(question: str, samples: int = 5) -> dict[str, object]:
    answers = [await llm(f"Think: {question}") for _ in range(samples)]
    counts = Counter(answer.strip().lower() for answer in answers)
    best, number = max(counts.items(), key=lambda pair: (pair[1], pair[0]), default=("none", 0))
    agreed = f"{number / max(samples, 1):.0%}"
    return {"answer": best, "agreement": agreed, "votes": dict(sorted(counts.items()))}


@agent
async def greedy_vote(question: str) -> list[str]:
    return [await llm(f"Think: {question}", temperature=0) for _ in range(3)]


def script(call):
    return f" {call.prompt[-3:].upper()} "


CASES = [(vote, ("why",), {}), (vote, ("why", 0), {}), (greedy_vote, ("why",), {})]
