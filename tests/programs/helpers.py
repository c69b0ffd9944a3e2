"""Helpers at module level: plain, async and undecorated, recursive, with constants and a cache."""

from agentvm import agent, llm, tool

LOG: list[str] = []
PREFIX = "Q: "
LIMITS = {"short": 10, "long": 20}


def trimmed(text: str, kind: str = "short") -> str:
    return text[: LIMITS[kind]]


async def ask(question: str, *, kind: str = "short") -> str:
    """An async helper that is no agent."""
    return trimmed(await llm(PREFIX + question), kind)


async def ask_all(questions: list[str]) -> list[str]:
    return [await ask(each, kind="long") for each in questions]


async def ask_deep(question: str, depth: int) -> str:
    if not depth:
        return question
    return await ask_deep(await ask(question), depth - 1)


@tool(effect="pure")
def shout(text: str) -> str:
    return text.upper() + "!"


def apply(function, value):
    return function(value)


@agent
async def interview(names: list[str]) -> list[object]:
    first = await ask(names[0])
    rest = await ask_all(names[1:])
    deep = await ask_deep("why", 3)
    loud = [shout(each) for each in rest]
    best = max(names, key=lambda name: (len(name), name))
    ordered = sorted(names, key=shout)
    return [first, rest, deep, loud, best, ordered, apply(str.title, best), apply(lambda s: s + PREFIX, best)]


def script(call):
    return f"{call.prompt[::-1]} is what you said about {len(call.prompt)}"


CASES = [(interview, (["ann", "bo", "cecil"],), {}), (interview, ([],), {})]
