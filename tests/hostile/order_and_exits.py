"""Hostile programs: the order of writes and failures, and every way out of a block."""

import asyncio

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


@tool
async def slow(x):
    await turns(9)
    LOG.append(("slow", x))
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


@tool(effect="read")
async def rfail(x):
    await turns(9)
    raise ValueError(x)


@tool
def sw(x) -> int:
    LOG.append(("sw", x))
    return x


@tool(effect="pure")
async def p(x):
    return x


@case()
@agent
async def pop_comp1():
    xs = [1, 2, 3]
    a = [await wi(xs.pop()) for _ in range(2)]
    return len(xs)


@tool
async def wi(x: int) -> int:
    LOG.append(("wi", x))
    return x


@case()
@agent
async def pop_comp2():
    xs: list[int] = [1, 2, 3]
    n = 0
    ys = [await wi(xs.pop()) for _ in range(2)]
    return xs


@case()
@agent
async def cnt_comp():
    seen: list[int] = []
    ys = [await wi((seen.append(i), len(seen))[1]) for i in range(3)]
    return ys, len(seen)


@case()
@agent
async def sub_order():
    a = await sub_w(1)
    b = await sub_r(2)
    c = await sub_w(3)
    return a, b, c


@agent
async def sub_w(x):
    await slow(x)
    await w((x, 2))
    return x


@agent
async def sub_r(x):
    return await r(x)


@case()
@agent
async def sub_fail_w():
    a = await sub_rf(1)
    await w(2)


@agent
async def sub_rf(x):
    return await rfail(x)


@case()
@agent
async def map_sub_w():
    return [await sub_w(i) for i in range(3)]


@case()
@agent
async def map_mix():
    o = []
    for i in range(3):
        a = await sread(i) if False else i
        if i == 1:
            await w("one")
        b = await r(i)
        o.append(b)
    return o


@case()
@agent
async def loop_w_fail():
    for i in range(3):
        a = await sread(i)
        if i == 1:
            await rfail(i)
        await w(i)


@case()
@agent
async def loop_ret_w():
    for i in range(5):
        a = await r(i)
        if a == 2:
            return await w("done")
        await w(i)
    return "no"


@case()
@agent
async def loop_brk_w():
    for i in range(5):
        if i == 2:
            break
        if i == 0:
            continue
        await w(i)
    await w("end")
    return i


@case()
@agent
async def if_rf_w():
    if await sread(0):
        await w(1)
    else:
        x = await r(2)
    await w(x)
    return x


@case()
@agent
async def branch_fail_order():
    a = await sread(1)
    if a:
        await rfail(2)
    await w(3)


@case()
@agent
async def map_fail_then_w():
    x = [await rfail(i) for i in range(2)]
    await w(1)


@case()
@agent
async def par_w_in_branch():
    a = await llm("slow boom")
    b = await r(1)
    if b:
        await w(2)


@case()
@agent
async def par_w_in_branch2():
    a = await llm("slow boom")
    for i in range(2):
        if await r(i) == 0:
            await w(2)


@case()
@agent
async def par_w_in_sub():
    a = await llm("slow boom")
    await sub_w(1)


@case()
@agent
async def llm_unused_boom():
    await llm("slow boom")
    await w(1)


@case()
@agent
async def py_in_map():
    return [print(end="") or await w(i) or LOG.append(i) for i in range(3)]


@case()
@agent
async def sync_in_expr():
    a = sw(1) + sw(2) * sw(3)
    b = [sw(i) for i in range(2)]
    c = {sw(i): sw(-i) for i in (5, 6)}
    d = f"{sw(7)}"
    return a, b, c, d


@case()
@agent
async def sync_cond():
    a = sw(1) if sw(0) else sw(2)
    b = sw(0) or sw(3)
    while sw(len(LOG)) < 12:
        a += 1
    return a, b


@case()
@agent
async def sync_while():
    n = 0
    while n < 3:
        n += sw(1)
    for q in range(sw(2)):
        n += sw(q)
    return n


@case()
@agent
async def sync_try():
    try:
        sw(1)
        1 / 0
    except ZeroDivisionError:
        sw(2)
    finally:
        sw(3)
    return sw(4)


@case()
@agent
async def sync_aug():
    d = {"a": 1}
    d["a"] += sw(2)
    d[sw("k")] = sw("v")
    d["l"] = []
    d["l"].append(sw(3))
    return d


@case()
@agent
async def sync_chain():
    return 0 < sw(1) < sw(5) < sw(3) < sw(9)


@case()
@agent
async def sync_lambda():
    f = lambda x: sw(x)
    return [f(i) for i in range(2)]


@case()
@agent
async def sync_genexp():
    return sum(sw(i) for i in range(3)), any(sw(i) for i in (0, 1, 2)), all(sw(i) for i in (0, 1))


@case()
@agent
async def sync_default():
    return {}.get("a", sw(1)), max([1, 2], default=sw(3))


@case()
@agent
async def sync_with():
    import contextlib

    with contextlib.suppress(ValueError):
        sw(1)
        raise ValueError
    return sw(2)


@case()
@agent
async def sync_match():
    match sw(2):
        case x if sw(x) > 1:
            return sw("m")


@case()
@agent
async def sync_yield_for():
    o = []
    for i in map(sw, [1, 2]):
        o.append(await r(i))
    return o


@case()
@agent
async def no_await():
    o = []
    for i in range(3):
        for j in range(3):
            if j == 1:
                break
            if i == 2:
                return o
            o.append((i, j))
        else:
            o.append("e")


@case()
@agent
async def trailing_break():
    o = []
    for i in range(3):
        await r(i)
        for j in range(3):
            if j == 1:
                break
            o.append(j)
        if i == 1:
            break
    else:
        o.append("else")
    return o


@case()
@agent
async def inner_ret():
    for i in range(3):
        await r(i)
        for j in range(3):
            if j == 1 and i == 1:
                return (i, j)
    return "none"


@case()
@agent
async def inner_else_cont():
    o = []
    for i in range(3):
        await r(i)
        for j in range(i):
            if j == 1:
                break
        else:
            continue
        o.append(i)
    return o


@case()
@agent
async def inner_while_else_brk():
    o = []
    for i in range(4):
        await r(i)
        k = 0
        while k < i:
            k += 1
        else:
            if i == 2:
                break
        o.append((i, k))
    return o, i, k


@case()
@agent
async def with_ret():
    import contextlib

    for i in range(3):
        await r(i)
        with contextlib.nullcontext():
            if i == 1:
                break
            if i == 5:
                return 1
    return i


@case()
@agent
async def with_suppress_ret():
    import contextlib

    await r(0)
    with contextlib.suppress(ZeroDivisionError):
        return 1 / 0
    return "after"


@case()
@agent
async def ret_in_finally():
    await r(0)
    l = []
    for i in range(3):
        try:
            l.append(i)
            return l
        finally:
            l.append("f")
            if i < 2:
                continue
    return l


@case()
@agent
async def empty_ret():
    await w(1)
    return


@case()
@agent
async def only_pass():
    pass


@case()
@agent
async def docs():
    """doc"""
    x = docs.__doc__ if False else 1
    return x


@case()
@agent
async def typed_only():
    x: int
    y: int = await r(3)
    return y


@case()
@agent
async def globals_name():
    __call__ = 1
    __results__ = 2
    __locals__ = 3
    __value__ = await r(4)
    __x = 5
    return __call__, __results__, __locals__, __value__, __x


@case()
@agent
async def uni():
    ﬁ = await r(1)
    fi2 = ﬁ + 1
    return fi


@case()
@agent
async def manyargs(a=1, *, b=[1], c={"x": 1}):
    b = [*b, await r(2)]
    c = {**c, "y": 1}
    return a, b, c


@case()
@agent
async def gather_nested():
    return await asyncio.gather(asyncio.gather(r(1), r(2)), *[sub_r(i) for i in range(2)], r(9))


@case()
@agent
async def gather_star():
    xs = [1, 2]
    return await asyncio.gather(*(r(x) for x in xs), *[w(x) for x in xs])


@case()
@agent
async def gather_map():
    return await asyncio.gather(*map(r, [1, 2]))


@case()
@agent
async def gather_unpack():
    a, (b, c) = await asyncio.gather(r(1), asyncio.gather(w(2), w(3)))
    return a, b, c


@case()
@agent
async def gather_stmt():
    await asyncio.gather(w(1), w(2))
    await w(3)


@case()
@agent
async def gather_empty():
    return await asyncio.gather(), await asyncio.gather(*[])


@case()
@agent
async def gather_zip():
    return list(zip([1, 2], await asyncio.gather(*[r(x) for x in (1, 2)])))


@case()
@agent
async def err_in_prompt():
    a = await llm("x")
    b = await llm(f"{a[100]}")
    await w(1)


@case()
@agent
async def err_llm_arg():
    await llm(5)


@case()
@agent
async def wrong_args():
    await w(1)
    await w(1, 2, 3)


@case()
@agent
async def wrong_args_sub():
    await w(1)
    await sub_r()


@case()
@agent
async def err_note():
    try:
        await fail(1)
    except ValueError as e:
        e.add_note("n")
        raise


@case()
@agent
async def bare_raise():
    try:
        await fail(1)
    except ValueError:
        await w(2)
        raise


@case()
@agent
async def exc_group():
    raise ExceptionGroup("g", [ValueError(1), TypeError(await r(2))])


class MyE(Exception):
    def __init__(self, a, b):
        super().__init__(a)
        self.b = b


@agent
async def raiser():
    raise MyE(await r(1), [2])


@case()
@agent
async def my_exc():
    try:
        await raiser()
    except MyE as e:
        return e.args, e.b, type(e).__name__


class LocalE(Exception):
    def __init__(self, f):
        self.f = f
        super().__init__("z")


@agent
async def raiser2():
    await r(1)
    raise LocalE(lambda: 3)


@case()
@agent
async def my_exc2():
    try:
        await raiser2()
    except LocalE as e:
        return e.f()


@agent
async def sub_gen():
    await r(1)
    return iter([1, 2])


@case()
@agent
async def inner_agent():
    k = await r(5)

    @agent
    async def ia(x):
        return x + k + await r(1)

    return await ia(1), await asyncio.gather(ia(2), ia(3))


def mk(n):
    @agent
    async def closed(x):
        return n, await r(x)

    return closed


@case()
@agent
async def closures():
    return await mk(1)(2), await mk(2)(2)


closed1 = mk(7)


case((3,))(closed1)
