"""Generates agents: random programs over a few names, all of which end.

The names are few, so that programs often read what they wrote: `n`, `m` are
ints, `a`, `b` strings, `xs`, `ys` lists of strings. Any of them may be bound on
some paths only, and two may be names of one list.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

PRELUDE = """\
import asyncio

from agentvm import agent, llm, tool

LOG = []


@tool
async def put(text: str) -> int:
    LOG.append(str(text))
    return len(LOG)


@tool
def put_now(text: str) -> int:
    LOG.append(f"now {text}")
    return len(LOG)


@tool(effect="read")
async def count() -> int:
    return len(LOG)


@tool(effect="pure")
async def double(number: int) -> int:
    return 2 * number


@tool(effect="read")
async def risky(number: int) -> int:
    if number % 3 == 0:
        raise ValueError(f"risky {number}")
    return number + 1


def push(values: list[str], value: str) -> int:
    values.append(value)
    return len(values)


async def ask(text: str) -> str:
    return await llm(f"ask {text}") + "?"


@agent
async def child(values: list[str], number: int) -> list[str]:
    if number > 3:
        raise LookupError(number)
    answer = await llm(f"child {number} {len(values)}")
    await put(answer)
    return [answer, *values]


@agent
async def program(n: int, a: str, xs: list[str]):
"""

INTS = """
n; m; len(xs); len(a); 1; 2; 7; n + 1; n - m; n * 2 % 7; await count(); await double({int})
await risky({int}); len(await llm({str})); await put({str}); push(xs, {str}); put_now({str})
sum(len(x) for x in {list}); max({int}, {int}); (await double({int})) + n; n + await put({str}) - n
await llm({str}, returns=int)
"""
STRS = """
a; b; 's'; f'{n}{a}'; f'{len(xs)}:{b}'; a[:2]; await llm({str}); await ask({str}); str({int})
','.join(xs)[-20:]; (xs or ['none'])[0]; b.upper()[:9] + a[:9]
await llm('p' + await llm({str}) + str(n)); a if {cond} else {str}; await llm('same', temperature=0)
f'{await double(n):03d}{a}'; f'{await llm(a)} {await llm(b):>20}'; a + {str}
"""
LISTS = """
xs; ys; []; [a, b]; list(xs); [*ys[:9], {str}]; xs[:2]; [await llm(x) for x in {list}]; sorted(ys)
xs + [a]; [await llm(f'{x}{i}') for i, x in enumerate({list}) if len(x) < 9]; await child({list}, {int})
await asyncio.gather(llm({str}), llm({str})); await asyncio.gather(*[llm(x) for x in {list}])
[str(await risky(len(x))) for x in {list}]; [await ask(x) for x in {list}]
[str(await put(x)) for x in {list}]; list({x: await llm(x) for x in {list}}.values())
[x + y for x in xs for y in ys][:3]; [x + await llm(y) for x in xs[:2] for y in ys[:2]]
"""
CONDS = """
n > m; a; not xs; len(ys) > 1; a == b; {int} % 2; await llm({str}) > 'm'; xs is ys; n > 3 and a
await count() < 2; {int} < {int}; await double(n) > 4 or b
"""
SIMPLE = """
n = {int}; m = {int}; n += {int}; m -= 1; a = {str}; b = {str}; a = (a + {str})[-20:]; xs = {list}
ys = {list}; xs = ys; ys = xs; xs.append({str}); ys.append({str}); ys.extend(({list})[:2])
xs += ({list})[:2]; push(ys, {str}); await put({str}); await put({str}); put_now(a); print(n, a)
a, b = b, a; n, m = m, {int}; a = b = {str}; xs[0:1] = [{str}]; ys.sort(); await llm({str}); del b
assert {cond}, a; n = await risky({int}); a += 'x'; xs = [x for x in ys if x != a]; m = (n := {int}) + n
pair = (xs, ys); pair[0].append('pair'); m = len(ys); ys = ys[:9] + [a]; xs.clear(); pass
n += await put(a)
"""
ALIASING = re.compile(r"^[xy]s$|[xy]s = ([xy]s|\{list\})$|pair|push|child|xs is ys")
"""What gives a list a second name."""
IN_PLACE = re.compile(r"append|extend|\.sort|clear|[+-]=|xs\[0:1\]|del |push|pair")
"""What changes a value, or a name, in place."""
LEAVES = {
    "int": "n; len(a); 1; 5",
    "str": "a; 's'; f'{n}'",
    "list": "xs; [a]; ['p', 'q']",
    "cond": "n; a",
}


def _choices(text: str) -> list[str]:
    return [each.strip() for line in text.splitlines() for each in line.split(";") if each.strip()]


EXPRESSIONS = {
    "int": _choices(INTS),
    "str": _choices(STRS),
    "list": _choices(LISTS),
    "cond": _choices(CONDS),
}


class Generator:
    """Writes one program."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._loops = 0
        self._without = {0: None, 1: IN_PLACE, 2: ALIASING}[seed % 3]

    def source(self) -> str:
        """The module's source; its agent is `program(n, a, xs)`."""
        body = [f"{name} = {self._fill('{' + kind + '}', 0)}" for name, kind in self._bound()]
        body += self._block(self._draw.randrange(3, 8), 0)
        body.append(f"return ({', '.join(self._draw.sample(['n', 'a', 'xs', 'm', 'b', 'ys'], 4))})")
        return PRELUDE + "".join(f"    {line}\n" for line in body)

    def _bound(self) -> list[tuple[str, str]]:
        names = [("m", "int"), ("b", "str"), ("ys", "list")]
        return [each for each in names if self._draw.random() < 0.9]

    def _fill(self, template: str, depth: int) -> str:
        """Replace `{int}`, `{str}`, `{list}`, `{cond}` by expressions of at most that depth."""

        def drawn(found: re.Match[str]) -> str:
            if depth <= 0:
                return self._draw.choice(_choices(LEAVES[found[1]]))
            return self._fill(self._draw.choice(self._allowed(EXPRESSIONS[found[1]])), depth - 1)

        return re.sub(r"\{(int|str|list|cond)\}", drawn, template)

    def _allowed(self, templates: list[str]) -> list[str]:
        """Of three programs one changes nothing in place and one has no two names for one list.

        The compiler traces most of the others.
        """
        if self._without is None:
            return templates
        return [each for each in templates if not self._without.search(each)]

    def _block(self, size: int, depth: int) -> list[str]:
        lines: list[str] = []
        for _ in range(size):
            lines += self._statement(depth)
        return lines or ["pass"]

    def _statement(self, depth: int) -> list[str]:
        compound: list[Callable[[int], list[str]]] = [
            self._if,
            self._if,
            self._for,
            self._for,
            self._while,
            self._try,
        ]
        roll = self._draw.random()
        if depth < 3 and roll < 0.3:
            return self._draw.choice(compound)(depth + 1)
        if roll < 0.34:
            return [f"if {self._fill('{cond}', 1)}:", f"    return {self._fill('{list}', 1)}"]
        if roll < 0.36:
            return [f"if {self._fill('{cond}', 1)}:", f"    raise KeyError({self._fill('{str}', 1)})"]
        if roll < 0.42 and self._loops:
            return [f"if {self._fill('{cond}', 1)}:", f"    {self._draw.choice(['break', 'continue'])}"]
        return [self._fill(self._draw.choice(self._allowed(_choices(SIMPLE))), 2)]

    def _inner(self, depth: int) -> list[str]:
        return [f"    {line}" for line in self._block(self._draw.randrange(1, 4), depth)]

    def _if(self, depth: int) -> list[str]:
        lines = [f"if {self._fill('{cond}', 2)}:", *self._inner(depth)]
        if self._draw.random() < 0.3:
            lines += [f"elif {self._fill('{cond}', 1)}:", *self._inner(depth)]
        if self._draw.random() < 0.5:
            lines += ["else:", *self._inner(depth)]
        return lines

    def _for(self, depth: int) -> list[str]:
        heads = (
            "for a in ({list})[:3]:",
            "for m in range(3):",
            "for n, b in enumerate(({list})[:3]):",
            "for x in ['k', 'l']:",
        )
        self._loops += 1
        lines = [self._fill(self._draw.choice(heads), 1), *self._inner(depth)]
        self._loops -= 1
        if self._draw.random() < 0.1:
            lines += ["else:", *self._inner(depth)]
        return lines

    def _while(self, depth: int) -> list[str]:
        fuel = f"fuel{depth}{self._draw.randrange(100)}"
        self._loops += 1
        lines = [
            f"{fuel} = 3",
            f"while {fuel} > 0 and ({self._fill('{cond}', 1)}):",
            f"    {fuel} = {fuel} - 1",
            *self._inner(depth),
        ]
        self._loops -= 1
        return lines

    def _try(self, depth: int) -> list[str]:
        lines = ["try:", *self._inner(depth)]
        caught = self._draw.choice(["ValueError", "Exception", "(KeyError, LookupError)"])
        lines += [f"except {caught} as error:", *self._inner(depth)]
        if self._draw.random() < 0.3:
            lines += ["finally:", f"    {self._fill('await put({str})', 1)}"]
        return lines
