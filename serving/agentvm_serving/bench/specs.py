"""Engine specs: `sim:PROFILE[xN][?option=value&...]`, the same with `replay:`, and `vllm:MODEL`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl

from agentvm_compiler.errors import ConfigError
from agentvm_serving.sim.engine import Engine
from agentvm_serving.sim.profiles import FORMS, Options, profiles
from agentvm_serving.sim.routers import ROUTERS


@dataclass(frozen=True, slots=True)
class Spec:
    """An engine in virtual time."""

    engine: Engine
    replicas: int = 1
    router: str = "round"


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("0 or 1")
    return text == "1"


def _one_of(*names: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(" or ".join(names))
        return text

    return read


def _positive(text: str) -> int:
    if int(text) < 1:
        raise ValueError("a number above zero")
    return int(text)


READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "form": _one_of(*FORMS),
    "mix": float,
    "prefill": float,
    "overhead": _flag,
    "seqs": _positive,
    "budget": _positive,
    "kv": _positive,
    "len": _positive,
    "cache": _flag,
    "swap": float,
    "replicas": _positive,
    "router": _one_of(*ROUTERS),
}
"""Options, and how they are read. `swap`: GB a second to the host."""
_FIELDS: Final = {
    "seqs": "max_num_seqs",
    "budget": "max_num_batched_tokens",
    "kv": "kv_tokens",
    "len": "max_model_len",
    "cache": "prefix_cache",
}
KV_BYTES: Final = 131_072
"""Of a token of Llama-3-8B."""


def virtual(text: str) -> Spec:
    """Read what follows `sim:` or `replay:`.

    Raises:
        ConfigError: there is no such profile or option; says which there are.
    """
    name, _, query = text.partition("?")
    known = profiles()
    many = re.fullmatch(r"(.+)x(\d+)", name)
    replicas = 1
    if many and name not in known:
        name, replicas = many[1], int(many[2])
    if not replicas:
        raise ConfigError(f"{text!r} has no engine: give at least one, such as {name}x1")
    if name not in known:
        raise ConfigError(f"no profile is called {name!r}. Choose one of: {', '.join(known)}")
    given = {"replicas": replicas, **_options(query)}
    engine = known[name].engine(Options(**{each: given[each] for each in _varied(given)}))
    fields = {field: given[option] for option, field in _FIELDS.items() if option in given}
    if "swap" in given:
        fields |= {"preemption": "swap", "swap_per_token": KV_BYTES / given["swap"] / 1e9}
    return Spec(replace(engine, **fields), given["replicas"], given.get("router", "round"))


def _varied(given: Mapping[str, Any]) -> list[str]:
    return [each for each in ("form", "mix", "prefill", "overhead") if each in given]


def _options(query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option, value in parse_qsl(query, keep_blank_values=True):
        if option not in READ:
            raise ConfigError(f"engines have no option {option!r}. They have: {', '.join(READ)}")
        try:
            found[option] = READ[option](value)
        except ValueError as error:
            raise ConfigError(f"option {option}={value}: {error}") from None
    return found
