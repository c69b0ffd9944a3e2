"""Map and reduce in a tree: summaries of chunks, joined pair by pair until one is left."""

from agentvm import agent, llm

LOG: list[str] = []


def chunks(text: str, size: int) -> list[str]:
    words = text.split()
    return [" ".join(words[at : at + size]) for at in range(0, len(words), size)]


@agent
async def summarize(text: str, size: int = 2) -> str:
    level = [await llm(f"S[{chunk}]") for chunk in chunks(text, size)]
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [await llm(f"J[{'|'.join(pair)}]") if len(pair) > 1 else pair[0] for pair in pairs]
    return level[0] if level else "(empty)"


def script(call):
    return call.prompt.lower().replace(" ", "_")


CASES = [(summarize, ("a b c d e f g h i",), {}), (summarize, ("",), {}), (summarize, ("x", 1), {})]
