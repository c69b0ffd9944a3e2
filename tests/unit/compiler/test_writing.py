"""What is written of syntax trees is what Python itself writes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import agentvm_compiler
from agentvm_compiler.frontend.writing import written

MODULES = sorted(Path(agentvm_compiler.__file__).parent.rglob("*.py"))

ODD = [
    "x = 'it\\'s'",
    "x = f'{a}'",
    "x = f'{a!r} {b:>3} {c}'",
    "x = f'{{{a}}} \\n'",
    "x = f\"it's {a['k']}\"",
    "x = f''",
    "x = (a, b)",
    "x = ()",
    "x = (y := 1)",
    "x = y = 1",
    "x = await f(a)",
    "x = yield a",
    "x = lambda: (yield)",
    "x: int = 1",
    "f(*a, **b)",
    "f(*a, k=1)",
    "f(a if b else c, not d, -1, 1.5, 1e999, 2j, ..., b'x', u'y', None, True)",
    "f((a, b), [c], {d: e}, {*g}, (h for h in i), k=(l := 2))",
    "(1).real.f(2)",
    "1 .real",
    "f(1)(2)[3].g()[-1]['k'][a:b][c, d]",
    "(a + b).f(c)",
    "(await a).f(b)",
    "'x'.join(y)",
    "f'{a}'.strip()",
    "x = not not a",
    "x = not a == b",
    "x = (not a) == b",
    "x = (a < b) < c",
    "x = a < b < c",
    "x = a is not (not b)",
    "x = -a not in b",
    "f((not a).b, not a, (a == b).c, a in b)",
    "f'{not a} {a == b}'",
    "return a, b",
    "return (yield)",
    "return *a, b",
    "return",
    "'docstring'",
    "x = 'a' 'b'",
    "x = '\\ud800\\x00'",
    "f(a)[b](c).d = 1",
    "f(print)(k=lambda x=1, *y, **z: x)",
    "x = a + b + c[1:] == -d + (e + f)",
    "x = (a if b else c) if d else e if f else g",
    "f(not (a if b else c), (yield) if a else b)",
    "x = [a, *b, (c, d), (e,), (), (f := 1)]",
    "x[a, b:c] = y[:], y[1:], y[: a if b else c], y[::2], y[(1, 2)]",
    "(a, (b, c)), *d",
    "x += 1 if a else 2",
    "for a in b:\n    if c:\n        break\n    else:\n        continue",
    "x.y += 1",
    "x -= 1",
    "if a:\n    x = f'''{b}\n'''\n    if c:\n        f(d)\nelse:\n    x += 1\n    return",
    "if a:\n    f()\nelif b:\n    g()\nelse:\n    h()",
    "if a:\n    f()\nelse:\n    if b:\n        g()\n    h()",
    "match a, b:\n    case 'x':\n        f()\n    case -1 | c.d:\n        g()\n    case x:\n        h()",
    "match a:\n    case 'x':\n        f()\n    case x if y:\n        g()\n    case _:\n        return b",
    "x = a and not b or c",
    "x = [a or b for (c, d), e in f if g and h if not i]",
    "x = a - (b - c) - d * e",
    "x = {a: b, **c}, {}, {d: (e, f)}",
    "x, (y, z) = w = *a, b",
    "x: (y, z) = a, b",
    "(x): int",
    "x.y: int = 1",
    "x //= y",
    "raise a from b",
    "raise",
    "for a, (b, c) in d, e:\n    pass\nelse:\n    while f:\n        raise g\n    else:\n        pass",
    "for a, in b:\n    pass",
    "try:\n    f()\nexcept a as b:\n    g()\nexcept (c, d):\n    pass\nelse:\n    h()\nfinally:\n    i()",
    "try:\n    f()\nexcept* a:\n    g()",
    "def f(a, b: int=1, *, c, d: str='x') -> int:\n    return a",
    "def f(a, /, *b, **c):\n    pass",
    "@a\n@b(c)\nasync def f():\n    'text'\n    return await g()",
    "@a\nclass B(C):\n    d: int = 1\n    e: str",
    "class B(C, k=D):\n    pass",
    "class B:\n    x = 1\n\n    def f(self):\n        def g():\n            pass\n        return g",
    "match a:\n    case b.c:\n        x = '\\n'\n    case -1:\n        return 1\n    case z:\n        f(z)",
]


@pytest.mark.parametrize("source", ODD)
def test_odd_code_is_written_as_python_writes_it(source):
    """Precedence, quotes, escapes and unpacking come out the same."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt | ast.expr):
            assert written(node) == ast.unparse(node)


@pytest.mark.parametrize("file", MODULES, ids=lambda each: each.stem)
def test_the_compilers_own_code_is_written_as_python_writes_it(file):
    """Every statement and every expression of it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.stmt | ast.expr):
            assert written(node) == ast.unparse(node)
