"""Routers: which replica a call goes to, once and for all.

They know of a replica what a front end can know: how many calls it has, the prompts
that it has still to read, and (those that go by prefixes) what is in its cache. Ties go
to the lower number; what is drawn is drawn from a seed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from agentvm_serving.estimate.steps import Batch
from agentvm_serving.slo import LATENCY_TTFT_SECONDS

from .clients import Asked
from .engine import Engine
from .replica import Replica

DRAWN: Final = 2
"""Replicas that `power` chooses from."""
CHUNK: Final = 1024
"""Prompt tokens by which an engine's speed of reading is told."""


ANSWER: Final = 256
"""Output tokens that a router expects of a call."""


class Router(Protocol):
    """Chooses a replica for each call."""

    def choose(self, asked: Asked, replicas: Sequence[Replica]) -> int:
        """The number of the replica that the call goes to."""
        ...


class RoundRobin:
    """One after the other."""

    def __init__(self) -> None:
        self._next = 0

    def choose(self, asked: Asked, replicas: Sequence[Replica]) -> int:
        chosen = self._next % len(replicas)
        self._next = chosen + 1
        return chosen


class LeastLoad:
    """The one with the fewest calls, and of those the fewest prompt tokens to read."""

    def choose(self, asked: Asked, replicas: Sequence[Replica]) -> int:
        return min(range(len(replicas)), key=lambda number: load(replicas[number]))


class PowerOfK:
    """The least loaded of a few that are drawn (Mitzenmacher, 2001), as JITServe scales out.

    Nearly as good as looking at all, and with many front ends, whose news is old, better: they
    do not all run to the same replica.
    """

    def __init__(self, drawn: int = DRAWN, seed: int = 0) -> None:
        self._drawn = drawn
        self._random = random.Random(seed)

    def choose(self, asked: Asked, replicas: Sequence[Replica]) -> int:
        numbers = self._random.sample(range(len(replicas)), min(self._drawn, len(replicas)))
        return min(numbers, key=lambda number: (load(replicas[number]), number))


class DualMap:
    """One of two that hashes of the prompt's beginning name (DualMap, arXiv 2602.06502).

    Calls with one beginning so meet in two places at most. The call goes where more of
    it is in the cache, unless its first token would be late there; then, and where nothing is
    cached, where less is to be done.
    """

    def choose(self, asked: Asked, replicas: Sequence[Replica]) -> int:
        names = "/".join(name for name, _ in asked.call.prefix) or asked.item.id
        both = _two_places(names, len(replicas))
        cached = {number: replicas[number].cached(asked.call) for number in both}
        near = max(both, key=lambda number: (cached[number], -number))
        wanted = asked.item.ttft or LATENCY_TTFT_SECONDS
        if cached[near] and reading(replicas[near], asked, cached[near]) <= wanted:
            return near
        return min(both, key=lambda number: (load(replicas[number]), number))


class SloAware:
    """Where it would end first, if all are served by their deadlines.

    Until its first token it waits for prompts of calls that are due before it, for its own as far as it is
    not in the cache, and for a slot. Those due later do not delay it, nor those that are late already, which
    are served when there is nothing better to do. Then each token takes a step with all that are there.
    """

    def choose(self, asked: Asked, replicas: Sequence[Replica]) -> int:
        return min(range(len(replicas)), key=lambda number: (_ends(replicas[number], asked), number))


def _ends(replica: Replica, asked: Asked) -> float:
    """Seconds until the call would end there."""
    engine, prompt = replica.engine, asked.call.input_tokens
    rate = per_token(engine)
    crowd = max(0, replica.open + 1 - engine.max_num_seqs)
    first = (
        replica.owed_between(asked.at, asked.due) + prompt - replica.cached(asked.call) + crowd * prompt
    ) * rate
    decodes = min(replica.open + 1, engine.max_num_seqs)
    step = engine.seconds(Batch(decodes=decodes, context=replica.used + prompt))
    return first + min(ANSWER, asked.limit) * step


def _two_places(name: str, replicas: int) -> list[int]:
    """Two different replicas, if there are as many, by two hashes."""
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    first = int.from_bytes(digest[:8]) % replicas
    if replicas == 1:
        return [first]
    return sorted((first, (first + 1 + int.from_bytes(digest[8:]) % (replicas - 1)) % replicas))


def load(replica: Replica) -> tuple[int, int]:
    """Calls that it has, and tokens of their prompts that it has not read."""
    return replica.open, replica.owed


def reading(replica: Replica, asked: Asked, cached: int) -> float:
    """Seconds until the replica has read what it owes and the call's prompt."""
    return (replica.owed + asked.call.input_tokens - cached) * per_token(replica.engine)


def per_token(engine: Engine) -> float:
    """Seconds that a prompt token takes, of a long prompt."""
    one, two = (
        engine.seconds(Batch(tokens, tokens * tokens / 2, prompts=1)) for tokens in (CHUNK, 2 * CHUNK)
    )
    return (two - one) / CHUNK


ROUTERS: Final[Mapping[str, Callable[[], Router]]] = MappingProxyType(
    {
        "round": RoundRobin,
        "least": LeastLoad,
        "power": PowerOfK,
        "prefix": DualMap,
        "slo": SloAware,
    }
)
"""Routers by name."""


def router_named(name: str) -> Router:
    """A new router; `name` is one of `ROUTERS`."""
    return ROUTERS[name]()
