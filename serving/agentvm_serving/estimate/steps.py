"""Step time: how long one iteration of the engine takes, by what is in it.

The form is linear in four features, as fitted to profiles of real engines: new
prefill tokens, their attention work, decoding requests, and the KV they read.
A running engine's own steps say what the terms are there and now.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

DECAY: Final = 0.995
"""Weight that a step keeps with each later one: about the newest two hundred count."""

TYPICAL: Final = (4.0, 64.0, 16.0, 2000.0)
"""What the prior is weighed by: a constant, prompt tokens, decoding requests, KV tokens read.

The constant's is large: a step that always had the same requests is so put down to
them, not to a base. Fewer are then run at once, and show whether that is true.
"""

WORTH: Final = 0.2
"""Elasticity of an engine's rate under which more requests at once only make each of them slower."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step works on."""

    prefill: int = 0
    """New prompt tokens."""
    attention: float = 0.0
    """Sum over prompts of `new * (cached + new / 2)`: token pairs."""
    decodes: int = 0
    """Requests that produce one token."""
    context: int = 0
    """Sum of the tokens in the KV cache of those."""
    prompts: int = 0
    """How many requests `prefill` belongs to."""


@dataclass(frozen=True, slots=True)
class StepModel:
    """Milliseconds of a step: `base + prefill + attention + decode + context` terms."""

    base: float
    """ms a step."""
    per_prefill: float
    """ms a new prompt token."""
    per_pair: float
    """ms a pair of prompt tokens."""
    per_decode: float
    """ms a decoding request."""
    per_context: float
    """ms a token of KV read."""

    def seconds(self, batch: Batch) -> float:
        """Duration of a step, seconds."""
        return (
            self.base
            + self.per_prefill * batch.prefill
            + self.per_pair * batch.attention
            + self.per_decode * batch.decodes
            + self.per_context * batch.context
        ) / 1000


CPU_135M: Final = StepModel(50.3, 0.446, 0.00033, 0.541, 0.00365)
"""SmolLM2-135M in float32 on one core with AVX-512 (held-out error 8 %)."""


class StepTimes:
    """How long the steps of an engine take, learnt from those it made.

    Least squares over the newest steps, with no term below zero: milliseconds by
    prompt tokens, requests that decode and tokens of KV read, beside a constant.
    A prior with the weight of a fiftieth of a typical step speaks for what they leave open.
    """

    def __init__(
        self,
        base: float = 30.0,
        per_prefill: float = 0.3,
        per_decode: float = 0.5,
        per_context: float = 0.002,
    ) -> None:
        self._prior = (base, per_prefill, per_decode, per_context)
        size = len(self._prior)
        self._weights = [0.02 * typical**2 for typical in TYPICAL]
        self._square = [[self._weights[i] if i == j else 0.0 for j in range(size)] for i in range(size)]
        self._target = [weight * prior for weight, prior in zip(self._weights, self._prior, strict=True)]
        self._solved: tuple[float, ...] | None = None

    def measured(self, batch: Batch, seconds: float) -> None:
        """Learn from one step."""
        features = _features(batch)
        for i, feature in enumerate(features):
            row = self._square[i]
            for j, other in enumerate(features):
                row[j] = DECAY * row[j] + feature * other
            kept = (1 - DECAY) * self._weights[i]  # the prior does not fade
            row[i] += kept
            self._target[i] = DECAY * self._target[i] + feature * seconds * 1000 + kept * self._prior[i]
        self._solved = None

    def seconds(self, batch: Batch) -> float:
        """Expected duration of a step, seconds; at least a tenth of a millisecond."""
        terms = zip(self._coefficients(), _features(batch), strict=True)
        return max(1e-4, sum(each * feature for each, feature in terms) / 1000)

    @property
    def per_prefill(self) -> float:
        """Seconds that one prompt token adds to a step."""
        return self._coefficients()[1] / 1000

    @property
    def crowd(self) -> float:
        """Requests that decode together until one more adds less than `WORTH` of what the first one adds.

        A step of `b` takes `fixed + each * b`, so `b` have a rate of `b / (fixed + each * b)`, of which the
        elasticity is `fixed / (fixed + each * b)`. Infinite where the next one always adds as much.
        """
        fixed, _, per_decode, per_context = self._coefficients()
        # Means of decoding requests and of their context stand in the constant's row.
        _, _, decodes, context = self._square[0]
        each = per_decode + (per_context * context / decodes if decodes else 0.0)
        return fixed * (1 - WORTH) / WORTH / each if each > 0 else math.inf

    def _coefficients(self) -> tuple[float, ...]:
        if self._solved is None:
            self._solved = _least_squares(self._square, self._target)
        return self._solved


def _features(batch: Batch) -> tuple[float, ...]:
    return 1.0, float(batch.prefill), float(batch.decodes), float(batch.context)


def _least_squares(square: list[list[float]], target: list[float]) -> tuple[float, ...]:
    """The solution of the normal equations without what would be below zero, the most negative first.

    No step is shorter for what is added to it; to cut such a term off alone would
    leave what balances it in the others.
    """
    found = [0.0] * len(target)
    terms = list(range(len(target)))
    while terms:
        solved = _solve([[square[i][j] for j in terms] for i in terms], [target[i] for i in terms])
        if min(solved) >= 0:
            for i, value in zip(terms, solved, strict=True):
                found[i] = value
            break
        terms.pop(solved.index(min(solved)))
    return tuple(found)


def _solve(square: list[list[float]], target: list[float]) -> list[float]:
    """Solve a symmetric positive definite system by Gauss elimination."""
    size = len(target)
    rows = [[*row, right * 1.0] for row, right in zip(square, target, strict=True)]
    for i in range(size):
        pivot = rows[i][i]
        for k in range(i + 1, size):
            factor = rows[k][i] / pivot
            rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    solution = [0.0] * size
    for i in reversed(range(size)):
        known = sum(rows[i][j] * solution[j] for j in range(i + 1, size))
        solution[i] = (rows[i][size] - known) / rows[i][i]
    return solution
