"""A debate with a judge: two sides speak in turn, see each other, and a judge may end it early."""

from dataclasses import dataclass

from agentvm import agent, llm

LOG: list[str] = []


@dataclass(frozen=True)
class Turn:
    side: str
    text: str


def transcript(turns: tuple[Turn, ...]) -> str:
    return "\n".join(f"{turn.side}: {turn.text}" for turn in turns)


@agent
async def argue(side: str, motion: str, turns: tuple[Turn, ...]) -> Turn:
    plan = await llm(f"{side} plans on {motion}, heard {len(turns)}")
    text = await llm(f"{side} says by {plan}:\n{transcript(turns)}")
    return Turn(side, text)


@agent
async def debate(motion: str, rounds: int = 3) -> tuple[str, int]:
    pro = await argue("pro", motion, ())
    con = await argue("con", motion, ())
    turns: tuple[Turn, ...] = (pro, con)
    for number in range(rounds):
        verdict = await llm(f"Judge {motion} after {number}:\n{transcript(turns)}")
        if verdict in ("pro", "con"):
            return verdict, len(turns)
        for side in ("pro", "con"):
            turns = (*turns, await argue(side, motion, turns))
    votes = [await llm(f"Final vote {number} on {motion}:\n{transcript(turns)}") for number in range(3)]
    return max(("pro", "con"), key=votes.count), len(turns)


def script(call):
    if call.prompt.startswith("Judge"):
        return "pro" if "cats" in call.prompt and call.prompt.count("\n") > 3 else "go on"
    if call.prompt.startswith("Final vote"):
        return "con" if call.prompt[11] in "12" else "pro"
    return f"t{len(call.prompt)}"


CASES = [(debate, ("cats",), {}), (debate, ("dogs",), {"rounds": 1}), (debate, ("dogs", 0), {})]
