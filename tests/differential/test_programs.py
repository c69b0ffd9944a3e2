"""The promise of the compiler: compiled execution gives exactly what plain asyncio gives."""

from __future__ import annotations

import pytest

from .harness import Case, Observation, cases, model, observe_compiled, observe_plain

SEEDS = (None, 1, 2, 3, 4, 5)
"""Of the order in which the model answers; None answers at once."""


HANDLED = {"red_team"}
"""Programs that return though something failed within them: they handle it."""


def assert_no_needless_calls(compiled: Observation, plain: Observation, handled: bool) -> None:
    """Past a failure calls may have been made ahead; otherwise none that Python does not make."""
    if plain.outcome[0] == "returned" and not handled:
        assert not compiled.prompts - plain.prompts


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", cases())
async def test_compiled_is_plain(case: Case, seed: int | None):
    """Result or exception, writes and output are Python's, in whatever order answers come."""
    plain = await observe_plain(case, model(case, seed))
    compiled = await observe_compiled(case, model(case, seed))
    assert compiled.visible == plain.visible
    assert_no_needless_calls(compiled, plain, case.agent.name in HANDLED)
