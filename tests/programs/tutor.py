"""A tutor: asks, marks, gives hints that grow, and moves on when a pupil has it or is stuck."""

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def record(topic: str, mark: str) -> None:
    LOG.append(f"{topic}: {mark}")


@agent
async def pupil(question: str, hints: list[str]) -> str:
    return await llm(f"Pupil, with {len(hints)} hints, answers {question}")


@agent
async def teach(topic: str, patience: int = 3) -> str:
    question = await llm(f"Ask about {topic}")
    solution = await llm(f"Solve {question}")
    hints: list[str] = []
    while True:
        attempt = await pupil(question, hints)
        correct = attempt == solution or await llm(f"Is {attempt} as good as {solution}?") == "yes"
        if correct:
            mark = "alone" if not hints else f"with {len(hints)} hints"
            break
        if len(hints) == patience:
            mark = "not yet"
            break
        hints = [*hints, await llm(f"Hint {len(hints) + 1} for {question} after {attempt}")]
    await record(topic, mark)
    return mark


@agent
async def lesson(topics: list[str]) -> tuple[list[str], str]:
    marks = [await teach(topic) for topic in topics]
    weak = [topic for topic, mark in zip(topics, marks, strict=True) if mark == "not yet"]
    homework = await llm(f"Exercises on {weak}") if weak else "none"
    return marks, homework


def script(call):
    if call.prompt.startswith("Pupil"):
        known = 0 if "sums" in call.prompt else 2 if "roots" in call.prompt else 9
        if int(call.prompt.split()[2]) < known:
            return "dunno"
        return f"Solve {call.prompt.split('answers ')[1]}" if known else "right"
    if call.prompt.startswith("Is "):
        return "yes" if "right" in call.prompt else "no"
    return call.prompt


CASES = [(lesson, (["sums", "roots", "groups"],), {}), (lesson, ([],), {}), (teach, ("roots", 1), {})]
