"""AgentVM: a virtual machine for LLM agents.

This module holds the public names. What is heavy (the virtual machine, its
store and backends) is imported when first used, so `import agentvm` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agentvm_compiler.calls import llm
from agentvm_compiler.errors import (
    AgentVMError,
    BackendError,
    CompileError,
    ConfigError,
    InputError,
    InternalError,
)
from agentvm_runtime.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    ReplayMismatch,
    RunCancelled,
    RunFailed,
    RunLeased,
    StoreError,
    StoreVersionError,
    UncertainWrite,
    UnstorableValue,
)

from .sdk import agent, current, now, random, tool

if TYPE_CHECKING:
    from agentvm_runtime.structured import StructuredOutputError

    from .vm import AgentVM, Run, run

__version__ = "0.1.0"

__all__ = [
    "AgentVM",
    "AgentVMError",
    "BackendError",
    "BudgetExceeded",
    "CompileError",
    "ConfigError",
    "DeadlineExceeded",
    "InputError",
    "InternalError",
    "ReplayMismatch",
    "Run",
    "RunCancelled",
    "RunFailed",
    "RunLeased",
    "StoreError",
    "StoreVersionError",
    "StructuredOutputError",
    "UncertainWrite",
    "UnstorableValue",
    "__version__",
    "agent",
    "current",
    "llm",
    "now",
    "random",
    "run",
    "tool",
]

_LAZY = {
    "AgentVM": "agentvm.vm",
    "Run": "agentvm.vm",
    "run": "agentvm.vm",
    "StructuredOutputError": "agentvm_runtime.structured",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'agentvm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
