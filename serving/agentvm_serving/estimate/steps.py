"""Step time: how long one iteration of the engine takes, by what is in it.

The form is linear in four features, as fitted to profiles of real engines: new
prefill tokens, their attention work, decoding requests, and the KV they read.
A running engine's own steps say what the terms are there and now.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final, NamedTuple

DECAY: Final = 0.995
"""Weight that a step keeps with each later one: about the newest two hundred count."""

TYPICAL: Final = (4.0, 64.0, 16.0, 2000.0)
"""What the prior is weighed by: a constant, prompt tokens, decoding requests, KV tokens read.

The constant's is large: a step that always had the same requests is so put down to
them, not to a base. Fewer are then run at once, and show whether that is true.
"""

WORTH: Final = 0.2
"""Elasticity of an engine's rate under which more requests at once only make each of them slower."""


class Batch(NamedTuple):
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
        prior = (base, per_prefill, per_decode, per_context)
        weights = one, two, three, four = [0.02 * typical**2 for typical in TYPICAL]
        # What the prior loses of its weight with each step, and is given back.
        self._lost = tuple((1 - DECAY) * weight for weight in weights)
        self._lost_target = tuple(lost * each for lost, each in zip(self._lost, prior, strict=True))
        # The normal equations, of which the left side is symmetric: its upper triangle, row by row.
        self._square = (one, 0.0, 0.0, 0.0, two, 0.0, 0.0, three, 0.0, four)
        self._target = tuple(weight * each for weight, each in zip(weights, prior, strict=True))
        self._solved: tuple[float, ...] | None = None

    def measured(self, batch: Batch, seconds: float) -> None:
        """Learn from one step."""
        # Written out, since it is done with nearly every step.
        p, d, c = float(batch.prefill), float(batch.decodes), float(batch.context)
        one, two, three, four = self._lost
        s = self._square
        self._square = (
            DECAY * s[0] + 1.0 + one,
            DECAY * s[1] + p,
            DECAY * s[2] + d,
            DECAY * s[3] + c,
            DECAY * s[4] + p * p + two,
            DECAY * s[5] + p * d,
            DECAY * s[6] + p * c,
            DECAY * s[7] + d * d + three,
            DECAY * s[8] + d * c,
            DECAY * s[9] + c * c + four,
        )
        one, two, three, four = self._lost_target
        t = self._target
        self._target = (
            DECAY * t[0] + seconds * 1000 + one,
            DECAY * t[1] + p * seconds * 1000 + two,
            DECAY * t[2] + d * seconds * 1000 + three,
            DECAY * t[3] + c * seconds * 1000 + four,
        )
        self._solved = None

    def seconds(self, batch: Batch) -> float:
        """Expected duration of a step, seconds; at least a tenth of a millisecond."""
        base, prefill, decode, context = self._coefficients()
        found = base + prefill * batch.prefill + decode * batch.decodes + context * batch.context
        return max(1e-4, found / 1000)

    @property
    def per_prefill(self) -> float:
        """Seconds that one prompt token adds to a step."""
        return self._coefficients()[1] / 1000

    @property
    def per_decode(self) -> float:
        """Seconds that one request with hardly any context adds to a step by decoding."""
        return self._coefficients()[2] / 1000

    @property
    def crowd(self) -> float:
        """Requests that decode together until one more adds less than `WORTH` of what the first one adds.

        A step of `b` takes `fixed + each * b`, so `b` have a rate of `b / (fixed + each * b)`, of which the
        elasticity is `fixed / (fixed + each * b)`. Infinite where the next one always adds as much.
        """
        fixed, _, per_decode, per_context = self._coefficients()
        # Means of decoding requests and of their context stand in the constant's row.
        decodes, context = self._square[2:4]
        each = per_decode + (per_context * context / decodes if decodes else 0.0)
        return fixed * (1 - WORTH) / WORTH / each if each > 0 else math.inf

    def _coefficients(self) -> tuple[float, ...]:
        if self._solved is None:
            self._solved = _least_squares(self._square, self._target)
        return self._solved


def _least_squares(square: Sequence[float], target: Sequence[float]) -> tuple[float, ...]:
    """The solution of the normal equations without what would be below zero, the most negative first.

    No step is shorter for what is added to it; to cut such a term off alone would
    leave what balances it in the others. What a term takes along when it goes stands in the inverse.
    """
    inverse = _inverse(square)
    solved = [sum(map(mul, row, target)) for row in inverse]
    terms = list(range(len(solved)))
    while terms:
        worst = min(terms, key=solved.__getitem__)
        if solved[worst] >= 0:
            break
        terms.remove(worst)
        gone, too_much = inverse[worst], solved[worst]
        for term in terms:
            share = inverse[term][worst] / gone[worst]
            solved[term] -= share * too_much
            inverse[term] = [each - share * other for each, other in zip(inverse[term], gone, strict=True)]
    return tuple(each if term in terms else 0.0 for term, each in enumerate(solved))


def _inverse(square: Sequence[float]) -> list[list[float]]:
    """Of a symmetric positive definite matrix of four rows, given its upper triangle; by blocks of two."""
    a, b, c, d, e, f, g, h, i, j = square
    size = a * e - b * b
    p, q, r = e / size, -b / size, a / size
    t, u, v, w = p * c + q * f, p * d + q * g, q * c + r * f, q * d + r * g
    x, y, z = h - c * t - f * v, i - c * u - f * w, j - d * u - g * w
    size = x * z - y * y
    k, m, n = z / size, -y / size, x / size
    ac, ad, bc, bd = -t * k - u * m, -t * m - u * n, -v * k - w * m, -v * m - w * n
    aa, ab, bb = p - ac * t - ad * u, q - ac * v - ad * w, r - bc * v - bd * w
    return [[aa, ab, ac, ad], [ab, bb, bc, bd], [ac, bc, k, m], [ad, bd, m, n]]
