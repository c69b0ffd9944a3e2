"""Hostile programs: what loops and comprehensions bind, tools that call tools, other awaitables."""

import asyncio
import contextvars

from agentvm import agent, llm, tool

from .cases import LOG, SEEN, Cases, reply, turns

CASES = Cases()
case = CASES.case
script = reply


def reset():
    pass


@tool
async def w(x):
    LOG.append(("w", x))
    return x


@tool(effect="read")
async def r(x):
    await turns(3)
    SEEN.append(("r", x))
    return x


@tool(effect="read")
async def sread(x):
    await turns(9)
    SEEN.append(("sread", x))
    return x


@tool
async def fail(x):
    LOG.append(("fail", x))
    raise ValueError(x)


@tool
def sw(x) -> int:
    LOG.append(("sw", x))
    return x


def eff(x):
    LOG.append(("eff", x))
    return x


class T:
    @tool
    async def m(self, x):
        LOG.append(("m", x))
        return x

    @staticmethod
    @tool
    async def s(x):
        LOG.append(("s", x))
        return x

    @agent
    async def ag(self, x):
        return await self.m(x)

    async def meth(self, x):
        return await w(x)


TT = T()


@case()
@agent
async def meth_async():
    t = T()
    a = await t.meth(1)
    b = await t.meth(a)
    return b


@tool
async def tool_llm(x):
    LOG.append(("tool_llm", x))
    return await llm(f"q{x}")


@case()
@agent
async def tool_calls_llm():
    return [await tool_llm(i) for i in range(2)]


@tool
async def tool_calls_tool(x):
    return await w(x)


@case()
@agent
async def tool_tool():
    return await tool_calls_tool(1), await w(2)


@case()
@agent
async def star_disp():
    b = [1]
    return [*b, await r(2)], (*b, await r(3)), {*b, await r(4)}, {**{"a": 1}, "b": await r(5)}


def show(*a, **k):
    return a, k


@case()
@agent
async def star_call():
    b = [1]
    return show(*b, await r(2), **{"z": 1}, y=await r(3))


@case()
@agent
async def nested_call():
    return show(eff(1), show(eff(2), await w(3)), eff(4), await w(5))


@case()
@agent
async def sub_name_param(w2=1):
    w = await r(1)
    return w


@case()
@agent
async def shadow_tool():
    r2 = r
    x = await r2(1)
    return x


@case()
@agent
async def cond_tool():
    f = w if await r(0) else r
    x = await f(3)
    return x


@case()
@agent
async def nested_if():
    a = await r(1)
    o = []
    if a:
        b = await r(2)
        if b > 1:
            c = await r(3)
            o.append(c)
        elif await r(9):
            o.append("x")
        else:
            c = 4
    else:
        b = 0
    o.append((a, b, c))
    return o


@case()
@agent
async def del_cond():
    x = 1
    a = await r(0)
    if a:
        del x
        await r(1)
    b = x
    x = await r(2)
    del x
    try:
        x
    except UnboundLocalError:
        return b, "unb"


@case()
@agent
async def loop_del():
    x = None
    for i in range(3):
        if i == 1:
            del x
            await r(i)
            x = 5
        else:
            x = await r(i)
    return x


@case()
@agent
async def loop_unbound_later():
    for i in range(3):
        if i > 0:
            y = z
        z = await r(i)
    return y, z


@case()
@agent
async def loop_unbound_first():
    for i in range(3):
        y = z
        z = await r(i)
    return y, z


@case()
@agent
async def while_cond_walrus():
    i = 0
    while (n := await r(i)) < 3:
        i += 1
    return n, i


@case()
@agent
async def while_cond_walrus2():
    i = 0
    while (n := i + 1) < 3:
        i = n + await r(0)
    return n, i


@case()
@agent
async def if_walrus():
    if (n := len("abc")) > 2:
        await r(n)
    return n


@case()
@agent
async def for_over_call():
    o = []
    for x in sorted(await r([3, 1])):
        o.append(await r(x))
    for k, v in (await r({"a": 1})).items():
        o.append((k, await r(v)))
    return o


@case()
@agent
async def for_shadow_iter():
    xs = [1, 2, 3]
    for x in xs:
        xs = await r([x])
    return xs


@case()
@agent
async def for_target_same():
    x = [1, 2]
    for x in x:
        await r(x)
    return x


@case()
@agent
async def comp_target_same():
    x = [1, 2]
    y = [await r(x) for x in x]
    return x, y


@case()
@agent
async def comp_closure_scope():
    k = 5
    y = [await r(k + x) for x in range(2)]
    k = 6
    z = [k for _ in y]
    return y, z


@case()
@agent
async def slow_then_w():
    a = await sread(1)
    await w(2)
    b = await sread(3)
    await w(4)
    return a, b


@case()
@agent
async def unused_read_fail():
    x = await sread(1)
    y = 1 / 0
    await w(1)


@case()
@agent
async def pure_fail_before_w():
    d = {}
    await w(1)
    d["k"]
    await w(2)


@case()
@agent
async def assign_fail():
    a, b = await r([1, 2, 3])
    await w(1)


@case()
@agent
async def for_fail_iter():
    for x in 5:
        await w(x)


@case()
@agent
async def for_unpack_fail():
    for a, b in [(1, 2), (3,)]:
        await w(a)


@case()
@agent
async def comp_unpack_fail():
    return [await w(a) for a, b in [(1, 2), (3,)]]


@case()
@agent
async def comp_multi_fail():
    return [await w(b) for a in [[1], None] for b in a]


@case()
@agent
async def ret_in_loop_w():
    for i in range(4):
        if await r(i) == 2:
            return i
        await w(i)


@case()
@agent
async def two_loops():
    o = []
    for i in range(3):
        o.append(await r(i))
    for i in range(3):
        await w(o[i])
    return sum(o)


@case()
@agent
async def big_loop():
    s = 0
    for i in range(2000):
        s += await r0(i)
    return s


@tool(effect="pure")
async def r0(x):
    return x


@case()
@agent
async def big_while():
    s = 0
    while s < 3000:
        s += await r0(3)
    return s


@case()
@agent
async def big_map():
    return sum([await r0(i) for i in range(2000)])


@agent
async def deep(n):
    if n == 0:
        return 0
    x = await deep2(n - 1)
    return x + 1


@agent
async def deep2(n):
    if n == 0:
        return 0
    x = await deep(n - 1)
    return x + 1


case((60,))(deep)


@case()
@agent
async def async_prop():
    q = asyncio.get_running_loop().time()
    await turns(9)
    return asyncio.get_running_loop().time() > q


@case()
@agent
async def ctxvar():
    t = CV.set(5)
    a = await r(1)
    b = CV.get()
    return b


CV = contextvars.ContextVar("cv", default=0)


@case()
@agent
async def cur_task():
    a = asyncio.current_task()
    await r(1)
    b = asyncio.current_task()
    return a is b


@case()
@agent
async def fut():
    f = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, f.set_result, 3)
    a = await r(1)
    b = await f
    return a, b


@case()
@agent
async def gather_stored():
    g = asyncio.gather(r(1), w(2))
    x = await w(3)
    return x, await g


@case()
@agent
async def as_completed():
    o = []
    for c in asyncio.as_completed([r(1), w(2)]):
        o.append(await c)
    return sorted(o)


@case()
@agent
async def wait_():
    d, p = await asyncio.wait([asyncio.create_task(r(1)), asyncio.create_task(w(2))])
    return sorted(t.result() for t in d), len(p)


@case()
@agent
async def event():
    e = asyncio.Event()
    asyncio.get_running_loop().call_soon(e.set)
    await e.wait()
    await w(1)
    return e.is_set()


@case()
@agent
async def sem():
    s = asyncio.Semaphore(2)

    async def one(i):
        async with s:
            return await r(i)

    return await asyncio.gather(*[one(i) for i in range(4)])


@case()
@agent
async def to_thread():
    return await asyncio.to_thread(sw, 1), await asyncio.to_thread(lambda: sw(2))


@case()
@agent
async def run_exec():
    return await asyncio.get_running_loop().run_in_executor(None, sw, 1)


class AI:
    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return 7


@case()
@agent
async def awaitable():
    a = AI()
    return await a, await AI()
