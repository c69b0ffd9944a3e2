"""Plan and execute: a list of steps, each done with the results so far, then a summary."""

from dataclasses import dataclass, field

from agentvm import agent, llm, tool

LOG: list[str] = []


@dataclass
class Step:
    title: str
    result: str = ""
    tags: list[str] = field(default_factory=list)


@tool
async def store_step(title: str, result: str) -> int:
    """Write a step down; returns how many there are."""
    LOG.append(f"{title}={result}")
    return len(LOG)


@agent
async def plan_and_execute(goal: str) -> dict[str, object]:
    titles = await llm(f"Plan: {goal}", returns=list[str])
    steps = [Step(title) for title in titles]
    last = 0
    for number, step in enumerate(steps, start=1):
        before = "; ".join(f"{each.title}: {each.result}" for each in steps[: number - 1])
        step.result = await llm(f"Do {step.title} knowing [{before}]")
        if number % 2:
            step.tags.append("odd")
        last = await store_step(step.title, step.result)
    summary = await llm(f"Summarize {[each.result for each in steps]}", temperature=0)
    return {"summary": summary, "steps": steps, "stored": last}


def script(call):
    if call.prompt.startswith("Plan"):
        return [] if "nothing" in call.prompt else ["dig", "plant", "water"]
    return f"<{call.prompt[:40]}>"


CASES = [(plan_and_execute, ("a garden",), {}), (plan_and_execute, ("nothing",), {})]
