"""Hostile programs: dynamic calls, coroutines and tasks kept for later, closures, unusual expressions."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
import hashlib
import random as rnd
import re

from agentvm import agent, llm, tool

from .cases import LOG, SEEN, Cases, reply, turns

CASES = Cases()
case = CASES.case
script = reply


STATE = {"n": 0, "l": []}


LIM = 3


def reset():
    STATE.clear()
    STATE.update(n=0, l=[])


@tool
async def w(x):
    LOG.append(("w", x))
    return x


@tool
async def w2(x, k=0):
    LOG.append(("w2", x, k))
    return x


@tool(effect="read")
async def r(x):
    await turns(3)
    SEEN.append(("r", x))
    return x


@tool
async def fail(x):
    LOG.append(("fail", x))
    raise ValueError(x)


@tool
def sw(x):
    LOG.append(("sw", x))
    return x


@tool(effect="pure")
def sp(x):
    return x * 2


@tool(effect="read")
def sr(x):
    SEEN.append(("sr", x))
    return x


TOOLS = {"w": w, "r": r, "sw": sw}


@case()
@agent
async def dyn1():
    a = await llm("slow")
    x = await TOOLS["w"](1)
    y = await TOOLS["r"](x)
    z = TOOLS["sw"](3)
    return x, y, z


@case()
@agent
async def dyn2():
    c = TOOLS["w"](1)
    a = await llm("x")
    await w(0)
    b = await c
    return a, b


@case()
@agent
async def dyn_gather():
    return await asyncio.gather(*[TOOLS[k](1) for k in ("w", "r")])


@case()
@agent
async def part():
    p = functools.partial(w, 1)
    a = await p()
    b = await p()
    return a, b


@case()
@agent
async def part2():
    p = functools.partial(sw)
    a = await llm("slow boom")
    return list(map(p, [1, 2]))


@case()
@agent
async def map_tool():
    a = await llm("slow")
    xs = list(map(sw, [1, 2]))
    ys = [sw(x) for x in xs]
    return xs, ys, a


@case()
@agent
async def map_tool_lazy():
    m = map(sw, [1, 2])
    a = await w(0)
    return list(m)


@case()
@agent
async def coro_later():
    c = w(1)
    await w(0)
    return await c


@case()
@agent
async def task1():
    t = asyncio.create_task(w(1))
    await w(0)
    return await t


async def hlp(x):
    a = await llm(f"h{x}")
    await w(a)
    return a


@case()
@agent
async def hlp1():
    return await hlp(1), await hlp(2)


@case()
@agent
async def hlp_gather():
    return await asyncio.gather(hlp(1), hlp(2))


@case()
@agent
async def hlp_coro():
    c = hlp(1)
    await w(0)
    return await c


@case()
@agent
async def hlp_task():
    t = asyncio.create_task(hlp(1))
    await w(0)
    x = await t
    return x


@case()
@agent
async def tg():
    async with asyncio.TaskGroup() as g:
        a = g.create_task(w(1))
        b = g.create_task(llm("x"))
    return a.result(), b.result()


@case()
@agent
async def waitfor():
    return await asyncio.wait_for(llm("slow"), 1)


@case()
@agent
async def gather_rex():
    return await asyncio.gather(w(1), fail(2), w(3), return_exceptions=True)


@case()
@agent
async def gather_fail():
    return await asyncio.gather(w(1), fail(2), return_exceptions=False)


async def agen():
    for i in range(3):
        yield i
        await w(("g", i))


@case()
@agent
async def afor():
    o = []
    async for x in agen():
        o.append(await r(x))
        if x == 1:
            break
    return o


@case()
@agent
async def afor_stored():
    g = agen()
    o = []
    async for x in g:
        o.append(await r(x))
        if x == 1:
            break
    rest = [y async for y in g]
    return o, rest


@case()
@agent
async def acomp():
    return [await r(x) async for x in agen() if x]


class CM:
    async def __aenter__(self):
        await w("enter")
        return self

    async def __aexit__(self, *a):
        await w("exit")
        return a[0] is ValueError


@case()
@agent
async def awith():
    async with CM() as c:
        await r(1)
        raise ValueError
    return await w("after")


@case()
@agent
async def awith_stored():
    c = CM()
    async with c as d:
        x = await r(1)
    return x, c is d


@case()
@agent
async def lock():
    l = asyncio.Lock()
    n = 0
    async with l:
        n = await r(1)
    async with l:
        n += await r(2)
    return n


@case()
@agent
async def queue():
    q = asyncio.Queue()
    await q.put(await r(1))
    q.put_nowait(2)
    return await q.get(), q.get_nowait()


@case()
@agent
async def lam_loop():
    fs = []
    for i in range(3):
        await r(i)
        fs.append(lambda: i)
    return [f() for f in fs]


@case()
@agent
async def lam_def():
    x = 1
    f = lambda y, z=x: y + z
    x = await r(5)
    return f(1), f(x)


@case()
@agent
async def inner():
    n = 0

    async def go(k):
        nonlocal n
        n += await r(k)
        return n

    a = await go(1)
    b = await go(2)
    return a, b, n


@case()
@agent
async def nested_brk():
    o = []
    for i in range(3):
        for j in range(3):
            x = await r((i, j))
            if j == 1:
                if i == 1:
                    break
                continue
            if i == 2:
                return o, i, j
            o.append(x)
        else:
            o.append("else")
    return o


@case()
@agent
async def nested_brk2():
    o = []
    for i in range(4):
        for j in range(3):
            x = await r((i, j))
            if j == 1:
                if i == 1:
                    break
                continue
            if i == 2:
                break
            o.append(x)
        if i == 2:
            continue
        o.append(("i", i))
        while True:
            y = await r(("w", i))
            if y:
                if i == 3:
                    return o, i, j, x, y
                break
    return o


@case()
@agent
async def wtrue():
    n = 0
    while True:
        n += await r(1)
        if n < 3:
            continue
        if n > 5:
            break
        await w(n)
    else:
        n = 0
    return n


@case()
@agent
async def welse():
    n = 0
    while await r(n) < 3:
        n += 1
    else:
        n = 100
    return n


@case()
@agent
async def loopvar():
    for i, (a, *b) in enumerate([(1, 2, 3), (4, 5)]):
        await w(i)
    return i, a, b


@case()
@agent
async def loopvar_empty():
    for i in []:
        await w(i)
    return i


@case()
@agent
async def del1():
    x = await r(1)
    del x
    return x


@case()
@agent
async def del2():
    x = [1, 2, 3]
    del x[await r(0)]
    await r(1)
    del x[0]
    return x


@case()
@agent
async def sub_target():
    a = [0, 0]
    a[await w(1)] = await w(5)
    return a


@case()
@agent
async def swap():
    a, b = [1], [2]
    await r(1)
    a, b = b, a
    await r(2)
    a.append(3)
    return a, b


@case()
@agent
async def xyal():
    x = y = []
    await r(1)
    x.append(1)
    return y


@case()
@agent
async def lol():
    g = [[0] * 2] * 2
    await r(1)
    g[0][0] = 1
    await r(2)
    return g


@case()
@agent
async def lol2():
    row = [0]
    g = [row, row]
    await r(1)
    g[0].append(1)
    return g, row


@case()
@agent
async def views():
    d = {1: 1}
    k = d.keys()
    await r(1)
    d[2] = 2
    return list(k)


@case()
@agent
async def slices():
    x = [1, 2, 3]
    y = x[:]
    await r(1)
    x[1:] = [9]
    y += [4]
    x *= 2
    return x, y


@case()
@agent
async def aug_alias():
    x = [1]
    y = x
    x += [await r(2)]
    return y


@case()
@agent
async def aug_tuple():
    t = ([],)
    try:
        t[0] += [1]
    except TypeError:
        pass
    await r(1)
    return t


@dataclasses.dataclass
class Node:
    v: int
    kids: list = dataclasses.field(default_factory=list)

    def add(self, x):
        self.kids.append(x)
        return self


@case()
@agent
async def obj1():
    n = Node(1)
    m = n.add(2)
    await r(1)
    m.add(3)
    await r(2)
    return n


@case()
@agent
async def obj2():
    n = Node(1)
    for i in range(3):
        n.add(await r(i))
        n.v += i
    return n


@case()
@agent
async def obj_nested():
    n = Node(1)
    k = Node(2)
    n.add(k)
    await r(1)
    k.v = 5
    await r(2)
    return n


class Acc:
    def __init__(self):
        self.t = 0
        self.log = []

    def __iadd__(self, o):
        self.t += o
        return self

    def __call__(self, x):
        self.log.append(x)
        return len(self.log)

    def __str__(self):
        self.t += 1
        return f"A{self.t}"

    def __getitem__(self, i):
        self.t += 1
        return self.t

    def __add__(self, o):
        LOG.append(("add", o))
        return self.t + o


@case()
@agent
async def acc1():
    a = Acc()
    for i in range(3):
        a += await r(i)
    return a.t


@case()
@agent
async def acc2():
    a = Acc()
    l = await llm("slow")
    x = a(l)
    y = a(2)
    return x, y, a.log


@case()
@agent
async def acc_str():
    a = Acc()
    l = await llm("slow")
    x = f"{a}{l}"
    y = f"{a}"
    return x, y


@case()
@agent
async def acc_get():
    a = Acc()
    l = await llm("slow")
    x = a[len(l)]
    y = a[0]
    return x, y


@case()
@agent
async def acc_add():
    a = Acc()
    l = await llm("slow")
    x = a + len(l)
    y = a + 0
    return x, y


@case()
@agent
async def print_order():
    a = await llm("slow")
    print(a, end="")
    print("b", end="")
    await w(1)
    return 1


@case()
@agent
async def w_after_fail():
    a = await llm("slow boom")
    await w(1)


@case()
@agent
async def w_par_fail():
    a = llm
    x = [await llm(q) for q in ["a", "slow boom", "c"]]
    await w(1)


@case()
@agent
async def par_fail2():
    x = [await w(1 / q) for q in [1, 0, 2]]
    return x


@case()
@agent
async def py_fail_order():
    a = await llm("slow")
    b = 1 / (len(a) - len(a))
    await w(1)


@case()
@agent
async def py_fail_first():
    a = await llm("boom slow")
    b = 1 / 0


@case()
@agent
async def fail_two():
    a = await llm("boom slow")
    b = await llm("boom")


@case()
@agent
async def starargs():
    a = [1]
    return await w2(*a, **{"k": await r(2)}), await w2(*[await r(7)])


@case((1, 2, 3))
@agent
async def va(a, /, b, *c, d=LIM, **e):
    return a, b, c, d, e, await r(b)


@case()
@agent
async def va2():
    return await va(1, 2, 3, 4, d=await r(9), z=1)


async def _apply(f, x):
    return await f(x)


@agent
async def ag1(x):
    return await w(x)


@case()
@agent
async def agarg():
    return await _apply(ag1, 1), await _apply(w, 2)


@agent
async def higher(f, x):
    return await f(x)


@case()
@agent
async def agarg3():
    f = ag1 if await r(1) else w
    return await f(3)


@agent
async def even(n):
    return True if n == 0 else await odd(n - 1)


@agent
async def odd(n):
    return False if n == 0 else await even(n - 1)


case((5,))(even)


@agent
async def rec2(n):
    if n == 0:
        return []
    x = await r(n)
    rest = await rec2(n - 1)
    return [x, *rest]


case((3,))(rec2)


@case()
@agent
async def stopit():
    a = await r(1)
    b = next(iter([]))
    return b


class BE(BaseException):
    pass


@agent
async def subexit():
    await r(1)
    raise BE("q")


@case()
@agent
async def catch_be():
    try:
        await subexit()
    except BE as e:
        return "caught"


@case()
@agent
async def catch_gen():
    try:
        await fail(1)
    except ValueError as e:
        await w("h")
        raise RuntimeError("x") from e
    finally:
        await w("f")


@case()
@agent
async def raise_from():
    try:
        1 / 0
    except ZeroDivisionError as e:
        err = e
    await r(1)
    raise ValueError("y") from err


@case()
@agent
async def fin_ret():
    try:
        return await w(1)
    finally:
        return await w(2)


@case()
@agent
async def assert1():
    x = await r(0)
    assert x, f"no {await r(x)}"


@case()
@agent
async def match1():
    match await r((1, 2)):
        case (1, y) if await r(y) == 3:
            return "a"
        case (a, b):
            return a, b


@case()
@agent
async def cond_short():
    return (
        (await r(0)) and (await w(1)),
        (await r(1)) or await w(2),
        (await w(3) if await r(0) else await w(4)),
    )


@case()
@agent
async def chain():
    return 0 < await r(1) < await r(2) < await r(0) < await r(9)


@case()
@agent
async def dictdisp():
    return {await w("k1"): await w("v1"), **{await w("k2"): 1}, await w("k3"): await w("v3")}


@case()
@agent
async def kworder():
    return await w2(k=await w("k"), x=await w("x"))


def eff(x):
    LOG.append(("eff", x))
    return x


@case()
@agent
async def mixorder():
    return eff(1) + await w(2) + eff(3), [eff(4), await w(5), eff(6)], f"{eff(7)}{await w(8)}{eff(9)}"


@case()
@agent
async def mixorder2():
    d = {eff("a"): await w(1), "b": eff(2)}
    d[eff("z")] = await w(4)
    return d


@case()
@agent
async def mixorder3():
    x = max(eff(1), await w(2), key=lambda q: eff(q))
    return x


@case()
@agent
async def popargs():
    xs = [1, 2, 3]
    return [xs.pop(), await w(xs.pop()), xs.pop()]


@case()
@agent
async def popargs2():
    xs = [1, 2, 3]
    y = await w2(xs.pop(), k=await w(xs.pop()))
    return xs, y


@case()
@agent
async def pop_comp():
    xs = [1, 2, 3]
    ys = [await w(xs.pop()) for _ in range(2)]
    return xs, ys


@case()
@agent
async def shadow_builtin():
    list = await r([3, 1])
    sorted = lambda x: x
    len = 1
    print = 2
    return sorted(list), len


@case()
@agent
async def comp_shadow():
    x = 10
    ys = [await r(x) for x in range(2)]
    zs = [x for x in ys]
    return x, ys, zs


@case()
@agent
async def comp_nested():
    return [[await r((i, j)) for j in range(i)] for i in range(3)], {
        i: [await r(j) for j in range(i)] for i in range(2)
    }


@case()
@agent
async def comp_multi():
    return [await r((a, b)) for a in range(3) for b in range(a) if a + b]


@case()
@agent
async def comp_unpack():
    return (
        {k: await r(v) for k, v in {"a": 1}.items()},
        [await r(a + b) for (a, b) in [(1, 2)]],
        [await r(a) for a, *b in [(1, 2)]],
    )


@case()
@agent
async def genexp_await():
    return [x async for x in (await r(y) for y in range(3))]


@case()
@agent
async def hashobj():
    h = hashlib.sha256()
    h.update((await llm("x")).encode())
    h.update(b"q")
    await r(1)
    return h.hexdigest()


@case()
@agent
async def finditer():
    m = re.finditer("a", "aaa")
    a = await llm("slow")
    x = [next(m).start(), a]
    y = [q.start() for q in m]
    return x, y


@case()
@agent
async def deq():
    d = collections.deque(maxlen=2)
    for i in range(4):
        d.append(await r(i))
    return list(d)


@case()
@agent
async def ddict():
    d = collections.defaultdict(list)
    for i in range(4):
        d[i % 2].append(await r(i))
    x = d[7]
    return dict(d)


@case()
@agent
async def ddict_read():
    d = collections.defaultdict(list)
    a = await llm("slow")
    x = d[a]
    n = len(d)
    return n


@case()
@agent
async def zipper():
    z = zip([1, 2], [3, 4])
    e = enumerate([5, 6])
    a = await r(1)
    o = []
    for p in z:
        o.append((p, await r(2)))
    for p in z:
        o.append(p)
    return o, list(e), list(e)


@case()
@agent
async def rev():
    z = reversed([1, 2, 3])
    o = [await r(x) for x in z]
    return o, list(z)


@case()
@agent
async def rndm():
    g = rnd.Random(1)
    a = [g.random() for _ in range(2)]
    await r(1)
    b = g.random()
    return a, b


@case()
@agent
async def ifexp_none():
    x = None
    if await r(1):
        x = await r(2)
    elif await r(3):
        y = 1
    else:
        z = 2
    return x


@case()
@agent
async def cond_bind():
    if await r(0):
        y = 1
    try:
        return y
    except UnboundLocalError:
        return "unb"


@case()
@agent
async def setdefault():
    d = {}
    for i in range(4):
        d.setdefault(i % 2, []).append(await r(i))
    return d


@case()
@agent
async def nestd():
    d = {"a": {"b": []}}
    d["a"]["b"].append(await r(1))
    x = d["a"]
    await r(2)
    x["c"] = 1
    return d


@case()
@agent
async def stardst():
    a, *b = await r([1, 2, 3])
    b.append(a)
    (c, d), e = (1, 2), await r(3)
    return a, b, c, d, e
