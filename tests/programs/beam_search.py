"""Beam search over a text: partial texts are extended, scored together, and pruned at each step."""

import heapq
from dataclasses import dataclass

from agentvm import agent, llm

LOG: list[str] = []


@dataclass(frozen=True, order=True)
class Beam:
    score: float
    words: tuple[str, ...]
    done: bool = False


async def extend(beam: Beam, width: int) -> list[Beam]:
    """The beams one word longer than this one, scored."""
    if beam.done:
        return [beam]
    words = await llm(f"{width} words after {' '.join(beam.words)}", returns=list[str])
    extended = []
    for word in words[:width]:
        path = (*beam.words, word)
        gain = await llm(f"Fluency of {' '.join(path)}", returns=float)
        extended.append(Beam(beam.score + gain, path, word == "."))
    return extended


@agent
async def beam_search(start: str, width: int = 2, steps: int = 3) -> list[tuple[float, str]]:
    beams = [Beam(0.0, (start,))]
    for _ in range(steps):
        grown = [await extend(beam, width) for beam in beams]
        beams = heapq.nlargest(width, [beam for some in grown for beam in some])
        if all(beam.done for beam in beams):
            break
    return [(round(beam.score, 3), " ".join(beam.words)) for beam in beams]


def script(call):
    if call.returns is float:
        return len(call.prompt) % 7 / 10
    return ["rain", "."] if len(call.prompt) % 2 else ["sun", "falls", "."]


CASES = [(beam_search, ("the",), {}), (beam_search, ("a", 3, 4), {}), (beam_search, ("a", 1, 0), {})]
