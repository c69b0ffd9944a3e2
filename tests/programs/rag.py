"""Retrieval: queries, search for each, rerank by the model, answer with citations."""

from dataclasses import dataclass

from agentvm import agent, llm, tool

LOG: list[str] = []
CORPUS = ("owls fly at night", "cats sleep by day", "night trains are slow", "day owls are rare")


@dataclass(frozen=True)
class Hit:
    text: str
    score: float


def overlap(a: str, b: str) -> float:
    left, right = set(a.split()), set(b.split())
    return len(left & right) / (len(left | right) or 1)


@tool(effect="read")
async def search(query: str, k: int = 2) -> list[Hit]:
    """The nearest sentences."""
    hits = [Hit(each, overlap(query, each)) for each in CORPUS]
    return sorted(hits, key=lambda hit: (-hit.score, hit.text))[:k]


@agent
async def answer(question: str, k: int = 2) -> dict[str, object]:
    queries = await llm(f"Queries for {question}", returns=list[str])
    found = [await search(query, k=k) for query in queries]
    unique = {hit.text: hit for hits in found for hit in hits}
    ratings = {text: await llm(f"Rate {text!r} for {question}", returns=int) for text in unique}
    ranked = sorted(unique.values(), key=lambda hit: (-ratings[hit.text], hit.text))
    context = "\n".join(f"[{n}] {hit.text}" for n, hit in enumerate(ranked, 1))
    reply = await llm(f"{context}\n{question}", max_tokens=50)
    return {"reply": reply, "sources": ranked, "ratings": ratings}


def script(call):
    if call.prompt.startswith("Queries"):
        return [] if "void" in call.prompt else ["owls night", "cats day", "owls night"]
    if call.prompt.startswith("Rate"):
        return len(call.prompt) % 7
    return f"answer from {call.prompt.count('[')} sources"


CASES = [(answer, ("what flies",), {}), (answer, ("void",), {}), (answer, ("what flies",), {"k": 1})]
