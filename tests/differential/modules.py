"""Imports generated source as a module that can be a case."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

INPUTS: tuple[tuple[Any, ...], ...] = ((4, "hey", ["x", "yy"]), (0, "", []))


def script(call: Any) -> Any:
    """An answer that depends on the prompt and does not grow with it."""
    if call.returns is int:
        return len(call.prompt) % 5
    return ("z" if sum(map(ord, call.prompt)) % 2 else "b") + call.prompt[-12:]


@contextmanager
def imported(source: str, name: str, folder: Path) -> Iterator[Any]:
    """The module with this source, imported from a file in the folder while the context lasts."""
    file = folder / f"{name}.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        module.CASES = [(module.program, inputs, {}) for inputs in INPUTS]
        module.script = script
        yield module
    finally:
        del sys.modules[name]
        file.unlink()
