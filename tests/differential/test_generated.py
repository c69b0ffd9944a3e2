"""Random programs by seed: compiled, resumed after a stop, and plain, they do the same.

More of them: `AGENTVM_PROGRAMS=1000:3000 pytest tests/differential/test_generated.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from .crash import assert_resumes, events_of_a_whole_run, points
from .generate import Generator
from .harness import Case, leaves_coroutines, model, observe_compiled, observe_plain
from .modules import INPUTS, imported

FIRST, LAST = map(int, os.environ.get("AGENTVM_PROGRAMS", "0:120").split(":"))


@pytest.fixture
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The module of the program of a seed."""
    with imported(
        Generator.seeded(request.param).source(), f"agentvm_generated_{request.param}", tmp_path
    ) as module:
        yield module


@leaves_coroutines
@pytest.mark.parametrize("program", range(FIRST, LAST), indirect=True)
async def test_a_random_program_does_what_python_does(program):
    """Outcome, writes and output are Python's, at once, out of order, and after a crash."""
    for number in range(len(INPUTS)):
        case = Case(program, number)
        plain = await observe_plain(case, model(case))
        for seed in (None, number + 1):
            compiled = await observe_compiled(case, model(case, seed))
            assert compiled.visible == plain.visible
        with redirect_stdout(StringIO()):
            for point in points(await events_of_a_whole_run(case)):
                await assert_resumes(case, point, plain.outcome, plain.log)
