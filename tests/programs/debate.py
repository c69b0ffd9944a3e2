"""Two debaters answer each other for some rounds; a judge, an enum, decides."""

from enum import StrEnum

from agentvm import agent, llm

LOG: list[str] = []
SIDES = ("for", "against")


class Verdict(StrEnum):
    FOR = "for"
    AGAINST = "against"
    DRAW = "draw"


@agent
async def argue(side: str, motion: str, transcript: list[str]) -> str:
    return await llm(f"Argue {side} {motion} after {len(transcript)}: {transcript[-1:]}")


@agent
async def debate(motion: str, rounds: int = 2) -> tuple[Verdict, list[str]]:
    transcript: list[str] = []
    for _ in range(rounds):
        for side in SIDES:
            said = await argue(side, motion, transcript)
            transcript.append(f"{side}: {said}")
    verdict = await llm(f"Judge {transcript}", returns=Verdict, temperature=0)
    if verdict is Verdict.DRAW:
        transcript.append("no winner")
    return verdict, transcript


def script(call):
    if call.prompt.startswith("Judge"):
        return Verdict.DRAW if call.prompt == "Judge []" else Verdict.AGAINST
    return f"point {sum(map(ord, call.prompt)) % 97}"


CASES = [(debate, ("tea",), {}), (debate, ("tea", 0), {})]
