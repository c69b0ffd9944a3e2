"""Budgets: how much a run may use, and the account of what it has used.

The account is kept in the journal: each event of a model call, of a failed
attempt, or of a tool that asked the model has what was used for it. So it is
exact after any number of crashes; only a call whose answer was not durable, and
is made again, is not in it. A call may begin while the budget is not used up:
tokens and cost may exceed it by what is under way then, calls never do.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import anyio

from agentvm_compiler.errors import ConfigError
from agentvm_compiler.wire import ModelResult

from .errors import BudgetExceeded
from .limits import Alarm
from .records import Event, EventKind, RunRecord

if TYPE_CHECKING:
    from .session import Session

BUDGET = "budget"
"""In a run's `meta`."""
SETTLED = "settled"
"""In the detail of events that somebody appended while nobody drove the run."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, for a million tokens each."""

    input: float
    output: float
    cached: float | None = None
    """Of input tokens from a prefix cache; by default as the others."""

    def of(self, result: ModelResult) -> float:
        usage = result.usage
        cached = self.input if self.cached is None else self.cached
        fresh = usage.input_tokens - usage.cached_tokens
        return (fresh * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a run may use, over all processes that drive it; `None` is without limit."""

    tokens: int | None = None
    """Input and output tokens of model calls."""
    calls: int | None = None
    """Model calls, repairs of invalid answers and failed attempts included."""
    seconds: float | None = None
    """Time it is driven; not while it is suspended or interrupted."""
    cost: float | None = None
    """In the unit of the prices."""
    prices: Mapping[str, Price] = field(default_factory=dict)
    """By model: a name, or the beginning of names; the longest that fits counts, and "" fits all."""

    def __post_init__(self) -> None:
        for name in LIMITS:
            limit = getattr(self, name)
            number = isinstance(limit, int | float) and not isinstance(limit, bool)
            if limit is not None and not (number and limit >= 0):
                raise ConfigError(f"Budget({name}={limit!r}): a number that is not negative is needed")
        if self.cost is not None and not self.prices:
            raise ConfigError("Budget(cost=...) needs prices={MODEL: Price(input=..., output=...)}")

    def price(self, model: str) -> Price | None:
        """The price of a model; None if it is not known."""
        found = [each for each in self.prices if model.startswith(each)]
        return self.prices[max(found, key=len)] if found else None

    def to_json(self) -> dict[str, Any]:
        data = {name: limit for name in LIMITS if (limit := getattr(self, name)) is not None}
        return {**data, **({"prices": {m: asdict(p) for m, p in self.prices.items()}} if self.prices else {})}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Budget:
        """The inverse of `to_json`. Raises ConfigError for what is no budget."""
        known = {each.name for each in fields(cls)}
        for each in data:
            if each not in known:
                raise ConfigError(f"A budget has no {each!r}. It has {', '.join(LIMITS)}, and prices.")
        try:
            prices = {model: Price(**each) for model, each in data.get("prices", {}).items()}
        except TypeError as error:
            raise ConfigError(f"A price has input, output and perhaps cached: {error}") from None
        return cls(**{**data, "prices": prices})


LIMITS = ("tokens", "calls", "seconds", "cost")
_DIGITS = 9
"""Of a cost: the sum of seven times 0.043 is a little less than 0.301, and would let an eighth call begin."""


@dataclass(slots=True)
class Usage:
    """Model calls and what they took."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def add(self, calls: int, input_tokens: int, output_tokens: int, cost: float) -> None:
        self.calls += calls
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cost += cost

    def taken(self) -> dict[str, Any]:
        """For the journal, once: what was used since it was asked last."""
        if not self.calls:
            return {}
        detail = asdict(self) if self.cost else {k: v for k, v in asdict(self).items() if k != "cost"}
        self.calls = self.input_tokens = self.output_tokens = 0
        self.cost = 0.0
        return detail


class Account:
    """What a run has used of its budget."""

    def __init__(self, record: RunRecord, journal: Iterable[Event]) -> None:
        self.budget = Budget.from_json(record.meta.get(BUDGET, {}))
        self.spent = Usage()
        self._run_id = record.id
        self._before, last, start = 0.0, record.created_at, record.created_at
        for event in journal:
            detail = event.detail
            if "output_tokens" in detail:
                tokens = detail["input_tokens"], detail["output_tokens"]
                self.spent.add(detail.get("calls", 1), *tokens, detail.get("cost", 0.0))
            if event.kind is EventKind.RESUMED:
                self._before += max(0.0, last - start)
                last = start = event.started_at
            elif SETTLED not in detail:
                last = max(last, event.finished_at)
        self._before += max(0.0, last - start)
        self._started = time.monotonic()
        self._under_way = 0
        self._idle = anyio.Event()

    @property
    def seconds(self) -> float:
        """For which the run has been driven, by all processes."""
        return self._before + time.monotonic() - self._started

    def begin(self, model: str) -> None:
        """Note that a model call begins.

        Raises:
            BudgetExceeded: the budget is used up.
            ConfigError: the model has no price.
        """
        used = {
            "tokens": self.spent.tokens,
            "calls": self.spent.calls,
            "cost": round(self.spent.cost, _DIGITS),
        }
        for name, amount in used.items():
            limit = getattr(self.budget, name)
            if limit is not None and amount >= limit:
                raise self.exceeded(name, amount)
        if self.budget.cost is not None and self.budget.price(model) is None:
            raise ConfigError(
                f"Run {self._run_id} has a budget of cost, and its prices have none for {model!r}. Add it: "
                + self._command("")
            )
        self.spent.calls += 1
        self._under_way += 1

    def end(self) -> None:
        """Note that a call has ended, one way or another."""
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()
            self._idle = anyio.Event()

    async def idle(self) -> None:
        """Wait until no call is under way: what they took is to be journaled before the run is stopped."""
        while self._under_way:
            await self._idle.wait()

    def pay(self, model: str, result: ModelResult, usage: Usage) -> None:
        """Note what a call took, also in the usage of the work it is made for."""
        price = self.budget.price(model)
        cost = 0.0 if price is None else price.of(result)
        taken = (result.usage.input_tokens, result.usage.output_tokens, cost)
        self.spent.add(0, *taken)
        usage.add(0, *taken)

    def exceeded(self, name: str, amount: float) -> BudgetExceeded:
        limit = getattr(self.budget, name)
        return BudgetExceeded(
            f"Run {self._run_id} has used up its budget of {name}: {amount:g} of {limit:g}. "
            f"What it has done is kept; to give it more: {self._command(name)}"
        )

    def _command(self, raised: str) -> str:
        """How the run goes on with more of one thing, or other prices: a budget is given as a whole."""
        limits = {each: getattr(self.budget, each) for each in LIMITS}
        given = [
            f"{each}={'MORE' if each == raised else f'{limit:.12g}'}"
            for each, limit in limits.items()
            if limit is not None
        ]
        prices = "" if self.budget.cost is None else " --prices FILE"
        return f"agentvm resume {self._run_id} --budget {','.join(given)}{prices}"

    def watched(self, session: Session) -> Alarm:
        """Within it, the session is stopped when its seconds are used up. Raises Halt if they are."""
        limit = self.budget.seconds
        if limit is not None and self._before >= limit:
            raise session.halt(self.exceeded("seconds", self._before))

        def stop() -> None:
            session.stop(self.exceeded("seconds", self.seconds))

        return Alarm(None if limit is None else limit - self.seconds, stop)
