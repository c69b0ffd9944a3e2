"""Passes: pure functions from verified IR to verified IR, one file each."""

from __future__ import annotations

from collections.abc import Callable

from agentvm_compiler.ir import Module
from agentvm_compiler.verify import verify

from .order import order

Pass = Callable[[Module], Module]

PIPELINE: tuple[Pass, ...] = (order,)
"""The passes in the order they run."""


def optimise(module: Module) -> Module:
    """Run the pipeline, verifying before and after each pass."""
    verify(module, "lowering")
    for each in PIPELINE:
        module = verify(each(module), each.__name__)
    return module
