"""A plan with replanning: steps run in order; a failed step makes a new plan from what is done."""

from dataclasses import dataclass

from agentvm import agent, llm, tool

LOG: list[str] = []


@dataclass(frozen=True)
class StepFailed(Exception):
    step: str
    reason: str


@tool
async def act(step: str) -> str:
    if step.startswith("open locked"):
        raise RuntimeError("no key")
    LOG.append(step)
    return f"did {step}"


async def perform(step: str) -> str:
    """Do a step, by the tool or by thought."""
    if step.startswith("think"):
        return await llm(step)
    try:
        return await act(step)
    except RuntimeError as error:
        raise StepFailed(step, str(error)) from error


@agent
async def achieve(goal: str, plans: int = 3) -> list[str]:
    done: list[str] = []
    plan = await llm(f"Plan for {goal}", returns=list[str])
    while plan:
        step, *plan = plan
        try:
            done.append(await perform(step))
        except StepFailed as failure:
            plans -= 1
            if not plans:
                raise
            plan = await llm(
                f"Plan for {goal} after {done}; {failure.step}: {failure.reason}", returns=list[str]
            )
    return [*done, await llm(f"Is {goal} reached by {done}?")]


def script(call):
    if call.returns is str:
        return call.prompt[:24]
    if "after" not in call.prompt:
        return ["walk", "open locked door", "enter"]
    if "window" in call.prompt:
        return ["open locked window", "enter"]
    return ["think about keys", "find key", "open door", "enter"]


CASES = [(achieve, ("entry",), {}), (achieve, ("window",), {}), (achieve, ("entry", 1), {})]
