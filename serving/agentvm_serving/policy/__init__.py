"""Scheduling policies: pure functions that rank requests.

A policy gives each request a *rank*; smaller ranks are served first. It knows
small views of the requests (`RequestView`) and of the engine (`EngineView`) and
nothing of vLLM: the vLLM plug-in and the simulator call the very same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
DEFAULT_POLICY: Final = "jit"


def policy_named(name: str) -> Policy:
    """Look a policy up; `jit?per_request=300` has an option.

    Raises:
        ConfigError: there is none of that name, or it has no such option; says which there are.
    """
    wanted, _, options = name.partition("?")
    try:
        found = ABLATIONS[wanted] if wanted in ABLATIONS else POLICIES[wanted]
    except KeyError:
        raise ConfigError(
            f"no scheduling policy is called {wanted!r}. Choose one of: {', '.join(sorted(POLICIES))}"
        ) from None
    return _with(found, name, options) if options else found


def _with(policy: Policy, name: str, options: str) -> Policy:
    """The policy with other options."""
    key, _, value = options.partition("=")
    if not isinstance(policy, Jit) or key != "per_request":
        raise ConfigError(
            f"scheduling policy {name!r}: the only option is per_request, of jit: jit?per_request=300"
        )
    try:
        worth = float(value)
    except ValueError:
        worth = -1.0
    if not 0 <= worth < float("inf"):
        raise ConfigError(f"scheduling policy {name!r}: per_request is a number of tokens, 0 or more")
    return replace(policy, per_request=worth)
