"""Step time: how long one iteration of the engine takes, by what is in it.

The form is linear in four features, as fitted to profiles of real engines: new
prefill tokens, their attention work, decoding requests, and the KV they read.
A running engine's own steps say what the terms are there and now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DECAY: Final = 0.995
"""Weight that a step keeps with each later one: about the newest two hundred count."""


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

    Least squares over the newest steps: milliseconds by prompt tokens and by
    tokens of KV read, beside a constant. A weak prior holds until they are seen.
    """

    def __init__(self, base: float = 30.0, per_prefill: float = 0.3, per_context: float = 0.002) -> None:
        self._prior = (base, per_prefill, per_context)
        # The prior counts as much as one step with a typical batch.
        weights = (1.0, 64.0**2, 2000.0**2)
        self._square = [[w if i == j else 0.0 for j in range(3)] for i, w in enumerate(weights)]
        self._target = [w * p for w, p in zip(weights, self._prior, strict=True)]
        self._solved: tuple[float, ...] | None = None

    def measured(self, batch: Batch, seconds: float) -> None:
        """Learn from one step."""
        features = _features(batch)
        for i in range(3):
            for j in range(3):
                self._square[i][j] = DECAY * self._square[i][j] + features[i] * features[j]
            self._target[i] = DECAY * self._target[i] + features[i] * seconds * 1000
        self._solved = None

    def seconds(self, batch: Batch) -> float:
        """Expected duration of a step, seconds; at least a tenth of a millisecond."""
        terms = zip(self._coefficients(), _features(batch), strict=True)
        return max(1e-4, sum(each * feature for each, feature in terms) / 1000)

    @property
    def per_prefill(self) -> float:
        """Seconds that one prompt token adds to a step."""
        return self._coefficients()[1] / 1000

    def _coefficients(self) -> tuple[float, ...]:
        if self._solved is None:
            # Not below zero: no step is shorter for what is added to it.
            self._solved = tuple(max(0.0, each) for each in _solve(self._square, self._target))
        return self._solved


def _features(batch: Batch) -> tuple[float, float, float]:
    return 1.0, float(batch.prefill), float(batch.context)


def _solve(square: list[list[float]], target: list[float]) -> list[float]:
    """Solve a symmetric positive definite system by Gauss elimination."""
    size = len(target)
    rows = [[*row, right * 1.0] for row, right in zip(square, target, strict=True)]
    for i in range(size):
        # Nothing but the decayed prior speaks for a feature that was never seen.
        pivot = rows[i][i] or 1e-12
        for k in range(i + 1, size):
            factor = rows[k][i] / pivot
            rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    solution = [0.0] * size
    for i in reversed(range(size)):
        known = sum(rows[i][j] * solution[j] for j in range(i + 1, size))
        solution[i] = (rows[i][size] - known) / (rows[i][i] or 1e-12)
    return solution
