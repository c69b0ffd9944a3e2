"""HyDE: search with the embeddings of made-up answers instead of the question's."""

import asyncio

from agentvm import agent, llm, tool

LOG: list[str] = []
DOCUMENTS = ["rain falls", "snow is cold", "the sun is hot", "clouds carry rain"]


@tool(effect="pure")
async def embed(text: str) -> list[int]:
    return [text.count(letter) for letter in "aeiou"]


def similarity(left: list[int], right: list[int]) -> int:
    return sum(a * b for a, b in zip(left, right, strict=True))


@agent
async def hyde(question: str, guesses: int = 3, top: int = 2) -> str:
    imagined = [await llm(f"Write passage {number} answering {question}") for number in range(guesses)]
    vectors = await asyncio.gather(*[embed(each) for each in imagined])
    indexed = [await embed(document) for document in DOCUMENTS]
    mean = [sum(column) for column in zip(*vectors, strict=True)] or await embed(question)
    order = sorted(range(len(DOCUMENTS)), key=lambda i: similarity(mean, indexed[i]), reverse=True)
    context = "; ".join(DOCUMENTS[i] for i in order[:top])
    return await llm(f"Answer {question} from: {context}")


def script(call):
    return call.prompt[::-1] if call.prompt.startswith("Write") else call.prompt


CASES = [(hyde, ("why does it rain",), {}), (hyde, ("what is hot",), {"guesses": 0, "top": 1})]
