"""AgentVM: a virtual machine for LLM agents.

This module holds the public names. Each is imported when first used, so that
`import agentvm` and `agentvm --help` are quick and load no engine, driver or client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentvm_compiler.calls import llm
    from agentvm_compiler.errors import (
        AgentVMError,
        BackendError,
        CompileError,
        ConfigError,
        InputError,
        InternalError,
    )
    from agentvm_compiler.human import ask_human
    from agentvm_compiler.retry import Retry
    from agentvm_runtime.budgets import Budget, Price
    from agentvm_runtime.errors import (
        BudgetExceeded,
        DeadlineExceeded,
        ReplayMismatch,
        RunCancelled,
        RunFailed,
        RunLeased,
        RunSuspended,
        StoreError,
        StoreVersionError,
        UncertainWrite,
        UnstorableValue,
    )
    from agentvm_runtime.secret import Secret
    from agentvm_runtime.structured import StructuredOutputError

    from .handle import Run
    from .sdk import agent, current, now, random, tool
    from .vm import AgentVM, run

__version__ = "0.1.0"

__all__ = [
    "AgentVM",
    "AgentVMError",
    "BackendError",
    "Budget",
    "BudgetExceeded",
    "CompileError",
    "ConfigError",
    "DeadlineExceeded",
    "InputError",
    "InternalError",
    "Price",
    "ReplayMismatch",
    "Retry",
    "Run",
    "RunCancelled",
    "RunFailed",
    "RunLeased",
    "RunSuspended",
    "Secret",
    "StoreError",
    "StoreVersionError",
    "StructuredOutputError",
    "UncertainWrite",
    "UnstorableValue",
    "__version__",
    "agent",
    "ask_human",
    "current",
    "llm",
    "now",
    "random",
    "run",
    "tool",
]

_MODULES = {
    "agentvm.sdk": ("agent", "current", "now", "random", "tool"),
    "agentvm.handle": ("Run",),
    "agentvm.vm": ("AgentVM", "run"),
    "agentvm_compiler.calls": ("llm",),
    "agentvm_compiler.human": ("ask_human",),
    "agentvm_compiler.retry": ("Retry",),
    "agentvm_compiler.errors": (
        "AgentVMError",
        "BackendError",
        "CompileError",
        "ConfigError",
        "InputError",
        "InternalError",
    ),
    "agentvm_runtime.budgets": ("Budget", "Price"),
    "agentvm_runtime.errors": (
        "BudgetExceeded",
        "DeadlineExceeded",
        "ReplayMismatch",
        "RunCancelled",
        "RunFailed",
        "RunLeased",
        "RunSuspended",
        "StoreError",
        "StoreVersionError",
        "UncertainWrite",
        "UnstorableValue",
    ),
    "agentvm_runtime.secret": ("Secret",),
    "agentvm_runtime.structured": ("StructuredOutputError",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'agentvm' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
