"""Exceptions that leave an agent: builtin, custom, with a cause, from another agent, by assert."""

from agentvm import agent, llm, tool

LOG: list[str] = []


class TooHard(Exception):
    """Rebuilt without calling this constructor."""

    def __init__(self, task: str, tries: int) -> None:
        super().__init__(f"{task} is too hard")
        self.task = task
        self.tries = tries


@tool
async def log(text: str) -> None:
    LOG.append(text)


@agent
async def attempt(task: str) -> str:
    for tries in range(1, 4):
        answer = await llm(f"try {tries} {task}")
        if answer == "solved":
            return answer
    raise TooHard(task, tries)


@agent
async def delegate(task: str) -> str:
    await log("start")
    answer = await attempt(task)
    await log("never for the hard ones")
    return answer.upper()


@agent
async def chained(task: str) -> str:
    try:
        return await attempt(task)
    except TooHard as error:
        await log(f"{error.task} {error.tries}")
        raise KeyError(error.task) from error


@agent
async def asserts(task: str) -> int:
    answer = await llm(f"try 1 {task}")
    assert answer == "solved", f"not solved: {answer}"
    number = int(await llm(f"number {task}"))
    return 10 // number


@agent
async def lookup(key: str) -> str:
    table = {"a": await llm("try 2 a")}
    return table[key]


def script(call):
    kind, *_, task = call.prompt.split()
    if kind == "number":
        return {"easy": "5", "zero": "0"}.get(task, "many")
    return "solved" if task in ("easy", "zero", "word") else "no"


CASES = [
    *[(delegate, (task,), {}) for task in ("easy", "hard")],
    *[(chained, (task,), {}) for task in ("easy", "hard")],
    *[(asserts, (task,), {}) for task in ("easy", "hard", "zero", "word")],
    *[(lookup, (key,), {}) for key in ("a", "b")],
]
