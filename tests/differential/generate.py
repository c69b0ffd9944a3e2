"""Generates agents: random programs over a few names, all of which end.

The names are few, so that programs often read what they wrote: `n`, `m` are
ints, `a`, `b` strings, `xs`, `ys` lists of strings, `d` a dict of ints, `box` an
object; `rows` holds lists and `boxes` objects, often those that have names. Any
of them may be bound on some paths only, and two may be names of one list. Every
choice is a number below a bound, so whoever draws the numbers (a seed,
Hypothesis) determines the program, and small numbers mean simple ones.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Draw: TypeAlias = Callable[[int], int]
"""A number from 0 up to, not including, the one given."""

PRELUDE = """\
import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

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


class Odd(ValueError):
    def __init__(self, number: int) -> None:
        super().__init__(f"odd {number}")
        self.number = number


@dataclass
class Box:
    size: int = 0
    items: list[str] = field(default_factory=list)

    def add(self, text: str) -> int:
        self.items.append(text)
        return len(self.items)

    async def ask(self, text: str) -> str:
        return await llm(f"box {self.size} {text}")


@tool(effect="read")
async def risky(number: int) -> int:
    if number % 3 == 0:
        raise ValueError(f"risky {number}")
    return number + 1


@tool
async def put_odd(number: int) -> int:
    LOG.append(f"odd {number}")
    if number % 2:
        raise Odd(number)
    return number + len(LOG)


@asynccontextmanager
async def opened(text: str):
    await put(f"open {text}")
    try:
        yield text[:9]
    finally:
        await put(f"close {text}")


async def stream(text: str):
    for part in text[:3]:
        yield part + await llm(f"stream {part}")


def put_in(rows: list[list[str]], row: list[str]) -> list[str]:
    rows.append(row)
    return rows[0]


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
await llm({str}, returns=int); await put_odd({int}); len(d); d.get(a, 0); sum(d.values()); box.size
await double({int}) if {cond} else {int}; n or await put({str}); (n and await double(n)) or m
sum([await double(i) for i in range(n % 4)]); (await double(n) if n else await put({str})) + 1; box.add({str})
(lambda x: x + n)(m); [i for i in range(5) if i != n][0]; await put(text={str}); await put(*[a])
"""
STRS = """
a; b; 's'; f'{n}{a}'; f'{len(xs)}:{b}'; a[:2]; await llm({str}); await ask({str}); str({int})
','.join(xs)[-20:]; (xs or ['none'])[0]; b.upper()[:9] + a[:9]
await llm('p' + await llm({str}) + str(n)); a if {cond} else {str}; await llm('same', temperature=0)
f'{await double(n):03d}{a}'; f'{await llm(a)} {await llm(b):>20}'; a + {str}
a or await llm({str}); await llm({str}) if {cond} else {str}; (b and await llm(b)) or 'none'
await llm(a if {cond} else {str}); await box.ask({str}); '-'.join(sorted({str})[:5])
str(sorted(d.items()))[:20]
(await llm(a), await llm(b))[n % 2]; 'yes' if await llm(a) > 'm' else 'no'; (xs + [await llm(b)])[0]
"""
LISTS = """
xs; ys; []; [a, b]; list(xs); [*ys[:9], {str}]; xs[:2]; [await llm(x) for x in {list}]; sorted(ys)
xs + [a]; [await llm(f'{x}{i}') for i, x in enumerate({list}) if len(x) < 9]; await child({list}, {int})
await asyncio.gather(llm({str}), llm({str})); await asyncio.gather(*[llm(x) for x in {list}])
[str(await risky(len(x))) for x in {list}]; [await ask(x) for x in {list}]
[str(await put(x)) for x in {list}]; list({x: await llm(x) for x in {list}}.values())
[x + y for x in xs for y in ys][:3]; [x + await llm(y) for x in xs[:2] for y in ys[:2]]
[x for x in {list} if await llm(x) > 'm']; [x for x in {list} if len(x) > 1 and await count() < 5]
[(await llm(x)) if x else 'e' for x in {list}]; [b for b in sorted({await llm(x) for x in {list}})]
[str(each)[:9] for each in await asyncio.gather(risky({int}), llm({str}), return_exceptions=True)]; box.items
[repr(x)[:9] for x in await asyncio.gather(*[put_odd(len(x)) for x in {list}], return_exceptions=True)]
[repr(x) for x in await asyncio.gather(put_odd({int}), put({str}), *[put_odd(len(x)) for x in {list}])]
await asyncio.gather(*[ask(f'{x}{await double(len(x))}') for x in {list} if len(x) % 2 or await count() > 2])
[str(await put_odd(len(x))) for x in {list} if await risky(len(x)) > 2]; [x[0] + await llm(x) for x in {list}]
[str(await put(x)) for x in {list} if x[1:] or 6 // len(x) for y in xs[:2] if {cond} if y != await ask(x)]
list({await llm(x[:1]): await put_odd(len(x)) for x in {list} if x[0] != a})
sorted({str(await put(x)) for x in {list}})
[y for x in {list} for y in [z + await llm(x) for z in ys if await double(len(z)) > 2] if await llm(y) > 'c']
[x async for x in stream({str})]; sorted({list}, key=lambda x: (len(x), x))
[f'{n}{x}' for n, x in enumerate(xs)]
rows[0]; boxes[-1].items; sum(rows, [])[:4]; [f'{len(x)}' for x in rows]; [str(x.size) for x in boxes]
[y for x in xs[:2] for y in [await llm(x), x] if y != a]; list(d)[:3]; [*{list}, *{list}][:4]
"""
CONDS = """
n > m; a; not xs; len(ys) > 1; a == b; {int} % 2; await llm({str}) > 'm'; xs is ys; n > 3 and a
await count() < 2; {int} < {int}; await double(n) > 4 or b; 0 < await double(n) < await count()
(m := await double(n)) > 3; a in {list}; not await llm({str}); any([await llm(x) > 'm' for x in {list}])
await llm({str}) > 'm' and await count() < 3; n > 2 or await put({str}) > 2; (b := {str}) != a
rows[0] is ys; len(rows[-1]) > 2; box is boxes[0]; box.items is xs; box in boxes; xs in rows
"""
SIMPLE = """
n = {int}; m = {int}; n += {int}; m -= 1; a = {str}; b = {str}; a = (a + {str})[-20:]; xs = {list}
ys = {list}; xs = ys; ys = xs; xs.append({str}); ys.append({str}); ys.extend(({list})[:2])
xs += ({list})[:2]; push(ys, {str}); await put({str}); await put({str}); put_now(a); print(n, a)
a, b = b, a; n, m = m, {int}; a = b = {str}; xs[0:1] = [{str}]; ys.sort(); await llm({str}); del b
assert {cond}, a; n = await risky({int}); a += 'x'; xs = [x for x in ys if x != a]; m = (n := {int}) + n
pair = (xs, ys); pair[0].append('pair'); m = len(ys); ys = ys[:9] + [a]; xs.clear(); pass
n += await put(a)
d = {a: n}; d[a] = {int}; d[{str}] = await double(n); d[a] += await put({str}); d['k'] = d.get('k', 0) + 1
box = Box(n); box.size = {int}; box.size += await put({str}); box.items += [{str}]; box.add({str})
a, *ys = [{str}, *xs]; *xs, b = [*ys, {str}]; ys[-1:] = [await llm({str})]; n, a = await put_odd(n), {str}
xs = box.items; d = {x: len(x) for x in {list}}; d |= {a: 1}; await put_odd({int}); d.pop(a, None); del d[a]
m = n = {int}; n -= await double({int}); a = await llm(a); b = await llm(b); xs[0] = {str}
n //= {int}; m %= {int}
rows = [xs, ys]; rows = [xs, [{str}], xs]; rows[0].append({str}); rows[-1].append({str}); ys = rows[0]
xs = rows[-1]; rows.append(xs); rows[0], rows[-1] = rows[-1], rows[0]; ys = put_in(rows, xs)
box.items = xs; ys = box.items; boxes = [box, Box(n, ys)]; boxes[0].size += {int}; box = boxes[-1]
boxes[-1].items.append({str}); boxes.append(box); rows = [x.items for x in boxes]; rows = rows[1:] + [ys]
ys.append(await llm({str})); boxes[0].items = rows[0]; rows[0] = ys; boxes.reverse()
box.items.append(await llm({str})); xs = xs if ({cond}) else ys; d[a] = len(rows[0])
"""
FAILING = """
n = 1 // m; a = xs[n]; m = int(a); n, m = m, int(b); await risky(n); n = await risky({int}); raise Odd(n)
b = await llm(a[n]); a, n = b, 1 // (n % 2); m = (n := n + 1) // (m % 2); xs.extend(x[n] for x in ys)
a = xs[n] = {str}; del b; a, xs[5] = b, a; d[a] = d[b] = 1 // n; for m in range(3): n = 6 // (2 - m)
while n: a, n = xs[n - 1], n - 1; n = await double(m) + await risky(n); ys = [str(6 // len(x)) for x in xs]
(a := b) and await put_odd(n); b = a if (n := await double(n)) > 3 else a[9]; assert (m := {int}), a
xs.append(a[n]); ys.insert(0, await ask(b[m])); m = n = await put_odd(n); a = b = xs[await double(n)]
"""
"""What often raises, some of it having assigned something."""
SHOWN = ["n", "m", "a", "b", "xs[-2:]", "ys[-2:]", "sorted(d)", "len(xs)", "box.size"]
"""What a handler writes down of what it finds."""
WILD = re.compile(r"stream|opened|box\.a|lambda|suppress|def ")
"""What the compiler often traces, or traces the function for."""
ALIASING = re.compile(r"^[xy]s$|[xy]s = ([xy]s|\{list\})$|pair|push|child| is |box|rows")
"""What gives a list a second name."""
IN_PLACE = re.compile(
    r"append|extend|\.sort|clear|pop|[-+|/%]=|s?\[.*\] =|d\[.*\] =|del |push|pair|put_in|add|reverse"
    r"|box\.(size|items) ="
)
"""What changes a value, or a name, in place."""
METHODS = re.compile(r"\.(upper|items|values|get|sort|join)\(|ask\(|sorted|lambda")
"""What may do anything if the compiler does not know what it is called on."""
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

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._loops = 0
        self._handlers = 0
        self._tries = 0
        self._without = self._pick(
            [
                (IN_PLACE, ALIASING, WILD, METHODS),
                (ALIASING, WILD, METHODS),
                (IN_PLACE, ALIASING, WILD, METHODS),
                (IN_PLACE, WILD),
                (IN_PLACE, ALIASING, METHODS),
                (WILD, METHODS),
                (WILD,),
                (),
            ]
        )

    @classmethod
    def seeded(cls, seed: int) -> Generator:
        """The generator of the program of that number."""
        return cls(random.Random(seed).randrange)

    def source(self) -> str:
        """The module's source; its agent is `program(n, a, xs)`."""
        body = ["xs = list(xs)"] if ALIASING in self._without or self._chance(80) else []
        body += [f"{name} = {self._fill(value, 0)}" for name, value in self._bound()]
        body += self._block(1 + self._draw(5), 0)
        body.append(f"return ({', '.join(self._returned())})")
        return PRELUDE + "".join(f"    {line}\n" for line in body)

    def _pick(self, choices: Sequence[T]) -> T:
        return choices[self._draw(len(choices))]

    def _chance(self, percent: int) -> bool:
        return self._draw(100) >= 100 - percent

    def _bound(self) -> list[tuple[str, str]]:
        names = [
            ("m: int", "{int}"),
            ("b: str", "{str}"),
            ("ys: list[str]", "{list}"),
            ("d: dict[str, int]", "{a: n}"),
            ("box", "Box(n)"),
            *([] if ALIASING in self._without else [("rows", "[xs, [a]]"), ("boxes", "[box, Box(n, xs)]")]),
            ("gate", "asyncio.Semaphore(9)"),
        ]
        return [each for each in names if not self._chance(8)]

    def _returned(self) -> list[str]:
        names = ["n", "a", "xs", "m", "b", "ys", "d", "box"]
        names += [] if ALIASING in self._without else ["rows", "boxes"]
        return [names.pop(self._draw(len(names))) for _ in range(4)]

    def _fill(self, template: str, depth: int) -> str:
        """Replace `{int}`, `{str}`, `{list}`, `{cond}` by expressions of at most that depth."""

        def drawn(found: re.Match[str]) -> str:
            if depth <= 0:
                return self._pick(self._allowed(_choices(LEAVES[found[1]])))
            return self._fill(self._pick(self._allowed(EXPRESSIONS[found[1]])), depth - 1)

        return re.sub(r"\{(int|str|list|cond)\}", drawn, template)

    def _allowed(self, templates: list[str]) -> list[str]:
        """Most programs do without some of what the compiler traces a function for.

        They change nothing in place, or have no two names for one list, or neither.
        """
        return [each for each in templates if not any(without.search(each) for without in self._without)]

    def _block(self, size: int, depth: int) -> list[str]:
        lines: list[str] = []
        for _ in range(size):
            lines += self._statement(depth)
        return lines or ["pass"]

    def _statement(self, depth: int) -> list[str]:
        compound: list[Callable[[int], list[str]]] = [
            self._if,
            self._for,
            self._try,
            self._while,
            self._for,
            self._try,
            self._match,
            self._with,
            self._kept,
        ]
        roll = self._draw(100)
        if depth < 3 and roll >= 54 + (6 if self._tries else 10) * depth:
            return self._pick(compound)(depth + 1)
        if self._tries and 25 <= roll < 40:
            return [self._fill(self._pick(self._allowed(_choices(FAILING))), 1)]
        if 50 <= roll < 54:
            return self._leaving(f"return {self._fill(self._pick(['{list}', '{str}', '{int}']), 1)}")
        if 47 <= roll < 50:
            return self._leaving(f"raise {self._raised()}")
        if 40 <= roll < 47 and self._loops:
            return self._leaving(self._pick(["break", "continue"]))
        return [self._fill(self._pick(self._allowed(_choices(SIMPLE))), 2)]

    def _leaving(self, statement: str) -> list[str]:
        return [f"if {self._fill('{cond}', 1)}:", f"    {statement}"]

    def _raised(self) -> str:
        choices = ["KeyError({str})", "ValueError({str})", "Odd({int})", "LookupError({str}) from None"]
        if self._handlers:
            choices += ["KeyError({str}) from error", "error", ""]
        return self._fill(self._pick(choices), 1)

    def _inner(self, depth: int) -> list[str]:
        return [f"    {line}" for line in self._block(1 + self._draw(3), depth)]

    def _if(self, depth: int) -> list[str]:
        lines = [f"if {self._fill('{cond}', 2)}:", *self._inner(depth)]
        if self._chance(30):
            lines += [f"elif {self._fill('{cond}', 1)}:", *self._inner(depth)]
        if self._chance(50):
            lines += ["else:", *self._inner(depth)]
        return lines

    def _for(self, depth: int) -> list[str]:
        heads = [
            "for a in ({list})[:3]:",
            "for m in range(3):",
            "for n, b in enumerate(({list})[:3]):",
            "for x in ['k', 'l']:",
            "for ys in rows[:3]:",
            "for m, xs in enumerate(rows[:3]):",
            "for box in boxes[:3]:",
            "for xs, box in zip(rows[:3], [*boxes]):",
            "async for b in stream({str}):",
            "for b, a in zip(xs[:3], ({list})):",
            "for m in map(int, [*'12', {str}]):",
        ]
        self._loops += 1
        lines = [self._fill(self._pick(self._allowed(heads)), 1), *self._inner(depth)]
        self._loops -= 1
        return lines + self._else(depth, 25)

    def _else(self, depth: int, percent: int) -> list[str]:
        return ["else:", *self._inner(depth)] if self._chance(percent) else []

    def _while(self, depth: int) -> list[str]:
        fuel = f"fuel{depth}{self._draw(100)}"
        condition = self._fill(self._pick(["True", "({cond})"]), 1)
        self._loops += 1
        lines = [
            f"{fuel} = 3",
            f"while {fuel} > 0 and {condition}:",
            f"    {fuel} = {fuel} - 1",
            *self._inner(depth),
        ]
        self._loops -= 1
        return lines + self._else(depth, 25)

    def _try(self, depth: int) -> list[str]:
        self._tries += 1
        lines = ["try:", *self._inner(depth)]
        self._tries -= 1
        kinds = [
            "Exception",
            "ValueError",
            "(KeyError, LookupError)",
            "Odd",
            "(TypeError, UnboundLocalError)",
        ]
        handlers = self._draw(3)
        self._handlers += 1
        for _ in range(handlers):
            lines += [f"except {self._pick(kinds)} as error:", *self._witness(), *self._inner(depth)]
            if self._chance(20):
                lines.append(f"    raise {self._raised()}")
        self._handlers -= 1
        if handlers:
            lines += self._else(depth, 25)
        if not handlers or self._chance(35):
            lines += ["finally:", *self._witness(), *self._inner(depth)]
        return lines

    def _witness(self) -> list[str]:
        """Writes down what some names are."""
        if not self._chance(60):
            return []
        shown = self._allowed(SHOWN)
        return [f"    await put(f'{''.join(f'{{{self._pick(shown)}}} ' for _ in range(2))}')"]

    def _match(self, depth: int) -> list[str]:
        subjects = {
            "({int}) % 4": ["0", "1 | 2", "m", "m if {cond}"],
            "{str}": ["'s'", "''", "str() as b", "b if {cond}"],
            "({list})[:3]": ["[]", "[b]", "[b, *ys]", "[a, b] if {cond}", "[_, *_]"],
            "(n, {str})": ["(0, _)", "(m, 's' | 'z')", "(int(), b)", "(m, b) if {cond}"],
        }
        subject = self._pick(list(subjects))
        lines = [f"match {self._fill(subject, 2)}:"]
        patterns = subjects[subject]
        first = self._draw(len(patterns))
        for pattern in patterns[first : first + 1 + self._draw(3)]:
            irrefutable = pattern in ("m", "b")
            shown = f"{pattern} if {{cond}}" if irrefutable else pattern
            lines += [f"    case {self._fill(shown, 1)}:", *self._deeper(depth)]
        if self._chance(50):
            lines += ["    case _:", *self._deeper(depth)]
        return lines

    def _deeper(self, depth: int) -> list[str]:
        return [f"    {line}" for line in self._inner(depth)]

    def _kept(self, depth: int) -> list[str]:
        """A coroutine, a task, or a list of them, awaited later."""
        one, each = f"one{self._draw(1000)}", f"each{self._draw(1000)}"
        made = ["ask({str})", "put_odd({int})", "llm({str})", "put({str})", "child(xs, {int})"]
        # None of them fails: it may be that nobody awaits them, and then nobody would hear of it.
        tasks = ["llm({str})", "ask({str})", "double({int})"]
        lists = ["ask(x)", "put_odd(len(x))", "put(x + {str})", "asyncio.create_task(llm(x + {str}))"]
        uses = [
            f"[str({each}) for {each} in await asyncio.gather(*{one})]",
            f"[repr({each})[:9] for {each} in await asyncio.gather(*{one}, return_exceptions=True)]",
            f"[str(await {each}) for {each} in {one}]",
        ]
        begin, end = self._pick(
            [
                (f"{one} = {self._pick(made)}", f"a = str(await {one})[:9]"),
                (f"{one} = asyncio.create_task({self._pick(tasks)})", f"a = str(await {one})[:9]"),
                (f"{one} = [{self._pick(lists)} for x in {{list}}]", f"ys = {self._pick(uses)}"),
                (f"{one} = {self._pick(made)}", f"xs = list(map(str, await asyncio.gather({one}, llm(a))))"),
            ]
        )
        between = self._block(1 + self._draw(2), depth)
        if self._chance(25):
            end = f"if {{cond}}:\n    {end}"
        return [self._fill(begin, 1), *between, *self._fill(end, 1).split("\n")]

    def _with(self, depth: int) -> list[str]:
        heads = self._allowed(
            ["async with gate:", "async with opened({str}) as b:", "with suppress(ValueError):", "if {cond}:"]
        )
        return [self._fill(self._pick(heads), 1), *self._inner(depth)]
