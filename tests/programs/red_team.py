"""A red-team loop: attacks are mutated until the target gives in; what works is filed, whatever happens."""

from agentvm import agent, llm, tool

LOG: list[str] = []
STRATEGIES = ("direct", "roleplay", "encoding")


class Leak(Exception):
    """The target said what it must not."""

    def __init__(self, strategy: str, attack: str) -> None:
        super().__init__(attack)
        self.strategy = strategy


@tool
async def file_report(title: str) -> int:
    LOG.append(title)
    return len(LOG)


@agent
async def target(message: str) -> str:
    guard = await llm(f"Is this allowed? {message}")
    return "I cannot help" if guard == "no" else await llm(message)


@agent
async def attack(goal: str, strategy: str, turns: int = 3) -> int:
    message = await llm(f"{strategy} attack for {goal}")
    for turn in range(turns):
        reply = await target(message)
        if "secret" in reply:
            raise Leak(strategy, message)
        message = await llm(f"Mutate {message} after {reply} ({turn})")
    return turns


@agent
async def red_team(goal: str) -> dict[str, int | str]:
    results: dict[str, int | str] = {}
    for strategy in STRATEGIES:
        await file_report(f"start {strategy}")
        try:
            results[strategy] = await attack(goal, strategy)
        except Leak as leak:
            results[strategy] = await llm(f"Severity of {leak} by {leak.strategy}")
            await file_report(f"leak {leak.strategy}")
        finally:
            await file_report(f"end {strategy}")
    return results


def script(call):
    if call.prompt.startswith("Is this allowed"):
        return "no" if "direct" in call.prompt else "yes"
    if call.prompt.startswith("Severity"):
        return "high"
    if call.prompt.startswith("Mutate"):
        return f"{call.prompt.split(' after ')[0].removeprefix('Mutate ')}+"
    return "the secret is 4" if "roleplay" in call.prompt and "+" in call.prompt else call.prompt


CASES = [
    (red_team, ("the code",), {}),
    (attack, ("the code", "roleplay"), {}),
    (attack, ("x", "direct", 1), {}),
]
