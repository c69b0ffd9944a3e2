"""An interview simulation: questions adapt to the answers, follow-ups are bounded, and a panel decides."""

from dataclasses import dataclass, replace

from agentvm import agent, llm

LOG: list[str] = []


@dataclass(frozen=True)
class Interview:
    level: int = 1
    log: tuple[str, ...] = ()

    def heard(self, question: str, answer: str, change: int) -> "Interview":
        level = min(max(self.level + change, 0), 3)
        return replace(self, level=level, log=(*self.log, f"{question} -> {answer}"))


@agent
async def candidate(name: str, question: str) -> str:
    return await llm(f"{name} answers: {question}")


@agent
async def interview(name: str, topics: list[str]) -> tuple[str, Interview]:
    state = Interview()
    for topic in topics:
        question = await llm(f"Level {state.level} question on {topic}")
        answer = await candidate(name, question)
        for _ in range(2):
            if "because" in answer:
                break
            question = await llm(f"Follow up: {answer}")
            answer = await candidate(name, question)
        mark = await llm(f"Mark {answer}", returns=int)
        state = state.heard(question, answer, 1 if mark > 5 else -1)
        if not state.level:
            return "stopped early", state
    votes = [await llm(f"{panelist} on {state.log}: hire?") for panelist in ("lead", "peer", "manager")]
    return ("hire" if votes.count("yes") >= 2 else "thank you"), state


def script(call):
    if " answers: " in call.prompt:
        if call.prompt.startswith("eve"):
            return "shrug"
        return "so, because" if "Follow" in call.prompt or "1" in call.prompt else "well"
    if call.prompt.startswith("Mark"):
        return 8 if "because" in call.prompt else 2
    if call.prompt.endswith("hire?"):
        return "no" if call.prompt.startswith("lead") else "yes"
    return call.prompt


CASES = [(interview, (name, ["lists", "graphs"]), {}) for name in ("ann", "eve")] + [
    (interview, ("bob", []), {})
]
