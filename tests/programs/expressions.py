"""Awaits inside expressions: conditional, boolean, walrus, subscripts, calls, formats, unpacking."""

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def tick(value: int) -> int:
    LOG.append(str(value))
    return value


@agent
async def conditional(number: int) -> list[object]:
    kind = await llm("big") if number > 5 else await llm("small")
    either = await tick(0) or await tick(number)
    both = await tick(1) and await tick(0) and await tick(2)
    chained = 0 < await tick(number) < 10
    negated = not await tick(number - 7)
    return [kind, either, both, chained, negated]


@agent
async def order(number: int) -> list[object]:
    total = await tick(number) + number * await tick(2) - await tick(3)
    number += await tick(10)
    pair = (number, await tick(4), number)
    number = number - 1
    table = {await tick(5): await tick(6), "n": number}
    values = [await tick(each) for each in (9, 8, 7)][await tick(1) : await tick(3)]
    first, *rest = [await tick(11), *values, await tick(12)]
    table["rest"] = rest
    table[await llm("key")] = first
    return [total, pair, table, max(await tick(1), len(values)), str(await tick(99)).zfill(await tick(4))]


@agent
async def walrus(words: list[str]) -> list[str]:
    found = []
    if (answer := await llm("hello")) and len(answer) > (limit := 3):
        found.append(f"{answer}{limit}")
    for word in words:
        if (size := len(word)) > 2:
            found.append(await llm(f"{word} {size}"))
    return found


@agent
async def formats(number: float) -> str:
    width = 12
    value = await llm("number", returns=float)
    text = await llm("text")
    line = f"{value:{width}.3f}|{text!r:>{width}}|{number:+.1e}|{number=}|{{}}|{text:^{len(text) + 4}}"
    return line + f" {await llm(f'nested {width:04d} {text}')!s:.6}" + " %d%%" % int(number)  # noqa: UP031 - an operator the compiler meets


@agent
async def stored(words: list[str]) -> tuple[object, ...]:
    a = b = await llm("both")
    c: str = await llm("annotated")
    d, (e, f) = await llm("d"), (await llm("e"), len(words))
    words[0] += await llm("suffix")
    words[1:] = [await llm("tail")]
    del words[-1]
    g = "unset" if False else c[::-1]
    return a, b, c, d, e, f, words, g


def script(call):
    return "2.5" if call.prompt == "number" else f"{call.prompt}!"


CASES = [
    (conditional, (3,), {}),
    (conditional, (7,), {}),
    (conditional, (0,), {}),
    (order, (2,), {}),
    (walrus, (["a", "bird", "owl"],), {}),
    (formats, (1234.5,), {}),
    (stored, (["x", "y", "z"],), {}),
]
