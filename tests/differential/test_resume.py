"""A run that is stopped anywhere and resumed ends as if nothing had happened."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import pytest

from .crash import assert_resumes, events_of_a_whole_run, points
from .harness import Case, cases, model, observe_plain


@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize("case", cases())
async def test_resumed_is_uninterrupted(case: Case, seed: int | None):
    """Wherever a run is stopped, it goes on to Python's result; what is recorded is not done again."""
    with redirect_stdout(io.StringIO()):
        plain = await observe_plain(case, model(case))
        for point in points(await events_of_a_whole_run(case)):
            await assert_resumes(case, point, plain.outcome, plain.log, seed)
