"""Agents that change what several names refer to, each in a way that copies could get wrong.

They are no example of what agents look like, so they do not count in docs/traced.md.
"""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def put(text: str) -> int:
    LOG.append(str(text))
    return len(LOG)


@tool(effect="read")
async def look(values: list[str], _: object) -> list[str]:
    return list(values)


@dataclass
class Node:
    name: str
    items: list[str] = field(default_factory=list)
    children: list["Node"] = field(default_factory=list)


class Carrier(Exception):
    def __init__(self, items: list[str]) -> None:
        super().__init__("carrier")
        self.items = items


@asynccontextmanager
async def opened(text: str) -> AsyncIterator[str]:
    await put(f"open {text}")
    yield text[:9]


def push(rows: list[list[str]], row: list[str]) -> None:
    rows.append(row)


def first(rows: list[list[str]]) -> list[str]:
    return rows[0]


def doubled(text: str) -> list[list[str]]:
    row = [text]
    return [row, row]


@agent
async def final_return(t: str) -> list[str]:
    xs = [t]
    try:
        await llm("a")
        return xs
    finally:
        xs.append("late")


@agent
async def reraise(t: str) -> list[str]:
    xs = [t]
    try:
        try:
            await llm("a")
            raise Carrier(xs)
        except Carrier:
            xs.append(await llm("b"))
            raise
    except Carrier as e:
        return e.items


@agent
async def store_by_helper(t: str) -> object:
    grid: list[list[str]] = []
    row = [t]
    push(grid, row)
    row.append(await llm("x"))
    return [grid, row]


@agent
async def argument_old(t: str) -> object:
    rows: list[list[str]] = [[t]]
    return await look(rows[0], rows[0].append("z"))


@agent
async def identity(t: str) -> object:
    x = [t]
    a = [x]
    a.append([await llm("q")])
    return a[0] is x


@agent
async def either_store(t: str) -> object:
    xs: list[list[str]] = []
    v = [t]
    if await llm("q"):
        xs = xs or []
    a = xs if t else []
    a.append(v)
    v.append(await llm("z"))
    return [xs]


@agent
async def member_store(t: str) -> object:
    x: list[str] = [t]
    box = [[x]]
    for each in box:
        each.append([await llm("z")])
    x.append("k")
    return box


@agent
async def helper_first(t: str) -> object:
    grid: list[list[str]] = [[t]]
    row = first(grid)
    row.append(await llm("z"))
    return grid


def fail(xs: list[str]) -> None:
    raise Carrier(xs)


@agent
async def raise_helper(t: str) -> object:
    xs = [t]
    try:
        await llm("a")
        fail(xs)
    except Carrier as e:
        e.items.append(await llm("b"))
    return xs


@agent
async def plan(t: str) -> object:
    titles = await llm(f"Plan: {t}")
    steps = [Node(x) for x in (titles, "b", "c")]
    for number, step in enumerate(steps, start=1):
        before = "; ".join(f"{each.name}: {each.items}" for each in steps[: number - 1])
        step.name = await llm(f"Do {step.name} knowing [{before}]")
        if number % 2:
            step.items.append("odd")
        await put(step.name)
    return [steps, await llm(str([each.items for each in steps]))]


@agent
async def two_names(t: str) -> object:
    first = [t]
    second = first
    second.append(await llm(f"more on {t}"))
    first.append(await llm(f"again {second}"))
    return [first, second, first is second]


@agent
async def elements(t: str) -> object:
    row = [t]
    grid = [row, row, list(row)]
    grid[0].append(await llm("one"))
    row.append("two")
    await llm(f"see {grid}")
    return [grid, grid[0] is grid[1], grid[0] is row, row is grid[2]]


@agent
async def dupes(t: str) -> object:
    out: list[str] = []
    for x in doubled(t):
        x.append(await llm(str(x)))
        out.append(str(x))
    return out


@agent
async def dupes_comp(t: str) -> object:
    return [[len(x), x.append(await llm(str(x))), len(x)] for x in doubled(t)]


@agent
async def lazy(t: str) -> object:
    rows: list[list[str]] = [[t], [t, t]]
    out: list[int] = []
    for n in map(len, rows):
        rows[1].append(await llm(str(n)))
        out.append(n)
    return out


@agent
async def lazy_gen(t: str) -> object:
    rows: list[list[str]] = [[t], [t, t]]
    out: list[int] = []
    for n in (len(r) for r in rows):
        rows[1].append(await llm(str(n)))
        out.append(n)
    return out


@agent
async def swap_in_loop(t: str) -> object:
    a: list[str] = [t]
    b: list[str] = ["b"]
    for n in range(4):
        a, b = b, a
        a.append(await llm(f"{n} {b}"))
    pair = (a, b)
    pair[0].append("x")
    return [a, b, pair]


@agent
async def branches(t: str) -> object:
    a: list[str] = [t]
    b: list[str] = ["b"]
    c = a if await llm("x") > "y" else b
    if await llm("q") == "q":
        c.append("then")
    else:
        a.append("else")
    b.append(await llm(str(c)))
    return [a, b, c, c is a, c is b]


@agent
async def slices(t: str) -> object:
    rows: list[list[str]] = [[t], ["b"], ["c"]]
    part = rows[1:]
    part.append(rows[0])
    for row in part:
        row.append(await llm(str(rows)))
    rows[0].append("k")
    return [rows, part, part[-1] is rows[0]]


@agent
async def tuples(t: str) -> object:
    xs: list[str] = [t]
    pair = (xs, 1)
    d: dict[str, tuple[list[str], int]] = {"k": pair}
    xs.append(await llm("a"))
    d["k"][0].append(await llm(str(pair)))
    return [xs, pair, d, d["k"][0] is xs]


@agent
async def two_containers(t: str) -> object:
    node = Node(t)
    left = [node]
    right = {"n": node}
    right["n"].items.append(await llm("a"))
    left[0].name = await llm(f"{node.items}")
    left.append(Node("new"))
    left[1].children.append(right["n"])
    node.items.append("z")
    return [node, left, right, left[1].children[0] is node]


@agent
async def swap_element(t: str) -> object:
    a = Node("a")
    b = Node("b")
    nodes = [a, b]
    nodes[0], nodes[1] = nodes[1], nodes[0]
    nodes[0].items.append(await llm("x"))
    a.items.append(await llm("y"))
    a = nodes[0]
    a.items.append("z")
    return [a, b, nodes]


@agent
async def cycle(t: str) -> object:
    a = Node("a")
    b = Node("b")
    a.children.append(b)
    b.children.append(a)
    a.name = await llm("x")
    b.children[0].name += await llm(a.name)
    a.children[0].children[0].items.append("k")
    return [a.name, b.children[0].items, b.children[0] is a]


def best(node: Node) -> Node:
    return max(node.children, key=lambda child: len(child.items))


@agent
async def tree(t: str) -> object:
    root = Node(t)
    for n in range(4):
        path = [root]
        while path[-1].children:
            path.append(best(path[-1]))
        leaf = path[-1]
        move = await llm(f"move {n} {leaf.name}")
        leaf.children = [Node(f"{move[-3:]}{k}") for k in "ab"]
        leaf = leaf.children[0]
        path.append(leaf)
        for node in path:
            node.items.append(str(n))
    return root


@agent
async def tree_await(t: str) -> object:
    root = Node(t, children=[Node("x"), Node("y")])
    path = [root, root.children[0], root]
    for node in path:
        node.items.append(await llm(f"{node.name}{len(node.items)}"))
    return [root, path]


@agent
async def try_family(t: str) -> object:
    a = [t]
    b = [a]
    for n in range(3):
        try:
            a.append(await llm(f"{n}"))
            b[0].append("in")
            if n == 1:
                raise ValueError(a)
            a.append("end")
        except ValueError:
            b.append([await llm(str(b))])
        finally:
            b[0].append("fin")
    return [a, b]


@agent
async def traced_stmt(t: str) -> object:
    a = [t]
    b = [a]
    async with opened(t) as name:
        c = b[0]
        d: list[str] = ["d"]
        await put("x")
    c.append(await llm("z"))
    await put(str(b))
    b[0].append(str(name))
    return [a, b, c, d]


@agent
async def temp_part(t: str) -> object:
    a = [[t], ["u"]]
    row = (a[0], await llm("z"))[0]
    await put("k")
    row.append(await llm("q"))
    await put(str(a))
    a[0].append("end")
    return [a, row]


@agent
async def temp_if(t: str) -> object:
    a = [[t], ["u"]]
    row = a[0] if await llm("z") else a[1]
    await put("k")
    row.append(await llm("q"))
    await put(str(a))
    a[0].append("end")
    return [a, row]


@agent
async def temp_bool(t: str) -> object:
    a: list[list[str]] = [[t], ["u"]]
    row = (await llm("z") and a[0]) or a[1]
    await put("k")
    row.append(await llm("q"))
    await put(str(a))
    return [a, row]


@agent
async def enum_pairs(t: str) -> object:
    a: list[list[str]] = [[t], ["u"]]
    last: list[str] = []
    for i, x in enumerate(a):
        await put(str(i))
        last = x
    last.append(await llm("q"))
    await put(str(a))
    return [a, last]


@agent
async def dict_values(t: str) -> object:
    d: dict[str, list[str]] = {"a": [t], "b": []}
    for k, v in d.items():
        v.append(await llm(f"{k} {d}"))
    for v in d.values():
        v.append(await llm(f"{d}"))
    return d


@agent
async def map_pairs(t: str) -> object:
    rows: list[list[str]] = [[t], ["u"]]
    pairs = [(row, await llm(str(row))) for row in rows]
    await put("k")
    pairs[0][0].append("x")
    await put(str(rows))
    rows[1].append(await llm("y"))
    return [rows, pairs]


@agent
async def setdefault(t: str) -> object:
    groups: dict[str, list[str]] = {}
    current: list[str] = []
    for word in ("ab", "cb", "cd"):
        kind = (await llm(f"kind of {word}"))[-1]
        current = groups.setdefault(kind, [])
        current.append(word)
    current.append("last")
    return groups


@agent
async def bound_method(t: str) -> object:
    xs: list[str] = [t]
    add = xs.append
    add(await llm("a"))
    xs.append("b")
    add("c")
    return xs


@agent
async def partial(t: str) -> object:
    xs: list[str] = [t]
    ys = [xs]
    add = functools.partial(push, ys)
    xs.append(await llm("a"))
    ys[0].append("x")
    add(["z"])
    ys.append([await llm("b")])
    return [xs, ys]


@agent
async def view(t: str) -> object:
    d: dict[str, list[str]] = {"a": [t]}
    items = d.items()
    keys = d.keys()
    d["b"] = [await llm("q")]
    d["a"].append("z")
    return [sorted(keys), len(items), str(items)]


@agent
async def iterator(t: str) -> object:
    xs: list[list[str]] = [[t], ["b"]]
    it = iter(xs)
    a = next(it)
    a.append(await llm("q"))
    xs.append(["c"])
    b = next(it)
    b.append(await llm("r"))
    return [xs, a, b, next(it)]


def add(x: str, xs: list[str] | None = None) -> list[str]:
    xs = xs if xs is not None else []
    xs.append(x)
    return xs


@agent
async def default_arg(t: str) -> object:
    base: list[str] = [t]
    r = add(await llm("a"), base)
    r.append("k")
    s = add("alone")
    s.append(await llm(str(base)))
    return [base, r, s, r is base]


@agent
async def while_list(t: str) -> object:
    queue: list[Node] = [Node(t)]
    seen: list[Node] = []
    while queue:
        node = queue.pop(0)
        seen.append(node)
        node.items.append(await llm(node.name))
        if len(seen) < 4:
            kids = [Node(node.name[-2:] + k) for k in "ab"]
            node.children = kids
            queue.extend(kids)
    return [seen, queue]


@agent
async def store_then_mutate(t: str) -> object:
    a: list[list[str]] = []
    b: list[list[str]] = []
    c = a if await llm("x") == "x" else b
    v: list[str] = [t]
    c.append(v)
    v.append(await llm("y"))
    a[0].append("z")
    return [a, b, c, v]


@agent
async def unbound_member(t: str) -> object:
    a: list[str] = [t]
    if await llm("q") == "no":
        b = a
    a.append(await llm("w"))
    try:
        return [a, b]
    except UnboundLocalError as error:
        return [a, str(error)]


@agent
async def loop_break(t: str) -> object:
    nodes = [Node("a"), Node("b"), Node("c")]
    chosen = nodes[0]
    for node in nodes:
        node.name += await llm(node.name)
        if node.name.startswith("b"):
            chosen = node
            break
        if node.name == "zz":
            continue
        node.items.append("seen")
    else:
        chosen.items.append("else")
    chosen.items.append("chosen")
    return [nodes, chosen, chosen is nodes[1]]


@agent
async def nested_loops(t: str) -> object:
    a = [t]
    grid: list[list[list[str]]] = [[a, ["b"]], [["c"], a]]
    for row in grid:
        for cell in row:
            cell.append(await llm(f"{len(a)}"))
            if len(cell) > 2:
                row.append(["extra"])
                break
    return [grid, a]


@agent
async def loop_reassign(t: str) -> object:
    rows: list[list[str]] = [[t], ["b"]]
    for row in rows:
        row.append(await llm("x"))
        rows = [*rows, ["new"]]
        row.append(str(len(rows)))
    return rows


def show(rows: list[list[str]]) -> list[str]:
    print(rows)
    return rows[0]


@agent
async def print_effect(t: str) -> object:
    rows: list[list[str]] = [[t], ["b"]]
    top = rows[0]
    row = show(rows)
    await put("a")
    row.append(await llm("x"))
    await put(str(rows))
    top.append("y")
    return [rows, row, top]


@agent
async def exception_payload(t: str) -> object:
    xs = [t]
    saved: list[Carrier] = []
    try:
        await llm("a")
        raise Carrier(xs)
    except Carrier as e:
        saved.append(e)
    xs.append(await llm("b"))
    return [xs, saved[0].items]


@agent
async def aug(t: str) -> object:
    a: list[str] = [t]
    b = a
    b += [await llm("x")]
    a += ["y"]
    c = b
    c = [*c, "z"]
    c += [await llm("k")]
    return [a, b, c, a is b, c is b]


@agent
async def sorting(t: str) -> object:
    nodes = [Node("b"), Node("a"), Node("c")]
    order = sorted(nodes, key=lambda n: n.name)
    for n in order:
        n.items.append(await llm(n.name))
    nodes.sort(key=lambda n: n.name)
    nodes[0].name = "zz"
    top = max(order, key=lambda n: n.name)
    top.items.append(await llm("top"))
    return [nodes, order, top is nodes[0]]


@agent
async def walrus(t: str) -> object:
    rows: list[list[str]] = [[t]]
    while (row := rows[-1]) and len(rows) < 4:
        row.append(await llm(str(row)))
        rows.append(list(row))
    row.append("last")
    return [rows, row is rows[-1]]


@agent
async def match(t: str) -> object:
    rows: list[list[str]] = [[t], ["b"]]
    match rows:
        case [a, *rest]:
            a.append(await llm("x"))
            rest[0].append(await llm(str(rows)))
            rest.append(["n"])
    rows[0].append("k")
    return [rows, a, rest]


@agent
async def del_member(t: str) -> object:
    rows: list[list[str]] = [[t], ["b"]]
    a = rows[0]
    del rows[0]
    a.append(await llm("x"))
    rows.append(a)
    del a
    rows[-1].append("y")
    return rows


@agent
async def gather_family(t: str) -> object:
    nodes = [Node("a"), Node("b")]
    answers = await asyncio.gather(*[llm(n.name) for n in nodes])
    for node, answer in zip(nodes, answers, strict=True):
        node.items.append(answer)
        node.name = await llm(answer)
    return nodes


@agent
async def grow_attr(t: str) -> object:
    node = Node(t, ["a"])
    for item in node.items:
        if len(node.items) < 4:
            node.items.append(await llm(item))
    return node


@agent
async def grow_sub(t: str) -> object:
    rows: list[list[str]] = [["a"], []]
    for item in rows[0]:
        if len(rows[0]) < 4:
            rows[0].append(await llm(item))
    return rows


@agent
async def named_gen(t: str) -> object:
    rows: list[list[str]] = [[t], [t, t]]
    out: list[int] = []
    lengths = map(len, rows)
    for n in lengths:
        rows[1].append(await llm(str(n)))
        out.append(n)
    return out


@agent
async def zip_lists(t: str) -> object:
    rows: list[list[str]] = [[t], [t, t]]
    for row, n in zip(rows, map(len, rows), strict=True):
        rows[1].append(await llm(str(n)))
        row.append("k")
    return rows


@agent
async def walrus_owner(t: str) -> object:
    xs: list[str] = [t]
    ys = xs
    xs.append(await llm(str(xs := ["new"])))
    return [xs, ys]


def renew(node: Node) -> str:
    node.items = ["fresh"]
    return node.name


@agent
async def attr_reset(t: str) -> object:
    node = Node(t, ["old"])
    items = node.items
    node.items.append(await llm(renew(node)))
    return [node, items]


def refill(rows: list[list[str]]) -> str:
    rows[0] = ["fresh"]
    return "c"


@agent
async def sub_reset(t: str) -> object:
    rows: list[list[str]] = [[t]]
    row = rows[0]
    rows[0].append(await llm(refill(rows)))
    return [rows, row]


@agent
async def sub_index(t: str) -> object:
    rows: list[list[str]] = []
    try:
        rows[0].append(await llm("never"))
    except IndexError as error:
        rows.append([await llm(str(error))])
    rows[0].append(await llm("q") + await llm("r"))
    rows[-1].extend([await llm("s")])
    return rows


@agent
async def nested_dict(t: str) -> object:
    d: dict[str, dict[str, list[str]]] = {"a": {"b": [t]}}
    inner = d["a"]["b"]
    d["a"]["b"].append(await llm("x"))
    d["a"].setdefault("c", []).append(await llm(str(inner)))
    inner.append(await llm(str(d)))
    return [d, inner]


@agent
async def compound(t: str) -> object:
    xs: list[str] = [t]
    ys: list[str] = ["y"]
    d: dict[str, int] = {}
    if len(t) == 1:
        d[t] = 1
        ys = xs
    ys.append(await llm("q"))
    return [xs, ys, d]


@agent
async def compound_traced(t: str) -> object:
    xs: list[str] = [t]
    ys: list[str] = ["y"]
    d: dict[str, int] = {}
    async with opened(t):
        d[t] = 1
        ys = xs
        d["k"] = len(await llm("r"))
    ys.append(await llm("q"))
    return [xs, ys, d]


@agent
async def compound_family(t: str) -> object:
    xs: list[str] = [t]
    rows = [xs, ["b"]]
    other = [rows[1]]
    if len(t) == 1:
        rows[0].append("k")
        ys = other[0]
    else:
        ys = xs
    ys.append(await llm("q"))
    return [xs, ys, rows, other]


def script(call):
    return call.prompt


CASES = [
    (final_return, ("t",), {}),
    (reraise, ("t",), {}),
    (store_by_helper, ("t",), {}),
    (argument_old, ("t",), {}),
    (identity, ("t",), {}),
    (either_store, ("t",), {}),
    (member_store, ("t",), {}),
    (helper_first, ("t",), {}),
    (raise_helper, ("t",), {}),
    (plan, ("t",), {}),
    (two_names, ("t",), {}),
    (elements, ("t",), {}),
    (dupes, ("t",), {}),
    (dupes_comp, ("t",), {}),
    (lazy, ("t",), {}),
    (lazy_gen, ("t",), {}),
    (swap_in_loop, ("t",), {}),
    (branches, ("t",), {}),
    (slices, ("t",), {}),
    (tuples, ("t",), {}),
    (two_containers, ("t",), {}),
    (swap_element, ("t",), {}),
    (cycle, ("t",), {}),
    (tree, ("t",), {}),
    (tree_await, ("t",), {}),
    (try_family, ("t",), {}),
    (traced_stmt, ("t",), {}),
    (temp_part, ("t",), {}),
    (temp_if, ("t",), {}),
    (temp_bool, ("t",), {}),
    (enum_pairs, ("t",), {}),
    (dict_values, ("t",), {}),
    (map_pairs, ("t",), {}),
    (setdefault, ("t",), {}),
    (bound_method, ("t",), {}),
    (partial, ("t",), {}),
    (view, ("t",), {}),
    (iterator, ("t",), {}),
    (default_arg, ("t",), {}),
    (while_list, ("t",), {}),
    (store_then_mutate, ("t",), {}),
    (unbound_member, ("t",), {}),
    (loop_break, ("t",), {}),
    (nested_loops, ("t",), {}),
    (loop_reassign, ("t",), {}),
    (print_effect, ("t",), {}),
    (exception_payload, ("t",), {}),
    (aug, ("t",), {}),
    (sorting, ("t",), {}),
    (walrus, ("t",), {}),
    (match, ("t",), {}),
    (del_member, ("t",), {}),
    (gather_family, ("t",), {}),
    (grow_attr, ("t",), {}),
    (grow_sub, ("t",), {}),
    (named_gen, ("t",), {}),
    (zip_lists, ("t",), {}),
    (walrus_owner, ("t",), {}),
    (attr_reset, ("t",), {}),
    (sub_reset, ("t",), {}),
    (sub_index, ("t",), {}),
    (nested_dict, ("t",), {}),
    (compound, ("t",), {}),
    (compound_traced, ("t",), {}),
    (compound_family, ("t",), {}),
]
