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
from .ablations import ABLATIONS
from .gmax import Gmax
from .jit import Jit
from .oracle import Oracle
from .past_future import PastFuture
from .slos_serve import SlosServe
from .tempo import Tempo
from .views import EngineView, Policy, Rank, RequestView

__all__ = [
    "ABLATIONS",
    "DEFAULT_POLICY",
    "POLICIES",
    "EngineView",
    "Policy",
    "Rank",
    "RequestView",
    "policy_named",
]

POLICIES: Final[Mapping[str, Policy]] = MappingProxyType(
    {
        "edf": orders.EDF,
        "edf_drop": orders.EDF_DROP,
        "fcfs": orders.FCFS,
        "gmax": Gmax(),
        "jit": Jit(),
        "llf": orders.LLF,
        "oracle": Oracle(),
        "past_future": PastFuture(),
        "plas": orders.PLAS,
        "sjf": orders.SJF,
        "slos_serve": SlosServe(),
        "srtf": orders.SRTF,
        "tempo": Tempo(),
    }
)
DEFAULT_POLICY: Final = "edf"


def policy_named(name: str) -> Policy:
    """Look a policy up. Raises ConfigError listing those that exist."""
    try:
        return ABLATIONS[name] if name in ABLATIONS else POLICIES[name]
    except KeyError:
        raise ConfigError(
            f"no scheduling policy is called {name!r}. Choose one of: {', '.join(sorted(POLICIES))}"
        ) from None
