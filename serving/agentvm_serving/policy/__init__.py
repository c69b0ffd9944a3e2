"""Scheduling policies: pure functions that rank requests.

A policy gives each request a *rank*; smaller ranks are served first. It knows
small views of the requests (`RequestView`) and of the engine (`EngineView`) and
nothing of vLLM: the vLLM plug-in and the simulator call the very same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from agentvm_compiler.errors import ConfigError

from . import orders
from .jit import Jit
from .oracle import Oracle
from .views import EngineView, Policy, Rank, RequestView

__all__ = ["DEFAULT_POLICY", "POLICIES", "EngineView", "Policy", "Rank", "RequestView", "policy_named"]

POLICIES: Final[Mapping[str, Policy]] = MappingProxyType(
    {
        "edf": orders.EDF,
        "edf_drop": orders.EDF_DROP,
        "fcfs": orders.FCFS,
        "jit": Jit(),
        "llf": orders.LLF,
        "oracle": Oracle(),
        "plas": orders.PLAS,
        "sjf": orders.SJF,
        "srtf": orders.SRTF,
    }
)
DEFAULT_POLICY: Final = "edf"


def policy_named(name: str) -> Policy:
    """Look a policy up. Raises ConfigError listing those that exist."""
    try:
        return POLICIES[name]
    except KeyError:
        raise ConfigError(
            f"no scheduling policy is called {name!r}. Choose one of: {', '.join(sorted(POLICIES))}"
        ) from None
