"""Control flow without comfort: match, nested returns, names bound on one path only, del, pass."""

from agentvm import agent, llm

LOG: list[str] = []


@agent
async def matched(command: str) -> str:
    answer = await llm(command)
    match answer.split():
        case ["go", where]:
            return await llm(f"going {where}")
        case ["stop"]:
            result = "stopped"
        case [first, *rest] if rest:
            result = f"{first} and {len(rest)}"
        case _:
            result = await llm("what")
    return result


@agent
async def one_path(number: int) -> str:
    if number > 0:
        name = await llm("positive")
    elif number == 0:
        return await llm("zero")
    return name


@agent
async def deep(number: int) -> str:
    if number > 10:
        if await llm("test") == "test":
            if number > 20:
                return "huge"
            number -= 1
        else:
            return "unreachable"
        number *= 2
    elif number < 0:
        return await llm("negative")
    while number > 3:
        number -= await llm("3", returns=int)
        if number == 5:
            return "five"
    return f"left {number}"


@agent
async def loop_variable(words: list[str]) -> tuple[str, int]:
    last = -1
    for last, word in enumerate(words):  # noqa: B007 - it is read after the loop
        await llm(word)
    return word, last


@agent
async def deleted(word: str) -> str:
    answer = await llm(word)
    del word
    if answer == "x":
        return answer
    return word  # noqa: F821 - to raise what Python raises


@agent
async def nothing(word: str) -> None:
    await llm(word)


def script(call):
    return call.prompt


CASES = [
    *[(matched, (each,), {}) for each in ("go home", "stop", "a b c", "x")],
    *[(one_path, (each,), {}) for each in (1, 0, -1)],
    *[(deep, (each,), {}) for each in (25, 15, 11, 8, -1, 2)],
    *[(loop_variable, (each,), {}) for each in (["a", "b"], [])],
    *[(deleted, (each,), {}) for each in ("x", "y")],
    (nothing, ("x",), {}),
]
