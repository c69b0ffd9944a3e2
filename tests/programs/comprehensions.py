"""Comprehensions of all kinds with awaits: list, set, dict, nested, filtered, unpacking."""

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool(effect="read")
async def size(text: str) -> int:
    return len(text)


@agent
async def lists(words: list[str]) -> list[object]:
    plain = [await llm(f"A {word}") for word in words]
    long = [await llm(f"B {word}") for word in words if len(word) > 2]
    pairs = [await llm(f"C {n} {word}") for n, word in enumerate(words)]
    flat = [await llm(f"D {a}{b}") for a in words for b in a if b != "o"]
    grid = [[await llm(f"E {a} {b}") for b in range(n)] for n, a in enumerate(words)]
    return [plain, long, pairs, flat, grid]


@agent
async def others(words: list[str]) -> tuple[dict[str, int], set[int], dict[int, str]]:
    sizes = {word: await size(word) for word in words}
    distinct = {await size(word) % 3 for word in words}
    by_length = {await size(word): word for word in words}
    return sizes, distinct, by_length


@agent
async def mixed(words: list[str]) -> list[str]:
    return [
        f"{word}={await llm(f'F {word}')}:{await size(word):03d}" if word != "no" else "skipped"
        for word in sorted(words)
    ]


def script(call):
    return call.prompt.swapcase()


WORDS = ["owl", "no", "goose", "to"]
CASES = [
    (lists, (WORDS,), {}),
    (lists, ([],), {}),
    (others, (WORDS,), {}),
    (others, ([],), {}),
    (mixed, (WORDS,), {}),
]
