"""Tree of thought: a beam of partial solutions, expanded and scored side by side at each depth."""

import asyncio

from agentvm import agent, llm

LOG: list[str] = []


async def rate(path: tuple[str, ...]) -> tuple[float, tuple[str, ...]]:
    """A helper that is no agent and asks the model."""
    score = await llm(f"Rate {'>'.join(path)}", returns=float, temperature=0)
    return score, path


@agent
async def think(problem: str, depth: int = 2, width: int = 2) -> list[tuple[str, ...]]:
    beam: list[tuple[str, ...]] = [(problem,)]
    for level in range(depth):
        ideas = await asyncio.gather(
            *[llm(f"Continue {'>'.join(path)} at {level}", returns=list[str]) for path in beam]
        )
        candidates = [(*path, idea) for path, found in zip(beam, ideas, strict=True) for idea in found]
        rated = [await rate(each) for each in candidates]
        rated.sort(key=lambda each: (-each[0], each[1]))
        beam = [path for _, path in rated[:width]]
    return beam


def script(call):
    if call.prompt.startswith("Continue"):
        last = call.prompt.split()[1].split(">")[-1]
        return [f"{last}{c}" for c in "abc"]
    return sum(map(ord, call.prompt)) % 17 / 4


CASES = [(think, ("p",), {}), (think, ("p",), {"depth": 0}), (think, ("q", 3, 3), {})]
