"""Hostile programs: whatever fits nowhere else."""

import contextvars
import dataclasses
import typing

from agentvm import agent, llm, tool

from .cases import LOG, SEEN, Cases, reply, turns

CASES = Cases()
case = CASES.case
script = reply


CV = contextvars.ContextVar("cv", default=0)


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
def sw(x) -> int:
    LOG.append(("sw", x))
    return x


@tool(effect="pure")
def sp(x) -> int:
    return -x


@case()
@agent
async def cv1():
    a = await llm("slow")
    t = CV.set(len(a))
    b = CV.get()
    await r(b)
    CV.reset(t)
    return b, CV.get()


@case()
@agent
async def sort_key_tool():
    a = await llm("slow")
    xs: list[int] = [3, 1, 2]
    xs.sort(key=sw)
    await w(1)
    return xs


@agent
async def sub_sort():
    xs: list[int] = [3, 1, 2]
    xs.sort(key=sw)
    await w(1)
    return xs


@case()
@agent
async def sort_in_traced():
    try:
        x = await sub_sort()
        y = await w(2)
    except ValueError:
        pass
    return x, y


@case()
@agent
async def sort_boom():
    xs: list[int] = [3, 1, 2]
    a = await llm("boom slow")
    xs.sort(key=sw)


@dataclasses.dataclass
class Base:
    n: int = 0

    def hit(self) -> int:
        return 0


@dataclasses.dataclass
class Sub(Base):
    def hit(self) -> int:
        self.n += 1
        LOG.append(("hit", self.n))
        return self.n


def mkb() -> Base:
    return Sub()


@case()
@agent
async def override():
    b = mkb()
    a = await llm("slow")
    x = b.hit() + len(a)
    y = b.hit()
    return x, y, b.n


@case()
@agent
async def iterable_ann():
    xs = it3()
    a = await llm("slow")
    x = [*xs, a]
    y = list(xs)
    return x, y


def it3() -> typing.Iterable[int]:
    return iter([1, 2])


def seqlie() -> list[int]:
    return [1, 2]


n_cell = [0]


def mk():
    n = 1

    def setn(v):
        nonlocal n
        n = v

    @agent
    async def cell(v):
        setn(v)
        a = await r(n)
        b = n
        return a, b

    return cell


cellag = mk()


case((5,))(cellag)


@case()
@agent
async def lam_param_shadow():
    xs = [3, 1]
    ys = sorted(xs, key=lambda w: -w)
    return ys, await r(1)


@case()
@agent
async def cond_expr_default():
    d = {}
    x = d.get("a") or await r(3)
    return x


@case()
@agent
async def multi_targets():
    a = b = await r([1])
    b.append(2)
    return a


@case()
@agent
async def chained_assign_sub():
    d = {}
    d["a"] = x = await r([1])
    x.append(2)
    await r(2)
    return d


@case()
@agent
async def attr_assign_await():
    b = Base()
    b.n = await r(4)
    b.n += await r(1)
    c = b.n
    await r(c)
    return b, c


@case()
@agent
async def aug_list_elem():
    xs = [1, 2]
    xs[0] += await r(5)
    xs[-1] *= await r(2)
    return xs


@case()
@agent
async def aug_in_loop():
    d = {"a": 0}
    t = 0
    s = ""
    l = []
    for i in range(3):
        d["a"] += await r(i)
        t += await r(i)
        s += str(await r(i))
        l += [await r(i)]
    return d, t, s, l


@case()
@agent
async def loop_read_before():
    hist = []
    for i in range(3):
        a = await llm(f"{i} {hist}")
        hist.append(a)
    return hist


@case()
@agent
async def loop_mut_nested():
    d = {"h": []}
    for i in range(3):
        a = await r(len(d["h"]))
        d["h"].append(a)
        if a > 1:
            d["done"] = True
            break
    return d


@case()
@agent
async def exc_name_reuse():
    e = 1
    try:
        1 / 0
    except ZeroDivisionError as e:
        pass
    await r(1)
    return e


@case()
@agent
async def exc_in_loop():
    o = []
    for i in (1, 0, 2):
        try:
            v = 2 / i
        except ZeroDivisionError as ex:
            o.append(str(ex))
            continue
        o.append(await r(v))
    return o


@case()
@agent
async def set_mut():
    s = set()
    t = s
    for i in range(3):
        s.add(await r(i))
    s |= {9}
    return sorted(s), sorted(t)


@case()
@agent
async def set_aug():
    s = {1}
    t = s
    s |= {await r(9)}
    return sorted(t)


@case()
@agent
async def str_join():
    return ", ".join([await r(str(i)) for i in range(3)]) + await r("!")


@case()
@agent
async def fmt():
    a = await llm("x")
    return f"{a!r:>10} {await r(3):03d} {(await r('z')).upper()!r}"


@case()
@agent
async def subscript_call():
    return (await r({"a": [1, 2]}))["a"][await r(1)]


@case()
@agent
async def not_await():
    return not await r(0), -(await r(1)), (await r([1, 2]))[-1:], (await r("ab")).upper()


@case()
@agent
async def in_await():
    return 1 in await r([1]), (await r(1)) in [1], await r(1) is not None


@case()
@agent
async def lam_arg_await():
    return (lambda q, z: q + z)(await r(1), 2)


@case()
@agent
async def with_sync_await_in():
    import io

    with io.StringIO() as f:
        f.write(await r("x"))
        return f.getvalue()


@case()
@agent
async def io_obj():
    import io

    f = io.StringIO()
    f.write(await r("x"))
    f.write("y")
    await r(1)
    return f.getvalue()


@case()
@agent
async def import_alias():
    import json as j
    from os import path as p_

    a = await r(p_.join("a", "b"))
    return j.dumps(a)
