"""Hostile programs: two names for one object, and what changes it through either."""

import asyncio
import collections
import contextlib
import copy
import dataclasses
import enum
import functools
import operator

from agentvm import agent, llm, tool
from tests.hostile import settings

from .cases import LOG, SEEN, Cases, reply, turns

CASES = Cases()
case = CASES.case
script = reply


STATE = {"n": 0, "l": [], "d": {}}


SEEN = []


def reset():
    STATE.clear()
    STATE.update(n=0, l=[], d={})
    SEEN.clear()
    settings.X = 0
    settings.L.clear()


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
async def fail(x):
    LOG.append(("fail", x))
    raise ValueError(x)


@tool
def sw(x):
    LOG.append(("sw", x))
    return x


@tool(effect="pure")
async def p(x):
    return x


@tool(effect="read")
async def get_l():
    return STATE["l"]


def get_l2():
    return STATE["l"]


def note(x):
    SEEN.append(x)


def setx(v):
    settings.X = v


@case()
@agent
async def leftover():
    return (await w(1)) / 0, await w(2)


@case()
@agent
async def leftover_kw():
    return dict(a=(await w(1)) / 0, b=await w(2))


@case()
@agent
async def leftover_gather():
    return await asyncio.gather(w((await w(1)) / 0), w(3))


@case()
@agent
async def mod_attr():
    a = await llm("slow")
    settings.X = a
    b = settings.X
    return b


@case()
@agent
async def mod_attr2():
    a = await llm("slow")
    setx(a)
    b = settings.X
    return b


@case()
@agent
async def mod_attr3():
    a = await llm("slow")
    settings.L.append(a)
    b = len(settings.L)
    return b


@case()
@agent
async def helper_ret_global():
    l = get_l2()
    l.append(await r(1))
    x = await r(2)
    return get_l2(), STATE["l"]


@case()
@agent
async def helper_ret_global2():
    l = get_l2()
    a = await r(1)
    l.append(a)
    b = len(get_l2())
    await r(b)
    return b


@case()
@agent
async def helper_ret_global3():
    a = await r(1)
    get_l2().append(a)
    b = len(STATE["l"])
    return b


@case()
@agent
async def global_local_alias():
    d = STATE["d"]
    a = await llm("slow")
    note(a)
    k = len(SEEN)
    d2 = dict(d)
    return k, d2


@case()
@agent
async def global_nested_sub():
    a = await llm("slow")
    STATE["d"]["k"] = a
    x = STATE["d"].get("k")
    y = [*STATE["d"]]
    return x, y


@case()
@agent
async def tool_ret_global():
    l = await get_l()
    l.append(1)
    m = await get_l()
    return m


@case()
@agent
async def ifexp_alias():
    a = [1]
    b = [2]
    c = a if await r(1) else b
    c.append(9)
    await r(2)
    return a, b


@case()
@agent
async def or_alias():
    a = []
    b = [2]
    c = a or b
    await r(1)
    c.append(9)
    await r(2)
    return a, b


@case()
@agent
async def loop_alias():
    xs = [[1], [2]]
    for x in xs:
        x.append(await r(1))
    return xs


@case()
@agent
async def loop_alias2():
    xs = [{"a": 1}, {"a": 2}]
    for x in xs:
        v = await r(x["a"])
        x["b"] = v
    await r(0)
    return xs


@case()
@agent
async def loop_alias3():
    xs = [{"a": 1}, {"a": 2}]
    last = None
    for x in xs:
        if last is not None:
            last["next"] = await r(x["a"])
        last = x
    return xs


@case()
@agent
async def enum_alias():
    xs = [[1], [2]]
    for i, x in enumerate(xs):
        v = await r(i)
        x.append(v)
    return xs


@case()
@agent
async def comp_alias():
    xs = [[1], [2]]
    ys = [x for x in xs]
    await r(1)
    ys[0].append(5)
    await r(2)
    return xs


@case()
@agent
async def sorted_alias():
    xs = [[2], [1]]
    ys = sorted(xs)
    await r(1)
    ys[0].append(5)
    await r(2)
    return xs


@case()
@agent
async def dict_alias():
    d = {"a": [1]}
    v = d.get("a")
    await r(1)
    v.append(2)
    await r(2)
    return d


@case()
@agent
async def dict_items_alias():
    d = {"a": [1]}
    for k, v in d.items():
        v.append(await r(1))
    return d


@case()
@agent
async def dict_values_alias():
    d = {"a": [1]}
    vs = list(d.values())
    a = await r(1)
    vs[0].append(a)
    await r(2)
    return d


@case()
@agent
async def copy_alias():
    a = [[1]]
    b = copy.copy(a)
    c = copy.deepcopy(a)
    await r(1)
    b[0].append(2)
    c[0].append(3)
    await r(2)
    return a, b, c


@case()
@agent
async def append_alias():
    a = [1]
    b = []
    b.append(a)
    await r(1)
    a.append(2)
    await r(2)
    return b


@case()
@agent
async def setitem_alias():
    a = [1]
    b = {}
    b["k"] = a
    await r(1)
    a.append(2)
    await r(2)
    return b


@case()
@agent
async def attr_alias():
    a = [1]
    b = Bx(a)
    await r(1)
    a.append(2)
    await r(2)
    return b.x


class Bx:
    def __init__(self, x):
        self.x = x


@dataclasses.dataclass
class R2:
    x: list

    def grow(self):
        self.x.append(1)
        return len(self.x)


@dataclasses.dataclass(frozen=True)
class Fz:
    x: list


@case()
@agent
async def rec_alias():
    a = [1]
    b = R2(a)
    await r(1)
    n = b.grow()
    await r(2)
    return a, n


@case()
@agent
async def frozen_alias():
    a = [1]
    b = Fz(a)
    await r(1)
    b.x.append(4)
    await r(2)
    return a


@case()
@agent
async def unpack_alias():
    a = [1]
    t = (a, 2)
    (q, _) = t
    await r(1)
    q.append(3)
    await r(2)
    return a, t


@case()
@agent
async def star_alias():
    a = [1]
    l = [*[a]]
    await r(1)
    l[0].append(3)
    await r(2)
    return a


@case()
@agent
async def zip_alias():
    a = [[1]]
    await r(0)
    for x, y in zip(a, [5]):
        v = await r(y)
        x.append(v)
    return a


@case()
@agent
async def sum_alias():
    a = [1]
    b = sum([], a)
    await r(1)
    b.append(2)
    await r(2)
    return a


@case()
@agent
async def max_alias():
    a = [[1], [2]]
    b = max(a)
    await r(1)
    b.append(2)
    await r(2)
    return a


@case()
@agent
async def iter_alias():
    a = [[1], [2]]
    b = next(iter(a))
    await r(1)
    b.append(2)
    await r(2)
    return a


@case()
@agent
async def iadd_list_alias():
    a = [1]
    b = [a]
    c = b + []
    await r(1)
    c[0].append(2)
    await r(2)
    return a


@case()
@agent
async def mul_alias():
    a = [1]
    b = [a] * 2
    await r(1)
    b[0].append(2)
    await r(2)
    return a, b


@case()
@agent
async def slice_alias():
    a = [[1], [2]]
    b = a[:1]
    await r(1)
    b[0].append(2)
    await r(2)
    return a


@case()
@agent
async def pop_alias():
    a = [[1], [2]]
    c = [a[0]]
    b = a.pop(0)
    await r(1)
    b.append(2)
    await r(2)
    return a, b, c


@case()
@agent
async def setdef_alias():
    d = {}
    l = d.setdefault("k", [])
    await r(1)
    l.append(2)
    await r(2)
    return d


@case()
@agent
async def opt_alias(x: list | None = None):
    y = x or []
    a = await r(1)
    y.append(a)
    await r(2)
    return x, y


@case(([1],))
@agent
async def param_mut(x: list):
    a = await r(1)
    x.append(a)
    await r(2)
    return x


@case(((([1],),)))
@agent
async def tuple_annot(x):
    y = x[0]
    a = await r(1)
    y = [*y, a]
    return x, y


def ann_lie(x) -> str:
    return x


@case()
@agent
async def annot_lie():
    x = []
    y = ann_lie(x)
    await r(1)
    y.append(1)
    await r(2)
    return x


def ann_float(x: float) -> float:
    return x


def ident_h(x):
    return x


def pick(d, k):
    return d[k]


def wrapit(x):
    return {"v": x}


@case()
@agent
async def h_ident():
    x = []
    y = ident_h(x)
    await r(1)
    y.append(1)
    await r(2)
    return x


@case()
@agent
async def h_pick():
    x = {"a": []}
    y = pick(x, "a")
    await r(1)
    y.append(1)
    await r(2)
    return x


@case()
@agent
async def h_pick2():
    x = {"a": {"b": []}}
    y = pick(x, "a")["b"]
    await r(1)
    y.append(1)
    await r(2)
    return x


def pick2(d):
    return d["a"]["b"]["c"]


@case()
@agent
async def h_pick3():
    x = {"a": {"b": {"c": []}}}
    y = pick2(x)
    await r(1)
    y.append(1)
    await r(2)
    return x


@case()
@agent
async def h_wrap():
    x = []
    y = wrapit(x)
    await r(1)
    y["v"].append(1)
    await r(2)
    return x


@case()
@agent
async def getter3():
    x = {"a": {"b": {"c": []}}}
    y = functools.reduce(operator.getitem, ["a", "b", "c"], x)
    await r(1)
    y.append(1)
    await r(2)
    return x


@case()
@agent
async def items3():
    x = {"a": {"b": [[1]]}}
    y = list(x.values())
    await r(1)
    y[0]["b"][0].append(3)
    await r(2)
    return x


@case()
@agent
async def chainm():
    a = {"k": []}
    b = collections.ChainMap(a)
    await r(1)
    b["z"] = 1
    await r(2)
    return a


@case()
@agent
async def od():
    a = collections.OrderedDict(x=1)
    b = a
    await r(1)
    b.move_to_end("x")
    b["y"] = 1
    await r(2)
    return list(a)


def mut_kw(*, xs):
    xs.append(1)


def mut_star(*xs):
    xs[0].append(1)


def mut_kwargs(**kw):
    kw["xs"].append(1)


def mut_nested(o):
    o["a"].append(1)


def mut_via(o):
    mut_nested(o)


def mut_ret(o):
    o.append(1)
    return o


@case()
@agent
async def hm_kw():
    xs = []
    a = await llm("slow")
    mut_kw(xs=xs)
    n = len(xs)
    return n


@case()
@agent
async def hm_star():
    xs = []
    await r(1)
    mut_star(xs)
    n = len(xs)
    await r(n)
    return xs


@case()
@agent
async def hm_star2():
    xs = []
    await r(1)
    mut_star(*[xs])
    n = len(xs)
    await r(n)
    return xs


@case()
@agent
async def hm_kwargs():
    xs = []
    await r(1)
    mut_kwargs(xs=xs)
    n = len(xs)
    await r(n)
    return xs


@case()
@agent
async def hm_kwargs2():
    xs = []
    await r(1)
    mut_kwargs(**{"xs": xs})
    n = len(xs)
    await r(n)
    return xs


@case()
@agent
async def hm_via():
    o = {"a": []}
    i = o["a"]
    await r(1)
    mut_via(o)
    n = len(i)
    await r(n)
    return o, i


@case()
@agent
async def hm_tuple():
    o = []
    await r(1)
    mut_star(o, 1)
    await r(2)
    mut_nested({"a": o})
    await r(3)
    return o


@case()
@agent
async def hm_ret():
    o = []
    z = mut_ret(o)
    await r(1)
    mut_ret(z)
    await r(2)
    return o


@case()
@agent
async def hm_comp():
    o = [[] for _ in range(2)]
    await r(1)
    [mut_ret(q) for q in o]
    s = str(o)
    await r(s)
    return o


@case()
@agent
async def hm_comp2():
    o = [[] for _ in range(2)]
    await r(1)
    z = [await r(mut_ret(q)) for q in o]
    s = str(o)
    return o, s


@case()
@agent
async def hm_any():
    o = [[] for _ in range(2)]
    await r(1)
    any(q.append(1) for q in o)
    s = str(o)
    await r(s)
    return o


@case()
@agent
async def hm_lst():
    xs = [3, 1, 2]
    await r(1)
    ys = sorted(xs, key=lambda x: xs.append(x) if False else x)
    await r(2)
    return ys, xs


class Color(enum.Enum):
    A = 1

    def log(self):
        LOG.append("enum")
        return self.value


@case()
@agent
async def enum_m():
    c = Color.A
    a = await llm("boom slow")
    return c.log()


@agent
async def enum_m2s():
    c = Color.A
    a = await llm("boom slow")
    c.log()


case()(enum_m2s)


class S(str):
    def shout(self):
        LOG.append("S")
        return self.upper()


@case()
@agent
async def strsub():
    s = S("x")
    a = await llm("boom slow")
    s.shout()


@case()
@agent
async def glob_fn_attr():
    a = await llm("slow")
    note.k = a
    b = note.k
    return b


@case()
@agent
async def inst_global():
    a = await llm("slow")
    OBJ.n = a
    b = OBJ.n
    return b


class O:
    n = 0


OBJ = O()


@case()
@agent
async def except_alias():
    a = [1]
    try:
        raise ValueError(a)
    except ValueError as e:
        b = e.args[0]
    await r(1)
    b.append(2)
    await r(2)
    return a


@case()
@agent
async def with_alias():
    a = [1]
    with contextlib.nullcontext(a) as b:
        pass
    await r(1)
    b.append(2)
    await r(2)
    return a


@case()
@agent
async def imp_in():
    import tests.hostile.settings as cm

    a = await llm("slow")
    cm.X = a
    b = cm.X
    return b


@case()
@agent
async def self_cont():
    a = []
    a.append(a)
    await r(1)
    a.append(1)
    await r(2)
    return len(a), a[0] is a


@case()
@agent
async def ident_test():
    a = [1]
    b = a
    c = await p(a)
    await r(1)
    return a is b, a is a, b == c


@case()
@agent
async def ident_loop():
    o = object()
    xs = [o]
    await r(1)
    return xs[0] is o, o in xs


@case()
@agent
async def sentinel():
    missing = object()
    d = {}
    x = d.get("k", missing)
    await r(1)
    y = [1]
    y.append(2)
    return x is missing


SENT = object()


@case()
@agent
async def sentinel2():
    x = SENT
    y = [x]
    await r(1)
    y.append(2)
    return y[0] is SENT


@case()
@agent
async def cls_val():
    c = Bx
    b = c([1])
    await r(1)
    b.x.append(1)
    y = b
    await r(2)
    return b.x


@case()
@agent
async def local_inst_mut():
    b = Bx([1])
    a = await r(1)
    b.y = a
    b.x.append(2)
    await r(2)
    return b.x, b.y


@case()
@agent
async def gen_helper():
    g = genh(3)
    a = next(g)
    await r(a)
    b = next(g)
    return a, b, list(g)


def genh(n):
    for i in range(n):
        yield i


@case()
@agent
async def gen_helper2():
    g = genh(3)
    o = []
    for x in g:
        o.append(await r(x))
    return o, list(g)


@case()
@agent
async def gen_helper3():
    g = genh(3)
    a = await llm("slow")
    x = [*g, a]
    y = sum(g)
    return x, y


def genlog(n):
    for i in range(n):
        LOG.append(("g", i))
        yield i


@case()
@agent
async def gen_log():
    for x in genlog(3):
        await w(x)


@case()
@agent
async def gen_log2():
    return [await w(x) for x in genlog(3)]


@dataclasses.dataclass
class Held:
    xs: list[str]


@agent
async def put_in_record(xs: list[str]) -> Held:
    held = Held([])
    await llm("q")
    held.xs = xs
    return held


@agent
async def put_in_rows(xs: list[str]) -> list[list[str]]:
    rows: list[list[str]] = []
    rows.append(xs)
    rows.append([await llm("q")])
    return rows


@agent
async def put_in_error(xs: list[str]) -> int:
    error = LookupError("found")
    error.xs = xs  # type: ignore[attr-defined]
    await llm("q")
    raise error


@case()
@agent
async def result_holds_argument():
    xs: list[str] = ["a"]
    held = await put_in_record(xs)
    held.xs.append(await llm("x"))
    return xs, held


@case()
@agent
async def result_holds_argument2():
    xs: list[str] = ["a"]
    rows = await put_in_rows(xs)
    rows[0].append(await llm("x"))
    return xs, rows


@case()
@agent
async def error_holds_argument():
    xs: list[str] = ["a"]
    try:
        await put_in_error(xs)
    except LookupError as error:
        error.xs.append(await llm("x"))  # type: ignore[attr-defined]
    return xs
