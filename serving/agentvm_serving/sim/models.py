"""Step-time models in the forms that GPU profiles are fitted with.

Of an iteration with P new prompt tokens, D decoding requests, X pairs of prompt tokens
and S tokens of KV read by decoding, in milliseconds:

- *knee*: `a + b max(0, P + D - n0) + c X + d D + (e + e_mix [P > 0]) S`: tokens below the
  knee are nearly free, which chunked prefill lives on;
- *table*: the same with a measured table over P + D in place of a line.

All are linear in S, which the simulator relies on to pass many steps at once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentvm_serving.estimate.steps import Batch


class StepTime(Protocol):
    """How long an iteration takes."""

    def seconds(self, batch: Batch) -> float:
        """Linear in `batch.context`."""
        ...


@dataclass(frozen=True, slots=True)
class Knee:
    """The knee form, milliseconds."""

    n0: int
    a: float
    b: float
    c: float
    d: float
    e: float
    e_mix: float = 0.0

    def seconds(self, batch: Batch) -> float:
        context = self.e + self.e_mix if batch.prefill else self.e
        return (
            self.a
            + self.b * max(0, batch.prefill + batch.decodes - self.n0)
            + self.c * batch.attention
            + self.d * batch.decodes
            + context * batch.context
        ) / 1000


@dataclass(frozen=True, slots=True)
class Table:
    """The table form, milliseconds."""

    grid: tuple[int, ...]
    """Tokens in an iteration, rising."""
    times: tuple[float, ...]
    """Milliseconds for so many tokens."""
    c0: float
    """Where there are prompts."""
    b: float
    c: float
    d0: float
    """Where requests decode."""
    d: float
    e: float
    e_mix: float = 0.0
    _known: dict[int, float] = field(default_factory=dict, compare=False, repr=False)

    def seconds(self, batch: Batch) -> float:
        tokens = batch.prefill + batch.decodes
        base = self._known.get(tokens)
        if base is None:
            base = self._known[tokens] = self._interpolated(tokens)
        if batch.prefill:
            base += self.c0 + self.b * batch.prefill + self.c * batch.attention
        if batch.decodes:
            context = self.e + self.e_mix if batch.prefill else self.e
            base += self.d0 + self.d * batch.decodes + context * batch.context
        return base / 1000

    def _interpolated(self, tokens: int) -> float:
        """By the two neighbours; beyond the grid by the slope of its last two fifths."""
        grid, times = self.grid, self.times
        right = bisect_left(grid, tokens)
        if right == len(grid):
            left = min(bisect_left(grid, 0.6 * grid[-1]), len(grid) - 2)
            return times[-1] + (times[-1] - times[left]) / (grid[-1] - grid[left]) * (tokens - grid[-1])
        if right == 0:
            return times[0]
        left = right - 1
        share = (tokens - grid[left]) / (grid[right] - grid[left])
        return times[left] + share * (times[right] - times[left])


@dataclass(frozen=True, slots=True)
class Derated:
    """A model whose prompts cost more: profiles of single operators tend to flatter prefill."""

    model: StepTime
    factor: float

    def seconds(self, batch: Batch) -> float:
        if not batch.prefill:
            return self.model.seconds(batch)
        without = self.model.seconds(Batch(decodes=batch.decodes, context=batch.context))
        return without + self.factor * (self.model.seconds(batch) - without)


def form_of(fields: Mapping[str, Any], mix: float | None = None) -> Knee | Table:
    """A model from a file's fields (`step_time_models.json` of the profiles).

    Args:
        mix: `e_mix` as a share of `e`, where the profile's own is not wanted.
    """
    e = fields["e_ms_per_decode_kv_token"]
    e_mix = fields["e_mix_ms_per_decode_kv_token_if_prefill"] if mix is None else mix * e
    c, d = fields["c_ms_per_prefill_token_x_context"], fields["d_ms_per_decode"]
    if "n0_tokens" in fields:
        return Knee(fields["n0_tokens"], fields["a_ms"], fields["b_ms_per_token_above_n0"], c, d, e, e_mix)
    return Table(
        tuple(fields["tokens_grid"]),
        tuple(fields["tokens_ms"]),
        fields["c0_ms_if_prefill"],
        fields["b_ms_per_prefill_token"],
        c,
        fields["d0_ms_if_decode"],
        d,
        e,
        e_mix,
    )
