"""A ReAct loop: think, call the tool that was named, look, until an answer comes."""

from agentvm import agent, llm, tool

LOG: list[str] = []
FACTS = {"capital of France": "Paris", "population of Paris": "2 million"}


@tool(effect="read")
async def lookup(query: str) -> str:
    """A fact, or a note that there is none."""
    return FACTS.get(query, "nothing found")


@agent
async def react(question: str, limit: int = 5) -> str:
    history: list[str] = []
    for step in range(limit):
        seen = "\n".join(history)
        thought = await llm(f"Question: {question}\n{seen}\nStep {step}: act or answer")
        if thought.startswith("ANSWER"):
            return thought.removeprefix("ANSWER").strip()
        observation = await lookup(thought.removeprefix("LOOKUP").strip())
        history.append(f"{thought} -> {observation}")
    return f"gave up after {len(history)} steps"


def script(call):
    if "2 million" in call.prompt:
        return "ANSWER 2 million"
    if "Paris" in call.prompt:
        return "LOOKUP population of Paris"
    return "LOOKUP capital of France" if "people" in call.prompt else "LOOKUP nonsense"


CASES = [
    (react, ("How many people live in the capital of France?",), {}),
    (react, ("What?", 2), {}),
    (react, ("What?",), {"limit": 0}),
]
