"""Hostile programs: module-level state, helpers that change what they are given, errors in odd places."""

import asyncio
import dataclasses
import functools
import itertools
import operator
import pathlib
import typing

from agentvm import agent, llm, tool

from .cases import LOG, SEEN, Cases, reply

CASES = Cases()
case = CASES.case
script = reply


STATE = {"n": 0, "l": []}


COUNT = 0


STORE = []


IDS = itertools.count()


class Config:
    n = 0
    items = []

    @classmethod
    def bump(cls):
        cls.n += 1
        return cls.n


def reset():
    global COUNT, IDS
    COUNT = 0
    STATE.clear()
    STATE.update(n=0, l=[])
    STORE.clear()
    Config.n = 0
    Config.items = []
    IDS = itertools.count()
    fresh_default.__defaults__[0].clear()
    F.unlink(missing_ok=True)


F = pathlib.Path("/tmp/review/f.txt")


@tool
async def w(x):
    LOG.append(("w", x))
    return x


@tool(effect="read")
async def r(x):
    SEEN.append(("r", x))
    return x


@tool(effect="pure")
async def p(x):
    return x


@tool
async def fail(x):
    LOG.append(("fail", x))
    raise ValueError(x)


@tool
def sw(x):
    LOG.append(("sw", x))
    return x


@tool
async def push(xs, x):
    xs.append(x)
    return x


@tool
async def ident(x):
    return x


@tool
async def bump_global():
    global COUNT
    COUNT += 1
    STATE["n"] += 1
    STATE["l"].append(COUNT)
    Config.n += 1
    return 1


def fresh_default(x, acc=[]):
    acc.append(x)
    return acc


@case()
@agent
async def tool_mutates():
    xs = [1]
    await push(xs, 2)
    return xs


@case()
@agent
async def tool_returns_arg():
    xs = [1]
    ys = await ident(xs)
    ys.append(2)
    return xs


@agent
async def sub_mut(xs):
    xs.append(9)
    return len(xs)


@agent
async def sub_ident(xs):
    return xs


@case()
@agent
async def sub_mutates():
    xs = [1]
    n = await sub_mut(xs)
    return xs, n


@case()
@agent
async def sub_returns_arg():
    xs = [1]
    ys = await sub_ident(xs)
    ys.append(3)
    return xs


@case()
@agent
async def class_attr():
    a = await llm("x")
    Config.n = len(a)
    b = Config.n
    return b


@case()
@agent
async def class_method():
    a = await llm("slow")
    x = Config.bump() + 0 * len(a)
    y = Config.bump()
    return x, y


@agent
async def sub_path():
    f = pathlib.Path("/tmp/review/f.txt")
    a = await llm("boom slow")
    f.write_text("x")


@case()
@agent
async def global_int():
    await bump_global()
    x = COUNT
    return x


@case()
@agent
async def global_int2():
    x = COUNT + await bump_global()
    return x


@case()
@agent
async def global_ref():
    x = STATE["l"]
    await bump_global()
    s = str(x)
    return s


@case()
@agent
async def aug_global():
    STATE["n"] += await bump_global()
    return STATE["n"]


@case()
@agent
async def aug_keyerr():
    d = {}
    d["k"] += await w(1)
    return d


@case()
@agent
async def aug_unbound():
    zz += await w(1)
    return zz


@case()
@agent
async def attr_err():
    d = {}
    return d.nope + await w(1)


@case()
@agent
async def name_err():
    return nope(await w(1))


@case()
@agent
async def order_name():
    xs = [1]
    return len(xs) + await push(xs, 2) + len(xs)


@case()
@agent
async def order_f():
    xs = [1]
    return f"{xs} {await push(xs, 2)} {xs}"


@case()
@agent
async def walrus_arg():
    a = await w(y := 5)
    return a, y


@case()
@agent
async def walrus_filter():
    return [await r(y) for x in [1, 2, 3] if (y := x * 2) > 2]


@case()
@agent
async def walrus_elt():
    a = [await r(y := x) for x in [1, 2, 3]]
    return a, y


@case()
@agent
async def filter_raises():
    return [await w(x) for x in [1, 0] if 10 / x > 1]


@case()
@agent
async def set_unhash():
    return {await w([x]) for x in [1, 2]}


@case()
@agent
async def dict_unhash():
    return {(await w(x), []): 1 for x in [1, 2]}


@case()
@agent
async def gather_arg_raises():
    return await asyncio.gather(w(1), w(1 / 0))


@case()
@agent
async def iter_twice():
    z = iter([1, 2, 3])
    a = await llm("x")
    p_ = [*z] if a else []
    q = list(z)
    return p_, q


@case()
@agent
async def iter_twice2():
    z = iter([1, 2, 3])
    a = await llm("x")
    p_ = list(z) + [a]
    q = list(z)
    return p_, q


@case()
@agent
async def iter_for():
    it = iter([1, 2, 3, 4])
    for x in it:
        await r(x)
        if x == 2:
            break
    return list(it)


@case()
@agent
async def iter_next():
    it = iter([1, 2, 3, 4])
    a = next(it)
    await r(a)
    b = next(it)
    return a, b, list(it)


@case()
@agent
async def count_next():
    it = itertools.count()
    a = next(it)
    await r(a)
    b = next(it)
    return a, b


@case()
@agent
async def for_append():
    xs = [1, 2]
    for x in xs:
        await r(x)
        if len(xs) < 5:
            xs.append(x + 10)
    return xs


@case()
@agent
async def for_dict_mut():
    d = {1: 1}
    for k in d:
        await r(k)
        d[k + 1] = 1
    return d


@case()
@agent
async def fin_break():
    n = 0
    for x in [1, 2, 3]:
        await r(x)
        try:
            if x > 1:
                break
        finally:
            n += 1
    return n


@case()
@agent
async def fin_continue():
    n = 0
    for x in [1, 2, 3]:
        await r(x)
        try:
            if x > 1:
                continue
        finally:
            n += 1
    return n


@case()
@agent
async def exc_break():
    for x in [1]:
        await r(x)
        try:
            1 / 0
        except ZeroDivisionError as e:
            break
    return e


@agent
async def fact(n):
    if n <= 1:
        return 1
    return n * await fact(n - 1)


case((4,))(fact)


@case()
@agent
async def tmp_item():
    c = await llm("x")
    _item = 0
    _value = 0
    _1 = 0
    _if = 0
    _in = 0
    _exit = 0
    if c:
        _item = await r(1)
        _value = await r(2)
        _1 = await r(3)
        _if = await r(4)
        _in = await r(5)
        _exit = await r(6)
    return _item, _value, _1, _if, _in, _exit


@case()
@agent
async def tmp2():
    _if = "a"
    if await r(1):
        pass
    _in = "b"
    for x in (1, 2):
        await r(x)
    return _if, _in


@case()
@agent
async def tmp3():
    _exit = 1
    x = _exit + 1
    await r(x)
    _exit, y = 5, 6
    return _exit, y


@case()
@agent
async def unb_for():
    c = await llm("x")
    if not c:
        xs = [1]
        await r(1)
    for x in xs:
        await r(x)


@case()
@agent
async def unb_map():
    c = await llm("x")
    if not c:
        xs = [1]
        await r(1)
    return [await r(x) for x in xs]


def keep(x):
    STORE.append(x)


def peek():
    return STORE[-1]


def get_state():
    return STATE


@case()
@agent
async def helper_keeps():
    xs = [1]
    keep(xs)
    await r(1)
    xs.append(2)
    await r(2)
    return peek()


@case()
@agent
async def helper_global():
    s = get_state()
    s["q"] = await r(1)
    await r(2)
    return get_state()


@case()
@agent
async def mut_default():
    a = fresh_default(len(await llm("slow")))
    b = fresh_default(2)
    return list(a), list(b)


@agent
async def sub_def(x, acc=[]):
    acc.append(x)
    return list(acc)


@case()
@agent
async def sub_mut_default():
    a = await sub_def(1)
    b = await sub_def(2)
    sub_def.fn.__defaults__[0].clear()
    return a, b


@case()
@agent
async def bound_append():
    notes = []
    add = notes.append
    for x in [1, 2]:
        add(await r(x))
    n = len(notes)
    await r(n)
    return n, notes


@case()
@agent
async def getattr_append():
    notes = []
    a = await r(1)
    getattr(notes, "append")(a)
    n = len(notes)
    await r(n)
    return n, notes


@case()
@agent
async def op_setitem():
    d = {}
    a = await r(1)
    operator.setitem(d, "k", a)
    n = len(d)
    return n, d


@case()
@agent
async def cast_alias():
    x = []
    y = typing.cast(list, x)
    await r(1)
    y.append(1)
    await r(2)
    return x


@case()
@agent
async def op_getitem():
    x = {"a": []}
    y = operator.getitem(x, "a")
    await r(1)
    y.append(1)
    await r(2)
    return x


@case()
@agent
async def key_lambda_mut():
    xs = [[3, 1], [1, 2]]
    a = await r(1)
    ys = sorted(xs, key=lambda q: q.pop() + a)
    n = str(xs)
    return n, ys


def popper(q):
    return q.pop()


@case()
@agent
async def key_fn_mut():
    xs = [[3, 1], [1, 2]]
    await r(1)
    ys = sorted(xs, key=popper)
    n = str(xs)
    return n, ys


@case()
@agent
async def key_local_fn():
    xs = [3, 1]
    k = sw
    a = await llm("slow")
    ys = sorted(xs + [len(a)], key=k)
    zs = sorted(xs, key=k)
    return ys, zs


@case()
@agent
async def list_sort_tool():
    xs = [3, 1]
    a = await llm("boom slow")
    ys = [2, 1]
    ys.sort(key=sw)
    return xs, ys


@case()
@agent
async def for_target_sub():
    d = {}
    for d["k"] in [1, 2, 3]:
        await r(d["k"])
    return d


@case()
@agent
async def match_alias():
    data = {"items": [1]}
    match data:
        case {"items": items}:
            pass
    await r(1)
    items.append(2)
    await r(2)
    return data


@case()
@agent
async def comp_shadow_global():
    xs = [STORE for STORE in [1, 2]]
    await r(1)
    STORE.append(5)
    await r(2)
    return xs, STORE


def logged(f):
    @functools.wraps(f)
    def wrap(*a):
        LOG.append(("call", a))
        return f(*a) + 1000

    return wrap


def alogged(f):
    @functools.wraps(f)
    async def wrap(*a):
        LOG.append(("acall", a))
        return await f(*a) + 1000

    return wrap


@logged
def deco_helper(x):
    return x


@case()
@agent
async def decorated_helper():
    a = await llm("slow")
    x = deco_helper(len(a))
    y = deco_helper(1)
    return x, y


@case((1,))
@agent
@alogged
async def decorated_agent(x):
    return await r(x)


class C:
    __secret = 7

    @staticmethod
    @agent
    async def st(x):
        return C.__secret + await r(x)


case((1,))(C.st)


@dataclasses.dataclass
class It:
    n: int = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.n += 1
        if self.n > 5:
            raise StopIteration
        return self.n


@case()
@agent
async def it_record():
    it = It()
    for x in it:
        await r(x)
        if x == 2:
            break
    return [x for x in it]


@dataclasses.dataclass
class Rec:
    x: int
    id: int = dataclasses.field(default_factory=lambda: next(IDS))


@case()
@agent
async def rec_default():
    a = Rec(len(await llm("slow")))
    b = Rec(2)
    return a, b


class Ct:
    def __init__(self):
        self.n = 0

    @property
    def nxt(self):
        self.n += 1
        return self.n


@case()
@agent
async def prop_effect():
    c = Ct()
    a = c.nxt * len(await llm("slow"))
    b = c.nxt
    return a, b


class Store(typing.Protocol):
    def put(self, x) -> int: ...


class Mem:
    def __init__(self):
        self.xs = []

    def put(self, x):
        self.xs.append(x)
        LOG.append(("put", x))
        return len(self.xs)


def make_store() -> Store:
    return Mem()


@case()
@agent
async def proto():
    s = make_store()
    a = await llm("boom slow")
    s.put(1)
    return 1


@case()
@agent
async def proto2():
    s = make_store()
    a = await llm("slow")
    x = s.put(a)
    y = s.put("b")
    return x, y
