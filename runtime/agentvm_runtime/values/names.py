"""References: naming a class or function, and finding it again by that name.

A *reference* is a module and a qualified name. Finding one only looks into
modules that are already imported; it never imports and never calls. What is
recorded from `__main__` goes under the script's own name, so that a file run
as a script and the same file imported mean the same classes.
"""

from __future__ import annotations

import sys
import types
from pathlib import PurePath
from typing import Any

_MISSING = object()

# Classes that have a name nobody can look up.
_NAMELESS: dict[tuple[str, str], type] = {
    ("builtins", "NoneType"): type(None),
    ("builtins", "ellipsis"): type(...),
    ("builtins", "NotImplementedType"): type(NotImplemented),
    ("builtins", "function"): types.FunctionType,
    ("builtins", "module"): types.ModuleType,
}


def main_name() -> str:
    """The name under which the module `__main__` would be imported."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return PurePath(file).stem if file else "__main__"


def _walk(module: types.ModuleType | None, qualname: str) -> Any:
    found: Any = module
    if module is None:
        return _MISSING
    for part in qualname.split("."):
        # Look into the dictionaries: a plain getattr could run a module's or a metaclass's `__getattr__`.
        owners = found.__mro__ if isinstance(found, type) else (found,)
        for owner in owners:
            members = getattr(owner, "__dict__", None)
            if members is not None and part in members:
                found = members[part]
                break
        else:
            return _MISSING
        if isinstance(found, staticmethod | classmethod):
            return _MISSING
    return found


def find(module: str, qualname: str) -> Any:
    """The object of that name among the imported modules.

    Raises:
        LookupError: nothing of that name is imported; the message has the remedy.
    """
    main = main_name()
    if module in ("__main__", main):
        # A script that is also imported under its own name has two of each class: its own ones win.
        found = _walk(sys.modules.get("__main__"), qualname)
        if found is _MISSING:
            found = _walk(sys.modules.get(main), qualname)
    else:
        found = _walk(sys.modules.get(module), qualname)
    if found is _MISSING:
        found = _NAMELESS.get((module, qualname), _MISSING)
    if found is not _MISSING:
        return found
    if module not in sys.modules:
        raise LookupError(f"{module}.{qualname} is not imported: import {module} before resuming")
    raise LookupError(
        f"module {module} has no {qualname} any more: renamed or removed since the value was recorded? "
        f"Put it back (an alias will do) before resuming"
    )


def reference(obj: Any) -> tuple[str, str]:
    """Module and qualified name under which `find` gives `obj` back.

    Raises:
        LookupError: there is none; the message says why and what to do.
    """
    module, qualname = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    noun = "class" if isinstance(obj, type) else "function"
    if not isinstance(qualname, str):
        raise LookupError("it has no name to find it by")
    if "<locals>" in qualname or "<lambda>" in qualname:
        name = qualname.rpartition(".")[2]
        what = "a lambda" if name == "<lambda>" else f"the local {noun} {name}"
        raise LookupError(f"{what} cannot be found again; define it at module level")
    if not isinstance(module, str):
        module = "builtins"
    if module == "__main__":
        module = main_name()
    try:
        found = find(module, qualname)
    except LookupError:
        found = _MISSING
    if found is not obj:
        raise LookupError(
            f"{module}.{qualname} is not this {noun}, so it cannot be found again; "
            f"bind it at module level under its own name"
        )
    return module, qualname


def is_named(obj: Any) -> bool:
    """Whether an object is a callable to be stored by reference (a function, or what wraps one)."""
    if isinstance(obj, types.MethodType) or not callable(obj):
        return False
    # From the object itself, not its class: an instance of a callable class is not a function.
    members = getattr(obj, "__dict__", None) or {}
    return isinstance(obj, types.FunctionType | types.BuiltinFunctionType) or "__qualname__" in members
