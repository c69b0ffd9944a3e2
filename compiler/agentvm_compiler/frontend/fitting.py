"""Whether the arguments of a call fit what it calls.

If they do not, Python raises where the coroutine is made, not where it is awaited.
"""

from __future__ import annotations

import ast
import inspect

from agentvm_compiler.calls import Tool, llm

from .callees import agent_of
from .decide import Unsupported
from .scope import Scope


def check_bound(call: ast.Call, scope: Scope) -> None:
    """Refuse a call that may fail when it is made, before what it calls begins."""
    callee = scope.resolve(call.func)
    called = callee if isinstance(callee, Tool) else agent_of(callee)
    if any(isinstance(each, ast.Starred) for each in call.args) or not all(
        each.arg for each in call.keywords
    ):
        raise Unsupported(call, "whether the arguments fit is not known", "pass them one by one")
    try:
        inspect.signature(llm if called is None else called.fn).bind(
            *call.args, **{str(each.arg): None for each in call.keywords}
        )
    except TypeError as error:
        raise Unsupported(call, f"the arguments do not fit: {error}") from None
