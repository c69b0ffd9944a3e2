"""Conversational search: a follow-up is rewritten only where it needs to be, then searched in two ways."""

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool(effect="read")
async def keyword_search(query: str) -> list[str]:
    return [f"k:{word}" for word in query.split()[:3]]


@tool(effect="read")
async def vector_search(query: str) -> list[str]:
    return [f"v:{query[:6]}", f"k:{query.split()[0]}"] if query else []


@agent
async def rewrite_and_search(history: list[str], question: str) -> list[str]:
    needs_context = bool(history) and (await llm(f"Does {question!r} stand alone?")) == "no"
    query = await llm(f"Rewrite {question!r} after {history}") if needs_context else question
    by_keyword = await keyword_search(query)
    by_vector = await vector_search(await llm(f"Paraphrase {query}"))
    scores: dict[str, float] = {}
    for ranking in (by_keyword, by_vector):
        for rank, hit in enumerate(ranking):
            scores[hit] = scores.get(hit, 0.0) + 1 / (60 + rank)
    return sorted(scores, key=lambda hit: (-scores[hit], hit))


def script(call):
    if call.prompt.startswith("Does"):
        return "no" if "it" in call.prompt.split() or "'it" in call.prompt else "yes"
    if call.prompt.startswith("Rewrite"):
        return "is the moon far"
    return call.prompt.removeprefix("Paraphrase ")


CASES = [
    (rewrite_and_search, (["the moon"], "is it far"), {}),
    (rewrite_and_search, (["the moon"], "how old is mars"), {}),
    (rewrite_and_search, ([], "how old is mars"), {}),
]
