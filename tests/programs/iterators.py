"""Generator expressions, zip, any, all, sorted and slices between awaits; iterators used once."""

import itertools
import re

from agentvm import agent, llm

LOG: list[str] = []
PATTERN = re.compile(r"(\w)=(\d)")


@agent
async def streams(words: list[str]) -> list[object]:
    first = await llm("a=1 b=2")
    matches = [(m.group(1), int(m.group(2))) for m in PATTERN.finditer(first)]
    total = sum(number for _, number in matches)
    any_long = any(len(word) > 3 for word in words)
    joined = ",".join(word.upper() for word in words if word)
    second = await llm(f"{joined} {total} {any_long}")
    grouped = {key: list(each) for key, each in itertools.groupby(sorted(words, key=len), key=len)}
    longest = max(words, key=len, default="")
    return [matches, second, grouped, longest, all(word in second for word in words), words[::-2]]


@agent
async def one_iterator(words: list[str]) -> list[str]:
    source = iter(words)
    found = []
    for word in source:
        other = next(source, "none")
        found.append(await llm(f"{word}+{other}"))
    return found


@agent
async def match_object(text: str) -> str:
    found = PATTERN.search(await llm(text))
    if found is None:
        return "no match"
    rest = await llm(f"rest of {found.group(1)}")
    return f"{found.group(2)} {rest}"


@agent
async def enumerated(words: list[str]) -> dict[str, int]:
    table = dict(zip(words, itertools.count(1)))
    for number, (word, value) in enumerate(sorted(table.items())):
        table[word] = value * 10 + number + len(await llm(word))
    return table


def script(call):
    return call.prompt


CASES = [
    (streams, (["owl", "goose", "a"],), {}),
    (streams, ([],), {}),
    (one_iterator, (["a", "b", "c"],), {}),
    (match_object, ("x=7",), {}),
    (match_object, ("nothing",), {}),
    (enumerated, (["b", "a"],), {}),
]
