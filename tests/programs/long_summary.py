"""Long documents: chunks are summarised side by side, then merged in a tree until one summary is left."""

from agentvm import agent, llm

LOG: list[str] = []


def chunks(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


async def merge(group: list[str], level: int) -> str:
    """One summary of several; a single one stays as it is."""
    if len(group) == 1:
        return group[0]
    joined = "\n".join(group)
    return await llm(f"Merge at level {level}:\n{joined}")


@agent
async def summarise(text: str, size: int = 20, fan_in: int = 3) -> tuple[str, int]:
    summaries = [await llm(f"Summarise: {chunk}") for chunk in chunks(text, size)]
    level = 0
    while len(summaries) > 1:
        level += 1
        groups = [summaries[start : start + fan_in] for start in range(0, len(summaries), fan_in)]
        summaries = [await merge(group, level) for group in groups]
    return (summaries[0] if summaries else ""), level


@agent
async def summarise_recursively(text: str, limit: int = 30) -> str:
    if len(text) <= limit:
        return await llm(f"Summarise: {text}")
    middle = len(text) // 2
    left = await summarise_recursively(text[:middle], limit)
    right = await summarise_recursively(text[middle:], limit)
    return await llm(f"Merge at level {len(text) // limit}:\n{left}\n{right}")


def script(call):
    return call.prompt.rpartition(":")[2].strip().replace("\n", "+")[::3]


TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom"
CASES = [
    (summarise, (TEXT,), {}),
    (summarise, (TEXT, 9, 2), {}),
    (summarise, ("",), {}),
    (summarise_recursively, (TEXT,), {}),
]
